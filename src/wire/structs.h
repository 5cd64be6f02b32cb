/*
 * google.protobuf.Struct and cJSON, both ways. driver_config and platform_config of a sandbox
 * template are Structs: JSON from a user, carried as protobuf.
 */
#ifndef OPENSHELL_WIRE_STRUCTS_H
#define OPENSHELL_WIRE_STRUCTS_H

#include <cJSON.h>

#include "base/arena.h"
#include "base/err.h"
#include "google/protobuf/struct.pb-c.h"

/*
 * The Struct as a JSON object; the caller's, released by cJSON_Delete. A Struct of NULL gives an
 * empty object. NULL with *e filled where it holds what JSON cannot: a NaN, an infinity, a key
 * twice, a value without a kind, or more than WIRE_DEPTH_MAX levels of messages.
 */
cJSON *structs_to_json(const Google__Protobuf__Struct *s, struct err *e);
cJSON *structs_value_to_json(const Google__Protobuf__Value *v, struct err *e);

/* The JSON object as a Struct of the arena's; strings are copied. NULL with *e filled when it is no
 * object or is nested too deep. */
Google__Protobuf__Struct *structs_from_json(const cJSON *j, struct arena *a, struct err *e);
Google__Protobuf__Value *structs_value_from_json(const cJSON *j, struct arena *a, struct err *e);

#endif
