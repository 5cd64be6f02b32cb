#include "k8s.h"

#define LOG_AND_USER "\"environment\":{\"A\":\"spec\",\"C\":\"3\"},\"logLevel\":\"debug\""

static const char *resources_of(const char *template, const char *spec)
{
	const cJSON *r =
		json_get(agent_of(rendered("", sandbox_with(template, spec))), "resources");

	return r ? keep_text(json_text(r)) : "none";
}

/* seed 000: TestBuildEnvList_MergesAndOverrides, TestMergeMaps_BOverridesA */
TEST(spec_overrides_template)
{
	cJSON *got = rendered(
		"", sandbox_with("\"environment\":{\"A\":\"template\",\"B\":\"2\"}", LOG_AND_USER));

	STREQ(variable(got, "A"), "spec");
	STREQ(variable(got, "B"), "2");
	STREQ(variable(got, "C"), "3");
	STREQ(variable(got, "OPENSHELL_LOG_LEVEL"), "debug");
	JSONEQ(json_of(variable(got, "OPENSHELL_USER_ENVIRONMENT")),
	       {"A" : "spec", "B" : "2", "C" : "3", "OPENSHELL_LOG_LEVEL" : "debug"});
}

/* upstream: supervisor_sideload_replaces_spoofed_identity_environment; a name that is ours is there
 * once and with our value, whatever a user sends and how often */
TEST(driver_owned_environment_cannot_be_set)
{
	static const struct {
		const char *name, *value;
	} ours[] = {
		{"OPENSHELL_SANDBOX_UID", "1000"},
		{"OPENSHELL_SANDBOX_GID", "1000"},
		{"OPENSHELL_OCI_IMAGE_USER", ""},
		{"OPENSHELL_SANDBOX_ID", UUID},
		{"OPENSHELL_SANDBOX", "box"},
		{"OPENSHELL_ENDPOINT", "http://gw"},
		{"OPENSHELL_K8S_SA_TOKEN_FILE", "/var/run/secrets/openshell/token"},
		{"OPENSHELL_NETWORK_MODE", "auto"},
		{"OPENSHELL_NETWORK_RUNTIME_CAPABILITIES", ""},
		{"OPENSHELL_SSH_SOCKET_PATH", "/run/openshell/ssh.sock"},
		{"OPENSHELL_TELEMETRY_ENABLED", "false"},
		{"OPENSHELL_SANDBOX_COMMAND", "sleep infinity"},
		{"OPENSHELL_PREPARE_WORKSPACE", "/sandbox"},
		/* not set by us here, and not to be set by a user */
		{"OPENSHELL_TLS_CA", NULL},
		{"OPENSHELL_SANDBOX_TOKEN", NULL},
		{"OPENSHELL_SANDBOX_TOKEN_FILE", NULL},
		{"OPENSHELL_GATEWAY_TLS_SERVER_NAME", NULL},
		{"OPENSHELL_POLICY_RULES", NULL},
		{"OPENSHELL_NETWORK_BINARY_IDENTITY", NULL},
		{"OPENSHELL_SUPERVISOR_TOPOLOGY", NULL},
		{"OPENSHELL_PROVIDER_SPIFFE_WORKLOAD_API_SOCKET", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		const char *env = arena_printf(&test_arena, "\"environment\":{\"%s\":\"spoof\"}",
					       ours[i].name);
		Openshell__Compute__V1__DriverSandbox *s = sandbox_with(env, env);
		cJSON *got;
		/* doubled on the wire, which a map allows */
		s->spec->environment =
			(void *)(Openshell__Compute__V1__DriverSandboxSpec__EnvironmentEntry *[]){
				s->spec->environment[0], s->spec->environment[0]};
		s->spec->n_environment = 2;
		got = rendered("--supervisor-image mine:1 --grpc-endpoint http://gw", s);
		if (ours[i].value == NULL)
			EQ(variable(got, ours[i].name) == NULL, true);
		else
			STREQ(variable(got, ours[i].name), ours[i].value);
		EQ(variable(got, "OPENSHELL_USER_ENVIRONMENT") == NULL, true);
	}
}

TEST(harmless_tuning_is_the_users)
{
	cJSON *got = rendered(
		"", sandbox_with("\"environment\":{\"OPENSHELL_POLICY_POLL_INTERVAL_SECS\":\"3\"}",
				 ""));

	STREQ(variable(got, "OPENSHELL_POLICY_POLL_INTERVAL_SECS"), "3");
}

/* 2.3, rule 8 */
TEST(command_and_its_default)
{
	cJSON *got = rendered(
		"",
		sandbox_with("", "\"command\":[\"/bin/sh\",\"-c\",\"a \\\"b\\\"\"],\"tty\":false"));

	JSONEQ(json_of(variable(got, "OPENSHELL_MAIN_PROCESS_SPEC")),
	       {"version" : 1, "command" : [ "/bin/sh", "-c", "a \"b\"" ], "tty" : false});
	got = rendered("", sandbox_with("", ""));
	JSONEQ(json_of(variable(got, "OPENSHELL_MAIN_PROCESS_SPEC")),
	       {"version" : 1, "command" : [ "/bin/bash", "-l" ], "tty" : true});
	STREQ(variable(got, "OPENSHELL_SANDBOX_COMMAND"), "sleep infinity");
}

TEST(network_mode_is_handed_on)
{
	cJSON *got = rendered("--network-mode isolated",
			      sandbox_with("\"driverConfig\":{\"network_mode\":\"host\"}", ""));

	STREQ(variable(got, "OPENSHELL_NETWORK_MODE"), "host");
	STREQ(variable(rendered("--network-mode isolated", sandbox_with("", "")),
		       "OPENSHELL_NETWORK_MODE"),
	      "isolated");
}

/* As kubelet does it (Kubernetes' expansion of $(NAME) and $$). */
static char *expanded(const char *in)
{
	char *out = arena_zalloc(&test_arena, strlen(in) + 100), *p = out;

	for (; *in != '\0'; in++) {
		const char *end = in[0] == '$' && in[1] == '(' ? strchr(in, ')') : NULL;
		if (end != NULL) {
			p = stpcpy(p, "EXPANDED");
			in = end;
			continue;
		}
		*p++ = *in;
		if (in[0] == '$' && in[1] != '\0' && *++in != '$')
			*p++ = *in;
	}
	return out;
}

/* Upstream hands values on as they are: a user's `$$` becomes `$`, and $(NAME) is replaced. */
TEST(kubelet_expands_nothing)
{
	static const char *const values[] = {
		"$",      "$$", "$$$",   "$(HOME)", "a$(HOME)b$", "$$(A)",         "$x",
		"$$x$$y", "",   "plain", "$(",      "kill $$",    "$(date) $$$(B)"};

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		const char *env =
			arena_printf(&test_arena, "\"environment\":{\"A\":\"%s\"}", values[i]);
		STREQ(expanded(variable(rendered("", sandbox_with(env, "")), "A")), values[i]);
	}
	HAS(variable(
		    rendered("", sandbox_with("", "\"command\":[\"sh\",\"-c\",\"echo $(id) $$\"]")),
		    "OPENSHELL_MAIN_PROCESS_SPEC"),
	    "echo $$(id) $$$");
}

