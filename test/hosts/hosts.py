"""What holds on every kind of host, and is asked of each of them: the same questions, by the same
program inside, of the real binary.

A kind of host is a class: Walled or Observed, which have the tests, and what brings `there` and says
what is known of it. test_plain.py and test_podman.py have them; in test/cluster/test_wall.py they
are pods.
"""

import json
import os
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build")
BINARY = os.environ.get("OPENSHELL_BINARY", os.path.join(BUILD, "openshell-static"))
PROGRAM = os.environ.get(
    "OPENSHELL_HOSTS_TOOL", os.path.join(BUILD, os.uname().machine, "test", "hosts", "hosts")
)
sys.path.insert(0, os.path.join(ROOT, "test", "grpc"))
os.environ.setdefault("TEST_WAIT", "60")

from runner import WAIT  # noqa: E402
from server import ALLOWED, DENIED  # noqa: E402

RUNGS = "pocket", "userns", "host"


class Server:
    """server.py, at an address that is not the sandbox's own, and whom it saw."""

    def __init__(self, address, where=()):
        self.allowed, self.denied = f"{address}:{ALLOWED}", f"{address}:{DENIED}"
        self.accepted = []
        self.process = subprocess.Popen(
            [*where, sys.executable, os.path.join(HERE, "server.py"), address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self.process.stdout.readline() != "ready\n":
            raise AssertionError(f"no server on {address}")
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.accepted.append(int(line))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def policy(server, program, user):
    """One endpoint is allowed, to one program. JSON is YAML."""
    host, port = server.allowed.split(":")
    rule = {"endpoints": [{"host": host, "port": int(port)}], "binaries": [{"path": program}]}
    return json.dumps(
        {
            "version": 1,
            "filesystem_policy": {"read_only": [os.path.dirname(program)]},
            "landlock": {"compatibility": "best_effort"},
            "process": {"run_as_user": str(user), "run_as_group": str(user)},
            "network_policies": {"server": rule},
        }
    )


class Host:
    """A kind of host brings

    there(*words)                  the finished process of a command that runs there
    binary, program, policy_file   our binary, `hosts` and the policy, there
    server                         whom the policy is about
    """

    rung = None  # that auto takes there
    fails = {}  # the rungs that do not work there: what probe says of each
    mapped = True  # whether the rung userns can keep the own uid
    user = 1000  # who the workload is

    # -- what there is to see: each is had once, and looked at by several tests ------------------

    @classmethod
    def once(cls, name, make):
        if "seen" not in cls.__dict__:
            cls.seen = {}
        if name not in cls.seen:
            cls.seen[name] = make()
        return cls.seen[name]

    def probe(self):
        done = self.there(self.binary, "probe", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def ladder(self):
        return self.once("probe", self.probe)["ladder"]

    # -- the tests -------------------------------------------------------------------------------

    def test_probe(self):
        ladder = self.ladder()
        for rung in RUNGS:
            expected = f"fails: {self.fails[rung]}" if rung in self.fails else "works"
            self.assertRegex(ladder[rung], "^" + expected)
        if "userns" not in self.fails:
            self.assertEqual("unmapped" in ladder["userns"], not self.mapped)
        self.assertEqual(ladder["auto_would_take"], self.rung)


class Walled(Host):
    """A host where one of the first rungs works."""


class Observed(Host):
    """A host where none does."""

    rung = "host"
