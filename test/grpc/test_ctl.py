"""ctl against the real driver: what it prints, and what its exit codes say."""

import json
import os
import pty
import select
import signal
import subprocess
import time

from support import BINARY, GatewayTest, WAIT, eventually


class Ctl(GatewayTest):
    def ctl(self, *words, stdin=None, code=0):
        done = subprocess.run([BINARY, "ctl", "--socket", self.driver.socket, *words], input=stdin,
                              capture_output=True, text=True, timeout=WAIT)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout if code == 0 else done.stderr

    def sandbox(self, name="demo", workspace="team", **spec):
        return json.dumps({"name": name, "workspace": workspace,
                           "spec": {"template": {"image": "registry.example/agent:1"}, **spec}})

    def create(self, name="demo", workspace="team"):
        return json.loads(self.ctl("create", "-f", "-", "-o", "json", stdin=self.sandbox(name, workspace)))["id"]

    def phase(self, name):
        return next((line.split()[2] for line in self.ctl("list").splitlines() if line.split()[0] == name), None)

    def test_a_life(self):
        self.assertIn("driverName", self.ctl("capabilities"))
        self.assertIn("would be taken", self.ctl("validate", "-f", "-", stdin=self.sandbox()))
        id_ = self.create()
        eventually(lambda: self.phase("demo") == "Ready", "Ready in the table")
        self.assertIn(id_, self.ctl("get", "demo"))
        self.assertEqual(json.loads(self.ctl("get", id_, "-o", "json"))["name"], "demo")
        self.assertIn("demo stopped", self.ctl("stop", "demo"))
        eventually(lambda: self.phase("demo") == "Stopped", "Stopped in the table")
        self.assertIn("demo started", self.ctl("start", "demo"))
        eventually(lambda: self.phase("demo") == "Ready", "Ready again")
        self.assertIn("demo deleted", self.ctl("delete", "demo"))
        eventually(lambda: self.phase("demo") is None, "gone from the table")
        self.assertEqual(json.loads(self.ctl("list", "-o", "json")), {})

    def test_exit_codes_say_what_happened(self):
        self.assertIn("ctl: GetSandbox: NOT_FOUND: sandbox not found", self.ctl("get", "nobody", code=15))
        self.create()
        self.assertIn("ALREADY_EXISTS", self.ctl("create", "-f", "-", stdin=self.sandbox(), code=16))
        self.assertIn("INVALID_ARGUMENT", self.ctl("validate", "-f", "-", code=13, stdin=self.sandbox(name="No")))
        self.assertIn("spec.template.imge", self.ctl(
            "create", "-f", "-", code=1, stdin=self.sandbox(template={"imge": "x"})))
        self.assertIn("is not JSON", self.ctl("create", "-f", "-", stdin="{", code=1))
        self.assertIn("/nowhere/x", self.ctl("create", "-f", "/nowhere/x", code=1))
        self.assertIn("there is no command 'dance'", self.ctl("dance", code=2))
        self.assertIn("which SANDBOX?", self.ctl("get", code=2))
        self.assertIn("unknown option '--nonsense'", self.ctl("list", "--nonsense", code=2))
        self.assertIn("/nowhere.sock", self.ctl("--socket", "/nowhere.sock", "list", code=3))

    def test_a_name_in_two_workspaces_must_be_told_apart(self):
        self.create(workspace="red"), self.create(workspace="blue")
        self.assertIn("say --workspace", self.ctl("get", "demo", code=1))
        self.assertIn("blue", self.ctl("get", "demo", "--workspace", "blue"))

    def start(self, *words, **streams):
        return subprocess.Popen([BINARY, "ctl", "--socket", self.driver.socket, *words], **streams)

    def test_watch_prints_lines_in_a_pipe(self):
        watch = self.start("watch", "-o", "json", stdout=subprocess.PIPE, text=True)
        id_ = self.create()
        first = json.loads(watch.stdout.readline())
        self.assertEqual(first["sandbox"]["sandbox"]["id"], id_)
        watch.send_signal(signal.SIGINT)
        self.assertEqual(watch.wait(WAIT), 0)
        watch.stdout.close()

    def test_watch_is_a_live_table_on_a_terminal(self):
        master, slave = pty.openpty()
        watch = self.start("watch", stdout=slave)
        os.close(slave)
        self.create()
        seen, end = b"", time.monotonic() + WAIT
        while b"Ready" not in seen and select.select([master], [], [], end - time.monotonic())[0]:
            seen += os.read(master, 65536)
        self.assertIn(b"\x1b[H\x1b[2J", seen)
        self.assertIn(b"demo", seen)
        watch.send_signal(signal.SIGTERM)
        self.assertEqual(watch.wait(WAIT), 0)
        os.close(master)

    def test_watch_ends_with_the_driver(self):
        watch = self.start("watch", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.create()
        eventually(lambda: self.phase("demo"), "the driver knows it")
        self.driver.signal(signal.SIGTERM)
        self.assertEqual(watch.wait(WAIT), 24)
        self.assertIn("UNAVAILABLE", watch.stderr.read())
        watch.stderr.close()
