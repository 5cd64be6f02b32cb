"""The door `sandbox` on a terminal: one of its own for the sandbox, and the operator's as it was."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
import unittest

from door import SHELL, RootPocket, UserUserns
from hosts import WAIT


class OnTerminal:
    def on_terminal(self, *command, options=(), size=(40, 100)):
        """Starts it with a terminal on all three streams; the process and our end."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.addCleanup(os.close, theirs)

        def take():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        process = self.start(
            *command,
            options=options,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=take,
            level="error"
        )
        return process, ours

    def read_until(self, ours, what):
        seen, end = b"", time.monotonic() + WAIT
        while what not in seen:
            self.assertGreater(end, time.monotonic(), seen)
            if select.select([ours], [], [], 0.1)[0]:
                seen += os.read(ours, 4096)
        return seen

    def test_interactive(self):
        process, ours = self.on_terminal(
            SHELL, "-c", "tty; stty size; read line; echo got $line; exit 5", options=("-i",)
        )
        seen = self.read_until(ours, b"40 100\r\n")
        self.assertIn(b"/dev/pts/", seen)
        os.write(ours, b"words\r")
        self.assertIn(b"got words", self.read_until(ours, b"got words"))
        self.assertEqual(process.wait(WAIT), 5)
        self.assertEqual(termios.tcgetattr(self.theirs), self.before)

    def test_it_is_not_the_operator_s(self):
        for options in ("-i",), ():
            process, ours = self.on_terminal(
                SHELL, "-c", "ls -l /proc/self/fd; echo done", options=options
            )
            seen = self.read_until(ours, b"done").decode()
            self.assertNotIn(os.ttyname(self.theirs) + "\r", seen)
            self.assertEqual(process.wait(WAIT), 0)

    def test_keys_are_the_sandbox_s(self):
        """Ctrl-C ends what runs inside, and not the supervisor."""
        process, ours = self.on_terminal(
            SHELL,
            "-c",
            "trap 'echo interrupted; exit 6' INT; echo up; while :; do sleep 0.05; done",
            options=("-i",),
        )
        self.read_until(ours, b"up")
        os.write(ours, b"\x03")
        self.read_until(ours, b"interrupted")
        self.assertEqual(process.wait(WAIT), 6)

    def test_without_i_ctrl_c_is_passed_on(self):
        process, ours = self.on_terminal(
            SHELL,
            "-c",
            "trap 'echo interrupted; exit 6' INT; echo up; while :; do sleep 0.05; done",
        )
        self.read_until(ours, b"up")
        os.write(ours, b"\x03")
        self.read_until(ours, b"interrupted")
        self.assertEqual(process.wait(WAIT), 6)

    def test_a_new_size_is_passed_on(self):
        process, ours = self.on_terminal(
            SHELL,
            "-c",
            "trap 'stty size; exit 0' WINCH; echo up; while :; do sleep 0.05; done",
            options=("-i",),
        )
        self.read_until(ours, b"up")
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
        self.read_until(ours, b"50 132")
        self.assertEqual(process.wait(WAIT), 0)

    def test_the_terminal_is_given_back_when_a_signal_ends_it(self):
        process, ours = self.on_terminal(SHELL, "-c", "echo up; sleep 1006", options=("-i",))
        self.read_until(ours, b"up")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(WAIT), 128 + 15)
        self.assertEqual(termios.tcgetattr(self.theirs), self.before)

    def test_the_terminal_is_given_back_when_it_cannot_start(self):
        process, _ = self.on_terminal("/bin/bahs", options=("-i",))
        self.assertEqual(process.wait(WAIT), 1)
        self.assertEqual(termios.tcgetattr(self.theirs), self.before)

    def test_all_output_gets_through(self):
        process, ours = self.on_terminal(SHELL, "-c", "seq 1 20000; echo end", options=("-i",))
        seen = self.read_until(ours, b"end\r\n")
        self.assertEqual(len(seen.split()), 20001)
        self.assertEqual(process.wait(WAIT), 0)

    def test_output_of_a_tty_without_a_terminal_here(self):
        """What an engine's logs show of a main process that has a terminal."""
        spec = '{"version":1,"command":["/bin/sh","-c","tty; stty size; exit 3"],"tty":true}'
        done = self.sandbox(environment=[("OPENSHELL_MAIN_PROCESS_SPEC", spec)])
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertRegex(done.stdout, r"^/dev/pts/\d+\n24 80\n$")

    def test_the_default_is_a_login_shell_that_waits(self):
        process = self.start(options=("--timeout", "2"))
        self.assertEqual(process.wait(WAIT), 124)


class RootTest(OnTerminal, RootPocket, unittest.TestCase):
    pass


class UserTest(OnTerminal, UserUserns, unittest.TestCase):
    pass


del RootPocket, UserUserns
