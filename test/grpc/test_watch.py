"""WatchSandboxes while the API server misbehaves: nothing is lost, repeated or resurrected."""

import unittest

import support
from kube_faults import gone_event, too_many
from support import GatewayTest, Stub, eventually, new_sandbox, pb, ready


class Faults(GatewayTest):
    def setUp(self):
        super().setUp()
        self.watcher = self.watch()
        self.first = self.create(name="first")
        self.watcher.sandbox(self.first.id, ready)

    def goes_on(self, name="second"):
        """A sandbox made now is told; so is the deletion of the first; nothing else about the first."""
        second = self.create(name=name)
        self.watcher.sandbox(second.id, ready)
        self.delete(self.first)
        self.watcher.deleted(self.first.id)
        self.assertIsNone(self.watcher.error)
        self.assertEqual([s.id for s in self.list()], [second.id])
        deleted = [e for e in self.watcher.events if e.WhichOneof("payload") == "deleted"]
        self.assertEqual(len(deleted), 1, deleted)
        return second

    def strike(self, **rule):
        """Has the next watches of sandboxes hit by the rule, starting now."""
        rule = self.kube.rule("/sandboxes.*watch", times=rule.pop("times", 1), **rule)
        self.kube.drop_connections()
        return rule

    def test_a_410_event(self):
        rule = self.strike(error=gone_event())
        self.goes_on()
        self.assertEqual(rule.hits, 1)

    def test_a_410_answer(self):
        rule = self.strike(status=410, reason="Expired")
        self.goes_on()
        self.assertEqual(rule.hits, 1)

    def test_an_error_event(self):
        self.strike(
            error={
                "kind": "Status",
                "status": "Failure",
                "code": 500,
                "message": "etcdserver: leader changed",
            }
        )
        self.goes_on()

    def test_an_error_event_that_is_no_status(self):
        self.strike(error={"what": "is this"})
        self.goes_on()

    def test_an_orderly_end(self):
        rule = self.strike(finish=True)
        self.goes_on()
        self.assertEqual(rule.hits, 1)

    def test_a_cut_in_the_middle_of_an_event(self):
        rule = self.strike(partial=100)
        second = self.create(name="second")
        self.watcher.sandbox(second.id, ready)
        self.delete(self.first)
        self.watcher.deleted(self.first.id)
        self.assertEqual(rule.hits, 1)
        self.assertIsNone(self.watcher.error)

    def test_half_an_event_and_then_nothing(self):
        """The connection stays open: only the watch's own limit can help. Unary calls go on."""
        self.strike(raw=b'{"type":"ADDED","object":{"kind":"San')
        second = self.create(name="second")
        self.assertEqual(self.get(second).name, "second")

    def test_no_json_at_all(self):
        self.strike(raw=b"<html>busy</html>\n")
        self.goes_on()

    def test_an_event_without_an_object(self):
        self.strike(
            raw=b'{"type":"ADDED"}\n{"type":"MODIFIED","object":{}}\n{"type":"WHAT","object":{"metadata":{}}}\n'
        )
        self.goes_on()

    def test_a_huge_event(self):
        self.strike(raw=b'{"type":"ADDED","object":{"a":"' + b"x" * (9 << 20))
        self.goes_on()
        self.holds_less_than(64 << 10)

    def test_429_and_503(self):
        self.kube.rule(
            "/sandboxes",
            method="GET",
            status=503,
            reason="ServiceUnavailable",
            headers=[("Retry-After", "1")],
        )
        self.kube.api.rules.append(too_many(1, path="/sandboxes", method="GET"))
        self.kube.drop_connections()
        self.goes_on()

    def test_a_forbidden_watch_is_said(self):
        self.strike(
            status=403,
            reason="Forbidden",
            message="sandboxes is forbidden: User may not watch",
            times=2,
        )
        eventually(lambda: "may not watch" in self.driver.log(), "the log says why")
        self.goes_on()

    def test_a_goaway(self):
        self.strike(goaway=True)
        self.goes_on()

    def test_a_server_that_is_away(self):
        self.kube.stop()
        # What happens meanwhile: one gone, one new.
        self.kube.store.delete("sandboxes", self.namespace, self.cr_name(self.first))
        self.kube.store.compact()
        self.kube.start()
        self.watcher.deleted(self.first.id)
        second = self.create(name="second")
        self.watcher.sandbox(second.id, ready)
        self.assertIsNone(self.watcher.error)

    def test_deleted_and_made_again_meanwhile(self):
        self.kube.stop()
        self.kube.store.delete("sandboxes", self.namespace, self.cr_name(self.first))
        again = new_sandbox(name="first")
        self.kube.store.create(
            "sandboxes",
            {
                "metadata": {
                    "name": self.cr_name(self.first),
                    "labels": {
                        "openshell.ai/sandbox-id": again.id,
                        "openshell.ai/managed-by": "openshell",
                        "openshell.ai/gateway-id": "openshell",
                        "openshell.ai/sandbox-name": "first",
                        "openshell.ai/sandbox-workspace": "team",
                    },
                },
                "spec": {
                    "podTemplate": {"spec": {"containers": [{"name": "agent", "image": "i"}]}}
                },
            },
            self.namespace,
        )
        self.kube.store.compact()
        self.kube.start()
        self.watcher.deleted(self.first.id)
        self.watcher.sandbox(again.id, ready)

    def test_a_relist_repeats_nothing(self):
        eventually(lambda: self.kube.seen("GET", "/sandboxes", watch=True))
        before = len(self.watcher.snapshots(self.first.id))
        watches = len(self.kube.seen("GET", "/sandboxes", watch=True))
        self.strike(error=gone_event())
        eventually(
            lambda: len(self.kube.seen("GET", "/sandboxes", watch=True)) >= watches + 2,
            "it watches again",
        )
        second = self.create(name="second")
        self.watcher.sandbox(second.id, ready)
        self.assertEqual(len(self.watcher.snapshots(self.first.id)), before)


