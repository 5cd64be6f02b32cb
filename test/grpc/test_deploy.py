"""What deploy/ and docs/driver.md say against what the driver takes: a flag that is renamed, or a
value that must be the same in two places, is found here and not by an operator."""

import glob
import os
import re
import subprocess
import unittest

import yaml

from support import BINARY, ROOT, GatewayTest, new_sandbox

FLAG = re.compile(r"--[a-z][a-z0-9-]+")
# Flags of other programs that these files also speak of.
FOREIGN = {"--drivers", "--compute-driver-socket", "--tls-cert", "--tls-key", "--from-file"}


def text_of(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def documents(*path):
    return [d for d in yaml.safe_load_all(text_of(*path)) if d]


def one(docs, kind):
    return next(d for d in docs if d["kind"] == kind)


class Deploy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.help = subprocess.run(
            [BINARY, "driver", "--help"], check=True, capture_output=True, text=True
        ).stdout
        cls.flags = set(FLAG.findall(cls.help))

    def test_every_manifest_is_a_list_of_named_objects(self):
        files = glob.glob(os.path.join(ROOT, "deploy", "**", "*.yaml"), recursive=True)
        self.assertGreater(len(files), 5)
        for path in files:
            for d in documents(path):
                self.assertTrue(d["apiVersion"] and d["kind"] and d["metadata"]["name"], path)

    def test_the_documentation_names_flags_that_exist(self):
        self.assertEqual(
            set(FLAG.findall(text_of("docs", "driver.md"))) - self.flags - FOREIGN, set()
        )
        for path in glob.glob(os.path.join(ROOT, "deploy", "**", "*.yaml"), recursive=True):
            prose = "\n".join(
                line for line in text_of(path).splitlines() if line.lstrip().startswith("#")
            )
            self.assertEqual(set(FLAG.findall(prose)) - self.flags - FOREIGN, set(), path)

    def test_the_unit_names_variables_that_exist(self):
        unit = text_of("deploy", "systemd", "openshell-driver.service")
        for name in re.findall(r"\bOPENSHELL_[A-Z_]+", unit):
            self.assertIn("environment: " + name + "\n", self.help)

    def test_gateway_and_driver_of_the_deployment_agree(self):
        docs = documents("deploy", "kubernetes", "gateway-with-driver.yaml")
        pod = one(docs, "Deployment")["spec"]["template"]["spec"]
        driver, gateway = pod["initContainers"][0], pod["containers"][0]
        args = dict(a[2:].split("=", 1) for a in driver["args"])
        for name in args:
            self.assertIn("--" + name, self.flags)
        self.assertIn("--compute-driver-socket=" + args["socket"], gateway["args"])
        table = re.findall(
            r'^(\w+) = "(.*)"$',
            one(docs, "ConfigMap")["data"]["gateway.toml"].split("[openshell.drivers.kubernetes]")[
                1
            ],
            re.M,
        )
        self.assertEqual(
            dict(table),
            {
                "namespace": args["namespace"],
                "gateway_id": args["gateway-id"],
                "service_account_name": args["sandbox-service-account"],
                "workspace_mode": "shared",
            },
        )
        self.assertEqual(
            sum(m["name"] == "driver-socket" for c in (driver, gateway) for m in c["volumeMounts"]),
            2,
        )

    def test_the_driver_takes_the_deployments_arguments(self):
        docs = documents("deploy", "kubernetes", "gateway-with-driver.yaml")
        driver = one(docs, "Deployment")["spec"]["template"]["spec"]["initContainers"][0]
        # all is read, and then it fails at what no test machine has
        done = subprocess.run(
            [BINARY, "driver", *driver["args"], "--socket", "/proc/none/driver.sock"],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("/proc/none", done.stderr)

    def test_nobody_may_patch_pods(self):
        for path in glob.glob(os.path.join(ROOT, "deploy", "kubernetes", "rbac-*.yaml")):
            for d in documents(path):
                for rule in d.get("rules", []):
                    self.assertNotIn(
                        "*", rule["resources"] + rule["verbs"] + rule["apiGroups"], path
                    )
                    if "pods" in rule["resources"]:
                        self.assertLessEqual(set(rule["verbs"]), {"get", "list", "watch"}, path)


class Scc(GatewayTest):
    """A pod never needs more than the SCC of deploy/openshift gives."""

    args = ("--client-tls-secret-name", "tls", "--sandbox-image-pull-secrets", "pull")

    def pod(self, config=None):
        sandbox = new_sandbox()
        sandbox.spec.template.driver_config.update(config or {})
        return self.cr(self.create(sandbox))["spec"]["podTemplate"]["spec"]

    def exceeds(self, pod, file="scc.yaml"):
        """What it needs beyond the SCC."""
        scc = one(documents("deploy", "openshift", file), "SecurityContextConstraints")
        more = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
        containers = pod["containers"] + pod.get("initContainers", [])
        for context in [c.get("securityContext", {}) for c in containers] + [
            pod.get("securityContext", {})
        ]:
            added = context.get("capabilities", {}).get("add", [])
            more += [name for name in added if name not in scc["allowedCapabilities"]]
            more += ["privileged"] if context.get("privileged") else []
            more += ["escalation"] if added and not self.may_escalate(context, scc) else []
            more += [context["seccompProfile"]] if "seccompProfile" in context else []
        for volume in pod["volumes"]:
            more += [key for key in volume if key not in ("name", *scc["volumes"])]
        return more

    @staticmethod
    def may_escalate(context, scc):
        return scc["allowPrivilegeEscalation"] or context.get("allowPrivilegeEscalation") is False

    def test_a_plain_sandbox(self):
        pod = self.pod()
        self.assertEqual(self.exceeds(pod), [])
        self.assertNotIn("fsGroup", pod.get("securityContext", {}))

    def test_sidecar_topology(self):
        self.driver.stop()
        self.start_driver("--topology", "sidecar")
        pod = self.pod()
        self.assertGreater(len(pod["containers"]), 1)
        self.assertEqual(self.exceeds(pod, "scc-sidecar.yaml"), [])

    def test_claims_of_the_users(self):
        config = {
            "volumes": [{"name": "data", "persistent_volume_claim": {"claim_name": "mine"}}],
            "containers": {"agent": {"volume_mounts": [{"name": "data", "mount_path": "/data"}]}},
        }
        self.assertEqual(self.exceeds(self.pod(config)), [])

    def test_copied_by_cp(self):
        self.driver.stop()
        self.start_driver("--supervisor-sideload-method", "cp")
        self.assertEqual(self.exceeds(self.pod()), [])

    def test_an_image_volume_needs_the_line_that_is_commented_out(self):
        self.driver.stop()
        self.start_driver("--supervisor-sideload-method", "image-volume")
        self.assertEqual(self.exceeds(self.pod()), ["image"])
        self.assertIn("\n# - image\n", text_of("deploy", "openshift", "scc.yaml"))

    def test_user_namespaces_need_the_lines_that_are_commented_out(self):
        self.driver.stop()
        self.start_driver("--enable-user-namespaces")
        for capability in self.exceeds(self.pod()):
            self.assertIn(f"\n# - {capability}\n", text_of("deploy", "openshift", "scc.yaml"))


if __name__ == "__main__":
    unittest.main()
