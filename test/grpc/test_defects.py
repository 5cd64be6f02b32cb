"""The 19 defects of driver contract 3.16, one test each. They were found in the driver that ours
replaces; none of them may be in ours."""

import time
import unittest
import uuid

import grpc

import support
from support import Code, Driver, GatewayTest, Stub, condition, eventually, new_sandbox, pb, ready


class Defects(GatewayTest):
    def test_01_a_status_written_during_delete_leaks_nothing(self):
        sandbox = self.create()
        self.watch().sandbox(sandbox.id, ready)

        def touch(_exchange):
            obj = self.cr(sandbox)
            self.kube.store.update(
                "sandboxes", {**obj, "status": {**obj["status"], "nodeName": "elsewhere"}}, "status"
            )

        self.kube.controller.paused = True
        self.kube.rule("/sandboxes", method="DELETE", hook=touch)
        self.assertTrue(self.delete(sandbox))
        self.assertIsNone(self.cr(sandbox))

    def test_01_a_conflict_of_delete_is_tried_again(self):
        sandbox = self.create()
        self.kube.rule("/sandboxes", method="DELETE", status=409, reason="Conflict", times=2)
        self.assertTrue(self.delete(sandbox))
        self.assertIsNone(self.cr(sandbox))

    def test_02_a_conflict_of_stop_and_start_is_not_already_exists(self):
        sandbox = self.create()
        self.kube.rule("/sandboxes", method="PATCH", status=409, reason="Conflict", times=2)
        self.stop(sandbox)
        self.assertEqual(self.cr(sandbox)["spec"]["operatingMode"], "Suspended")
        self.kube.rule("/sandboxes", method="PATCH", status=409, reason="Conflict", times=2)
        self.start(sandbox)
        self.assertEqual(self.cr(sandbox)["spec"]["operatingMode"], "Running")

    def test_02_an_endless_conflict_is_said_as_what_it_is(self):
        sandbox = self.create()
        self.kube.rule("/sandboxes", method="PATCH", status=409, reason="Conflict", times=-1)
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.StopSandbox(pb.StopSandboxRequest(sandbox_id=sandbox.id), timeout=120)
        self.assertIn(caught.exception.code(), (Code.ABORTED, Code.UNAVAILABLE, Code.INTERNAL))

    def test_03_an_error_of_the_watch_does_not_end_the_stream(self):
        watcher = self.watch()
        first = self.create(name="first")
        watcher.sandbox(first.id, ready)
        for rule in (
            {"error": {"kind": "Status", "code": 500, "message": "etcd"}},
            {"drop": True},
            {"finish": True},
        ):
            self.kube.rule("/sandboxes.*watch", **rule)
        self.kube.drop_connections()
        second = self.create(name="second")
        eventually(lambda: any(map(ready, watcher.snapshots(second.id))), "it goes on", 30)
        self.assertIsNone(watcher.error)

    def test_03_what_vanished_during_a_relist_is_told_as_deleted(self):
        watcher = self.watch()
        sandbox = self.create()
        watcher.sandbox(sandbox.id, ready)
        self.kube.stop()
        self.kube.store.delete("sandboxes", self.namespace, self.cr_name(sandbox))
        self.kube.store.compact()
        self.kube.start()
        watcher.deleted(sandbox.id)
        self.assertEqual(self.list(), [])

    def test_05_objects_without_our_labels_are_found(self):
        id_ = str(uuid.uuid4())
        self.kube.store.create(
            "sandboxes",
            {
                "metadata": {
                    "name": "bare",
                    "labels": {
                        "openshell.ai/sandbox-id": id_,
                        "openshell.ai/managed-by": "openshell",
                    },
                },
                "spec": {"podTemplate": {"spec": {"containers": [{"name": "agent"}]}}},
            },
            self.namespace,
        )
        eventually(lambda: [s.id for s in self.list()] == [id_])
        answer = self.stub.GetSandbox(
            pb.GetSandboxRequest(sandbox_id=id_, sandbox_name="bare"), timeout=support.WAIT
        )
        self.assertEqual(answer.sandbox.id, id_)

    def test_07_an_empty_workspace_gives_a_name_without_dashes(self):
        sandbox = self.create(workspace="", name="plain")
        self.assertEqual(self.cr(sandbox)["metadata"]["name"], "plain")

    def test_08_pods_carry_our_labels(self):
        sandbox = self.create()
        (pod,) = eventually(
            lambda: self.kube.store.list(
                "pods",
                labels=f"openshell.ai/managed-by=openshell,openshell.ai/sandbox-id={sandbox.id}",
            )
        )
        self.assertEqual(pod["metadata"]["name"], self.cr_name(sandbox))

    def test_10_all_checks_are_made_by_validate(self):
        sandbox = new_sandbox(name="x" * 19, workspace="w" * 60)
        self.fails(
            Code.INVALID_ARGUMENT,
            self.stub.ValidateSandboxCreate,
            pb.ValidateSandboxCreateRequest(sandbox=sandbox),
        )
        self.fails(
            Code.INVALID_ARGUMENT,
            self.stub.ValidateSandboxCreate,
            pb.ValidateSandboxCreateRequest(sandbox=new_sandbox(name="Upper")),
        )

    def test_11_instance_id_is_the_pod(self):
        watcher = self.watch()
        sandbox = self.create()
        watcher.sandbox(sandbox.id, lambda s: s.status.instance_id == self.cr_name(sandbox))

    def test_12_deleting_is_told_without_a_status(self):
        self.kube.controller.paused = True
        watcher = self.watch()
        sandbox = self.create()
        obj = self.cr(sandbox)
        self.assertNotIn("status", obj)
        self.kube.store.update(
            "sandboxes", {**obj, "metadata": {**obj["metadata"], "finalizers": ["test/hold"]}}
        )
        self.kube.store.delete("sandboxes", self.namespace, self.cr_name(sandbox))
        watcher.sandbox(sandbox.id, lambda s: s.status.deleting)
        self.assertTrue(self.get(sandbox).status.deleting)

    def test_14_the_api_version_is_chosen_again_when_the_cluster_changes(self):
        first = self.create(name="first")
        self.kube.store.served["sandboxes"] = ["v1alpha1"]
        self.kube.drop_connections()
        second = self.create(name="second")
        self.assertIn(
            "v1alpha1",
            [x for x in self.kube.seen("POST", "/sandboxes") if x.status == 201][-1].path,
        )
        self.stop(first)
        self.kube.store.served["sandboxes"] = ["v1beta1"]
        self.kube.drop_connections()
        self.start(first)
        self.watch().sandbox(second.id, ready)

    def test_15_a_namespace_that_cannot_be_read_chooses_no_uid(self):
        self.kube.rule(
            "/namespaces/openshell$", method="GET", status=500, reason="InternalError", times=-1
        )
        sandbox = new_sandbox()
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=sandbox), timeout=120)
        self.assertIn(
            caught.exception.code(), (Code.INTERNAL, Code.UNAVAILABLE, Code.FAILED_PRECONDITION)
        )
        self.assertIsNone(self.cr(sandbox))

    def test_16_another_gateways_objects_are_left_alone(self):
        id_ = str(uuid.uuid4())
        labels = {
            "openshell.ai/sandbox-id": id_,
            "openshell.ai/managed-by": "openshell",
            "openshell.ai/gateway-id": "another",
            "openshell.ai/sandbox-name": "theirs",
        }
        self.kube.store.create(
            "sandboxes",
            {
                "metadata": {"name": "team--theirs", "labels": labels},
                "spec": {"podTemplate": {"spec": {"containers": []}}},
            },
            self.namespace,
        )
        watcher = self.watch()
        ours = self.create()
        watcher.sandbox(ours.id, ready)
        self.assertEqual([s.id for s in self.list()], [ours.id])
        self.assertEqual(watcher.snapshots(id_), [])
        request = pb.GetSandboxRequest(sandbox_id=id_, sandbox_name="theirs")
        self.fails(Code.NOT_FOUND, self.stub.GetSandbox, request)
        self.assertFalse(
            self.stub.DeleteSandbox(
                pb.DeleteSandboxRequest(sandbox_id=id_, sandbox_name="theirs"), timeout=support.WAIT
            ).deleted
        )
        obj = self.kube.store.get("sandboxes", self.namespace, "team--theirs")
        self.assertEqual(obj["metadata"]["labels"], labels)
        self.assertEqual(self.kube.seen("PATCH"), [])

    def test_17_all_volume_names_are_reserved(self):
        for name in ("openshell-sidecar-state", "openshell-supervisor-tls"):
            config = support.from_struct(
                {"volumes": [{"name": name, "persistent_volume_claim": {"claim_name": "c"}}]}
            )
            error = self.fails(
                Code.INVALID_ARGUMENT,
                self.stub.ValidateSandboxCreate,
                pb.ValidateSandboxCreateRequest(
                    sandbox=new_sandbox(spec={"template": {"driver_config": config}})
                ),
            )
            self.assertIn(f"volume name '{name}' is reserved", error.details())

    def test_18_lists_are_paged_and_gets_cost_no_request(self):
        store = self.kube.store
        for i in range(1200):
            store.create(
                "sandboxes",
                {
                    "metadata": {
                        "name": f"team--s{i}",
                        "labels": {
                            "openshell.ai/sandbox-id": f"id-{i}",
                            "openshell.ai/managed-by": "openshell",
                            "openshell.ai/gateway-id": "openshell",
                            "openshell.ai/sandbox-name": f"s{i}",
                        },
                    },
                    "spec": {"podTemplate": {"spec": {"containers": []}}},
                },
                self.namespace,
            )
        driver = Driver(*self.driver_args(), env=self.env)
        self.addCleanup(driver.stop)
        stub = Stub(driver.channel())
        lists = len(self.kube.seen("GET", r"/sandboxes\?", watch=False))
        self.assertEqual(
            len(stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=30).sandboxes), 1200
        )
        pages = self.kube.seen("GET", r"/sandboxes\?", watch=False)[lists:]
        self.assertTrue(all("limit=" in x.target for x in pages), [x.target for x in pages])
        eventually(lambda: len(self.kube.seen("GET", "/sandboxes", watch=True)) >= 2)
        before = len(self.kube.seen("GET", "/sandboxes", watch=False))
        for i in range(100):
            stub.GetSandbox(
                pb.GetSandboxRequest(sandbox_id=f"id-{i}", sandbox_name=f"s{i}"),
                timeout=support.WAIT,
            )
        self.assertLessEqual(len(self.kube.seen("GET", "/sandboxes", watch=False)) - before, 2)

    def test_19_sigterm_ends_open_watch_streams(self):
        watchers = [self.watch() for _ in range(3)]
        self.create()
        for watcher in watchers:
            eventually(lambda w=watcher: w.events)
        began = time.monotonic()
        self.assertEqual(self.driver.stop_keeping_channels(), 0)
        self.assertLess(time.monotonic() - began, support.WAIT)
        for watcher in watchers:
            eventually(lambda w=watcher: w.error)
            self.assertEqual(watcher.error.code(), Code.UNAVAILABLE)