class Http1Faults(Faults):
    server = {"protocols": ("http/1.1",)}


class Streams(GatewayTest):
    def test_the_stream_opens_before_the_first_event(self):
        call = self.stub.WatchSandboxes(pb.WatchSandboxesRequest(), timeout=support.WAIT)
        call.initial_metadata()  # blocks until the headers are there
        call.cancel()

    def test_many_readers_see_the_same(self):
        watchers = [self.watch() for _ in range(20)]
        sandbox = self.create()
        for watcher in watchers:
            watcher.sandbox(sandbox.id, ready)
        self.delete(sandbox)
        for watcher in watchers:
            watcher.deleted(sandbox.id)

    def test_a_reader_that_leaves_disturbs_nobody(self):
        stay, leave = self.watch(), self.watch()
        leave.cancel()
        sandbox = self.create()
        stay.sandbox(sandbox.id, ready)

    def test_a_slow_reader_costs_bounded_memory_and_misses_no_deletion(self):
        """It reads nothing while 300 sandboxes change often; then it gets the newest states, and every deletion."""
        slow_stub = Stub(
            self.driver.channel(
                **{"grpc.http2.lookahead_bytes": 1 << 14, "grpc.http2.bdp_probe": 0}
            )
        )
        slow = support.Watcher(slow_stub, start=False)
        slow.call.initial_metadata()
        self.addCleanup(slow.call.cancel)
        fast = self.watch()
        self.kube.controller.paused = True
        store, ids = self.kube.store, []
        for i in range(300):
            ids.append(f"id-{i}")
            store.create(
                "sandboxes",
                {
                    "metadata": {
                        "name": f"team--s{i}",
                        "labels": {
                            "openshell.ai/sandbox-id": ids[-1],
                            "openshell.ai/managed-by": "openshell",
                            "openshell.ai/gateway-id": "openshell",
                            "openshell.ai/sandbox-name": f"s{i}",
                        },
                    },
                    "spec": {"podTemplate": {"spec": {"containers": []}}},
                },
                self.namespace,
            )
        fast.sandbox("id-299")
        before = self.driver.rss()
        for turn in range(20):
            for i in range(300):
                obj = store.get("sandboxes", self.namespace, f"team--s{i}")
                store.update(
                    "sandboxes",
                    {
                        **obj,
                        "status": {
                            "conditions": [
                                {
                                    "type": "Ready",
                                    "status": "False",
                                    "reason": "DependenciesNotReady",
                                    "observedGeneration": 1,
                                    "message": f"turn {turn} " + "x" * 1000,
                                    "lastTransitionTime": "2026-11-25T08:00:00Z",
                                }
                            ]
                        },
                    },
                    "status",
                )
            fast.sandbox(
                "id-299",
                lambda s, t=turn: s.status.conditions
                and f"turn {t} " in s.status.conditions[0].message,
            )
        for i in range(0, 300, 2):
            store.delete("sandboxes", self.namespace, f"team--s{i}")
        fast.deleted("id-298")
        self.holds_less_than(8 << 10, before)
        slow.thread.start()
        for i in range(300):
            if i % 2:
                slow.sandbox(
                    f"id-{i}",
                    lambda s: s.status.conditions and "turn 19 " in s.status.conditions[0].message,
                )
            else:
                slow.deleted(f"id-{i}")
        self.assertLess(len(slow.events), 20 * 300, "states that were overtaken are left out")

    def test_a_second_stream_after_a_deletion(self):
        first = self.watch()
        sandbox = self.create()
        first.sandbox(sandbox.id, ready)
        self.delete(sandbox)
        first.deleted(sandbox.id)
        other = self.create(name="other")
        second = self.watch()
        second.sandbox(other.id, ready)
        self.assertEqual(second.snapshots(sandbox.id), [])


if __name__ == "__main__":
    unittest.main()
