#include "base/json.h"
#include "driver/kubernetes/quantity.h"
#include "driver/kubernetes/render_impl.h"
#include "driver/kubernetes/validate.h"
#include "driver/kubernetes/volumes.h"
#include "grpc/status.h"

static int check_identifiers(struct render *r, struct err *e)
{
	const Openshell__Compute__V1__DriverSandbox *s = r->sandbox;

	if (str_empty(s->id))
		return err_set(e, GRPC_INVALID_ARGUMENT, "sandbox id is required");
	if (str_empty(s->name))
		return err_set(e, GRPC_INVALID_ARGUMENT, "sandbox name is required");
	/* the id is a label, and what selects by it */
	if (!is_label_value(str_of(s->id)))
		return err_set(e, GRPC_INVALID_ARGUMENT,
			       "sandbox id '%s' is not a valid label value", s->id);
	return k8s_names_of(r->o, s->workspace, s->name, &r->names, e);
}

static int check_image(struct render *r, struct err *e)
{
	r->image = str_empty(r->template->image) ? r->o->sandbox_image : r->template->image;
	if (str_empty(r->image))
		return err_set(e, GRPC_INVALID_ARGUMENT,
			       "template.image is required: the driver has no default image");
	if (str_has_control(str_of(r->image)) || str_trim(str_of(r->image)).n != str_of(r->image).n)
		return err_set(e, GRPC_INVALID_ARGUMENT,
			       "template.image must not hold control characters or blanks around "
			       "it");
	return 0;
}

static int check_labels(const struct render *r, struct err *e)
{
	for (size_t i = 0; i < r->template->n_labels; i++) {
		const char *key = r->template->labels[i]->key;
		const char *value = r->template->labels[i]->value;
		if (!is_label_key(str_of(key)))
			return err_set(e, GRPC_INVALID_ARGUMENT,
				       "template.labels: '%s' is not a valid label key", key);
		if (!is_label_value(str_of(value)))
			return err_set(e, GRPC_INVALID_ARGUMENT,
				       "template.labels: '%s' is not a valid value of label '%s'",
				       value, key);
	}
	return 0;
}

/* The names that Kubernetes takes: printable ASCII without `=`. */
static int check_variable(const char *where, const char *name, struct err *e)
{
	bool bad = str_empty(name);

	for (const char *p = name; *p != '\0'; p++)
		bad |= *p <= ' ' || *p > '~' || *p == '=';
	if (bad)
		return err_set(e, GRPC_INVALID_ARGUMENT,
			       "%s: '%s' is not a valid name of an environment variable", where,
			       name);
	return 0;
}

