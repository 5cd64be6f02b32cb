"""The sandbox's sshd, and who comes in by it to get out: what a workload may not, no session may either."""

import os
import shutil
import sys

from door import each_rung
from hosts import WAIT
from runner import eventually
from test_door_ssh import WithSsh

SECRET = b"the secret of the machine"
# Types into another's terminal, and takes it for its own; says what came of it.
TYPE_INTO = """
import fcntl, os, sys, termios
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
for name, call, what in ("type", termios.TIOCSTI, b"x"), ("take", termios.TIOCSCTTY, 1):
    try:
        fcntl.ioctl(fd, call, what)
        print(name, "worked")
    except OSError as e:
        print(name, e.errno)
"""


class SshAttack(WithSsh):
    def sftp(self, *commands):
        """Each by itself: those that worked."""
        text = "".join(f"-{c}\n" for c in commands)
        done = self.client("-b", "-", "box", program="sftp", input=text.encode(), cwd=self.machine.path("got"))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout + done.stderr

    def make_secret(self):
        """A file of no policy, which its mode gives to everybody, and links to it where the sandbox may write."""
        name = os.urandom(4).hex()
        folder = "/srv/outside-" + name  # the machine's own is below /tmp
        os.makedirs(folder)
        self.addCleanup(shutil.rmtree, folder)
        os.makedirs(self.machine.path("got"), exist_ok=True)
        path = os.path.join(folder, "secret")
        with open(path, "wb") as f:
            f.write(SECRET)
        for place, mode in (folder, 0o777), (path, 0o666):
            os.chmod(place, mode)
        for link, target in ("to-file-" + name, path), ("to-folder-" + name, folder):
            os.symlink(target, f"/tmp/{link}")
            self.addCleanup(os.unlink, f"/tmp/{link}")
        return path, "/tmp/to-file-" + name, f"/tmp/to-folder-{name}/secret", "/tmp/.." + path

    def test_files_that_the_policy_does_not_give(self):
        names = self.make_secret()
        self.begin()
        mine = self.machine.write("mine", "mine")
        for name in names:
            self.sftp(f"get {name} a", f"reget {name} b", f"put {mine} {name}", f"put -a {mine} {name}",
                      f"put {mine} {name}-new", f"mkdir {name}-folder", f"symlink x {name}-link")
            self.sftp(f"ls {os.path.dirname(name)}", f"rename {name} /tmp/moved", f"rename -l {name} /tmp/moved",
                      f"ln {names[0]} /tmp/linked")
            if name != names[1]:
                self.sftp(f"rm {name}")
        self.assertFalse([n for n in os.listdir(self.machine.path("got"))
                          if SECRET in open(os.path.join(self.machine.path("got"), n), "rb").read()])
        self.assertEqual(os.listdir(os.path.dirname(names[0])), ["secret"])
        with open(names[0], "rb") as f:
            self.assertEqual(f.read(), SECRET)
        for name in "moved", "linked":
            self.assertFalse(os.path.lexists("/tmp/" + name))

    def test_nothing_of_the_processes_behind_it(self):
        self.begin()
        os.makedirs(self.machine.path("got"), exist_ok=True)
        for name in "maps", "mem", "environ", "stat":
            said = self.sftp(f"get /proc/self/{name} p")
            self.assertIn(b"ermission denied", said, name)
        for name in "/proc", "/proc/self/fd", "/proc/self/map_files", "/proc/self/task":
            self.assertIn(b"ermission denied", self.sftp(f"ls {name}"), name)

    def test_connections_to_elsewhere(self):
        self.begin()
        allowed, denied = (a.split(":")[0] for a in (self.server.allowed, self.server.denied))
        port = self.server.denied.split(":")[1]
        for host in (allowed, denied, "0.0.0.0", "10.200.0.1", "10.200.0.2", "127.1", "2130706433", "0x7f.0.0.1",
                     "localhost.localdomain", "ip6-localhost", os.uname().nodename, "[::]", f"[::ffff:{denied}]",
                     "169.254.169.254", "metadata.google.internal", "/var/run/docker.sock"):
            done = self.client("-W", f"{host}:{port}", "box", input=b"GET / HTTP/1.0\r\n\r\n")
            self.assertEqual(done.stdout, b"", host)
            self.assertNotEqual(done.returncode, 0, host)

    def test_who_kills_all_that_it_can(self):
        process = self.begin()
        other = self.background("box", "echo up; cat")
        self.reads(other, b"up\n")
        self.client("box", "kill -9 -1")
        # the main process was among them; whoever tells it was not
        self.assertEqual(process.wait(WAIT), 128 + 9)
        self.assertEqual(other.wait(WAIT), 128 + 9)

    def test_what_is_left_behind_holds_nobody_up(self):
        self.begin()
        for flags in (), ("-tt",):
            mark = "1000." + str(int.from_bytes(os.urandom(3), "big"))
            done = self.client(*flags, "box", f"trap '' HUP; sleep {mark} & exit 5")
            self.assertEqual(done.returncode, 5, done.stderr)

    def test_the_terminal_of_another_session(self):
        rules = {"filesystem_policy": {"read_only": ["/"], "read_write": ["/tmp", "/dev"]}}
        self.begin(policy=self.policy(**rules))
        one = self.background("-tt", "box", "tty; cat")
        eventually(lambda: b"/dev/pts/" in self.reads(one, b"\n"), self.said)
        tty = one.seen[one.stdout].split()[0].decode()
        script = self.machine.write("type-into.py", TYPE_INTO)
        os.chmod(script, 0o644)
        done = self.client("box", f"{sys.executable} {script} {tty}")
        self.assertEqual(done.stdout, b"type 1\ntake 1\n", done.stderr)

    def test_its_processes_cannot_come_in_by_it(self):
        rules = {"filesystem_policy": {"read_only": ["/"], "read_write": ["/tmp", os.path.dirname(self.machine.path("home"))]}}
        self.begin(policy=self.policy(**rules))
        script = self.machine.write("come-in.py", f"import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect({self.socket!r})\nprint(s.recv(100))\n")
        os.chmod(script, 0o644)
        done = self.client("box", f"{sys.executable} {script}")
        self.assertNotIn(b"SSH-", done.stdout)


globals().update(each_rung(SshAttack))
