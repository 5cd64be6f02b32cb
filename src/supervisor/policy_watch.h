/*
 * A gateway's policy while the sandbox runs (supervisor contract 2.6): asked for at once and then every few
 * seconds, put in force when it is another, and acknowledged. A gateway that does not answer changes nothing.
 *
 * Only networks and middlewares can change: what else a new policy says holds from the next start on, which is
 * told. One that cannot be put in force takes the old one's place by its default, fail_closed: nothing is let
 * out until there is a valid one; or leaves it there, retain_last_valid.
 */
#ifndef OPENSHELL_SUPERVISOR_POLICY_WATCH_H
#define OPENSHELL_SUPERVISOR_POLICY_WATCH_H

#include "policy/policy.h"
#include "supervisor/gateway_boot.h"
#include "supervisor/gateway_calls.h"
#include "supervisor/settings.h"

struct policy_watch;

struct policy_watch_config {
	struct loop *loop;
	struct gateway_calls *calls; /* all borrowed until policy_watch_free */
	struct ocsf *events;
	const char *sandbox_id;
	int64_t interval_ms;
	struct settings settings;
	struct policy **policy; /* what is in force, to be replaced */
	/* … but for one that is a file's: the gateway's is then neither put in force nor acknowledged, and what is followed
	 * is the rest (contract 1.8). */
	bool by_file;
	/* What is known from the boot: whether what is in force differs from what the gateway has, and why its
	 * policy could not be put in force (code 0: it was). */
	bool differs;
	struct err refused;
	/* The provider environment has another revision. */
	void (*environment_changed)(void *owner);
	/* The gateway does not know us by our token any more. */
	void (*token_refused)(void *owner);
	void *owner;
};

/* Takes *first, what the gateway said at the boot; by protobuf's own free. */
struct policy_watch *policy_watch_start(const struct policy_watch_config *config,
					Openshell__Sandbox__V1__GetSandboxConfigResponse *first);
/* What is in force stays; takes NULL. */
void policy_watch_free(struct policy_watch *w);

#endif
