"""The CLI's commands on sandboxes of Podman, which the gateway's own driver makes: our binary is what it takes for the
supervisor's image, and is started by that driver as it starts its own.

The driver wants cgroups of the second version, and a network for each container; neither needs more than
namespaces of our own. Without limits (cgroups = "disabled"), since this kernel may have its controllers elsewhere.
"""

import contextlib
import os
import shutil
import stat
import subprocess
import unittest

import driver
import peer
from hosts import eventually
from machine import ADDRESS, CONTAINERS_CONF, USER, do, machine
from peer import Gateway
from test_peer_process import HOSTS, Attached, Exec, Life, Policy, Process, Ssh, WithSandboxes
from test_podman import OPENSHELL

IMAGE, SUPERVISOR = "localhost/peer/sandbox:1", "localhost/peer/supervisor:1"
PROGRAMS = "sh bash yes sleep cat head id pwd env stty tty tar find ls mkdir sha256sum realpath rm scp true false".split()


def files_of(programs):
    """Their paths, and those of the libraries that they are linked with."""
    found = set()
    for name in programs:
        path = os.path.realpath(shutil.which(name))
        found.add((os.path.join("/usr/bin", name), path))
        done = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
        for word in done.stdout.split():
            if word.startswith("/"):
                found.add((word, os.path.realpath(word)))
    return found


def make_rootfs(folder, user):
    """A small Debian: some programs, a user `sandbox`."""
    for name in "usr/bin", "usr/lib", "usr/lib64", "usr/local/bin", "etc", "tmp", "proc", "dev", "run", "var/log", "sandbox":
        os.makedirs(os.path.join(folder, name))
    for name in "bin", "lib", "lib64":
        os.symlink("usr/" + name, os.path.join(folder, name))
    for where, path in files_of(PROGRAMS):
        where = folder + where
        os.makedirs(os.path.dirname(where), exist_ok=True)
        shutil.copy(path, where)
    for name, line in ("passwd", f"sandbox:x:{user}:{user}::/sandbox:/bin/sh\n"), ("group", f"sandbox:x:{user}:\n"):
        with open(os.path.join(folder, "etc", name), "w", encoding="utf-8") as f:
            f.write(f"root:x:0:0::/root:/bin/sh\n{line}" if name == "passwd" else f"root:x:0:\n{line}")


class Podman:
    """Its service, as root or as the user of machine(), with the two images."""

    def __init__(self, on, rootless):
        self.machine, self.rootless = on, rootless
        self.folder = on.path("podman-" + ("user" if rootless else "root"))
        os.makedirs(self.folder)
        self.socket = os.path.join(on.path("run") if rootless else self.folder, "podman.sock")
        on.write("containers.conf", CONTAINERS_CONF.replace("[containers]", '[containers]\ncgroups = "disabled"'))
        if not os.path.ismount("/sys/fs/cgroup/unified") and not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
            do("umount", "-l", "-R", "/sys/fs/cgroup")
            do("mount", "-t", "cgroup2", "none", "/sys/fs/cgroup")
        if rootless:  # what slirp4netns, whom Podman starts, makes its networks of
            tun = on.path("tun")
            os.mknod(tun, 0o666 | stat.S_IFCHR, os.makedev(10, 200))
            os.chmod(tun, 0o666)
            do("mount", "--bind", tun, "/dev/net/tun")
            if os.path.exists("/sys/fs/cgroup/init"):
                os.chmod("/sys/fs/cgroup/init", 0o755)  # in which root's service has put itself
        for name in ("/etc/cni/net.d", "/var/lib/cni") if not rootless else ():
            os.makedirs(name, exist_ok=True)
            do("mount", "-t", "tmpfs", "none", name)
        self.make_images()
        with open(os.path.join(self.folder, "log"), "wb") as log:
            words = self.words("system", "service", "--time=0", "unix://" + self.socket)
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        eventually(lambda: os.path.exists(self.socket), self.log)

    def words(self, *words):
        return self.machine.podman(self.rootless, *words)

    def make_images(self):
        folders = {IMAGE: "sandbox", SUPERVISOR: "supervisor"}
        changes = {IMAGE: "USER sandbox", SUPERVISOR: 'ENTRYPOINT ["/openshell-sandbox"]'}
        make_rootfs(os.path.join(self.folder, "sandbox"), 10001)
        shutil.copy(self.machine.program, os.path.join(self.folder, "sandbox") + HOSTS)
        os.mkdir(os.path.join(self.folder, "supervisor"))
        shutil.copy(peer.SUPERVISOR, os.path.join(self.folder, "supervisor", "openshell-sandbox"))
        for image, name in folders.items():
            folder = os.path.join(self.folder, name)
            archive = folder + ".tar"
            do("tar", "-C", folder, "--owner=0", "--group=0", "-cf", archive, ".")
            do(*self.words("import", "--change", changes[image], archive, image))

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def close(self):
        self.process.terminate()
        self.process.wait()


