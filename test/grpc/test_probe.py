"""probe as a user meets it: as root, as nobody, and what it keeps to itself."""

import json
import os
import subprocess
import unittest

from support import BINARY, WAIT


def probe(*words, **options):
    done = subprocess.run([BINARY, "probe", *words], capture_output=True, text=True, timeout=WAIT, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Probe(unittest.TestCase):
    def test_text_and_json_say_the_same(self):
        all_ = json.loads(probe("--json"))
        text = probe()
        for group, members in all_.items():
            self.assertIn(f"{group}\n", text)
            for key in members:
                self.assertIn(f"  {key} ", text)
        self.assertEqual(all_["kernel"]["release"], os.uname().release)
        self.assertIsInstance(all_["landlock"]["abi"], int)
        self.assertIsInstance(all_["seccomp"]["user_notification"], bool)
        self.assertIn(all_["ladder"]["auto_would_take"], ("pocket", "userns", "host"))
        for rung in ("pocket", "userns", "host"):
            self.assertRegex(all_["ladder"][rung], "^(works|fails: )")

    @unittest.skipUnless(os.geteuid() == 0, "becoming another user needs root")
    def test_a_user_without_rights_is_told_so(self):
        def become_nobody():
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        # the work tree may lie where nobody cannot go: the program is handed over as a descriptor
        fd = os.open(BINARY, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        done = subprocess.run(["openshell-probe", "--json"], executable=f"/proc/self/fd/{fd}", pass_fds=[fd], cwd="/",
                              capture_output=True, text=True, timeout=WAIT, preexec_fn=become_nobody)
        found = json.loads(done.stdout)
        self.assertEqual(found["capabilities"]["effective"], [])
        self.assertNotEqual(found["namespaces"]["net"], "works")
        self.assertRegex(found["ladder"]["pocket"], r"^fails: unshare\(NEWNET\): Operation not permitted; would help: ")
        self.assertNotEqual(found["ladder"]["auto_would_take"], "pocket")

    def test_a_cluster_credential_is_not_printed(self):
        text = probe(env={"KUBERNETES_SERVICE_HOST": "192.0.2.1", "HOME": "/nowhere", "KUBECONFIG": "/nowhere/config"})
        self.assertIn("in_cluster", text)
        self.assertIn("/nowhere/.kube/config (absent)", text)

    def test_usage(self):
        done = subprocess.run([BINARY, "probe", "--loud"], capture_output=True, text=True, timeout=WAIT)
        self.assertEqual(done.returncode, 2)
        self.assertIn("unknown option '--loud'", done.stderr)
