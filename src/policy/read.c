/*
 * The text's tree becomes the model (supervisor contract 5.2). Each mapping is read by a table of
 * what it may hold, so that what is not known is refused where it stands. What the values mean is
 * not asked here.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "policy/read_impl.h"

/* ---- what every mapping needs ---- */

struct policy_mark read_mark(const struct policy_build *b, const cJSON *node)
{
	struct yaml_mark at = {0, 0};

	if (b->marks != NULL)
		at = yaml_mark_of(b->marks, node);
	return (struct policy_mark){at.line, at.column};
}

int read_bad(const struct policy_build *b, const cJSON *node, const char *fmt, ...)
{
	char words[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	return policy_bad(b, read_mark(b, node), "%s", words);
}

static const struct field *field_of(const struct field *fields, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++) {
		if (streq(fields[i].key, key))
			return &fields[i];
	}
	return NULL;
}

/* The text of a pattern is its first member. */
_Static_assert(offsetof(struct policy_pattern, text) == 0, "read_fields");

int read_fields(struct policy_build *b, const cJSON *o, const char *name,
		const struct field *fields, size_t n, void *into)
{
	const cJSON *member;

	if (!cJSON_IsObject(o))
		return read_bad(b, o, "%s must be a mapping", name);
	for (size_t i = 0; i < n; i++) {
		if (fields[i].read == read_text || fields[i].read == read_pattern)
			*(const char **)((char *)into + fields[i].offset) = "";
	}
	cJSON_ArrayForEach(member, o) {
		const struct field *f = field_of(fields, n, member->string);
		if (f == NULL)
			return read_bad(b, member, "unknown field \"%.64s\" in %s", member->string,
					name);
		if (!cJSON_IsNull(member) && f->read(b, member, (char *)into + f->offset) < 0)
			return -1;
	}
	for (size_t i = 0; i < n; i++) {
		const cJSON *value = json_get(o, fields[i].key);
		if (fields[i].required && (value == NULL || cJSON_IsNull(value)))
			return read_bad(b, o, "field \"%s\" of %s is missing", fields[i].key, name);
	}
	return 0;
}

/* ---- values ---- */

static int must_be(const struct policy_build *b, const cJSON *node, const char *kind)
{
	if (node->string != NULL)
		return read_bad(b, node, "\"%.64s\" must be %s", node->string, kind);
	return read_bad(b, node, "this must be %s", kind);
}

int read_text(struct policy_build *b, const cJSON *node, void *into)
{
	if (!cJSON_IsString(node))
		return must_be(b, node,
			       "text (what reads as a number or a truth value needs quotes)");
	*(const char **)into = node->valuestring;
	return 0;
}

int read_pattern(struct policy_build *b, const cJSON *node, void *into)
{
	struct policy_pattern *p = into;

	return read_text(b, node, &p->text);
}

int read_flag(struct policy_build *b, const cJSON *node, void *into)
{
	if (!cJSON_IsBool(node))
		return must_be(b, node, "true or false");
	*(bool *)into = cJSON_IsTrue(node);
	return 0;
}

int read_number(struct policy_build *b, const cJSON *node, double low, double high, double *out)
{
	char kind[64];

	snprintf(kind, sizeof kind, "a whole number from %.0f to %.0f", low, high);
	if (!cJSON_IsNumber(node) || !(node->valuedouble >= low && node->valuedouble <= high) ||
	    node->valuedouble != floor(node->valuedouble))
		return must_be(b, node, kind);
	*out = node->valuedouble;
	return 0;
}

int read_u32(struct policy_build *b, const cJSON *node, void *into)
{
	double number;

	if (read_number(b, node, 0, UINT32_MAX, &number) < 0)
		return -1;
	*(uint32_t *)into = (uint32_t)number;
	return 0;
}

int read_list(struct policy_build *b, const cJSON *node)
{
	return cJSON_IsArray(node) ? 0 : must_be(b, node, "a list");
}

int read_texts(struct policy_build *b, const cJSON *node, void *into)
{
	struct policy_texts *t = into;
	const cJSON *item;

	if (read_list(b, node) < 0)
		return -1;
	t->v = arena_zalloc(&b->p->arena, (size_t)cJSON_GetArraySize(node) * sizeof *t->v);
	cJSON_ArrayForEach(item, node) {
		if (read_text(b, item, &t->v[t->n++]) < 0)
			return -1;
	}
	return 0;
}

int read_patterns(struct policy_build *b, const cJSON *node, void *into)
{
	struct policy_patterns *p = into;
	const cJSON *item;

	if (read_list(b, node) < 0)
		return -1;
	p->v = arena_zalloc(&b->p->arena, (size_t)cJSON_GetArraySize(node) * sizeof *p->v);
	cJSON_ArrayForEach(item, node) {
		if (read_text(b, item, &p->v[p->n++].text) < 0)
			return -1;
	}
	return 0;
}

/* ---- the sections ---- */

static int read_filesystem(struct policy_build *b, const cJSON *node, void *into)
{
	static const struct field fields[] = {
		{"include_workdir", read_flag, offsetof(struct policy, include_workdir), false},
		{"read_only", read_texts, offsetof(struct policy, read_only), false},
		{"read_write", read_texts, offsetof(struct policy, read_write), false},
	};
	struct policy *p = into;

	p->filesystem_given = true;
	p->include_workdir = false;
	return read_fields(b, node, "filesystem_policy", fields, ARRAY_LEN(fields), p);
}

