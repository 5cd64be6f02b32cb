/*
 * The gateway: where it is and by what we are known to it (supervisor contract 2.1), and a link, one connection
 * to it on which calls are made. Whom to trust is said by files that the driver names, never by the image's
 * authorities. Nothing here retries: the owners of links do, each in its own way.
 *
 *	OPENSHELL_TLS_CA, _CERT, _KEY      all three, for https
 *	OPENSHELL_GATEWAY_TLS_SERVER_NAME  what its certificate is for, where that is not the URL's host
 */
#ifndef OPENSHELL_SUPERVISOR_GATEWAY_H
#define OPENSHELL_SUPERVISOR_GATEWAY_H

#include "grpc/client.h"
#include "net/conn_dial.h"
#include "net/url.h"
#include "supervisor/gateway_token.h"

enum {
	GATEWAY_CONNECT_MS = 10000,    /* contract 2.1 */
	GATEWAY_CALL_MS = 10000,       /* ours, of a unary call: the peers have no deadline */
	GATEWAY_MESSAGE_MAX = 4 << 20, /* what gRPC takes where nobody says */
	/* What the gateway may send of one call ahead of our reading it; ours: 20 MB/s to a gateway that is 50 ms
	 * away. A relay whose target does not read holds as much. */
	GATEWAY_WINDOW = 1 << 20,
	/* What waits for a gateway that does not read, of one call and of all: more than all relays (relay.h) can have,
	 * so that none holds up another. */
	GATEWAY_QUEUE = 256 << 10,
	GATEWAY_QUEUES = 64 << 20,
	GATEWAY_PING_MS = 10000, /* contract 0, 6: without a sign of life */
	GATEWAY_PONG_MS = 20000,
};

struct gateway {
	struct url url;
	char *address; /* "host:port" */
	struct gateway_token token;
	const char *ca, *cert, *key, *certificate_name; /* "" is not given */
};

/* Reads where it is and what the environment says, and takes the token out of it. What is missing is an error
 * that names it. *out is released by gateway_fini, also on failure. */
int gateway_init(struct gateway *out, const char *endpoint, struct err *e);
void gateway_fini(struct gateway *g);

/* Whether a call that ended so may do better at another time (contract 2.3). */
bool gateway_may_pass(enum grpc_status s);

/* A copy that outlives a callback; the caller's, by protobuf's own free. */
void *gateway_message_copy(const void *message);

struct gateway_link;

struct gateway_link_ops {
	/* It is open: calls can be made. */
	void (*open)(void *owner);
	/* It cannot be opened, or is over, and every call has ended: close it, now or later. why names the
	 * gateway. */
	void (*lost)(void *owner, const struct err *why);
};

/* Begins to open one; g is borrowed until it is closed. ops are called from the loop, lost once. */
struct gateway_link *gateway_link_open(const struct gateway *g, struct loop *l, struct resolver *r,
				       const struct gateway_link_ops *ops, void *owner);
/* Calls on it end without a callback. May be called from any callback; takes NULL. */
void gateway_link_close(struct gateway_link *k);

/* Starts a call on an open link (see client.h); the token, as it is then, is put to it. */
struct grpc_rpc *gateway_rpc_start(struct gateway_link *k, const struct grpc_rpc_config *cfg,
				   const struct grpc_rpc_ops *ops, void *user);
struct grpc_rpc *gateway_rpc_call(struct gateway_link *k, const struct grpc_rpc_config *cfg,
				  const void *request, const struct grpc_rpc_ops *ops, void *user);
/* The same with the ServiceAccount's token. */
struct grpc_rpc *gateway_rpc_call_as_account(struct gateway_link *k,
					     const struct grpc_rpc_config *cfg, const void *request,
					     const struct grpc_rpc_ops *ops, void *user);

#endif
