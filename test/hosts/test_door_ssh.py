"""The sandbox's sshd, as an operator on the machine meets it: OpenSSH's clients against the socket."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import unittest

from door import SHELL, RootHost, RootPocket, UserUserns, each_rung, marked
from hosts import WAIT
from runner import eventually

# What connects a client of SSH to the socket.
TO_SOCKET = """
import os, socket, sys, threading
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
def up():
    while data := os.read(0, 65536):
        s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := s.recv(65536):
    os.write(1, data)
"""
# A server inside, that says in capitals what it is told; the sandbox's main process.
CAPITALS = """
import socket
s = socket.create_server(("127.0.0.1", 8444))
print("listening", flush=True)
while True:
    c = s.accept()[0]
    while data := c.recv(65536):
        c.sendall(data.upper())
    c.close()
"""
LONG = "exec sleep 1000"
BYTES = os.urandom(5 << 20)


class WithSsh:
    workdir = "/tmp"

    def begin(self, *command, **how):
        """A sandbox with an sshd; what its main process writes to the container's log is in the file `log`."""
        name = os.urandom(4).hex()
        home = self.machine.path("home" if self.unprivileged else "run")
        self.socket = os.path.join(home, "ssh-" + name, "ssh.sock")
        self.log = open(self.machine.write("log-" + name, ""), "r+", encoding="utf-8")
        self.addCleanup(self.log.close)
        options = ("--ssh-socket-path", self.socket, "--workdir", self.workdir)
        process = self.start(
            *(command or (SHELL, "-c", LONG)), options=options, stdout=self.log, stderr=self.log, **how
        )
        eventually(lambda: os.path.exists(self.socket), self.said)
        proxy = self.machine.write("to_socket.py", TO_SOCKET)
        self.config = self.machine.write(
            f"ssh-{name}",
            "Host box\n User sandbox\n StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n"
            f" LogLevel ERROR\n ProxyCommand {sys.executable} {proxy} {self.socket}\n",
        )
        return process

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def client(self, *words, program="ssh", **how):
        """Its exit code, and what it wrote."""
        how.setdefault("input", b"")
        return subprocess.run(
            [program, "-F", self.config, *words],
            capture_output=True,
            check=False,
            **{"timeout": WAIT, **how},
        )

    def background(self, *words):
        pipe = subprocess.PIPE
        process = subprocess.Popen(["ssh", "-F", self.config, *words], stdin=pipe, stdout=pipe, stderr=pipe)
        os.set_blocking(process.stdout.fileno(), False)
        os.set_blocking(process.stderr.fileno(), False)
        process.seen = {process.stdout: b"", process.stderr: b""}

        def end():
            process.kill()
            process.wait()
            for stream in process.stdin, process.stdout, process.stderr:
                stream.close()

        self.addCleanup(end)
        return process

    def attach(self, *flags):
        return self.background(*(flags or ("-T",)), "-s", "box", "openshell-main")

    def reads(self, process, text, stream=None):
        """Waits until it has written that."""
        stream = stream or process.stdout

        def look():
            process.seen[stream] += stream.read() or b""
            return text in process.seen[stream]

        eventually(look, lambda: f"{text}, not {process.seen}\n{self.said()}")
        return process.seen[stream]

    def tells(self, process, text):
        process.stdin.write(text)
        process.stdin.flush()


