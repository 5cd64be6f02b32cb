/*
 * Unary calls to the gateway while the sandbox runs, all on one link: it is opened when the first is made, stays
 * open, and is opened anew for the next call after it was lost. Nothing here tries again: whoever calls does, each
 * in its own way. The poll, the acknowledgements, the provider environment and the token are asked for with it.
 */
#ifndef OPENSHELL_SUPERVISOR_GATEWAY_CALLS_H
#define OPENSHELL_SUPERVISOR_GATEWAY_CALLS_H

#include "base/list.h"
#include "supervisor/gateway.h"

struct gateway_calls;

/* A call; embedded in who makes it. Zeroed but for done, it is not under way. */
struct gateway_call {
	/* Called once for each start, from the loop. message is there when status is OK, and is released when this
	 * returns; text is the gateway's word or ours, never empty but for OK. The call may be started again. */
	void (*done)(struct gateway_call *c, enum grpc_status status, const void *message,
		     struct str text);
	bool as_account; /* with the ServiceAccount's token */
	/* the rest is gateway_calls.c's */
	struct gateway_calls *calls; /* while it is under way */
	struct list link;
	const char *method;
	const ProtobufCMessageDescriptor *out;
	void *request; /* until it is sent */
	struct grpc_rpc *rpc;
	void *answer;
};

/* What is given is borrowed. */
struct gateway_calls *gateway_calls_new(struct loop *l, struct resolver *r,
					const struct gateway *g);
/* Calls that are under way end without done. Not from done; takes NULL. */
void gateway_calls_free(struct gateway_calls *s);

/* Makes a call of openshell.v1.OpenShell: "GetSandboxConfig". It ends within GATEWAY_CONNECT_MS and GATEWAY_CALL_MS.
 * request is copied; c must not be under way. */
void gateway_call_start(struct gateway_calls *s, struct gateway_call *c, const char *method,
			const void *request, const ProtobufCMessageDescriptor *out);
/* done is not called; harmless when it is not under way. Not from its own done. */
void gateway_call_cancel(struct gateway_call *c);

#endif
