/*
 * nettle, of which only AES-GCM is wanted: what its own build would find out and choose. vendor/third.mk puts it in its
 * way as config.h.
 *
 * HAVE_NATIVE_x: there is an assembler's x for processors that have the instructions, and the one in C gets
 * another name (_nettle_x_c). src/net/gcm.c chooses.
 */
#define HAVE_STDINT_H 1
#define HAVE_BUILTIN_BSWAP64 1

#define HAVE_NATIVE_aes128_encrypt 1
#define HAVE_NATIVE_aes192_encrypt 1
#define HAVE_NATIVE_aes256_encrypt 1
#define HAVE_NATIVE_ghash_set_key 1
#define HAVE_NATIVE_ghash_update 1
