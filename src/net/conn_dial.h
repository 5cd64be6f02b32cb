/*
 * A conn to host:port: dials (net/dial), and over TLS makes the handshake with the server whose
 * certificate it checks. All under one deadline, one connection and one try: to wait and try again is
 * its caller's. Used by the clients of the API server and of the gateway.
 */
#ifndef OPENSHELL_NET_CONN_DIAL_H
#define OPENSHELL_NET_CONN_DIAL_H

#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"
#include "net/conn.h"
#include "net/resolver.h"
#include "net/tls.h"
#include "net/url.h"

struct conn_dial; /* under way */

/* All that is pointed to is borrowed until done is called or conn_dial_cancel. */
struct conn_dial_config {
	const char *host;
	uint16_t port;
	const struct url *proxy; /* or NULL; checked by proxy_check */
	struct tls_client *tls;  /* NULL: plain TCP */
	/* Over TLS: what the certificate must be for (NULL: host), and what must be agreed on by ALPN
	 * (NULL: anything, or nothing, see tls_alpn). */
	const char *certificate_name, *protocol;
	int64_t timeout_ms; /* for name, TCP, proxy and TLS together */
	/* c is the callee's; or NULL and why, in words that name host and port. Called once, from the
	 * loop. */
	void (*done)(void *owner, struct conn *c, const struct err *why);
	void *owner;
};

/* Starts it; the handle is valid until done is called or conn_dial_cancel. */
struct conn_dial *conn_dial_start(struct loop *l, struct resolver *r,
				  const struct conn_dial_config *config);
/* Drops it without a callback; takes NULL. */
void conn_dial_cancel(struct conn_dial *d);

#endif
