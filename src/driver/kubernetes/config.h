/*
 * The two free-form parts of a sandbox template, read and checked: driver_config, which a user
 * writes (driver contract 3.10), and platform_config, which a gateway writes (1.9).
 *
 *   driver_config    pod: {node_selector, runtime_class_name, tolerations, priority_class_name}
 *                    containers: {agent: {resources: {requests, limits}, volume_mounts: [
 *                                 {name, mount_path, sub_path?, read_only = true}]}}
 *                    volumes: [{name, persistent_volume_claim: {claim_name, read_only = true}}]
 *                    network_mode: isolated, host or auto
 *   platform_config  runtime_class_name, annotations, host_users, resources_raw, node_selector,
 *                    tolerations, and until v0.0.73 volume_claim_templates
 *
 * Any other key is refused by its path, in both: every key that any gateway has sent is listed, and
 * what is not understood must not be dropped in silence.
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_CONFIG_H
#define OPENSHELL_DRIVER_KUBERNETES_CONFIG_H

#include <stdbool.h>

#include <cJSON.h>

#include "base/err.h"
#include "compute_driver.pb-c.h"
#include "driver/kubernetes/options.h"

#define WORKSPACE_DIR "/sandbox" /* where the workspace is in the agent's container */

struct k8s_config {
	cJSON *driver, *platform; /* objects, without nulls of their own; never NULL once read */
};

#define _cleanup_config_ _cleanup_(k8s_config_fini)

/* Reads both. -1 with *e, INVALID_ARGUMENT and the words of 3.5 and 3.10. *out is to be released by
 * k8s_config_fini in either case; zeroed before. */
int k8s_config_read(struct k8s_config *out, const struct kubernetes_options *o,
		    const Openshell__Compute__V1__DriverSandboxTemplate *template, struct err *e);
void k8s_config_fini(struct k8s_config *c);

/* Members, or NULL. */
const cJSON *k8s_config_volumes(const struct k8s_config *c);
const cJSON *k8s_config_mounts(const struct k8s_config *c);

/* Whether a mount lies below the workspace: there is then no claim for the workspace (3.10). */
bool k8s_config_has_workspace_mount(const struct k8s_config *c);

#endif
