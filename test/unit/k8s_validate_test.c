#include "driver/kubernetes/validate.h"
#include "k8s.h"

static struct err err;

static int validate(const char *arguments, Openshell__Compute__V1__DriverSandbox *s)
{
	err = (struct err){0};
	return k8s_validate(options(arguments), s, &err);
}

/* The words of INVALID_ARGUMENT for this sandbox; Create says the same as Validate. */
static const char *refused_by(const char *arguments, Openshell__Compute__V1__DriverSandbox *s)
{
	struct err e = {0};

	if (validate(arguments, s) == 0)
		FAIL("accepted");
	EQ(err.code, GRPC_INVALID_ARGUMENT);
	EQ(k8s_render(options(arguments), facts(), s, &e) == NULL, true);
	EQ(e.code, err.code);
	STREQ(e.text, err.text);
	return err.text;
}

/* A template's members as JSON with single quotes for double ones. */
static char *quote(const char *text)
{
	char *s = arena_dup(&test_arena, str_of(text));

	for (char *p = s; *p != '\0'; p++) {
		if (*p == '\'')
			*p = '"';
	}
	return s;
}

static Openshell__Compute__V1__DriverSandbox *with(const char *template)
{
	return sandbox_with(quote(template), "");
}

static Openshell__Compute__V1__DriverSandbox *with_config(const char *driver_config)
{
	return with(arena_printf(&test_arena, "'driverConfig':%s", driver_config));
}

static const char *refused(const char *template)
{
	return refused_by("", with(template));
}

static const char *config_refused(const char *driver_config)
{
	const char *text = refused_by("", with_config(driver_config));
	const char *prefix = "invalid kubernetes driver_config: ";

	if (!str_starts(str_of(text), prefix))
		FAIL("%s", text);
	return text + strlen(prefix);
}

TEST(smallest_sandbox_is_valid)
{
	EQ(validate("", with("")), 0);
	EQ(validate("--sandbox-image def:1", sandbox("{\"id\":\"" UUID "\",\"name\":\"box\"}")), 0);
}

/* seed 000: TestCreateSandbox_MissingID / _MissingImage */
TEST(what_must_be_there)
{
	STREQ(refused_by("", NULL), "sandbox is required");
	HAS(refused_by("", sandbox("{\"name\":\"box\",\"spec\":{\"template\":{\"image\":\"i\"}}}")),
	    "id is required");
	HAS(refused_by("", sandbox("{\"id\":\"i\",\"spec\":{\"template\":{\"image\":\"i\"}}}")),
	    "name is required");
	HAS(refused_by("", sandbox("{\"id\":\"i\",\"name\":\"box\"}")),
	    "template.image is required");
	HAS(refused_by("", sandbox("{\"id\":\"a b\",\"name\":\"box\",\"spec\":{\"template\":{"
				   "\"image\":\"i\"}}}")),
	    "label value");
	HAS(refused_by("", sandbox("{\"id\":\"i\",\"name\":\"box\",\"spec\":{\"template\":{"
				   "\"image\":\"i \"}}}")),
	    "template.image");
}

/* 3.16, defect 10: names are checked in every mode by Validate, where a user can be told */
TEST(defect_10_names_are_checked_by_validate)
{
	static const char *const modes[] = {
		"", "--workspace-mode managed",
		"--workspace-mode operator --operator-namespace-file /f"};

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		Openshell__Compute__V1__DriverSandbox *s = with("");
		s->name = arena_dup(&test_arena, STR("Not_A_Label"));
		HAS(refused_by(modes[i], s), "sandbox name must be a DNS-1123 label: ");
	}
}

TEST(gpu_count_zero)
{
	STREQ(refused_by("", sandbox_with("", "\"resourceRequirements\":{\"gpu\":{\"count\":0}}")),
	      "gpu count must be greater than 0");
	EQ(validate("", sandbox_with("", "\"resourceRequirements\":{\"gpu\":{}}")), 0);
	EQ(k8s_wants_gpu(sandbox_with("", "\"resourceRequirements\":{\"gpu\":{}}")), true);
	EQ(k8s_wants_gpu(sandbox_with("", "\"resourceRequirements\":{}")), false);
	EQ(k8s_wants_gpu(sandbox("{}")), false);
}

