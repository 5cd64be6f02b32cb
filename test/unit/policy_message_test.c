/*
 * What a gateway's policy message becomes (supervisor contract 5.1): the same as the same policy in YAML.
 */
#include "policy.h"
#include "policy/decide.h"
#include "sandbox.pb-c.h"

#define M(name) Openshell__Sandbox__V1__##name
#define MAP(type, what) Openshell__Sandbox__V1__##type##__##what##Entry

static struct policy *accepted(const M(SandboxPolicy) * m)
{
	struct err e = {0};
	struct policy *p = policy_of_message(m, "gateway", NULL, NULL, &e);

	if (p == NULL)
		FAIL("%s", e.text);
	return p;
}

static void refused(const M(SandboxPolicy) * m, const char *words)
{
	struct err e = {0};

	EQ(policy_of_message(m, "gateway", NULL, NULL, &e) == NULL, true);
	HAS(e.text, words);
}

TEST(an_empty_message_says_nothing)
{
	M(SandboxPolicy) m = OPENSHELL__SANDBOX__V1__SANDBOX_POLICY__INIT;
	struct policy *p = accepted(&m);

	EQ(p->filesystem_given, false);
	EQ(p->include_workdir, true);
	EQ(p->networks_n, 0);
	STREQ(p->run_as_user, "");
	policy_unref(p);
}

/* A network with one endpoint and one binary, which the tests then change. */
struct one {
	M(L7QueryMatcher) page;
	MAP(L7Allow, Query) query;
	M(L7Allow) allow, deny;
	M(L7Rule) rule;
	M(McpOptions) mcp;
	M(NetworkEndpoint) endpoint;
	M(NetworkBinary) binary;
	M(NetworkPolicyRule) network;
	MAP(SandboxPolicy, NetworkPolicies) entry;
	M(SandboxPolicy) policy;
	char *any[2];
	uint32_t ports[3];
	void *list[8];
};

static void make(struct one *o)
{
	*o = (struct one){
		.page = OPENSHELL__SANDBOX__V1__L7_QUERY_MATCHER__INIT,
		.query = OPENSHELL__SANDBOX__V1__L7_ALLOW__QUERY_ENTRY__INIT,
		.allow = OPENSHELL__SANDBOX__V1__L7_ALLOW__INIT,
		.deny = OPENSHELL__SANDBOX__V1__L7_ALLOW__INIT,
		.rule = OPENSHELL__SANDBOX__V1__L7_RULE__INIT,
		.mcp = OPENSHELL__SANDBOX__V1__MCP_OPTIONS__INIT,
		.endpoint = OPENSHELL__SANDBOX__V1__NETWORK_ENDPOINT__INIT,
		.binary = OPENSHELL__SANDBOX__V1__NETWORK_BINARY__INIT,
		.network = OPENSHELL__SANDBOX__V1__NETWORK_POLICY_RULE__INIT,
		.entry = OPENSHELL__SANDBOX__V1__SANDBOX_POLICY__NETWORK_POLICIES_ENTRY__INIT,
		.policy = OPENSHELL__SANDBOX__V1__SANDBOX_POLICY__INIT,
		.any = {"1", "2"},
		.ports = {443, 80, 443},
	};
	o->list[0] = &o->endpoint, o->list[1] = &o->binary, o->list[2] = &o->entry;
	o->endpoint.host = "api.example.com";
	o->endpoint.ports = o->ports, o->endpoint.n_ports = 3;
	o->binary.path = "/usr/bin/curl";
	o->network.endpoints = (M(NetworkEndpoint) **)&o->list[0], o->network.n_endpoints = 1;
	o->network.binaries = (M(NetworkBinary) **)&o->list[1], o->network.n_binaries = 1;
	o->entry.key = "api", o->entry.value = &o->network;
	o->policy.version = 3;
	o->policy.network_policies = (MAP(SandboxPolicy, NetworkPolicies) **)&o->list[2];
	o->policy.n_network_policies = 1;
}

/* GET of all below /v1 with page=1 or 2, but not of /v1/secret. */
static void make_rest(struct one *o)
{
	make(o);
	o->list[3] = &o->rule, o->list[4] = &o->deny, o->list[5] = &o->query;
	o->endpoint.protocol = "rest", o->endpoint.enforcement = "enforce";
	o->page.any = o->any, o->page.n_any = 2;
	o->query.key = "page", o->query.value = &o->page;
	o->allow.method = "GET", o->allow.path = "/v1/**";
	o->allow.query = (MAP(L7Allow, Query) **)&o->list[5], o->allow.n_query = 1;
	o->rule.allow = &o->allow;
	o->deny.method = "*", o->deny.path = "/v1/secret";
	o->endpoint.rules = (M(L7Rule) **)&o->list[3], o->endpoint.n_rules = 1;
	o->endpoint.deny_rules = (M(L7Allow) **)&o->list[4], o->endpoint.n_deny_rules = 1;
}

static const struct policy_target target = {{"api.example.com", 15}, 443};
static const struct policy_caller curl = {.exe = "/usr/bin/curl"};

TEST(a_destination_is_allowed)
{
	struct one o;
	struct policy_verdict v;
	struct arena a = ARENA_INIT(1 << 20);

	make(&o);
	struct policy *p = accepted(&o.policy);
	EQ(p->version, 3);
	EQ(p->networks[0].endpoints[0].ports_n, 2);
	EQ(p->networks[0].endpoints[0].ports[0], 80);
	policy_decide(p, &target, &curl, &a, &v);
	EQ(v.allowed, true);
	EQ(v.exact_host, true);
	STREQ(v.policy, "api");
	arena_fini(&a);
	policy_unref(p);
}

