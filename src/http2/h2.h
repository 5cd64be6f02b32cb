/*
 * An HTTP/2 session (RFC 9113) over nghttp2, in the client's or the server's role: bytes in by
 * h2_feed, bytes out by h2_take, and callbacks in between. It does no I/O and waits for nothing;
 * h2_conn.h joins it to a connection. Used by src/grpc and src/kube.
 *
 * What a peer can make us do is bounded here: the header list, the streams, the bytes queued for a
 * peer that does not read, and the frames that cost us work and the peer nothing. A request that is
 * malformed in the sense of RFC 9113 8.1.1 is reset and never reaches a callback.
 *
 * Callbacks run inside h2_feed, h2_take and h2_session_end; `closed` of a request that still waits
 * runs inside h2_reset. They may call every function here but h2_feed, h2_take and h2_session_free.
 */
#ifndef OPENSHELL_HTTP2_H2_H
#define OPENSHELL_HTTP2_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct h2_session;
struct h2_stream;

/* Error codes of RFC 9113 section 7. */
enum h2_code {
	H2_NO_ERROR = 0x0,
	H2_PROTOCOL_ERROR = 0x1,
	H2_INTERNAL_ERROR = 0x2,
	H2_FLOW_CONTROL_ERROR = 0x3,
	H2_SETTINGS_TIMEOUT = 0x4,
	H2_STREAM_CLOSED = 0x5,
	H2_FRAME_SIZE_ERROR = 0x6,
	H2_REFUSED_STREAM = 0x7,
	H2_CANCEL = 0x8,
	H2_COMPRESSION_ERROR = 0x9,
	H2_CONNECT_ERROR = 0xa,
	H2_ENHANCE_YOUR_CALM = 0xb,
	H2_INADEQUATE_SECURITY = 0xc,
	H2_HTTP_1_1_REQUIRED = 0xd,
};

/* "PROTOCOL_ERROR"; "error 0x1f" for a code nobody knows. */
const char *h2_code_name(uint32_t code);

struct h2_config {
	/* Server: streams the peer may have open at once; the next is refused. Client: streams we open
	 * at once, fewer where the peer says so; the next ones wait. */
	uint32_t max_streams;
	/* Client: requests that may wait for a free stream; h2_request fails beyond. */
	uint32_t max_waiting;
	/* Bytes of body that the peer may send us ahead of h2_consume, for each stream. */
	uint32_t stream_window;
	/* The same for the connection; given back as soon as bytes arrive, so that a stream that
	 * nobody consumes holds up no other. */
	uint32_t conn_window;
	/* Header and trailer list we take, counted as RFC 9113 6.5.2 does (32 bytes a field more). */
	uint32_t header_list_max;
	/* Bytes that may be queued for sending, of one stream and of all. See h2_send. */
	size_t stream_queue_max;
	size_t conn_queue_max;
	/* Most that an arena of a stream may hold (h2_arena), the headers included. */
	size_t arena_max;
};

#define H2_CONFIG_DEFAULT                                                                          \
	((struct h2_config){.max_streams = 512,                                                    \
			    .max_waiting = 1024,                                                   \
			    .stream_window = 256 * 1024,                                           \
			    .conn_window = 1024 * 1024,                                            \
			    .header_list_max = 16 * 1024,                                          \
			    .stream_queue_max = 256 * 1024,                                        \
			    .conn_queue_max = 16 * 1024 * 1024,                                    \
			    .arena_max = 64 * 1024 * 1024})

/* A header field. Names are lower case. */
struct h2_field {
	struct str name, value;
};

/* Shared bytes to be sent: one encoding may be queued on many streams. */
struct h2_chunk {
	unsigned refs;
	bool kept; /* of the size that is kept for the next when nobody has it any more */
	size_t n;  /* its only owner may lower it */
	uint8_t bytes[];
};

/* n bytes, not cleared, with one reference. Those about as large as a frame of DATA are made of a few that
 * are kept: a relay needs one for each, and musl gives such memory back to the kernel each time. */
struct h2_chunk *h2_chunk_new(size_t n);
struct h2_chunk *h2_chunk_ref(struct h2_chunk *c);
/* Drops a reference; takes NULL. */
void h2_chunk_unref(struct h2_chunk *c);

/* How a stream ended. */
enum h2_outcome {
	H2_END_DONE,      /* both sides ended it in order */
	H2_END_RESET,     /* the peer reset it, or broke the protocol on it; the code says why */
	H2_END_REFUSED,   /* the peer did not process it (RFC 9113 8.7): safe to repeat */
	H2_END_CANCELLED, /* by h2_reset */
	H2_END_LOST,      /* the connection ended; nobody knows how far the request came */
};

/* What happens to a stream, in this order. Each may be NULL. */
struct h2_stream_ops {
	/* Client: the response's header list is complete (interim 1xx responses are passed over). */
	void (*headers)(struct h2_stream *s);
	/* Bytes of the body, borrowed. Once used, now or later, they are to be given back to the
	 * peer's window by h2_consume. */
	void (*data)(struct h2_stream *s, struct str bytes);
	/* The peer has sent all; trailers can be read. */
	void (*peer_end)(struct h2_stream *s);
	/* An h2_send that was refused is worth another try. */
	void (*writable)(struct h2_stream *s);
	/* It is over; the last call. The stream stays readable until h2_release. */
	void (*closed)(struct h2_stream *s, enum h2_outcome how, uint32_t code);
};

struct h2_session_ops {
	/* Server: a request's header list is complete. It must be answered in time, and released. */
	void (*request)(void *owner, struct h2_stream *s);
	/* There is something to take. May be called from any function here. */
	void (*wake)(void *owner);
	/* Client: the peer wants no new requests on this connection (GOAWAY). Those it has not
	 * processed end as H2_END_REFUSED, the others go on. May be NULL. */
	void (*goaway)(void *owner, uint32_t code);
};

