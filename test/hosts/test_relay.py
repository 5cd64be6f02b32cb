"""Relays: what the gateway asks for inside, and its bytes."""

import hashlib
import os
import socket
import struct
import threading
import time
import unittest

import door
import inside
from gateway import Code, pb
from runner import eventually
from test_door_gateway import WithGateway

HERE = os.path.dirname(os.path.abspath(__file__))
PORT, LIMIT = 8437, 128
PART = os.urandom(1 << 20)


def read_all(socket, hashed=None):
    """To the end: the bytes, or their number where they are hashed."""
    parts, n = [], 0
    while data := socket.recv(1 << 20):
        n += len(data)
        if hashed:
            hashed.update(data)
        else:
            parts.append(data)
    return n if hashed else b"".join(parts)


class Cutter:
    """Between the supervisor and its gateway: cuts the connection, with a reset, once `after` more bytes came from the
    gateway."""

    def __init__(self, port):
        self.to, self.after = port, None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                theirs = self.listener.accept()[0]
                ours = socket.create_connection(("127.0.0.1", self.to))
                threading.Thread(target=self.pass_on, args=(theirs, ours), daemon=True).start()
                threading.Thread(target=self.pass_on, args=(ours, theirs, True), daemon=True).start()
        except OSError:
            pass

    def pass_on(self, source, target, cuts=False):
        """cuts: what comes from the gateway, amid it when its time has come."""
        try:
            while data := source.recv(65536):
                if cuts and self.after is not None:
                    data, self.after = data[: self.after], self.after - len(data)
                target.sendall(data)
                if cuts and self.after is not None and self.after <= 0:
                    self.after = None
                    target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    target.close()
                    break
        except OSError:
            pass
        for s in source, target:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class WithRelays(WithGateway):
    def setUp(self):
        self.to = self.gateway()
        self.serve_inside()
        self.session = self.accepted(self.to, self.process)
        eventually(self.listens, "it listens inside")

    def serve_inside(self):
        """The sandbox begins, and with it inside.py."""
        with open(os.path.join(HERE, "inside.py"), encoding="utf-8") as f:
            server = self.machine.write(f"inside-{os.urandom(4).hex()}.py", f.read())
        os.chmod(server, 0o644)
        folder = os.path.dirname(server)
        self.to.config.policy.filesystem.read_only.append(folder)
        self.process = self.begin(self.to, f"exec python3 {server} {PORT}", url=self.url())

    def url(self):
        return self.to.url

    def listens(self):
        relay = self.open(b"B")
        success = self.answered(relay).success
        relay.close()
        return success

    def open(self, first=b"", tcp=("localhost", PORT), **how):
        relay = self.to.open_relay(self.session, tcp=tcp, **how)
        self.addCleanup(relay.close)
        relay.socket.settimeout(60)
        relay.socket.sendall(first)
        return relay

    def answered(self, relay):
        return eventually(lambda: relay.result, lambda: "an answer\n" + "".join(self.process.said))

    def refused(self, **how):
        result = self.answered(self.open(**how))
        self.assertFalse(result.success)
        return result.error


class Everywhere(WithRelays):
    """On each rung."""

    def test_both_ways(self):
        relay = self.open(b"E")
        for n in (1, 5, 16384, 16385, 300000):
            relay.socket.sendall(PART[:n])
            got = b""
            while len(got) < n:
                got += relay.socket.recv(1 << 20)
            self.assertEqual(got, PART[:n])
        relay.socket.shutdown(1)
        self.assertEqual(read_all(relay.socket), b"")
        self.until(self.process, f"relay opened (channel_id={relay.channel_id}, target=localhost:{PORT})")
        self.until(self.process, f"relay closed (channel_id={relay.channel_id}")


