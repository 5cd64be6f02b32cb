/*
 * A gateway's message becomes the model (supervisor contract 5.1). What is not said is "", 0 or false
 * there, which is what the model has for it. Texts are copied: the message is the caller's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "policy/policy_impl.h"
#include "sandbox.pb-c.h"
#include "wire/structs.h"

typedef Openshell__Sandbox__V1__SandboxPolicy SandboxPolicy;
typedef Openshell__Sandbox__V1__NetworkPolicyRule NetworkPolicyRule;
typedef Openshell__Sandbox__V1__NetworkMiddlewareConfig NetworkMiddlewareConfig;
typedef Openshell__Sandbox__V1__NetworkEndpoint NetworkEndpoint;
typedef Openshell__Sandbox__V1__McpOptions McpOptions;
typedef Openshell__Sandbox__V1__GraphqlOperation GraphqlOperation;
typedef Openshell__Sandbox__V1__L7QueryMatcher L7QueryMatcher;
typedef Openshell__Sandbox__V1__L7Allow L7Allow;

static const char *copy(const struct policy_build *b, const char *text)
{
	return arena_dup(&b->p->arena, str_of(text));
}

static void *many(const struct policy_build *b, size_t n, size_t size)
{
	return arena_zalloc(&b->p->arena, n * size);
}

static struct policy_texts texts(const struct policy_build *b, char **v, size_t n)
{
	struct policy_texts t = {many(b, n, sizeof *t.v), n};

	for (size_t i = 0; i < n; i++)
		t.v[i] = copy(b, v[i]);
	return t;
}

static struct policy_patterns patterns(const struct policy_build *b, char **v, size_t n)
{
	struct policy_patterns p = {many(b, n, sizeof *p.v), n};

	for (size_t i = 0; i < n; i++)
		p.v[i].text = copy(b, v[i]);
	return p;
}

/* ---- rules ---- */

static struct policy_matcher matcher(const struct policy_build *b, const char *key,
				     const L7QueryMatcher *m)
{
	char *glob = m ? m->glob : NULL;
	struct policy_matcher out = {.key = copy(b, key)};

	/* one that says nothing is the glob "", as with the peers: it matches an empty value */
	if (m != NULL && m->n_any > 0)
		out.any = patterns(b, m->any, m->n_any);
	else
		out.any = patterns(b, (char *[]){glob ? glob : ""}, 1);
	return out;
}

static void read_rule(const struct policy_build *b, const L7Allow *m, struct policy_rule *r)
{
	r->method.text = copy(b, m->method);
	r->path.text = copy(b, m->path);
	r->command = copy(b, m->command);
	r->operation_type = copy(b, m->operation_type);
	r->operation_name.text = copy(b, m->operation_name);
	r->fields = patterns(b, m->fields, m->n_fields);
	r->query = (struct policy_matchers){many(b, m->n_query, sizeof *r->query.v), m->n_query};
	for (size_t i = 0; i < m->n_query; i++)
		r->query.v[i] = matcher(b, m->query[i]->key, m->query[i]->value);
	r->params =
		(struct policy_matchers){many(b, m->n_params, sizeof *r->params.v), m->n_params};
	for (size_t i = 0; i < m->n_params; i++)
		r->params.v[i] = matcher(b, m->params[i]->key, m->params[i]->value);
}

static int read_rules(const struct policy_build *b, const NetworkEndpoint *m,
		      struct policy_endpoint *ep)
{
	ep->allow.v = many(b, m->n_rules, sizeof *ep->allow.v);
	for (size_t i = 0; i < m->n_rules; i++) {
		if (m->rules[i]->allow == NULL)
			return policy_bad(b, ep->at, "a rule of endpoint '%.64s' allows nothing",
					  m->host);
		read_rule(b, m->rules[i]->allow, &ep->allow.v[ep->allow.n++]);
	}
	ep->deny.v = many(b, m->n_deny_rules, sizeof *ep->deny.v);
	for (size_t i = 0; i < m->n_deny_rules; i++)
		read_rule(b, m->deny_rules[i], &ep->deny.v[ep->deny.n++]);
	return 0;
}

/* ---- endpoints ---- */

