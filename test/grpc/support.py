"""What every test of tier 2 stands on: the real binary as a driver, a scripted API server behind
it, and grpcio in front of it. Nothing here is asserted but that the driver starts and ends well.
"""

import os
import queue
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("OPENSHELL_BINARY", os.path.join(ROOT, "build", "openshell-static"))
STUBS = os.path.join(ROOT, "build", "gen-py")
sys.path[:0] = [STUBS, os.path.dirname(os.path.abspath(__file__))]

import grpc  # noqa: E402
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    json_format,
    message_factory,
    struct_pb2,
)  # noqa: E402

import compute_driver_pb2 as pb  # noqa: E402
from apiserver import ApiServer  # noqa: E402
from runner import WAIT, eventually  # noqa: E402

END = 30  # seconds in which the driver must have ended: what is under way gets 10
SANITIZED = "/asan/" in BINARY
SERVICE = "/openshell.compute.v1.ComputeDriver/"
Code = grpc.StatusCode


class Stub:
    """The ComputeDriver service of a channel: one method a RPC, made from the descriptor."""

    def __init__(self, channel):
        service = pb.DESCRIPTOR.services_by_name["ComputeDriver"]
        proto = descriptor_pb2.ServiceDescriptorProto()
        service.CopyToProto(proto)
        for method, declared in zip(service.methods, proto.method):
            make = channel.unary_stream if declared.server_streaming else channel.unary_unary
            setattr(
                self,
                method.name,
                make(
                    SERVICE + method.name,
                    request_serializer=getattr(pb, method.input_type.name).SerializeToString,
                    response_deserializer=getattr(pb, method.output_type.name).FromString,
                ),
            )


