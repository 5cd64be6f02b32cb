/*
 * GraphQL, JSON-RPC and MCP requests, as tables (supervisor contract 5.5, L7).
 */
#include "decide.h"

static const char policies[] =
	"version: 1\n"
	"network_policies:\n"
	"  gql_ro: {endpoints: [{host: gro, port: 80, protocol: graphql, access: read-only}], "
	"binaries: [{path: /b}]}\n"
	"  gql_rw: {endpoints: [{host: grw, port: 80, protocol: graphql, access: read-write}], "
	"binaries: [{path: /b}]}\n"
	"  gql_full: {endpoints: [{host: gfull, port: 80, protocol: graphql, access: full}], "
	"binaries: [{path: /b}]}\n"
	"  gql:\n"
	"    endpoints:\n"
	"      - host: g\n"
	"        port: 80\n"
	"        protocol: graphql\n"
	"        persisted_queries: allow_registered\n"
	"        graphql_persisted_queries:\n"
	"          abc: {operation_type: query, operation_name: Viewer, fields: [viewer]}\n"
	"          bad: {operation_type: mutation, operation_name: Drop, fields: [deleteRepo]}\n"
	"          id7: {operation_type: query, operation_name: Other, fields: [other]}\n"
	"        rules:\n"
	"          - allow: {operation_type: query, fields: [viewer, 'repo*']}\n"
	"          - allow: {operation_type: mutation, operation_name: 'Add*'}\n"
	"        deny_rules:\n"
	"          - {operation_type: mutation, fields: ['delete*']}\n"
	"          - {operation_type: '*', operation_name: Evil}\n"
	"    binaries: [{path: /b}]\n"
	"  gql_deny: {endpoints: [{host: gdeny, port: 80, protocol: graphql, access: full, "
	"persisted_queries: deny, graphql_persisted_queries: {abc: {operation_type: query}}}], "
	"binaries: [{path: /b}]}\n"
	"  both:\n"
	"    endpoints:\n"
	"      - {host: both, port: 80, protocol: rest, access: full}\n"
	"      - {host: both, port: 80, protocol: graphql, access: read-only, path: /graphql}\n"
	"    binaries: [{path: /b}]\n"
	"  ws: {endpoints: [{host: ws, port: 80, protocol: websocket, rules: [{allow: {method: "
	"GET, path: "
	"'**'}}, {allow: {operation_type: query}}]}], binaries: [{path: /b}]}\n"
	"  rpc: {endpoints: [{host: rpc, port: 80, protocol: json-rpc, rules: [{allow: {method: "
	"reports.list}}, {allow: {method: 'reports.*'}}], deny_rules: [{method: "
	"reports.list.all}]}], "
	"binaries: [{path: /b}]}\n"
	"  rpc_all: {endpoints: [{host: rpcall, port: 80, protocol: json-rpc, rules: [{allow: "
	"{method: "
	"'*'}}], deny_rules: [{method: drop}]}], binaries: [{path: /b}]}\n"
	"  mcp: {endpoints: [{host: mcp, port: 80, protocol: mcp, rules: [{allow: {method: "
	"'tools/*', "
	"params: {name: 'get_*'}}}, {allow: {method: initialize}}, {allow: {method: "
	"'notifications/*'}}, "
	"{allow: {method: res, params: {args: {repo: a, kind: {any: [x, y]}}}}}], deny_rules: "
	"[{tool: "
	"get_secret}, {method: 'a.*'}]}], binaries: [{path: /b}]}\n"
	"  mcp_all: {endpoints: [{host: mcpall, port: 80, protocol: mcp, mcp: "
	"{allow_all_known_mcp_methods: true}}], binaries: [{path: /b}]}\n"
	"  mcp_some: {endpoints: [{host: mcpsome, port: 80, protocol: mcp, mcp: "
	"{allow_all_known_mcp_methods: true}, rules: [{allow: {tool: {any: [search, 'read_*']}}}], "
	"deny_rules: [{tool: read_keys}]}], binaries: [{path: /b}]}\n";

static void decide(const struct policy *p, const char *target, const struct policy_request *r,
		   const char *wanted)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy_target t = target_of(target);
	struct policy_caller c = {.exe = "/b"};
	struct policy_request_verdict v;
	char row[256];

	policy_decide_request(p, &t, &c, r, &a, &v);
	snprintf(row, sizeof row, "%s %s (%s)", target,
		 r->jsonrpc && r->jsonrpc->method.n ? r->jsonrpc->method.p : r->method.p, wanted);
	expect(row, v.allowed, v.policy, v.reason, wanted);
}

/* ---- GraphQL ---- */

