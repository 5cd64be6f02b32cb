/*
 * The serialized FileDescriptorProto of every file in proto/ and of what they import, as protoc
 * wrote them at build time: what server reflection answers with. Looked up by scanning the bytes,
 * since reflection is asked rarely; nothing is parsed beforehand or held.
 */
#ifndef OPENSHELL_WIRE_DESCRIPTORS_H
#define OPENSHELL_WIRE_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* The file of that name ("compute_driver.proto"). False when there is none. *out is static. */
bool descriptors_file(struct str name, struct str *out);

/* The file that declares a service, method, message, enum, enum value or field, given by its full
 * name without a leading dot ("openshell.compute.v1.ComputeDriver.GetSandbox"). */
bool descriptors_file_of(struct str symbol, struct str *out);

/* The files that a file imports, one at a time: *at starts at 0; false at the end. */
bool descriptors_import(struct str file, size_t *at, struct str *name);

#endif
