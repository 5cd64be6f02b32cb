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
	/* Who sent the message, as the kernel says and in this process's numbers, where the socket asks for it
	 * (fdpass_ask_sender); else 0. */
	pid_t sender;
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

/* Has messages that come on this end say who sent them. 0, or -1 with errno. */
int fdpass_ask_sender(int channel);
/* Whether nobody has the other end any more. */
bool fdpass_is_closed(int channel);

/* Takes the i-th out: the caller's. */
int fdpass_take(struct fdpass *fds, size_t i);
/* Closes those that nobody took. */
void fdpass_close(struct fdpass *fds);

#endif
