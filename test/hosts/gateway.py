"""A scripted gateway in grpcio: what a supervisor calls, and ways to misbehave."""

import base64
import collections
import concurrent.futures
import hashlib
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time

import hosts  # noqa: F401  (the path to the next)
import runner

runner.make_stubs()
sys.path.insert(0, runner.STUBS)

import grpc  # noqa: E402
import openshell_pb2 as pb  # noqa: E402
import sandbox_pb2 as sandbox_pb  # noqa: E402

Code = grpc.StatusCode
SERVICE = "openshell.v1.OpenShell"


def token(name, seconds=None):
    """A token of that name, as a gateway's are: it expires after so long, or never."""

    def part(what):
        return base64.urlsafe_b64encode(json.dumps(what).encode()).rstrip(b"=").decode()

    expires = 0 if seconds is None else int(time.time()) + seconds
    return f"{part({'alg': 'EdDSA'})}.{part({'sub': name, 'exp': expires})}.c2lnbmF0dXJl"


class Session:
    """One ConnectSupervisor call: what the supervisor said, and what is to be said to it."""

    def __init__(self):
        self.hello, self.said, self.over, self.in_order = None, [], threading.Event(), False
        self.replies = queue.Queue()

    def say(self, **what):
        self.replies.put(pb.GatewayMessage(**what))

    def end(self, code=None, text=""):
        """Ends the call in order, or with a status."""
        self.replies.put((code, text))

    def said_of(self, kind):
        return [getattr(m, kind) for m in self.said if m.WhichOneof("payload") == kind]


class Relay:
    """One that was opened: `socket` has its bytes, once the supervisor has claimed it."""

    def __init__(self, session, channel_id):
        self.session, self.channel_id = session, channel_id
        self.socket, self.theirs = socket.socketpair()
        self.frame = 16384  # bytes in one, at most; where it is more, just as many
        self.context, self.claimed, self.status = None, threading.Event(), None

    @property
    def result(self):
        """What the supervisor answered, or None."""
        results = self.session.said_of("relay_open_result")
        return next((r for r in results if r.channel_id == self.channel_id), None)

    def serve(self, requests, context):
        """The call that claimed it, until our end of the socket is closed for writing, or the supervisor has ended:
        a Python server cannot end its direction alone (test_half_close.py can)."""
        self.context = context
        self.claimed.set()

        def listen():
            try:
                for frame in requests:
                    self.theirs.sendall(frame.data)
            except (grpc.RpcError, OSError):
                pass
            try:
                self.theirs.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        threading.Thread(target=listen, daemon=True).start()
        while data := self.theirs.recv(self.frame, socket.MSG_WAITALL if self.frame > 16384 else 0):
            yield pb.RelayFrame(data=data)

    def close(self):
        self.socket.close()


