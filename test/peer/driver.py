"""A compute driver which makes a plain process of each sandbox: our supervisor in what a container is to it (see
`container`), with the environment and the arguments that the gateway's own driver for Podman gives (podman contract
A.8, A.10). It is as little as the gateway needs (gateway contract 4.1); what it is for is the supervisor.
"""

import concurrent.futures
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading

import runner

runner.make_stubs()
sys.path.insert(0, runner.STUBS)

import grpc  # noqa: E402
import compute_driver_pb2 as pb  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
SERVICE = "openshell.compute.v1.ComputeDriver"
SUPERVISOR = "/opt/openshell/bin/openshell-sandbox"  # in the container, as the rest
SOCKET = "/run/openshell/ssh.sock"
TOKEN = "/etc/openshell/auth/sandbox.jwt"
TLS = "/etc/openshell/tls/client"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USER = 10001
STOP_SECONDS = 10


class Sandbox:
    """One, and the process of it while there is one."""

    def __init__(self, asked, folder):
        self.asked, self.folder = asked, folder
        self.process = None

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def furnish(self, files, tls):
        """What an image and the mounts of a driver bring."""
        for name in "root", "work", "changes":
            os.makedirs(self.path(name))
        for where, path in files.items():
            self.put(where, path, 0o755)
        for name, path in tls.items():
            self.put(f"{TLS}/{name}", path, 0o400)
        if self.asked.spec.sandbox_token:
            self.put(TOKEN, None, 0o400)
            with open(self.path("changes") + TOKEN, "w", encoding="utf-8") as f:
                f.write(self.asked.spec.sandbox_token + "\n")
        for name, line in ("passwd", f"sandbox:x:{USER}:{USER}::/sandbox:/bin/sh\n"), ("group", f"sandbox:x:{USER}:\n"):
            with open("/etc/" + name, encoding="utf-8") as f:
                others = [kept for kept in f if not kept.startswith("sandbox:")]
            with open(self.path("changes", "etc", name), "w", encoding="utf-8") as f:
                f.writelines([*others, line])
        home = self.path("changes", "sandbox")
        os.mkdir(home)
        os.chown(home, USER, USER)

    def put(self, where, path, mode):
        where = self.path("changes") + where
        os.makedirs(os.path.dirname(where), exist_ok=True)
        if path:
            shutil.copyfile(path, where)
        else:
            with open(where, "wb"):
                pass
        os.chmod(where, mode)

    def environment(self, endpoint, tls):
        spec = self.asked.spec
        users = {**spec.template.environment, **spec.environment}
        command, tty = (list(spec.command), spec.tty) if spec.command else (["/bin/bash", "-l"], True)
        made = {"PATH": PATH, "HOME": "/root", "OPENSHELL_LOG_LEVEL": spec.log_level or "info", **users}
        if users:
            made["OPENSHELL_USER_ENVIRONMENT"] = json.dumps(users)
        made.update(
            OPENSHELL_SANDBOX=self.asked.name,
            OPENSHELL_SANDBOX_ID=self.asked.id,
            OPENSHELL_ENDPOINT=endpoint,
            OPENSHELL_SSH_SOCKET_PATH=SOCKET,
            OPENSHELL_CONTAINER_IMAGE=spec.template.image,
            OPENSHELL_MAIN_PROCESS_SPEC=json.dumps({"version": 1, "command": command, "tty": tty}),
            OPENSHELL_TELEMETRY_ENABLED="false",
            OPENSHELL_NETWORK_RUNTIME_CAPABILITIES="policy-dns-transparent-tcp",
            OPENSHELL_OCI_IMAGE_USER="sandbox",
            OPENSHELL_SANDBOX_UID="",
            OPENSHELL_SANDBOX_GID="",
        )
        if spec.sandbox_token:
            made["OPENSHELL_SANDBOX_TOKEN_FILE"] = TOKEN
        if tls:
            for name, file in ("CA", "ca.crt"), ("CERT", "tls.crt"), ("KEY", "tls.key"):
                made["OPENSHELL_TLS_" + name] = f"{TLS}/{file}"
        return made

    def command(self, environment):
        """What starts it, and with which environment."""
        enter = ["unshare", "-m", "-p", "-f", "--kill-child", "--propagation", "private"]
        inside = [os.path.join(HERE, "container"), self.folder, SUPERVISOR]
        return [*enter, *inside, "--workdir", "/sandbox"], environment

    def start(self, endpoint, tls):
        words, environment = self.command(self.environment(endpoint, tls))
        with open(self.path("log"), "ab") as log:
            self.process = subprocess.Popen(
                words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )

    @property
    def pid(self):
        """The supervisor's: the first process in there."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="utf-8") as f:
            return int(f.read().split()[0])

    def stop(self):
        try:
            os.kill(self.pid, signal.SIGTERM)
            self.process.wait(STOP_SECONDS)
        except (IndexError, ProcessLookupError, FileNotFoundError):
            pass  # it has ended
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait()

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def as_message(self, deleting=False):
        code = self.process.poll() if self.process else None
        ready = pb.DriverCondition(type="Ready", status="True", reason="ContainerRunning", message="Container is running")
        if code is not None:
            why = f"Container exited with code {code}"
            ready = pb.DriverCondition(type="Ready", status="False", reason="ContainerExited", message=why)
        status = pb.DriverSandboxStatus(
            sandbox_name=self.asked.name, instance_id=self.asked.id, conditions=[ready], deleting=deleting
        )
        asked = self.asked
        return pb.DriverSandbox(id=asked.id, name=asked.name, workspace=asked.workspace, status=status)


class Driver:
    """Serves at `socket`; `endpoint` and `tls` (its files by their names in the container) are set once the
    gateway is there to be told of."""

    def __init__(self, folder, binary, more=(), make=Sandbox):
        """more: further files by their names in the containers; make: the kind of them."""
        self.make = make
        self.folder, self.files = folder, {SUPERVISOR: binary, **dict(more)}
        self.endpoint, self.tls = "", {}
        self.sandboxes, self.watchers, self.lock = {}, [], threading.Lock()
        os.makedirs(os.path.join(folder, "socket"))
        os.chmod(os.path.join(folder, "socket"), 0o700)
        self.socket = os.path.join(folder, "socket", "driver.sock")
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
        self.server.add_generic_rpc_handlers((self.handlers(),))
        self.server.add_insecure_port("unix:" + self.socket)
        self.server.start()
        os.chmod(self.socket, 0o600)

    def close(self):
        for sandbox in list(self.sandboxes.values()):
            sandbox.process.kill()
            sandbox.process.wait()
        for watcher in self.watchers:
            watcher.put(None)
        self.server.stop(None).wait()

    def of_name(self, name):
        return next(s for s in self.sandboxes.values() if s.asked.name == name)

    def handlers(self):
        made = {}
        for name in (
            "GetCapabilities GetGatewayListenerRequirements ValidateSandboxCreate GetSandbox ListSandboxes CreateSandbox "
            "StopSandbox StartSandbox DeleteSandbox EnsureWorkspace DeleteWorkspace"
        ).split():
            made[name] = grpc.unary_unary_rpc_method_handler(
                getattr(self, name),
                request_deserializer=getattr(pb, name + "Request").FromString,
                response_serializer=lambda m: m.SerializeToString(),
            )
        made["WatchSandboxes"] = grpc.unary_stream_rpc_method_handler(
            self.WatchSandboxes,
            request_deserializer=pb.WatchSandboxesRequest.FromString,
            response_serializer=lambda m: m.SerializeToString(),
        )
        return grpc.method_handlers_generic_handler(SERVICE, made)

    # -- the service, by its own names ---------------------------------------------------------------

    def GetCapabilities(self, _request, _context):
        return pb.GetCapabilitiesResponse(
            driver_name="plain", driver_version="1", default_image="localhost/plain:1", gateway_manages_lifecycle=True
        )

    def GetGatewayListenerRequirements(self, _request, _context):
        return pb.GetGatewayListenerRequirementsResponse()

    def ValidateSandboxCreate(self, _request, _context):
        return pb.ValidateSandboxCreateResponse()

    def EnsureWorkspace(self, _request, _context):
        return pb.EnsureWorkspaceResponse()

    def DeleteWorkspace(self, _request, _context):
        return pb.DeleteWorkspaceResponse()

    def find(self, request, context):
        sandbox = self.sandboxes.get(request.sandbox_id)
        if not sandbox:
            context.abort(grpc.StatusCode.NOT_FOUND, "sandbox not found")
        return sandbox

    def GetSandbox(self, request, context):
        return pb.GetSandboxResponse(sandbox=self.find(request, context).as_message())

    def ListSandboxes(self, _request, _context):
        return pb.ListSandboxesResponse(sandboxes=[s.as_message() for s in list(self.sandboxes.values())])

    def CreateSandbox(self, request, _context):
        asked = request.sandbox
        folder = os.path.join(self.folder, asked.id)
        os.mkdir(folder)
        sandbox = self.make(asked, folder)
        sandbox.furnish(self.files, self.tls)
        self.run(sandbox)
        self.sandboxes[asked.id] = sandbox
        return pb.CreateSandboxResponse()

    def run(self, sandbox):
        sandbox.start(self.endpoint, self.tls)
        self.tell(sandbox)

        def wait():
            sandbox.process.wait()
            self.tell(sandbox)

        threading.Thread(target=wait, daemon=True).start()

    def StartSandbox(self, request, context):
        sandbox = self.find(request, context)
        if sandbox.process.poll() is not None:
            self.run(sandbox)
        return pb.StartSandboxResponse()

    def StopSandbox(self, request, context):
        self.find(request, context).stop()
        return pb.StopSandboxResponse()

    def DeleteSandbox(self, request, _context):
        sandbox = self.sandboxes.pop(request.sandbox_id, None)
        if not sandbox:
            return pb.DeleteSandboxResponse(deleted=False)
        sandbox.stop()
        shutil.rmtree(sandbox.folder)
        self.tell_all(pb.WatchSandboxesEvent(deleted=pb.WatchSandboxesDeletedEvent(sandbox_id=request.sandbox_id)))
        return pb.DeleteSandboxResponse(deleted=True)

    # -- watching ------------------------------------------------------------------------------------

    def tell(self, sandbox):
        self.tell_all(pb.WatchSandboxesEvent(sandbox=pb.WatchSandboxesSandboxEvent(sandbox=sandbox.as_message())))

    def tell_all(self, event):
        with self.lock:
            for watcher in self.watchers:
                watcher.put(event)

    def WatchSandboxes(self, _request, context):
        mine = queue.Queue()
        context.add_callback(lambda: mine.put(None))
        with self.lock:
            self.watchers.append(mine)
        for sandbox in list(self.sandboxes.values()):
            self.tell(sandbox)
        while True:
            event = mine.get()
            if event is None:
                break
            yield event
        with self.lock:
            if mine in self.watchers:
                self.watchers.remove(mine)
