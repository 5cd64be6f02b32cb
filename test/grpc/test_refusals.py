"""What the peer's user is not told (driver contract 3.17): pods refused, images that cannot be had,
claims that are not bound, pods that fit nowhere."""

import unittest

from support import GatewayTest, condition, eventually, is_condition, pb
from test_adaptations import phase


def message_has(words):
    return lambda s: words in (condition(s, "Ready") or pb.DriverCondition()).message


class Told(GatewayTest):
    args = ("--refusal-grace-secs", "1", "--pending-grace-secs", "2")

    def test_a_pod_that_quota_refuses(self):
        words = "exceeded quota: team, requested: limits.cpu=4, used: limits.cpu=8, limited: limits.cpu=8"
        self.kube.controller.refuse = words
        watcher = self.watch()
        sandbox = self.create()
        event = watcher.platform(sandbox.id, lambda e: words in e.message)
        self.assertEqual(event.type, "Warning")
        waiting = watcher.sandbox(sandbox.id, message_has(words))
        self.assertEqual(phase(waiting), "Provisioning", "it may yet be let in")
        over = watcher.sandbox(sandbox.id, is_condition("Ready", "False", "PodRefused"))
        self.assertEqual(phase(over), "Error")
        self.assertIn(words, condition(over, "Ready").message)
        events = [e for e in watcher.events if e.WhichOneof("payload") == "platform_event"]
        self.assertEqual(
            len([e for e in events if words in e.platform_event.event.message]), 1, "told once"
        )

    def test_a_refusal_that_ends_in_time(self):
        self.kube.controller.refuse = (
            "unable to validate against any security context constraint: [provider restricted-v2]"
        )
        watcher = self.watch()
        sandbox = self.create()
        watcher.sandbox(sandbox.id, message_has("security context constraint"))
        self.kube.controller.refuse = None
        self.kube.controller.resume()
        watcher.sandbox(sandbox.id, is_condition("Ready", "True"))
        self.assertNotIn("Error", [phase(s) for s in watcher.snapshots(sandbox.id)])

    def test_an_image_that_cannot_be_pulled(self):
        self.kube.controller.pull = "ErrImagePull"
        watcher = self.watch()
        sandbox = self.create()
        words = 'Failed to pull image "registry.example/agent:1": not found'
        self.assertEqual(watcher.platform(sandbox.id, lambda e: words in e.message).type, "Warning")
        watcher.sandbox(sandbox.id, message_has("registry.example/agent:1"))
        watcher.sandbox(sandbox.id, is_condition("Ready", "False", "ImagePullFailed"))

    def test_a_pod_that_fits_on_no_node(self):
        self.kube.controller.unschedulable = (
            "0/1 nodes are available: 1 node(s) had untolerated taint {x: }."
        )
        watcher = self.watch()
        sandbox = self.create()
        watcher.platform(sandbox.id, lambda e: "untolerated taint" in e.message)
        waiting = watcher.sandbox(sandbox.id, message_has("untolerated taint"))
        self.assertEqual(phase(waiting), "Provisioning")
        over = watcher.sandbox(sandbox.id, is_condition("Ready", "False", "Unschedulable"))
        self.assertEqual(phase(over), "Error")

    def test_a_claim_that_is_not_bound(self):
        self.kube.controller.start = 60
        watcher = self.watch()
        sandbox = self.create()
        claim = f"workspace-{self.cr_name(sandbox)}"
        eventually(lambda: self.kube.store.list("persistentvolumeclaims"))
        words = 'storageclass.storage.k8s.io "fast" not found'
        self.kube.controller.event(
            "PersistentVolumeClaim", self.namespace, claim, "ProvisioningFailed", words, "Warning"
        )
        event = watcher.platform(sandbox.id, lambda e: words in e.message)
        self.assertEqual(event.metadata["involved_kind"], "PersistentVolumeClaim")
        watcher.sandbox(sandbox.id, message_has(words))

    def test_events_of_others_are_not_told(self):
        watcher = self.watch()
        sandbox = self.create()
        watcher.platform(sandbox.id, lambda e: e.reason == "Started")
        self.kube.store.create("pods", {"metadata": {"name": "stranger"}}, self.namespace)
        self.kube.controller.event("Pod", self.namespace, "stranger", "Killing", "not ours")
        self.kube.controller.event("Pod", self.namespace, self.cr_name(sandbox), "Killing", "ours")
        watcher.platform(sandbox.id, lambda e: e.message == "ours")
        self.assertIsNone(
            watcher.find(
                lambda e: e.WhichOneof("payload") == "platform_event"
                and e.platform_event.event.message == "not ours"
            )
        )


if __name__ == "__main__":
    unittest.main()
