/*
 * TCP sockets by their addresses for a kernel that has no INET_DIAG: sock_diag then finds none, and they
 * are looked for in /proc/PID/net/tcp and tcp6 (proc_net_tcp in the kernel's documentation), which are
 * lists of all of them. Called by src/proxy for what sock_diag did not find.
 */
#ifndef OPENSHELL_NET_SOCK_TABLE_H
#define OPENSHELL_NET_SOCK_TABLE_H

#include <stdbool.h>

#include "base/str.h"
#include "net/sock_diag.h"

enum {
	SOCK_TABLE_MAX = 8 << 20, /* bytes of a table; some 50,000 sockets */
	SOCK_TABLE_LINE_MAX = 512,
};

/* One line of a table; of the answer's fields those are set that a line has. False when it is none, as
 * the heading. No I/O. */
bool sock_table_parse(struct str line, struct sock_query *out);

/* Answers those of the n questions that are about TCP and whose error is ENOENT, from the tables of that
 * process' network namespace. What cannot be read leaves them as they are. */
void sock_table_find(pid_t pid, struct sock_query *q, size_t n);

#endif
