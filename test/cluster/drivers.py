"""Our driver on a cluster: what the tests of tier 3 share. The words of a test (create, watch,
fails…) are those of tier 2."""

import json
import os
import uuid

import cluster
import support
from support import new_sandbox

SANDBOXES = f"sandboxes.{cluster.API_GROUP}"

# The images of the node are there or they are not: nothing can be pulled.
LOCAL = ("--supervisor-image-pull-policy", "Never", "--sandbox-image-pull-policy", "Never")
NO_CLAIM = ("--workspace-default-storage-size", "none")
STAND_IN = ("--supervisor-image", "localhost/stand-in:1", *LOCAL)
OURS = ("--supervisor-image", "localhost/supervisor:1", *LOCAL)
INIT = ("--supervisor-sideload-method", "init-container")
AGENT = "localhost/agent:1"


def grant(server, mode, namespace):
    """Gives the user driver what deploy/ gives a driver of that workspace mode, and no more."""
    with open(
        os.path.join(cluster.ROOT, "deploy", "kubernetes", f"rbac-{mode}.yaml"), encoding="utf-8"
    ) as f:
        text = f.read()
    account = "- kind: ServiceAccount\n  name: openshell\n  namespace: openshell\n"
    user = "- kind: User\n  name: driver\n  apiGroup: rbac.authorization.k8s.io\n"
    assert account in text, "the manifests name the driver's account otherwise than expected here"
    text = text.replace(account, user).replace("openshell-sandboxes", namespace)
    server.kubectl("apply", "-f", "-", stdin=text)


def reason(sandbox):
    """Of its Ready condition; "" without one."""
    c = support.condition(sandbox, "Ready")
    return c.reason if c else ""


class Driver(support.Driver):
    """In the network of a cluster. Its pid is its own: nothing stands between."""

    def __init__(self, server, *args, **more):
        self.prefix = server.command()
        super().__init__(*args, **more)


class ClusterTest(support.GatewayTest):
    """A driver and a namespace for every test. `args` are its words, `context` is the user."""

    context = "driver"
    mode = "shared"
    args = (*STAND_IN, *INIT, *NO_CLAIM)

    def bring_up(self):
        return cluster.node()

    def setUp(self):
        self.cluster = self.bring_up()
        self.namespace = self.cluster.namespace("t-" + uuid.uuid4().hex[:8])
        self.addCleanup(self.cluster.delete, "namespace", self.namespace)
        grant(self.cluster, self.mode, self.namespace)
        self.before_driver()
        self.start_driver()

    def driver_args(self):
        return [
            "--backend",
            "kubernetes",
            "--kubeconfig",
            self.cluster.kubeconfig,
            "--context",
            self.context,
            "--workspace-mode",
            self.mode,
            "--namespace",
            self.namespace,
            *self.args,
        ]

    def start_driver(self, *more, **options):
        self.driver = Driver(self.cluster, *self.driver_args(), *more, env=self.env, **options)
        self.addCleanup(self.end_driver, self.driver)
        self.channel = self.driver.channel()
        self.stub = support.Stub(self.channel)
        return self.driver

    def kill_driver(self):
        self.driver.killed = True
        self.driver.process.kill()
        self.driver.process.wait()

    def diagnostics(self):
        lines = []
        if hasattr(self, "driver"):
            lines += ["--- the driver's log", self.driver.log()]
        if hasattr(self, "namespace"):
            lines.append(self.cluster.diagnostics(self.namespace))
        return "\n".join(lines)

    # -- sandboxes --------------------------------------------------------------------------

    def sandbox(self, name="one", workspace="team", **spec):
        """A DriverSandbox whose image the node has."""
        template = {"image": AGENT, **spec.pop("template", {})}
        return new_sandbox(name, workspace, spec={**spec, "template": template})

    def cr(self, sandbox, namespace=None):
        found = self.cluster.get(
            SANDBOXES,
            namespace=namespace or self.namespace,
            labels=f"openshell.ai/sandbox-id={sandbox.id}",
        )
        self.assertLessEqual(len(found), 1)
        return found[0] if found else None

    def pod(self, sandbox, namespace=None):
        found = self.cluster.get(
            "pods",
            namespace=namespace or self.namespace,
            labels=f"openshell.ai/sandbox-id={sandbox.id}",
        )
        self.assertLessEqual(len(found), 1)
        return found[0] if found else None

    def run_one(self, **spec):
        """A sandbox that has become Ready, and the watch that saw it."""
        watcher = self.watch()
        sandbox = self.create(self.sandbox(**spec))
        watcher.sandbox(sandbox.id, support.ready, "Ready")
        return sandbox, watcher

    def agent(self, sandbox, *words):
        return self.cluster.agent(
            self.cr_name(sandbox), *words, namespace=self.namespace, container="agent"
        )

    def report(self, sandbox, *words):
        return json.loads(self.agent(sandbox, *words, "report"))


class ServerTest(ClusterTest):
    """On the API server alone: no pod ever runs, and the controller is played with kubectl."""

    def bring_up(self):
        return cluster.apiserver()

    def say_ready(self, sandbox, status="True"):
        """Plays the controller."""
        condition = {
            "type": "Ready",
            "status": status,
            "reason": "DependenciesReady",
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        body = {"status": {"conditions": [condition]}}
        self.cluster.patch(SANDBOXES, self.cr_name(sandbox), body, self.namespace, "status")

    def remove(self, sandbox):
        self.cluster.delete(SANDBOXES, self.cr_name(sandbox), self.namespace)
