#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/opt.h"
#include "base/str.h"

static void *member(const struct opt *o, void *conf)
{
	return (char *)conf + o->offset;
}

static int parse_bool(const char *source, const char *value, bool *out, struct err *e)
{
	static const char *const yes[] = {"true", "1", "yes", "on"};
	static const char *const no[] = {"false", "0", "no", "off"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcasecmp(value, yes[i]) == 0 || strcasecmp(value, no[i]) == 0) {
			*out = strcasecmp(value, yes[i]) == 0;
			return 0;
		}
	}
	return err_set(e, EINVAL, "%s: '%s' is neither true nor false", source, value);
}

static void list_free(struct opt_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct opt_list){0};
}

static int parse_list(const struct opt *o, const char *source, const char *value,
		      struct opt_list *out, struct err *e)
{
	struct str rest = str_of(value);

	while (rest.p != NULL) {
		struct str item = str_trim(str_cut(&rest, ','));
		if (item.n == 0)
			continue;
		if (o->kind == OPT_PAIRS && memchr(item.p, '=', item.n) == NULL)
			return err_set(e, EINVAL, "%s: '%.*s' is not of the form key=value", source,
				       STR_FMT(item));
		out->v = xrealloc(out->v, (out->n + 1) * sizeof *out->v);
		out->v[out->n++] = str_dup(item);
	}
	return 0;
}

/* Stores one value; source is the flag or the variable, for the error. */
static int store(const struct opt *o, void *conf, const char *source, const char *value,
		 struct err *e)
{
	switch (o->kind) {
	case OPT_STR: {
		char **s = member(o, conf);
		free(*s);
		*s = xstrdup(value);
		return 0;
	}
	case OPT_FLAG:
	case OPT_BOOL:
		return parse_bool(source, value, member(o, conf), e);
	case OPT_INT:
		if (!str_i64(str_of(value), member(o, conf)))
			return err_set(e, EINVAL, "%s: '%s' is not a whole number", source, value);
		return 0;
	case OPT_LIST:
	case OPT_PAIRS:
		return parse_list(o, source, value, member(o, conf), e);
	}
	must(!"option kind");
	return -1;
}

static int apply_defaults(const struct opt *table, size_t n, void *conf, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		const struct opt *o = &table[i];
		const char *env = o->env ? getenv(o->env) : NULL;
		if (o->def != NULL || o->kind == OPT_STR)
			must(store(o, conf, "default", o->def ? o->def : "", e) == 0);
		if (str_empty(env))
			continue;
		if (o->kind == OPT_LIST || o->kind == OPT_PAIRS)
			list_free(member(o, conf));
		if (store(o, conf, o->env, env, e) < 0)
			return -1;
	}
	return 0;
}

static const struct opt *find(const struct opt *table, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++) {
		if ((table[i].name != NULL && str_is(name, table[i].name)) ||
		    (table[i].alias != NULL && str_is(name, table[i].alias)))
			return &table[i];
	}
	return NULL;
}

/* A list given by flag replaces the default or the environment's, but flags add to each other. */
static void begin_list(const struct opt *o, void *conf, bool *seen)
{
	if ((o->kind == OPT_LIST || o->kind == OPT_PAIRS) && !*seen)
		list_free(member(o, conf));
	*seen = true;
}

int opt_parse(const struct opt *table, size_t n, void *conf, int argc, char **argv, int *rest,
	      struct err *e)
{
	if (apply_defaults(table, n, conf, e) < 0)
		return -1;
	return opt_parse_more(table, n, conf, argc, argv, rest, e);
}

int opt_parse_more(const struct opt *table, size_t n, void *conf, int argc, char **argv, int *rest,
		   struct err *e)
{
	_cleanup_free_ bool *seen = xcalloc(n, sizeof *seen);
	int i = 1;

	for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
		if (streq(argv[i], "--")) {
			i++;
			break;
		}
		/* Go's flag package takes one dash as well, and seed 000 is called so */
		struct str value = str_of(argv[i] + (argv[i][1] == '-' ? 2 : 1));
		struct str name = str_cut(&value, '=');
		const struct opt *o = find(table, n, name);
		if (o == NULL)
			return err_set(e, EINVAL, "unknown option '%s' (see --help)", argv[i]);
		if (value.p == NULL && o->kind == OPT_FLAG)
			value = STR("true");
		else if (value.p == NULL && ++i == argc)
			return err_set(e, EINVAL, "option --%s needs a value (%s)", o->name,
				       o->arg);
		else if (value.p == NULL)
			value = str_of(argv[i]);
		begin_list(o, conf, &seen[o - table]);
		_cleanup_free_ char *source = xasprintf("--%.*s", STR_FMT(name));
		if (store(o, conf, source, value.p, e) < 0)
			return -1;
	}
	*rest = i;
	return 0;
}

void opt_free(const struct opt *table, size_t n, void *conf)
{
	for (size_t i = 0; i < n; i++) {
		if (table[i].kind == OPT_STR) {
			char **s = member(&table[i], conf);
			free(*s);
			*s = NULL;
		} else if (table[i].kind == OPT_LIST || table[i].kind == OPT_PAIRS) {
			list_free(member(&table[i], conf));
		}
	}
}

void opt_print_help(FILE *f, const struct opt *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct opt *o = &table[i];
		if (o->group != NULL)
			fprintf(f, "%s%s:\n", i ? "\n" : "", o->group);
		if (o->name != NULL)
			fprintf(f, "  --%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
		else
			fprintf(f, "  (environment only)");
		if (o->alias != NULL)
			fprintf(f, "  (also %s%s)", o->alias[1] ? "--" : "-", o->alias);
		fprintf(f, "\n      %s\n", o->help);
		if (o->env != NULL)
			fprintf(f, "      environment: %s\n", o->env);
		if (!str_empty(o->def))
			fprintf(f, "      default: %s\n", o->def);
	}
}
