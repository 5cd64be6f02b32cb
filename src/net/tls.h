/*
 * TLS 1.2 and 1.3, the client's side, over a connected socket: a transport for struct conn, on
 * mbedTLS. Whom to trust and who we are is a struct tls_client, made once and shared by the
 * connections.
 *
 * What the library cannot do is said by name: Ed25519 keys and certificates.
 */
#ifndef OPENSHELL_NET_TLS_H
#define OPENSHELL_NET_TLS_H

#include <stdbool.h>

#include "base/err.h"
#include "loop/loop.h"
#include "net/conn.h"

struct tls_client;

struct tls_client_config {
	/* PEM. NULL: the authorities that this machine trusts, see tls.c. */
	const char *ca_pem;
	/* PEM; both or none. */
	const char *cert_pem, *key_pem;
	/* Take any certificate: the connection is private, but to nobody knows whom. */
	bool insecure;
	/* What is offered by ALPN, NULL-terminated, the favourite first; borrowed, static. */
	const char **alpn;
	/* What certificate and key are called in an error; NULL: "client certificate". Likewise ca. */
	const char *ca_name, *cert_name, *key_name;
};

/* Reads certificates and keys; the config is not kept. *out has one reference. */
int tls_client_new(struct tls_client **out, const struct tls_client_config *c, struct err *e);
/* Drops a reference (each connection holds one); takes NULL. */
void tls_client_unref(struct tls_client *t);

/* A conn that speaks TLS over fd, which it takes (closed on failure too). name is what the server's
 * certificate must be for: a name, which is also asked for (SNI), or an address. peer names the other
 * end in errors; both are copied. The handshake is made by tls_handshake, before any read or write.
 * What conn_write was given when it returned CONN_AGAIN must be the beginning of what it is given
 * next. */
int tls_connect(struct conn **out, struct loop *l, int fd, struct tls_client *t, const char *name,
		const char *peer, struct err *e);

/* Goes on with the handshake. 1: done; CONN_AGAIN: wait to be called back (conn_want is set by
 * this); CONN_ERROR: conn_error says why, in words for a person. */
int tls_handshake(struct conn *c);

/* The protocol that was agreed on, "" when none. Borrowed. */
const char *tls_alpn(const struct conn *c);
/* "TLSv1.3". */
const char *tls_version(const struct conn *c);

#endif
