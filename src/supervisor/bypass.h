/*
 * What went round the proxy and was refused (supervisor contract 4.3), told with the program that did it,
 * as far as anybody still knows: asking takes a moment, in which the program may be gone. A connection's socket
 * would be gone in any case, so that the keeper lets it wait for the answer where it can (detours.h).
 */
#ifndef OPENSHELL_SUPERVISOR_BYPASS_H
#define OPENSHELL_SUPERVISOR_BYPASS_H

#include "base/list.h"
#include "isolate/keeper.h"
#include "ocsf/ocsf.h"
#include "proxy/callers.h"

enum { BYPASS_ASKING_MAX = 32 }; /* whose program is being looked for; others are told without */

struct bypasses {
	struct ocsf *events;
	struct callers *callers;
	struct keeper *keeper; /* which holds some of them back until they are told */
	struct list asking;
	unsigned n;
	bool found; /* the finding is told once */
};

void bypasses_init(struct bypasses *b, struct ocsf *events, struct callers *callers,
		   struct keeper *keeper);
/* Those whose program is still looked for are told without. Harmless when it was never begun. */
void bypasses_fini(struct bypasses *b);

void bypasses_add(struct bypasses *b, const struct bypass *what);
/* So many more, of which nothing is known. */
void bypasses_lost(struct bypasses *b, uint64_t n);

#endif
