#!/usr/bin/python3
"""A scripted Kubernetes API server, for tests and for a demonstration where no real one is at hand.

As a program:    apiserver.py --kubeconfig-out FILE
serves until it is told to stop, with a kubeconfig for it in FILE. As a module, ApiServer runs on a
thread of its own, and a test reaches into its Store, its Controller and its rules.
"""

import argparse
import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import threading

import kube_http
from kube_api import Api
from kube_controller import Controller
from kube_faults import Rule
from kube_store import Store


class Certificates:
    """A CA, a server certificate for 127.0.0.1 and localhost, one for elsewhere, one for a client."""

    def __init__(self, folder):
        self.folder = folder
        if os.path.exists(self.path("client.crt")):
            return
        self._make_ca("ca")
        self._make_ca("other-ca")
        self._make(
            "server",
            "/CN=apiserver",
            "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc",
        )
        self._make("elsewhere", "/CN=elsewhere", "subjectAltName=DNS:elsewhere.example")
        # Last: whoever finds it finds them all.
        self._make("client", "/O=system:masters/CN=driver", "extendedKeyUsage=clientAuth")

    def path(self, name):
        return os.path.join(self.folder, name)

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=self.folder)

    def _make_ca(self, name):
        self._openssl(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
            "-subj",
            f"/CN=test {name}",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.crt",
        )

    def _make(self, name, subject, extension):
        with open(self.path(f"{name}.ext"), "w", encoding="ascii") as f:
            f.write(extension + "\n")
        self._openssl(
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            subject,
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
        )
        self._openssl(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-days",
            "30",
            "-CAcreateserial",
            "-extfile",
            f"{name}.ext",
            "-out",
            f"{name}.crt",
        )