/* seed 000: TestValidateSandboxCreate_GPUNoCapacity */
TEST(gpu_nodes)
{
	EQ(k8s_node_has_gpu(JSON({"status" : {"allocatable" : {"nvidia.com/gpu" : "2"}}})), true);
	EQ(k8s_node_has_gpu(JSON({"status" : {"allocatable" : {"nvidia.com/gpu" : "0"}}})), false);
	EQ(k8s_node_has_gpu(JSON({"status" : {"allocatable" : {"cpu" : "4"}}})), false);
	EQ(k8s_node_has_gpu(JSON({})), false);
	EQ(k8s_refuse_gpu(&err), -1);
	EQ(err.code, GRPC_FAILED_PRECONDITION);
	HAS(err.text, "GPU sandbox requested, but the active gateway has no allocatable GPUs.");
	EQ(k8s_refuse_workspace("w", GRPC_PERMISSION_DENIED, &err), -1);
	EQ(err.code, GRPC_PERMISSION_DENIED);
	STREQ(err.text, "workspace 'w' is not in the operator namespace allowlist");
}

TEST(quantities_labels_and_variables)
{
	HAS(refused("'resources':{'cpuLimit':'NaN'}"), "template.resources.cpu_limit 'NaN'");
	HAS(refused("'resources':{'memoryRequest':'4GB'}"), "memory_request '4GB'");
	EQ(validate("", with("'resources':{'cpuLimit':'500m','memoryLimit':'4Gi'}")), 0);
	HAS(refused("'labels':{'a b':'x'}"), "'a b' is not a valid label key");
	HAS(refused("'labels':{'a':'x y'}"), "not a valid value of label 'a'");
	HAS(refused("'environment':{'A=B':'x'}"), "template.environment: 'A=B'");
	HAS(refused("'environment':{'':'x'}"), "template.environment: ''");
	HAS(refused_by("", sandbox_with("", "\"environment\":{\"A\\nB\":\"x\"}")),
	    "spec.environment");
}

/* upstream: driver_config_for_spec_rejects_unknown_fields */
TEST(unknown_fields_are_refused_by_path)
{
	STREQ(config_refused("{'pod':{'node_selctor':{}}}"),
	      "unknown field 'pod.node_selctor', expected one of: node_selector, "
	      "runtime_class_name, tolerations, priority_class_name");
	HAS(config_refused("{'Pod':{}}"), "unknown field 'Pod'");
	HAS(config_refused("{'containers':{'sidecar':{}}}"), "unknown field 'containers.sidecar'");
	HAS(config_refused("{'containers':{'agent':{'image':'x'}}}"),
	    "unknown field 'containers.agent.image'");
	HAS(config_refused("{'volumes':[{'name':'a','persistent_volume_claim':{'claim_name':'c',"
			   "'readonly':true}}]}"),
	    "unknown field 'volumes[0].persistent_volume_claim.readonly'");
	HAS(config_refused("{'containers':{'agent':{'volume_mounts':[{'name':'a','mount_path':'/x',"
			   "'subPath':'y'}]}}}"),
	    "unknown field 'containers.agent.volume_mounts[0].subPath'");
	HAS(config_refused("{'containers':{'agent':{'resources':{'limit':{}}}}}"),
	    "unknown field 'containers.agent.resources.limit'");
	/* null is no way around it */
	HAS(config_refused("{'pod':{'x':null}}"), "unknown field 'pod.x'");
}

TEST(unknown_platform_fields_are_refused_too)
{
	STREQ(refused("'platformConfig':{'runtime_class':'x'}"),
	      "invalid kubernetes platform_config: unknown field 'runtime_class', expected one of: "
	      "runtime_class_name, annotations, host_users, resources_raw, node_selector, "
	      "tolerations, volume_claim_templates");
	HAS(refused("'platformConfig':{'resources_raw':{'limits':{'cpu':'x'}}}"),
	    "'resources_raw.limits.cpu' must be a quantity");
	HAS(refused("'platformConfig':{'resources_raw':{'limits':{'cpu':-1}}}"),
	    "'resources_raw.limits.cpu' must be a quantity");
	HAS(refused("'platformConfig':{'resources_raw':{'limits':{'cpu':[2]}}}"),
	    "'resources_raw.limits.cpu' must be a quantity");
	HAS(refused("'platformConfig':{'runtime_class_name':'A B'}"), "runtime_class_name 'A B'");
	HAS(refused("'platformConfig':{'host_users':'no'}"), "'host_users' must be true or false");
	HAS(refused("'platformConfig':{'annotations':{'a b':'x'}}"), "'a b' is no annotation key");
	/* every key that a gateway of 0.0 has sent (1.9) */
	EQ(validate("",
		    with("'platformConfig':{'runtime_class_name':'kata','annotations':{'a':'b'},"
			 "'host_users':false,'resources_raw':{'limits':{'x.y/z':2}},"
			 "'node_selector':{'a':'b'},'tolerations':[{}],"
			 "'volume_claim_templates':[{}]}")),
	   0);
}

