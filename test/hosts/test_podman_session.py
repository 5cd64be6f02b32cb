"""Sandboxes with a gateway in containers of Podman: Ready, and entered by OpenSSH. The image is FROM scratch."""

import json
import os
import shutil
import subprocess
import unittest
import uuid

import test_podman
from gateway import Gateway, policy_of, sandbox_pb
from hosts import WAIT
from machine import ADDRESS, INSIDE, OURS, machine
from runner import eventually
from test_door_gateway import parents
from way_in import WayIn

PORT = 9000


@unittest.skipUnless(shutil.which("podman"), "there is no podman: scripts/setup podman")
class Entered:
    rootless = True
    flags = []
    network = "host"
    user = 1000
    host = "127.0.0.1"  # of the gateway
    main = "echo", str(PORT)

    @classmethod
    def setUpClass(cls):
        cls.machine = machine()
        cls.server = cls.machine.server

    def setUp(self):
        policy = policy_of(self.machine, self.user, INSIDE)
        config = sandbox_pb.GetSandboxConfigResponse(policy=policy, version=1, policy_hash="hash")
        self.to = Gateway(config, host=self.host)
        self.addCleanup(self.to.stop)
        self.sandbox_id = str(uuid.uuid4())
        self.process = self.begin()
        self.session = eventually(lambda: self.to.sessions, self.log)[0]
        self.assertEqual(self.session.hello.sandbox_id, self.sandbox_id)
        self.way = WayIn(self.to)
        self.addCleanup(self.way.close)

    def begin(self):
        self.machine.need_image(self.rootless)
        variables = {
            "OPENSHELL_SANDBOX_ID": self.sandbox_id,
            "OPENSHELL_SANDBOX": "name",
            "OPENSHELL_ENDPOINT": self.to.url,
            "OPENSHELL_SANDBOX_TOKEN": "token-1",
            "OPENSHELL_SSH_SOCKET_PATH": "/run/openshell/ssh.sock",
            "OPENSHELL_LOG_LEVEL": "info",
        }
        flags = ["--rm", "--cgroups=disabled", "--tmpfs=/tmp:mode=1777", "--name", self.sandbox_id, "-v", f"{self.machine.binary}:{OURS}:ro"]
        flags += [f"--network={self.network}", *self.flags, *(f"--env={k}={v}" for k, v in variables.items())]
        words = self.machine.podman(self.rootless, "run", *flags, "localhost/hosts:1")
        words += [OURS, "sandbox", "--", INSIDE, *self.main]
        self.output = open(self.machine.path(f"log-{self.sandbox_id}"), "w+b")
        self.addCleanup(self.output.close)
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, cwd="/"
        )
        self.addCleanup(self.end)
        return process

    def end(self):
        subprocess.run(
            self.machine.podman(self.rootless, "rm", "-f", "-t", "0", self.sandbox_id), capture_output=True, check=False
        )
        self.process.wait(WAIT)

    def log(self):
        with open(self.output.name, encoding="utf-8", errors="replace") as f:
            return f.read()


class Life(Entered):
    def test_entered(self):
        allowed, denied = self.server.allowed, self.server.denied
        done = self.way.ssh(f"{INSIDE} report get http://{allowed}/ get http://{denied}/ read exit 7", input=b"words")
        self.assertEqual(done.returncode, 7, done.stderr.decode() + self.log())
        steps = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(steps[0]["Uid"].split(), 4 * [str(self.user)])
        self.assertEqual([s["status"] for s in steps if s["step"] == "get"], [200, 403])
        self.assertEqual([s["text"] for s in steps if s["step"] == "read"], ["words"])
        self.assertEqual(self.copied(os.urandom(300000)), 0)
        relay = self.to.open_relay(tcp=("localhost", PORT))
        relay.socket.sendall(b"hello")
        self.assertEqual(relay.socket.recv(5), b"hello")
        relay.close()
        self.assertRegex(self.log(), rf"CONFIG:\S+ .*\brung:{self.rung}\b")
        # ended by its engine, it tells its end
        subprocess.run(self.machine.podman(self.rootless, "stop", self.sandbox_id), capture_output=True, check=True)
        eventually(lambda: [e.exit_code for e in self.to.exits] == [143], self.log)
        self.assertTrue(self.session.over.wait(WAIT))

    def copied(self, data):
        """There and back by scp, which no program of the image serves: how many bytes differ."""
        there, back = (self.machine.path(f"{name}-{self.sandbox_id}") for name in ("there", "back"))
        with open(there, "wb") as f:
            f.write(data)
        for words in (there, "sandbox@sandbox:/tmp/copy"), ("sandbox@sandbox:/tmp/copy", back):
            scp = ["scp", "-s", *self.way.options(), *words]
            done = subprocess.run(scp, capture_output=True, text=True, timeout=WAIT, check=False)
            self.assertEqual(done.returncode, 0, done.stderr + self.log())
        with open(back, "rb") as f:
            return sum(a != b for a, b in zip(f.read().ljust(len(data)), data))

    def test_killed(self):
        """Nothing of it stays: not the sshd, not who is inside by it."""
        ssh = subprocess.Popen(
            ["ssh", *self.way.options(), "sandbox@sandbox", f"{INSIDE} hold"], stdin=subprocess.DEVNULL
        )
        self.addCleanup(ssh.wait)
        self.addCleanup(ssh.kill)
        eventually(lambda: self.below(b"hold"), "it holds")
        everybody = self.below()
        self.assertGreaterEqual(len(everybody), 6)  # supervisor, keeper, nursery, sshd, session, two workloads
        os.kill(min(everybody), 9)
        eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in everybody), "nobody is left")
        self.assertTrue(self.session.over.wait(WAIT))

    def below(self, word=b""):
        """The processes of the container, or those of them that run something with the word in it."""
        found, shown = set(), set()
        for pid, parent in sorted(parents()):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    line = f.read()
            except OSError:
                continue
            if parent in found or line.startswith(OURS.encode() + b"\0sandbox"):
                found.add(pid)
                if word in line:
                    shown.add(pid)
        return shown


class RootlessHostNetworkSessionTest(Life, unittest.TestCase):
    """The case of which it was reported that nothing but giving up enforcement helps."""

    rung = "pocket"
    flags = test_podman.OPENSHELL


class RootlessSessionTest(Life, unittest.TestCase):
    rung = "userns"


class RootfulSessionTest(Life, unittest.TestCase):
    rung = "pocket"
    rootless = False
    network = "bridge"
    host = ADDRESS
    flags = test_podman.OPENSHELL


class EndTest(Entered, unittest.TestCase):
    """The main process ends by itself, for what was typed to it."""

    flags = test_podman.OPENSHELL
    main = "read", "exit", "9"

    def test_it_is_told(self):
        done = self.way.ssh("openshell-main", flags=("-T", "-s"), input=4096 * b"a")
        self.assertEqual(done.returncode, 9, done.stderr.decode() + self.log())
        self.assertEqual(self.process.wait(WAIT), 9)
        self.assertEqual([e.exit_code for e in self.to.exits], [9])
