"""The object that reaches the API server (driver contract 3.4 and 3.6 to 3.9). Every rule of it has
a unit test beside the code; here is the whole, once for each way to configure it."""

import json
import unittest

from support import GatewayTest, from_struct, new_sandbox


class ObjectTest(GatewayTest):
    def made(self, **more):
        """The object of a new sandbox, its pod's spec, and its agent container."""
        self.sandbox = self.create(**more)
        obj = self.cr(self.sandbox)
        spec = obj["spec"]["podTemplate"]["spec"]
        self.assertEqual([c["name"] for c in spec["containers"]], ["agent"])
        return obj, spec, spec["containers"][0]

    @staticmethod
    def environment(container):
        names = [e["name"] for e in container["env"]]
        assert len(names) == len(set(names)), f"a name is there twice: {names}"
        return {e["name"]: e.get("value") for e in container["env"]}


class Defaults(ObjectTest):
    args = ("--supervisor-kind", "static")

    def test_metadata(self):
        obj, _, _ = self.made(
            spec={"template": {"labels": {"mine": "yes", "openshell.ai/sandbox-id": "spoofed"}}}
        )
        meta, pod = obj["metadata"], obj["spec"]["podTemplate"]["metadata"]
        self.assertEqual((meta["name"], meta["namespace"]), ("team--one", "openshell"))
        for labels in (meta["labels"], pod["labels"]):
            self.assertEqual(labels["openshell.ai/sandbox-id"], self.sandbox.id)
            self.assertEqual(labels["openshell.ai/managed-by"], "openshell")
            self.assertEqual(labels["kagenti.io/type"], "agent")
        self.assertEqual(meta["labels"]["openshell.ai/gateway-id"], "openshell")
        self.assertEqual(pod["labels"]["mine"], "yes")
        self.assertEqual(meta["annotations"]["openshell.ai/sandbox-name"], "one")
        self.assertEqual(meta["annotations"]["openshell.ai/sandbox-workspace"], "team")
        self.assertEqual(pod["annotations"]["openshell.io/sandbox-id"], self.sandbox.id)

    def test_the_pod(self):
        obj, spec, agent = self.made()
        self.assertEqual(obj["apiVersion"] if "apiVersion" in obj else "", "")
        self.assertIs(spec["automountServiceAccountToken"], False)
        self.assertEqual(spec["restartPolicy"], "Never")
        self.assertNotIn("hostUsers", spec)
        self.assertLessEqual(len(spec.get("initContainers", [])), 1)
        self.assertEqual(agent["image"], "registry.example/agent:1")
        self.assertEqual(
            agent["command"], ["/opt/openshell/bin/openshell-sandbox", "--workdir", "/sandbox"]
        )
        security = agent["securityContext"]
        self.assertEqual(security["runAsUser"], 0)
        self.assertEqual(
            security["capabilities"]["add"], ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG"]
        )
        self.assertNotIn("privileged", security)
        mounts = {m["name"]: m for m in agent["volumeMounts"]}
        self.assertTrue(mounts["openshell-supervisor-bin"]["readOnly"])
        self.assertEqual(mounts["openshell-sa-token"]["mountPath"], "/var/run/secrets/openshell")
        self.assertEqual(mounts["workspace"]["mountPath"], "/sandbox")
        token = next(v for v in spec["volumes"] if v["name"] == "openshell-sa-token")["projected"]
        self.assertEqual(token["defaultMode"], 0o400)
        self.assertEqual(
            token["sources"][0]["serviceAccountToken"],
            {"audience": "openshell-gateway", "expirationSeconds": 3600, "path": "token"},
        )
        claim = obj["spec"]["volumeClaimTemplates"][0]
        self.assertEqual(
            (claim["metadata"]["name"], claim["spec"]["resources"]["requests"]["storage"]),
            ("workspace", "2Gi"),
        )

    def test_the_server_is_sent_nothing_that_it_would_prune(self):
        self.made(spec={"template": {"agent_socket_path": "/run/agent.sock"}})
        body = json.loads(self.kube.seen("POST", "/sandboxes")[0].body)
        self.assertNotIn("agentSocket", body["spec"])

    def test_environment(self):
        _, _, agent = self.made(
            spec={
                "log_level": "debug",
                "environment": {"A": "spec", "OPENSHELL_SANDBOX_ID": "spoofed", "PATH": "/bin"},
                "template": {"environment": {"A": "template", "B": "template"}},
            }
        )
        env = self.environment(agent)
        self.assertEqual((env["A"], env["B"]), ("spec", "template"))
        self.assertEqual(env["OPENSHELL_SANDBOX_ID"], self.sandbox.id)
        self.assertEqual(env["OPENSHELL_SANDBOX"], "one")
        self.assertEqual(
            json.loads(env["OPENSHELL_MAIN_PROCESS_SPEC"]),
            {"version": 1, "command": ["/bin/bash", "-l"], "tty": True},
        )
        self.assertEqual(json.loads(env["OPENSHELL_USER_ENVIRONMENT"])["A"], "spec")
        self.assertEqual(
            (env["OPENSHELL_SANDBOX_UID"], env["OPENSHELL_SANDBOX_GID"]), ("1000", "1000")
        )
        self.assertEqual(env["OPENSHELL_K8S_SA_TOKEN_FILE"], "/var/run/secrets/openshell/token")
        self.assertEqual(env["OPENSHELL_OCI_IMAGE_USER"], "")
        self.assertEqual(env["OPENSHELL_LOG_LEVEL"], "debug")

    def test_resources(self):
        _, _, agent = self.made(
            spec={
                "template": {
                    "resources": {"cpu_limit": "2", "memory_limit": "4Gi", "memory_request": "1Gi"},
                    "platform_config": from_struct(
                        {"resources_raw": {"limits": {"x.example/y": "3"}}}
                    ),
                }
            }
        )
        self.assertEqual(
            agent["resources"]["limits"], {"cpu": "2", "memory": "4Gi", "x.example/y": "3"}
        )
        self.assertEqual(agent["resources"]["requests"]["cpu"], "2")
        self.assertEqual(agent["resources"]["requests"]["memory"], "1Gi")

    def test_platform_and_driver_config(self):
        obj, spec, agent = self.made(
            spec={
                "template": {
                    "platform_config": from_struct(
                        {
                            "runtime_class_name": "kata",
                            "host_users": False,
                            "annotations": {"note": "x"},
                        }
                    ),
                    "driver_config": from_struct(
                        {
                            "network_mode": "host",
                            "pod": {
                                "node_selector": {"zone": "a"},
                                "runtime_class_name": "loses",
                                "priority_class_name": "high",
                                "tolerations": [
                                    {"key": "gpu", "operator": "Exists", "tolerationSeconds": 30}
                                ],
                            },
                            "containers": {
                                "agent": {
                                    "resources": {"requests": {"cpu": "100m"}},
                                    "volume_mounts": [{"name": "data", "mount_path": "/data"}],
                                }
                            },
                            "volumes": [
                                {
                                    "name": "data",
                                    "persistent_volume_claim": {"claim_name": "shared"},
                                }
                            ],
                        }
                    ),
                }
            }
        )
        self.assertEqual(spec["runtimeClassName"], "kata")
        self.assertIs(spec["hostUsers"], False)
        self.assertEqual(spec["nodeSelector"], {"zone": "a"})
        self.assertEqual(spec["priorityClassName"], "high")
        self.assertEqual(
            spec["tolerations"], [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 30}]
        )
        self.assertIn("SETUID", agent["securityContext"]["capabilities"]["add"])
        self.assertEqual(obj["spec"]["podTemplate"]["metadata"]["annotations"]["note"], "x")
        mount = next(m for m in agent["volumeMounts"] if m["name"] == "data")
        self.assertEqual((mount["mountPath"], mount["readOnly"]), ("/data", True))
        self.assertEqual(self.environment(agent)["OPENSHELL_NETWORK_MODE"], "host")

    def test_a_mount_below_the_workspace_replaces_its_claim(self):
        obj, _, agent = self.made(
            spec={
                "template": {
                    "driver_config": from_struct(
                        {
                            "containers": {
                                "agent": {
                                    "volume_mounts": [
                                        {"name": "data", "mount_path": "/sandbox/data"}
                                    ]
                                }
                            },
                            "volumes": [
                                {
                                    "name": "data",
                                    "persistent_volume_claim": {"claim_name": "shared"},
                                }
                            ],
                        }
                    )
                }
            }
        )
        self.assertFalse(obj["spec"].get("volumeClaimTemplates"))
        self.assertNotIn("workspace", [m["name"] for m in agent["volumeMounts"]])


