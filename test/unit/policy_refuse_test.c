/*
 * What is no policy, with which words and where (supervisor contract 5.3).
 */
#include "policy.h"

static void refused(const char *text, const char *why)
{
	struct err e = {0};
	struct policy *p = policy_parse(str_of(text), "p", NULL, NULL, &e);

	if (p != NULL)
		FAIL("accepted, though \"%s\"", why);
	if (strstr(e.text, why) == NULL)
		FAIL("\"%s\" has no \"%s\"", e.text, why);
}

#define L7 "network policy 'net': endpoint 0 has invalid L7 configuration: "

static const char *const refusals[][2] = {
	/* the text */
	{"", "p: a policy must be a mapping"},
	{"[1]", "a policy must be a mapping"},
	{"a: [", "p: line 2 column 1: "},
	{"{}", "p: line 1 column 1: field \"version\" of a policy is missing"},
	{"version: x", "line 1 column 1: \"version\" must be a whole number from 0 to 4294967295"},
	{"version: -1", "must be a whole number"},
	{"version: 1.5", "must be a whole number"},
	/* fields that are not known, wherever */
	{"version: 1\nfilesystem: {}",
	 "p: line 2 column 1: unknown field \"filesystem\" in a policy"},
	{"version: 1\nprocess: {user: x}", "line 2 column 11: unknown field \"user\" in process"},
	{"version: 1\nlandlock: {mode: x}", "line 2 column 12: unknown field \"mode\" in landlock"},
	{"version: 1\nfilesystem_policy:\n  deny: []", "line 3 column 3: unknown field \"deny\""},
	{NET("{endpoint: []}"), "line 2 column 26: unknown field \"endpoint\" in a network policy"},
	{NET("{middleware: [x]}"), "unknown field \"middleware\" in a network policy"},
	{ENDPOINT("hots: x"), "line 4 column 36: unknown field \"hots\" in an endpoint"},
	{ENDPOINT("advisor_proposed: true"), "unknown field \"advisor_proposed\" in an endpoint"},
	{ENDPOINT("mcp: {x: 1}"), "unknown field \"x\" in mcp"},
	{ENDPOINT("json_rpc: {x: 1}"), "unknown field \"x\" in json_rpc"},
	{REST("rules: [{deny: {}}]"), "unknown field \"deny\" in a rule"},
	{REST("rules: [{allow: {verb: GET}}]"), "unknown field \"verb\" in a rule"},
	{REST("deny_rules: [{allow: {}}]"), "unknown field \"allow\" in a rule"},
	{NET("{binaries: [{path: /a, sha: x}]}"), "unknown field \"sha\" in a binary"},
	{"version: 1\nnetwork_middlewares: {m: {middleware: x, stage: 1}}",
	 "unknown field \"stage\""},
	/* types and what is missing */
	{"version: 1\nprocess: {run_as_user: 1000}", "\"run_as_user\" must be text (what reads as"},
	{"version: 1\nfilesystem_policy: {read_only: /a}", "\"read_only\" must be a list"},
	{"version: 1\nfilesystem_policy: {read_only: [1]}", "this must be text"},
	{"version: 1\nfilesystem_policy: {include_workdir: yes}", "must be true or false"},
	{"version: 1\nnetwork_policies: []", "\"network_policies\" must be a mapping"},
	{NET("{binaries: [{}]}"), "field \"path\" of a binary is missing"},
	{NET("[]"), "line 2 column 20: a network policy must be a mapping"},
	{REST("rules: [{}]"), "field \"allow\" of a rule is missing"},
	{ENDPOINT("credential_binding: {}"), "field \"provider\" of credential_binding is missing"},
	/* files */
	{"version: 1\nfilesystem_policy: {read_only: [a/b]}",
	 "p: line 2 column 33: path must be absolute (start with '/'): a/b"},
	{"version: 1\nfilesystem_policy:\n  read_only: [/a]\n  read_write:\n    - /b\n    - c\n",
	 "p: line 6 column 7: path must be absolute (start with '/'): c"},
	{"version: 1\nfilesystem_policy: {read_write: [/a/../b]}",
	 "p: line 2 column 34: path contains '..' traversal component: /a/../b"},
	{"version: 1\nfilesystem_policy: {read_only: [/..]}", "traversal component: /.."},
	{"version: 1\nfilesystem_policy: {read_write: [/]}",
	 "p: line 2 column 34: read-write path is overly broad: /"},
	{"version: 1\nfilesystem_policy: {read_write: [///]}",
	 "read-write path is overly broad: ///"},
	/* process */
	{"version: 1\nprocess: {run_as_user: root}",
	 "run_as_user must be 'sandbox' or a numeric UID/GID in range [1, 4294967294], got 'root'"},
	{"version: 1\nprocess:\n  run_as_user: '0'", "p: line 3 column 3: run_as_user must be"},
	{"version: 1\nprocess: {run_as_group: '4294967295'}", "run_as_group must be 'sandbox'"},
	{"version: 1\nlandlock: {compatibility: soft}",
	 "p: line 2 column 12: landlock compatibility must be best_effort or hard_requirement"},
	/* destinations */
	{NET("{endpoints: [{port: 443}]}"),
	 "network policy 'net': endpoint host must not be empty unless allowed_ips constrains a "
	 "non-TCP proxy endpoint"},
	{NET("{endpoints: [{host: ' ', port: 443}]}"), "endpoint host must not be empty"},
	{NET("{endpoints: [{host: h}]}"),
	 "network policy 'net': endpoint 'h' must declare at least one port"},
	{NET("{endpoints: [{host: h, port: 0}]}"), "must declare at least one port"},
	{NET("{endpoints: [{host: h, ports: []}]}"), "must declare at least one port"},
	{NET("{endpoints: [{host: h, ports: [0]}]}"), "must be a whole number from 1 to 65535"},
	{NET("{endpoints: [{host: h, port: 65536}]}"), "must be a whole number from 0 to 65535"},
	{NET("{endpoints: [{host: h, port: 1, ports: [2]}]}"),
	 "port and ports are mutually exclusive; use ports for multiple ports"},
	{NET("{name: N, endpoints: [{host: '*.com', port: 1}]}"),
	 "network policy 'N': TLD wildcard '*.com' is not allowed; use subdomain wildcards like "
	 "'*.example.com' instead"},
	{NET("{endpoints: [{host: '**.com', port: 1}]}"), "TLD wildcard '**.com'"},
	{NET("{endpoints: [{host: '*', port: 1}]}"), "invalid host wildcard '*'; middle DNS label"},
	{NET("{endpoints: [{host: '**', port: 1}]}"), "invalid host wildcard '**'"},
	{NET("{endpoints: [{host: 'a.**.com', port: 1}]}"), "invalid host wildcard 'a.**.com'"},
	{NET("{endpoints: [{host: 'a.b*.com', port: 1}]}"), "invalid host wildcard 'a.b*.com'"},
	{NET("{endpoints: [{host: '**a.b.com', port: 1}]}"), "invalid host wildcard '**a.b.com'"},
	{NET("{endpoints: [{host: 'a.b.com*', port: 1}]}"), "invalid host wildcard 'a.b.com*'"},
	{NET("{endpoints: [{host: '[*.a.com', port: 1}]}"), "a class that is not closed"},
	{NET("{endpoints: [{protocol: tcp, port: 1, allowed_ips: [10.0.0.1]}]}"),
	 "protocol tcp requires a DNS hostname"},
	{NET("{endpoints: [{protocol: tcp, port: 1, host: 10.0.0.1}]}"),
	 "protocol tcp endpoint '10.0.0.1' must use a DNS hostname, not an IP literal"},
	{ENDPOINT("allowed_ips: [10.0.0.0/33]"), "invalid allowed_ips entry '10.0.0.0/33'"},
	{ENDPOINT("allowed_ips: ['1000:1000:1000:1000:1000:1000:1000:1000:1000:1000']"),
	 "invalid allowed_ips entry"},
	{ENDPOINT("allowed_ips: [ten]"), "invalid allowed_ips entry 'ten'"},
	{ENDPOINT("allowed_ips: [10.0.0.0/]"), "invalid allowed_ips entry"},
	{ENDPOINT("allowed_ips: [127.0.0.1]"), "'127.0.0.1' overlaps 127.0.0.0/8"},
	{ENDPOINT("allowed_ips: [169.254.169.254]"), "overlaps 169.254.0.0/16"},
	{ENDPOINT("allowed_ips: [0.0.0.0/0]"), "overlaps 127.0.0.0/8"},
	{ENDPOINT("allowed_ips: ['::/0']"), "overlaps"},
	{ENDPOINT("allowed_ips: ['fe80::1']"), "overlaps fe80::/10"},
	{ENDPOINT("allowed_ips: ['::ffff:127.0.0.1']"), "overlaps 127.0.0.0/8"},
	/* credentials */
	{ENDPOINT("credential_signing: v4"),
	 "network policy 'net': endpoint 'h' has unrecognized credential_signing value 'v4' "
	 "(expected sigv4, sigv4:body, or sigv4:no_body)"},
	{ENDPOINT("credential_signing: sigv4"),
	 "credential_signing set but signing_service is empty"},
	{REST("access: full, credential_signing: 'sigv4:body', signing_service: s3, "
	      "request_body_credential_rewrite: true"),
	 "has both credential_signing and request_body_credential_rewrite set"},
	/* rules and what they start from */
	{ENDPOINT("protocol: ftp"), L7 "unknown protocol 'ftp' (expected tcp, rest, websocket, "
				       "graphql, sql, json-rpc, or mcp)"},
	{ENDPOINT("enforcement: enforc"), "unknown enforcement value 'enforc'"},
	{ENDPOINT("access: read-wirte"), "unknown access value 'read-wirte'"},
	{ENDPOINT("protocol: rest"),
	 L7 "protocol requires rules or access to define allowed traffic"},
	{ENDPOINT("protocol: graphql"), "protocol requires rules or access"},
	{REST("access: full, rules: [{allow: {method: GET, path: '**'}}]"),
	 L7 "rules and access are mutually exclusive"},
	{REST("rules: []"), "rules list cannot be empty (would deny all traffic)."},
	{REST("access: full, deny_rules: []"), "deny_rules list cannot be empty"},
	{REST("rules: [{allow: {}}]"), L7 "rules would deny all traffic (no allow clause found)."},
	{REST("access: full, deny_rules: [{}]"), L7 "deny_rules[0] says nothing"},
	{REST("deny_rules: [{method: GET, path: '**'}]"), "protocol requires rules or access"},
	{ENDPOINT("access: full, deny_rules: [{method: GET, path: '**'}]"),
	 L7 "deny_rules require protocol (L7 inspection must be enabled)"},
	{ENDPOINT("protocol: tcp, access: full"),
	 L7 "protocol tcp does not support access, rules, or deny_rules; remove those L7 fields"},
	{ENDPOINT("protocol: tcp, enforcement: enforce"),
	 L7 "protocol tcp does not support L7-only fields: enforcement; remove those fields"},
	{ENDPOINT("protocol: tcp, path: /x"), "L7-only fields: path"},
	{ENDPOINT("protocol: tcp, rules: [{allow: {method: GET, path: /}}]"),
	 "tcp does not support access"},
	{ENDPOINT("protocol: tcp, deny_rules: [{method: GET}]"), "tcp does not support access"},
	{ENDPOINT("protocol: tcp, graphql_persisted_queries: {k: {operation_type: query}}"),
	 "L7-only fields: graphql_persisted_queries"},
	{ENDPOINT("protocol: mcp, rules: [{allow: {}}]"), "rules would deny all traffic"},
	{REST("mcp: {allow_all_known_mcp_methods: true}, rules: [{allow: {}}]"),
	 "rules would deny all traffic"},
	{ENDPOINT("protocol: tcp, mcp: {}"), "L7-only fields: mcp"},
	{ENDPOINT("protocol: json-rpc"), L7 "protocol json-rpc requires explicit rules with "
					    "allow.method"},
	{ENDPOINT("protocol: json-rpc, access: full"),
	 L7 "protocol json-rpc does not support access presets; use explicit rules"},
	{ENDPOINT("protocol: json-rpc, rules: [{allow: {method: m, params: {a: b}}}]"),
	 "rules[0]: protocol json-rpc does not support params"},
	{ENDPOINT("protocol: mcp"),
	 L7 "protocol mcp requires rules when mcp.allow_all_known_mcp_methods is false"},
	{ENDPOINT("protocol: mcp, access: full"), "protocol mcp does not support access presets"},
	{ENDPOINT("protocol: sql, access: full, enforcement: enforce"),
	 L7 "SQL enforcement requires full SQL parsing; use enforcement: audit"},
	{REST("access: full, path: v1"),
	 L7 "endpoint path must start with '/' or be '**', got 'v1'"},
	{REST("rules: [{allow: {method: GET, path: '/[a'}}]"),
	 "network policy 'net': path '/[a' holds a class that is not closed"},
	{NET("{binaries: [{path: '/usr/{*'}]}"), "binary '/usr/{*' holds a group"},
	/* query */
	{REST("rules: [{allow: {query: 1}}]"), "query: expected map of query matchers"},
	{REST("rules: [{allow: {query: {a: 1}}}]"), "a: expected string glob or object with `any`"},
	{REST("rules: [{allow: {query: {a: {any: []}}}}]"), "a.any: list must not be empty"},
	{REST("rules: [{allow: {query: {a: {}}}}]"), "a.any: list must not be empty"},
	{REST("rules: [{allow: {query: {a: {glob: x}}}}]"), "a: unknown matcher keys"},
	{REST("rules: [{allow: {query: {a: {any: [1]}}}}]"), "this must be text"},
	{REST("rules: [{allow: {method: GET, query: {a: '{'}}}]"),
	 "a '{' holds a group that is not closed"},
	/* GraphQL */
	{ENDPOINT("protocol: graphql, rules: [{allow: {method: GET, path: '**'}}]"),
	 "rules[0].operation_type must be query, mutation, or subscription"},
	{ENDPOINT("protocol: graphql, access: full, deny_rules: [{fields: [a]}]"),
	 "deny_rules[0].operation_type must be"},
	{ENDPOINT("protocol: graphql, access: full, persisted_queries: some"),
	 L7 "persisted_queries must be 'deny' or 'allow_registered', got 'some'"},
	{ENDPOINT("protocol: graphql, access: full, graphql_persisted_queries: {k: {}}"),
	 "graphql_persisted_queries[k].operation_type must be"},
	{ENDPOINT("protocol: graphql, access: full, graphql_max_body_bytes: 0"),
	 "graphql_max_body_bytes must be a positive integer"},
	{ENDPOINT("protocol: websocket, rules: [{allow: {operation_type: query}}, "
		  "{allow: {method: websocket_text, path: '**'}}]"),
	 "must use operation_type/operation_name/fields rules for client messages instead of "
	 "WEBSOCKET_TEXT"},
	{ENDPOINT("protocol: websocket, rules: [{allow: {operation_type: query, path: /a}}]"),
	 "must not combine"},
	{ENDPOINT("protocol: websocket, rules: [{allow: {operation_type: query, query: {a: b}}}]"),
	 "must not combine"},
	{"version: 1\nnetwork_policies: {n: {endpoints: [{host: h, port: 1, protocol: rest, rules: "
	 "[\n"
	 "  {allow: {method: GET, path: '/{'}}]}]}}\n",
	 "p: line 3 column 4: network policy 'n': path '/{' holds a group"},
	{ENDPOINT("protocol: websocket, rules: [{allow: {operation_type: query, method: GET}}]"),
	 "must not combine method/path/query with operation_type/operation_name/fields"},
};

