"""OpenSSH's clients through the gateway: each connection rides a relay to the sandbox's sshd."""

import concurrent.futures
import fcntl
import hashlib
import os
import signal
import socket
import struct
import subprocess
import termios
import time
import unittest

import door
from runner import eventually
from test_door_gateway import WithGateway, parents
from test_relay import HERE, PORT
from way_in import WayIn

BYTES = os.urandom(5 << 20)
MINUTE, SESSIONS_MAX = 60, 64


def below(pid):
    """All processes that descend from it."""
    found, before = {pid}, 0
    while len(found) > before:
        before = len(found)
        found |= {child for child, parent in parents() if parent in found}
    return found - {pid}


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
            return f.read().strip()
    except OSError:  # it has ended
        return None


def exists(pid):
    """Whether it runs; not, when nobody has waited for it yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class WithWayIn(WithGateway):
    def setUp(self):
        self.to = self.gateway()
        self.to.config.policy.filesystem.read_only.append(HERE)
        folder = self.machine.path("home" if self.unprivileged else "run")
        self.sshd = os.path.join(folder, "ssh-" + os.urandom(4).hex(), "ssh.sock")
        with open(os.path.join(HERE, "inside.py"), encoding="utf-8") as f:
            server = self.machine.write(f"inside-{os.urandom(4).hex()}.py", f.read())
        os.chmod(server, 0o644)
        self.to.config.policy.filesystem.read_only.append(os.path.dirname(server))
        self.process = self.begin(
            self.to,
            f"echo begun; exec python3 {server} {PORT}",
            environment=(("OPENSHELL_SANDBOX_TOKEN", "token-1"), ("OPENSHELL_SSH_SOCKET_PATH", self.sshd)),
        )
        self.accepted(self.to, self.process)
        self.way = WayIn(self.to)
        self.addCleanup(self.way.close)

    def ssh(self, *words, **how):
        return self.way.ssh(*words, **how)

    def start(self, *words, flags=(), **how):
        """An ssh that goes on."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
        client = subprocess.Popen(["ssh", *self.way.options(), *flags, *words], **pipes)

        def end():
            client.kill()
            client.communicate()

        self.addCleanup(end)
        return client


