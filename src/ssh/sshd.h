/*
 * The sandbox's sshd, as the supervisor sees it (supervisor contract 3.5 to 3.10). Behind one Unix socket it
 * is a process of its own, D, which the supervisor forks before it has a thread, a loop or a secret:
 *
 *	supervisor ------ D              holds the host key, made at each start, and the listening socket;
 *	     |            |              parses no byte of a client's
 *	     |            +- session     one for each connection (session.h): speaks SSH with a foreign client
 *	     +- broker.h ----+           and asks the supervisor for everything
 *
 * For each connection D makes a SOCK_SEQPACKET pair, forks the session with one end, and sends the supervisor
 * the other with the peer's credentials as the kernel knows them. The session does not serve a byte before it
 * is sent SSH_BEGIN (broker.h): closing the end instead refuses the client. All of them have given up what a
 * process can give up (config.confine), cannot be looked into, and die with the supervisor.
 *
 * Called by src/supervisor.
 */
#ifndef OPENSHELL_SSH_SSHD_H
#define OPENSHELL_SSH_SSHD_H

#include <sys/types.h>

#include "base/err.h"
#include "loop/loop.h"
#include "net/unix.h"

enum {
	/* Connections at once; one more is told so. Ours: a gateway forwards 20 of a sandbox's
	 * (gateway contract 3.3), and each exec is one. */
	SSHD_SESSIONS_MAX = 64,
	/* … that are being told so; one more is closed without a word. Ours. */
	SSHD_REFUSALS_MAX = 16,
};

struct sshd;

struct sshd_config {
	/* OPENSHELL_SSH_SOCKET_PATH: where to listen, as unix_listen(UNIX_OWNER); "@name": an abstract
	 * socket. Borrowed for the call. */
	const char *socket;
	/*
	 * Called in D as its last step before it serves: takes every right away for good that is not needed
	 * for what is said here, from D and the sessions it forks. Needed are: descriptors that are there, pipes, sockets
	 * and terminals (read, write, send, receive, accept, socketpair, poll, TIOCSWINSZ, FIONBIO), fork, memfd_create,
	 * memory, clocks, random bytes, the end of one's own children. Not needed are: any file, any other
	 * socket, any signal to another process, exec. May be NULL: nothing is taken away (tests).
	 */
	int (*confine)(void *arg, struct err *e);
	void *arg;
};

/*
 * Makes the socket, forks D, and waits until it is confined and listens (5 s at most). On failure nothing is
 * left. The caller must have no thread, and should have no secret yet: what it has, D has a copy of (but for the
 * environment, which D wipes). D closes every descriptor that it is not given here, but 2, its log.
 */
int sshd_start(struct sshd **out, const struct sshd_config *config, struct err *e);

pid_t sshd_pid(const struct sshd *s);

struct sshd_events {
	/* A client has connected. Takes broker, one end of the pair to its session, which is non-blocking:
	 * send SSH_BEGIN on it, or close it. peer is who connected; pid is 0 where it is in a PID namespace
	 * that is none of ours. pidfd, borrowed, is that process whatever becomes of its number; -1: the kernel
	 * cannot say. */
	void (*session)(void *owner, int broker, const struct unix_peer *peer, int pidfd);
	/* One client more than there is room for was refused. */
	void (*full)(void *owner);
	/* D is gone, and no more clients will come. The last call. Its sessions are killed with it. */
	void (*gone)(void *owner, const struct err *why);
};

/* Joins the loop; events are borrowed, and called from it. */
int sshd_attach(struct sshd *s, struct loop *l, const struct sshd_events *events, void *owner,
		struct err *e);

/* Ends D and its sessions (waits for D, 1 s at most), removes the socket, frees s. Takes NULL. */
void sshd_free(struct sshd *s);

#endif
