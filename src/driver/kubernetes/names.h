/*
 * Where a sandbox lives on the cluster and what says that it is ours: namespaces, object names,
 * labels, annotations, selectors (driver contract 3.4). Pure functions; the one place that spells
 * these names.
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_NAMES_H
#define OPENSHELL_DRIVER_KUBERNETES_NAMES_H

#include <stdbool.h>

#include <cJSON.h>

#include "base/err.h"
#include "driver/kubernetes/options.h"

#define LABEL_MANAGED_BY "openshell.ai/managed-by"
#define MANAGED_BY "openshell"
#define LABEL_ID "openshell.ai/sandbox-id"               /* label and annotation */
#define LABEL_NAME "openshell.ai/sandbox-name"           /* label and annotation */
#define LABEL_WORKSPACE "openshell.ai/sandbox-workspace" /* label and annotation */
#define LABEL_GATEWAY "openshell.ai/gateway-id"
#define LABEL_KAGENTI "kagenti.io/type" /* = agent: Kagenti enrols the pod (seed 000) */
#define POD_ANNOTATION_ID                                                                          \
	"openshell.io/sandbox-id" /* openshell.io: what the gateway reads (1.10) */
#define ANNOTATION_POD_NAME "agents.x-k8s.io/pod-name" /* set by agent-sandbox's controller */
#define ANNOTATION_UID_RANGE "openshift.io/sa.scc.uid-range"
#define ANNOTATION_GROUPS "openshift.io/sa.scc.supplemental-groups"

#define SANDBOX_GROUP "agents.x-k8s.io"
#define SANDBOX_PLURAL "sandboxes"
#define WORKSPACE_CLAIM "workspace" /* the volumeClaimTemplate; the claim is workspace-<object> */

enum sandbox_api { SANDBOX_V1BETA1, SANDBOX_V1ALPHA1, SANDBOX_API_COUNT };
/* "v1beta1", "v1alpha1". */
const char *sandbox_api_version(enum sandbox_api api);

enum { K8S_LABEL_MAX = 63 };

struct k8s_names {
	char ns[K8S_LABEL_MAX + 1];
	char object[K8S_LABEL_MAX + 1];
};

/*
 * Namespace and object name of a sandbox. workspace may be empty (gateways before v0.0.88): in
 * shared mode the object is then called like the sandbox; the other modes have no place for it.
 * -1 with *e, whose code is a gRPC status code (INVALID_ARGUMENT), in the words of 3.4.
 */
int k8s_names_of(const struct kubernetes_options *o, const char *workspace, const char *name,
		 struct k8s_names *out, struct err *e);

/* The namespace of a workspace alone; the same errors. */
int k8s_namespace_of(const struct kubernetes_options *o, const char *workspace,
		     char out[K8S_LABEL_MAX + 1], struct err *e);

/* Label selectors. All sandboxes that may be ours (k8s_is_ours decides); the one with this id. The
 * caller's. */
char *k8s_selector_all(const struct kubernetes_options *o);
char *k8s_selector_id(const struct kubernetes_options *o, const char *id);

/*
 * Whether a Sandbox object belongs to this gateway. Another gateway's label: no, ever. No gateway
 * label: it was made before v0.0.88; in shared mode it is ours when it lies in our namespace, and
 * it is never relabelled (driver contract 3.16, defects 5 and 16).
 */
bool k8s_is_ours(const struct kubernetes_options *o, const cJSON *object);

/* What identifies the sandbox of an object: annotation, else label; the name of an object without
 * either is the object's own, its workspace "". Borrowed, never NULL; the id may be "". */
const char *k8s_object_id(const cJSON *object);
const char *k8s_object_sandbox(const cJSON *object);
const char *k8s_object_workspace(const cJSON *object);
/* metadata.name, metadata.namespace, metadata.uid, metadata.resourceVersion; "" when absent. */
const char *k8s_object_name(const cJSON *object);
const char *k8s_object_namespace(const cJSON *object);
const char *k8s_object_uid(const cJSON *object);
const char *k8s_object_version(const cJSON *object);

/* The pod that runs it: the controller's annotation, else the object's name (5.4). Borrowed. */
const char *k8s_pod_name(const cJSON *object);

/* {managed-by, gateway-id, sandbox-workspace}: labels of a namespace that we make; the caller's.
 * Whether a Namespace object carries both labels that make it ours. */
cJSON *k8s_namespace_labels(const struct kubernetes_options *o, const char *workspace);
bool k8s_namespace_is_ours(const struct kubernetes_options *o, const cJSON *ns);

#endif
