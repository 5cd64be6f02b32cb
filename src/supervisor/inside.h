/*
 * A connection to what listens inside the sandbox on loopback, and nowhere else (supervisor contract 3.4, 3.8): a
 * forwarded port, whether by a relay of the gateway or through SSH. The keeper makes the socket; here it is waited
 * for. Called by relay.c and ssh_inside.c.
 */
#ifndef OPENSHELL_SUPERVISOR_INSIDE_H
#define OPENSHELL_SUPERVISOR_INSIDE_H

#include "isolate/keeper.h"
#include "loop/loop.h"

/* From the question until it is connected; ours: a gateway gives up after 10 s (contract 0, 3). */
enum { INSIDE_CONNECT_MS = 8000 };

/* Embedded in its owner; zeroed but for done, nothing is under way. */
struct inside_dial {
	/* Called once, from the loop: a connected, non-blocking socket, the callee's, or -1 and why. d is at
	 * rest then. */
	void (*done)(struct inside_dial *d, int fd, const struct err *why);
	/* the rest is inside.c's */
	struct loop *loop;
	struct keeper *keeper;
	struct keeper_call call;
	struct source source;
	struct timer late;
	const char *others; /* to be tried after this, where a name has two addresses */
	uint16_t port;
};

/* Begins. host is "localhost", which is 127.0.0.1 and where nobody listens there ::1, or a loopback address;
 * EACCES: it is another, or none; EINVAL: the port is none. The keeper must stay until done or inside_dial_cancel. */
int inside_dial(struct inside_dial *d, struct loop *l, struct keeper *k, const char *host,
		unsigned port, struct err *e);
/* done is not called. Harmless when nothing is under way. */
void inside_dial_cancel(struct inside_dial *d);

#endif
