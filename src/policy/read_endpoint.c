/*
 * An endpoint and its rules; see read.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "policy/read_impl.h"

/* ---- ports ---- */

static int by_number(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* One of port and ports; the other may be there if it says nothing. */
static int set_ports(struct policy_build *b, const cJSON *node, struct policy_endpoint *ep,
		     uint16_t *ports, size_t n)
{
	size_t kept = 0;

	if (n == 0)
		return 0;
	if (ep->ports_n > 0)
		return read_bad(b, node,
				"port and ports are mutually exclusive; "
				"use ports for multiple ports");
	qsort(ports, n, sizeof *ports, by_number);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || ports[i] != ports[kept - 1])
			ports[kept++] = ports[i];
	}
	ep->ports = ports;
	ep->ports_n = kept;
	return 0;
}

static int read_port(struct policy_build *b, const cJSON *node, void *into)
{
	double number;

	if (read_number(b, node, 0, UINT16_MAX, &number) < 0)
		return -1;
	uint16_t *port = arena_zalloc(&b->p->arena, sizeof *port);
	*port = (uint16_t)number;
	return set_ports(b, node, into, port, *port != 0);
}

static int read_ports(struct policy_build *b, const cJSON *node, void *into)
{
	size_t n = 0;
	const cJSON *item;

	if (read_list(b, node) < 0)
		return -1;
	if (cJSON_GetArraySize(node) > POLICY_PORTS_MAX)
		return read_bad(b, node, "more than %d ports in an endpoint", POLICY_PORTS_MAX);
	uint16_t *ports =
		arena_zalloc(&b->p->arena, (size_t)cJSON_GetArraySize(node) * sizeof *ports);
	cJSON_ArrayForEach(item, node) {
		double number;
		if (read_number(b, item, 1, UINT16_MAX, &number) < 0)
			return -1;
		ports[n++] = (uint16_t)number;
	}
	return set_ports(b, node, into, ports, n);
}

/* ---- matchers ---- */

static bool is_any(const cJSON *node)
{
	return cJSON_IsObject(node) && (node->child == NULL || (node->child->next == NULL &&
								streq(node->child->string, "any") &&
								cJSON_IsArray(node->child)));
}

/* A glob, or {any: [globs]}. */
static int read_matcher(struct policy_build *b, const cJSON *node, struct policy_matcher *m)
{
	if (cJSON_IsString(node)) {
		m->any.v = arena_zalloc(&b->p->arena, sizeof *m->any.v);
		m->any.v[0].text = node->valuestring;
		m->any.n = 1;
		return 0;
	}
	if (!cJSON_IsObject(node))
		return read_bad(b, node, "%s: expected string glob or object with `any`", m->key);
	const cJSON *list = json_get(node, "any");
	if (!is_any(node))
		return read_bad(b, node, "%s: unknown matcher keys; only a list `any` is supported",
				m->key);
	if (list == NULL || list->child == NULL)
		return read_bad(b, node, "%s.any: list must not be empty", m->key);
	return read_patterns(b, list, &m->any);
}

static int read_query(struct policy_build *b, const cJSON *node, void *into)
{
	struct policy_matchers *q = into;
	const cJSON *member;

	if (!cJSON_IsObject(node))
		return read_bad(b, node, "query: expected map of query matchers");
	q->v = arena_zalloc(&b->p->arena, (size_t)cJSON_GetArraySize(node) * sizeof *q->v);
	cJSON_ArrayForEach(member, node) {
		struct policy_matcher *m = &q->v[q->n++];
		m->key = member->string;
		if (read_matcher(b, member, m) < 0)
			return -1;
	}
	return 0;
}

static size_t count_leaves(const cJSON *node)
{
	size_t n = 0;
	const cJSON *member;

	if (!cJSON_IsObject(node) || is_any(node))
		return 1;
	cJSON_ArrayForEach(member, node)
		n += count_leaves(member);
	return n;
}

/* Mappings in mappings become keys joined by dots. */
static int flatten(struct policy_build *b, const cJSON *node, const char *prefix,
		   struct policy_matchers *out)
{
	const cJSON *member;

	cJSON_ArrayForEach(member, node) {
		const char *key =
			*prefix ? arena_printf(&b->p->arena, "%s.%s", prefix, member->string)
				: member->string;
		if (cJSON_IsObject(member) && !is_any(member)) {
			if (flatten(b, member, key, out) < 0)
				return -1;
			continue;
		}
		struct policy_matcher *m = &out->v[out->n++];
		m->key = key;
		if (read_matcher(b, member, m) < 0)
			return -1;
	}
	return 0;
}

