/*
 * A gRPC server: methods in tables, calls as objects that their handlers answer, at once or later.
 * Framing, limits, deadlines, cancellation, and the end of a connection are dealt with here; a
 * handler sees whole messages and answers with whole messages.
 *
 * It never decides what a request means, and never looks at :authority. Who may connect is asked of
 * the owner (grpc_admit_fn). Called by the doors (driver, gateway) and by tests.
 *
 * Life of a call:
 *
 *   handler called --> open --grpc_reply/finish/fail--> answered: forget it
 *                       |                                   ^
 *             peer gone, reset, deadline, drain             |
 *                       v                                   |
 *                   cancelled (ops->cancelled called once) -+  answering is harmless and required
 *
 * A call is valid until its handler has answered it, whatever the peer does. Exactly one of
 * grpc_reply, grpc_finish, grpc_fail ends it; after that the handler must not touch it.
 */
#ifndef OPENSHELL_GRPC_SERVER_H
#define OPENSHELL_GRPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "base/util.h"
#include "grpc/status.h"
#include "http2/h2.h"
#include "loop/loop.h"
#include "net/conn.h"

struct grpc_server;
struct grpc_call;

enum grpc_kind {
	GRPC_UNARY,
	GRPC_SERVER_STREAM,
	GRPC_CLIENT_STREAM,
	GRPC_BIDI,
};

struct grpc_method {
	const char *path; /* "/package.Service/Method" */
	enum grpc_kind kind;
	const ProtobufCMessageDescriptor *in, *out;
	/* GRPC_UNARY and GRPC_SERVER_STREAM: called when the request is complete; it lives in the call's
	 * arena, as long as the call. The two others: called at once, with NULL; the messages come to
	 * grpc_call_ops.message, so the handler must grpc_set_ops. */
	void (*handler)(struct grpc_call *call, void *request);
};

/* What may happen to a call while its handler has not answered it. Each may be NULL. */
struct grpc_call_ops {
	/* The client's next message; it is released when this returns. */
	void (*message)(struct grpc_call *call, void *request);
	/* The client sends no more messages. */
	void (*half_close)(struct grpc_call *call);
	/* A grpc_send that was refused is worth another try. */
	void (*writable)(struct grpc_call *call);
	/* Nobody waits for the answer any more. Called once; grpc_send and the like do nothing from now
	 * on. The call is still to be answered, here or later. */
	void (*cancelled)(struct grpc_call *call);
};

/* Times in ms; 0 is none. */
struct grpc_config {
	size_t max_connections; /* more are closed at once */
	uint32_t max_streams;   /* calls at once on a connection */
	size_t message_max;     /* larger: RESOURCE_EXHAUSTED */
	size_t receive_max;     /* bytes that the requests of all open calls hold; then as above */
	uint32_t header_list_max;
	size_t stream_queue_max; /* bytes that wait for a slow reader, of a call and of */
	size_t conn_queue_max;   /* a connection */
	int64_t open_ms;         /* until a connection's preface is there */
	int64_t unused_ms;       /* from then to its first call; then it is ended */
	int64_t idle_ms;         /* without a call, once there was one */
	int64_t ping_ms, pong_ms;
	int64_t stall_ms; /* that a peer may take nothing from its socket */
};

/* Messages and header lists: driver contract 1.3. */
#define GRPC_CONFIG_DEFAULT                                                                        \
	((struct grpc_config){.max_connections = 128,                                              \
			      .max_streams = 512,                                                  \
			      .message_max = 4 * 1024 * 1024,                                      \
			      .receive_max = 64 * 1024 * 1024,                                     \
			      .header_list_max = 16 * 1024,                                        \
			      .stream_queue_max = 256 * 1024,                                      \
			      .conn_queue_max = 16 * 1024 * 1024,                                  \
			      .open_ms = 10 * 1000,                                                \
			      .unused_ms = 60 * 1000,                                              \
			      .stall_ms = 120 * 1000})

struct grpc_server *grpc_server_new(struct loop *l, const struct grpc_config *c);
/* Ends every connection at once; open calls are cancelled, and those not yet answered stay valid
 * until they are. Takes NULL. */
