/*
 * What differs between the generations of the driver contract, and nothing else: the rest of the
 * program sees one form of every message. 0.0 is served whole; 0.1 is recognised and refused with
 * one error that names both (generations contract, sections 1 and 2).
 */
#ifndef OPENSHELL_WIRE_GENERATION_H
#define OPENSHELL_WIRE_GENERATION_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "compute_driver.pb-c.h"

enum generation {
	GENERATION_0_0, /* April to August 2026, up to 0.0.116 */
	GENERATION_0_1, /* September 2026 on */
};

/* What the gateway that sent this speaks: only a 0.1 gateway says who it is. */
enum generation generation_of(const Openshell__Compute__V1__GetCapabilitiesRequest *r);

/* Fills *e with the words for a gateway that we do not serve: what we speak and what it said that
 * it speaks. Returns -1. The answer's code is FAILED_PRECONDITION. */
int generation_refuse(const Openshell__Compute__V1__GetCapabilitiesRequest *r, struct err *e);

/* Sets the time of a condition in both forms, of 0.0 (text) and of 0.1 (Timestamp). time is RFC
 * 3339 and borrowed; a time that is none goes out as text alone. */
void generation_set_condition_time(Openshell__Compute__V1__DriverCondition *c, const char *time,
				   struct arena *a);

/* Sets the time of a platform event in both forms; ms since 1970, 0 for unknown: not sent. */
void generation_set_event_time(Openshell__Compute__V1__DriverPlatformEvent *ev, int64_t ms,
			       struct arena *a);

#endif
