/*
 * Landlock: which files a sandbox may touch, enforced by the kernel on every rung of the ladder, for
 * which no capability is needed. A ruleset is built by the supervisor, while it still may open what
 * the policy names, and is put on by the child between fork and exec (confine.h does that).
 *
 * Everything that the kernel's Landlock can restrict is restricted, and a path of the policy gives
 * rights back (supervisor contract 4.8):
 *
 *   read-only    read, execute, list; connect to the Unix sockets there
 *   read-write   all of that; write, truncate, make, remove, link, rename, ioctl on devices
 *
 * TCP and UDP ports are left alone: where egress may go is the network modes' subject (ladder.h), and
 * a sandbox may serve on its own loopback.
 *
 * What Landlock of a given kernel cannot do is told (landlock_missing), never passed over in silence.
 * It never reaches backwards: files that are open already stay usable, so a child must be given no
 * others (confine.h closes them).
 */
#ifndef OPENSHELL_ISOLATE_LANDLOCK_H
#define OPENSHELL_ISOLATE_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	/* The newest ABI whose rights are known here; a newer kernel is asked for these. */
	LANDLOCK_ABI_KNOWN = 9,
	/* What hard_requirement takes at least: the peers' set of rights (supervisor contract 4.8). */
	LANDLOCK_ABI_HARD = 2,
	/* Paths in both lists: a policy's 256 (supervisor contract 5.3), the baseline, and room. */
	LANDLOCK_PATHS_MAX = 640,
};

enum landlock_mode {
	LANDLOCK_BEST_EFFORT,
	LANDLOCK_HARD_REQUIREMENT,
};

/* "best_effort" (also an empty text and NULL: the default) or "hard_requirement". */
int landlock_mode_parse(const char *text, enum landlock_mode *out, struct err *e);

struct landlock_policy {
	const char *const *read_only; /* absolute paths; borrowed for the call */
	size_t n_read_only;
	const char *const *read_write;
	size_t n_read_write;
	enum landlock_mode mode;
	/* Also no signals to, and no abstract Unix sockets of, processes outside (ABI 6). Each
	 * landlock_restrict makes a domain of its own, and two of them cannot signal each other:
	 * sessions of one sandbox that shall, must inherit the domain of a common ancestor. */
	bool scoped;
};

/* What became of a path of the policy. */
enum landlock_result {
	LANDLOCK_APPLIED,
	LANDLOCK_MISSING, /* it does not exist: there is nothing to give */
	LANDLOCK_SYMLINK, /* read-write, and it leads over a link: what it leads to is not given */
	LANDLOCK_INACCESSIBLE, /* it could not be opened, or the kernel took no rule for it: error */
	LANDLOCK_RESULT_COUNT,
};

/* "applied", "missing", "symlink", "inaccessible". */
const char *landlock_result_name(enum landlock_result r);

struct landlock_path {
	const char *path; /* as in the policy */
	bool write;
	enum landlock_result result;
	int error; /* errno of SYMLINK and INACCESSIBLE, else 0 */
};

/* Called once for each path of the policy, read-only ones first. */
typedef void landlock_path_fn(void *arg, const struct landlock_path *path);

enum landlock_state {
	LANDLOCK_READY,       /* fd holds the ruleset */
	LANDLOCK_NO_PATHS,    /* the policy names none: nothing to enforce */
	LANDLOCK_UNAVAILABLE, /* best_effort, and nothing will be enforced: why says why */
};

struct landlock {
	enum landlock_state state;
	int abi; /* the kernel's, 0: none */
	int fd;  /* the ruleset (close-on-exec), the caller's; -1 unless READY */
	size_t applied;
	struct err why; /* when UNAVAILABLE */
};

#define LANDLOCK_NONE ((struct landlock){.state = LANDLOCK_NO_PATHS, .fd = -1})

/* The kernel's ABI, from 1; or -1 with errno: ENOSYS (not built in, or hidden by a seccomp profile),
 * EOPNOTSUPP (not enabled at boot), EPERM (refused by a profile). */
int landlock_abi(void);

/*
 * Builds the ruleset. each (which may be NULL) hears of every path that was tried.
 *
 * best_effort:       a path that cannot be given is left out; no Landlock, or no usable path at all,
 *                    gives LANDLOCK_UNAVAILABLE.
 * hard_requirement:  both are errors, as is an ABI below LANDLOCK_ABI_HARD. A missing path is not.
 *
 * Fails also, in either mode, on a policy with a path that is not absolute, or with too many.
 */
int landlock_build(const struct landlock_policy *policy, landlock_path_fn *each, void *arg,
		   struct landlock *out, struct err *e);
/* Gives the rights of a path of the policy to another file (O_PATH will do) as well: one that has come to take its place.
 * 0, or -1 with errno. */
int landlock_give(int ruleset_fd, int fd, bool write);
/* Closes the ruleset. */
void landlock_fini(struct landlock *l);

/* Puts the ruleset on the calling thread, for good, with no_new_privs, which it needs. Safe between
 * fork and exec. 0, or -1 with errno. */
int landlock_restrict(int ruleset_fd);

/* Puts a ruleset without any path on the calling thread, for good: no file can be opened any more, and nobody outside be
 * signalled (ABI 6). As landlock_abi where there is no Landlock. */
int landlock_restrict_all(void);

/* The names of what Landlock of this ABI cannot restrict although a newer one can ("truncate",
 * "ioctl_dev", …), oldest first. Static text; the number of names, at most max. With ABI 0 all is
 * missing, and the one name is "everything". */
size_t landlock_missing(int abi, const char **names, size_t max);

#endif
