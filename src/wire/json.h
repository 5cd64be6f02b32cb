/*
 * Messages as JSON and back, in protobuf's own mapping, for any message type: what `ctl` reads from
 * a file and prints. Names are taken in lowerCamelCase and as declared, and printed in
 * lowerCamelCase; 64-bit numbers are printed as strings; enums go by name, bytes by base64, maps as
 * objects, Struct and Value as the JSON they stand for, Timestamp as RFC 3339. Fields at their
 * default are not printed.
 */
#ifndef OPENSHELL_WIRE_JSON_H
#define OPENSHELL_WIRE_JSON_H

#include <cJSON.h>
#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/err.h"

/* The message as JSON; the caller's. NULL with *e filled for a Struct that JSON cannot hold. */
cJSON *wire_to_json(const ProtobufCMessage *m, struct err *e);

/*
 * A message of the given type from a JSON object; the arena's, strings copied. NULL with *e filled,
 * naming the place by its path (spec.template.imge), for an unknown key, a key twice, a value of
 * the wrong kind or out of range, two members of one oneof, or too much nesting.
 */
void *wire_from_json(const ProtobufCMessageDescriptor *type, const cJSON *j, struct arena *a,
		     struct err *e);

#endif
