/*
 * The entropy source of mbedTLS, and so of TLS and SSH: the kernel's generator, by a system call. It needs no file,
 * and works in a process that may open none. Nobody calls this but mbedTLS (MBEDTLS_ENTROPY_HARDWARE_ALT).
 */
#ifndef OPENSHELL_NET_ENTROPY_H
#define OPENSHELL_NET_ENTROPY_H

#include <stddef.h>

/* Fills output with len bytes, and says so in *olen. Never fails. */
int mbedtls_hardware_poll(void *data, unsigned char *output, size_t len, size_t *olen);

#endif
