/*
 * What a policy's text becomes (supervisor contract 5.2 and 5.4), and how policies live.
 */
#include "policy.h"

static const char whole[] =
	"version: 1\n"
	"filesystem_policy:\n"
	"  include_workdir: true\n"
	"  read_only: [/usr, /etc]\n"
	"  read_write: [/tmp]\n"
	"landlock: {compatibility: hard_requirement}\n"
	"process: {run_as_user: sandbox, run_as_group: \"1000\"}\n"
	"network_policies:\n"
	"  zeta:\n"
	"    endpoints:\n"
	"      - {host: z.example.com, ports: [443, 80, 443]}\n"
	"    binaries: [{path: /usr/bin/z, harness: true}]\n"
	"  alpha:\n"
	"    name: First\n"
	"    endpoints:\n"
	"      - host: '*.example.org'\n"
	"        port: 443\n"
	"        path: /v1/**\n"
	"        protocol: REST\n"
	"        tls: terminate\n"
	"        enforcement: enforce\n"
	"        allow_encoded_slash: true\n"
	"        websocket_credential_rewrite: true\n"
	"        request_body_credential_rewrite: true\n"
	"        allow_uninspected_credentials: true\n"
	"        credential_binding: {provider: github}\n"
	"        allowed_ips: [10.1.0.0/16, 'fd00::/8', 192.0.2.7]\n"
	"        rules:\n"
	"          - allow:\n"
	"              method: GET\n"
	"              path: /v1/*\n"
	"              query: {page: '*', sort: {any: [up, down]}}\n"
	"        deny_rules:\n"
	"          - {method: '*', path: '/v1/admin/**'}\n"
	"    binaries:\n"
	"      - path: /usr/bin/*\n"
	"      - path: /usr/bin/curl\n"
	"network_middlewares:\n"
	"  late: {middleware: openshell/b, order: 2, endpoints: {include: ['**.example.org']}}\n"
	"  early:\n"
	"    name: Early\n"
	"    middleware: openshell/regex\n"
	"    on_error: fail_open\n"
	"    order: -1\n"
	"    config: {mode: redact}\n"
	"    endpoints: {include: [a.example.org], exclude: ['*.b.org']}\n";

TEST(every_part_of_a_policy)
{
	struct policy *p = parse(whole);

	EQ(p->version, 1);
	OK(p->filesystem_given && p->include_workdir && p->landlock_required);
	EQ(p->read_only.n, 2);
	STREQ(p->read_only.v[1], "/etc");
	STREQ(p->read_write.v[0], "/tmp");
	STREQ(p->run_as_user, "sandbox");
	STREQ(p->run_as_group, "1000");
	EQ(p->networks_n, 2);
	const struct policy_network *z = &p->networks[1];
	STREQ(z->key, "zeta");
	STREQ(z->name, "zeta");
	EQ(z->endpoints[0].ports_n, 2);
	EQ(z->endpoints[0].ports[0], 80);
	EQ(z->endpoints[0].ports[1], 443);
	EQ(z->endpoints[0].protocol, POLICY_L4);
	EQ(z->endpoints[0].enforcement, POLICY_AUDIT);
	OK(z->binaries[0].path.glob == NULL);
	EQ(p->middlewares_n, 2);
	STREQ(p->middlewares[0].name, "Early");
	STREQ(p->middlewares[1].name, "late");
	OK(p->middlewares[0].fail_open && !p->middlewares[1].fail_open);
	EQ(p->middlewares[0].order, -1);
	STREQ(p->middlewares[0].exclude.v[0].text, "*.b.org");
	OK(p->middlewares[0].config != NULL && p->middlewares[1].config == NULL);
	policy_unref(p);
}

TEST(every_part_of_an_endpoint)
{
	struct policy *p = parse(whole);
	const struct policy_network *n = &p->networks[0];
	const struct policy_endpoint *ep = &n->endpoints[0];

	STREQ(n->key, "alpha");
	STREQ(n->name, "First");
	EQ(n->at.line, 13);
	EQ(ep->at.line, 16);
	EQ(ep->at.column, 9);
	EQ(ep->protocol, POLICY_REST);
	EQ(ep->enforcement, POLICY_ENFORCE);
	OK(!ep->tls_skip && ep->allow_encoded_slash && ep->websocket_credential_rewrite &&
	   ep->request_body_credential_rewrite && ep->allow_uninspected_credentials);
	STREQ(ep->credential_provider, "github");
	EQ(ep->allowed_ips.n, 3);
	EQ(ep->nets[0].prefix, 112);
	EQ(ep->nets[1].prefix, 8);
	EQ(ep->nets[2].prefix, 128);
	EQ(ep->allow.n, 1);
	EQ(ep->allow.v[0].at.line, 29);
	const struct policy_rule *r = &ep->allow.v[0];
	EQ(r->query.n, 2);
	STREQ(r->query.v[1].key, "sort");
	EQ(r->query.v[1].any.n, 2);
	EQ(ep->deny.n, 1);
	OK(ep->host.glob != NULL && ep->path.glob != NULL && n->binaries[0].path.glob != NULL);
	OK(n->binaries[1].path.glob == NULL);
	EQ(policy_endpoint_specificity(ep), 4);
	EQ(p->warnings.n, 2);
	HAS(p->warnings.v[0], "'tls: terminate' is deprecated");
	policy_unref(p);
}