class Configured(ObjectTest):
    args = (
        "--supervisor-image",
        "registry.example/supervisor:9",
        "--supervisor-sideload-method",
        "init-container",
        "--client-tls-secret-name",
        "tls",
        "--host-gateway-ip",
        "192.0.2.1",
        "--sandbox-image-pull-secrets",
        "a, b,",
        "--sandbox-uid",
        "4711",
        "--app-armor-profile",
        "Localhost/sandbox",
        "--sandbox-service-account",
        "agents",
        "--gateway-endpoint",
        "https://gateway.example:8080",
        "--enable-user-namespaces",
        "--https-proxy",
        "http://proxy.example:3128",
        "--no-proxy",
        "localhost",
        "--sa-token-ttl-secs",
        "10",
        "--default-runtime-class-name",
        "gvisor",
        "--sandbox-image-pull-policy",
        "IfNotPresent",
    )
    env = {"OPENSHELL_K8S_WORKSPACE_DEFAULT_STORAGE_SIZE": "5Gi"}

    def test_everything_at_once(self):
        limits = {"cpu_limit": "1", "memory_limit": "1Gi"}
        obj, spec, agent = self.made(spec={"template": {"resources": limits}})
        self.assertEqual(spec["serviceAccountName"], "agents")
        self.assertEqual(spec["imagePullSecrets"], [{"name": "a"}, {"name": "b"}])
        self.assertEqual(
            spec["hostAliases"],
            [{"ip": "192.0.2.1", "hostnames": ["host.docker.internal", "host.openshell.internal"]}],
        )
        self.assertEqual(spec["runtimeClassName"], "gvisor")
        self.assertIs(spec["hostUsers"], False)
        self.assertEqual(agent["imagePullPolicy"], "IfNotPresent")
        self.assertEqual(
            agent["securityContext"]["appArmorProfile"],
            {"type": "Localhost", "localhostProfile": "sandbox"},
        )
        self.assertEqual(
            agent["command"],
            [
                "/opt/openshell/bin/openshell-sandbox",
                "--workdir",
                "/sandbox",
                "--upstream-proxy",
                "http://proxy.example:3128",
                "--upstream-no-proxy",
                "localhost",
            ],
        )
        env = self.environment(agent)
        self.assertEqual(env["OPENSHELL_ENDPOINT"], "https://gateway.example:8080")
        self.assertEqual(
            (env["OPENSHELL_SANDBOX_UID"], env["OPENSHELL_SANDBOX_GID"]), ("4711", "4711")
        )
        self.assertEqual(env["OPENSHELL_TLS_KEY"], "/etc/openshell-tls/client/tls.key")
        volumes = {v["name"]: v for v in spec["volumes"]}
        self.assertEqual(
            volumes["openshell-client-tls"]["secret"], {"secretName": "tls", "defaultMode": 0o400}
        )
        token = volumes["openshell-sa-token"]["projected"]["sources"][0]["serviceAccountToken"]
        self.assertEqual(token["expirationSeconds"], 600)
        self.assertEqual(
            obj["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"],
            "5Gi",
        )

        (install,) = spec["initContainers"]
        self.assertEqual(install["image"], "registry.example/supervisor:9")
        self.assertEqual(
            install["command"],
            ["/openshell-sandbox", "copy-self", "/opt/openshell/bin/openshell-sandbox"],
        )
        self.assertEqual(volumes["openshell-supervisor-bin"]["emptyDir"], {})
        self.assertIn("resources", install)


