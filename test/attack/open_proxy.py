"""A proxy without a wall, for the control: it believes everybody, and reads names, numbers and lines as
carelessly as some proxies have."""

import re
import socket
import threading
import urllib.parse


class OpenProxy:
    def __init__(self, port):
        self.server = socket.socket()
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.server.bind(("127.0.0.1", port))
        self.server.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.server.close()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.guarded, args=(client,), daemon=True).start()

    def guarded(self, client):
        with client:
            try:
                self.talk(client)
            except (OSError, ValueError, IndexError):
                pass

    def talk(self, client):
        data = b""
        while not re.search(rb"\n\r?\n", data) and data[:1] != b"\x04":
            piece = client.recv(65536)
            if not piece:
                return
            data += piece
        if data[:1] == b"\x04":
            with socket.create_connection((socket.inet_ntoa(data[4:8]),
                                           int.from_bytes(data[2:4], "big")), 5) as server:
                client.sendall(b"\0\x5a" + b"\0" * 6)
                self.relay(client, server)
            return
        if data.startswith(b"PROXY "):
            data = data.split(b"\r\n", 1)[1]
        line, end, rest = re.split(rb"(\r?\n)", data, maxsplit=1)
        words = line.split()
        method, target = words[0], words[1]
        if method == b"CONNECT":
            with self.dial(target, 443) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                after = re.split(rb"\n\r?\n", rest, maxsplit=1)[1]
                server.sendall(after)
                self.relay(client, server)
            return
        _, absolute, where = target.rpartition(b"://")
        if absolute:
            where = where.replace(b"\\", b"/") if b"@" not in where else where
            host, path = re.fullmatch(rb"([^/?]*@[^/?]*|[^/?#]*)(.*)", where, re.DOTALL).groups()
        else:
            host, path = re.search(rb"(?im)^host:[ \t]*(\S+)", rest)[1], where
        path = re.sub(rb"(?i)(?:%0d|%0a|%20)+", lambda m: urllib.parse.unquote_to_bytes(m[0]), path)
        words[1] = path or b"/"
        with self.dial(host, 80) as server:
            server.sendall(b" ".join(words) + end + rest)
            self.relay(client, server)

    @staticmethod
    def dial(authority, port):
        """By the part after an @, up to a NUL, with the last port given, in 16 bits."""
        authority = urllib.parse.unquote_to_bytes(authority.rpartition(b"@")[2]).decode("latin-1")
        match = re.fullmatch(r"(\[[^\]]*\]|[^:\0]*)(?:\0[^:]*)?(?::.*?)??(?::([^:]*))?", authority)
        host = match[1].strip("[]").partition("%")[0]
        port = int(match[2] or port) & 0xFFFF
        socket.getaddrinfo(host, port)  # the first look, which is thought to be enough
        last = OSError("no address")
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for family, kind, _, _, address in sorted(found, key=lambda a: a[4][0].startswith("1.2.3.")):
            server = socket.socket(family, kind)
            try:
                server.connect(address)
                return server
            except OSError as e:
                server.close()
                last = e
        raise last

    @staticmethod
    def relay(a, b):
        def copy(source, sink):
            try:
                while data := source.recv(65536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        back = threading.Thread(target=copy, args=(b, a), daemon=True)
        back.start()
        copy(a, b)
        back.join(10)
