"""The door `sandbox` with a gateway: its policy, its session, the report of its end."""

import itertools
import json
import os
import signal
import subprocess
import threading
import unittest

import gateway
from door import SHELL, RootPocket, UserHost, UserUserns
from gateway import Certificates, Code, Gateway, pb, policy_of, sandbox_pb
from runner import eventually

ID = "0b1e9a3c-55d5-4a0e-8a55-3f4f5a0c2b11"
LONG = "while :; do sleep 0.1; done"  # ends with the signal that it is sent


def parents():
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                yield int(name), int(f.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            pass


def has_in_memory(pid, secret):
    """Whether it stands in memory that the process can write."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
            areas = [line.split()[:2] for line in f if " rw" in line]
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for area, _ in areas:
                begin, end = (int(text, 16) for text in area.split("-"))
                memory.seek(begin)
                if secret in memory.read(end - begin):
                    return True
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended
    return False


class WithGateway:
    def gateway(self, **how):
        config = sandbox_pb.GetSandboxConfigResponse(
            policy=policy_of(self.machine, self.user), version=1, policy_hash="hash", policy_source=1
        )
        made = Gateway(how.pop("config", config), **how)
        self.addCleanup(made.stop)
        return made

    def begin(self, to, script=LONG, environment=(("OPENSHELL_SANDBOX_TOKEN", "token-1"),), url=None, wrapper=(), by_file=False, **how):
        """A sandbox of that gateway; its lines on stderr are gathered in said. by_file: its policy is a file's."""
        options = "--sandbox-id", ID, "--sandbox", "name", "--openshell-endpoint", url or to.url
        words = self.words(SHELL, "-c", script, options=options, **how)
        if not by_file:
            at = words.index("--policy-data")
            del words[at : at + 2]
        at = words.index(self.machine.binary)
        words[at:at] = [f"{k}={v}" for k, v in environment]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [*wrapper, *words], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, cwd="/"
        )
        process.said = []

        def listen():
            process.said.extend(iter(process.stderr.readline, ""))

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()
            listener.join()
            process.stdout.close()
            process.stderr.close()

        self.addCleanup(end)
        return process

    def until(self, process, words):
        """Waits for a line that has the words, and returns it."""
        return eventually(
            lambda: next((line for line in list(process.said) if words in line), None),
            lambda: f"{words}\n{''.join(process.said)}",
        )

    def accepted(self, to, process, n=1):
        eventually(
            lambda: sum("supervisor session established" in line for line in process.said) >= n,
            lambda: "".join(process.said),
        )
        return to.sessions[-1]

    def finish(self, process, code=128 + signal.SIGTERM):
        """Tells the main process to end."""
        process.send_signal(signal.SIGTERM)
        self.ended(process, code)

    def ended(self, process, code):
        self.assertEqual(process.wait(gateway.runner.WAIT), code, "".join(process.said))


