"""The clusters of the scripts beside this file, for tests in Python."""

import atexit
import json
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.path.join(ROOT, "build", "cluster")  # clusters, their logs, images
BINARY = os.environ.get("OPENSHELL_BINARY", os.path.join(ROOT, "build", "openshell-static"))
sys.path[:0] = [os.path.join(ROOT, "test", folder) for folder in ("grpc", "hosts")]
os.environ.setdefault("TEST_WAIT", "60")  # kubelet has its own pace, and may share the machine

from hosts import PROGRAM as HOSTS  # noqa: E402
from runner import WAIT, eventually  # noqa: E402

API_GROUP = "agents.x-k8s.io"


class Cluster:
    """One cluster; it ends with this process, however that ends."""

    script = None

    def __init__(self, name, *words):
        self.name, self.words = name, words
        self.folder = os.path.join(WORK, name)
        self.leash = None

    def up(self, *more):
        done = subprocess.run(
            [self.script, "up", *self.words, self.folder, *more],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"{self.name} did not come up:\n{done.stderr}")
        # It reads a pipe of which this process alone has the other end.
        self.leash = subprocess.Popen(
            ["sh", "-c", 'read -r _; exec "$0" down "$1"', self.script, self.folder],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        atexit.register(self.down)
        return self

    def down(self):
        if self.leash:
            self.leash.stdin.close()
            self.leash.wait()
            self.leash = None

    @property
    def kubeconfig(self):
        return os.path.join(self.folder, "kubeconfig")

    def command(self, *words):
        """The words to run a command where the cluster can be reached; its pid is the command's."""
        return [self.script, "net", self.folder, *words]

    def run(self, *words, **options):
        options = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "check": False,
            "timeout": WAIT,
            **options,
        }
        return subprocess.run(self.command(*words), **options)

    # -- kubectl ----------------------------------------------------------------------------

    def kubectl(self, *words, fails=False, stdin=None):
        """What it prints. A failure is the test's, unless the test wants it: then the complaint."""
        done = self.run("kubectl", *words, input=stdin, text=True, errors="replace")
        if (done.returncode != 0) != fails:
            raise AssertionError(
                f"kubectl {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stderr if fails else done.stdout

    def get(self, kind, name=None, namespace="default", labels=None):
        """The object, or None when there is none; without a name, the list of all."""
        words = ["get", kind, "-n", namespace, "-o", "json", "--ignore-not-found"]
        words += ["--show-managed-fields"]
        words += [name] if name else []
        words += ["-l", labels] if labels else []
        text = self.kubectl(*words)
        value = json.loads(text) if text.strip() else None
        return value if name else (value or {"items": []})["items"]

    def create(self, *objects):
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("create", "-f", "-", stdin=text)

    def patch(self, kind, name, body, namespace="default", subresource=None):
        words = ["patch", kind, name, "-n", namespace, "--type", "merge", "-p", json.dumps(body)]
        return self.kubectl(*words, *(["--subresource", subresource] if subresource else []))

    def delete(self, kind, name, namespace="default", wait=False):
        self.kubectl("delete", kind, name, "-n", namespace, f"--wait={'true' if wait else 'false'}")

    def namespace(self, name, **labels):
        """A namespace that can be used at once."""
        self.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        )
        return name

    def diagnostics(self, namespace=None):
        shown = [f"sandboxes.{API_GROUP},pods,persistentvolumeclaims,events"]
        shown += ["-n", namespace] if namespace else ["-A"]
        done = self.run("kubectl", "get", *shown, text=True, stderr=subprocess.STDOUT)
        return f"--- {self.name} (logs: {self.folder}/log)\n{done.stdout}"


