#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/config.h"
#include "driver/kubernetes/mounts.h"
#include "driver/kubernetes/quantity.h"
#include "driver/kubernetes/schema.h"
#include "grpc/status.h"
#include "wire/structs.h"

static const struct schema pod_fields[] = {
	{.key = "node_selector", .shape = SHAPE_STRINGS},
	{.key = "runtime_class_name", .shape = SHAPE_STRING},
	{.key = "tolerations", .shape = SHAPE_LIST},
	{.key = "priority_class_name", .shape = SHAPE_STRING},
	{.key = NULL},
};
static const struct schema resources_fields[] = {
	{.key = "requests", .shape = SHAPE_AMOUNTS},
	{.key = "limits", .shape = SHAPE_AMOUNTS},
	{.key = NULL},
};
static const struct schema mount_fields[] = {
	{.key = "name", .shape = SHAPE_STRING, .required = true},
	{.key = "mount_path", .shape = SHAPE_STRING, .required = true},
	{.key = "sub_path", .shape = SHAPE_STRING},
	{.key = "read_only", .shape = SHAPE_BOOL},
	{.key = NULL},
};
static const struct schema agent_fields[] = {
	{.key = "resources", .shape = SHAPE_OBJECT, .sub = resources_fields},
	{.key = "volume_mounts", .shape = SHAPE_OBJECTS, .sub = mount_fields},
	{.key = NULL},
};
static const struct schema containers_fields[] = {
	{.key = "agent", .shape = SHAPE_OBJECT, .sub = agent_fields},
	{.key = NULL},
};
static const struct schema claim_fields[] = {
	{.key = "claim_name", .shape = SHAPE_STRING, .required = true},
	{.key = "read_only", .shape = SHAPE_BOOL},
	{.key = NULL},
};
static const struct schema volume_fields[] = {
	{.key = "name", .shape = SHAPE_STRING, .required = true},
	{.key = "persistent_volume_claim",
	 .shape = SHAPE_OBJECT,
	 .sub = claim_fields,
	 .required = true},
	{.key = NULL},
};
static const struct schema driver_fields[] = {
	{.key = "pod", .shape = SHAPE_OBJECT, .sub = pod_fields},
	{.key = "containers", .shape = SHAPE_OBJECT, .sub = containers_fields},
	{.key = "volumes", .shape = SHAPE_OBJECTS, .sub = volume_fields},
	{.key = "network_mode", .shape = SHAPE_STRING},
	{.key = NULL},
};

static const struct schema raw_fields[] = {
	{.key = "requests", .shape = SHAPE_AMOUNTS},
	{.key = "limits", .shape = SHAPE_AMOUNTS},
	{.key = "claims", .shape = SHAPE_LIST},
	{.key = NULL},
};
static const struct schema platform_fields[] = {
	{.key = "runtime_class_name", .shape = SHAPE_STRING},
	{.key = "annotations", .shape = SHAPE_STRINGS},
	{.key = "host_users", .shape = SHAPE_BOOL},
	{.key = "resources_raw", .shape = SHAPE_OBJECT, .sub = raw_fields},
	{.key = "node_selector", .shape = SHAPE_STRINGS},
	{.key = "tolerations", .shape = SHAPE_LIST},
	{.key = "volume_claim_templates", .shape = SHAPE_LIST}, /* until v0.0.73 */
	{.key = NULL},
};

/* A member that is null counts as absent: once checked, it goes. */
static void drop_nulls(cJSON *j)
{
	cJSON *v = j->child;

	while (v != NULL) {
		cJSON *next = v->next;
		if (cJSON_IsNull(v) && cJSON_IsObject(j))
			cJSON_Delete(cJSON_DetachItemViaPointer(j, v));
		else
			drop_nulls(v);
		v = next;
	}
}

static int check_selector(const cJSON *selector, struct err *e)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, selector) {
		if (!is_label_key(str_of(v->string)) || !is_label_value(str_of(v->valuestring)))
			return err_set(e, EINVAL, "node_selector '%s=%s' is no label", v->string,
				       v->valuestring);
	}
	return 0;
}

static int check_class(const cJSON *o, const char *key, struct err *e)
{
	const char *name = json_str_or_empty(o, key);

	if (!str_empty(name) && !str_is_dns_subdomain(str_of(name)))
		return err_set(e, EINVAL, "%s '%s' must be a DNS-1123 subdomain", key, name);
	return 0;
}

static int check_driver(const struct kubernetes_options *o, const struct k8s_config *c, bool *whole,
			struct err *e)
{
	const cJSON *pod = json_get(c->driver, "pod");
	const char *mode = json_str(c->driver, "network_mode");

	*whole = false;
	if (schema_check(c->driver, driver_fields, e) < 0 ||
	    check_selector(json_get(pod, "node_selector"), e) < 0 ||
	    check_class(pod, "runtime_class_name", e) < 0 ||
	    check_class(pod, "priority_class_name", e) < 0)
		return -1;
	if (mode != NULL && !streq(mode, "isolated") && !streq(mode, "host") &&
	    !streq(mode, "auto"))
		return err_set(e, EINVAL, "network_mode '%s' must be one of: isolated, host, auto",
			       mode);
	return mounts_check(o, k8s_config_volumes(c), k8s_config_mounts(c), whole, e);
}

static int check_platform(const struct k8s_config *c, struct err *e)
{
	const cJSON *v;

	if (schema_check(c->platform, platform_fields, e) < 0 ||
	    check_selector(json_get(c->platform, "node_selector"), e) < 0 ||
	    check_class(c->platform, "runtime_class_name", e) < 0)
		return -1;
	cJSON_ArrayForEach(v, json_get(c->platform, "annotations")) {
		if (!is_label_key(str_of(v->string)))
			return err_set(e, EINVAL, "annotations: '%s' is no annotation key",
				       v->string);
	}
	return 0;
}

static int invalid(const char *what, struct err *e)
{
	err_wrap(e, "invalid kubernetes %s", what);
	e->code = GRPC_INVALID_ARGUMENT;
	return -1;
}

int k8s_config_read(struct k8s_config *out, const struct kubernetes_options *o,
		    const Openshell__Compute__V1__DriverSandboxTemplate *template, struct err *e)
{
	bool whole = false;

	out->driver = structs_to_json(template->driver_config, e);
	if (out->driver == NULL)
		return invalid("driver_config", e);
	if (check_driver(o, out, &whole, e) < 0) {
		if (!whole)
			return invalid("driver_config", e);
		e->code = GRPC_INVALID_ARGUMENT;
		return -1;
	}
	drop_nulls(out->driver);
	out->platform = structs_to_json(template->platform_config, e);
	if (out->platform == NULL)
		return invalid("platform_config", e);
	if (check_platform(out, e) < 0)
		return invalid("platform_config", e);
	drop_nulls(out->platform);
	return 0;
}

void k8s_config_fini(struct k8s_config *c)
{
	cJSON_Delete(c->driver);
	cJSON_Delete(c->platform);
	*c = (struct k8s_config){0};
}

const cJSON *k8s_config_volumes(const struct k8s_config *c)
{
	return json_get(c->driver, "volumes");
}

const cJSON *k8s_config_mounts(const struct k8s_config *c)
{
	return json_at(c->driver, "containers", "agent", "volume_mounts", NULL);
}

bool k8s_config_has_workspace_mount(const struct k8s_config *c)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, k8s_config_mounts(c)) {
		if (path_is_below(json_str_or_empty(m, "mount_path"), WORKSPACE_DIR))
			return true;
	}
	return false;
}
