"""The driver in a pod: in-cluster configuration, and the manifests of deploy/ as they are."""

import os

import grpc

import cluster
from drivers import AGENT, INIT, NO_CLAIM, STAND_IN
from support import GatewayTest, Stub, eventually, new_sandbox, pb, ready

HOME, SANDBOXES = "openshell", "openshell-sandboxes"  # the namespaces of deploy/


class PodTest(GatewayTest):
    def setUp(self):
        self.node = cluster.node()
        for name in HOME, SANDBOXES:
            self.node.namespace(name)
            self.addCleanup(self.node.delete, "namespace", name, wait=True)
        account = {"metadata": {"name": HOME, "namespace": HOME}}
        self.node.create({"apiVersion": "v1", "kind": "ServiceAccount", **account})
        rights = os.path.join(cluster.ROOT, "deploy", "kubernetes", "rbac-shared.yaml")
        self.node.kubectl("apply", "-f", rights)
        self.node.create(self.pod())
        eventually(lambda: os.path.exists(self.socket), "the driver listens")
        self.channel = grpc.insecure_channel("unix:" + self.socket)
        self.addCleanup(self.channel.close)
        self.stub = Stub(self.channel)

    def pod(self):
        folder = os.path.join(self.node.folder, "driver-in-a-pod")
        self.socket = os.path.join(folder, "driver.sock")
        args = ["--socket", self.socket, "--namespace", SANDBOXES, *STAND_IN, *INIT, *NO_CLAIM]
        container = {
            "name": "driver",
            "image": "localhost/driver:1",
            "imagePullPolicy": "Never",
            "args": args,
            "volumeMounts": [{"name": "socket", "mountPath": folder}],
        }
        where = {"path": folder, "type": "DirectoryOrCreate"}
        spec = {
            "serviceAccountName": HOME,
            "restartPolicy": "Never",
            "containers": [container],
            "volumes": [{"name": "socket", "hostPath": where}],
        }
        meta = {"name": "driver", "namespace": HOME}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}

    def diagnostics(self):
        log = self.node.run("kubectl", "logs", "-n", HOME, "driver", text=True)
        return f"--- the driver's log\n{log.stdout}{log.stderr}\n{self.node.diagnostics()}"

    def test_life(self):
        watcher = self.watch()
        sandbox = self.create(new_sandbox(spec={"template": {"image": AGENT}}))
        watcher.sandbox(sandbox.id, ready, "Ready")
        self.assertEqual(self.get(sandbox).namespace, SANDBOXES)
        self.stop(sandbox)
        self.assertTrue(self.delete(sandbox))
        watcher.deleted(sandbox.id)
