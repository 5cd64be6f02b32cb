/*
 * Which of nettle's primitives src/net/gcm.c, the only one to include this, has on a machine besides those in C: the
 * names of those that need instructions of the processor, and whether it has them. Asks nothing of the kernel.
 */
#ifndef OPENSHELL_NET_GCM_CPU_H
#define OPENSHELL_NET_GCM_CPU_H

#include <stdbool.h>

#if defined(__x86_64__)

#define GCM_AES(bits) _nettle_aes##bits##_encrypt_aesni
#define GCM_GHASH(verb) _nettle_ghash_##verb##_pclmul

static inline bool gcm_cpu_aes(void)
{
	return __builtin_cpu_supports("aes");
}

static inline bool gcm_cpu_ghash(void)
{
	return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("ssse3");
}

#elif defined(__aarch64__)

#include <sys/auxv.h>

#include <asm/hwcap.h>

#define GCM_AES(bits) _nettle_aes##bits##_encrypt_arm64
#define GCM_GHASH(verb) _nettle_ghash_##verb##_arm64

static inline bool gcm_cpu_aes(void)
{
	return getauxval(AT_HWCAP) & HWCAP_AES;
}

static inline bool gcm_cpu_ghash(void)
{
	return getauxval(AT_HWCAP) & HWCAP_PMULL;
}

#endif

#endif
