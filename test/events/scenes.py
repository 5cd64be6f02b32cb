"""What has to be so that each event is told: a scene is a function, and its lines are what the log
holds afterwards. Most are small changes of one: a policy, a variable, a fault."""

import contextlib
import ctypes
import functools
import glob
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", name) for name in ("grpc", "hosts")]
from hosts import BINARY, PROGRAM, Server  # noqa: E402
from runner import WAIT, eventually  # noqa: E402

ADDRESS, USER = "10.78.0.1", 1000
LANDLOCK_ABI_KNOWN = 9  # src/isolate/landlock.h
ALL = []


def scene(function):
    ALL.append(function)
    return function


# -- the machine -----------------------------------------------------------------------------------


def do(*words):
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT)


class Machine:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="events-", dir="/run")  # no path that is given to every sandbox
        do("mount", "-t", "tmpfs", "-o", "mode=755", "events", self.folder)
        do("ip", "link", "set", "lo", "up")
        do("ip", "address", "add", ADDRESS + "/32", "dev", "lo")
        self.server = Server(ADDRESS)
        self.binary = shutil.copy(BINARY, self.path("openshell-static"))
        self.program = shutil.copy(PROGRAM, self.path("hosts"))
        self.lines = []

    def close(self):
        self.server.close()
        do("umount", "-l", self.folder)
        os.rmdir(self.folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def fresh(self, name, owner=0):
        shutil.rmtree(self.path(name), ignore_errors=True)
        os.mkdir(self.path(name))
        os.chown(self.path(name), owner, owner)
        return self.path(name)


@functools.cache
def machine():
    return Machine()


def play(function):
    """The scene's lines."""
    machine().lines = []
    function()
    return machine().lines


def cannot_be_told():
    """(beginning of a row, why) where this machine has nothing that could be the reason for it."""
    abi = ctypes.CDLL(None).syscall(CALLS["landlock_create_ruleset"], None, 0, 1)
    if abi >= LANDLOCK_ABI_KNOWN:
        yield "CONFIG:DEGRADED [LOW] Landlock of this kernel cannot", f"it can all of it: {abi}"


def read_logs(folder):
    lines = []
    for name in sorted(glob.glob(os.path.join(folder, "openshell.*.log"))):
        with open(name, encoding="utf-8") as f:
            for text in f.read().splitlines():
                found = re.fullmatch(r"\S+Z OCSF (.*)", text)
                if found:
                    lines.append(found[1])
    return lines


def check_records(folder, lines):
    """There is a record for each line, of the same class and severity, with sorted keys."""
    records = []
    for name in sorted(glob.glob(os.path.join(folder, "openshell-ocsf.*.log"))):
        with open(name, encoding="utf-8") as f:
            for text in f.read().splitlines():
                record = json.loads(text)
                if json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False) != text:
                    raise AssertionError(f"its keys are not sorted: {text}")
                records.append(record)
    told = [re.match(r"(\w+).*? \[([A-Z]{3})", line).groups() for line in lines]
    kept = [(CLASSES[r["class_uid"]], r["severity"].upper()[:3]) for r in records]
    if told != kept:
        raise AssertionError(f"lines {told}, records {kept}")


CLASSES = {4001: "NET", 4002: "HTTP", 4007: "SSH", 1007: "PROC", 2004: "FINDING", 5019: "CONFIG"}


# -- faults ----------------------------------------------------------------------------------------

EPERM, ENOSYS, EPROTONOSUPPORT = 1, 38, 93
X86 = os.uname().machine == "x86_64"
CALLS = {
    "socket": 41 if X86 else 198,
    "fcntl": 72 if X86 else 25,
    "prctl": 157 if X86 else 167,
    "setgroups": 116 if X86 else 159,
    "unshare": 272 if X86 else 97,
    "landlock_create_ruleset": 444,
    "open_tree": 428,
    "fsopen": 430,
    "pivot_root": 155 if X86 else 41,
    "chroot": 161 if X86 else 51,
}