class Driver:
    """The driver as a process on a socket."""

    prefix = ()  # words before the program's, for one that is run elsewhere

    def __init__(self, *args, env=None, socket_path=None, wait=True, folder=None, files=None):
        self.folder = folder or tempfile.mkdtemp(prefix="driver-")
        self.socket = socket_path or os.path.join(self.folder, "run", "driver.sock")
        self.log_path = os.path.join(self.folder, "log")
        self.args = [*self.prefix, BINARY, "driver", "--socket", self.socket, *args]
        base = {"PATH": os.environ["PATH"], "HOME": self.folder}
        self.log_file = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            self.args,
            env={**base, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=self.log_file,
            stderr=self.log_file,
            preexec_fn=files
            and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))),
        )
        self.channels = []
        self.killed = False  # set by a test that kills it: its exit status is then no failure
        if wait:
            self.wait_listening()

    def wait_listening(self):
        def listening():
            if self.process.poll() is not None:
                raise AssertionError(
                    f"the driver ended with {self.process.returncode}:\n{self.log()}"
                )
            with socket.socket(socket.AF_UNIX) as s:
                try:
                    s.connect(self.socket)
                except OSError:
                    return False
            return True

        eventually(listening, "the driver listens")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def channel(self, **options):
        # A connection of its own: grpcio would share one among channels that look alike.
        options = {
            "grpc.use_local_subchannel_pool": 1,
            "grpc.max_receive_message_length": 64 << 20,
            "grpc.max_send_message_length": 64 << 20,
            **options,
        }
        channel = grpc.insecure_channel("unix:" + self.socket, options=list(options.items()))
        self.channels.append(channel)
        return channel

    def rss(self):
        """Resident memory in KiB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=WAIT):
        return self.process.wait(seconds)

    def stop(self):
        """SIGTERM, and the exit status."""
        for channel in self.channels:
            channel.close()
        return self.stop_keeping_channels()

    def stop_keeping_channels(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "killed: it did not end on SIGTERM"
        finally:
            self.log_file.close()


class Watcher:
    """A WatchSandboxes stream, read by a thread of its own into `events`."""

    def __init__(self, stub, start=True):
        self.call = stub.WatchSandboxes(pb.WatchSandboxesRequest())
        self.events, self.error, self._new = [], None, queue.Queue()
        self.thread = threading.Thread(target=self._read, daemon=True)
        if start:
            self.thread.start()

    def _read(self):
        try:
            for event in self.call:
                self.events.append(event)
        except grpc.RpcError as e:
            self.error = e

    def find(self, check):
        return next((e for e in list(self.events) if check(e)), None)

    def wait_for(self, check, what=""):
        """The first event, past or future, that check accepts."""
        return eventually(lambda: self.find(check), what or "an event")

    def sandbox(self, id_, check=lambda s: True, what=""):
        """The first snapshot of a sandbox that check accepts."""
        event = self.wait_for(
            lambda e: e.WhichOneof("payload") == "sandbox"
            and e.sandbox.sandbox.id == id_
            and check(e.sandbox.sandbox),
            what or f"a snapshot of {id_}",
        )
        return event.sandbox.sandbox

    def deleted(self, id_):
        return self.wait_for(
            lambda e: e.WhichOneof("payload") == "deleted" and e.deleted.sandbox_id == id_,
            f"{id_} is deleted",
        )

    def platform(self, id_, check=lambda e: True, what=""):
        event = self.wait_for(
            lambda e: e.WhichOneof("payload") == "platform_event"
            and e.platform_event.sandbox_id == id_
            and check(e.platform_event.event),
            what or f"a platform event of {id_}",
        )
        return event.platform_event.event

    def snapshots(self, id_):
        return [
            e.sandbox.sandbox
            for e in list(self.events)
            if e.WhichOneof("payload") == "sandbox" and e.sandbox.sandbox.id == id_
        ]

    def cancel(self):
        self.call.cancel()
        self.thread.join(WAIT)


def condition(sandbox, type_):
    return next((c for c in sandbox.status.conditions if c.type == type_), None)


def is_condition(type_, status, reason=None):
    """A check for snapshots: the condition is there with that status, and reason."""

    def check(sandbox):
        c = condition(sandbox, type_)
        return c is not None and c.status == status and reason in (None, c.reason)

    return check


ready = is_condition("Ready", "True")


def new_sandbox(name="one", workspace="team", **more):
    """A DriverSandbox as a gateway sends it (driver contract 1.9)."""
    spec = {
        "log_level": "info",
        "command": ["/bin/bash", "-l"],
        "tty": True,
        "template": {"image": "registry.example/agent:1"},
    }
    for key, value in more.pop("spec", {}).items():
        if isinstance(value, dict) and isinstance(spec.get(key), dict):
            spec[key] = {**spec[key], **value}
        else:
            spec[key] = value
    return pb.DriverSandbox(
        id=more.pop("id", str(uuid.uuid4())), name=name, workspace=workspace, spec=spec, **more
    )


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def field(number, data):
    """A length-delimited field as bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def from_struct(value):
    """A google.protobuf.Struct of a dict."""
    return json_format.ParseDict(value, struct_pb2.Struct())


