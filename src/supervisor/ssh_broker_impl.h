/*
 * SSH sessions as the supervisor has them, in their parts. Included by src/supervisor/ssh_*.c and their tests only.
 *
 *	ssh_broker.c   sessions: the table of what they may ask, what they are answered
 *	ssh_program.c  shells, commands, sftp
 *	ssh_inside.c   connections inside
 */
#ifndef OPENSHELL_SUPERVISOR_SSH_BROKER_IMPL_H
#define OPENSHELL_SUPERVISOR_SSH_BROKER_IMPL_H

#include "base/list.h"
#include "net/fdpass.h"
#include "ssh/broker.h"
#include "supervisor/inside.h"
#include "supervisor/ssh_broker.h"

/*
 *	STARTING --the keeper has started it--> RUNNING --it ended--> OVER
 *	CONNECTING --it is connected, and handed over--> OPEN
 *	ATTACHED
 *
 *	all of them --SSH_CLOSE, SSH_REFUSED, the session's end--> freed
 */
enum channel_state {
	CHANNEL_STARTING,
	CHANNEL_RUNNING,
	CHANNEL_OVER,
	CHANNEL_CONNECTING,
	CHANNEL_OPEN,
	CHANNEL_ATTACHED,
};

struct channel {
	struct list link;
	struct session *session;
	uint32_t id;
	enum channel_state state;
	struct keeper_call call; /* STARTING */
	pid_t pid;               /* RUNNING */
	bool terminal;
	/* STARTING: the streams, ours to be handed over; -1: none. With a terminal ours[0] is the master. */
	int ours[3], theirs[3];
	struct inside_dial dial; /* CONNECTING */
	struct later later;      /* frees it */
};

struct session {
	struct list link;
	struct ssh_broker *broker;
	struct source source;
	struct list channels;
	unsigned n_channels;
	struct later later; /* frees it */
};

struct ssh_broker {
	struct ssh_broker_config c; /* c.keeper: NULL once it has ended */
	struct list sessions;
	unsigned n_sessions;
	bool draining;
	struct later drain_later;
};

static inline struct ssh_broker *broker_of(const struct channel *ch)
{
	return ch->session->broker;
}

/* ---- ssh_broker.c ---- */

/* The answer to what a channel asked for; it ends with a refusal. The descriptors are borrowed. False when the
 * session is over by that, and the channel with it. */
bool ssh_channel_started(struct channel *ch, const int *fds, size_t n);
void ssh_channel_refused(struct channel *ch, const struct err *why);
/* What it started has ended. */
void ssh_channel_over(struct channel *ch, int status);

/* Closes what it has of its streams. */
void ssh_channel_close_streams(struct channel *ch);

/* ---- ssh_program.c ---- */

/* Starts what p asks for: SSH_SHELL, SSH_EXEC, SSH_SFTP. -1: it is to be refused. */
int ssh_program_start(struct channel *ch, const struct ssh_packet *p, const struct fdpass *fds,
		      struct err *e);

/* ---- ssh_inside.c ---- */

/* Connects. -1: it is to be refused; with EACCES: since it is not loopback. */
int ssh_inside_connect(struct channel *ch, const struct ssh_packet *p, struct err *e);

#endif
