"""The door `sandbox` and its gateway's policy: what it starts with, and what becomes of it while it runs."""

import json
import os
import sys
import threading
import time
import unittest

from door import RootPocket, UserUserns
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
        eventually(lambda: to.statuses)
        self.finish(process)
        ((version, status, why),) = to.statuses
        self.assertEqual((version, status), (2, "FAILED"))
        self.assertIn("path must be absolute (start with '/'): no/path", why)


# What a sandbox does the whole time: a request on a connection of its own, one on a connection that is kept,
# one in a tunnel that is kept. Of each the status, and how many connections it took up to now.
ASKING = """
import http.client, os, time
proxy = os.environ["HTTP_PROXY"].removeprefix("http://")
server = "SERVER"
made, kept = {"fresh": 0, "kept": 0, "tunnel": 0}, {}
def connection(kind):
    if kind == "fresh":
        kept.pop(kind, None)
    if kind not in kept:
        made[kind] += 1
        kept[kind] = http.client.HTTPConnection(proxy, timeout=5)
        if kind == "tunnel":
            kept[kind].set_tunnel(server)
    return kept[kind]
def ask(kind):
    try:
        c = connection(kind)
        c.request("GET", "/" if kind == "tunnel" else f"http://{server}/")
        r = c.getresponse()
        r.read()
        if r.will_close:
            kept.pop(kind)
        return r.status
    except OSError as e:
        kept.pop(kind, None)
        return 403 if "403" in str(e) else 0
    except http.client.HTTPException:
        kept.pop(kind, None)
        return 0
while True:
    for kind in made:
        print(kind, ask(kind), made[kind], flush=True)
    time.sleep(0.05)
"""


class Reload(WithGateway):
    """On several rungs."""

    def policy(self, port=None, **changes):
        """The server's allowed port, or another, is allowed to Python."""
        policy = policy_of(self.machine, self.user)
        rule = policy.network_policies["server"]
        rule.binaries[0].path = sys.executable  # which may be a link
        if port is not None:
            rule.endpoints[0].port = port
        for name, value in changes.items():
            getattr(policy, name).CopyFrom(value)
        return policy

    def bad(self):
        policy = self.policy()
        policy.network_policies["server"].endpoints[0].host = "*"
        return policy

    def asking(self, to, **how):
        """A sandbox that asks the whole time; what came of it is in process.heard."""
        words = ASKING.replace("SERVER", self.server.allowed)
        path = self.machine.write(f"programs/asking-{os.urandom(4).hex()}.py", words)
        token = how.pop("environment", (TOKEN,))
        process = self.begin(
            to,
            f"exec {sys.executable} {path}",
            environment=(*token, ("OPENSHELL_POLICY_POLL_INTERVAL_SECS", "1")),
            **how,
        )
        process.heard = []

        def listen():
            for line in process.stdout:
                kind, status, made = line.split()
                process.heard.append((kind, int(status), int(made)))

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        self.addCleanup(listener.join)
        self.addCleanup(process.kill)
        return process

    def hears(self, process, status):
        """From now on each kind gets it; how many connections each has made by then."""
        at = len(process.heard)

        def last():
            got = {kind: (status, made) for kind, status, made in process.heard[at:]}
            return got if len(got) == 3 and all(s == status for s, _ in got.values()) else None

        got = eventually(last, lambda: f"{process.heard[-9:]}{''.join(process.said)}")
        return {kind: made for kind, (_, made) in got.items()}

    def start_of(self, **how):
        to = self.gateway()
        to.set_config(policy=self.policy())
        process = self.asking(to, **how)
        self.hears(process, 200)
        self.said(to, (2, "LOADED", ""))
        return to, process

    def said(self, to, *statuses):
        eventually(lambda: len(to.statuses) >= len(statuses), lambda: str(to.statuses))
        self.assertEqual(to.statuses, list(statuses))

    def polls(self, to, n=2):
        """So many more have been answered."""
        enough = sum(call == "GetSandboxConfig" for call, _ in to.calls) + n
        eventually(lambda: sum(call == "GetSandboxConfig" for call, _ in to.calls) >= enough)

    def test_networks_come_and_go(self):
        to, process = self.start_of()
        before = self.hears(process, 200)
        self.assertEqual((before["kept"], before["tunnel"]), (1, 1))
        version = to.set_config(policy=self.policy(port=1))
        self.hears(process, 403)
        self.until(process, "CONFIG:DETECTED [INFO] Settings poll: config change detected [old_revision:1 ")
        self.until(process, f"CONFIG:LOADED [INFO] Policy reloaded successfully [policy_hash:{to.config.policy_hash}")
        to.set_config(policy=self.policy())
        after = self.hears(process, 200)
        again = self.hears(process, 200)
        self.assertEqual((after["kept"], after["tunnel"]), (again["kept"], again["tunnel"]))  # they are kept again
        self.said(to, (2, "LOADED", ""), (version, "LOADED", ""), (version + 1, "LOADED", ""))
        self.finish(process)


class ReloadRootPocketTest(Reload, RootPocket, unittest.TestCase):
    pass


