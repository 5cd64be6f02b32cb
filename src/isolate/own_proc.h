/*
 * A /proc of the sandbox's own PID namespace, as a mount that is not yet anywhere; and the mounts that whoever
 * made the container has put over parts of the old /proc (masks, parts that are read-only), each cloned, for they
 * have to lie over the new one too. Made by pid_space.c, put in its place by view.c.
 */
#ifndef OPENSHELL_ISOLATE_OWN_PROC_H
#define OPENSHELL_ISOLATE_OWN_PROC_H

#include <stddef.h>

#include "base/err.h"

enum { OWN_PROC_MASKS_MAX = 64 }; /* a container engine makes some 16 */

struct own_proc {
	int mount; /* detached; -1: there is none */
	struct own_proc_mask {
		char *path; /* below /proc, without a slash before it: "sys", "scsi" */
		int mount;  /* detached, with what is mounted over it */
	} masks[OWN_PROC_MASKS_MAX];
	size_t n_masks;
};

#define OWN_PROC_NONE ((struct own_proc){.mount = -1})

/* Makes the mount, of the PID namespace that the caller is in, with the rights that the old /proc has: the
 * descriptor, or -1. Where the old one is masked the kernel refuses it to a user namespace (EPERM). */
int own_proc_mount(struct err *e);

/* Clones the masks of the old /proc, as the caller's mount namespace has them, which must be its own. */
int own_proc_clone_masks(struct own_proc *p, struct err *e);

/* Puts it on a folder of the calling process's own mount namespace (at; relative to the working directory, where it
 * is), with the masks over it. For once: p's mounts are used up by it. On failure the folder is as it was. */
int own_proc_put(const struct own_proc *p, const char *at, struct err *e);

/* Closes what it holds. */
void own_proc_fini(struct own_proc *p);

#endif
