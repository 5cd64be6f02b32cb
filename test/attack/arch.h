/* What differs by machine: the second way into an x86_64 kernel. */
#ifndef ATTACK_ARCH_H
#define ATTACK_ARCH_H

#include <errno.h>

enum { X32_BIT = 0x40000000 };

/* getpid by the 32-bit gate; -ENOSYS where there is none. */
static inline long call_by_int80(void)
{
#if defined(__x86_64__)
	long r = 20; /* __NR_getpid of i386 */

	__asm__ volatile("int $0x80" : "+a"(r) : : "r8", "r9", "r10", "r11", "memory");
	return r;
#else
	return -ENOSYS;
#endif
}

#endif