static int by_number(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* ports where there are any, else port, which is older. */
static int read_ports(const struct policy_build *b, const NetworkEndpoint *m,
		      struct policy_endpoint *ep)
{
	const uint32_t *from = m->n_ports > 0 ? m->ports : &m->port;
	size_t n = m->n_ports > 0 ? m->n_ports : m->port != 0;

	if (n > POLICY_PORTS_MAX)
		return policy_bad(b, ep->at, "more than %d ports in an endpoint", POLICY_PORTS_MAX);
	ep->ports = many(b, n, sizeof *ep->ports);
	for (size_t i = 0; i < n; i++) {
		if (from[i] == 0 || from[i] > UINT16_MAX)
			return policy_bad(b, ep->at, "endpoint '%.64s': %u is no port", m->host,
					  from[i]);
		ep->ports[i] = (uint16_t)from[i];
	}
	if (n > 0)
		qsort(ep->ports, n, sizeof *ep->ports, by_number);
	for (size_t i = 0; i < n; i++) {
		if (ep->ports_n == 0 || ep->ports[i] != ep->ports[ep->ports_n - 1])
			ep->ports[ep->ports_n++] = ep->ports[i];
	}
	return 0;
}

static void read_operations(const struct policy_build *b, const NetworkEndpoint *m,
			    struct policy_endpoint *ep)
{
	size_t n = m->n_graphql_persisted_queries;

	ep->operations = many(b, n, sizeof *ep->operations);
	for (size_t i = 0; i < n; i++) {
		const GraphqlOperation *op = m->graphql_persisted_queries[i]->value;
		struct policy_operation *out = &ep->operations[ep->operations_n++];
		*out = (struct policy_operation){
			copy(b, m->graphql_persisted_queries[i]->key), "", "", {NULL, 0}};
		if (op == NULL)
			continue;
		out->operation_type = copy(b, op->operation_type);
		out->operation_name = copy(b, op->operation_name);
		out->fields = texts(b, op->fields, op->n_fields);
	}
}

/* The optional fields of proto3 are oneofs of one member to protobuf-c; a case of 0 is none. */
static void read_mcp(const McpOptions *m, struct policy_endpoint *ep)
{
	ep->mcp_given = m != NULL;
	ep->mcp_strict_tool_names =
		m == NULL || m->_strict_tool_names_case == 0 || m->strict_tool_names;
	ep->mcp_allow_all = m != NULL && m->_allow_all_known_mcp_methods_case != 0 &&
			    m->allow_all_known_mcp_methods;
}

static int read_endpoint(const struct policy_build *b, const NetworkEndpoint *m,
			 struct policy_endpoint *ep)
{
	ep->host.text = copy(b, m->host);
	ep->path.text = copy(b, m->path);
	ep->protocol_text = copy(b, m->protocol);
	ep->tls = copy(b, m->tls);
	ep->enforcement_text = copy(b, m->enforcement);
	ep->access_text = copy(b, m->access);
	ep->allowed_ips = texts(b, m->allowed_ips, m->n_allowed_ips);
	ep->allow_encoded_slash = m->allow_encoded_slash;
	ep->persisted_queries = copy(b, m->persisted_queries);
	ep->graphql_max_body_bytes = m->graphql_max_body_bytes;
	ep->websocket_credential_rewrite = m->websocket_credential_rewrite;
	ep->request_body_credential_rewrite = m->request_body_credential_rewrite;
	ep->allow_uninspected_credentials = m->allow_uninspected_credentials;
	ep->advisor_proposed = m->advisor_proposed;
	ep->provider_credentialed = m->provider_credentialed;
	ep->credential_signing = copy(b, m->credential_signing);
	ep->signing_service = copy(b, m->signing_service);
	ep->signing_region = copy(b, m->signing_region);
	ep->credential_provider =
		copy(b, m->credential_binding ? m->credential_binding->provider : "");
	ep->json_rpc_max_body_bytes = m->json_rpc_max_body_bytes;
	read_mcp(m->mcp, ep);
	read_operations(b, m, ep);
	if (read_ports(b, m, ep) < 0)
		return -1;
	return read_rules(b, m, ep);
}

/* ---- networks ---- */

static int read_network(struct policy_build *b, const NetworkPolicyRule *m,
			struct policy_network *n)
{
	n->name = m->name[0] != '\0' ? copy(b, m->name) : n->key;
	b->endpoints += m->n_endpoints;
	if (b->endpoints > POLICY_ENDPOINTS_MAX)
		return policy_bad(b, n->at, "more than %d endpoints", POLICY_ENDPOINTS_MAX);
	n->endpoints = many(b, m->n_endpoints, sizeof *n->endpoints);
	for (size_t i = 0; i < m->n_endpoints; i++) {
		if (read_endpoint(b, m->endpoints[i], &n->endpoints[n->endpoints_n++]) < 0)
			return -1;
	}
	n->binaries = many(b, m->n_binaries, sizeof *n->binaries);
	for (size_t i = 0; i < m->n_binaries; i++) {
		struct policy_binary *out = &n->binaries[n->binaries_n++];
		out->path.text = copy(b, m->binaries[i]->path);
		out->advisor_proposed = m->binaries[i]->harness;
	}
	return 0;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct policy_network *)a)->key,
		      ((const struct policy_network *)b)->key);
}

