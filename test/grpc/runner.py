"""What the tiers in Python have in common: the stubs, the line of a test, patience."""

import glob
import os
import subprocess
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STUBS = os.path.join(ROOT, "build", "gen-py")
# Seconds that anything may take before a test gives up; never a measure of speed.
WAIT = int(os.environ.get("TEST_WAIT", 10))


def eventually(check, what="", seconds=WAIT, pause=0.01):
    """Repeats check() until what it returns is true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            what = what() if callable(what) else what
            raise AssertionError(f"did not happen within {seconds} s: {what or check}")
        time.sleep(pause)


def make_stubs():
    """Python messages of proto/ in build/gen-py, unless they are there and new enough."""
    protos = sorted(glob.glob(os.path.join(ROOT, "proto", "**", "*.proto"), recursive=True))
    newest = max(os.path.getmtime(p) for p in protos)
    made = os.path.join(STUBS, "descriptor_set")
    if os.path.exists(made) and os.path.getmtime(made) > newest:
        return
    os.makedirs(STUBS, exist_ok=True)
    names = [os.path.relpath(p, os.path.join(ROOT, "proto")) for p in protos]
    protoc = ["protoc", "-I" + os.path.join(ROOT, "proto"), "-I/usr/include"]
    # Only what is not below grpc/: that would hide the package of grpcio.
    subprocess.run(
        [*protoc, "--python_out=" + STUBS, *(n for n in names if "/" not in n)], check=True
    )
    subprocess.run(
        [*protoc, "--include_imports", "--descriptor_set_out=" + made, *names], check=True
    )


class Result(unittest.TestResult):
    """One line a test, and what a failed one has to show."""

    def __init__(self):
        super().__init__()
        self.passed = 0
        self.began = time.monotonic()  # for what is told before a test begins: of its class

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def line(self, word, test, note=""):
        print(f"{word:4} {test.id()} ({time.monotonic() - self.began:.1f} s){note}", flush=True)

    def addSuccess(self, test):
        self.passed += 1
        self.line("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.show(test, self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self.show(test, self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            self.show(subtest, (self.failures if failed else self.errors)[-1][1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line("SKIP", test, ": " + reason)

    def show(self, test, text):
        self.line("FAIL", test)
        print(text)
        owner = getattr(test, "test_case", test)
        if hasattr(owner, "diagnostics"):
            try:
                print(owner.diagnostics(), flush=True)
            except Exception as e:  # of a test that failed before it began
                print(f"(nothing more to show: {e})", flush=True)


def each(suite):
    """The tests of a suite of suites."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from each(item)
        else:
            yield item
