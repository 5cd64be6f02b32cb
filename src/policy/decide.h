/*
 * Questions to a policy (supervisor contract 5.5): may this program reach that destination, and, where
 * requests are looked into, may it make this request. The answers are functions of the policy and the
 * question alone: no state, no I/O, no clock. The proxy asks; it also does what the answer says.
 *
 * Several network policies may match. A destination is allowed when one of them has it for the
 * program. A request is allowed when an allow rule of one of them matches and no deny rule of any.
 * The name that is reported is the smallest of those that match, byte by byte.
 */
#ifndef OPENSHELL_POLICY_DECIDE_H
#define OPENSHELL_POLICY_DECIDE_H

#include "base/arena.h"
#include "policy/policy.h"

enum {
	POLICY_REASON_MAX = 8192, /* bytes of a reason; what does not fit is left out */
};

/* ---- who asks, and for what ---- */

struct policy_target {
	struct str
		host; /* as the client named it, without a trailing dot; letters of either case */
	uint16_t port;
};

/* Contract 6.2. All of it as the kernel says, but for cmdline, which is the process' own word: it is
 * told in reasons and never grants anything. */
struct policy_caller {
	bool relaxed; /* nobody can tell who asks: every program is taken for one that may */
	const char *exe;
	const char *const *ancestors; /* the parent first */
	size_t ancestors_n;
	const char *const *cmdline;
	size_t cmdline_n;
};

/* ---- a destination ---- */

/* What an answer points to is the policy's or the arena's. */
struct policy_verdict {
	bool allowed;
	const char *policy;  /* the key of the one that allows; NULL when none does */
	const char *reason;  /* NULL when allowed */
	uint64_t generation; /* of the policy that was asked */
	/* every endpoint for the destination of every policy that allows it, by their keys */
	const struct policy_endpoint **endpoints;
	size_t endpoints_n;
	/* what those say together; they agree (contract 5.3) */
	bool tls_skip;  /* the bytes are not to be looked into */
	bool inspected; /* requests are to be judged one by one, policy_decide_request */
	/* a person wrote this very host, for this program: private addresses are meant (6.5) */
	bool exact_host;
};

/* The first middleware, by order, that has a say in what goes to the host: it is included and not excluded. Of
 * those that must not be missing (fail_closed) where that is asked for. NULL when there is none. */
const struct policy_middleware *policy_middleware_for(const struct policy *p, struct str host,
						      bool fail_closed);

/* Whether the caller may reach the target. target or caller may be NULL, which is denied. */
void policy_decide(const struct policy *p, const struct policy_target *target,
		   const struct policy_caller *caller, struct arena *a, struct policy_verdict *out);

/* Whether the answer is of another generation than the policy that holds now: it must be asked for
 * again, and where bytes flow already they must stop (contract 5.6, `policy_stale`). */
bool policy_verdict_stale(const struct policy_verdict *v, const struct policy *now);

/* The endpoint that says how a request with this path is taken apart and treated: of those whose
 * requests are inspected and whose path matches the one with the narrowest path. NULL if there is
 * none. */
const struct policy_endpoint *policy_endpoint_for(const struct policy_verdict *v, struct str path);

/* ---- a request ---- */

struct policy_param {
	struct str key, value; /* decoded; a key may be there several times */
};

/* An operation of a GraphQL request. Empty texts where the request does not say. */
struct policy_graphql_operation {
	struct str operation_type, operation_name;
	const struct str *fields; /* of the root */
	size_t fields_n;
	bool persisted; /* it names a persisted query */
	struct str persisted_hash, persisted_id;
};

struct policy_graphql {
	struct str error; /* why it could not be parsed; empty if it could */
	const struct policy_graphql_operation *operations;
	size_t operations_n;
};

/* A JSON-RPC frame, or, for a GET, the stream on which frames come back. */
struct policy_jsonrpc {
	struct str error;
	struct str method; /* empty for a response */
	bool has_response; /* it answers a request of the server's */
	bool receive_stream;
	const struct policy_param *params; /* those that are text, keys joined by dots */
	size_t params_n;
};

struct policy_request {
	struct str method;
	/* Canonical (contract 6.7): percent-decoded, no dot segments, no double slashes. Patterns
	 * are matched to it as it is. */
	struct str path;
	const struct policy_param *query;
	size_t query_n;
	struct str command;                   /* SQL; .p is NULL where there is none */
	const struct policy_graphql *graphql; /* NULL where the body was not looked at for it */
	const struct policy_jsonrpc *jsonrpc; /* likewise */
};

struct policy_request_verdict {
	bool allowed;
	/* Whether a request that is not allowed is stopped, or only told about (audit). True where
	 * no inspected endpoint has the request's path. */
	bool enforced;
	const char *policy; /* as in struct policy_verdict */
	const char *reason; /* NULL when allowed */
	uint64_t generation;
	const struct policy_endpoint *endpoint; /* as of policy_endpoint_for */
};

/*
 * Whether the caller may make the request. Which rules are looked at depends on the protocol of the
 * endpoint that they stand in:
 *
 *	rest, websocket, sql    method (GET is also HEAD), path and query; a command
 *	graphql                 operations; and such an endpoint has the last word: what its rules
 *	                        do not allow is denied, whatever another endpoint says. So has a
 *	                        websocket endpoint for messages that are GraphQL.
 *	json-rpc                POST only; the RPC method, exactly or "*"; no responses
 *	mcp                     the RPC method as a glob, and params; responses, and the GET on which
 *	                        they come, pass
 *
 * On the allow side each key of the query must be there and all its values match; on the deny side
 * one value is enough. A deny rule without a method or a path is about all of them: the peer's never
 * matches, which nobody means who writes one.
 */
void policy_decide_request(const struct policy *p, const struct policy_target *target,
			   const struct policy_caller *caller, const struct policy_request *request,
			   struct arena *a, struct policy_request_verdict *out);

#endif
