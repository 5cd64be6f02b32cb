/*
 * A supervisor in its parts. Included by src/supervisor/supervisor*.c only.
 *
 *	supervisor.c        its life: signals, what the keeper tells, the end
 *	supervisor_start.c  its beginning: up to a wall that stands and a proxy that listens
 *	supervisor_main.c   … and the main process
 *	supervisor_ssh.c    … and the sshd
 */
#ifndef OPENSHELL_SUPERVISOR_SUPERVISOR_IMPL_H
#define OPENSHELL_SUPERVISOR_SUPERVISOR_IMPL_H

#include <signal.h>
#include <sys/types.h>

#include "isolate/keeper.h"
#include "loop/loop.h"
#include "net/resolver.h"
#include "ocsf/ocsf.h"
#include "proxy/callers.h"
#include "proxy/proxy.h"
#include "supervisor/bypass.h"
#include "supervisor/environment.h"
#include "supervisor/main_process.h"
#include "supervisor/prepare.h"
#include "supervisor/ssh_broker.h"
#include "supervisor/uplink.h"
#include "supervisor/upstream.h"
#include "supervisor/wall.h"

/*
 *   STARTING --it runs--> RUNNING --time is up--> TERMINATING --100 ms--> KILLING
 *      |                     |                        |                      |
 *      \--it cannot be run---+----------- it ended, or the keeper is gone ---+--> ENDING --> (exit)
 *
 *   ENDING: all that is inside is killed; what was written gets through, 2 s at most; then the gateway is told,
 *   until it knows or we are told to end.
 */
enum state { STARTING, RUNNING, TERMINATING, KILLING, ENDING };

struct supervisor {
	const struct sandbox_options *o;
	enum state state;
	struct ocsf *events;
	struct main_spec spec;
	struct uplink uplink;
	struct upstream upstream;
	bool by_upstream;
	struct prepared prepared;
	struct wall wall;
	struct loop *loop;
	struct resolver *resolver;
	struct callers *callers;
	struct proxy *proxy;
	struct address gateway;
	bool has_gateway;
	struct bypasses bypasses;
	struct environment environment;
	struct main_process main;
	struct sshd *sshd;      /* NULL: there is none */
	struct ssh_broker *ssh; /* with it */
	char *ssh_socket;       /* … where it listens */
	struct keeper_call spawn;
	pid_t pid;        /* of the main process, once it is RUNNING */
	sigset_t waiting; /* signals that came while it was STARTING */
	struct timer limit;
	struct later end;
	int status;
};

/* ---- the beginning, in this order ---- */

/* Makes this process one that may hold secrets. */
int supervisor_harden(struct err *e);
void supervisor_open_events(struct supervisor *s);
/* What is to be run, and under which policy: asks the gateway where there is one. Blocks. */
int supervisor_configure(struct supervisor *s, struct err *e);
/* Forks the keeper, and gives up what root has. */
int supervisor_raise_wall(struct supervisor *s, struct err *e);
/* The proxy, with the secrets it needs: what is inside was forked without them. */
int supervisor_start_proxy(struct supervisor *s, struct err *e);
/* Forks the sshd, when it is asked for: after the keeper, and before rights are given up. */
int supervisor_start_sshd(struct supervisor *s, struct err *e);
/* The main process, and once it runs the session with the gateway. */
int supervisor_start_main(struct supervisor *s, struct err *e);

/* The sshd's clients are served; terminal_uid: as in ssh_broker.h. */
int supervisor_serve_ssh(struct supervisor *s, uid_t terminal_uid, struct err *e);
void supervisor_free_ssh(struct supervisor *s);

enum supervisor_who {
	SUPERVISOR_MAIN,    /* the main process inherits what we have (contract 3.10) */
	SUPERVISOR_SESSION, /* what a session starts does not (contract 3.9) */
};

/* The environment of a program of the sandbox's; term: of its terminal, or NULL; shell: NULL when there is none. */
int supervisor_environment(const struct supervisor *s, enum supervisor_who which, const char *term,
			   const char *shell, struct environment *out, struct err *e);

/* ---- its life ---- */

/* All that was written is with those who read it. */
void supervisor_drained(struct supervisor *s);

/* The sandbox ends, with this exit code; once. */
void supervisor_end(struct supervisor *s, int status);
/* The main process runs: it gets the signals that came meanwhile. */
void supervisor_forward_waiting(struct supervisor *s);

#endif