class ReloadUserUsernsTest(Reload, UserUserns, unittest.TestCase):
    pass


class PolicyTest(Reload, RootPocket, unittest.TestCase):
    test_networks_come_and_go = None

    def test_the_first_is_acknowledged_once(self):
        to, process = self.start_of()
        self.until(process, "CONFIG:LOADED [INFO] Acknowledged initial policy [version:2]")
        self.polls(to, 3)
        self.finish(process)
        self.said(to, (2, "LOADED", ""))

    def test_a_version_without_a_change(self):
        to, process = self.start_of()
        with to.changing:
            to.config.version = 9
        self.said(to, (2, "LOADED", ""), (9, "LOADED", ""))
        self.finish(process)
        self.assertFalse(any("reloaded" in line for line in process.said))

    def fails_closed(self, mode):
        to, process = self.start_of()
        version = to.set_config(policy=self.bad(), policy_validation_failure_mode=mode)
        self.hears(process, 403)
        self.until(process, "CONFIG:FAIL_CLOSED [HIGH] Policy rejected: nothing is let out until there is a valid one")
        self.until(process, f'FINDING:CREATE [HIGH] "Invalid policy generation rejected" [type:policy-validation-failed-{version} ')
        eventually(lambda: len(to.statuses) == 2)
        self.assertEqual(to.statuses[1][:2], (version, "FAILED"))
        self.assertIn("network policy 'server': ", to.statuses[1][2])
        with to.changing:
            to.config.version = version + 1  # the same again
        eventually(lambda: len(to.statuses) == 3)
        self.assertEqual(to.statuses[2], (version + 1, *to.statuses[1][1:]))
        to.set_config(policy=self.policy())
        self.hears(process, 200)
        eventually(lambda: to.statuses[-1] == (version + 2, "LOADED", ""))
        self.finish(process)

    def test_fail_closed(self):
        self.fails_closed("fail_closed")

    def test_a_mode_that_nobody_knows_is_fail_closed(self):
        self.fails_closed("be_kind")

    def test_retain_last_valid(self):
        to, process = self.start_of()
        version = to.set_config(policy=self.bad(), policy_validation_failure_mode="retain_last_valid")
        self.until(process, "CONFIG:RETAINED_LAST_VALID [HIGH] Policy rejected: what was in force stays")
        eventually(lambda: len(to.statuses) == 2)
        self.assertEqual(to.statuses[1][:2], (version, "FAILED"))
        at = len(process.heard)
        self.hears(process, 200)
        self.assertEqual({status for _, status, _ in process.heard[at:]}, {200})
        to.set_config(policy=self.policy(port=1))
        self.hears(process, 403)
        self.finish(process)

    def test_what_this_version_cannot_do_is_not_put_in_force(self):
        to, process = self.start_of()
        policy = self.policy()
        policy.network_policies["server"].endpoints.add(host="db.example.com", port=5432, protocol="tcp")
        version = to.set_config(policy=policy)
        self.until(process, "CONFIG:RETAINED_PREVIOUS_POLICY [HIGH] Policy needs what this sandbox was started without")
        eventually(lambda: len(to.statuses) == 2)
        self.assertEqual(to.statuses[1][:2], (version, "FAILED"))
        self.assertIn("protocol: tcp", to.statuses[1][2])
        self.hears(process, 200)
        self.finish(process)

    def test_a_global_policy_is_not_acknowledged(self):
        to, process = self.start_of()
        to.set_config(policy=self.policy(port=1), policy_source=2, global_policy_version=5)
        self.hears(process, 403)
        self.until(process, "global_version:5]")
        to.set_config(policy=self.policy(), policy_source=1)
        self.hears(process, 200)
        self.said(to, (2, "LOADED", ""), (4, "LOADED", ""))
        self.finish(process)

    def test_files_stay_as_they_are(self):
        to, process = self.start_of()
        policy = self.policy()
        policy.filesystem.read_only.append("/srv")
        policy.process.run_as_user = "1001"
        to.set_config(policy=policy)
        for section in "filesystem_policy", "process":
            self.until(process, f"CONFIG:SKIPPED [MED] Section of the policy holds from the next start on [section:{section}]")
        self.said(to, (2, "LOADED", ""), (3, "LOADED", ""))
        self.finish(process)

    def test_one_that_could_not_be_put_in_force_at_the_start(self):
        to = self.gateway()
        version = to.set_config(policy=self.bad())
        process = self.asking(to, environment=(TOKEN, *WHO))
        self.hears(process, 403)
        eventually(lambda: to.statuses)
        self.assertEqual(to.statuses[0][:2], (version, "FAILED"))
        to.set_config(policy=self.policy())
        self.hears(process, 200)
        eventually(lambda: to.statuses[-1] == (version + 1, "LOADED", ""))
        self.finish(process)

    def test_settings(self):
        logs = self.machine.path(f"logs-{os.urandom(4).hex()}")
        os.mkdir(logs)
        to = self.gateway()
        to.set_settings(ocsf_json_enabled=False)
        process = self.asking(to, logs=logs)

        def records():
            return [name for name in os.listdir(logs) if name.startswith("openshell-ocsf.")]

        self.accepted(to, process)
        self.polls(to)
        self.assertFalse(records())
        to.set_settings(ocsf_json_enabled=True, agent_policy_proposals_enabled=True, own="text")
        self.until(process, "CONFIG:UPDATED [INFO] Setting changed [key:ocsf_json_enabled]")
        self.until(process, "CONFIG:ENABLED [INFO] Setting added [key:own]")
        self.until(process, "CONFIG:SKIPPED [LOW] Setting has no effect in this version [key:agent_policy_proposals_enabled]")
        eventually(records)
        to.set_settings()
        self.until(process, "CONFIG:DISABLED [INFO] Setting removed [key:ocsf_json_enabled]")
        self.until(process, "CONFIG:DISABLED [INFO] Setting removed [key:own]")
        with open(os.path.join(logs, records()[0]), encoding="utf-8") as f:
            found = [json.loads(line) for line in f]
        self.assertTrue(found)
        self.finish(process)
        with open(os.path.join(logs, records()[0]), encoding="utf-8") as f:
            after = len(f.readlines())
        self.assertLess(after - len(found), 3)  # what came before it was told to be off

    def test_a_gateway_that_is_away(self):
        to, process = self.start_of()
        to.stop()
        self.until(process, "the gateway does not say what the sandbox's policy is; what is known stays in force")
        time.sleep(3)
        self.hears(process, 200)
        said = [line for line in process.said if "what is known stays in force" in line]
        self.assertEqual(len(said), 1)
        version = to.set_config(policy=self.policy(port=1))
        to.start()
        self.hears(process, 403)
        self.said(to, (2, "LOADED", ""), (version, "LOADED", ""))
        self.until(process, "the gateway says again what the sandbox's policy is")
        self.finish(process)

    def test_a_gateway_that_does_not_take_the_state(self):
        to, process = self.start_of()
        to.failures["ReportPolicyStatus"] = [
            (Code.UNAVAILABLE, "not now"),
            (Code.UNAVAILABLE, "not now"),
            (Code.NOT_FOUND, "no such version"),
        ]
        to.set_config(policy=self.policy(port=1))
        self.until(process, "it is told again reason=\"ReportPolicyStatus: UNAVAILABLE: not now\"")
        version = to.set_config(policy=self.policy())
        self.until(process, "ReportPolicyStatus: NOT_FOUND: no such version")
        self.said(to, (2, "LOADED", ""), (version, "LOADED", ""))
        self.assertEqual([call for call, _ in to.calls].count("ReportPolicyStatus"), 5)
        self.finish(process)


