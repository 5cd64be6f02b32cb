/*
 * The event loop: one epoll, one thread, one loop a process. File descriptors, timers, signals and
 * work for later are embedded in their owners and call back; a callback never blocks and never
 * frees its own owner (it asks loop_later for that).
 *
 * One turn: wait -> ready sources -> due timers (a bounded number) -> everything put off with
 * loop_later, including what that puts off, so that handlers may just append to a queue and have
 * it flushed once a turn.
 */
#ifndef OPENSHELL_LOOP_LOOP_H
#define OPENSHELL_LOOP_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/err.h"
#include "base/list.h"

struct loop;

/* A file descriptor that is watched. fd stays its owner's: loop_del does not close it. */
struct source {
	int fd;
	void (*ready)(struct source *s, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLHUP… */
	const char *name;                                 /* for the log */
	uint32_t events;                                  /* the loop's: what is waited for */
	bool added;                                       /* the loop's */
};

/* A point in time. Zeroed but for fire, it is stopped. */
struct timer {
	void (*fire)(struct timer *t);
	int64_t at;   /* the loop's: mono_ms */
	size_t place; /* the loop's: index in its heap + 1; 0 when stopped */
};

/* A thing to be done when this turn's events are through. Zeroed but for run, it is not queued. */
struct later {
	void (*run)(struct later *l);
	struct list link; /* the loop's */
	bool queued;      /* the loop's */
};

int loop_new(struct loop **out, struct err *e);
/* Does what was put off with loop_later, which is mostly the freeing of things, and releases the
 * loop. Sources and timers must be gone; takes NULL. */
void loop_free(struct loop *l);

/* Watches s->fd (which must be non-blocking) for events; s is borrowed until loop_del. */
int loop_add(struct loop *l, struct source *s, uint32_t events, struct err *e);
/* Changes what an added source waits for; 0 means errors and hang-up only. Costs nothing when
 * nothing changes. */
void loop_set(struct loop *l, struct source *s, uint32_t events);
/* Ends it: no event of this turn reaches it any more. Harmless when it was not added. */
void loop_del(struct loop *l, struct source *s);

/* Fires once, ms from now (0: this turn or the next). An armed timer is moved. */
void timer_set(struct loop *l, struct timer *t, int64_t ms);
void timer_stop(struct loop *l, struct timer *t);
static inline bool timer_armed(const struct timer *t)
{
	return t->place != 0;
}

/* Runs l->run once, at the end of this turn; a second call before that does nothing. */
void loop_later(struct loop *l, struct later *what);
void loop_later_cancel(struct later *what);

/* Calls fn(signo, arg) from the loop when the signal arrives; the signal is blocked for the whole
 * process from then on (children get the old mask back, see child.h). */
int loop_signal(struct loop *l, int signo, void (*fn)(int signo, void *arg), void *arg,
		struct err *e);

/* Runs until loop_stop; returns its status. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int status);

#endif
