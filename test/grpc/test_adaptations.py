"""The ten adaptations of driver contract 5.5, against the conditions that each controller writes."""

import json
import unittest

import grpc

import support
from support import Code, GatewayTest, condition, eventually, is_condition, new_sandbox, pb, ready


def phase(sandbox):
    """What a gateway makes of a snapshot (driver contract 1.11)."""
    if sandbox.status.deleting:
        return "Deleting"
    if any(c.type == "Suspended" and c.status.lower() == "true" for c in sandbox.status.conditions):
        return "Stopped"
    c = condition(sandbox, "Suspended")
    if c is not None and c.reason in ("PodTerminating", "PodNotTerminated"):
        return "Stopping"
    c = condition(sandbox, "Ready")
    if c is None or c.status not in ("True", "False"):
        return "Provisioning"
    if c.status == "True":
        return "Ready"
    waits = {
        "reconcilererror",
        "dependenciesnotready",
        "supervisornotconnected",
        "starting",
        "containerstarting",
        "containercreated",
        "healthcheckstarting",
        "inspectfailed",
    }
    return "Provisioning" if c.reason.lower() in waits else "Error"


class Life:
    """Start, stop, start, delete under one controller: the gateway must never see an Error."""

    def test_a_whole_life_without_an_error(self):
        self.kube.controller.stop = 0.1
        watcher = self.watch()
        sandbox = self.create()
        watcher.sandbox(sandbox.id, ready)
        at = len(watcher.events)
        self.stop(sandbox)
        self.assertEqual(self.kube.store.list("pods"), [], "a stop is over when the pod is gone")
        eventually(
            lambda: [
                e
                for e in watcher.events[at:]
                if e.WhichOneof("payload") == "sandbox" and phase(e.sandbox.sandbox) == "Stopped"
            ],
            "Stopped is told",
        )
        self.assertEqual(phase(self.get(sandbox)), "Stopped")
        at = len(watcher.events)
        self.start(sandbox)
        eventually(
            lambda: [
                e
                for e in watcher.events[at:]
                if e.WhichOneof("payload") == "sandbox" and phase(e.sandbox.sandbox) == "Ready"
            ],
            "Ready is told again",
        )
        self.assertNotIn("Error", [phase(s) for s in watcher.snapshots(sandbox.id)])

    def test_a_stop_from_outside_is_seen(self):
        watcher = self.watch()
        sandbox = self.create()
        watcher.sandbox(sandbox.id, ready)
        self.kube.store.patch(
            "sandboxes",
            self.namespace,
            self.cr_name(sandbox),
            {"spec": {"operatingMode": "Suspended"}},
        )
        watcher.sandbox(sandbox.id, lambda s: phase(s) == "Stopped")
        self.assertNotIn("Error", [phase(s) for s in watcher.snapshots(sandbox.id)])


class Controller046(Life, GatewayTest):
    """Ready=True of a stopped sandbox, no Suspended at all (items 3 and 5)."""

    server = {"controller": "0.4.6"}

    def before_driver(self):
        self.kube.store.served["sandboxes"] = ["v1alpha1"]


class Controller051(Life, GatewayTest):
    """Suspended only while suspended, and left behind on resume (item 4)."""

    server = {"controller": "0.5.1"}


class Controller054(Life, GatewayTest):
    server = {"controller": "0.5.4"}


class Controller056(Life, GatewayTest):
    server = {"controller": "0.5.6"}


