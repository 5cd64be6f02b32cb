/*
 * The policy of a sandbox (supervisor contract 5): what its processes may read and write, as whom
 * they run, and whom they may talk to. This header is the model and its life; decide.h answers
 * questions to it.
 *
 * A policy is made whole - read, checked, compiled - and never changes after that. Who uses one holds
 * a reference. A new policy takes the old one's place in one step, policy_publish, which gives it
 * the next generation; what was allowed by an older one is asked for again when it is next used
 * (contract 5.6). Nothing here does I/O: files and gateways are the supervisor's.
 *
 * All text is NUL-terminated, lives as long as the policy, and is "" where the policy says nothing,
 * unless a comment says NULL.
 */
#ifndef OPENSHELL_POLICY_POLICY_H
#define OPENSHELL_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cJSON.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "policy/glob.h"

enum {
	/* contract 5.3 */
	POLICY_PATHS_MAX = 256, /* read_only and read_write together */
	POLICY_PATH_LENGTH_MAX = 4096,
	POLICY_MIDDLEWARES_MAX = 10,
	POLICY_SELECTORS_MAX = 32, /* host patterns of a middleware */
	/* contract 6.7: of a request's body that must be parsed, where the policy does not say */
	POLICY_BODY_DEFAULT = 65536,
	/* ours: each endpoint is compared with every other */
	POLICY_ENDPOINTS_MAX = 2048,
	POLICY_PORTS_MAX = 1024, /* of one endpoint */
};

/* Where in a policy's text something stands; {0, 0} where it came from no text. */
struct policy_mark {
	unsigned line, column;
};

struct policy_texts {
	const char **v;
	size_t n;
};

/* A pattern as it was written, and its program: NULL where it has no meaning (the method of a REST
 * rule is a word, no pattern), or where it matches everything. */
struct policy_pattern {
	const char *text;
	const struct glob *glob;
};

struct policy_patterns {
	struct policy_pattern *v;
	size_t n;
};

/* Contract 5.4. Written in letters of either case. */
enum policy_protocol {
	POLICY_L4,  /* none given: a tunnel, as far as the destination allows */
	POLICY_TCP, /* the same, and reachable by policy DNS without a proxy */
	POLICY_REST,
	POLICY_WEBSOCKET,
	POLICY_GRAPHQL,
	POLICY_SQL, /* passed on; nothing understands it yet */
	POLICY_JSON_RPC,
	POLICY_MCP,
	POLICY_PROTOCOLS
};

/* As it is written: "rest"; "" for POLICY_L4. */
const char *policy_protocol_name(enum policy_protocol p);
/* Whether requests are looked into: everything but L4 and TCP. */
bool policy_protocol_inspected(enum policy_protocol p);

/* What is done with a request that the rules do not allow. */
enum policy_enforcement {
	POLICY_AUDIT, /* it is logged and passes; the default */
	POLICY_ENFORCE,
};

enum policy_access { POLICY_ACCESS_NONE, POLICY_READ_ONLY, POLICY_READ_WRITE, POLICY_FULL };

/* A key of the query, or of the parameters, and what its value must match one of. */
struct policy_matcher {
	const char *key;
	struct policy_patterns any;
};

struct policy_matchers {
	struct policy_matcher *v;
	size_t n;
};

/* An allow or a deny clause. Which of its parts count depends on the endpoint's protocol; decide.h
 * says how. Presets (access) have become such rules. */
struct policy_rule {
	struct policy_mark at;
	struct policy_pattern method; /* a glob for MCP only */
	struct policy_pattern path;
	const char *command; /* SQL */
	struct policy_matchers query;
	const char *operation_type; /* GraphQL: query, mutation, subscription or * */
	struct policy_pattern operation_name;
	struct policy_patterns fields;
	struct policy_matchers params; /* of JSON-RPC, keys joined by dots; tool is "name" */
};

struct policy_rules {
	struct policy_rule *v;
	size_t n;
};

/* A persisted GraphQL query that is known by its hash or id. */
struct policy_operation {
	const char *key;
	const char *operation_type, *operation_name;
	struct policy_texts fields;
};

/* Addresses: the first prefix bits of addr. IPv4 is written ::ffff:a.b.c.d, prefix 96 and up. */
struct policy_net {
	uint8_t addr[16];
	unsigned prefix;
};

