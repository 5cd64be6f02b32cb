"""Everything at once, by chance: sandboxes are made, stopped, started and deleted by several clients
while the API server fails in every way it can. Then the faults end, and a gateway that believed
every event must know exactly what is there.

SOAK_SECONDS and SOAK_SEED in the environment make it longer, or the same again.
"""

import os
import random
import threading
import time
import unittest

import grpc

import support
from kube_faults import gone_event, too_many
from support import Code, GatewayTest, eventually, new_sandbox, pb

SECONDS = float(os.environ.get("SOAK_SECONDS", 6))


class Gateway:
    """Believes every event of a stream, and says what no gateway should ever be told."""

    def __init__(self, test):
        self.test, self.known, self.gone, self.wrong = test, {}, set(), []
        self.suspects = []
        self.call = None
        self.ended = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while not self.ended:
            try:
                self.call = self.test.stub.WatchSandboxes(pb.WatchSandboxesRequest())
                for event in self.call:
                    self.take(event)
            except grpc.RpcError as e:
                if not self.ended:
                    self.wrong.append(f"the stream ended: {e.code()} {e.details()}")
                return

    def take(self, event):
        kind = event.WhichOneof("payload")
        if kind == "sandbox":
            sandbox = event.sandbox.sandbox
            if sandbox.id in self.gone:
                self.wrong.append(f"{sandbox.id} came back after it was deleted")
                self.suspects.append(sandbox.id)
            self.known[sandbox.id] = sandbox
        elif kind == "deleted":
            id_ = event.deleted.sandbox_id
            if id_ in self.test.ids():
                self.wrong.append(f"{id_} is told as deleted and is there")
                self.suspects.append(id_)
            self.gone.add(id_)
            self.known.pop(id_, None)


