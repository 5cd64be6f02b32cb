/*
 * Requests of HTTP, WebSocket and SQL endpoints, as a table (supervisor contract 5.4 and 5.5, L7, and
 * the peer's tests in its section 9). GraphQL, JSON-RPC and MCP: message_test.c.
 */
#include "decide.h"

static const char policies[] =
	"version: 1\n"
	"network_policies:\n"
	"  ro: {endpoints: [{host: ro, port: 80, protocol: rest, access: read-only}], "
	"binaries: [{path: /b}]}\n"
	"  rw: {endpoints: [{host: rw, port: 80, protocol: rest, access: read-write}], "
	"binaries: [{path: /b}]}\n"
	"  full: {endpoints: [{host: full, port: 80, protocol: rest, access: full}], "
	"binaries: [{path: /b}]}\n"
	"  other: {endpoints: [{host: full, port: 80, protocol: rest, access: full}], "
	"binaries: [{path: /other}]}\n"
	"  paths:\n"
	"    endpoints:\n"
	"      - host: paths\n"
	"        port: 80\n"
	"        protocol: rest\n"
	"        rules:\n"
	"          - allow: {method: GET, path: /exact}\n"
	"          - allow: {method: get, path: '/one/*'}\n"
	"          - allow: {method: POST, path: '/repos/**'}\n"
	"          - allow: {method: PUT, path: '/v?/{a,b}/[0-9]'}\n"
	"          - allow: {method: DELETE, path: '**'}\n"
	"          - allow: {method: PATCH}\n"
	"          - allow: {path: /nomethod}\n"
	"    binaries: [{path: /b}]\n"
	"  query:\n"
	"    endpoints:\n"
	"      - host: query\n"
	"        port: 80\n"
	"        protocol: rest\n"
	"        rules:\n"
	"          - allow: {method: GET, path: /download, query: {slug: 'my-*', tag: {any: "
	"['foo-*', "
	"bar]}}}\n"
	"          - allow: {method: GET, path: /v, query: {version: 'v1*'}}\n"
	"          - allow: {method: GET, path: /any, query: {}}\n"
	"          - allow: {method: GET, path: /empty, query: {q: ''}}\n"
	"          - allow: {method: GET, path: /repo, query: {repo: 'NVIDIA/*'}}\n"
	"    binaries: [{path: /b}]\n"
	"  deny:\n"
	"    endpoints:\n"
	"      - host: deny\n"
	"        port: 80\n"
	"        protocol: rest\n"
	"        access: full\n"
	"        deny_rules:\n"
	"          - {method: DELETE, path: '**'}\n"
	"          - {method: '*', path: '/admin/**'}\n"
	"          - {method: GET, path: /secret}\n"
	"          - {method: POST, path: /q, query: {force: 'true', mode: {any: [a, b]}}}\n"
	"          - {method: TRACE}\n"
	"          - {path: /never}\n"
	"          - {query: {debug: '*'}}\n"
	"    binaries: [{path: /b}]\n"
	"  deny_also: {endpoints: [{host: deny, port: 80, protocol: rest, access: full, "
	"deny_rules: "
	"[{method: GET, path: /also}]}], binaries: [{path: /b}]}\n"
	"  deny_others: {endpoints: [{host: deny, port: 80, protocol: rest, access: full, "
	"deny_rules: "
	"[{method: GET, path: /others}]}], binaries: [{path: /c}]}\n"
	"  git:\n"
	"    endpoints:\n"
	"      - host: git\n"
	"        port: 443\n"
	"        protocol: rest\n"
	"        rules:\n"
	"          - allow: {method: GET, path: '/*/*.git/info/refs', query: {service: "
	"git-upload-pack}}\n"
	"          - allow: {method: POST, path: '/*/*.git/git-upload-pack'}\n"
	"    binaries: [{path: /b}]\n"
	"  scoped:\n"
	"    endpoints:\n"
	"      - {host: scoped, port: 80, protocol: rest, access: full, path: '/api/**'}\n"
	"      - {host: scoped, port: 80, protocol: rest, access: read-only, path: /status}\n"
	"    binaries: [{path: /b}]\n"
	"  ws_ro: {endpoints: [{host: wsro, port: 80, protocol: websocket, access: read-only}], "
	"binaries: [{path: /b}]}\n"
	"  ws_rw: {endpoints: [{host: wsrw, port: 80, protocol: websocket, access: read-write}], "
	"binaries: [{path: /b}]}\n"
	"  ws_full: {endpoints: [{host: wsfull, port: 80, protocol: websocket, access: full}], "
	"binaries: [{path: /b}]}\n"
	"  sql: {endpoints: [{host: sql, port: 5432, protocol: sql, rules: [{allow: {command: "
	"select}}],"
	" deny_rules: [{command: COPY}]}], binaries: [{path: /b}]}\n"
	"  sql_all: {endpoints: [{host: sqlall, port: 5432, protocol: sql, rules: [{allow: "
	"{command: "
	"'*'}}], deny_rules: [{command: drop}]}], binaries: [{path: /b}]}\n"
	"  plain: {endpoints: [{host: plain, port: 80}], binaries: [{path: /b}]}\n";

