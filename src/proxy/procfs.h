/*
 * The texts of /proc/PID (proc(5)) taken apart. Pure functions of bytes: a process chooses its own name
 * and arguments, so nothing in them is believed, only passed on.
 */
#ifndef OPENSHELL_PROXY_PROCFS_H
#define OPENSHELL_PROXY_PROCFS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

enum {
	PROC_STAT_MAX = 1024,    /* bytes; 52 numbers and a name of 64 */
	PROC_FORKED_ONLY = 0x40, /* of flags: PF_FORKNOEXEC, it has never called execve */
};

struct proc_stat {
	pid_t pid, ppid;
	char state; /* 'R', 'S', …; 'Z' and 'X': it is dead */
	uint32_t flags;
	uint64_t threads;
	uint64_t started; /* clock ticks from boot */
};

/* /proc/PID/stat. False when it is none. The name stands in parentheses and may hold any characters, also
 * ") R 1 (": what follows it begins behind the last parenthesis. */
bool proc_parse_stat(struct str text, struct proc_stat *out);

/* Cuts the next number off /proc/PID/task/TID/children. False at the end, and at what is none. */
bool proc_next_child(struct str *rest, pid_t *out);

/* The inode of what a link in /proc/PID/fd says, "socket:[N]". */
bool proc_parse_socket(struct str link, uint64_t *inode);

/* Cuts the next absolute path off /proc/PID/cmdline: arguments that do not begin with a slash are passed
 * over. False at the end. */
bool proc_next_path(struct str *rest, struct str *out);

/* A decimal number that is a process' or thread's: the names in /proc and in /proc/PID/task. */
bool proc_parse_pid(struct str name, pid_t *out);

#endif
