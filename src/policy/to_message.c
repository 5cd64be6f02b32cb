/*
 * The model becomes a message for a gateway (supervisor contract 5.1): message.c the other way round. What is
 * not said stays unset. Presets (access) are written as such, not as the rules that they became.
 */
#include "policy/policy_impl.h"
#include "sandbox.pb-c.h"
#include "wire/structs.h"
#include "wire/wire.h"

#define M(name) Openshell__Sandbox__V1__##name
#define NEW(a, name) wire_new(&openshell__sandbox__v1__##name##__descriptor, a)

/* n pointers to what is to be made. */
static void *list(struct arena *a, size_t n)
{
	return arena_zalloc(a, n * sizeof(void *));
}

/* The text is unset where there is none: the message's own "" is nobody's to change. */
static void set(struct arena *a, char **field, const char *text)
{
	if (!str_empty(text))
		*field = arena_dup(a, str_of(text));
}

static char **texts(struct arena *a, const struct policy_texts *t, size_t *n)
{
	char **v = list(a, t->n);

	for (size_t i = 0; i < t->n; i++)
		v[i] = arena_dup(a, str_of(t->v[i]));
	*n = t->n;
	return v;
}

static char **patterns(struct arena *a, const struct policy_patterns *p, size_t *n)
{
	char **v = list(a, p->n);

	for (size_t i = 0; i < p->n; i++)
		v[i] = arena_dup(a, str_of(p->v[i].text));
	*n = p->n;
	return v;
}

/* ---- rules ---- */

static M(L7QueryMatcher) * make_matcher(struct arena *a, const struct policy_matcher *from)
{
	M(L7QueryMatcher) *m = NEW(a, l7_query_matcher);

	if (from->any.n == 1)
		set(a, &m->glob, from->any.v[0].text);
	else
		m->any = patterns(a, &from->any, &m->n_any);
	return m;
}

static M(L7Allow) * make_rule(struct arena *a, const struct policy_rule *r)
{
	M(L7Allow) *m = NEW(a, l7_allow);

	set(a, &m->method, r->method.text);
	set(a, &m->path, r->path.text);
	set(a, &m->command, r->command);
	set(a, &m->operation_type, r->operation_type);
	set(a, &m->operation_name, r->operation_name.text);
	m->fields = patterns(a, &r->fields, &m->n_fields);
	m->query = list(a, r->query.n);
	for (; m->n_query < r->query.n; m->n_query++) {
		const struct policy_matcher *from = &r->query.v[m->n_query];
		m->query[m->n_query] = NEW(a, l7_allow__query_entry);
		set(a, &m->query[m->n_query]->key, from->key);
		m->query[m->n_query]->value = make_matcher(a, from);
	}
	m->params = list(a, r->params.n);
	for (; m->n_params < r->params.n; m->n_params++) {
		const struct policy_matcher *from = &r->params.v[m->n_params];
		m->params[m->n_params] = NEW(a, l7_allow__params_entry);
		set(a, &m->params[m->n_params]->key, from->key);
		m->params[m->n_params]->value = make_matcher(a, from);
	}
	return m;
}

static void add_rules(struct arena *a, const struct policy_endpoint *ep, M(NetworkEndpoint) * m)
{
	if (str_empty(ep->access_text)) {
		m->rules = list(a, ep->allow.n);
		for (; m->n_rules < ep->allow.n; m->n_rules++) {
			m->rules[m->n_rules] = NEW(a, l7_rule);
			m->rules[m->n_rules]->allow = make_rule(a, &ep->allow.v[m->n_rules]);
		}
	}
	m->deny_rules = list(a, ep->deny.n);
	for (; m->n_deny_rules < ep->deny.n; m->n_deny_rules++)
		m->deny_rules[m->n_deny_rules] = make_rule(a, &ep->deny.v[m->n_deny_rules]);
}

/* ---- endpoints ---- */