class Items(GatewayTest):
    FORBIDDEN = {"status": 403, "reason": "Forbidden", "message": "not for you"}

    def test_01_a_404_chooses_again(self):
        sandbox = self.create()
        self.kube.store.served["sandboxes"] = ["v1alpha1"]
        self.kube.drop_connections()
        watcher = self.watch()
        watcher.sandbox(sandbox.id, ready)
        self.assertEqual(phase(self.get(sandbox)), "Ready")
        eventually(
            lambda: self.kube.seen("GET", "v1alpha1.*/sandboxes", watch=True), "it watches v1alpha1"
        )
        other = self.create(name="other")
        watcher.sandbox(other.id, ready)

    def test_01_a_version_that_is_forbidden_is_passed_over(self):
        """Unlike upstream, which gives up (driver contract 3.3)."""
        self.kube.rule("v1beta1.*/sandboxes", times=-1, **self.FORBIDDEN)
        self.start_driver()
        sandbox = self.create()
        self.assertTrue(self.kube.seen("POST", "v1alpha1"))
        self.assertIsNotNone(self.cr(sandbox))

    def test_01_all_versions_forbidden(self):
        self.kube.rule("/sandboxes", times=-1, **self.FORBIDDEN)
        self.start_driver()
        with self.assertRaises(grpc.RpcError) as caught:
            self.create()
        self.assertNotIn(caught.exception.code(), (Code.NOT_FOUND, Code.ALREADY_EXISTS))
        self.assertIn("not for you", caught.exception.details())

    def test_01_no_version_at_all_until_there_is_one(self):
        """The CRD is installed after the driver."""
        self.kube.store.served["sandboxes"] = []
        self.start_driver()
        with self.assertRaises(grpc.RpcError) as caught:
            self.create()
        self.assertNotIn(caught.exception.code(), (Code.NOT_FOUND, Code.ALREADY_EXISTS))
        self.assertEqual(
            caught.exception.details(),
            "no supported Agent Sandbox API version is available; tried v1beta1, v1alpha1",
        )
        with self.assertRaises(grpc.RpcError) as caught:
            self.list()
        self.assertNotEqual(caught.exception.code(), Code.NOT_FOUND)
        self.kube.store.served["sandboxes"] = ["v1beta1"]
        sandbox = new_sandbox()

        def made():
            try:
                return self.create(sandbox)
            except grpc.RpcError:
                return None

        eventually(made, "a sandbox can be made now", 40)
        self.watch().sandbox(sandbox.id, ready)

    def test_02_stop_and_start_write_nothing_but_the_mode(self):
        sandbox = self.create()
        self.stop(sandbox)
        self.start(sandbox)
        for request in self.kube.seen("PATCH", "/sandboxes"):
            body = json.loads(request.body)
            self.assertEqual(list(body["spec"]), ["operatingMode"])
            self.assertEqual(set(body) - {"metadata"}, {"spec"})

    def test_03_a_condition_alone_is_not_stopped(self):
        """Suspended=True of an older generation, and the pod still there: the stop is not over."""
        sandbox = self.create()
        self.watch().sandbox(sandbox.id, ready)
        self.kube.controller.stop = 1.0
        self.stop(sandbox)
        self.assertEqual(self.kube.store.list("pods"), [])

    def test_05_stopping_is_not_an_error(self):
        watcher = self.watch()
        sandbox = self.create()
        watcher.sandbox(sandbox.id, ready)
        self.kube.controller.stop = 0.5
        self.stop(sandbox)
        self.assertNotIn("Error", [phase(s) for s in watcher.snapshots(sandbox.id)])

    def test_06_conditions_of_an_older_generation_say_nothing(self):
        watcher = self.watch()
        sandbox = self.create()
        watcher.sandbox(sandbox.id, ready)
        self.stop(sandbox)
        watcher.sandbox(sandbox.id, lambda s: phase(s) == "Stopped")
        self.kube.controller.paused = True
        at = len(watcher.events)
        self.start(sandbox)
        event = eventually(
            lambda: next(
                (e for e in watcher.events[at:] if e.WhichOneof("payload") == "sandbox"), None
            )
        )
        c = condition(event.sandbox.sandbox, "Ready")
        self.assertEqual((c.status, c.reason), ("False", "DependenciesNotReady"))
        self.assertEqual(phase(self.get(sandbox)), "Provisioning")

    def test_07_a_pod_that_ended_is_told(self):
        self.kube.controller.exit = "Failed"
        watcher = self.watch()
        sandbox = self.create()
        watcher.sandbox(sandbox.id, is_condition("Ready", "False", "PodFailed"))

    def test_07_an_unschedulable_pod_is_told(self):
        self.kube.controller.unschedulable = "0/3 nodes are available: 3 Insufficient memory."
        watcher = self.watch()
        sandbox = self.create()
        event = watcher.platform(sandbox.id, lambda e: e.reason == "FailedScheduling")
        self.assertEqual(event.type, "Warning")
        self.assertIn("Insufficient memory", event.message)
        seen = watcher.sandbox(
            sandbox.id,
            lambda s: "Insufficient memory"
            in (condition(s, "Ready") or pb.DriverCondition()).message,
        )
        self.assertEqual(phase(seen), "Provisioning")

    def test_08_instance_id_and_deleting(self):
        self.kube.controller.paused = True
        watcher = self.watch()
        sandbox = self.create()
        self.assertEqual(watcher.sandbox(sandbox.id).status.instance_id, self.cr_name(sandbox))
        self.kube.store.patch(
            "sandboxes",
            self.namespace,
            self.cr_name(sandbox),
            {
                "metadata": {
                    "annotations": {"agents.x-k8s.io/pod-name": "adopted"},
                    "finalizers": ["t/h"],
                }
            },
        )
        watcher.sandbox(sandbox.id, lambda s: s.status.instance_id == "adopted")
        self.kube.store.delete("sandboxes", self.namespace, self.cr_name(sandbox))
        watcher.sandbox(sandbox.id, lambda s: s.status.deleting)

    def test_09_claim_templates_are_never_patched(self):
        sandbox = self.create()
        self.stop(sandbox)
        for request in self.kube.seen("PATCH") + self.kube.seen("PUT"):
            self.assertNotIn("volumeClaimTemplates", request.body.decode())

    def test_10_no_agent_socket(self):
        self.create(spec={"template": {"agent_socket_path": "/x"}})
        self.assertNotIn("agentSocket", self.kube.seen("POST", "/sandboxes")[0].body.decode())


