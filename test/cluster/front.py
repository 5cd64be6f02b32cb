"""A TLS endpoint before a cluster's API server, for connections of another kind than it offers by
itself, and for connections that break."""

import asyncio
import os
import ssl
import threading


class Front:
    """Passes bytes on, both ways. Speaks TLS up to a version, HTTP of the given kinds only."""

    def __init__(self, server, newest=ssl.TLSVersion.TLSv1_3, alpn=("h2", "http/1.1")):
        self.folder = server.folder
        with open(server.kubeconfig, encoding="utf-8") as f:
            self.text = f.read()
        self.target = int(self.text.split("https://127.0.0.1:")[1].split('"')[0])
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.pki("server.crt"), self.pki("server.key"))
        self.tls.maximum_version = newest
        self.tls.set_alpn_protocols(list(alpn))
        self.seen = []  # (version, protocol) of each connection that there was
        self.transports = set()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.server = self.run(asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.tls))
        self.port = self.server.sockets[0].getsockname()[1]

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def pki(self, name):
        return os.path.join(self.folder, "pki", name)

    def kubeconfig(self, path):
        """A kubeconfig for this way in, written to path."""
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.text.replace(f"127.0.0.1:{self.target}", f"127.0.0.1:{self.port}"))
        return path

    async def serve(self, reader, writer):
        connection = writer.get_extra_info("ssl_object")
        chosen = connection.selected_alpn_protocol()
        self.seen.append((connection.version(), chosen))
        tls = ssl.create_default_context(cafile=self.pki("ca.crt"))
        tls.set_alpn_protocols([chosen or "http/1.1"])
        pair = {writer.transport}
        self.transports |= pair
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self.target, ssl=tls)
            pair.add(forth.transport)
            self.transports |= pair
            await asyncio.gather(self.copy(reader, forth), self.copy(back, writer))
        except (OSError, ssl.SSLError):
            pass
        finally:
            self.transports -= pair
            for transport in pair:
                transport.abort()

    @staticmethod
    async def copy(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError  # the end of one direction is the end of both

    async def abort_all(self):
        for transport in self.transports:
            transport.abort()

    def cut(self):
        """Breaks every connection, wherever it is, without a farewell."""
        self.run(self.abort_all())

    async def end(self):
        self.server.close()
        await self.abort_all()

    def close(self):
        self.run(self.end())
        self.loop.call_soon_threadsafe(self.loop.stop)