TEST(what_the_advisor_proposed_is_not_what_a_person_wrote)
{
	struct one o;
	struct policy_verdict v;
	struct arena a = ARENA_INIT(1 << 20);

	make(&o);
	o.endpoint.advisor_proposed = o.binary.harness = true;
	struct policy *p = accepted(&o.policy);
	policy_decide(p, &target, &curl, &a, &v);
	EQ(v.allowed, true);
	EQ(v.exact_host, false);
	arena_fini(&a);
	policy_unref(p);
}

static bool may(const struct policy *p, const char *path, const char *page)
{
	struct policy_param query = {{"page", 4}, str_of(page)};
	struct policy_request r = {
		.method = {"GET", 3}, .path = str_of(path), .query = &query, .query_n = 1};
	struct policy_request_verdict v;
	struct arena a = ARENA_INIT(1 << 20);

	policy_decide_request(p, &target, &curl, &r, &a, &v);
	EQ(v.enforced, true);
	arena_fini(&a);
	return v.allowed;
}

TEST(rules_decide_requests)
{
	struct one o;

	make_rest(&o);
	struct policy *p = accepted(&o.policy);
	EQ(may(p, "/v1/a/b", "1"), true);
	EQ(may(p, "/v1/a/b", "3"), false);
	EQ(may(p, "/v1/secret", "1"), false);
	EQ(may(p, "/v2", "1"), false);
	policy_unref(p);
}

TEST(nothing_of_the_message_is_kept)
{
	struct one o;
	char host[] = "api.example.com", path[] = "/v1/**";

	make_rest(&o);
	o.endpoint.host = host, o.allow.path = path;
	struct policy *p = accepted(&o.policy);
	memset(host, 'x', sizeof host - 1), memset(path, 'x', sizeof path - 1);
	memset(o.ports, 0xff, sizeof o.ports);
	EQ(may(p, "/v1/a", "2"), true);
	policy_unref(p);
}

TEST(the_optional_flags_of_mcp_have_their_defaults)
{
	struct one o;

	make(&o);
	o.endpoint.protocol = "mcp", o.endpoint.mcp = &o.mcp;
	o.allow.method = "tools/list", o.rule.allow = &o.allow, o.list[3] = &o.rule;
	o.endpoint.rules = (M(L7Rule) **)&o.list[3], o.endpoint.n_rules = 1;
	struct policy *p = accepted(&o.policy);
	EQ(p->networks[0].endpoints[0].mcp_strict_tool_names, true);
	EQ(p->networks[0].endpoints[0].mcp_allow_all, false);
	policy_unref(p);
	o.mcp._strict_tool_names_case = 1; /* there, and false */
	o.mcp._allow_all_known_mcp_methods_case = 1;
	o.mcp.allow_all_known_mcp_methods = true;
	p = accepted(&o.policy);
	EQ(p->networks[0].endpoints[0].mcp_strict_tool_names, false);
	EQ(p->networks[0].endpoints[0].mcp_allow_all, true);
	policy_unref(p);
}

TEST(the_checks_are_those_of_a_text)
{
	struct one o;
	M(ProcessPolicy) root = OPENSHELL__SANDBOX__V1__PROCESS_POLICY__INIT;

	make(&o);
	o.endpoint.host = "*";
	refused(&o.policy, "gateway: network policy 'api': ");
	make(&o);
	root.run_as_user = "0", o.policy.process = &root;
	refused(&o.policy, "run_as_user must be");
	make(&o);
	o.endpoint.n_ports = 0;
	refused(&o.policy, "at least one port");
	o.endpoint.port = 65536;
	refused(&o.policy, "65536 is no port");
	make_rest(&o);
	o.rule.allow = NULL;
	refused(&o.policy, "allows nothing");
	make(&o);
	o.list[3] = &o.entry, o.policy.n_network_policies = 2;
	refused(&o.policy, "'api' twice");
}

TEST(a_middleware_has_its_configuration)
{
	Google__Protobuf__Value yes = GOOGLE__PROTOBUF__VALUE__INIT;
	Google__Protobuf__Struct__FieldsEntry field = GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT;
	Google__Protobuf__Struct config = GOOGLE__PROTOBUF__STRUCT__INIT;
	M(MiddlewareEndpointSelector)
	where = OPENSHELL__SANDBOX__V1__MIDDLEWARE_ENDPOINT_SELECTOR__INIT;
	M(NetworkMiddlewareConfig) m = OPENSHELL__SANDBOX__V1__NETWORK_MIDDLEWARE_CONFIG__INIT;
	MAP(SandboxPolicy, NetworkMiddlewares)
	entry = OPENSHELL__SANDBOX__V1__SANDBOX_POLICY__NETWORK_MIDDLEWARES_ENTRY__INIT;
	M(SandboxPolicy) policy = OPENSHELL__SANDBOX__V1__SANDBOX_POLICY__INIT;

	yes.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE, yes.bool_value = true;
	field.key = "deep", field.value = &yes;
	config.n_fields = 1, config.fields = (Google__Protobuf__Struct__FieldsEntry *[]){&field};
	where.n_include = 1, where.include = (char *[]){"api.example.com"};
	m.middleware = "scan", m.config = &config, m.endpoints = &where, m.order = 7;
	m.on_error = "fail_open";
	entry.key = "scanner", entry.value = &m;
	policy.n_network_middlewares = 1;
	policy.network_middlewares = (MAP(SandboxPolicy, NetworkMiddlewares) *[]){&entry};

	struct policy *p = accepted(&policy);
	STREQ(p->middlewares[0].name, "scanner");
	EQ(p->middlewares[0].fail_open, true);
	EQ(cJSON_IsTrue(cJSON_GetObjectItem(p->middlewares[0].config, "deep")), true);
	policy_unref(p);

	yes.kind_case = GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET;
	refused(&policy, "middleware config 'scanner'");
}