def refuse(call, error, **arguments):
    """The kernel answers that call with that error, when its arguments (a0, a1, …) are these."""

    def statement(code, jt, jf, k):
        return struct.pack("HBBI", code, jt, jf, k)

    tests = [(0, CALLS[call])]
    tests += [(16 + 8 * int(name[1:]), value) for name, value in arguments.items()]
    program = []
    for i, (offset, value) in enumerate(tests):
        past = 2 * (len(tests) - i) - 1  # the statement behind the one that refuses
        program += [statement(0x20, 0, 0, offset), statement(0x15, 0, past, value)]
    program += [statement(0x06, 0, 0, 0x00050000 | error), statement(0x06, 0, 0, 0x7FFF0000)]
    code = b"".join(program)

    def install():
        libc = ctypes.CDLL(None, use_errno=True)
        buffer = ctypes.create_string_buffer(code, len(code))
        filters = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(buffer))
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, filters, 0, 0):
            raise OSError(ctypes.get_errno(), "seccomp")

    return install


def become(user, groups=()):
    def install():
        os.setgroups(groups)
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)

    return install


# -- a sandbox -------------------------------------------------------------------------------------


OBSERVED = ["--network-mode", "host"]


def endpoint(where, **more):
    host, port = where.rsplit(":", 1)
    return {"host": host, "port": int(port), **more}


def policy(endpoints=None, **changes):
    """The server's first port is allowed to our program. JSON is YAML."""
    m = machine()
    rule = {
        "endpoints": endpoints or [endpoint(m.server.allowed)],
        "binaries": [{"path": m.program}],
    }
    all_of_it = {
        "version": 1,
        "filesystem_policy": {"read_only": [m.folder, "/usr", "/bin", "/lib", "/lib64"]},
        "landlock": {"compatibility": "best_effort"},
        "process": {"run_as_user": str(USER), "run_as_group": str(USER)},
        "network_policies": {"server": rule},
        **changes,
    }
    return {key: value for key, value in all_of_it.items() if value is not None}


def files(**paths):
    read_only = [machine().folder, "/usr", "/bin", "/lib", "/lib64"]
    return {"filesystem_policy": {"read_only": read_only, **paths}}


@contextlib.contextmanager
def started(
    *command,
    flags=(),
    rules=None,
    env=None,
    faults=(),
    user=0,
    wrap=(),
    logs=None,
    records=True,
    by_file=True,  # the policy
):
    """The running supervisor; its lines are read in the end, when it must have ended by itself."""
    m = machine()
    logs = logs or m.fresh("logs", user)
    file = m.write("policy.yaml", json.dumps(rules or policy()))
    words = [*wrap, m.binary, "sandbox", "--log-dir", logs, "--ocsf-json"]
    words += ["--policy-data", file] if by_file else []
    process = subprocess.Popen(
        [*words, *flags, *(["--", *command] if command else [])],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(env or {})},
        cwd=m.folder,  # which everybody may enter
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        preexec_fn=(lambda: [fault() for fault in faults]) if faults else None,
    )
    process.until = lambda begin: eventually(
        lambda: any(line.startswith(begin) for line in read_logs(logs)), begin
    )
    try:
        yield process
        process.out, process.err = process.communicate(timeout=WAIT)
    finally:
        process.kill()
        process.wait()
        lines = read_logs(logs)
        m.lines += lines
    if records:
        check_records(logs, lines)


@contextlib.contextmanager
def image():
    """The root of a container with nothing in it but what a runtime mounts, and our own files."""
    m = machine()
    root = m.fresh("image")
    do("mount", "-t", "tmpfs", "-o", "mode=755", "image", root)
    try:
        for name in "/dev", "/etc", "/sandbox", m.folder:
            os.makedirs(root + name)
        with open(root + "/dev/null", "w", encoding="ascii"):
            pass
        do("mount", "--bind", "/dev/null", root + "/dev/null")
        do("mount", "--bind", m.folder, root + m.folder)
        yield root
    finally:
        do("umount", "-R", "-l", root)


