"""Workspace modes (driver contract 3.4 and 3.13)."""

import json
import os
import tempfile
import unittest

import support
from support import Code, GatewayTest, eventually, new_sandbox, pb, ready

NAMESPACE = "openshell-gw1-team"


class Managed(GatewayTest):
    args = (
        "--workspace-mode",
        "managed",
        "--gateway-id",
        "gw1",
        "--sandbox-service-account",
        "agents",
        "--client-tls-secret-name",
        "tls",
        "--sandbox-image-pull-secrets",
        "pull",
        "--managed-ssh-ingress-enabled",
        "--managed-ssh-gateway-namespace",
        "openshell",
        "--managed-ssh-gateway-pod-selector",
        "app=gateway",
    )

    def before_driver(self):
        for name in ("tls", "pull"):
            self.kube.store.create(
                "secrets",
                {
                    "metadata": {
                        "name": name,
                        "labels": {"theirs": "x"},
                        "annotations": {"a": "b"},
                    },
                    "type": "Opaque",
                    "data": {"k": "dg=="},
                },
                "openshell",
            )

    def ensure(self, workspace="team"):
        return self.stub.EnsureWorkspace(
            pb.EnsureWorkspaceRequest(workspace=workspace), timeout=support.WAIT
        )

    def test_ensure_makes_what_a_workspace_needs(self):
        self.ensure()
        self.ensure()
        store = self.kube.store
        space = store.get("namespaces", None, NAMESPACE)
        self.assertEqual(
            {k: v for k, v in space["metadata"]["labels"].items() if k.startswith("openshell.ai/")},
            {
                "openshell.ai/managed-by": "openshell",
                "openshell.ai/gateway-id": "gw1",
                "openshell.ai/sandbox-workspace": "team",
            },
        )
        store.get("serviceaccounts", NAMESPACE, "agents")
        (policy,) = store.list("networkpolicies", NAMESPACE)
        self.assertEqual(policy["spec"]["ingress"][0]["ports"], [{"protocol": "TCP", "port": 2222}])

    def test_create_makes_the_workspace_too(self):
        watcher = self.watch()
        sandbox = self.create()
        self.assertEqual(
            (self.cr(sandbox)["metadata"]["namespace"], self.cr(sandbox)["metadata"]["name"]),
            (NAMESPACE, "one"),
        )
        watcher.sandbox(sandbox.id, ready)
        copy = self.kube.store.get("secrets", NAMESPACE, "pull")
        self.assertEqual((copy["data"], copy["type"]), ({"k": "dg=="}, "Opaque"))
        self.assertNotIn("theirs", copy["metadata"].get("labels", {}))
        self.assertNotIn("annotations", copy["metadata"])
        self.kube.store.get("secrets", NAMESPACE, "tls")

    def test_two_workspaces_may_have_the_same_name(self):
        a, b = self.create(workspace="a"), self.create(workspace="b")
        self.assertEqual({s.id: s.workspace for s in self.list()}, {a.id: "a", b.id: "b"})
        self.delete(a)
        self.assertEqual(self.get(b).id, b.id)

    def test_a_namespace_of_others_is_not_touched(self):
        self.kube.store.create(
            "namespaces", {"metadata": {"name": NAMESPACE, "labels": {"owner": "someone"}}}
        )
        words = f"namespace {NAMESPACE} exists but is not owned by this gateway"
        self.fails(
            Code.FAILED_PRECONDITION,
            self.stub.CreateSandbox,
            pb.CreateSandboxRequest(sandbox=new_sandbox()),
            message=words,
        )
        self.fails(
            Code.INTERNAL,
            self.stub.EnsureWorkspace,
            pb.EnsureWorkspaceRequest(workspace="team"),
            message=words,
        )
        self.stub.DeleteWorkspace(pb.DeleteWorkspaceRequest(workspace="team"), timeout=support.WAIT)
        self.kube.store.get("namespaces", None, NAMESPACE)

    def test_delete_is_guarded_by_the_uid(self):
        self.ensure()
        uid = self.kube.store.get("namespaces", None, NAMESPACE)["metadata"]["uid"]
        self.stub.DeleteWorkspace(pb.DeleteWorkspaceRequest(workspace="team"), timeout=support.WAIT)
        (request,) = self.kube.seen("DELETE", "/namespaces/")
        self.assertEqual(json.loads(request.body)["preconditions"], {"uid": uid})
        self.assertEqual(
            [n["metadata"]["name"] for n in self.kube.store.list("namespaces")],
            ["default", "openshell"],
        )
        self.stub.DeleteWorkspace(pb.DeleteWorkspaceRequest(workspace="team"), timeout=support.WAIT)

    def test_an_absent_pull_secret(self):
        self.kube.store.delete("secrets", "openshell", "pull")
        self.fails(
            Code.FAILED_PRECONDITION,
            self.stub.CreateSandbox,
            pb.CreateSandboxRequest(sandbox=new_sandbox()),
            message="configured image-pull Secret pull does not exist in source namespace openshell",
        )

    def test_names_that_make_no_namespace(self):
        error = self.fails(
            Code.INVALID_ARGUMENT,
            self.stub.ValidateSandboxCreate,
            pb.ValidateSandboxCreateRequest(sandbox=new_sandbox(workspace="Team_1")),
        )
        self.assertEqual(
            error.details().split(" is not")[0],
            "managed namespace 'openshell-gw1-Team_1' (from workspace 'Team_1')",
        )

    def test_a_workspace_that_is_ending(self):
        self.ensure()
        space = self.kube.store.get("namespaces", None, NAMESPACE)
        self.kube.store.update(
            "namespaces", {**space, "metadata": {**space["metadata"], "finalizers": ["test/hold"]}}
        )
        self.kube.store.delete("namespaces", None, NAMESPACE)
        call = self.stub.CreateSandbox.future(
            pb.CreateSandboxRequest(sandbox=new_sandbox()), timeout=30
        )
        eventually(lambda: len(self.kube.seen("GET", NAMESPACE + "$")) > 3, "it waits")
        self.kube.store.finalize("namespaces", None, NAMESPACE, "test/hold")
        call.result()
        self.assertEqual(len(self.kube.store.list("sandboxes", NAMESPACE)), 1)

    def test_a_workspace_deleted_with_its_sandboxes(self):
        watcher = self.watch()
        sandbox = self.create()
        watcher.sandbox(sandbox.id, ready)
        self.stub.DeleteWorkspace(pb.DeleteWorkspaceRequest(workspace="team"), timeout=support.WAIT)
        watcher.deleted(sandbox.id)