/* A key that comes twice is refused: whoever wrote it meant one of the two, and readers differ on which. */
static int read_networks(struct policy_build *b, const SandboxPolicy *m)
{
	static const NetworkPolicyRule none = OPENSHELL__SANDBOX__V1__NETWORK_POLICY_RULE__INIT;
	struct policy *p = b->p;

	p->networks = many(b, m->n_network_policies, sizeof *p->networks);
	for (size_t i = 0; i < m->n_network_policies; i++) {
		const NetworkPolicyRule *rule = m->network_policies[i]->value;
		struct policy_network *n = &p->networks[p->networks_n++];
		n->key = copy(b, m->network_policies[i]->key);
		if (read_network(b, rule ? rule : &none, n) < 0)
			return -1;
	}
	if (p->networks_n > 0)
		qsort(p->networks, p->networks_n, sizeof *p->networks, by_key);
	for (size_t i = 1; i < p->networks_n; i++) {
		if (streq(p->networks[i].key, p->networks[i - 1].key))
			return policy_bad(b, p->networks[i].at, "network policy '%.64s' twice",
					  p->networks[i].key);
	}
	return 0;
}

static int read_middleware(struct policy_build *b, const char *key,
			   const NetworkMiddlewareConfig *m, struct policy_middleware *out)
{
	struct err why;

	out->key = copy(b, key);
	out->name = m->name[0] != '\0' ? copy(b, m->name) : out->key;
	out->middleware = copy(b, m->middleware);
	out->on_error = copy(b, m->on_error);
	out->order = m->order;
	out->selector_given = m->endpoints != NULL;
	if (m->endpoints != NULL) {
		out->include = patterns(b, m->endpoints->include, m->endpoints->n_include);
		out->exclude = patterns(b, m->endpoints->exclude, m->endpoints->n_exclude);
	}
	if (m->config == NULL)
		return 0;
	cJSON *config = structs_to_json(m->config, &why);
	if (config == NULL)
		return policy_bad(b, out->at, "middleware config '%.64s': %s", key, why.text);
	out->config = json_add(b->p->tree, config); /* which the policy frees */
	return 0;
}

static int read_middlewares(struct policy_build *b, const SandboxPolicy *m)
{
	static const NetworkMiddlewareConfig none =
		OPENSHELL__SANDBOX__V1__NETWORK_MIDDLEWARE_CONFIG__INIT;
	struct policy *p = b->p;

	p->tree = json_array();
	p->middlewares = many(b, m->n_network_middlewares, sizeof *p->middlewares);
	for (size_t i = 0; i < m->n_network_middlewares; i++) {
		const NetworkMiddlewareConfig *config = m->network_middlewares[i]->value;
		if (read_middleware(b, m->network_middlewares[i]->key, config ? config : &none,
				    &p->middlewares[p->middlewares_n++]) < 0)
			return -1;
	}
	return 0;
}

/* ---- the whole ---- */

static int read_message(struct policy_build *b, const SandboxPolicy *m)
{
	struct policy *p = b->p;

	p->version = m->version;
	p->filesystem_given = m->filesystem != NULL;
	if (m->filesystem != NULL) {
		p->include_workdir = m->filesystem->include_workdir;
		p->read_only = texts(b, m->filesystem->read_only, m->filesystem->n_read_only);
		p->read_write = texts(b, m->filesystem->read_write, m->filesystem->n_read_write);
	}
	if (m->landlock != NULL)
		p->landlock_compatibility = copy(b, m->landlock->compatibility);
	if (m->process != NULL) {
		p->run_as_user = copy(b, m->process->run_as_user);
		p->run_as_group = copy(b, m->process->run_as_group);
	}
	return read_networks(b, m) < 0 ? -1 : read_middlewares(b, m);
}

struct policy *policy_of_message(const SandboxPolicy *m, const char *what,
				 policy_resolve_fn *resolve, void *arg, struct err *e)
{
	struct policy *p = policy_new();
	struct policy_build b = {p, what, NULL, e, 0};

	if (read_message(&b, m) == 0 && policy_finish(&b, resolve, arg) == 0)
		return p;
	policy_unref(p);
	return NULL;
}
