/*
 * A TCP connection to host:port, by name or address, directly or through a proxy: looks the name
 * up, tries its addresses one after the other, and speaks to the proxy, all under one deadline.
 * Gives a connected socket; what is spoken on it is the caller's.
 */
#ifndef OPENSHELL_NET_DIAL_H
#define OPENSHELL_NET_DIAL_H

#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"
#include "net/resolver.h"
#include "net/url.h"

struct dial; /* under way */

struct dial_config {
	const char *host; /* borrowed until done is called or dial_cancel */
	uint16_t port;
	/* Those that are tried instead of looking host up, without a proxy: the caller has, and has
	 * judged them. Copied; none for a lookup. */
	const struct address *addresses;
	int addresses_n;
	const struct url *proxy; /* or NULL; checked by proxy_check. Borrowed as long */
	int64_t timeout_ms;      /* for everything */
	/* fd is the callee's: connected, non-blocking, close-on-exec, TCP_NODELAY. Or -1 and why, in
	 * words that name host and port. Called once, from the loop. */
	void (*done)(void *owner, int fd, const struct err *why);
	void *owner;
};

/* Starts it; the handle is valid until done is called or dial_cancel. */
struct dial *dial_start(struct loop *l, struct resolver *r, const struct dial_config *config);
/* Drops it without a callback; takes NULL. */
void dial_cancel(struct dial *d);

#endif