static void add_ports(struct arena *a, const struct policy_endpoint *ep, M(NetworkEndpoint) * m)
{
	m->ports = arena_zalloc(a, ep->ports_n * sizeof *m->ports);
	for (; m->n_ports < ep->ports_n; m->n_ports++)
		m->ports[m->n_ports] = ep->ports[m->n_ports];
	if (ep->ports_n > 0) /* for readers from before there were several */
		m->port = ep->ports[0];
}

static void add_operations(struct arena *a, const struct policy_endpoint *ep,
			   M(NetworkEndpoint) * m)
{
	m->graphql_persisted_queries = list(a, ep->operations_n);
	for (size_t i = 0; i < ep->operations_n; i++) {
		const struct policy_operation *from = &ep->operations[i];
		M(NetworkEndpoint__GraphqlPersistedQueriesEntry) *entry =
			NEW(a, network_endpoint__graphql_persisted_queries_entry);
		M(GraphqlOperation) *op = NEW(a, graphql_operation);
		set(a, &entry->key, from->key);
		set(a, &op->operation_type, from->operation_type);
		set(a, &op->operation_name, from->operation_name);
		op->fields = texts(a, &from->fields, &op->n_fields);
		entry->value = op;
		m->graphql_persisted_queries[m->n_graphql_persisted_queries++] = entry;
	}
}

static M(McpOptions) * make_mcp(struct arena *a, const struct policy_endpoint *ep)
{
	M(McpOptions) *m = NEW(a, mcp_options);

	m->_strict_tool_names_case =
		OPENSHELL__SANDBOX__V1__MCP_OPTIONS___STRICT_TOOL_NAMES_STRICT_TOOL_NAMES;
	m->strict_tool_names = ep->mcp_strict_tool_names;
	m->_allow_all_known_mcp_methods_case =
		OPENSHELL__SANDBOX__V1__MCP_OPTIONS___ALLOW_ALL_KNOWN_MCP_METHODS_ALLOW_ALL_KNOWN_MCP_METHODS;
	m->allow_all_known_mcp_methods = ep->mcp_allow_all;
	return m;
}

static M(NetworkEndpoint) * make_endpoint(struct arena *a, const struct policy_endpoint *ep)
{
	M(NetworkEndpoint) *m = NEW(a, network_endpoint);

	set(a, &m->host, ep->host.text);
	set(a, &m->path, ep->path.text);
	set(a, &m->protocol, ep->protocol_text);
	set(a, &m->tls, ep->tls);
	set(a, &m->enforcement, ep->enforcement_text);
	set(a, &m->access, ep->access_text);
	set(a, &m->persisted_queries, ep->persisted_queries);
	set(a, &m->credential_signing, ep->credential_signing);
	set(a, &m->signing_service, ep->signing_service);
	set(a, &m->signing_region, ep->signing_region);
	m->allowed_ips = texts(a, &ep->allowed_ips, &m->n_allowed_ips);
	m->allow_encoded_slash = ep->allow_encoded_slash;
	m->graphql_max_body_bytes = ep->graphql_max_body_bytes;
	m->json_rpc_max_body_bytes = ep->json_rpc_max_body_bytes;
	m->websocket_credential_rewrite = ep->websocket_credential_rewrite;
	m->request_body_credential_rewrite = ep->request_body_credential_rewrite;
	m->allow_uninspected_credentials = ep->allow_uninspected_credentials;
	m->advisor_proposed = ep->advisor_proposed;
	m->provider_credentialed = ep->provider_credentialed;
	if (!str_empty(ep->credential_provider)) {
		m->credential_binding = NEW(a, network_credential_binding);
		set(a, &m->credential_binding->provider, ep->credential_provider);
	}
	if (ep->mcp_given)
		m->mcp = make_mcp(a, ep);
	add_ports(a, ep, m);
	add_operations(a, ep, m);
	add_rules(a, ep, m);
	return m;
}

/* ---- networks ---- */

