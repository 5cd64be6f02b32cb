/*
 * One process of the sandbox, looked at through one descriptor of its /proc folder, opened once: such a
 * descriptor is of that process for ever, so that what is read through it is never mixed with what
 * another process of the same number says later. What may change while it is read (its image by exec,
 * its parent) is read around what hangs on it and read again.
 *
 * Its image's path is what the kernel says of it in the sandbox's mount namespace, in which a path leads to what it
 * leads to in ours, or nowhere; a process in another one could have any file at any path and is refused. Used by callers.c and owners.c.
 */
#ifndef OPENSHELL_PROXY_PROCESS_H
#define OPENSHELL_PROXY_PROCESS_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/list.h"
#include "proxy/procfs.h"

enum {
	PROCESS_PATHS_MAX = 32,         /* absolute paths of its arguments that are remembered */
	PROCESS_CMDLINE_MAX = 16 << 10, /* bytes of its arguments that are looked at */
};

struct process {
	struct list link; /* of those that a search has found: owners.c's */
	pid_t pid;
	int dir; /* /proc/PID */
	int view; /* the same, or the folder of a thread that lives on when the first one has ended */
	struct proc_stat stat;
	/* from here on: by process_look */
	bool looked;
	char *exe;         /* its image's path; any bytes but NUL */
	struct stat image; /* its image's file */
	char *paths[PROCESS_PATHS_MAX];
	size_t paths_n;
};

/* Reads a whole small file of a /proc folder into text, at most size bytes; -1 with errno. */
ssize_t process_read(int dir, const char *name, char *text, size_t size);
/* The stat of the process whose folder this is; -1 with errno ESRCH when it is gone. */
int process_read_stat(int dir, struct proc_stat *out);
/* It has ended, and none of its threads is left. */
bool process_is_dead(const struct proc_stat *s);

/* By its number, or by a folder (taken, also on failure) that somebody opened, with the stat read
 * through it. NULL with *e when it may not be looked at or, e->code == ESRCH, is gone. */
struct process *process_open(pid_t pid, struct err *e);
struct process *process_adopt(int dir, const struct proc_stat *s, struct err *e);
void process_free(struct process *p);

/* Reads what is read once; mounts is the number of the mount namespace that it must be in (that of /proc/PID/ns/mnt), 0:
 * ours. -1 with *e: e->code is ESRCH when it is gone, EAGAIN when it became another
 * program while it was looked at. */
int process_look(struct process *p, uint64_t mounts, struct err *e);

/* Its effective uid. */
int process_uid(const struct process *p, uid_t *out, struct err *e);

/* Reads its stat again: whether it lives and still has this parent. */
bool process_is_child_of(struct process *p, const struct process *parent);

/* Opens its image for reading, as it runs, whatever is at its path by now; close-on-exec. */
int process_open_image(const struct process *p, struct err *e);

/* "process 7: exe: Permission denied (this needs CAP_SYS_PTRACE)"; returns -1. */
int process_err(struct err *e, pid_t pid, const char *what);

#endif