void grpc_server_free(struct grpc_server *srv);

/* Adds methods. The table is borrowed for the server's life; service is what grpc_service gives the
 * handlers. A path that is there already is a broken invariant. */
void grpc_server_add(struct grpc_server *srv, const struct grpc_method *table, size_t n,
		     void *service);
/* Walks the names of the services that have methods ("package.Service"), each once: *at starts at
 * 0; false at the end. Borrowed from the tables. */
bool grpc_server_services(const struct grpc_server *srv, size_t *at, struct str *name);

/* Whether a freshly accepted socket may stay (SO_PEERCRED); said why not by the function itself. */
typedef bool grpc_admit_fn(void *arg, int fd);

/* Accepts connections on a listening, non-blocking socket too; takes fd. admit may be NULL. */
int grpc_server_listen(struct grpc_server *srv, int fd, grpc_admit_fn *admit, void *arg,
		       struct err *e);
/* Serves a connection made elsewhere; takes c. */
void grpc_server_serve(struct grpc_server *srv, struct conn *c);

/* Stops: no new connections nor calls, calls that stream to the client end with UNAVAILABLE, the
 * others may finish within ms and are cancelled then. done is called once no connection is left,
 * never from inside this function. */
void grpc_server_drain(struct grpc_server *srv, int64_t ms, void (*done)(void *arg), void *arg);

/* Connections and open calls, for the log and for tests. */
size_t grpc_server_connections(const struct grpc_server *srv);
size_t grpc_server_calls(const struct grpc_server *srv);

/* ---- a call ---- */

/* Sets what to call, and what grpc_user gives. ops are borrowed until the call is answered. */
void grpc_set_ops(struct grpc_call *call, const struct grpc_call_ops *ops, void *user);
void *grpc_user(const struct grpc_call *call);
void *grpc_service(const struct grpc_call *call);
const struct grpc_method *grpc_call_method(const struct grpc_call *call);

/* Memory that lives as long as the call. */
struct arena *grpc_arena(struct grpc_call *call);
/* The value of the client's metadata of that name, as on the wire (a `-bin` value in base64); p is
 * NULL when there is none. Lives as long as the call. */
struct str grpc_metadata(const struct grpc_call *call, const char *name);
/* Whether nobody waits for the answer any more. */
bool grpc_cancelled(const struct grpc_call *call);
/* Milliseconds until the client's deadline; INT64_MAX when it has none. */
int64_t grpc_time_left(const struct grpc_call *call);

/* Metadata of ours, sent in front of the first message (header: to be added before that, and for a
 * stream in its handler) or with the status (trailer). At most 16 of each. Copied. */
void grpc_add_header(struct grpc_call *call, struct str name, struct str value);
void grpc_add_trailer(struct grpc_call *call, struct str name, struct str value);

/* Answers a unary or client-streaming call with its one message. One that does not fit the
 * connection's queue becomes RESOURCE_EXHAUSTED. */
void grpc_reply(struct grpc_call *call, const void *message);
/* Ends a stream well; what is queued goes out first. */
void grpc_finish(struct grpc_call *call);
/* Ends a call with an error; what a stream has queued goes out first. code is not GRPC_OK. */
void grpc_fail(struct grpc_call *call, enum grpc_status code, const char *fmt, ...) PRINTF(3, 4);

/* Sends the next message of a stream. False, and nothing sent, when the client does not keep up
 * (ops->writable is called when it is worth trying again). On a cancelled call messages vanish, and
 * the answer is true. */
bool grpc_send(struct grpc_call *call, const void *message);
/* The same with a message packed once for many streams; it takes its own reference. */
bool grpc_send_packed(struct grpc_call *call, struct h2_chunk *packed);
/* A message with the five bytes in front that gRPC wants; one reference, the caller's. */
struct h2_chunk *grpc_pack(const void *message);

/* Holds the client's messages back (flow control makes it stop sending), and lets them come: those
 * that wait are delivered before resume returns. */
void grpc_pause(struct grpc_call *call);
void grpc_resume(struct grpc_call *call);

#endif