/* --- resources --- */

/* upstream: cpu_and_memory_limits_are_mirrored_to_requests */
TEST(limits_are_mirrored_to_requests)
{
	JSONIS(json_of(resources_of("\"resources\":{\"cpuLimit\":\"500m\",\"memoryLimit\":\"2Gi\","
				    "\"memoryRequest\":\"1Gi\"}",
				    "")),
	       "{\"limits\":{\"cpu\":\"500m\",\"memory\":\"2Gi\"},"
	       "\"requests\":{\"cpu\":\"500m\",\"memory\":\"1Gi\"}}");
	STREQ(resources_of("", ""), "none");
	STREQ(resources_of("\"resources\":{}", ""), "none");
	JSONIS(json_of(resources_of("\"resources\":{\"cpuRequest\":\"1\"}", "")),
	       "{\"requests\":{\"cpu\":\"1\"}}");
}

/* seed 000: TestBuildResources_WithGPU / _NoGPU; a bare GPU request was lost there */
TEST(gpu_is_a_limit)
{
	JSONIS(json_of(resources_of("", "\"resourceRequirements\":{\"gpu\":{}}")),
	       "{\"limits\":{\"nvidia.com/gpu\":\"1\"}}");
	JSONIS(json_of(resources_of(
		       "\"platformConfig\":{\"resources_raw\":{\"limits\":{\"nvidia.com/gpu\":8}}}",
		       "\"resourceRequirements\":{\"gpu\":{\"count\":2}}")),
	       "{\"limits\":{\"nvidia.com/gpu\":\"2\"}}");
}

TEST(raw_typed_and_driver_resources)
{
	JSONIS(json_of(resources_of(
		       "\"platformConfig\":{\"resources_raw\":{\"limits\":{\"cpu\":\"1\",\"a.b/"
		       "c\":2},"
		       "\"requests\":{\"cpu\":\"250m\"}}},"
		       "\"resources\":{\"cpuLimit\":\"4\"},"
		       "\"driverConfig\":{\"containers\":{\"agent\":{\"resources\":{\"limits\":{"
		       "\"cpu\":\"9\",\"memory\":\"1Gi\"},\"requests\":{\"ephemeral-storage\":"
		       "\"5Gi\"}}}}}",
		       "")),
	       "{\"limits\":{\"cpu\":\"4\",\"a.b/c\":2,\"memory\":\"1Gi\"},"
	       "\"requests\":{\"cpu\":\"250m\",\"ephemeral-storage\":\"5Gi\"}}");
}