class GatewayTest(unittest.TestCase):
    """A driver of its own for every test, and an API server; `args` and `server` may be overridden."""

    args = ()  # more words for the driver
    env = {}
    server = {}  # words for ApiServer
    kubeconfig = {}  # words for ApiServer.kubeconfig
    namespace = "openshell"

    def setUp(self):
        self.kube = ApiServer(**self.server)
        self.addCleanup(self.kube.close)
        self.addCleanup(shutil.rmtree, self.kube.folder, True)
        self.before_driver()
        self.start_driver()

    def before_driver(self):
        """For tests that prepare the API server."""

    def driver_args(self):
        return [
            "--backend",
            "kubernetes",
            "--namespace",
            self.namespace,
            "--kubeconfig",
            self.kube.kubeconfig(**self.kubeconfig),
            *self.args,
        ]

    def start_driver(self, *more, **options):
        self.driver = Driver(*self.driver_args(), *more, env=self.env, **options)
        self.addCleanup(self.end_driver, self.driver)
        self.channel = self.driver.channel()
        self.stub = Stub(self.channel)
        return self.driver

    def end_driver(self, driver):
        status = driver.stop()
        if not driver.killed:
            self.assertEqual(status, 0, f"exit status of the driver:\n{driver.log()}")

    def diagnostics(self):
        lines = []
        if hasattr(self, "driver"):
            lines += ["--- the driver's log", self.driver.log()]
        if hasattr(self, "kube"):
            lines.append("--- requests to the API server")
            lines += [
                f"{x.method} {x.target} {getattr(x, 'status', '-')}"
                for x in self.kube.api.requests[-40:]
            ]
        return "\n".join(lines)

    def holds_less_than(self, kib, before=0):
        """Asserts on the driver's memory; a sanitizer's shadow would tell nothing."""
        if not SANITIZED:
            self.assertLess(self.driver.rss() - before, kib, "KiB of resident memory")

    # -- words that tests share -------------------------------------------------------------------

    def raw(self, method, answer=lambda b: b):
        """A unary call that takes its request as bytes."""
        return self.channel.unary_unary(
            SERVICE + method, request_serializer=lambda b: b, response_deserializer=answer
        )

    def fails(self, code, call, *args, message=None, **kwargs):
        """Asserts that the call fails with the code (and message); returns the error."""
        with self.assertRaises(grpc.RpcError) as caught:
            call(*args, timeout=WAIT, **kwargs)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        if message is not None:
            self.assertEqual(caught.exception.details(), message)
        return caught.exception

    def create(self, sandbox=None, **more):
        sandbox = sandbox or new_sandbox(**more)
        self.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=sandbox), timeout=WAIT)
        return sandbox

    def get(self, sandbox):
        return self.stub.GetSandbox(
            pb.GetSandboxRequest(sandbox_id=sandbox.id, sandbox_name=sandbox.name), timeout=WAIT
        ).sandbox

    def list(self):
        return list(self.stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=WAIT).sandboxes)

    def stop(self, sandbox):
        return self.stub.StopSandbox(
            pb.StopSandboxRequest(sandbox_id=sandbox.id, sandbox_name=sandbox.name), timeout=WAIT
        )

    def start(self, sandbox):
        return self.stub.StartSandbox(
            pb.StartSandboxRequest(sandbox_id=sandbox.id, sandbox_name=sandbox.name), timeout=WAIT
        )

    def delete(self, sandbox):
        return self.stub.DeleteSandbox(
            pb.DeleteSandboxRequest(sandbox_id=sandbox.id, sandbox_name=sandbox.name), timeout=WAIT
        ).deleted

    def validate(self, sandbox):
        return self.stub.ValidateSandboxCreate(
            pb.ValidateSandboxCreateRequest(sandbox=sandbox), timeout=WAIT
        )

    def watch(self, stub=None):
        watcher = Watcher(stub or self.stub)
        self.addCleanup(watcher.cancel)
        return watcher

    def wait_synced(self):
        """Until the driver's watches are open."""
        eventually(lambda: self.kube.seen("GET", "/sandboxes", watch=True), "the driver watches")

    def cr(self, sandbox):
        """The Sandbox object of a sandbox, found by its label."""
        found = self.kube.store.list("sandboxes", labels=f"openshell.ai/sandbox-id={sandbox.id}")
        self.assertLessEqual(len(found), 1)
        return found[0] if found else None

    def cr_name(self, sandbox):
        return f"{sandbox.workspace}--{sandbox.name}"


def generic_messages():
    """Every message of proto/ by full name, made without generated code, as a generic client would."""
    pool = descriptor_pool.DescriptorPool()
    with open(os.path.join(STUBS, "descriptor_set"), "rb") as f:
        for file in descriptor_pb2.FileDescriptorSet.FromString(f.read()).file:
            pool.Add(file)
    return lambda name: message_factory.MessageFactory(pool).GetPrototype(
        pool.FindMessageTypeByName(name)
    )