TEST(what_is_refused_says_why_and_where)
{
	for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
		refused(refusals[i][0], refusals[i][1]);
}

static const char *const middleware_refusals[][2] = {
	{"m: {endpoints: {include: [h]}}", "field \"middleware\" of a middleware is missing"},
	{"m: {middleware: ''}", "middleware config 'm' is invalid: middleware must not be empty"},
	{"m: {middleware: x}", "middleware config 'm' is invalid: endpoint selector is required"},
	{"m: {middleware: x, endpoints: {}}", "must include at least one host pattern"},
	{"m: {middleware: x, on_error: no, endpoints: {include: [h]}}", "invalid on_error 'no'"},
	{"a: {middleware: x, endpoints: {include: [h]}}, b: {middleware: x, endpoints: {include: "
	 "[h]}}",
	 "middleware configs 'a' and 'b' use duplicate order 0"},
	{"m: {middleware: x, config: 1}", "\"config\" must be a mapping"},
	{"m: {middleware: x, endpoints: {include: ['[']}}", "pattern '[' holds a class"},
	{"m: {middleware: x, endpoints: {include: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a], "
	 "exclude: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]}}",
	 "middleware config 'm' has too many selector patterns (33 > 32)"},
};

TEST(middlewares_that_are_refused)
{
	char text[4096];
	size_t n = 0;

	for (size_t i = 0; i < sizeof middleware_refusals / sizeof middleware_refusals[0]; i++) {
		snprintf(text, sizeof text, "version: 1\nnetwork_middlewares: {%s}\n",
			 middleware_refusals[i][0]);
		refused(text, middleware_refusals[i][1]);
	}
	n += (size_t)snprintf(text, sizeof text, "version: 1\nnetwork_middlewares:\n");
	for (int i = 0; i < 11; i++) {
		if (i == 10)
			policy_unref(parse(text));
		n += (size_t)snprintf(
			text + n, sizeof text - n,
			"  m%d: {middleware: x, order: %d, endpoints: {include: [h]}}\n", i, i);
	}
	refused(text, "too many middleware configs (11 > 10)");
}

