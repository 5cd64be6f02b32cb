/*
 * Bytes from one descriptor to another, in the loop: what a sandbox's main process writes, to our own
 * standard output; what is typed here, to it. Holds a few KiB at most: who reads slowly slows down who
 * writes.
 */
#ifndef OPENSHELL_SUPERVISOR_PUMP_H
#define OPENSHELL_SUPERVISOR_PUMP_H

#include <stdbool.h>

#include "loop/loop.h"

enum { PUMP_BYTES = 16384 };

struct pump {
	/* Called once: the source has ended and all is written, or nobody takes it any more. */
	void (*ended)(struct pump *p);
	/* the rest is pump.c's */
	struct loop *loop;
	struct source from, to;
	bool direct;        /* `to` is a file, which is always ready and no source */
	bool eof;           /* `from` has ended */
	size_t at, n;       /* what is to be written: bytes[at..n) */
	struct later later; /* ended is called from the loop */
	char bytes[PUMP_BYTES];
};

/* Begins. p is zeroed but for ended; both descriptors are borrowed, and differ from those of other pumps.
 * from must be readable without blocking once it is ready, as terminals, pipes and sockets are. */
int pump_start(struct pump *p, struct loop *l, int from, int to, struct err *e);
/* Ends it without a call. Harmless when it has ended, or never began. */
void pump_stop(struct pump *p);

/* A descriptor for the same pipe, terminal or socket that does not block, without making that of
 * others non-blocking who share it; the caller's. Where there is no such, a duplicate. -1 with errno. */
int pump_reopen(int fd);

#endif
