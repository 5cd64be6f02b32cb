/*
 * The workspace of a sandbox: a volume mounted over a folder of the image (/sandbox). Before the
 * supervisor drops anything it gives that volume to the sandbox and, once in the volume's life,
 * copies into it what the image has at that place, which the volume hides. So no init container is
 * needed, and no program of the image (driver/kubernetes/render.h has the contract).
 *
 * The volume is the sandbox's own and may hold anything: no link in it is followed, nothing in it is
 * overwritten, every step goes by one name below a folder that is held open.
 */
#ifndef OPENSHELL_SUPERVISOR_WORKSPACE_H
#define OPENSHELL_SUPERVISOR_WORKSPACE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* The sentinel of the peers' drivers, so that a volume outlives a change of driver. */
#define WORKSPACE_SENTINEL ".workspace-initialized"

struct workspace_copied {
	size_t files, folders, links;
	size_t skipped; /* devices, sockets, pipes, and what was there already */
};

/* Prepares the volume mounted at dir for uid:gid. *done says what was copied; all zero when it had
 * been prepared before. Where the image's own files cannot be seen (no CAP_SYS_ADMIN, a kernel
 * without open_tree) it returns 0 with *why filled: the workspace is usable, but not seeded. */
int workspace_prepare(const char *dir, uid_t uid, gid_t gid, struct workspace_copied *done,
		      struct err *why, struct err *e);

/* The copying alone: everything below the folder from into the folder to. */
int workspace_copy(int from, int to, uid_t uid, gid_t gid, struct workspace_copied *done,
		   struct err *e);

#endif
