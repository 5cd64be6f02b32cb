/*
 * JSON-RPC and MCP messages in bodies (proxy/rpc.h), as a table: what they are, and what is refused since
 * somebody could take it for another.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "proxy/rpc.h"
#include "test.h"

#define V "\"jsonrpc\":\"2.0\""
#define CALL(method, rest) "{" V ",\"id\":1,\"method\":\"" method "\"" rest "}"
#define TOOL(params) CALL("tools/call", ",\"params\":" params)

/* A message is told as its method, or "response", and its params; "-": refused, with these words. */
static const struct {
	const char *body, *plain, *mcp; /* as JSON-RPC and as MCP; NULL: the same */
} rows[] = {
	{CALL("a", ""), "a", NULL},
	{" " CALL("a", "") "\n", "a", NULL},
	{"{\"method\":\"a\"," V "}", "a", NULL},
	{"{" V ",\"id\":\"x\",\"method\":\"a\",\"extra\":{}}", "a", NULL},
	{"[" CALL("a", "") "]", "a", NULL},
	{"[" CALL("a", "") "," CALL("b", "") "]", "a; b", NULL},
	{"{" V ",\"id\":1,\"result\":null}", "response", NULL},
	{"{" V ",\"id\":null,\"error\":{}}", "response", NULL},
	{"[" CALL("a", "") ",{" V ",\"id\":1,\"result\":1}]", "a; response", NULL},
	{CALL("a", ",\"params\":[\"x\"]"), "a", "-params are no object"},
	{CALL("a", ",\"params\":{\"k\":\"v\",\"n\":1,\"o\":{\"p\":\"q\",\"r\":{\"s\":\"t\"}},\"l\":"
		   "[\"x\"]}"),
	 "a", "a k=v o.p=q o.r.s=t"},
	{TOOL("{\"name\":\"x\"}"), "tools/call", "tools/call name=x"},
	{TOOL("{\"arguments\":{\"name\":\"y\"},\"name\":\"x_-.9\"}"), "tools/call",
	 "tools/call arguments.name=y name=x_-.9"},
	{CALL("\\u0061b", ""), "ab", NULL},
	{"{\"jsonrpc\":\"2.0\",\"m\\u0065thod\":\"a\"}", "a", NULL},

	{"", "-invalid JSON", NULL},
	{"{", "-invalid JSON", NULL},
	{"{}x", "-invalid JSON", NULL},
	{CALL("a", "") CALL("b", ""), "-invalid JSON", NULL},
	{"{'jsonrpc':'2.0'}", "-invalid JSON", NULL},
	{CALL("a", ",\"x\":\"\xff\""), "-invalid JSON", NULL},
	{CALL("a\\u0000b", ""), "-invalid JSON", NULL},
	{CALL("a", ",\"x\":\"\\ud800\""), "-invalid JSON", NULL},
	{"[]", "-empty batch", NULL},
	{"[1]", "-no object", NULL},
	{"[[" CALL("a", "") "]]", "-no object", NULL},
	{"\"a\"", "-no object", NULL},
	{"null", "-no object", NULL},
	{"{}", "-'jsonrpc'", NULL},
	{"{\"jsonrpc\":\"1.0\",\"method\":\"a\"}", "-'jsonrpc'", NULL},
	{"{\"jsonrpc\":2.0,\"method\":\"a\"}", "-'jsonrpc'", NULL},
	{"{" V "}", "-'method'", NULL},
	{"{" V ",\"method\":1}", "-'method'", NULL},
	{"{" V ",\"method\":null}", "-'method'", NULL},
	{"{" V ",\"method\":[\"a\"]}", "-'method'", NULL},
	{CALL("", ""), "-'method'", NULL},
	{CALL("a", ",\"result\":1"), "-both method and result", NULL},
	{CALL("a", ",\"error\":{}"), "-both method and result", NULL},
	{"{" V ",\"id\":1,\"result\":1,\"error\":{}}", "-both result and error", NULL},
	{"{" V ",\"result\":1}", "-id must be", NULL},
	{"{" V ",\"id\":{},\"result\":1}", "-id must be", NULL},
	{"{" V ",\"id\":1,\"error\":\"x\"}", "-must be an object", NULL},
	/* keys that somebody takes for others */
	{CALL("a", ",\"method\":\"b\""), "-ambiguous", NULL},
	{CALL("a", ",\"Method\":\"b\""), "-ambiguous", NULL},
	{"{" V ",\"METHOD\":\"a\"}", "-ambiguous", NULL},
	{"{" V ",\"method\":\"a\",\"m\\u0065thod\":\"b\"}", "-ambiguous", NULL},
	{CALL("a", "," V), "-ambiguous", NULL},
	{CALL("a", ",\"Result\":1"), "-ambiguous", NULL},
	{CALL("a", ",\"params\":{},\"PARAMS\":{}"), "-ambiguous", NULL},
	{CALL("a", ",\"id\":2"), "-ambiguous", NULL},
	{CALL("a", ",\"param\xc5\xbf\":{}"), "-ASCII", NULL},
	{CALL("a", ",\"param\\u017f\":{}"), "-ASCII", NULL},
	{TOOL("{\"name\":\"x\",\"name\":\"y\"}"), "tools/call", "-ambiguous"},
	{TOOL("{\"name\":\"x\",\"Name\":\"y\"}"), "tools/call", "-ambiguous"},
	{TOOL("{\"name\":\"x\",\"a\":{\"b\":\"c\"},\"a.b\":\"d\"}"), "tools/call", "-ambiguous"},
	{TOOL("{\"name\":\"x\",\"a\":{\"b\":\"c\"},\"a\":{\"b\":\"d\"}}"), "tools/call",
	 "-ambiguous"},
	/* MCP */
	{"{" V ",\"id\":null,\"method\":\"a\"}", "a", "-neither string nor number"},
	{"{" V ",\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}", "tools/call",
	 "-names a tool"},
	{CALL("tools/call", ""), "tools/call", "-names a tool"},
	{TOOL("{\"name\":1}"), "tools/call", "-names a tool"},
	{TOOL("{\"name\":\"\"}"), "tools/call", "-must match"},
	{TOOL("{\"name\":\"a b\"}"), "tools/call", "-must match"},
	{TOOL("{\"name\":\"a/b\"}"), "tools/call", "-must match"},
	{TOOL("{\"name\":\"\xc3\xbc\"}"), "tools/call", "-must match"},
};

