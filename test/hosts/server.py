"""server.py ADDRESS: what the sandboxes' requests are for: HTTP on two ports, of which the policy
allows one. Prints "ready", and a line for each connection that it accepts: the port. A line on
stdin gives "ready" again, after all that was answered before; with the end of stdin it ends."""

import http.server
import os
import socketserver
import sys
import threading

ALLOWED, DENIED = 8080, 8081


def say(word):
    """One write: there are several threads."""
    os.write(1, f"{word}\n".encode())


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"port {self.server.server_address[1]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def process_request(self, request, client_address):
        say(self.server_address[1])
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        pass  # who dials and says nothing


if __name__ == "__main__":
    for port in ALLOWED, DENIED:
        server = Server((sys.argv[1], port), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    say("ready")
    for _ in sys.stdin:
        say("ready")
    os._exit(0)