struct row {
	const char *target, *method, *path, *query, *wanted;
};

static const struct row rows[] = {
	/* presets */
	{"ro:80", "GET", "/", "", "+ro"},
	{"ro:80", "HEAD", "/a/b", "", "+ro"},
	{"ro:80", "OPTIONS", "/", "", "+ro"},
	{"ro:80", "get", "/", "", "+ro"},
	{"ro:80", "POST", "/x", "", "-=POST /x not permitted by policy"},
	{"ro:80", "PUT", "/x", "", "-=PUT /x not permitted by policy"},
	{"ro:80", "DELETE", "/x", "", "-not permitted by policy"},
	{"ro:80", "GETX", "/x", "", "-not permitted by policy"},
	{"ro:80", "", "/x", "", "-= /x not permitted by policy"},
	{"ro:80", "GET", "/x", "a=1&b=2", "+ro"},
	{"rw:80", "GET", "/", "", "+rw"},
	{"rw:80", "HEAD", "/", "", "+rw"},
	{"rw:80", "OPTIONS", "/", "", "+rw"},
	{"rw:80", "POST", "/", "", "+rw"},
	{"rw:80", "PUT", "/", "", "+rw"},
	{"rw:80", "PATCH", "/", "", "+rw"},
	{"rw:80", "DELETE", "/x", "", "-=DELETE /x not permitted by policy"},
	{"rw:80", "TRACE", "/x", "", "-not permitted by policy"},
	{"full:80", "DELETE", "/x/y", "", "+full"},
	{"full:80", "PROPFIND", "/", "", "+full"},
	{"full:81", "GET", "/", "", "-=GET / not permitted by policy"},
	{"none:80", "GET", "/", "", "-=GET / not permitted by policy"},
	{"plain:80", "GET", "/", "", "-=GET / not permitted by policy"},
	/* methods and paths */
	{"paths:80", "GET", "/exact", "", "+paths"},
	{"paths:80", "HEAD", "/exact", "", "+paths"},
	{"paths:80", "head", "/exact", "", "+paths"},
	{"paths:80", "POST", "/exact", "", "-not permitted"},
	{"paths:80", "GET", "/exact/", "", "-not permitted"},
	{"paths:80", "GET", "/Exact", "", "-not permitted"},
	{"paths:80", "GET", "/exactly", "", "-not permitted"},
	{"paths:80", "GET", "exact", "", "-not permitted"},
	{"paths:80", "GET", "", "", "-not permitted"},
	{"paths:80", "GET", "/one/x", "", "+paths"},
	{"paths:80", "GET", "/one/x.y", "", "+paths"},
	{"paths:80", "GET", "/one/", "", "+paths"},
	{"paths:80", "GET", "/one", "", "-not permitted"},
	{"paths:80", "GET", "/one/x/y", "", "-not permitted"},
	{"paths:80", "POST", "/repos/a", "", "+paths"},
	{"paths:80", "POST", "/repos/a/b", "", "+paths"},
	{"paths:80", "POST", "/repos", "", "-=POST /repos not permitted by policy"},
	{"paths:80", "POST", "/reposx/a", "", "-not permitted"},
	{"paths:80", "HEAD", "/repos/a", "", "-not permitted"},
	{"paths:80", "PUT", "/v1/a/7", "", "+paths"},
	{"paths:80", "PUT", "/v2/b/0", "", "+paths"},
	{"paths:80", "PUT", "/v1/c/7", "", "-not permitted"},
	{"paths:80", "PUT", "/v12/a/7", "", "-not permitted"},
	{"paths:80", "PUT", "/v1/a/x", "", "-not permitted"},
	{"paths:80", "PUT", "/v1/a/77", "", "-not permitted"},
	{"paths:80", "DELETE", "/", "", "+paths"},
	{"paths:80", "DELETE", "", "", "+paths"},
	{"paths:80", "DELETE", "/a/b/c", "", "+paths"},
	{"paths:80", "PATCH", "/", "", "-not permitted"},
	{"paths:80", "PATCH", "/x", "", "-not permitted"},
	{"paths:80", "GET", "/nomethod", "", "-not permitted"},
	/* queries: each key is there, and all its values match */
	{"query:80", "GET", "/download", "slug=my-x&tag=foo-1", "+query"},
	{"query:80", "GET", "/download", "tag=bar&slug=my-", "+query"},
	{"query:80", "GET", "/download", "slug=my-x&tag=bar&other=1", "+query"},
	{"query:80", "GET", "/download", "slug=my-x", "-=GET /download not permitted by policy"},
	{"query:80", "GET", "/download", "", "-not permitted"},
	{"query:80", "GET", "/download", "slug=my-x&tag=baz", "-not permitted"},
	{"query:80", "GET", "/download", "slug=my-x&tag=bar&slug=evil", "-not permitted"},
	{"query:80", "GET", "/download", "slug=my-x&tag=bar&slug=my-y", "+query"},
	{"query:80", "GET", "/download", "slug=my-x&tag=bar&tag=evil", "-not permitted"},
	{"query:80", "GET", "/download", "slug=my-x&tag=bar&tag=foo-2", "+query"},
	{"query:80", "GET", "/download", "Slug=my-x&tag=bar", "-not permitted"},
	{"query:80", "GET", "/download", "slug=My-x&tag=bar", "-not permitted"},
	{"query:80", "HEAD", "/download", "slug=my-x&tag=bar", "+query"},
	/* an empty list of delimiters means a dot (contract 5.5) */
	{"query:80", "GET", "/v", "version=v1", "+query"},
	{"query:80", "GET", "/v", "version=v12", "+query"},
	{"query:80", "GET", "/v", "version=v1.2", "-not permitted"},
	{"query:80", "GET", "/v", "version=v1/2", "+query"},
	{"query:80", "GET", "/any", "", "+query"},
	{"query:80", "GET", "/any", "x=1", "+query"},
	{"query:80", "GET", "/empty", "q=", "+query"},
	{"query:80", "GET", "/empty", "q", "+query"},
	{"query:80", "GET", "/empty", "q=1", "-not permitted"},
	{"query:80", "GET", "/empty", "", "-not permitted"},
	{"query:80", "GET", "/repo", "repo=NVIDIA/OpenShell", "+query"},
	{"query:80", "GET", "/repo", "repo=nvidia/OpenShell", "-not permitted"},
	/* deny before allow */
	{"deny:80", "GET", "/", "", "+deny"},
	{"deny:80", "POST", "/x", "", "+deny"},
	{"deny:80", "DELETE", "/x", "", "-=DELETE /x blocked by deny rule"},
	{"deny:80", "delete", "/x", "", "-=delete /x blocked by deny rule"},
	{"deny:80", "GET", "/admin/x", "", "-=GET /admin/x blocked by deny rule"},
	{"deny:80", "PUT", "/admin/", "", "-blocked by deny rule"},
	{"deny:80", "GET", "/admin", "", "+deny"},
	{"deny:80", "GET", "/administer", "", "+deny"},
	{"deny:80", "GET", "/secret", "", "-blocked by deny rule"},
	{"deny:80", "HEAD", "/secret", "", "-=HEAD /secret blocked by deny rule"},
	{"deny:80", "POST", "/secret", "", "+deny"},
	/* one value is enough, an absent key is not */
	{"deny:80", "POST", "/q", "force=true&mode=a", "-blocked by deny rule"},
	{"deny:80", "POST", "/q", "force=false&force=true&mode=b", "-blocked by deny rule"},
	{"deny:80", "POST", "/q", "force=true&mode=c&mode=a", "-blocked by deny rule"},
	{"deny:80", "POST", "/q", "force=true&mode=c", "+deny"},
	{"deny:80", "POST", "/q", "force=true", "+deny"},
	{"deny:80", "POST", "/q", "mode=a", "+deny"},
	{"deny:80", "POST", "/q", "force=false&mode=a", "+deny"},
	{"deny:80", "POST", "/q", "", "+deny"},
	/* what a deny rule does not say is everything */
	{"deny:80", "TRACE", "/x", "", "-=TRACE /x blocked by deny rule"},
	{"deny:80", "PUT", "/never", "", "-=PUT /never blocked by deny rule"},
	{"deny:80", "GET", "/x", "debug=1", "-blocked by deny rule"},
	/* of every policy that matches, and of no other */
	{"deny:80", "GET", "/also", "", "-=GET /also blocked by deny rule"},
	{"deny:80", "GET", "/others", "", "+deny"},
	/* what the peer's own test has: clone, but no push */
	{"git:443", "GET", "/o/r.git/info/refs", "service=git-upload-pack", "+git"},
	{"git:443", "POST", "/o/r.git/git-upload-pack", "", "+git"},
	{"git:443", "GET", "/o/r.git/info/refs", "service=git-receive-pack", "-not permitted"},
	{"git:443", "POST", "/o/r.git/git-receive-pack", "", "-not permitted"},
	{"git:443", "GET", "/o/r.git/info/refs", "", "-not permitted"},
	/* endpoints of a path */
	{"scoped:80", "DELETE", "/api/x", "", "+scoped"},
	{"scoped:80", "GET", "/status", "", "+scoped"},
	{"scoped:80", "POST", "/status", "", "-=POST /status not permitted by policy"},
	{"scoped:80", "GET", "/api", "", "-=GET /api not permitted by policy"},
	{"scoped:80", "GET", "/", "", "-not permitted"},
	/* WebSocket: the upgrade, and each message of the client's */
	{"wsro:80", "GET", "/chat", "", "+ws_ro"},
	{"wsro:80", "WEBSOCKET_TEXT", "/chat", "",
	 "-=WEBSOCKET_TEXT /chat not permitted by policy"},
	{"wsrw:80", "GET", "/chat", "", "+ws_rw"},
	{"wsrw:80", "WEBSOCKET_TEXT", "/chat", "", "+ws_rw"},
	{"wsrw:80", "POST", "/chat", "", "-not permitted"},
	{"wsfull:80", "WEBSOCKET_TEXT", "/chat", "", "+ws_full"},
	{"wsfull:80", "POST", "/chat", "", "+ws_full"},
};

