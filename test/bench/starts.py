"""When processes became the programs that they are, to the microsecond, as the kernel tells whoever listens (the process
connector): a process's own age is known by hundredths of a second only."""

import os
import select
import socket
import struct
import threading

CONNECTOR, PROC = 11, 1  # NETLINK_CONNECTOR; CN_IDX_PROC and CN_VAL_PROC
LISTEN, EXEC = 1, 2  # PROC_CN_MCAST_LISTEN, PROC_EVENT_EXEC
HEADS = 16 + 20  # of netlink and of the connector
DONE = 3  # NLMSG_DONE
WAIT = 60


def hello(gateway):
    """When the gateway (session.c) heard of the next sandbox."""
    if not select.select([gateway.stdout], [], [], WAIT)[0]:
        raise SystemExit(f"bench: no sandbox has called the gateway for {WAIT} s")
    return float(gateway.stdout.readline().removeprefix("hello_us="))


class Starts:
    """Of the command with this first word, from now on. Needs the first network namespace, and root."""

    def __init__(self, command):
        self.command = command.encode()
        self.found = {}  # (us, pid), by the sandbox's id
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, CONNECTOR)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((os.getpid(), PROC))
        ask = struct.pack("=IIIIHHI", PROC, PROC, 0, 0, 4, 0, LISTEN)
        self.socket.send(struct.pack("=IHHII", 16 + len(ask), DONE, 0, 0, os.getpid()) + ask)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                said = self.socket.recv(4096)
            except OSError:  # lost some, or closed
                if self.socket.fileno() < 0:
                    return
                continue
            what, _, ns, pid, _ = struct.unpack_from("=IIQII", said, HEADS)
            if what == EXEC and (sandbox := self.sandbox(pid)):
                self.found.setdefault(sandbox, (ns / 1000, pid))

    def sandbox(self, pid):
        """Its id; None where it is another program."""
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().split(b"\0")[0] != self.command:
                    return None
            with open(f"/proc/{pid}/environ", "rb") as f:
                variables = dict(v.split(b"=", 1) for v in f.read().split(b"\0") if b"=" in v)
        except OSError:  # it ended meanwhile
            return None
        return variables.get(b"OPENSHELL_SANDBOX_ID", b"").decode()

    def of(self, sandbox):
        """When that one started, and the pid."""
        return self.found[sandbox]

    def close(self):
        self.socket.close()