def first_in(root):
    """The words that make a command the first process of a container of that image."""
    os.makedirs(root + "/proc", exist_ok=True)
    return ["unshare", "-m", "-p", "-f", "--kill-child", f"--mount-proc={root}/proc", "chroot", root]


def run(*command, code=0, **how):
    with started(*command, **how) as process:
        pass
    if code is not None and process.returncode != code:
        raise AssertionError(f"ended with {process.returncode}: {process.err}{process.out}")
    return process


# -- who comes in by ssh ---------------------------------------------------------------------------


def come_in(address, user=0):
    """A client that connects, and waits for what it is told."""
    client = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(1)"
    if address.startswith("@"):
        client = client.replace("sys.argv[1]", "'\\0' + sys.argv[1][1:]")
    subprocess.run([sys.executable, "-c", client, address], preexec_fn=become(user), timeout=WAIT)


@contextlib.contextmanager
def reachable(socket):
    with started("/bin/sleep", "1000", flags=["--ssh-socket-path", socket]) as process:
        process.until("PROC:LAUNCH")
        yield process
        process.terminate()


def name_of(pid):
    with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
        return f.read().rstrip("\n")


@scene
def clients_of_the_sshd():
    with reachable("@events"):
        come_in("@events")
        come_in("@events", USER)


@scene
def an_sshd_that_was_killed():
    with reachable(machine().path("ssh", "ssh.sock")) as process:
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as f:
            children = f.read().split()
        (sshd,) = [pid for pid in children if name_of(pid) == "openshell-sshd"]
        os.kill(int(sshd), signal.SIGKILL)
        process.until("CONFIG:DEGRADED [HIGH] SSH server gone")


@scene
def an_ssh_socket_without_a_place():
    with reachable("/proc/nowhere/ssh.sock"):
        pass


# -- what a program does ---------------------------------------------------------------------------


@scene
def an_allowed_connection():
    m = machine()
    run(m.program, "connect", m.server.allowed)


@scene
def a_denied_connection():
    m = machine()
    run(m.program, "connect", m.server.denied)


@scene
def an_observed_connection():
    m = machine()
    run(m.program, "connect", m.server.denied, flags=OBSERVED)


@scene
def an_address_that_nobody_meant():
    m = machine()
    m.write("hosts.txt", f"{ADDRESS} a.events.test\n127.0.0.1 localhost\n")
    do("mount", "--bind", m.path("hosts.txt"), "/etc/hosts")
    try:
        rules = policy([endpoint("*.events.test:8080")])
        for flags in [], OBSERVED:
            run(m.program, "connect", "a.events.test:8080", rules=rules, flags=flags)
    finally:
        do("umount", "/etc/hosts")


@scene
def a_server_that_is_not_there():
    m = machine()
    run(m.program, "connect", ADDRESS + ":9", rules=policy([endpoint(ADDRESS + ":9")]))


IN_A_TUNNEL = """
import os, socket
host, port = os.environ["https_proxy"].removeprefix("http://").strip("/").split(":")
s = socket.create_connection((host, int(port)), %d)
s.sendall(b"CONNECT %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n")
s.recv(4096)
s.sendall(%s)
try:
    while s.recv(4096):
        pass
except OSError:
    pass
"""
HELLO = bytes.fromhex("16030100310100002d0303") + bytes(40) + b"\n"  # as TLS begins


def in_a_tunnel(sent, **how):
    """To an endpoint whose requests are looked into."""
    python, where = os.path.realpath(sys.executable), machine().server.allowed
    rules = policy([endpoint(where, protocol="rest", access="read-only")])
    rules["network_policies"]["server"]["binaries"] = [{"path": python}]
    run(python, "-c", IN_A_TUNNEL % (WAIT, where, where, sent), rules=rules, **how)