class Gateway:
    """Answers with config; calls a token of which is not in tokens are refused. Scripts: `failures` of a method
    are (code, text), one for each call until there are none left; `accepts` False leaves hellos unanswered."""

    def __init__(self, config=None, tokens=("token-1",), tls=None, port=0, host="127.0.0.1", path=None):
        """At an address, or on a Unix socket at path."""
        self.host, self.path = host, path
        self.config = config or sandbox_pb.GetSandboxConfigResponse()
        self.tokens, self.tls, self.port = set(tokens), tls, port
        self.failures = collections.defaultdict(list)
        self.accepts, self.heartbeat = True, 15
        self.farewell = []  # said to a session that has said its last
        self.changing = threading.Lock()
        self.calls, self.sessions, self.exits = [], [], []
        self.log_calls, self.log_batches = [], []  # of PushSandboxLogs, which goes on beside all others
        self.relays, self.strangers = {}, []  # by channel id; ids claimed that nobody opened
        self.updates, self.statuses = [], []
        self.environment = pb.GetSandboxProviderEnvironmentResponse()
        self.account, self.issues = (
            None,
            [],
        )  # the ServiceAccount's token (True: any), and what it gets, one after the other
        self.server = None
        self.start()

    def start(self):
        # the limit is that of the real gateway (gateway contract 1.1), and less than grpcio's own
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 1 << 20)]
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(256), options=options)
        self.server.add_generic_rpc_handlers((self.handlers(),))
        address = f"unix:{self.path}" if self.path else f"{self.host}:{self.port}"
        if self.tls:
            self.port = self.server.add_secure_port(address, self.tls)
        else:
            self.port = self.server.add_insecure_port(address)
        assert self.port, address
        self.server.start()

    def stop(self):
        """Cuts all connections and listens no more; start() listens on the same port."""
        stopped = self.server.stop(None)
        for session in self.sessions:
            session.end()
        stopped.wait()

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://{self.host}:{self.port}"

    # -- the service -------------------------------------------------------------------------------

    def handlers(self):
        def unary(method, request):
            return grpc.unary_unary_rpc_method_handler(
                method,
                request_deserializer=request.FromString,
                response_serializer=lambda m: m.SerializeToString(),
            )

        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "GetSandboxConfig": unary(self.get_config, sandbox_pb.GetSandboxConfigRequest),
                "IssueSandboxToken": unary(self.issue, pb.IssueSandboxTokenRequest),
                "RefreshSandboxToken": unary(self.refresh, pb.RefreshSandboxTokenRequest),
                "GetSandboxProviderEnvironment": unary(self.get_environment, pb.GetSandboxProviderEnvironmentRequest),
                "UpdateConfig": unary(self.update_config, pb.UpdateConfigRequest),
                "ReportPolicyStatus": unary(self.report_status, pb.ReportPolicyStatusRequest),
                "ReportMainProcessExit": unary(self.exit, pb.ReportMainProcessExitRequest),
                "PushSandboxLogs": grpc.stream_unary_rpc_method_handler(
                    self.push_logs,
                    request_deserializer=pb.PushSandboxLogsRequest.FromString,
                    response_serializer=lambda m: m.SerializeToString(),
                ),
                "ConnectSupervisor": grpc.stream_stream_rpc_method_handler(
                    self.connect,
                    request_deserializer=pb.SupervisorMessage.FromString,
                    response_serializer=lambda m: m.SerializeToString(),
                ),
                "RelayStream": grpc.stream_stream_rpc_method_handler(
                    self.relay,
                    request_deserializer=pb.RelayFrame.FromString,
                    response_serializer=lambda m: m.SerializeToString(),
                ),
            },
        )

    def admit(self, method, context):
        bearer = dict(context.invocation_metadata()).get("authorization", "")
        calls = self.log_calls if method == "PushSandboxLogs" else self.calls
        calls.append((method, bearer))
        if bearer.removeprefix("Bearer ") not in self.tokens:
            context.abort(Code.UNAUTHENTICATED, "token expired")
        if self.failures[method]:
            context.abort(*self.failures[method].pop(0))

    def get_config(self, request, context):
        self.admit("GetSandboxConfig", context)
        return self.config

    def set_config(self, **changes):
        """The next revision of the configuration; a policy with another text is the next version of it."""
        with self.changing:
            config = sandbox_pb.GetSandboxConfigResponse()
            config.CopyFrom(self.config)
            config.config_revision += 1
            if "policy" in changes:
                config.policy.CopyFrom(changes.pop("policy"))
                text = config.policy.SerializeToString(deterministic=True)
                config.version, config.policy_hash = config.version + 1, hashlib.sha256(text).hexdigest()
            for name, value in changes.items():
                setattr(config, name, value)
            self.config = config
        return config.version

    def set_settings(self, **settings):
        """All there are: booleans and texts."""
        with self.changing:
            config = sandbox_pb.GetSandboxConfigResponse()
            config.CopyFrom(self.config)
            config.config_revision += 1
            config.settings.clear()
            for name, value in settings.items():
                setattr(config.settings[name].value, "bool_value" if isinstance(value, bool) else "string_value", value)
            self.config = config

    def next_token(self):
        """What is issued counts from now on."""
        token = self.issues.pop(0)
        self.tokens.add(token)
        return token

    def issue(self, request, context):
        bearer = dict(context.invocation_metadata()).get("authorization", "")
        self.calls.append(("IssueSandboxToken", bearer))
        if self.failures["IssueSandboxToken"]:
            context.abort(*self.failures["IssueSandboxToken"].pop(0))
        if self.account is not True and bearer != f"Bearer {self.account}":
            context.abort(Code.UNAUTHENTICATED, "not this account")
        return pb.IssueSandboxTokenResponse(token=self.next_token())

    def refresh(self, request, context):
        self.admit("RefreshSandboxToken", context)
        return pb.RefreshSandboxTokenResponse(token=self.next_token())

    def get_environment(self, request, context):
        self.admit("GetSandboxProviderEnvironment", context)
        if not request.supports_static_credential_bindings:
            context.abort(Code.FAILED_PRECONDITION, "it would get none")
        return self.environment

    def update_config(self, request, context):
        self.admit("UpdateConfig", context)
        self.updates.append(request)
        version = self.set_config(policy=request.policy)
        return pb.UpdateConfigResponse(version=version, policy_hash=self.config.policy_hash)

    def report_status(self, request, context):
        self.admit("ReportPolicyStatus", context)
        self.statuses.append((request.version, pb.PolicyStatus.Name(request.status)[14:], request.load_error))
        return pb.ReportPolicyStatusResponse()

    def exit(self, request, context):
        self.admit("ReportMainProcessExit", context)
        self.exits.append(request)
        return pb.ReportMainProcessExitResponse()

    def push_logs(self, requests, context):
        self.admit("PushSandboxLogs", context)
        for request in requests:
            self.log_batches.append(request)
        return pb.PushSandboxLogsResponse()

    @property
    def log(self):
        """Its lines: level, target and message."""
        return [(line.level, line.target, line.message) for batch in self.log_batches for line in batch.logs]

    def connect(self, requests, context):
        self.admit("ConnectSupervisor", context)
        session = Session()
        session.hello = next(requests).hello

        def listen():
            try:
                for message in requests:
                    session.said.append(message)
                session.in_order = True
                for what in self.farewell:
                    session.say(**what)
            except grpc.RpcError:
                pass
            session.over.set()
            session.end()

        threading.Thread(target=listen, daemon=True).start()
        self.sessions.append(session)
        if self.accepts:
            self.accept(session)
        while True:
            reply = session.replies.get()
            if not isinstance(reply, tuple):
                yield reply
            elif reply[0] is None:
                return
            else:
                context.abort(*reply)

    def relay(self, requests, context):
        self.admit("RelayStream", context)
        channel_id = next(requests).init.channel_id
        relay = self.relays.get(channel_id)
        if relay is None or relay.claimed.is_set():
            self.strangers.append(channel_id)
            context.abort(Code.NOT_FOUND, "unknown or expired relay channel")
        yield from relay.serve(requests, context)

    def open_relay(self, session=None, tcp=None, channel_id=None):
        """Asks for one, to the sshd or to a (host, port); its result and its bytes come as they come."""
        session = session or self.sessions[-1]
        channel_id = channel_id or f"relay-{len(self.relays)}"
        relay = self.relays[channel_id] = Relay(session, channel_id)
        target = {"tcp": pb.TcpRelayTarget(host=tcp[0], port=tcp[1])} if tcp else {"ssh": pb.SshRelayTarget()}
        session.say(relay_open=pb.RelayOpen(channel_id=channel_id, **target))
        return relay

    def accept(self, session):
        session.say(
            session_accepted=pb.SessionAccepted(
                session_id=f"session-{len(self.sessions)}", heartbeat_interval_secs=self.heartbeat
            )
        )