/* ---- session ---- */

/* ops are borrowed for the session's life. The preface and SETTINGS are there to be taken. */
struct h2_session *h2_server_new(const struct h2_config *c, const struct h2_session_ops *ops,
				 void *owner);
struct h2_session *h2_client_new(const struct h2_config *c, const struct h2_session_ops *ops,
				 void *owner);
/* Ends every open stream as H2_END_LOST (H2_END_REFUSED where the request never left). The session
 * does nothing from now on, and is to be freed. May be called from a callback. */
void h2_session_end(struct h2_session *s);
/* h2_session_end, and releases the session. Streams not yet released stay readable. Takes NULL. */
void h2_session_free(struct h2_session *s);

/* Takes in what the peer sent, all of it. -1 with *e filled when the connection is broken beyond
 * use: what is still to be taken (a GOAWAY) should be sent, and then the connection closed. */
int h2_feed(struct h2_session *s, const void *p, size_t n, struct err *e);
/* Appends to out what is to be sent, until out holds about `most` bytes or there is no more. */
void h2_take(struct h2_session *s, struct buf *out, size_t most);
/* Whether there is more to take. */
bool h2_has_output(struct h2_session *s);
/* Whether the session is over: nothing to be read nor sent any more. */
bool h2_is_over(struct h2_session *s);
/* What broke the session, ours or the peer's word; code is 0 while nothing did. Borrowed. */
const struct err *h2_error(const struct h2_session *s);

/* Whether the peer's preface and SETTINGS have arrived. */
bool h2_is_open(const struct h2_session *s);
/* Streams that are open or (client) waiting. */
size_t h2_streams(const struct h2_session *s);
/* Bytes queued on all streams. */
size_t h2_session_queued(const struct h2_session *s);
/* Sends a PING; every byte that arrives afterwards is a sign of life. */
void h2_ping(struct h2_session *s);
/* Server: says GOAWAY in two steps (RFC 9113 6.8), so that no request on its way is lost; the
 * session is over when the streams are. Client: takes no new request. */
void h2_drain(struct h2_session *s);
/* Ends the connection with this code: a GOAWAY is to be taken, then the session is over. */
void h2_terminate(struct h2_session *s, uint32_t code);

/* ---- client ---- */

struct h2_request {
	struct str method, scheme, authority, path;
	const struct h2_field *fields; /* the other fields, in order */
	size_t n;
	struct str body; /* sent at once; none: the header list ends the request */
	bool more;       /* more of the body follows by h2_send and h2_end */
};

/* Starts a request; all of it is copied. NULL with *e filled when the session takes no more
 * (EAGAIN: too many wait; ESHUTDOWN: after GOAWAY or h2_drain). The stream is the caller's until
 * h2_release; ops are borrowed until then. */
struct h2_stream *h2_request(struct h2_session *s, const struct h2_request *r,
			     const struct h2_stream_ops *ops, void *user, struct err *e);
/* The response's :status; 0 before it came. */
int h2_status(const struct h2_stream *s);

/* ---- server ---- */

/* Takes a request on, in the request callback. The stream is then the caller's until h2_release.
 * What is neither accepted nor answered there by h2_respond_end is refused (REFUSED_STREAM). */
void h2_accept(struct h2_stream *s, const struct h2_stream_ops *ops, void *user);
/* The response's header list; a body follows. Fields must be static or the stream's own
 * (h2_arena): they are borrowed until the stream is released. At most 40. */
void h2_respond(struct h2_stream *s, int status, const struct h2_field *fields, size_t n);
/* The same, with nothing to follow. */
void h2_respond_end(struct h2_stream *s, int status, const struct h2_field *fields, size_t n);
/* Ends our direction with trailers once all that is queued is sent. Fields as above. */
void h2_end_trailers(struct h2_stream *s, const struct h2_field *fields, size_t n);

/* ---- both; on a stream that is closed they do nothing ---- */

/* Queues bytes for sending and takes a reference. False, and nothing queued, when the stream or the
 * connection holds more than its maximum already; `writable` is called when it is worth trying
 * again. A stream with nothing queued may always queue one chunk, whatever its size, unless the
 * connection is full. On a closed stream the bytes vanish, and the answer is true. */
bool h2_send(struct h2_stream *s, struct h2_chunk *c);
/* Whether h2_send would take n bytes now. */
bool h2_has_room(const struct h2_stream *s, size_t n);
/* Ends our direction once all that is queued is sent. */
void h2_end(struct h2_stream *s);
/* Resets the stream; what is queued is dropped. `closed` follows, from h2_take at the latest. */
void h2_reset(struct h2_stream *s, uint32_t code);
/* Gives n bytes of body back to the peer's window. */
void h2_consume(struct h2_stream *s, size_t n);
/* The caller is done with the stream: no callback comes any more. One that is still open is reset
 * with CANCEL. Takes NULL. */
void h2_release(struct h2_stream *s);

bool h2_is_closed(const struct h2_stream *s);
/* Bytes queued and not yet handed to h2_take. */
size_t h2_queued(const struct h2_stream *s);
void *h2_user(const struct h2_stream *s);
/* What lives as long as the stream; released with it. */
struct arena *h2_arena(struct h2_stream *s);

/* The value of the first received header (trailer) of that name; p is NULL when there is none.
 * Pseudo-headers go by their names (":path"). Borrowed until h2_release. */
struct str h2_header(const struct h2_stream *s, const char *name);
struct str h2_trailer(const struct h2_stream *s, const char *name);

#endif
