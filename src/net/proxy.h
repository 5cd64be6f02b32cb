/*
 * Speaking to a proxy: HTTP CONNECT (RFC 9110 9.3.6) and SOCKS5 (RFC 1928, 1929). No I/O; used by
 * dial.c. And which proxy the environment asks for.
 */
#ifndef OPENSHELL_NET_PROXY_H
#define OPENSHELL_NET_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "net/resolver.h"
#include "net/url.h"

/*
 *  http    PROXY_CONNECT -------------------------------------> PROXY_DONE
 *  socks5  PROXY_METHOD --> [PROXY_PASSWORD] --> PROXY_REQUEST --> PROXY_DONE
 *  Each of them is what is waited for.
 */
enum proxy_state { PROXY_CONNECT, PROXY_METHOD, PROXY_PASSWORD, PROXY_REQUEST, PROXY_DONE };

struct proxy_talk {
	const struct url *proxy; /* borrowed */
	const char *host;        /* where to; borrowed. A name is looked up by the proxy */
	uint16_t port;
	enum proxy_state state;
	struct buf in, out;
};

/* Checks that the proxy's scheme is one that we speak: http, socks5, socks5h. */
int proxy_check(const struct url *proxy, const char *what, struct err *e);

/* Begins; what is to be sent is in t->out. Released by proxy_talk_fini. */
int proxy_talk_init(struct proxy_talk *t, const struct url *proxy, const char *host, uint16_t port,
		    struct err *e);
void proxy_talk_fini(struct proxy_talk *t);

enum proxy_result {
	PROXY_OK = 1,
	PROXY_MORE = 0,
	PROXY_FAILED = -1,
};

/* How many of the bytes that came are the proxy's: what is behind them is the server's, if it speaks first,
 * and must be left to whoever gets the connection. (A SOCKS proxy's are taken to be all its own.) */
size_t proxy_own(const struct proxy_talk *t, struct str bytes);

/* Takes what the proxy sent. PROXY_MORE: send what is in t->out, if anything, and feed on.
 * PROXY_OK: what follows on the connection is the server's. */
enum proxy_result proxy_feed(struct proxy_talk *t, struct str bytes, struct err *e);

/* Whether a list as in NO_PROXY exempts host from the proxy: *, names (with their subdomains, or those
 * alone behind a dot), addresses, CIDRs, each with a port or without. Entries with addresses are about
 * host when it is one, and about what it resolves to where that is known (n may be 0). */
bool proxy_excepted(struct str list, const char *host, uint16_t port,
		    const struct address *addresses, int n);

/* The proxy that the environment asks for when https (or http) is spoken to host, or NULL: the
 * caller's. As net/http of Go has it, and with it every client-go: HTTPS_PROXY (HTTP_PROXY), then
 * the same in lower case; none for localhost and loopback addresses, nor for what NO_PROXY exempts. */
char *proxy_from_environment(bool https, const char *host, uint16_t port);

#endif