static void tell(const struct rpc *r, struct buf *out)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct policy_jsonrpc *m = &r->messages[i];
		buf_cstr(out, i ? "; " : "");
		buf_str(out, m->has_response ? STR("response") : m->method);
		for (size_t j = 0; j < m->params_n; j++)
			buf_printf(out, " %.*s=%.*s", STR_FMT(m->params[j].key),
				   STR_FMT(m->params[j].value));
	}
}

static void check(const char *body, bool mcp, const char *wanted)
{
	_cleanup_buf_ struct buf told = BUF_INIT(4096);
	struct rpc r;
	const char *why = rpc_read(&r, str_of(body), mcp, true);

	if (why == NULL)
		tell(&r, &told);
	if (wanted[0] == '-' ? why == NULL || strstr(why, wanted + 1) == NULL
			     : why != NULL || !str_is(buf_view(&told), wanted))
		FAIL("%s: %s, %.*s", body, why, STR_FMT(buf_view(&told)));
	rpc_fini(&r);
}

TEST(messages_are_read_or_refused)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		check(rows[i].body, false, rows[i].plain);
		check(rows[i].body, true, rows[i].mcp ? rows[i].mcp : rows[i].plain);
	}
}

TEST(tool_names_need_not_be_strict)
{
	struct rpc r;

	OK(rpc_read(&r, STR(TOOL("{\"name\":\"a b\"}")), true, false) == NULL);
	OK(str_is(r.messages[0].params[0].value, "a b"));
	rpc_fini(&r);
}

static void repeat(struct buf *b, const char *text, int n)
{
	for (int i = 0; i < n; i++)
		OK(buf_cstr(b, text));
}

TEST(messages_have_limits)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	struct rpc r;

	buf_char(&b, '[');
	repeat(&b, CALL("a", "") ",", RPC_MESSAGES_MAX - 1);
	buf_cstr(&b, CALL("a", "") "]");
	OK(rpc_read(&r, buf_view(&b), false, true) == NULL);
	EQ(r.n, RPC_MESSAGES_MAX);
	rpc_fini(&r);
	buf_clear(&b);
	buf_char(&b, '[');
	repeat(&b, CALL("a", "") ",", RPC_MESSAGES_MAX);
	buf_cstr(&b, CALL("a", "") "]");
	HAS(rpc_read(&r, buf_view(&b), false, true), "too many messages");
	rpc_fini(&r);

	buf_clear(&b);
	buf_cstr(&b, "{" V ",\"method\":\"a\",\"params\":");
	repeat(&b, "{\"a\":", RPC_DEPTH_MAX + 1);
	buf_cstr(&b, "{}");
	repeat(&b, "}", RPC_DEPTH_MAX + 2);
	HAS(rpc_read(&r, buf_view(&b), true, true), "nested too deeply");
	rpc_fini(&r);

	buf_clear(&b);
	buf_cstr(&b, "{" V ",\"method\":\"a\",\"params\":{\"k\":\"\"");
	for (int i = 1; i <= RPC_PARAMS_MAX; i++)
		buf_printf(&b, ",\"k%d\":\"\"", i);
	buf_cstr(&b, "}}");
	HAS(rpc_read(&r, buf_view(&b), true, true), "too many parameters");
	rpc_fini(&r);

	buf_clear(&b);
	buf_cstr(&b, "{" V ",\"method\":\"a\",\"params\":{\"");
	repeat(&b, "k", RPC_KEY_MAX);
	buf_cstr(&b, "\":\"\"}}");
	HAS(rpc_read(&r, buf_view(&b), true, true), "too long");
	rpc_fini(&r);
}
