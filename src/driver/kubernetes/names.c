#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/names.h"
#include "driver/kubernetes/quantity.h"
#include "grpc/status.h"

const char *sandbox_api_version(enum sandbox_api api)
{
	static const char *const names[] = {
		[SANDBOX_V1BETA1] = "v1beta1",
		[SANDBOX_V1ALPHA1] = "v1alpha1",
	};
	_Static_assert(ARRAY_LEN(names) == SANDBOX_API_COUNT, "every version has a name");

	must((unsigned)api < ARRAY_LEN(names));
	return names[api];
}

static int managed_namespace(const struct kubernetes_options *o, const char *workspace,
			     char out[K8S_LABEL_MAX + 1], struct err *e)
{
	_cleanup_free_ char *ns = xasprintf("openshell-%s-%s", o->gateway_id, workspace);

	if (str_empty(workspace) || !str_is_dns_label(str_of(ns)))
		return err_set(e, GRPC_INVALID_ARGUMENT,
			       "managed namespace '%s' (from workspace '%s') is not a valid "
			       "DNS-1123 label",
			       ns, workspace);
	snprintf(out, K8S_LABEL_MAX + 1, "%s", ns);
	return 0;
}

int k8s_namespace_of(const struct kubernetes_options *o, const char *workspace,
		     char out[K8S_LABEL_MAX + 1], struct err *e)
{
	switch (o->workspace_mode) {
	case WORKSPACE_SHARED:
		snprintf(out, K8S_LABEL_MAX + 1, "%s", o->namespace);
		return 0;
	case WORKSPACE_MANAGED:
		return managed_namespace(o, workspace, out, e);
	case WORKSPACE_OPERATOR:
		if (!str_is_dns_label(str_of(workspace)))
			return err_set(e, GRPC_INVALID_ARGUMENT,
				       "workspace '%s' is not a valid DNS-1123 label", workspace);
		snprintf(out, K8S_LABEL_MAX + 1, "%s", workspace);
		return 0;
	}
	must(!"workspace mode");
	return -1;
}

/* workspace--name; gateways without workspaces have their sandboxes under the bare name. */
static int shared_name(const char *workspace, const char *name, struct k8s_names *out,
		       struct err *e)
{
	_cleanup_free_ char *both =
		str_empty(workspace) ? xstrdup(name) : xasprintf("%s--%s", workspace, name);

	if (!str_empty(workspace) && !str_is_dns_label(str_of(workspace)))
		return err_set(e, GRPC_INVALID_ARGUMENT,
			       "workspace '%s' is not a valid DNS-1123 label", workspace);
	if (strlen(both) > K8S_LABEL_MAX)
		return err_set(
			e, GRPC_INVALID_ARGUMENT,
			"combined Kubernetes resource name '%s' is %zu characters, exceeding "
			"the DNS-1123 limit of %d",
			both, strlen(both), K8S_LABEL_MAX);
	snprintf(out->object, sizeof out->object, "%s", both);
	return 0;
}

int k8s_names_of(const struct kubernetes_options *o, const char *workspace, const char *name,
		 struct k8s_names *out, struct err *e)
{
	if (k8s_namespace_of(o, workspace, out->ns, e) < 0)
		return -1;
	if (o->workspace_mode == WORKSPACE_SHARED && shared_name(workspace, name, out, e) < 0)
		return -1;
	if (!str_is_dns_label(str_of(name)))
		return err_set(e, GRPC_INVALID_ARGUMENT,
			       "sandbox name must be a DNS-1123 label: '%s'", name);
	if (o->workspace_mode != WORKSPACE_SHARED)
		snprintf(out->object, sizeof out->object, "%s", name);
	return 0;
}

char *k8s_selector_all(const struct kubernetes_options *o)
{
	/* objects of before v0.0.88 have no gateway label, and there were no workspaces then */
	if (o->workspace_mode == WORKSPACE_SHARED)
		return xstrdup(LABEL_MANAGED_BY "=" MANAGED_BY);
	return xasprintf(LABEL_MANAGED_BY "=" MANAGED_BY "," LABEL_ID "," LABEL_GATEWAY "=%s",
			 o->gateway_id);
}

char *k8s_selector_id(const struct kubernetes_options *o, const char *id)
{
	if (str_empty(id) || !is_label_value(str_of(id)))
		return NULL;
	if (o->workspace_mode == WORKSPACE_SHARED)
		return xasprintf(LABEL_MANAGED_BY "=" MANAGED_BY "," LABEL_ID "=%s", id);
	return xasprintf(LABEL_MANAGED_BY "=" MANAGED_BY "," LABEL_ID "=%s," LABEL_GATEWAY "=%s",
			 id, o->gateway_id);
}

static const char *label(const cJSON *object, const char *key)
{
	return json_str(json_at(object, "metadata", "labels", NULL), key);
}

bool k8s_is_ours(const struct kubernetes_options *o, const cJSON *object)
{
	const char *gateway = label(object, LABEL_GATEWAY);

	if (!streq(label(object, LABEL_MANAGED_BY), MANAGED_BY))
		return false;
	if (!str_empty(gateway))
		return streq(gateway, o->gateway_id);
	return o->workspace_mode == WORKSPACE_SHARED &&
	       streq(k8s_object_namespace(object), o->namespace);
}

static const char *identifier(const cJSON *object, const char *key, const char *fallback)
{
	const char *s = json_str(json_at(object, "metadata", "annotations", NULL), key);

	if (str_empty(s))
		s = label(object, key);
	return str_empty(s) ? fallback : s;
}

const char *k8s_object_id(const cJSON *object)
{
	return identifier(object, LABEL_ID, "");
}

const char *k8s_object_sandbox(const cJSON *object)
{
	return identifier(object, LABEL_NAME, k8s_object_name(object));
}

const char *k8s_object_workspace(const cJSON *object)
{
	return identifier(object, LABEL_WORKSPACE, "");
}

static const char *meta(const cJSON *object, const char *key)
{
	return json_str_or_empty(json_get(object, "metadata"), key);
}

const char *k8s_object_name(const cJSON *object)
{
	return meta(object, "name");
}

const char *k8s_object_namespace(const cJSON *object)
{
	return meta(object, "namespace");
}

const char *k8s_object_uid(const cJSON *object)
{
	return meta(object, "uid");
}

const char *k8s_object_version(const cJSON *object)
{
	return meta(object, "resourceVersion");
}

const char *k8s_pod_name(const cJSON *object)
{
	const char *s =
		json_str(json_at(object, "metadata", "annotations", NULL), ANNOTATION_POD_NAME);

	return str_empty(s) ? k8s_object_name(object) : s;
}

cJSON *k8s_namespace_labels(const struct kubernetes_options *o, const char *workspace)
{
	cJSON *labels = json_object();

	json_put_str(labels, LABEL_MANAGED_BY, MANAGED_BY);
	json_put_str(labels, LABEL_GATEWAY, o->gateway_id);
	json_put_str(labels, LABEL_WORKSPACE, workspace);
	return labels;
}

bool k8s_namespace_is_ours(const struct kubernetes_options *o, const cJSON *ns)
{
	return streq(label(ns, LABEL_MANAGED_BY), MANAGED_BY) &&
	       streq(label(ns, LABEL_GATEWAY), o->gateway_id);
}