TEST(the_least_that_a_policy_says)
{
	struct policy *p = parse("version: 1\nnetwork_policies:\nprocess: {}\n");

	OK(!p->filesystem_given && p->include_workdir && !p->landlock_required);
	EQ(p->networks_n, 0);
	STREQ(p->run_as_user, "");
	policy_unref(p);
	p = parse("{\"version\": 1, \"filesystem_policy\": {\"read_only\": [\"/a\"]}}");
	OK(p->filesystem_given && !p->include_workdir);
	policy_unref(p);
}

/* ---- presets, defaults, life ---- */

static void words_of(const char *protocol, const char *access, const char *words)
{
	char text[512], got[128] = "";

	snprintf(text, sizeof text, ENDPOINT("protocol: %s, access: %s"), protocol, access);
	struct policy *p = parse(text);
	const struct policy_rules *rules = &p->networks[0].endpoints[0].allow;
	for (size_t i = 0; i < rules->n; i++) {
		const struct policy_rule *r = &rules->v[i];
		strcat(got, i ? " " : "");
		strcat(got, r->method.text[0] ? r->method.text : r->operation_type);
		if (r->method.text[0])
			STREQ(r->path.text, "**");
	}
	STREQ(got, words);
	policy_unref(p);
}

TEST(presets)
{
	words_of("rest", "read-only", "GET HEAD OPTIONS");
	words_of("rest", "read-write", "GET HEAD OPTIONS POST PUT PATCH");
	words_of("sql", "read-only", "GET HEAD OPTIONS");
	words_of("graphql", "read-only", "query");
	words_of("graphql", "read-write", "query mutation");
	words_of("websocket", "read-only", "GET");
	words_of("websocket", "read-write", "GET WEBSOCKET_TEXT");
	words_of("rest", "full", "*");
	words_of("graphql", "full", "*");
	words_of("websocket", "full", "*");
}

TEST(parameters_of_tools_are_flat)
{
	struct policy *p = parse(ENDPOINT(
		"protocol: mcp, json_rpc: {max_body_bytes: 7}, mcp: {max_body_bytes: 9, "
		"allow_all_known_mcp_methods: true, strict_tool_names: false}, rules: ["
		"{allow: {tool: 'a*'}}, {allow: {}}, {allow: {tool: b, params: {name: c}}}, "
		"{allow: {method: m, params: {args: {repo: x, any: y, deep: {any: [1a, 2b]}}}}}]"));
	const struct policy_endpoint *ep = &p->networks[0].endpoints[0];
	const struct policy_rule *r = ep->allow.v;

	EQ(ep->json_rpc_max_body_bytes, 9);
	OK(ep->mcp_allow_all && !ep->mcp_strict_tool_names);
	STREQ(r[0].method.text, "tools/call");
	STREQ(r[0].params.v[0].key, "name");
	STREQ(r[1].method.text, "*");
	EQ(r[2].params.n, 1);
	STREQ(r[2].params.v[0].any.v[0].text, "c");
	EQ(r[3].params.n, 3);
	STREQ(r[3].params.v[0].key, "args.repo");
	STREQ(r[3].params.v[1].key, "args.any");
	STREQ(r[3].params.v[2].key, "args.deep");
	EQ(r[3].params.v[2].any.n, 2);
	policy_unref(p);
}

/* Without allow_all_known_mcp_methods a rule says its method, and json_rpc counts without mcp. */
TEST(a_tool_is_no_method)
{
	struct policy *p =
		parse(ENDPOINT("protocol: mcp, json_rpc: {max_body_bytes: 7}, rules: [{allow: "
			       "{tool: x}}], deny_rules: [{tool: y}]"));
	const struct policy_endpoint *ep = &p->networks[0].endpoints[0];

	EQ(ep->json_rpc_max_body_bytes, 7);
	OK(ep->mcp_strict_tool_names);
	STREQ(ep->allow.v[0].method.text, "");
	STREQ(ep->deny.v[0].method.text, "tools/call");
	HAS(p->warnings.v[0], "rules[0].allow never matches: it lacks a method");
	policy_unref(p);
}

static bool warned(const char *text, const char *what)
{
	struct policy *p = parse(text);
	bool found = false;

	for (size_t i = 0; i < p->warnings.n; i++)
		found |= strstr(p->warnings.v[i], what) != NULL;
	policy_unref(p);
	return found;
}

