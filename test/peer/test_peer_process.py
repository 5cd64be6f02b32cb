"""The CLI's commands on a sandbox that is a plain process: our supervisor, started as a driver starts it."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

import peer
from driver import Driver, Sandbox
from hosts import eventually, policy
from machine import machine
from peer import DETACH, Gateway, free_port

OURS = peer.SUPERVISOR == peer.BINARY
STAY = ["sleep", "600"]
SESSIONS_MAX = 64  # at once, in one sandbox
HOSTS = "/usr/local/bin/hosts"  # the workload's program, in the sandbox


class WithSandboxes:
    """Brings the gateway, and machine(); each test makes sandboxes of its own."""

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()
        cls.driver.close()

    def cli(self, *words, code=0, **how):
        done = self.gateway.cli(*words, **how)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        return done

    def create(self, name, *words, command=STAY):
        self.addCleanup(self.gateway.cli, "sandbox", "delete", name)
        return self.cli("sandbox", "create", "--name", name, "--detach", *words, "--", *command)

    def execute(self, name, *command, options=("--no-tty",), **how):
        return self.cli("sandbox", "exec", "-n", name, *options, "--", *command, **how)

    def terminal(self, *words, **how):
        made = self.gateway.on_terminal(*words, **how)
        self.addCleanup(made.close)
        return made

    def background(self, *words, **how):
        """A command of the CLI that is ended with the test."""
        process = self.gateway.begin(*words, **how)

        def end():
            process.terminate()
            process.wait()
            for stream in process.stdin, process.stdout:
                if stream:
                    stream.close()

        self.addCleanup(end)
        return process

    def phase_is(self, name, phase):
        eventually(lambda: self.gateway.phase(name) == phase, lambda: self.gateway.phase(name), pause=0.05)

    def policy_file(self, program=HOSTS):
        text = json.loads(policy(self.machine.server, program, None))
        text["filesystem_policy"] = {
            "include_workdir": True,
            "read_only": ["/bin", "/sbin", "/lib", "/lib64", "/usr", "/etc", "/proc", "/dev/urandom"],
            "read_write": ["/tmp", "/dev/null"],
        }
        text["process"] = {"run_as_user": "sandbox", "run_as_group": "sandbox"}
        return self.machine.write(f"policy-{os.urandom(4).hex()}.yaml", json.dumps(text))


class Life:
    def test_create_list_get_delete(self):
        done = self.create("life", "--label", "kind=test")
        self.assertIn("Created sandbox: life", done.stdout)
        self.assertRegex(self.cli("sandbox", "list").stdout, r"(?m)^life .* Ready\s*$")
        self.assertEqual(self.cli("sandbox", "list", "--names", "--selector", "kind=test").stdout.split(), ["life"])
        self.assertRegex(self.cli("sandbox", "get", "life").stdout, r"Phase:\s+Ready")
        self.assertIn("Deleted sandbox life", self.cli("sandbox", "delete", "life").stdout)
        eventually(lambda: self.gateway.phase("life") is None)

    def test_created_where_there_is_no_terminal(self):
        """Then `create` does not attach, but ends once it is Ready."""
        self.addCleanup(self.gateway.cli, "sandbox", "delete", "plain")
        self.cli("sandbox", "create", "--name", "plain", "--", *STAY)
        self.assertEqual(self.gateway.phase("plain"), "Ready")

    def test_a_main_process_that_ends(self):
        self.create("ends", command=["sh", "-c", "sleep 1; exit 3"])
        self.phase_is("ends", "Error")
        done = self.cli("sandbox", "exec", "-n", "ends", "--no-tty", "--", "true", code=1)
        self.assertIn("not ready", done.stderr)
        self.assertIn("must be Ready to stop", self.cli("sandbox", "stop", "ends", code=1).stderr)

    def test_a_main_process_that_ends_at_once(self):
        self.addCleanup(self.gateway.cli, "sandbox", "delete", "short")
        done = self.gateway.cli("sandbox", "create", "--name", "short", "--detach", "--", "false")
        if done.returncode != 0:  # or it was Ready for a moment
            self.assertIn("MainProcessExited", done.stderr)
        self.phase_is("short", "Error")

    def test_stop_and_start(self):
        self.create("again")
        self.execute("again", "sh", "-c", "echo kept >/sandbox/file")
        self.cli("sandbox", "stop", "again")
        self.assertEqual(self.gateway.phase("again"), "Stopped")
        self.assertIn("not ready", self.execute("again", "true", code=1).stderr)
        self.cli("sandbox", "start", "again")
        self.assertEqual(self.gateway.phase("again"), "Ready")
        self.assertEqual(self.execute("again", "cat", "/sandbox/file").stdout, "kept\n")

    def test_the_gateway_comes_back(self):
        self.create("outlives")
        self.gateway.stop(signal.SIGKILL)
        self.gateway.start()
        self.phase_is("outlives", "Ready")
        eventually(lambda: self.gateway.cli("sandbox", "exec", "-n", "outlives", "--", "true").returncode == 0)


class Exec:
    def test_streams_and_exit_code(self):
        self.create("exec")
        done = self.execute("exec", "sh", "-c", "echo out; echo err >&2; exit 42", code=42)
        self.assertEqual((done.stdout, done.stderr), ("out\n", "err\n"))
        code = 128 + signal.SIGTERM if OURS else 1
        self.assertEqual(self.execute("exec", "sh", "-c", "kill -TERM $$", code=code).stdout, "")
        self.assertEqual(self.execute("exec", "/no/such/program", code=127).stdout, "")

    def test_too_many(self):
        """As many as the sandbox's sshd serves; who is one too many is told why."""
        if not OURS:
            self.skipTest("the limit is ours")
        self.create("many")
        one = "sandbox", "exec", "-n", "many", "--no-tty", "--"
        running = [self.background(*one, "sh", "-c", "echo up; sleep 60") for _ in range(SESSIONS_MAX)]
        for process in running:
            self.assertEqual(process.stdout.readline(), b"up\n")
        said = self.execute("many", "true", code=1).stderr.replace("│", "").split()  # it is a drawing
        self.assertIn(f"this sandbox has {SESSIONS_MAX} SSH sessions open, and takes no more", " ".join(said))

    def test_stdin(self):
        self.create("stdin")
        given = os.urandom(768 << 10)  # the gateway takes no message of 1 MiB
        done = self.execute("stdin", "sha256sum", stdin=given)
        self.assertEqual(done.stdout.split()[0], hashlib.sha256(given).hexdigest())
        self.assertEqual(self.execute("stdin", "cat", stdin=b"").stdout, "")

    def test_much_stdout(self):
        self.create("much")
        size = 64 << 20
        done = self.execute("much", "sh", "-c", f"yes | head -c {size}", text=False)
        self.assertEqual(done.stdout, b"y\n" * (size // 2))

    def test_who_where_and_with_what(self):
        self.create("who", "--env", "OF_THE_SANDBOX=1")
        options = "--no-tty", "--workdir", "/tmp", "--env", "OF_THE_CALL=2"
        done = self.execute("who", "sh", "-c", "id -un; pwd; echo $OF_THE_SANDBOX $OF_THE_CALL; env", options=options)
        self.assertEqual(done.stdout.split("\n")[:3], ["sandbox", "/tmp", "1 2"])
        self.assertIn("HTTPS_PROXY=http://10.200.0.1:3128", done.stdout)
        self.assertNotIn("TOKEN", done.stdout)
        self.assertEqual(self.execute("who", "pwd").stdout, "/sandbox\n")

    def test_timeout(self):
        self.create("timeout")
        options = "--no-tty", "--timeout", "1"
        self.execute("timeout", "sleep", "60", options=options, code=124)

    def test_on_a_terminal(self):
        self.create("tty")
        shown = self.terminal("sandbox", "exec", "-n", "tty", "--tty", "--", "sh", "-c", "stty size; tty; read x; echo got $x; exit 5")
        shown.until(b"40 100\r\n")
        shown.until(b"/dev/pts/")
        shown.type(b"words\r")
        shown.until(b"got words")
        self.assertEqual(shown.wait(), 5)

    def test_a_window_changes(self):
        self.create("window")
        script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.1; done"
        shown = self.terminal("sandbox", "exec", "-n", "window", "--tty", "--", "sh", "-c", script)
        shown.until(b"ready")
        shown.resize(50, 120)
        os.kill(shown.process.pid, signal.SIGWINCH)
        shown.until(b"50 120")
        shown.type(b"\x03")
        shown.wait()


class Attached:
    def test_create_attaches_and_detaches(self):
        self.addCleanup(self.gateway.cli, "sandbox", "delete", "shell")
        shown = self.terminal("sandbox", "create", "--name", "shell", "--", "sh")
        shown.type(b"echo $((6 * 7))\r")
        shown.until(b"42\r\n")
        shown.type(DETACH)
        shown.wait()
        self.assertEqual(self.gateway.phase("shell"), "Ready")
        back = self.terminal("sandbox", "connect", "shell")
        back.until(b"42")  # what was shown before
        back.type(b"stty size\r")
        back.until(b"40 100\r\n")
        back.type(b"exit 7\r")
        self.assertEqual(back.wait(), 7)
        self.phase_is("shell", "Error")

    def test_create_and_no_keep(self):
        shown = self.terminal("sandbox", "create", "--name", "nokeep", "--no-keep", "--", "sh", "-c", "echo seen; sleep 1")
        self.addCleanup(self.gateway.cli, "sandbox", "delete", "nokeep")
        shown.until(b"seen")
        shown.wait()
        eventually(lambda: self.gateway.phase("nokeep") is None)

    def test_connect_without_a_terminal(self):
        self.create("pipes", command=["sh", "-c", "while read line; do echo got $line; done"])
        pipe = subprocess.PIPE
        process = self.background("sandbox", "connect", "pipes", stdin=pipe, stderr=subprocess.DEVNULL)
        process.stdin.write(b"one\ntwo\n")
        process.stdin.flush()
        self.assertEqual([process.stdout.readline() for _ in range(2)], [b"got one\n", b"got two\n"])
        process.terminate()  # as little as a detach does it end the main process
        process.wait()
        self.assertEqual(self.gateway.phase("pipes"), "Ready")


class Ssh:
    def ssh(self, *words, program="ssh", **how):
        """OpenSSH with the host that `ssh-config` tells of."""
        config = self.gateway.path("ssh_config")
        how = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": peer.WAIT, **how}
        return subprocess.run([program, "-F", config, *words], env=self.gateway.environment(), check=False, **how)

    def config(self, name):
        text = self.cli("sandbox", "ssh-config", name).stdout
        self.gateway.write("ssh_config", text)
        return next(line.split()[1] for line in text.splitlines() if line.startswith("Host "))

    def test_ssh_scp_sftp(self):
        self.create("ssh")
        host = self.config("ssh")
        done = self.ssh(host, "echo out; echo err >&2; exit 9")
        self.assertEqual((done.stdout, done.stderr, done.returncode), ("out\n", "err\n", 9))
        given = os.urandom(1 << 20)
        path = self.machine.path("given")
        with open(path, "wb") as f:
            f.write(given)
        for flags in ((), ("-O",)) if OURS else [("-O",)]:
            done = self.ssh(*flags, path, f"{host}:/sandbox/by-scp", program="scp")
            self.assertEqual(done.returncode, 0, done.stderr)
            done = self.execute("ssh", "sha256sum", "/sandbox/by-scp")
            self.assertEqual(done.stdout.split()[0], hashlib.sha256(given).hexdigest())
        if not OURS:
            return  # the peer's runs a program of the image for it, which there is not
        batch = f"put {path} by-sftp\nls -l by-sftp\nrm by-sftp\n"
        done = self.ssh("-b", "-", host, program="sftp", stdin=None, input=batch)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1048576", done.stdout)

    def test_ssh_forwards(self):
        port, local = free_port(), free_port()
        self.create("sshfwd", command=[HOSTS, "echo", str(port)])
        host = self.config("sshfwd")
        words = ["ssh", "-F", self.gateway.path("ssh_config"), "-N", "-L", f"{local}:127.0.0.1:{port}", host]
        process = subprocess.Popen(words, env=self.gateway.environment(), stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        self.echoes(local)

    def echoes(self, port):
        def comes_back():
            try:
                with socket.create_connection(("127.0.0.1", port), peer.WAIT) as s:
                    s.sendall(b"words")
                    s.shutdown(socket.SHUT_WR)
                    return b"".join(iter(lambda: s.recv(4096), b"")) == b"words"
            except OSError:
                return False

        eventually(comes_back, pause=0.1)

    def test_forward(self):
        port = free_port()
        self.create("forward", command=[HOSTS, "echo", str(port)])
        self.background("forward", "start", str(port), "forward")
        self.echoes(port)

    def test_forward_service(self):
        port, local = free_port(), free_port()
        self.create("service", command=[HOSTS, "echo", str(port)])
        self.background("forward", "service", "service", "--target-port", str(port), "--local", str(local))
        self.echoes(local)

    def test_upload_and_download(self):
        self.create("files")
        folder = self.machine.path("tree")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(os.path.join(folder, "below"))
        for name, text in ("one", b"1\n"), ("below/two", os.urandom(3 << 20)):
            with open(os.path.join(folder, name), "wb") as f:
                f.write(text)
        self.cli("sandbox", "upload", "files", folder, "/sandbox/up", "--no-git-ignore")
        found = self.execute("files", "find", "/sandbox/up", "-type", "f").stdout.split()
        self.assertEqual(len(found), 2, found)
        back = self.machine.path("back")
        shutil.rmtree(back, ignore_errors=True)
        self.cli("sandbox", "download", "files", "/sandbox/up", back)
        done = subprocess.run(["find", back, "-name", "two"], capture_output=True, text=True, check=True)
        with open(done.stdout.strip(), "rb") as f, open(os.path.join(folder, "below", "two"), "rb") as g:
            self.assertEqual(f.read(), g.read())


class Policy:
    def asks(self, name):
        """What the program inside gets of a server that only a policy allows."""
        done = self.execute(name, HOSTS, "get", f"http://{self.machine.server.allowed}/")
        return json.loads(done.stdout.splitlines()[0])["status"]

    def test_set_and_get(self):
        self.create("policy", "--policy", self.policy_file("/usr/bin/other"))
        self.assertEqual(self.asks("policy"), 403)
        done = self.cli("policy", "set", "policy", "--policy", self.policy_file(), "--wait")
        self.assertRegex(done.stdout + done.stderr, "(?i)loaded|active")
        self.assertEqual(self.asks("policy"), 200)
        self.assertIn(HOSTS, self.cli("policy", "get", "policy", "--full").stdout)
        self.assertRegex(self.cli("policy", "list", "policy").stdout, "(?i)loaded")

    def test_one_that_no_policy_was_given(self):
        """What is found in the image, or the restrictive default, becomes the gateway's first revision."""
        self.create("default")
        self.assertEqual(self.asks("default"), 403)
        shown = self.cli("policy", "get", "default").stdout
        self.assertRegex(shown, r"Version:\s+1\n")
        self.assertRegex(shown, r"Hash:\s+[0-9a-f]{64}")

    def test_update(self):
        """Endpoint by endpoint, while it runs."""
        self.create("update", "--policy", self.policy_file("/usr/bin/other"))
        allowed = self.machine.server.allowed
        self.cli("policy", "update", "update", "--add-endpoint", allowed, "--binary", HOSTS, "--wait")
        self.assertEqual(self.asks("update"), 200)
        self.cli("policy", "update", "update", "--remove-endpoint", allowed, "--wait")
        self.assertEqual(self.asks("update"), 403)

    def test_one_that_is_refused(self):
        """What is static cannot be changed while it runs; the gateway says so, and all stays as it was."""
        self.create("static", "--policy", self.policy_file())
        with open(self.policy_file(), encoding="utf-8") as f:
            other = json.load(f)
        other["filesystem_policy"]["read_write"] = ["/", "/tmp"]
        path = self.machine.write("policy-other.yaml", json.dumps(other))
        self.cli("policy", "set", "static", "--policy", path, "--wait", code=1)
        self.assertEqual(self.asks("static"), 200)

    def test_a_provider(self):
        """The child has a placeholder where the credential is named."""
        secret = "secret-of-this-test"
        made = "--name", "given", "--type", "nvidia", "--credential", "NVIDIA_API_KEY=" + secret
        self.cli("provider", "create", *made)
        self.addCleanup(self.gateway.cli, "provider", "delete", "given")
        self.addCleanup(self.gateway.cli, "sandbox", "delete", "provided")
        self.create("provided", "--provider", "given")
        line = next(l for l in self.execute("provided", "env").stdout.split("\n") if l.startswith("NVIDIA_API_KEY="))
        self.assertNotIn(secret, line)
        self.assertRegex(line, r"^NVIDIA_API_KEY=openshell:resolve:env:\S+")

    def test_settings(self):
        self.create("settings")
        for value in "true", "false":
            self.cli("settings", "set", "settings", "--key", "ocsf_json_enabled", "--value", value)
            self.assertIn(f"ocsf_json_enabled = {value} (sandbox)", self.cli("settings", "get", "settings").stdout)
        self.assertEqual(self.gateway.phase("settings"), "Ready")

    def test_logs_that_go_on(self):
        self.create("tail")
        process = self.background("logs", "tail", "--tail", "--source", "sandbox")
        threading.Timer(1, self.asks, ["tail"]).start()
        for line in process.stdout:
            if b"DENIED" in line:
                return
        self.fail("it ended")

    def test_logs(self):
        self.create("logs")
        self.asks("logs")

        def told():
            lines = self.cli("logs", "logs", "-n", "500", "--source", "sandbox").stdout
            return lines if "DENIED" in lines else ""

        lines = eventually(told, lambda: self.cli("logs", "logs").stdout, pause=0.2)
        self.assertRegex(lines, r"\[sandbox\s*\] \[OCSF\s*\] \[ocsf\] \S+ \[MED\] DENIED .*hosts\(\d+\) -> .*10.78.0.1:8080")
        if OURS:
            self.assertIn("rung:pocket", lines)


class Process(WithSandboxes):
    tls = False
    token_seconds = 0
    kind = Sandbox

    @classmethod
    def setUpClass(cls):
        cls.machine = machine()
        folder = cls.machine.path(cls.__name__)
        cls.driver = Driver(os.path.join(folder, "driver"), peer.SUPERVISOR, {HOSTS: cls.machine.program}, cls.kind)
        flags = ["--drivers", "plain", "--compute-driver-socket", cls.driver.socket]
        cls.gateway = Gateway(os.path.join(folder, "gateway"), flags, tls=cls.tls, token_seconds=cls.token_seconds)
        cls.driver.endpoint, cls.driver.tls = cls.gateway.url, cls.gateway.certificates()

    def diagnostics(self):
        logs = [f"--- sandbox {s.asked.name}\n{s.log()}" for s in self.driver.sandboxes.values()]
        return "\n".join(["--- gateway", self.gateway.log()[-2000:], *logs])


class ProcessTest(Process, Life, Exec, Attached, Ssh, Policy, unittest.TestCase):
    def test_many_at_once(self):
        """As many as the gateway has relays for one sandbox."""
        self.create("many")
        words = ["sandbox", "exec", "-n", "many", "--no-tty", "--", "sh", "-c", "sleep 1; seq 20000"]
        every = [self.background(*words) for _ in range(32)]
        expected = "".join(f"{i}\n" for i in range(1, 20001)).encode()
        for process in every:
            self.assertEqual(process.stdout.read(), expected)
            self.assertEqual(process.wait(), 0)

    def test_much_each_way(self):
        """Beyond what any part has of windows, and of keys and random numbers."""
        self.create("lots")
        host, size = self.config("lots"), 400 << 20
        expected = hashlib.sha256(b"y\n" * (size // 2)).hexdigest()
        config = self.gateway.path("ssh_config")
        there = f"yes | head -c {size} | ssh -F {config} {host} sha256sum"
        back = f"ssh -F {config} {host} 'yes | head -c {size}' | sha256sum"
        for script in there, back:
            done = subprocess.run(
                ["sh", "-c", script], env=self.gateway.environment(), capture_output=True, text=True, timeout=120, check=False
            )
            self.assertEqual(done.stdout.split()[:1], [expected], done.stderr)

    def test_nothing_is_left(self):
        """Of a sandbox that is deleted, and of one whose supervisor is killed."""
        for name in ("deleted", "killed") if OURS else ["killed"]:  # of the peer's, one a network
            self.create(name, command=["sleep", f"600.{len(name)}"])
        sandbox = self.driver.of_name("killed")
        os.kill(sandbox.pid, signal.SIGKILL)
        sandbox.process.wait()
        if OURS:
            self.cli("sandbox", "delete", "deleted")
        self.assertEqual(subprocess.run(["pgrep", "-f", "sleep 600[.]"], check=False).returncode, 1)
        self.phase_is("killed", "Error")


class TlsTest(Process, Life, Exec, Attached, Ssh, Policy, unittest.TestCase):
    """Both show certificates."""

    tls = True


class TokenTest(Process, unittest.TestCase):
    """Tokens that hold for some seconds."""

    token_seconds = 10

    def test_renewed(self):
        self.create("renewed")
        time.sleep(2.5 * self.token_seconds)
        self.assertEqual(self.execute("renewed", "echo", "words").stdout, "words\n")
        self.gateway.stop(signal.SIGKILL)  # whoever comes back has to show the new one
        self.gateway.start()
        eventually(lambda: self.gateway.cli("sandbox", "exec", "-n", "renewed", "--", "true").returncode == 0)
