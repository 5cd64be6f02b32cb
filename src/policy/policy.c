#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "policy/policy_impl.h"

enum { WARNINGS_MAX = 64 };

static const char *const protocol_names[] = {
	[POLICY_L4] = "",
	[POLICY_TCP] = "tcp",
	[POLICY_REST] = "rest",
	[POLICY_WEBSOCKET] = "websocket",
	[POLICY_GRAPHQL] = "graphql",
	[POLICY_SQL] = "sql",
	[POLICY_JSON_RPC] = "json-rpc",
	[POLICY_MCP] = "mcp",
};
_Static_assert(ARRAY_LEN(protocol_names) == POLICY_PROTOCOLS, "a protocol without a name");

const char *policy_protocol_name(enum policy_protocol p)
{
	return protocol_names[p];
}

bool policy_protocol_inspected(enum policy_protocol p)
{
	return p != POLICY_L4 && p != POLICY_TCP;
}

bool policy_endpoint_configures(const struct policy_endpoint *ep)
{
	return policy_protocol_inspected(ep->protocol) || ep->allowed_ips.n > 0 ||
	       !str_empty(ep->tls) || !str_empty(ep->credential_provider);
}

size_t policy_endpoint_specificity(const struct policy_endpoint *ep)
{
	size_t n = 0;

	for (const char *p = ep->path.text; *p != '\0'; p++)
		n += *p != '*';
	return n;
}

/* ---- making ---- */

struct policy *policy_new(void)
{
	struct policy *p = xcalloc(1, sizeof *p);

	p->refs = 1;
	p->include_workdir = true;
	p->landlock_compatibility = "";
	p->run_as_user = p->run_as_group = "";
	return p;
}

/* Text is cut to fit into an error; where that was within a character, what is left of it goes. */
static void mend(char *words)
{
	struct str rest = str_of(words);

	while (rest.n > 0) {
		struct str good = str_utf8_prefix(rest, rest.n);
		if (good.n == rest.n)
			return;
		words[good.p - words + (ptrdiff_t)good.n] = '?';
		rest = str_sub(good.p + good.n, rest.n - good.n);
	}
}

int policy_bad(const struct policy_build *b, struct policy_mark at, const char *fmt, ...)
{
	char words[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	mend(words);
	if (at.line == 0)
		return err_set(b->e, EINVAL, "%s: %s", b->what, words);
	return err_set(b->e, EINVAL, "%s: line %u column %u: %s", b->what, at.line, at.column,
		       words);
}

void policy_warn(const struct policy_build *b, struct policy_mark at, const char *fmt, ...)
{
	struct policy_texts *w = &b->p->warnings;
	char words[ERR_TEXT_MAX];
	va_list ap;

	if (w->v == NULL)
		w->v = arena_zalloc(&b->p->arena, WARNINGS_MAX * sizeof *w->v);
	if (w->n == WARNINGS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	mend(words);
	w->v[w->n++] = at.line ? arena_printf(&b->p->arena, "line %u: %s", at.line, words)
			       : arena_dup(&b->p->arena, str_of(words));
}

int policy_finish(struct policy_build *b, policy_resolve_fn *resolve, void *arg)
{
	if (policy_check(b) == 0 && policy_compile(b, resolve, arg) == 0 &&
	    policy_check_ambiguity(b) == 0)
		return 0;
	b->e->code = EPERM;
	return -1;
}

struct policy *policy_parse(struct str text, const char *what, policy_resolve_fn *resolve,
			    void *arg, struct err *e)
{
	struct yaml_marks *marks;
	cJSON *tree = yaml_parse_marked(text, what, &marks, e);

	if (tree == NULL)
		return NULL;
	struct policy *p = policy_new();
	struct policy_build b = {p, what, marks, e, 0};
	p->tree = tree;
	int bad = policy_read(&b, tree) < 0 || policy_finish(&b, resolve, arg) < 0;
	yaml_marks_free(marks);
	if (bad) {
		policy_unref(p);
		return NULL;
	}
	return p;
}

static struct policy_texts texts(struct arena *a, const char *const *v, size_t n)
{
	struct policy_texts t = {arena_zalloc(a, n * sizeof *t.v), n};

	for (size_t i = 0; i < n; i++)
		t.v[i] = arena_dup(a, str_of(v[i]));
	return t;
}

struct policy *policy_restrictive(void)
{
	static const char *const read_only[] = {"/usr", "/lib", "/proc",   "/dev/urandom",
						"/app", "/etc", "/var/log"};
	static const char *const read_write[] = {"/tmp", "/dev/null"};
	struct policy *p = policy_new();

	p->version = 1;
	p->filesystem_given = true;
	p->read_only = texts(&p->arena, read_only, ARRAY_LEN(read_only));
	p->read_write = texts(&p->arena, read_write, ARRAY_LEN(read_write));
	p->landlock_compatibility = "best_effort";
	return p;
}

struct policy *policy_quarantine(const struct policy *instead_of)
{
	const struct policy *o = instead_of;
	struct policy *p = policy_new();
	struct arena *a = &p->arena;

	p->version = o->version;
	p->filesystem_given = o->filesystem_given;
	p->include_workdir = o->include_workdir;
	p->read_only = texts(a, o->read_only.v, o->read_only.n);
	p->read_write = texts(a, o->read_write.v, o->read_write.n);
	p->landlock_compatibility = arena_dup(a, str_of(o->landlock_compatibility));
	p->landlock_required = o->landlock_required;
	p->run_as_user = arena_dup(a, str_of(o->run_as_user));
	p->run_as_group = arena_dup(a, str_of(o->run_as_group));
	return p;
}

/* ---- holding ---- */

struct policy *policy_ref(struct policy *p)
{
	p->refs++;
	return p;
}

void policy_unref(struct policy *p)
{
	if (p == NULL || --p->refs > 0)
		return;
	arena_fini(&p->arena);
	cJSON_Delete(p->tree);
	free(p);
}

uint64_t policy_publish(struct policy **current, struct policy *next)
{
	must(next->generation == 0);
	next->generation = *current ? (*current)->generation + 1 : 1;
	policy_unref(*current);
	*current = next;
	return next->generation;
}
