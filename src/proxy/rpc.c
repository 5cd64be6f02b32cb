#include <ctype.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "base/util.h"
#include "proxy/rpc.h"
#include "proxy/strict_json.h"

enum { TOOL_NAME_MAX = 128 };

static const char too_much[] = "it has too many parameters";

/* ---- params ---- */

struct flat {
	struct rpc *rpc;
	struct policy_param *params;
	size_t n;
	struct map seen;
};

static const char *flatten(struct flat *f, const cJSON *o, const char *prefix, int depth)
{
	if (depth > RPC_DEPTH_MAX)
		return "its parameters are nested too deeply";
	for (const cJSON *c = o->child; c != NULL; c = c->next) {
		const char *text = cJSON_GetStringValue(c);
		if (text == NULL && !cJSON_IsObject(c))
			continue;
		if (strlen(prefix) + 1 + strlen(c->string) > RPC_KEY_MAX)
			return "a key is too long";
		const char *key = arena_printf(&f->rpc->arena, "%s%s%s", prefix,
					       prefix[0] ? "." : "", c->string);
		if (text == NULL) {
			const char *why = flatten(f, c, key, depth + 1);
			if (why != NULL)
				return why;
			continue;
		}
		if (f->n == RPC_PARAMS_MAX)
			return too_much;
		if (map_put(&f->seen, str_of(key), f) != NULL)
			return "a key is ambiguous";
		f->params[f->n++] = (struct policy_param){str_of(key), str_of(text)};
	}
	return NULL;
}

static size_t count_texts(const cJSON *o)
{
	size_t n = 0;

	for (const cJSON *c = o->child; c != NULL; c = c->next)
		n += cJSON_IsObject(c) ? count_texts(c) : (size_t)cJSON_IsString(c);
	return n;
}

static const char *read_params(struct rpc *r, const cJSON *params, struct policy_jsonrpc *m)
{
	static const char *const names[] = {"name"};
	struct flat f = {.rpc = r, .seen = MAP_INIT};
	size_t n = count_texts(params);
	const char *why = strict_json_keys(params, names, ARRAY_LEN(names), false);

	if (why != NULL)
		return why;
	if (n > RPC_PARAMS_MAX)
		return too_much;
	f.params = arena_zalloc(&r->arena, n * sizeof *f.params);
	why = flatten(&f, params, "", 0);
	map_fini(&f.seen);
	m->params = f.params;
	m->params_n = f.n;
	return why;
}

/* ---- messages ---- */

static bool is_id(const cJSON *id)
{
	return cJSON_IsString(id) || cJSON_IsNumber(id);
}

static const char *read_response(const cJSON *o, struct policy_jsonrpc *m)
{
	const cJSON *id = json_get(o, "id"), *error = json_get(o, "error");

	if (error != NULL && json_get(o, "result") != NULL)
		return "JSON-RPC response includes both result and error";
	if (!is_id(id) && !cJSON_IsNull(id))
		return "JSON-RPC response id must be string, number, or null";
	if (error != NULL && !cJSON_IsObject(error))
		return "JSON-RPC response error must be an object";
	m->has_response = true;
	return NULL;
}

static const char *check_tool_name(const char *name)
{
	bool plain = true;

	for (const char *p = name; *p != '\0'; p++)
		plain = plain && (isalnum((unsigned char)*p) || strchr("_-.", *p) != NULL);
	if (!plain || name[0] == '\0' || strlen(name) > TOOL_NAME_MAX)
		return "MCP tool name must match ^[A-Za-z0-9_.-]{1,128}$ when strict_tool_names is "
		       "enabled";
	return NULL;
}

static const char *read_mcp_call(struct rpc *r, const cJSON *o, struct policy_jsonrpc *m,
				 bool strict_tool_names)
{
	const cJSON *id = json_get(o, "id"), *params = json_get(o, "params");

	if (id != NULL && !is_id(id))
		return "invalid MCP request: its id is neither string nor number";
	if (params != NULL && !cJSON_IsObject(params))
		return "invalid MCP request: its params are no object";
	if (params != NULL) {
		const char *why = read_params(r, params, m);
		if (why != NULL)
			return why;
	}
	if (!str_is(m->method, "tools/call"))
		return NULL;
	const char *tool = json_str(params, "name");
	if (id == NULL || tool == NULL)
		return "invalid MCP request: tools/call has an id and names a tool";
	return strict_tool_names ? check_tool_name(tool) : NULL;
}

static const char *read_message(struct rpc *r, const cJSON *o, struct policy_jsonrpc *m, bool mcp,
				bool strict_tool_names)
{
	static const char *const names[] = {"jsonrpc", "id", "method", "params", "result", "error"};

	if (!cJSON_IsObject(o))
		return "a message is no object";
	const char *why = strict_json_keys(o, names, ARRAY_LEN(names), true);
	if (why != NULL)
		return why;
	const cJSON *method = json_get(o, "method");
	bool response = json_get(o, "result") != NULL || json_get(o, "error") != NULL;
	if (!streq(json_str(o, "jsonrpc"), "2.0"))
		return "its 'jsonrpc' field is not \"2.0\"";
	if (method != NULL && response)
		return "JSON-RPC message includes both method and result/error";
	if (response)
		return read_response(o, m);
	if (!cJSON_IsString(method) || str_empty(method->valuestring))
		return "missing or non-string 'method' field";
	m->method = str_of(method->valuestring);
	return mcp ? read_mcp_call(r, o, m, strict_tool_names) : NULL;
}

const char *rpc_read(struct rpc *out, struct str body, bool mcp, bool strict_tool_names)
{
	const char *why = NULL;

	*out = (struct rpc){.arena = ARENA_INIT(0)};
	out->tree = strict_json_parse(body);
	if (out->tree == NULL)
		return "invalid JSON";
	bool batch = cJSON_IsArray(out->tree);
	const cJSON *o = batch ? out->tree->child : out->tree;
	if (o == NULL)
		return "empty batch";
	size_t n = batch ? (size_t)cJSON_GetArraySize(out->tree) : 1;
	if (n > RPC_MESSAGES_MAX)
		return "it has too many messages";
	out->messages = arena_zalloc(&out->arena, n * sizeof *out->messages);
	for (; out->n < n && why == NULL; o = o->next)
		why = read_message(out, o, &out->messages[out->n++], mcp, strict_tool_names);
	return why;
}

void rpc_fini(struct rpc *r)
{
	cJSON_Delete(r->tree);
	arena_fini(&r->arena);
	*r = (struct rpc){0};
}
