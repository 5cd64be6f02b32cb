"""The driver as a process: its socket (driver contract 1.2), its signals, its command line."""

import os
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import unittest

import grpc

import support
from support import BINARY, Code, Driver, GatewayTest, Stub, eventually, new_sandbox, pb, ready


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


class Socket(GatewayTest):
    def test_folder_and_socket_are_private(self):
        self.assertEqual(mode(os.path.dirname(self.driver.socket)), 0o700)
        self.assertEqual(mode(self.driver.socket), 0o600)

    def test_the_socket_goes_with_the_driver(self):
        self.assertEqual(self.driver.stop(), 0)
        self.assertFalse(os.path.exists(self.driver.socket))

    def test_a_folder_that_is_too_open_is_closed(self):
        folder = tempfile.mkdtemp(prefix="open-")
        os.chmod(folder, 0o755)
        self.start_driver(socket_path=os.path.join(folder, "driver.sock"))
        self.assertEqual(mode(folder), 0o700)

    def test_a_stale_socket_is_replaced(self):
        self.driver.killed = True
        self.driver.process.kill()
        self.driver.process.wait()
        self.assertTrue(os.path.exists(self.driver.socket))
        self.start_driver(socket_path=self.driver.socket)
        self.assertEqual(self.list(), [])

    def test_a_second_driver_does_not_take_a_living_socket(self):
        """Upstream would; then two drivers believe that they serve it."""
        second = Driver(*self.driver_args(), socket_path=self.driver.socket, wait=False)
        self.addCleanup(second.stop)
        self.assertNotEqual(second.wait(), 0)
        self.assertIn(self.driver.socket, second.log())
        self.assertEqual(self.list(), [])

    def refuses(self, path, words):
        driver = Driver(*self.driver_args(), socket_path=path, wait=False)
        self.addCleanup(driver.stop)
        self.assertNotEqual(driver.wait(), 0)
        self.assertIn(words, driver.log())

    def test_what_is_no_socket_is_left_alone(self):
        path = os.path.join(tempfile.mkdtemp(prefix="file-"), "driver.sock")
        with open(path, "w", encoding="ascii") as f:
            f.write("precious")
        self.refuses(path, "exists but is not an owned Unix socket")
        with open(path, encoding="ascii") as f:
            self.assertEqual(f.read(), "precious")

    def test_a_folder_by_a_symbolic_link(self):
        real = tempfile.mkdtemp(prefix="real-")
        link = real + "-link"
        os.symlink(real, link)
        self.addCleanup(os.unlink, link)
        self.refuses(os.path.join(link, "driver.sock"), "must be a directory, not a symlink")

    def test_a_folder_of_another_user(self):
        if os.geteuid() != 0:
            self.skipTest("giving a folder away needs root")
        folder = tempfile.mkdtemp(prefix="theirs-")
        os.chown(folder, 12345, -1)
        self.refuses(
            os.path.join(folder, "driver.sock"), f"is owned by uid 12345, expected {os.geteuid()}"
        )

    def call_as(self, uid, path):
        """GetCapabilities by another user; whether it was answered. The socket is opened up for the test."""
        for folder in (os.path.dirname(path), self.driver.folder, tempfile.gettempdir()):
            os.chmod(folder, mode(folder) | 0o011)
        os.chmod(path, 0o666)
        code = (
            "import os, socket, sys; os.setuid(%d); s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(%r);"
            "s.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + b'\\0\\0\\0\\4\\0\\0\\0\\0\\0');"
            "\ntry: data = s.recv(9)\nexcept ConnectionError: data = b''\nsys.exit(not data)"
        ) % (uid, path)
        return (
            subprocess.run(["/usr/bin/python3", "-c", code], check=False, timeout=30).returncode
            == 0
        )

    def test_other_users_are_turned_away(self):
        if os.geteuid() != 0:
            self.skipTest("being another user needs root")
        self.assertFalse(self.call_as(12345, self.driver.socket))
        eventually(lambda: "12345" in self.driver.log(), "the log names the uid")
        self.assertEqual(self.list(), [])

    def test_allow_uid(self):
        if os.geteuid() != 0:
            self.skipTest("being another user needs root")
        driver = self.start_driver("--allow-uid", "12345")
        self.assertTrue(self.call_as(12345, driver.socket))
        self.assertFalse(self.call_as(12346, driver.socket))
        self.assertEqual(self.list(), [])

    def test_silent_peers_make_room(self):
        """As many connections as there may be, and none of them says anything."""
        peers = []
        for _ in range(128):
            peers.append(socket.socket(socket.AF_UNIX))
            self.addCleanup(peers[-1].close)
            peers[-1].connect(self.driver.socket)
        stub = Stub(self.driver.channel())
        stub.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=60, wait_for_ready=True)

    def test_no_descriptors_left(self):
        """Connections wait until there are some again."""
        driver = self.start_driver(files=32)
        peers = []
        for _ in range(60):
            peers.append(socket.socket(socket.AF_UNIX))
            peers[-1].connect(driver.socket)
        eventually(lambda: "accepting gRPC connections pauses" in driver.log(), "it says so")
        for peer in peers:
            peer.close()
        self.stub.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=30, wait_for_ready=True)

    def test_tcp(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % s.getsockname()[1]
        driver = self.start_driver("--bind-address", address)
        channel = grpc.insecure_channel(address)
        self.addCleanup(channel.close)
        Stub(channel).GetCapabilities(
            pb.GetCapabilitiesRequest(), timeout=support.WAIT, wait_for_ready=True
        )
        self.assertIn("without authentication", driver.log())

    def test_tcp_for_others(self):
        driver = Driver(*self.driver_args(), "--bind-address", "0.0.0.0:50061", wait=False)
        self.addCleanup(driver.stop)
        self.assertNotEqual(driver.wait(), 0)
        self.assertIn("0.0.0.0", driver.log())


class Signals(GatewayTest):
    def test_sigterm_and_sigint_end_it_well(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            driver = self.start_driver()
            driver.signal(number)
            self.assertEqual(driver.wait(), 0)
            self.assertFalse(os.path.exists(driver.socket))

    def test_calls_under_way_are_finished(self):
        self.kube.rule("/sandboxes", method="POST", delay=1.0)
        sandbox = new_sandbox()
        call = self.stub.CreateSandbox.future(
            pb.CreateSandboxRequest(sandbox=sandbox), timeout=support.WAIT
        )
        eventually(lambda: self.kube.seen("POST", "/sandboxes"))
        self.driver.signal(signal.SIGTERM)
        eventually(lambda: not os.path.exists(self.driver.socket), "nobody new is let in")
        call.result()
        self.assertEqual(self.driver.wait(), 0)
        self.assertIsNotNone(self.cr(sandbox))

    def test_calls_that_hang_are_not_waited_for_for_ever(self):
        self.kube.rule("/nodes", stall=True, times=-1)
        gpu = pb.ResourceRequirements(gpu=pb.GpuResourceRequirements())
        call = self.stub.ValidateSandboxCreate.future(
            pb.ValidateSandboxCreateRequest(
                sandbox=new_sandbox(spec={"resource_requirements": gpu})
            ),
            timeout=120,
        )
        eventually(lambda: self.kube.seen("GET", "/nodes"))
        self.driver.signal(signal.SIGTERM)
        self.assertEqual(self.driver.wait(60), 0)
        with self.assertRaises(grpc.RpcError):
            call.result()

    def test_new_calls_are_told_that_it_ends(self):
        self.watch()
        self.driver.signal(signal.SIGTERM)
        self.assertEqual(self.driver.wait(), 0)
        self.fails(Code.UNAVAILABLE, self.stub.GetCapabilities, pb.GetCapabilitiesRequest())

    def test_a_gateway_comes_back_to_a_new_driver(self):
        """As tonic does: the same channel dials again."""
        sandbox = self.create()
        self.watch().sandbox(sandbox.id, ready)
        path = self.driver.socket
        self.assertEqual(self.driver.stop_keeping_channels(), 0)
        stub = self.stub
        self.start_driver(socket_path=path)
        answer = stub.GetSandbox(
            pb.GetSandboxRequest(sandbox_id=sandbox.id), timeout=support.WAIT, wait_for_ready=True
        )
        self.assertEqual(answer.sandbox.id, sandbox.id)


class CommandLine(unittest.TestCase):
    def run_driver(self, *args, **env):
        return subprocess.run(
            [BINARY, "driver", *args],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            env={"PATH": "/bin", "HOME": "/nonexistent", **env},
        )

    def test_help(self):
        done = self.run_driver("--help")
        self.assertEqual(done.returncode, 0)
        for option in (
            "--socket",
            "--namespace",
            "--supervisor-image",
            "--supervisor-binary-path",
            "--supervisor-mount-path",
            "--gateway-endpoint",
            "--workspace-mode",
            "--kubeconfig",
            "--allow-uid",
            "--log-format",
        ):
            self.assertIn(option, done.stdout)

    def test_an_unknown_option(self):
        done = self.run_driver("--no-such-option")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--no-such-option", done.stderr)

    def test_settings_that_do_not_fit(self):
        folder = tempfile.mkdtemp(prefix="args-")
        base = ("--socket", os.path.join(folder, "run", "s"), "--backend", "kubernetes")
        cases = {
            (
                "--workspace-mode",
                "managed",
                "--gateway-id",
                "Not_A_Label",
            ): "gateway_id 'Not_A_Label' is not a valid DNS-1123 label",
            (
                "--workspace-mode",
                "operator",
            ): "requires exactly one of operator_namespace_label or operator_namespace_file",
            ("--workspace-mode", "what"): "what",
            ("--sandbox-uid", "0"): "sandbox_uid 0 is outside the allowed range [1, 4294967294]",
            (
                "--https-proxy",
                "http://user:pw@proxy:1",
            ): "https_proxy must not embed credentials in the URL",
            ("--no-proxy", "x"): "no_proxy is set but no https_proxy is configured",
            ("--managed-ssh-gateway-pod-selector", "novalue"): "novalue",
            (
                "--provider-spiffe-workload-api-socket-path",
                "relative",
            ): "provider_spiffe_workload_api_socket_path",
        }
        for args, words in cases.items():
            with self.subTest(args):
                done = self.run_driver(*base, *args)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(words, done.stderr)
                self.assertNotIn("pw", done.stderr.replace("credentials", ""))

    def test_a_kubeconfig_that_is_broken(self):
        folder = tempfile.mkdtemp(prefix="args-")
        path = os.path.join(folder, "kubeconfig")
        with open(path, "w", encoding="ascii") as f:
            f.write("clusters: [")
        done = self.run_driver("--socket", os.path.join(folder, "run", "s"), "--kubeconfig", path)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(path, done.stderr)


class Logs(GatewayTest):
    args = ("--log-format", "json")

    def test_json_lines(self):
        import json

        self.create()
        self.driver.stop()
        lines = [json.loads(line) for line in self.driver.log().splitlines()]
        self.assertTrue(lines)


class Environment(GatewayTest):
    """The environment names of driver contract 3.1."""

    env = {
        "OPENSHELL_GATEWAY_ID": "from-env",
        "OPENSHELL_SANDBOX_NAMESPACE": "default",
        "OPENSHELL_GRPC_ENDPOINT": "http://gateway:1",
    }

    def driver_args(self):
        return ["--backend", "kubernetes", "--kubeconfig", self.kube.kubeconfig()]

    def start_driver(self, *more, **options):
        self.env = {**self.env, "OPENSHELL_COMPUTE_DRIVER_SOCKET": "unused"}
        return super().start_driver(*more, **options)

    def test_names_of_3_1(self):
        sandbox = self.create()
        obj = self.cr(sandbox)
        self.assertEqual(obj["metadata"]["namespace"], "default")
        self.assertEqual(obj["metadata"]["labels"]["openshell.ai/gateway-id"], "from-env")
        env = {
            e["name"]: e.get("value")
            for e in obj["spec"]["podTemplate"]["spec"]["containers"][0]["env"]
        }
        self.assertEqual(env["OPENSHELL_ENDPOINT"], "http://gateway:1")


class Load(GatewayTest):
    def test_creates_from_many_threads(self):
        self.kube.controller.paused = True
        errors, ids = [], []

        def work(n):
            try:
                ids.extend(self.create(name=f"s{n}-{i}").id for i in range(25))
            except grpc.RpcError as e:
                errors.append(e)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        began = time.monotonic()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(errors, [])
        eventually(lambda: {s.id for s in self.list()} == set(ids))
        print(f"     200 creates in {time.monotonic() - began:.1f} s")

    def test_connections_come_and_go(self):
        for _ in range(200):
            channel = self.driver.channel()
            Stub(channel).GetCapabilities(pb.GetCapabilitiesRequest(), timeout=support.WAIT)
            channel.close()
        fds = os.listdir(f"/proc/{self.driver.process.pid}/fd")
        eventually(
            lambda: len(os.listdir(f"/proc/{self.driver.process.pid}/fd")) < 64,
            f"{len(fds)} descriptors",
        )


if __name__ == "__main__":
    unittest.main()
