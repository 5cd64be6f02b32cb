/*
 * Requests that are looked into: what their endpoints' rules say, put together (supervisor contract
 * 5.5, L7).
 */
#include <string.h>

#include "policy/decide_impl.h"

static bool has_transport(const struct policy_rule *r)
{
	return !str_empty(r->method.text) || !str_empty(r->path.text) || r->query.n > 0;
}

/* ---- method, path, query ---- */

/* HEAD is GET without the body (RFC 9110, 9.3.2): who may one may the other. */
static bool method_matches(const char *rule, struct str method)
{
	if (streq(rule, "*") || str_ieq(str_of(rule), method))
		return true;
	return str_ieq(method, STR("HEAD")) && str_ieq(str_of(rule), STR("GET"));
}

static bool path_matches(const struct policy_pattern *rule, struct str path)
{
	if (rule->glob != NULL)
		return glob_match(rule->glob, path);
	return !str_empty(rule->text); /* two stars, see compile_path */
}

enum found { NO_VALUE, NONE_MATCHES, SOME_MATCH, ALL_MATCH };

/* How the values of a key match. */
static enum found find_values(const struct policy_matcher *m, const struct policy_request *r)
{
	size_t values = 0, matching = 0;

	for (size_t i = 0; i < r->query_n; i++) {
		if (!str_is(r->query[i].key, m->key))
			continue;
		values++;
		matching += decide_any_matches(&m->any, r->query[i].value);
	}
	if (values == 0)
		return NO_VALUE;
	return matching == values ? ALL_MATCH : matching > 0 ? SOME_MATCH : NONE_MATCHES;
}

static bool query_matches(const struct policy_matchers *rule, const struct policy_request *r,
			  enum found at_least)
{
	for (size_t i = 0; i < rule->n; i++) {
		if (find_values(&rule->v[i], r) < at_least)
			return false;
	}
	return true;
}

static bool rest_allows(const struct policy_rule *rule, const struct policy_request *r)
{
	return !str_empty(rule->method.text) && method_matches(rule->method.text, r->method) &&
	       path_matches(&rule->path, r->path) && query_matches(&rule->query, r, ALL_MATCH);
}

static bool rest_denies(const struct policy_rule *rule, const struct policy_request *r)
{
	if (!has_transport(rule))
		return false;
	return (str_empty(rule->method.text) || method_matches(rule->method.text, r->method)) &&
	       (str_empty(rule->path.text) || path_matches(&rule->path, r->path)) &&
	       query_matches(&rule->query, r, SOME_MATCH);
}

/* ---- SQL ---- */

static bool command_matches(const struct policy_rule *rule, const struct policy_request *r)
{
	if (str_empty(rule->command) || r->command.p == NULL)
		return false;
	return streq(rule->command, "*") || str_ieq(str_of(rule->command), r->command);
}

/* ---- one endpoint ---- */

static bool endpoint_allows(const struct policy_endpoint *ep, const struct policy_request *r)
{
	for (size_t i = 0; i < ep->allow.n; i++) {
		const struct policy_rule *rule = &ep->allow.v[i];
		if ((!rpc_endpoint(ep) && rest_allows(rule, r)) || command_matches(rule, r))
			return true;
	}
	return (rpc_endpoint(ep) && rpc_allowed(r, ep)) || graphql_allowed(r, ep);
}

static bool endpoint_denies(const struct policy_endpoint *ep, const struct policy_request *r)
{
	for (size_t i = 0; i < ep->deny.n; i++) {
		const struct policy_rule *rule = &ep->deny.v[i];
		if ((!rpc_endpoint(ep) && rest_denies(rule, r)) || command_matches(rule, r))
			return true;
	}
	return (rpc_endpoint(ep) && rpc_denied(r, ep)) || graphql_denied(r, ep);
}

/* ---- all of them ---- */

/* In the order of what is told first, contract 5.5. */
static const char *why_not(const struct policy_request *r, const struct policy_endpoint *ep,
			   bool denied, struct arena *a)
{
	if (graphql_has_error(r))
		return arena_printf(a, "GraphQL request rejected: %.*s",
				    STR_FMT(r->graphql->error));
	if (ep != NULL && graphql_unregistered(r, ep))
		return "GraphQL persisted query is not registered";
	if (graphql_has_operations(r))
		return denied ? "GraphQL operation blocked by endpoint policy"
			      : "GraphQL operation not permitted by policy";
	if (rpc_has_response(r) && ep != NULL && ep->protocol == POLICY_JSON_RPC)
		return "JSON-RPC response frames are not permitted from client to server";
	return arena_printf(a, "%.*s %.*s %s", STR_FMT(r->method), STR_FMT(r->path),
			    denied ? "blocked by deny rule" : "not permitted by policy");
}

void policy_decide_request(const struct policy *p, const struct policy_target *target,
			   const struct policy_caller *caller, const struct policy_request *request,
			   struct arena *a, struct policy_request_verdict *out)
{
	struct policy_verdict v;
	bool allowed = false, denied = false;

	policy_decide(p, target, caller, a, &v);
	for (size_t i = 0; i < v.endpoints_n; i++) {
		const struct policy_endpoint *ep = v.endpoints[i];
		if (!decide_path_matches(ep, request->path))
			continue;
		allowed = allowed || endpoint_allows(ep, request);
		denied = denied || endpoint_denies(ep, request);
	}
	const struct policy_endpoint *ep = policy_endpoint_for(&v, request->path);
	*out = (struct policy_request_verdict){
		.allowed = allowed && !denied,
		.enforced = ep == NULL || ep->enforcement == POLICY_ENFORCE,
		.policy = v.policy,
		.generation = p->generation,
		.endpoint = ep,
	};
	if (!out->allowed)
		out->reason = why_not(request, ep, denied, a);
}
