/*
 * A DriverSandbox as JSON becomes a Sandbox object, or is refused. The first byte chooses the
 * options. What must hold of every object: Validate and Create agree; ours are the identifying
 * labels and the environment that steers the supervisor, each once; no fsGroup; the token's folder
 * is mounted once, by us.
 */
#include "base/json.h"
#include "driver/kubernetes/names.h"
#include "driver/kubernetes/render.h"
#include "driver/kubernetes/validate.h"
#include "driver/kubernetes/volumes.h"
#include "wire/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static char *const arguments[][8] = {
	{"driver"},
	{"driver", "--workspace-mode", "managed", "--supervisor-image", "ours:1"},
	{"driver", "--workspace-mode", "operator", "--operator-namespace-file", "/f",
	 "--supervisor-sideload-method", "image-volume"},
	{"driver", "--supervisor-binary-path", "/s", "--workspace-default-storage-size", "none",
	 "--provider-spiffe-workload-api-socket-path", "/spiffe/s"},
};

static struct kubernetes_options options[ARRAY_LEN(arguments)];

static void read_options(void)
{
	for (size_t i = 0; i < ARRAY_LEN(arguments); i++) {
		int argc = 0, rest;
		struct err e;
		while (argc < 8 && arguments[i][argc] != NULL)
			argc++;
		must(opt_parse(kubernetes_option_table, KUBERNETES_OPTIONS, &options[i], argc,
			       (char **)arguments[i], &rest, &e) == 0);
		must(kubernetes_options_check(&options[i], &e) == 0);
	}
}

static size_t count(const cJSON *list, const char *key, const char *value)
{
	const cJSON *j;
	size_t found = 0;

	cJSON_ArrayForEach(j, list)
		found += streq(json_str(j, key), value);
	return found;
}

static void check(const cJSON *object, const Openshell__Compute__V1__DriverSandbox *s)
{
	const cJSON *pod = json_at(object, "spec", "podTemplate", "spec", NULL);
	const cJSON *agent = json_get(pod, "containers")->child;
	const cJSON *env = json_get(agent, "env"), *j;

	must(streq(k8s_object_id(object), s->id));
	must(streq(json_str(json_at(object, "metadata", "labels", NULL), LABEL_ID), s->id));
	must(streq(json_str(json_at(object, "spec", "podTemplate", "metadata", "labels", NULL),
			    LABEL_MANAGED_BY),
		   MANAGED_BY));
	must(json_at(pod, "securityContext", "fsGroup", NULL) == NULL);
	must(count(json_get(agent, "volumeMounts"), "mountPath", SA_TOKEN_DIR) == 1);
	must(count(env, "name", "OPENSHELL_SANDBOX_ID") == 1);
	must(count(env, "name", "OPENSHELL_SANDBOX_TOKEN") == 0);
	cJSON_ArrayForEach(j, env)
		must(count(env, "name", json_str(j, "name")) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct k8s_facts facts = {
		.api = SANDBOX_V1BETA1, .server_minor = 34, .identity = {.uid = 1000, .gid = 1000}};
	_cleanup_arena_ struct arena a = ARENA_INIT(64 << 20);
	const struct kubernetes_options *o;
	struct err e = {0}, again = {0};

	if (n == 0)
		return 0;
	if (options[0].namespace == NULL)
		read_options();
	o = &options[p[0] % ARRAY_LEN(options)];
	_cleanup_json_ cJSON *j = json_parse(str_sub(p + 1, n - 1), "input", &e);
	const Openshell__Compute__V1__DriverSandbox *s =
		j ? wire_from_json(&openshell__compute__v1__driver_sandbox__descriptor, j, &a, &e)
		  : NULL;
	if (s == NULL)
		return 0;
	_cleanup_json_ cJSON *object = k8s_render(o, &facts, s, &e);
	must((k8s_validate(o, s, &again) == 0) == (object != NULL));
	if (object == NULL)
		must(e.code != 0 && e.text[0] != '\0' && streq(e.text, again.text));
	else
		check(object, s);
	return 0;
}