static M(NetworkPolicyRule) * make_network(struct arena *a, const struct policy_network *n)
{
	M(NetworkPolicyRule) *m = NEW(a, network_policy_rule);

	set(a, &m->name, n->name);
	m->endpoints = list(a, n->endpoints_n);
	for (; m->n_endpoints < n->endpoints_n; m->n_endpoints++)
		m->endpoints[m->n_endpoints] = make_endpoint(a, &n->endpoints[m->n_endpoints]);
	m->binaries = list(a, n->binaries_n);
	for (; m->n_binaries < n->binaries_n; m->n_binaries++) {
		const struct policy_binary *from = &n->binaries[m->n_binaries];
		M(NetworkBinary) *to = m->binaries[m->n_binaries] = NEW(a, network_binary);
		set(a, &to->path, from->path.text);
		to->harness = from->advisor_proposed;
	}
	return m;
}

static void add_networks(struct arena *a, const struct policy *p, M(SandboxPolicy) * m)
{
	m->network_policies = list(a, p->networks_n);
	for (size_t i = 0; i < p->networks_n; i++) {
		M(SandboxPolicy__NetworkPoliciesEntry) *entry =
			NEW(a, sandbox_policy__network_policies_entry);
		set(a, &entry->key, p->networks[i].key);
		entry->value = make_network(a, &p->networks[i]);
		m->network_policies[m->n_network_policies++] = entry;
	}
}

static int make_middleware(struct arena *a, const struct policy_middleware *from,
			   M(NetworkMiddlewareConfig) * m, struct err *e)
{
	set(a, &m->name, from->name);
	set(a, &m->middleware, from->middleware);
	set(a, &m->on_error, from->on_error);
	m->order = from->order;
	if (from->selector_given) {
		m->endpoints = NEW(a, middleware_endpoint_selector);
		m->endpoints->include = patterns(a, &from->include, &m->endpoints->n_include);
		m->endpoints->exclude = patterns(a, &from->exclude, &m->endpoints->n_exclude);
	}
	if (from->config == NULL)
		return 0;
	m->config = structs_from_json(from->config, a, e);
	return m->config != NULL ? 0 : err_wrap(e, "middleware config '%.64s'", from->key);
}

static int add_middlewares(struct arena *a, const struct policy *p, M(SandboxPolicy) * m,
			   struct err *e)
{
	m->network_middlewares = list(a, p->middlewares_n);
	for (size_t i = 0; i < p->middlewares_n; i++) {
		M(SandboxPolicy__NetworkMiddlewaresEntry) *entry =
			NEW(a, sandbox_policy__network_middlewares_entry);
		set(a, &entry->key, p->middlewares[i].key);
		entry->value = NEW(a, network_middleware_config);
		if (make_middleware(a, &p->middlewares[i], entry->value, e) < 0)
			return -1;
		m->network_middlewares[m->n_network_middlewares++] = entry;
	}
	return 0;
}

/* ---- the whole ---- */

M(SandboxPolicy) * policy_to_message(const struct policy *p, struct arena *a, struct err *e)
{
	M(SandboxPolicy) *m = NEW(a, sandbox_policy);

	m->version = p->version;
	if (p->filesystem_given) {
		m->filesystem = NEW(a, filesystem_policy);
		m->filesystem->include_workdir = p->include_workdir;
		m->filesystem->read_only = texts(a, &p->read_only, &m->filesystem->n_read_only);
		m->filesystem->read_write = texts(a, &p->read_write, &m->filesystem->n_read_write);
	}
	if (!str_empty(p->landlock_compatibility)) {
		m->landlock = NEW(a, landlock_policy);
		set(a, &m->landlock->compatibility, p->landlock_compatibility);
	}
	if (!str_empty(p->run_as_user) || !str_empty(p->run_as_group)) {
		m->process = NEW(a, process_policy);
		set(a, &m->process->run_as_user, p->run_as_user);
		set(a, &m->process->run_as_group, p->run_as_group);
	}
	add_networks(a, p, m);
	return add_middlewares(a, p, m, e) == 0 ? m : NULL;
}
