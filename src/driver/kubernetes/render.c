#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/render_impl.h"
#include "driver/kubernetes/volumes.h"
#include "grpc/status.h"

/* Keys that agent-sandbox gives a meaning to: on the object a user's must not be (5.4). */
static bool is_controllers(const char *key)
{
	return str_starts(str_of(key), "agents.x-k8s.io/") ||
	       str_starts(str_of(key), "extensions.agents.x-k8s.io/");
}

/* The user's labels, and over them those that say whose and what it is: on the object and on the pod
 * alike, since NetworkPolicies, quotas and people select pods (3.16, defect 8). */
static cJSON *render_labels(const struct render *r)
{
	const Openshell__Compute__V1__DriverSandbox *s = r->sandbox;
	cJSON *labels = json_object();

	for (size_t i = 0; i < r->template->n_labels; i++) {
		if (!is_controllers(r->template->labels[i]->key))
			json_put_str(labels, r->template->labels[i]->key,
				     r->template->labels[i]->value);
	}
	json_put_str(labels, LABEL_MANAGED_BY, MANAGED_BY);
	json_put_str(labels, LABEL_GATEWAY, r->o->gateway_id);
	json_put_str(labels, LABEL_ID, s->id);
	json_put_str(labels, LABEL_NAME, s->name);
	if (str_empty(s->workspace))
		cJSON_DeleteItemFromObjectCaseSensitive(labels, LABEL_WORKSPACE);
	else
		json_put_str(labels, LABEL_WORKSPACE, s->workspace);
	if (r->o->kagenti_label)
		json_put_str(labels, LABEL_KAGENTI, "agent");
	return labels;
}

/* What counts on read: a label can be changed by others more easily than is noticed (3.4). */
static cJSON *render_annotations(const struct render *r)
{
	const struct k8s_identity *id = &r->f->identity;
	cJSON *notes = json_object();

	json_put_str(notes, LABEL_ID, r->sandbox->id);
	json_put_str(notes, LABEL_NAME, r->sandbox->name);
	if (!str_empty(r->sandbox->workspace))
		json_put_str(notes, LABEL_WORKSPACE, r->sandbox->workspace);
	if (id->from_namespace && id->uid_range != NULL)
		json_put_str(notes, ANNOTATION_UID_RANGE, id->uid_range);
	if (id->from_namespace && id->groups != NULL)
		json_put_str(notes, ANNOTATION_GROUPS, id->groups);
	return notes;
}

static cJSON *render_pod_metadata(const struct render *r)
{
	const cJSON *users = json_get(r->config.platform, "annotations");
	cJSON *meta = json_object();
	cJSON *notes;

	json_put(meta, "labels", render_labels(r));
	notes = json_put(meta, "annotations", users ? json_copy(users) : json_object());
	json_put_str(notes, POD_ANNOTATION_ID, r->sandbox->id);
	return meta;
}

/* platform_config wins over driver_config key by key; tolerations of both count. */
static void put_placement(cJSON *pod, const struct render *r)
{
	const cJSON *driver = json_get(r->config.driver, "pod");
	const cJSON *platform = r->config.platform;
	const cJSON *const sources[] = {platform, driver};
	const char *class = json_str_or_empty(platform, "runtime_class_name");
	cJSON *selector = json_object(), *tolerations = json_array();
	const cJSON *v;

	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		cJSON_ArrayForEach(v, json_get(sources[i], "node_selector")) {
			if (json_get(selector, v->string) == NULL)
				json_put_str(selector, v->string, v->valuestring);
		}
		cJSON_ArrayForEach(v, json_get(sources[i], "tolerations"))
			json_add(tolerations, json_copy(v));
	}
	if (selector->child != NULL)
		json_put(pod, "nodeSelector", selector);
	else
		cJSON_Delete(selector);
	if (tolerations->child != NULL)
		json_put(pod, "tolerations", tolerations);
	else
		cJSON_Delete(tolerations);

	if (str_empty(class))
		class = json_str_or_empty(driver, "runtime_class_name");
	if (str_empty(class))
		class = r->o->default_runtime_class;
	if (!str_empty(class))
		json_put_str(pod, "runtimeClassName", class);
	if (!str_empty(json_str(driver, "priority_class_name")))
		json_put_str(pod, "priorityClassName", json_str(driver, "priority_class_name"));
}

static void put_site(cJSON *pod, const struct kubernetes_options *o)
{
	cJSON *secrets = NULL;

	if (!str_empty(o->service_account))
		json_put_str(pod, "serviceAccountName", o->service_account);
	for (size_t i = 0; i < o->sandbox_image_pull_secrets.n; i++) {
		struct str name = str_trim(str_of(o->sandbox_image_pull_secrets.v[i]));
		if (name.n == 0)
			continue;
		if (secrets == NULL)
			secrets = json_put_array(pod, "imagePullSecrets");
		_cleanup_free_ char *text = str_dup(name);
		json_put_str(json_add_object(secrets), "name", text);
	}
	if (!str_empty(o->host_gateway_ip)) {
		cJSON *alias = json_add_object(json_put_array(pod, "hostAliases"));
		json_put_str(alias, "ip", o->host_gateway_ip);
		cJSON *names = json_put_array(alias, "hostnames");
		json_add_str(names, "host.docker.internal");
		json_add_str(names, "host.openshell.internal");
	}
}

