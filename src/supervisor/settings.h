/*
 * The settings of a sandbox that its gateway keeps (supervisor contract 2.6). Two concern a supervisor:
 *
 *	ocsf_json_enabled                whether events are also kept as JSON records
 *	agent_policy_proposals_enabled   not in this version, which is told
 *
 * All changes are told by their keys; values may be secrets.
 */
#ifndef OPENSHELL_SUPERVISOR_SETTINGS_H
#define OPENSHELL_SUPERVISOR_SETTINGS_H

#include "ocsf/ocsf.h"
#include "sandbox.pb-c.h"

struct settings {
	struct ocsf *events;
	bool ocsf_json; /* where the gateway does not say it */
};

/* Those of the beginning: nothing has changed. */
void settings_begin(const struct settings *s,
		    const Openshell__Sandbox__V1__GetSandboxConfigResponse *first);
/* Tells what differs, and follows it. */
void settings_change(const struct settings *s,
		     const Openshell__Sandbox__V1__GetSandboxConfigResponse *before,
		     const Openshell__Sandbox__V1__GetSandboxConfigResponse *now);

#endif
