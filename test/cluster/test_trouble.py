"""What keeps a sandbox from running is told: at once as a platform event in the platform's own
words, and after the grace period as a reason that the gateway takes for an error."""

import json

import grpc

from drivers import INIT, NO_CLAIM, STAND_IN, ClusterTest
from support import Code, condition, eventually, from_struct, ready

GRACE = ("--refusal-grace-secs", "2", "--pending-grace-secs", "2")


class Trouble(ClusterTest):
    args = (*STAND_IN, *INIT, *NO_CLAIM, *GRACE)

    def fails_with(self, sandbox, event, words, reason, type_="Warning"):
        """The event, and then the reason, both with the words."""
        watcher = self.watch()
        self.create(sandbox)
        told = watcher.platform(
            sandbox.id, lambda e: e.reason == event and words in e.message, event
        )
        self.assertEqual(told.type, type_)

        def terminal(seen):
            c = condition(seen, "Ready")
            return c is not None and c.reason == reason

        c = condition(watcher.sandbox(sandbox.id, terminal, reason), "Ready")
        self.assertEqual(c.status, "False")
        self.assertIn(words, c.message)
        # until then it was not called an error
        for seen in watcher.snapshots(sandbox.id):
            c = condition(seen, "Ready")
            if c is not None and c.reason != reason:
                self.assertIn(c.reason, ("DependenciesNotReady", "ReconcilerError"), c)
        return watcher


class NeverTest(Trouble):
    def test_image_is_absent(self):
        sandbox = self.sandbox(template={"image": "localhost/absent:1"})
        watcher = self.fails_with(
            sandbox, "ErrImageNeverPull", "localhost/absent:1", "ImagePullFailed"
        )
        # the pod's status has it at kubelet's second look only, 15 s later: the event is enough
        events = [e.platform_event.event.reason for e in watcher.events]
        self.assertIn("ErrImageNeverPull", events)  # a busy kubelet may look twice

    def test_fits_on_no_node(self):
        sandbox = self.sandbox(template={"resources": {"cpu_request": "1000"}})
        self.fails_with(sandbox, "FailedScheduling", "Insufficient cpu", "Unschedulable")

    def test_quota(self):
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"pods": "0"}}}
        self.cluster.create({**quota, "metadata": {"name": "none", "namespace": self.namespace}})
        self.fails_with(self.sandbox(), "PodRefused", "exceeded quota", "PodRefused")

    def test_pod_security(self):
        """The namespace admits no pod that may build walls."""
        enforce = "pod-security.kubernetes.io/enforce=restricted"
        self.cluster.kubectl("label", "namespace", self.namespace, enforce)
        self.fails_with(self.sandbox(), "PodRefused", "violates PodSecurity", "PodRefused")


class ServiceAccountTest(Trouble):
    args = (*STAND_IN, *INIT, *NO_CLAIM, *GRACE, "--sandbox-service-account", "missing")

    def test_it_is_not_there(self):
        words = 'serviceaccount "missing" not found'
        self.fails_with(self.sandbox(), "PodRefused", words, "PodRefused")


class SecretTest(Trouble):
    """The secret for the way to the gateway is not there: the pod cannot be mounted."""

    args = (*STAND_IN, *INIT, *NO_CLAIM, *GRACE, "--client-tls-secret-name", "missing")

    def test_it_is_not_there(self):
        words = 'secret "missing" not found'
        self.fails_with(self.sandbox(), "FailedMount", words, "ContainerFailed")


class PullTest(Trouble):
    """An image that would have to be pulled, from a registry that answers 403."""

    args = ("--supervisor-image", "localhost/stand-in:1", *INIT, *NO_CLAIM, *GRACE)

    def test_it_may_not(self):
        sandbox = self.sandbox(template={"image": "localhost/absent:2"})
        self.fails_with(sandbox, "Failed", "localhost/absent:2", "ImagePullFailed")


class ClaimTest(Trouble):
    """There is no volume for the claim."""

    args = (*STAND_IN, *INIT, *GRACE)

    def test_it_is_not_bound(self):
        words = "no persistent volumes available"
        self.fails_with(self.sandbox(), "FailedBinding", words, "VolumeNotBound", "Normal")


class PatienceTest(ClusterTest):
    def test_what_passes_is_no_error(self):
        watcher = self.watch()
        place = from_struct({"pod": {"node_selector": {"test": self.namespace}}})
        sandbox = self.create(self.sandbox(template={"driver_config": place}))
        watcher.platform(sandbox.id, lambda e: e.reason == "FailedScheduling", "FailedScheduling")
        self.cluster.kubectl("label", "node", "node1", f"test={self.namespace}", "--overwrite")
        watcher.sandbox(sandbox.id, ready, "Ready")
        for seen in watcher.snapshots(sandbox.id):
            c = condition(seen, "Ready")
            self.assertTrue(c is None or c.reason.startswith("Dependencies"), c)


class RefusedAtCreateTest(ClusterTest):
    """The Sandbox object itself is refused: the call says so, and nothing is left behind."""

    def before_driver(self):
        which = {"apiGroups": ["agents.x-k8s.io"], "apiVersions": ["*"]}
        rule = {**which, "operations": ["CREATE"], "resources": ["sandboxes"]}
        where = {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}}
        says = {"expression": "false", "message": "no sandboxes on Fridays"}
        policy = {"matchConstraints": {"resourceRules": [rule]}, "validations": [says]}
        binding = {
            "policyName": self.namespace,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": where},
        }
        for kind, spec in ("Policy", policy), ("PolicyBinding", binding):
            kind = "ValidatingAdmission" + kind
            self.cluster.create(
                {
                    "apiVersion": "admissionregistration.k8s.io/v1",
                    "kind": kind,
                    "metadata": {"name": self.namespace},
                    "spec": spec,
                }
            )
            self.addCleanup(self.cluster.delete, kind, self.namespace)
        # a policy takes a moment to be in force
        sandbox = {
            "apiVersion": "agents.x-k8s.io/v1beta1",
            "kind": "Sandbox",
            "metadata": {"name": "probe", "namespace": self.namespace},
            "spec": {"podTemplate": {"spec": {"containers": [{"name": "a", "image": "a"}]}}},
        }
        probe = ("kubectl", "create", "--dry-run=server", "-f", "-")
        text = json.dumps(sandbox).encode()
        eventually(
            lambda: b"Fridays" in self.cluster.run(*probe, input=text).stderr,
            "the policy is in force",
            pause=0.2,
        )

    def test_by_a_policy(self):
        sandbox = self.sandbox()
        with self.assertRaises(grpc.RpcError) as caught:
            self.create(sandbox)
        self.assertIn("no sandboxes on Fridays", caught.exception.details())
        self.assertNotIn(caught.exception.code(), (Code.NOT_FOUND, Code.UNAVAILABLE))
        self.assertEqual(self.list(), [])
        self.assertIsNone(self.cr(sandbox))
