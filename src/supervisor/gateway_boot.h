/*
 * All that is asked of the gateway before anything else is done (supervisor contract 2.3, 2.5): the sandbox's
 * configuration, and a policy for it where the gateway has none. Since what a process had in its memory its
 * children have too, and those of the wall must not have the token, a process made for it makes all the calls,
 * one after the other, and hands back what came of them; what it has to tell is told here.
 *
 * What is secret does not come by the pipe, or it would be in this memory: it is left in descriptors that were
 * made before the process was, and is read from them once the wall is up (gateway.h).
 */
#ifndef OPENSHELL_SUPERVISOR_GATEWAY_BOOT_H
#define OPENSHELL_SUPERVISOR_GATEWAY_BOOT_H

#include <stdbool.h>

#include "ocsf/ocsf.h"
#include "sandbox.pb-c.h"
#include "supervisor/gateway.h"
#include "supervisor/providers.h"

/* All borrowed. */
struct gateway_boot_config {
	const struct gateway *gateway;
	struct ocsf *events;
	const char *sandbox_id;
	const char
		*sandbox_name; /* "": a policy that is found here cannot be given to the gateway */
	/* The policy is a file's: the gateway is asked for its settings, and for nothing that the start depends on. */
	bool by_file;
};

struct gateway_boot {
	Openshell__Sandbox__V1__GetSandboxConfigResponse
		*config; /* with a policy, unless that is a file's */
	/* The gateway did not take what was added to its policy: what is in force is not what it has. */
	bool differs;
	struct variables variables; /* of providers */
	bool no_providers;          /* they could not be had */
};

/* Blocks for as long as it takes; SIGTERM and SIGINT end it. *out is released by gateway_boot_fini, also on
 * failure. */
int gateway_boot(struct gateway_boot *out, const struct gateway_boot_config *config, struct err *e);
void gateway_boot_fini(struct gateway_boot *b);

#endif
