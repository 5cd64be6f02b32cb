/*
 * Relays (supervisor contract 3.4): the gateway asks for a connection to something inside, the sandbox's sshd or a
 * port on loopback, and its bytes then ride a call of their own, RelayStream, on the link of the session that asked.
 * Each direction ends by itself: the target's end is told to the gateway while its bytes still come, and the other
 * way round. Who does not read, there or here, holds up his own relay only, by flow control; what is under way of
 * one is a few frames.
 *
 * Called by gateway_session.c.
 */
#ifndef OPENSHELL_SUPERVISOR_RELAY_H
#define OPENSHELL_SUPERVISOR_RELAY_H

#include "isolate/keeper.h"
#include "loop/loop.h"
#include "ocsf/ocsf.h"
#include "openshell.pb-c.h"
#include "supervisor/gateway.h"
#include "supervisor/inside.h"

enum {
	/*
	 * At once; ours. The gateway has no limit for those that are open: its 32 for a sandbox are of those that nobody
	 * has claimed yet, and a browser has dozens of connections (gateway contract 2.1, 2.4). But it may take no more than 200
	 * calls of one connection, and ours all ride on one. One that is idle costs some KiB; one whose target does not read
	 * GATEWAY_WINDOW; one whose client does not, GATEWAY_QUEUE.
	 */
	RELAYS_MAX = 128,
	/* From the first byte for a target that has gone altogether: what it said last gets through; ours. */
	RELAY_LINGER_MS = 3000,
};

struct relays;

struct relays_config {
	struct loop *loop;
	struct keeper *keeper;  /* borrowed, as all of this */
	const char *ssh_socket; /* a path, or "@name"; NULL: there is no sshd */
	struct ocsf *events;
};

struct relays *relays_new(const struct relays_config *config);
/* Ends them all; before the keeper and the loop. Takes NULL. */
void relays_free(struct relays *r);

/* How the answer to a RelayOpen reaches the gateway: error is NULL when the target is connected. */
typedef void relay_answer_fn(void *owner, const char *channel_id, const char *error);

/* Opens one for the session that has this link. One that is open already under that id is left as it is: a gateway
 * repeats what nobody has claimed. answer is called once, perhaps at once, but not after relays_drop. */
void relay_open(struct relays *r, struct gateway_link *link, const Openshell__V1__RelayOpen *what,
		relay_answer_fn *answer, void *owner);
/* The gateway does not want it any more. One whose bytes flow ends with its call, and by itself. */
void relay_close(struct relays *r, const char *channel_id, const char *reason);
/* The link is about to go: ends those that ride on it, which are all. */
void relays_drop(struct relays *r);

/* Takes no new ones; idle is called, from the loop, once those that are open have ended. */
void relays_finish(struct relays *r, void (*idle)(void *owner), void *owner);
/* The keeper is about to be freed: what it was asked for is refused, as is what comes. Takes NULL. */
void relays_keeper_goes(struct relays *r);

#endif
