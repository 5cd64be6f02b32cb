"""Kinds of connections to a real API server, and connections that break."""

import ssl

import grpc

from drivers import ServerTest
from front import Front
from support import Code, eventually, ready


class CertificateTest(ServerTest):
    context = "certificate"

    def test_a_client_certificate(self):
        sandbox = self.create(self.sandbox())
        self.assertEqual(self.get(sandbox).id, sandbox.id)


class FrontTest(ServerTest):
    """Through an endpoint of ours before the server."""

    newest, alpn = ssl.TLSVersion.TLSv1_3, ("h2", "http/1.1")
    expected = ("TLSv1.3", "h2")

    def before_driver(self):
        self.front = Front(self.cluster, self.newest, self.alpn)
        self.addCleanup(self.front.close)

    def driver_args(self):
        args = super().driver_args()
        at = args.index("--kubeconfig") + 1
        args[at] = self.front.kubeconfig(args[at] + "-front")
        return args

    def test_life(self):
        watcher = self.watch()
        sandbox = self.create(self.sandbox())
        self.say_ready(sandbox)
        watcher.sandbox(sandbox.id, ready, "Ready")
        self.assertTrue(self.delete(sandbox))
        watcher.deleted(sandbox.id)
        self.assertEqual(set(self.front.seen), {self.expected})

    def test_cut_again_and_again(self):
        watcher = self.watch()
        sandboxes = []
        for i in range(10):
            sandboxes.append(self.create_through(f"s{i}"))
            self.front.cut()
        for sandbox in sandboxes[1:]:
            self.say_ready(sandbox)
        self.remove(sandboxes[0])
        watcher.deleted(sandboxes[0].id)
        for sandbox in sandboxes[1:]:
            watcher.sandbox(sandbox.id, ready, "Ready")
        self.assertIsNone(watcher.error)

    def create_through(self, name):
        """A create whose answer was lost may have been carried out."""
        sandbox = self.sandbox(name=name)

        def done():
            try:
                return self.create(sandbox)
            except grpc.RpcError as e:
                self.assertIn(e.code(), (Code.UNAVAILABLE, Code.ALREADY_EXISTS))
                return e.code() == Code.ALREADY_EXISTS

        eventually(done, name)
        return sandbox


class OldTlsTest(FrontTest):
    newest, expected = ssl.TLSVersion.TLSv1_2, ("TLSv1.2", "h2")


class OldHttpTest(FrontTest):
    alpn, expected = ("http/1.1",), ("TLSv1.3", "http/1.1")
