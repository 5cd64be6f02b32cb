"""How long it takes until a container of rootless Podman has its session with the gateway: from `podman run`, and from
our own process in it. As `bench_podman.py PROGRAM RUNS` it is what runs in namespaces of its own, as test/hosts does."""

import os
import statistics
import subprocess
import sys
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
COMMAND = "/opt/openshell/bin/openshell-static"
RUNS = 11


def start(machine, endpoint):
    name = str(uuid.uuid4())
    variables = {
        "OPENSHELL_SANDBOX_ID": name,
        "OPENSHELL_SANDBOX": "name",
        "OPENSHELL_ENDPOINT": endpoint,
        "OPENSHELL_SANDBOX_TOKEN": "token",
        "OPENSHELL_SANDBOX_UID": "1000",
        "OPENSHELL_SANDBOX_GID": "1000",
        "OPENSHELL_SSH_SOCKET_PATH": "/run/openshell/ssh.sock",
    }
    flags = ["--rm", "--cgroups=disabled", "--network=host", "--name", name, "-v", f"{machine.binary}:{COMMAND}:ro"]
    flags += [f"--env={k}={v}" for k, v in variables.items()]
    words = machine.podman(True, "run", *flags, "localhost/hosts:1", COMMAND, "sandbox", "--", "/usr/bin/hosts", "read")
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return name, subprocess.Popen(words, cwd="/", **quiet)


def inside(program, runs):
    """Prints for each run its id, when it began, when the gateway heard of it, and what our processes in it have of memory."""
    sys.path[:0] = [os.path.join(ROOT, "test", name) for name in ("hosts", "grpc")]
    import machine as hosts
    from bench_session import pss_mb
    from starts import hello

    machine = hosts.machine()
    try:
        machine.need_image(True)
        gateway = subprocess.Popen([program, "gateway", "127.0.0.1", "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        port = gateway.stdout.readline().strip().removeprefix("port=")
        for _ in range(runs):
            began = time.monotonic_ns() / 1000
            name, process = start(machine, f"http://127.0.0.1:{port}")
            heard = hello(gateway)
            time.sleep(0.5)
            pid = subprocess.run(
                machine.podman(True, "inspect", "--format", "{{.State.Pid}}", name), stdout=subprocess.PIPE, text=True, check=True
            ).stdout
            print(name, began, heard, pss_mb(int(pid)), flush=True)
            subprocess.run(machine.podman(True, "rm", "-f", "-t", "0", name), capture_output=True, check=False)
            process.communicate()
        gateway.communicate()
    finally:
        hosts.close()


def measure(program):
    """(figure, median)."""
    from starts import Starts

    starts = Starts(COMMAND)
    enter = ["unshare", "-m", "-n", "-p", "-f", "--kill-child", "--mount-proc"]
    words = [*enter, sys.executable, os.path.abspath(__file__), os.path.abspath(program), str(RUNS)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    time.sleep(0.1)  # for the last that the kernel has told
    all_, ours, memory = [], [], []
    for name, began, heard, mb in map(str.split, done.stdout.splitlines()):
        all_.append(float(heard) - float(began))
        ours.append(float(heard) - starts.of(name)[0])
        memory.append(float(mb))
    yield "podman run to the session, ms", statistics.median(all_) / 1000
    yield "our process in it to the session, ms", statistics.median(ours) / 1000
    yield "memory of our processes in it, MB", statistics.median(memory)
    starts.close()


if __name__ == "__main__":
    inside(sys.argv[1], int(sys.argv[2]))
