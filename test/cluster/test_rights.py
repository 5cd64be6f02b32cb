"""deploy/kubernetes/rbac-*.yaml: the driver lives a sandbox's life in each workspace mode with exactly
the rights that are given there, as the service account that they are given to."""

import os

import grpc

import cluster
import support
from drivers import AGENT, INIT, NO_CLAIM, STAND_IN, ClusterTest
from support import new_sandbox, pb

DEPLOY = os.path.join(cluster.ROOT, "deploy", "kubernetes")
HOME = "openshell-sandboxes"  # what the manifests call the sandboxes' namespace


class Rights(ClusterTest):
    mode = None
    workspace = "team"
    words = ()  # of the mode
    home = HOME  # where its sandbox is

    def setUp(self):
        self.cluster = cluster.node()
        self.namespace = HOME
        for name in ("namespaces.yaml", f"rbac-{self.mode}.yaml"):
            path = os.path.join(DEPLOY, name)
            self.cluster.kubectl("apply", "-f", path)
            self.addCleanup(
                self.cluster.kubectl, "delete", "--ignore-not-found", "--wait=true", "-f", path
            )
        for name in ("openshell-client-tls", "openshell-pull"):
            self.cluster.kubectl(
                "create", "secret", "generic", name, "-n", HOME, "--from-literal=tls.crt=x"
            )
        self.before_driver()
        self.start_driver()

    def driver_args(self):
        token = self.cluster.kubectl("create", "token", "openshell", "-n", "openshell").strip()
        config = os.path.join(self.cluster.folder, f"kubeconfig-{self.mode}")
        with open(self.cluster.kubeconfig, encoding="utf-8") as f:
            text = f.read()
        with open(config, "w", encoding="utf-8") as f:
            f.write(text)
        kubectl = ("--kubeconfig", config, "config")
        self.cluster.kubectl(*kubectl, "set-credentials", "deployed", "--token", token)
        self.cluster.kubectl(
            *kubectl, "set-context", "deployed", "--cluster", "test", "--user", "deployed"
        )
        return [
            *("--kubeconfig", config, "--context", "deployed"),
            *("--namespace", HOME, "--workspace-mode", self.mode),
            *(*STAND_IN, *INIT, *NO_CLAIM),
            *self.words,
        ]

    def live(self):
        sandbox = new_sandbox("one", self.workspace, spec={"template": {"image": AGENT}})
        watcher = self.watch()
        self.validate(sandbox)
        self.create(sandbox)
        watcher.sandbox(sandbox.id, support.ready, "Ready")
        watcher.platform(sandbox.id, lambda e: e.reason == "Started", "Started")
        self.assertIsNotNone(self.pod(sandbox, self.home))
        self.stop(sandbox)
        self.start(sandbox)
        watcher.sandbox(sandbox.id, support.ready, "Ready again")
        self.delete(sandbox)
        watcher.deleted(sandbox.id)
        self.assertNotIn("orbidden", self.driver.log())

    def looks_for_a_gpu(self):
        sandbox = new_sandbox("two", self.workspace, spec={"template": {"image": AGENT}})
        sandbox.spec.resource_requirements.gpu.SetInParent()
        error = self.fails(
            grpc.StatusCode.FAILED_PRECONDITION,
            self.stub.ValidateSandboxCreate,
            pb.ValidateSandboxCreateRequest(sandbox=sandbox),
        )
        self.assertIn("no allocatable GPUs", error.details())


class Shared(Rights):
    mode = "shared"
    words = ("--sandbox-service-account", "openshell-sandbox")

    def test_a_life(self):
        self.live()
        self.looks_for_a_gpu()


class Managed(Rights):
    mode = "managed"
    home = "openshell-openshell-team"
    words = (
        *("--client-tls-secret-name", "openshell-client-tls"),
        *("--sandbox-image-pull-secrets", "openshell-pull"),
        *("--sandbox-service-account", "openshell-sandbox"),
        *("--managed-ssh-ingress-enabled", "--managed-ssh-gateway-namespace", "openshell"),
        *("--managed-ssh-gateway-pod-selector", "app.kubernetes.io/name=openshell-gateway"),
    )

    def test_a_life(self):
        self.live()
        self.looks_for_a_gpu()
        self.assertIsNotNone(self.cluster.get("secret", "openshell-pull", self.home))
        self.stub.DeleteWorkspace(pb.DeleteWorkspaceRequest(workspace=self.workspace))


class Operator(Rights):
    mode = "operator"
    workspace = home = "rights-operator"
    words = (
        *("--client-tls-secret-name", "openshell-client-tls"),
        *("--operator-namespace-label", "openshell.example/allowed=yes"),
    )

    def before_driver(self):
        self.cluster.namespace(self.workspace, **{"openshell.example/allowed": "yes"})
        self.addCleanup(self.cluster.delete, "namespace", self.workspace)

    def allowed(self):
        """Nothing is, until the driver has read the labels."""
        try:
            request = pb.EnsureWorkspaceRequest(workspace=self.workspace)
            return self.stub.EnsureWorkspace(request) is not None
        except grpc.RpcError as e:
            self.assertEqual(e.code(), grpc.StatusCode.PERMISSION_DENIED)
            return False

    def test_a_life(self):
        support.eventually(self.allowed, "the label is seen")
        self.live()
        self.looks_for_a_gpu()
