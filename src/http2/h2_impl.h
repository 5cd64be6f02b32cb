/*
 * What the files of src/http2 share; nobody else may include it.
 *
 * Life of a stream:
 *
 *   h2_request --> WAITING --(a stream is free)--> OPEN --(nghttp2 closed it)--> CLOSED
 *                     |                             ^                              ^
 *                     '----- reset, GOAWAY ---------|------------------------------'
 *   request callback -------------------------------'
 *
 * It is freed once it is CLOSED and released. Our direction of it (its body) is a queue of chunks
 * that nghttp2 reads from:
 *
 *   BODY_NONE --(first h2_send, h2_end)--> BODY_READ <--> BODY_IDLE (nothing queued; deferred)
 */
#ifndef OPENSHELL_HTTP2_H2_IMPL_H
#define OPENSHELL_HTTP2_H2_IMPL_H

#include <nghttp2/nghttp2.h>

#include "base/list.h"
#include "http2/h2.h"

#define H2_FRAME_HEAD 9

/* Tokens for what is cheap for a peer and work for us. Filled up with time and with useful work. */
struct h2_bucket {
	uint32_t left, max;
	uint32_t per_second;
	int64_t at; /* mono_ms of the last filling; 0: never */
};

/* Takes n tokens; false when there are not as many. */
bool h2_bucket_take(struct h2_bucket *b, uint32_t n);
void h2_bucket_give(struct h2_bucket *b, uint32_t n);

struct h2_fields {
	struct h2_field *v;
	size_t n, cap;
};

enum stream_state {
	STREAM_WAITING,
	STREAM_OPEN,
	STREAM_CLOSED,
};

enum body_state {
	BODY_NONE,
	BODY_READ,
	BODY_IDLE,
};

/* The chunks queued on a stream: a ring, of which the first part needs no allocation. */
struct h2_queue {
	struct h2_chunk **ring;
	size_t cap, head, n;
	size_t at;    /* bytes of the first chunk that are gone */
	size_t bytes; /* queued in all */
	struct h2_chunk *some[2];
};

struct h2_stream {
	struct h2_session *session; /* NULL once closed */
	const struct h2_stream_ops *ops;
	void *user;
	struct list link; /* session.streams */
	struct list wait; /* session.waiting or session.blocked */
	int32_t id;
	enum stream_state state;
	enum body_state body;
	bool released;
	bool sent; /* client: the header list has left */
	bool got_headers;
	bool peer_ended;
	bool ending;     /* ours: nothing more will be queued */
	bool trailing;   /* our trailers are submitted */
	bool ended;      /* our END_STREAM has left */
	bool resetting;  /* ours */
	bool too_large;  /* a header list: the peer's, whose fields are not kept, or ours */
	bool blocked;    /* an h2_send was refused */
	uint8_t interim; /* 1xx responses seen */
	int status;
	uint32_t header_bytes; /* of the list that is arriving */
	struct h2_fields headers, trailers;
	const struct h2_field *end_fields; /* our trailers */
	size_t n_end_fields;
	nghttp2_nv *nva; /* client: the request's header list, until it has left */
	size_t n_nva;
	struct h2_queue queue;
	struct arena arena;
};

/*
 * What became of the streams that a peer opened on us, the latest of them: nghttp2 forgets a stream
 * when it closes it, and then cannot tell a frame that was on its way when we reset the stream from
 * one that may not be there at all (RFC 9113 5.1).
 */
enum past {
	PAST_UNKNOWN, /* too long ago */
	PAST_SKIPPED, /* never opened, and may not be any more */
	PAST_OPEN,
	PAST_CLOSED, /* by the peer, which so has no more to say on it */
	PAST_RESET,  /* by us; frames may be on their way */
};

struct h2_history {
	struct {
		int32_t id;
		enum past past;
	} slot[64];
	int32_t last; /* highest stream opened */
};

void h2_history_set(struct h2_history *h, int32_t id, enum past past);
enum past h2_history_get(const struct h2_history *h, int32_t id);

enum drain_state {
	DRAIN_NO,
	DRAIN_NOTICE, /* GOAWAY for no stream in particular is sent; a PING tells when it arrived */
	DRAIN_FINAL,
};

struct h2_session {
	nghttp2_session *ng;
	const struct h2_session_ops *ops;
	void *owner;
	struct h2_config cfg;
	bool server;
	bool open;    /* the peer's SETTINGS are there */
	bool dying;   /* h2_session_end */
	bool refused; /* client: the peer said GOAWAY, or h2_drain */
	enum drain_state drain;
	struct list streams;
	struct list waiting; /* client: requests in order */
	struct list blocked; /* streams whose h2_send was refused */
	size_t n_streams, n_waiting;
	size_t queued;
	struct buf *out; /* during h2_take */
	size_t most;     /* likewise */
	struct h2_bucket frames, resets;
	struct h2_history history; /* server */
	int32_t reset_by_peer;     /* the last stream of which that is true */
	struct err err;
	uint32_t code; /* that goes with err, when it was us who found it */
	/* where in the peer's bytes we are */
	size_t preface_left, payload_left;
	uint8_t head[H2_FRAME_HEAD + 8]; /* of the next frame, as far as it is there */
	size_t head_n;
	char hint[200]; /* nghttp2's last words */
};

/* h2.c */
void h2_wake(struct h2_session *s);
/* Remembers what broke the session, unless something did already. */
void h2_broken(struct h2_session *s, const char *fmt, ...) PRINTF(2, 3);

/* A field as nghttp2 takes it, without a copy. */
static inline nghttp2_nv h2_nv(const struct h2_field *f)
{
	return (nghttp2_nv){.name = (uint8_t *)f->name.p,
			    .namelen = f->name.n,
			    .value = (uint8_t *)f->value.p,
			    .valuelen = f->value.n,
			    .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

/* h2_guard.c */
/* Takes from the front of *in what nghttp2 may take in at once: no more than one frame, perhaps
 * nothing. -1 when a frame starts that ends the connection. */
int h2_next_part(struct h2_session *s, struct str *in, struct str *part);
/* The peer broke the protocol, or asks for too much of something; what: in words. Remembers that,
 * and returns what makes nghttp2 stop. */
int h2_violation(struct h2_session *s, uint32_t code, const char *what);
int h2_calm(struct h2_session *s, const char *what);

/* h2_events.c */
nghttp2_session_callbacks *h2_callbacks(void);

/* h2_stream.c */
struct h2_stream *h2_stream_new(struct h2_session *s);
/* The stream is over: tells its user, and frees it when it was released. */
void h2_stream_closed(struct h2_stream *st, enum h2_outcome how, uint32_t code);
/* Adds a received field; false when the list is too large. */
bool h2_stream_field(struct h2_stream *st, struct str name, struct str value);
void h2_queue_add(struct h2_queue *q, struct h2_chunk *c);
/* Takes n bytes off the queue and appends them to out. */
void h2_queue_move(struct h2_queue *q, struct buf *out, size_t n);
/* nghttp2's read callback for a stream's queue. */
nghttp2_ssize h2_read_body(nghttp2_session *ng, int32_t id, uint8_t *p, size_t room,
			   uint32_t *flags, nghttp2_data_source *source, void *arg);
/* Calls `writable` where it is due. */
void h2_unblock(struct h2_session *s);

/* h2_client.c */
/* Starts as many waiting requests as the peer allows. */
void h2_start_waiting(struct h2_session *s);
/* Wipes the request's header list, which has left or never will. */
void h2_forget_request(struct h2_stream *st);
/* Ends all waiting requests: they were not processed. */
void h2_refuse_waiting(struct h2_session *s);

#endif
