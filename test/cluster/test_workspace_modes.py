"""Workspaces: a namespace each, made by the driver (managed) or by others (operator)."""

import uuid

import grpc

from drivers import INIT, NO_CLAIM, STAND_IN, ClusterTest
from support import Code, eventually, pb, ready


class ManagedTest(ClusterTest):
    mode = "managed"
    args = (*STAND_IN, *INIT, *NO_CLAIM, "--client-tls-secret-name", "openshell-client-tls")

    def before_driver(self):
        self.gateway = "g" + uuid.uuid4().hex[:6]
        self.blue = f"openshell-{self.gateway}-blue"
        files = [f"--from-literal={name}=secret" for name in ("ca.crt", "tls.crt", "tls.key")]
        name = "openshell-client-tls"
        self.cluster.kubectl("create", "secret", "generic", name, "-n", self.namespace, *files)

    def driver_args(self):
        return [*super().driver_args(), "--gateway-id", self.gateway]

    def ensure(self, workspace):
        self.stub.EnsureWorkspace(pb.EnsureWorkspaceRequest(workspace=workspace), timeout=60)

    def remove(self, workspace):
        self.stub.DeleteWorkspace(pb.DeleteWorkspaceRequest(workspace=workspace), timeout=60)

    def test_made_used_and_removed(self):
        self.ensure("blue")
        self.ensure("blue")
        labels = self.cluster.get("namespace", self.blue)["metadata"]["labels"]
        self.assertEqual(labels["openshell.ai/managed-by"], "openshell")
        self.assertEqual(labels["openshell.ai/gateway-id"], self.gateway)
        self.assertEqual(labels["openshell.ai/sandbox-workspace"], "blue")

        watcher = self.watch()
        sandbox = self.create(self.sandbox(workspace="blue"))
        watcher.sandbox(sandbox.id, ready, "Ready")
        self.assertEqual(self.cr(sandbox, self.blue)["metadata"]["name"], "one")
        for reason in "Scheduled", "Started":  # events arrive in this mode too
            watcher.platform(sandbox.id, lambda e: e.reason == reason, reason)
        key = ("as", "0:0", "cat", "/etc/openshell-tls/client/tls.key")
        self.assertEqual(self.cluster.agent("one", *key, namespace=self.blue), b"secret")

        self.assertTrue(self.delete(sandbox))
        watcher.deleted(sandbox.id)
        self.remove("blue")
        eventually(lambda: self.cluster.get("namespace", self.blue) is None, "gone", pause=0.3)
        self.remove("blue")

    def test_made_by_the_first_sandbox(self):
        watcher = self.watch()
        sandbox = self.create(self.sandbox(workspace="blue"))
        watcher.sandbox(sandbox.id, ready, "Ready")
        self.remove("blue")
        watcher.deleted(sandbox.id)

    def test_a_namespace_of_others(self):
        self.cluster.namespace(self.blue)
        self.addCleanup(self.cluster.delete, "namespace", self.blue)
        with self.assertRaises(grpc.RpcError) as caught:
            self.create(self.sandbox(workspace="blue"))
        self.assertEqual(caught.exception.code(), Code.FAILED_PRECONDITION)
        self.assertIn("is not owned by this gateway", caught.exception.details())
        self.remove("blue")
        self.assertIsNotNone(self.cluster.get("namespace", self.blue))


class OperatorTest(ClusterTest):
    mode = "operator"
    args = (*STAND_IN, *INIT, *NO_CLAIM, "--operator-namespace-label", "sandboxes=yes")

    def test_only_where_it_is_allowed(self):
        sandbox = self.sandbox(workspace=self.namespace)

        def refused():
            with self.assertRaises(grpc.RpcError) as caught:
                self.create(sandbox)
            self.assertEqual(caught.exception.code(), Code.FAILED_PRECONDITION)
            self.assertIn("is not in the operator namespace allowlist", caught.exception.details())

        def created():
            try:
                return self.create(sandbox)
            except grpc.RpcError as e:
                self.assertEqual(e.code(), Code.FAILED_PRECONDITION)
                return None

        refused()
        self.cluster.kubectl("label", "namespace", self.namespace, "sandboxes=yes")
        watcher = self.watch()
        eventually(created, "the label is seen", pause=0.1)
        watcher.sandbox(sandbox.id, ready, "Ready")
        self.assertEqual(self.cr(sandbox)["metadata"]["name"], "one")
        watcher.platform(sandbox.id, lambda e: e.reason == "Scheduled", "Scheduled")

        self.cluster.kubectl("label", "namespace", self.namespace, "sandboxes-")
        sandbox = self.sandbox(name="two", workspace=self.namespace)
        eventually(lambda: created() is None, "its absence is seen", pause=0.1)