class OperatorByFile(GatewayTest):
    def before_driver(self):
        self.file = os.path.join(tempfile.mkdtemp(prefix="operator-"), "namespaces.json")
        self.write(["team"])
        self.kube.store.create("namespaces", {"metadata": {"name": "team"}})
        self.kube.store.create("namespaces", {"metadata": {"name": "later"}})

    def write(self, names):
        with open(self.file + ".new", "w", encoding="utf-8") as f:
            f.write(names if isinstance(names, str) else json.dumps(names))
        os.replace(self.file + ".new", self.file)

    def driver_args(self):
        return super().driver_args() + [
            "--workspace-mode",
            "operator",
            "--operator-namespace-file",
            self.file,
        ]

    def allowed(self, workspace):
        try:
            self.stub.EnsureWorkspace(
                pb.EnsureWorkspaceRequest(workspace=workspace), timeout=support.WAIT
            )
            return True
        except support.grpc.RpcError as e:
            self.assertEqual(e.code(), Code.PERMISSION_DENIED)
            self.assertEqual(
                e.details(), f"workspace '{workspace}' is not in the operator namespace allowlist"
            )
            return False

    def test_the_allowlist(self):
        watcher = self.watch()
        eventually(lambda: self.allowed("team"))
        sandbox = self.create()
        self.assertEqual(
            (self.cr(sandbox)["metadata"]["namespace"], self.cr(sandbox)["metadata"]["name"]),
            ("team", "one"),
        )
        watcher.sandbox(sandbox.id, ready)
        watcher.platform(sandbox.id, lambda e: e.reason == "Pulled")
        self.assertFalse(self.allowed("later"))
        for call, request in (
            (self.stub.ValidateSandboxCreate, pb.ValidateSandboxCreateRequest),
            (self.stub.CreateSandbox, pb.CreateSandboxRequest),
        ):
            self.fails(
                Code.FAILED_PRECONDITION,
                call,
                request(sandbox=new_sandbox(workspace="later")),
                message="workspace 'later' is not in the operator namespace allowlist",
            )

    def test_the_file_is_read_again(self):
        eventually(lambda: self.allowed("team"))
        self.write("this is not json")
        self.write(["team", "later"])
        eventually(lambda: self.allowed("later"))
        self.write("[broken")
        self.assertTrue(self.allowed("later"))


class OperatorByLabel(GatewayTest):
    args = (
        "--workspace-mode",
        "operator",
        "--operator-namespace-label",
        "openshell.example/allowed=true",
    )

    def before_driver(self):
        self.kube.store.create(
            "namespaces",
            {"metadata": {"name": "team", "labels": {"openshell.example/allowed": "true"}}},
        )
        self.kube.store.create("namespaces", {"metadata": {"name": "later"}})

    allowed = OperatorByFile.allowed

    def test_the_label(self):
        eventually(lambda: self.allowed("team"))
        self.assertFalse(self.allowed("later"))
        self.kube.store.patch(
            "namespaces",
            None,
            "later",
            {"metadata": {"labels": {"openshell.example/allowed": "true"}}},
        )
        eventually(lambda: self.allowed("later"))
        self.kube.store.patch("namespaces", None, "later", {"metadata": {"labels": None}})
        eventually(lambda: not self.allowed("later"))


if __name__ == "__main__":
    unittest.main()