class Ssh(WithWayIn):
    """On several rungs."""

    def test_commands(self):
        done = self.ssh("cat; echo oops >&2; exit 7", input=b"words\n")
        self.assertEqual((done.returncode, done.stdout), (7, b"words\n"), done.stderr)
        self.assertIn(b"oops\n", done.stderr)
        done = self.ssh("sha256sum", input=BYTES)
        self.assertEqual(done.stdout.split()[0].decode(), hashlib.sha256(BYTES).hexdigest())

    def test_files(self):
        here = self.machine.path("up-" + os.urandom(4).hex())
        there, back = "/tmp/" + os.urandom(4).hex(), here + "-back"
        with open(here, "wb") as f:
            f.write(BYTES)
        for flags in (), ("-O",):  # by sftp, and as it was before
            for a, b in (here, "sandbox@sandbox:" + there), ("sandbox@sandbox:" + there, back):
                command = ["scp", *flags, *self.way.options(), a, b]
                done = subprocess.run(command, capture_output=True, timeout=120, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
            with open(back, "rb") as f:
                self.assertEqual(f.read(), BYTES)
            os.unlink(back)
        batch = f"rename {there} {there}-2\nls -l {there}-2\nrm {there}-2\n".encode()
        command = ["sftp", *self.way.options(), "-b", "-", "sandbox@sandbox"]
        done = subprocess.run(command, input=batch, capture_output=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(str(len(BYTES)).encode(), done.stdout)


class SshUserUsernsTest(Ssh, door.UserUserns, unittest.TestCase):
    pass


class SshUserHostTest(Ssh, door.UserHost, unittest.TestCase):
    pass


class SshRootPocketTest(Ssh, door.RootPocket, unittest.TestCase):
    def test_a_port_inside(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        forward = "-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{port}:localhost:{PORT}"
        client = self.start("sandbox@sandbox", flags=forward)

        def talk():
            try:
                with socket.create_connection(("127.0.0.1", port), 10) as s:
                    s.sendall(b"R" + BYTES)
                    s.shutdown(socket.SHUT_WR)
                    return s.recv(100)
            except OSError:
                return None

        self.assertEqual(eventually(talk).decode(), hashlib.sha256(BYTES).hexdigest())
        self.assertIsNone(client.poll())

    def test_one_session_too_many(self):
        """The gateway hears why; and who comes by the socket, from the sshd."""
        relays = [self.to.open_relay() for _ in range(SESSIONS_MAX)]
        for relay in relays:
            self.addCleanup(relay.close)
            relay.socket.settimeout(MINUTE)
            self.assertEqual(relay.socket.recv(4), b"SSH-")
        one_more = self.to.open_relay()
        self.addCleanup(one_more.close)
        result = eventually(lambda: one_more.result)
        self.assertEqual(result.error, f"this sandbox has {SESSIONS_MAX} SSH sessions open, and takes no more")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.sshd)
            said = b""
            while b"too many" not in said:
                said += client.recv(1000)
        self.until(self.process, "SSH:REFUSE [MED] DENIED")
        self.until(self.process, f"{SESSIONS_MAX} clients are connected")
        for relay in relays:
            relay.close()
        eventually(lambda: self.ssh("true").returncode == 0)

    def test_the_keeper_is_killed(self):
        """All inside ends at once; clients hear that in order, and the gateway gets a code."""
        command = self.start("sandbox@sandbox", "echo up; exec sleep 1000")
        attached = self.start("sandbox@sandbox", "openshell-main", flags=("-s",))
        self.assertEqual(command.stdout.readline(), b"up\n")
        self.assertEqual(attached.stdout.readline(), b"begun\n")
        sandbox = below(self.process.pid)
        (keeper,) = [pid for pid, of in parents() if of == self.process.pid and name_of(pid) != "openshell-sshd"]
        os.kill(keeper, signal.SIGKILL)
        self.assertEqual(command.wait(MINUTE), 128 + signal.SIGKILL, command.stderr.read())
        self.assertEqual(attached.wait(MINUTE), 1, attached.stderr.read())
        self.ended(self.process, 1)
        self.assertEqual([report.exit_code for report in self.to.exits], [1])
        eventually(lambda: not any(exists(pid) for pid in sandbox))

    def test_the_sshd_is_killed(self):
        """What runs goes on, its end is told, and what is said comes through; but the gateway knows that it is not ready."""
        client = self.start("sandbox@sandbox", "echo up; cat")
        self.assertEqual(client.stdout.readline(), b"up\n")
        open_one = self.to.open_relay(tcp=("localhost", PORT))
        self.addCleanup(open_one.close)
        open_one.socket.settimeout(MINUTE)
        open_one.socket.sendall(b"G3000000\n")
        self.assertEqual(open_one.socket.recv(1, socket.MSG_PEEK), b"0")
        sshd = [pid for pid, of in parents() if of == self.process.pid and name_of(pid) == "openshell-sshd"]
        session = self.to.sessions[-1]
        os.kill(sshd[0], signal.SIGKILL)
        got = 0
        while piece := open_one.socket.recv(1 << 20):
            got += len(piece)
        self.assertEqual(got, 3000000)
        self.until(self.process, "CONFIG:DEGRADED [HIGH] SSH server gone")
        self.assertNotEqual(client.wait(MINUTE), 0)
        self.assertTrue(session.over.wait(MINUTE))
        self.assertTrue(session.in_order)
        time.sleep(3)  # longer than the first pause before a session is opened anew
        self.assertEqual(len(self.to.sessions), 1)
        self.assertIsNone(self.process.poll())
        eventually(lambda: any("SSH server gone" in message for _, _, message in self.to.log))
        self.finish(self.process)
        self.assertEqual([report.exit_code for report in self.to.exits], [128 + signal.SIGTERM])

    def test_a_terminal_and_its_size(self):
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
        terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        command = "stty size; read line; stty size; exit 5"
        client = self.start("sandbox@sandbox", command, flags=("-tt",), start_new_session=True, **terminal)
        os.set_blocking(ours, False)
        seen = b""

        def reads(text):
            nonlocal seen
            try:
                seen += os.read(ours, 65536)
            except BlockingIOError:
                pass
            return text in seen

        eventually(lambda: reads(b"50 132"), lambda: seen)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
        client.send_signal(28)  # SIGWINCH: the terminal is not its controlling one
        time.sleep(0.2)
        os.write(ours, b"\n")
        eventually(lambda: reads(b"33 99"), lambda: seen)
        self.assertEqual(client.wait(20), 5)
        os.close(theirs)

    def test_the_main_process(self):
        client = self.start("-s", "sandbox@sandbox", "openshell-main", flags=("-T",))
        self.assertEqual(client.stdout.readline(), b"begun\n")

    def test_many_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            done = list(pool.map(lambda i: self.ssh(f"echo {i}; exit {i}"), range(16)))
        self.assertEqual([(d.returncode, d.stdout) for d in done], [(i, b"%d\n" % i) for i in range(16)])

    def test_a_gateway_that_is_away_for_a_minute(self):
        """Whoever was connected is not any more, and a terminal is hung up; the sandbox goes on, and then takes
        commands again."""
        client = self.start("sandbox@sandbox", "echo here; sleep 1000", flags=("-tt",))
        self.assertIn(b"here\r\n", iter(client.stdout.readline, b""))  # a shell may say something first
        inside = below(self.process.pid)
        self.to.stop()
        self.assertNotEqual(client.wait(20), 0)
        time.sleep(MINUTE)
        self.to.start()
        eventually(lambda: len(self.to.sessions) == 2, lambda: "".join(self.process.said), seconds=60)
        done = eventually(lambda: (d := self.ssh("echo again")).returncode == 0 and d)
        self.assertEqual(done.stdout, b"again\n")
        sleeps = [pid for pid in door.marked("sleep 1000") if pid in inside]
        self.assertEqual(sleeps, [])

    def test_nothing_outlives_a_killed_supervisor(self):
        """The sshd, its sessions and what runs in them included."""
        client = self.start("sandbox@sandbox", "trap '' HUP; echo here; setsid sleep 1000")
        self.assertEqual(client.stdout.readline(), b"here\n")
        family = below(self.process.pid)
        self.assertGreaterEqual(len(family), 6)  # keeper, nursery, sshd, session, main process, command
        self.process.kill()
        eventually(lambda: not any(map(exists, family)), lambda: str([p for p in family if exists(p)]))
        self.assertNotEqual(client.wait(20), 0)
