#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "proxy/graphql.h"
#include "proxy/graphql_document.h"
#include "proxy/strict_json.h"

static const char *const names[] = {"query", "operationName", "variables", "extensions",
				    "id",    "documentId",    "queryId"};

/* What a request says, wherever it says it. */
struct envelope {
	struct str query, name, id;
	const cJSON *extensions; /* or NULL */
};

/* A text, or nothing: null is nothing. */
static const char *read_text(const cJSON *o, const char *key, struct str *out)
{
	const cJSON *c = json_get(o, key);

	*out = STR("");
	if (c == NULL || cJSON_IsNull(c))
		return NULL;
	*out = str_of(cJSON_GetStringValue(c));
	return out->p == NULL ? "what it is asked for is no text" : NULL;
}

static const char *read_hash(const cJSON *extensions, struct str *hash)
{
	static const char *const persisted[] = {"persistedQuery"}, *const sha256[] = {"sha256Hash"};

	*hash = STR("");
	if (extensions == NULL || cJSON_IsNull(extensions))
		return NULL;
	if (!cJSON_IsObject(extensions))
		return "its extensions are no object";
	const char *why = strict_json_keys(extensions, persisted, 1, true);
	const cJSON *query = json_get(extensions, "persistedQuery");
	if (why != NULL || query == NULL || cJSON_IsNull(query))
		return why;
	if (!cJSON_IsObject(query))
		return "its persisted query is no object";
	why = strict_json_keys(query, sha256, 1, true);
	return why != NULL ? why : read_text(query, "sha256Hash", hash);
}

static const char *add(struct graphql *g, const struct envelope *e)
{
	struct policy_graphql_operation *op = &g->operations[g->request.operations_n++];
	struct str hash;
	const char *why = read_hash(e->extensions, &hash);

	*op = (struct policy_graphql_operation){.operation_name = e->name};
	if (why != NULL)
		return why;
	if (str_trim(e->query).n == 0 && hash.n == 0 && e->id.n == 0)
		return "it has neither a document nor the name of a persisted query";
	/* a hash is of the document, which the server sees to; but what an id is of nobody can tell */
	if (str_trim(e->query).n > 0 && e->id.n > 0)
		return "it has a document and the id of another";
	if (str_trim(e->query).n > 0)
		why = graphql_document(op, e->query, e->name, &g->arena);
	op->persisted = hash.n > 0 || e->id.n > 0;
	op->persisted_hash = hash;
	op->persisted_id = e->id;
	return why;
}

/* ---- POST ---- */

static const char *read_object(struct graphql *g, const cJSON *o)
{
	struct envelope e = {.id = STR("")};
	struct str id;

	if (!cJSON_IsObject(o))
		return "it is no object";
	const char *why = strict_json_keys(o, names, ARRAY_LEN(names), true);
	if (why == NULL)
		why = read_text(o, "query", &e.query);
	if (why == NULL)
		why = read_text(o, "operationName", &e.name);
	for (size_t i = 4; why == NULL && i < ARRAY_LEN(names); i++) {
		why = read_text(o, names[i], &id);
		if (why == NULL && id.n > 0 && e.id.n > 0)
			why = "it has more than one id";
		if (id.n > 0)
			e.id = id;
	}
	e.extensions = json_get(o, "extensions");
	return why != NULL ? why : add(g, &e);
}

static const char *read_post(struct graphql *g, struct str body)
{
	g->tree = strict_json_parse(body);
	if (g->tree == NULL)
		return "its body is not valid JSON";
	bool batch = cJSON_IsArray(g->tree);
	const cJSON *o = batch ? g->tree->child : g->tree;
	if (o == NULL)
		return "its batch is empty";
	if (batch && cJSON_GetArraySize(g->tree) > GRAPHQL_BATCH_MAX)
		return "its batch is too long";
	const char *why = NULL;
	for (; o != NULL && why == NULL; o = batch ? o->next : NULL)
		why = read_object(g, o);
	return why;
}

/* ---- GET ---- */

static const char *read_get(struct graphql *g, const struct policy_param *params, size_t n)
{
	cJSON *o = json_object();

	/* the same as an object of its parameters */
	g->tree = o;
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *key = str_dup(params[i].key);
		_cleanup_free_ char *value = str_dup(params[i].value);
		if (strlen(value) != params[i].value.n)
			return "a parameter has a NUL";
		if (!streq(key, "extensions")) {
			cJSON_AddItemToObject(o, key, json_new_str(value));
			continue;
		}
		cJSON *extensions = strict_json_parse(params[i].value);
		if (extensions == NULL)
			return "its extensions are not valid JSON";
		cJSON_AddItemToObject(o, key, extensions);
	}
	return read_object(g, o);
}

/* What a server may take from the URL though there is a body. */
static bool has_params(const struct policy_param *params, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < ARRAY_LEN(names); j++)
			if (str_ieq(params[i].key, str_of(names[j])))
				return true;
	return false;
}

const char *graphql_read(struct graphql *out, struct str method, const struct policy_param *params,
			 size_t params_n, struct str body)
{
	*out = (struct graphql){.arena = ARENA_INIT(0)};
	out->operations = arena_zalloc(&out->arena, GRAPHQL_BATCH_MAX * sizeof *out->operations);
	out->request.operations = out->operations;
	if (str_is(method, "GET"))
		return body.n > 0 ? "a GET has a body" : read_get(out, params, params_n);
	if (!str_is(method, "POST"))
		return "it is neither GET nor POST";
	if (has_params(params, params_n))
		return "it has parameters beside its body";
	return read_post(out, body);
}

void graphql_fini(struct graphql *g)
{
	cJSON_Delete(g->tree);
	arena_fini(&g->arena);
	*g = (struct graphql){0};
}
