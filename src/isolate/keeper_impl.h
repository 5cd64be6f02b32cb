/*
 * What the two sides of the keeper say to each other, and what they share. Included by
 * src/isolate/keeper*.c, nursery*.c and their tests only.
 *
 *	keeper.c          the supervisor's side
 *	keeper_start.c    … until it has a keeper
 *	keeper_inside.c   the keeper: what its supervisor asks for
 *	keeper_workload.c … and what becomes of the workloads
 *	detours.c         … and what goes round the proxy
 *	keeper_message.c  the table of messages
 *	keeper_kill.c     the end of everything below a process
 *	pid_space.c       the PID namespace that workloads are in
 *	nursery.c         the nursery
 */
#ifndef OPENSHELL_ISOLATE_KEEPER_IMPL_H
#define OPENSHELL_ISOLATE_KEEPER_IMPL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "isolate/keeper.h"
#include "net/fdpass.h"

/* ---- messages ---- */

enum keeper_message {
	/* what the supervisor asks for */
	KEEPER_SPAWN, /* descriptors: text (nursery.h), stdin, stdout, stderr */
	KEEPER_LISTEN,
	KEEPER_CONNECT,
	KEEPER_CANCEL, /* a KEEPER_SPAWN, of the same id */
	KEEPER_SIGNAL,
	KEEPER_RELEASE, /* id: a packet's, as KEEPER_BYPASS had it */
	/* what the keeper tells */
	KEEPER_DONE, /* … of a request: a pid, or a descriptor */
	KEEPER_FAILED,
	KEEPER_EXITED,
	KEEPER_BYPASS,
	KEEPER_BYPASSES_LOST,
	KEEPER_MESSAGE_COUNT,
};

struct keeper_address {
	socklen_t n;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} at;
};

/* What the keeper itself is told about a workload, and hands on. */
struct keeper_kind {
	uint32_t terminal;
	uint32_t builtin; /* enum keeper_builtin */
};

struct keeper_packet {
	uint32_t message;
	uint32_t id; /* of the request; 0 where there is none */
	union {
		struct keeper_kind kind;       /* KEEPER_SPAWN */
		struct keeper_address address; /* KEEPER_LISTEN, KEEPER_CONNECT */
		struct {
			pid_t pid;
			int signo;
		} signal;
		pid_t pid; /* KEEPER_DONE; 0: a descriptor came with it */
		struct err why;
		struct {
			pid_t pid;
			int status;
		} exited;
		struct bypass bypass;
		uint64_t lost;
	};
};

enum keeper_side { KEEPER_ASKS, KEEPER_TELLS };

/* Handles a message that has the size and the descriptors its row in the table says, but for those that
 * this process had no room for (fds->lost). Descriptors that it does not take are closed. */
typedef void keeper_handler(void *self, const struct keeper_packet *p, struct fdpass *fds);

/* Looks into the table; fails on a message that it does not have, that is not for this side, or that has
 * not the size or the descriptors that it should. Touches nothing else. */
int keeper_check(enum keeper_side from, const struct keeper_packet *p, size_t n,
		 const struct fdpass *fds, struct err *e);
/* The bytes of a message. */
size_t keeper_size(enum keeper_message m);

/* The bytes of the next message into *p. 1 when it is there and in order, 0 when there is none now, -1 at
 * the end or when it is not in order. */
int keeper_receive(int channel, enum keeper_side from, struct keeper_packet *p, struct fdpass *fds,
		   struct err *e);

/* The keeper's last word of its start, with the sock_diag socket if there is one; when `failed` has a code,
 * it is the last one altogether. */
struct keeper_hello {
	struct confine_result confined;
	pid_t init;      /* pid_space.h; 0: there is none */
	uint64_t mounts; /* the number of the mount namespace; 0: not known */
	struct err not_logged;
	struct err not_held;
	struct err failed;
};

/* Whether a sandbox's own socket may be there: loopback, and where there is one a pocket's addresses. */
bool keeper_address_is_inside(const struct keeper_address *a, enum rung r);

/* ---- the keeper's process ---- */

/* What its exit status says, but for 0 and 1. */
enum { KEEPER_INIT_ENDED = 2 };

/* Its whole life, after the fork. */
_Noreturn void keeper_live(const struct keeper_config *config, int channel);

/* ---- the end ---- */

enum { KEEPER_NOBODY = -1 };

/*
 * Sends a signal to a process, or to a process group (-pid), of the workloads. Where we are root without
 * CAP_KILL, as in a container, their uid `as` is what gives the right: it becomes our effective one for the
 * moment. (It gives them no right over us: for that the kernel looks at our real and saved ones.)
 */
int keeper_kill(uid_t as, pid_t pid, int signo);

/* Kills every child of this process, and what falls to it by that, until there is none or ms are over.
 * True when there is none, but for the one that is spared (0: nobody). It must be a subreaper. Needs proc, a descriptor of
 * /proc; without it, or where it is that of another PID namespace, it waits until they have ended by themselves. */
bool keeper_kill_all(int proc, uid_t as, pid_t spared, int ms);

#endif
