/*
 * All that is decided and made ready before anything is forked: the policy, who the sandbox is, its files,
 * what it is confined by. In this order (supervisor contract 1.9), while the supervisor has all its rights.
 */
#ifndef OPENSHELL_SUPERVISOR_PREPARE_H
#define OPENSHELL_SUPERVISOR_PREPARE_H

#include "isolate/landlock.h"
#include "isolate/seccomp.h"
#include "isolate/view.h"
#include "ocsf/ocsf.h"
#include "policy/policy.h"
#include "sandbox.pb-c.h"
#include "supervisor/options.h"
#include "supervisor/who.h"

struct prepared {
	struct policy *policy; /* published */
	struct err refused;    /* why it is not the gateway's; code 0 where it is */
	struct rights rights;
	struct who who;
	struct sandbox_paths paths; /* borrows from policy, and from the options */
	struct landlock landlock;
	struct view_path given[LANDLOCK_PATHS_MAX];
	struct view view; /* of those given */
	char *cwd;        /* where programs start, if nothing else is said */
	struct seccomp_filter filter;
};

/* Gives the folder that the driver names (OPENSHELL_PREPARE_WORKSPACE) to the sandbox's ids and fills it from the
 * image, as an init container of the peers' driver does: before anything else, and whatever the gateway says. */
int prepare_workspace(struct ocsf *events, struct err *e);

/* config is what the gateway says (borrowed), or NULL: then the policy is a file that o names. Where the gateway
 * has one that cannot be put in force, the restrictive default takes its place (contract 2.5). *out is released by
 * prepared_fini, also on failure. */
int prepare(struct prepared *out, const struct sandbox_options *o,
	    const Openshell__Sandbox__V1__GetSandboxConfigResponse *config, struct ocsf *events,
	    struct err *e);
void prepared_fini(struct prepared *p);

#endif
