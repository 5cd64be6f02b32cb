/*
 * Which requests of plain HTTP are let through (supervisor contract 6.4, 6.7): rules, audit, another policy
 * between two requests, requests within tunnels, WebSockets, and those that two readers could take for
 * different things.
 */
#include "proxy.h"

#define ENDPOINTS                                                                                  \
	"{host: server.test, port: 80}, {host: evil.test, port: 80},"                              \
	"{host: server.test, port: 81, protocol: rest, enforcement: enforce, rules: ["             \
	"{allow: {method: GET, path: '/ok/**'}}, {allow: {method: POST, path: /ok}},"              \
	"{allow: {method: GET, path: /q, query: {a: b}}}],"                                        \
	"deny_rules: [{method: GET, path: '/ok/secret'}]},"                                        \
	"{host: server.test, port: 82, protocol: rest, access: read-only},"                        \
	"{host: server.test, port: 83, protocol: websocket, enforcement: enforce, access: full},"  \
	"{host: server.test, port: 84, protocol: websocket, enforcement: enforce, access: "        \
	"read-only},"                                                                              \
	"{host: server.test, port: 85, protocol: graphql, enforcement: enforce, access: "          \
	"read-only},"                                                                              \
	"{host: server.test, port: 86, protocol: rest, enforcement: enforce, access: full, "       \
	"allow_encoded_slash: true},"                                                              \
	"{host: server.test, port: 87, protocol: rest, enforcement: enforce, access: full, path: " \
	"'/api/**'},"                                                                              \
	"{host: server.test, port: 88, protocol: graphql, access: read-only},"                     \
	"{host: server.test, port: 89, protocol: websocket, enforcement: enforce, access: full, "  \
	"websocket_credential_rewrite: true},"                                                     \
	"{host: server.test, port: 90, protocol: websocket, enforcement: enforce, rules: ["        \
	"{allow: {method: GET, path: '**'}}, {allow: {operation_type: query}}]},"                  \
	"{host: server.test, port: 91, protocol: websocket, access: read-only},"                   \
	"{host: server.test, port: 93, protocol: json-rpc, enforcement: enforce, rules: ["         \
	"{allow: {method: list}}, {allow: {method: get}}], json_rpc: {max_body_bytes: 200}},"      \
	"{host: server.test, port: 94, protocol: mcp, enforcement: enforce, rules: ["              \
	"{allow: {method: initialize}}, {allow: {method: tools/call, tool: 'read_*'}}]},"          \
	"{host: server.test, port: 95, protocol: json-rpc, rules: [{allow: {method: list}}]}"
#define POLICY NET("{endpoints: [" ENDPOINTS "], binaries: [{path: /bin/tool}]}")

#define REQUEST(method, port, path)                                                                \
	method " http://server.test:" port path " HTTP/1.1\r\nHost: server.test:" port "\r\n"
#define GET(port, path) REQUEST("GET", port, path) "\r\n"
#define GOT(port, path)                                                                            \
	"GET " path " HTTP/1.1\r\nHost: server.test:" port "\r\nVia: 1.1 "                         \
	"openshell-sandbox\r\n\r\n"
