"""The end of the driver, as far as test_process does not see it: operations whose callers are gone, and
a second signal."""

import os
import signal
import socket
import tempfile
import unittest

import support
from support import Code, GatewayTest, eventually, new_sandbox, pb


class Shutdown(GatewayTest):
    def begin_create(self, **rule):
        """A CreateSandbox whose POST is under way, and its sandbox."""
        self.kube.rule("/sandboxes", method="POST", **rule)
        sandbox = new_sandbox()
        call = self.stub.CreateSandbox.future(
            pb.CreateSandboxRequest(sandbox=sandbox), timeout=support.WAIT
        )
        eventually(lambda: self.kube.seen("POST", "/sandboxes"), "the POST is under way")
        return call, sandbox

    def test_an_operation_without_its_caller_is_finished(self):
        call, sandbox = self.begin_create(delay=1.0)
        call.cancel()
        self.channel.close()  # a caller that is gone, not one that takes its time to hang up
        self.driver.signal(signal.SIGTERM)
        self.assertEqual(self.driver.wait(), 0)
        self.assertIsNotNone(self.cr(sandbox))
        self.assertNotIn("cut off", self.driver.log())

    def test_a_second_signal_ends_it_at_once(self):
        self.begin_create(stall=True)
        self.driver.signal(signal.SIGTERM)
        eventually(lambda: not os.path.exists(self.driver.socket), "it is ending")
        self.driver.killed = True
        self.driver.signal(signal.SIGINT)
        self.assertEqual(self.driver.wait(), 128 + signal.SIGINT)

    def test_watches_and_health_end_with_it(self):
        watcher = self.watch()
        watcher.call.initial_metadata()
        self.driver.signal(signal.SIGTERM)
        self.assertEqual(self.driver.wait(), 0)
        eventually(lambda: watcher.error, "the watch ended")
        self.assertEqual(watcher.error.code(), Code.UNAVAILABLE)


class Notify(GatewayTest):
    """The service manager is told what happens (systemd's Type=notify)."""

    def setUp(self):
        folder = tempfile.mkdtemp(prefix="notify-")
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.settimeout(support.WAIT)
        self.manager.bind(os.path.join(folder, "notify"))
        self.addCleanup(self.manager.close)
        self.env = {"NOTIFY_SOCKET": self.manager.getsockname()}
        super().setUp()

    def test_ready_and_stopping(self):
        self.assertEqual(self.manager.recv(100), b"READY=1")
        self.driver.signal(signal.SIGTERM)
        self.assertEqual(self.manager.recv(100), b"STOPPING=1")
        self.assertEqual(self.driver.wait(), 0)


if __name__ == "__main__":
    unittest.main()
