#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

enum {
	BLOCK_MIN = 2048,
	SPARE_MAX = 64,
	ALIGN = _Alignof(max_align_t),
};

struct arena_block {
	struct arena_block *next;
	size_t cap;
	_Alignas(max_align_t) char bytes[];
};

/*
 * The blocks of ended requests, for the next ones: musl would give their pages back to the kernel
 * and ask for new ones with every burst of requests, which costs more than the requests. At most
 * SPARE_MAX are kept; and none where the address sanitizer is to see what is used after its end.
 */
static struct arena_block *spare;
static int spares;
extern void __asan_init(void) __attribute__((weak));

static struct arena_block *block_new(size_t cap)
{
	struct arena_block *b = spare;

	if (cap > BLOCK_MIN || b == NULL)
		return xmalloc(sizeof *b + cap);
	spare = b->next;
	spares--;
	return b;
}

static void block_free(struct arena_block *b, size_t cap)
{
	if (cap > BLOCK_MIN || spares >= SPARE_MAX || __asan_init != NULL) {
		free(b);
		return;
	}
	b->next = spare;
	spare = b;
	spares++;
}

void arena_fini(struct arena *a)
{
	while (a->blocks != NULL) {
		struct arena_block *next = a->blocks->next;
		block_free(a->blocks, a->blocks->cap);
		a->blocks = next;
	}
	*a = ARENA_INIT(a->max);
}

static void *take(struct arena *a, size_t n)
{
	size_t need = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);

	if (need > a->cap - a->used) {
		size_t cap = MAX(need, (size_t)BLOCK_MIN);
		struct arena_block *b = block_new(cap);
		b->next = a->blocks;
		b->cap = cap;
		a->blocks = b;
		a->cap = cap;
		a->used = 0;
	}
	void *p = a->blocks->bytes + a->used;
	a->used += need;
	a->total += need;
	return p;
}

void *arena_try(struct arena *a, size_t n)
{
	if (n > a->max || a->total > a->max - n)
		return NULL;
	return take(a, n ? n : 1);
}

void *arena_zalloc(struct arena *a, size_t n)
{
	return memset(take(a, n ? n : 1), 0, n);
}

char *arena_dup(struct arena *a, struct str s)
{
	char *d = take(a, s.n + 1);

	if (s.n > 0)
		memcpy(d, s.p, s.n);
	d[s.n] = '\0';
	return d;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	must(n >= 0);
	char *s = take(a, (size_t)n + 1);
	vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	return s;
}