class Ssh(WithSsh):
    def test_a_command(self):
        self.begin()
        done = self.client("box", "cat; id -u; pwd; echo oops >&2; exit 7", input=b"words\n")
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertIn(b"oops\n", done.stderr)
        self.assertEqual(done.stdout.decode().split("\n"), ["words", str(self.uid()), "/tmp", ""])
        self.assertEqual(self.client("box", "kill -TERM $$").returncode, 128 + signal.SIGTERM)
        done = self.client("box", input=b"echo from a shell\nexit 3\n")
        self.assertEqual((done.returncode, done.stdout), (3, b"from a shell\n"))

    def uid(self):
        return self.user

    def test_its_environment(self):
        self.begin()
        done = self.client("box", "env", env={**os.environ, "OPENSHELL_SANDBOX_TOKEN": "secret"})
        found = dict(line.split("=", 1) for line in done.stdout.decode().splitlines())
        self.assertEqual(found["OPENSHELL_SANDBOX"], "1")
        self.assertEqual(found["TERM"], "dumb")
        self.assertTrue(found["https_proxy"].startswith("http://"))
        self.assertTrue(found["HOME"].startswith("/"))
        self.assertEqual([name for name in found if name.startswith("OPENSHELL_")], ["OPENSHELL_SANDBOX"])

    def test_its_descriptors(self):
        """Its streams, and nothing of the supervisor's (contract section 10, 16); the last is of ls itself."""
        self.begin()
        done = self.client("box", "ls /proc/self/fd")
        self.assertEqual(done.stdout.split(), [b"0", b"1", b"2", b"3"], done.stderr)

    def test_a_terminal(self):
        self.begin()
        done = self.client("-tt", "box", "stty size; echo $TERM; tty", env={**os.environ, "TERM": "vt100"})
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, rb"(?s)24 80\r\nvt100\r\n/dev/pts/\d+\r\n")

    def test_files(self):
        self.begin()
        name = "up-" + os.urandom(4).hex()
        path = self.machine.path(name)
        with open(path, "wb") as f:
            f.write(BYTES)
        for flags in [], ["-O"]:
            done = self.client(*flags, path, f"box:{name}", program="scp")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.client(*flags, f"box:{name}", path + "-back", program="scp")
            with open(path + "-back", "rb") as f:
                self.assertEqual(f.read(), BYTES)
            os.unlink(path + "-back")
        done = self.client("-b", "-", "box", program="sftp", input=f"rename {name} x{name}\nrm x{name}\n".encode())
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.client("box", "cat | sha256sum", input=BYTES)
        self.assertIn(hashlib.sha256(BYTES).hexdigest(), done.stdout.decode())

    def test_a_connection_inside(self):
        self.begin(sys.executable, "-c", CAPITALS)
        eventually(lambda: "listening\n" in self.said(), self.said)
        for host in "localhost", "127.0.0.1":
            done = self.client("-W", host + ":8444", "box", input=b"hello")
            self.assertEqual(done.stdout, b"HELLO", done.stderr)
        self.assertIn(b"forwarding failed", self.client("-W", "10.78.0.1:22", "box").stderr)

    def test_the_main_process(self):
        process = self.begin(SHELL, "-c", "echo before; echo oops >&2; while read x; do echo got $x; done; exit 5")
        eventually(lambda: "before\n" in self.said() and "oops\n" in self.said(), self.said)
        first = self.attach()
        self.reads(first, b"before\n")
        self.reads(first, b"oops\n", first.stderr)
        second = self.attach()
        self.reads(second, b"attached read-only", second.stderr)
        self.tells(first, b"one\n")
        self.assertEqual(self.reads(first, b"got one\n"), b"before\ngot one\n")
        self.reads(second, b"got one\n")
        # it leaves, and the next one has the input; nothing of it has ended
        first.stdin.close()
        first.kill()
        first.wait()
        third = self.attach()
        self.reads(third, b"got one\n")
        eventually(lambda: self.takes_input(third), self.said)
        self.assertIn("got one\n", self.said())  # the container's log has it too
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(WAIT), 128 + signal.SIGTERM)
        for one in second, third:
            self.assertEqual(one.wait(WAIT), 128 + signal.SIGTERM)

    def takes_input(self, one):
        self.tells(one, b"three\n")
        one.seen[one.stdout] += one.stdout.read() or b""
        return b"got three\n" in one.seen[one.stdout]

    def test_its_end(self):
        process = self.begin(SHELL, "-c", "read x; echo the last words; exit 5")
        running = self.background("box", "echo it runs; exec sleep 1000")
        self.reads(running, b"it runs\n")
        one = self.attach()
        self.tells(one, b"\n")
        self.reads(one, b"the last words\n")
        self.assertEqual(one.wait(WAIT), 5)
        self.assertEqual(process.wait(WAIT), 5)
        self.assertEqual(running.wait(WAIT), 128 + signal.SIGKILL)

    def test_nothing_outlives_it(self):
        process = self.begin()
        mark = "1000." + str(int.from_bytes(os.urandom(3), "big"))
        running = self.background("-tt", "box", "sleep " + mark)
        eventually(lambda: len(marked("sleep " + mark)) > 1, self.said)  # the client's, and ours
        process.kill()
        process.wait()
        running.wait(WAIT)
        eventually(lambda: not marked("sleep " + mark), lambda: str(marked("sleep " + mark)))
        self.assertNotEqual(self.client("box", "true").returncode, 0)


globals().update(each_rung(Ssh))


class SandboxTest(WithSsh, UserUserns, unittest.TestCase):
    """A sandbox that runs as the supervisor's own user, to whom the socket's mode says nothing."""

    COME_IN = "import socket; s = socket.socket(socket.AF_UNIX); s.connect({}); print(s.recv(100))"

    def test_comes_not_in_by_itself(self):
        rules = {"filesystem_policy": {"read_only": ["/"], "read_write": ["/tmp", self.machine.path("home")]}}
        self.begin(policy=self.policy(**rules))
        code = self.COME_IN.format(repr(self.socket))
        done = self.client("box", f"{sys.executable} -c '{code}'".replace("'" + self.socket + "'", f'"{self.socket}"'))
        self.assertNotIn(b"SSH-2.0", done.stdout)
        self.assertIn("is of the sandbox", self.said())


