/*
 * JSON from a sandbox that is judged here and read again by a server: what two readers could take for
 * different things is refused. No I/O; used for bodies that hold messages (rpc.h, graphql.h).
 */
#ifndef OPENSHELL_PROXY_STRICT_JSON_H
#define OPENSHELL_PROXY_STRICT_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include <cJSON.h>

#include "base/str.h"

/* Parses the whole text; NULL when it is not JSON, not UTF-8, or has a NUL in a text. The caller's. */
cJSON *strict_json_parse(struct str text);

/* Some readers take the last of two equal keys, and some take "METHOD" for "method": each of the names may be
 * in the object once, and as it is here. ascii: no other letters, since some readers fold those as well. NULL,
 * or what is wrong. */
const char *strict_json_keys(const cJSON *o, const char *const *names, size_t n, bool ascii);

#endif