TEST(limits)
{
	static char text[1 << 17];
	size_t n = (size_t)sprintf(text, "version: 1\nfilesystem_policy:\n  read_only:\n");

	for (int i = 0; i < 257; i++)
		n += (size_t)sprintf(text + n, "    - /p%d\n", i);
	refused(text, "p: line 3 column 3: too many filesystem paths (257 > 256)");

	n = (size_t)sprintf(text, "version: 1\nfilesystem_policy: {read_only: [/");
	for (int i = 0; i < 4095; i += 3)
		n += (size_t)sprintf(text + n, "\xe2\x82\xac");
	strcpy(text + n, "]}\n");
	policy_unref(parse(text));
	strcpy(text + n, "a]}\n");
	refused(text, "path exceeds maximum length (4097 > 4096): /\xe2\x82\xac");
	refused(text, "\xe2\x82\xac...");

	n = (size_t)sprintf(text, "version: 1\nnetwork_policies: {n: {endpoints: [");
	for (int i = 0; i <= POLICY_ENDPOINTS_MAX; i++)
		n += (size_t)sprintf(text + n, "{host: h%d, port: 1},", i);
	strcpy(text + n, "]}}\n");
	refused(text, "more than 2048 endpoints");

	n = (size_t)sprintf(text,
			    "version: 1\nnetwork_policies: {n: {endpoints: [{host: h, ports: [");
	for (int i = 0; i < POLICY_PORTS_MAX; i++)
		n += (size_t)sprintf(text + n, "%d,", i + 1);
	strcpy(text + n, "]}]}}\n");
	policy_unref(parse(text));
	n += (size_t)sprintf(text + n, "%d,", POLICY_PORTS_MAX + 1);
	strcpy(text + n, "]}]}}\n");
	refused(text, "more than 1024 ports in an endpoint");
}