static void put_security(cJSON *pod, const struct render *r)
{
	cJSON *security = json_object();

	if (!str_empty(r->o->selinux_level))
		json_put_str(json_put_object(security, "seLinuxOptions"), "level",
			     r->o->selinux_level);
	/* the network supervisor reads token and key by its group; the agent has neither mounted */
	if (is_sidecar(r))
		json_put_int(security, "fsGroup", r->f->identity.gid);
	if (security->child != NULL)
		json_put(pod, "securityContext", security);
	else
		cJSON_Delete(security);
}

static cJSON *render_pod(const struct render *r)
{
	cJSON *pod = json_object();
	cJSON *init = render_init_containers(r);

	/* the pod's own token is the projected one; a sandbox that ended must not begin again */
	json_put_bool(pod, "automountServiceAccountToken", false);
	json_put_str(pod, "restartPolicy", "Never");
	put_placement(pod, r);
	put_site(pod, r->o);
	put_security(pod, r);
	if (is_sidecar(r)) /* which program opened a connection is read in /proc */
		json_put_bool(pod, "shareProcessNamespace", true);
	if (r->user_namespaces)
		json_put_bool(pod, "hostUsers", false);
	if (init != NULL)
		json_put(pod, "initContainers", init);
	json_put(pod, "containers", render_containers(r));
	json_put(pod, "volumes", render_volumes(r));
	return pod;
}

/* The claim templates, or NULL for none; the caller's. */
static cJSON *render_claims(const struct render *r)
{
	const cJSON *old = json_get(r->config.platform, "volume_claim_templates");
	cJSON *list, *claim, *spec;

	if (!r->own_claim)
		return cJSON_GetArraySize(old) > 0 ? json_copy(old) : NULL;
	list = json_array();
	claim = json_add_object(list);
	json_put_str(json_put_object(claim, "metadata"), "name", WORKSPACE_CLAIM);
	spec = json_put_object(claim, "spec");
	json_add_str(json_put_array(spec, "accessModes"), "ReadWriteOnce");
	json_put_str(json_put_object(json_put_object(spec, "resources"), "requests"), "storage",
		     r->o->workspace_storage_size);
	if (!str_empty(r->o->workspace_storage_class))
		json_put_str(spec, "storageClassName", r->o->workspace_storage_class);
	return list;
}

static cJSON *render_object(const struct render *r)
{
	cJSON *object = json_object();
	_cleanup_free_ char *version =
		xasprintf(SANDBOX_GROUP "/%s", sandbox_api_version(r->f->api));
	cJSON *claims = render_claims(r);
	cJSON *meta, *spec, *template;

	json_put_str(object, "apiVersion", version);
	json_put_str(object, "kind", "Sandbox");
	meta = json_put_object(object, "metadata");
	json_put_str(meta, "name", r->names.object);
	json_put_str(meta, "namespace", r->names.ns);
	json_put(meta, "labels", render_labels(r));
	json_put(meta, "annotations", render_annotations(r));
	spec = json_put_object(object, "spec");
	template = json_put_object(spec, "podTemplate");
	json_put(template, "metadata", render_pod_metadata(r));
	json_put(template, "spec", render_pod(r));
	if (claims != NULL)
		json_put(spec, "volumeClaimTemplates", claims);
	return object;
}

cJSON *k8s_render(const struct kubernetes_options *o, const struct k8s_facts *f,
		  const Openshell__Compute__V1__DriverSandbox *sandbox, struct err *e)
{
	struct render r;
	cJSON *object = NULL;

	if (render_init(&r, o, f, sandbox, e) == 0)
		object = render_object(&r);
	render_fini(&r);
	return object;
}

static cJSON *render_patch(enum sandbox_api api, const char *resource_version, const char *mode,
			   int replicas)
{
	cJSON *patch = json_object();
	cJSON *spec;

	if (!str_empty(resource_version))
		json_put_str(json_put_object(patch, "metadata"), "resourceVersion",
			     resource_version);
	spec = json_put_object(patch, "spec");
	if (api == SANDBOX_V1BETA1)
		json_put_str(spec, "operatingMode", mode);
	else
		json_put_int(spec, "replicas", replicas);
	return patch;
}

cJSON *k8s_patch_stop(enum sandbox_api api, const char *resource_version)
{
	return render_patch(api, resource_version, "Suspended", 0);
}

cJSON *k8s_patch_start(enum sandbox_api api, const char *resource_version)
{
	return render_patch(api, resource_version, "Running", 1);
}

cJSON *k8s_delete_options(const char *uid)
{
	cJSON *o = json_object();

	json_put_str(o, "apiVersion", "v1");
	json_put_str(o, "kind", "DeleteOptions");
	json_put_str(json_put_object(o, "preconditions"), "uid", uid);
	return o;
}
