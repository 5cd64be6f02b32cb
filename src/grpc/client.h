/*
 * A gRPC client: a channel over one connection, and calls of all four kinds on it. A channel does
 * not reconnect: when its connection ends it says so, and its owner opens another. Used by ctl, by
 * the supervisor, and by tests.
 */
#ifndef OPENSHELL_GRPC_CLIENT_H
#define OPENSHELL_GRPC_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "grpc/status.h"
#include "http2/h2.h"
#include "loop/loop.h"
#include "net/conn.h"

struct grpc_channel;
struct grpc_rpc;

/* Times in ms; 0 is none. */
struct grpc_channel_config {
	const char *authority;    /* borrowed for the channel's life */
	const char *scheme;       /* "http", or "https" over TLS */
	size_t message_max;       /* larger answers end the call with RESOURCE_EXHAUSTED */
	size_t queue_max;         /* bytes queued on a call for a server that does not read */
	size_t queues_max;        /* … on all calls together */
	uint32_t window;          /* bytes a server may send on a call ahead of our reading them */
	int64_t ping_ms, pong_ms; /* see h2_conn.h */
};

#define GRPC_CHANNEL_CONFIG_DEFAULT                                                                \
	((struct grpc_channel_config){.authority = "localhost",                                    \
				      .scheme = "http",                                            \
				      .message_max = 4 * 1024 * 1024,                              \
				      .queue_max = 256 * 1024,                                     \
				      .queues_max = 16 * 1024 * 1024,                              \
				      .window = 256 * 1024})

/* Called once when the channel's connection is over, after every call has been ended; but one that is
 * paused, and that the server had ended, stays and can be resumed. The owner frees the channel, now or
 * later. why->code is 0 when the connection ended in order. */
typedef void grpc_lost_fn(void *arg, const struct err *why);

/* Takes c. lost may be NULL. */
struct grpc_channel *grpc_channel_new(struct conn *c, const struct grpc_channel_config *cfg,
				      grpc_lost_fn *lost, void *arg);
/* Connects to a Unix socket first; *e names the path. */
int grpc_channel_unix(struct grpc_channel **out, struct loop *l, const char *path,
		      const struct grpc_channel_config *cfg, grpc_lost_fn *lost, void *arg,
		      struct err *e);
/* Ends the connection. Open calls end without a callback. May be called from any callback; takes
 * NULL. */
void grpc_channel_free(struct grpc_channel *ch);

/* What happens to a call, in this order. Each but ended may be NULL. */
struct grpc_rpc_ops {
	/* The server's initial metadata is there. */
	void (*headers)(struct grpc_rpc *r);
	/* The next message; it is released when this returns. */
	void (*message)(struct grpc_rpc *r, void *message);
	/* The same where the config names no type: its bytes, as they came. */
	void (*bytes)(struct grpc_rpc *r, struct str message);
	/* A grpc_rpc_send that was refused is worth another try. */
	void (*writable)(struct grpc_rpc *r);
	/* The server has said its last, and all is in order, but we have not half-closed: true to go on
	 * sending, and `ended` comes when we have; false, or without this, the call ends now. */
	bool (*server_done)(struct grpc_rpc *r);
	/* It is over; text is the decoded grpc-message or our own words. The call is gone when this
	 * returns. A unary call that ended GRPC_OK has had exactly one message. */
	void (*ended)(struct grpc_rpc *r, enum grpc_status status, struct str text);
};

struct grpc_rpc_config {
	const char *path;                      /* "/package.Service/Method" */
	const ProtobufCMessageDescriptor *out; /* of the answer; NULL: ops->bytes is called */
	bool streams;                          /* more than one answer may come */
	int64_t timeout_ms;              /* sent as grpc-timeout, and kept here too; 0: none */
	const struct h2_field *metadata; /* copied */
	size_t n;
};

/* Starts a call; never fails at once: what is wrong comes to ops->ended in a later turn. */
struct grpc_rpc *grpc_rpc_start(struct grpc_channel *ch, const struct grpc_rpc_config *cfg,
				const struct grpc_rpc_ops *ops, void *user);
/* The same with the one request message and nothing to follow. */
struct grpc_rpc *grpc_rpc_call(struct grpc_channel *ch, const struct grpc_rpc_config *cfg,
			       const void *request, const struct grpc_rpc_ops *ops, void *user);
/* Sends a message; not after grpc_rpc_half_close. False, and nothing sent, when the server does not keep
 * up; ops->writable is called when it is worth trying again. */
bool grpc_rpc_send(struct grpc_rpc *r, const void *message);
/* The same with a message that is packed already, behind GRPC_RPC_HEAD bytes, which are filled in; it takes its own
 * reference. */
#define GRPC_RPC_HEAD 5
bool grpc_rpc_send_packed(struct grpc_rpc *r, struct h2_chunk *packed);
/* We send no more messages. */
void grpc_rpc_half_close(struct grpc_rpc *r);
/* Ends the call: no callback comes any more, and it is gone when this returns. Not to be called
 * from ops->ended. */
void grpc_rpc_cancel(struct grpc_rpc *r);

/* Holds the server's messages back (flow control makes it stop sending), and lets them come: those
 * that wait are delivered before resume returns. */
void grpc_rpc_pause(struct grpc_rpc *r);
void grpc_rpc_resume(struct grpc_rpc *r);

void *grpc_rpc_user(const struct grpc_rpc *r);
/* The server's initial or trailing metadata, as on the wire; p is NULL when there is none. */
struct str grpc_rpc_header(const struct grpc_rpc *r, const char *name);
struct str grpc_rpc_trailer(const struct grpc_rpc *r, const char *name);

#endif