class Recovery(GatewayTest):
    def test_a_stop_that_is_refused_for_good_says_so(self):
        """Suspended=False/PodNotOwned (0.5.4): the pod is not the controller's to delete."""
        sandbox = self.create()
        self.watch().sandbox(sandbox.id, ready)
        self.kube.controller.paused = True

        def answer(entry):
            obj = entry.obj
            if (
                entry.plural == "sandboxes"
                and obj["spec"]["operatingMode"] == "Suspended"
                and not any(c["reason"] == "PodNotOwned" for c in obj["status"]["conditions"])
            ):
                self.kube.store.update(
                    "sandboxes",
                    {
                        **obj,
                        "status": {
                            "conditions": [
                                {
                                    "type": "Suspended",
                                    "status": "False",
                                    "reason": "PodNotOwned",
                                    "message": "pod is not owned by it",
                                    "observedGeneration": obj["metadata"]["generation"],
                                    "lastTransitionTime": "2026-11-25T08:00:00Z",
                                }
                            ]
                        },
                    },
                    "status",
                )

        self.kube.store.listeners.append(answer)
        error = self.fails(
            Code.INTERNAL,
            self.stub.StopSandbox,
            pb.StopSandboxRequest(sandbox_id=sandbox.id),
        )
        self.assertEqual(
            error.details(), "Kubernetes sandbox stop rejected: pod is not owned by it"
        )

    def test_a_driver_that_starts_again_knows_all(self):
        running, stopped = self.create(name="running"), self.create(name="stopped")
        self.watch().sandbox(stopped.id, ready)
        self.stop(stopped)
        self.driver.killed = True
        self.driver.process.kill()
        self.driver.process.wait()
        self.start_driver(socket_path=self.driver.socket, folder=self.driver.folder)
        self.assertEqual(
            {s.id: phase(s) for s in self.list()}, {running.id: "Ready", stopped.id: "Stopped"}
        )
        self.watch().sandbox(running.id, ready)


if __name__ == "__main__":
    unittest.main()
