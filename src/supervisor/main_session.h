/*
 * The main process of a sandbox as others may attach to it (supervisor contract 3.10). All it writes goes into a
 * ring, and from there to readers, each at its own pace:
 *
 *	                                           +-> our own stdout and stderr: the container's log
 *	main process --stdout, stderr--> ring 1 MiB+-> attachment   (a session of the sshd: ssh/attachment.h)
 *	             <----stdin------------------------ … that has the input
 *
 * A new attachment gets what is in the ring, then what comes. So that nobody loses anything who only reads more slowly
 * than the main process writes, reading of that one pauses while a reader is more than half the ring behind, for as long
 * as he makes progress. Who makes none for 2 s does not hold it up any more: an attachment is told that it has fallen
 * behind, and closed; the log loses what is not taken in time, and this is said when it goes on.
 *
 * One attachment at a time has the input; the others read. What it leaves does not end the main process's stdin,
 * which ends with the sandbox only: a shell without a terminal would end, and the sandbox with it.
 *
 * Used by main_process.c (streams) and ssh_broker.c (attachments).
 */
#ifndef OPENSHELL_SUPERVISOR_MAIN_SESSION_H
#define OPENSHELL_SUPERVISOR_MAIN_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"

enum {
	MAIN_ATTACHMENTS_MAX = 64, /* at once; ours */
	MAIN_STALL_MS = 2000,      /* without any progress, then it has fallen behind; ours */
	MAIN_NOTICE_MS = 5000,     /* that it takes to hear so; ours */
};

struct main_session;

struct main_session_config {
	struct loop *loop;
	/* Our ends of the main process's streams, non-blocking; taken, also on failure. With a terminal input
	 * and output are its master (not the same descriptor), and errors is -1. */
	int input, output, errors;
	bool terminal;
	/* A signal for its process group: HUP, INT, KILL, QUIT or TERM. */
	void (*signal)(void *owner, int signo);
	/* After main_session_finish, once: all that was written is with those who read it. */
	void (*drained)(void *owner);
	void *owner;
};

int main_session_new(struct main_session **out, const struct main_session_config *c, struct err *e);
/* Closes the attachments. Takes NULL. */
void main_session_free(struct main_session *s);

struct main_attach {
	bool read_only;
	uint16_t rows, columns; /* of the client's terminal; 0: it has none, or does not say */
};

/* Another reader: *out is the client's end of a pair that speaks attachment.h; the caller's. */
int main_session_attach(struct main_session *s, const struct main_attach *how, int *out,
			struct err *e);

/* The main process has ended, and nobody is left who could write: when the rest is read, attachments are told the
 * exit code, also those that come later. */
void main_session_finish(struct main_session *s, int exit_code);

#endif
