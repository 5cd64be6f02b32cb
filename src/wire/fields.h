/*
 * The fields of a message whose type is known by its descriptor only. For the files of src/wire;
 * everyone else knows the types of its messages.
 */
#ifndef OPENSHELL_WIRE_FIELDS_H
#define OPENSHELL_WIRE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

/* Whether the field is a member of a oneof; an optional scalar is the only member of its own. */
bool field_in_oneof(const ProtobufCFieldDescriptor *f);

/* How many values it has: any number when it is repeated, else 1, or 0 for a scalar at its default,
 * an absent message, or a member of a oneof that is not the one chosen. */
size_t field_count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);

/* Where value number i is stored; i is below field_count. */
const void *field_at(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t i);

/* The same for a field of type message. */
ProtobufCMessage *field_message(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
				size_t i);

/* Bytes that one value of the field takes in memory. */
size_t field_size(const ProtobufCFieldDescriptor *f);

#endif
