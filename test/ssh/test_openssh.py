"""OpenSSH's clients with our sshd, and clients that are none."""

import fcntl
import hashlib
import os
import pty
import random
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time
import unittest

try:
    import paramiko
except ImportError:
    paramiko = None

from runner import WAIT, eventually

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TOOL = os.environ.get(
    "OPENSHELL_SSH_TOOL", os.path.join(ROOT, "build", os.uname().machine, "test", "ssh", "ssh")
)
SECONDS = 120
MIB = 1 << 20
SESSIONS_MAX, REFUSALS_MAX, CHANNELS_MAX = 64, 16, 96
DETACH = b"\x10\x11"


class Echo:
    """A server on 127.0.0.1 that sends back what comes, and ends when its client does."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    @staticmethod
    def talk(client):
        with client:
            while piece := client.recv(65536):
                client.sendall(piece)


def memory(pid):
    """KiB that it has by itself."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"RssAnon:\s+(\d+)", f.read())[1])


@unittest.skipUnless(shutil.which("ssh"), "no OpenSSH")
class OpensshTest(unittest.TestCase):
    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="openshell-ssh-")
        self.addCleanup(shutil.rmtree, self.top)
        self.socket = os.path.join(self.top, "run", "ssh.sock")
        self.server = subprocess.Popen([TOOL, self.socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end)
        self.pid = int(self.server.stdout.readline().split()[1])
        self.said = []
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()
        self.config = os.path.join(self.top, "config")
        with open(self.config, "w", encoding="ascii") as f:
            f.write(f"Host *\n ProxyCommand {TOOL} connect {self.socket}\n StrictHostKeyChecking no\n"
                    " UserKnownHostsFile /dev/null\n LogLevel ERROR\n User sandbox\n")

    def listen(self):
        for line in self.server.stdout:
            self.said.append(line.rstrip("\n"))

    def end(self):
        if self.server.poll() is None:
            self.server.stdin.close()
            self.assertEqual(self.server.wait(WAIT), 0)
        self.listener.join()
        self.server.stdout.close()
        self.assertFalse(os.path.exists(self.socket))

    def words(self, *words):
        return ["ssh", "-F", self.config, *words]

    def ssh(self, *words, data=b"", code=0):
        done = subprocess.run(self.words(*words), input=data, capture_output=True, timeout=SECONDS, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def popen(self, *words, **how):
        how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
        process = subprocess.Popen(self.words(*words), **how)

        def end():
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                try:
                    if pipe:
                        pipe.close()
                except OSError:
                    pass  # what was not sent is nobody's

        self.addCleanup(end)
        return process

    def sessions(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as f:
            return [int(pid) for pid in f.read().split()]

    def heard(self, line):
        eventually(lambda: line in self.said, lambda: f"{line}: {self.said}")

    # ---- commands ----

    def test_exec_has_streams_and_a_code(self):
        done = self.ssh("x", "cat; echo error >&2; exit 7", data=b"input", code=7)
        self.assertEqual((done.stdout, done.stderr), (b"input", b"error\n"))

    def test_end_of_input_is_told(self):
        self.assertEqual(self.ssh("x", "cat", data=b"").stdout, b"")
        self.assertEqual(self.ssh("-n", "x", "cat").stdout, b"")

    def test_a_signal_that_ends_it(self):
        self.ssh("x", "kill -TERM $$", code=128 + 15)

    def test_a_command_that_is_blank(self):
        self.ssh("x", "  ", code=0)

    def test_a_command_that_cannot_be_run(self):
        done = self.ssh("x", "refuse me", code=127)
        self.assertEqual(done.stderr, b"openshell: no shell in this image\n")

    def test_a_command_of_many_bytes(self):
        self.assertEqual(self.ssh("x", "printf %s " + "x" * 100000 + " | wc -c").stdout.strip(), b"100000")

    def test_a_shell_without_a_terminal(self):
        self.assertEqual(self.ssh("-T", "x", data=b"echo hello; exit 3\n", code=3).stdout, b"hello\n")

    def test_subsystems(self):
        for name in ("none", "sftp-server"):
            self.assertIn(b"subsystem request failed", self.ssh("-s", "x", name, code=255).stderr)

    def test_what_is_left_behind_does_not_hold_it_up(self):
        for words in (("x",), ("-tt", "x")):
            began = time.monotonic()
            done = self.ssh(*words, "trap '' HUP; sleep 1000 & echo $!; exit 5", code=5)
            os.kill(int(done.stdout), 9)
            self.assertLess(time.monotonic() - began, WAIT)

    def test_what_is_left_behind_and_goes_on_writing_does_not_hold_it_up(self):
        done = self.ssh("x", "(while :; do echo late; sleep 0.2; done) & echo $!; exit 5", code=5)
        os.kill(int(done.stdout.split()[0]), 9)

    def test_a_client_that_leaves_hangs_up(self):
        process = self.popen("x", "echo $$; exec sleep 1000")
        pid = int(process.stdout.readline())
        process.kill()
        eventually(lambda: not os.path.exists(f"/proc/{pid}"))
        self.heard("gone")

    # ---- terminals ----

    def terminal(self, *words, rows=24, columns=80):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        process = self.popen("-tt", *words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.addCleanup(os.close, master)
        return process, master

    def until(self, master, word):
        text = b""
        end = time.monotonic() + WAIT
        while word not in text:
            self.assertLess(time.monotonic(), end, text)
            try:
                text += os.read(master, 4096)
            except OSError:
                self.fail(f"{word}: {text}")
        return text

    def test_a_terminal_its_size_and_its_changes(self):
        process, master = self.terminal("x", "trap 'stty size' WINCH; stty size; echo $TERM; while :; do sleep 0.05; done",
                                        rows=33, columns=111)
        self.until(master, b"33 111\r\n")
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 122, 0, 0))
        process.send_signal(28)  # SIGWINCH
        self.until(master, b"44 122\r\n")

    def test_a_terminal_s_keys(self):
        process, master = self.terminal("x", "echo up; cat; echo end")
        self.until(master, b"up\r\n")
        os.write(master, b"typed\n")
        self.until(master, b"typed\r\ntyped\r\n")
        os.write(master, b"\x04")
        self.until(master, b"end\r\n")
        self.assertEqual(process.wait(WAIT), 0)

    def test_control_c_interrupts(self):
        process, master = self.terminal("x", "echo up; exec sleep 1000")
        self.until(master, b"up\r\n")
        os.write(master, b"\x03")
        self.assertEqual(process.wait(WAIT), 128 + 2)

    # ---- bytes ----

    def test_many_bytes_each_way(self):
        data = random.randbytes(100 * MIB)
        want = hashlib.sha256(data).hexdigest().encode()
        self.assertEqual(self.ssh("x", "sha256sum", data=data).stdout[:64], want)
        path = os.path.join(self.top, "data")
        with open(path, "wb") as f:
            f.write(data)
        self.assertEqual(hashlib.sha256(self.ssh("x", f"cat {path}").stdout).hexdigest().encode(), want)
        self.assertEqual(hashlib.sha256(self.ssh("x", "cat", data=data).stdout).hexdigest().encode(), want)

    def test_output_that_a_slow_client_has_not_read_is_not_lost(self):
        process = self.popen("x", "head -c 20000000 /dev/zero; exit 4")
        time.sleep(3)  # longer than what the drain may take
        self.assertEqual(len(process.stdout.read()), 20000000)
        self.assertEqual(process.wait(WAIT), 4)

    def test_a_client_that_reads_nothing_costs_nothing(self):
        self.ssh("x", "true")
        process = self.popen("x", "cat /dev/zero")
        eventually(self.sessions)
        time.sleep(1)
        self.assertLess(max(map(memory, self.sessions())), 12000)
        process.kill()
        process = self.popen("x", "sleep 1000", stdin=subprocess.PIPE)
        pump = threading.Thread(target=self.pour, args=(process.stdin,), daemon=True)
        pump.start()
        time.sleep(1)
        self.assertLess(max(map(memory, self.sessions())), 12000)

    @staticmethod
    def pour(pipe):
        try:
            while True:
                pipe.write(bytes(65536))
        except OSError:
            pass

    def test_keys_are_exchanged_anew_on_the_way(self):
        data = random.randbytes(5 * MIB)
        self.assertEqual(self.ssh("-o", "RekeyLimit=500K", "x", "cat", data=data).stdout, data)

    def test_a_session_s_memory_is_limited(self):
        self.popen("x", "cat")
        with open(f"/proc/{eventually(self.sessions)[0]}/limits", encoding="ascii") as f:
            self.assertRegex(f.read(), r"Max data size +536870912 +536870912 ")

    def test_both_ways_at_once(self):
        data = random.randbytes(8 * MIB)
        done = self.ssh("x", "cat; cat >&2 <<E\nerrors\nE", data=data)
        self.assertEqual((done.stdout, done.stderr), (data, b"errors\n"))

    # ---- several ----

    def master(self):
        path = os.path.join(self.top, "control")
        process = self.popen("-M", "-S", path, "-N", "x")
        eventually(lambda: os.path.exists(path), process.stderr)
        return path

    def test_many_channels_of_one_session(self):
        path = self.master()
        running = [self.popen("-S", path, "x", f"cat; echo {i}") for i in range(20)]
        for i, process in enumerate(running):
            out, _ = process.communicate(b"x" * 100000 + b"\n", timeout=SECONDS)
            self.assertEqual(out, b"x" * 100000 + f"\n{i}\n".encode())
        self.assertEqual(len(self.sessions()), 1)

    def test_channels_have_a_bound_and_are_used_again(self):
        path = self.master()
        running = [self.popen("-S", path, "x", "echo up; cat") for _ in range(CHANNELS_MAX)]
        for process in running:
            self.assertEqual(process.stdout.readline(), b"up\n")
        # one that the master cannot have open would connect anew
        self.ssh("-S", path, "-o", "ProxyCommand=false", "x", "true", code=255)
        for process in running:
            process.communicate(b"", timeout=SECONDS)
        for _ in range(3 * CHANNELS_MAX):
            self.ssh("-S", path, "x", "true")

    def test_sessions_have_a_bound(self):
        clients = []
        for _ in range(SESSIONS_MAX):
            clients.append(self.connect())
            self.assertTrue(clients[-1].recv(4).startswith(b"SSH-"))
        done = self.ssh("x", "true", code=255)
        self.assertIn(b":12: too many SSH sessions are open in this sandbox", done.stderr)
        self.heard("full")
        # … and those who are being told so have a bound too
        told = [self.connect() for _ in range(REFUSALS_MAX)]
        for client in told:
            self.assertTrue(client.recv(4).startswith(b"SSH-"))
        one_more = self.connect()
        self.assertEqual(one_more.recv(4), b"")
        for client in clients + told + [one_more]:
            client.close()
        eventually(lambda: not self.sessions())
        self.ssh("x", "true")

    def test_a_slow_channel_holds_no_other_up(self):
        path = self.master()
        slow = self.popen("-S", path, "x", "cat /dev/zero")
        self.assertEqual(slow.stdout.read(10), bytes(10))
        for _ in range(5):
            self.assertEqual(self.ssh("-S", path, "x", "echo still").stdout, b"still\n")

    # ---- files ----

    def test_sftp_and_scp(self):
        data = random.randbytes(3 * MIB)
        with open(os.path.join(self.top, "data"), "wb") as f:
            f.write(data)
        for words in (["scp", "-F", self.config, f"{self.top}/data", f"x:{self.top}/one"],
                      ["scp", "-F", self.config, f"x:{self.top}/one", f"{self.top}/two"]):
            subprocess.run(words, check=True, timeout=SECONDS, capture_output=True)
        with open(os.path.join(self.top, "two"), "rb") as f:
            self.assertEqual(f.read(), data)

    # ---- forwarding ----

    def forwarded(self, target):
        """A connection by way of a local port that leads there."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = self.popen("-N", "-L", f"127.0.0.1:{port}:{target}", "-o", "ExitOnForwardFailure=yes", "x")

        def connect():
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=WAIT)
            except OSError:
                self.assertIsNone(process.poll())
                return None

        return eventually(connect)

    def test_forwards_to_loopback(self):
        echo = Echo()
        self.addCleanup(echo.server.close)
        data = random.randbytes(5 * MIB)
        for host in ("localhost", "127.0.0.1", "[::1]", "127.3.2.1"):
            with self.forwarded(f"{host}:{echo.port}") as client:
                threading.Thread(target=self.send_all, args=(client, data), daemon=True).start()
                back = b""
                while piece := client.recv(1 << 20):
                    back += piece
                self.assertEqual(back, data)

    def test_a_browser_s_connections(self):
        """So many at once through one forwarding; the next is closed, and there is room again."""
        echo = Echo()
        self.addCleanup(echo.server.close)
        first = self.forwarded(f"localhost:{echo.port}")
        address = first.getpeername()
        clients = [first] + [socket.create_connection(address, timeout=WAIT) for _ in range(CHANNELS_MAX - 1)]
        for i, client in enumerate(clients):
            client.sendall(b"%d" % i)
        for i, client in enumerate(clients):
            self.assertEqual(client.recv(10), b"%d" % i)
        with socket.create_connection(address, timeout=WAIT) as one_more:
            self.assertEqual(one_more.recv(1), b"")
        for client in clients:
            client.close()
        with eventually(lambda: self.echoes(address)):
            pass

    @staticmethod
    def echoes(address):
        client = socket.create_connection(address, timeout=WAIT)
        try:
            client.sendall(b"x")
            if client.recv(1) == b"x":
                return client
        except OSError:
            pass
        client.close()
        return None

    @staticmethod
    def send_all(client, data):
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    def test_forwards_nowhere_else(self):
        echo = Echo()
        self.addCleanup(echo.server.close)
        for host in ("0.0.0.0", "10.0.0.1", "127.1", "2130706433", "0x7f000001", "017700000001", "localhost.evil.test",
                     "example.com", "[::]", "[fe80::1]", "[::ffff:10.0.0.1]", "127.0.0.1.", "[64:ff9b::7f00:1]"):
            with self.subTest(host), self.forwarded(f"{host}:{echo.port}") as client:
                self.assertEqual(client.recv(1), b"")
        self.assertFalse([line for line in self.said if line.startswith("connect")])

    def test_forwards_to_who_does_not_listen(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with self.forwarded(f"localhost:{port}") as client:
            self.assertEqual(client.recv(1), b"")

    def test_refuses_other_forwarding(self):
        self.assertIn(b"forwarding failed", self.ssh("-N", "-R", "0:localhost:1", "-o", "ExitOnForwardFailure=yes", "x", code=255).stderr)

    # ---- the main process ----

    def test_main_is_attached_to(self):
        process = self.popen("-o", "SetEnv=TERM=vt100", "-s", "x", "openshell-main")
        self.assertEqual(process.stdout.readline(), b"replayed\n")
        self.assertEqual(process.stderr.readline(), b"attached\n")
        process.stdin.write(b"typed\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"typed\n")
        process.stdin.write(b"errors\n")
        process.stdin.flush()
        self.assertEqual(process.stderr.readline(), b"errors\n")
        process.stdin.write(b"exit 9\n")
        process.stdin.close()
        self.assertEqual(process.wait(WAIT), 9)
        self.heard("attach terminal 0 read-only 0")

    def test_main_s_input_has_no_end(self):
        process = self.popen("-s", "x", "openshell-main")
        self.assertEqual(process.stdout.readline(), b"replayed\n")
        process.stdin.close()
        time.sleep(0.3)
        self.assertIsNone(process.poll())
        process.kill()
        self.heard("detached")

    def test_keys_that_detach_from_main(self):
        for pieces in ((DETACH,), (b"before\n", DETACH), (DETACH[:1], DETACH[1:]), (b"\x10" + DETACH,)):
            process = self.popen("-s", "x", "openshell-main")
            self.assertEqual(process.stdout.readline(), b"replayed\n")
            for piece in pieces:
                process.stdin.write(piece)
                process.stdin.flush()
                time.sleep(0.05)
            self.assertEqual(process.wait(WAIT), 0, pieces)

    def test_main_on_a_terminal(self):
        process, master = self.terminal("-o", "SetEnv=OPENSHELL_MAIN_READ_ONLY=1", "-s", "x", "openshell-main", rows=30, columns=90)
        self.until(master, b"replayed")
        self.heard("attach terminal 1 read-only 1")
        self.heard("size 30 90")
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 91, 0, 0))
        process.send_signal(28)  # SIGWINCH
        self.heard("size 31 91")
        os.write(master, b"exit 1\n")  # goes nowhere
        os.write(master, DETACH)
        self.assertEqual(process.wait(WAIT), 0)

    # ---- what is agreed upon ----

    def agreed(self, *words):
        """What the verbose client says of the key exchange and the ciphers."""
        said = self.ssh("-v", "-o", "LogLevel=DEBUG1", *words, "x", "true").stderr.decode()
        return re.findall(r"kex: (?:algorithm: |server->client cipher: )(\S+)", said)

    def test_openssh_gets_a_cipher_that_authenticates(self):
        kex, cipher = self.agreed()
        self.assertIn(kex, ("mlkem768x25519-sha256", "curve25519-sha256"))
        self.assertRegex(cipher, "gcm|chacha20")
        # it would take what it has first, and has this one before others
        self.ssh("-o", "Ciphers=aes256-ctr", "x", "true", code=255)

    def test_key_exchanges(self):
        self.assertEqual(self.agreed("-o", "KexAlgorithms=ecdh-sha2-nistp256")[0], "ecdh-sha2-nistp256")
        for name in ("mlkem768x25519-sha256", "curve25519-sha256", "ecdh-sha2-nistp256"):
            done = subprocess.run([TOOL, "kex", self.socket, name], capture_output=True, text=True, timeout=SECONDS, check=False)
            self.assertEqual((done.stdout.strip(), done.stderr), (name, ""))
        done = subprocess.run([TOOL, "kex", self.socket, "ecdh-sha2-nistp521"], capture_output=True, timeout=SECONDS, check=False)
        self.assertNotEqual(done.returncode, 0)

    @unittest.skipUnless(paramiko, "no paramiko")
    def test_paramiko(self):
        data = random.randbytes(MIB)
        for kex in ("curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"):
            transport = paramiko.Transport(self.connect())
            self.addCleanup(transport.close)
            transport.get_security_options().kex = [kex]
            transport.start_client(timeout=SECONDS)
            transport.auth_none("sandbox")
            channel = transport.open_session(timeout=SECONDS)
            channel.settimeout(SECONDS)
            channel.exec_command("cat; exit 4")
            threading.Thread(target=self.send_all_of_it, args=(channel, data), daemon=True).start()
            back = b""
            while piece := channel.recv(1 << 16):
                back += piece
            self.assertEqual((back, channel.recv_exit_status()), (data, 4))

    @staticmethod
    def send_all_of_it(channel, data):
        channel.sendall(data)
        channel.shutdown_write()

    # ---- who is none ----

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(WAIT)
        client.connect(self.socket)
        return client

    def test_the_socket_is_its_owner_s(self):
        self.assertEqual(os.stat(self.socket).st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(os.path.dirname(self.socket)).st_mode & 0o777, 0o700)

    def test_who_is_refused_hears_nothing(self):
        self.server.stdin.write("r")
        self.server.stdin.flush()
        time.sleep(0.1)
        with self.connect() as client:
            self.assertEqual(client.recv(100), b"")

    def test_noise_ends_its_session_alone(self):
        good = self.popen("x", "echo up; cat")
        self.assertEqual(good.stdout.readline(), b"up\n")
        for noise in (b"", b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n" + random.randbytes(100000), b"\xff" * 300,
                      b"SSH-2.0-x\r\n" + struct.pack(">I", 0xFFFFFFFF) * 100, b"SSH-1.5-x\r\n"):
            with self.connect() as client:
                try:
                    client.sendall(noise)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass
                except (BrokenPipeError, ConnectionResetError):
                    pass
        self.assertEqual(good.communicate(b"still", timeout=WAIT)[0], b"still")
        eventually(lambda: not self.sessions())

    def test_no_two_sessions_have_the_same_random_numbers(self):
        cookies = set()
        for _ in range(4):
            with self.connect() as client:
                client.sendall(b"SSH-2.0-x\r\n")
                data = b""
                while len(data) < 100:
                    data += client.recv(4096)
                packet = data.split(b"\r\n", 1)[1]
                self.assertEqual(packet[5], 20)  # SSH_MSG_KEXINIT
                cookies.add(packet[6:22])
        self.assertEqual(len(cookies), 4)

    def test_sessions_end_with_the_sshd(self):
        process = self.popen("x", "echo up; cat")
        self.assertEqual(process.stdout.readline(), b"up\n")
        sessions = self.sessions()
        os.kill(self.pid, 9)
        eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in sessions))
        self.assertEqual(self.server.wait(WAIT), 1)  # it says that the sshd is gone
        if os.path.exists(self.socket):  # it died where it stood
            os.unlink(self.socket)

    def test_nothing_is_to_be_seen_of_them(self):
        process = self.popen("x", "echo up; cat")
        self.assertEqual(process.stdout.readline(), b"up\n")
        for pid in (self.pid, *self.sessions()):
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                self.assertNotIn("\nCoreDumping:\t1", f.read())
            # a process that is not dumpable belongs to root
            self.assertEqual(os.stat(f"/proc/{pid}/environ").st_uid, 0)
            with open(f"/proc/{pid}/environ", "rb") as f:
                self.assertEqual(f.read().strip(b"\0"), b"")
