/*
 * Names to addresses: getaddrinfo, which blocks, in threads of its own, so that a name whose servers
 * do not answer holds nobody up but those who ask for it. Threads are started as they are needed, and
 * answers come back through the loop. Who asks for a name that is being looked up waits for the same
 * answer; and answers are remembered for as long as the owner says (resolver_remember). An address
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
	RESOLVE_WAITING_MAX = 64,   /* names being looked up; one more is refused */
	RESOLVE_THREADS_MAX = 8,
	RESOLVE_NAMES_MAX = 256, /* being looked up or remembered */
};

struct address {
	struct sockaddr_storage sa;
	socklen_t n;
};

/* "10.0.0.1", "fd00::1". */
#define ADDRESS_HOST_MAX 46
void address_host(const struct address *a, char out[ADDRESS_HOST_MAX]);
uint16_t address_port(const struct address *a);
/* "10.0.0.1:443", "[fd00::1]:443". */
#define ADDRESS_TEXT_MAX 64
void address_text(const struct address *a, char out[ADDRESS_TEXT_MAX]);

struct resolver;
struct resolve_name;

/* A question; embedded in its owner, zeroed but for done. */
struct resolve_query {
	/* The addresses (at least one), borrowed, or n == 0 and why. Called once, from the loop. */
	void (*done)(struct resolve_query *q, const struct address *a, int n,
		     const struct err *why);
	struct resolve_name *name; /* the resolver's; NULL when nothing is asked */
	struct list link;          /* the resolver's, as the next */
	uint16_t port;
};

int resolver_new(struct resolver **out, struct loop *l, struct err *e);
/* Queries must be cancelled before. Does not wait for the threads; takes NULL. */
void resolver_free(struct resolver *r);

/* Answers, but not failures, are good for so many milliseconds from now on. At first it is 0: the
 * system does not tell how long an answer holds, so none is remembered. */
void resolver_remember(struct resolver *r, int64_t ms);

/* Asks for the TCP addresses of host, in the order in which they are to be tried (RFC 6724). There
 * is no deadline: the caller cancels. */
int resolve_start(struct resolver *r, struct resolve_query *q, const char *host, uint16_t port,
		  struct err *e);
/* done is not called any more. Harmless when nothing is asked. */
void resolve_cancel(struct resolve_query *q);

/* When host is an address, fills *a and says so. */
bool resolve_literal(const char *host, uint16_t port, struct address *a);

#endif