class Node(Cluster):
    script = os.path.join(HERE, "node")

    def up(self):
        return super().up(*images())

    def namespace(self, name, **labels):
        super().namespace(name, **labels)
        eventually(
            lambda: self.get("serviceaccount", "default", name), f"{name} has its service account"
        )
        return name

    def inside(self, *words, **options):
        """Runs a command in all of the node's namespaces."""
        return subprocess.run(
            [self.script, "in", self.folder, *words], check=True, timeout=WAIT, **options
        )

    def agent(self, pod, *words, namespace="default", container=None):
        """What the agent program says in a container of the pod: bytes."""
        place = ["-n", namespace, *(["-c", container] if container else []), pod]
        done = self.run("kubectl", "exec", "-q", *place, "--", "/agent", *words)
        if done.returncode != 0:
            raise AssertionError(f"agent {' '.join(words)}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def report(self, pod, *words, **place):
        """Its report, as who `words` ("as", "1000:1000") says."""
        return json.loads(self.agent(pod, *words, "report", **place))

    def volume(self, name):
        """A volume for one claim: there is no provisioner, and claims may not wait for one."""
        path = os.path.join(self.folder, "volumes", name)
        os.makedirs(path)
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node1"]}
        self.create(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": name},
                "spec": {
                    "capacity": {"storage": "2Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "local": {"path": path},
                    "nodeAffinity": {
                        "required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}
                    },
                },
            }
        )
        return path


class ApiServer(Cluster):
    """etcd and kube-apiserver alone: no service account is needed, no pod ever runs."""

    script = os.path.join(HERE, "apiserver")

    def _ask(self, what):
        done = subprocess.run(
            [self.script, what, self.folder], stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode != 0:
            raise AssertionError(f"{what}: {done.stderr}")

    def stop(self):
        self._ask("stop")

    def start(self):
        self._ask("start")

    def compact(self):
        self._ask("compact")

    def _signal(self, number):
        with open(os.path.join(self.folder, "apiserver.pid"), encoding="ascii") as f:
            os.kill(int(f.read()), number)

    def freeze(self):
        """It stays where it is, with all its connections, and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self):
        self._signal(signal.SIGCONT)


def static_agent():
    """agent.c, compiled."""
    program = os.path.join(WORK, "agent")
    source = os.path.join(HERE, "agent.c")
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        os.makedirs(WORK, exist_ok=True)
        subprocess.run(
            ["gcc", "-std=gnu11", "-O2", "-static", "-s", "-o", program, source], check=True
        )
    return program


def images():
    """The archives that a node needs, all FROM scratch: pause:1; agent:1, with the agent program
    alone and a file for workspaces; supervisor:1 and driver:1, with our binary alone; stand-in:1,
    the agent program as a supervisor that stays; foreign:1, as one that cannot copy itself; hosts:1,
    the workload of test/hosts, and our binary beside it."""
    agent = static_agent()
    greeting = os.path.join(WORK, "greeting")
    with open(greeting, "w", encoding="ascii") as f:
        f.write("hello\n")
    contents = {
        "pause": [("/pause", agent)],
        "agent": [("/agent", agent), ("/sandbox/greeting", greeting)],
        "supervisor": [("/openshell-sandbox", BINARY)],
        "driver": [("/openshell-driver", BINARY)],
        "stand-in": [("/openshell-sandbox", agent)],
        "foreign": [("/usr/local/bin/openshell-sandbox", agent), ("/bin/cp", agent)],
        "hosts": [("/usr/bin/hosts", HOSTS), ("/opt/openshell/bin/openshell-static", BINARY)],
    }
    made = []
    for name, files in contents.items():
        made.append(os.path.join(WORK, name + ".tar"))
        words = [made[-1], f"localhost/{name}:1", files[0][0], *(f"{f}={at}" for at, f in files)]
        subprocess.run([os.path.join(HERE, "mkimage"), *words], check=True)
    return made


_shared = {}


def shared(cls, name, *words):
    """The cluster of that name: brought up by the first test that asks, then used by all."""
    if name not in _shared:
        try:
            _shared[name] = cls(name, *words).up()
        except AssertionError as e:
            _shared[name] = e
    if isinstance(_shared[name], AssertionError):
        raise _shared[name]
    return _shared[name]


def node(api="v1beta1"):
    return shared(Node, f"node-{api}", "--api", api)


def apiserver():
    return shared(ApiServer, "apiserver")
