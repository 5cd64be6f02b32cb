/*
 * Globs as a policy means them (supervisor contract 5.5): those of the globset crate with literal
 * separators, seen through regorus' glob.match. A pattern matches a whole text:
 *
 *	?           one byte, but no delimiter
 *	*           any bytes without a delimiter
 *	**          as a whole component: any number of components. In front ("**" + delimiter + "x")
 *	            also none; at the end ("x" + delimiter + "**") the delimiter must be there.
 *	            Elsewhere two stars are one.
 *	[a-z] [!a]  a byte of the class, delimiter or not; ^ is !
 *	{a,b}       one of the two, which are globs themselves
 *	\x          x itself
 *
 * With "/" as the delimiter it is just that. With "." the peer's engine writes "/./" for every dot
 * of pattern and text and hides their slashes, so that the dot that delimits is a byte of its own
 * between two delimiters: "**.example.com" needs at least one label more. So do we.
 *
 * A pattern is compiled once, into a program of the sort that Thompson described; a text of n bytes
 * is then matched in at most n times the length of the program, whatever the pattern: both may come
 * from somebody who wishes us ill.
 */
#ifndef OPENSHELL_POLICY_GLOB_H
#define OPENSHELL_POLICY_GLOB_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"

enum {
	GLOB_PATTERN_MAX = 1024, /* bytes of a pattern; ours */
	GLOB_NESTING_MAX = 16,   /* groups in groups; ours */
};

enum glob_kind {
	GLOB_PATH, /* "/" delimits: request paths, programs */
	GLOB_TEXT, /* "." delimits: query values, parameters, names, MCP methods */
	GLOB_HOST, /* "." delimits, letters of either case are equal */
};

struct glob;

/* Compiles a pattern into the arena. NULL when it is none; *why then says what is wrong with it, in
 * words that follow the pattern's name. */
const struct glob *glob_compile(struct arena *a, struct str pattern, enum glob_kind kind,
				const char **why);

/* Whether the pattern matches the whole of text. A text with a NUL byte matches nothing. */
bool glob_match(const struct glob *g, struct str text);

/* Whether some text may match both, which must be of one kind. May say yes for two large patterns
 * that have none in common, never no for two that have. */
bool glob_overlap(const struct glob *a, const struct glob *b);

#endif
