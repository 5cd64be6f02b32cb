/* Sidecar topology: driver contract 3.6 and 3.7, and items 14, 15 and 20 of section 6. */
#include "driver/kubernetes/validate.h"
#include "k8s.h"

#define SIDECAR "--topology sidecar --supervisor-sideload-method init-container "
#define PROXY                                                                                      \
	"--https-proxy http://p:1 --proxy-auth-secret-name creds --proxy-auth-secret-key k "       \
	"--proxy-auth-allow-insecure "

static cJSON *plain(const char *arguments)
{
	return rendered(arguments, sandbox_with("", ""));
}

static const cJSON *network_of(const cJSON *object)
{
	return named(json_get(pod_of(object), "containers"), "openshell-supervisor-network");
}

static const cJSON *init_of(const cJSON *object, const char *name)
{
	return named(json_get(pod_of(object), "initContainers"), name);
}

static const char *value(const cJSON *container, const char *name)
{
	const cJSON *v = named(json_get(container, "env"), name);

	return v ? json_str(v, "value") : NULL;
}

static bool mounts(const cJSON *container, const char *volume)
{
	return named(json_get(container, "volumeMounts"), volume) != NULL;
}

/* upstream: sidecar_topology_renders_process_agent_and_network_sidecar */
TEST(agent_has_no_privilege_and_no_identity)
{
	cJSON *got = plain(SIDECAR "--client-tls-secret-name tls --grpc-endpoint http://gw "
				   "--provider-spiffe-workload-api-socket-path /spiffe/a.sock "
				   "--app-armor-profile Unconfined");
	const cJSON *agent = agent_of(got);
	static const char *const gone[] = {
		"OPENSHELL_ENDPOINT",          "OPENSHELL_TLS_CA",
		"OPENSHELL_TLS_CERT",          "OPENSHELL_TLS_KEY",
		"OPENSHELL_K8S_SA_TOKEN_FILE", "OPENSHELL_PROVIDER_SPIFFE_WORKLOAD_API_SOCKET"};

	JSONEQ(json_get(agent, "command"), [
		"/opt/openshell/bin/openshell-sandbox", "--mode=process", "--workdir", "/sandbox"
	]);
	JSONEQ(json_get(agent, "securityContext"), {
		"allowPrivilegeEscalation" : false,
		"capabilities" : {"drop" : ["ALL"]},
		"runAsUser" : 1000,
		"runAsGroup" : 1000,
		"runAsNonRoot" : true,
		"appArmorProfile" : {"type" : "Unconfined"}
	});
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		EQ(value(agent, gone[i]) == NULL, true);
	STREQ(value(agent, "OPENSHELL_SUPERVISOR_TOPOLOGY"), "sidecar");
	STREQ(value(agent, "OPENSHELL_NETWORK_ENFORCEMENT_MODE"), "sidecar-nftables");
	STREQ(value(agent, "OPENSHELL_SSH_SOCKET_PATH"), "@openshell-sidecar-ssh");
	STREQ(value(agent, "OPENSHELL_SIDECAR_CONTROL_SOCKET"),
	      "/run/openshell-sidecar/control.sock");
	STREQ(value(agent, "OPENSHELL_PROXY_TLS_DIR"), "/etc/openshell-tls/proxy");
	JSONEQ(json_get(agent, "volumeMounts"), [
		{
			"name" : "openshell-supervisor-bin",
			"mountPath" : "/opt/openshell/bin",
			"readOnly" : true
		},
		{"name" : "openshell-sidecar-state", "mountPath" : "/run/openshell-sidecar"},
		{"name" : "openshell-supervisor-tls", "mountPath" : "/etc/openshell-tls/proxy"},
		{"name" : "workspace", "mountPath" : "/sandbox"}
	]);
}

