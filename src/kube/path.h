/*
 * URLs of the Kubernetes API, percent-encoded.
 *
 *   kube_path(&sandboxes, "team-a", "box", NULL)
 *     -> /apis/agents.x-k8s.io/v1beta1/namespaces/team-a/sandboxes/box
 *   kube_path(&pods, NULL, NULL, NULL) -> /api/v1/pods (all namespaces)
 */
#ifndef OPENSHELL_KUBE_PATH_H
#define OPENSHELL_KUBE_PATH_H

#include <stdbool.h>

struct kube_resource {
	const char *group; /* "" for the core group */
	const char *version;
	const char *plural;
};

/* The path of an object (name set), of a collection (name NULL), in a namespace or of the whole
 * cluster (ns NULL), or of a subresource of an object ("status"). The caller's. */
char *kube_path(const struct kube_resource *r, const char *ns, const char *name, const char *sub);

/* Appends key=value to a path made above, encoded; frees path and returns the new one. A value that
 * is NULL or empty adds nothing. */
char *kube_path_query(char *path, const char *key, const char *value);
char *kube_path_query_int(char *path, const char *key, long long value);

#endif
