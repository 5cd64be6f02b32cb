/*
 * The last of what a main process has written: records in the order in which they came, each of one stream, for
 * readers who come late and read at their own pace (supervisor contract 3.10: 1 MiB). A record that has no room
 * pushes the oldest out; who had not read that has missed it. No I/O.
 */
#ifndef OPENSHELL_SUPERVISOR_OUTPUT_RING_H
#define OPENSHELL_SUPERVISOR_OUTPUT_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	OUTPUT_RING_BYTES = 1 << 20,  /* contract 3.10; records have 4 bytes more than their text */
	OUTPUT_RECORD_MAX = 16 << 10, /* bytes of one */
};

struct output_ring {
	char *bytes;         /* memory that is not there before it is written */
	uint64_t head, tail; /* of all bytes ever written: the end, and the oldest that is kept */
	uint64_t first,
		next; /* the numbers of the oldest record that is kept, and of the next one */
};

/* How far a reader is. */
struct output_cursor {
	uint64_t at, number;
};

int output_ring_init(struct output_ring *r, struct err *e);
/* Also of one that is all zeroes. */
void output_ring_fini(struct output_ring *r);

/* n: 1 to OUTPUT_RECORD_MAX. */
void output_ring_add(struct output_ring *r, char stream, const void *p, size_t n);

/* A reader that begins with the oldest. */
struct output_cursor output_ring_oldest(const struct output_ring *r);
/* How many records it has missed; then it must not read. */
uint64_t output_ring_missed(const struct output_ring *r, const struct output_cursor *c);
/* How many bytes and records there are yet to read for it, or were. */
uint64_t output_ring_left(const struct output_ring *r, const struct output_cursor *c);
uint64_t output_ring_records_left(const struct output_ring *r, const struct output_cursor *c);

/* The next records of one stream put together, OUTPUT_RECORD_MAX bytes at most; the cursor moves behind them. 0 when
 * all is read. */
size_t output_ring_read(const struct output_ring *r, struct output_cursor *c, char *stream,
			char out[OUTPUT_RECORD_MAX]);

#endif
