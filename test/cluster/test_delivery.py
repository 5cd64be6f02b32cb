"""How the supervisor gets into a sandbox and what it finds there: each way, in a pod whose images
hold one static program and no shell."""

import json
import os

import cluster
from drivers import INIT, LOCAL, NO_CLAIM, OURS, STAND_IN, ClusterTest, reason
from support import condition, eventually

GATEWAY = "--gateway-endpoint", "http://10.77.0.1:1"  # nobody listens there
NO_GATEWAY = 1  # how our supervisor ends then


class OurBinary(ClusterTest):
    """The image of the supervisor is our binary, FROM scratch."""

    args = (*OURS, *INIT, *NO_CLAIM, *GATEWAY)

    def ended(self, sandbox):
        """How the agent container ended: its status, and its log."""

        def terminated():
            pod = self.pod(sandbox) or {"status": {}}
            states = pod["status"].get("containerStatuses", [])
            return next(
                (s["state"]["terminated"] for s in states if "terminated" in s["state"]), None
            )

        state = eventually(terminated, "the supervisor has run", pause=0.2)
        log = self.cluster.kubectl(
            "logs", "-n", self.namespace, "-c", "agent", self.cr_name(sandbox)
        )
        return state, log

    def started(self):
        watcher = self.watch()
        sandbox = self.create(self.sandbox())
        state, log = self.ended(sandbox)
        self.assertEqual(state["exitCode"], NO_GATEWAY, log)
        # and what it said last is what the gateway's user reads
        seen = watcher.sandbox(sandbox.id, lambda s: reason(s) == "PodFailed", "its end is told")
        self.assertIn("connect to 10.77.0.1:1: Connection refused", condition(seen, "Ready").message)
        return sandbox


class InitContainerTest(OurBinary):
    def test_it_copies_itself_and_is_started(self):
        pod = self.pod(self.started())
        self.assertEqual(
            [c["name"] for c in pod["spec"]["initContainers"]], ["openshell-supervisor-install"]
        )
        self.assertEqual(
            pod["spec"]["containers"][0]["command"][0], "/opt/openshell/bin/openshell-sandbox"
        )

    def test_the_copy_is_whole(self):
        """Seen from the node while the agent's image keeps the pod waiting."""
        sandbox = self.create(self.sandbox(template={"image": "localhost/absent:1"}))
        eventually(
            lambda: "initContainerStatuses" in (self.pod(sandbox) or {"status": {}})["status"]
            and "terminated" in self.pod(sandbox)["status"]["initContainerStatuses"][0]["state"],
            "the init container is done",
            pause=0.2,
        )
        volume = (
            f"/run/node/kubelet/pods/{self.pod(sandbox)['metadata']['uid']}/volumes/"
            "kubernetes.io~empty-dir/openshell-supervisor-bin/openshell-sandbox"
        )
        self.cluster.inside("cmp", volume, cluster.BINARY)


class ImageVolumeTest(OurBinary):
    args = (*OURS, *NO_CLAIM, *GATEWAY, "--supervisor-sideload-method", "image-volume")

    def test_it_is_started_without_an_init_container(self):
        self.assertNotIn("initContainers", self.pod(self.started())["spec"])


class WorkspaceTest(OurBinary):
    """The claim behind /sandbox: given to the sandbox and filled from the image, by our binary."""

    args = (*OURS, *INIT, *GATEWAY)

    def before_driver(self):
        self.volume = self.cluster.volume(self.namespace)

    def test_it_is_given_and_filled(self):
        self.started()
        greeting = os.path.join(self.volume, "greeting")
        self.assertEqual((os.stat(self.volume).st_uid, os.stat(self.volume).st_gid), (1000, 1000))
        self.assertEqual((os.stat(greeting).st_uid, os.stat(greeting).st_gid), (1000, 1000))
        with open(greeting, encoding="ascii") as f:
            self.assertEqual(f.read(), "hello\n")
        self.assertTrue(os.path.exists(os.path.join(self.volume, ".workspace-initialized")))


