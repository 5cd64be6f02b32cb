/* A session's state. Included by src/ssh/session*.c and their tests only; see sshd_impl.h. */
#ifndef OPENSHELL_SSH_SESSION_IMPL_H
#define OPENSHELL_SSH_SESSION_IMPL_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>

#include "base/buf.h"
#include "net/fdpass.h"
#include "ssh/attachment.h"
#include "ssh/broker.h"
#include "ssh/session_words.h"

enum {
	SESSION_LOGIN_S = 30, /* from the connection to the end of the login; ours */
	/* bytes that are read at once, all that is in a pipe, and then wait for the client */
	SESSION_PIECE = 256 << 10,
	/* bytes of one packet, for each of which libssh allocates a buffer: one of more than 26,192 bytes musl
	 * would give back to the kernel each time, to get its pages again for the next */
	SESSION_PACKET = 24 << 10,
	SESSION_INPUT =
		64
		<< 10, /* bytes of input that wait for a process; more waits in libssh's window */
	SESSION_DRAIN_MS = 2000, /* contract 3.8: for output that comes after the end */
	SESSION_POLL_MAX = 2 + 3 * SSH_CHANNELS_MAX,
};

/*
 * A channel:
 *
 *	OPEN --exec, shell, subsystem; at once: direct-tcpip--> ASKED --SSH_STARTED--> RUNNING --> ENDING --> free
 *	  |                                                       |                      |           |
 *	  +------------------------- the client closes it, or is gone -------------------------------+
 *	                                                          +--SSH_REFUSED: its words--> ENDING
 *
 *	ENDING: all output is sent; then EOF, how it ended, and the close: CLOSED, until these are out of this process
 */
enum channel_state {
	CHANNEL_FREE,
	CHANNEL_OPEN,
	CHANNEL_ASKED,
	CHANNEL_RUNNING,
	CHANNEL_ENDING,
	CHANNEL_CLOSED
};

enum channel_kind {
	CHANNEL_PROCESS, /* pipes or a terminal */
	CHANNEL_MAIN,    /* attachment.h */
	CHANNEL_STREAM,  /* direct-tcpip */
};

/* What was read and is not sent yet. */
struct channel_held {
	char bytes[SESSION_PIECE];
	size_t at, n;
	bool errors; /* it goes to the client's stderr */
	bool late;   /* it was written after the end */
};

struct channel {
	enum channel_state state;
	enum channel_kind kind;
	struct session *session;
	ssh_channel ssh;
	struct ssh_channel_callbacks_struct callbacks;
	uint32_t number; /* by which the supervisor knows it; 0: it does not */

	/* what the client said before it asked for something */
	bool terminal, read_only;
	uint16_t rows, columns;
	char term[SSH_TERM_MAX];

	int in, out,
		errors; /* -1: closed, or none. With a terminal or a socket in and out are the same */
	struct buf input; /* for in */
	bool more;        /* libssh holds input */
	bool client_eof, eof_passed;
	bool closed; /* by the client: nothing can be sent any more */
	struct session_keys keys;
	struct channel_held held;

	bool ended; /* status holds, or the attachment's code does */
	bool has_status, by_wait;
	int status;
	size_t owed;         /* bytes that were written when it ended, and are not read yet */
	int64_t quiet_since; /* while RUNNING and ended: when these last moved, or could not */
};

struct session {
	ssh_session ssh;
	ssh_event event;
	int client, broker;
	const char *ciphers; /* that are offered to everybody; borrowed */
	bool knows_client, logged_in;
	uint32_t last_number;
	struct ssh_callbacks_struct progress;
	struct ssh_server_callbacks_struct callbacks;
	struct channel channels[SSH_CHANNELS_MAX];
};

/* ---- session_channel.c ---- */

/* A channel for what the client opens; NULL: there are too many. */
struct channel *channel_open(struct session *s, enum channel_kind kind);
/* Asks the supervisor to connect it. */
void channel_connect(struct channel *c, const char *host, uint16_t port);
/* What the supervisor says about it. Takes the descriptors that it wants. */
void channel_started(struct channel *c, struct fdpass *fds);
void channel_refused(struct channel *c, int code, const char *why);
void channel_exited(struct channel *c, int status);
/* The client detaches. */
void channel_detach(struct channel *c);
/* Ends it if it is to end: nothing is left to be sent, or the client has closed it. */
void channel_settle(struct channel *c);
/* How long it may wait for something to happen, in ms; -1: for ever. */
int channel_patience(const struct channel *c);

/* ---- session_data.c ---- */

/* Moves what can be moved both ways, after poll. */
void channel_move(struct channel *c);
/* What to wait for: appends to p, returns how many. */
size_t channel_wait_for(const struct channel *c, struct pollfd *p);
/* Bytes of our own to the client's stderr, which wait like output. */
void channel_say(struct channel *c, const char *text);
/* A message of an attachment, for ATTACHMENT_SIZE and ATTACHMENT_SIGNAL. */
void channel_attachment_say(struct channel *c, enum attachment_message m, const void *p, size_t n);
bool channel_is_drained(const struct channel *c);
/* Whether there is something to be done for it at once: libssh, whenever it is asked for anything, may take what has
 * come for any channel, or have sent what was waiting. */
bool channel_is_restless(const struct channel *c);
void channel_close_files(struct channel *c);

/* ---- session.c ---- */

/* Sends one packet to the supervisor; fd is borrowed, -1: none. Ends the process when it is gone. */
void session_ask(struct session *s, const struct ssh_packet *p, int fd);
/* Whether what was sent to the client is still on its way out of this process. */
bool session_is_blocked(const struct session *s);

#endif
