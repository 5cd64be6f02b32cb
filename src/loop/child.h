/*
 * A child process: started with its standard streams on pipes, watched by pidfd, ended with its
 * parent (PR_SET_PDEATHSIG). What goes wrong between fork and exec is reported as if the start
 * itself had failed, with the step and its errno (style rule 15).
 */
#ifndef OPENSHELL_LOOP_CHILD_H
#define OPENSHELL_LOOP_CHILD_H

#include <sys/types.h>

#include "loop/loop.h"

struct child {
	pid_t pid;   /* 0 when none runs */
	int in, out; /* our ends of its stdin and stdout, non-blocking;
	                                                       the caller's to close; -1 when not asked for */
	void (*exited)(struct child *c, int status); /* status as by waitpid */
	struct source pidfd;                         /* child.c's */
	struct loop *loop;
};

/* What its stdin and stdout are; stderr is ours. */
enum {
	CHILD_PIPE_IN = 1,  /* stdin is a pipe, else /dev/null */
	CHILD_PIPE_OUT = 2, /* stdout is a pipe, else ours */
};

/* Starts argv[0] (searched in PATH when it has no slash) with the environment env (NULL: ours).
 * c->exited must be set; it is called once, from the loop, and c->pid is 0 by then. */
int child_start(struct child *c, struct loop *l, char *const argv[], char *const env[], int flags,
		struct err *e);
/* Sends a signal; nothing when it is gone. */
void child_kill(struct child *c, int signo);
/* Kills it, waits for it, and forgets it: exited is not called any more. Harmless when none runs. */
void child_forget(struct child *c);

#endif