TEST(network_supervisor_has_the_identity)
{
	cJSON *got = rendered(
		SIDECAR "--client-tls-secret-name tls --grpc-endpoint http://gw "
			"--provider-spiffe-workload-api-socket-path /spiffe/a.sock",
		sandbox_with("\"environment\":{\"MINE\":\"x\"}", "\"logLevel\":\"debug\""));
	const cJSON *net = network_of(got);

	JSONEQ(json_get(net, "command"), [ "/openshell-sandbox", "--mode=network" ]);
	JSONEQ(json_get(net, "securityContext"), {
		"allowPrivilegeEscalation" : false,
		"capabilities" : {"drop" : ["ALL"], "add" : [ "SYS_PTRACE", "DAC_READ_SEARCH" ]},
		"runAsUser" : 0,
		"runAsGroup" : 1000,
		"runAsNonRoot" : false
	});
	STREQ(value(net, "OPENSHELL_ENDPOINT"), "http://gw");
	STREQ(value(net, "OPENSHELL_TLS_KEY"), "/etc/openshell-tls/proxy/client/tls.key");
	STREQ(value(net, "OPENSHELL_K8S_SA_TOKEN_FILE"), "/var/run/secrets/openshell/token");
	STREQ(value(net, "OPENSHELL_LOG_LEVEL"), "debug");
	EQ(value(net, "MINE") == NULL, true);
	EQ(value(net, "OPENSHELL_USER_ENVIRONMENT") == NULL, true);
	EQ(value(net, "OPENSHELL_NETWORK_BINARY_IDENTITY") == NULL, true);
	EQ(mounts(net, "openshell-sa-token"), true);
	EQ(mounts(net, "spiffe-workload-api"), true);
	EQ(mounts(net, "workspace"), false);
	STREQ(json_str(net, "image"), json_str(init_of(got, "openshell-network-init"), "image"));
}

TEST(network_init_makes_the_wall_first)
{
	cJSON *got = plain(SIDECAR "--client-tls-secret-name tls");
	const cJSON *init = init_of(got, "openshell-network-init");
	static const char *const order[] = {"openshell-supervisor-install",
					    "openshell-network-init", "workspace-init"};

	JSONEQ(json_get(init, "command"), [
		"/openshell-sandbox", "--mode=network-init", "--proxy-uid", "0", "--proxy-gid",
		"1000", "--sidecar-state-dir", "/run/openshell-sidecar", "--sidecar-tls-dir",
		"/etc/openshell-tls/proxy"
	]);
	JSONEQ(json_get(init, "securityContext"), {
		"allowPrivilegeEscalation" : false,
		"capabilities" :
			{"drop" : ["ALL"], "add" : [ "NET_ADMIN", "NET_RAW", "CHOWN", "FOWNER" ]},
		"runAsUser" : 0
	});
	EQ(mounts(init, "openshell-client-tls"), true);
	EQ(mounts(init, "openshell-sa-token"), false);
	for (int i = 0; i < 3; i++)
		STREQ(json_str(cJSON_GetArrayItem(json_get(pod_of(got), "initContainers"), i),
			       "name"),
		      order[i]);
}

TEST(pod_shares_its_processes_and_secrets_by_group)
{
	cJSON *got = plain(SIDECAR "--client-tls-secret-name tls");
	const cJSON *pod = pod_of(got), *volumes = json_get(pod, "volumes");

	EQ(cJSON_IsTrue(json_get(pod, "shareProcessNamespace")), true);
	JSONEQ(json_get(pod, "securityContext"), {"fsGroup" : 1000});
	EQ(json_int(json_get(named(volumes, "openshell-client-tls"), "secret"), "defaultMode", 0),
	   0440);
	EQ(json_int(json_get(named(volumes, "openshell-sa-token"), "projected"), "defaultMode", 0),
	   0440);
	EQ(named(volumes, "openshell-sidecar-state") != NULL, true);
	EQ(named(volumes, "openshell-supervisor-tls") != NULL, true);
}

/* upstream: sidecar_topology_can_relax_process_binary_aware_network_policy */
TEST(relaxed_policy_runs_as_the_proxys_user)
{
	cJSON *got = plain(SIDECAR "--sidecar-process-binary-aware-network-policy false "
				   "--proxy-uid 2000");
	const cJSON *net = network_of(got);

	JSONEQ(json_get(net, "securityContext"), {
		"allowPrivilegeEscalation" : false,
		"capabilities" : {"drop" : ["ALL"]},
		"runAsUser" : 2000,
		"runAsGroup" : 1000,
		"runAsNonRoot" : true
	});
	STREQ(value(net, "OPENSHELL_NETWORK_BINARY_IDENTITY"), "relaxed");
	STREQ(cJSON_GetArrayItem(json_get(init_of(got, "openshell-network-init"), "command"), 3)
		      ->valuestring,
	      "2000");
}