static bool has_key(const struct policy_matchers *m, const char *key)
{
	for (size_t i = 0; i < m->n; i++) {
		if (streq(m->v[i].key, key))
			return true;
	}
	return false;
}

/* params, and tool, which is another name for params.name and counts where that is not given. */
static int read_params(struct policy_build *b, const cJSON *clause, struct policy_matchers *out)
{
	const cJSON *params = json_get(clause, "params"), *tool = json_get(clause, "tool");

	if (params != NULL && !cJSON_IsNull(params) && !cJSON_IsObject(params))
		return read_bad(b, params, "params: expected map of matchers");
	out->v = arena_zalloc(&b->p->arena, (count_leaves(params) + 1) * sizeof *out->v);
	if (flatten(b, params, "", out) < 0)
		return -1;
	if (tool == NULL || cJSON_IsNull(tool) || has_key(out, "name"))
		return 0;
	struct policy_matcher *m = &out->v[out->n++];
	m->key = "name";
	return read_matcher(b, tool, m);
}

/* ---- rules ---- */

/* Read by read_params. */
static int read_later(struct policy_build *b UNUSED, const cJSON *node UNUSED, void *into UNUSED)
{
	return 0;
}

static int read_clause(struct policy_build *b, const cJSON *node, void *into)
{
	static const struct field fields[] = {
		{"method", read_pattern, offsetof(struct policy_rule, method), false},
		{"path", read_pattern, offsetof(struct policy_rule, path), false},
		{"command", read_text, offsetof(struct policy_rule, command), false},
		{"query", read_query, offsetof(struct policy_rule, query), false},
		{"operation_type", read_text, offsetof(struct policy_rule, operation_type), false},
		{"operation_name", read_pattern, offsetof(struct policy_rule, operation_name),
		 false},
		{"fields", read_patterns, offsetof(struct policy_rule, fields), false},
		{"tool", read_later, 0, false},
		{"params", read_later, 0, false},
	};
	struct policy_rule *rule = into;

	rule->at = read_mark(b, node);
	if (read_fields(b, node, "a rule", fields, ARRAY_LEN(fields), rule) < 0)
		return -1;
	return read_params(b, node, &rule->params);
}

static int read_allow(struct policy_build *b, const cJSON *node, void *into)
{
	static const struct field fields[] = {{"allow", read_clause, 0, true}};

	return read_fields(b, node, "a rule", fields, ARRAY_LEN(fields), into);
}

static int read_rule_list(struct policy_build *b, const cJSON *node, struct policy_rules *out,
			  read_fn *read)
{
	const cJSON *item;

	if (read_list(b, node) < 0)
		return -1;
	out->v = arena_zalloc(&b->p->arena, (size_t)cJSON_GetArraySize(node) * sizeof *out->v);
	cJSON_ArrayForEach(item, node) {
		if (read(b, item, &out->v[out->n++]) < 0)
			return -1;
	}
	return 0;
}

static int read_rules(struct policy_build *b, const cJSON *node, void *into)
{
	if (cJSON_IsArray(node) && node->child == NULL)
		return read_bad(b, node,
				"rules list cannot be empty (would deny all traffic). "
				"Use `access: full` or remove rules.");
	return read_rule_list(b, node, into, read_allow);
}

static int read_deny_rules(struct policy_build *b, const cJSON *node, void *into)
{
	if (cJSON_IsArray(node) && node->child == NULL)
		return read_bad(b, node,
				"deny_rules list cannot be empty (would have no effect). "
				"Remove it if no denials are needed.");
	return read_rule_list(b, node, into, read_clause);
}

/* ---- the other parts of an endpoint ---- */

static int read_operations(struct policy_build *b, const cJSON *node, void *into)
{
	static const struct field fields[] = {
		{"operation_type", read_text, offsetof(struct policy_operation, operation_type),
		 false},
		{"operation_name", read_text, offsetof(struct policy_operation, operation_name),
		 false},
		{"fields", read_texts, offsetof(struct policy_operation, fields), false},
	};
	struct policy_endpoint *ep = into;
	const cJSON *member;

	if (!cJSON_IsObject(node))
		return read_bad(b, node,
				"graphql_persisted_queries must be a map keyed by hash or "
				"saved-query id");
	ep->operations = arena_zalloc(&b->p->arena,
				      (size_t)cJSON_GetArraySize(node) * sizeof *ep->operations);
	cJSON_ArrayForEach(member, node) {
		struct policy_operation *op = &ep->operations[ep->operations_n++];
		op->key = member->string;
		if (read_fields(b, member, "a persisted query", fields, ARRAY_LEN(fields), op) < 0)
			return -1;
	}
	return 0;
}

