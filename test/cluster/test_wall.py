"""The wall in pods: with the rights that OpenShell asks for, in a user namespace of the pod's own, and
under Pod Security's "restricted", where no namespace is to be had. What is asked of them, and by what
program, is what test/hosts asks of every host."""

import subprocess
import unittest

import cluster
from hosts import Observed, Server, Walled, policy

ADDRESS = "10.77.0.1"  # the node's, on the bridge of its pods
OURS, INSIDE = "/opt/openshell/bin/openshell-static", "/usr/bin/hosts"
POLICY = "/etc/openshell/policy.yaml"
NOT_ALLOWED = {
    "pocket": r"unshare\(NEWNET\): Operation not permitted",
    "userns": r"unshare\(NEWUSER\|NEWNET\): Operation not permitted",
}
# What a driver adds (supervisor contract 1.5), and with user namespaces.
FOUR = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG"]
SEVEN = [*FOUR, "SETUID", "SETGID", "DAC_READ_SEARCH"]
DEFAULT_SECCOMP = {"seccompProfile": {"type": "RuntimeDefault"}}


class Pod:
    """Each command is a pod of its own: it is process 1 there."""

    binary, program, policy_file = OURS, INSIDE, POLICY
    labels = {}  # of the namespace
    spec = {}  # of the pod
    context = {}  # of the container

    @classmethod
    def setUpClass(cls):
        cls.node = cluster.node()
        cls.server = Server(ADDRESS, where=cls.node.command())
        cls.addClassCleanup(cls.server.close)
        cls.namespace = cls.node.namespace(cls.__name__.lower(), **cls.labels)
        cls.addClassCleanup(cls.node.delete, "namespace", cls.namespace)
        data = {"policy.yaml": policy(cls.server, INSIDE, cls.user)}
        meta = {"name": "policy", "namespace": cls.namespace}
        cls.node.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
        cls.pods = 0

    def pod(self, name, words):
        container = {
            "name": "sandbox",
            "image": "localhost/hosts:1",
            "imagePullPolicy": "Never",
            "command": list(words),
            "securityContext": {**DEFAULT_SECCOMP, **self.context},
            "volumeMounts": [{"name": "policy", "mountPath": "/etc/openshell"}],
        }
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": "policy", "configMap": {"name": "policy"}}],
            **self.spec,
        }
        meta = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}

    def there(self, *words):
        type(self).pods += 1
        name = f"pod-{self.pods}"
        self.node.create(self.pod(name, words))

        def ended():
            (status,) = self.node.get("pod", name, self.namespace)["status"].get(
                "containerStatuses", [{}]
            )
            return status.get("state", {}).get("terminated")

        logs = ["logs", "-n", self.namespace, name]
        what = lambda: f"{name} ends; until now it said\n{self.node.kubectl(*logs)}"  # noqa: E731
        code = cluster.eventually(ended, what)["exitCode"]
        said = self.node.kubectl(*logs)
        return subprocess.CompletedProcess(words, code, said, said)


class CapablePodTest(Pod, Walled, unittest.TestCase):
    """As the driver makes it."""

    rung = "pocket"
    context = {"capabilities": {"add": FOUR}}


class UserNamespacePodTest(Pod, Walled, unittest.TestCase):
    rung = "pocket"
    spec = {"hostUsers": False}
    context = {"capabilities": {"add": SEVEN}}


class RestrictedPodTest(Pod, Observed, unittest.TestCase):
    """The admission would refuse a pod that asks for more."""

    fails = NOT_ALLOWED
    not_alone = {"host": r"unshare\(NEWNS\): Operation not permitted"}
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    context = {
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