class Soak(GatewayTest):
    workspaces = ("team",)
    versions = None  # of the Sandbox kind that may be served, to be changed now and then

    def setUp(self):
        self.seed = int(os.environ.get("SOAK_SEED", random.randrange(1 << 32)))
        self.random = random.Random(self.seed)
        super().setUp()
        self.kube.controller.stop = 0.02
        self.made, self.names, self.wrong, self.lock = {}, {}, [], threading.Lock()

    def diagnostics(self):
        return f"SOAK_SEED={self.seed}\n" + super().diagnostics()

    def ids(self):
        """The ids of the sandboxes that the API server has."""
        return {
            o["metadata"]["labels"]["openshell.ai/sandbox-id"]
            for o in self.kube.store.list("sandboxes")
        }

    def fault(self):
        chance = self.random
        path = chance.choice(["/sandboxes", "/pods", "/events", "/namespaces/openshell$", ""])
        kind = chance.randrange(12)
        if self.versions and chance.random() < 0.1:
            self.kube.store.served["sandboxes"] = chance.choice(self.versions)
        if kind == 0:
            self.kube.drop_connections()
        elif kind == 1:
            self.kube.store.compact()
        elif kind == 2:
            self.kube.api.rules.append(too_many(1, path=path, times=chance.randrange(1, 3)))
        elif kind == 3:
            self.kube.stop()
            time.sleep(chance.uniform(0, 0.3))
            self.kube.start()
        else:
            self.kube.rule(
                path,
                times=chance.randrange(1, 4),
                **chance.choice(
                    [
                        {"status": 500, "reason": "InternalError"},
                        {"status": 503, "reason": "ServiceUnavailable"},
                        {"status": 504, "reason": "Timeout", "after": True},
                        {"status": 500, "reason": "InternalError", "after": True},
                        {"cut": True},
                        {"cut": True, "after": True},
                        {"cut_at": chance.randrange(0, 400)},
                        {"reset": True},
                        {"reset": True, "after": True},
                        {"goaway": True},
                        {"goaway": False},
                        {"delay": 0.3},
                        {"body": b"<html>oops</html>"},
                        {"watch": True, "error": gone_event(), "events": chance.randrange(3)},
                        {"watch": True, "drop": True, "events": chance.randrange(3)},
                        {"watch": True, "finish": True, "events": chance.randrange(3)},
                        {"watch": True, "partial": 50, "events": chance.randrange(3)},
                        {"watch": True, "raw": b"garbage\n", "events": 1},
                        {"method": "PATCH", "status": 409, "reason": "Conflict"},
                        {"method": "DELETE", "status": 409, "reason": "Conflict"},
                    ]
                ),
            )

    def attempt(self, call, request):
        """True when it went well, False when it failed as it may while the API server does, None when
        it was not waited for."""
        may = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.ABORTED}
        if self.versions:  # one that changes twice within a call is not run after
            may.add(Code.FAILED_PRECONDITION)
        try:
            call(request, timeout=8)
            return True
        except grpc.RpcError as e:
            if e.code() not in may:
                self.wrong.append(f"{type(request).__name__}: {e.code()} {e.details()}")
            return None if e.code() == Code.DEADLINE_EXCEEDED else False

    def work(self, n, end):
        chance = random.Random(self.seed + n)
        mine = []
        while time.monotonic() < end:
            if not mine or (len(mine) < 8 and chance.random() < 0.3):
                sandbox = new_sandbox(
                    name=f"s{n}-{len(self.made)}", workspace=chance.choice(self.workspaces)
                )
                made = self.attempt(
                    self.stub.CreateSandbox, pb.CreateSandboxRequest(sandbox=sandbox)
                )
                with self.lock:
                    self.made[sandbox.id] = made
                    self.names[sandbox.id] = sandbox.name
                if made:
                    mine.append(sandbox)
                continue
            sandbox = chance.choice(mine)
            key = {"sandbox_id": sandbox.id, "sandbox_name": sandbox.name}
            what = chance.randrange(4)
            if what == 0:
                self.attempt(self.stub.StopSandbox, pb.StopSandboxRequest(**key))
            elif what == 1:
                self.attempt(self.stub.StartSandbox, pb.StartSandboxRequest(**key))
            elif what == 2:
                self.attempt(self.stub.GetSandbox, pb.GetSandboxRequest(**key))
            elif self.attempt(self.stub.DeleteSandbox, pb.DeleteSandboxRequest(**key)):
                mine.remove(sandbox)
                with self.lock:
                    self.made[sandbox.id] = False
            else:  # nobody knows: nothing more is asked of it
                mine.remove(sandbox)
                with self.lock:
                    self.made[sandbox.id] = None

    def astray(self):
        """The sandboxes that are there and should not be, or the other way round."""
        ids = self.ids()
        return [i for i, there in self.made.items() if there is not None and (i in ids) != there]

    def story(self, ids):
        """What was asked of the API server about these sandboxes."""
        lines = []
        for id_ in ids:
            lines.append(f"{id_} {self.names.get(id_)} made={self.made.get(id_)}")
            for x in self.kube.api.requests:
                name = self.names.get(id_)
                if (
                    x.path.endswith(f"/{name}")
                    or x.path.endswith(f"--{name}")
                    or (x.method == "POST" and id_.encode() in x.body)
                ):
                    lines.append(f"  {x.at:.3f} {x.method} {x.path} {getattr(x, 'status', None)}")
        return "\n".join(lines)

    def test_what_a_gateway_believes_is_what_is_there(self):
        gateway = Gateway(self)
        end = time.monotonic() + SECONDS
        workers = [threading.Thread(target=self.work, args=(n, end)) for n in range(6)]
        for worker in workers:
            worker.start()
        while time.monotonic() < end:
            time.sleep(self.random.uniform(0.05, 0.3))
            self.fault()
        for worker in workers:
            worker.join()
        self.kube.api.rules.clear()

        self.assertEqual(self.wrong + gateway.wrong, [], self.story(gateway.suspects))
        eventually(lambda: not self.astray(), lambda: self.story(self.astray()), 40)
        eventually(lambda: set(gateway.known) == self.ids(), "the gateway knows them all", 40)
        eventually(lambda: {s.id for s in self.list()} == self.ids(), "List knows them all", 40)

        def settled():
            return all(
                gateway.known[s.id].status == s.status
                and self.get(s).status == s.status
                and s.status.conditions
                for s in self.list()
            )

        eventually(settled, "streams, List and Get agree", 40)
        gateway.ended = True
        gateway.call.cancel()
        self.assertEqual(gateway.wrong, [])
        self.assertGreater(len(self.made), 5)
        print(f"     {len(self.made)} sandboxes, {len(self.kube.api.requests)} requests")


class Http1Soak(Soak):
    server = {"protocols": ("http/1.1",)}


class ManagedSoak(Soak):
    args = ("--workspace-mode", "managed")
    workspaces = ("red", "green", "blue")


class UpgradeSoak(Soak):
    """The cluster is upgraded and downgraded meanwhile, under a controller that knows no Suspended."""

    server = {"controller": "0.4.6"}
    versions = (["v1alpha1"], ["v1beta1", "v1alpha1"], ["v1beta1"])


if __name__ == "__main__":
    unittest.main()
