/*
 * A command line without a shell. What an SSH client asks for is one line of text that a shell is to read
 * (supervisor contract 3.7), and an image may have none: then this reads as much of it as needs none, the words
 * of one command, and refuses all else by name. No I/O.
 *
 *	[cd DIR &&] [NAME=value ...] WORD ...
 *
 * which is what a gateway makes of an exec. Words are quoted as in POSIX (shell command language, 2.2): 'x', "x"
 * and \x. What would be expanded, or is an operator, is refused, as is the beginning of a comment.
 */
#ifndef OPENSHELL_SUPERVISOR_SHELL_WORDS_H
#define OPENSHELL_SUPERVISOR_SHELL_WORDS_H

#include "base/err.h"
#include "base/str.h"

enum {
	SHELL_WORDS_MAX = 4096, /* more than a gateway's 1024 arguments and 128 variables */
};

struct shell_words {
	const char *cwd; /* DIR, or NULL */
	char **assign;   /* "NAME=value", NULL-terminated */
	char **argv;     /* at least one word; NULL-terminated */
	/* the rest is shell_words.c's */
	char *text, **words;
};

/* *out is released by shell_words_fini, also on failure. */
int shell_words(struct shell_words *out, struct str line, struct err *e);
void shell_words_fini(struct shell_words *w);

#endif
