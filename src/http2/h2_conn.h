/*
 * The pump between a connection and an HTTP/2 session: reads and feeds, takes and writes (once a
 * turn of the loop, so that many small frames leave in one write), and keeps the deadlines that a
 * session without a clock cannot keep. Used by src/grpc and src/kube.
 */
#ifndef OPENSHELL_HTTP2_H2_CONN_H
#define OPENSHELL_HTTP2_H2_CONN_H

#include "base/err.h"
#include "http2/h2.h"
#include "net/conn.h"

struct h2_conn;

/* Times in ms; 0 is none. */
struct h2_conn_config {
	struct h2_config h2;
	int64_t open_ms;   /* until the peer's preface and SETTINGS are there */
	int64_t unused_ms; /* server: from then to the first request; else GOAWAY and the end */
	int64_t idle_ms;   /* without any stream; then GOAWAY and the end */
	int64_t ping_ms;   /* without a byte from the peer; then a PING is sent */
	int64_t pong_ms;   /* from that PING to any sign of life */
	int64_t stall_ms;  /* that a write may find no room */
	int64_t drain_ms;  /* from h2_conn_drain until the peer lets go, while no stream is open */
};

struct h2_conn_ops {
	/* As in h2_session_ops, with the connection's owner. */
	void (*request)(void *owner, struct h2_stream *s);
	void (*goaway)(void *owner, uint32_t code);
	/* The connection is over and every stream has been told. why->code is 0 when it ended in
	 * order. The last call; the owner calls h2_conn_free, now or later. */
	void (*ended)(void *owner, const struct err *why);
};

/* Takes c. ops are borrowed for the connection's life. */
struct h2_conn *h2_conn_server(struct conn *c, const struct h2_conn_config *cfg,
			       const struct h2_conn_ops *ops, void *owner);
struct h2_conn *h2_conn_client(struct conn *c, const struct h2_conn_config *cfg,
			       const struct h2_conn_ops *ops, void *owner);

/* For h2_request and the like. NULL once the connection has ended. Borrowed. */
struct h2_session *h2_conn_session(struct h2_conn *hc);

/* Lets what is open finish, takes nothing new, then ends. */
void h2_conn_drain(struct h2_conn *hc);
/* Ends it now: open streams end as H2_END_LOST. `ended` is not called. May be called from any
 * callback; takes NULL. */
void h2_conn_free(struct h2_conn *hc);

#endif
