#include "driver/kubernetes/names.h"
#include "driver/kubernetes/volumes.h"
#include "k8s.h"

#define OURS "--supervisor-image reg/openshell-static:1"

static const cJSON *init_of(const cJSON *object)
{
	return json_get(pod_of(object), "initContainers");
}

static const cJSON *volume(const cJSON *object, const char *name)
{
	return named(json_get(pod_of(object), "volumes"), name);
}

static const cJSON *mount_at(const cJSON *container, const char *path)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, json_get(container, "volumeMounts")) {
		if (streq(json_str(m, "mountPath"), path))
			return m;
	}
	return NULL;
}

static cJSON *plain(const char *arguments)
{
	return rendered(arguments, sandbox_with("", ""));
}

/* The whole object, with the smallest sandbox and our own supervisor: driver contract 3.6 to 3.8. */
TEST(golden_object_init_container)
{
	cJSON *got = plain(OURS " --supervisor-sideload-method init-container --gateway-endpoint "
				"http://gw:8080");

	JSONIS(json_get(got, "metadata"),
	       "{\"name\":\"team--box\",\"namespace\":\"default\","
	       "\"labels\":{\"openshell.ai/managed-by\":\"openshell\","
	       "\"openshell.ai/gateway-id\":\"openshell\",\"openshell.ai/sandbox-id\":\"" UUID "\","
	       "\"openshell.ai/sandbox-name\":\"box\",\"openshell.ai/sandbox-workspace\":\"team\","
	       "\"kagenti.io/type\":\"agent\"},"
	       "\"annotations\":{\"openshell.ai/sandbox-id\":\"" UUID "\","
	       "\"openshell.ai/sandbox-name\":\"box\",\"openshell.ai/"
	       "sandbox-workspace\":\"team\"}}");
	STREQ(json_str(got, "apiVersion"), "agents.x-k8s.io/v1beta1");
	STREQ(json_str(got, "kind"), "Sandbox");
	EQ(cJSON_GetArraySize(got), 4);
	EQ(cJSON_GetArraySize(json_get(got, "spec")), 2);
	JSONEQ(json_at(got, "spec", "volumeClaimTemplates", NULL), [ {
		       "metadata" : {"name" : "workspace"},
		       "spec" : {
			       "accessModes" : ["ReadWriteOnce"],
			       "resources" : {"requests" : {"storage" : "2Gi"}}
		       }
	       } ]);
	JSONIS(json_at(got, "spec", "podTemplate", "metadata", NULL),
	       "{\"labels\":{\"openshell.ai/managed-by\":\"openshell\","
	       "\"openshell.ai/gateway-id\":\"openshell\",\"openshell.ai/sandbox-id\":\"" UUID "\","
	       "\"openshell.ai/sandbox-name\":\"box\",\"openshell.ai/sandbox-workspace\":\"team\","
	       "\"kagenti.io/type\":\"agent\"},"
	       "\"annotations\":{\"openshell.io/sandbox-id\":\"" UUID "\"}}");
	JSONIS(pod_of(got),
	       "{\"automountServiceAccountToken\":false,\"restartPolicy\":\"Never\","
	       "\"serviceAccountName\":\"default\","
	       "\"initContainers\":[{\"name\":\"openshell-supervisor-install\","
	       "\"terminationMessagePolicy\":\"FallbackToLogsOnError\","
	       "\"image\":\"reg/openshell-static:1\","
	       "\"command\":[\"/openshell-sandbox\",\"copy-self\","
	       "\"/opt/openshell/bin/openshell-sandbox\"],"
	       "\"securityContext\":{\"runAsUser\":0},"
	       "\"volumeMounts\":[{\"name\":\"openshell-supervisor-bin\","
	       "\"mountPath\":\"/opt/openshell/bin\"}]}],"
	       "\"containers\":[{\"name\":\"agent\","
	       "\"terminationMessagePolicy\":\"FallbackToLogsOnError\",\"image\":\"img:1\","
	       "\"command\":[\"/opt/openshell/bin/openshell-sandbox\",\"--workdir\",\"/sandbox\"],"
	       "\"env\":[{\"name\":\"OPENSHELL_MAIN_PROCESS_SPEC\",\"value\":"
	       "\"{\\\"version\\\":1,\\\"command\\\":[\\\"/bin/bash\\\",\\\"-l\\\"],"
	       "\\\"tty\\\":true}\"},"
	       "{\"name\":\"OPENSHELL_SANDBOX_COMMAND\",\"value\":\"sleep infinity\"},"
	       "{\"name\":\"OPENSHELL_SANDBOX_ID\",\"value\":\"" UUID "\"},"
	       "{\"name\":\"OPENSHELL_SANDBOX\",\"value\":\"box\"},"
	       "{\"name\":\"OPENSHELL_NETWORK_MODE\",\"value\":\"auto\"},"
	       "{\"name\":\"OPENSHELL_PREPARE_WORKSPACE\",\"value\":\"/sandbox\"},"
	       "{\"name\":\"OPENSHELL_SANDBOX_UID\",\"value\":\"1000\"},"
	       "{\"name\":\"OPENSHELL_SANDBOX_GID\",\"value\":\"1000\"},"
	       "{\"name\":\"OPENSHELL_OCI_IMAGE_USER\",\"value\":\"\"},"
	       "{\"name\":\"OPENSHELL_ENDPOINT\",\"value\":\"http://gw:8080\"},"
	       "{\"name\":\"OPENSHELL_TELEMETRY_ENABLED\",\"value\":\"false\"},"
	       "{\"name\":\"OPENSHELL_NETWORK_RUNTIME_CAPABILITIES\",\"value\":\"\"},"
	       "{\"name\":\"OPENSHELL_SSH_SOCKET_PATH\",\"value\":\"/run/openshell/ssh.sock\"},"
	       "{\"name\":\"OPENSHELL_K8S_SA_TOKEN_FILE\","
	       "\"value\":\"/var/run/secrets/openshell/token\"}],"
	       "\"securityContext\":{\"runAsUser\":0,\"capabilities\":{\"add\":[\"SYS_ADMIN\","
	       "\"NET_ADMIN\",\"SYS_PTRACE\",\"SYSLOG\"]}},"
	       "\"volumeMounts\":[{\"name\":\"openshell-sa-token\","
	       "\"mountPath\":\"/var/run/secrets/openshell\",\"readOnly\":true},"
	       "{\"name\":\"openshell-supervisor-bin\",\"mountPath\":\"/opt/openshell/bin\","
	       "\"readOnly\":true},{\"name\":\"workspace\",\"mountPath\":\"/sandbox\"}]}],"
	       "\"volumes\":[{\"name\":\"openshell-sa-token\",\"projected\":{\"defaultMode\":256,"
	       "\"sources\":[{\"serviceAccountToken\":{\"audience\":\"openshell-gateway\","
	       "\"expirationSeconds\":3600,\"path\":\"token\"}}]}},"
	       "{\"name\":\"openshell-supervisor-bin\",\"emptyDir\":{}}]}");
}