/* upstream: sidecar_topology_rejects_proxy_uid_matching_sandbox_uid; by Validate too (3.16, 10) */
TEST(proxy_uid_must_not_be_the_sandboxes)
{
	const char *words =
		"proxy_uid (1000) must not match sandbox_uid (1000) in sidecar topology";
	struct err e = {0};

	EQ(k8s_render(options(SIDECAR "--proxy-uid 1000"), facts(), sandbox_with("", ""), &e) ==
		   NULL,
	   true);
	EQ(e.code, GRPC_FAILED_PRECONDITION);
	STREQ(e.text, words);
	EQ(k8s_validate(options(SIDECAR "--proxy-uid 1000 --sandbox-uid 1000"),
			sandbox_with("", ""), &e),
	   -1);
	STREQ(e.text, words);
	EQ(k8s_validate(options("--proxy-uid 1000 --sandbox-uid 1000"), sandbox_with("", ""), &e),
	   0);
}

/* upstream: upstream_proxy_is_injected_only_into_network_supervisors */
TEST(proxy_credentials_are_the_network_supervisors_alone)
{
	cJSON *got = plain(SIDECAR PROXY "--no-proxy .svc");
	const cJSON *net = network_of(got), *c;

	JSONEQ(json_get(net, "command"), [
		"/openshell-sandbox", "--mode=network", "--upstream-proxy", "http://p:1",
		"--upstream-no-proxy", ".svc", "--upstream-proxy-auth-file",
		"/etc/openshell/auth/upstream-proxy", "--upstream-proxy-auth-allow-insecure"
	]);
	JSONEQ(named(json_get(net, "volumeMounts"), "openshell-upstream-proxy-auth"), {
		"name" : "openshell-upstream-proxy-auth",
		"mountPath" : "/etc/openshell/auth",
		"readOnly" : true
	});
	JSONEQ(named(json_get(pod_of(got), "volumes"), "openshell-upstream-proxy-auth"), {
		"name" : "openshell-upstream-proxy-auth",
		"secret" : {
			"secretName" : "creds",
			"defaultMode" : 288,
			"items" : [ {"key" : "k", "path" : "upstream-proxy"} ]
		}
	});
	EQ(mounts(agent_of(got), "openshell-upstream-proxy-auth"), false);
	EQ(cJSON_GetArraySize(json_get(agent_of(got), "command")), 4);
	cJSON_ArrayForEach(c, json_get(pod_of(got), "initContainers"))
		EQ(mounts(c, "openshell-upstream-proxy-auth"), false);
}

/* 3.16, defect 9, for the container that runs beside the agent */
TEST(network_supervisor_has_amounts_where_the_agent_has)
{
	cJSON *got = rendered(SIDECAR, sandbox_with("\"resources\":{\"memoryLimit\":\"2Gi\"}", ""));

	JSONEQ(json_get(network_of(got), "resources"),
	       {"requests" : {"memory" : "64Mi"}, "limits" : {"memory" : "512Mi"}});
	EQ(json_get(network_of(plain(SIDECAR)), "resources") == NULL, true);
}

/* upstream: reserved_kubernetes_volume_names_cover_managed_pod_volumes, which was not run for
 * sidecar topology (3.16, defect 17) */
TEST(defect_17_sidecar_volumes_are_reserved)
{
	cJSON *got = plain(SIDECAR PROXY "--client-tls-secret-name t "
					 "--provider-spiffe-workload-api-socket-path /s/a");
	const cJSON *v;
	struct err e = {0};
	int n = 0;

	cJSON_ArrayForEach(v, json_get(pod_of(got), "volumes")) {
		const char *config = arena_printf(&test_arena,
						  "\"driverConfig\":{\"volumes\":[{\"name\":\"%s\","
						  "\"persistent_volume_claim\":{"
						  "\"claim_name\":\"c\"}}]}",
						  json_str(v, "name"));
		EQ(k8s_validate(options(SIDECAR), sandbox_with(config, ""), &e), -1);
		HAS(e.text, "is reserved for OpenShell-managed volumes");
		n++;
	}
	EQ(n, 7);
}
