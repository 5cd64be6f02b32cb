/*
 * struct arena - the memory of one request: allocated by moving a pointer, released all at once
 * when the request ends, never piece by piece. A limit bounds what a request may make us hold.
 */
#ifndef OPENSHELL_BASE_ARENA_H
#define OPENSHELL_BASE_ARENA_H

#include <stddef.h>

#include "base/str.h"
#include "base/util.h"

struct arena_block;

struct arena {
	struct arena_block *blocks;
	size_t used, cap; /* of the newest block */
	size_t total;     /* bytes handed out */
	size_t max;
};

#define ARENA_INIT(maximum) ((struct arena){.max = (maximum)})
#define _cleanup_arena_ _cleanup_(arena_fini)

void arena_fini(struct arena *a);

/* n bytes aligned for any type, not cleared; NULL when the arena would hold more than its maximum. */
void *arena_try(struct arena *a, size_t n);
/* The same, cleared, for sizes that we chose ourselves: never NULL, the maximum does not count. */
void *arena_zalloc(struct arena *a, size_t n);
char *arena_dup(struct arena *a, struct str s);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3);

#endif
