/*
 * Times as RFC 3339 text, as Kubernetes and protobuf's JSON write them: 2026-11-25T08:00:00Z, with
 * or without a fraction, in UTC or with an offset.
 */
#ifndef OPENSHELL_BASE_RFC3339_H
#define OPENSHELL_BASE_RFC3339_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Seconds since 1970 and nanoseconds into that second. False when s is no such time, or outside of
 * the years 1 to 9999. A leap second counts as the second before it. */
bool rfc3339_parse(struct str s, int64_t *seconds, int32_t *nanos);

/* Room for the longest text: 2026-11-25T08:00:00.123456789Z and its NUL. */
#define RFC3339_MAX 31

/* The time in UTC, with a fraction of 0, 3, 6 or 9 digits. False, and *out empty, when it is outside
 * of the years 1 to 9999 or nanos is not below 10^9. */
bool rfc3339_format(int64_t seconds, int32_t nanos, char out[RFC3339_MAX]);

#endif
