/*
 * The Sandbox object of a sandbox (driver contract 3.6 to 3.9; seeds 000 and 001), and the patches
 * that stop and start it. Pure: a message and some facts go in, JSON comes out.
 *
 * In topology combined the pod has one container, `agent`: the user's image, with the supervisor as its command. How the
 * supervisor gets there, and who prepares the workspace (--supervisor-kind):
 *
 *   --supervisor-sideload-method   init containers with kind static   with kind upstream
 *   image-volume                   none                               workspace-init
 *   init-container                 openshell-supervisor-install       the same, workspace-init
 *   cp                             supervisor-init (seed 000's)       the same, workspace-init
 *
 * Each init container costs a second, so ours are at most one. That works because the supervisor
 * itself prepares the workspace, as the first thing it does in the agent's container.
 *
 * Contract with our binary (door `sandbox`)
 *   init container   ["/openshell-sandbox", "copy-self", "<mount>/openshell-sandbox"]: writes itself
 *                    there, mode 0755, parents made; its image needs nothing else.
 *   agent container  ["<mount>/openshell-sandbox", "--workdir", "/sandbox", <proxy arguments>].
 *   OPENSHELL_PREPARE_WORKSPACE=<dir>, set in the agent container when a claim is mounted at dir:
 *     before it drops anything the supervisor
 *     1. gives the root of dir to OPENSHELL_SANDBOX_UID:GID, u+rwx,g+rwx, that one inode only;
 *     2. unless dir/.workspace-initialized is there, copies what the image has at dir into it. The
 *        claim hides that; open_tree("/", OPEN_TREE_CLONE) without AT_RECURSIVE shows the image's
 *        own file system, and dir in it. Everything copied belongs to the sandbox. The claim is the
 *        sandbox's own and untrusted: it never follows a link in it (openat2 RESOLVE_BENEATH |
 *        RESOLVE_NO_SYMLINKS), creates with O_EXCL, and leaves alone what exists. Then it makes the
 *        sentinel, which is that of upstream, so that claims outlive a change of driver.
 *     3. Where that is not possible (no CAP_SYS_ADMIN, no open_tree) it says so, once, and goes on.
 *   OPENSHELL_NETWORK_MODE=isolated|host|auto: the network mode (design section 4).
 *   A supervisor that does not know the two variables ignores them.
 *
 * With kind upstream a container of the agent's image does the copying, as upstream does: it needs
 * sh, find, tar, mktemp and touch there. It cannot be avoided: such a supervisor prepares nothing,
 * and a container of its image does not see the agent's files.
 *
 * The service account token and the TLS key are mounted with mode 0400 for root. kubelet widens
 * such modes for a pod's fsGroup, and the sandbox runs as that very group; so no fsGroup is set,
 * and the workspace is given to the sandbox by chown instead (3.17). What remains is an
 * admission plugin that sets one: the SCC in deploy/ has fsGroup RunAsAny for that reason.
 *
 * Topology sidecar (sidecar.c) is for upstream's supervisor alone: there the agent's container has
 * neither token nor key, and what has them reads them by the group.
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_RENDER_H
#define OPENSHELL_DRIVER_KUBERNETES_RENDER_H

#include <stdbool.h>
#include <stdint.h>

#include <cJSON.h>

#include "base/err.h"
#include "compute_driver.pb-c.h"
#include "driver/kubernetes/names.h"
#include "driver/kubernetes/options.h"

/* As whom the workload runs (3.9). */
struct k8s_identity {
	uint32_t uid, gid;
	bool from_namespace; /* the two annotations are then copied to the object */
	/* borrowed from the Namespace object; NULL when it has none */
	const char *uid_range, *groups;
};

/* Whether the Namespace object must be read for the identity: not where both come by option. A read
 * that fails is the caller's error to report, never a reason to guess (3.16, defect 15). */
bool k8s_identity_needs_namespace(const struct kubernetes_options *o);
/* ns: the Namespace object; NULL where it is not needed. -1 with *e (FAILED_PRECONDITION) when an
 * annotation makes no sense. */
int k8s_identity(const struct kubernetes_options *o, const cJSON *ns, struct k8s_identity *out,
		 struct err *e);

struct k8s_facts {
	enum sandbox_api api;
	int server_minor; /* of Kubernetes 1.x; 0: not known */
	struct k8s_identity identity;
};

/*
 * The object to POST; the caller's. NULL with *e, a gRPC status code and words for the user: what
 * k8s_validate says (it is called first), or INTERNAL. The token in spec.sandbox_token is not used:
 * the pod gets a projected one, which kubelet renews (1.10).
 */
cJSON *k8s_render(const struct kubernetes_options *o, const struct k8s_facts *f,
		  const Openshell__Compute__V1__DriverSandbox *sandbox, struct err *e);

/* The merge patch that stops or starts: operatingMode on v1beta1, replicas on v1alpha1 (3.11), and
 * nothing else: claim templates are create-only (5.5 item 9). resource_version may be NULL: then the
 * patch is unconditional. The caller's. */
cJSON *k8s_patch_stop(enum sandbox_api api, const char *resource_version);
cJSON *k8s_patch_start(enum sandbox_api api, const char *resource_version);

/* Options of a DELETE: the uid is the only precondition, so that a status written meanwhile is no
 * conflict (3.16, defect 1). The caller's. */
cJSON *k8s_delete_options(const char *uid);

/* Managed mode: what a new workspace needs. The caller's. */
cJSON *k8s_render_namespace(const struct kubernetes_options *o, const char *workspace,
			    const char *ns);
cJSON *k8s_render_service_account(const struct kubernetes_options *o, const char *ns);
/* The NetworkPolicy for ssh from the gateway, for a server-side apply; NULL when not wanted. */
cJSON *k8s_render_ssh_policy(const struct kubernetes_options *o, const char *ns);
/* A copy of a Secret for another namespace: data and type only, and our label (3.13). */
cJSON *k8s_render_secret_copy(const cJSON *secret, const char *ns);

#endif
