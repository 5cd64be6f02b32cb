/*
 * Everything that can be said against a sandbox before it is made (driver contract 3.5, 3.10).
 *
 * Only ValidateSandboxCreate can tell a user INVALID_ARGUMENT (3.16, defect 10), so that call and
 * CreateSandbox make the same checks here; render.h relies on them. Pure: what has to be asked of
 * the cluster is asked by the caller and handed in as facts. The code in *e is a gRPC status code,
 * the text is complete and meant for the user.
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_VALIDATE_H
#define OPENSHELL_DRIVER_KUBERNETES_VALIDATE_H

#include <stdbool.h>

#include <cJSON.h>

#include "base/err.h"
#include "compute_driver.pb-c.h"
#include "driver/kubernetes/options.h"

/*
 * The checks that need nothing but the message: presence, names, label values, driver_config,
 * platform_config, mounts, GPU count, quantities. sandbox may be NULL ("sandbox is required").
 */
int k8s_validate(const struct kubernetes_options *o,
		 const Openshell__Compute__V1__DriverSandbox *sandbox, struct err *e);

/* Whether a GPU is asked for: then the caller lists nodes, and tells whether one of them has any
 * (k8s_node_has_gpu, page by page). */
bool k8s_wants_gpu(const Openshell__Compute__V1__DriverSandbox *sandbox);
bool k8s_node_has_gpu(const cJSON *node);
/* The refusal when no node has: FAILED_PRECONDITION. Returns -1. */
int k8s_refuse_gpu(struct err *e);

/* Operator mode: the workspace must be one of the allowed namespaces. Fills *e with the words of
 * 3.5 and the given code (FAILED_PRECONDITION in Validate and Create, PERMISSION_DENIED in
 * EnsureWorkspace). Returns -1. */
int k8s_refuse_workspace(const char *workspace, int code, struct err *e);

#endif
