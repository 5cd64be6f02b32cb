/*
 * Protobuf messages: reading what a peer sent.
 *
 * protobuf-c alone would recurse as deep as a peer nests, cut a string at a NUL byte, and take
 * bytes that are no text for text. So every message is first walked as bytes, along its own
 * descriptor, and only what passes is unpacked. The walk also hides the one collision in the
 * history of the contract: field 9 of DriverSandboxSpec (generations contract, section 1).
 *
 * Called by whoever holds bytes of a message (grpc, driver, ctl). No I/O.
 */
#ifndef OPENSHELL_WIRE_WIRE_H
#define OPENSHELL_WIRE_WIRE_H

#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/err.h"

/* How deep messages may be nested inside the outermost one: what protobuf's own parsers take. */
#define WIRE_DEPTH_MAX 100

/* How many fields a message may have, those of nested messages counted. A field of two bytes can
 * cost 60 bytes of memory; a full 4 MiB message of real sandboxes has some 200,000. */
#define WIRE_FIELDS_MAX (512 * 1024)

/*
 * Reads a message of the given type from n bytes, all of them. The bytes are changed where they
 * hold an old field 9. The message and all it points to are the arena's.
 *
 * NULL with *e filled when the bytes are malformed, too deep, hold a string that is not UTF-8 or
 * that contains a NUL, or when they do not fit the arena: all of them INVALID_ARGUMENT.
 */
void *wire_unpack(const ProtobufCMessageDescriptor *type, void *bytes, size_t n, struct arena *a,
		  struct err *e);

/* A new message of this type with every field unset; the arena's. */
void *wire_new(const ProtobufCMessageDescriptor *type, struct arena *a);

#endif