@scene
def a_tunnel_that_cannot_be_looked_into():
    for flags in [], OBSERVED:
        in_a_tunnel(HELLO, flags=flags)
        in_a_tunnel(b"SSH-2.0-x\r\n", flags=flags)


@scene
def requests():
    m = machine()
    inspected = endpoint(
        m.server.allowed,
        protocol="rest",
        enforcement="enforce",
        rules=[{"allow": {"method": "GET", "path": "/"}}],
    )
    url = f"http://{m.server.allowed}"
    run(m.program, "get", url + "/", "get", url + "/secret", rules=policy([inspected]))
    run(m.program, "get", url + "/secret", rules=policy([inspected]), flags=OBSERVED)


@scene
def requests_within_a_tunnel():
    request = "%s / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
    in_a_tunnel((request % ("GET", "other.test")).encode())
    # not allowed, and only told of: enforcement is `audit` when the policy does not say
    in_a_tunnel((request % ("DELETE", machine().server.allowed)).encode())


@scene
def what_is_no_request():
    run(machine().program, "get", "https://nobody.test/")
    in_a_tunnel(b"GET / HTTP/1.1\r\n\r\n")  # for no host


@scene
def bypasses():
    m = machine()
    run(m.program, "dial", "192.0.2.1:80", "datagram", "192.0.2.1:53")


@scene
def more_bypasses_than_can_be_told():
    m = machine()
    dials = " ".join(["datagram 192.0.2.1:53"] * 400)
    with started("/bin/sh", "-c", f"{m.program} {dials}; exec sleep 1000") as process:
        process.until("CONFIG:DEGRADED [LOW] Bypass attempts")
        process.terminate()


# -- its life --------------------------------------------------------------------------------------


@scene
def it_takes_too_long():
    run("/bin/sleep", "1000", flags=["--timeout", "1"], code=124)


@scene
def there_is_no_such_program():
    run("/nonexistent", code=1)


@scene
def an_image_without_bash():
    with image() as root:
        os.makedirs(root + "/bin")
        shutil.copy(machine().program, root + "/bin/sh")
        run(wrap=["chroot", root], code=None)


@scene
def the_keeper_is_killed():
    with started("/bin/sleep", "1000") as process:
        process.until("PROC:LAUNCH")
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as f:
            os.kill(int(f.read().split()[0]), signal.SIGKILL)


@scene
def a_disk_that_is_full():
    m = machine()
    small = m.fresh("small")
    do("mount", "-t", "tmpfs", "-o", "size=8k", "small", small)
    try:
        process = run(m.program, "connect", m.server.denied, logs=small, records=False)
    finally:
        do("umount", "-l", small)
    told = re.findall(r"WARN ocsf: (\S+): No space left on device", process.err)
    if not told or len(told) != len(set(told)):
        raise AssertionError(f"not told once for each file: {process.err}")


# -- its wall --------------------------------------------------------------------------------------


@scene
def a_kernel_without_nf_tables():
    no_netfilter = refuse("socket", EPROTONOSUPPORT, a0=16, a2=12)
    run("/bin/true", faults=[no_netfilter])


@scene
def a_kernel_without_nflog():
    run("/bin/true", faults=[refuse("fcntl", EPERM, a1=4)])


@scene
def no_namespace_and_it_may_not_be():
    run(
        "/bin/true",
        faults=[refuse("unshare", EPERM)],
        flags=["--network-mode", "isolated"],
        code=1,
    )


@scene
def a_host_that_shows_everything():
    run("/bin/true", faults=[refuse("pivot_root", EPERM), refuse("chroot", EPERM)])


@scene
def a_policy_that_gives_all_files():
    run("/bin/true", rules=policy(**files(read_only=["/"])))


@scene
def a_host_that_mounts_no_proc():
    run("/bin/true", faults=[refuse("fsopen", EPERM)])


@scene
def groups_that_cannot_be_changed():
    run("/bin/true", faults=[become(USER, [4])], user=USER)


