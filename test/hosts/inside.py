"""inside.py PORT: a server for those who come in by a relay. The first byte says what is wanted:

E   every byte comes back
C   "C1000000\\n": so many are read, then their sha256 comes back
R   the same for what comes until its end
B   "bye" at once, and the end
G   "G1000000\\n": so many bytes come, and the end
N   nothing is read, ever
"""

import hashlib
import socketserver
import sys
import time

PART = b"0123456789abcdef" * 4096


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        getattr(self, self.request.recv(1).decode())()

    def E(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)

    def number(self):
        text = b""
        while not text.endswith(b"\n"):
            text += self.request.recv(1)
        return int(text)

    def C(self):
        digest, left = hashlib.sha256(), self.number()
        while left > 0 and (data := self.request.recv(1 << 20)):
            digest.update(data)
            left -= len(data)
        self.request.sendall(digest.hexdigest().encode())

    def R(self):
        digest = hashlib.sha256()
        while data := self.request.recv(1 << 20):
            digest.update(data)
        self.request.sendall(digest.hexdigest().encode())

    def B(self):
        self.request.sendall(b"bye")

    def G(self):
        left = self.number()
        while left > 0:
            self.request.sendall(PART[:left])
            left -= min(left, len(PART))

    def N(self):
        time.sleep(3600)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
