/*
 * Answers that are made of sandboxes. Used by the service for what the registry knows, and by
 * backends for what they read live.
 */
#ifndef OPENSHELL_DRIVER_ANSWER_H
#define OPENSHELL_DRIVER_ANSWER_H

#include "compute_driver.pb-c.h"
#include "driver/registry.h"

struct grpc_call;

enum { ANSWER_MAX = 4 * 1024 * 1024 }; /* what a gateway decodes (driver contract 1.3) */

/* Answers a GetSandbox from the registry. */
void answer_sandbox(struct grpc_call *call, const struct registry_sandbox *s);
/* Answers a ListSandboxes from the registry. */
void answer_sandboxes(struct grpc_call *call, const struct registry *r);
/* Answers a ListSandboxes with a list read live, which must be whole; specs are left out. A list
 * that no gateway could decode is RESOURCE_EXHAUSTED, never cut. */
void answer_list(struct grpc_call *call, Openshell__Compute__V1__ListSandboxesResponse *list);

#endif
