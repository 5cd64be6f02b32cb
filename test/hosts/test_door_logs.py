"""The door `sandbox` with a gateway: the log as the gateway has it."""

import unittest

from door import RootPocket
from gateway import Code
from runner import eventually
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
        to = self.gateway()
        to.failures["PushSandboxLogs"] = [(Code.UNAUTHENTICATED, "who are you")]
        process = self.begin(to)
        self.until(process, "log push disabled after authentication failure")
        self.accepted(to, process)
        self.finish(process)
        self.assertEqual((len(to.log_calls), to.log), (1, []))

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


