/*
 * The climb itself, which a trial (ladder.c) and the keeper have in common: what is probed is what is
 * done. Included by src/isolate/ladder.c, keeper*.c and their tests only.
 */
#ifndef OPENSHELL_ISOLATE_LADDER_IMPL_H
#define OPENSHELL_ISOLATE_LADDER_IMPL_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

#include "isolate/identity.h"
#include "isolate/ladder.h"

/*
 * The two sides talk over a SOCK_SEQPACKET pair:
 *
 *	inside   enters the namespaces
 *	inside   -> enum rung_word: please map (RUNG_USERNS with an identity to take)
 *	outside  -> enum rung_word: mapped, or not
 *	inside   sets them up, listens
 *	inside   -> struct rung_listening and the listening socket
 *	inside   connects to it
 *	outside  accepts, sends a byte
 *	inside   tries to go round, which must fail
 *	inside   -> struct rung_report, the last word, also of whatever failed before
 */
enum rung_word { RUNG_MAP = 'm', RUNG_MAPPED = 'y', RUNG_UNMAPPED = 'n' };

struct rung_listening {
	struct sockaddr_in at;
};

struct rung_climber {
	enum rung rung;
	uint16_t port;                   /* the listener's; 0: any */
	const struct identity *identity; /* that the namespaces shall know; NULL: ours */
};

enum {
	RUNG_STEP_MS = 3000, /* for what takes microseconds when it works */
	RUNG_CLIMB_MS = 10000,
};

/* Inside: enters the rung's namespaces, for good, and proves it. The report is not sent yet: the caller
 * does that. */
void rung_climb(const struct rung_climber *c, int channel, struct rung_report *out);

/* Outside, with pid inside: until the report is there, or RUNG_CLIMB_MS passed without a word. The listener
 * is the caller's, -1 when there is none. */
void rung_watch(const struct rung_climber *c, pid_t pid, int channel, struct rung_report *out,
		struct rung_listening *listening, int *listener);

/* Maps our own uid into the user namespace we have just made, and then our gid. It is refused to some (uid 0
 * without CAP_SETFCAP), and not needed: the kernel knows who we are all the same, and the capabilities in
 * the new namespace stay until an exec. */
bool rung_map_self(uid_t uid, gid_t gid);

/* Maps an identity into the user namespace that our child has just made, and ourselves beside it where
 * that is not refused. Needs CAP_SETUID and CAP_SETGID. */
bool rung_map_identity(pid_t child, const struct identity *id);

#endif