/* Errors go to peers that take nothing but UTF-8. */
TEST(an_error_is_cut_at_a_character)
{
	char text[512];
	struct err e;
	size_t n = (size_t)sprintf(text, "version: 1\n\"");

	for (int i = 0; i < 40; i++)
		n += (size_t)sprintf(text + n, "a\xe2\x82\xac");
	strcpy(text + n, "\": 1\n");
	OK(policy_parse(str_of(text), "p", NULL, NULL, &e) == NULL);
	OK(str_is_utf8(str_of(e.text)));
	HAS(e.text, "unknown field \"a\xe2\x82\xac");
}

/* ---- endpoints that contradict each other ---- */

static void pair(char *out, size_t size, const char *a, const char *b)
{
	snprintf(out, size,
		 "version: 1\nnetwork_policies:\n  one: {endpoints: [{%s}], binaries: [{path: "
		 "/b}]}\n"
		 "  two: {name: Two, endpoints: [{%s}], binaries: [{path: /b}]}\n",
		 a, b);
}

TEST(endpoints_that_contradict_each_other)
{
	static const char *const rows[][3] = {
		{"host: h, port: 1", "host: H, port: 1, tls: skip",
		 "p: line 4 column 32: network policies 'one' endpoint[0] (h:1) and 'Two' "
		 "endpoint[0] (H:1) overlap on port(s) 1 with conflicting metadata: tls=\"\" vs "
		 "\"skip\""},
		{"host: h, ports: [1,2,3]", "host: h, ports: [2,3,4], allowed_ips: [10.0.0.1]",
		 "overlap on port(s) 2,3 with conflicting metadata: allowed_ips"},
		{"host: '*.a.com', port: 1", "host: x.a.com, port: 1, protocol: tcp",
		 "transparent_tcp_eligible=\"false\" vs \"true\""},
		{"host: '*.a.com', port: 1, tls: skip", "host: '**.a.com', port: 1", "tls="},
		{"port: 1, allowed_ips: [10.0.0.1]", "host: h, port: 1", "(<any-host>:1)"},
		{"host: h, port: 1, protocol: rest, access: full",
		 "host: h, port: 1, protocol: graphql, access: full",
		 "protocol=\"rest\" vs \"graphql\""},
		{"host: h, port: 1, protocol: rest, access: full",
		 "host: h, port: 1, protocol: rest, access: full, enforcement: enforce",
		 "enforcement=\"audit\" vs \"enforce\""},
		{"host: h, port: 1, protocol: rest, access: full, path: '/a/*'",
		 "host: h, port: 1, protocol: websocket, access: full, path: '/*/a'", "protocol="},
		{"host: h, port: 1, protocol: graphql, access: full",
		 "host: h, port: 1, protocol: graphql, access: full, graphql_max_body_bytes: 1",
		 "graphql_max_body_bytes=\"65536\" vs \"1\""},
		{"host: h, port: 1, allowed_ips: [10.0.0.1]",
		 "host: h, port: 1, allowed_ips: [10.0.0.2]", "allowed_ips"},
		{"host: h, port: 1, allowed_ips: [10.0.0.0/16]",
		 "host: h, port: 1, allowed_ips: [10.0.0.0/24]", "allowed_ips"},
		{"host: h, port: 1, protocol: websocket, access: full",
		 "host: h, port: 1, protocol: websocket, rules: [{allow: {operation_type: query}}]",
		 "websocket_graphql_policy=\"false\" vs \"true\""},
		{"host: h, port: 1, protocol: websocket, access: full",
		 "host: h, port: 1, protocol: websocket, access: full, deny_rules: "
		 "[{operation_type: "
		 "query}]",
		 "websocket_graphql_policy"},
		{"host: h, port: 1, protocol: websocket, access: full",
		 "host: h, port: 1, protocol: websocket, access: full, persisted_queries: "
		 "allow_registered",
		 "websocket_graphql_policy"},
		{"host: h, port: 1, protocol: websocket, access: full",
		 "host: h, port: 1, protocol: websocket, access: full, graphql_persisted_queries: "
		 "{k: "
		 "{operation_type: query}}",
		 "websocket_graphql_policy"},
		{"host: h, port: 1, protocol: json-rpc, rules: [{allow: {method: m}}]",
		 "host: h, port: 1, protocol: json-rpc, rules: [{allow: {method: m}}], json_rpc: "
		 "{max_body_bytes: 1}",
		 "json_rpc_max_body_bytes=\"65536\" vs \"1\""},
		{"host: h, port: 1, protocol: mcp, mcp: {allow_all_known_mcp_methods: true}",
		 "host: h, port: 1, protocol: mcp, mcp: {allow_all_known_mcp_methods: true, "
		 "strict_tool_names: false, max_body_bytes: 1}",
		 "json_rpc_max_body_bytes=\"65536\" vs \"1\"; mcp.strict_tool_names=\"true\" vs"},
		{"host: h, port: 1, protocol: rest, access: full",
		 "host: h, port: 1, credential_binding: {provider: p}",
		 "protocol=\"rest\" vs \"\""},
		{"host: h, port: 1, protocol: rest, access: full", "host: h, port: 1, tls: auto",
		 "protocol=\"rest\" vs \"\""},
		{"host: h, port: 1, protocol: rest, access: full",
		 "host: h, port: 1, protocol: rest, access: full, credential_binding: {provider: "
		 "p}",
		 "credential_binding.provider=\"\" vs \"p\""},
	};
	char text[1024];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		pair(text, sizeof text, rows[i][0], rows[i][1]);
		refused(text, rows[i][2]);
	}
}

