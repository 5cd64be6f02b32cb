/*
 * Where a Unix socket is, from its name: a path, or "@name" for an abstract one, which is in no file
 * system (unix(7)). This is the one place that knows how the two are told apart and how long they may
 * be. It makes no socket that listens: see unix.h.
 */
#ifndef OPENSHELL_NET_UNIX_ADDRESS_H
#define OPENSHELL_NET_UNIX_ADDRESS_H

#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"

/* What bind, connect and sendto take. A path in sa.sun_path ends with a NUL. */
struct unix_address {
	struct sockaddr_un sa;
	socklen_t n;
};

/* Fails on an empty name (EINVAL; "@" is one: binding it would take any name that is free) and on one
 * that is too long (ENAMETOOLONG). The error quotes the name. */
int unix_address(struct unix_address *out, const char *name, struct err *e);

/* A stream socket that is connected to who listens at name: *fd is close-on-exec and non-blocking,
 * the caller's. It never waits: a listener whose backlog is full is an error (EAGAIN). */
int unix_connect(int *fd, const char *name, struct err *e);

#endif
