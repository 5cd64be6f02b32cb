/*
 * The workloads of a keeper: a table of all that are asked for or alive. Included by
 * src/isolate/keeper_inside.c, keeper_workload.c and their tests only.
 *
 *	free --> ASKED --pid--> STARTING --end of file--> RUNNING --reaped--> told, free
 *	           |                |
 *	           |                +--error--> FAILED (told; its end is told to nobody) --reaped--> free
 *	           +--end of file: ordered again, some times
 *	           +--too late, or too often: told, free
 */
#ifndef OPENSHELL_ISOLATE_KEEPER_WORKLOAD_H
#define OPENSHELL_ISOLATE_KEEPER_WORKLOAD_H

#include <poll.h>

#include "isolate/keeper_impl.h"
#include "isolate/nursery.h"

enum {
	WORKLOAD_ASKED_MS = 5000, /* from an order to the clone, which takes less than one */
	WORKLOAD_ATTEMPTS = 3,
};

enum workload_state {
	WORKLOAD_FREE,
	WORKLOAD_ASKED,    /* the nursery has the order; no pid yet */
	WORKLOAD_STARTING, /* it is there, and before its exec */
	WORKLOAD_RUNNING,
	WORKLOAD_FAILED,
};

struct workload {
	enum workload_state state;
	bool cancelled; /* it is killed as soon as it is there, and nobody is told */
	uint32_t id;    /* of the request */
	pid_t pid;
	int report; /* our end of its channel, while ASKED or STARTING */
	/* while ASKED: the order, which is given again when a nursery dies over it */
	struct fdpass order;
	struct keeper_kind kind;
	unsigned attempts;
	int64_t deadline;
};

struct workloads {
	struct workload all[KEEPER_WORKLOADS_MAX];
	unsigned asked, starting; /* how many there are of these states */
	struct nursery nursery;
	const struct keeper_config *config;
	uid_t as; /* for keeper_kill */
	int channel;
	/* Called when one has ended, before that is told: what it did is told first. False: it need not be told. */
	bool (*before_end)(void *owner);
	void *owner;
};

/* How many descriptors workloads_poll may ask for. */
enum { WORKLOADS_POLL_MAX = KEEPER_CALLS_MAX + 1 };

/* Makes the nursery too. *w is zeroed; c is borrowed for good. */
int workloads_init(struct workloads *w, const struct keeper_config *c, uid_t as, int channel,
		   struct confine_result *out, struct err *e);

/* Starts one; what becomes of it is told over the channel. Takes the descriptors. */
void workload_spawn(struct workloads *w, const struct keeper_packet *p, struct fdpass *fds);
/* Kills the one of that request. */
void workload_cancel(struct workloads *w, uint32_t id);
void workload_signal(struct workloads *w, pid_t pid, int signo);

/* What to wait for: appends to p, shortens *ms. */
size_t workloads_poll(const struct workloads *w, struct pollfd *p, int *ms);
/* Looks at all that may have happened: reports, what has ended, what is too late. Whether to look again
 * without waiting. */
bool workloads_look(struct workloads *w);
/* Kills those that there are, with their groups. */
void workloads_kill(struct workloads *w);

/* Tells the supervisor, and waits until there is room: nothing else is to do for one that does not read,
 * and its end ends the wait. */
void keeper_tell(int channel, const struct keeper_packet *p, int fd);
void keeper_tell_failure(int channel, uint32_t id, const struct err *why);

#endif
