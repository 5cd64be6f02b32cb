/*
 * The keeper: one small process that lives in the sandbox's namespaces for good (design section 4), so that
 * nobody ever has to enter them again. The supervisor forks it first of all, while it is single-threaded
 * and has no loop; this header is the supervisor's side of it. What must happen inside happens there, on
 * request over a SOCK_SEQPACKET pair, by a closed table of messages (keeper_impl.h); descriptors travel by
 * SCM_RIGHTS.
 *
 *	supervisor --- keeper      in the namespaces of the rung; reads NFLOG; reaps; ends all with the supervisor
 *	                 |
 *	                 +- init       first in the sandbox's own PID namespace (pid_space.h), where there is one
 *	                 +- nursery    already what a workload is (confine.h), but for the exec; clones them
 *	                 +- workloads  the keeper's children, in the nursery's Landlock domain
 *
 * The nursery is there so that all workloads of a sandbox share one Landlock domain, and may thus signal
 * each other, while the keeper is outside of it; and so that what a request says about a workload is read
 * by a process without any right. It holds nothing of value: a workload that kills it only has the keeper
 * make another (whose workloads, where Landlock scopes signals, the older ones cannot signal).
 *
 * On the rung `host` all of it is the same, but for the namespaces.
 *
 * Nothing outlives the supervisor, however it ends: the keeper sees its channel close, and kills every
 * process below it before it ends itself. When it is the keeper that dies, all that was below it falls
 * to the supervisor, which does the same. Where there is a PID namespace of the sandbox's own, init ends with the keeper
 * and the kernel kills the rest. (So a child of the supervisor's that never execs must close its
 * copies of what is close-on-exec.)
 */
#ifndef OPENSHELL_ISOLATE_KEEPER_H
#define OPENSHELL_ISOLATE_KEEPER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/list.h"
#include "isolate/confine.h"
#include "isolate/ladder.h"
#include "isolate/nflog.h"
#include "isolate/view.h"
#include "loop/loop.h"

enum {
	KEEPER_ARGS_MAX = 1024,    /* of a workload (gateway contract: 1024 of an exec) */
	KEEPER_ENV_MAX = 4096,     /* variables of its environment */
	KEEPER_TEXT_MAX = 1 << 20, /* bytes of arguments, environment and directory together */
	KEEPER_CALLS_MAX = 256, /* requests under way (128 relays at once); one more is refused */
	KEEPER_WORKLOADS_MAX = 1024, /* alive at once; one more is refused */
	KEEPER_STACK = 256 << 10,    /* bytes of stack that a builtin has */
	KEEPER_CALL_MS = 30000,      /* a request that takes longer has failed */
};

struct keeper;

/* What a workload is, once it is confined: the program of its arguments, or a function of ours in its place. */
enum keeper_builtin {
	KEEPER_EXEC,
	KEEPER_SFTP, /* src/sftp */
	KEEPER_BUILTIN_COUNT,
};

/*
 * Runs as a workload with the arguments and the environment (which environ is, too) of its request, and ends with
 * the status that this returns. No exec lies before it. So it has
 *
 *   - its standard descriptors and no others, the default actions of all signals, none blocked, no buffered
 *     output but its own; directory, session, identity, Landlock, seccomp and umask of any workload;
 *   - the memory of the nursery, which holds nothing of value: no token, no key, nobody's traffic. It stays not
 *     dumpable, so that no other workload can look into it;
 *   - addresses and the stack protector's canary as the supervisor has them, by the forks between. What it could
 *     be made to tell of them, by a flaw of its own, helps against the supervisor only together with a flaw of
 *     that one: it must not let bytes of uninitialised memory out.
 */
typedef int keeper_builtin_fn(char *const *argv, char *const *env);

struct keeper_config {
	enum rung rung;
	/* What each workload becomes. landlock_fd is built with `scoped`, so that workloads can signal
	 * each other and nobody else. On RUNG_USERNS the identity must be one that the new namespace can
	 * know: our own, or any where we have CAP_SETUID and CAP_SETGID. All of it is borrowed for the
	 * call: the keeper has a copy. */
	struct confine confine;
	const struct view *view;                           /* NULL: all files there are */
	uint16_t port;                                     /* the proxy's; 0: any that is free */
	keeper_builtin_fn *builtins[KEEPER_BUILTIN_COUNT]; /* NULL: it is refused */
};

