/*
 * JSON read into memory that is used again: for the thousands of objects that a list or a watch
 * brings, each of which is looked at and dropped. The nodes are cJSON's, for the getters of json.h;
 * allocating and releasing them one by one would cost more than reading the text.
 *
 * Strict (RFC 8259), but for one thing that is passed on as it is: bytes that are no UTF-8.
 */
#ifndef OPENSHELL_BASE_JSON_POOL_H
#define OPENSHELL_BASE_JSON_POOL_H

#include <stddef.h>

#include <cJSON.h>

#include "base/err.h"
#include "base/str.h"

enum {
	JSON_POOL_DEPTH_MAX = 100, /* as cJSON is compiled */
	/* What an API server may send us, 4 MiB of an object, is 128 MiB of nodes at the worst: "[0,0,…" */
	JSON_POOL_MAX = 192 << 20,
	JSON_POOL_KEEP = 128 << 10, /* bytes that are kept for the next text */
};

struct json_block;

struct json_pool {
	struct json_block *blocks; /* the newest first */
	size_t low, high;          /* free bytes of the newest: nodes grow up, texts grow down */
	size_t total;
};

#define JSON_POOL_INIT ((struct json_pool){0})

void json_pool_fini(struct json_pool *p);

/* Parses the whole text. The tree lives until the next call with this pool or json_pool_fini; no
 * part of it may be given to cJSON_Delete or be put into another tree (json_copy makes one that
 * may). NULL on error; what names the text in it. */
const cJSON *json_pool_parse(struct json_pool *p, struct str text, const char *what, struct err *e);

#endif