_services = {}


def podman(rootless):
    """The one of this machine."""
    if rootless not in _services:
        _services[rootless] = Podman(machine(), rootless)
    return _services[rootless]


def tearDownModule():
    for service in _services.values():
        service.close()


class Container(driver.Sandbox):
    """With the host's network, which the gateway's own driver cannot ask for, and rootless: where its supervisor cannot
    start (seed 002). All else is as it is there."""

    machine = None

    def furnish(self, files, tls):
        super().furnish(files, tls)
        for folder, _, names in os.walk(self.folder):
            for name in ".", *names:
                os.chown(os.path.join(folder, name), USER, USER)  # root in there

    def command(self, environment):
        places = driver.SUPERVISOR, driver.TOKEN, HOSTS
        mounts = [word for place in places for word in ("-v", f"{self.path('changes')}{place}:{place}:ro")]
        mounts += ["-v", f"openshell-sandbox-{self.asked.id}-workspace:/sandbox"]
        given = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
        flags = ["--rm", "--network=host", "--cgroups=disabled", "--user=0:0", *OPENSHELL, *mounts, *given]
        run = ["run", *flags, "--entrypoint", driver.SUPERVISOR, IMAGE, "--workdir", "/sandbox"]
        return self.machine.podman(True, *run), {}

    def stop(self):
        self.process.terminate()  # which is passed on
        self.process.wait()


class WithPodman(WithSandboxes):
    rootless = False

    @classmethod
    def setUpClass(cls):
        cls.machine = machine()
        cls.podman = podman(cls.rootless)
        folder = cls.machine.path(cls.__name__)
        port = peer.free_port()
        table = (
            f'[openshell.drivers.podman]\nsocket_path = "{cls.podman.socket}"\n'
            f'default_image = "{IMAGE}"\nsupervisor_image = "{SUPERVISOR}"\nnetwork_name = "openshell"\n'
            f'grpc_endpoint = "http://{ADDRESS}:{port}"\nhost_gateway_ip = "{ADDRESS}"\nstop_timeout_secs = 10\n'
        )
        cls.gateway = Gateway(folder, ["--drivers", "podman"], table, "0.0.0.0", port=port)

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()

    def diagnostics(self):
        shown = ["--- gateway", self.gateway.log()[-4000:], "--- podman", self.podman.log()[-2000:]]
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(self.podman.words("ps", "-aq"), capture_output=True, text=True, check=False, timeout=20)
            for container in done.stdout.split():
                words = self.podman.words("logs", container)
                logs = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
                shown += ["--- container " + container, logs.stdout + logs.stderr]
        return "\n".join(shown)


class RootfulTest(WithPodman, Life, Exec, Attached, Ssh, Policy, unittest.TestCase):
    pass


@unittest.skipUnless(shutil.which("slirp4netns"), "there is no slirp4netns: scripts/setup peer")
class RootlessTest(WithPodman, Life, Exec, Attached, Ssh, Policy, unittest.TestCase):
    rootless = True


class RootlessHostNetworkTest(Process, Life, Exec, Attached, Ssh, Policy, unittest.TestCase):
    kind = Container

    @classmethod
    def setUpClass(cls):
        cls.kind.machine = machine()
        podman(rootless=True)
        super().setUpClass()