/* Everything an operator can switch on at once. */
TEST(golden_site_options)
{
	cJSON *got = plain(
		OURS
		" --supervisor-sideload-method image-volume --supervisor-image-pull-policy Never "
		"--sandbox-image-pull-policy IfNotPresent --sandbox-image-pull-secrets a,b "
		"--client-tls-secret-name tls --host-gateway-ip 10.0.0.1 "
		"--provider-spiffe-workload-api-socket-path /spiffe/agent.sock "
		"--enable-user-namespaces --app-armor-profile Localhost/p --seccomp-profile "
		"RuntimeDefault --sa-token-ttl-secs 900 "
		"--default-runtime-class-name kata --workspace-storage-class fast "
		"--workspace-default-storage-size 5Gi --https-proxy http://p:1 --no-proxy .svc "
		"--proxy-connect-by-hostname --selinux-type openshell_agent_t --selinux-level "
		"s0:c1,c2 --network-mode isolated");
	const cJSON *pod = pod_of(got), *agent = agent_of(got);

	EQ(init_of(got) == NULL, true);
	STREQ(json_str(pod, "runtimeClassName"), "kata");
	EQ(cJSON_IsFalse(json_get(pod, "hostUsers")), true);
	JSONEQ(json_get(pod, "imagePullSecrets"), [ {"name" : "a"}, {"name" : "b"} ]);
	JSONEQ(json_get(pod, "hostAliases"), [ {
		       "ip" : "10.0.0.1",
		       "hostnames" : [ "host.docker.internal", "host.openshell.internal" ]
	       } ]);
	JSONEQ(json_get(pod, "securityContext"), {"seLinuxOptions" : {"level" : "s0:c1,c2"}});
	JSONEQ(json_get(pod, "volumes"), [
		{
			"name" : "openshell-client-tls",
			"secret" : {"secretName" : "tls", "defaultMode" : 256}
		},
		{
			"name" : "spiffe-workload-api",
			"csi" : {"driver" : "csi.spiffe.io", "readOnly" : true}
		},
		{
			"name" : "openshell-sa-token",
			"projected" : {
				"defaultMode" : 256,
				"sources" : [ {
					"serviceAccountToken" : {
						"audience" : "openshell-gateway",
						"expirationSeconds" : 900,
						"path" : "token"
					}
				} ]
			}
		},
		{
			"name" : "openshell-supervisor-bin",
			"image" : {"reference" : "reg/openshell-static:1", "pullPolicy" : "Never"}
		}
	]);
	JSONEQ(json_get(agent, "volumeMounts"), [
		{
			"name" : "openshell-client-tls",
			"mountPath" : "/etc/openshell-tls/client",
			"readOnly" : true
		},
		{"name" : "spiffe-workload-api", "mountPath" : "/spiffe", "readOnly" : true}, {
			"name" : "openshell-sa-token",
			"mountPath" : "/var/run/secrets/openshell",
			"readOnly" : true
		},
		{
			"name" : "openshell-supervisor-bin",
			"mountPath" : "/opt/openshell/bin",
			"readOnly" : true
		},
		{"name" : "workspace", "mountPath" : "/sandbox"}
	]);
	JSONEQ(json_get(agent, "securityContext"), {
		"runAsUser" : 0,
		"capabilities" : {
			"add" : [
				"SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG", "SETUID",
				"SETGID", "DAC_READ_SEARCH"
			]
		},
		"appArmorProfile" : {"type" : "Localhost", "localhostProfile" : "p"},
		"seccompProfile" : {"type" : "RuntimeDefault"},
		"seLinuxOptions" : {"type" : "openshell_agent_t"}
	});
	JSONEQ(json_get(agent, "command"), [
		"/opt/openshell/bin/openshell-sandbox", "--workdir", "/sandbox", "--upstream-proxy",
		"http://p:1", "--upstream-no-proxy", ".svc", "--upstream-proxy-connect-by-hostname"
	]);
	STREQ(json_str(agent, "imagePullPolicy"), "IfNotPresent");
	STREQ(variable(got, "OPENSHELL_PROVIDER_SPIFFE_WORKLOAD_API_SOCKET"), "/spiffe/agent.sock");
	STREQ(variable(got, "OPENSHELL_NETWORK_MODE"), "isolated");
	JSONEQ(json_at(got, "spec", "volumeClaimTemplates", NULL), [ {
		       "metadata" : {"name" : "workspace"},
		       "spec" : {
			       "accessModes" : ["ReadWriteOnce"],
			       "resources" : {"requests" : {"storage" : "5Gi"}},
			       "storageClassName" : "fast"
		       }
	       } ]);
}

