/*
 * struct err - why something failed, in words that name the thing.
 *
 * An error lives on the caller's stack: it needs no allocation and no release, and it survives
 * between fork and exec. It is filled once, at the bottom, where the name of the thing that failed
 * is known; a caller adds context only where it knows more (style guide, rule 4). It is never both
 * logged and returned.
 */
#ifndef OPENSHELL_BASE_ERR_H
#define OPENSHELL_BASE_ERR_H

#define ERR_TEXT_MAX 512

struct err {
	int code;                /* an errno value, or the caller's own code; never 0 when filled */
	char text[ERR_TEXT_MAX]; /* one line, NUL-terminated, cut at a character when too long */
};

/* Fills *e with code and a formatted text. Always returns -1, so that a failure is one line. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Fills *e with errno and the formatted text followed by ": strerror(errno)". Returns -1. */
int err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts the formatted text and ": " in front of what *e already says. Returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
