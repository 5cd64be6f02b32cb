/*
 * JSON read into memory that is released all at once: for the thousands of objects that a list or a
 * watch brings, each of which is looked at and dropped. cJSON reads the text, but takes its memory from
 * an arena: allocating and releasing the nodes one by one would cost more than reading them.
 */
#ifndef OPENSHELL_BASE_JSON_POOL_H
#define OPENSHELL_BASE_JSON_POOL_H

#include <cJSON.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum {
	/* What an API server may send us, 4 MiB of an object, is 160 MiB of nodes at the worst: "[0,0,…" */
	JSON_POOL_MAX = 192 << 20,
};

/* All zeroes is an empty pool. */
struct json_pool {
	struct arena arena;
};

void json_pool_fini(struct json_pool *p);

/* Parses the whole text, as json_parse does. The tree lives until the next call with this pool or
 * json_pool_fini; no part of it may be given to cJSON_Delete or be put into another tree (json_copy
 * makes one that may). NULL on error; what names the text in it. */
const cJSON *json_pool_parse(struct json_pool *p, struct str text, const char *what, struct err *e);

#endif