static void decide(const struct policy *p, const struct row *r, const char *exe, struct arena *a,
		   struct policy_request_verdict *v)
{
	struct words query;
	struct policy_param params[WORDS_MAX];
	struct policy_target target = target_of(r->target);
	struct policy_caller caller = {.exe = exe};
	struct policy_request request = {
		.method = str_of(r->method),
		.path = str_of(r->path),
		.query = params,
		.query_n = params_of(&query, r->query, params),
	};

	policy_decide_request(p, &target, &caller, &request, a, v);
}

static void try_row(const struct policy *p, const struct row *r)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy_request_verdict v;
	char name[256];

	decide(p, r, "/b", &a, &v);
	snprintf(name, sizeof name, "%s %s %s?%s", r->target, r->method, r->path, r->query);
	expect(name, v.allowed, v.policy, v.reason, r->wanted);
}

TEST(requests)
{
	struct policy *p = parse(policies);

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		try_row(p, &rows[i]);
	policy_unref(p);
}

TEST(rules_are_for_their_programs)
{
	static const struct row get = {"ro:80", "GET", "/", "", ""},
				del = {"full:80", "DELETE", "/", "", ""};
	static const struct row others = {"deny:80", "GET", "/others", "", ""};
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy *p = parse(policies);
	struct policy_request_verdict v;

	decide(p, &get, "/c", &a, &v);
	expect("another program", v.allowed, v.policy, v.reason, "-=GET / not permitted by policy");
	decide(p, &del, "/other", &a, &v);
	expect("its own", v.allowed, v.policy, v.reason, "+other");
	decide(p, &others, "/c", &a, &v);
	expect("its own denial", v.allowed, v.policy, v.reason,
	       "-=GET /others blocked by deny rule");
	policy_unref(p);
}

