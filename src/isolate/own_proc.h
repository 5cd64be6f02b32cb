/*
 * A /proc of the sandbox's own PID namespace, as a mount that is not yet anywhere; and the mounts that whoever
 * made the container has put over parts of the old /proc (masks, parts that are read-only), each cloned, for they
 * have to lie over the new one too. Made by pid_space.c, put in its place by view.c. Best effort: what fails is
 * said, and nothing is changed then.
 */
#ifndef OPENSHELL_ISOLATE_OWN_PROC_H
#define OPENSHELL_ISOLATE_OWN_PROC_H

#include <stddef.h>

#include "base/err.h"

enum { OWN_PROC_MASKS_MAX = 64 }; /* a container engine makes some 16 */

struct own_proc {
	int mount; /* detached; -1: there is none */
	struct own_proc_mask {
		char *path;          /* below /proc, without a slash before it: "sys", "scsi" */
		int mount;           /* detached */
	} masks[OWN_PROC_MASKS_MAX]; /* in the order they were mounted in */
	size_t n_masks;
};

/* Puts it on a folder of the calling process's own mount namespace (at; relative to the working directory, where it
 * is), with the masks over it. For once: p's mounts are used up by it. On failure the folder is as it was. */
int own_proc_put(const struct own_proc *p, const char *at, struct err *e);

#endif