@scene
def a_bounding_set_that_cannot_be_emptied():
    run("/bin/true", faults=[refuse("prctl", EPERM, a0=24)])


# -- its files -------------------------------------------------------------------------------------


@scene
def folders():
    m = machine()
    m.fresh("given")
    if not os.path.islink(m.path("link")):
        os.symlink("given", m.path("link"))
    writable = [m.path("new"), m.path("link"), "/proc/openshell", "/nonexistent-by-policy"]
    readable = [m.path("missing")]
    rules = policy(**files(read_write=writable))
    rules["filesystem_policy"]["read_only"] += readable
    run("/bin/true", rules=rules)
    if os.path.isdir("/nonexistent-by-policy"):
        os.rmdir("/nonexistent-by-policy")


@scene
def a_kernel_without_landlock():
    run("/bin/true", faults=[refuse("landlock_create_ruleset", ENOSYS)])


@scene
def a_policy_that_insists_on_landlock():
    rules = policy(landlock={"compatibility": "hard_requirement"})
    run("/bin/true", faults=[refuse("landlock_create_ruleset", ENOSYS)], rules=rules, code=1)


IDS = {"OPENSHELL_SANDBOX_UID": str(USER), "OPENSHELL_SANDBOX_GID": str(USER)}


def workspace_of(m):
    return {**IDS, "OPENSHELL_PREPARE_WORKSPACE": m.path("workspace")}


@scene
def a_workspace():
    m = machine()
    m.fresh("workspace")
    run("/bin/true", env=workspace_of(m))


@scene
def a_workspace_whose_image_cannot_be_seen():
    m = machine()
    m.fresh("workspace")
    hidden = refuse("open_tree", EPERM)
    run("/bin/true", faults=[hidden], env=workspace_of(m))


@scene
def the_first_process_of_a_container():
    with image() as root:
        run(machine().program, wrap=first_in(root), env=IDS)


@scene
def the_first_process_of_a_container_that_cannot_be_written():
    with image() as root:
        for name in "/etc", "/sandbox":
            do("mount", "-t", "tmpfs", "-o", "ro", "image", root + name)
        run(machine().program, wrap=first_in(root), env=IDS)


@scene
def an_image_without_anything():
    m = machine()
    with image() as root:
        os.rmdir(root + "/etc")
        rules = policy(filesystem_policy=None)
        run(m.program, wrap=["chroot", root], rules=rules, code=None)


# -- who it is -------------------------------------------------------------------------------------


@scene
def a_policy_with_a_warning():
    rules = policy()
    rules["network_policies"]["nobody"] = {"endpoints": [endpoint("example.com:443")], "binaries": []}
    run("/bin/true", rules=rules)


@scene
def middlewares_that_are_not_run():
    m = machine()
    where = {"include": [ADDRESS]}
    scan = {"scan": {"middleware": "openshell/regex", "endpoints": where}}
    rules = policy(network_middlewares=scan)
    run(m.program, "get", f"http://{m.server.allowed}/", rules=rules, code=None)
    run(m.program, "connect", m.server.allowed, rules=rules, code=None)
    host = ["--network-mode", "host"]
    run(m.program, "connect", m.server.allowed, rules=rules, flags=host, code=None)


@scene
def credentials_that_are_not_put_in():
    rules = policy([endpoint("api.example.com:443", credential_binding={"provider": "api"})])
    run("/bin/true", rules=rules)


@scene
def a_policy_that_needs_policy_dns():
    rules = policy([endpoint("db.example.com:5432", protocol="tcp")])
    run("/bin/true", rules=rules, code=1)


@scene
def rego_rules():
    run("/bin/true", flags=["--policy-rules", "/etc/openshell/policy.rego"])


@scene
def an_image_that_would_relax_it():
    run("/bin/true", env={"OPENSHELL_NETWORK_BINARY_IDENTITY": "relaxed"})


