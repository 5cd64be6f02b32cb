/*
 * JSON-RPC and MCP (supervisor contract 5.5). JSON-RPC methods are words; an MCP rule has a glob for
 * the method and may narrow by parameters, of which only those that are text are compared.
 */
#include <string.h>

#include "policy/decide_impl.h"

bool rpc_endpoint(const struct policy_endpoint *ep)
{
	return ep->protocol == POLICY_JSON_RPC || ep->protocol == POLICY_MCP;
}

bool rpc_has_response(const struct policy_request *r)
{
	return r->jsonrpc != NULL && r->jsonrpc->has_response;
}

static bool params_match(const struct policy_matchers *rule, const struct policy_jsonrpc *j)
{
	for (size_t i = 0; i < rule->n; i++) {
		bool matches = false;
		for (size_t k = 0; k < j->params_n && !matches; k++)
			matches = str_is(j->params[k].key, rule->v[i].key) &&
				  decide_any_matches(&rule->v[i].any, j->params[k].value);
		if (!matches)
			return false;
	}
	return true;
}

static bool rule_matches(const struct policy_rule *rule, const struct policy_request *r,
			 const struct policy_endpoint *ep)
{
	const struct policy_jsonrpc *j = r->jsonrpc;

	if (j == NULL || j->method.n == 0 || str_empty(rule->method.text))
		return false;
	if (ep->protocol == POLICY_JSON_RPC)
		return streq(rule->method.text, "*") || str_is(j->method, rule->method.text);
	return glob_match(rule->method.glob, j->method) && params_match(&rule->params, j);
}

static bool any_rule_matches(const struct policy_rules *rules, const struct policy_request *r,
			     const struct policy_endpoint *ep)
{
	for (size_t i = 0; i < rules->n; i++) {
		if (rule_matches(&rules->v[i], r, ep))
			return true;
	}
	return false;
}

/* Whether some rule says which tools may be called, so that the others may not. */
static bool tools_are_narrowed(const struct policy_endpoint *ep)
{
	for (size_t i = 0; i < ep->allow.n; i++) {
		const struct policy_matchers *params = &ep->allow.v[i].params;
		for (size_t k = 0; k < params->n; k++) {
			if (streq(params->v[k].key, "name"))
				return true;
		}
	}
	return false;
}

/* What an MCP endpoint lets pass without a rule. */
static bool mcp_lets_pass(const struct policy_request *r, const struct policy_endpoint *ep)
{
	const struct policy_jsonrpc *j = r->jsonrpc;

	if (j == NULL || j->error.n > 0)
		return false;
	if (str_is(r->method, "GET"))
		return j->receive_stream && j->method.n == 0 && !j->has_response;
	if (!str_is(r->method, "POST"))
		return false;
	if (j->has_response)
		return true;
	return ep->mcp_allow_all && j->method.n > 0 &&
	       !(str_is(j->method, "tools/call") && tools_are_narrowed(ep));
}

bool rpc_allowed(const struct policy_request *r, const struct policy_endpoint *ep)
{
	if (ep->protocol == POLICY_MCP && mcp_lets_pass(r, ep))
		return true;
	return str_is(r->method, "POST") && !rpc_has_response(r) &&
	       any_rule_matches(&ep->allow, r, ep);
}

bool rpc_denied(const struct policy_request *r, const struct policy_endpoint *ep)
{
	if (!str_is(r->method, "POST"))
		return false;
	if (ep->protocol == POLICY_JSON_RPC && rpc_has_response(r))
		return true;
	return any_rule_matches(&ep->deny, r, ep);
}
