"""An API server that goes away, forgets, refuses, or changes. No pod runs here: it is the server
alone, and where a test needs a controller, it plays one with kubectl."""

import concurrent.futures
import os
import signal
import time

import grpc

import cluster
from drivers import SANDBOXES, ServerTest
from support import WAIT, Code, eventually, pb, ready

AWAY = 60  # seconds without an API server
MANY = 1000
LOST = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)  # what a call may say meanwhile


class AwayTest(ServerTest):
    def ask(self, sandboxes):
        """Whatever is answered while the server is away, it is no loss."""
        listing = self.stub.ListSandboxes.future(pb.ListSandboxesRequest(), timeout=WAIT)
        one = pb.GetSandboxRequest(sandbox_id=sandboxes[0].id, sandbox_name=sandboxes[0].name)
        getting = self.stub.GetSandbox.future(one, timeout=WAIT)
        for call in listing, getting:
            error = call.exception()
            self.assertIn(error and error.code(), (None, *LOST))
        if not listing.exception():
            self.assertEqual(len(listing.result().sandboxes), len(sandboxes))

    def test_for_a_minute(self):
        watcher = self.watch()
        sandboxes = [self.create(self.sandbox(name=f"s{i}")) for i in range(3)]
        for sandbox in sandboxes:
            watcher.sandbox(sandbox.id)
        self.cluster.stop()
        self.addCleanup(self.cluster.start)
        late = pb.CreateSandboxRequest(sandbox=self.sandbox(name="late"))
        creating = self.stub.CreateSandbox.future(late, timeout=WAIT)
        end = time.monotonic() + AWAY
        while time.monotonic() < end:
            self.ask(sandboxes)
            time.sleep(1)
        self.assertIn(creating.exception().code(), LOST)

        self.cluster.start()
        self.remove(sandboxes[0])
        self.say_ready(sandboxes[1])
        watcher.deleted(sandboxes[0].id)
        watcher.sandbox(sandboxes[1].id, ready, "Ready")
        self.assertIsNone(watcher.error, "the stream outlived it")
        self.assertEqual({s.id for s in self.list()}, {s.id for s in sandboxes[1:]})
        self.assertEqual(gone(watcher), {sandboxes[0].id})

    def test_that_says_nothing(self):
        """It hangs, and its connections stay open: every call ends by its own deadline."""
        watcher = self.watch()
        sandboxes = [self.create(self.sandbox(name=f"s{i}")) for i in range(2)]
        for sandbox in sandboxes:
            watcher.sandbox(sandbox.id)
        self.cluster.freeze()
        self.addCleanup(self.cluster.thaw)
        late = pb.CreateSandboxRequest(sandbox=self.sandbox(name="late"))
        creating = self.stub.CreateSandbox.future(late, timeout=WAIT)
        self.ask(sandboxes)
        self.assertIn(creating.exception().code(), LOST)
        self.cluster.thaw()
        self.remove(sandboxes[0])
        self.say_ready(sandboxes[1])
        watcher.deleted(sandboxes[0].id)
        watcher.sandbox(sandboxes[1].id, ready, "Ready")
        self.assertIsNone(watcher.error)

    def test_at_the_start(self):
        """A driver that begins before its API server waits for it."""
        self.kill_driver()
        self.cluster.stop()
        self.addCleanup(self.cluster.start)
        self.start_driver()
        watcher = self.watch()
        with self.assertRaises(grpc.RpcError) as caught:
            self.list()
        self.assertIn(caught.exception.code(), LOST)
        self.cluster.start()
        sandbox = eventually(self.created_once, "it found its server")
        watcher.sandbox(sandbox.id)

    def created_once(self):
        try:
            return self.create(self.sandbox())
        except grpc.RpcError as e:
            # the server is there before what converts between the versions is
            if "conversion webhook" not in e.details():
                self.assertIn(e.code(), LOST)
            return None


class CompactionTest(ServerTest):
    def test_what_etcd_has_forgotten(self):
        """The driver sleeps; what it would have to read on from is gone when it wakes."""
        watcher = self.watch()
        sandboxes = [self.create(self.sandbox(name=f"s{i}")) for i in range(3)]
        for sandbox in sandboxes:
            watcher.sandbox(sandbox.id)
        self.driver.signal(signal.SIGSTOP)
        self.remove(sandboxes[0])
        self.say_ready(sandboxes[1])
        for i in range(20):
            self.cluster.patch(
                SANDBOXES,
                self.cr_name(sandboxes[2]),
                {"metadata": {"labels": {"n": str(i)}}},
                self.namespace,
            )
        self.cluster.compact()
        self.cluster.stop()  # and its cache with it
        self.cluster.start()
        self.driver.signal(signal.SIGCONT)
        watcher.deleted(sandboxes[0].id)
        watcher.sandbox(sandboxes[1].id, ready, "Ready")
        self.assertEqual({s.id for s in self.list()}, {s.id for s in sandboxes[1:]})
        self.assertIsNone(watcher.error)


def seen(watcher):
    events = list(watcher.events)
    return {e.sandbox.sandbox.id for e in events if e.WhichOneof("payload") == "sandbox"}


def gone(watcher):
    events = list(watcher.events)
    return {e.deleted.sandbox_id for e in events if e.WhichOneof("payload") == "deleted"}