struct policy_endpoint {
	struct policy_mark at;
	struct policy_pattern host; /* a glob where it has a "*"; "" with allowed_ips is any host */
	struct policy_pattern path; /* "" is any path */
	uint16_t *ports;            /* ascending, each once, never 0 */
	size_t ports_n;
	/* as written, and what it means */
	const char *protocol_text, *tls, *enforcement_text, *access_text;
	enum policy_protocol protocol;
	bool tls_skip; /* the tunnel is not to be looked into */
	enum policy_enforcement enforcement;
	enum policy_access access;
	struct policy_rules allow, deny;
	struct policy_texts allowed_ips; /* as written */
	struct policy_net *nets;         /* the same, read; allowed_ips.n of them */
	bool allow_encoded_slash;
	bool websocket_credential_rewrite, request_body_credential_rewrite;
	bool allow_uninspected_credentials;
	const char *persisted_queries; /* "", deny or allow_registered */
	struct policy_operation *operations;
	size_t operations_n;
	uint32_t graphql_max_body_bytes, json_rpc_max_body_bytes; /* 0: POLICY_BODY_DEFAULT */
	const char *credential_signing, *signing_service, *signing_region;
	const char *credential_provider; /* credential_binding.provider */
	bool mcp_given, mcp_strict_tool_names /* default true */, mcp_allow_all;
	/* set by a gateway only, never by a text: made by the advisor, not by a person; bound to
	 * credentials of a provider */
	bool advisor_proposed, provider_credentialed;
};

struct policy_binary {
	struct policy_pattern path; /* a glob where it has a "*" */
	bool advisor_proposed;      /* never by a text */
};

struct policy_network {
	struct policy_mark at;
	const char *key;  /* its name in decisions */
	const char *name; /* its name in errors: the key where no other is given */
	struct policy_endpoint *endpoints;
	size_t endpoints_n;
	struct policy_binary *binaries;
	size_t binaries_n;
};

struct policy_middleware {
	struct policy_mark at;
	const char *key, *name, *middleware;
	const cJSON *config; /* a mapping, or NULL */
	const char *on_error;
	bool fail_open; /* on_error is fail_open; else fail_closed */
	bool selector_given;
	int32_t order;
	struct policy_patterns include, exclude;
};

struct Openshell__Sandbox__V1__SandboxPolicy; /* proto/sandbox.proto */

struct policy {
	uint32_t version;
	/* Without a filesystem section the working directory is included and nothing else is said
	 * (contract 5.2). */
	bool filesystem_given;
	bool include_workdir;
	struct policy_texts read_only, read_write;
	const char *landlock_compatibility;
	bool landlock_required;                 /* hard_requirement; else best_effort */
	const char *run_as_user, *run_as_group; /* "": the runtime decides */
	struct policy_network *networks;        /* ascending by key */
	size_t networks_n;
	struct policy_middleware *middlewares; /* ascending by order */
	size_t middlewares_n;
	/* What was accepted but is likely not meant, one sentence each, for CONFIG:VALIDATED. */
	struct policy_texts warnings;
	/* 0 until it is published. */
	uint64_t generation;
	/* the rest is policy.c's */
	int refs;
	struct arena arena;
	cJSON *tree;
};

/*
 * What a program's path leads to where it is a symbolic link in the sandbox's own file system (contract
 * 5.6): the target as a string that the policy then frees, or NULL. Whoever has a root to look into
 * brings this; a policy that was read without it is read again once there is one.
 */
typedef char *policy_resolve_fn(void *arg, const char *path);

/* Reads a policy from YAML or JSON, checks it (contract 5.3) and makes it ready for decisions. what
 * names the text in errors: "policy.yaml: line 7 column 5: unknown field "hots" in an endpoint".
 * resolve may be NULL. NULL on error, with the code EPERM where it is a policy, but not one that may
 * hold; else the caller's reference. */
struct policy *policy_parse(struct str text, const char *what, policy_resolve_fn *resolve,
			    void *arg, struct err *e);

/* The same from a gateway's message; what names it in errors. Nothing of the message is kept. A field that
 * this version does not know is passed over, as protobuf has it. */
struct policy *policy_of_message(const struct Openshell__Sandbox__V1__SandboxPolicy *m,
				 const char *what, policy_resolve_fn *resolve, void *arg,
				 struct err *e);
/* And back, for one that was read without a resolve; the arena's. NULL where a middleware's config is
 * nested deeper than a message may be. */
struct Openshell__Sandbox__V1__SandboxPolicy *policy_to_message(const struct policy *p,
								struct arena *a, struct err *e);

/* What holds where no policy was given: the usual paths, no network (contract 2.5). The caller's. */
struct policy *policy_restrictive(void);

/* The same for a policy that could not be activated and whose predecessor may not stay (contract
 * 2.6, fail_closed): no network, and nothing changes for the file system. The caller's. */
struct policy *policy_quarantine(const struct policy *instead_of);

struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p); /* takes NULL */

/* Puts next, which it takes and which must be new, in the place of *current, and drops that
 * reference. The generation goes up by one; it is returned. */
uint64_t policy_publish(struct policy **current, struct policy *next);

/* Whether the endpoint says how a connection or a request is to be treated, and not only that it may
 * be made: an inspected protocol, addresses, a TLS mode or a provider. */
bool policy_endpoint_configures(const struct policy_endpoint *ep);
/* How narrow its path is: the characters of it that are no "*" (contract 5.5). */
size_t policy_endpoint_specificity(const struct policy_endpoint *ep);

/* Whether the address, IPv4 mapped as in struct policy_net, is in the net. */
bool policy_net_has(const struct policy_net *net, const uint8_t addr[16]);

#endif
