/*
 * A sandbox's configuration, asked for before anything else is done (supervisor contract 2.3, 2.4). Since what a
 * process had in its memory its children have too, and those of the wall must not have the token, a process made
 * for it asks, and hands back the answer alone.
 */
#ifndef OPENSHELL_SUPERVISOR_GATEWAY_CONFIG_H
#define OPENSHELL_SUPERVISOR_GATEWAY_CONFIG_H

#include "sandbox.pb-c.h"
#include "supervisor/gateway.h"

/* Asks up to five times, as contract 2.3 has it, and blocks for as long; SIGTERM and SIGINT end it. *out is the
 * caller's, by protobuf's own free. */
int gateway_config_fetch(Openshell__Sandbox__V1__GetSandboxConfigResponse **out,
			 const struct gateway *g, const char *sandbox_id, struct err *e);

#endif
