"""A sandbox's life on a node, under both generations of the Sandbox API, seen with kubectl."""

import grpc

import cluster
from drivers import INIT, STAND_IN, ClusterTest, reason
from support import WAIT, condition, eventually, is_condition, pb


class LifeTest(ClusterTest):
    api = "v1beta1"

    def bring_up(self):
        return cluster.node(self.api)

    def test_created(self):
        sandbox, watcher = self.run_one(template={"labels": {"team": "red"}})
        made, pod = self.cr(sandbox), self.pod(sandbox)
        self.assertEqual(made["apiVersion"], f"{cluster.API_GROUP}/{self.api}")
        self.assertEqual(made["metadata"]["name"], "team--one")
        wanted = {
            "openshell.ai/managed-by": "openshell",
            "openshell.ai/gateway-id": "openshell",
            "openshell.ai/sandbox-id": sandbox.id,
            "openshell.ai/sandbox-name": "one",
            "openshell.ai/sandbox-workspace": "team",
            "kagenti.io/type": "agent",
            "team": "red",
        }
        for thing in (made, pod):
            self.assertEqual({k: thing["metadata"]["labels"].get(k) for k in wanted}, wanted)
        self.assertEqual(pod["metadata"]["annotations"]["openshell.io/sandbox-id"], sandbox.id)
        self.assertEqual(pod["metadata"]["ownerReferences"][0]["uid"], made["metadata"]["uid"])

        seen = self.get(sandbox)
        self.assertEqual(
            (seen.id, seen.name, seen.workspace, seen.namespace),
            (sandbox.id, "one", "team", self.namespace),
        )
        self.assertEqual(seen.status.instance_id, pod["metadata"]["name"])
        self.assertEqual([s.id for s in self.list()], [sandbox.id])
        where = pb.ResolveSandboxEndpointRequest(sandbox=seen)
        found = self.stub.ResolveSandboxEndpoint(where, timeout=WAIT).endpoint
        self.assertEqual(found.ip, pod["status"]["podIP"])
        # kubelet's and the scheduler's own words arrive as platform events
        step = "openshell.progress.complete_step"
        for reason, done in (("Scheduled", "requesting_sandbox"), ("Pulled", "pulling_image")):
            watcher.platform(
                sandbox.id, lambda e: e.reason == reason and e.metadata.get(step) == done, done
            )
        for reason in ("Created", "Started"):
            watcher.platform(sandbox.id, lambda e: e.reason == reason, reason)

    def test_stopped_and_started(self):
        sandbox, watcher = self.run_one()
        first = self.pod(sandbox)["metadata"]["uid"]
        self.stop(sandbox)
        self.assertIsNone(self.pod(sandbox))
        self.assertTrue(is_condition("Suspended", "True")(self.get(sandbox)))
        self.stop(sandbox)  # once more is no error
        spec = self.cr(sandbox)["spec"]
        self.assertEqual(spec.get("operatingMode"), "Suspended" if self.api == "v1beta1" else None)
        if self.api == "v1alpha1":
            self.assertEqual(spec["replicas"], 0)

        before = len(watcher.events)
        self.start(sandbox)
        eventually(
            lambda: any(
                e.WhichOneof("payload") == "sandbox"
                and is_condition("Ready", "True")(e.sandbox.sandbox)
                for e in watcher.events[before:]
            ),
            "Ready again",
        )
        self.start(sandbox)
        self.assertNotEqual(self.pod(sandbox)["metadata"]["uid"], first)
        self.assertFalse(is_condition("Suspended", "True")(self.get(sandbox)))

    def test_deleted(self):
        sandbox, watcher = self.run_one()
        self.assertTrue(self.delete(sandbox))
        watcher.deleted(sandbox.id)
        self.fails(
            grpc.StatusCode.NOT_FOUND,
            self.stub.GetSandbox,
            pb.GetSandboxRequest(sandbox_id=sandbox.id, sandbox_name=sandbox.name),
        )
        self.assertEqual(self.list(), [])
        self.assertFalse(self.delete(sandbox))
        eventually(lambda: self.pod(sandbox) is None, "the pod is gone", pause=0.2)
        self.create(self.sandbox())  # the name is free

    def test_ended_by_itself(self):
        """A workload that ends does not begin again: the gateway is told what became of it."""
        sandbox, watcher = self.run_one()
        self.agent(sandbox, "kill", "1")
        seen = watcher.sandbox(
            sandbox.id,
            lambda s: reason(s).startswith("Pod"),
            "the end of its pod",
        )
        self.assertEqual(condition(seen, "Ready").status, "False")
        self.assertEqual(self.pod(sandbox)["spec"]["restartPolicy"], "Never")


class WorkspaceTest(ClusterTest):
    """What is in the workspace outlives the pod, and goes with the sandbox."""

    args = (*STAND_IN, *INIT)
    api = "v1beta1"

    def bring_up(self):
        return cluster.node(self.api)

    def before_driver(self):
        self.cluster.volume(self.namespace)

    def test_kept_and_removed(self):
        sandbox, watcher = self.run_one()
        self.agent(sandbox, "write", "/sandbox/note", "kept")
        self.stop(sandbox)
        self.start(sandbox)
        eventually(lambda: is_condition("Ready", "True")(self.get(sandbox)), "Ready again")
        self.assertEqual(self.agent(sandbox, "cat", "/sandbox/note"), b"kept")
        self.assertTrue(self.delete(sandbox))
        watcher.deleted(sandbox.id)
        claim = "workspace-" + self.cr_name(sandbox)
        eventually(
            lambda: self.cluster.get("pvc", claim, self.namespace) is None, "gone", pause=0.2
        )


class OldWorkspaceTest(WorkspaceTest):
    api = "v1alpha1"


class OldLifeTest(LifeTest):
    api = "v1alpha1"
