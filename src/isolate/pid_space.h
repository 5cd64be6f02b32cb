/*
 * The sandbox's own PID namespace. Its processes see their own kind alone, in a /proc of their own, and have no number
 * for anybody outside. Made by the keeper (keeper_inside.c) on its way in, for good, and by a trial (ladder.c); it
 * goes together with the view (view.h), in whose mount namespace that /proc is.
 *
 *	keeper ----- init      the first process in there: takes orphans, and does nothing else
 *	  |
 *	  +--------- nursery, workloads: born inside as the keeper's children, for whom this is set (setns(2))
 *
 * Init is confined as the workloads are, but in a Landlock domain of its own, so that they cannot signal it; nor would
 * the kernel let a signal through to it that comes from inside. Whoever kills it from outside, as the kernel may when
 * memory runs out, kills all that is inside: that is the kernel's rule, and the keeper's end, too. And when the keeper ends,
 * init does.
 *
 * The keeper remains outside. All it knows and tells of pids are outer ones (nursery.h says how it comes by them).
 *
 * Best effort: a host may refuse it, by its seccomp profile, or since its own /proc is masked, which the kernel does
 * not let a user namespace undo. That is said, and the sandbox is among the host's processes, as it is in its files.
 */
#ifndef OPENSHELL_ISOLATE_PID_SPACE_H
#define OPENSHELL_ISOLATE_PID_SPACE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "isolate/confine.h"
#include "isolate/view.h"

struct pid_space {
	pid_t init;  /* as seen by the keeper; 0: there is none, and no namespace */
	int channel; /* to init: closed by its end, before the kernel ends any other; -1 */
};

#define PID_SPACE_NONE ((struct pid_space){.channel = -1})

/*
 * Enters a mount namespace, makes init, which is to become c, and the view of v (view_enter) with a /proc of the new
 * namespace, for which c's ruleset gets the rules that v's paths in /proc say. All that the caller forks from
 * then on is born in the namespace. The caller must have no thread and no child whose end it does not expect.
 *
 * *why has a code when there is no such namespace, *shown when there is no view; code 0 when there is. Fails only where
 * something is half done and cannot be undone.
 */
int pid_space_enter(struct pid_space *s, const struct confine *c, const struct view *v,
		    struct err *why, struct err *shown, struct err *e);

/* Waits until init is confined, a moment that it spends anyway. */
int pid_space_settle(struct pid_space *s, struct err *e);

/* Whether init, and all inside with it, has ended, or is about to. */
bool pid_space_is_over(const struct pid_space *s);

/* Kills init, and the kernel all the others. Whoever reaps finds them. Harmless when there is none. */
void pid_space_end(struct pid_space *s, uid_t as);

#endif