TEST(what_is_likely_not_meant_is_said)
{
	OK(warned(REST("access: full, tls: passthrough"),
		  "line 4: net.endpoints[0]: 'tls: passthrough'"));
	OK(warned(ENDPOINT("tls: skp"), "'tls: skp' is unknown"));
	OK(warned(ENDPOINT("allowed_ips: [10.0.0.0/8]"), "very large network"));
	OK(!warned(ENDPOINT("allowed_ips: [10.0.0.0/16, 'fd00::/16']"), "very large network"));
	OK(warned(REST("rules: [{allow: {method: FETCH, path: '**'}}]"), "Unknown HTTP/WebSocket"));
	OK(warned(REST("rules: [{allow: {method: GET}}]"), "rules[0].allow never matches"));
	OK(!warned(REST("rules: [{allow: {method: GET, path: /a}}]"), "never matches"));
	OK(warned(ENDPOINT("protocol: json-rpc, rules: [{allow: {path: /a}}]"), "never matches"));
	OK(!warned(ENDPOINT("protocol: json-rpc, rules: [{allow: {method: m}}]"), "never matches"));
	OK(!warned(ENDPOINT("protocol: graphql, rules: [{allow: {operation_type: query}}]"),
		   "never"));
	OK(!warned(ENDPOINT("protocol: sql, rules: [{allow: {command: select}}]"),
		   "never matches"));
	OK(warned(REST("access: full, graphql_persisted_queries: {k: {operation_type: query}}"),
		  "are ignored unless protocol is"));
	OK(warned(REST("rules: [{allow: {method: GET, path: /a, fields: [x]}}]"), "are ignored"));
	OK(warned(REST("access: full, graphql_max_body_bytes: 1"),
		  "are ignored unless protocol is"));
	OK(warned(ENDPOINT("websocket_credential_rewrite: true"), "is ignored unless"));
	OK(warned(ENDPOINT("request_body_credential_rewrite: true"), "is ignored unless"));
	OK(warned(ENDPOINT("mcp: {}"), "mcp is ignored unless"));
	OK(warned(NET("{endpoints: [{host: h, port: 1}]}"), "has no binaries and matches nothing"));
	OK(warned("version: 1\nnetwork_policies: {n: {endpoints: [{host: h, port: 443, protocol: "
		  "rest, "
		  "access: full, tls: skip}]}}",
		  "cannot work on encrypted traffic"));
}

TEST(what_holds_without_a_policy)
{
	struct policy *p = policy_restrictive();

	OK(p->include_workdir && !p->landlock_required);
	EQ(p->read_only.n, 7);
	EQ(p->read_write.n, 2);
	STREQ(p->read_write.v[1], "/dev/null");
	EQ(p->networks_n, 0);
	policy_unref(p);
}

TEST(a_quarantine_keeps_the_files)
{
	struct policy *p = parse(whole), *q = policy_quarantine(p);

	policy_unref(p);
	EQ(q->networks_n, 0);
	EQ(q->read_only.n, 2);
	STREQ(q->read_only.v[1], "/etc");
	STREQ(q->run_as_group, "1000");
	OK(q->landlock_required);
	policy_unref(q);
}

TEST(a_new_policy_is_the_next_generation)
{
	struct policy *now = NULL, *first = policy_restrictive();

	EQ(policy_publish(&now, first), 1);
	OK(now == first);
	policy_ref(first); /* a tunnel's */
	EQ(policy_publish(&now, policy_restrictive()), 2);
	EQ(now->generation, 2);
	EQ(first->generation, 1);
	policy_unref(first);
	policy_unref(now);
}

static char *resolve(void *arg, const char *path)
{
	return streq(path, arg) ? xstrdup("/usr/bin/python3.11") : NULL;
}

TEST(the_target_of_a_link_is_named_too)
{
	struct err e;
	struct policy *p = policy_parse(
		STR(NET("{binaries: [{path: /usr/bin/python3}, {path: /bin/a}, {path: '/x/*'}]}")),
		"p", resolve, (void *)"/usr/bin/python3", &e);

	OK(p != NULL);
	EQ(p->networks[0].binaries_n, 4);
	STREQ(p->networks[0].binaries[3].path.text, "/usr/bin/python3.11");
	policy_unref(p);
}

TEST(addresses_are_in_networks)
{
	struct policy *p = parse(ENDPOINT("allowed_ips: [10.1.0.0/17, 'fd00::/9']"));
	const struct policy_net *net = p->networks[0].endpoints[0].nets;
	uint8_t v4[16] = {[10] = 0xff, 0xff, 10, 1, 127, 255}, v6[16] = {0xfd, 0x7f};

	OK(policy_net_has(&net[0], v4));
	OK(policy_net_has(&net[1], v6));
	v4[14] = 128;
	v6[1] = 0x80;
	OK(!policy_net_has(&net[0], v4));
	OK(!policy_net_has(&net[1], v6));
	policy_unref(p);
}
