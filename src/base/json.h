/*
 * Reading and making JSON with cJSON: getters that never fail (an absent key, a wrong type and an
 * empty value read alike), and makers that cannot run out of memory. The nesting that cJSON takes
 * is limited when it is compiled (100).
 */
#ifndef OPENSHELL_BASE_JSON_H
#define OPENSHELL_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <cJSON.h>

#include "base/err.h"
#include "base/str.h"
#include "base/util.h"

#define _cleanup_json_ _cleanup_(json_freep)
void json_freep(cJSON **j);

/* Parses the whole text (nothing but blanks may follow). what names it in the error. NULL on
 * error; else the caller's, released by cJSON_Delete. */
cJSON *json_parse(struct str text, const char *what, struct err *e);
/* Compact text; the caller's. */
char *json_text(const cJSON *j);

/* The member named by a path of keys: json_at(o, "metadata", "labels", NULL). NULL when any is
 * absent; o may be NULL. Borrowed. Keys are case-sensitive. */
const cJSON *json_at(const cJSON *o, ...) __attribute__((sentinel));
/* The member of an object, or NULL. */
cJSON *json_get(const cJSON *o, const char *key);

/* The string under key, or NULL when absent or of another type. Borrowed. */
const char *json_str(const cJSON *o, const char *key);
/* The string under key, or "". */
const char *json_str_or_empty(const cJSON *o, const char *key);
/* The number under key, or fallback. */
int64_t json_int(const cJSON *o, const char *key, int64_t fallback);
bool json_bool(const cJSON *o, const char *key, bool fallback);

/* Makers. A new value is the caller's until it is put somewhere. */
cJSON *json_object(void);
cJSON *json_array(void);
/* Sets o[key], replacing what was there. `put` takes value; the others copy. Each returns what it
 * put, borrowed, so that objects nest: json_put_object(o, "spec"). */
cJSON *json_put(cJSON *o, const char *key, cJSON *value);
cJSON *json_put_object(cJSON *o, const char *key);
cJSON *json_put_array(cJSON *o, const char *key);
cJSON *json_put_str(cJSON *o, const char *key, const char *value);
cJSON *json_put_int(cJSON *o, const char *key, int64_t value);
cJSON *json_put_bool(cJSON *o, const char *key, bool value);
/* Appends to an array; takes value. */
cJSON *json_add(cJSON *array, cJSON *value);
cJSON *json_add_object(cJSON *array);
cJSON *json_add_str(cJSON *array, const char *value);
/* A deep copy; the caller's. */
cJSON *json_copy(const cJSON *j);
/* What cJSON has made, the caller's; without memory it ends the program. */
cJSON *json_made(cJSON *j);
/* A string value; the caller's. */
cJSON *json_new_str(const char *value);

/* The first key of the object that is not in the NULL-terminated list, or NULL. */
const char *json_unknown_key(const cJSON *o, const char *const *known);

#endif
