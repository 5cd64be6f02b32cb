/*
 * Who a sandbox's processes are: from what the driver, the image and the policy say to the numbers that
 * the kernel is told. Pure: the image's files are given as text (accounts.h reads them). confine.h makes a
 * process be it.
 *
 * Who decides (supervisor contract 1.3, 4.9), the first that says anything:
 *
 *   the driver   OPENSHELL_SANDBOX_UID and _GID: numbers, both or neither
 *   the image    OPENSHELL_OCI_IMAGE_USER: USER[:GROUP], each a name or a number
 *   the policy   run_as_user, run_as_group: "sandbox" or a number; each is "sandbox" when it is absent
 *
 * Nobody is ever root: uid 0 is refused whoever says so. Group 0 is refused where the driver or the policy
 * say so, and taken where an image does (many have it for their user); an image that names a number and no
 * group gives the group of that number, not root's as container engines do.
 *
 * The supplementary groups are always set, to none where none are known: what a container's first process
 * was given (root's, or a volume's) is not the sandbox's.
 */
#ifndef OPENSHELL_ISOLATE_IDENTITY_H
#define OPENSHELL_ISOLATE_IDENTITY_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

enum {
	IDENTITY_GROUPS_MAX = 64,
	IDENTITY_TEXT_MAX = 256, /* bytes of a name, with its NUL */
	IDENTITY_PATH_MAX = 1025,
};

struct identity_source {
	const char *uid, *gid;                  /* of the driver; NULL or "": not said */
	const char *oci_user;                   /* of the image; the same */
	const char *run_as_user, *run_as_group; /* of the policy; the same */
	struct str passwd, group;               /* the image's files */
};

struct identity {
	uid_t uid;
	gid_t gid;
	gid_t groups[IDENTITY_GROUPS_MAX]; /* supplementary, without gid */
	size_t n_groups;
	/* of the image's /etc/passwd, "" when it has no entry, or one that cannot be an environment's */
	char name[IDENTITY_TEXT_MAX];
	char home[IDENTITY_PATH_MAX];
};

/* Fails on what contradicts itself, names what the image does not have, or is root. */
int identity_resolve(const struct identity_source *from, struct identity *out, struct err *e);

#endif
