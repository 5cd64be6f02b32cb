/*
 * What tls.c shares with tls_cert.c and tls_words.c, and nobody else may see.
 */
#ifndef OPENSHELL_NET_TLS_IMPL_H
#define OPENSHELL_NET_TLS_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include "base/err.h"

/* Reads PEM into an initialised structure; name is that of the thing in an error. tls_cert.c. */
int tls_read_certs(mbedtls_x509_crt *out, const char *pem, const char *name, struct err *e);
int tls_read_key(mbedtls_pk_context *out, const char *pem, const char *name, struct err *e);
/* The authorities that this machine trusts. */
int tls_read_roots(mbedtls_x509_crt *out, struct err *e);

/* Whether the certificate is for the address (4 or 16 bytes). */
bool tls_cert_has_address(const mbedtls_x509_crt *cert, const uint8_t *address, size_t n);

/* Words for a person: of an mbedTLS error (static, until the next call), of the alert that the peer
 * sent, and of why a certificate is not taken for name (the caller's). tls_words.c. */
const char *tls_error_words(int error);
const char *tls_alert_words(const mbedtls_ssl_context *ssl);
char *tls_verify_words(const mbedtls_x509_crt *cert, int depth, uint32_t flags, const char *name);

#endif