/* ---- SQL ---- */

static void sql(const struct policy *p, const char *target, const char *command, const char *wanted)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy_target t = target_of(target);
	struct policy_caller c = {.exe = "/b"};
	struct policy_request r = {.method = STR("SQL"),
				   .path = STR("/"),
				   .command = {command, command ? strlen(command) : 0}};
	struct policy_request_verdict v;

	policy_decide_request(p, &t, &c, &r, &a, &v);
	expect(command ? command : "none", v.allowed, v.policy, v.reason, wanted);
}

TEST(sql_commands)
{
	struct policy *p = parse(policies);

	sql(p, "sql:5432", "select", "+sql");
	sql(p, "sql:5432", "SELECT", "+sql");
	sql(p, "sql:5432", "insert", "-not permitted by policy");
	sql(p, "sql:5432", "copy", "-blocked by deny rule");
	sql(p, "sql:5432", NULL, "-not permitted by policy");
	sql(p, "sqlall:5432", "insert", "+sql_all");
	sql(p, "sqlall:5432", "DROP", "-=SQL / blocked by deny rule");
	sql(p, "sqlall:5432", NULL, "-not permitted by policy");
	policy_unref(p);
}

/* ---- what else an answer says ---- */

static const char modes[] =
	"version: 1\n"
	"network_policies:\n"
	"  n:\n"
	"    endpoints:\n"
	"      - {host: h, port: 1, protocol: rest, access: read-only, path: '/audit/**'}\n"
	"      - {host: h, port: 1, protocol: rest, access: read-only, enforcement: enforce, path: "
	"'/audit/not/**'}\n"
	"    binaries: [{path: /b}]\n";

