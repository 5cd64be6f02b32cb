"""The way to the API server: TLS, credentials, HTTP/2 and HTTP/1.1, and unary requests that fail."""

import base64
import json
import os
import ssl
import stat
import threading
import time
import unittest

import grpc

import support
from kube_faults import too_many
from support import Code, Driver, GatewayTest, Stub, eventually, new_sandbox, pb, ready


class Works:
    """The least that must work whatever the way."""

    def test_it_works(self):
        watcher = self.watch()
        sandbox = self.create()
        watcher.sandbox(sandbox.id, ready)
        self.delete(sandbox)
        watcher.deleted(sandbox.id)


class Http2(Works, GatewayTest):
    server = {"protocols": ("h2",)}

    def test_one_connection(self):
        self.test_it_works()
        self.assertEqual({x.peer["protocol"] for x in self.kube.api.requests}, {"h2"})
        self.assertEqual(self.kube.connections, 1)


class Http1(Works, GatewayTest):
    server = {"protocols": ("http/1.1",)}


class Plain(Works, GatewayTest):
    server = {"tls": False}


class Tls12(Works, GatewayTest):
    server = {"tls_max": ssl.TLSVersion.TLSv1_2}


class ClientCertificate(Works, GatewayTest):
    def before_driver(self):
        self.kube.api.need_certificate = True


class CertificateData(Works, GatewayTest):
    def before_driver(self):
        self.kube.api.need_certificate = True

        def data(name):
            with open(self.kube.certificates.path(name), "rb") as f:
                return base64.b64encode(f.read()).decode()

        path = self.kube.kubeconfig(certificate=False)
        with open(path, encoding="utf-8") as f:
            config = json.load(f)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        del cluster["certificate-authority"]
        cluster["certificate-authority-data"] = data("ca.crt")
        user.update(
            {"client-certificate-data": data("client.crt"), "client-key-data": data("client.key")}
        )
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)
        self.path = path

    def driver_args(self):
        return ["--backend", "kubernetes", "--namespace", self.namespace, "--kubeconfig", self.path]


class Token(Works, GatewayTest):
    args = ("--log-level", "debug")
    kubeconfig = {"token": "good-token", "certificate": False}

    def before_driver(self):
        self.kube.api.tokens = {"good-token"}

    def test_the_token_is_not_in_the_log(self):
        self.test_it_works()
        self.assertNotIn("good-token", self.driver.log())


class TokenFile(Works, GatewayTest):
    """A token that rotates, as a pod's does."""

    def before_driver(self):
        self.file = os.path.join(self.kube.folder, "token")
        self.write("first")

    def write(self, token):
        with open(self.file + ".new", "w", encoding="ascii") as f:
            f.write(token + "\n")
        os.replace(self.file + ".new", self.file)
        self.kube.api.tokens = {token}

    def driver_args(self):
        self.kubeconfig = {"certificate": False, "tokenFile": self.file}
        return super().driver_args()

    def test_it_is_read_again(self):
        first = self.create(name="first")
        self.write("second")
        second = self.create(name="second")
        self.watch().sandbox(second.id, ready)
        self.assertEqual({s.id for s in self.list()}, {first.id, second.id})


class ExecPlugin(Works, GatewayTest):
    def before_driver(self):
        self.kube.api.tokens = {"from-plugin"}
        self.plugin = os.path.join(self.kube.folder, "plugin")
        with open(self.plugin, "w", encoding="ascii") as f:
            f.write(
                '#!/bin/sh\ntest -n "$KUBERNETES_EXEC_INFO" || exit 3\n'
                'echo \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
                '"status":{"token":"\'"$WORD"\'"}}\'\n'
            )
        os.chmod(self.plugin, stat.S_IRWXU)

    def driver_args(self):
        self.kubeconfig = {
            "certificate": False,
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": self.plugin,
                "interactiveMode": "Never",
                "env": [{"name": "WORD", "value": "from-plugin"}],
            },
        }
        return super().driver_args()


class InCluster(Works, GatewayTest):
    """No kubeconfig: the environment and the files of a pod. The folder can only be made by root."""

    FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"

    def before_driver(self):
        if os.geteuid() != 0 or os.path.exists(self.FOLDER):
            self.skipTest(f"{self.FOLDER} cannot be made here")
        os.makedirs(self.FOLDER)
        self.addCleanup(os.removedirs, self.FOLDER)
        for name, text in (("token", "pod-token"), ("namespace", "openshell")):
            self.put(name, text)
        with open(self.kube.certificates.path("ca.crt"), encoding="ascii") as f:
            self.put("ca.crt", f.read())
        self.kube.api.tokens = {"pod-token"}
        self.env = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.kube.port),
        }

    def put(self, name, text):
        path = os.path.join(self.FOLDER, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        self.addCleanup(os.unlink, path)

    def driver_args(self):
        return ["--backend", "kubernetes", "--namespace", self.namespace]


class Untrusted(GatewayTest):
    def says(self, words, **options):
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=60)
        self.assertIn(caught.exception.code(), (Code.UNAVAILABLE, Code.INTERNAL))
        eventually(lambda: words in self.driver.log(), f"the log says: {words}")
        self.assertEqual(self.kube.api.requests, [])