class UserNamespaceWorkspaceTest(WorkspaceTest):
    """The same as root of a user namespace: the volume's ids are mapped with the pod's."""

    args = (*OURS, *INIT, *GATEWAY, "--enable-user-namespaces")


class StandInTest(ClusterTest):
    """What is seen in the agent's container: by a program that stays, in the supervisor's place."""

    def test_container(self):
        sandbox, _ = self.run_one(environment={"GREETING": "$(HOME) $$x"})
        report = self.report(sandbox)
        self.assertEqual(report["init"], "/opt/openshell/bin/openshell-sandbox")
        self.assertEqual(report["init_argv"][1:3], ["--workdir", "/sandbox"])
        self.assertEqual(report["uid"], 0)
        environment = dict(e.split("=", 1) for e in report["env"])
        self.assertEqual(environment["GREETING"], "$(HOME) $$x")
        self.assertEqual(environment["OPENSHELL_SANDBOX_ID"], sandbox.id)
        self.assertEqual(
            json.loads(environment["OPENSHELL_MAIN_PROCESS_SPEC"])["command"], ["/bin/bash", "-l"]
        )
        mounts = {m["path"]: m["options"].split(",") for m in report["mounts"]}
        self.assertIn("ro", mounts["/opt/openshell/bin"])
        self.assertIn("ro", mounts["/var/run/secrets/openshell"])
        # SYS_PTRACE 19, SYS_ADMIN 21, NET_ADMIN 12, SYSLOG 34
        for bit in (12, 19, 21, 34):
            self.assertTrue(int(report["CapEff"], 16) >> bit & 1, f"capability {bit}")
        # no shell, nothing at all but the one program and what Kubernetes mounts
        for shell in ("/bin/sh", "/bin/bash", "/bin"):
            self.assertIn("error", json.loads(self.agent(sandbox, "stat", shell)))


class TokenTest(ClusterTest):
    """The pod's token is the supervisor's. It is asked for with mode 0400."""

    def test_the_sandbox_cannot_read_it(self):
        sandbox, _ = self.run_one()
        token = "/var/run/secrets/openshell/token"
        for who in ("1000:1000", "1000:1000:0", "1000:0:1000"):
            seen = json.loads(self.agent(sandbox, "as", who, "stat", token))
            self.assertIs(seen.get("readable", False), False, f"{who}: {seen}")
        self.assertGreater(len(self.agent(sandbox, "cat", token)), 100)


class TokenBesideAClaimTest(TokenTest):
    """With a claim: where others set fsGroup, for which kubelet widens the mode."""

    args = (*STAND_IN, *INIT)

    def before_driver(self):
        self.cluster.volume(self.namespace)


class UserNamespaceTest(ClusterTest):
    args = (
        *STAND_IN,
        *NO_CLAIM,
        "--supervisor-sideload-method",
        "image-volume",
        "--enable-user-namespaces",
    )

    def test_root_is_nobody_outside(self):
        sandbox, _ = self.run_one()
        uid_map = self.agent(sandbox, "cat", "/proc/self/uid_map").split()
        self.assertEqual(uid_map[0], b"0")
        self.assertNotEqual(uid_map[1], b"0")


class ForeignTest(ClusterTest):
    """A supervisor of others: their image's cp copies it (seed 000)."""

    args = (
        "--supervisor-image",
        "localhost/foreign:1",
        *LOCAL,
        *NO_CLAIM,
        "--supervisor-sideload-method",
        "cp",
    )

    def test_copied_by_cp(self):
        sandbox, _ = self.run_one()
        self.assertEqual(self.report(sandbox)["init"], "/opt/openshell/bin/openshell-sandbox")
        self.assertEqual(self.pod(sandbox)["spec"]["initContainers"][0]["command"][0], "cp")
