/*
 * Presets become rules (supervisor contract 5.4), patterns become programs, programs that are links
 * get their targets beside them.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/policy_impl.h"

/* Whose patterns are being compiled, for errors. */
struct owner {
	const struct policy_build *b;
	const char *kind, *name; /* "network policy", "github" */
	struct policy_mark at;
};

static int compile(const struct owner *o, const char *what, struct policy_pattern *p,
		   enum glob_kind kind)
{
	const char *why;

	p->glob = glob_compile(&o->b->p->arena, str_of(p->text), kind, &why);
	if (p->glob != NULL)
		return 0;
	return policy_bad(o->b, o->at, "%s '%s': %s '%.64s' %s", o->kind, o->name, what, p->text,
			  why);
}

static int compile_all(const struct owner *o, const char *what, struct policy_patterns *p,
		       enum glob_kind kind)
{
	for (size_t i = 0; i < p->n; i++) {
		if (compile(o, what, &p->v[i], kind) < 0)
			return -1;
	}
	return 0;
}

static int compile_matchers(const struct owner *o, struct policy_matchers *m)
{
	for (size_t i = 0; i < m->n; i++) {
		if (compile_all(o, m->v[i].key, &m->v[i].any, GLOB_TEXT) < 0)
			return -1;
	}
	return 0;
}

/* A path of "" or "**" needs no program. */
static int compile_path(const struct owner *o, struct policy_pattern *p)
{
	if (str_empty(p->text) || streq(p->text, "**"))
		return 0;
	return compile(o, "path", p, GLOB_PATH);
}

static int compile_rule(struct owner *o, struct policy_rule *r, bool mcp)
{
	if (r->at.line != 0)
		o->at = r->at;
	if (mcp && !str_empty(r->method.text) && compile(o, "method", &r->method, GLOB_TEXT) < 0)
		return -1;
	if (!str_empty(r->operation_name.text) &&
	    compile(o, "operation_name", &r->operation_name, GLOB_TEXT) < 0)
		return -1;
	if (compile_path(o, &r->path) < 0 || compile_matchers(o, &r->query) < 0 ||
	    compile_matchers(o, &r->params) < 0)
		return -1;
	return compile_all(o, "field", &r->fields, GLOB_TEXT);
}

/* ---- presets ---- */

static void add_rest(struct policy_rules *rules, const char *method)
{
	struct policy_rule *r = &rules->v[rules->n++];

	r->method.text = method;
	r->path.text = "**";
	r->command = r->operation_type = r->operation_name.text = "";
}

static void add_graphql(struct policy_rules *rules, const char *type)
{
	struct policy_rule *r = &rules->v[rules->n++];

	r->operation_type = type;
	r->method.text = r->path.text = r->command = r->operation_name.text = "";
}

/* The words of the presets; read-write has those of read-only as well. */
static const char *const rest_words[][4] = {
	[POLICY_READ_ONLY] = {"GET", "HEAD", "OPTIONS"},
	[POLICY_READ_WRITE] = {"POST", "PUT", "PATCH"},
	[POLICY_FULL] = {"*"},
};
static const char *const websocket_words[][4] = {
	[POLICY_READ_ONLY] = {"GET"},
	[POLICY_READ_WRITE] = {"WEBSOCKET_TEXT"},
	[POLICY_FULL] = {"*"},
};
static const char *const graphql_words[][4] = {
	[POLICY_READ_ONLY] = {"query"},
	[POLICY_READ_WRITE] = {"mutation"},
	[POLICY_FULL] = {"*"},
};

static void expand_access(struct policy_endpoint *ep, struct arena *a)
{
	const char *const(*words)[4] = ep->protocol == POLICY_GRAPHQL     ? graphql_words
				       : ep->protocol == POLICY_WEBSOCKET ? websocket_words
									  : rest_words;

	if (ep->access == POLICY_ACCESS_NONE)
		return;
	int access = ep->access == POLICY_FULL ? POLICY_FULL : POLICY_READ_ONLY;
	ep->allow.v = arena_zalloc(a, 8 * sizeof *ep->allow.v);
	for (; access <= (int)ep->access; access++) {
		for (size_t i = 0; i < 4 && words[access][i] != NULL; i++) {
			if (ep->protocol == POLICY_GRAPHQL)
				add_graphql(&ep->allow, words[access][i]);
			else
				add_rest(&ep->allow, words[access][i]);
		}
	}
}