class ApiServer:
    """
    protocols     what ALPN offers, best first: ("h2", "http/1.1"), ("h2",) or ("http/1.1",)
    tls           False: plain HTTP/1.1
    certificate   "server" or "elsewhere"
    tls_max       e.g. ssl.TLSVersion.TLSv1_2
    controller    a profile for the Controller, or None for none
    """

    _certificates = None

    def __init__(
        self,
        protocols=("h2", "http/1.1"),
        tls=True,
        certificate="server",
        tls_max=None,
        controller="0.5.6",
        namespaces=("default", "openshell"),
        port=0,
        folder=None,
    ):
        if kube_http.h2 is None:
            protocols = tuple(p for p in protocols if p != "h2")
        self.protocols, self.tls, self.certificate, self.tls_max = (
            protocols,
            tls,
            certificate,
            tls_max,
        )
        self.port = port
        self.folder = folder or tempfile.mkdtemp(prefix="apiserver-")
        self.loop = asyncio.new_event_loop()
        self.store = Store()
        self.api = Api(self.store, self.loop)
        for name in namespaces:
            self.store.create("namespaces", {"metadata": {"name": name}})
        self.controller = Controller(self.store, self.loop, controller) if controller else None
        self.connections = 0
        self._writers = set()
        self._server = None
        self._thread = threading.Thread(target=self._run, name="apiserver", daemon=True)
        self._thread.start()
        self.start()

    # -- life -------------------------------------------------------------------------------------

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.close()

    def call(self, coroutine):
        """Runs a coroutine on the server's thread and returns what it returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    @property
    def certificates(self):
        if ApiServer._certificates is None:
            shared = os.environ.get("TEST_CERTIFICATES")  # made once by test/grpc/run
            ApiServer._certificates = Certificates(
                shared or tempfile.mkdtemp(prefix="certificates-")
            )
        return ApiServer._certificates

    def _context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        path = self.certificates.path
        context.load_cert_chain(path(f"{self.certificate}.crt"), path(f"{self.certificate}.key"))
        context.load_verify_locations(path("ca.crt"))
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(list(self.protocols))
        if self.tls_max:
            context.maximum_version = self.tls_max
        return context

    def start(self):
        """Listens, on the port it had before."""

        async def listen():
            return await asyncio.start_server(
                self._serve,
                "127.0.0.1",
                self.port,
                limit=1 << 20,
                ssl=self._context() if self.tls else None,
            )

        self._server = self.call(listen())
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self):
        """Stops listening and drops every connection: the server is gone. The Store stays."""

        async def end():
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await asyncio.sleep(0)

        self.call(end())

    def close(self):
        self.stop()

        async def cancel():
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.call(cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)

    def drop_connections(self):
        async def drop():
            for writer in list(self._writers):
                writer.transport.abort()

        self.call(drop())

    async def _serve(self, reader, writer):
        self.connections += 1
        self._writers.add(writer)
        tls = writer.get_extra_info("ssl_object")
        protocol = (tls.selected_alpn_protocol() if tls else None) or "http/1.1"
        peer = {
            "protocol": protocol,
            "connection": self.connections,
            "certificate": writer.get_extra_info("peercert") or None,
        }
        try:
            serve = kube_http.serve_http2 if protocol == "h2" else kube_http.serve_http1
            await serve(reader, writer, self.api.handle, peer)
        except (ConnectionError, kube_http.Gone, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    # -- what a test asks for -------------------------------------------------------------------

    def rule(self, path="", **how):
        """Adds a Rule and returns it."""
        rule = Rule(path, **how)
        self.api.rules.append(rule)
        return rule

    def seen(self, method=None, path="", watch=None):
        """The requests so far that fit, oldest first."""
        import re

        return [
            x
            for x in list(self.api.requests)
            if method in (None, x.method)
            and re.search(path, x.target)
            and (watch is None or watch == (x.query.get("watch") in ("1", "true")))
        ]

    @property
    def url(self):
        return f'{"https" if self.tls else "http"}://127.0.0.1:{self.port}'

    def kubeconfig(
        self, path=None, certificate=True, token=None, cluster=None, namespace="default", **user
    ):
        """Writes a kubeconfig and returns its path. Extra words go into the user, `cluster` into the cluster."""
        path = path or os.path.join(self.folder, "kubeconfig")
        here = {"server": self.url}
        if self.tls:
            here["certificate-authority"] = self.certificates.path("ca.crt")
            if certificate:
                user = {
                    "client-certificate": self.certificates.path("client.crt"),
                    "client-key": self.certificates.path("client.key"),
                    **user,
                }
        if token:
            user["token"] = token
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {**here, **(cluster or {})}}],
            "users": [{"name": "test", "user": user}],
            "contexts": [
                {
                    "name": "test",
                    "context": {"cluster": "test", "user": "test", "namespace": namespace},
                }
            ],
        }
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f, indent=1)
        return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--kubeconfig-out", required=True, metavar="FILE", help="where to write a kubeconfig"
    )
    parser.add_argument("--port", type=int, default=0, help="default: one that is free")
    parser.add_argument("--plain", action="store_true", help="HTTP/1.1 without TLS")
    parser.add_argument("--http1", action="store_true", help="offer no HTTP/2")
    parser.add_argument("--served", default="v1beta1,v1alpha1", help="versions of the Sandbox kind")
    parser.add_argument(
        "--controller", default="0.5.6", help="whose conditions to write, or 'none'"
    )
    parser.add_argument("--pod-start", type=float, default=0.6, help="seconds until a pod is ready")
    parser.add_argument("--pod-stop", type=float, default=0.4, help="seconds until a pod is gone")
    args = parser.parse_args()

    server = ApiServer(
        protocols=("http/1.1",) if args.http1 else ("h2", "http/1.1"),
        tls=not args.plain,
        port=args.port,
        controller=None if args.controller == "none" else args.controller,
    )
    server.store.served["sandboxes"] = [v for v in args.served.split(",") if v]
    if server.controller:
        server.controller.start, server.controller.stop = args.pod_start, args.pod_stop
    temporary = args.kubeconfig_out + ".new"
    server.kubeconfig(temporary)
    os.replace(temporary, args.kubeconfig_out)  # who waits for the file finds it whole
    print(f"{server.url} (kubeconfig in {args.kubeconfig_out})", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    server.close()
    return 0


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    sys.exit(main())