@scene
def a_gateway_beside_a_policy():
    """Which does not answer."""
    gateway = {"OPENSHELL_SANDBOX_ID": "id", "OPENSHELL_ENDPOINT": "http://127.0.0.1:9", "OPENSHELL_SANDBOX_TOKEN": "t"}
    with started("/bin/sleep", "60", env=gateway) as process:
        process.until("NET:FAIL [LOW] [reason:supervisor session failed")
        # once to end what runs, and again for who waits for the gateway to know of it
        eventually(lambda: process.send_signal(signal.SIGTERM) or process.poll() is not None)


@scene
def nobody_else_can_be_had():
    rules = policy(process=None)
    run("/bin/true", rules=rules, faults=[become(USER)], user=USER)


@scene
def a_corporate_proxy():
    run("/bin/true", flags=["--upstream-proxy", "http://192.0.2.1:3128"])


@scene
def a_corporate_proxy_that_is_none():
    run("/bin/true", flags=["--upstream-proxy", "ftp://192.0.2.1"], code=1)


# -- a gateway -------------------------------------------------------------------------------------


class Talk:
    """A gateway with that policy, and the environment of its sandbox."""

    def __init__(self, policy):
        import gateway  # it makes the messages of proto/, which only this needs

        self.pb = gateway.sandbox_pb
        self.to = gateway.Gateway(self.pb.GetSandboxConfigResponse(policy=policy, version=1))
        self.env = {
            "OPENSHELL_SANDBOX_ID": "id",
            "OPENSHELL_SANDBOX": "name",
            "OPENSHELL_ENDPOINT": self.to.url,
            "OPENSHELL_SANDBOX_TOKEN": "token-1",
            "OPENSHELL_POLICY_POLL_INTERVAL_SECS": "1",
            "OPENSHELL_SANDBOX_UID": str(USER),
            "OPENSHELL_SANDBOX_GID": str(USER),
        }


@scene
def a_gateway_without_a_policy():
    talk = Talk(None)
    with started("/bin/sleep", "60", env=talk.env, by_file=False) as process:
        process.until("NET:OPEN [INFO] [msg:supervisor session established")
        talk.to.sessions[0].end()
        process.until("NET:FAIL [LOW] [reason:supervisor session failed")
        process.send_signal(signal.SIGTERM)
    talk.to.stop()


@scene
def relays():
    talk = Talk(None)
    server = ["/usr/bin/python3", "-m", "http.server", "8438", "--bind", "127.0.0.1"]
    with started(*server, env=talk.env, by_file=False) as process:
        process.until("NET:OPEN [INFO] [msg:supervisor session established")
        opened = None
        while not (opened and opened.success):
            relay = talk.to.open_relay(tcp=("127.0.0.1", 8438))
            opened = eventually(lambda: relay.result)  # noqa: B023
        refused = talk.to.open_relay(tcp=("127.0.0.1", 9))
        eventually(lambda: refused.result)
        relay.close()
        process.until("NET:CLOSE [INFO] [msg:relay closed (channel_id=")
        process.send_signal(signal.SIGTERM)
    talk.to.stop()


def with_etc(path, text):
    """Words before a command: it has that file below an /etc of its own."""
    folder = machine().fresh("etc")
    file = os.path.join(folder, "up", path)
    os.makedirs(os.path.dirname(file))
    os.mkdir(os.path.join(folder, "work"))
    with open(file, "w", encoding="utf-8") as f:
        f.write(text)
    mount = 'mount -t overlay etc -o "lowerdir=/etc,upperdir=$0/up,workdir=$0/work" /etc && exec "$@"'
    return "unshare", "-m", "sh", "-c", mount, folder


def discovers(path, text):
    talk = Talk(None)
    run("/bin/true", env=talk.env, by_file=False, wrap=with_etc(path, text))
    talk.to.stop()


@scene
def an_image_with_a_policy():
    discovers("openshell/policy.yaml", json.dumps(policy()))


