/*
 * What an endpoint's protocol and rules must hold (supervisor contract 5.3 and 5.4).
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "policy/policy_impl.h"

struct where {
	struct policy_build *b;
	const struct policy_network *n;
	struct policy_endpoint *ep;
};

#define BAD(w, ...) bad(w, (w)->ep->at, __VA_ARGS__)

__attribute__((format(printf, 3, 4))) static int bad(const struct where *w, struct policy_mark at,
						     const char *fmt, ...)
{
	char words[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	return policy_bad(w->b, at,
			  "network policy '%s': endpoint %zu has invalid L7 configuration: %s",
			  w->n->name, (size_t)(w->ep - w->n->endpoints), words);
}

__attribute__((format(printf, 3, 4))) static void warn(const struct where *w, struct policy_mark at,
						       const char *fmt, ...)
{
	char words[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	policy_warn(w->b, at, "%s.endpoints[%zu]: %s", w->n->key, (size_t)(w->ep - w->n->endpoints),
		    words);
}

static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (strcasecmp(s, *words) == 0)
			return true;
	}
	return false;
}

/* ---- words ---- */

static int take_protocol(const struct where *w)
{
	for (int i = 0; i < POLICY_PROTOCOLS; i++) {
		if (strcasecmp(w->ep->protocol_text, policy_protocol_name(i)) == 0) {
			w->ep->protocol = i;
			return 0;
		}
	}
	return BAD(w,
		   "unknown protocol '%.64s' (expected tcp, rest, websocket, graphql, sql, "
		   "json-rpc, or mcp)",
		   w->ep->protocol_text);
}

static int take_enforcement(const struct where *w)
{
	const char *s = w->ep->enforcement_text;

	w->ep->enforcement = streq(s, "enforce") ? POLICY_ENFORCE : POLICY_AUDIT;
	if (w->ep->enforcement == POLICY_ENFORCE || str_empty(s) || streq(s, "audit"))
		return 0;
	return BAD(w, "unknown enforcement value '%.64s' (expected enforce or audit)", s);
}

static int take_access(const struct where *w)
{
	static const char *const names[] = {"", "read-only", "read-write", "full"};
	_Static_assert(ARRAY_LEN(names) == POLICY_FULL + 1, "a preset without a name");

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (streq(w->ep->access_text, names[i])) {
			w->ep->access = (enum policy_access)i;
			return 0;
		}
	}
	return BAD(w, "unknown access value '%.64s' (expected read-only, read-write, or full)",
		   w->ep->access_text);
}

/* Everything but skip is automatic (5.4), which is the safe side of a typing error. */
static void take_tls(const struct where *w)
{
	const char *s = w->ep->tls;

	w->ep->tls_skip = streq(s, "skip");
	if (str_empty(s))
		return;
	if (!w->ep->tls_skip)
		warn(w, w->ep->at,
		     "'tls: %.64s' is %s; TLS termination is now automatic. Use 'tls: skip' to "
		     "disable.",
		     s,
		     streq(s, "terminate") || streq(s, "passthrough") ? "deprecated" : "unknown");
	for (size_t i = 0; i < w->ep->ports_n && w->ep->tls_skip; i++) {
		if (w->ep->ports[i] == 443 && policy_protocol_inspected(w->ep->protocol))
			warn(w, w->ep->at,
			     "'tls: skip' with L7 rules on port 443: L7 inspection cannot work on "
			     "encrypted traffic");
	}
}

/* ---- which fields go together ---- */

static int check_tcp(const struct where *w)
{
	const struct policy_endpoint *ep = w->ep;
	const struct {
		const char *name;
		bool given;
	} fields[] = {
		{"enforcement", !str_empty(ep->enforcement_text)},
		{"path", !str_empty(ep->path.text)},
		{"allow_encoded_slash", ep->allow_encoded_slash},
		{"websocket_credential_rewrite", ep->websocket_credential_rewrite},
		{"request_body_credential_rewrite", ep->request_body_credential_rewrite},
		{"persisted_queries", !str_empty(ep->persisted_queries)},
		{"graphql_persisted_queries", ep->operations_n > 0},
		{"graphql_max_body_bytes", ep->graphql_max_body_bytes > 0},
		{"json_rpc_max_body_bytes", ep->json_rpc_max_body_bytes > 0},
		{"mcp", ep->mcp_given},
	};

	if (ep->access != POLICY_ACCESS_NONE || ep->allow.n > 0 || ep->deny.n > 0)
		return BAD(w, "protocol tcp does not support access, rules, or deny_rules; remove "
			      "those L7 fields");
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (fields[i].given)
			return BAD(w,
				   "protocol tcp does not support L7-only fields: %s; remove those "
				   "fields",
				   fields[i].name);
	}
	return 0;
}

static bool says_nothing(const struct policy_rule *r)
{
	return str_empty(r->method.text) && str_empty(r->path.text) && str_empty(r->command) &&
	       str_empty(r->operation_type) && str_empty(r->operation_name.text) &&
	       r->fields.n == 0 && r->params.n == 0;
}

