/*
 * Command lines as data: a table of options, each with its flag, its environment variable, its
 * default and its line of help. A flag wins over the environment, the environment over the default.
 * An environment variable that is set to nothing counts as not set.
 */
#ifndef OPENSHELL_BASE_OPT_H
#define OPENSHELL_BASE_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/util.h"

enum opt_kind {
	OPT_STR,   /* char *: --name VALUE or --name=VALUE */
	OPT_FLAG,  /* bool: --name; the environment says true or false */
	OPT_BOOL,  /* bool: --name true|false (also 1, 0, yes, no) */
	OPT_INT,   /* int64_t */
	OPT_LIST,  /* struct opt_list: comma-separated, may be given again */
	OPT_PAIRS, /* struct opt_list of k=v, comma-separated; an entry without `=` is an error */
};

struct opt_list {
	char **v;
	size_t n;
};

struct opt {
	const char *name;  /* without the dashes; NULL when there is an environment variable only */
	const char *alias; /* a second name, or NULL */
	const char *env;   /* or NULL */
	const char *arg;   /* what the value is called in the help, e.g. PATH; NULL for OPT_FLAG */
	const char *def;   /* default as text, or NULL */
	enum opt_kind kind;
	size_t offset;     /* of the member in the configuration struct */
	const char *group; /* heading in the help; NULL: that of the entry before */
	const char *help;
};

/* Fills *conf (zeroed by the caller) from the defaults, the environment and argv[1..]. Parsing ends
 * at the first argument that is no option, or behind `--`; *rest is its index, argc when all was
 * read. Every char * in *conf is then the configuration's own (never NULL: a string without default
 * is ""). An error names the option or variable. */
int opt_parse(const struct opt *table, size_t n, void *conf, int argc, char **argv, int *rest,
	      struct err *e);
/* Reads options that follow a word (argv[0]), for command lines that mix both: as opt_parse, but what
 * *conf holds already stays. A list given here replaces what it held. */
int opt_parse_more(const struct opt *table, size_t n, void *conf, int argc, char **argv, int *rest,
		   struct err *e);
void opt_free(const struct opt *table, size_t n, void *conf);

/* Prints the table by groups: flag, environment variable, default, help. */
void opt_print_help(FILE *f, const struct opt *table, size_t n);

#endif