/* What keeper_start found. */
struct keeper_started {
	struct rung_report rung;
	struct confine_result confined; /* of the nursery: what it lost is worth an event */
	struct err not_logged; /* why a bypass that is refused goes untold; code 0: it is told */
	/* why a connection is refused before anybody can ask whose it is; code 0: it waits until then */
	struct err not_held;
	/* Of the sandbox, as callers.h wants to know it: its init, 0 where there is none (rung.no_own_pids says why), and
	 * the number of its mount namespace, 0 where that is not known. */
	pid_t init;
	uint64_t mounts;
	int listener;             /* the proxy's, made inside; non-blocking; the caller's */
	struct sockaddr_in proxy; /* where it listens: what workloads are told */
	int sock_diag; /* NETLINK_SOCK_DIAG, made inside, for callers.h; the caller's; -1: no such */
};

/*
 * Climbs onto the rung, for good: forks the keeper, which sets up the namespaces, makes sure that there
 * is no way round, and makes the nursery. Blocks for some milliseconds, 10 s at most. On failure nothing
 * is left; started->rung says whether it is the rung that does not work, or (works being set) something
 * that comes after it, as an identity that cannot be taken.
 *
 * The calling process becomes a subreaper and is not dumpable any more. It must have no thread.
 */
int keeper_start(struct keeper **out, const struct keeper_config *config,
		 struct keeper_started *started, struct err *e);

pid_t keeper_pid(const struct keeper *k);

/* A child of ours that is not of the sandbox: it is not killed with what falls to us when the keeper dies. 0: nobody. */
void keeper_spare(struct keeper *k, pid_t pid);

struct keeper_events {
	/* A workload has ended; status as by waitpid. Its pid is free from now on. (It may be one that
	 * nobody was told of: keeper_cancel came too late.) */
	void (*exited)(void *owner, pid_t pid, int status);
	/* Something inside tried to go round the proxy, and is refused. When b->held is not 0 it waits for that
	 * until keeper_release, or a moment (detours.h): its socket is still there. */
	void (*bypass)(void *owner, const struct bypass *b);
	/* So many more did, faster than they can be told. */
	void (*bypasses_lost)(void *owner, uint64_t n);
	/* The keeper is gone, and all that was inside was killed. The last call; those of requests under
	 * way came before it. */
	void (*gone)(void *owner, const struct err *why);
};

/* Joins the loop; events are borrowed, and called from it. */
int keeper_attach(struct keeper *k, struct loop *l, const struct keeper_events *events, void *owner,
		  struct err *e);

/* A request under way; embedded in its owner, zeroed but for done, which is called once, from the loop: with
 * what was asked for, or -1 and why. */
struct keeper_call {
	void (*done)(struct keeper_call *c, int result, const struct err *why);
	uint32_t id; /* the keeper's; 0 when none is under way */
	struct list link;
	struct timer timer;
	struct keeper *keeper;
};

struct keeper_spawn {
	/* KEEPER_EXEC: argv[0] is searched in env's PATH when it has no slash. Else it is what the process is called. */
	char *const *argv;
	char *const *env;
	const char *cwd;
	int stdio[3];  /* borrowed */
	bool terminal; /* stdio[0] is one, and becomes the controlling terminal */
	enum keeper_builtin builtin;
};

/* Starts a workload in a session of its own; result: its pid, once it runs its program or is about to call its
 * function. An argv[0] that cannot be run is an error like any other: "exec /bin/bahs: No such file or
 * directory", its code being the errno; a function that keeper_start was not given is ENOSYS. */
int keeper_spawn(struct keeper *k, const struct keeper_spawn *what, struct keeper_call *c,
		 struct err *e);
/* A socket that listens inside, on a loopback address or one of a pocket's own; result: the descriptor. */
int keeper_listen(struct keeper *k, const struct sockaddr *at, socklen_t n, struct keeper_call *c,
		  struct err *e);
/* A TCP socket that connects, or is connected already, to a loopback address inside or one of a pocket's
 * own (only those, supervisor contract 3.4); result: the descriptor, non-blocking: await EPOLLOUT, then
 * ask for SO_ERROR. */
int keeper_connect(struct keeper *k, const struct sockaddr *to, socklen_t n, struct keeper_call *c,
		   struct err *e);
/* done is not called any more, and what comes of the request is dropped (a descriptor closed, a workload
 * killed). Harmless when nothing is under way. */
void keeper_cancel(struct keeper_call *c);

/* Sends a signal to a workload's process group; nothing when it has ended. Fails only when the keeper
 * does not read what it is sent. */
int keeper_signal(struct keeper *k, pid_t pid, int signo, struct err *e);

/* Nothing more is to be found out about the packet of that number (struct bypass's held, not 0). */
void keeper_release(struct keeper *k, uint32_t held);

/* Ends it: kills every process inside, waits for the keeper (1 s at most), frees k. Takes NULL. No
 * event is told and no call is done any more: those under way are the owners' to forget. */
void keeper_free(struct keeper *k);

#endif
