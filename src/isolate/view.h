/*
 * The view: what of the file system is there for a sandbox's processes at all, in a mount namespace of their own:
 * what the policy gives, and nothing else. Landlock (landlock.h) decides what may be done with it; the view takes
 * away what Landlock does not know: that something exists, its mode, times, and Unix sockets.
 *
 * Called by the keeper (keeper_inside.c), once, on its way in: it lives in the view too, and so must hold open what
 * it needs of outside. Best effort: a host may refuse it, which is told, and then all is to be seen as before.
 */
#ifndef OPENSHELL_ISOLATE_VIEW_H
#define OPENSHELL_ISOLATE_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "isolate/own_proc.h"

struct view_path {
	const char *path; /* absolute, as in the policy */
	bool write;
};

/* The code of why there is none: the policy gives the root itself, and there is nothing to hide. */
enum { VIEW_OF_ALL = -1 };

/* What is shown. Borrowed, all of it. */
struct view {
	const struct view_path
		*paths; /* those that Landlock has rules for; without it, those of the policy */
	size_t n;
	const char *workdir; /* or NULL */
	bool enforced;       /* Landlock is in force for them */
};

/* Leaves for a mount namespace of the caller's own, a copy of the one that it is in. What is mounted outside later
 * comes in, nothing goes out. Makes / the working directory. Needs CAP_SYS_ADMIN in the caller's user namespace. */
int view_leave(struct err *e);

/*
 * After view_leave: makes v (NULL: everything) all that is there, for good, with own (NULL: none) as its /proc.
 *
 * Fails only when own could not be put in its place; all is as it was then. When *shown has a code, everything is
 * still to be seen, for that reason; own, however, is in its place.
 */
int view_enter(const struct view *v, const struct own_proc *own, struct err *shown, struct err *e);

#endif