#define OK2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void say_on(int fd, const char *text)
{
	OK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static int listeners[100];

static void begin_all(void)
{
	begin(POLICY);
	for (int port = 80; port <= 95; port++)
		listeners[port] = listen_on(SERVER, port);
}

static void nobody_came_at_all(void)
{
	for (int port = 80; port <= 95; port++)
		nobody_came(listeners[port]);
}

/* ---- rules ---- */

static const struct {
	const char *request,
		*received; /* begins with "-": refused, with these words in the answer */
} judged[] = {
	{GET("81", "/ok/a"), GOT("81", "/ok/a")},
	{GET("81", "/ok/a?x=y"), GOT("81", "/ok/a?x=y")},
	{REQUEST("HEAD", "81", "/ok/a") "\r\n", "HEAD /ok/a HTTP/1.1\r\n"},
	{REQUEST("POST", "81", "/ok") "Content-Length: 1\r\n\r\na", "POST /ok HTTP/1.1\r\n"},
	/* what was judged is what goes on */
	{GET("81", "//x/..//ok/%61/./b;c"), GOT("81", "/ok/a/b")},
	{GET("81", "/q?a=b"), GOT("81", "/q?a=b")},
	{GET("81", "/q?%61=%62"), GOT("81", "/q?%61=%62")},
	{GET("81", "/"), "-GET / not permitted by policy"},
	{GET("81", ""), "-GET / not permitted by policy"},
	{GET("81", "/ok"), "-GET /ok not permitted by policy"},
	{REQUEST("DELETE", "81", "/ok") "\r\n", "-DELETE /ok not permitted by policy"},
	{REQUEST("POST", "81", "/ok/a") "Content-Length: 0\r\n\r\n", "-POST /ok/a not permitted"},
	{GET("81", "/ok/secret"), "-GET /ok/secret blocked by deny rule"},
	{GET("81", "/ok/x/../secret"), "-GET /ok/secret blocked by deny rule"},
	{GET("81", "/ok/%73ecret"), "-GET /ok/secret blocked by deny rule"},
	{GET("81", "/ok//secret"), "-GET /ok/secret blocked by deny rule"},
	{GET("81", "/ok/secret;x=y"), "-GET /ok/secret blocked by deny rule"},
	{GET("81", "/ok/%2e%2e/admin"), "-GET /admin not permitted"},
	{GET("81", "/ok/..;/admin"), "-GET /admin not permitted"},
	{GET("81", "/q?a=c"), "-GET /q not permitted"},
	{GET("81", "/q?a=b&a=c"), "-GET /q not permitted"},
	{GET("81", "/q"), "-GET /q not permitted"},
	{GET("81", "/ok/a%2fb"), "-invalid_request_target"},
	{GET("81", "/ok/../../a"), "-invalid_request_target"},
	{GET("81", "/ok/%00"), "-invalid_request_target"},
	{GET("81", "/ok/%zz"), "-invalid_request_target"},
	{GET("81", "/q?a=%"), "-invalid_request_target"},
	{GET("86", "/a%2fb"), GOT("86", "/a%2Fb")},
	{GET("86", "/a%2f..%2fb"), "-invalid_request_target"},
	{GET("87", "/api/x"), GOT("87", "/api/x")},
	{GET("87", "/other"), "-GET /other not permitted"},
	{GET("82", "/"), GOT("82", "/")},
	{REQUEST("DELETE", "82", "/x") "\r\n", "DELETE /x HTTP/1.1\r\n"}, /* only told */
	/* what cannot be judged here is not waved through */
	{REQUEST("POST", "85", "/") "Content-Length: 0\r\n\r\n",
	 "-GraphQL request rejected: its body is not valid JSON"},
	{REQUEST("POST", "88", "/") "Content-Length: 0\r\n\r\n",
	 "-GraphQL request rejected: its body is not valid JSON"},
	{REQUEST("POST", "85", "/") "Content-Length: 29\r\n\r\n{\"query\":\"mutation { drop }\"}",
	 "-GraphQL operation blocked by endpoint policy"},
	{REQUEST("POST", "85", "/") "Content-Length: 20\r\n\r\n{\"query\":\"{ viewer }",
	 "-GraphQL request rejected: its body is not valid JSON"},
	{REQUEST("POST", "85", "/") "Content-Length: 22\r\n\r\n{\"query\":\"{ viewer }\"}",
	 "POST / HTTP/1.1\r\nHost: server.test:85\r\nContent-Length: 22\r\n"
	 "Via: 1.1 openshell-sandbox\r\n\r\n{\"query\":\"{ viewer }\"}"},
	{GET("85", "/?query=%7Bviewer%7D"), GOT("85", "/?query=%7Bviewer%7D")},
	{GET("85", "/?query=mutation%7Bdrop%7D"), "-GraphQL operation blocked by endpoint policy"},
	{GET("85", "/"), "-GraphQL request rejected: it has neither"},
	{REQUEST("POST", "88", "/") "Content-Length: 29\r\n\r\n{\"query\":\"mutation { drop }\"}",
	 "POST / HTTP/1.1\r\n"},
	{GET("99", "/x?token=secret"), "-\"GET server.test:99/x not permitted by policy\""},
	{"GET http://other.test/ HTTP/1.1\r\nHost: a\r\n\r\n", "-not permitted by policy"},
	{"GET http://evil.test/ HTTP/1.1\r\nHost: a\r\n\r\n", "-ssrf_denied"},
	{"GET http://169.254.169.254/latest HTTP/1.1\r\nHost: a\r\n\r\n", "-policy_denied"},
};

static int port_of(const char *request)
{
	const char *colon = strstr(request, "test:");

	return colon ? atoi(colon + 5) : 80;
}

TEST(requests_are_judged_by_their_rules)
{
	begin_all();
	for (size_t i = 0; i < ARRAY_LEN(judged); i++) {
		const char *wanted = judged[i].received;
		int client = say(judged[i].request);
		if (wanted[0] == '-') {
			const char *answer = hear_all(client);
			if (strstr(answer, wanted + 1) == NULL)
				FAIL("%s: %s, not %s", judged[i].request, answer, wanted);
			HAS(answer, "\r\nConnection: close\r\n");
			continue;
		}
		int server = accept_from(listeners[port_of(judged[i].request)]);
		hear(server, wanted);
		close(client);
		close(server);
	}
	nobody_came_at_all();
	event("HTTP:GET [INFO] ALLOWED /bin/tool(42) -> GET http://server.test:81/ok/a [policy:net "
	      "engine:l7]");
	event("HTTP:GET [MED] DENIED /bin/tool(42) -> GET http://server.test:81/ok/secret "
	      "[policy:net engine:l7] [reason:GET /ok/secret blocked by deny rule]");
	event("HTTP:GET [MED] DENIED /bin/tool(42) -> GET http://evil.test/ [policy:net "
	      "engine:ssrf]");
	event("HTTP:GET [MED] DENIED /bin/tool(42) -> GET http://other.test/ [policy:- "
	      "engine:opa]");
	HAS(event("-> DELETE http://server.test:82/x"), "[LOW] OBSERVED");
	finish();
}

TEST(denials_are_told_in_the_shape_of_appendix_d)
{
	begin_all();
	const char *answer = answer_to(GET("81", "/ok/x/../secret"));
	HAS(answer, "HTTP/1.1 403 Forbidden\r\n");
	HAS(answer, "\r\nX-OpenShell-Policy: net\r\n");
	HAS(answer, "\"rule\":\"GET /ok/secret\"");
	HAS(answer, "\"host\":\"server.test\",\"port\":81,\"binary\":\"/bin/tool\"");
	STREQ(denials[0], "server.test:81 /bin/tool l7_policy");
	answer_to(GET("99", "/"));
	STREQ(denials[1], "server.test:99 /bin/tool forward_policy");
	answer_to(GET("81", "/%"));
	STREQ(denials[2], "server.test:81 /bin/tool l7_parse_rejection");
	finish();
}

TEST(who_cannot_be_told_is_denied)
{
	begin_all();
	nobody_asks = true;
	HAS(answer_to(GET("80", "/")), "\"policy_denied\"");
	nobody_asks = false;
	strcpy(asking_exe, "/bin/evil");
	HAS(answer_to(GET("80", "/")), "\"policy_denied\"");
	nobody_came_at_all();
	finish();
}

/* ---- what is no request of ours ---- */

static const struct {
	const char *request, *answer;
} refused[] = {
	{"GET https://server.test/ HTTP/1.1\r\nHost: a\r\n\r\n",
	 "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: "
	 "26\r\nConnection: "
	 "close\r\n\r\nUse CONNECT for HTTPS URLs"},
	{"GET ftp://server.test/ HTTP/1.1\r\nHost: a\r\n\r\n", "unsupported_proxy_scheme"},
	{"GET / HTTP/1.1\r\nHost: server.test\r\n\r\n", "invalid_request_target"},
	{"GET http://policy.local/v1/policy/current HTTP/1.1\r\nHost: a\r\n\r\n",
	 "{\"error\":\"feature_disabled\",\"detail\":"},
	{"GET http://policy.local/ HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"},
	{REQUEST("GET", "80", "/") "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
				   "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
	 "403 Forbidden"},
	{REQUEST("GET", "80", "/") "Expect: miracles\r\n\r\n", "417 Expectation Failed"},
};

TEST(other_requests_are_refused_in_words)
{
	begin_all();
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		HAS(answer_to(refused[i].request), refused[i].answer);
	nobody_came_at_all();
	event("NET:OTHER [MED] DENIED /bin/tool(42) [policy:- engine:l7] "
	      "[reason:Use CONNECT for HTTPS URLs]");
	event("[reason:Forward proxy requests must use http]");
	event("[reason:a proxy is asked for http://host/path, or by CONNECT host:port]");
	finish();
}

/* A second request must not be found in what was judged as one. Each of these is refused as a whole. */
static const char *const smuggled[] = {
	"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin "
	"HTTP/1.1\r\n\r\n",
	"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /admin "
	"HTTP/1.1\r\n\r\n",
	"Content-Length: 0\r\nContent-Length: 30\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
	"Content-Length: 0, 30\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
	"Content-Length: +30\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
	"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
	"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\nGET /admin\r\n\r\n",
	"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
	"Transfer-Encoding:\x0b"
	"chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
	"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
	"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
	"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
	"X: y\n\nGET /admin HTTP/1.1\r\n\r\n",
	"Host: other.test\r\n\r\n",
};

TEST(no_request_hides_in_another)
{
	begin_all();
	for (size_t i = 0; i < ARRAY_LEN(smuggled); i++) {
		_cleanup_free_ char *text = xasprintf(
			"POST http://server.test:81/ok HTTP/1.1\r\nHost: server.test:81\r\n%s",
			smuggled[i]);
		const char *answer = answer_to(text);
		if (strncmp(answer, "HTTP/1.1 400 ", 13) != 0)
			FAIL("%s: %s", text, answer);
	}
	nobody_came_at_all();
	finish();
}

/* What follows a request is another one, and judged as such. */
TEST(what_follows_is_judged_for_itself)
{
	begin_all();
	int client = say(REQUEST("POST", "81", "/ok") "Content-Length: 3\r\n\r\nabc" GET(
		"81", "/admin") GET("81", "/ok/a"));
	int server = accept_from(listeners[81]);
	hear(server, "POST /ok HTTP/1.1\r\nHost: server.test:81\r\nContent-Length: 3\r\n"
		     "Via: 1.1 openshell-sandbox\r\n\r\nabc");
	say_on(server, OK2);
	hear(client, OK2);
	HAS(hear_all(client), "HTTP/1.1 403 Forbidden\r\n");
	STREQ(hear_all(server), "");
	/* a chunked body that goes wrong on its way */
	client = say(REQUEST("POST", "81", "/ok") "Transfer-Encoding: chunked\r\n\r\n3\r\nabcGET "
						  "/admin HTTP/1.1\r\n\r\n");
	HAS(hear_all(client), "HTTP/1.1 400 Bad Request\r\n");
	server = accept_from(listeners[81]);
	const char *received = hear_all(server);
	OK(strstr(received, "admin") == NULL);
	finish();
}

/* Nor a response in another: what a server says beyond it is nobody's. */
TEST(no_response_hides_in_another)
{
	static const char *const bad[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
		"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
		"HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n",
		"HTTP/2 200 OK\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"hello\r\n\r\n",
	};

	begin_all();
	int client = say(GET("81", "/ok/a"));
	int server = accept_from(listeners[81]);
	hear(server, GOT("81", "/ok/a"));
	say_on(server, OK2 "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
	hear(client, OK2);
	say_on(client, GET("81", "/ok/b"));
	int second = accept_from(listeners[81]);
	hear(second, GOT("81", "/ok/b"));
	say_on(second, OK2);
	hear(client, OK2);
	close(client);
	close(server);
	close(second);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		client = say(GET("81", "/ok/a"));
		server = accept_from(listeners[81]);
		hear(server, GOT("81", "/ok/a"));
		say_on(server, bad[i]);
		const char *answer = hear_all(client);
		if (strncmp(answer, "HTTP/1.1 502 ", 13) != 0 ||
		    !strstr(answer, "upstream_invalid_response"))
			FAIL("%s: %s", bad[i], answer);
		close(server);
	}
	event("NET:FAIL [LOW]");
	finish();
}

static const char *next_policy;

static void swap_policy(void)
{
	policy_publish(&policy_now, parse(next_policy));
}

#define WITHOUT_81                                                                                 \
	NET("{endpoints: [{host: server.test, port: 80}], binaries: [{path: /bin/tool}]}")
#define LESS_OF_81                                                                                 \
	NET("{endpoints: [{host: server.test, port: 81, protocol: rest, enforcement: enforce, "    \
	    "rules: [{allow: {method: GET, path: /ok/b}}]}], binaries: [{path: /bin/tool}]}")

/* The deadline of the only session's state passes. */
static void time_passes(void)
{
	struct session *s = list_first(&proxy->sessions, struct session, link);

	OK(s != NULL && timer_armed(&s->deadline));
	timer_set(proxy_loop, &s->deadline, 0);
}

/* ---- JSON-RPC and MCP ---- */

static const struct {
	int port;
	const char *body, *refused; /* NULL: it goes on */
} rpcs[] = {
	{93, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"list\"}", NULL},
	{93,
	 "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"list\"},"
	 "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"get\"}]",
	 NULL},
	{93,
	 "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"list\"},"
	 "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"drop\"}]",
	 "POST /rpc not permitted by policy"},
	{93, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", "JSON-RPC response frames are not"},
	{93, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"list\",\"Method\":\"drop\"}",
	 "JSON-RPC request rejected: a key is ambiguous"},
	{93, "list", "JSON-RPC request rejected: invalid JSON"},
	{93, "", "JSON-RPC request rejected: invalid JSON"},
	{93,
	 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"list\",\"params\":\"0123456789012345678901234"
	 "5678901234567890123456789012345678901234567890123456789012345678901234567890123456789012"
	 "34567890123456789012345678901234567890123456789012345678901234567890123456789\"}",
	 "400 Bad Request"},
	{94, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{}}", NULL},
	{94,
	 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
	 "\"read_x\"}}",
	 NULL},
	{94,
	 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
	 "\"write_x\"}}",
	 "POST /rpc not permitted by policy"},
	{94,
	 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
	 "\"read_x\",\"name\":\"write_x\"}}",
	 "a key is ambiguous"},
	/* where rules only tell, what is no message is refused all the same */
	{95, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"drop\"}", NULL},
	{95, "drop", "JSON-RPC request rejected: invalid JSON"},
};

static void judge_rpc(size_t i, bool chunked)
{
	const char *body = rpcs[i].body;
	_cleanup_free_ char *framed =
		chunked ? xasprintf("Transfer-Encoding: chunked\r\n\r\n%zx;x\r\n%s\r\n0\r\n\r\n",
				    strlen(body), body)
			: xasprintf("Content-Length: %zu\r\n\r\n%s", strlen(body), body);
	_cleanup_free_ char *request = xasprintf(
		"POST http://server.test:%d/rpc HTTP/1.1\r\nHost: a\r\n%s", rpcs[i].port, framed);
	char got[2048];

	int client = say(request);
	if (rpcs[i].refused != NULL) {
		HAS(hear_all(client), rpcs[i].refused);
		return;
	}
	int server = accept_from(listeners[rpcs[i].port]);
	snprintf(got, sizeof got,
		 "POST /rpc HTTP/1.1\r\nHost: server.test:%d\r\nContent-Length: %zu\r\n"
		 "Via: 1.1 openshell-sandbox\r\n\r\n%s",
		 rpcs[i].port, strlen(rpcs[i].body), rpcs[i].body);
	hear(server, got);
	say_on(server, OK2);
	hear(client, OK2);
	/* and the connection goes on */
	say_on(client, "GET http://server.test:82/ HTTP/1.1\r\nHost: a\r\n\r\n");
	int next = accept_from(listeners[82]);
	hear(next, GOT("82", "/"));
	close(next);
	close(server);
	close(client);
}

TEST(messages_in_bodies_are_judged)
{
	begin_all();
	for (size_t i = 0; i < ARRAY_LEN(rpcs); i++) {
		judge_rpc(i, false);
		if (rpcs[i].body[0] != '\0')
			judge_rpc(i, true);
	}
	nobody_came_at_all();
	event("engine:l7-jsonrpc]");
	event("engine:l7-mcp]");
	finish();
}

#define LIST "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"list\"}" /* 40 bytes */

TEST(a_body_that_is_judged_may_come_late)
{
	begin_all();
	int client =
		say(REQUEST("POST", "93", "/rpc") "Content-Length: 40\r\nExpect: 100-continue\r\n"
						  "\r\n");
	hear(client, "HTTP/1.1 100 Continue\r\n\r\n");
	nobody_came_at_all();
	say_on(client, "{\"jsonrpc\":\"2.0\",");
	usleep(20000);
	nobody_came_at_all();
	/* by then another policy holds, which allows it as well */
	next_policy = POLICY;
	in_loop(swap_policy);
	say_on(client, "\"id\":1,\"method\":\"list\"}");
	int server = accept_from(listeners[93]);
	hear(server, "POST /rpc HTTP/1.1\r\nHost: server.test:93\r\nContent-Length: 40\r\n"
		     "Via: 1.1 openshell-sandbox\r\n\r\n" LIST);
	close(client);
	/* or one that does not */
	client = say(REQUEST("POST", "93", "/rpc") "Content-Length: 40\r\n\r\n{\"jsonrpc\"");
	usleep(20000);
	next_policy = WITHOUT_81;
	in_loop(swap_policy);
	say_on(client, strstr(LIST, ":\"2.0"));
	HAS(hear_all(client), "endpoint server.test:93 is not allowed by any policy");
	finish();
}

TEST(a_body_that_does_not_come_is_not_waited_for)
{
	begin_all();
	int client = say(REQUEST("POST", "93", "/rpc") "Content-Length: 40\r\n\r\n{");
	usleep(20000);
	in_loop(time_passes);
	HAS(hear_all(client), "HTTP/1.1 408 Request Timeout\r\n");
	client = say(REQUEST("POST", "93", "/rpc") "Content-Length: 40\r\n\r\n{");
	shutdown(client, SHUT_WR);
	STREQ(hear_all(client), "");
	/* chunks that have no end */
	client = say(REQUEST("POST", "93", "/rpc") "Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 300; i++)
		if (send(client, "1\r\n \r\n", 6, MSG_NOSIGNAL) != 6)
			break;
	HAS(hear_all(client), "HTTP/1.1 400 Bad Request\r\n");
	nobody_came_at_all();
	finish();
}

TEST(streams_of_messages_pass)
{
	begin_all();
	int client = say(REQUEST("GET", "94", "/rpc") "Accept: a/b, text/event-stream;q=1\r\n\r\n");
	hear(accept_from(listeners[94]), "GET /rpc HTTP/1.1\r\n");
	close(client);
	HAS(answer_to(REQUEST("GET", "94", "/rpc") "\r\n"), "403 Forbidden");
	finish();
}

/* ---- another policy ---- */

TEST(another_policy_counts_from_the_next_request)
{
	begin_all();
	int client = say(GET("81", "/ok/a"));
	int server = accept_from(listeners[81]);
	hear(server, GOT("81", "/ok/a"));
	/* what is under way goes on */
	next_policy = LESS_OF_81;
	in_loop(swap_policy);
	say_on(server, OK2);
	hear(client, OK2);
	/* allowed by the new one, at an address that is checked by it */
	say_on(client, GET("81", "/ok/b"));
	int second = accept_from(listeners[81]);
	STREQ(hear_all(server), "");
	hear(second, GOT("81", "/ok/b"));
	say_on(second, OK2);
	hear(client, OK2);
	/* and not any more */
	say_on(client, GET("81", "/ok/a"));
	HAS(hear_all(client), "GET /ok/a not permitted by policy");
	close(second);
	client = say(GET("81", "/ok/b"));
	server = accept_from(listeners[81]);
	say_on(server, OK2);
	hear(client, OK2);
	next_policy = WITHOUT_81;
	in_loop(swap_policy);
	say_on(client, GET("81", "/ok/b"));
	HAS(hear_all(client), "endpoint server.test:81 is not allowed by any policy");
	finish();
}

/* ---- within tunnels ---- */

static int open_tunnel(int port, int *server)
{
	_cleanup_free_ char *text = xasprintf(
		"CONNECT server.test:%d HTTP/1.1\r\nHost: server.test:%d\r\n\r\n", port, port);
	int client = say(text);

	*server = accept_from(listeners[port]);
	hear(client, ESTABLISHED);
	return client;
}

#define INSIDE(method, path) method " " path " HTTP/1.1\r\nHost: server.test:81\r\n\r\n"

TEST(requests_within_a_tunnel_are_judged_one_by_one)
{
	int server;

	begin_all();
	int client = open_tunnel(81, &server);
	for (int i = 0; i < 3; i++) {
		say_on(client, INSIDE("GET", "/ok//a"));
		hear(server, GOT("81", "/ok/a"));
		say_on(server, OK2);
		hear(client, OK2);
	}
	say_on(client, INSIDE("GET", "/admin"));
	HAS(hear_all(client), "GET /admin not permitted by policy");
	STREQ(hear_all(server), "");
	event("NET:OPEN [INFO] ALLOWED /bin/tool(42) -> server.test:81/tcp");
	event("HTTP:GET [MED] DENIED /bin/tool(42) -> GET http://server.test:81/admin");
	/* in the absolute form, and without a Host in HTTP/1.0 */
	client = open_tunnel(81, &server);
	say_on(client, GET("81", "/ok/a"));
	hear(server, GOT("81", "/ok/a"));
	say_on(server, OK2);
	hear(client, OK2);
	say_on(client, "GET /ok/b HTTP/1.0\r\n\r\n");
	hear(server, GOT("81", "/ok/b"));
	say_on(server, OK2);
	HAS(hear_all(client), "\r\n\r\nok");
	finish();
}

static const struct {
	const char *request, *answer;
} strays[] = {
	{"GET /ok/a HTTP/1.1\r\nHost: other.test:81\r\n\r\n", "request_authority_mismatch"},
	{"GET /ok/a HTTP/1.1\r\nHost: server.test\r\n\r\n", "request_authority_mismatch"},
	{"GET /ok/a HTTP/1.1\r\nHost: server.test:80\r\n\r\n", "request_authority_mismatch"},
	{GET("80", "/ok/a"), "request_authority_mismatch"},
	{"GET http://other.test:81/ok/a HTTP/1.1\r\nHost: server.test:81\r\n\r\n",
	 "request_authority_mismatch"},
	{"GET https://server.test:81/ok/a HTTP/1.1\r\nHost: server.test:81\r\n\r\n",
	 "invalid_request_target"},
	{CONNECT("server.test:81"), "invalid_request_target"},
	{"GET /ok/a HTTP/1.1\r\nHost: server.test:81\r\nHost: server.test:81\r\n\r\n",
	 "400 Bad Request"},
	{"OPTIONS * HTTP/1.1\r\nHost: server.test:81\r\n\r\n", "400 Bad Request"},
};

TEST(a_tunnel_leads_to_one_place)
{
	begin_all();
	for (size_t i = 0; i < ARRAY_LEN(strays); i++) {
		int server, client = open_tunnel(81, &server);
		say_on(client, strays[i].request);
		HAS(hear_all(client), strays[i].answer);
		STREQ(hear_all(server), "");
	}
	event("NET:OTHER [MED] DENIED /bin/tool(42) -> server.test:81/tcp [policy:net engine:l7] "
	      "[reason:it has more than one Host]");
	event("[reason:a request within a tunnel is one of plain HTTP]");
	event("FINDING:BLOCKED [HIGH] \"HTTP request authority does not match the authorized "
	      "tunnel "
	      "endpoint\" [type:openshell.http.request_authority_mismatch");
	finish();
}

TEST(another_policy_counts_within_tunnels_too)
{
	int server;

	begin_all();
	int client = open_tunnel(81, &server);
	say_on(client, INSIDE("GET", "/ok/a"));
	hear(server, GOT("81", "/ok/a"));
	say_on(server, OK2);
	hear(client, OK2);
	next_policy = LESS_OF_81;
	in_loop(swap_policy);
	say_on(client, INSIDE("GET", "/ok/b"));
	int second = accept_from(listeners[81]);
	STREQ(hear_all(server), "");
	hear(second, GOT("81", "/ok/b"));
	say_on(second, OK2);
	hear(client, OK2);
	say_on(client, INSIDE("GET", "/ok/a"));
	HAS(hear_all(client), "GET /ok/a not permitted by policy");
	finish();
}

/* ---- WebSockets ---- */

#define UPGRADE(port)                                                                              \
	REQUEST("GET", port, "/chat")                                                              \
	"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"   \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
/* the example of RFC 6455 1.3 */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define SWITCHING                                                                                  \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"        \
	"Sec-WebSocket-Accept: " ACCEPT "\r\n"
#define SWITCHED                                                                                   \
	"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " ACCEPT "\r\n"                 \
	"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

static void opens(int port, const char *request)
{
	int client = say(request), server = accept_from(listeners[port]);
	_cleanup_free_ char *suffix = port == 80 ? xstrdup("") : xasprintf(":%d", port);
	_cleanup_free_ char *got = xasprintf(
		"GET /chat HTTP/1.1\r\nHost: server.test%s\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		"Connection: Upgrade\r\nUpgrade: websocket\r\nVia: 1.1 openshell-sandbox\r\n\r\n",
		suffix);

	hear(server, got);
	say_on(server, SWITCHING "\r\n\x81\x02hi");
	hear(client, SWITCHED "\x81\x02hi");
	say_on(client, "\x81\x85masked");
	hear(server, "\x81\x85masked");
	say_on(server, "\x88\x01x");
	hear(client, "\x88\x01x");
	close(client);
	STREQ(hear_all(server), "");
}

TEST(websockets_are_opened_and_then_left_alone)
{
	begin_all();
	opens(80, UPGRADE("80") "\r\n");
	opens(82, UPGRADE("82") "\r\n");
	opens(83, UPGRADE("83") "\r\n");
	opens(91, UPGRADE("91") "\r\n"); /* its messages are not allowed, which is only told */
	HAS(event("http://server.test:91/chat"), "OBSERVED");
	finish();
}

TEST(websockets_whose_messages_would_have_to_be_judged_are_refused)
{
	begin_all();
	HAS(answer_to(UPGRADE("84") "\r\n"), "WEBSOCKET_TEXT /chat not permitted by policy");
	HAS(answer_to(UPGRADE("89") "\r\n"), "credentials cannot be put into WebSocket messages");
	HAS(answer_to(UPGRADE("90") "\r\n"), "cannot be judged by this proxy");
	HAS(answer_to(UPGRADE("85") "\r\n"), "messages of a WebSocket cannot be judged");
	nobody_came_at_all();
	finish();
}

TEST(handshakes_that_are_none)
{
	static const char *const requests[] = {
		REQUEST("GET", "80", "/") "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		REQUEST("POST", "80", "/") "Connection: Upgrade\r\nUpgrade: websocket\r\n"
					   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
					   "dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		UPGRADE("80") "Content-Length: 1\r\n\r\na",
		UPGRADE("80") "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		UPGRADE("80") "Sec-WebSocket-Version: 8\r\n\r\n",
	};
	static const char *const replies[] = {
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
		"Upgrade\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: AAAPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		"Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
		SWITCHING "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
	};

	begin_all();
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		HAS(answer_to(requests[i]), "HTTP/1.1 400 Bad Request\r\n");
	nobody_came_at_all();
	for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
		int client = say(UPGRADE("80") "\r\n"), server = accept_from(listeners[80]);
		hear(server, "GET /chat HTTP/1.1\r\n");
		say_on(server, replies[i]);
		HAS(hear_all(client), "HTTP/1.1 502 Bad Gateway\r\n");
		close(server);
	}
	finish();
}

TEST(a_server_need_not_switch)
{
	begin_all();
	int client = say(UPGRADE("80") "\r\n"), server = accept_from(listeners[80]);
	hear(server, "GET /chat HTTP/1.1\r\n");
	say_on(server, OK2);
	hear(client, OK2);
	say_on(client, GET("81", "/ok/a"));
	hear(accept_from(listeners[81]), GOT("81", "/ok/a"));
	finish();
}

TEST(a_websocket_of_an_old_policy_ends_when_bytes_come)
{
	char byte;

	begin_all();
	int client = say(UPGRADE("83") "\r\n"), server = accept_from(listeners[83]);
	hear(server, "GET /chat HTTP/1.1\r\n");
	say_on(server, SWITCHING "\r\n");
	hear(client, SWITCHED);
	next_policy = POLICY;
	in_loop(swap_policy);
	say_on(server, "\x81\x02hi");
	EQ(recv(client, &byte, 1, 0), -1);
	EQ(errno, ECONNRESET);
	finish();
}

/* ---- a proxy that only observes ---- */

TEST(who_only_observes_tells_and_lets_pass)
{
	static const struct {
		const char *request, *received, *told;
		int port;
	} passed[] = {
		{GET("81", "//admin;x"), GOT("81", "//admin;x"),
		 "HTTP:GET [MED] OBSERVED /bin/tool(42) -> GET http://server.test:81/admin", 81},
		{GET("92", "/x//y"), GOT("92", "/x//y"),
		 "HTTP:GET [MED] OBSERVED /bin/tool(42) -> GET http://server.test:92/x/y [policy:- "
		 "engine:opa]",
		 92},
		{GET("81", "/%zz"), GOT("81", "/%zz"), "http://server.test:81/%zz", 81},
		{REQUEST("POST", "85", "/") "Content-Length: 0\r\n\r\n", "POST / HTTP/1.1\r\n",
		 "HTTP:POST [MED] OBSERVED", 85},
		{"GET http://evil.test/ HTTP/1.1\r\nHost: a\r\n\r\n",
		 "GET / HTTP/1.1\r\nHost: evil.test\r\n",
		 "HTTP:GET [MED] OBSERVED /bin/tool(42) -> GET http://evil.test/ [policy:net "
		 "engine:ssrf]",
		 0},
	};

	config.observe = true;
	begin_all();
	listeners[0] = listen_on("127.0.0.1", 80);
	for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
		int client = say(passed[i].request);
		int server = accept_from(listeners[passed[i].port]);
		hear(server, passed[i].received);
		say_on(server, OK2);
		hear(client, OK2);
		event(passed[i].told);
		close(client);
		close(server);
	}
	finish();
}