# what a supervisor would add to a policy, where it is there
BASELINE = [
    path for path in ("/usr", "/lib", "/etc", "/app", "/var/log", "/proc", "/dev/urandom") if os.path.exists(path)
]


def policy_of(machine, user, program=None):
    """A policy that lets the program `hosts`, or another, reach the allowed server."""
    host, port = machine.server.allowed.split(":")
    paths = ["/bin", "/sbin", "/lib64", os.path.dirname(machine.program), *BASELINE]
    rule = sandbox_pb.NetworkPolicyRule(
        name="server",
        endpoints=[sandbox_pb.NetworkEndpoint(host=host, port=int(port))],
        binaries=[sandbox_pb.NetworkBinary(path=program or machine.program)],
    )
    return sandbox_pb.SandboxPolicy(
        version=1,
        filesystem=sandbox_pb.FilesystemPolicy(read_only=paths, read_write=["/dev/null", "/tmp"]),
        landlock=sandbox_pb.LandlockPolicy(compatibility="best_effort"),
        process=sandbox_pb.ProcessPolicy(run_as_user=str(user), run_as_group=str(user)),
        network_policies={"server": rule},
    )


class Certificates:
    """An authority, and certificates by it for a gateway named gateway.test and for its clients."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.run("req", "-x509", "-subj", "/CN=authority", *self.new_key("ca"), "-out", self.path("ca.crt"))
        self.sign("server", "subjectAltName=DNS:gateway.test")
        self.sign("client", "subjectAltName=DNS:client.test")
        for name in os.listdir(folder):
            os.chmod(self.path(name), 0o644)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, *words):
        subprocess.run(["openssl", *words], check=True, capture_output=True)

    def new_key(self, name):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path(name + ".key")

    def sign(self, name, extension):
        request, made = self.path(name + ".csr"), self.path(name + ".crt")
        with open(self.path("extension"), "w", encoding="utf-8") as f:
            f.write(extension + "\n")
        self.run("req", "-subj", f"/CN={name}", *self.new_key(name), "-out", request)
        by = "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"), "-CAcreateserial"
        self.run("x509", "-req", "-in", request, *by, "-extfile", self.path("extension"), "-out", made)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def server(self):
        pair = self.read("server.key"), self.read("server.crt")
        return grpc.ssl_server_credentials([pair], self.read("ca.crt"), require_client_auth=True)

    def environment(self, **changes):
        names = {
            "OPENSHELL_TLS_CA": self.path("ca.crt"),
            "OPENSHELL_TLS_CERT": self.path("client.crt"),
            "OPENSHELL_TLS_KEY": self.path("client.key"),
            "OPENSHELL_GATEWAY_TLS_SERVER_NAME": "gateway.test",
        }
        names.update(changes)
        return list(names.items())