class ManagedMode(GatewayTest):
    args = ("--workspace-mode", "managed")

    def test_04_progress_is_told_in_managed_mode(self):
        watcher = self.watch()
        sandbox = self.create()
        watcher.platform(sandbox.id, lambda e: e.reason == "Pulled")


class StaleConditions(GatewayTest):
    server = {"controller": "0.5.1"}

    def test_06_a_stale_suspended_is_not_believed(self):
        watcher = self.watch()
        sandbox = self.create()
        watcher.sandbox(sandbox.id, ready)
        self.stop(sandbox)
        before = len(watcher.events)
        self.start(sandbox)
        eventually(
            lambda: any(
                e.WhichOneof("payload") == "sandbox" and ready(e.sandbox.sandbox)
                for e in watcher.events[before:]
            ),
            "ready again",
        )
        obj = self.cr(sandbox)
        self.assertTrue(
            any(c["type"] == "Suspended" for c in obj["status"]["conditions"]),
            "the controller left it",
        )
        suspended = condition(self.get(sandbox), "Suspended")
        self.assertTrue(suspended is None or suspended.status != "True")


class HelperContainers(GatewayTest):
    args = ("--supervisor-sideload-method", "init-container")

    def test_09_helper_containers_have_resources(self):
        sandbox = self.create(
            spec={"template": {"resources": {"cpu_limit": "1", "memory_limit": "1Gi"}}}
        )
        for container in self.cr(sandbox)["spec"]["podTemplate"]["spec"]["initContainers"]:
            self.assertTrue(container["resources"]["limits"], container["name"])
            self.assertTrue(container["resources"]["requests"], container["name"])


class AbsentApi(GatewayTest):
    def before_driver(self):
        self.kube.stop()

    def test_13_a_start_without_the_api_is_a_start(self):
        self.stub.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=support.WAIT)
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=3)
        self.assertIn(
            caught.exception.code(), (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL)
        )
        self.kube.start()
        watcher = self.watch()
        sandbox = new_sandbox()

        def created():
            try:
                self.create(sandbox)
            except grpc.RpcError as e:
                self.assertIn(e.code(), (Code.UNAVAILABLE, Code.INTERNAL, Code.DEADLINE_EXCEEDED))
                return False
            return True

        eventually(created, "a sandbox can be made once the API is back", 30)
        watcher.sandbox(sandbox.id, ready)


if __name__ == "__main__":
    unittest.main()