/* The table in render.h: how many init containers each method and kind has, and which. */
TEST(init_containers_are_at_most_one_with_our_supervisor)
{
	static const struct {
		const char *arguments, *first, *second;
	} rows[] = {
		{OURS " --supervisor-sideload-method image-volume", NULL, NULL},
		{OURS " --supervisor-sideload-method init-container",
		 "openshell-supervisor-install", NULL},
		{OURS " --supervisor-sideload-method cp --supervisor-kind static",
		 "supervisor-init", NULL},
		{"--supervisor-sideload-method image-volume", "workspace-init", NULL},
		{"--supervisor-sideload-method image-volume --workspace-default-storage-size none",
		 NULL, NULL},
		{"--supervisor-sideload-method init-container", "openshell-supervisor-install",
		 "workspace-init"},
		{"--supervisor-sideload-method cp", "supervisor-init", "workspace-init"},
		{"--supervisor-sideload-method cp --workspace-default-storage-size none",
		 "supervisor-init", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const cJSON *init = init_of(plain(rows[i].arguments));
		int n = (rows[i].first != NULL) + (rows[i].second != NULL);
		EQ(cJSON_GetArraySize(init), n);
		if (n > 0)
			STREQ(json_str(cJSON_GetArrayItem(init, 0), "name"), rows[i].first);
		if (n > 1)
			STREQ(json_str(cJSON_GetArrayItem(init, 1), "name"), rows[i].second);
	}
}

/* Seed 000, TestBuildSandboxSpec_SupervisorInitContainer; privileged is not kept: the four
 * capabilities are what its own review asked for. */
TEST(seed_000_cp_form)
{
	cJSON *got = plain("--supervisor-image sup:1 --supervisor-binary-path "
			   "/usr/local/bin/openshell-sandbox");
	const cJSON *init = named(init_of(got), "supervisor-init"), *agent = agent_of(got);

	STREQ(json_str(init, "image"), "sup:1");
	JSONEQ(json_get(init, "command"),
	       [ "cp", "/usr/local/bin/openshell-sandbox", "/opt/openshell/bin/" ]);
	JSONEQ(json_get(init, "volumeMounts"),
	       [ {"name" : "supervisor-bin", "mountPath" : "/opt/openshell/bin"} ]);
	JSONEQ(volume(got, "supervisor-bin"), {"name" : "supervisor-bin", "emptyDir" : {}});
	STREQ(json_get(agent, "command")->child->valuestring,
	      "/opt/openshell/bin/openshell-sandbox");
	JSONEQ(json_get(agent, "securityContext"), {
		"runAsUser" : 0,
		"capabilities" : {"add" : [ "SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG" ]}
	});
	JSONEQ(mount_at(agent, "/opt/openshell/bin"),
	       {"name" : "supervisor-bin", "mountPath" : "/opt/openshell/bin", "readOnly" : true});
}

/* Upstream's supervisor_sideload_injects_emptydir_volume_init_container_and_mount, and that the
 * init container needs no shell. */
TEST(copy_self_needs_no_shell)
{
	cJSON *got = plain("--supervisor-sideload-method init-container --supervisor-image sup:1 "
			   "--supervisor-mount-path /opt/elsewhere");
	const cJSON *init = named(init_of(got), "openshell-supervisor-install");

	JSONEQ(json_get(init, "command"),
	       [ "/openshell-sandbox", "copy-self", "/opt/elsewhere/openshell-sandbox" ]);
	EQ(volume(got, "openshell-supervisor-bin") != NULL, true);
	EQ(json_get(volume(got, "openshell-supervisor-bin"), "hostPath") == NULL, true);
	EQ(json_get(mount_at(init, "/opt/elsewhere"), "readOnly") == NULL, true);
	EQ(cJSON_IsTrue(json_get(mount_at(agent_of(got), "/opt/elsewhere"), "readOnly")), true);
	STREQ(json_get(agent_of(got), "command")->child->valuestring,
	      "/opt/elsewhere/openshell-sandbox");
}

/* An API server that does not know image volumes drops them silently (seen with 1.34, gate off). */
TEST(image_volume_on_an_old_server_is_refused)
{
	const struct kubernetes_options *o =
		options(OURS " --supervisor-sideload-method image-volume");
	struct k8s_facts f = *facts();
	struct err e = {0};

	f.server_minor = 30;
	EQ(k8s_render(o, &f, sandbox_with("", ""), &e) == NULL, true);
	EQ(e.code, GRPC_FAILED_PRECONDITION);
	HAS(e.text, "image volumes need Kubernetes 1.31, this is 1.30");
	f.server_minor = 0;
	EQ(keep(k8s_render(o, &f, sandbox_with("", ""), &e)) != NULL, true);
}

TEST(image_volume_path_is_the_images)
{
	cJSON *got = plain(OURS " --supervisor-sideload-method image-volume "
				"--supervisor-binary-path /bin/sup");

	STREQ(json_get(agent_of(got), "command")->child->valuestring, "/opt/openshell/bin/bin/sup");
}

/* Upstream's workspace_init_command_checks_sentinel, for supervisors that prepare nothing. */
TEST(workspace_init_of_foreign_supervisors)
{
	cJSON *got =
		plain("--supervisor-sideload-method init-container --sandbox-image-pull-policy "
		      "Always");
	const cJSON *init = named(init_of(got), "workspace-init");
	const char *script = cJSON_GetArrayItem(json_get(init, "command"), 2)->valuestring;

	STREQ(json_str(init, "image"), "img:1");
	STREQ(json_str(init, "imagePullPolicy"), "Always");
	HAS(script, ".workspace-initialized ]; then exit 0; fi");
	HAS(script, "cp -RP /sandbox/. $to/");
	HAS(script, "chown -R 1000:1000 $to");
	JSONEQ(json_get(init, "volumeMounts"),
	       [ {"name" : "workspace", "mountPath" : "/workspace-pvc"} ]);
	EQ(variable(got, "OPENSHELL_PREPARE_WORKSPACE") == NULL, true);
}

/* 3.17: kubelet would widen the token's 0400 for the group that the sandbox runs as */
TEST(no_fsgroup_so_the_token_stays_roots)
{
	static const char *const all[] = {
		OURS,
		"--supervisor-sideload-method cp",
		"--supervisor-sideload-method init-container --client-tls-secret-name tls",
		OURS " --selinux-level s0 --enable-user-namespaces",
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		cJSON *got = plain(all[i]);
		const cJSON *token = volume(got, "openshell-sa-token");
		EQ(json_at(pod_of(got), "securityContext", "fsGroup", NULL) == NULL, true);
		EQ(json_int(json_get(token, "projected"), "defaultMode", 0), 0400);
	}
	EQ(json_int(json_get(volume(plain(all[2]), "openshell-client-tls"), "secret"),
		    "defaultMode", 0),
	   0400);
}

/* upstream: tls_env_vars_match_volume_mount_path (a regression there) */
TEST(tls_variables_lie_below_the_mount)
{
	cJSON *got = plain("--client-tls-secret-name tls");
	static const char *const names[] = {"OPENSHELL_TLS_CA", "OPENSHELL_TLS_CERT",
					    "OPENSHELL_TLS_KEY"};
	const char *dir =
		json_str(named(json_get(agent_of(got), "volumeMounts"), "openshell-client-tls"),
			 "mountPath");

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		EQ(str_starts(str_of(variable(got, names[i])), dir), true);
	EQ(variable(plain(""), "OPENSHELL_TLS_CA") == NULL, true);
}

/* upstream: automount_service_account_token_is_disabled, provider_spiffe_* keeps the token */
TEST(the_only_token_is_the_projected_one)
{
	cJSON *got = plain("--provider-spiffe-workload-api-socket-path /spiffe/a.sock");

	EQ(cJSON_IsFalse(json_get(pod_of(got), "automountServiceAccountToken")), true);
	EQ(volume(got, "openshell-sa-token") != NULL, true);
	EQ(volume(got, "spiffe-workload-api") != NULL, true);
}

/* upstream: user_namespaces_per_sandbox_override_enables / _disables */
TEST(user_namespaces_per_sandbox)
{
	cJSON *on = rendered("", sandbox_with("\"platformConfig\":{\"host_users\":false}", ""));
	cJSON *off = rendered("--enable-user-namespaces",
			      sandbox_with("\"platformConfig\":{\"host_users\":true}", ""));

	EQ(cJSON_IsFalse(json_get(pod_of(on), "hostUsers")), true);
	EQ(cJSON_GetArraySize(
		   json_at(agent_of(on), "securityContext", "capabilities", "add", NULL)),
	   7);
	EQ(json_get(pod_of(off), "hostUsers") == NULL, true);
	EQ(cJSON_GetArraySize(
		   json_at(agent_of(off), "securityContext", "capabilities", "add", NULL)),
	   4);
}

/* upstream: driver_config_pvc_subpath_mounts_render_in_pod_template */
TEST(driver_config_volumes_and_mounts)
{
	cJSON *got = rendered(
		OURS,
		sandbox_with("\"driverConfig\":{\"volumes\":[{\"name\":\"data\","
			     "\"persistent_volume_claim\":{\"claim_name\":\"my-claim\","
			     "\"read_only\":false}}],\"containers\":{\"agent\":"
			     "{\"volume_mounts\":[{\"name\":\"data\",\"mount_path\":\"/data\","
			     "\"sub_path\":\"a/b\"},{\"name\":\"data\",\"mount_path\":"
			     "\"/sandbox/work\",\"sub_path\":\"w\",\"read_only\":false}]}}}",
			     ""));

	JSONEQ(volume(got, "data"), {
		"name" : "data",
		"persistentVolumeClaim" : {"claimName" : "my-claim", "readOnly" : false}
	});
	JSONEQ(mount_at(agent_of(got), "/data"),
	       {"name" : "data", "mountPath" : "/data", "readOnly" : true, "subPath" : "a/b"});
	JSONEQ(mount_at(agent_of(got), "/sandbox/work"), {
		"name" : "data",
		"mountPath" : "/sandbox/work",
		"readOnly" : false,
		"subPath" : "w"
	});
	/* below /sandbox: no claim of ours, nothing to prepare */
	EQ(json_at(got, "spec", "volumeClaimTemplates", NULL) == NULL, true);
	EQ(mount_at(agent_of(got), "/sandbox") == NULL, true);
	EQ(variable(got, "OPENSHELL_PREPARE_WORKSPACE") == NULL, true);
}

/* upstream: driver_config_applies_pod_scheduling_and_agent_resources; 3.6's precedences */
TEST(placement_precedence)
{
#define BOTH(class)                                                                                \
	"\"platformConfig\":{\"runtime_class_name\":\"" class "\",\"node_selector\":{\"a\":\"p\"}" \
							      ","                                  \
							      "\"tolerations\":[{\"key\":\"p\"}]}" \
							      ",\"driverConfig\":{\"pod\":{"       \
							      "\"runtime_class_name\":\"driver\"," \
							      "\"priority_class_name\":\"high\","  \
							      "\"node_selector\":{\"a\":\"d\","    \
							      "\"b\":\"d\"},\"tolerations\":[{"    \
							      "\"key\":\"d\"}]}}"
	const cJSON *pod = pod_of(
		rendered("--default-runtime-class-name site", sandbox_with(BOTH("platform"), "")));

	STREQ(json_str(pod, "runtimeClassName"), "platform");
	STREQ(json_str(pod, "priorityClassName"), "high");
	JSONEQ(json_get(pod, "nodeSelector"), {"a" : "p", "b" : "d"});
	JSONEQ(json_get(pod, "tolerations"), [ {"key" : "p"}, {"key" : "d"} ]);
	pod = pod_of(rendered("--default-runtime-class-name site", sandbox_with(BOTH(""), "")));
	STREQ(json_str(pod, "runtimeClassName"), "driver");
	pod = pod_of(plain("--default-runtime-class-name site"));
	STREQ(json_str(pod, "runtimeClassName"), "site");
	EQ(json_get(pod_of(plain("")), "runtimeClassName") == NULL, true);
	EQ(json_get(pod_of(plain("")), "nodeSelector") == NULL, true);
}

/* 3.16, defect 8; seed 000, TestBuildSandboxSpec_Labels; a user's label never wins over ours */
TEST(defect_08_pods_carry_our_labels)
{
	cJSON *got = rendered(
		"",
		sandbox_with("\"labels\":{\"mine\":\"yes\",\"openshell.ai/sandbox-id\":\"spoof\","
			     "\"openshell.ai/managed-by\":\"me\",\"kagenti.io/type\":\"tool\","
			     "\"openshell.ai/gateway-id\":\"other\","
			     "\"agents.x-k8s.io/adoptable\":\"true\"}",
			     ""));
	const cJSON *labels = json_at(got, "spec", "podTemplate", "metadata", "labels", NULL);

	STREQ(json_str(labels, "mine"), "yes");
	STREQ(json_str(labels, LABEL_ID), UUID);
	STREQ(json_str(labels, LABEL_MANAGED_BY), "openshell");
	STREQ(json_str(labels, LABEL_KAGENTI), "agent");
	STREQ(json_str(labels, LABEL_GATEWAY), "openshell");
	EQ(json_get(labels, "agents.x-k8s.io/adoptable") == NULL, true);
	EQ(cJSON_Compare(labels, json_at(got, "metadata", "labels", NULL), true), true);
	EQ(json_get(json_at(plain("--kagenti-label false"), "metadata", "labels", NULL),
		    LABEL_KAGENTI) == NULL,
	   true);
}

TEST(pod_annotation_cannot_be_spoofed)
{
	cJSON *got = rendered("", sandbox_with("\"platformConfig\":{\"annotations\":{\"a\":\"b\","
					       "\"openshell.io/sandbox-id\":\"spoof\"}}",
					       ""));
	const cJSON *notes = json_at(got, "spec", "podTemplate", "metadata", "annotations", NULL);

	STREQ(json_str(notes, POD_ANNOTATION_ID), UUID);
	STREQ(json_str(notes, "a"), "b");
	EQ(cJSON_GetArraySize(notes), 2);
}

TEST(v1alpha1_differs_by_its_version_alone)
{
	struct k8s_facts f = *facts();
	struct err e = {0};
	cJSON *a = plain(""), *b;

	f.api = SANDBOX_V1ALPHA1;
	b = keep(k8s_render(options(""), &f, sandbox_with("", ""), &e));
	STREQ(json_str(b, "apiVersion"), "agents.x-k8s.io/v1alpha1");
	json_put_str(b, "apiVersion", json_str(a, "apiVersion"));
	EQ(cJSON_Compare(a, b, true), true);
}

/* 5.5 items 9 and 10: pruned by the API server, an error under strict validation */
TEST(adapt_10_agent_socket_is_not_sent)
{
	cJSON *got = rendered("", sandbox_with("\"agentSocketPath\":\"/run/agent.sock\"", ""));

	EQ(json_at(got, "spec", "agentSocket", NULL) == NULL, true);
	EQ(strstr(keep_text(json_text(got)), "agent.sock") == NULL, true);
}

/* What gateways up to v0.0.73 sent counts instead of our claim. */
TEST(volume_claim_templates_of_old_gateways)
{
	cJSON *got =
		rendered(OURS, sandbox_with("\"platformConfig\":{\"volume_claim_templates\":"
					    "[{\"metadata\":{\"name\":\"data\"},\"spec\":{}}]}",
					    ""));

	JSONEQ(json_at(got, "spec", "volumeClaimTemplates", NULL),
	       [ {"metadata" : {"name" : "data"}, "spec" : {}} ]);
	EQ(mount_at(agent_of(got), "/sandbox") == NULL, true);
	got = rendered(OURS, sandbox_with("\"platformConfig\":{\"volume_claim_templates\":"
					  "[{\"metadata\":{\"name\":\"workspace\"},\"spec\":{}}]}",
					  ""));
	EQ(mount_at(agent_of(got), "/sandbox") != NULL, true);
}

/* upstream: lifecycle_patch_uses_version_specific_operating_state; 5.5 items 2 and 9 */
TEST(adapt_02_lifecycle_patches_by_version)
{
	JSONEQ(keep(k8s_patch_stop(SANDBOX_V1BETA1, "7")),
	       {"metadata" : {"resourceVersion" : "7"}, "spec" : {"operatingMode" : "Suspended"}});
	JSONEQ(keep(k8s_patch_start(SANDBOX_V1BETA1, NULL)),
	       {"spec" : {"operatingMode" : "Running"}});
	JSONEQ(keep(k8s_patch_stop(SANDBOX_V1ALPHA1, NULL)), {"spec" : {"replicas" : 0}});
	JSONEQ(keep(k8s_patch_start(SANDBOX_V1ALPHA1, "8")),
	       {"metadata" : {"resourceVersion" : "8"}, "spec" : {"replicas" : 1}});
}

/* 3.16, defect 1: a status written in between must not turn a delete into a leak */
TEST(defect_01_delete_has_the_uid_as_only_precondition)
{
	JSONEQ(keep(k8s_delete_options("u-1")),
	       {"apiVersion" : "v1", "kind" : "DeleteOptions", "preconditions" : {"uid" : "u-1"}});
}

/* upstream: managed_ssh_policy_allows_only_gateway_peer_on_port_2222 */
TEST(managed_ssh_policy)
{
	const struct kubernetes_options *o =
		options("--workspace-mode managed --managed-ssh-ingress-enabled "
			"--managed-ssh-gateway-namespace gw-ns --managed-ssh-gateway-pod-selector "
			"app=gw,tier=x");

	JSONEQ(keep(k8s_render_ssh_policy(o, "ns")), {
		"apiVersion" : "networking.k8s.io/v1",
		"kind" : "NetworkPolicy",
		"metadata" : {
			"name" : "openshell-sandbox-ssh",
			"namespace" : "ns",
			"labels" : {"openshell.ai/managed-by" : "openshell"}
		},
		"spec" : {
			"podSelector" : {"matchLabels" : {"openshell.ai/managed-by" : "openshell"}},
			"policyTypes" : ["Ingress"],
			"ingress" : [ {
				"from" : [ {
					"namespaceSelector" : {
						"matchLabels" :
							{"kubernetes.io/metadata.name" : "gw-ns"}
					},
					"podSelector" :
						{"matchLabels" : {"app" : "gw", "tier" : "x"}}
				} ],
				"ports" : [ {"protocol" : "TCP", "port" : 2222} ]
			} ]
		}
	});
	EQ(k8s_render_ssh_policy(options(""), "ns") == NULL, true);
}

/* upstream: image_pull_secret_copy_keeps_only_portable_secret_fields */
TEST(secret_copy_keeps_data_and_type)
{
	JSONEQ(keep(k8s_render_secret_copy(JSON({
						   "metadata" : {
							   "name" : "pull",
							   "namespace" : "a",
							   "uid" : "u",
							   "resourceVersion" : "1",
							   "annotations" : {"x" : "y"},
							   "ownerReferences" : []
						   },
						   "immutable" : true,
						   "type" : "kubernetes.io/dockerconfigjson",
						   "data" : {".dockerconfigjson" : "e30="}
					   }),
					   "b")),
	       {
		       "apiVersion" : "v1",
		       "kind" : "Secret",
		       "metadata" : {
			       "name" : "pull",
			       "namespace" : "b",
			       "labels" : {"openshell.ai/managed-by" : "openshell"}
		       },
		       "type" : "kubernetes.io/dockerconfigjson",
		       "data" : {".dockerconfigjson" : "e30="}
	       });
	STREQ(json_str(json_get(keep(k8s_render_service_account(options("--sandbox-service-account "
									"sandbox"),
								"ns")),
				"metadata"),
		       "name"),
	      "sandbox");
}
