/*
 * What a supervisor reads of its token (supervisor contract 2.1): when it expires. Whether it is genuine is for the
 * gateway to say.
 */
#ifndef OPENSHELL_SUPERVISOR_JWT_H
#define OPENSHELL_SUPERVISOR_JWT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* The claim `exp` of a JWT (RFC 7519): seconds since the epoch. False when it is none, or does not say: that 0 is
 * never is the gateway's own. */
bool jwt_expiry(struct str token, int64_t *seconds);

#endif
