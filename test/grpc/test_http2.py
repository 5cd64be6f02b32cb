"""HTTP/2 as it should not be: malformed requests (RFC 9113 8.1.1) and floods, frame by frame.

The client here writes frames by hand, so that it can break every rule.
"""

import select
import socket
import struct
import time
import unittest

import h2.connection
import h2.exceptions
import hpack

import support
from support import GatewayTest, pb

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0,
    1,
    3,
    4,
    6,
    7,
    8,
    9,
)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PROTOCOL_ERROR, ENHANCE_YOUR_CALM = 1, 11

GOOD = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", support.SERVICE + "GetCapabilities"),
    (":authority", "localhost"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)
EMPTY = b"\0\0\0\0\0"  # the frame of an empty gRPC message


class Raw:
    """A connection of hand-written frames."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(support.WAIT)
        self.socket.connect(path)
        self.decoder = hpack.Decoder()
        self.buffer = b""
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(SETTINGS, 0, 0))

    @staticmethod
    def frame(type_, flags, stream, payload=b""):
        return (
            struct.pack(">I", len(payload))[1:]
            + struct.pack(">BBI", type_, flags, stream)
            + payload
        )

    @staticmethod
    def block(headers):
        """Headers as literals without indexing: the library would refuse to write wrong ones."""

        def text(s):
            data = s.encode() if isinstance(s, str) else s
            return hpack.hpack.encode_integer(len(data), 7) + data

        return b"".join(b"\0" + bytes(text(k)) + bytes(text(v)) for k, v in headers)

    def send(self, data):
        self.socket.sendall(data)

    def request(self, stream, headers=GOOD, body=EMPTY, end=True):
        data = self.frame(HEADERS, END_HEADERS, stream, self.block(headers))
        if body is not None:
            data += self.frame(DATA, END_STREAM if end else 0, stream, body)
        self.send(data)

    def answer(self, type_, payload=b""):
        """An acknowledgement, where somebody is there to take it."""
        try:
            self.send(self.frame(type_, ACK, 0, payload))
        except ConnectionError:
            pass

    def read(self):
        """The next frame: type, flags, stream, payload; None at the end of the connection."""
        try:
            while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(
                self.buffer[:3], "big"
            ):
                data = self.socket.recv(65536)
                if not data:
                    return None
                self.buffer += data
        except ConnectionError:
            return None
        n = 9 + int.from_bytes(self.buffer[:3], "big")
        frame, self.buffer = self.buffer[:n], self.buffer[n:]
        return frame[3], frame[4], int.from_bytes(frame[5:9], "big") & 0x7FFFFFFF, frame[9:]

    def outcome(self, stream):
        """How a stream ends: ("status", grpc-status or :status), ("reset", code), ("goaway", code) or ("end",)."""
        fields = {}
        while True:
            frame = self.read()
            if frame is None:
                return ("end",)
            type_, flags, on, payload = frame
            if type_ == SETTINGS and not flags & ACK:
                self.answer(SETTINGS)
            elif type_ == PING and not flags & ACK:
                self.answer(PING, payload)
            elif type_ == GOAWAY and int.from_bytes(payload[4:8], "big"):
                return ("goaway", int.from_bytes(payload[4:8], "big"))
            elif type_ == HEADERS:
                got = dict(self.decoder.decode(payload))
                if on == stream:
                    fields.update(got)
                    if flags & END_STREAM:
                        return ("status", fields.get("grpc-status", fields.get(":status")))
            elif type_ == DATA and on == stream and flags & END_STREAM:
                return ("status", fields.get("grpc-status", fields.get(":status")))
            elif type_ == RST_STREAM and on == stream:
                return ("reset", int.from_bytes(payload, "big"))


class Http2Test(GatewayTest):
    def connect(self):
        raw = Raw(self.driver.socket)
        self.addCleanup(raw.socket.close)
        return raw

    def still_serves(self):
        self.assertEqual(
            self.stub.GetCapabilities(
                pb.GetCapabilitiesRequest(), timeout=support.WAIT
            ).driver_name,
            "kubernetes",
        )


class Malformed(Http2Test):
    def test_a_good_request_is_answered(self):
        raw = self.connect()
        raw.request(1)
        self.assertEqual(raw.outcome(1), ("status", "0"))

    def without(self, name):
        return [h for h in GOOD if h[0] != name]

    def test_malformed_requests_are_reset_and_the_connection_goes_on(self):
        good = list(GOOD)
        cases = {
            "no :method": self.without(":method"),
            "no :path": self.without(":path"),
            "no :scheme": self.without(":scheme"),
            "an empty :path": self.without(":path") + [(":path", "")],
            ":method twice": [good[0]] + good,
            ":path twice": [good[2]] + good,
            "an unknown pseudo-header": [(":what", "x")] + good,
            "a response's pseudo-header": [(":status", "200")] + good,
            "a pseudo-header behind a field": good[1:] + [good[0]],
            "an upper-case name": good + [("X-Upper", "x")],
            "connection": good + [("connection", "keep-alive")],
            "transfer-encoding": good + [("transfer-encoding", "chunked")],
            "upgrade": good + [("upgrade", "h2c")],
            "proxy-connection": good + [("proxy-connection", "x")],
            "te that is not trailers": self.without("te") + [("te", "gzip")],
            "a content-length that is too long": good + [("content-length", "6")],
            "a content-length that is too short": good + [("content-length", "4")],
            "a content-length that is no number": good + [("content-length", "five")],
            "two content-lengths": good + [("content-length", "5"), ("content-length", "6")],
            "a line break in a value": good + [("x", "a\r\nb: c")],
            "a NUL in a value": good + [("x", "a\0b")],
            "a blank in a name": good + [("x y", "z")],
        }
        for name, headers in cases.items():
            # Pseudo-headers come first, but where that is the case.
            if name not in ("a pseudo-header behind a field",):
                headers = sorted(headers, key=lambda h: not h[0].startswith(":"))
            with self.subTest(name):
                raw = self.connect()
                raw.request(1, headers)
                outcome = raw.outcome(1)
                self.assertIn(outcome, [("reset", PROTOCOL_ERROR), ("status", "400")])
                raw.request(3)
                self.assertEqual(raw.outcome(3), ("status", "0"))

    def test_trailers_with_pseudo_headers(self):
        raw = self.connect()
        raw.request(1, end=False)
        raw.send(raw.frame(HEADERS, END_HEADERS | END_STREAM, 1, raw.block([(":path", "/x")])))
        self.assertEqual(raw.outcome(1), ("reset", PROTOCOL_ERROR))
        raw.request(3)
        self.assertEqual(raw.outcome(3), ("status", "0"))

    def test_what_is_not_grpc(self):
        raw = self.connect()
        raw.request(1, [(":method", "GET")] + [h for h in GOOD if h[0] != ":method"])
        self.assertIn(raw.outcome(1)[0], ("status", "reset"))
        raw.request(
            3, [h if h[0] != "content-type" else ("content-type", "text/html") for h in GOOD]
        )
        self.assertEqual(raw.outcome(3), ("status", "415"))
        raw.request(5, list(GOOD) + [("grpc-encoding", "zip")], b"\x01\0\0\0\0")
        self.assertEqual(raw.outcome(5), ("status", "12"))
        raw.request(7, GOOD, b"\x02\0\0\0\0")
        self.assertEqual(raw.outcome(7)[0], "status")
        raw.request(9, GOOD, b"\0\0\0\0\x05abc")
        self.assertEqual(raw.outcome(9)[0], "status")
        raw.request(11)
        self.assertEqual(raw.outcome(11), ("status", "0"))

    def test_a_client_with_a_window_of_ten_bytes(self):
        raw = self.connect()
        raw.send(raw.frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 10)))
        raw.request(1)
        body = b""
        while len(body) < 5 or len(body) < 5 + int.from_bytes(body[1:5], "big"):
            type_, _, stream, payload = raw.read()
            if type_ == DATA and stream == 1:
                self.assertLessEqual(len(payload), 10)
                body += payload
                raw.send(raw.frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", max(len(payload), 1))))
        self.assertEqual(pb.GetCapabilitiesResponse.FromString(body[5:]).driver_name, "kubernetes")
        self.assertEqual(raw.outcome(1), ("status", "0"))

    def test_a_request_in_small_pieces(self):
        raw = self.connect()
        data = raw.frame(HEADERS, END_HEADERS, 1, raw.block(GOOD))
        for i in range(5):
            data += raw.frame(DATA, END_STREAM if i == 4 else 0, 1, EMPTY[i : i + 1])
        for i in range(len(data)):
            raw.send(data[i : i + 1])
        self.assertEqual(raw.outcome(1), ("status", "0"))

    def test_timeouts_that_are_none(self):
        for value in ("", "abc", "1", "1x", "-1S", "123456789S", "1.5S"):
            with self.subTest(value):
                raw = self.connect()
                raw.request(1, list(GOOD) + [("grpc-timeout", value)])
                self.assertIn(raw.outcome(1)[0], ("status", "reset"))
        self.still_serves()

    def test_breaches_of_the_connection_end_it(self):
        frames = {
            "a frame that is too large": struct.pack(">I", 1 << 20)[1:]
            + b"\0\0\0\0\0\1"
            + bytes(1 << 20),
            "DATA on stream 0": Raw.frame(DATA, 0, 0, b"x"),
            "DATA on an idle stream": Raw.frame(DATA, 0, 1, b"x"),
            "HEADERS on an even stream": Raw.frame(HEADERS, END_HEADERS, 2, Raw.block(GOOD)),
            "SETTINGS of a wrong length": Raw.frame(SETTINGS, 0, 0, b"12345"),
            "PING of a wrong length": Raw.frame(PING, 0, 0, b"1234"),
            "a window of more than 2^31 - 1": Raw.frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")
            * 2,
            "headers that do not decode": Raw.frame(
                HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"
            ),
            "CONTINUATION without HEADERS": Raw.frame(CONTINUATION, END_HEADERS, 1, b""),
            "PING between HEADERS and CONTINUATION": Raw.frame(HEADERS, 0, 1, Raw.block(GOOD))
            + Raw.frame(PING, 0, 0, bytes(8)),
        }
        for name, data in frames.items():
            with self.subTest(name):
                raw = self.connect()
                try:
                    raw.send(data)
                except ConnectionError:
                    pass
                self.assertIn(raw.outcome(1)[0], ("goaway", "end"))
        self.still_serves()

    def test_headers_beyond_the_limit(self):
        raw = self.connect()
        many = [(f"x-{i}", "y" * 1000) for i in range(20)]
        block = raw.block(list(GOOD) + many)
        raw.send(
            raw.frame(HEADERS, 0, 1, block[:16000])
            + raw.frame(CONTINUATION, END_HEADERS, 1, block[16000:])
        )
        raw.send(raw.frame(DATA, END_STREAM, 1, EMPTY))
        self.assertNotEqual(raw.outcome(1), ("status", "0"))
        self.still_serves()


class Floods(Http2Test):
    def flood(self, pieces, answers=False):
        """Sends for as long as the server takes it; returns how the connection ended."""
        raw = self.connect()
        raw.socket.settimeout(30)
        sent = 0
        try:
            for piece in pieces:
                raw.send(piece)
                sent += 1
        except (ConnectionError, socket.timeout):
            pass
        outcome = raw.outcome(0)
        self.still_serves()
        self.holds_less_than(64 << 10)
        return sent, outcome

    def ends(self, pieces):
        _, outcome = self.flood(pieces)
        self.assertIn(outcome[0], ("goaway", "end"))

    def test_ping(self):
        self.ends(Raw.frame(PING, 0, 0, bytes(8)) * 1000 for _ in range(2000))

    def test_settings(self):
        self.ends(Raw.frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff") * 1000 for _ in range(2000))

    def test_rapid_reset(self):
        def pieces():
            block = Raw.block(GOOD)
            for i in range(200000):
                stream = 2 * i + 1
                yield Raw.frame(HEADERS, END_HEADERS, stream, block) + Raw.frame(
                    RST_STREAM, 0, stream, b"\0\0\0\x08"
                )

        self.ends(pieces())

    def test_continuation(self):
        def pieces():
            yield Raw.frame(HEADERS, 0, 1, Raw.block(GOOD))
            for i in range(100000):
                yield Raw.frame(CONTINUATION, 0, 1, Raw.block([(f"x{i}", "y" * 100)]))

        self.ends(pieces())

    def test_empty_data(self):
        def pieces():
            yield Raw.frame(HEADERS, END_HEADERS, 1, Raw.block(GOOD))
            for _ in range(3000):
                yield Raw.frame(DATA, 0, 1, b"") * 1000

        sent, outcome = self.flood(pieces())
        self.assertTrue(outcome[0] in ("goaway", "end") or sent == 3001)

    def test_streams_beyond_the_limit_are_refused(self):
        raw = self.connect()
        block = Raw.block(
            [h if h[0] != ":path" else (":path", support.SERVICE + "WatchSandboxes") for h in GOOD]
        )
        try:
            for stream in range(1, 4000, 2):
                raw.send(
                    Raw.frame(HEADERS, END_HEADERS, stream, block)
                    + Raw.frame(DATA, END_STREAM, stream, EMPTY)
                )
        except ConnectionError:
            pass
        # who only sends may find the connection closed before the words of farewell had room
        outcome = raw.outcome(3999)
        self.assertIn(outcome, [("reset", 7), ("goaway", ENHANCE_YOUR_CALM), ("end",)])
        self.still_serves()

    def test_pings_now_and_then_are_no_flood(self):
        raw = self.connect()
        for i in range(100):
            raw.send(raw.frame(PING, 0, 0, struct.pack(">Q", i)))
            while True:
                type_, flags, _, payload = raw.read()
                if type_ == PING and flags & ACK:
                    break
            self.assertEqual(payload, struct.pack(">Q", i))
            time.sleep(0.01)
        raw.request(1)
        self.assertEqual(raw.outcome(1), ("status", "0"))

    def unfinished(self, streams):
        """A connection with that many requests that announce 4 MiB and send all but the end of it, as
        far as they are let; how many bytes that were."""
        peer = socket.socket(socket.AF_UNIX)
        self.addCleanup(peer.close)
        peer.connect(self.driver.socket)
        peer.settimeout(support.WAIT)
        client, sent = h2.connection.H2Connection(), 0
        client.initiate_connection()
        try:
            for stream in range(1, 2 * streams, 2):
                client.send_headers(stream, GOOD)
                client.send_data(stream, b"\0" + (4 << 20).to_bytes(4, "big"))
                left, waits = (4 << 20) - 1, 0
                while left and waits < 2:
                    n = min(left, client.local_flow_control_window(stream), 16384)
                    if n:
                        client.send_data(stream, bytes(n))
                        left, sent = left - n, sent + n
                    peer.sendall(client.data_to_send())
                    if n:
                        continue
                    if select.select([peer], [], [], 0.1)[0]:
                        client.receive_data(peer.recv(65536))
                    else:
                        waits += 1
        except (ConnectionError, h2.exceptions.ProtocolError):
            pass
        return sent

    def test_requests_that_are_never_finished(self):
        """What they hold together is bounded, and they do not keep others from being served."""
        sent = sum(self.unfinished(10) for _ in range(3))
        self.assertGreater(sent, 32 << 20)
        self.holds_less_than(96 << 10)
        self.still_serves()

    def test_a_peer_that_reads_nothing(self):
        """It asks for much and takes none of it: it is cut off in the end, and costs little until then."""
        raw = self.connect()
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        before, end = self.driver.rss(), time.monotonic() + 5
        raw.socket.settimeout(1)
        stream = 1
        try:
            while time.monotonic() < end:
                raw.request(stream)
                stream += 2
        except (ConnectionError, socket.timeout):
            pass
        self.holds_less_than(32 << 10, before)
        self.still_serves()


if __name__ == "__main__":
    unittest.main()