static bool would_deny_all(const struct policy_endpoint *ep)
{
	for (size_t i = 0; i < ep->allow.n; i++) {
		if (!says_nothing(&ep->allow.v[i]))
			return false;
	}
	return ep->allow.n > 0;
}

static int check_rpc_base(const struct where *w)
{
	const struct policy_endpoint *ep = w->ep;
	bool mcp = ep->protocol == POLICY_MCP;

	if (ep->access != POLICY_ACCESS_NONE && mcp)
		return BAD(w, "protocol mcp does not support access presets; use rules/deny_rules "
			      "or set mcp.allow_all_known_mcp_methods: true for an allow-all MCP "
			      "policy");
	if (ep->access != POLICY_ACCESS_NONE)
		return BAD(w, "protocol json-rpc does not support access presets; use explicit "
			      "rules with allow.method such as \"*\"");
	if (ep->allow.n == 0 && !mcp)
		return BAD(w, "protocol json-rpc requires explicit rules with allow.method");
	if (ep->allow.n == 0 && !ep->mcp_allow_all)
		return BAD(w, "protocol mcp requires rules when mcp.allow_all_known_mcp_methods is "
			      "false");
	return 0;
}

/* What the rules start from: presets or rules, and what denies takes from them. */
static int check_base(const struct where *w)
{
	const struct policy_endpoint *ep = w->ep;
	bool rpc = ep->protocol == POLICY_JSON_RPC || ep->protocol == POLICY_MCP;
	bool inspected = policy_protocol_inspected(ep->protocol);
	bool based = ep->allow.n > 0 || ep->access != POLICY_ACCESS_NONE;

	if (ep->allow.n > 0 && ep->access != POLICY_ACCESS_NONE)
		return BAD(w, "rules and access are mutually exclusive");
	if (rpc && check_rpc_base(w) < 0)
		return -1;
	if (inspected && !rpc && !based)
		return BAD(w, "protocol requires rules or access to define allowed traffic");
	if (would_deny_all(ep) && !(ep->protocol == POLICY_MCP && ep->mcp_allow_all))
		return BAD(w, "rules would deny all traffic (no allow clause found). Use `access: "
			      "full` or add allow clauses to rules.");
	if (ep->deny.n > 0 && !inspected)
		return BAD(w, "deny_rules require protocol (L7 inspection must be enabled)");
	if (ep->protocol == POLICY_SQL && ep->enforcement == POLICY_ENFORCE)
		return BAD(w, "SQL enforcement requires full SQL parsing; use enforcement: audit");
	return 0;
}

/* ---- GraphQL ---- */

static bool has_graphql(const struct policy_rule *r)
{
	return !str_empty(r->operation_type) || !str_empty(r->operation_name.text) ||
	       r->fields.n > 0;
}

static bool has_transport(const struct policy_rule *r)
{
	return !str_empty(r->method.text) || !str_empty(r->path.text) || r->query.n > 0;
}

bool policy_websocket_graphql(const struct policy_endpoint *ep)
{
	if (ep->operations_n > 0 || streq(ep->persisted_queries, "allow_registered"))
		return true;
	for (size_t i = 0; i < ep->allow.n; i++) {
		if (has_graphql(&ep->allow.v[i]))
			return true;
	}
	for (size_t i = 0; i < ep->deny.n; i++) {
		if (has_graphql(&ep->deny.v[i]))
			return true;
	}
	return false;
}

static int check_operations(const struct where *w)
{
	static const char *const types[] = {"query", "mutation", "subscription", NULL};
	const struct policy_endpoint *ep = w->ep;

	if (!str_empty(ep->persisted_queries) && !streq(ep->persisted_queries, "deny") &&
	    !streq(ep->persisted_queries, "allow_registered"))
		return BAD(w, "persisted_queries must be 'deny' or 'allow_registered', got '%.64s'",
			   ep->persisted_queries);
	for (size_t i = 0; i < ep->operations_n; i++) {
		const struct policy_operation *op = &ep->operations[i];
		if (!is_one_of(op->operation_type, types))
			return BAD(w,
				   "graphql_persisted_queries[%.64s].operation_type must be query, "
				   "mutation, or subscription",
				   op->key);
	}
	if (ep->protocol != POLICY_GRAPHQL && ep->protocol != POLICY_WEBSOCKET &&
	    (ep->operations_n > 0 || !str_empty(ep->persisted_queries) ||
	     ep->graphql_max_body_bytes > 0))
		warn(w, ep->at,
		     "GraphQL-specific endpoint fields are ignored unless protocol is "
		     "graphql or websocket");
	return 0;
}

static int check_graphql_rule(const struct where *w, const struct policy_rule *r, const char *name,
			      size_t i)
{
	static const char *const types[] = {"query", "mutation", "subscription", "*", NULL};
	bool websocket = w->ep->protocol == POLICY_WEBSOCKET;

	if (!has_graphql(r) && w->ep->protocol != POLICY_GRAPHQL)
		return 0;
	if (!websocket && w->ep->protocol != POLICY_GRAPHQL) {
		warn(w, r->at,
		     "%s[%zu]: GraphQL rule fields are ignored unless protocol is graphql "
		     "or websocket",
		     name, i);
		return 0;
	}
	if (websocket && has_transport(r))
		return bad(w, r->at,
			   "%s[%zu]: WebSocket GraphQL rules must not combine method/path/query "
			   "with operation_type/operation_name/fields",
			   name, i);
	if (!is_one_of(r->operation_type, types))
		return bad(w, r->at,
			   "%s[%zu].operation_type must be query, mutation, or subscription", name,
			   i);
	return 0;
}

