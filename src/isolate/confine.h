/*
 * The last steps of a sandbox's process before it becomes the workload: what makes it somebody without any
 * right. All is prepared beforehand (identity.h, landlock.h, seccomp.h); here are only system calls, so
 * that it is safe between fork and exec. In this order, and each step says what it takes away:
 *
 *   groups      the supplementary groups of the container's first process
 *   bounding    capabilities that a file could give back
 *   gid, uid    the identity, all of real, effective and saved
 *   caps        ambient, inheritable, permitted, effective: all of them
 *   root        nothing: makes sure that the way back is closed
 *   dumpable    core files; and, until the exec, /proc/PID of a process that still has the supervisor's
 *               memory (an exec makes it dumpable again, with the workload's memory)
 *   privs       no_new_privs: setuid programs, file capabilities
 *   files       descriptors: all but the first three are closed by the exec
 *   landlock    files, and signals and abstract sockets outside
 *   seccomp     calls
 *
 * A step that cannot be done is a failure, and the caller must not exec; but for two that an unprivileged
 * host cannot do, and that are told instead:
 *
 *   lost_groups    setgroups is refused in a user namespace that an unprivileged process made: the groups
 *                  stay. Only where the process already is who it shall be, else it is a failure.
 *   lost_bounding  the bounding set stays, as in rootless Podman: without effect, since no_new_privs
 *                  already keeps an exec from adding capabilities (the unit test proves it).
 *
 * The caller sets what belongs to a session: setsid, terminal, working directory, signals, and
 * PR_SET_PDEATHSIG, which must come after this, since a change of identity clears it.
 */
#ifndef OPENSHELL_ISOLATE_CONFINE_H
#define OPENSHELL_ISOLATE_CONFINE_H

#include <stdbool.h>
#include <stddef.h>

#include "isolate/identity.h"
#include "isolate/seccomp.h"

struct confine {
	const struct identity *identity;     /* NULL: remain who we are, without groups */
	int landlock_fd;                     /* a ruleset, or -1 */
	const struct seccomp_filter *filter; /* or NULL */
};

enum confine_step {
	CONFINE_GROUPS,
	CONFINE_BOUNDING,
	CONFINE_GID,
	CONFINE_UID,
	CONFINE_CAPS,
	CONFINE_ROOT,
	CONFINE_DUMPABLE,
	CONFINE_PRIVS,
	CONFINE_FILES,
	CONFINE_LANDLOCK,
	CONFINE_SECCOMP,
	CONFINE_STEP_COUNT,
};

/* What the step does, in words: "set the groups", … Static text. */
const char *confine_step_name(enum confine_step step);

/* Small enough to go to the parent through a pipe in one piece. */
struct confine_result {
	enum confine_step failed; /* when confine_self fails … */
	int error;                /* … its errno */
	int lost_groups;          /* errno, or 0: not lost */
	int lost_bounding;
};

/* Confines the calling process, which must have no other thread. 0, or -1 with *out saying why. */
int confine_self(const struct confine *c, struct confine_result *out);

/*
 * The environment of a sandbox's process: copies to *to those pointers of the NULL-terminated list from
 * that a sandbox may see (supervisor contract 1.3), and a NULL. Room for max pointers; false when that is
 * not enough. The strings are borrowed.
 */
bool confine_environment(char *const *from, char **to, size_t max);

#endif
