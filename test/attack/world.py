"""The world around a sandbox that is attacked: a network namespace that has nothing but `lo`, with addresses of
every kind on it, so that nothing leaves; a file system of its own; and servers that tell whose bytes arrived."""

import os
import re
import shutil
import socket
import subprocess
import threading

from http_readings import violations

# The same as in attack.h.
TOP = "/srv/attack"
SECRET = "the secret of the world"
OUTSIDE, ALLOWED, NAME_SERVER = "1.2.3.4", "1.2.3.5", "1.2.3.53"
PORTS = (53, 80, 8080, 8081, 8082, 8085, 8086, 8090, 10250)
REST_PORT, ONLY_OTHERS_PORT, DENIED_PORT = 8080, 8082, 8090
GATEWAY_TOKEN, GATEWAY_PORT = "the-token-of-the-world", 8099
SSH_SOCKET, SSH_ABSTRACT = f"{TOP}/run/ssh", "@attack-sshd"
SANDBOX_ID = 65534
UDP_LITE = 136
TOKEN = re.compile(rb"xx-([a-zA-Z0-9.-]+?)-xx", re.IGNORECASE)

ADDRESSES = (
    "1.2.3.4/32", "1.2.3.5/32", "1.2.3.53/32",
    "169.254.169.254/32", "10.99.0.1/32",
    "2001:db8::1/128", "64:ff9b::a9fe:a9fe/128", "fd00:99::1/128",
)

# What the names mean: a list of answers, one after the other; the last one stays.
GOOD, BAD = ["1.2.3.5"], ["169.254.169.254"]
NAMES = {
    "allowed.test": [GOOD], "other.test": [GOOD], "secret.test": [GOOD],
    "denied.test": [["1.2.3.4"]], "node.test": [["10.99.0.1"]],
    "metadata.google.internal": [BAD], "metadata.wild.test": [BAD],
    "loopback.wild.test": [["127.0.0.1"]], "loopback6.wild.test": [["::1"]],
    "any.wild.test": [["0.0.0.0"]], "internal.wild.test": [["10.99.0.1"]],
    "mapped.wild.test": [["::ffff:169.254.169.254"]],
    "mapped-loopback.wild.test": [["::ffff:127.0.0.1"]],
    "nat64.wild.test": [["64:ff9b::a9fe:a9fe"]], "ula.wild.test": [["fd00:99::1"]],
    "mixed.wild.test": [["1.2.3.5", "169.254.169.254"]],
    "rebind.wild.test": [GOOD, BAD], "rebind-get.wild.test": [GOOD, BAD],
}

POLICY = f"""\
version: 1
filesystem_policy:
  read_only: [{TOP}/ro]
  read_write: [{TOP}/rw]
landlock: {{compatibility: best_effort}}
process: {{run_as_user: "{SANDBOX_ID}", run_as_group: "{SANDBOX_ID}"}}
network_policies:
  requests:
    endpoints:
      - host: allowed.test
        port: {REST_PORT}
        protocol: rest
        enforcement: enforce
        rules:
          - allow: {{method: GET, path: "/public/**"}}
          - allow: {{method: POST, path: /public/submit}}
    binaries: [{{path: {TOP}/ro/attack}}]
  tunnels:
    endpoints:
      - {{host: allowed.test, port: 8081}}
      - {{host: "*.wild.test", ports: [80, 8085]}}
      - {{host: node.test, port: 10250}}
      - {{port: 8086, allowed_ips: [1.2.3.0/24]}}
    binaries: [{{path: {TOP}/ro/attack}}]
  others:
    endpoints: [{{host: other.test, port: {ONLY_OTHERS_PORT}}}]
    binaries: [{{path: {TOP}/ro/allowed}}, {{path: {TOP}/rw/tool}}, {{path: {TOP}/rw/tool2}}]
"""


