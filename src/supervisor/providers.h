/*
 * What a sandbox's programs have of its providers (supervisor contract 6.8): variables. Where a credential would
 * stand they see a placeholder, `openshell:resolve:env:…`, which names it; values that the gateway says are no
 * secrets are given as they are. Credentials are not put into requests by this version, so that none is kept:
 * of what the gateway says the names remain.
 */
#ifndef OPENSHELL_SUPERVISOR_PROVIDERS_H
#define OPENSHELL_SUPERVISOR_PROVIDERS_H

#include "ocsf/ocsf.h"
#include "openshell.pb-c.h"
#include "supervisor/gateway_calls.h"

enum {
	PROVIDERS_VARIABLES_MAX = 256, /* ours */
	PROVIDERS_VALUE_MAX = 32 << 10,
};

/* "NAME=value", NULL-terminated when it is not empty. */
struct variables {
	char **v;
	size_t n;
};
/* Appends a copy. False when there are too many. */
bool variables_add(struct variables *to, const char *text);
void variables_fini(struct variables *v);

/* What programs get of an answer. The number of those that are left out: a name that is none or that is ours
 * (OPENSHELL_…), a value that is too long, or one too many. Pure. */
size_t providers_variables(const Openshell__V1__GetSandboxProviderEnvironmentResponse *r,
			   struct variables *out);

struct providers {
	struct loop *loop;
	struct gateway_calls *calls;
	struct ocsf *events;
	const char *sandbox_id;
	struct variables variables; /* for programs that are started from now on */
	bool failed;                /* they could not be had */
	struct timer again;
	struct gateway_call call;
};

/* variables and failed are as the boot left them; what is given is borrowed until providers_stop. */
void providers_start(struct providers *p, struct loop *l, struct gateway_calls *calls,
		     struct ocsf *events, const char *sandbox_id);
/* Asks again: they are others. */
void providers_changed(struct providers *p);
/* Harmless when it was not started. The variables are released, too. */
void providers_stop(struct providers *p);

/* The request. */
void providers_request(Openshell__V1__GetSandboxProviderEnvironmentRequest *out,
		       const char *sandbox_id);

#endif
