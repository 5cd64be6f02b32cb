/*
 * The file system of a sandbox as its policy wants it: which paths count, and that folders it may write
 * are there. Called while the supervisor still has its rights, before anything is forked.
 */
#ifndef OPENSHELL_SUPERVISOR_FILES_H
#define OPENSHELL_SUPERVISOR_FILES_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "isolate/baseline.h"
#include "policy/policy.h"

/* The policy's paths, the working directory where the policy includes it (workdir may be "" or NULL), and
 * the baseline; *added is how many of those the baseline brought. The texts are borrowed from all three.
 * Fails when they are too many. */
int files_paths(const struct policy *policy, const char *workdir, struct sandbox_paths *out,
		size_t *added, struct err *e);

/* Makes the folder at path with all that is missing above it, each 0755 and given to uid:gid; what is
 * there already, folder or not, stays as it is. No link is followed: ELOOP. *made says whether anything
 * was made. */
int files_make_folder(const char *path, uid_t uid, gid_t gid, bool *made, struct err *e);

/* The folder at path, made with what is missing above it, and not what is in it, is theirs, and they may write in it
 * (supervisor contract 1.9, 3.9: the workspace of Docker and Podman). No link is followed. */
int files_give_folder(const char *path, uid_t uid, gid_t gid, struct err *e);

/* Gives a folder of the image and everything in it to uid:gid (supervisor contract 4.9), without following
 * links or leaving its file system. What has several names is left alone, since one of them may be
 * elsewhere. Nothing is done where the folder itself is theirs already. *given counts what was given. */
int files_give(const char *path, uid_t uid, gid_t gid, size_t *given, struct err *e);

#endif
