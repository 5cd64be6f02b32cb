"""How long it takes from CreateSandbox to the start of the supervisor's process in its pod, on a real
one-node Kubernetes with the images present. A stand-in is the supervisor, since ours ends at once.
"""

import os
import random
import statistics
import time

import drivers

RUNS = 7
COMMAND = b"/opt/openshell/bin/openshell-sandbox"


def started():
    """When (CLOCK_BOOTTIME, seconds) each process of that command was started, by pid."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().split(b"\0")[0] != COMMAND:
                    continue
            with open(f"/proc/{pid}/stat", "rb") as f:
                ticks = int(f.read().rpartition(b")")[2].split()[19])
        except OSError:  # it ended meanwhile
            continue
        found[pid] = ticks / os.sysconf("SC_CLK_TCK")
    return found


class Pods(drivers.ClusterTest):
    """Not a test: it borrows the words of one."""

    def runTest(self):
        pass

    def one(self, name):
        time.sleep(random.random())  # kubelet looks once a second: not in step with it
        before, began = set(started()), time.clock_gettime(time.CLOCK_BOOTTIME)
        sandbox = self.create(self.sandbox(name))
        deadline = time.monotonic() + 30
        while not (new := {p: t for p, t in started().items() if p not in before}):
            assert time.monotonic() < deadline, f"the pod of {name} does not start"
            time.sleep(0.01)
        self.delete(sandbox)
        return min(new.values()) - began


def measure():
    """(figure, median seconds) of each way to deliver the supervisor."""
    for what, words in {
        "init container": drivers.INIT,
        "image volume": ("--supervisor-sideload-method", "image-volume"),
    }.items():
        pods = Pods()
        pods.args = (*drivers.STAND_IN, *words, *drivers.NO_CLAIM)
        try:
            pods.setUp()
            pods.one("first")  # the garbage collector's first look, caches
            times = [pods.one(f"run-{i}") for i in range(RUNS)]
            yield f"CreateSandbox to our process in the pod, {what}, s", statistics.median(times)
        finally:
            pods.doCleanups()
