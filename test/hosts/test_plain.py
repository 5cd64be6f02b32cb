"""Machines without a container: root's, a user's, and those whose kernel lacks something."""

import errno
import json
import unittest

from hosts import Walled
from machine import PATH, USER, machine, run

NOT_ALLOWED = r"unshare\(NEWNET\): Operation not permitted"


class Plain(Walled):
    @classmethod
    def setUpClass(cls):
        cls.machine = machine()
        cls.server, cls.binary = cls.machine.server, cls.machine.binary
        cls.program = cls.machine.program
        cls.policy_file = cls.machine.policy(cls.program, cls.user)

    def there(self, *words):
        return run("env", "-i", PATH, *words)


class RootTest(Plain, unittest.TestCase):
    rung = "pocket"


class UserTest(Plain, unittest.TestCase):
    """Without any right, where the kernel lets everybody have user namespaces."""

    rung = "userns"
    fails = {"pocket": NOT_ALLOWED}
    user = USER

    def there(self, *words):
        return run(*self.machine.as_user(*words))


class Without(Plain):
    """Root's, but the kernel says that it has no such thing."""

    rung = "pocket"
    what = None

    def there(self, *words):
        return super().there(self.program, "without", self.what, *words)


class WithoutNfTablesTest(Without, unittest.TestCase):
    what = "nf_tables"

    def test_probe_says_so(self):
        self.assertRegex(self.ladder()["pocket"], "unreachable, unlogged")
        self.assertRegex(self.ladder()["without_nf_tables"], "Protocol not supported")


class WithoutVethTest(Without, unittest.TestCase):
    what = "veth"

    def test_there_is_none(self):
        answer = json.loads(self.there(self.program, "veth").stdout)
        self.assertEqual(answer, {"error": errno.EOPNOTSUPP})