class ManyTest(ServerTest):
    def test_a_thousand(self):
        sandboxes = [self.sandbox(name=f"s{i}") for i in range(MANY)]
        watcher = self.watch()
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            list(pool.map(self.create, sandboxes))
        ids = {s.id for s in sandboxes}
        self.assertEqual({s.id for s in self.list()}, ids)
        self.assertEqual(len(self.cluster.get(SANDBOXES, namespace=self.namespace)), MANY)
        eventually(lambda: seen(watcher) == ids, "the first stream saw them all")
        late = self.watch()
        eventually(lambda: seen(late) == ids, "a later stream too")
        self.assertLess(self.driver.rss(), 32 << 10, "KiB for a thousand sandboxes")

        self.kill_driver()
        self.start_driver()
        self.assertEqual({s.id for s in self.list()}, ids)
        watcher = self.watch()
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            self.assertTrue(all(pool.map(self.delete, sandboxes)))
        eventually(lambda: gone(watcher) == ids, "every deletion was told")
        self.assertEqual(self.list(), [])


class NeighbourTest(ServerTest):
    """Two gateways, each with a driver, in one namespace."""

    def test_neither_sees_the_other(self):
        watcher = self.watch()
        ours = self.create(self.sandbox(name="ours"))
        watcher.sandbox(ours.id)
        self.start_driver("--gateway-id", "other")
        other = self.watch()
        theirs = self.create(self.sandbox(name="theirs"))
        other.sandbox(theirs.id)
        self.assertEqual([s.id for s in self.list()], [theirs.id])
        reference = {"sandbox_id": ours.id, "sandbox_name": ours.name}
        self.fails(Code.NOT_FOUND, self.stub.GetSandbox, pb.GetSandboxRequest(**reference))
        self.assertFalse(self.delete(ours))
        self.assertIsNotNone(self.cr(ours))
        self.say_ready(ours)  # an event that could go astray
        watcher.sandbox(ours.id, ready, "Ready")
        self.assertEqual((seen(watcher), seen(other)), ({ours.id}, {theirs.id}))


class RightsTest(ServerTest):
    context = "nobody"

    def test_given_later(self):
        """No right at all is an error of each call, in the server's words, and no reason to end."""
        for call in self.list, lambda: self.create(self.sandbox()):
            with self.assertRaises(grpc.RpcError) as caught:
                call()
            self.assertIn("forbidden", caught.exception.details())
            self.assertNotIn(caught.exception.code(), (Code.NOT_FOUND, Code.OK))
        admin = (
            "create",
            "rolebinding",
            "admin",
            "-n",
            self.namespace,
            "--clusterrole=cluster-admin",
            "--user=nobody",
        )
        self.cluster.kubectl(*admin)
        args = (
            "create",
            "clusterrolebinding",
            self.namespace,
            "--clusterrole=view",
            "--user=nobody",
        )
        self.cluster.kubectl(*args)
        self.addCleanup(self.cluster.delete, "clusterrolebinding", self.namespace)

        def created():
            try:
                return self.create(self.sandbox())
            except grpc.RpcError as e:
                self.assertIn("forbidden", e.details())
                return None

        sandbox = eventually(created, "the right counts", pause=0.2)
        self.watch().sandbox(sandbox.id)


class Version(ServerTest):
    """The Sandbox API that a cluster has is found, and found again when it changes."""

    def crd(self, verb, version=""):
        file = os.path.join(self.cluster.folder, "crds", (version or "v1beta1") + ".yaml")
        self.cluster.kubectl(verb, "-f", file)
        path = f"/apis/{cluster.API_GROUP}/{version or 'v1alpha1'}/sandboxes"

        def as_wanted():
            status = self.cluster.run("kubectl", "get", "--raw", path).returncode
            return (status == 0) == bool(version)

        eventually(as_wanted, f"{verb} {version}", pause=0.2)

    def created(self, name):
        """The version of the object that a create makes, once one succeeds; and the sandbox."""

        def once():
            try:
                return self.create(self.sandbox(name=name))
            except grpc.RpcError as e:
                self.assertNotIn(e.code(), (Code.NOT_FOUND, Code.INVALID_ARGUMENT))
                return None

        sandbox = eventually(once, "created", pause=0.2)
        made = self.cr(sandbox)
        fields = made["metadata"]["managedFields"]
        driver = [f["apiVersion"] for f in fields if f["manager"].startswith("openshell")]
        return driver[0].rpartition("/")[2], sandbox


class VersionTest(Version):
    def bring_up(self):
        # with the controller, since it converts between the versions
        return cluster.shared(cluster.ApiServer, "apiserver-controller", "--controller")

    def test_new_none_old_both(self):
        version, sandbox = self.created("new")
        self.assertEqual(version, "v1beta1")
        watcher = self.watch()
        self.crd("delete")
        watcher.deleted(sandbox.id)
        with self.assertRaises(grpc.RpcError) as caught:
            self.create(self.sandbox())
        self.assertIn("no supported Agent Sandbox API version", caught.exception.details())

        self.crd("create", "v1alpha1")
        version, old = self.created("old")
        self.assertEqual(version, "v1alpha1")
        watcher.sandbox(old.id)

        self.crd("replace", "v1beta1")  # which serves v1alpha1 too
        self.kill_driver()
        self.start_driver()
        version, _ = self.created("both")
        self.assertEqual(version, "v1beta1")
        self.assertEqual({s.name for s in self.list()}, {"old", "both"})
        self.assertTrue(self.delete(old))


class BrokenConversionTest(Version):
    """The newer API comes, and what would convert does not work: the old one is no more of use."""

    def bring_up(self):
        return cluster.shared(cluster.ApiServer, "apiserver-none", "--api", "none")

    def test_the_new_one_is_looked_for(self):
        self.crd("create", "v1alpha1")
        version, sandbox = self.created("old")
        self.assertEqual(version, "v1alpha1")
        self.assertTrue(self.delete(sandbox))
        self.crd("replace", "v1beta1")
        version, sandbox = self.created("new")
        self.assertEqual(version, "v1beta1")
        self.watch().sandbox(sandbox.id)