/* An operation as "type Name field field", or "#hash" or "@id" for a persisted query. */
static void operation_of(struct words *w, struct str *fields, const char *text,
			 struct policy_graphql_operation *op)
{
	split(w, text, " ");
	for (size_t i = 2; i < w->n; i++)
		fields[i - 2] = str_of(w->v[i]);
	*op = (struct policy_graphql_operation){.fields = fields,
						.fields_n = w->n > 2 ? w->n - 2 : 0};
	if (text[0] == '#' || text[0] == '@') {
		op->persisted = true;
		*(text[0] == '#' ? &op->persisted_hash : &op->persisted_id) = str_of(text + 1);
		return;
	}
	op->operation_type = str_of(w->v[0]);
	op->operation_name = str_of(w->n > 1 && !streq(w->v[1], "-") ? w->v[1] : "");
}

struct graphql_row {
	const char *target, *operations, *wanted; /* operations joined by ";" */
};

#define BLOCKED "-=GraphQL operation blocked by endpoint policy"
#define UNKNOWN "-=GraphQL persisted query is not registered"

static const struct graphql_row graphql_rows[] = {
	/* presets */
	{"gro:80", "query", "+gql_ro"},
	{"gro:80", "QUERY Viewer a b", "+gql_ro"},
	{"gro:80", "mutation", BLOCKED},
	{"gro:80", "subscription", BLOCKED},
	{"gro:80", "query;mutation", BLOCKED},
	{"gro:80", "query;query", "+gql_ro"},
	{"grw:80", "query", "+gql_rw"},
	{"grw:80", "mutation Add x", "+gql_rw"},
	{"grw:80", "subscription", BLOCKED},
	{"gfull:80", "subscription", "+gql_full"},
	{"gfull:80", "query;mutation;subscription", "+gql_full"},
	/* every field must be one of the rule's */
	{"g:80", "query - viewer", "+gql"},
	{"g:80", "query - viewer repository repos", "+gql"},
	{"g:80", "query - viewer secrets", BLOCKED},
	{"g:80", "query - secrets", BLOCKED},
	{"g:80", "query -", BLOCKED},
	{"g:80", "query - Viewer", BLOCKED},
	{"g:80", "query - repo.x", BLOCKED},
	/* names */
	{"g:80", "mutation AddStar x", "+gql"},
	{"g:80", "mutation Add", "+gql"},
	{"g:80", "mutation Remove x", BLOCKED},
	{"g:80", "mutation -", BLOCKED},
	{"g:80", "mutation Add.x y", BLOCKED},
	/* one denied field is enough, and one denied operation */
	{"g:80", "mutation AddStar deleteRepo", BLOCKED},
	{"g:80", "mutation AddStar star deleteRepo", BLOCKED},
	{"g:80", "query - viewer;mutation AddStar deleteRepo", BLOCKED},
	{"g:80", "query Evil viewer", BLOCKED},
	/* persisted queries */
	{"g:80", "#abc", "+gql"},
	{"g:80", "@abc", "+gql"},
	{"g:80", "#unknown", UNKNOWN},
	{"g:80", "@", UNKNOWN},
	{"g:80", "#bad", BLOCKED},
	{"g:80", "@id7", BLOCKED},
	{"g:80", "#abc;query - viewer", "+gql"},
	{"g:80", "#abc;#unknown", UNKNOWN},
	{"gdeny:80", "#abc", UNKNOWN},
	{"gdeny:80", "query", "+gql_deny"},
	{"gfull:80", "#abc", UNKNOWN},
	/* messages of a WebSocket */
	{"ws:80", "query", "+ws"},
	{"ws:80", "mutation", BLOCKED},
	/* operations where nobody judges them */
	{"rpc:80", "query", "-=GraphQL operation not permitted by policy"},
};

static void try_graphql(const struct policy *p, const struct graphql_row *row)
{
	struct words list, words[4];
	struct str fields[4][WORDS_MAX];
	struct policy_graphql_operation operations[4];
	struct policy_graphql g = {.operations = operations};

	split(&list, row->operations, ";");
	for (; g.operations_n < list.n; g.operations_n++)
		operation_of(&words[g.operations_n], fields[g.operations_n], list.v[g.operations_n],
			     &operations[g.operations_n]);
	struct policy_request r = {.method = STR("POST"), .path = STR("/graphql"), .graphql = &g};
	decide(p, row->target, &r, row->wanted);
}

TEST(graphql_operations)
{
	struct policy *p = parse(policies);

	for (size_t i = 0; i < sizeof graphql_rows / sizeof graphql_rows[0]; i++)
		try_graphql(p, &graphql_rows[i]);
	policy_unref(p);
}