/* 3.16, defect 9: a quota on limits refuses a pod that has one container without; the same amounts
 * once more change neither what the pod needs nor its QoS class */
TEST(defect_09_helpers_have_the_agents_resources)
{
	cJSON *got = rendered("--supervisor-sideload-method init-container",
			      sandbox_with("\"resources\":{\"cpuLimit\":\"1\",\"memoryLimit\":"
					   "\"2Gi\"}",
					   "\"resourceRequirements\":{\"gpu\":{}}"));
	const cJSON *c;
	int n = 0;

	cJSON_ArrayForEach(c, json_get(pod_of(got), "initContainers")) {
		JSONEQ(json_get(c, "resources"), {
			"limits" : {"cpu" : "1", "memory" : "2Gi"},
			"requests" : {"cpu" : "1", "memory" : "2Gi"}
		});
		n++;
	}
	EQ(n, 2);
	got = rendered("--supervisor-sideload-method init-container", sandbox_with("", ""));
	EQ(json_get(json_get(pod_of(got), "initContainers")->child, "resources") == NULL, true);
}

/* --- identity --- */

static struct k8s_identity identity;
static struct err err;

static int identify(const char *arguments, const char *uids, const char *groups)
{
	cJSON *ns = keep(json_object()), *meta = json_put_object(ns, "metadata");
	cJSON *notes = json_put_object(meta, "annotations");

	json_put_str(meta, "name", "ns");
	if (uids != NULL)
		json_put_str(notes, "openshift.io/sa.scc.uid-range", uids);
	if (groups != NULL)
		json_put_str(notes, "openshift.io/sa.scc.supplemental-groups", groups);
	err = (struct err){0};
	return k8s_identity(options(arguments), ns, &identity, &err);
}

TEST(identity_by_option_reads_no_namespace)
{
	EQ(k8s_identity_needs_namespace(options("--sandbox-uid 7")), false);
	EQ(k8s_identity_needs_namespace(options("--sandbox-gid 7")), true);
	EQ(k8s_identity(options("--sandbox-uid 7"), NULL, &identity, &err), 0);
	EQ(identity.uid, 7);
	EQ(identity.gid, 7);
	EQ(k8s_identity(options("--sandbox-uid 7 --sandbox-gid 8"), NULL, &identity, &err), 0);
	EQ(identity.gid, 8);
	EQ(identity.from_namespace, false);
}

/* upstream: resolve_sandbox_uid_falls_back_to_openshift_annotation; and 7.3 item 3: both forms */
TEST(identity_from_the_namespace)
{
	EQ(identify("", "1000000000/10000", NULL), 0);
	EQ(identity.uid, 1000000000);
	EQ(identity.gid, 1000000000);
	EQ(identify("", "1000650000-1000659999", "1000700000/10000,5/1"), 0);
	EQ(identity.uid, 1000650000);
	EQ(identity.gid, 1000700000);
	EQ(identify("--sandbox-gid 5", "1000650000/1", "9/1"), 0);
	EQ(identity.gid, 5);
	EQ(identify("", NULL, "9/1"), 0);
	EQ(identity.uid, 1000);
	EQ(identity.gid, 1000);
	EQ(identity.from_namespace, true);
}

TEST(identity_that_makes_no_sense_is_no_guess)
{
	static const char *const bad[] = {"", "x", "5", "0/10", "4294967295/1", "5/", "/5", "5-x"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		EQ(identify("", bad[i], NULL), -1);
		EQ(err.code, GRPC_FAILED_PRECONDITION);
		HAS(err.text, "namespace ns");
	}
}

TEST(identity_annotations_are_copied_to_the_object)
{
	struct k8s_facts f = *facts();
	cJSON *got;

	EQ(identify("", "1000650000/10000", "1000700000/10000"), 0);
	f.identity = identity;
	got = keep(k8s_render(options(""), &f, sandbox_with("", ""), &err));
	STREQ(json_str(json_at(got, "metadata", "annotations", NULL),
		       "openshift.io/sa.scc.uid-range"),
	      "1000650000/10000");
	STREQ(json_str(json_at(got, "metadata", "annotations", NULL),
		       "openshift.io/sa.scc.supplemental-groups"),
	      "1000700000/10000");
	STREQ(variable(got, "OPENSHELL_SANDBOX_UID"), "1000650000");
	STREQ(variable(got, "OPENSHELL_SANDBOX_GID"), "1000700000");
}
