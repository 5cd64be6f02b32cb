/*
 * What a policy meets when it is put in force here, at the start and later: links of the sandbox's file system,
 * what this version does not do, and the sections that hold from the start of a sandbox to its end.
 */
#ifndef OPENSHELL_SUPERVISOR_POLICY_USE_H
#define OPENSHELL_SUPERVISOR_POLICY_USE_H

#include "ocsf/ocsf.h"
#include "policy/policy.h"

/* A policy_resolve_fn: the sandbox's root is ours. */
char *policy_use_resolve(void *arg, const char *path);

/* Tells what is likely not meant, and what endpoints ask for and do not get. Fails where a start without that would
 * be another policy's. */
int policy_use_check(const struct policy *policy, struct ocsf *events, struct err *e);

enum { POLICY_STATIC_SECTIONS = 3 };

/* The names of the sections that differ and hold from the start on (supervisor contract 5.6), as they are written;
 * how many. The order of paths says nothing. */
size_t policy_use_static_changes(const struct policy *in_force, const struct policy *next,
				 const char *names[POLICY_STATIC_SECTIONS]);

#endif
