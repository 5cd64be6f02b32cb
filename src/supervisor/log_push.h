/*
 * The log as the gateway has it (`openshell logs`): what is written to the log is sent on, by one call that stays
 * open (supervisor contract 2.7, gateway contract 4.4). What the supervisor tells before it has a loop is kept, and
 * goes first. Nothing here waits or fails: what a gateway does not take in time is lost there, which is said once,
 * and is in the log's own files all the same. What is said here about pushing is not pushed.
 *
 * An event goes as level and target "OCSF" and "ocsf", with its shorthand; a line with its own, and its fields in the
 * message. Called by uplink.c.
 */
#ifndef OPENSHELL_SUPERVISOR_LOG_PUSH_H
#define OPENSHELL_SUPERVISOR_LOG_PUSH_H

#include "ocsf/ocsf.h"
#include "supervisor/gateway.h"

enum {
	LOG_PUSH_QUEUE = 1024, /* lines (contract 2.7); the newest go when there are more */
	LOG_PUSH_AWAY = 200,   /* … while the gateway does not take them */
	LOG_PUSH_BATCH = 50,
	LOG_PUSH_BATCH_MS = 500,
	LOG_PUSH_PAUSE_MIN_MS = 1000,
	LOG_PUSH_PAUSE_MAX_MS = 30000,
	LOG_PUSH_FINISH_MS = 1500, /* ours: for the last lines */
	/* Of the token, and then it is not tried again (contract 2.7, where the first is the last). Ours: a machine
	 * that slept, or a gateway that was away, for longer than the token's life gets here before the renewal. */
	LOG_PUSH_REFUSALS = 5,
};

struct log_push;

struct log_push_config {
	struct loop *loop;
	struct resolver *resolver;
	const struct gateway *gateway; /* all borrowed until log_push_free */
	const char *sandbox_id;
};

/* Keeps from now on what events tells (borrowed until log_push_free) that is of this level or more important; of
 * an event its severity counts. */
struct log_push *log_push_new(struct ocsf *events, enum log_level level);
/* Begins to send. */
void log_push_start(struct log_push *p, const struct log_push_config *config);
/* Sends what there is and calls done from the loop once the gateway has it, at the latest after LOG_PUSH_FINISH_MS;
 * nothing more is kept. It must have been started. */
void log_push_finish(struct log_push *p, void (*done)(void *owner), void *owner);
/* Takes NULL. May be called from done. */
void log_push_free(struct log_push *p);

#endif
