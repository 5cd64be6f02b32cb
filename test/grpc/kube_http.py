"""HTTP/1.1 and HTTP/2 for the scripted API server: transport only, with the means to misbehave.

A handler gets an Exchange and answers through it. Exchange hides which protocol the client speaks;
what cannot be hidden (a GOAWAY) is a method that the other protocol gives the nearest meaning.
"""

import asyncio
import urllib.parse

try:
    import h2.config
    import h2.connection
    import h2.events
    import h2.exceptions
except ImportError:  # python3-h2 is not installed: HTTP/1.1 only
    h2 = None


class Gone(Exception):
    """The client, or we ourselves, ended this exchange."""


class Exchange:
    """One request and its answer."""

    def __init__(self, method, target, headers, body, peer):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.path, _, query = target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.peer = peer  # {"protocol", "connection", "certificate"}

    async def head(self, status, headers, length=None):
        """Send the head; a length of None announces a stream."""
        raise NotImplementedError

    async def write(self, data):
        raise NotImplementedError

    async def end(self):
        raise NotImplementedError

    def cut(self):
        """Drop the connection, with whatever else is on it."""
        raise NotImplementedError

    def reset(self):
        """End this exchange alone, unfinished (HTTP/1.1: the connection)."""
        self.cut()

    def goaway(self, processed=True):
        """Ask the client to use another connection; with processed=False, also to repeat this request."""


# -- HTTP/1.1 -------------------------------------------------------------------------------------


class Http1(Exchange):
    def __init__(self, writer, *args):
        super().__init__(*args)
        self.writer, self.chunked, self.last = writer, False, False

    async def _send(self, data):
        if self.writer.is_closing():
            raise Gone
        try:
            self.writer.write(data)
            await self.writer.drain()
        except (ConnectionError, OSError) as e:
            raise Gone from e

    async def head(self, status, headers, length=None):
        lines = [f"HTTP/1.1 {status} Status"] + [f"{k}: {v}" for k, v in headers]
        self.chunked = length is None
        lines.append("Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {length}")
        if self.last:
            lines.append("Connection: close")
        await self._send(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def write(self, data):
        if data:
            await self._send(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    async def end(self):
        if self.chunked:
            await self._send(b"0\r\n\r\n")

    def cut(self):
        self.writer.transport.abort()
        raise Gone

    def goaway(self, processed=True):
        if not processed:
            self.cut()
        self.last = True


async def serve_http1(reader, writer, handler, peer):
    early = b""  # the first byte of the next request, where it came while the last was answered
    while True:
        try:
            head = early + await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            return
        request, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = request.split(" ", 2)
        headers = {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        else:
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        exchange = Http1(writer, method, target, headers, body, peer)
        # While it is answered, notice a client that leaves. Nobody pipelines, so a read means the end.
        work = asyncio.ensure_future(handler(exchange))
        watch = asyncio.ensure_future(reader.read(1))
        await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)
            return
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        early = b"" if watch.cancelled() else watch.result()
        try:
            work.result()
        except Gone:
            return
        if exchange.last or (not watch.cancelled() and not early):
            return


# -- HTTP/2 ---------------------------------------------------------------------------------------


class Http2(Exchange):
    def __init__(self, link, stream, *args):
        super().__init__(*args)
        self.link, self.stream, self.open = link, stream, True

    def _alive(self):
        if not self.open or self.link.closed:
            raise Gone

    async def head(self, status, headers, length=None):
        self._alive()
        fields = [(":status", str(status))] + [(k.lower(), str(v)) for k, v in headers]
        if length is not None:
            fields.append(("content-length", str(length)))
        self.link.h2.send_headers(self.stream, fields)
        await self.link.flush()

    async def write(self, data):
        at = 0
        while at < len(data):
            self._alive()
            connection = self.link.h2
            try:
                window = connection.local_flow_control_window(self.stream)
            except h2.exceptions.ProtocolError as e:
                raise Gone from e
            window = min(window, connection.max_outbound_frame_size)
            if window <= 0:
                self.link.room.clear()
                await self.link.room.wait()
                continue
            connection.send_data(self.stream, data[at : at + window])
            at += window
            await self.link.flush()
            await asyncio.sleep(0)  # so that a client that leaves is noticed

    async def end(self):
        self._alive()
        try:
            self.link.h2.end_stream(self.stream)
        except h2.exceptions.ProtocolError as e:
            raise Gone from e
        await self.link.flush()

    def cut(self):
        self.link.closed = True
        self.link.writer.transport.abort()
        raise Gone

    def reset(self):
        self.link.h2.reset_stream(self.stream, error_code=2)
        self.link.writer.write(self.link.h2.data_to_send())
        raise Gone

    def goaway(self, processed=True):
        last = max(self.stream if processed else self.stream - 2, 0)
        last = min(last, self.link.last)  # it may never grow (RFC 9113, 6.8)
        self.link.last = last
        # Written by hand: the library would treat its own connection as closed from here on.
        payload = last.to_bytes(4, "big") + bytes(4)
        self.link.writer.write(self.link.h2.data_to_send() + b"\0\0\x08\x07\0\0\0\0\0" + payload)
        if last < self.stream:
            raise Gone


class Link:
    def __init__(self, writer):
        self.writer, self.closed = writer, False
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self.room = asyncio.Event()
        self.streams = {}
        self.last = (1 << 31) - 1  # what a GOAWAY said is the last stream

    async def flush(self):
        if self.closed or self.writer.is_closing():
            raise Gone
        try:
            self.writer.write(self.h2.data_to_send())
            await self.writer.drain()
        except (ConnectionError, OSError) as e:
            raise Gone from e


async def serve_http2(reader, writer, handler, peer, streams=250):
    link = Link(writer)
    link.h2.local_settings.max_concurrent_streams = streams
    link.h2.initiate_connection()
    link.h2.increment_flow_control_window(1 << 24)
    tasks = set()

    async def answer(exchange):
        try:
            await handler(exchange)
        except Gone:
            pass
        finally:
            link.streams.pop(exchange.stream, None)

    def ended(stream):
        exchange = link.streams[stream]
        exchange.body = bytes(exchange.body)
        exchange.task = asyncio.ensure_future(answer(exchange))
        tasks.add(exchange.task)
        exchange.task.add_done_callback(tasks.discard)

    def take(event):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            fields = dict(event.headers)
            link.streams[stream] = Http2(
                link, stream, fields[":method"], fields[":path"], fields, bytearray(), peer
            )
        elif isinstance(event, h2.events.DataReceived):
            if stream in link.streams:
                link.streams[stream].body += event.data
            if event.flow_controlled_length:
                link.h2.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.StreamEnded):
            ended(stream)
        elif isinstance(event, h2.events.StreamReset):
            exchange = link.streams.pop(stream, None)
            if exchange:
                exchange.open = False
                link.room.set()
                if hasattr(exchange, "task"):
                    exchange.task.cancel()
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            link.room.set()

    try:
        await link.flush()
        while not link.closed:
            data = await reader.read(1 << 16)
            if not data:
                break
            for event in link.h2.receive_data(data):
                take(event)
            await link.flush()
    except (Gone, ConnectionError, OSError, h2.exceptions.ProtocolError):
        pass
    finally:
        link.closed = True
        link.room.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
