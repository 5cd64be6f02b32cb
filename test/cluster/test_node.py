"""The cluster itself, before anything of ours: what every other test takes for granted."""

import unittest

import cluster

RUNS = {"image": "localhost/agent:1", "imagePullPolicy": "Never"}


class NodeTest(unittest.TestCase):
    """A Sandbox made by kubectl becomes a pod that runs, and goes again, under each generation."""

    def diagnostics(self):
        return self.node.diagnostics()

    def sandbox(self, version):
        spec = {"terminationGracePeriodSeconds": 1, "volumes": [{"name": "shared", "emptyDir": {}}]}
        mount = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
        spec["initContainers"] = [
            {"name": "first", "command": ["/agent", "write", "/shared/x", "hello"], **RUNS, **mount}
        ]
        spec["containers"] = [{"name": "agent", **RUNS, **mount}]
        return {
            "apiVersion": f"{cluster.API_GROUP}/{version}",
            "kind": "Sandbox",
            "metadata": {"name": version},
            "spec": {"podTemplate": {"spec": spec}},
        }

    def lives(self, api, version):
        self.node = cluster.node(api)
        kind = f"sandboxes.{version}.{cluster.API_GROUP}"

        def ready():
            status = self.node.get(kind, version).get("status", {})
            return any(
                c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])
            )

        self.node.create(self.sandbox(version))
        cluster.eventually(ready, "the Sandbox is Ready")
        self.assertEqual(self.node.agent(version, "cat", "/shared/x"), b"hello")
        self.assertEqual(self.node.report(version, "as", "1000:1000")["uid"], 1000)
        self.node.delete(kind, version)
        cluster.eventually(lambda: self.node.get("pod", version) is None, "the pod is gone")

    def test_v1beta1(self):
        self.lives("v1beta1", "v1beta1")

    def test_v1alpha1_beside_v1beta1(self):
        self.lives("v1beta1", "v1alpha1")

    def test_v1alpha1_alone(self):
        self.lives("v1alpha1", "v1alpha1")


class ApiServerTest(unittest.TestCase):
    def diagnostics(self):
        return self.server.diagnostics()

    def test_state_outlives_a_restart(self):
        self.server = cluster.apiserver()
        self.server.namespace("kept")
        self.server.stop()
        self.server.kubectl("get", "namespace", "kept", fails=True)
        self.server.start()
        self.assertEqual(self.server.get("namespace", "kept")["status"]["phase"], "Active")

    def test_users_may_what_they_are_given(self):
        self.server = cluster.apiserver()
        for user, answer in (
            ("admin", True),
            ("certificate", True),
            ("driver", False),
            ("nobody", False),
        ):
            may = (
                self.server.run(
                    "kubectl", "--context", user, "auth", "can-i", "list", "pods"
                ).returncode
                == 0
            )
            self.assertEqual(may, answer, user)
