"""What the door `sandbox` does where something is missing, wrong, full or closed."""

import ctypes
import errno
import json
import os
import re
import signal
import subprocess
import unittest

import door
from door import (
    LANDLOCK_CREATE_RULESET,
    SHELL,
    UNSHARE,
    RootHost,
    RootPocket,
    UserUserns,
    marked,
    processes,
    refusing,
)
from machine import do


class Ladder(RootPocket, unittest.TestCase):
    options = ()

    def test_isolated_where_no_rung_enforces(self):
        done = self.shell(
            "echo ran", options=("--network-mode", "isolated"), preexec_fn=refusing(UNSHARE)
        )
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        error = next(line for line in done.stderr.splitlines() if " ERROR " in line)
        self.assertRegex(
            error,
            r"pocket: unshare\(NEWNET\): Operation not permitted; userns: unshare\(NEWUSER\|NEWNET\): Operation not permitted",
        )
        self.assertRegex(
            self.events(done, "CONFIG:FAILED [HIGH] Network isolation unavailable")[0],
            r"mode:isolated .*pocket: .*userns: ",
        )

    def test_auto_where_no_rung_enforces(self):
        done = self.shell("echo ran", preexec_fn=refusing(UNSHARE))
        self.assertEqual((done.returncode, done.stdout), (0, "ran\n"))
        told = self.events(
            done,
            "CONFIG:DEGRADED [MED] Network isolation unavailable; running in host network mode (observation only)",
        )
        self.assertRegex(
            told[0],
            r"\[mode:auto rung:host reason:pocket: unshare\(NEWNET\): Operation not permitted; userns: ",
        )

    def test_what_may_pass_does_not_lead_down_to_the_host(self):
        """Contract 10.4: no fault of the moment may take the wall away."""
        for error in errno.ENOMEM, errno.EAGAIN, errno.EMFILE:
            done = self.shell("echo ran", preexec_fn=refusing(UNSHARE, error))
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertRegex(
                self.events(done, "CONFIG:FAILED [HIGH] Network isolation unavailable")[0],
                r"mode:auto .*pocket: unshare\(NEWNET\): .*; userns: unshare",
            )
        host = ("--network-mode", "host")
        done = self.shell("echo ran", options=host, preexec_fn=refusing(UNSHARE, errno.ENOMEM))
        self.assertEqual((done.returncode, done.stdout), (0, "ran\n"))

    def test_min_rung(self):
        done = self.shell(
            "echo ran", options=("--min-rung", "userns"), preexec_fn=refusing(UNSHARE)
        )
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("--min-rung userns: no rung of the ladder can be had", done.stderr)
        done = self.shell(
            "echo ran",
            options=("--min-rung", "pocket"),
            preexec_fn=door.no_namespace_but_a_user_s(),
        )
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        done = self.shell("echo ran", options=("--network-mode", "host", "--min-rung", "pocket"))
        self.assertEqual(done.returncode, 2)

    def test_an_image_without_devices(self):
        """Nor are there streams: what is missing must not become a socket of ours."""
        empty = 'mount -t tmpfs devices /dev && exec "$@" <&- >&-'
        done = self.shell(
            "cat; echo there >&2; exit 7", wrapper=("unshare", "-m", SHELL, "-c", empty, SHELL)
        )
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertIn("there\n", done.stderr)

    def test_a_policy_that_needs_policy_dns(self):
        endpoint = {"host": "db.example.com", "port": 5432, "protocol": "tcp"}
        networks = {"db": {"endpoints": [endpoint], "binaries": [{"path": "/**"}]}}
        done = self.shell("echo ran", policy=self.policy(network_policies=networks))
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(
            "policy contains protocol: tcp endpoints, but the selected runtime does not advertise "
            "policy DNS and transparent TCP support",
            done.stderr,
        )

    def test_the_record_of_the_host_s_network(self):
        """Contract appendix C."""
        logs = self.machine.path("records")
        os.makedirs(logs, exist_ok=True)
        environment = (
            ("OPENSHELL_SANDBOX_ID", "the-id"),
            ("OPENSHELL_SANDBOX", "the-name"),
            ("OPENSHELL_CONTAINER_IMAGE", "an/image:1"),
        )
        done = self.shell(
            "exit 0",
            options=("--network-mode", "host", "--ocsf-json"),
            logs=logs,
            environment=environment,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        name = next(n for n in os.listdir(logs) if n.startswith("openshell-ocsf."))
        with open(os.path.join(logs, name), encoding="utf-8") as f:
            records = [json.loads(line) for line in f]
        record = next(
            r for r in records if r.get("state") == "degraded" and "isolation" in r["message"]
        )
        expected = {
            "activity_id": 1,
            "activity_name": "Log",
            "category_name": "Discovery",
            "category_uid": 5,
            "class_name": "Device Config State Change",
            "class_uid": 5019,
            "severity": "Medium",
            "severity_id": 3,
            "state": "degraded",
            "state_id": 1,
            "status": "Failure",
            "status_id": 2,
            "type_uid": 501901,
            "type_name": "Device Config State Change: Log",
            "container": {"image": {"name": "an/image:1"}, "name": "the-name", "uid": "the-id"},
        }
        self.assertEqual({k: record.get(k) for k in expected}, expected)
        self.assertEqual(record["unmapped"]["network_mode"], "host")
        self.assertEqual(record["unmapped"]["requested_mode"], "host")
        self.assertEqual(record["metadata"]["uid"], "the-id")

    def test_without_nf_tables(self):
        done = self.sandbox(
            self.machine.program,
            "dial",
            self.server.denied,
            wrapper=(self.machine.program, "without", "nf_tables"),
        )
        self.assertEqual(json.loads(done.stdout)["error"], errno.ENETUNREACH)
        self.assertEqual(
            len(self.events(done, "CONFIG:DEGRADED [MED] Bypass detection rules not installed")),
            1,
            done.stderr,
        )
        self.assertEqual(self.events(done, "NET:REFUSE"), [])

    def test_without_veth(self):
        done = self.shell("exit 3", wrapper=(self.machine.program, "without", "veth"))
        self.assertEqual(done.returncode, 3)
        self.assertIn("rung:pocket", done.stderr)


class Landlock(RootPocket, unittest.TestCase):
    def hard(self, **changes):
        return self.policy(landlock={"compatibility": "hard_requirement"}, **changes)

    def test_a_kernel_without(self):
        host = refusing(LANDLOCK_CREATE_RULESET, errno.ENOSYS)
        done = self.shell("exit 3", preexec_fn=host)
        self.assertEqual(done.returncode, 3)
        self.assertRegex(self.events(done, "FINDING:")[0], r"\[HIGH\].*landlock-unavailable")
        done = self.shell("exit 3", preexec_fn=host, policy=self.hard())
        self.assertEqual(done.returncode, 1)
        self.assertIn("Landlock unavailable in hard_requirement mode", done.stderr)

    def test_a_path_over_a_link(self):
        link = self.machine.path("link")
        if not os.path.islink(link):
            os.symlink("/etc", link)
        files = {
            "read_only": ["/bin", "/usr", "/lib", "/lib64", "/no/such/path"],
            "read_write": [link + "/cron.d", "/tmp"],
        }
        done = self.shell(
            f"echo x >{link}/cron.d/door", policy=self.policy(filesystem_policy=files)
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(
            f"[path:{link}/cron.d access:read_write reason:leads over a symbolic link]", done.stderr
        )
        self.assertEqual(
            len(
                self.events(
                    done, "CONFIG:SKIPPED [INFO] Skipping missing Landlock path [path:/no/such/path"
                )
            ),
            1,
        )
        self.assertFalse(os.path.exists("/etc/cron.d/door"))
        done = self.shell("exit 3", policy=self.hard(filesystem_policy=files))
        self.assertEqual(done.returncode, 1)
        self.assertIn("hard_requirement mode: read-write over a symbolic link", done.stderr)

    def test_a_folder_that_is_missing_is_made_and_given(self):
        fresh = self.machine.path("programs", "fresh", "deep")
        files = {"read_only": ["/bin", "/usr", "/lib", "/lib64"], "read_write": [fresh]}
        done = self.shell(
            f"echo x >{fresh}/file && cat {fresh}/file", policy=self.policy(filesystem_policy=files)
        )
        self.assertEqual(done.stdout, "x\n", done.stderr)
        self.assertEqual(os.stat(fresh).st_uid, self.user)


class Proc(RootPocket, unittest.TestCase):
    """A /proc that shows no others, as docs/security.md tells an operator to make it where a sandbox has none of its own."""

    script = 'mount -t proc -o hidepid=ptraceable proc /proc && exec "$0" without mounts "$@"'

    def test_who_is_there_and_who_asks(self):
        done = self.shell(
            f"echo /proc/[0-9]*; {self.machine.program} get http://{self.server.allowed}/; "
            f"{self.machine.program} dial {self.server.denied}",
            wrapper=("unshare", "-m", "sh", "-c", self.script, self.machine.program),
            policy=self.policy(
                filesystem_policy={
                    "read_only": ["/proc", "/bin", "/usr", "/lib", "/lib64"],
                    "read_write": ["/tmp"],
                }
            ),
        )
        there, answer, dial = done.stdout.splitlines()
        self.assertEqual(len(there.split()), 1, there)  # the shell itself
        self.assertEqual(json.loads(answer)["status"], 200, done.stderr)
        self.assertEqual(json.loads(dial)["error"], errno.ECONNREFUSED)
        self.assertRegex(done.stderr, rf"HTTP:GET \[INFO\] ALLOWED {self.machine.program}\(")
        if "held:true" in done.stderr:
            self.assertIn(f"DENIED {self.machine.program}(", done.stderr)


class Policy(RootPocket, unittest.TestCase):
    def refused(self, text):
        path = self.machine.write("bad.yaml", text)
        done = self.shell("echo ran", policy=path)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        return done.stderr

    def test_errors_say_where(self):
        self.assertRegex(
            self.refused("version: 1\nfilesystem_policy:\n  read_olny: [/usr]\n"),
            r"bad\.yaml: line 3 column 3: .*read_olny",
        )
        self.assertRegex(self.refused("version: [\n"), r"bad\.yaml: line \d+ column \d+")

    def test_none(self):
        done = subprocess.run(
            [self.machine.binary, "sandbox", "--", SHELL],
            env={},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("Sandbox policy required. Provide one of:", done.stderr)
        done = subprocess.run(
            [self.machine.binary, "sandbox", "--policy-data", "/no/such", "--", SHELL],
            env={},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("/no/such: No such file or directory", done.stderr)

    def test_rego_is_accepted_and_not_interpreted(self):
        done = self.shell("exit 3", options=("--policy-rules", "/no/such.rego"))
        self.assertEqual(done.returncode, 3)
        self.assertEqual(
            len(self.events(done, "CONFIG:SKIPPED [INFO] Rego rules not interpreted")), 1
        )

    def test_a_program_given_by_a_link_is_the_one_it_leads_to(self):
        link = self.machine.path("programs", "linked")
        if not os.path.islink(link):
            os.symlink(self.machine.program, link)
        host, port = self.server.allowed.split(":")
        rule = {"endpoints": [{"host": host, "port": int(port)}], "binaries": [{"path": link}]}
        done = self.sandbox(
            link,
            "connect",
            self.server.allowed,
            policy=self.policy(network_policies={"server": rule}),
        )
        self.assertEqual(json.loads(done.stdout)["status"], 200, done.stderr)

    def test_upstream_proxy(self):
        done = self.shell("echo ran", options=("--upstream-proxy", "https://corp:1"))
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(
            len(self.events(done, "CONFIG:INVALID [HIGH] Upstream corporate proxy")), 1
        )


class Identity(UserUserns, unittest.TestCase):
    def test_a_name_is_not_insisted_on(self):
        for process in None, {"run_as_user": "sandbox", "run_as_group": "sandbox"}:
            done = self.shell("id -u", policy=self.policy(process=process))
            self.assertEqual((done.returncode, done.stdout), (0, f"{self.user}\n"), done.stderr)
            self.assertEqual(
                len(
                    self.events(
                        done, "CONFIG:DEGRADED [MED] Sandbox runs as the supervisor's own user"
                    )
                ),
                1,
            )

    def test_a_number_is(self):
        done = self.shell(
            "id -u", policy=self.policy(process={"run_as_user": "4711", "run_as_group": "4711"})
        )
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(f"is to be user 4711, and user {self.user} may not become that", done.stderr)


class Groups(RootPocket, unittest.TestCase):
    def test_root_s_do_not_come_along(self):
        done = self.shell("id -G", wrapper=("setpriv", "--groups", "0,7"))
        self.assertEqual(done.stdout, f"{self.user}\n", done.stderr)


def without_the_right_to_kill():
    cap_kill = 5
    if ctypes.CDLL(None, use_errno=True).prctl(24, cap_kill, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "PR_CAPBSET_DROP")


def parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return int(f.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


class Resources(RootPocket, unittest.TestCase):
    def test_a_disk_that_is_full_under_the_logs(self):
        logs = self.machine.path("full")
        os.makedirs(logs, exist_ok=True)
        do("mount", "-t", "tmpfs", "-o", "size=4k", "full", logs)
        self.addCleanup(do, "umount", "-l", logs)
        with open(os.path.join(logs, "fill"), "wb") as f:
            f.write(b"x" * 4096)
        done = self.sandbox(
            self.machine.program,
            "connect",
            self.server.allowed,
            "exit",
            "5",
            logs=logs,
            options=("--ocsf-json",),
        )
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn('"status":200', done.stdout)
        self.assertRegex(done.stderr, "No space left on device")

    def test_no_folder_for_the_logs(self):
        done = self.shell("exit 5", logs="/no/such/folder")
        self.assertEqual(done.returncode, 5, done.stderr)

    def test_few_descriptors(self):
        """With none left for another connection the ones that are open work, and the end comes back."""
        script = (
            "import socket, os\n"
            "host, port = os.environ['http_proxy'][7:].split(':')\n"
            "held = []\n"
            "try:\n"
            "    while True:\n"
            "        held.append(socket.create_connection((host, int(port)), 10))\n"
            "except OSError:\n"
            "    pass\n"
            "assert len(held) > 20, len(held)\n"
            "raise SystemExit(6)\n"
        )
        done = self.sandbox(
            "/usr/bin/python3", "-c", script, wrapper=("prlimit", "--nofile=64:1024")
        )
        self.assertEqual(done.returncode, 6, done.stderr)
        done = self.sandbox(
            self.machine.program,
            "connect",
            self.server.allowed,
            wrapper=("prlimit", "--nofile=64:64"),
        )
        self.assertEqual(json.loads(done.stdout)["status"], 200, done.stderr)

    def test_no_descriptor_at_all(self):
        done = self.shell("exit 5", wrapper=("prlimit", "--nofile=6:6"))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("No file descriptors available", done.stderr)

    def test_the_keeper_is_killed_where_root_may_not_kill(self):
        # Podman's containers have no CAP_KILL
        process = self.start(
            SHELL, "-c", "setsid sleep 1013 & id -u; sleep 1013", preexec_fn=without_the_right_to_kill
        )
        self.assertNotEqual(process.stdout.readline(), "0\n")
        keeper = [pid for pid in processes() if parent(pid) == process.pid]
        self.assertEqual(len(keeper), 1)
        os.kill(keeper[0], signal.SIGKILL)
        self.assertEqual(process.wait(timeout=30), 1)
        left = marked("sleep 1013")
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(left, [])

    def test_a_limit_on_processes_may_be_insisted_on(self):
        strict = (("OPENSHELL_REQUIRE_RUNTIME_PID_LIMIT", "1"),)
        for limit, code in ("100", 5), ("max", 1), (None, 1):
            script = "mount -t tmpfs cgroup /sys/fs/cgroup && "
            if limit:
                script += f"echo {limit} >/sys/fs/cgroup/pids.max && "
            inside = ("unshare", "-m", SHELL, "-c", script + 'exec "$@"', SHELL)
            done = self.shell("exit 5", wrapper=inside, environment=strict)
            self.assertEqual(done.returncode, code, done.stderr)
            if code == 1:
                self.assertRegex(done.stderr, "number of processes is not limited: .*/pids.max")

    def test_a_read_only_root(self):
        script = (
            "mount --bind / /mnt && mount --rbind /proc /mnt/proc && mount --rbind /dev /mnt/dev && mount -t tmpfs tmp /mnt/tmp && "
            f"mkdir -p /mnt{self.machine.folder} && mount --bind {self.machine.folder} /mnt{self.machine.folder} && "
            'mount -o remount,bind,ro /mnt && exec chroot /mnt "$@"'
        )
        files = {
            "read_only": ["/bin", "/usr", "/lib", "/lib64"],
            "read_write": ["/sandbox-missing", "/tmp"],
        }
        done = self.shell(
            "exit 5",
            policy=self.policy(filesystem_policy=files),
            logs="/root/logs",
            wrapper=("unshare", "-m", "--propagation", "private", SHELL, "-c", script, SHELL),
        )
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertRegex(done.stderr, "Read-only file system")


class FirstProcess(RootPocket, unittest.TestCase):
    """PID 1 of a container."""

    inside = ("unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc")

    def test_orphans_are_reaped(self):
        script = "for i in 1 2 3 4 5; do (sh -c 'sleep 0.05 & exit' &); done; sleep 0.5; cat /proc/[0-9]*/stat | cut -d' ' -f3 | grep -c Z; exit 4"
        done = self.shell(script, wrapper=self.inside)
        self.assertEqual((done.returncode, done.stdout.split()), (4, ["0"]), done.stderr)

    def test_the_entry_of_user_sandbox_is_written(self):
        """Only there: on a machine, /etc is not the sandbox's."""
        etc = self.machine.path("etc")
        if not os.path.isdir(etc):
            do("cp", "-a", "/etc", etc)
        driver = (("OPENSHELL_SANDBOX_UID", "1234"), ("OPENSHELL_SANDBOX_GID", "1235"))
        script = f'mount --bind {etc} /etc && exec "$@"'
        done = self.shell(
            "grep ^sandbox: /etc/passwd /etc/group; id -un",
            environment=driver,
            wrapper=(*self.inside, SHELL, "-c", script, SHELL),
        )
        self.assertEqual(
            done.stdout.split(),
            [
                "/etc/passwd:sandbox:x:1234:1235::/sandbox:/bin/sh",
                "/etc/group:sandbox:x:1235:",
                "sandbox",
            ],
            done.stderr,
        )
        done = self.shell("grep -c ^sandbox: /etc/passwd", environment=driver)
        self.assertEqual(done.stdout, "0\n", done.stderr)


class Host(RootHost, unittest.TestCase):
    def test_the_proxy_is_on_a_port_of_its_own(self):
        """Several sandboxes share a host's loopback."""
        first = self.start(SHELL, "-c", "echo $http_proxy; sleep 1005")
        one = first.stdout.readline()
        other = self.shell("echo $http_proxy").stdout
        self.assertRegex(one, re.compile(r"^http://127\.0\.0\.1:\d+$", re.M))
        self.assertNotEqual(one, other)


# bases are no tests
del RootHost, RootPocket, UserUserns