static int read_body_limit(struct policy_build *b, const cJSON *node, void *into)
{
	if (read_u32(b, node, into) < 0)
		return -1;
	if (*(uint32_t *)into == 0)
		return read_bad(b, node, "%s must be a positive integer", node->string);
	return 0;
}

static int read_json_rpc(struct policy_build *b, const cJSON *node, void *into)
{
	static const struct field fields[] = {{"max_body_bytes", read_u32, 0, false}};
	struct policy_endpoint *ep = into;
	uint32_t limit = 0;

	if (read_fields(b, node, "json_rpc", fields, ARRAY_LEN(fields), &limit) < 0)
		return -1;
	if (!ep->mcp_given) /* whose limit counts if there are two */
		ep->json_rpc_max_body_bytes = limit;
	return 0;
}

static int read_mcp(struct policy_build *b, const cJSON *node, void *into)
{
	struct mcp {
		uint32_t max_body_bytes;
		bool strict_tool_names, allow_all;
	} mcp = {0, true, false};
	static const struct field fields[] = {
		{"max_body_bytes", read_u32, offsetof(struct mcp, max_body_bytes), false},
		{"strict_tool_names", read_flag, offsetof(struct mcp, strict_tool_names), false},
		{"allow_all_known_mcp_methods", read_flag, offsetof(struct mcp, allow_all), false},
	};
	struct policy_endpoint *ep = into;

	if (read_fields(b, node, "mcp", fields, ARRAY_LEN(fields), &mcp) < 0)
		return -1;
	ep->mcp_given = true;
	ep->json_rpc_max_body_bytes = mcp.max_body_bytes;
	ep->mcp_strict_tool_names = mcp.strict_tool_names;
	ep->mcp_allow_all = mcp.allow_all;
	return 0;
}

static int read_credential_binding(struct policy_build *b, const cJSON *node, void *into)
{
	static const struct field fields[] = {
		{"provider", read_text, offsetof(struct policy_endpoint, credential_provider),
		 true},
	};

	return read_fields(b, node, "credential_binding", fields, ARRAY_LEN(fields), into);
}

/* ---- endpoints ---- */

#define AT(member) offsetof(struct policy_endpoint, member)

static const struct field endpoint_fields[] = {
	{"host", read_pattern, AT(host), false},
	{"path", read_pattern, AT(path), false},
	{"port", read_port, 0, false},
	{"ports", read_ports, 0, false},
	{"protocol", read_text, AT(protocol_text), false},
	{"tls", read_text, AT(tls), false},
	{"enforcement", read_text, AT(enforcement_text), false},
	{"access", read_text, AT(access_text), false},
	{"rules", read_rules, AT(allow), false},
	{"allowed_ips", read_texts, AT(allowed_ips), false},
	{"deny_rules", read_deny_rules, AT(deny), false},
	{"allow_encoded_slash", read_flag, AT(allow_encoded_slash), false},
	{"websocket_credential_rewrite", read_flag, AT(websocket_credential_rewrite), false},
	{"request_body_credential_rewrite", read_flag, AT(request_body_credential_rewrite), false},
	{"allow_uninspected_credentials", read_flag, AT(allow_uninspected_credentials), false},
	{"persisted_queries", read_text, AT(persisted_queries), false},
	{"graphql_persisted_queries", read_operations, 0, false},
	{"graphql_max_body_bytes", read_body_limit, AT(graphql_max_body_bytes), false},
	{"credential_signing", read_text, AT(credential_signing), false},
	{"signing_service", read_text, AT(signing_service), false},
	{"signing_region", read_text, AT(signing_region), false},
	{"credential_binding", read_credential_binding, 0, false},
	{"json_rpc", read_json_rpc, 0, false},
	{"mcp", read_mcp, 0, false},
};

int read_endpoints(struct policy_build *b, const cJSON *node, void *into)
{
	struct policy_network *n = into;
	const cJSON *item;

	if (read_list(b, node) < 0)
		return -1;
	b->endpoints += (size_t)cJSON_GetArraySize(node);
	if (b->endpoints > POLICY_ENDPOINTS_MAX)
		return read_bad(b, node, "more than %d endpoints", POLICY_ENDPOINTS_MAX);
	n->endpoints =
		arena_zalloc(&b->p->arena, (size_t)cJSON_GetArraySize(node) * sizeof *n->endpoints);
	cJSON_ArrayForEach(item, node) {
		struct policy_endpoint *ep = &n->endpoints[n->endpoints_n++];
		ep->at = read_mark(b, item);
		ep->mcp_strict_tool_names = true;
		ep->credential_provider = "";
		if (read_fields(b, item, "an endpoint", endpoint_fields, ARRAY_LEN(endpoint_fields),
				ep) < 0)
			return -1;
	}
	return 0;
}
