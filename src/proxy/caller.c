#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/util.h"
#include "proxy/callers_impl.h"

static void free_texts(char **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

struct caller *caller_ref(struct caller *c)
{
	c->refs++;
	return c;
}

void caller_unref(struct caller *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	free(c->exe);
	free_texts(c->ancestors, c->ancestors_n);
	free_texts(c->cmdline, c->cmdline_n);
	free(c);
}

void caller_unrefp(struct caller **c)
{
	caller_unref(*c);
}

void caller_for_policy(const struct caller *c, struct policy_caller *out)
{
	*out = (struct policy_caller){
		.relaxed = c->relaxed,
		.exe = c->exe,
		.ancestors = (const char *const *)c->ancestors,
		.ancestors_n = c->ancestors_n,
		.cmdline = (const char *const *)c->cmdline,
		.cmdline_n = c->cmdline_n,
	};
}

bool caller_identity_relaxed(const char *value)
{
	static const char *const words[] = {"relaxed", "disabled", "endpoint-only", "false", "0"};

	for (size_t i = 0; value != NULL && i < ARRAY_LEN(words); i++)
		if (str_ieq(str_trim(str_of(value)), str_of(words[i])))
			return true;
	return false;
}

/* ---- making one ---- */

struct caller *caller_new_relaxed(void)
{
	struct caller *c = xcalloc(1, sizeof *c);

	c->refs = 1;
	c->relaxed = true;
	c->exe = xstrdup("");
	c->ancestors = xcalloc(1, sizeof *c->ancestors);
	c->cmdline = xcalloc(1, sizeof *c->cmdline);
	return c;
}

static bool has_program(const struct caller *c, const char *path)
{
	if (streq(c->exe, path))
		return true;
	for (size_t i = 0; i < c->ancestors_n; i++)
		if (streq(c->ancestors[i], path))
			return true;
	return false;
}

/* The paths that a process says of itself, but for those that the kernel says. */
static void add_arguments(struct caller *c, const struct process *p)
{
	for (size_t i = 0; i < p->paths_n && c->cmdline_n < CALLER_CMDLINE_MAX; i++) {
		bool known = has_program(c, p->paths[i]);
		for (size_t j = 0; j < c->cmdline_n && !known; j++)
			known = streq(c->cmdline[j], p->paths[i]);
		if (!known)
			c->cmdline[c->cmdline_n++] = xstrdup(p->paths[i]);
	}
}

struct caller *caller_new(struct process *const *chain, size_t n)
{
	struct caller *c = xcalloc(1, sizeof *c);

	must(n >= 1 && n <= CALLER_ANCESTORS_MAX + 1);
	c->refs = 1;
	c->pid = chain[0]->pid;
	c->started = chain[0]->stat.started;
	c->exe = xstrdup(chain[0]->exe);
	c->ancestors = xcalloc(n, sizeof *c->ancestors);
	for (size_t i = 1; i < n; i++)
		c->ancestors[c->ancestors_n++] = xstrdup(chain[i]->exe);
	c->cmdline = xcalloc(CALLER_CMDLINE_MAX + 1, sizeof *c->cmdline);
	for (size_t i = 0; i < n; i++)
		add_arguments(c, chain[i]);
	return c;
}

void caller_set_hash(struct caller *c, const uint8_t hash[IMAGE_HASH_BYTES])
{
	for (size_t i = 0; i < IMAGE_HASH_BYTES; i++)
		snprintf(c->sha256 + 2 * i, 3, "%02x", hash[i]);
}

static bool has_all_programs(const struct caller *c, const struct caller *of)
{
	for (size_t i = 0; i < of->ancestors_n; i++)
		if (!has_program(c, of->ancestors[i]))
			return false;
	return has_program(c, of->exe);
}

bool caller_is_alike(const struct caller *a, const struct caller *b)
{
	return streq(a->exe, b->exe) && streq(a->sha256, b->sha256) && has_all_programs(a, b) &&
	       has_all_programs(b, a);
}