/* The name of a persisted query beside an operation changes nothing about the operation. */
TEST(an_operation_is_judged_by_what_it_says)
{
	struct policy *p = parse(policies);
	struct policy_graphql_operation op = {
		.operation_type = STR("mutation"), .persisted = true, .persisted_hash = STR("abc")};
	struct policy_graphql g = {.operations = &op, .operations_n = 1};
	struct policy_request r = {.method = STR("POST"), .path = STR("/graphql"), .graphql = &g};

	decide(p, "g:80", &r, BLOCKED);
	decide(p, "grw:80", &r, "+gql_rw");
	op = (struct policy_graphql_operation){.persisted_hash = STR("abc")};
	decide(p, "g:80", &r, BLOCKED);
	policy_unref(p);
}

TEST(a_graphql_endpoint_has_the_last_word)
{
	struct policy *p = parse(policies);
	struct policy_graphql_operation mutation = {.operation_type = STR("mutation")};
	struct policy_graphql g = {.operations = &mutation, .operations_n = 1};
	struct policy_graphql broken = {.error = STR("no such thing")}, empty = {.operations_n = 0};
	struct policy_request r = {.method = STR("POST"), .path = STR("/graphql"), .graphql = &g};

	decide(p, "both:80", &r, BLOCKED);
	r.graphql = &broken;
	decide(p, "both:80", &r, "-=GraphQL request rejected: no such thing");
	decide(p, "gfull:80", &r, "-=GraphQL request rejected: no such thing");
	r.graphql = &empty;
	decide(p, "both:80", &r, "-=POST /graphql blocked by deny rule");
	/* not parsed at all: the rest endpoint's rules allow it */
	r.graphql = NULL;
	decide(p, "both:80", &r, "+both");
	decide(p, "gfull:80", &r, "-=POST /graphql not permitted by policy");
	r.path = STR("/other");
	r.graphql = &g;
	decide(p, "both:80", &r, "+both");
	policy_unref(p);
}

TEST(a_websocket_with_operations_may_be_opened)
{
	struct policy *p = parse(policies);
	struct policy_request r = {.method = STR("GET"), .path = STR("/ws")};

	decide(p, "ws:80", &r, "+ws");
	r.method = STR("WEBSOCKET_TEXT");
	decide(p, "ws:80", &r, "-=WEBSOCKET_TEXT /ws not permitted by policy");
	policy_unref(p);
}

/* ---- JSON-RPC and MCP ---- */

struct rpc_row {
	const char *target, *http, *method, *params, *wanted;
};

#define NOT_PERMITTED "-=POST /rpc not permitted by policy"
#define DENIED "-=POST /rpc blocked by deny rule"

static const struct rpc_row rpc_rows[] = {
	/* JSON-RPC: POST, and the method as a word */
	{"rpc:80", "POST", "reports.list", "", "+rpc"},
	{"rpc:80", "POST", "reports.*", "", "+rpc"},
	{"rpc:80", "POST", "reports.delete", "", NOT_PERMITTED},
	{"rpc:80", "POST", "Reports.list", "", NOT_PERMITTED},
	{"rpc:80", "POST", "reports.list.all", "", DENIED},
	{"rpc:80", "POST", "", "", NOT_PERMITTED},
	{"rpc:80", "GET", "reports.list", "", "-=GET /rpc not permitted by policy"},
	{"rpc:80", "post", "reports.list", "", "-=post /rpc not permitted by policy"},
	{"rpcall:80", "POST", "anything", "", "+rpc_all"},
	{"rpcall:80", "POST", "a.b/c", "", "+rpc_all"},
	{"rpcall:80", "POST", "drop", "", DENIED},
	{"rpcall:80", "PUT", "anything", "", "-=PUT /rpc not permitted by policy"},
	{"rpcall:80", "GET", "", "", "-=GET /rpc not permitted by policy"},
	/* MCP: the method as a glob, parameters */
	{"mcp:80", "POST", "initialize", "", "+mcp"},
	{"mcp:80", "POST", "notifications/initialized", "", "+mcp"},
	{"mcp:80", "POST", "notifications", "", NOT_PERMITTED},
	{"mcp:80", "POST", "tools/call", "name=get_repo", "+mcp"},
	{"mcp:80", "POST", "tools/call", "name=set_repo", NOT_PERMITTED},
	{"mcp:80", "POST", "tools/call", "", NOT_PERMITTED},
	{"mcp:80", "POST", "tools/call", "Name=get_repo", NOT_PERMITTED},
	{"mcp:80", "POST", "tools/call", "name=get_secret", DENIED},
	{"mcp:80", "POST", "tools/call", "name=get_a.b", NOT_PERMITTED},
	{"mcp:80", "POST", "tools/list", "", NOT_PERMITTED},
	{"mcp:80", "POST", "res", "args.repo=a&args.kind=y", "+mcp"},
	{"mcp:80", "POST", "res", "args.repo=a&args.kind=z", NOT_PERMITTED},
	{"mcp:80", "POST", "res", "args.repo=a", NOT_PERMITTED},
	{"mcp:80", "POST", "a.b", "", DENIED},
	{"mcp:80", "POST", "", "", NOT_PERMITTED},
	{"mcp:80", "GET", "initialize", "", "-=GET /rpc not permitted by policy"},
	/* MCP where all methods are allowed */
	{"mcpall:80", "POST", "tools/call", "name=x", "+mcp_all"},
	{"mcpall:80", "POST", "resources/list", "", "+mcp_all"},
	{"mcpall:80", "POST", "", "", NOT_PERMITTED},
	{"mcpall:80", "DELETE", "tools/call", "", "-=DELETE /rpc not permitted by policy"},
	{"mcpsome:80", "POST", "resources/list", "", "+mcp_some"},
	{"mcpsome:80", "POST", "tools/list", "", "+mcp_some"},
	{"mcpsome:80", "POST", "tools/call", "name=search", "+mcp_some"},
	{"mcpsome:80", "POST", "tools/call", "name=read_file", "+mcp_some"},
	{"mcpsome:80", "POST", "tools/call", "name=write_file", NOT_PERMITTED},
	{"mcpsome:80", "POST", "tools/call", "", NOT_PERMITTED},
	{"mcpsome:80", "POST", "tools/call", "name=read_keys", DENIED},
};