class WrongName(Untrusted):
    server = {"certificate": "elsewhere"}

    def test_a_certificate_for_another_name(self):
        self.says("certificate")


class WrongNameExpected(Works, GatewayTest):
    server = {"certificate": "elsewhere"}
    kubeconfig = {"cluster": {"tls-server-name": "elsewhere.example"}}


class WrongCa(Untrusted):
    def driver_args(self):
        self.kubeconfig = {
            "cluster": {"certificate-authority": self.kube.certificates.path("other-ca.crt")}
        }
        return super().driver_args()

    def test_a_certificate_of_another_ca(self):
        self.says("not trusted")


class Insecure(Works, GatewayTest):
    server = {"certificate": "elsewhere"}

    def driver_args(self):
        path = self.kube.kubeconfig()
        with open(path, encoding="utf-8") as f:
            config = json.load(f)
        config["clusters"][0]["cluster"] = {
            "server": self.kube.url,
            "insecure-skip-tls-verify": True,
        }
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)
        return ["--backend", "kubernetes", "--namespace", self.namespace, "--kubeconfig", path]

    def test_it_warns(self):
        eventually(lambda: "certificate is not checked" in self.driver.log(), "it warns")


class Requests(GatewayTest):
    """Unary requests that fail: repeated where that is safe, and told where it is not."""

    def error_of_create(self, sandbox, timeout=60):
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=sandbox), timeout=timeout)
        return caught.exception

    def test_429_is_waited_for(self):
        self.kube.api.rules.append(too_many(1, path="/sandboxes", method="POST"))
        began = time.monotonic()
        sandbox = self.create()
        self.assertGreaterEqual(time.monotonic() - began, 0.9)
        self.assertIsNotNone(self.cr(sandbox))

    def test_reads_are_repeated(self):
        for rule in (
            {"status": 503, "reason": "ServiceUnavailable"},
            {"reset": True},
            {"cut": True},
            {"cut_at": 40},
            {"goaway": False},
        ):
            self.kube.rule("/namespaces/openshell$", method="GET", **rule)
            self.create(name="n" + str(len(self.kube.api.rules)))

    def test_a_post_that_was_not_processed_is_repeated(self):
        self.kube.rule("/sandboxes", method="POST", goaway=False)
        self.assertIsNotNone(self.cr(self.create()))

    def test_a_post_whose_answer_is_lost(self):
        """It was carried out, and nobody knows: the sandbox must not be left behind after an error."""
        self.kube.rule("/sandboxes", method="POST", after=True, cut=True)
        sandbox = new_sandbox()
        try:
            self.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=sandbox), timeout=60)
        except grpc.RpcError as e:
            self.assertNotEqual(e.code(), Code.ALREADY_EXISTS)
            eventually(lambda: self.cr(sandbox) is None, "nothing is left behind")
        else:
            self.assertIsNotNone(self.cr(sandbox))

    def test_a_post_that_is_answered_with_500_after_the_fact(self):
        self.kube.rule(
            "/sandboxes",
            method="POST",
            after=True,
            status=500,
            reason="InternalError",
            message="etcd timed out",
        )
        sandbox = new_sandbox()
        try:
            self.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=sandbox), timeout=60)
        except grpc.RpcError:
            eventually(lambda: self.cr(sandbox) is None, "nothing is left behind")
        else:
            self.assertIsNotNone(self.cr(sandbox))

    def test_words_of_the_server_are_passed_on(self):
        self.kube.rule(
            "/sandboxes",
            method="POST",
            status=403,
            reason="Forbidden",
            times=-1,
            message='admission webhook "policy.example" denied the request: no',
        )
        error = self.error_of_create(new_sandbox())
        self.assertIn('admission webhook "policy.example" denied the request: no', error.details())
        self.assertIn(
            error.code(), (Code.INTERNAL, Code.FAILED_PRECONDITION, Code.PERMISSION_DENIED)
        )

    def test_a_transient_error_is_never_not_found(self):
        sandbox = self.create()
        for rule in (
            {"status": 500},
            {"status": 503},
            {"status": 429},
            {"cut": True},
            {"status": 403, "reason": "Forbidden"},
            {"body": b"<html>", "status": 200},
            {"body": b'{"kind":"Status"}', "status": 404, "content_type": "text/html"},
        ):
            with self.subTest(rule):
                self.kube.api.rules.clear()
                self.kube.rule("/sandboxes", method="GET", times=-1, **rule)
                driver = Driver(*self.driver_args())  # one that has synced nothing
                self.addCleanup(driver.stop)
                with self.assertRaises(grpc.RpcError) as caught:
                    Stub(driver.channel()).GetSandbox(
                        pb.GetSandboxRequest(sandbox_id=sandbox.id, sandbox_name="one"), timeout=3
                    )
                self.assertNotEqual(caught.exception.code(), Code.NOT_FOUND)
                with self.assertRaises(grpc.RpcError):
                    Stub(driver.channel()).ListSandboxes(pb.ListSandboxesRequest(), timeout=3)
                driver.killed = True

    def test_a_list_that_fails_half_way_is_no_list(self):
        for i in range(1100):
            self.kube.store.create(
                "sandboxes",
                {
                    "metadata": {
                        "name": f"team--s{i}",
                        "labels": {
                            "openshell.ai/sandbox-id": f"id-{i}",
                            "openshell.ai/managed-by": "openshell",
                            "openshell.ai/gateway-id": "openshell",
                        },
                    },
                    "spec": {"podTemplate": {"spec": {"containers": []}}},
                },
                self.namespace,
            )
        self.kube.rule("continue=", status=500, reason="InternalError", times=-1)
        driver = Driver(*self.driver_args())
        self.addCleanup(driver.stop)
        stub = Stub(driver.channel())
        with self.assertRaises(grpc.RpcError):
            stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=4)
        self.kube.api.rules.clear()
        eventually(lambda: self.listed(stub) == 1100, seconds=60)

    @staticmethod
    def listed(stub):
        try:
            return len(stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=30).sandboxes)
        except grpc.RpcError:
            return -1

    def test_a_continue_token_that_expires(self):
        for i in range(1100):
            self.kube.store.create(
                "sandboxes",
                {
                    "metadata": {
                        "name": f"team--s{i}",
                        "labels": {
                            "openshell.ai/sandbox-id": f"id-{i}",
                            "openshell.ai/managed-by": "openshell",
                            "openshell.ai/gateway-id": "openshell",
                        },
                    },
                    "spec": {"podTemplate": {"spec": {"containers": []}}},
                },
                self.namespace,
            )
        self.kube.rule("continue=", status=410, reason="Expired")
        driver = Driver(*self.driver_args())
        self.addCleanup(driver.stop)
        eventually(lambda: self.listed(Stub(driver.channel())) == 1100, seconds=60)

    def test_slow_answers(self):
        self.kube.rule("/sandboxes", method="POST", drip=0.01, piece=50)
        self.assertIsNotNone(self.cr(self.create()))

    def test_a_huge_answer(self):
        self.kube.rule(
            "/namespaces/openshell$", method="GET", body=b'{"a":"' + b"x" * (64 << 20), times=-1
        )
        error = self.error_of_create(new_sandbox())
        self.assertEqual(error.code(), Code.INTERNAL, error.details())
        self.assertIn("longer than 16777216 bytes", error.details())
        self.holds_less_than(64 << 10)

    def test_wrong_json(self):
        self.kube.rule(
            "/namespaces/openshell$", method="GET", body=b'{"metadata": {"annotations": 5', times=-1
        )
        self.assertIn(self.error_of_create(new_sandbox()).code(), (Code.INTERNAL, Code.UNAVAILABLE))
        self.kube.api.rules.clear()
        self.create()

    def test_a_server_that_hangs_for_one_does_not_for_others(self):
        sandbox = self.create()
        self.watch().sandbox(sandbox.id, ready)
        self.kube.rule("/sandboxes", method="POST", stall=True, times=2)
        calls = [
            self.stub.CreateSandbox.future(
                pb.CreateSandboxRequest(sandbox=new_sandbox(name=n)), timeout=5
            )
            for n in ("a", "b")
        ]
        eventually(lambda: len(self.kube.seen("POST", "/sandboxes")) >= 3)
        self.assertEqual(self.get(sandbox).id, sandbox.id)
        self.stop(sandbox)
        for call in calls:
            with self.assertRaises(grpc.RpcError):
                call.result()

    def test_connections_are_few_under_load(self):
        self.kube.controller.paused = True

        def work(n):
            for i in range(5):
                self.create(name=f"s{n}-{i}")

        threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertLessEqual(self.kube.connections, 4)


if __name__ == "__main__":
    unittest.main()