class RelayRootPocketTest(Everywhere, door.RootPocket, unittest.TestCase):
    def test_the_target_ends_first(self):
        """A peer's supervisor holds its half open as long as the gateway does (contract 3.4)."""
        relay = self.open(b"B")
        self.assertEqual(read_all(relay.socket), b"bye")

    def test_large_frames(self):
        """A gateway's may have any size; what the target does not take at once waits, in order."""
        frame = 3 << 20
        head = f"C{16 * frame - 10}\n".encode()
        relay = self.open()
        relay.frame = frame
        data = (48 * PART)[: 16 * frame - len(head)]
        relay.socket.sendall(head + data)
        self.assertEqual(read_all(relay.socket).decode(), hashlib.sha256(data).hexdigest())

    def test_a_client_that_speaks_on_to_nobody(self):
        """The target is gone: so is the relay, soon, though the client never ends."""
        relay = self.open(b"B")
        self.assertEqual(read_all(relay.socket), b"bye")

        def over():
            try:
                relay.socket.sendall(b"hello?")
            except OSError:
                return True
            return any(f"relay closed (channel_id={relay.channel_id}" in line for line in self.process.said)

        eventually(over, lambda: "".join(self.process.said), pause=0.1)
        self.until(self.process, f"relay closed (channel_id={relay.channel_id}")

    def test_refused(self):
        self.assertRegex(self.refused(tcp=("127.0.0.1", 9)), "port 9 inside: Connection refused")
        self.assertEqual(self.refused(tcp=("", 80)), "tcp target host is required")
        for host in ("10.0.0.1", "example.com", "0.0.0.0", "::", "127.0.0.1.nip.io"):
            self.assertEqual(self.refused(tcp=(host, 80)), "tcp target host must be loopback")
        for port in (0, 65536):
            error = self.refused(tcp=("127.0.0.1", port))
            self.assertEqual(error, "tcp target port must be between 1 and 65535")
        self.until(self.process, "relay failed (channel_id=")

    def test_one_that_nobody_claims(self):
        """The gateway has forgotten it: the others go on."""
        kept = self.open(b"E")
        eventually(kept.claimed.is_set, "it is claimed")
        lost = pb.RelayOpen(channel_id="lost", tcp=pb.TcpRelayTarget(host="127.0.0.1", port=PORT))
        self.session.say(relay_open=lost)
        eventually(lambda: "lost" in self.to.strangers, "it was claimed in vain")
        self.until(self.process, "NOT_FOUND: unknown or expired relay channel")
        kept.socket.sendall(b"x")
        self.assertEqual(kept.socket.recv(1), b"x")

    def test_one_that_is_asked_for_twice(self):
        relay = self.open(b"E", channel_id="twice")
        eventually(relay.claimed.is_set, "it is claimed")
        open_ = pb.RelayOpen(channel_id="twice", tcp=pb.TcpRelayTarget(host="127.0.0.1", port=PORT))
        self.session.say(relay_open=open_)
        relay.socket.sendall(b"x")
        self.assertEqual(relay.socket.recv(1), b"x")
        self.assertEqual(len(self.session.said_of("relay_open_result")), self.answers())

    def answers(self):
        return len({r.channel_id for r in self.session.said_of("relay_open_result")})

    def test_so_many_at_once(self):
        """More than the gateway's 32, which are those that nobody has claimed."""
        relays = [self.open(b"E") for _ in range(LIMIT)]
        for relay in relays:
            self.assertTrue(self.answered(relay).success)
        self.assertRegex(self.refused(), f"{LIMIT} relays")
        for i, relay in enumerate(relays):
            relay.socket.sendall(PART[i : i + 1000])
        for i, relay in enumerate(relays):
            got = b""
            while len(got) < 1000:
                got += relay.socket.recv(1000)
            self.assertEqual(got, PART[i : i + 1000])
            relay.socket.shutdown(1)
            self.assertEqual(read_all(relay.socket), b"")
        self.assertTrue(eventually(self.listens, "there is room again"))

    def test_a_flood(self):
        """More than there can be, asked for in one breath: the last ones are told why not."""
        relays = [self.open(b"E") for _ in range(LIMIT + 8)]
        results = [self.answered(relay) for relay in relays]
        self.assertEqual([r.success for r in results], LIMIT * [True] + 8 * [False])
        self.assertEqual({r.error for r in results[LIMIT:]}, {f"this sandbox has {LIMIT} relays open, and takes no more"})
        for relay in relays[:LIMIT]:
            relay.socket.sendall(b"x")
            self.assertEqual(relay.socket.recv(1), b"x")

    def test_a_slow_one_holds_up_no_other(self):
        """A target that reads nothing, a client that reads nothing, and one that is in a hurry."""
        deaf = self.open(b"N")
        deaf.socket.settimeout(1)
        with self.assertRaises(TimeoutError):
            while True:
                deaf.socket.sendall(PART)
        lazy = self.open(b"G100000000\n")
        quick = self.open(b"G50000000\n")
        self.assertEqual(read_all(quick.socket, hashlib.sha256()), 50000000)
        self.assertEqual(read_all(lazy.socket, hashlib.sha256()), 100000000)

    def test_slow_ones_hold_up_no_other(self):
        """As many as there can be, but for one: of half of them the target reads nothing, of the others the client."""
        for i in range(LIMIT - 1):
            relay = self.open(b"N" if i % 2 else b"G100000000\n")
            self.assertTrue(self.answered(relay).success)
            if i % 2:
                threading.Thread(target=self.send_all, args=(relay.socket,), daemon=True).start()
        time.sleep(2)
        quick = self.open(b"G50000000\n")
        self.assertEqual(read_all(quick.socket, hashlib.sha256()), 50000000)

    @staticmethod
    def send_all(client):
        try:
            for _ in range(4):
                client.sendall(PART)
        except OSError:
            pass  # the test is over

    def test_the_session_is_lost(self):
        """Its relays end with it; a new one takes new ones."""
        relay = self.open(b"E")
        eventually(relay.claimed.is_set, "it is claimed")
        self.session.end(Code.UNAVAILABLE, "going down")
        self.until(self.process, "the session was lost")
        self.assertEqual(relay.socket.recv(1), b"")
        self.session = self.accepted(self.to, self.process, 2)
        again = self.open(b"E", channel_id=relay.channel_id)
        again.socket.sendall(b"x")
        self.assertEqual(again.socket.recv(1), b"x")

    def test_a_gigabyte_each_way(self):
        """Hashes are equal, and nothing is held in memory."""
        n, digest = 1024, hashlib.sha256()
        relay = self.open(f"C{n * len(PART)}\n".encode())
        for _ in range(n):
            relay.socket.sendall(PART)
            digest.update(PART)
        self.assertEqual(read_all(relay.socket).decode(), digest.hexdigest())
        relay = self.open(f"G{n * len(PART)}\n".encode())
        there, here = hashlib.sha256(), hashlib.sha256()
        self.assertEqual(read_all(relay.socket, there), n * len(PART))
        for _ in range(n * len(PART) // len(inside.PART)):
            here.update(inside.PART)
        self.assertEqual(there.hexdigest(), here.hexdigest())
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
        self.assertLess(peak, 24 << 10)


class RelayUserUsernsTest(Everywhere, door.UserUserns, unittest.TestCase):
    pass


class RelayUserHostTest(Everywhere, door.UserHost, unittest.TestCase):
    pass


class CutTest(WithRelays, door.RootPocket, unittest.TestCase):
    """A connection that breaks."""

    def url(self):
        self.cutter = Cutter(self.to.port)
        self.addCleanup(self.cutter.listener.close)
        return self.cutter.url

    def test_amid_a_message(self):
        """The relay ends, and the next session is as the first."""
        relay = self.open(b"R")
        eventually(relay.claimed.is_set, "it is claimed")
        self.cutter.after = 300001
        relay.socket.settimeout(2)
        try:
            for _ in range(8):
                relay.socket.sendall(PART)
        except OSError:
            pass
        self.until(self.process, "NET:FAIL [LOW] [reason:supervisor session failed")
        self.until(self.process, "the session was lost")
        self.session = self.accepted(self.to, self.process, 2)
        again = self.open(b"E")
        again.socket.sendall(b"x")
        self.assertEqual(again.socket.recv(1), b"x")
