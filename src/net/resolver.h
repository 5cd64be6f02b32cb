/*
 * Names to addresses: getaddrinfo, which blocks, in a thread of its own. The thread is started with
 * the first query and answers one after the other; answers come back through the loop. An address
 * written as one needs no thread and is answered at once (resolve_literal).
 */
#ifndef OPENSHELL_NET_RESOLVER_H
#define OPENSHELL_NET_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "loop/loop.h"

enum {
	RESOLVE_ADDRESSES_MAX = 16, /* of one name; the rest is left out */
	RESOLVE_WAITING_MAX = 64,   /* queries; one more is refused */
};

struct address {
	struct sockaddr_storage sa;
	socklen_t n;
};

/* "10.0.0.1:443", "[fd00::1]:443". */
#define ADDRESS_TEXT_MAX 64
void address_text(const struct address *a, char out[ADDRESS_TEXT_MAX]);

struct resolver;
struct resolve_job;

/* A question; embedded in its owner, zeroed but for done. */
struct resolve_query {
	/* The addresses (at least one), borrowed, or n == 0 and why. Called once, from the loop. */
	void (*done)(struct resolve_query *q, const struct address *a, int n,
		     const struct err *why);
	struct resolve_job *job; /* the resolver's; NULL when nothing is asked */
};

int resolver_new(struct resolver **out, struct loop *l, struct err *e);
/* Queries must be cancelled before. Does not wait for the thread; takes NULL. */
void resolver_free(struct resolver *r);

/* Asks for the TCP addresses of host, in the order in which they are to be tried (RFC 6724). There
 * is no deadline: the caller cancels. */
int resolve_start(struct resolver *r, struct resolve_query *q, const char *host, uint16_t port,
		  struct err *e);
/* done is not called any more. Harmless when nothing is asked. */
void resolve_cancel(struct resolve_query *q);

/* When host is an address, fills *a and says so. */
bool resolve_literal(const char *host, uint16_t port, struct address *a);

#endif
