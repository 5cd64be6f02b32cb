/*
 * Telling the gateway which versions of the policy are in force, and which cannot be (supervisor contract 2.3): one
 * after the other in the order in which it was so. What the gateway cannot take at the moment is told again, after
 * 1 s to 32 s; what it refuses for good is forgotten.
 */
#ifndef OPENSHELL_SUPERVISOR_POLICY_STATUS_H
#define OPENSHELL_SUPERVISOR_POLICY_STATUS_H

#include "supervisor/gateway_calls.h"

struct policy_status;

/* What is given is borrowed. */
struct policy_status *policy_status_new(struct loop *l, struct gateway_calls *calls,
					const char *sandbox_id);
/* Forgets what is not told yet; takes NULL. */
void policy_status_free(struct policy_status *s);

/* The version (not 0) is in force. When too many wait already, the oldest is forgotten. */
void policy_status_loaded(struct policy_status *s, uint32_t version);
/* It cannot be put in force; why is copied. */
void policy_status_failed(struct policy_status *s, uint32_t version, const char *why);

#endif
