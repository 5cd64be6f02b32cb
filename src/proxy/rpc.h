/*
 * JSON-RPC 2.0 and MCP messages in the body of a request, as the policy judges them (policy/decide.h;
 * supervisor contract 5.5). What two readers of the same JSON could take for different messages - a key that
 * is there twice, or in other letters, a NUL in a text - is refused. No I/O.
 */
#ifndef OPENSHELL_PROXY_RPC_H
#define OPENSHELL_PROXY_RPC_H

#include <stdbool.h>
#include <stddef.h>

#include <cJSON.h>

#include "base/arena.h"
#include "base/str.h"
#include "policy/decide.h"

enum {
	RPC_MESSAGES_MAX = 256, /* of a batch; ours, as the next */
	RPC_PARAMS_MAX = 4096,  /* texts in the params of a message */
	RPC_DEPTH_MAX = 16,     /* of objects in them */
	RPC_KEY_MAX = 512,      /* bytes of a key, joined */
};

struct rpc {
	struct policy_jsonrpc *messages; /* at least one */
	size_t n;
	/* rpc.c's */
	cJSON *tree;
	struct arena arena;
};

/* Reads a body. With mcp, params are told (texts in objects, keys joined by dots), and tools/call names its
 * tool, strictly (^[A-Za-z0-9_.-]{1,128}$) when asked. NULL, or why it is refused, in words; rpc_fini in
 * either case. */
const char *rpc_read(struct rpc *out, struct str body, bool mcp, bool strict_tool_names);
void rpc_fini(struct rpc *r);

#endif
