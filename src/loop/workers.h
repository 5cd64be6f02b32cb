/*
 * Work that blocks, done beside the loop by threads of its own: a name is looked up, a file is read. It
 * begins and ends in the loop; what lies between touches nothing but the work itself. Threads are started
 * as they are needed and stay. How much work may wait is for the owner to say.
 *
 *	          workers_start        thread                    the loop
 *	 (owner's) ----------> waiting ------> run() --> finished --------> done()
 *	                          |                         |
 *	                          +------ workers_free -----+------------> drop()
 */
#ifndef OPENSHELL_LOOP_WORKERS_H
#define OPENSHELL_LOOP_WORKERS_H

#include "loop/loop.h"

struct workers;
struct workers_shared;

/* A piece of work; embedded in what it is about. From workers_start until done or drop it is the workers'. */
struct work {
	void (*run)(struct work *w); /* in a thread */
	void (*done)(
		struct work *w); /* from the loop, once it was run; may free w and the workers */
	/* Instead of done, run or not, once the workers are freed: releases it. In any thread. */
	void (*drop)(struct work *w);
	struct list link;              /* the workers' */
	struct workers_shared *shared; /* the same */
};

/* With max threads at most; name says whose they are (borrowed). */
int workers_new(struct workers **out, struct loop *l, unsigned max, const char *name,
		struct err *e);
/* Waits for no thread: what is under way ends by itself, and is dropped. Takes NULL. */
void workers_free(struct workers *w);

/* Has it done. Fails when there is no thread at all and none can be started. */
int workers_start(struct workers *w, struct work *work, struct err *e);

/* For a run that is long: whether it is for nobody any more. */
bool work_is_unwanted(const struct work *work);

#endif
