"""The door `sandbox` with a gateway: the log as the gateway has it."""

import unittest

from door import RootPocket
from gateway import Code
from runner import WAIT, eventually
from test_door_gateway import ID, LONG, WithGateway


class LogsTest(WithGateway, RootPocket, unittest.TestCase):
    def messages(self, to):
        return [message for _, _, message in to.log]

    def has(self, to, words):
        return eventually(
            lambda: next((m for m in self.messages(to) if words in m), None), lambda: "\n".join(self.messages(to))
        )

    def test_from_the_first_line_to_the_last(self):
        to = self.gateway()
        process = self.begin(to)
        self.accepted(to, process)
        self.finish(process)
        first, last = to.log[0], self.messages(to)[-2:]
        self.assertEqual(first[:2], ("OCSF", "ocsf"))
        self.assertIn("CONFIG:LOADING [INFO] Fetching sandbox policy", first[2])
        self.assertIn("PROC:TERMINATE", last[0])
        self.assertIn("CONFIG:CLEANED_UP [INFO] Sandbox ended and its processes are gone [rung:pocket]", last[1])
        self.assertTrue(any("CONFIG:CREATED" in m and "rung:pocket" in m for m in self.messages(to)))
        self.assertEqual({batch.sandbox_id for batch in to.log_batches}, {ID})
        self.assertEqual({line.source for batch in to.log_batches for line in batch.logs}, {"sandbox"})
        self.assertEqual(len(to.log_calls), 1)

    def test_a_sandbox_that_does_not_start(self):
        """Before the wall, and when its command cannot be run: why is at the gateway, who never had a session."""
        to = self.gateway()
        token = ("OPENSHELL_SANDBOX_TOKEN", "token-1")
        process = self.begin(to, environment=[token, ("OPENSHELL_SANDBOX_UID", "1000")])
        self.ended(process, 1)
        self.assertIn("CONFIG:LOADING", self.messages(to)[0])
        self.assertIn("the sandbox cannot start", self.messages(to)[-1])
        self.assertIn("OPENSHELL_SANDBOX_GID", self.messages(to)[-1])
        to.log.clear()
        self.options = [*self.options, "--workdir", "/not/there"]
        process = self.begin(to)
        self.ended(process, 1)
        self.has(to, "the sandbox's command cannot be run")
        self.assertEqual(to.sessions, [])

    def test_a_gateway_that_never_hears_why_it_does_not_start(self):
        to = self.gateway()
        to.failures["PushSandboxLogs"] = 9 * [(Code.UNAVAILABLE, "away")]
        self.options = [*self.options, "--workdir", "/not/there"]
        process = self.begin(to)
        self.ended(process, 1)
        self.assertEqual(to.log, [])

    def test_a_gateway_that_does_not_take_it_at_first(self):
        to = self.gateway()
        to.failures["PushSandboxLogs"] = [(Code.UNAVAILABLE, "not yet")]
        process = self.begin(to)
        self.until(process, "the log is not pushed to the gateway; it is tried again")
        self.has(to, "PROC:LAUNCH")
        self.until(process, "the log is pushed to the gateway again")
        self.finish(process)
        self.assertIn("CONFIG:LOADING", self.messages(to)[0])
        self.assertNotIn("pushed", "".join(self.messages(to)))

    def test_a_token_that_is_refused_ends_it(self):
        """When it is again and again: one that is renewed meanwhile counts."""
        to = self.gateway()
        to.failures["PushSandboxLogs"] = 2 * [(Code.UNAUTHENTICATED, "who are you")]
        process = self.begin(to)
        self.has(to, "PROC:LAUNCH")
        self.finish(process)
        self.assertIn("CONFIG:LOADING", self.messages(to)[0])
        to = self.gateway()
        to.failures["PushSandboxLogs"] = 9 * [(Code.UNAUTHENTICATED, "who are you")]
        process = self.begin(to)
        self.accepted(to, process)
        disabled = "log push disabled after authentication failure"
        eventually(lambda: any(disabled in line for line in process.said), seconds=6 * WAIT)
        self.finish(process)
        self.assertEqual((len(to.log_calls), to.log), (5, []))

    def test_one_that_is_away_for_long(self):
        """No more than some lines are kept; that others are lost is said where they are missing."""
        to = self.gateway()
        to.failures["PushSandboxLogs"] = [(Code.UNAVAILABLE, "away")] * 3
        get = f"{self.machine.program} get http://{self.server.denied}/ >/dev/null"
        process = self.begin(to, f"i=0; while [ $i -lt 250 ]; do {get}; i=$((i + 1)); done; echo done; {LONG}")
        self.assertEqual(process.stdout.readline(), "done\n")
        lines = self.messages(to)
        self.assertLess(len(lines), 300)
        self.has(to, "lines lost here, since the gateway did not take them")
        self.finish(process)
        self.assertIn("CONFIG:LOADING", self.messages(to)[0])
        self.assertLessEqual(max(len(batch.logs) for batch in to.log_batches), 50)