class Life(WithGateway):
    """On several rungs."""

    def test_policy_session_and_exit(self):
        to = self.gateway()
        get = f"{self.machine.program} get http://{self.server.allowed}/ get http://{self.server.denied}/"
        process = self.begin(to, f"{get}; env; read x < /proc/1/environ; sleep 1; exit 7")
        self.accepted(to, process)
        self.ended(process, 7)
        out = process.stdout.read()
        allowed, denied = (json.loads(line) for line in out.splitlines()[:2])
        self.assertEqual(allowed["status"], 200)
        self.assertEqual(denied["status"], 403 if self.enforced else 200)
        self.assertNotIn("token-1", out + "".join(process.said))
        called = [call for call, _ in to.calls]
        self.assertEqual(called[0], "GetSandboxConfig")
        self.assertEqual(called[-1], "ReportMainProcessExit")
        self.assertEqual(called.count("ConnectSupervisor"), 1)
        self.assertEqual({bearer for _, bearer in to.calls}, {"Bearer token-1"})
        hello, report = to.sessions[0].hello, to.exits[0]
        self.assertEqual((hello.sandbox_id, report.sandbox_id, report.exit_code), (ID, ID, 7))
        self.assertRegex(hello.instance_id, r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        self.assertEqual(report.instance_id, hello.instance_id)
        self.until(process, "NET:OPEN [INFO] [msg:supervisor session established (session_id=session-1, heartbeat_secs=15)]")


class LifeRootPocketTest(Life, RootPocket, unittest.TestCase):
    pass


class LifeUserUsernsTest(Life, UserUserns, unittest.TestCase):
    pass


class LifeUserHostTest(Life, UserHost, unittest.TestCase):
    pass


class StartTest(WithGateway, RootPocket, unittest.TestCase):
    """The configuration, and what is wrong with the gateway, the token, the files."""

    def refused(self, words, **how):
        process = self.begin(None, url="http://127.0.0.1:1", **how)
        self.ended(process, 1)
        self.until(process, words)

    def test_what_is_not_given(self):
        self.refused(
            "no token for gateway 127.0.0.1:1: neither OPENSHELL_SANDBOX_TOKEN, ", environment=()
        )
        process = self.begin(None, url="https://127.0.0.1:1")
        self.ended(process, 1)
        self.until(process, "OPENSHELL_TLS_CA is not set, which gateway https://127.0.0.1:1 needs")

    def test_a_gateway_that_comes_late(self):
        to = self.gateway()
        to.failures["GetSandboxConfig"] = [(Code.UNAVAILABLE, "not yet")]
        process = self.begin(to)
        self.until(process, "GetSandboxConfig: UNAVAILABLE: not yet")
        self.accepted(to, process)
        self.finish(process)

    def test_a_token_that_is_refused(self):
        to = self.gateway(tokens=["another"])
        process = self.begin(to)
        self.ended(process, 1)
        self.until(process, f"gateway 127.0.0.1:{to.port}: GetSandboxConfig: UNAUTHENTICATED: token expired")
        self.assertEqual(len(to.calls), 1)

    def test_a_gateway_that_is_not_there(self):
        process = self.begin(None, url="http://127.0.0.1:1")
        self.until(process, "127.0.0.1:1: Connection refused")
        process.send_signal(signal.SIGTERM)  # nobody needs to wait for it
        self.ended(process, 1)
        self.until(process, "told to end while the gateway was asked")

    def test_tls(self):
        made = Certificates(self.machine.path("tls"))
        to = self.gateway(tls=made.server())
        token = ("OPENSHELL_SANDBOX_TOKEN", "token-1")
        process = self.begin(to, environment=[token, *made.environment()])
        self.accepted(to, process)
        self.finish(process)
        self.assertEqual(to.exits[-1].exit_code, 128 + signal.SIGTERM)
        wrong = made.environment(OPENSHELL_GATEWAY_TLS_SERVER_NAME="other.test")
        process = self.begin(to, environment=[token, *wrong])
        line = self.until(process, "the gateway did not answer, and is asked again")
        self.assertIn(f"127.0.0.1:{to.port}", line)
        self.assertRegex(line, r"certificate.*other\.test")
        process.kill()
        other = Certificates(self.machine.path("tls-other"))
        wrong = made.environment(OPENSHELL_TLS_CA=other.path("ca.crt"))
        process = self.begin(to, environment=[token, *wrong])
        self.assertIn("not trusted", self.until(process, "the gateway did not answer, and is asked again"))


class SessionTest(WithGateway, RootPocket, unittest.TestCase):
    def test_the_token_is_in_no_other_process(self):
        to = self.gateway(tokens=["a-token-of-this-test"])
        process = self.begin(to, environment=[("OPENSHELL_SANDBOX_TOKEN", "a-token-of-this-test")])
        self.accepted(to, process)
        below = {process.pid}
        for _ in range(3):  # keeper, nursery and workload; what the workload starts
            below |= {pid for pid, parent in parents() if parent in below}
        self.assertGreaterEqual(len(below), 4)
        self.assertTrue(has_in_memory(process.pid, ID.encode()))  # what is there is found
        for pid in below - {process.pid}:
            self.assertFalse(has_in_memory(pid, b"a-token-of-this-test"), pid)
        self.finish(process)

    def test_a_late_accept(self):
        to = self.gateway()
        to.accepts = False
        process = self.begin(to)
        session = eventually(lambda: to.sessions and to.sessions[0])
        self.assertFalse(any("session established" in line for line in process.said))
        to.accept(session)
        self.accepted(to, process)
        self.finish(process)

    def test_superseded_again_and_again(self):
        """The pause does not grow, since each was accepted."""
        to = self.gateway()
        process = self.begin(to)
        for n in range(1, 4):
            self.accepted(to, process, n).end()
        self.accepted(to, process, 4)
        failures = [line for line in process.said if "NET:FAIL [LOW] [reason:" in line]
        self.assertEqual(len(failures), 3, failures)
        self.assertTrue(all("reconnecting (attempt 1): the gateway ended" in line for line in failures))
        self.assertEqual(len({s.hello.instance_id for s in to.sessions}), 1)
        self.finish(process)
        self.assertEqual(len(to.exits), 1)

    def test_refused_and_rejected(self):
        to = self.gateway()
        to.failures["ConnectSupervisor"] = [(Code.NOT_FOUND, "sandbox not found")]
        to.accepts = False
        process = self.begin(to)
        self.until(process, "reconnecting (attempt 1): NOT_FOUND: sandbox not found")
        eventually(lambda: to.sessions)[0].say(session_rejected=pb.SessionRejected(reason="not you"))
        self.until(process, "reconnecting (attempt 2): the gateway rejected the session: not you")
        self.finish(process)

    def test_heartbeats(self):
        to = self.gateway()
        to.heartbeat = 1  # the least is 5
        process = self.begin(to)
        session = self.accepted(to, process)
        session.say(heartbeat=pb.GatewayHeartbeat())
        eventually(lambda: session.said_of("heartbeat"))
        self.finish(process)

    def test_a_gateway_that_goes_and_comes_back(self):
        to = self.gateway()
        process = self.begin(to)
        self.accepted(to, process)
        to.stop()
        self.until(process, "NET:FAIL [LOW] [reason:supervisor session failed, reconnecting (attempt 1)")
        self.until(process, "Connection refused")
        to.start()
        self.accepted(to, process, 2)
        self.finish(process)
        self.assertEqual(len(to.exits), 1)

    def test_a_token_that_is_renewed(self):
        to = self.gateway()
        path = self.machine.write("token", "token-1\n")
        process = self.begin(to, environment=[("OPENSHELL_SANDBOX_TOKEN_FILE", path)])
        session = self.accepted(to, process)
        to.tokens = {"token-2"}
        session.end()
        self.until(process, "(attempt 2): UNAUTHENTICATED: token expired")
        self.machine.write("token", "token-2\n")
        self.accepted(to, process, 2)
        self.finish(process)
        self.assertEqual(to.calls[-1], ("ReportMainProcessExit", "Bearer token-2"))


class TokenTest(WithGateway, RootPocket, unittest.TestCase):
    """Where it comes from, and how it is kept alive."""

    def bearers(self, to, method):
        return [bearer.removeprefix("Bearer ") for call, bearer in to.calls if call == method]

    def with_account(self, *issues):
        path = self.machine.write("account", "account-1\n")
        to = self.gateway(tokens=())
        to.account, to.issues = "account-1", list(issues)
        return to, [("OPENSHELL_K8S_SA_TOKEN_FILE", path)]

    def test_a_service_account(self):
        to, environment = self.with_account("issued-1")
        to.failures["IssueSandboxToken"] = [(Code.UNAVAILABLE, "not yet")]
        process = self.begin(to, environment=environment)
        self.accepted(to, process)
        self.assertEqual(self.bearers(to, "IssueSandboxToken"), ["account-1"] * 2)
        self.assertEqual(self.bearers(to, "ConnectSupervisor"), ["issued-1"])
        self.finish(process)
        self.assertEqual(self.bearers(to, "ReportMainProcessExit"), ["issued-1"])
        self.assertNotIn("issued-1", "".join(process.said))

    def test_a_service_account_that_is_refused(self):
        to, environment = self.with_account()
        to.account = "another"
        process = self.begin(to, environment=environment)
        self.ended(process, 1)
        self.until(process, f"gateway 127.0.0.1:{to.port}: IssueSandboxToken: UNAUTHENTICATED: not this account")

    def test_what_is_issued_must_be_a_token(self):
        to, environment = self.with_account("two words")
        process = self.begin(to, environment=environment)
        self.ended(process, 1)
        self.until(process, "the token that it issued: it is empty, or no token")

    def test_it_is_renewed_in_time(self):
        """Each call has the one that holds then, also on a connection from before."""
        first, second, third = gateway.token("a", 2), gateway.token("b", 2), gateway.token("c", 3600)
        to = self.gateway(tokens=[first])
        to.issues = [second, third]
        fast = ("OPENSHELL_POLICY_POLL_INTERVAL_SECS", "1")
        process = self.begin(to, environment=[("OPENSHELL_SANDBOX_TOKEN", first), fast])
        self.accepted(to, process)
        eventually(lambda: self.bearers(to, "RefreshSandboxToken") == [first, second])
        to.tokens = {third}
        eventually(lambda: self.bearers(to, "GetSandboxConfig")[-1] == third)
        self.assertEqual(len(to.sessions), 1)
        self.finish(process)
        self.assertEqual(self.bearers(to, "ReportMainProcessExit"), [third])
        self.assertNotIn("UNAUTHENTICATED", "".join(process.said))
        self.assertFalse(any(token in "".join(process.said) for token in (first, second, third)))

    def test_it_is_exchanged_again(self):
        """When it has expired before it could be renewed."""
        first, second = gateway.token("a", 1), gateway.token("b", 3600)
        to, environment = self.with_account(first, second)
        process = self.begin(to, environment=environment)
        self.accepted(to, process)
        to.tokens = set()
        eventually(lambda: self.bearers(to, "IssueSandboxToken") == ["account-1"] * 2)
        self.until(process, "the token was renewed")
        self.finish(process)
        self.assertEqual(self.bearers(to, "ReportMainProcessExit"), [second])

    def test_it_is_exchanged_when_it_is_refused(self):
        """Long before its end, as when the gateway's key is another."""
        first, second = gateway.token("a", 3600), gateway.token("b", 3600)
        to, environment = self.with_account(first, second)
        process = self.begin(to, environment=[*environment, ("OPENSHELL_POLICY_POLL_INTERVAL_SECS", "1")])
        self.accepted(to, process)
        to.tokens = set()
        self.until(process, "the token was renewed")
        eventually(lambda: self.bearers(to, "GetSandboxConfig")[-1] == second)
        self.until(process, "the gateway says again what the sandbox's policy is")
        self.assertEqual(len(to.sessions), 1)
        self.finish(process)

    def test_it_is_in_no_memory_without_a_gateway(self):
        """With a local policy."""
        words = self.words(SHELL, "-c", "echo up; sleep 60")
        words.insert(words.index(self.machine.binary), "OPENSHELL_SANDBOX_TOKEN=a-token-of-nobody")
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        process.stdout.readline()
        below = {process.pid}
        for _ in range(4):
            below |= {pid for pid, parent in parents() if parent in below}
        self.assertGreaterEqual(len(below), 4)
        for pid in below:
            self.assertFalse(has_in_memory(pid, b"a-token-of-nobody"), pid)


class ProvidersTest(WithGateway, RootPocket, unittest.TestCase):
    """What programs have of providers: placeholders."""

    def test_placeholders(self):
        to = self.gateway()
        to.environment = pb.GetSandboxProviderEnvironmentResponse(
            environment={"API_KEY": "the-secret-itself", "REGION": "here", "HTTPS_PROXY": "x", "OPENSHELL_X": "x"},
            provider_env_revision=3,
            non_secret_environment_keys=["REGION"],
        )
        process = self.begin(to, "env; echo; sleep 60 & wait")
        self.until(process, "CONFIG:LOADED [INFO] Fetched provider environment [env_count:3]")
        self.until(process, "CONFIG:SKIPPED [MED] Provider variables left out: no names, reserved, or too large [count:1]")
        self.accepted(to, process)
        told = itertools.takewhile(str.strip, process.stdout)  # to the empty line, or its end
        found = dict(line.strip().split("=", 1) for line in told if "=" in line)
        below = {process.pid}
        for _ in range(4):
            below |= {pid for pid, parent in parents() if parent in below}
        for pid in below:
            self.assertFalse(has_in_memory(pid, b"the-secret-itself"), pid)
        self.finish(process)
        self.assertEqual(found["API_KEY"], "openshell:resolve:env:v3_API_KEY")
        self.assertEqual(found["REGION"], "here")
        self.assertTrue(found["HTTPS_PROXY"].startswith("http://"))
        self.assertNotIn("OPENSHELL_X", found)

    def test_they_cannot_be_had(self):
        to = self.gateway()
        to.failures["GetSandboxProviderEnvironment"] = 2 * [(Code.INTERNAL, "no")]
        fast = ("OPENSHELL_POLICY_POLL_INTERVAL_SECS", "1")
        process = self.begin(to, environment=[("OPENSHELL_SANDBOX_TOKEN", "token-1"), fast])
        line = "CONFIG:FAIL_CLOSED [HIGH] Provider environment not fetched: programs have no credentials [reason:"
        self.until(process, line)
        self.accepted(to, process)
        to.set_config(provider_env_revision=2)
        self.until(process, "provider_env_changed:true]")
        eventually(lambda: not to.failures["GetSandboxProviderEnvironment"])
        to.set_config(provider_env_revision=3)
        self.until(process, "CONFIG:LOADED [INFO] Fetched provider environment [env_count:0]")
        self.assertEqual(sum(line in said for said in process.said), 1)
        self.finish(process)


class ExitTest(WithGateway, RootPocket, unittest.TestCase):
    def end_of(self, to):
        process = self.begin(to, LONG)
        self.accepted(to, process)
        process.send_signal(signal.SIGTERM)
        return process

    def test_told_until_it_is_acknowledged(self):
        to = self.gateway()
        to.failures["ReportMainProcessExit"] = 3 * [(Code.UNAVAILABLE, "not now")]
        process = self.end_of(to)
        self.ended(process, 128 + signal.SIGTERM)
        self.assertEqual(([c for c, _ in to.calls].count("ReportMainProcessExit"), len(to.exits)), (4, 1))

    def test_the_session_ends_in_order(self):
        """Not by a connection that breaks, which a gateway would tell its operator."""
        to = self.gateway()
        process = self.end_of(to)
        self.ended(process, 128 + signal.SIGTERM)
        self.assertTrue(to.sessions[0].in_order)

    def test_a_relay_that_is_asked_for_too_late(self):
        """The sandbox has said its last, and the gateway not heard it: the end is told all the same."""
        to = self.gateway()
        to.farewell = [{"relay_open": pb.RelayOpen(channel_id="late", ssh=pb.SshRelayTarget())}]
        process = self.end_of(to)
        self.ended(process, 128 + signal.SIGTERM)
        self.assertEqual([e.exit_code for e in to.exits], [128 + signal.SIGTERM])

    def test_refused_for_good(self):
        to = self.gateway()
        to.failures["ReportMainProcessExit"] = 9 * [(Code.PERMISSION_DENIED, "not yours")]
        process = self.end_of(to)
        self.ended(process, 128 + signal.SIGTERM)
        self.assertEqual([c for c, _ in to.calls].count("ReportMainProcessExit"), 1)
        self.until(process, "ReportMainProcessExit: PERMISSION_DENIED: not yours")

    def test_a_gateway_that_is_gone_does_not_hold_it(self):
        to = self.gateway()
        process = self.begin(to, "sleep 1; exit 3")
        self.accepted(to, process)
        to.stop()
        self.until(process, "the exit of the main process is not acknowledged")
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        self.finish(process, 3)
