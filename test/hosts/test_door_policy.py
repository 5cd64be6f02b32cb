"""The door `sandbox` and its gateway's policy: what it starts with, and what becomes of it while it runs."""

import json
import os
import unittest

from door import RootPocket
from gateway import BASELINE, Code, policy_of, sandbox_pb
from runner import eventually
from test_door_gateway import WithGateway

TOKEN = ("OPENSHELL_SANDBOX_TOKEN", "token-1")
WHO = ("OPENSHELL_SANDBOX_UID", "1000"), ("OPENSHELL_SANDBOX_GID", "1000")
FILE = "openshell/policy.yaml"


class StartTest(WithGateway, RootPocket, unittest.TestCase):
    """The policy that it starts with."""

    def image(self, path, text):
        """What gives a command an /etc with that file."""
        folder = self.machine.path(f"etc-{os.urandom(4).hex()}")
        file = os.path.join(folder, "up", path)
        os.makedirs(os.path.dirname(file))
        os.mkdir(os.path.join(folder, "work"))
        with open(file, "w", encoding="utf-8") as f:
            f.write(text)
        mount = 'mount -t overlay etc -o "lowerdir=/etc,upperdir=$0/up,workdir=$0/work" /etc && exec "$@"'
        return "unshare", "-m", "sh", "-c", mount, folder

    def discover(self, *image):
        """The gateway, and the sandbox for which it has no policy at first."""
        to = self.gateway(config=sandbox_pb.GetSandboxConfigResponse(workspace="here"))
        process = self.begin(to, environment=(TOKEN, *WHO), wrapper=self.image(*image) if image else ())
        self.until(process, "CONFIG:DISCOVERY [INFO] Server returned no policy; attempting local discovery")
        self.accepted(to, process)
        self.finish(process)
        (update,) = to.updates
        self.assertEqual((update.name, update.workspace), ("name", "here"))
        return process, update.policy

    def assert_restrictive(self, policy):
        self.assertEqual(list(policy.filesystem.read_write), ["/tmp", "/dev/null"])
        self.assertFalse(policy.network_policies)

    def test_an_image_without_a_policy(self):
        process, policy = self.discover()
        self.until(process, "CONFIG:DEFAULT [INFO] No policy file on disk, using restrictive default")
        self.until(process, "CONFIG:UPDATED [INFO] Policy given to the gateway [version:1]")
        self.assert_restrictive(policy)

    def test_an_image_with_a_policy(self):
        rule = {"endpoints": [{"host": "h", "port": 1}], "binaries": [{"path": "/b"}]}
        text = {
            "version": 1,
            "filesystem_policy": {"read_only": [*BASELINE, "/opt"], "read_write": ["/tmp"]},
            "process": {"run_as_user": "1000", "run_as_group": "1000"},
            "network_policies": {"one": rule, "_provider_x": rule},
        }
        process, policy = self.discover(FILE, json.dumps(text))
        self.until(process, "CONFIG:LOADED [INFO] Loaded sandbox policy from container disk [path:/etc/" + FILE)
        self.assertEqual(list(policy.filesystem.read_only), [*BASELINE, "/opt"])
        self.assertEqual(policy.process.run_as_user, "1000")
        self.assertEqual(list(policy.network_policies), ["one"])
        self.assertEqual(policy.network_policies["one"].endpoints[0].host, "h")
        self.assertFalse(policy.filesystem.include_workdir)

    def test_an_image_with_a_policy_at_the_old_place(self):
        process, policy = self.discover("navigator/policy.yaml", "version: 7\n")
        self.until(process, "Policy found at legacy path [path:/etc/navigator/policy.yaml]")
        self.assertEqual(policy.version, 7)

    def test_files_that_are_no_policy(self):
        for text in "version: [", "nothing: at all\n", "x" * (1 << 20) + "x":
            process, policy = self.discover(FILE, text)
            self.until(process, "CONFIG:FALLBACK [MED] Policy file refused, using restrictive default [reason:")
            self.assert_restrictive(policy)

    def test_an_unsafe_policy(self):
        process, policy = self.discover(FILE, "version: 1\nprocess: {run_as_user: '0'}\n")
        self.until(process, "type:unsafe-disk-policy")
        self.assert_restrictive(policy)

    def test_a_file_that_is_a_pipe(self):
        wrapper = self.image(FILE, "")
        path = os.path.join(wrapper[-1], "up", FILE)
        os.unlink(path)
        os.mkfifo(path)
        to = self.gateway(config=sandbox_pb.GetSandboxConfigResponse())
        process = self.begin(to, environment=(TOKEN, *WHO), wrapper=wrapper)
        self.until(process, "not a plain file")
        self.accepted(to, process)
        self.finish(process)

    def test_a_gateway_that_does_not_take_it(self):
        to = self.gateway(config=sandbox_pb.GetSandboxConfigResponse())
        to.failures["UpdateConfig"] = [(Code.UNAVAILABLE, "not now"), (Code.PERMISSION_DENIED, "not you")]
        process = self.begin(to)
        self.ended(process, 1)
        self.until(process, f"gateway 127.0.0.1:{to.port}: UpdateConfig: PERMISSION_DENIED: not you")
        self.assertFalse(to.sessions)

    def test_the_baseline_is_added_at_the_gateway(self):
        to = self.gateway()
        wanted = list(to.config.policy.filesystem.read_only)
        to.config.policy.filesystem.read_only.remove("/usr")
        process = self.begin(to)
        self.accepted(to, process)
        self.until(process, "CONFIG:ENRICHED [INFO] Enriched policy with baseline filesystem paths for proxy mode [added:1]")
        self.finish(process)
        self.assertEqual(sorted(to.updates[0].policy.filesystem.read_only), sorted(wanted))
        self.assertEqual(to.updates[0].policy.network_policies, to.config.policy.network_policies)

    def test_a_baseline_that_is_not_taken_counts_here(self):
        to = self.gateway()
        to.config.policy.filesystem.read_only.remove("/usr")
        to.failures["UpdateConfig"] = [(Code.UNAVAILABLE, "not now")]
        process = self.begin(to, "/usr/bin/env true && echo reached")
        self.until(process, "Gateway did not take the baseline paths: they count here only [reason:")
        self.until(process, "CONFIG:ENRICHED [INFO]")
        self.ended(process, 0)
        self.assertEqual(process.stdout.read(), "reached\n")
        self.assertEqual([call for call, _ in to.calls].count("UpdateConfig"), 1)

    def test_a_policy_that_cannot_be_put_in_force(self):
        to = self.gateway()
        to.set_config(policy=policy_of(self.machine, self.user))
        to.config.policy.filesystem.read_only.append("no/path")
        process = self.begin(to, environment=(TOKEN, *WHO))
        self.until(process, "CONFIG:FAIL_CLOSED [HIGH] Gateway's policy refused, using restrictive default")
        eventually(lambda: to.sessions)
        self.finish(process)
