/*
 * Where the driver listens and whom it lets in: the Unix socket, whose callers the kernel names, and
 * on demand a TCP port of the loopback interface, whose callers nobody names.
 */
#ifndef OPENSHELL_DRIVER_LISTEN_H
#define OPENSHELL_DRIVER_LISTEN_H

#include <stddef.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* Users beside our own that may connect; passed as arg to listen_admit. Borrowed. */
struct listen_users {
	const uid_t *uids;
	size_t n;
};

/* A grpc_admit_fn for a Unix socket: lets in our own user and those listed. Says who is refused. */
bool listen_admit(void *users, int fd);

/* Listens on HOST:PORT of TCP, where HOST is localhost, an address of 127.0.0.0/8, or [::1].
 * *fd is close-on-exec and non-blocking, the caller's. */
int listen_loopback(int *fd, const char *address, struct err *e);

#endif
