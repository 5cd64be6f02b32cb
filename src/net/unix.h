/*
 * Unix sockets whose owner and mode are the authorization (driver contract 1.2): a listening socket
 * that only its owner can reach, in a directory of its own, and the credentials of who connects.
 * Used by the driver, the gateway and the sandbox's sshd before their loops run.
 */
#ifndef OPENSHELL_NET_UNIX_H
#define OPENSHELL_NET_UNIX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* A socket's place in the file system. Zeroed: none. */
struct unix_path {
	char *path;
	dev_t dev;
	ino_t ino;
};

enum unix_reach {
	UNIX_OWNER,    /* parent 0700, socket 0600 */
	UNIX_EVERYONE, /* parent 0711, socket 0666: whoever accepts must ask unix_peer */
};

/*
 * Listens on path, which is no abstract name, with a backlog for a burst; *fd is close-on-exec and
 * non-blocking, the caller's. *at remembers the socket for unix_path_remove. what names the socket in
 * errors, as in "driver socket".
 *
 * The parent is made with what is missing above it, or must be a directory (no symlink) of our own.
 * It gets the mode above when we made it or nothing but our socket is in it. A directory that others
 * use as well (/run) keeps its mode; it is refused when others may write there without a sticky bit,
 * since they could put their own socket in our place. /var/run means /run where it is root's link to
 * that.
 *
 * What is at path is replaced only when it is our own socket and nobody answers on it.
 */
int unix_listen(int *fd, struct unix_path *at, const char *what, const char *path,
		enum unix_reach reach, struct err *e);
/* Removes the socket if it is still the one that was made, and forgets it. */
void unix_path_remove(struct unix_path *at);

struct unix_peer {
	pid_t pid; /* 0 when it is in no PID namespace of ours */
	uid_t uid;
	gid_t gid;
};

/* Who is at the other end, as the kernel knows it from the moment of connect. */
int unix_peer(int fd, struct unix_peer *out, struct err *e);
/* … as a pidfd of that very process, whatever becomes of its number; close-on-exec, the caller's. -1 with errno:
 * ENOPROTOOPT where the kernel cannot (Linux before 6.5), anything else where the process is gone. */
int unix_peer_pidfd(int fd);

#endif
