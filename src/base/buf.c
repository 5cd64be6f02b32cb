#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

void buf_fini(struct buf *b)
{
	free(b->p);
	*b = BUF_INIT(b->max);
}

char *buf_room(struct buf *b, size_t n)
{
	if (n > b->max || b->n > b->max - n)
		return NULL;
	if (b->at + b->n + n > b->cap && b->at > 0) {
		memmove(b->p, b->p + b->at, b->n);
		b->at = 0;
	}
	if (b->p == NULL || b->n + n > b->cap) {
		size_t cap = MAX(b->n + n, b->cap * 2);
		b->cap = MIN(MAX(cap, (size_t)64), MAX(b->max, b->n + n));
		b->p = xrealloc(b->p, b->cap);
	}
	return b->p + b->at + b->n;
}

void buf_added(struct buf *b, size_t n)
{
	b->n += n;
	must(b->at + b->n <= b->cap);
}

bool buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return true;
	char *to = buf_room(b, n);
	if (to == NULL)
		return false;
	if (n > 0) /* p may be NULL then */
		memcpy(to, p, n);
	b->n += n;
	return true;
}

bool buf_str(struct buf *b, struct str s)
{
	return buf_add(b, s.p, s.n);
}

bool buf_cstr(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

bool buf_char(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	must(n >= 0);
	/* vsnprintf writes a NUL behind the text: room for it is asked for, but not counted in */
	bool fits = (size_t)n <= b->max && b->n <= b->max - (size_t)n;
	if (fits) {
		size_t max = b->max;
		b->max = max < SIZE_MAX ? max + 1 : max;
		char *to = buf_room(b, (size_t)n + 1);
		b->max = max;
		vsnprintf(to, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
	return fits;
}

struct str buf_view(const struct buf *b)
{
	return (struct str){b->p ? b->p + b->at : NULL, b->n};
}

void buf_consume(struct buf *b, size_t n)
{
	must(n <= b->n);
	b->n -= n;
	b->at = b->n ? b->at + n : 0;
}

void buf_clear(struct buf *b)
{
	b->at = b->n = 0;
}

char *buf_take(struct buf *b)
{
	char *s = str_dup(buf_view(b));

	buf_fini(b);
	return s;
}
