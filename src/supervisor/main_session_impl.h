/*
 * A main process's session in its parts. Included by src/supervisor/main_session*.c, main_attachment.c, main_log.c and
 * their tests only.
 *
 *	main_session.c     reads what the main process writes, and writes what is typed for it
 *	main_attachment.c  … to and from the attachments
 *	main_log.c         … to our own stdout and stderr
 */
#ifndef OPENSHELL_SUPERVISOR_MAIN_SESSION_IMPL_H
#define OPENSHELL_SUPERVISOR_MAIN_SESSION_IMPL_H

#include "base/list.h"
#include "ssh/attachment.h"
#include "supervisor/main_session.h"
#include "supervisor/output_ring.h"

_Static_assert((int)OUTPUT_RECORD_MAX <= (int)ATTACHMENT_BYTES,
	       "what is read at once goes in one message");

/*
 *	LIVE --too far behind--> FALLEN --the notice is sent, or 5 s--> closed
 *	  |
 *	  +--all is sent, and the main process has ended--> TOLD --the client closes--> closed
 */
enum attachment_state { ATTACHMENT_LIVE, ATTACHMENT_FALLEN, ATTACHMENT_TOLD };

struct attachment {
	struct list link;
	struct main_session *session;
	enum attachment_state state;
	struct source source;
	struct output_cursor at;
	uint64_t missed; /* when FALLEN: so many records */
	struct timer
		timer; /* LIVE: when there was no progress for too long; FALLEN: to take the notice */
	struct later later; /* frees it */
};

/* One of our own streams. */
struct main_log {
	struct main_session *session;
	struct source source;
	char stream; /* of the ring's */
	bool eager;  /* writing to it cannot wait: a file, or made non-blocking */
	bool dead;   /* nobody takes it any more */
	bool given_up; /* it took nothing for too long, and is waited for again when it has caught up */
	struct timer timer;
	struct output_cursor at;
	uint64_t lost;
	size_t done, n; /* of bytes: what is to be written is [done..n) */
	char bytes[OUTPUT_RECORD_MAX];
};

struct main_session {
	struct main_session_config c;
	struct output_ring ring;
	struct source output, errors; /* fd -1: it has ended */
	struct source input;          /* fd -1: nobody reads there any more */
	size_t typed_done, typed_n;   /* of typed, what is to be written */
	struct main_log log[2];
	struct list attachments;
	unsigned n_attachments;
	struct attachment *writer; /* who has the input, or NULL */
	bool paused;
	bool finished, drained; /* main_session_finish; all readers have all */
	int exit_code;
	struct later look_later;
	char typed[ATTACHMENT_BYTES];
};

/* ---- main_session.c ---- */

/* All is written, and read. */
static inline bool main_session_is_over(const struct main_session *s)
{
	return s->finished && s->output.fd < 0 && s->errors.fd < 0;
}
/* Looks, later in this turn, whether reading goes on, and whether all is through. */
void main_session_look(struct main_session *s);
/* Whether what is typed can be taken: call only then … */
bool main_session_takes_input(const struct main_session *s);
/* … this, n bytes up to ATTACHMENT_BYTES. */
void main_session_input(struct main_session *s, const char *p, size_t n);

/* ---- main_attachment.c ---- */

/* Sends what there is, as far as there is room. It may end by that. */
void attachment_flush(struct attachment *a);
/* There was no room for what was typed, and there is now. */
void attachment_take(struct attachment *a);
/* Whether it is what reading has to wait for. */
bool attachment_holds_up(const struct attachment *a);
/* Frees it. */
void attachment_end(struct attachment *a);

/* ---- main_log.c ---- */

/* fd (1 or 2) is borrowed. */
int main_log_open(struct main_log *g, struct main_session *s, int fd, char stream, struct err *e);
void main_log_flush(struct main_log *g);
/* Whether it is what reading has to wait for. */
bool main_log_holds_up(const struct main_log *g);
/* It has all that was written; or nobody takes it. */
bool main_log_is_through(const struct main_log *g);
void main_log_close(struct main_log *g);

#endif