class FileTest(WithGateway, RootPocket, unittest.TestCase):
    """The policy is a file's, which the gateway does not replace; what else it has is followed."""

    def test_all_but_the_policy(self):
        to = self.gateway()
        other = policy_of(self.machine, self.user)
        other.network_policies["server"].endpoints[0].port = 1
        to.set_config(policy=other)
        to.environment.environment["OWN_KEY"] = "secret"
        get = f"{self.machine.program} get http://{self.server.allowed}/"
        process = self.begin(
            to,
            f"{get}; env; sleep 3; {get}; exec sleep 60",
            environment=(TOKEN, ("OPENSHELL_POLICY_POLL_INTERVAL_SECS", "1")),
            by_file=True,
        )
        self.until(process, "CONFIG:SKIPPED [INFO] Gateway's policy not followed: the policy is a local file")
        self.accepted(to, process)
        to.set_settings(own="text")
        self.until(process, "CONFIG:ENABLED [INFO] Setting added [key:own]")
        other.network_policies["server"].endpoints[0].host = "*"  # which makes no sense
        to.set_config(policy=other)
        self.until(process, "policy_changed:true")
        time.sleep(3)
        self.finish(process)
        out = process.stdout.read()
        found = [json.loads(line)["status"] for line in out.splitlines() if line.startswith("{")]
        self.assertEqual(found, [200, 200])
        self.assertIn("OWN_KEY=", out)
        self.assertNotIn("secret", out)
        self.assertEqual((to.statuses, to.updates, len(to.exits)), ([], [], 1))
        self.assertFalse(any("Policy rejected" in line for line in process.said))

    def test_a_gateway_that_comes_later(self):
        to = self.gateway()
        to.stop()
        process = self.begin(
            to,
            "echo begun; exec sleep 60",
            environment=(TOKEN, ("OPENSHELL_POLICY_POLL_INTERVAL_SECS", "1")),
            by_file=True,
        )
        self.assertEqual(process.stdout.readline(), "begun\n")
        self.until(process, "CONFIG:DEGRADED [LOW] Settings not fetched: the gateway is asked again [reason:")
        to.set_settings(own="text")
        to.start()
        self.accepted(to, process)
        self.until(process, "CONFIG:ENABLED [INFO] Setting added [key:own]")
        self.finish(process)
        self.assertEqual((to.statuses, len(to.exits)), ([], 1))
