/*
 * What mbedTLS leaves out, on top of its default configuration: a TLS 1.2 and 1.3 client and
 * server with certificates is all that is wanted. Whoever includes an mbedTLS header must see this
 * file (the Makefile defines MBEDTLS_USER_CONFIG_FILE), since it changes the layout of structs.
 */
#undef MBEDTLS_SELF_TEST

/* no datagrams */
#undef MBEDTLS_SSL_PROTO_DTLS
#undef MBEDTLS_SSL_DTLS_ANTI_REPLAY
#undef MBEDTLS_SSL_DTLS_HELLO_VERIFY
#undef MBEDTLS_SSL_DTLS_CLIENT_PORT_REUSE
#undef MBEDTLS_SSL_DTLS_CONNECTION_ID
#undef MBEDTLS_SSL_DTLS_CONNECTION_ID_COMPAT
#undef MBEDTLS_SSL_COOKIE_C

/* no renegotiation, and no key exchange without forward secrecy or without certificates */
#undef MBEDTLS_SSL_RENEGOTIATION
#undef MBEDTLS_KEY_EXCHANGE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_DHE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDHE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_RSA_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_RSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_DHE_RSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDH_ECDSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDH_RSA_ENABLED

/* nothing that we talk to uses these */
#undef MBEDTLS_ARIA_C
#undef MBEDTLS_CAMELLIA_C
#undef MBEDTLS_ECJPAKE_C
#undef MBEDTLS_LMS_C
#undef MBEDTLS_NIST_KW_C
#undef MBEDTLS_PKCS7_C
#undef MBEDTLS_RIPEMD160_C

/* keys live in memory only */
#undef MBEDTLS_PSA_CRYPTO_STORAGE_C
#undef MBEDTLS_PSA_ITS_FILE_C

/* libssh wants locks, which nothing of ours needs: whatever uses mbedTLS is on one thread */
#define MBEDTLS_THREADING_C
#define MBEDTLS_THREADING_PTHREAD

/* Entropy is what src/net/entropy.c gets of the kernel by getrandom. mbedTLS itself would do so with glibc only, and
 * else open /dev/random, which an image may not have and the sandbox's sshd may not open. */
#define MBEDTLS_NO_PLATFORM_ENTROPY
#define MBEDTLS_ENTROPY_HARDWARE_ALT

/* Of AES-GCM, mbedTLS does one block after the other: src/net/gcm.c has nettle do several at once. */
#define MBEDTLS_GCM_ALT