static int check_environment(const struct render *r, struct err *e)
{
	for (size_t i = 0; i < r->template->n_environment; i++) {
		if (check_variable("template.environment", r->template->environment[i]->key, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < r->spec->n_environment; i++) {
		if (check_variable("spec.environment", r->spec->environment[i]->key, e) < 0)
			return -1;
	}
	return 0;
}

/* Templates as gateways up to v0.0.73 sent them count instead of ours, as they did then. */
static void decide_workspace(struct render *r)
{
	const cJSON *templates = json_get(r->config.platform, "volume_claim_templates");
	const cJSON *t;

	if (cJSON_GetArraySize(templates) == 0) {
		r->own_claim = !k8s_config_has_workspace_mount(&r->config) &&
			       !streq(r->o->workspace_storage_size, "none");
		r->workspace = r->own_claim;
		return;
	}
	cJSON_ArrayForEach(t, templates)
		r->workspace |=
			streq(json_str_or_empty(json_get(t, "metadata"), "name"), WORKSPACE_CLAIM);
}

/* The gateway's word, where there is one, over the driver's own. */
static void decide_user_namespaces(struct render *r)
{
	const cJSON *host_users = json_get(r->config.platform, "host_users");

	r->user_namespaces = r->o->enable_user_namespaces;
	if (host_users != NULL)
		r->user_namespaces = !cJSON_IsTrue(host_users);
}

/* In sidecar topology the wall lets pass what the proxy's user sends. */
static int check_proxy_uid(const struct render *r, struct err *e)
{
	int64_t uid = r->f ? r->f->identity.uid : r->o->sandbox_uid;

	if (!is_sidecar(r) || uid != r->o->sidecar_proxy_uid)
		return 0;
	return err_set(e, GRPC_FAILED_PRECONDITION,
		       "proxy_uid (%lld) must not match sandbox_uid (%lld) in sidecar topology",
		       (long long)r->o->sidecar_proxy_uid, (long long)uid);
}

/* Older servers drop such a volume without a word, and the pod finds no supervisor. From 1.31 to 1.34
 * they may know it: the volume is behind a feature gate that we cannot ask for. */
static int check_image_volume(const struct render *r, struct err *e)
{
	enum { IMAGE_VOLUME_MINOR = 31 };

	if (r->sideload != SIDELOAD_IMAGE_VOLUME || r->f == NULL || r->f->server_minor == 0 ||
	    r->f->server_minor >= IMAGE_VOLUME_MINOR)
		return 0;
	return err_set(e, GRPC_FAILED_PRECONDITION,
		       "image volumes need Kubernetes 1.%d, this is 1.%d: the driver needs "
		       "--supervisor-sideload-method init-container",
		       IMAGE_VOLUME_MINOR, r->f->server_minor);
}

int render_init(struct render *r, const struct kubernetes_options *o, const struct k8s_facts *f,
		const Openshell__Compute__V1__DriverSandbox *sandbox, struct err *e)
{
	static const Openshell__Compute__V1__DriverSandboxSpec no_spec =
		OPENSHELL__COMPUTE__V1__DRIVER_SANDBOX_SPEC__INIT;
	static const Openshell__Compute__V1__DriverSandboxTemplate no_template =
		OPENSHELL__COMPUTE__V1__DRIVER_SANDBOX_TEMPLATE__INIT;

	*r = (struct render){.o = o, .f = f, .sandbox = sandbox};
	if (sandbox == NULL)
		return err_set(e, GRPC_INVALID_ARGUMENT, "sandbox is required");
	r->spec = sandbox->spec ? sandbox->spec : &no_spec;
	r->template = r->spec->template_ ? r->spec->template_ : &no_template;
	if (k8s_config_read(&r->config, o, r->template, e) < 0)
		return -1;
	if (resources_check(r, e) < 0 || check_identifiers(r, e) < 0 || check_image(r, e) < 0 ||
	    check_labels(r, e) < 0 || check_environment(r, e) < 0 || check_proxy_uid(r, e) < 0)
		return -1;
	r->sideload = kubernetes_sideload(o, f ? f->server_minor : 0);
	decide_workspace(r);
	decide_user_namespaces(r);
	return check_image_volume(r, e);
}

void render_fini(struct render *r)
{
	k8s_config_fini(&r->config);
}

int k8s_validate(const struct kubernetes_options *o,
		 const Openshell__Compute__V1__DriverSandbox *sandbox, struct err *e)
{
	struct render r;
	int ret = render_init(&r, o, NULL, sandbox, e);

	render_fini(&r);
	return ret;
}

bool k8s_wants_gpu(const Openshell__Compute__V1__DriverSandbox *sandbox)
{
	return sandbox->spec != NULL && sandbox->spec->resource_requirements != NULL &&
	       sandbox->spec->resource_requirements->gpu != NULL;
}

bool k8s_node_has_gpu(const cJSON *node)
{
	const cJSON *n = json_at(node, "status", "allocatable", "nvidia.com/gpu", NULL);

	if (cJSON_IsNumber(n))
		return n->valuedouble > 0;
	return cJSON_IsString(n) && !str_empty(n->valuestring) && !streq(n->valuestring, "0");
}

int k8s_refuse_gpu(struct err *e)
{
	return err_set(e, GRPC_FAILED_PRECONDITION,
		       "GPU sandbox requested, but the active gateway has no allocatable GPUs. No "
		       "node of the cluster offers nvidia.com/gpu; is the device plugin running?");
}

int k8s_refuse_workspace(const char *workspace, int code, struct err *e)
{
	return err_set(e, code, "workspace '%s' is not in the operator namespace allowlist",
		       workspace);
}
