/*
 * What a view (view.h) is made of: found out by looking at the folders above what is given, and written down as a
 * tree of names and a list of binds. It changes nothing, and opens no file: only those folders are listed. Called by
 * view.c, which then makes all of it.
 *
 * A path is resolved as Landlock's rule for it was (landlock.c): name by name; over links, where it is for reading.
 */
#ifndef OPENSHELL_ISOLATE_VIEW_PLAN_H
#define OPENSHELL_ISOLATE_VIEW_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "isolate/landlock.h"
#include "isolate/view.h"

enum {
	VIEW_CLOSED_MAX = 4096, /* names besides; the others are not there at all */
	VIEW_MADE_MAX = 4096,   /* folders above what is given, and links */
	VIEW_DEPTH_MAX = 64,    /* of folders above one that is given */
	VIEW_LINKS_MAX = 40,    /* on the way of a path, as the kernel has it */
	VIEW_TEXT_MAX = 4 << 20 /* bytes of all names */
};

enum view_kind {
	VIEW_FOLDER, /* above something that is given: made, and has only what the tree says */
	VIEW_LINK,
	VIEW_GIVEN_FOLDER, /* bound, with all that is in it */
	VIEW_GIVEN_FILE,
	VIEW_CLOSED_FOLDER, /* a name beside them: there, and shut */
	VIEW_CLOSED_FILE,
};

struct view_node {
	struct view_node *next;  /* in the same folder, NULL: the last */
	struct view_node *first; /* of what is in a VIEW_FOLDER */
	enum view_kind kind;
	const char *name;
	const char *target; /* of a VIEW_LINK */
};

enum view_access {
	VIEW_READ,
	VIEW_WRITE,
	VIEW_LOOK, /* names and whose they are, and nothing else */
};

struct view_bind {
	const char *path; /* below the root, without a link in it nor a slash before it */
	enum view_access access;
};

struct view_plan {
	bool all; /* the root itself is given: there is nothing to hide */
	struct view_node root;
	/* What is around another comes before it; below one for reading there are those for writing, which matter
	 * where nothing but mounts tells the two apart. */
	struct view_bind binds[LANDLOCK_PATHS_MAX + 1];
	size_t n_binds;
	struct arena arena; /* of all that is in here */
};

/* Looks below root, an O_PATH descriptor (borrowed). Fails on what cannot be looked at, and on too much. *out is
 * released by view_plan_fini, also on failure. */
int view_plan(struct view_plan *out, const struct view *v, int root, struct err *e);
void view_plan_fini(struct view_plan *p);

#endif
