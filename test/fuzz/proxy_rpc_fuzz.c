/*
 * Bodies of JSON-RPC and MCP requests: whatever is taken has messages of one kind, whose texts are texts.
 */
#include "base/util.h"
#include "proxy/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check(const struct policy_jsonrpc *m, bool mcp)
{
	must((m->method.n > 0) != m->has_response);
	must(str_is_utf8(m->method) && m->params_n <= RPC_PARAMS_MAX);
	must(mcp || m->params_n == 0);
	for (size_t i = 0; i < m->params_n; i++) {
		must(str_is_utf8(m->params[i].key) && str_is_utf8(m->params[i].value));
		must(m->params[i].key.n <= RPC_KEY_MAX);
	}
	if (m->params_n > 256) /* each with each */
		return;
	for (size_t i = 0; i < m->params_n; i++)
		for (size_t j = 0; j < i; j++)
			must(!str_eq(m->params[i].key, m->params[j].key));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rpc r;

	if (n < 1)
		return 0;
	bool mcp = p[0] & 1;
	const char *why = rpc_read(&r, str_sub(p + 1, n - 1), mcp, p[0] & 2);
	must(why != NULL || (r.n > 0 && r.n <= RPC_MESSAGES_MAX));
	for (size_t i = 0; why == NULL && i < r.n; i++)
		check(&r.messages[i], mcp);
	rpc_fini(&r);
	return 0;
}
