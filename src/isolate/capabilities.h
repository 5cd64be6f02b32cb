/*
 * The capabilities of the calling process (capabilities(7)), by the bare system calls: what it may do now,
 * and what it gives up for good. Called by the supervisor and its keeper; a workload has none (confine.h).
 */
#ifndef OPENSHELL_ISOLATE_CAPABILITIES_H
#define OPENSHELL_ISOLATE_CAPABILITIES_H

#include <stdint.h>

#include "base/err.h"

/* The bit of a capability of linux/capability.h: CAPABILITY(CAP_KILL). */
#define CAPABILITY(cap) (UINT64_C(1) << (cap))

/* Those that are effective; none when the kernel does not say. */
uint64_t capabilities_effective(void);

/* Keeps those of the permitted ones that are in the set, and makes them effective; the others are gone. */
int capabilities_keep(uint64_t set, struct err *e);

#endif
