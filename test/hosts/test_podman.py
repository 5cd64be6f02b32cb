"""Containers of Podman, as root and rootless. The image of each is FROM scratch and holds one
static program, the workload; our binary and the policy are mounted into it."""

import shutil
import unittest

from hosts import Walled
from machine import INSIDE, OURS, POLICY, machine

NOT_ALLOWED = r"unshare\(NEWNET\): Operation not permitted"
# Of what lies over parts of /proc a user namespace must take nothing away, and a new /proc would.
MASKED = {"userns": r"fsmount\(proc\): Operation not permitted", "host": r"unshare\(NEWNS\): Operation not permitted"}

# What OpenShell's own driver asks of Podman (podman contract A.8).
OPENSHELL = [
    *(f"--cap-drop={c}" for c in ("DAC_OVERRIDE", "FSETID", "KILL", "NET_BIND_SERVICE")),
    *(f"--cap-drop={c}" for c in ("NET_RAW", "SETFCAP", "SYS_CHROOT")),
    *(f"--cap-add={c}" for c in ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG")),
    *(f"--cap-add={c}" for c in ("DAC_READ_SEARCH", "SETPCAP")),
    *("--security-opt=no-new-privileges", "--security-opt=seccomp=unconfined"),
]
BARE = ["--cap-drop=ALL", "--security-opt=no-new-privileges"]


@unittest.skipUnless(shutil.which("podman"), "there is no podman: scripts/setup podman")
class Container(Walled):
    rootless = True
    flags = []
    network = "host"
    binary, program, policy_file = OURS, INSIDE, POLICY

    @classmethod
    def setUpClass(cls):
        cls.machine = machine()
        cls.server = cls.machine.server
        cls.policy = cls.machine.policy(INSIDE, cls.user)

    def there(self, *words):
        flags = [f"--network={self.network}", *self.flags]
        return self.machine.run_container(self.rootless, flags, self.policy, words)


class RootlessOpenShellTest(Container, unittest.TestCase):
    """The case of which it was reported that nothing but giving up enforcement helps: the network
    namespace is the host's, so a veth pair and the way back by setns are refused."""

    rung = "pocket"
    flags = OPENSHELL
    mapped = False  # without CAP_SETFCAP, uid 0 cannot be


class RootlessTest(Container, unittest.TestCase):
    """As it is without any flag."""

    rung = "userns"
    fails = {"pocket": NOT_ALLOWED}
    not_alone = MASKED


class RootlessBareTest(Container, unittest.TestCase):
    """Root in name only: no capability, and none to be had."""

    rung = "userns"
    fails = {"pocket": NOT_ALLOWED}
    not_alone = MASKED
    flags = BARE
    mapped = view = False
    user, seen_as = None, 65534


class RootlessBareUserTest(Container, unittest.TestCase):
    rung = "userns"
    fails = {"pocket": NOT_ALLOWED}
    not_alone = MASKED
    flags = [*BARE, "--user=1000:1000"]


class RootfulOpenShellTest(Container, unittest.TestCase):
    """As the driver does it where root runs Podman: with a network of the container's own."""

    rung = "pocket"
    rootless = False
    network = "bridge"
    flags = OPENSHELL
    mapped = False


class RootfulTest(Container, unittest.TestCase):
    rung = "userns"
    fails = {"pocket": NOT_ALLOWED}
    not_alone = MASKED
    rootless = False


class ReadOnlyTest(Container, unittest.TestCase):
    """No file can be written anywhere."""

    rung = "userns"
    fails = {"pocket": NOT_ALLOWED}
    not_alone = MASKED
    flags = ["--read-only", "--read-only-tmpfs=false"]


class RootlessAdminTest(Container, unittest.TestCase):
    """May make a pocket, but has no CAP_SYS_PTRACE to look at other users' processes."""

    rung = "pocket"
    flags = ["--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--security-opt=seccomp=unconfined"]
