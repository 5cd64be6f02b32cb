/*
 * The connection of a gRPC client over TCP: dials, and over TLS agrees on HTTP/2 with the server whose
 * certificate it has checked; without, HTTP/2 is spoken from the first byte (h2c by prior knowledge). All under
 * one deadline. What comes out is for grpc_channel_new.
 */
#ifndef OPENSHELL_GRPC_CONNECT_H
#define OPENSHELL_GRPC_CONNECT_H

#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"
#include "net/conn.h"
#include "net/resolver.h"
#include "net/tls.h"

struct grpc_connect; /* under way */

struct grpc_connect_config {
	const char *host; /* borrowed until done is called or grpc_connect_cancel */
	uint16_t port;
	struct tls_client *tls;       /* NULL: h2c. It must offer "h2" by ALPN. Borrowed as long */
	const char *certificate_name; /* what the certificate must be for; NULL: host */
	int64_t timeout_ms;
	/* c is the callee's; or NULL and why, in words that name host and port. Called once, from the
	 * loop. */
	void (*done)(void *owner, struct conn *c, const struct err *why);
	void *owner;
};

/* Starts it; the handle is valid until done is called or grpc_connect_cancel. */
struct grpc_connect *grpc_connect_start(struct loop *l, struct resolver *r,
					const struct grpc_connect_config *config);
/* Drops it without a callback; takes NULL. */
void grpc_connect_cancel(struct grpc_connect *g);

#endif
