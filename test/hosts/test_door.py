"""What the door `sandbox` does, on each rung of the ladder."""

import json
import os
import signal
import subprocess
import time

from door import SHELL, each_rung, marked, processes
from runner import eventually


class Life:
    def test_an_allowed_and_a_denied_request(self):
        done = self.sandbox(
            self.machine.program,
            "get",
            f"http://{self.server.allowed}/",
            "get",
            f"http://{self.server.denied}/",
        )
        allowed, denied = (json.loads(line) for line in done.stdout.splitlines())
        self.assertEqual((done.returncode, allowed["status"]), (0, 200), done.stderr)
        self.assertEqual(denied["status"], 403 if self.enforced else 200)
        self.assertRegex(done.stderr, rf"HTTP:GET \[INFO\] ALLOWED .*{self.server.allowed}")
        self.assertRegex(done.stderr, rf"HTTP:GET \[MED\] .*{self.server.denied}")

    def test_another_program_may_not(self):
        other = "/tmp/other-$$"
        done = self.shell(
            f"cp {self.machine.program} {other} && {other} connect {self.server.allowed}; rm {other}"
        )
        answer = json.loads(done.stdout)
        self.assertEqual(answer["status"], 403 if self.enforced else 200, done.stderr)

    def test_the_rung_is_told(self):
        done = self.shell("exit 0")
        self.assertIn(f"rung:{self.rung}", done.stderr)
        self.assertEqual(
            bool(self.events(done, "CONFIG:DEGRADED [MED] Network isolation")), not self.enforced
        )

    def test_going_round_the_proxy(self):
        done = self.sandbox(self.machine.program, "dial", self.server.denied)
        answer = json.loads(done.stdout)
        told = self.events(done, "NET:REFUSE [MED] DENIED")
        if self.enforced:
            self.assertEqual(answer["error"], 111, done.stdout)
            self.assertIn(
                f"{self.server.denied}/tcp [policy:bypass-detect engine:nftables] [reason:ensure process",
                told[0],
            )
            self.assertEqual(len(self.events(done, "FINDING:")), 1)
            if "held:true" in done.stderr:
                self.assertIn(f"DENIED {self.machine.program}(", told[0])
        else:
            self.assertEqual((answer["error"], told), (0, []))

    def test_the_exit_code_comes_back(self):
        self.assertEqual(self.shell("exit 0").returncode, 0)
        done = self.shell("exit 7")
        self.assertEqual(done.returncode, 7)
        self.assertEqual(len(self.events(done, "PROC:LAUNCH [INFO] /bin/sh(")), 1)
        self.assertRegex(self.events(done, "PROC:TERMINATE [INFO] /bin/sh(")[0], r"\[exit:7\]")
        self.assertEqual(self.shell("kill -9 $$").returncode, 128 + 9)
        self.assertEqual(self.shell("kill -TERM $$").returncode, 128 + 15)

    def test_a_command_that_is_not_there(self):
        done = self.sandbox("/bin/bahs")
        self.assertEqual(done.returncode, 1)
        self.assertIn("exec /bin/bahs: No such file or directory", done.stderr)
        self.assertEqual(len(self.events(done, "CONFIG:FAILED [HIGH] Main process not started")), 1)

    def test_who_it_is(self):
        done = self.shell(
            'id -u; id -g; id -G; grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status; ulimit -c'
        )
        lines = done.stdout.splitlines()
        self.assertEqual(lines[:3], [str(self.user)] * 3, done.stderr)
        status = dict(line.split(":\t") for line in lines[3:-1])
        self.assertEqual(
            int(status["CapPrm"], 16)
            | int(status["CapEff"], 16)
            | int(status["CapInh"], 16)
            | int(status["CapAmb"], 16),
            0,
        )
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertEqual(lines[-1], "0")

    def test_streams_and_descriptors(self):
        done = self.shell("cat; echo to stderr >&2; ls /proc/self/fd", stdin="to stdin\n")
        # the third is of ls itself
        self.assertEqual(done.stdout.split(), ["to", "stdin", "0", "1", "2", "3"])
        self.assertIn("to stderr\n", done.stderr)

    def test_environment(self):
        secret = ("OPENSHELL_SANDBOX_TOKEN", "secret"), ("OPENSHELL_TLS_KEY", "/key"), ("LANG", "C")
        done = self.shell(
            "env",
            environment=(
                *secret,
                ("OPENSHELL_USER_ENVIRONMENT", '{"GREETING":"hello","http_proxy":"http://evil"}'),
            ),
        )
        seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
        self.assertNotIn("OPENSHELL_SANDBOX_TOKEN", seen)
        self.assertNotIn("OPENSHELL_TLS_KEY", seen)
        self.assertEqual(
            (seen["LANG"], seen["GREETING"], seen["OPENSHELL_SANDBOX"]), ("C", "hello", "1")
        )
        where = "http://10.200.0.1:3128" if self.enforced else "http://127.0.0.1:"
        self.assertTrue(seen["http_proxy"].startswith(where), seen["http_proxy"])
        self.assertEqual(seen["HTTPS_PROXY"], seen["http_proxy"])

    def test_spec(self):
        spec = json.dumps(
            {"version": 1, "command": [SHELL, "-c", "echo by spec; exit 4"], "tty": False}
        )
        done = self.sandbox(environment=[("OPENSHELL_MAIN_PROCESS_SPEC", spec)])
        self.assertEqual((done.returncode, done.stdout), (4, "by spec\n"), done.stderr)
        # the input of a main process that somebody may attach to never ends
        spec = json.dumps(
            {"version": 1, "command": [SHELL, "-c", "read x; echo ended"], "tty": False}
        )
        done = self.sandbox(
            options=("--timeout", "1"), environment=[("OPENSHELL_MAIN_PROCESS_SPEC", spec)]
        )
        self.assertEqual((done.returncode, done.stdout), (124, ""), done.stderr)

    def test_files(self):
        """What the policy says and nothing else: read, write, and neither."""
        inside = self.machine.path("home" if self.unprivileged else "programs")
        done = self.shell(
            f"cat /etc/hostname >/dev/null && echo read; echo x >/tmp/door-$$ && rm /tmp/door-$$ && echo write; "
            f"echo x >/etc/door; echo x >{inside}/door; ls /root /home /var/lib"
        )
        self.assertEqual(done.stdout.split(), ["read", "write"], done.stderr)
        self.assertFalse(os.path.exists("/etc/door"))

    def test_workdir(self):
        work = f"/tmp/door-work-{os.urandom(4).hex()}"
        os.mkdir(work)
        os.chown(work, self.user, self.user)
        policy = self.policy(
            filesystem_policy={
                "include_workdir": True,
                "read_only": ["/bin", "/usr", "/lib", "/lib64"],
            }
        )
        done = self.shell(
            "pwd; echo x >here && cat here", options=("--workdir", work), policy=policy
        )
        self.assertEqual(done.stdout.split(), [work, "x"], done.stderr)
        subprocess.run(["rm", "-r", work], check=True)

    # -- its end ---------------------------------------------------------------------------------

    def test_time_limit(self):
        began = time.monotonic()
        done = self.shell("sleep 60", options=("--timeout", "1"))
        self.assertEqual(done.returncode, 124)
        self.assertLess(time.monotonic() - began, 30)
        self.assertEqual(len(self.events(done, "PROC:TERMINATE [CRIT]")), 1)

    def test_time_limit_of_who_ignores_it(self):
        done = self.shell("trap '' TERM; sleep 61 & sleep 61", options=("--timeout", "1"))
        self.assertEqual(done.returncode, 124)
        self.assertEqual(marked("sleep 61"), [])

    def test_a_signal_is_passed_on(self):
        for name in "TERM", "INT", "HUP", "USR1":
            process = self.start(
                SHELL,
                "-c",
                f"trap 'echo got; exit 3' {name}; echo up; while :; do sleep 0.05; done",
            )
            self.assertEqual(process.stdout.readline(), "up\n")
            process.send_signal(getattr(signal, "SIG" + name))
            self.assertEqual(process.stdout.readline(), "got\n")
            self.assertEqual(process.wait(30), 3)

    def test_nothing_outlives_the_main_process(self):
        done = self.shell("setsid sleep 1001 & setsid setsid sleep 1001 & sleep 0.2; exit 5")
        self.assertEqual(done.returncode, 5)
        self.assertEqual(marked("sleep 1001"), [])

    def test_nothing_outlives_the_supervisor(self):
        process = self.start(SHELL, "-c", "setsid sleep 1002 & echo up; sleep 1002")
        process.stdout.readline()
        self.assertEqual(len(marked("sleep 1002")) >= 2, True)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        eventually(lambda: not marked("sleep 1002"), "all is gone", seconds=30)

    def test_the_keeper_is_killed(self):
        process = self.start(SHELL, "-c", "setsid sleep 1003 & echo up; sleep 1003")
        process.stdout.readline()
        keeper = {pid for pid in processes() if self.parent(pid) == process.pid}
        self.assertEqual(len(keeper), 1)
        os.kill(keeper.pop(), signal.SIGKILL)
        _, said = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1)
        self.assertIn("CONFIG:FAILED [CRIT] Sandbox lost its keeper", said)
        eventually(lambda: not marked("sleep 1003"), "all is gone", seconds=30)

    def test_init_is_killed(self):
        """It has no right itself, and its end, which nobody inside can bring about, is the end of all."""
        process = self.start(SHELL, "-c", "echo up; kill -9 1 2>/dev/null; echo still up; setsid sleep 1008 & sleep 1008")
        self.assertEqual([process.stdout.readline(), process.stdout.readline()], ["up\n", "still up\n"])
        keeper = [pid for pid in processes() if self.parent(pid) == process.pid]
        status = [self.status(pid) for pid in processes() if self.parent(pid) in keeper]
        init = [s for s in status if s["Name"] == "init"]
        if not init:
            process.send_signal(signal.SIGTERM)
            self.assertIn("CONFIG:DEGRADED [LOW] No PID namespace of the sandbox's own", process.communicate(timeout=30)[1])
            return
        self.assertEqual((init[0]["CapPrm"], init[0]["NoNewPrivs"], init[0]["Seccomp"]), ("0" * 16, "1", "2"))
        os.kill(int(init[0]["Pid"]), signal.SIGKILL)
        _, said = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1)
        self.assertRegex(said, r"CONFIG:FAILED \[CRIT\] Sandbox lost its keeper, .* \[reason:the first process of its PID namespace has ended")
        self.assertEqual(marked("sleep 1008"), [])

    @staticmethod
    def status(pid):
        try:
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                return dict(line.rstrip("\n").split(":\t", 1) for line in f)
        except OSError:
            return {"Name": ""}

    @staticmethod
    def parent(pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                return int(f.read().rpartition(")")[2].split()[1])
        except OSError:
            return 0

    def test_supervisor_and_keeper_keep_few_capabilities(self):
        process = self.start(SHELL, "-c", "echo up; sleep 1007")
        process.stdout.readline()
        family = [process.pid, *(pid for pid in processes() if self.parent(pid) == process.pid)]
        allowed = (
            {0, 2, 5, 19},  # CHOWN, DAC_READ_SEARCH, KILL, SYS_PTRACE
            {5, 6, 7, 8, 12},  # KILL, SETGID, SETUID, SETPCAP; NET_ADMIN over the namespace inside, for verdicts
        )
        for pid, few in zip(family, allowed):
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in f)
            permitted = int(status["CapPrm"], 16)
            self.assertLessEqual({bit for bit in range(64) if permitted >> bit & 1}, few)
            self.assertEqual(status["NoNewPrivs"], "1")

    def test_supervisor_and_keeper_are_closed_to_others_of_their_user(self):
        if not self.unprivileged:
            return
        process = self.start(SHELL, "-c", "echo up; sleep 1004")
        process.stdout.readline()
        done = subprocess.run(
            self.machine.as_user(
                "cat", f"/proc/{process.pid}/environ", f"/proc/{process.pid}/maps"
            ),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("Permission denied"), 2, done.stderr)


globals().update(each_rung(Life))
