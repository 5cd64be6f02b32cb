"""Machines without a container: root's, a user's, and those whose kernel lacks something."""

import errno
import glob
import json
import os
import unittest

from hosts import Observed, Walled
from machine import PATH, USER, machine, run

NOT_ALLOWED = r"unshare\(NEWNET\): Operation not permitted"
NO_MOUNTS = r"unshare\(NEWNS\): Operation not permitted"
NO_USERNS = r"unshare\(NEWUSER\|NEWNET\): Operation not permitted"


def runs(link, *programs):
    try:
        return os.readlink(link) in programs
    except OSError:
        return False  # it has just ended, or is the kernel's


class Plain:
    @classmethod
    def setUpClass(cls):
        cls.machine = machine()
        cls.server, cls.binary = cls.machine.server, cls.machine.binary
        cls.program = cls.machine.program
        cls.policy_file = cls.machine.policy(cls.program, cls.user)

    @classmethod
    def tearDownClass(cls):
        """Nothing outlives its sandbox. (Of a container's, the kernel sees to that.)"""
        left = [p for p in glob.glob("/proc/[0-9]*/exe") if runs(p, cls.binary, cls.program)]
        if left:
            raise AssertionError(f"left over: {left}")

    def there(self, *words):
        return run("env", "-i", PATH, *words)


class RootTest(Plain, Walled, unittest.TestCase):
    rung = "pocket"


class UserTest(Plain, Walled, unittest.TestCase):
    """Without any right, where the kernel lets everybody have user namespaces."""

    rung = "userns"
    fails = {"pocket": NOT_ALLOWED}
    user = USER
    not_alone = {"host": NO_MOUNTS}

    def there(self, *words):
        return run(*self.machine.as_user(*words))


class HardenedTest(Plain, Observed, unittest.TestCase):
    """A user's, where the administrator has switched user namespaces off."""

    fails = {
        "pocket": NOT_ALLOWED,
        "userns": r"unshare\(NEWUSER\|NEWNET\): No space left on device",
    }
    user = USER
    not_alone = {"host": NO_MOUNTS}
    # The limit is a user namespace's, so that we need not change the machine's.
    limit = [*("unshare", "-U", "--map-current-user", "--keep-caps", "sh", "-c")]
    limit += ['echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', "sh"]
    limit += ["setpriv", "--inh-caps=-all", "--ambient-caps=-all"]

    def there(self, *words):
        return run(*self.machine.as_user(*self.limit, *words))

    def test_probe_says_what_would_help(self):
        self.assertRegex(self.ladder()["userns"], "would help: user.max_user_namespaces above 0")


class Without(Plain):
    """Root's, but the kernel says that it has no such thing."""

    what = None

    def there(self, *words):
        return super().there(self.program, "without", self.what, *words)


class WithoutNamespacesTest(Without, Observed, unittest.TestCase):
    """As where a seccomp profile, or an administrator, forbids them."""

    what = "namespaces"
    fails = {"pocket": NOT_ALLOWED, "userns": NO_USERNS}
    not_alone = {"host": NO_MOUNTS}


class WithoutNfTablesTest(Without, Walled, unittest.TestCase):
    rung = "pocket"
    what = "nf_tables"

    def test_probe_says_so(self):
        self.assertRegex(self.ladder()["pocket"], "unreachable, unlogged")
        self.assertRegex(self.ladder()["without_nf_tables"], "Protocol not supported")


class WithoutMountsTest(Without, Walled, unittest.TestCase):
    """As where a seccomp profile forbids them."""

    rung = "pocket"
    what = "mounts"
    view = False
    not_alone = dict.fromkeys(("pocket", "userns", "host"), r"fsopen\(proc\): Operation not permitted")


class WithoutVethTest(Without, Walled, unittest.TestCase):
    """There is a kernel for which it was reported."""

    rung = "pocket"
    what = "veth"

    def test_there_is_none(self):
        answer = json.loads(self.there(self.program, "veth").stdout)
        self.assertEqual(answer, {"error": errno.EOPNOTSUPP})

    def test_a_bypass_is_refused_all_the_same(self):
        self.assertEqual(self.bypass(), errno.ECONNREFUSED)
