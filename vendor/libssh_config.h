/*
 * libssh, as a server on mbedTLS and musl (or glibc, for the sanitizers): what its own build would find out
 * and choose. vendor/third.mk puts it in its way as config.h.
 *
 * Left out: compression, GSSAPI, SFTP (src/sftp is ours), DSA, group exchange, hardware tokens, running
 * programs. What a client needs but a server does not, the linker leaves out.
 */
#define PACKAGE "libssh"
#define VERSION "static"

/* Names of files that a program of ours never has it read. */
#define SYSCONFDIR "/nonexistent"
#define BINARYDIR "."
#define SOURCEDIR "."
#define USR_GLOBAL_CONF_DIR "/nonexistent"
#define GLOBAL_CONF_DIR "/nonexistent"
#define USR_GLOBAL_BIND_CONFIG "/nonexistent"
#define GLOBAL_BIND_CONFIG "/nonexistent"
#define USR_GLOBAL_CLIENT_CONFIG "/nonexistent"
#define GLOBAL_CLIENT_CONFIG "/nonexistent"

#define HAVE_ARPA_INET_H 1
#define HAVE_GLOB_H 1
#define HAVE_PTY_H 1
#define HAVE_SYS_TIME_H 1
#define HAVE_TERMIOS_H 1
#define HAVE_UNISTD_H 1
#define HAVE_STDINT_H 1
#define HAVE_IFADDRS_H 1
#define HAVE_PTHREAD_H 1

#define HAVE_SNPRINTF 1
#define HAVE_VSNPRINTF 1
#define HAVE_ISBLANK 1
#define HAVE_STRNCPY 1
#define HAVE_STRNDUP 1
#define HAVE_CFMAKERAW 1
#define HAVE_GETADDRINFO 1
#define HAVE_POLL 1
#define HAVE_SELECT 1
#define HAVE_CLOCK_GETTIME 1
#define HAVE_STRTOULL 1
#define HAVE_GLOB 1
#define HAVE_EXPLICIT_BZERO 1

#define HAVE_LIBMBEDCRYPTO 1
#define HAVE_ECC 1
#define HAVE_MBEDTLS_CURVE25519 1
#define HAVE_PTHREAD 1

#define HAVE_GCC_THREAD_LOCAL_STORAGE 1
#define HAVE_FALLTHROUGH_ATTRIBUTE 1
#define HAVE_UNUSED_ATTRIBUTE 1
#define HAVE_WEAK_ATTRIBUTE 1
#define HAVE_CONSTRUCTOR_ATTRIBUTE 1
#define HAVE_DESTRUCTOR_ATTRIBUTE 1
#define HAVE_GCC_VOLATILE_MEMORY_PROTECTION 1
#define HAVE_COMPILER__FUNC__ 1
#define HAVE_COMPILER__FUNCTION__ 1

#define WITH_SERVER 1