TEST(shapes)
{
	HAS(config_refused("{'pod':[]}"), "field 'pod' must be an object");
	HAS(config_refused("{'pod':{'runtime_class_name':1}}"),
	    "'pod.runtime_class_name' must be a "
	    "string");
	HAS(config_refused("{'pod':{'node_selector':{'a':1}}}"), "'pod.node_selector.a' must be a "
								 "string");
	HAS(config_refused("{'pod':{'tolerations':['x']}}"), "'pod.tolerations[0]' must be an "
							     "object");
	HAS(config_refused("{'volumes':{}}"), "'volumes' must be a list");
	HAS(config_refused("{'volumes':[{'name':'a'}]}"),
	    "missing field 'volumes[0].persistent_volume_claim'");
	HAS(config_refused("{'volumes':[{'persistent_volume_claim':{'claim_name':'c'}}]}"),
	    "missing field 'volumes[0].name'");
	HAS(config_refused("{'volumes':[{'name':'a','persistent_volume_claim':{}}]}"),
	    "missing field 'volumes[0].persistent_volume_claim.claim_name'");
	HAS(config_refused("{'containers':{'agent':{'volume_mounts':[{'name':null,'mount_path':"
			   "'/x'}]}}}"),
	    "missing field 'containers.agent.volume_mounts[0].name'");
	HAS(config_refused("{'containers':{'agent':{'volume_mounts':[{'name':'a'}]}}}"),
	    "missing field 'containers.agent.volume_mounts[0].mount_path'");
	HAS(config_refused("{'containers':{'agent':{'resources':{'limits':{'cpu':'lots'}}}}}"),
	    "'containers.agent.resources.limits.cpu' must be a quantity");
	HAS(config_refused("{'pod':{'runtime_class_name':'A B'}}"), "runtime_class_name 'A B'");
	HAS(config_refused("{'pod':{'node_selector':{'a':'b c'}}}"), "node_selector 'a=b c'");
	HAS(config_refused("{'network_mode':'bridge'}"),
	    "network_mode 'bridge' must be one of: isolated, host, auto");
	EQ(validate("", with_config("{'pod':null,'network_mode':'host','volumes':[]}")), 0);
}

static const char *volumes_refused(const char *name, const char *claim)
{
	return config_refused(arena_printf(&test_arena,
					   "{'volumes':[{'name':'%s','persistent_volume_claim':{"
					   "'claim_name':'%s'}}]}",
					   name, claim));
}

TEST(volumes)
{
	HAS(volumes_refused("A", "c"), "volume name 'A' must be a DNS-1123 label");
	HAS(volumes_refused("a", "C"), "claim_name 'C'");
	STREQ(config_refused(
		      "{'volumes':[{'name':'a','persistent_volume_claim':{'claim_name':'c'}},"
		      "{'name':'a','persistent_volume_claim':{'claim_name':'d'}}]}"),
	      "duplicate kubernetes driver_config volume 'a'");
}

/* upstream: reserved_kubernetes_volume_names_cover_managed_pod_volumes; 3.16, defect 17: those of
 * sidecar topology as well */
TEST(defect_17_every_volume_of_ours_is_reserved)
{
	static const char *const sidecar[] = {"openshell-sidecar-state", "openshell-supervisor-tls",
					      "openshell-upstream-proxy-auth", "workspace",
					      "supervisor-bin"};
	cJSON *got = rendered("--client-tls-secret-name t "
			      "--provider-spiffe-workload-api-socket-path /s/a",
			      with(""));
	const cJSON *v;
	int n = 0;

	for (size_t i = 0; i < ARRAY_LEN(sidecar); i++)
		HAS(volumes_refused(sidecar[i], "c"), "is reserved for OpenShell-managed volumes");
	cJSON_ArrayForEach(v, json_get(pod_of(got), "volumes")) {
		HAS(volumes_refused(json_str(v, "name"), "c"),
		    "is reserved for OpenShell-managed volumes");
		n++;
	}
	EQ(n, 4);
}

static char *mount_config(const char *mount)
{
	return arena_printf(
		&test_arena,
		"{'volumes':[{'name':'d','persistent_volume_claim':{'claim_name':'c'}}],"
		"'containers':{'agent':{'volume_mounts':[{'name':'d',%s}]}}}",
		mount);
}

static const char *path_refused(const char *path)
{
	return config_refused(mount_config(arena_printf(&test_arena, "'mount_path':'%s'", path)));
}