static int read_landlock(struct policy_build *b, const cJSON *node, void *into)
{
	static const struct field fields[] = {
		{"compatibility", read_text, offsetof(struct policy, landlock_compatibility),
		 false},
	};

	return read_fields(b, node, "landlock", fields, ARRAY_LEN(fields), into);
}

static int read_process(struct policy_build *b, const cJSON *node, void *into)
{
	static const struct field fields[] = {
		{"run_as_user", read_text, offsetof(struct policy, run_as_user), false},
		{"run_as_group", read_text, offsetof(struct policy, run_as_group), false},
	};

	return read_fields(b, node, "process", fields, ARRAY_LEN(fields), into);
}

static int read_nothing(struct policy_build *b UNUSED, const cJSON *node UNUSED, void *into UNUSED)
{
	return 0;
}

static int read_binaries(struct policy_build *b, const cJSON *node, void *into)
{
	static const struct field fields[] = {
		{"path", read_pattern, offsetof(struct policy_binary, path), true},
		{"harness", read_nothing, 0, false}, /* accepted and ignored */
	};
	struct policy_network *n = into;
	const cJSON *item;

	if (read_list(b, node) < 0)
		return -1;
	n->binaries =
		arena_zalloc(&b->p->arena, (size_t)cJSON_GetArraySize(node) * sizeof *n->binaries);
	cJSON_ArrayForEach(item, node) {
		if (read_fields(b, item, "a binary", fields, ARRAY_LEN(fields),
				&n->binaries[n->binaries_n++]) < 0)
			return -1;
	}
	return 0;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct policy_network *)a)->key,
		      ((const struct policy_network *)b)->key);
}

static int read_networks(struct policy_build *b, const cJSON *node, void *into)
{
	static const struct field fields[] = {
		{"name", read_text, offsetof(struct policy_network, name), false},
		{"endpoints", read_endpoints, 0, false},
		{"binaries", read_binaries, 0, false},
	};
	struct policy *p = into;
	const cJSON *member;

	if (!cJSON_IsObject(node))
		return must_be(b, node, "a mapping");
	p->networks =
		arena_zalloc(&p->arena, (size_t)cJSON_GetArraySize(node) * sizeof *p->networks);
	cJSON_ArrayForEach(member, node) {
		struct policy_network *n = &p->networks[p->networks_n++];
		n->at = read_mark(b, member);
		n->key = member->string;
		if (read_fields(b, member, "a network policy", fields, ARRAY_LEN(fields), n) < 0)
			return -1;
		if (n->name[0] == '\0')
			n->name = n->key;
	}
	if (p->networks_n > 0)
		qsort(p->networks, p->networks_n, sizeof *p->networks, by_key);
	return 0;
}

/* ---- middlewares ---- */

static int read_config(struct policy_build *b, const cJSON *node, void *into)
{
	if (!cJSON_IsObject(node))
		return must_be(b, node, "a mapping");
	*(const cJSON **)into = node;
	return 0;
}

static int read_order(struct policy_build *b, const cJSON *node, void *into)
{
	double number;

	if (read_number(b, node, INT32_MIN, INT32_MAX, &number) < 0)
		return -1;
	*(int32_t *)into = (int32_t)number;
	return 0;
}

static int read_selector(struct policy_build *b, const cJSON *node, void *into)
{
	static const struct field fields[] = {
		{"include", read_patterns, offsetof(struct policy_middleware, include), false},
		{"exclude", read_patterns, offsetof(struct policy_middleware, exclude), false},
	};
	struct policy_middleware *m = into;

	m->selector_given = true;
	return read_fields(b, node, "a middleware's endpoints", fields, ARRAY_LEN(fields), m);
}

static int read_middlewares(struct policy_build *b, const cJSON *node, void *into)
{
	static const struct field fields[] = {
		{"name", read_text, offsetof(struct policy_middleware, name), false},
		{"middleware", read_text, offsetof(struct policy_middleware, middleware), true},
		{"config", read_config, offsetof(struct policy_middleware, config), false},
		{"on_error", read_text, offsetof(struct policy_middleware, on_error), false},
		{"order", read_order, offsetof(struct policy_middleware, order), false},
		{"endpoints", read_selector, 0, false},
	};
	struct policy *p = into;
	const cJSON *member;

	if (!cJSON_IsObject(node))
		return must_be(b, node, "a mapping");
	p->middlewares =
		arena_zalloc(&p->arena, (size_t)cJSON_GetArraySize(node) * sizeof *p->middlewares);
	cJSON_ArrayForEach(member, node) {
		struct policy_middleware *m = &p->middlewares[p->middlewares_n++];
		m->at = read_mark(b, member);
		m->key = member->string;
		if (read_fields(b, member, "a middleware", fields, ARRAY_LEN(fields), m) < 0)
			return -1;
		if (m->name[0] == '\0')
			m->name = m->key;
	}
	return 0;
}

/* ---- the whole ---- */

int policy_read(struct policy_build *b, const cJSON *tree)
{
	static const struct field fields[] = {
		{"version", read_u32, offsetof(struct policy, version), true},
		{"filesystem_policy", read_filesystem, 0, false},
		{"landlock", read_landlock, 0, false},
		{"process", read_process, 0, false},
		{"network_policies", read_networks, 0, false},
		{"network_middlewares", read_middlewares, 0, false},
	};

	return read_fields(b, tree, "a policy", fields, ARRAY_LEN(fields), b->p);
}
