"""The real gateway and CLI, each in a folder of its own, with a driver of ours or one that they bring.

`PEER` is what the tests have in common: the programs, and what is missing to run them.
"""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "hosts"))

from hosts import BINARY, WAIT, eventually  # noqa: E402

GATEWAY = os.environ.get("OPENSHELL_PEER_GATEWAY", "")
CLI = os.environ.get("OPENSHELL_PEER_CLI", "")
# Who is the supervisor: ours, unless the peer's is to be looked at.
SUPERVISOR = os.environ.get("OPENSHELL_PEER_SUPERVISOR", BINARY)
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
DETACH = b"\x10\x11"  # Ctrl-P Ctrl-Q


def missing():
    """Why nothing can be tried here, or None."""
    for name, path in ("OPENSHELL_PEER_GATEWAY", GATEWAY), ("OPENSHELL_PEER_CLI", CLI):
        if not path:
            return f"{name} does not name the peer's program"
        if not os.access(path, os.X_OK):
            return f"{name}: {path} is no program"
    return "to make a machine takes root" if os.geteuid() != 0 else None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def plain(text):
    """Without the colours of a terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


class Gateway:
    """flags and table (the last lines of its configuration) say which driver it has; with tls everybody needs a
    certificate, by an authority that it makes itself."""

    def __init__(self, folder, flags, table="", address="127.0.0.1", tls=False, port=None, token_seconds=0):
        self.folder, self.flags, self.table = folder, flags, table
        self.address, self.tls, self.token_seconds = address, tls, token_seconds  # 0: they hold for ever
        self.port, self.health = port or free_port(), free_port()
        self.process = None
        os.makedirs(self.path("home"))
        make = [GATEWAY, "generate-certs", "--output-dir", self.path("pki")]
        subprocess.run(make, env=self.environment(), check=True, capture_output=True)
        self.write("gateway.toml", self.configuration())
        self.start()
        self.register()

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def certificates(self):
        """Those for a supervisor, by their names in the folder where it finds them."""
        files = {"ca.crt": "ca.crt", "tls.crt": "client/tls.crt", "tls.key": "client/tls.key"}
        return {name: self.path("pki", file) for name, file in files.items()} if self.tls else {}

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def configuration(self):
        files = ("signing_key", "signing.pem"), ("public_key", "public.pem"), ("kid", "kid")
        jwt = "".join(f'{name}_path = "{self.path("pki", "jwt", file)}"\n' for name, file in files)
        if self.tls:
            who = "[openshell.gateway.mtls_auth]\nenabled = true\n"
        else:
            who = "disable_tls = true\n[openshell.gateway.auth]\nallow_unauthenticated_users = true\n"
        return (
            f"[openshell]\nversion = 1\n[openshell.gateway]\n{who}"
            f'[openshell.gateway.gateway_jwt]\n{jwt}gateway_id = "peer"\nttl_secs = {self.token_seconds}\n{self.table}'
        )

    def start(self):
        words = [GATEWAY, "--config", self.path("gateway.toml"), "--bind-address", self.address]
        words += ["--port", str(self.port), "--health-port", str(self.health)]
        words += ["--db-url", f"sqlite:{self.path('gateway.db')}?mode=rwc", *self.flags]
        if self.tls:
            of_server = self.path("pki", "server")
            words += ["--tls-cert", of_server + "/tls.crt", "--tls-key", of_server + "/tls.key"]
            words += ["--tls-client-ca", self.path("pki", "ca.crt")]
        else:
            words.append("--disable-tls")
        with open(self.path("log"), "ab") as log:
            self.process = subprocess.Popen(
                words, env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        eventually(self.is_up, self.log, pause=0.05)

    def is_up(self):
        assert self.process.poll() is None, self.log()
        url = f"http://127.0.0.1:{self.health}/healthz"
        return subprocess.run(["curl", "-sf", url], capture_output=True, check=False).returncode == 0

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        try:
            self.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as f:
            return plain(f.read())

    # -- the CLI -------------------------------------------------------------------------------------

    def environment(self):
        return {
            "PATH": PATH,
            "HOME": self.path("home"),
            "XDG_CONFIG_HOME": self.path("config"),
            "XDG_STATE_HOME": self.path("state"),
            "TERM": "xterm",
            "USER": "root",
            "OPENSHELL_TELEMETRY_ENABLED": "false",
            "OPENSHELL_PROVISION_TIMEOUT": str(WAIT),
            "OPENSHELL_LIFECYCLE_TIMEOUT": str(WAIT),
        }

    def register(self):
        done = self.cli("gateway", "add", self.url, "--local")
        assert done.returncode == 0, done.stdout + done.stderr

    def cli(self, *words, stdin=b"", text=True, timeout=WAIT):
        """A command of the CLI, ended; its streams without colours."""
        done = subprocess.run(
            [CLI, *words],
            env=self.environment(),
            input=stdin,
            capture_output=True,
            timeout=timeout,
            cwd=self.path("home"),
            check=False,
        )
        if text:
            done.stdout, done.stderr = (plain(s.decode(errors="replace")) for s in (done.stdout, done.stderr))
        return done

    def begin(self, *words, **how):
        """A command of the CLI that goes on."""
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **how}
        return subprocess.Popen([CLI, *words], env=self.environment(), cwd=self.path("home"), **how)

    def on_terminal(self, *words, size=(40, 100)):
        return Terminal([CLI, *words], self.environment(), self.path("home"), size)

    def phase(self, name):
        """As `sandbox list` says it, or None."""
        done = self.cli("sandbox", "list", "-o", "json")
        assert done.returncode == 0, done.stderr
        found = [s["phase"] for s in json.loads(done.stdout or "[]") if s["name"] == name]
        return found[0] if found else None


class Terminal:
    """A command on a terminal of its own, and us before it."""

    def __init__(self, words, environment, folder, size):
        self.ours, theirs = pty.openpty()
        self.resize(*size)

        def take():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            words, env=environment, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=take
        )
        os.close(theirs)
        self.seen = b""  # that was not waited for yet

    def resize(self, rows, columns):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, what):
        os.write(self.ours, what)

    def read(self, seconds):
        """Whether there was something to see, or the end (None)."""
        if not select.select([self.ours], [], [], seconds)[0]:
            return False
        try:
            self.seen += os.read(self.ours, 65536)
        except OSError:
            return None
        return True

    def until(self, what):
        """Reads on to those bytes, and returns all before them."""
        end = time.monotonic() + WAIT
        while what not in self.seen:
            assert time.monotonic() < end, (what, self.seen)
            assert self.read(0.1) is not None or what in self.seen, (what, self.seen)
        before, _, self.seen = self.seen.partition(what)
        return before

    def wait(self):
        """Its exit code, once it has ended; what it showed meanwhile is in `seen`."""
        end = time.monotonic() + WAIT
        while self.process.poll() is None:
            assert time.monotonic() < end, self.seen
            self.read(0.1)
        while self.read(0):
            pass
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)
