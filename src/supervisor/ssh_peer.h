/*
 * Who may come in by the sandbox's sshd (supervisor contract 3.5): the supervisor's own relays, and an operator from
 * outside of the sandbox; never a process of the sandbox, which would get out of its own session and leave no trace
 * of who it was. The socket's mode is the first guard; this is the second, which also holds for an abstract socket and
 * for a sandbox that runs as the supervisor's own user.
 */
#ifndef OPENSHELL_SUPERVISOR_SSH_PEER_H
#define OPENSHELL_SUPERVISOR_SSH_PEER_H

#include <sys/types.h>

#include "base/err.h"
#include "net/unix.h"

enum {
	SSH_PEER_DEPTH_MAX = 4096, /* generations that are looked at; ours */
	SSH_PEER_LOOKS = 8,        /* at one whose parents change meanwhile; ours */
};

/*
 * pidfd: of the peer, borrowed: while its process lives, its pid is its own. -1, where the kernel has none: a pid that
 * was given again meanwhile to a process outside passes for that. keeper: whose descendants are the sandbox. sshd: below
 * it nobody ever connects, so that a peer there is one whose pid was given again, perhaps to the very session that was
 * forked for it; 0: there is none. 0 when the peer may come in; else -1 with the reason, as when it is gone, or may not
 * be looked at. Without a pid it is outside of our PID namespace, and so not below the keeper.
 */
int ssh_peer_check(const struct unix_peer *peer, int pidfd, pid_t keeper, pid_t sshd,
		   struct err *e);

#endif
