"""The machine that the hosts of this folder are made of: namespaces of our own (see `run`), so that
nothing outside is changed and all of it ends with us. Here they are furnished: an address for the
server, which a sandbox cannot reach but by its proxy; a file system in memory that holds our
programs; a user who has nothing but a range of ids; Podman, as root and as that user.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile

from hosts import BINARY, PROGRAM, WAIT, Server, policy

ADDRESS = "10.78.0.1"
# nobody's on a machine: only our copies of the files in /etc know them
NAME, USER = "hosts", 12345
IDS = f"{NAME}:2000000:65536\n"
# whom policies have a root's sandbox run as: on many machines somebody; scp wants a name for whom it runs as
AGENT = 1000
PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
UNIFIED = "/sys/fs/cgroup/unified"
IMAGE = "localhost/hosts:1"
INSIDE = "/usr/bin/hosts"  # in the image
OURS = "/opt/openshell/bin/openshell-static"  # mounted into it, as a driver does
POLICY = "/etc/openshell/policy.yaml"

# Root may lack the right to raise a limit (CAP_SYS_RESOURCE); there may be no systemd to ask.
CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


def run(*words):
    return subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=WAIT,
        cwd="/",
        check=False,
    )


def do(*words):
    done = run(*words)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.stderr}")


class Machine:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="hosts-")
        do("mount", "-t", "tmpfs", "-o", "mode=755", "hosts", self.folder)
        do("mount", "-t", "tmpfs", "logs", "/var/log")  # the supervisor's, when it is root
        if os.path.ismount(UNIFIED):
            do("umount", UNIFIED)  # crun refuses to run on cgroups of both generations
        do("mount", "--make-rshared", "/")  # as Podman wants it
        do("ip", "link", "set", "lo", "up")
        do("ip", "address", "add", ADDRESS + "/32", "dev", "lo")
        self.server = Server(ADDRESS)
        self.folders = {name: self.path(name) for name in ("programs", "image", "home", "run")}
        for folder in self.folders.values():
            os.mkdir(folder)
        self.binary = shutil.copy(BINARY, self.path("programs", "openshell-static"))
        self.program = shutil.copy(PROGRAM, self.path("programs", "hosts"))
        self.add_user()
        self.write("containers.conf", CONTAINERS_CONF)
        self.images = set()

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

    def policy(self, program, user):
        """The file with the policy for that program and user (see hosts.policy)."""
        name = f"policy-{user}-{'in' if program == INSIDE else 'out'}.yaml"
        return self.write(name, policy(self.server, program, user))

    # -- the user --------------------------------------------------------------------------------

    def add_user(self):
        added = {
            "passwd": f"{NAME}:x:{USER}:{USER}::{self.path('home')}:/bin/sh\n",
            "group": f"{NAME}:x:{USER}:\n",
            "subuid": IDS,
            "subgid": IDS,
        }
        for name, line in added.items():
            if not os.path.exists("/etc/" + name):
                continue  # of those of ids; and then there is no Podman
            with open("/etc/" + name, encoding="utf-8") as f:
                text = f.read().rstrip("\n") + "\n" + line
            if name == "passwd" and not re.search(f"^[^:]*:[^:]*:{AGENT}:", text, re.M):
                text += f"agent:x:{AGENT}:{AGENT}::/:/bin/sh\n"
            copy = self.write(name, text)
            do("mount", "--bind", copy, "/etc/" + name)
        for name in "home", "run":
            os.chown(self.path(name), USER, USER)
            os.chmod(self.path(name), 0o700)

    def as_user(self, *words):
        ids = ["--reuid", str(USER), "--regid", str(USER), "--clear-groups"]
        home = ["HOME=" + self.path("home"), "XDG_RUNTIME_DIR=" + self.path("run")]
        return ["setpriv", *ids, "env", "-i", PATH, *home, *words]

    # -- podman ----------------------------------------------------------------------------------

    def podman(self, rootless, *words):
        """The words of its command line."""
        conf = "CONTAINERS_CONF=" + self.path("containers.conf")
        if rootless:
            return self.as_user(conf, "STORAGE_DRIVER=vfs", "podman", *words)
        store = ["--root", self.path("store"), "--runroot", self.path("store-run")]
        return ["env", "-i", PATH, conf, "STORAGE_DRIVER=vfs", "podman", *store, *words]

    def need_image(self, rootless):
        """FROM scratch, with one static program and nothing else."""
        if rootless in self.images:
            return
        archive = self.path("image.tar")
        if not self.images:
            os.makedirs(self.path("image", "usr", "bin"))
            shutil.copy(PROGRAM, self.path("image") + INSIDE)
            do("tar", "-C", self.path("image"), "--owner=0", "--group=0", "-cf", archive, ".")
        do(*self.podman(rootless, "import", archive, IMAGE))
        self.images.add(rootless)

    def run_container(self, rootless, flags, policy_file, words):
        self.need_image(rootless)
        mounts = ["-v", f"{self.binary}:{OURS}:ro", "-v", f"{policy_file}:{POLICY}:ro"]
        flags = ["--rm", "--cgroups=disabled", *mounts, *flags]
        return run(*self.podman(rootless, "run", *flags, IMAGE, *words))


_machine = []


def machine():
    """The one of this process."""
    if not _machine:
        _machine.append(Machine())
    return _machine[0]


def close():
    while _machine:
        with contextlib.suppress(OSError):
            _machine.pop().close()
