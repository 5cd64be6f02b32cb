/*
 * The sandbox's main process as far as its standard streams go: what they are, and how bytes get between
 * them and ours. The workload never gets a descriptor of the operator's terminal, from which it could read
 * what is typed for others: where ours is a terminal, it gets a pipe, or one of its own.
 *
 *                        asked for -i                        not asked for -i
 *   stdin, stdout are    a terminal of its own; raw, keys    stdin /dev/null, output by pipes
 *   terminals            go there
 *   others               ours are its                        ours are its
 *   a tty is asked for   the same, with a terminal of its own that nobody types on
 *
 * The main process that a driver names (and the default) may be attached to later: its stdin, when it is no
 * terminal, is a pipe that never ends (supervisor contract 3.10).
 *
 * Where there is an sshd, and nobody asked for -i, it can be attached to: then all that is not of a terminal is
 * pipes, and main_session.h has their other ends.
 */
#ifndef OPENSHELL_SUPERVISOR_MAIN_PROCESS_H
#define OPENSHELL_SUPERVISOR_MAIN_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "loop/loop.h"
#include "supervisor/main_session.h"
#include "supervisor/main_spec.h"
#include "supervisor/pump.h"

enum stream {
	STREAM_OURS, /* the same as the supervisor's */
	STREAM_NULL, /* /dev/null */
	STREAM_PIPE, /* to us */
	STREAM_TTY,  /* the terminal of its own, all three */
};

struct stream_plan {
	enum stream stream[3];
	bool typed; /* what comes on our stdin goes to it by us */
};

enum operator{
	OPERATOR_NONE,     /* nobody types here */
	OPERATOR_TYPES,    /* -i */
	OPERATOR_ATTACHES, /* by way of the sshd */
};

/* Pure: terminal says which of our three are. */
struct stream_plan main_process_plan(const struct main_spec *spec, enum operator by,
				     const bool terminal[3]);

struct main_process {
	struct loop *loop;
	struct stream_plan plan;
	int theirs[3];          /* for keeper_spawn; closed by main_process_started */
	int ours[3];            /* our ends; -1: none. Of a terminal: the master, in [1] and [0] */
	int to[2];              /* where output goes: our stdout and stderr, opened anew */
	struct pump in, out[2]; /* out[1] is of stderr */
	unsigned pumping;       /* of out, those that have not ended */
	void (*drained)(void *owner); /* all output is through; once, after main_process_drain */
	void *owner;
	bool draining;
	struct main_session *session; /* with OPERATOR_ATTACHES; then there are no pumps */
	/* A signal of somebody who is attached, for the main process's group. */
	void (*signal)(void *owner, int signo);
};

/* Makes the streams, and begins to move bytes. uid owns the terminal (-1: we do). m is zeroed but for drained,
 * signal and owner; released by main_process_fini, also on failure. */
int main_process_open(struct main_process *m, struct loop *l, const struct main_spec *spec,
		      enum operator by, uid_t uid, struct err *e);
/* Whether it has a terminal of its own. */
bool main_process_has_terminal(const struct main_process *m);
/* The process has its streams: our copies of them are closed. */
void main_process_started(struct main_process *m);
/* It has ended, and all who could write are gone: drained is called once everything is through, at once perhaps. */
void main_process_drain(struct main_process *m, int exit_code);
/* Also gives the operator's terminal back. */
void main_process_fini(struct main_process *m);

#endif