TEST(endpoints_that_agree)
{
	static const char *const rows[][2] = {
		{"host: h, port: 1", "host: h, port: 2, tls: skip"},
		{"host: h, port: 1", "host: i, port: 1, tls: skip"},
		{"host: h, port: 1, tls: terminate", "host: h, port: 1"},
		{"host: '*.a.com', port: 1", "host: x.y.a.com, port: 1, tls: skip"},
		{"host: h, port: 1, allowed_ips: [10.0.0.1, 10.0.0.2]",
		 "host: h, port: 1, allowed_ips: [10.0.0.2, 10.0.0.1/32]"},
		/* a plain endpoint configures nothing */
		{"host: h, port: 1, protocol: rest, access: full", "host: h, port: 1"},
		/* the narrower path counts */
		{"host: h, port: 1, protocol: rest, access: full, path: /a/b",
		 "host: h, port: 1, protocol: graphql, access: full, path: '/a/**'"},
		/* paths apart */
		{"host: h, port: 1, protocol: rest, access: full, path: /a",
		 "host: h, port: 1, protocol: graphql, access: full, path: /b"},
		{"host: h, port: 1, protocol: rest, access: read-only",
		 "host: h, port: 1, protocol: rest, access: full"},
		{"host: h, port: 1, protocol: websocket, access: full",
		 "host: h, port: 1, protocol: websocket, access: full, persisted_queries: deny"},
		{"host: h, port: 1, protocol: rest, access: full, json_rpc: {max_body_bytes: 1}",
		 "host: h, port: 1, protocol: rest, access: full, mcp: {strict_tool_names: false}"},
		{"host: h, port: 1, protocol: graphql, access: full, graphql_max_body_bytes: 65536",
		 "host: h, port: 1, protocol: graphql, access: full"},
	};
	char text[1024];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		pair(text, sizeof text, rows[i][0], rows[i][1]);
		policy_unref(parse(text));
	}
}

TEST(a_middleware_cannot_look_into_a_tunnel)
{
	static const char text[] =
		"version: 1\nnetwork_middlewares: {m: {middleware: x, %s endpoints: {include: "
		"['*.a.com'], exclude: [%s]}}}\nnetwork_policies: {n: {endpoints: [{host: b.a.com, "
		"port: 1, tls: skip}], binaries: [{path: /b}]}}\n";
	char s[512];

	snprintf(s, sizeof s, text, "", "c.a.com");
	refused(s, "middleware config 'm' selects network policy 'n' tls: skip endpoint 'b.a.com'");
	snprintf(s, sizeof s, text, "", "b.a.com");
	policy_unref(parse(s));
	snprintf(s, sizeof s, text, "on_error: fail_open,", "c.a.com");
	policy_unref(parse(s));
}
