"""The driver killed at each step of a sandbox's life, with SIGKILL, and started again: whatever the
step was, it is done or not done, and doing it again is no error."""

import time

import grpc

from drivers import SANDBOXES, ClusterTest
from support import WAIT, Code, eventually, is_condition, pb, ready


class Kill(ClusterTest):
    def again(self):
        self.kill_driver()
        self.start_driver()

    def killed_during(self, rpc, request):
        """The call, and the driver killed before it can have ended; at another moment each time."""
        for delay in (0, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06):
            future = getattr(self.stub, rpc).future(request)
            time.sleep(delay)
            self.again()
            future.exception()  # waits for its end, whichever

    def create_again(self, sandbox):
        try:
            self.create(sandbox)
        except grpc.RpcError as e:
            self.assertEqual(e.code(), Code.ALREADY_EXISTS)

    def reference(self, sandbox):
        return {"sandbox_id": sandbox.id, "sandbox_name": sandbox.name}


class KillTest(Kill):
    def test_while_it_creates(self):
        sandbox = self.sandbox()
        self.killed_during("CreateSandbox", pb.CreateSandboxRequest(sandbox=sandbox))
        self.create_again(sandbox)
        self.watch().sandbox(sandbox.id, ready, "Ready")
        self.assertEqual([s.id for s in self.list()], [sandbox.id])
        self.assertIsNotNone(self.cr(sandbox))

    def test_while_the_pod_comes(self):
        sandbox = self.create(self.sandbox())
        for delay in (0, 0.3, 0.6, 1):
            time.sleep(delay)
            self.again()
            self.assertEqual([s.id for s in self.list()], [sandbox.id])
        self.watch().sandbox(sandbox.id, ready, "Ready")

    def test_while_it_stops(self):
        sandbox, _ = self.run_one()
        request = pb.StopSandboxRequest(**self.reference(sandbox))
        self.killed_during("StopSandbox", request)
        self.stop(sandbox)
        self.assertIsNone(self.pod(sandbox))
        self.assertTrue(is_condition("Suspended", "True")(self.get(sandbox)))

    def test_while_it_starts(self):
        sandbox, _ = self.run_one()
        self.stop(sandbox)
        request = pb.StartSandboxRequest(**self.reference(sandbox))
        self.killed_during("StartSandbox", request)
        self.start(sandbox)
        self.watch().sandbox(sandbox.id, ready, "Ready")

    def test_while_it_deletes(self):
        sandbox, _ = self.run_one()
        request = pb.DeleteSandboxRequest(**self.reference(sandbox))
        self.killed_during("DeleteSandbox", request)
        self.delete(sandbox)
        eventually(lambda: self.list() == [], "gone")
        eventually(lambda: self.pod(sandbox) is None, "its pod too", pause=0.2)

    def test_deleted_while_it_was_dead(self):
        sandbox, _ = self.run_one()
        self.kill_driver()
        self.cluster.delete(SANDBOXES, self.cr_name(sandbox), self.namespace, wait=True)
        self.start_driver()
        self.assertEqual(self.list(), [])
        self.fails(
            Code.NOT_FOUND, self.stub.GetSandbox, pb.GetSandboxRequest(**self.reference(sandbox))
        )


class KillManagedTest(Kill):
    """Where a create makes a namespace, a service account and the sandbox, one after the other."""

    mode = "managed"

    def driver_args(self):
        return [*super().driver_args(), "--gateway-id", "g" + self.namespace[2:]]

    def test_while_it_creates(self):
        sandbox = self.sandbox(workspace="blue")
        self.killed_during("CreateSandbox", pb.CreateSandboxRequest(sandbox=sandbox))
        self.create_again(sandbox)
        self.watch().sandbox(sandbox.id, ready, "Ready")
        self.assertEqual([s.id for s in self.list()], [sandbox.id])
        request = pb.DeleteWorkspaceRequest(workspace="blue")
        self.killed_during("DeleteWorkspace", request)
        self.stub.DeleteWorkspace(request, timeout=WAIT)
        name = f"openshell-g{self.namespace[2:]}-blue"
        eventually(lambda: self.cluster.get("namespace", name) is None, "gone", pause=0.3)
        eventually(lambda: self.list() == [], "and what was in it")