/* ---- MCP ---- */

static bool names_tool(const struct policy_rule *r)
{
	for (size_t i = 0; i < r->params.n; i++) {
		if (streq(r->params.v[i].key, "name"))
			return true;
	}
	return false;
}

/* A rule without a method is about calls of tools when it names one, else about every method: where
 * the endpoint allows all methods for a start, and for a rule that denies. */
static void fill_method(struct policy_rule *r)
{
	if (str_empty(r->method.text))
		r->method.text = names_tool(r) ? "tools/call" : "*";
}

/* ---- endpoints and programs ---- */

static int compile_endpoint(struct owner *o, struct policy_endpoint *ep)
{
	bool mcp = ep->protocol == POLICY_MCP;

	o->at = ep->at;
	if (strchr(ep->host.text, '*') != NULL && compile(o, "host", &ep->host, GLOB_HOST) < 0)
		return -1;
	if (compile_path(o, &ep->path) < 0)
		return -1;
	expand_access(ep, &o->b->p->arena);
	for (size_t i = 0; i < ep->allow.n; i++) {
		if (mcp && ep->mcp_allow_all)
			fill_method(&ep->allow.v[i]);
		if (compile_rule(o, &ep->allow.v[i], mcp) < 0)
			return -1;
	}
	for (size_t i = 0; i < ep->deny.n; i++) {
		if (mcp)
			fill_method(&ep->deny.v[i]);
		if (compile_rule(o, &ep->deny.v[i], mcp) < 0)
			return -1;
	}
	return 0;
}

/* Puts the target of a program that is a link behind those that the policy names. */
static void add_target(const struct policy_build *b, struct policy_network *n,
		       const struct policy_binary *link, policy_resolve_fn *resolve, void *arg)
{
	_cleanup_free_ char *target = resolve(arg, link->path.text);

	if (target == NULL || streq(target, link->path.text))
		return;
	struct policy_binary *to = &n->binaries[n->binaries_n++];
	*to = *link;
	to->path.text = arena_dup(&b->p->arena, str_of(target));
}

static int compile_binaries(struct owner *o, struct policy_network *n, policy_resolve_fn *resolve,
			    void *arg)
{
	size_t given = n->binaries_n;

	o->at = n->at;
	if (resolve != NULL && given > 0) {
		struct policy_binary *more =
			arena_zalloc(&o->b->p->arena, 2 * given * sizeof *more);
		memcpy(more, n->binaries, given * sizeof *more);
		n->binaries = more;
	}
	for (size_t i = 0; i < given; i++) {
		struct policy_binary *binary = &n->binaries[i];
		if (strchr(binary->path.text, '*') == NULL) {
			if (resolve != NULL)
				add_target(o->b, n, binary, resolve, arg);
		} else if (compile(o, "binary", &binary->path, GLOB_PATH) < 0) {
			return -1;
		}
	}
	return 0;
}

/* ---- the whole ---- */

static int by_order(const void *a, const void *b)
{
	int32_t x = ((const struct policy_middleware *)a)->order;
	int32_t y = ((const struct policy_middleware *)b)->order;

	return (x > y) - (x < y);
}

static int compile_middlewares(const struct policy_build *b)
{
	struct policy *p = b->p;

	for (size_t i = 0; i < p->middlewares_n; i++) {
		struct policy_middleware *m = &p->middlewares[i];
		struct owner o = {b, "middleware config", m->key, m->at};
		if (compile_all(&o, "pattern", &m->include, GLOB_HOST) < 0 ||
		    compile_all(&o, "pattern", &m->exclude, GLOB_HOST) < 0)
			return -1;
	}
	if (p->middlewares_n > 0)
		qsort(p->middlewares, p->middlewares_n, sizeof *p->middlewares, by_order);
	return 0;
}

int policy_compile(struct policy_build *b, policy_resolve_fn *resolve, void *arg)
{
	for (size_t i = 0; i < b->p->networks_n; i++) {
		struct policy_network *n = &b->p->networks[i];
		struct owner o = {b, "network policy", n->name, n->at};
		for (size_t j = 0; j < n->endpoints_n; j++) {
			if (compile_endpoint(&o, &n->endpoints[j]) < 0)
				return -1;
		}
		if (compile_binaries(&o, n, resolve, arg) < 0)
			return -1;
	}
	return compile_middlewares(b);
}
