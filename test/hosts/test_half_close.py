"""A relay whose gateway ends its direction and goes on listening. grpcio's server cannot do that, NVIDIA's gateway does:
this one speaks HTTP/2 by hand."""

import hashlib
import socket
import struct
import threading
import types
import unittest

import door
import h2.config
import h2.connection
import h2.events
from gateway import pb, policy_of, sandbox_pb
from runner import eventually
from test_relay import PART, PORT, WithRelays

TRAILERS = [("grpc-status", "0")]


class Stream:
    def __init__(self, connection, number, path):
        self.connection, self.number, self.method = connection, number, path.rsplit("/", 1)[1]
        self.bytes, self.messages, self.ended = b"", [], threading.Event()

    def take(self, data):
        self.bytes += data
        while len(self.bytes) >= 5 and len(self.bytes) - 5 >= (n := struct.unpack(">xI", self.bytes[:5])[0]):
            self.messages.append(self.bytes[5 : 5 + n])
            self.bytes = self.bytes[5 + n :]

    def say(self, message):
        data = message.SerializeToString()
        self.connection.h2.send_data(self.number, struct.pack(">xI", len(data)) + data)

    def answer(self, end=False):
        self.connection.h2.send_headers(
            self.number,
            [(":status", "200"), ("content-type", "application/grpc")] + ([("grpc-status", "12")] if end else []),
            end_stream=end,
        )

    def end(self):
        """Only this direction."""
        self.connection.h2.send_headers(self.number, TRAILERS, end_stream=True)


class Connection(threading.Thread):
    def __init__(self, to, accepted):
        super().__init__(daemon=True)
        self.to, self.socket, self.lock, self.streams = to, accepted, threading.RLock(), {}
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.flush()
        self.start()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def run(self):
        try:
            while data := self.socket.recv(65536):
                with self.lock:
                    for event in self.h2.receive_data(data):
                        self.happen(event)
                    self.flush()
        except OSError:
            pass

    def happen(self, event):
        if isinstance(event, h2.events.RequestReceived):
            path = dict(event.headers)[":path"]
            self.streams[event.stream_id] = Stream(self, event.stream_id, path)
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            stream = self.streams[event.stream_id]
            stream.take(event.data)
            self.to.heard(stream)
        elif isinstance(event, h2.events.StreamEnded):
            self.streams[event.stream_id].ended.set()


class HalfGateway:
    def __init__(self, config):
        self.config, self.session, self.relay = config, None, None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.sessions = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                Connection(self, self.listener.accept()[0])
        except OSError:
            pass

    def stop(self):
        self.listener.close()

    def heard(self, stream):
        if not stream.messages:
            return
        if stream.method == "GetSandboxConfig":
            stream.answer()
            stream.say(self.config)
            stream.end()
        elif stream.method == "ConnectSupervisor":
            if self.session is not stream:
                self.session = stream
                stream.answer()
                stream.say(pb.GatewayMessage(session_accepted=pb.SessionAccepted(session_id="one")))
        elif stream.method == "RelayStream":
            if self.relay is not stream:
                stream.answer()
                self.relay = stream
        else:
            stream.answer(end=True)

    def results(self):
        said = [pb.SupervisorMessage.FromString(m) for m in self.session.messages]
        return [m.relay_open_result for m in said if m.WhichOneof("payload") == "relay_open_result"]

    def on(self, stream, *what):
        """Says it on a stream, or ends that."""
        with stream.connection.lock:
            for message in what:
                stream.say(message) if message else stream.end()
            stream.connection.flush()


class HalfCloseTest(WithRelays, door.RootPocket, unittest.TestCase):
    def setUp(self):
        policy = policy_of(self.machine, self.user)
        self.to = HalfGateway(sandbox_pb.GetSandboxConfigResponse(policy=policy, version=1, policy_hash="hash"))
        self.addCleanup(self.to.stop)
        self.serve_inside()
        self.to.sessions.append(types.SimpleNamespace())
        self.accepted(self.to, self.process)

    def ask(self, name):
        tcp = pb.TcpRelayTarget(host="localhost", port=PORT)
        seen = len(self.to.results())
        self.to.on(self.to.session, pb.GatewayMessage(relay_open=pb.RelayOpen(channel_id=name, tcp=tcp)))
        return eventually(lambda: self.to.results()[seen:])[0].success

    def test_the_gateway_ends_first(self):
        """What the target says after that arrives, and the end of it."""
        tries = iter(range(1000))
        eventually(lambda: self.ask(f"relay-{next(tries)}"), "it listens inside")
        relay = eventually(lambda: self.to.relay)
        data = [pb.RelayFrame(data=PART[i : i + 16000]) for i in range(0, 48000, 16000)]
        self.to.on(relay, pb.RelayFrame(data=b"R"), *data, None)
        eventually(relay.ended.is_set, "the supervisor has ended too")
        frames = [pb.RelayFrame.FromString(m) for m in relay.messages]
        said = b"".join(f.data for f in frames[1:])
        self.assertEqual(said.decode(), hashlib.sha256(PART[:48000]).hexdigest())
        self.until(self.process, "sent=64, received=48001): both sides have ended")