/* upstream: driver_config_rejects_shared_reserved_mount_targets: itself, above and below */
TEST(reserved_mount_targets)
{
	static const char *const reserved[] = {
		"/opt/openshell",         "/etc/openshell", "/etc/openshell-tls", "/run/openshell",
		"/run/openshell-sidecar", "/run/netns",     "/var/run/netns"};

	for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
		HAS(path_refused(reserved[i]), "conflicts with reserved OpenShell path");
		HAS(path_refused(arena_printf(&test_arena, "%s/x", reserved[i])),
		    "conflicts with reserved OpenShell path");
	}
	HAS(path_refused("/run"), "mount path '/run' conflicts with reserved OpenShell path");
	HAS(path_refused("/opt"), "mount path '/opt' conflicts");
	/* a name that only begins like it is another place */
	EQ(validate("", with_config(mount_config("'mount_path':'/opt/openshell2'"))), 0);
	EQ(validate("", with_config(mount_config("'mount_path':'/opt/open'"))), 0);
}

/* upstream: driver_config_rejects_kubernetes_static_protected_mount_targets; 3.5, second row */
TEST(token_and_spiffe_targets)
{
	static const char *const paths[] = {"/var/run/secrets/openshell",
					    "/var/run/secrets/openshell/x", "/var/run/secrets"};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		STREQ(refused_by("", with_config(mount_config(arena_printf(
					     &test_arena, "'mount_path':'%s'", paths[i])))),
		      arena_printf(&test_arena,
				   "mount path '%s' conflicts with reserved OpenShell path "
				   "'/var/run/secrets/openshell'",
				   paths[i]));
	STREQ(refused_by("--provider-spiffe-workload-api-socket-path /spiffe/a.sock",
			 with_config(mount_config("'mount_path':'/spiffe/x'"))),
	      "mount path '/spiffe/x' conflicts with reserved OpenShell path '/spiffe'");
	EQ(validate("", with_config(mount_config("'mount_path':'/spiffe/x'"))), 0);
	STREQ(refused_by("--supervisor-mount-path /srv/sup",
			 with_config(mount_config("'mount_path':'/srv'"))),
	      "mount path '/srv' conflicts with reserved OpenShell path '/srv/sup'");
}

TEST(mount_paths)
{
	HAS(path_refused("x"), "must be absolute");
	HAS(path_refused("/"), "must not be '/'");
	HAS(path_refused("/a//b"), "must be normalized");
	HAS(path_refused("/a/./b"), "must be normalized");
	HAS(path_refused("/a/../b"), "must be normalized");
	HAS(path_refused("/a/"), "must be normalized");
	HAS(path_refused(" /a"), "blanks");
	HAS(path_refused("/a\\u0001"), "control characters");
	STREQ(path_refused("/sandbox"),
	      "mount path '/sandbox' is reserved for the OpenShell workspace");
	EQ(validate("", with_config(mount_config("'mount_path':'/sandbox/x'"))), 0);
	EQ(validate("", with_config(mount_config("'mount_path':'/sandbox2'"))), 0);
}

TEST(mounts)
{
	HAS(config_refused("{'containers':{'agent':{'volume_mounts':[{'name':'z','mount_path':"
			   "'/x'}]}}}"),
	    "references an unknown volume 'z'");
	HAS(config_refused(mount_config("'mount_path':'/x','read_only':false")),
	    "cannot set read_only=false because the PVC volume is read_only=true");
	HAS(config_refused(mount_config("'mount_path':'/x'},{'name':'d','mount_path':'/x'")),
	    "duplicate mount_path '/x'");
	HAS(config_refused(mount_config("'mount_path':'/x','sub_path':''")), "must not be empty");
	HAS(config_refused(mount_config("'mount_path':'/x','sub_path':'/a'")), "must be relative");
	HAS(config_refused(mount_config("'mount_path':'/x','sub_path':'a/../b'")), "'..'");
	EQ(validate("", with_config(mount_config("'mount_path':'/x','sub_path':'a/b..c'"))), 0);
}

/* What protobuf can carry and JSON cannot */
TEST(driver_config_with_nan)
{
	Openshell__Compute__V1__DriverSandbox *s = with_config("{'pod':{'tolerations':[{'a':1}]}}");
	Google__Protobuf__Struct *c = s->spec->template_->driver_config;

	c->fields[0]
		->value->struct_value->fields[0]
		->value->list_value->values[0]
		->struct_value->fields[0]
		->value->number_value = 0.0 / 0.0;
	HAS(refused_by("", s), "invalid kubernetes driver_config: ");
}
