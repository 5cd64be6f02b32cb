/*
 * The supervisor's side of SSH sessions: does what they ask for (ssh/broker.h) as far as a closed table says that
 * they may, and nothing else. A session speaks with a foreign client and is not trusted: a packet that is not in order
 * ends it.
 *
 *	session --broker.h--> ssh_broker --> keeper          starts workloads, connects inside
 *	                                 --> main_session    attaches to the main process
 *
 * Pipes and terminals are made here, and their ends handed over: no byte of a session passes through the supervisor,
 * but those of attachments. (A relay's, in which the session is, do.)
 *
 * When a session ends, what it has started on a terminal is hung up (SIGHUP to its group, as a terminal's end does);
 * what it has started with pipes finds them closed and is left alone otherwise, as OpenSSH's sshd leaves it: `ssh box
 * 'server &'` goes on. The number of workloads is the keeper's limit.
 *
 * Without any shell in the image a command line is taken for the words of one command (shell_words.h). What cannot be
 * run says why on the client's stderr, with exit code 127, or 126 where it is there.
 */
#ifndef OPENSHELL_SUPERVISOR_SSH_BROKER_H
#define OPENSHELL_SUPERVISOR_SSH_BROKER_H

#include <stdbool.h>
#include <sys/types.h>

#include "isolate/keeper.h"
#include "loop/loop.h"
#include "net/unix.h"
#include "ocsf/ocsf.h"
#include "ssh/sshd.h"
#include "supervisor/environment.h"
#include "supervisor/main_session.h"

struct ssh_broker;

struct ssh_broker_config {
	struct loop *loop;
	struct keeper *keeper;
	pid_t sshd;                /* its process; 0: none */
	struct main_session *main; /* NULL: it cannot be attached to */
	struct ocsf *events;       /* or NULL */
	const char *cwd;           /* where programs begin; borrowed */
	uid_t terminal_uid;        /* who owns their terminals; -1: the supervisor */
	/* Where the shells of the image are; borrowed. */
	const char *bash, *sh;
	/* The environment of a program (supervisor contract 3.9). term: of its terminal, NULL: it has none. */
	int (*environment)(void *owner, const char *term, const char *shell,
			   struct environment *out, struct err *e);
	/* After ssh_broker_drain, once. */
	void (*drained)(void *owner);
	void *owner;
};

struct ssh_broker *ssh_broker_new(const struct ssh_broker_config *c);
/* Ends all sessions. Takes NULL. */
void ssh_broker_free(struct ssh_broker *b);

/* A client has connected (sshd_events.session): it is served, or refused. Takes fd; pidfd is borrowed. */
void ssh_broker_add(struct ssh_broker *b, int fd, const struct unix_peer *peer, int pidfd);

/* A workload has ended (keeper_events.exited); nothing when it is none of a session's. */
void ssh_broker_exited(struct ssh_broker *b, pid_t pid, int status);

/* The keeper is about to be freed, and everything inside ends: sessions are told. From now on there is only the
 * main process to attach to. */
void ssh_broker_keeper_ends(struct ssh_broker *b);
/* drained is called when no client is left who is owed the end of a program or of the main process: of each the
 * channel is closed. */
void ssh_broker_drain(struct ssh_broker *b);

#endif
