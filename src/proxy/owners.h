/*
 * Which processes of a sandbox hold a socket: the descriptors of the keeper's descendants are gone
 * through once for any number of sockets. Descendants are found by /proc/PID/task/TID/children, which
 * costs nothing for the other processes of the machine. That list may miss a process when one of its
 * siblings ends meanwhile (proc(5)), so what is not found is sought again; a kernel that lacks it
 * (CONFIG_PROC_CHILDREN) has all its processes gone through instead, by their parents. Threads with a
 * table of descriptors of their own are looked into, too. A table is left once all are met in it, and gone
 * through from where sockets were found last, and else from its highest number down: what a program with a
 * thousand connections has just opened is found at once. Used by callers.c.
 */
#ifndef OPENSHELL_PROXY_OWNERS_H
#define OPENSHELL_PROXY_OWNERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/list.h"
#include "proxy/process.h"

enum {
	OWNERS_MAX = 32, /* processes that hold one socket */
	OWNERS_OPEN_MAX =
		256, /* processes that are kept open for one search, one descriptor each */
	SEARCH_LINKS_MAX = 65536, /* descriptors that are gone through, at 2 us each */
	SEARCH_PROCESSES_MAX =
		16384, /* of the sandbox; of the machine, where all are gone through */
	SEARCH_TRIES = 3,
};

/* The processes that a search opened: holders of sockets and, by callers.c, what is above them. */
struct process_set {
	struct list processes;
	size_t n;
};

void process_set_init(struct process_set *s);
void process_set_fini(struct process_set *s);
/* The process with this number, opened when it is not among them yet; NULL with *e as process_open. */
struct process *process_set_get(struct process_set *s, pid_t pid, struct err *e);

struct wanted {
	uint64_t inode;
	struct process *owners[OWNERS_MAX]; /* the set's */
	size_t n;
	bool met;       /* in the table that is gone through; owners.c's */
	struct err why; /* code != 0: the owners cannot be told, and why */
};

/*
 * Finds the owners of n sockets among the descendants of root. Where a process may not be looked into, no
 * socket's owners can be told (each wanted says so): it might be one of them. Not counted are the
 * keeper's own helpers, which never became another program (PROC_FORKED_ONLY). init (0: there is none), to whom
 * orphans fall, holds none: of it only the children are looked at. w is put into another order.
 */
void owners_find(struct process_set *s, pid_t root, pid_t init, struct wanted *w, size_t n);

#endif