TEST(a_denied_request_is_stopped_or_told_about)
{
	static const struct row audit = {"h:1", "POST", "/audit/x", "", ""};
	static const struct row enforce = {"h:1", "POST", "/audit/not/x", "", ""};
	static const struct row nowhere = {"h:1", "GET", "/x", "", ""};
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy *p = NULL;
	struct policy_request_verdict v;

	policy_publish(&p, parse(modes));
	decide(p, &audit, "/b", &a, &v);
	OK(!v.allowed && !v.enforced);
	STREQ(v.endpoint->path.text, "/audit/**");
	STREQ(v.policy, "n");
	EQ(v.generation, 1);
	decide(p, &enforce, "/b", &a, &v);
	OK(!v.allowed && v.enforced);
	STREQ(v.endpoint->path.text, "/audit/not/**");
	decide(p, &nowhere, "/b", &a, &v);
	OK(!v.allowed && v.enforced && v.endpoint == NULL);
	policy_unref(p);
}

TEST(a_quarantine_allows_no_request)
{
	static const struct row row = {"full:80", "GET", "/", "", ""};
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy *p = parse(policies), *q = policy_quarantine(p);
	struct policy_request_verdict v;

	decide(q, &row, "/b", &a, &v);
	expect("quarantine", v.allowed, v.policy, v.reason, "-=GET / not permitted by policy");
	OK(v.enforced && v.policy == NULL);
	policy_unref(p);
	policy_unref(q);
}
