/*
 * Messages with descriptors (SCM_RIGHTS) over a SOCK_SEQPACKET pair between processes of ours, which
 * know each other's messages: no message is longer than its reader expects, and none has more
 * descriptors than FDPASS_MAX. Called by src/isolate.
 */
#ifndef OPENSHELL_NET_FDPASS_H
#define OPENSHELL_NET_FDPASS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { FDPASS_MAX = 8 };

/* The descriptors of a message. */
struct fdpass {
	int fd[FDPASS_MAX];
	size_t n;
	bool lost; /* this process has no room for all that came (EMFILE): it got none */
};

#define _cleanup_fdpass_ _cleanup_(fdpass_close)

/* Sends the message; fds (which may be NULL) are borrowed. 0, or -1 with errno: EAGAIN when there is
 * no room on a non-blocking socket. Never raises SIGPIPE. */
int fdpass_send(int channel, const void *p, size_t n, const int *fds, size_t n_fds);

/* The next message: its size, 0 at the end, or -1 with errno: EMSGSIZE when it is longer than n. The
 * descriptors are close-on-exec and the caller's. */
ssize_t fdpass_receive(int channel, void *p, size_t n, struct fdpass *fds);
/* … waits for it, that long at most: ETIMEDOUT. */
ssize_t fdpass_receive_within(int channel, void *p, size_t n, struct fdpass *fds, int ms);

/* Takes the i-th out: the caller's. */
int fdpass_take(struct fdpass *fds, size_t i);
/* Closes those that nobody took. */
void fdpass_close(struct fdpass *fds);

#endif
