"""Every RPC against a healthy cluster, and the codes and words of driver contract 3.5."""

import unittest
import uuid

from google.protobuf import struct_pb2

import support
from support import (
    Code,
    GatewayTest,
    condition,
    eventually,
    field,
    from_struct,
    is_condition,
    new_sandbox,
    pb,
    ready,
)


class Lifecycle(GatewayTest):
    def test_capabilities(self):
        answer = self.stub.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=support.WAIT)
        self.assertEqual(answer.driver_name, "kubernetes")
        self.assertTrue(answer.driver_version)
        self.assertFalse(answer.gateway_manages_lifecycle)

    def test_a_sandbox_lives_and_dies(self):
        watcher = self.watch()
        sandbox = self.create()
        seen = watcher.sandbox(sandbox.id, ready)
        self.assertEqual((seen.name, seen.workspace), ("one", "team"))
        self.assertFalse(seen.HasField("spec"))
        self.assertEqual(seen.status.instance_id, self.cr_name(sandbox))
        self.assertEqual(self.get(sandbox).status.conditions, seen.status.conditions)

        self.stop(sandbox)
        watcher.sandbox(sandbox.id, is_condition("Suspended", "True"))
        self.assertEqual(self.kube.store.list("pods"), [])
        self.stop(sandbox)  # repeated: no error

        before = len(watcher.events)
        self.start(sandbox)
        self.start(sandbox)
        eventually(
            lambda: any(ready(e.sandbox.sandbox) for e in watcher.events[before:]), "ready again"
        )
        self.assertEqual(len(self.kube.store.list("pods")), 1)

        self.assertTrue(self.delete(sandbox))
        watcher.deleted(sandbox.id)
        self.fails(
            Code.NOT_FOUND,
            self.stub.GetSandbox,
            pb.GetSandboxRequest(sandbox_id=sandbox.id),
            message="sandbox not found",
        )
        self.assertEqual(self.list(), [])
        self.assertFalse(self.delete(sandbox))

    def test_get_finds_by_id_and_by_name(self):
        sandbox = self.create()
        by_id = self.stub.GetSandbox(
            pb.GetSandboxRequest(sandbox_id=sandbox.id), timeout=support.WAIT
        )
        self.assertEqual(by_id.sandbox.name, "one")
        other = pb.GetSandboxRequest(sandbox_id=str(uuid.uuid4()), sandbox_name="one")
        self.fails(Code.NOT_FOUND, self.stub.GetSandbox, other, message="sandbox not found")

    def test_list_tells_all(self):
        ids = {self.create(name=f"s{i}").id for i in range(7)}
        self.assertEqual({s.id for s in self.list()}, ids)

    def test_creating_twice(self):
        sandbox = self.create()
        again = pb.CreateSandboxRequest(sandbox=new_sandbox(id=sandbox.id))
        self.fails(Code.ALREADY_EXISTS, self.stub.CreateSandbox, again)
        self.assertIsNotNone(self.cr(sandbox))

    def test_a_fresh_stream_tells_what_is_there(self):
        sandbox = self.create()
        self.watch().sandbox(sandbox.id, ready)

    def test_progress_is_told(self):
        watcher = self.watch()
        sandbox = self.create()

        def of(reason):
            return watcher.platform(sandbox.id, lambda e: e.reason == reason, reason)

        scheduled = of("Scheduled")
        self.assertEqual((scheduled.source, scheduled.type), ("kubernetes", "Normal"))
        self.assertEqual(
            scheduled.metadata["openshell.progress.complete_step"], "requesting_sandbox"
        )
        self.assertEqual(
            scheduled.metadata["openshell.progress.complete_label"], "Sandbox allocated"
        )
        self.assertEqual(scheduled.metadata["openshell.progress.active_step"], "pulling_image")
        self.assertEqual(scheduled.metadata["involved_kind"], "Pod")
        self.assertEqual(scheduled.metadata["namespace"], self.namespace)
        self.assertGreater(scheduled.timestamp_ms, 0)
        self.assertEqual(scheduled.event_time.seconds, scheduled.timestamp_ms // 1000)
        self.assertEqual(
            of("Pulling").metadata["openshell.progress.active_detail"], "registry.example/agent:1"
        )
        pulled = of("Pulled").metadata
        self.assertEqual(pulled["openshell.progress.complete_label"], "Image pulled (42 MB)")
        self.assertEqual(pulled["openshell.progress.active_step"], "starting_sandbox")

    def test_conditions_carry_both_times(self):
        watcher = self.watch()
        seen = watcher.sandbox(self.create().id, ready)
        c = condition(seen, "Ready")
        self.assertTrue(c.last_transition_time)
        self.assertEqual(c.transition_time.ToJsonString(), c.last_transition_time)

    def test_endpoint_of_the_first_generation(self):
        sandbox = self.create()
        watcher = self.watch()
        seen = watcher.sandbox(sandbox.id, ready)
        answer = self.stub.ResolveSandboxEndpoint(
            pb.ResolveSandboxEndpointRequest(sandbox=seen), timeout=support.WAIT
        )
        pod = self.kube.store.list("pods")[0]
        self.assertEqual((answer.endpoint.ip, answer.endpoint.port), (pod["status"]["podIP"], 2222))
        bare = pb.ResolveSandboxEndpointRequest(sandbox=pb.DriverSandbox(name="one"))
        answer = self.stub.ResolveSandboxEndpoint(bare, timeout=support.WAIT)
        self.assertEqual(answer.endpoint.host, "one.openshell.svc.cluster.local")
        self.fails(
            Code.FAILED_PRECONDITION,
            self.stub.ResolveSandboxEndpoint,
            pb.ResolveSandboxEndpointRequest(sandbox=pb.DriverSandbox()),
        )

    def test_listener_requirements_are_none(self):
        answer = self.stub.GetGatewayListenerRequirements(
            pb.GetGatewayListenerRequirementsRequest(), timeout=support.WAIT
        )
        self.assertEqual(len(answer.requirements), 0)

    def test_authentication_is_of_another_generation(self):
        self.fails(
            Code.UNIMPLEMENTED,
            self.stub.AuthenticateSandbox,
            pb.AuthenticateSandboxRequest(credential="x"),
        )

    def test_workspaces_of_shared_mode_need_nothing(self):
        before = len(self.kube.seen("POST"))
        self.stub.EnsureWorkspace(pb.EnsureWorkspaceRequest(workspace="team"), timeout=support.WAIT)
        self.stub.DeleteWorkspace(pb.DeleteWorkspaceRequest(workspace="team"), timeout=support.WAIT)
        self.assertEqual(len(self.kube.seen("POST")), before)

    def test_the_token_stays_out_of_the_object_and_the_log(self):
        self.start_driver("--log-level", "debug")
        sandbox = self.create(spec={"sandbox_token": "very-secret-token"})
        self.assertNotIn("very-secret-token", str(self.cr(sandbox)))
        self.assertNotIn("very-secret-token", self.driver.log())

    def test_a_deletion_that_takes_its_time(self):
        """The object is held by a finalizer: it is being deleted, and is told as that until it is gone."""
        watcher = self.watch()
        sandbox = self.create()
        watcher.sandbox(sandbox.id, ready)
        held = {"metadata": {"finalizers": ["test/hold"]}}
        self.kube.store.patch("sandboxes", self.namespace, self.cr_name(sandbox), held)
        self.assertTrue(self.delete(sandbox))
        watcher.sandbox(sandbox.id, lambda s: s.status.deleting)
        self.assertTrue(self.get(sandbox).status.deleting)
        self.assertTrue(self.delete(sandbox), "it is still there")
        self.kube.store.finalize("sandboxes", self.namespace, self.cr_name(sandbox), "test/hold")
        watcher.deleted(sandbox.id)
        self.assertFalse(self.delete(sandbox))

    def test_gone_while_stopping_is_not_stopped_for_ever(self):
        sandbox = self.create()
        self.delete(sandbox)
        self.fails(
            Code.NOT_FOUND, self.stub.StopSandbox, pb.StopSandboxRequest(sandbox_id=sandbox.id)
        )
        self.fails(
            Code.NOT_FOUND, self.stub.StartSandbox, pb.StartSandboxRequest(sandbox_id=sandbox.id)
        )


class Gpu(GatewayTest):
    def before_driver(self):
        self.kube.store.create(
            "nodes", {"metadata": {"name": "a"}, "status": {"allocatable": {"cpu": "4"}}}
        )
        self.kube.store.create(
            "nodes", {"metadata": {"name": "b"}, "status": {"allocatable": {"nvidia.com/gpu": "8"}}}
        )

    def limits(self, sandbox):
        spec = self.cr(sandbox)["spec"]["podTemplate"]["spec"]
        return spec["containers"][0]["resources"]["limits"]

    def test_the_message_form(self):
        sandbox = new_sandbox(
            spec={
                "resource_requirements": pb.ResourceRequirements(
                    gpu=pb.GpuResourceRequirements(count=2)
                )
            }
        )
        self.validate(sandbox)
        self.create(sandbox)
        self.assertEqual(self.limits(sandbox)["nvidia.com/gpu"], "2")

    def test_no_count_is_one(self):
        sandbox = new_sandbox(
            spec={
                "resource_requirements": pb.ResourceRequirements(gpu=pb.GpuResourceRequirements())
            }
        )
        self.create(sandbox)
        self.assertEqual(self.limits(sandbox)["nvidia.com/gpu"], "1")

    def test_the_varint_form_of_april(self):
        sandbox = new_sandbox()
        spec = sandbox.spec.SerializeToString() + b"\x48\x01"
        rest = pb.DriverSandbox(
            id=sandbox.id, name=sandbox.name, workspace=sandbox.workspace
        ).SerializeToString()
        for method in ("ValidateSandboxCreate", "CreateSandbox"):
            self.raw(method)(field(1, rest + field(4, spec)), timeout=support.WAIT)
        self.assertEqual(self.limits(sandbox)["nvidia.com/gpu"], "1")

    def test_none_at_all_is_refused(self):
        sandbox = new_sandbox(
            spec={
                "resource_requirements": pb.ResourceRequirements(
                    gpu=pb.GpuResourceRequirements(count=0)
                )
            }
        )
        for call, request in (
            (self.stub.ValidateSandboxCreate, pb.ValidateSandboxCreateRequest),
            (self.stub.CreateSandbox, pb.CreateSandboxRequest),
        ):
            self.fails(
                Code.INVALID_ARGUMENT,
                call,
                request(sandbox=sandbox),
                message="gpu count must be greater than 0",
            )

    def test_a_cluster_without_gpus(self):
        self.kube.store.patch(
            "nodes", None, "b", {"status": {"allocatable": {"nvidia.com/gpu": "0"}}}
        )
        self.kube.store.update(
            "nodes",
            {
                **self.kube.store.get("nodes", None, "b"),
                "status": {"allocatable": {"nvidia.com/gpu": "0"}},
            },
            "status",
        )
        sandbox = new_sandbox(
            spec={
                "resource_requirements": pb.ResourceRequirements(gpu=pb.GpuResourceRequirements())
            }
        )
        error = self.fails(
            Code.FAILED_PRECONDITION,
            self.stub.ValidateSandboxCreate,
            pb.ValidateSandboxCreateRequest(sandbox=sandbox),
        )
        self.assertIn(
            "GPU sandbox requested, but the active gateway has no allocatable GPUs.",
            error.details(),
        )

    def test_nodes_that_cannot_be_listed(self):
        self.kube.rule(
            "/nodes", status=403, reason="Forbidden", message="nodes is forbidden", times=-1
        )
        sandbox = new_sandbox(
            spec={
                "resource_requirements": pb.ResourceRequirements(gpu=pb.GpuResourceRequirements())
            }
        )
        error = self.fails(
            Code.INTERNAL,
            self.stub.ValidateSandboxCreate,
            pb.ValidateSandboxCreateRequest(sandbox=sandbox),
        )
        self.assertIn("check GPU node capacity failed: ", error.details())


class Refusals(GatewayTest):
    """What is wrong with a request is said by Validate, and by Create in the same words."""

    def refused(self, sandbox, message, code=Code.INVALID_ARGUMENT):
        for call, request in (
            (self.stub.ValidateSandboxCreate, pb.ValidateSandboxCreateRequest),
            (self.stub.CreateSandbox, pb.CreateSandboxRequest),
        ):
            error = self.fails(code, call, request(sandbox=sandbox) if sandbox else request())
            if callable(message):
                self.assertTrue(message(error.details()), error.details())
            else:
                self.assertEqual(error.details(), message)
        self.assertEqual(self.kube.seen("POST", "/sandboxes"), [])

    def test_absent_parts(self):
        self.refused(None, "sandbox is required")
        for call, request in (
            (self.stub.GetSandbox, pb.GetSandboxRequest),
            (self.stub.StopSandbox, pb.StopSandboxRequest),
            (self.stub.StartSandbox, pb.StartSandboxRequest),
            (self.stub.DeleteSandbox, pb.DeleteSandboxRequest),
        ):
            self.fails(Code.INVALID_ARGUMENT, call, request(), message="sandbox_id is required")
        self.fails(
            Code.INVALID_ARGUMENT,
            self.stub.EnsureWorkspace,
            pb.EnsureWorkspaceRequest(),
            message="workspace is required",
        )
        self.fails(
            Code.INVALID_ARGUMENT,
            self.stub.DeleteWorkspace,
            pb.DeleteWorkspaceRequest(),
            message="workspace is required",
        )

    def test_names(self):
        self.refused(
            new_sandbox(name="n" * 30, workspace="w" * 40),
            f"combined Kubernetes resource name '{'w' * 40}--{'n' * 30}' is 72 characters, exceeding the "
            "DNS-1123 limit of 63",
        )
        self.refused(
            new_sandbox(name="Not_A_Name"),
            lambda m: m.startswith("sandbox name must be a DNS-1123 label"),
        )

    def config(self, config, **spec):
        return new_sandbox(
            spec={**spec, "template": {"image": "i", "driver_config": from_struct(config)}}
        )

    def test_unknown_keys_of_driver_config(self):
        prefix = "invalid kubernetes driver_config: "
        for config, word in (
            ({"pods": {}}, "pods"),
            ({"pod": {"nodeSelector": {}}}, "nodeSelector"),
            ({"containers": {"agent": {"env": []}}}, "env"),
            ({"volumes": [{"name": "a", "host_path": "/"}]}, "host_path"),
        ):
            self.refused(
                self.config(config), lambda m, word=word: m.startswith(prefix) and word in m
            )

    def volumes(self, *mounts, volumes=("data",)):
        return self.config(
            {
                "volumes": [
                    {
                        "name": v,
                        "persistent_volume_claim": {"claim_name": "claim", "read_only": False},
                    }
                    for v in volumes
                ],
                "containers": {"agent": {"volume_mounts": list(mounts)}},
            }
        )

    def test_volumes_and_mounts(self):
        prefix = "invalid kubernetes driver_config: "
        for name in (
            "openshell-client-tls",
            "openshell-upstream-proxy-auth",
            "openshell-sa-token",
            "spiffe-workload-api",
            "openshell-supervisor-bin",
            "workspace",
        ):
            self.refused(
                self.volumes(volumes=(name,)),
                f"{prefix}volume name '{name}' is reserved for OpenShell-managed volumes",
            )
        self.refused(
            self.volumes(volumes=("a", "a")),
            f"{prefix}duplicate kubernetes driver_config volume 'a'",
        )
        bad = [
            "relative",
            "/",
            "/a/../b",
            "/a//b",
            "/opt/openshell",
            "/opt",
            "/etc/openshell-tls/x",
            "/sandbox",
            "/run/netns",
            " /x",
        ]
        for path in bad:
            self.refused(
                self.volumes({"name": "data", "mount_path": path}), lambda m: m.startswith(prefix)
            )
        self.refused(
            self.volumes({"name": "other", "mount_path": "/data"}), lambda m: m.startswith(prefix)
        )
        self.refused(
            self.volumes({"name": "data", "mount_path": "/data", "sub_path": "../up"}),
            lambda m: m.startswith(prefix),
        )
        self.refused(
            self.volumes(
                {"name": "data", "mount_path": "/data"}, {"name": "data", "mount_path": "/data"}
            ),
            lambda m: m.startswith(prefix),
        )
        self.validate(self.volumes({"name": "data", "mount_path": "/data", "sub_path": "a/b"}))

    def test_the_places_of_secrets(self):
        self.refused(
            self.volumes({"name": "data", "mount_path": "/var/run/secrets/openshell/deeper"}),
            "mount path '/var/run/secrets/openshell/deeper' conflicts with reserved OpenShell path "
            "'/var/run/secrets/openshell'",
        )

    def test_what_kubernetes_would_refuse(self):
        """Said by Validate: what only the API server said would reach the user as an internal error."""
        self.refused(new_sandbox(id="x" * 64), lambda m: "id" in m)
        self.refused(new_sandbox(id="not a label"), lambda m: "id" in m)
        for labels in ({"bad key!": "x"}, {"key": "bad value!"}, {"key": "v" * 64}):
            sandbox = new_sandbox(spec={"template": {"image": "i", "labels": labels}})
            self.refused(sandbox, lambda m: "label" in m)
        sandbox = new_sandbox(spec={"template": {"image": "i", "resources": {"cpu_limit": "much"}}})
        self.refused(sandbox, lambda m: "much" in m)
        sandbox = new_sandbox(spec={"environment": {"A=B": "x"}})
        self.refused(sandbox, lambda m: "A=B" in m)

    def test_unknown_keys_of_platform_config(self):
        config = from_struct({"runtimeClassName": "x"})
        sandbox = new_sandbox(spec={"template": {"image": "i", "platform_config": config}})
        self.refused(sandbox, lambda m: "runtimeClassName" in m)

    def test_words_with_letters_beyond_ascii(self):
        error = self.fails(
            Code.INVALID_ARGUMENT,
            self.stub.ValidateSandboxCreate,
            pb.ValidateSandboxCreateRequest(sandbox=new_sandbox(workspace="müßig", name="n" * 60)),
        )
        self.assertIn("müßig", error.details())

    def test_control_characters(self):
        self.refused(new_sandbox(id="a\nb"), lambda m: "id" in m)


class Generations(GatewayTest):
    def test_a_gateway_of_0_1_is_refused_by_name(self):
        request = pb.GetCapabilitiesRequest()
        request.gateway.implementation_name = "openshell/gateway"
        request.gateway.implementation_version = "0.1.5"
        request.gateway.protocol_version.major = 1
        request.gateway.supported_capabilities.append("openshell.compute.contract")
        error = self.fails(Code.FAILED_PRECONDITION, self.stub.GetCapabilities, request)
        for word in ("0.0", "0.1", "openshell/gateway", "0.1.5"):
            self.assertIn(word, error.details())
        self.stub.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=support.WAIT)

    def test_fields_of_tomorrow_are_ignored(self):
        call = self.raw("GetCapabilities", pb.GetCapabilitiesResponse.FromString)
        self.assertEqual(call(b"\xc2\x3e\x03new", timeout=support.WAIT).driver_name, "kubernetes")

    def test_a_gateway_without_workspaces(self):
        sandbox = self.create(workspace="")
        self.assertEqual(self.cr(sandbox)["metadata"]["name"], "one")
        self.assertEqual(self.get(sandbox).name, "one")

    def test_objects_of_the_first_generation(self):
        """A CR of the April driver: named like the sandbox, an id label, no name, workspace or gateway label."""
        id_ = str(uuid.uuid4())
        self.kube.store.create(
            "sandboxes",
            {
                "metadata": {
                    "name": "old",
                    "labels": {
                        "openshell.ai/sandbox-id": id_,
                        "openshell.ai/managed-by": "openshell",
                    },
                },
                "spec": {
                    "podTemplate": {"spec": {"containers": [{"name": "agent", "image": "i"}]}}
                },
            },
            self.namespace,
        )
        eventually(lambda: [s.id for s in self.list()] == [id_], "it is listed")
        found = self.stub.GetSandbox(
            pb.GetSandboxRequest(sandbox_id=id_, sandbox_name="old"), timeout=support.WAIT
        )
        self.assertEqual(
            (found.sandbox.id, found.sandbox.name, found.sandbox.workspace), (id_, "old", "")
        )
        self.assertTrue(
            self.stub.DeleteSandbox(
                pb.DeleteSandboxRequest(sandbox_id=id_, sandbox_name="old"), timeout=support.WAIT
            ).deleted
        )

    def test_the_old_capability_fields_are_answered(self):
        self.kube.store.create(
            "nodes", {"metadata": {"name": "b"}, "status": {"allocatable": {"nvidia.com/gpu": "8"}}}
        )
        answer = self.stub.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=support.WAIT)
        self.assertIsInstance(answer.supports_gpu, bool)


class EmptyStruct(GatewayTest):
    def test_an_empty_struct_is_no_config(self):
        self.validate(
            new_sandbox(
                spec={
                    "template": {
                        "image": "i",
                        "driver_config": struct_pb2.Struct(),
                        "platform_config": struct_pb2.Struct(),
                    }
                }
            )
        )


if __name__ == "__main__":
    unittest.main()
