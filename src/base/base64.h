/*
 * Base64 (RFC 4648): of bytes in protobuf's JSON and in kubeconfigs. Reading takes both alphabets,
 * and padding or none; writing uses the common alphabet with padding.
 */
#ifndef OPENSHELL_BASE_BASE64_H
#define OPENSHELL_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* The bytes as text; the caller's. */
char *base64_encode(struct str bytes);

/* Room that the bytes of n characters of text need at most. */
size_t base64_decoded_max(size_t n);

/* Reads the text into out, which has that room. False when it holds another character, blanks
 * included, or ends in the middle of a byte. */
bool base64_decode(struct str text, uint8_t *out, size_t *n);

#endif
