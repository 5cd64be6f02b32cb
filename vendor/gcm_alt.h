/*
 * AES-GCM of mbedTLS is src/net/gcm.c (vendor/mbedtls_user.h), and so is what a context of it holds, besides
 * this pointer. mbedtls/gcm.h includes this file.
 */
#ifndef OPENSHELL_GCM_ALT_H
#define OPENSHELL_GCM_ALT_H

typedef struct mbedtls_gcm_context {
	struct gcm *state; /* owned; NULL before the first key */
} mbedtls_gcm_context;

#endif
