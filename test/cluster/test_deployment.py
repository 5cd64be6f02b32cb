"""deploy/kubernetes/gateway-with-driver.yaml on a node: the driver beside another container of its pod,
under the `restricted` level, with the cluster's own credentials. In the gateway's place is a container
of our image, and ctl in it speaks to the socket as the gateway would."""

import json
import os
import subprocess
import unittest

import yaml

import cluster
from drivers import AGENT
from support import eventually

DEPLOY = os.path.join(cluster.ROOT, "deploy", "kubernetes")
IMAGE = "localhost/deployed:1"
SOCKET = "/var/run/openshell-compute/driver/driver.sock"


def image():
    """An archive of the image that `make image` makes: one program and its names."""
    folder = os.path.join(cluster.WORK, "deployed")
    os.makedirs(folder, exist_ok=True)
    files = [f"{cluster.BINARY}=/openshell-sandbox"]
    for door in ("openshell-driver", "openshell-ctl"):
        link = os.path.join(folder, door)
        if not os.path.islink(link):
            os.symlink("openshell-sandbox", link)
        files.append(link)
    out = folder + ".tar"
    words = [os.path.join(cluster.HERE, "mkimage"), out, IMAGE, "/openshell-sandbox", *files]
    subprocess.run(words, check=True)
    return out


class Deployment(unittest.TestCase):
    def setUp(self):
        self.node = cluster.node()
        self.node.inside("ctr", "-n", "k8s.io", "images", "import", image())
        for name in ("namespaces.yaml", "rbac-shared.yaml"):
            path = os.path.join(DEPLOY, name)
            self.node.kubectl("apply", "-f", path)
            self.addCleanup(self.node.kubectl, "delete", "--ignore-not-found", "-f", path)

    def stand_in(self):
        """The Deployment, without what only a real gateway needs."""
        with open(os.path.join(DEPLOY, "gateway-with-driver.yaml"), encoding="utf-8") as f:
            objects = {d["kind"]: d for d in yaml.safe_load_all(f)}
        pod = objects["Deployment"]["spec"]["template"]["spec"]
        driver, gateway = pod["initContainers"][0], pod["containers"][0]
        driver.update(image=IMAGE, imagePullPolicy="Never")
        driver["args"] += [
            "--supervisor-image=localhost/stand-in:1",
            "--sandbox-image-pull-policy=Never",
        ]
        driver["args"] += [
            "--supervisor-image-pull-policy=Never",
            "--supervisor-sideload-method=init-container",
        ]
        gateway.update(image=IMAGE, imagePullPolicy="Never", command=["/openshell-ctl"])
        gateway.update(args=["--socket", SOCKET, "watch"])
        del gateway["readinessProbe"]
        gateway["volumeMounts"] = [
            m for m in gateway["volumeMounts"] if m["name"] == "driver-socket"
        ]
        pod["volumes"] = [v for v in pod["volumes"] if v["name"] == "driver-socket"]
        return objects["Deployment"]

    def pod(self):
        found = self.node.get("pods", namespace="openshell")
        ready = [c["ready"] for p in found for c in p["status"].get("containerStatuses", [])]
        return found[0]["metadata"]["name"] if ready and all(ready) else None

    def ctl(self, *words, stdin=None):
        place = ("-n", "openshell", self.name, "-c", "gateway", "--")
        return self.node.kubectl(
            "exec",
            "-q",
            *(["-i"] if stdin else []),
            *place,
            "/openshell-ctl",
            "--socket",
            SOCKET,
            *words,
            stdin=stdin,
        )

    def test_it_serves_its_neighbour(self):
        self.node.create(self.stand_in())
        self.addCleanup(self.node.delete, "deployment", "openshell-gateway", "openshell", True)
        self.name = eventually(self.pod, "the pod is ready")
        sandbox = {
            "name": "one",
            "workspace": "team",
            "spec": {"template": {"image": AGENT, "driverConfig": {}}},
        }
        self.ctl("create", "-f", "-", stdin=json.dumps(sandbox))
        eventually(lambda: "one" in self.ctl("list"), "it is listed")
        self.assertIn("deleted", self.ctl("delete", "one"))
        log = self.node.kubectl("logs", "-n", "openshell", self.name, "-c", "driver")
        self.assertIn("in-cluster", log)
        self.assertNotIn("orbidden", log)