TEST(rpc_methods)
{
	struct policy *p = parse(policies);

	for (size_t i = 0; i < sizeof rpc_rows / sizeof rpc_rows[0]; i++) {
		const struct rpc_row *row = &rpc_rows[i];
		struct words list;
		struct policy_param params[WORDS_MAX];
		struct policy_jsonrpc j = {.method = str_of(row->method), .params = params};
		j.params_n = params_of(&list, row->params, params);
		struct policy_request r = {
			.method = str_of(row->http), .path = STR("/rpc"), .jsonrpc = &j};
		decide(p, row->target, &r, row->wanted);
	}
	policy_unref(p);
}

TEST(responses_of_the_client)
{
	struct policy *p = parse(policies);
	struct policy_jsonrpc j = {.has_response = true};
	struct policy_request r = {.method = STR("POST"), .path = STR("/rpc"), .jsonrpc = &j};

	decide(p, "rpcall:80", &r,
	       "-=JSON-RPC response frames are not permitted from client to server");
	decide(p, "mcp:80", &r, "+mcp");
	decide(p, "mcpall:80", &r, "+mcp_all");
	j.method = STR("anything");
	decide(p, "rpcall:80", &r,
	       "-=JSON-RPC response frames are not permitted from client to server");
	j.error = STR("broken");
	decide(p, "mcp:80", &r, NOT_PERMITTED);
	policy_unref(p);
}

TEST(the_stream_on_which_a_server_answers)
{
	struct policy *p = parse(policies);
	struct policy_jsonrpc j = {.receive_stream = true};
	struct policy_request r = {.method = STR("GET"), .path = STR("/rpc"), .jsonrpc = &j};

	decide(p, "mcp:80", &r, "+mcp");
	decide(p, "mcpall:80", &r, "+mcp_all");
	decide(p, "rpcall:80", &r, "-=GET /rpc not permitted by policy");
	j.error = STR("broken");
	decide(p, "mcp:80", &r, "-=GET /rpc not permitted by policy");
	j = (struct policy_jsonrpc){.receive_stream = false};
	decide(p, "mcp:80", &r, "-=GET /rpc not permitted by policy");
	r.jsonrpc = NULL;
	decide(p, "mcp:80", &r, "-=GET /rpc not permitted by policy");
	policy_unref(p);
}

TEST(a_frame_that_is_none)
{
	struct policy *p = parse(policies);
	struct policy_jsonrpc j = {.error = STR("not JSON")};
	struct policy_request r = {.method = STR("POST"), .path = STR("/rpc"), .jsonrpc = &j};

	decide(p, "mcpall:80", &r, NOT_PERMITTED);
	decide(p, "rpcall:80", &r, NOT_PERMITTED);
	j.method = STR("tools/list");
	decide(p, "mcpall:80", &r, NOT_PERMITTED);
	r.jsonrpc = NULL;
	decide(p, "rpcall:80", &r, NOT_PERMITTED);
	policy_unref(p);
}