@scene
def an_image_with_a_policy_at_the_old_place():
    discovers("navigator/policy.yaml", "version: 1\n")


@scene
def an_image_with_something_else():
    discovers("openshell/policy.yaml", "nothing: at all\n")


@scene
def an_image_with_an_unsafe_policy():
    discovers("openshell/policy.yaml", json.dumps(policy(process={"run_as_user": "0"})))


@scene
def a_gateway_that_does_not_take_the_baseline():
    import gateway

    talk = Talk(gateway.policy_of(machine(), USER))
    del talk.to.config.policy.filesystem.read_only[-1]
    talk.to.failures["UpdateConfig"] = [(gateway.Code.PERMISSION_DENIED, "no")]
    run("/bin/true", env=talk.env, by_file=False)
    talk.to.stop()


@contextlib.contextmanager
def reloading():
    """A sandbox with a policy that its gateway then changes."""
    import gateway

    talk = Talk(gateway.policy_of(machine(), USER))
    talk.to.config.policy_source = 1
    with started("/bin/sleep", "60", env=talk.env, by_file=False) as process:
        process.until("CONFIG:LOADED [INFO] Acknowledged initial policy")
        talk.until = process.until
        yield talk, lambda: gateway.policy_of(machine(), USER)
        process.send_signal(signal.SIGTERM)
    talk.to.stop()


@scene
def a_policy_that_changes():
    with reloading() as (talk, policy_of):
        other = policy_of()
        other.network_policies["server"].endpoints[0].port = 1
        other.landlock.compatibility = "hard_requirement"
        talk.to.set_config(policy=other)
        talk.until("CONFIG:LOADED [INFO] Policy reloaded successfully [policy_hash:")
        talk.to.set_config(policy=policy_of(), policy_source=2, global_policy_version=3)
        talk.until(f"CONFIG:LOADED [INFO] Policy reloaded successfully [policy_hash:{talk.to.config.policy_hash}")


@scene
def policies_that_are_rejected():
    with reloading() as (talk, policy_of):
        bad = policy_of()
        bad.network_policies["server"].endpoints[0].host = "*"
        talk.to.set_config(policy=bad, policy_validation_failure_mode="retain_last_valid")
        talk.until("CONFIG:RETAINED_LAST_VALID")
        bad.version = 2
        talk.to.set_config(policy=bad, policy_validation_failure_mode="fail_closed")
        talk.until("CONFIG:FAIL_CLOSED")
        other = policy_of()
        other.network_policies["server"].endpoints.add(host="db.example.com", port=5432, protocol="tcp")
        talk.to.set_config(policy=other)
        talk.until("CONFIG:RETAINED_PREVIOUS_POLICY")


@scene
def providers_that_cannot_be_asked_for():
    import gateway

    talk = Talk(gateway.policy_of(machine(), USER))
    talk.to.failures["GetSandboxProviderEnvironment"] = [(gateway.Code.INTERNAL, "no")]
    talk.to.environment.environment["OPENSHELL_ENDPOINT"] = "reserved"
    with started("/bin/sleep", "60", env=talk.env, by_file=False) as process:
        process.until("NET:OPEN [INFO] [msg:supervisor session established")
        talk.to.set_config(provider_env_revision=2)
        process.until("CONFIG:SKIPPED [MED] Provider variables left out")
        process.send_signal(signal.SIGTERM)
    talk.to.stop()


@scene
def settings_that_change():
    with reloading() as (talk, _):
        talk.to.set_settings(own="a", agent_policy_proposals_enabled=True)
        talk.until("CONFIG:SKIPPED [LOW] Setting has no effect")
        talk.to.set_settings(own="b")
        talk.until("CONFIG:UPDATED [INFO] Setting changed")


@scene
def a_gateway_whose_policy_is_none():
    talk = Talk(None)
    talk.to.config.policy.filesystem.read_only.append("no/path")
    run("/bin/true", env=talk.env, by_file=False)
    talk.to.stop()
