/*
 * The volumes of a sandbox's pod and where its container has them (driver contract 3.6).
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_VOLUMES_H
#define OPENSHELL_DRIVER_KUBERNETES_VOLUMES_H

#include <cJSON.h>

#include "driver/kubernetes/options.h"

#define VOLUME_CLIENT_TLS "openshell-client-tls"
#define VOLUME_PROXY_AUTH "openshell-upstream-proxy-auth"
#define VOLUME_SPIFFE "spiffe-workload-api"
#define VOLUME_SA_TOKEN "openshell-sa-token"
#define VOLUME_SUPERVISOR "openshell-supervisor-bin"
#define VOLUME_SUPERVISOR_CP "supervisor-bin" /* seed 000's name, with its method */
#define VOLUME_WORKSPACE "workspace"          /* added by agent-sandbox for the claim template */

#define VOLUME_SIDECAR_STATE "openshell-sidecar-state"
#define VOLUME_SIDECAR_TLS "openshell-supervisor-tls"

#define CLIENT_TLS_DIR "/etc/openshell-tls/client"
#define SA_TOKEN_DIR "/var/run/secrets/openshell"
#define PROXY_AUTH_DIR "/etc/openshell/auth"
#define PROXY_AUTH_FILE "upstream-proxy"
#define SIDECAR_STATE_DIR "/run/openshell-sidecar"
#define SIDECAR_TLS_DIR "/etc/openshell-tls/proxy"
#define SA_TOKEN_AUDIENCE "openshell-gateway" /* 1.10 */

struct render;

/* pod.spec.volumes, and volumeMounts of the agent's container; the caller's. */
cJSON *render_volumes(const struct render *r);
cJSON *render_mounts(const struct render *r);
/* The name of the volume that holds the supervisor. */
const char *supervisor_volume(const struct render *r);

/* The folder of the SPIFFE socket, or NULL when there is none; the caller's. */
char *spiffe_dir(const struct kubernetes_options *o);

/* Adds {name, mountPath} and, when asked, readOnly: true. Returns the mount, borrowed. */
cJSON *add_mount(cJSON *mounts, const char *volume, const char *path);
cJSON *add_mount_read_only(cJSON *mounts, const char *volume, const char *path);
/* What a container needs that speaks to the gateway: SPIFFE socket and token. What both containers
 * of sidecar topology share. */
void add_identity_mounts(cJSON *mounts, const struct render *r);
void add_sidecar_mounts(cJSON *mounts);

#endif