class TerminalTest(WithSsh, RootPocket, unittest.TestCase):
    def test_the_main_process_has_one(self):
        spec = '{"version":1,"command":["/bin/sh","-c","stty size; read x; stty size; echo $x; read x; exit 6"],"tty":true}'
        process = self.begin_spec(spec)
        one = self.attach("-tt")
        self.reads(one, b"24 80\r\n")
        self.tells(one, b"hello\n")
        self.reads(one, b"\r\nhello\r\n")
        # the keys that detach: the channel ends with 0, the main process goes on
        self.tells(one, b"\x10\x11")
        self.assertEqual(one.wait(WAIT), 0)
        again = self.attach("-tt")
        self.reads(again, b"\r\nhello\r\n")
        self.tells(again, b"\n")
        self.assertEqual(again.wait(WAIT), 6)
        self.assertEqual(process.wait(WAIT), 6)

    def begin_spec(self, spec):
        words = self.words

        def with_spec(*_, **how):
            made = words(**how)
            made.insert(made.index(self.machine.binary), "OPENSHELL_MAIN_PROCESS_SPEC=" + spec)
            return made

        self.words = with_spec
        return self.begin()


class RandomTest(WithSsh, RootPocket, unittest.TestCase):
    """Sessions are forked, and must not share what their keys are made of."""

    def cookie(self):
        """16 random bytes of a server's first message (RFC 4253, 7.1)."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(WAIT)
            s.connect(self.socket)
            s.sendall(b"SSH-2.0-test\r\n")
            stream = s.makefile("rb")
            self.assertTrue(stream.readline().startswith(b"SSH-2.0-"))
            return stream.read(4 + 1 + 1 + 16)[6:]

    def test_no_two_sessions_are_alike(self):
        self.begin()
        self.assertEqual(len({self.cookie() for _ in range(4)}), 4)

    def test_one_that_lasts(self):
        """Longer than the generator goes without the kernel's help: 10,000 packets."""
        self.begin()
        done = self.client("box", "yes | head -c 400000000", timeout=4 * WAIT)
        self.assertEqual((done.returncode, len(done.stdout)), (0, 400000000), done.stderr)


class SilenceTest(WithSsh, RootPocket, unittest.TestCase):
    def test_who_says_nothing_stays(self):
        """A session has a time limit for its login only (contract section 10, 9); whoever asks whether it is alive is
        answered."""
        self.begin()
        asks = "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"
        clients = [self.background(*flags, "box", "sleep 32; echo still here; exit 4") for flags in ((), asks)]
        for client in clients:
            self.assertEqual(client.wait(2 * WAIT), 4)
            self.reads(client, b"still here\n")


class LogTest(WithSsh, RootPocket, unittest.TestCase):
    def test_a_log_that_nobody_reads_holds_nothing_up(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        words = "head -c 30000000 /dev/zero; echo done >/tmp/done; exec sleep 1000"
        folder = "/tmp/log-" + os.urandom(4).hex()
        process = self.begin(SHELL, "-c", words.replace("/tmp/done", folder))
        self.addCleanup(lambda: os.path.exists(folder) and os.unlink(folder))
        os.close(writer)
        eventually(lambda: os.path.exists(folder), self.said)
        self.assertIsNone(process.poll())


class NoShellTest(WithSsh, RootHost, unittest.TestCase):
    """An image FROM scratch."""

    workdir = "/"

    def test_words_and_errors(self):
        m = self.machine
        image = m.path("scratch-" + os.urandom(4).hex())
        for name in "/proc", "/dev", "/etc", "/logs", m.folder:
            os.makedirs(image + name)
        rules = self.policy(filesystem_policy={"read_only": [m.folder], "read_write": ["/logs"]})
        wrapper = f"""
            mount --bind {image} {image} && mount --bind {m.folder} {image}{m.folder} &&
            mount --rbind /dev {image}/dev && mount --bind /var/log {image}/logs &&
            exec unshare -p -f --kill-child --mount-proc={image}/proc chroot {image} "$@" """
        words = self.words

        def in_image(*command, **how):
            made = words(*command, **how)
            return ["unshare", "-m", "sh", "-c", wrapper, "sh", *made[made.index(m.binary) :]]

        self.words = in_image
        self.begin(m.program, "hold", policy=rules, logs="/logs")
        done = self.client("box", f"cd / && A='x y' {m.program} 'report' exit 5")
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertEqual(json.loads(done.stdout.splitlines()[0])["environment"]["A"], "x y")
        for line, said in ("echo a | cat", "has no shell"), ("no-such-thing", "no-such-thing"):
            done = self.client("box", line)
            self.assertEqual(done.returncode, 127, done.stderr)
            self.assertIn(said, done.stderr.decode())
        done = self.client("-tt", "box")
        self.assertEqual(done.returncode, 127)
        self.assertIn(b"neither /bin/bash nor /bin/sh", done.stdout)
        done = self.client("-b", "-", "box", program="sftp", input=b"ls /\n")
        self.assertEqual(done.returncode, 0, done.stderr)
