/*
 * struct buf - growing bytes with a maximum given at birth (style rule 10): a queue of bytes to be
 * written, a body being read, a text being made. Embedded in its owner; buf_fini releases it.
 */
#ifndef OPENSHELL_BASE_BUF_H
#define OPENSHELL_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "base/util.h"

struct buf {
	char *p;    /* the bytes, from p + at; NULL when nothing was ever added */
	size_t at;  /* consumed at the front */
	size_t n;   /* unconsumed bytes */
	size_t cap; /* allocated */
	size_t max; /* never more than this is held */
};

#define BUF_INIT(maximum) ((struct buf){.max = (maximum)})
#define _cleanup_buf_ _cleanup_(buf_fini)

void buf_fini(struct buf *b);

/* Appends. False, and nothing changed, when it would hold more than its maximum. */
bool buf_add(struct buf *b, const void *p, size_t n);
bool buf_str(struct buf *b, struct str s);
bool buf_cstr(struct buf *b, const char *s);
bool buf_char(struct buf *b, char c);
bool buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);

/* Room for n more bytes at the end, to be written by the caller and then counted in by buf_added.
 * NULL when that would exceed the maximum. */
char *buf_room(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);

/* What is in it, borrowed until the next change. */
struct str buf_view(const struct buf *b);
/* Drops n bytes from the front. */
void buf_consume(struct buf *b, size_t n);
/* Empties it and keeps the memory. */
void buf_clear(struct buf *b);
/* The content as a C string; the caller's. The buffer is empty afterwards. */
char *buf_take(struct buf *b);

#endif
