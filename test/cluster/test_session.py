"""All of it together: our driver makes a pod of an image FROM scratch and our supervisor, which exchanges the pod's
token, walls the command in with the pod's rights, and calls the gateway; OpenSSH then comes in through that."""

import json
import os
import subprocess
import sys
import tempfile

import cluster
from drivers import INIT, NO_CLAIM, OURS, ClusterTest
from gateway import Gateway, sandbox_pb
from hosts import Server
from support import eventually
from way_in import WayIn

ADDRESS, PORT = "10.77.0.1", 18080  # the node's, on the bridge of its pods
PROGRAM = "/usr/bin/hosts"
DELIVERY = "--supervisor-sideload-method"


class SessionTest(ClusterTest):
    args = (*OURS, *INIT, *NO_CLAIM, "--gateway-endpoint", f"http://{ADDRESS}:{PORT}")

    def before_driver(self):
        self.server = Server(ADDRESS, where=self.cluster.command())
        self.addCleanup(self.server.close)
        folder = tempfile.TemporaryDirectory(prefix="session-")
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "gateway")
        self.to = Gateway(self.config(), path=path)
        self.to.account, self.to.issues = True, ["token-1"]  # the API server is asked what it was
        self.addCleanup(self.to.stop)
        words = [sys.executable, os.path.join(cluster.HERE, "bridge.py"), ADDRESS, str(PORT), path]
        pipe = subprocess.PIPE
        bridge = subprocess.Popen(self.cluster.command(*words), stdin=pipe, stdout=pipe, text=True)
        self.addCleanup(bridge.communicate)
        self.assertEqual(bridge.stdout.readline(), "ready\n")

    def config(self):
        host, port = self.server.allowed.split(":")
        rule = sandbox_pb.NetworkPolicyRule(
            name="server",
            endpoints=[sandbox_pb.NetworkEndpoint(host=host, port=int(port))],
            binaries=[sandbox_pb.NetworkBinary(path=PROGRAM)],
        )
        policy = sandbox_pb.SandboxPolicy(
            version=1,
            filesystem=sandbox_pb.FilesystemPolicy(include_workdir=True, read_only=["/usr", "/proc"]),
            landlock=sandbox_pb.LandlockPolicy(compatibility="best_effort"),
            network_policies={"server": rule},
        )
        return sandbox_pb.GetSandboxConfigResponse(policy=policy, version=1, policy_hash="hash")

    def begin(self):
        """A sandbox with a session, and a way into it."""
        template = {"image": "localhost/hosts:1"}
        sandbox = self.create(self.sandbox(template=template, command=[PROGRAM, "echo", "9000"]))
        session = eventually(
            lambda: next((s for s in self.to.sessions if s.hello.sandbox_id == sandbox.id), None),
            lambda: f"it calls the gateway\n{self.log(sandbox)}",
        )
        way = WayIn(self.to, session)
        self.addCleanup(way.close)
        return sandbox, session, way

    def log(self, sandbox):
        name = self.cr_name(sandbox)
        return self.cluster.run("kubectl", "logs", "-n", self.namespace, name, text=True).stdout

    def run_there(self, way, command):
        """What the steps found: the image has no shell."""
        done = way.ssh(command)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        found = {}
        for line in done.stdout.splitlines():
            step = json.loads(line)
            found.setdefault(step.pop("step"), []).append(step)
        return found

    def check_token(self, sandbox):
        """The pod's own, which the API server knows."""
        bearer = next(b for method, b in self.to.calls if method == "IssueSandboxToken")
        spec = {"token": bearer.removeprefix("Bearer "), "audiences": ["openshell-gateway"]}
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        said = self.cluster.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review))
        status = json.loads(said)["status"]
        self.assertTrue(status.get("authenticated"), status)
        pod = status["user"]["extra"]["authentication.kubernetes.io/pod-uid"]
        self.assertEqual(pod, [self.pod(sandbox)["metadata"]["uid"]])

    def restart_kubelet(self):
        """Which finds its pods again, and leaves them as they are."""
        script = """
            cd "$0" && pid=$(cat kubelet.pid) && cp /proc/$pid/cmdline kubelet.words && kill $pid
            while kill -0 $pid 2>/dev/null; do sleep 0.1; done
            setsid xargs -0 -a kubelet.words env >>log/kubelet.log 2>&1 </dev/null &
            until pid=$(pgrep -x kubelet); do sleep 0.1; done
            echo $pid >kubelet.pid
        """
        self.cluster.inside("sh", "-c", script, self.cluster.folder)

    def test_life(self):
        sandbox, session, way = self.begin()
        self.check_token(sandbox)
        allowed, denied = self.server.allowed, self.server.denied
        steps = f"{PROGRAM} report get http://{allowed}/ get http://{denied}/ dial {denied}"
        found = self.run_there(way, steps)
        self.assertEqual(found["report"][0]["Uid"].split(), 4 * ["1000"])
        self.assertEqual([step["status"] for step in found["get"]], [200, 403])
        self.assertNotEqual(found["dial"][0]["error"], 0)
        self.assertEqual(way.ssh(f"{PROGRAM} exit 7").returncode, 7)
        relay = self.to.open_relay(session, tcp=("localhost", 9000))
        relay.socket.sendall(b"hello")
        self.assertEqual(relay.socket.recv(5), b"hello")
        relay.close()
        self.restart_kubelet()
        self.assertEqual(way.ssh(f"{PROGRAM} exit 8").returncode, 8)
        self.assertFalse(session.over.is_set())
        eventually(lambda: "rung:pocket" in str(self.to.log), lambda: f"the log says the rung\n{self.to.log}")
        self.assertTrue(self.delete(sandbox))
        self.assertTrue(session.over.wait(60), "the session ends with its pod")
        eventually(lambda: [e.exit_code for e in self.to.exits] == [143], lambda: f"its end is told: {self.to.exits}")


class ImageVolumeSessionTest(SessionTest):
    args = (*OURS, DELIVERY, "image-volume", *NO_CLAIM, "--gateway-endpoint", f"http://{ADDRESS}:{PORT}")


class UserNamespaceSessionTest(SessionTest):
    args = (*SessionTest.args, "--enable-user-namespaces")
