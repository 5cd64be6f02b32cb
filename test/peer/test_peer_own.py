"""The peer's own end-to-end tests (its e2e/rust), which speak to the gateway by the CLI: OPENSHELL_PEER_TESTS names the
built ones, parted by blanks. What they ask of a sandbox they ask of ours."""

import os
import re
import subprocess
import unittest

import peer
from test_peer_process import Process

TESTS = os.environ.get("OPENSHELL_PEER_TESTS", "").split()
MINUTES = 5


@unittest.skipUnless(TESTS, "OPENSHELL_PEER_TESTS names none of the peer's own tests")
class OwnTest(Process, unittest.TestCase):
    def test_all(self):
        environment = {**self.gateway.environment(), "OPENSHELL_BIN": peer.CLI, "OPENSHELL_GATEWAY": "openshell"}
        for program in TESTS:
            with self.subTest(os.path.basename(program)):
                done = subprocess.run(
                    [program, "--test-threads=1"],
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=MINUTES * 60,
                    cwd=self.gateway.path("home"),
                    check=False,
                )
                print("\n".join(re.findall(r"^test \S+ \.\.\. \w+", done.stdout, re.M)))
                self.assertEqual(done.returncode, 0, done.stdout[-4000:] + done.stderr[-1000:])
