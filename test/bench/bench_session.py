"""A sandbox and its gateway, for `run`: session.c is the gateway; commands are OpenSSH's."""

import os
import shutil
import statistics
import subprocess
import tempfile
import time

MEGABYTES = 512
OPTIONS = {
    "ProxyUseFdpass": "yes",
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": "/dev/null",
    "LogLevel": "ERROR",
}


def program_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:  # it has ended
        return None


def family(pid):
    """It and all below it that run the same program."""
    program, found = program_of(pid), [pid]
    for parent in found:
        for task in os.listdir(f"/proc/{parent}/task"):
            with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as f:
                found += [int(word) for word in f.read().split() if program_of(word) == program]
    return found


def pss_mb(pid):
    total = 0
    for process in family(pid):
        with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as f:
            total += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    return total / 1024


class Session:
    def __init__(self, program, binary):
        self.program = program
        self.folder = tempfile.mkdtemp(prefix="bench-")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([program, "session", binary, self.folder], text=True, **pipes)
        started = self.answer()
        self.ms, self.pid = started["session_us"] / 1000, int(started["pid"])
        while not os.path.exists(os.path.join(self.folder, "ssh")):
            time.sleep(0.001)

    def answer(self):
        return {k: float(v) for k, v in (word.split("=") for word in self.process.stdout.readline().split())}

    def relays(self, n, seconds):
        self.process.stdin.write(f"relays {n} {seconds}\n")
        self.process.stdin.flush()
        return self.answer()["mb"]

    def ssh(self, command, **how):
        options = {"ProxyCommand": f"{self.program} passing {self.folder}/ssh", **OPTIONS}
        words = [w for k, v in options.items() for w in ("-o", f"{k}={v}")]
        return subprocess.Popen(["ssh", "-F", "none", *words, "sandbox@sandbox", command], **how)

    def exec_ms(self):
        began = time.monotonic()
        if self.ssh("true").wait() != 0:
            raise SystemExit("bench: ssh true failed")
        return (time.monotonic() - began) * 1000

    def stdout_mb(self):
        """A second, from the first byte to the last."""
        client = self.ssh(f"head -c {MEGABYTES << 20} /dev/zero", stdout=subprocess.PIPE, bufsize=0)
        n = len(client.stdout.read(1 << 20))
        began = time.monotonic()
        while part := client.stdout.read(1 << 20):
            n += len(part)
        client.wait()
        if n != MEGABYTES << 20:
            raise SystemExit(f"bench: {n} bytes of {MEGABYTES} MiB came")
        return n / (time.monotonic() - began) / 1e6

    def memory_with_ssh(self):
        with self.ssh("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as client:
            client.stdin.write(b"x")
            client.stdout.read(1)
            memory = pss_mb(self.pid)
            client.stdin.close()
        return memory

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        shutil.rmtree(self.folder)


def measure(program, binary, seconds, note):
    times = []
    for _ in range(11):
        session = Session(program, binary)
        times.append(session.ms)
        session.close()
    note("exec to the session, ms", statistics.median(times))
    session = Session(program, binary)
    time.sleep(1)
    note("memory, MB", pss_mb(session.pid))
    note("ssh true, there and back, ms", statistics.median(session.exec_ms() for _ in range(21)))
    note("memory with a command by ssh, MB", session.memory_with_ssh())
    for n in 1, 8:
        note(
            f"bytes of {n} relay{'s' * (n > 1)}, MB/s", statistics.median(session.relays(n, seconds) for _ in range(3))
        )
    note("stdout of a command by ssh, MB/s", statistics.median(session.stdout_mb() for _ in range(3)))
    note("memory after all of it, MB", pss_mb(session.pid))
    session.close()
