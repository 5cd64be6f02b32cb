/* The supervisor's side of the keeper. Included by src/isolate/keeper.c and keeper_start.c only. */
#ifndef OPENSHELL_ISOLATE_KEEPER_OWN_H
#define OPENSHELL_ISOLATE_KEEPER_OWN_H

#include "isolate/keeper_impl.h"

struct keeper {
	pid_t pid; /* 0: it is gone */
	int channel;
	uid_t as;     /* whom workloads are, for keeper_kill */
	pid_t spared; /* keeper_spare; 0: nobody */
	uint32_t last_id;
	struct list calls; /* struct keeper_call, those under way */
	unsigned n_calls;
	struct loop *loop; /* NULL: not attached */
	struct source source;
	const struct keeper_events *events;
	void *owner;
};

/* Closes the channel, on which the keeper kills all and ends; waits for that, and sees to it where the
 * keeper does not. Its status as by waitpid, unless somebody else has reaped it. */
enum { KEEPER_STATUS_UNKNOWN = -1 };
int keeper_bury(struct keeper *k);

#endif