class ImageVolume(ObjectTest):
    args = (
        "--supervisor-sideload-method",
        "image-volume",
        "--supervisor-image",
        "registry.example/supervisor:9",
        "--supervisor-kind",
        "static",
    )

    def test_no_init_container_at_all(self):
        _, spec, _ = self.made()
        self.assertFalse(spec.get("initContainers"))
        volume = next(v for v in spec["volumes"] if v["name"] == "openshell-supervisor-bin")
        self.assertEqual(volume["image"]["reference"], "registry.example/supervisor:9")


class Foreign(ObjectTest):
    """Seed 000: a supervisor image that has cp and does not copy itself."""

    args = (
        "--supervisor-binary-path",
        "/usr/local/bin/openshell-sandbox",
        "--supervisor-mount-path",
        "/opt/openshell/bin",
        "--supervisor-image",
        "registry.example/other:1",
    )

    def test_cp(self):
        _, spec, agent = self.made()
        init = spec["initContainers"][0]
        self.assertEqual(init["name"], "supervisor-init")
        self.assertEqual(
            init["command"], ["cp", "/usr/local/bin/openshell-sandbox", "/opt/openshell/bin/"]
        )
        self.assertEqual(agent["command"][0], "/opt/openshell/bin/openshell-sandbox")


class Identity(ObjectTest):
    def test_the_range_of_the_namespace(self):
        space = self.kube.store.get("namespaces", None, "openshell")
        self.kube.store.update(
            "namespaces",
            {
                **space,
                "metadata": {
                    **space["metadata"],
                    "annotations": {
                        "openshift.io/sa.scc.uid-range": "1000660000/10000",
                        "openshift.io/sa.scc.supplemental-groups": "1000670000-1000679999",
                    },
                },
            },
        )
        obj, _, agent = self.made()
        env = self.environment(agent)
        self.assertEqual(
            (env["OPENSHELL_SANDBOX_UID"], env["OPENSHELL_SANDBOX_GID"]),
            ("1000660000", "1000670000"),
        )
        self.assertEqual(
            obj["metadata"]["annotations"]["openshift.io/sa.scc.uid-range"], "1000660000/10000"
        )


class OldCluster(ObjectTest):
    def before_driver(self):
        self.kube.store.served["sandboxes"] = ["v1alpha1"]

    def test_v1alpha1(self):
        self.made()
        body = json.loads(self.kube.seen("POST", "/sandboxes")[0].body)
        self.assertEqual(body["apiVersion"], "agents.x-k8s.io/v1alpha1")
        self.stop(self.sandbox)
        patch = json.loads(self.kube.seen("PATCH", "/sandboxes")[-1].body)
        self.assertEqual(patch["spec"], {"replicas": 0})
        self.start(self.sandbox)
        patch = json.loads(self.kube.seen("PATCH", "/sandboxes")[-1].body)
        self.assertEqual(patch["spec"], {"replicas": 1})


if __name__ == "__main__":
    unittest.main()
