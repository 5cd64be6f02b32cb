"""What holds on every kind of host, and is asked of each of them: the same questions, by the same
program inside, of the real binary.

A kind of host is a class: Walled or Observed, which have the tests, and what brings `there` and
says what is known of it. test_plain.py and test_podman.py have them; in test/cluster/test_wall.py
they are pods.
"""

import errno
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build")
BINARY = os.environ.get("OPENSHELL_BINARY", os.path.join(BUILD, "openshell-static"))
PROGRAM = os.environ.get(
    "OPENSHELL_HOSTS_TOOL", os.path.join(BUILD, os.uname().machine, "test", "hosts", "hosts")
)
sys.path.insert(0, os.path.join(ROOT, "test", "grpc"))
os.environ.setdefault("TEST_WAIT", "60")

from runner import WAIT, eventually  # noqa: E402
from server import ALLOWED, DENIED  # noqa: E402

EXIT_CODE = 42
RUNGS = "pocket", "userns", "host"
# What going round the proxy meets on a rung, by probe's words for it.
BYPASS = {"refused and logged": errno.ECONNREFUSED, "unreachable, unlogged": errno.ENETUNREACH}


class Server:
    """server.py, at an address that is not the sandbox's own, and what it saw."""

    def __init__(self, address, where=()):
        self.allowed, self.denied = f"{address}:{ALLOWED}", f"{address}:{DENIED}"
        self.process = subprocess.Popen(
            [*where, sys.executable, os.path.join(HERE, "server.py"), address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.until_ready()

    def until_ready(self):
        """The ports that were connected to until now, since this was last asked."""
        ports = []
        for line in self.process.stdout:
            if line == "ready\n":
                return ports
            ports.append(int(line))
        raise AssertionError(f"no server on {self.allowed}")

    def accepted(self):
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return self.until_ready()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def policy(server, program, user):
    """One endpoint is allowed, to one program; user: who it runs as, or None. JSON is YAML."""
    identity = {"run_as_user": str(user), "run_as_group": str(user)} if user else {}
    host, port = server.allowed.split(":")
    rule = {"endpoints": [{"host": host, "port": int(port)}], "binaries": [{"path": program}]}
    return json.dumps(
        {
            "version": 1,
            "filesystem_policy": {"read_only": [os.path.dirname(program)]},
            "landlock": {"compatibility": "best_effort"},
            "process": identity,
            "network_policies": {"server": rule},
        }
    )


class Sandbox:
    """One that has ended: what its workload found, step by step, and what was said of it."""

    def __init__(self, done, accepted):
        self.code, self.log = done.returncode, done.stderr
        self.accepted = accepted  # ports of the server that were connected to, in order
        self.found = {}
        for line in done.stdout.splitlines():
            if line.startswith("{"):  # a pod's log has both streams
                step = json.loads(line)
                self.found.setdefault(step.pop("step"), []).append(step)

    def __getattr__(self, step):
        """What came of the steps of that name, in order."""
        if step not in self.found:
            raise AssertionError(f"the workload did not get to {step}")
        return self.found[step]


class Host:
    """A kind of host brings

    there(*words)                  the finished process of a command that runs there
    binary, program, policy_file   our binary, `hosts` and the policy, there
    server                         whom the policy is about
    """

    rung = None  # that auto takes there
    fails = {}  # the rungs that do not work there: what probe says of each
    view = True  # whether its processes have a view of the file system to themselves
    mapped = True  # whether the rung userns can keep the own uid
    user = 1000  # who the policy says that the workload is; None: it says nothing, as where it
    # cannot be another
    seen_as = None  # and what it then sees itself as
    not_alone = {}  # rungs where it has no PID namespace of its own: why not

    # -- what there is to see: each is had once, and looked at by several tests ------------------

    @classmethod
    def once(cls, name, make):
        if "seen" not in cls.__dict__:
            cls.seen, cls.shown = {}, set()
        if name not in cls.seen:
            cls.seen[name] = make()
        return cls.seen[name]

    def probe(self):
        done = self.there(self.binary, "probe", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def ladder(self):
        return self.once("probe", self.probe)["ladder"]

    def sandbox(self, words, steps):
        """A sandbox for the program with these steps."""
        words = ["--log-level", "info", "--policy-data", self.policy_file, *words]
        self.server.accepted()
        done = self.there(self.binary, "sandbox", *words, "--", self.program, *steps)
        return Sandbox(done, self.server.accepted())

    def everything(self, mode):
        allowed, denied = self.server.allowed, self.server.denied
        steps = ["report", "get", f"http://{allowed}/", "connect", allowed]
        steps += ["get", f"http://{denied}/", "connect", denied]
        steps += ["dial", allowed, "dial", denied, "datagram", denied, "exit", str(EXIT_CODE)]
        return self.sandbox(["--network-mode", mode], steps)

    def in_mode(self, mode):
        return self.once(mode, lambda: self.everything(mode))

    def diagnostics(self):
        """What was seen of this kind of host, each once."""
        seen, shown = self.__class__.__dict__.get("seen", {}), []
        for name in [name for name in seen if name not in self.shown]:
            self.shown.add(name)
            if name == "probe":
                shown.append("--- probe\n" + json.dumps(seen[name]["ladder"], indent=1))
            else:
                run = seen[name]
                shown.append(f"--- {name}: exit code {run.code}, {run.found}\n{run.log}")
        return "\n".join(shown)

    # -- what several tests have in common -------------------------------------------------------

    def is_on(self, run, rung):
        """By what the workload sees of itself, and by what is said."""
        report = run.report[0]
        if rung != "host":
            self.assertEqual(report["interfaces"], ["lo"])
        if rung == "userns":
            # each id alone and as it is outside; or none
            ids = [line.split() for line in report["uid_map"].splitlines()]
            self.assertEqual(ids, [[inside, inside, "1"] for inside, _, _ in ids])
            self.assertEqual(ids == [], not self.mapped)
        self.assertRegex(run.log, rf"CONFIG:\S+ .*\brung:{rung}\b")

    def allowed_works(self, run):
        self.assertEqual(run.get[0], {"status": 200, "body": f"port {ALLOWED}"})
        self.assertEqual((run.connect[0]["status"], run.connect[0]["inside"]), (200, 200))

    def nothing_is_blocked(self, run):
        """But all of it is told as the verdict that it would have been."""
        self.allowed_works(run)
        self.assertEqual(run.get[1], {"status": 200, "body": f"port {DENIED}"})
        self.assertEqual((run.connect[1]["status"], run.connect[1]["inside"]), (200, 200))
        self.assertEqual([d["error"] for d in run.dial], [0, 0])
        self.assertRegex(run.log, rf"NET:OPEN \[INFO\] ALLOWED .*{self.server.allowed}")
        self.assertRegex(run.log, rf"NET:OPEN \[MED\] OBSERVED .*{self.server.denied}")
        self.assertRegex(run.log, "CONFIG:DEGRADED .*observation only")
        self.assertEqual(run.code, EXIT_CODE)

    # -- the tests -------------------------------------------------------------------------------

    def test_probe(self):
        ladder = self.ladder()
        for rung in RUNGS:
            expected = f"fails: {self.fails[rung]}" if rung in self.fails else "works"
            self.assertRegex(ladder[rung], "^" + expected)
        if "userns" not in self.fails:
            self.assertEqual("unmapped" in ladder["userns"], not self.mapped)
        self.assertEqual(ladder["auto_would_take"], self.rung)
        self.assertEqual("; own view" in ladder[self.rung], self.view)

    def test_auto_takes_the_rung_that_probe_says(self):
        self.is_on(self.in_mode("auto"), self.ladder()["auto_would_take"])

    def test_the_workload_is_alone_or_it_is_said_why_not(self):
        for mode in "auto", "host":
            run = self.in_mode(mode)
            rung = self.rung if mode == "auto" else "host"
            alone = rung not in self.not_alone
            words = "own PID namespace" if alone else rf"no own PID namespace \({self.not_alone[rung]}\)"
            self.assertRegex(self.ladder()[rung], "; " + words)
            report = run.report[0]
            self.assertEqual(report["parent"] == 0 and report["first"] == "init\n", alone, report)
            event = rf"CREATED .*PID namespace created \[rung:{rung}\]"
            if not alone:
                event = r"DEGRADED .*No PID namespace of the sandbox's own: .*\[reason:" + self.not_alone[rung]
            self.assertRegex(run.log, event)

    def test_an_allowed_request_works(self):
        self.allowed_works(self.in_mode("auto"))

    def test_the_exit_code_comes_back(self):
        self.assertEqual(self.in_mode("auto").code, EXIT_CODE)

    def test_the_workload_has_no_rights(self):
        report = self.in_mode("auto").report[0]
        for name in "CapInh", "CapPrm", "CapEff", "CapAmb":
            self.assertEqual(int(report[name], 16), 0, name)
        self.assertEqual((report["NoNewPrivs"], report["Seccomp"]), ("1", "2"))
        self.assertIn(report["Groups"].split(), ([], [report["Gid"].split()[0]]))

    def test_the_workload_is_who_the_policy_says(self):
        report = self.in_mode("auto").report[0]
        user = str(self.seen_as or self.user)
        self.assertEqual((report["Uid"].split(), report["Gid"].split()), ([user] * 4, [user] * 4))

    def test_what_the_policy_does_not_give_is_not_shown(self):
        run = self.in_mode("auto")
        self.assertEqual(run.report[0]["sys"] == 0, self.view)  # a name, and nobody may go there
        told = "CREATED .* View of the file" if self.view else "DEGRADED .* No view of the file"
        self.assertRegex(run.log, told)

    def test_a_workload_that_will_not_end_is_ended(self):
        """Also where the supervisor may not signal other users' processes (no CAP_KILL)."""
        run = self.once("timeout", lambda: self.sandbox(["--timeout", "1"], ["report", "hold"]))
        self.assertEqual((run.code, len(run.report)), (124, 1))

    def test_the_mode_host_only_observes(self):
        run = self.in_mode("host")
        self.is_on(run, "host")
        self.nothing_is_blocked(run)


class Walled(Host):
    """A host where one of the first rungs works."""

    def bypass(self):
        """What going round meets."""
        return BYPASS[self.ladder()[self.rung].rpartition("a bypass is ")[2]]

    def test_isolated_takes_the_same(self):
        run = self.in_mode("isolated")
        self.is_on(run, self.rung)
        self.assertEqual(run.code, EXIT_CODE)

    def test_a_denied_request_does_not(self):
        run = self.in_mode("auto")
        self.assertEqual((run.get[1]["status"], run.connect[1]["status"]), (403, 403))
        for answer in run.get[1], run.connect[1]:
            self.assertEqual(json.loads(answer["body"])["error"], "policy_denied")
        self.assertRegex(run.log, rf"NET:OPEN \[MED\] DENIED .*{self.server.denied}")

    def test_nothing_but_the_allowed_arrives(self):
        self.assertEqual(self.in_mode("auto").accepted, [ALLOWED, ALLOWED])

    def test_a_bypass_fails_at_once(self):
        run = self.in_mode("auto")
        for dial in run.dial:
            self.assertEqual(dial["error"], self.bypass())
            self.assertLess(dial["ms"], 5000)  # a connect that nobody answers takes 20 s
        self.assertIn(run.datagram[0]["error"], (self.bypass(), errno.EPERM))

    def test_a_bypass_is_told(self):
        if self.bypass() == errno.ENETUNREACH:
            self.assertRegex(self.in_mode("auto").log, "CONFIG:DEGRADED .*finds no route")
            return
        for address in self.server.allowed, self.server.denied:
            self.assertRegex(self.in_mode("auto").log, rf"NET:REFUSE .*{address}")


class Observed(Host):
    """A host where none does."""

    rung = "host"
    view = False

    def test_auto_says_that_it_only_observes(self):
        self.nothing_is_blocked(self.in_mode("auto"))

    def is_refused(self, run):
        """With every reason, as an event and as the error."""
        self.assertEqual((run.code, run.found), (1, {}))
        for rung, why in self.fails.items():
            self.assertRegex(run.log, rf"OCSF CONFIG:FAILED \[HIGH\] .*{rung}: .*{why}")
            self.assertRegex(run.log, rf"ERROR .*{rung}: .*{why}")

    def test_isolated_is_refused(self):
        self.is_refused(self.in_mode("isolated"))

    def test_a_lowest_rung_is_not_gone_below(self):
        words = ["--min-rung", "userns"]
        self.is_refused(self.once("min-rung", lambda: self.sandbox(words, ["report"])))