def do(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


class Arrivals:
    """The names of the attempts whose bytes arrived where they may not."""

    def __init__(self):
        self.names, self.lock = set(), threading.Lock()

    def add(self, data, where):
        with self.lock:
            found = {m.decode().lower() for m in TOKEN.findall(data)}
            self.names |= found or {f"(bytes without a name at {where}: {data[:60]!r})"}

    def take(self):
        with self.lock:
            names, self.names = self.names, set()
            return names


def plain(address):
    """An address without what IPv6 sockets put around that of IPv4."""
    return address.removeprefix("::ffff:") if "." in address else address


class Greeters:
    """Stand where a sandbox's sshd listens, and greet whoever comes."""

    def __init__(self):
        self.servers = [self.listen(SSH_SOCKET), self.listen("\0" + SSH_ABSTRACT[1:])]

    @staticmethod
    def listen(name):
        server = socket.socket(socket.AF_UNIX)
        server.bind(name)
        server.listen(300)

        def greet():
            try:
                while True:
                    client, _ = server.accept()
                    client.sendall(b"SSH-2.0-world\r\n")
            except OSError:
                pass

        threading.Thread(target=greet, daemon=True).start()
        return server

    def close(self):
        for server in self.servers:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
        os.unlink(SSH_SOCKET)


class World:
    def __init__(self):
        self.arrivals, self.asked = Arrivals(), {}
        self.make_network()
        self.make_files()
        for port in PORTS:
            self.serve(socket.SOCK_STREAM, port, self.stream)
            self.serve(socket.SOCK_DGRAM, port, self.datagrams)
        self.serve(socket.SOCK_DGRAM, 5353, self.datagrams, group="224.0.0.251")
        try:
            self.serve(socket.SOCK_DGRAM, 80, self.datagrams, protocol=UDP_LITE)
        except OSError:
            pass  # this kernel has none

    # ---- network ----

    @staticmethod
    def make_network():
        do("ip", "link", "set", "lo", "up", "multicast", "on")
        for address in ADDRESSES:
            do("ip", "address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
        do("ip", "route", "add", "default", "dev", "lo")
        with open("/proc/sys/net/ipv4/ping_group_range", "w", encoding="ascii") as f:
            f.write("0 65535")

    @staticmethod
    def serve(kind, port, then, group=None, protocol=0):
        s = socket.socket(socket.AF_INET6, kind, protocol)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", port))
        if group:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                         socket.inet_aton(group) + socket.inet_aton(OUTSIDE))
        if kind == socket.SOCK_STREAM:
            s.listen(64)
        threading.Thread(target=then, args=(s, port), daemon=True).start()

    def stream(self, server, port):
        while True:
            client, _ = server.accept()
            threading.Thread(target=self.talk, args=(client, port), daemon=True).start()

    def talk(self, client, port):
        """Keeps all that comes on a connection, and judges it anew with each piece."""
        address, data, answered = plain(client.getsockname()[0]), b"", 0
        if port == 53:
            port = 0  # whoever asks by TCP has no business here
        with client:
            client.settimeout(30)
            try:
                while piece := client.recv(65536):
                    data += piece
                    bad = self.judge(address, port, data)
                    heads = data.count(b"\r\n\r\n") + data.count(b"\n\n")
                    if not data.strip() or (heads == answered and len(data) < 4):
                        continue
                    answered = heads
                    body = b"ESCAPED\n" if bad else b"welcome\n"
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + body)
            except OSError:
                pass

    def judge(self, address, port, data):
        if port == REST_PORT and address == ALLOWED:
            found = violations(data)
            for piece in found:
                self.arrivals.add(piece if TOKEN.search(piece) else data, "the REST server")
            return bool(found)
        if address == ALLOWED and port == ONLY_OTHERS_PORT:
            if not TOKEN.search(data):  # a genuine request of who may
                return False
        elif address == ALLOWED and port not in (0, DENIED_PORT):
            return False
        self.arrivals.add(data, f"{address}:{port}")
        return True

    def datagrams(self, server, port):
        while True:
            data, peer = server.recvfrom(4096)
            if port == 53:
                self.answer(server, data, peer)
            else:
                self.arrivals.add(data, f"UDP port {port}")

    # ---- names ----

    def answer(self, server, query, peer):
        labels, at = [], 12
        while at < len(query) and query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1").lower())
            at += 1 + query[at]
        name, kind = ".".join(labels), query[at + 1 : at + 3]
        if TOKEN.search(query):
            self.arrivals.add(query, "the name server")
        answers = NAMES.get(name, [[]])
        turn = self.asked.get((name, kind), 0)
        self.asked[name, kind] = turn + 1
        family = {b"\0\1": socket.AF_INET, b"\0\x1c": socket.AF_INET6}.get(kind)
        records = b"".join(
            b"\xc0\x0c" + kind + b"\0\1\0\0\0\0" + len(packed).to_bytes(2, "big") + packed
            for packed in (
                socket.inet_pton(family, text)
                for text in answers[min(turn, len(answers) - 1)]
                if family and (":" in text) == (family == socket.AF_INET6)
            )
        )
        count = records.count(b"\xc0\x0c" + kind + b"\0\1\0\0\0\0")
        code = 0 if name in NAMES else 3
        head = query[:2] + bytes([0x81, 0x80 | code]) + b"\0\1" + count.to_bytes(2, "big") + b"\0" * 4
        server.sendto(head + query[12 : at + 5] + records, peer)

    def forget_names(self):
        """The answers begin anew."""
        self.asked.clear()

    # ---- files ----

    @staticmethod
    def make_files():
        def put(path, text, mode, owner=SANDBOX_ID):
            with open(f"{TOP}/{path}", "w", encoding="ascii") as f:
                f.write(text)
            os.chown(f"{TOP}/{path}", owner, owner)
            os.chmod(f"{TOP}/{path}", mode)

        do("mount", "-t", "tmpfs", "-o", "mode=0755", "world", os.path.dirname(TOP))
        os.mkdir(TOP)
        do("mount", "-t", "tmpfs", "-o", "mode=0755", "attack", TOP)
        for folder in ("ro", "rw", "outside", "outside/folder", "ro/empty", "covered"):
            os.mkdir(f"{TOP}/{folder}")
            os.chown(f"{TOP}/{folder}", SANDBOX_ID, SANDBOX_ID)
            os.chmod(f"{TOP}/{folder}", 0o777)
        do("mount", "-t", "tmpfs", "attack", f"{TOP}/covered")
        os.mkdir(f"{TOP}/run", 0o700)
        for path in ("ro/file", "ro/file2", "ro/removable", "outside/file", "rw/own"):
            put(path, "xxxx\n" * 20, 0o666)
        put("outside/secret", SECRET, 0o666)
        put("outside/token", SECRET, 0o400, 0)
        put("ro/victim.pid", "", 0o644)
        put("ro/victim.log", "", 0o644)
        put("resolv.conf", "nameserver 127.0.0.1\n", 0o644, 0)
        put("hosts", "127.0.0.1 localhost\n::1 localhost\n", 0o644, 0)
        put("policy.yaml", POLICY, 0o644, 0)
        for name in ("resolv.conf", "hosts"):
            do("mount", "--bind", f"{TOP}/{name}", os.path.realpath(f"/etc/{name}"))

    @staticmethod
    def put_back():
        """What attempts that succeeded, or others before, have changed."""
        shutil.rmtree(f"{TOP}/rw/ro", ignore_errors=True)
        for name in os.listdir(f"{TOP}/rw"):
            os.unlink(f"{TOP}/rw/{name}")
        for path in ("ro/file", "ro/file2", "ro/removable", "outside/file", "rw/own"):
            with open(f"{TOP}/{path}", "w", encoding="ascii") as f:
                f.write("xxxx\n" * 20)
            os.chown(f"{TOP}/{path}", SANDBOX_ID, SANDBOX_ID)
            os.chmod(f"{TOP}/{path}", 0o666)
        if not os.path.isdir(f"{TOP}/ro/empty"):
            os.mkdir(f"{TOP}/ro/empty")
        for folder in ("ro/empty", "outside/folder"):
            os.chown(f"{TOP}/{folder}", SANDBOX_ID, SANDBOX_ID)
            os.chmod(f"{TOP}/{folder}", 0o777)

    @staticmethod
    def install(program):
        """The program and its copies: an allowed one, and those that bring rights along."""
        with open(program, "rb") as f:
            code = f.read()
        for path, mode, extra in (
            ("ro/attack", 0o755, b""), ("ro/allowed", 0o755, b"\0"), ("outside/attack", 0o755, b""),
            ("ro/suid", 0o4755, b""), ("ro/sgid", 0o2755, b""), ("ro/fcap", 0o755, b""),
        ):
            with open(f"{TOP}/{path}", "wb") as f:
                f.write(code + extra)
            os.chmod(f"{TOP}/{path}", mode)
        # VFS_CAP_REVISION_2, effective: CAP_NET_ADMIN (linux/capability.h)
        cap = (0x02000001).to_bytes(4, "little") + (1 << 12).to_bytes(4, "little") + b"\0" * 12
        os.setxattr(f"{TOP}/ro/fcap", "security.capability", cap)
