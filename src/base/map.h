/*
 * struct map - text to pointer, a hash table with open addressing. It copies its keys and borrows
 * its values. The hash is keyed with random bytes (SipHash-1-3), so that a peer that chooses the
 * keys cannot choose collisions.
 */
#ifndef OPENSHELL_BASE_MAP_H
#define OPENSHELL_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct map_slot;

struct map {
	struct map_slot *slots;
	size_t n, used, cap; /* entries; entries and tombstones; power of two */
};

#define MAP_INIT ((struct map){0})

/* Releases keys and table; the values are the caller's. */
void map_fini(struct map *m);

/* The value stored under the key, or NULL. */
void *map_get(const struct map *m, struct str key);
/* Stores value (not NULL) under the key. Returns the value that was there before, or NULL. */
void *map_put(struct map *m, struct str key, void *value);
/* Removes the key. Returns its value, or NULL when it was not there. */
void *map_del(struct map *m, struct str key);

/* Walks all entries in no order: *at starts at 0; false at the end. Between two steps entries may
 * be removed, but none added. key may be NULL. */
bool map_next(const struct map *m, size_t *at, struct str *key, void **value);

/* SipHash-1-3 of the bytes under a key chosen at the first call of this process. */
uint64_t hash_bytes(const void *p, size_t n);

#endif
