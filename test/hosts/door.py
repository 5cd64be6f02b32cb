"""The door `sandbox` on a machine without a container, on each rung of the ladder: what the files
test_door_*.py ask of it."""

import ctypes
import errno
import json
import os
import re
import signal
import struct
import subprocess
import unittest

from hosts import WAIT
from machine import AGENT, PATH, USER, machine

SHELL = "/bin/sh"
UNSHARE = {"x86_64": 272, "aarch64": 97}[os.uname().machine]
LANDLOCK_CREATE_RULESET = 444


LOAD, AT_LEAST_ONE_BIT, EQUAL, RETURN = 0x20, 0x45, 0x15, 0x06  # of classic BPF
NUMBER, FIRST_ARGUMENT = 0, 16  # in struct seccomp_data
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
NEWUSER = 0x10000000


def filtered(*code):
    """For preexec_fn: puts on a seccomp filter, as a container's profile is."""

    def install():
        text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
        program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(text))
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        long = ctypes.c_ulong
        prctl.argtypes = [ctypes.c_int, long, ctypes.c_char_p, long, long]
        if prctl(38, 1, None, 0, 0) < 0 or prctl(22, 2, program, 0, 0) < 0:
            raise OSError(ctypes.get_errno(), "seccomp")

    return install


def refusing(number, error=errno.EPERM):
    """A host that answers this call so, whatever is asked."""
    return filtered(
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 0, 1, number),
        (RETURN, 0, 0, REFUSE | error),
        (RETURN, 0, 0, ALLOW),
    )


def no_namespace_but_a_user_s():
    """A host where unshare works for who asks for a user namespace in the same breath."""
    return filtered(
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 0, 3, UNSHARE),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (AT_LEAST_ONE_BIT, 1, 0, NEWUSER),
        (RETURN, 0, 0, REFUSE | errno.EPERM),
        (RETURN, 0, 0, ALLOW),
    )


def processes():
    """The numbers of all processes, and what they run."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as f:
                    found[int(name)] = f.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                pass
    return found


def marked(mark):
    """Those whose command line has the mark."""
    return [pid for pid, line in processes().items() if mark in line]


class Rung:
    """A rung of the ladder, as root or as a user. Brings options and, for a user, as_user."""

    options = ()
    rung = "pocket"
    user = AGENT
    unprivileged = False
    enforced = True
    host = None  # what is put on before the binary is started

    @classmethod
    def setUpClass(cls):
        cls.machine = machine()
        cls.server = cls.machine.server

    def policy(self, **changes):
        """The path of a policy: one endpoint is allowed to the program `hosts`; a shell's files are there."""
        host, port = self.server.allowed.split(":")
        text = {
            "version": 1,
            "filesystem_policy": {
                "include_workdir": True,
                "read_only": [
                    "/bin",
                    "/sbin",
                    "/lib64",
                    "/usr",
                    "/lib",
                    "/etc",
                    "/proc",
                    self.machine.path("programs"),
                ],
                "read_write": ["/dev/null", "/tmp"],
            },
            "landlock": {"compatibility": "best_effort"},
            "process": {"run_as_user": str(self.user), "run_as_group": str(self.user)},
            "network_policies": {
                "server": {
                    "endpoints": [{"host": host, "port": int(port)}],
                    "binaries": [{"path": self.machine.program}],
                }
            },
        }
        text.update(changes)
        text = {k: v for k, v in text.items() if v is not None}
        return self.machine.write(f"door-{os.urandom(4).hex()}.yaml", json.dumps(text))

    def words(self, *command, options=(), policy=None, logs=None, level="info"):
        logs = logs or (self.machine.path("home") if self.unprivileged else "/var/log")
        policy = policy or self.policy()
        door = [
            self.machine.binary,
            "sandbox",
            "--policy-data",
            policy,
            "--log-dir",
            logs,
            "--log-level",
            level,
        ]
        words = [*door, *self.options, *options, *(["--", *command] if command else [])]
        return self.machine.as_user(*words) if self.unprivileged else ["env", "-i", PATH, *words]

    def sandbox(self, *command, stdin="", preexec_fn=None, wrapper=(), environment=(), **how):
        words = self.words(*command, **how)
        if environment:
            at = words.index(self.machine.binary)
            words[at:at] = [f"{k}={v}" for k, v in environment]
        return subprocess.run(
            [*wrapper, *words],
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=WAIT,
            cwd="/",
            preexec_fn=preexec_fn or self.host,
            check=False,
        )

    def shell(self, script, **how):
        return self.sandbox(SHELL, "-c", script, **how)

    def start(self, *command, **how):
        popen = {k: how.pop(k) for k in ("stdin", "stdout", "stderr", "preexec_fn") if k in how}
        popen.setdefault("stdin", subprocess.DEVNULL)
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        popen.setdefault("preexec_fn", self.host)
        process = subprocess.Popen(self.words(*command, **how), text=True, cwd="/", **popen)

        def end():
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()

        self.addCleanup(end)
        return process

    def events(self, done, what):
        """The lines of that event in what it said: "NET:REFUSE"."""
        return re.findall(rf" OCSF ({re.escape(what)}.*)", done.stderr)


class RootPocket(Rung):
    options = ("--network-mode", "isolated", "--min-rung", "pocket")


class RootUserns(Rung):
    """Root where namespaces are refused but in a user namespace of their own, as in a container."""

    rung = "userns"
    host = staticmethod(no_namespace_but_a_user_s())


class UserUserns(Rung):
    rung = "userns"
    user = USER
    unprivileged = True


class RootHost(Rung):
    options = ("--network-mode", "host")
    rung = "host"
    enforced = False


class UserHost(RootHost):
    user = USER
    unprivileged = True


def each_rung(base):
    """Classes of tests for each rung, to be put into the module of the tests."""
    made = {}
    for rung in RootPocket, RootUserns, UserUserns, RootHost, UserHost:
        name = f"{base.__name__}{rung.__name__}Test"
        made[name] = type(name, (base, rung, unittest.TestCase), {"__module__": base.__module__})
    return made