/* ---- rules ---- */

static void warn_of_method(const struct where *w, const struct policy_rule *r, const char *name,
			   size_t i)
{
	static const char *const http[] = {"GET",   "HEAD",    "POST", "PUT", "DELETE",
					   "PATCH", "OPTIONS", "*",    "",    NULL};
	static const char *const websocket[] = {"GET", "WEBSOCKET_TEXT", "*", "", NULL};
	bool ws = w->ep->protocol == POLICY_WEBSOCKET;

	if ((ws || w->ep->protocol == POLICY_REST) &&
	    !is_one_of(r->method.text, ws ? websocket : http))
		warn(w, r->at, "%s[%zu]: Unknown HTTP/WebSocket method '%.64s'", name, i,
		     r->method.text);
}

/* A rule of requests needs a method and a path; where an allow rule lacks one it never matches. */
static void warn_of_idle(const struct where *w, const struct policy_rule *r, size_t i)
{
	bool rpc = w->ep->protocol == POLICY_JSON_RPC ||
		   (w->ep->protocol == POLICY_MCP && !w->ep->mcp_allow_all);
	bool rest = w->ep->protocol == POLICY_REST || w->ep->protocol == POLICY_WEBSOCKET;

	if ((rpc && str_empty(r->method.text)) ||
	    (rest && !has_graphql(r) && (str_empty(r->method.text) || str_empty(r->path.text))))
		warn(w, r->at, "rules[%zu].allow never matches: it lacks a method%s", i,
		     rest ? " or a path" : "");
}

static int check_rule(const struct where *w, const struct policy_rule *r, const char *name,
		      size_t i)
{
	if (w->ep->protocol == POLICY_JSON_RPC && r->params.n > 0)
		return bad(w, r->at, "%s[%zu]: protocol json-rpc does not support params", name, i);
	warn_of_method(w, r, name, i);
	return check_graphql_rule(w, r, name, i);
}

static int check_rules(const struct where *w)
{
	const struct policy_endpoint *ep = w->ep;
	bool ws_graphql = ep->protocol == POLICY_WEBSOCKET && policy_websocket_graphql(ep);

	for (size_t i = 0; i < ep->allow.n; i++) {
		const struct policy_rule *r = &ep->allow.v[i];
		if (ws_graphql && strcasecmp(r->method.text, "WEBSOCKET_TEXT") == 0)
			return bad(w, r->at,
				   "rules[%zu].allow: WebSocket endpoints with GraphQL operation "
				   "policy must use operation_type/operation_name/fields rules for "
				   "client messages instead of WEBSOCKET_TEXT",
				   i);
		if (check_rule(w, r, "rules", i) < 0)
			return -1;
		warn_of_idle(w, r, i);
	}
	for (size_t i = 0; i < ep->deny.n; i++) {
		const struct policy_rule *r = &ep->deny.v[i];
		if (check_rule(w, r, "deny_rules", i) < 0)
			return -1;
		if (says_nothing(r) && r->query.n == 0)
			return bad(w, r->at, "deny_rules[%zu] says nothing", i);
	}
	return 0;
}

/* ---- the endpoint ---- */

static int check_path(const struct where *w)
{
	const char *path = w->ep->path.text;

	if (str_empty(path) || path[0] == '/' || streq(path, "**"))
		return 0;
	return BAD(w, "endpoint path must start with '/' or be '**', got '%.64s'", path);
}

static void warn_of_rewrites(const struct where *w)
{
	enum policy_protocol p = w->ep->protocol;

	if (w->ep->websocket_credential_rewrite && p != POLICY_REST && p != POLICY_WEBSOCKET)
		warn(w, w->ep->at,
		     "websocket_credential_rewrite is ignored unless protocol is rest "
		     "or websocket");
	if (w->ep->request_body_credential_rewrite && p != POLICY_REST)
		warn(w, w->ep->at,
		     "request_body_credential_rewrite is ignored unless protocol is "
		     "rest");
	if (w->ep->mcp_given && p != POLICY_MCP)
		warn(w, w->ep->at, "mcp is ignored unless protocol is mcp");
}

int policy_check_l7(struct policy_build *b, const struct policy_network *n,
		    struct policy_endpoint *ep)
{
	const struct where w = {b, n, ep};

	if (take_protocol(&w) < 0 || take_enforcement(&w) < 0 || take_access(&w) < 0)
		return -1;
	take_tls(&w);
	if (ep->protocol == POLICY_TCP && check_tcp(&w) < 0)
		return -1;
	if (check_path(&w) < 0 || check_base(&w) < 0 || check_operations(&w) < 0 ||
	    check_rules(&w) < 0)
		return -1;
	warn_of_rewrites(&w);
	return 0;
}
