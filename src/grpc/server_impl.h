/*
 * What server.c and call.c share; nobody else may include it.
 */
#ifndef OPENSHELL_GRPC_SERVER_IMPL_H
#define OPENSHELL_GRPC_SERVER_IMPL_H

#include "base/list.h"
#include "base/map.h"
#include "grpc/frame.h"
#include "grpc/server.h"
#include "http2/h2_conn.h"

/* A method and what its handlers get. */
struct grpc_entry {
	const struct grpc_method *method;
	void *service;
};

struct grpc_server {
	struct loop *loop;
	struct grpc_config cfg;
	struct grpc_entry **entries; /* in the order of grpc_server_add */
	size_t n_entries;
	struct map by_path;
	struct list conns, calls;
	size_t n_conns, n_calls;
	size_t held; /* bytes that requests hold */
	struct list listeners;
	bool full; /* said so */
	/* the end */
	bool draining;
	struct timer drain_limit;
	struct later drain_done;
	void (*done)(void *arg);
	void *done_arg;
};

struct grpc_conn {
	struct grpc_server *server;
	struct h2_conn *h2;
	struct list link;
	size_t n_calls; /* not yet answered, though their streams may be gone */
	bool gone;      /* it is freed when no call is left */
};

/* server.c: frees a connection that is gone and has no call left. */
void grpc_conn_unref(struct grpc_conn *conn);

struct grpc_call {
	struct grpc_server *server; /* NULL once the server is gone */
	struct grpc_conn *conn;     /* until answered */
	struct h2_stream *stream;
	struct grpc_entry entry;
	const struct grpc_call_ops *ops;
	void *user;
	struct list link; /* server.calls, until answered */
	unsigned busy;    /* we are below a callback: not to be freed */
	bool started;     /* the handler has it */
	bool answered;    /* the handler is done with it */
	bool gone;        /* nobody waits for an answer: cancelled, or we have answered */
	bool closed;      /* the stream is */
	bool headers_sent;
	bool half_closed; /* by the client */
	bool half_close_told;
	bool paused;
	bool reading; /* messages are being delivered */
	struct grpc_reader reader;
	struct buf waiting;         /* bytes that came while paused */
	size_t held;                /* what we have added to server.held */
	void *request;              /* of a call with one */
	struct arena message_arena; /* of the message being delivered, in a call with many */
	struct timer deadline;
	int64_t deadline_at;                 /* mono_ms; INT64_MAX: none */
	struct h2_field *headers, *trailers; /* metadata of ours */
	size_t n_headers, n_trailers;
};

/* call.c: */

/* A stream that asks for something: finds the method, or refuses. */
void grpc_call_start(struct grpc_conn *conn, struct h2_stream *st);
/* Ends a call from our side, for a reason that is not its handler's. */
void grpc_call_end(struct grpc_call *call, enum grpc_status code, const char *text);
/* The handler is done with it. */
void grpc_call_answered(struct grpc_call *call);
/* A call that streams to the client, and so may never end by itself. */
bool grpc_call_is_stream(const struct grpc_call *call);

/* answer.c: */

void grpc_call_headers(struct grpc_call *call);
/* Ends our direction; text may be empty. */
void grpc_call_status(struct grpc_call *call, enum grpc_status code, struct str text);

#endif
