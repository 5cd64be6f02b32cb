"""How long it takes from CreateSandbox to the start of the supervisor's process in its pod, on a real
one-node Kubernetes with the images present; there a stand-in is the supervisor. And how long from our own process
in a pod to the session with the gateway, which is one in C (session.c) in the network of the node.
"""

import os
import random
import statistics
import subprocess
import time

import drivers
from bench_session import pss_mb
from starts import Starts, hello

RUNS = 7
COMMAND = b"/opt/openshell/bin/openshell-sandbox"
ADDRESS, PORT = "10.77.0.1", 18080  # the node's, on the bridge of its pods


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


class Sessions(drivers.ClusterTest):
    """As Pods."""

    args = (*drivers.OURS, *drivers.INIT, *drivers.NO_CLAIM, "--gateway-endpoint", f"http://{ADDRESS}:{PORT}")
    program = None

    def runTest(self):
        pass

    def before_driver(self):
        words = self.cluster.command(self.program, "gateway", ADDRESS, str(PORT))
        self.gateway = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.gateway.communicate)
        self.assertEqual(self.gateway.stdout.readline(), f"port={PORT}\n")

    def one(self, name):
        """When it was asked for, when the gateway heard of it, and when our process in it began, which has that pid."""
        began = time.monotonic_ns() / 1000
        command = ["/usr/bin/hosts", "echo", "9000"]
        sandbox = self.create(self.sandbox(name, template={"image": "localhost/hosts:1"}, command=command))
        heard = hello(self.gateway)
        time.sleep(0.5)
        start, pid = self.starts.of(sandbox.id)
        memory = pss_mb(pid)
        self.delete(sandbox)
        return heard - began, heard - start, memory


def sessions(program):
    """(figure, median)."""
    pods = Sessions()
    pods.program, pods.starts = program, Starts(COMMAND.decode())
    try:
        pods.setUp()
        pods.one("first")
        all_, ours, memory = map(statistics.median, zip(*(pods.one(f"run-{i}") for i in range(RUNS))))
        yield "CreateSandbox to the session in a pod, s", all_ / 1e6
        yield "our process in a pod to the session, ms", ours / 1000
        yield "memory of our processes in a pod, MB", memory
    finally:
        pods.doCleanups()
        pods.starts.close()
