"""way_in.py SOCKET: for OpenSSH's ProxyCommand with ProxyUseFdpass=yes: connects, and hands the connection over.

WayIn is what listens there: each connection to it goes to the sandbox's sshd by a relay of its own."""

import os
import socket
import subprocess
import sys
import tempfile
import threading

OPTIONS = {
    "ProxyUseFdpass": "yes",
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": "/dev/null",
    "LogLevel": "ERROR",
}


def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    try:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class WayIn:
    """Through the newest session of a scripted gateway, or one that is named."""

    def __init__(self, to, session=None):
        self.to, self.session = to, session
        self.folder = tempfile.TemporaryDirectory(prefix="way-in-")
        self.path = os.path.join(self.folder.name, "socket")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                client, _ = self.listener.accept()
                relay = self.to.open_relay(self.session)
                for pair in (client, relay.socket), (relay.socket, client):
                    threading.Thread(target=copy, args=pair, daemon=True).start()
        except OSError:
            pass

    def close(self):
        self.listener.close()
        self.folder.cleanup()

    def options(self):
        """For ssh, scp and sftp."""
        proxy = f"{sys.executable} {os.path.abspath(__file__)} {self.path}"
        options = {"ProxyCommand": proxy, **OPTIONS}
        return ["-F", "none", *(w for k, v in options.items() for w in ("-o", f"{k}={v}"))]

    def ssh(self, *words, flags=(), **how):
        """A finished ssh to the sandbox."""
        how = {"capture_output": True, "timeout": 120, "check": False, **how}
        return subprocess.run(["ssh", *self.options(), *flags, "sandbox@sandbox", *words], **how)


if __name__ == "__main__":
    with socket.socket(socket.AF_UNIX) as connection, socket.socket(fileno=1) as ssh:
        connection.connect(sys.argv[1])
        socket.send_fds(ssh, [b"\0"], [connection.fileno()])
