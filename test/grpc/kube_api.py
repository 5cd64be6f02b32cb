"""The scripted API server's answers: Kubernetes paths to Store calls, and the rules that spoil them."""

import asyncio
import json
import re

from kube_http import Gone
from kube_store import KINDS, ApiError, History, selected

TEXT = [("Content-Type", "text/plain; charset=utf-8")]


def dump(obj):
    return json.dumps(obj, separators=(",", ":")).encode() + b"\n"


class Request:
    """What a path and query of the Kubernetes API say."""

    PATTERN = re.compile(
        r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
        r"(?:/namespaces/(?P<ns>[^/]+)(?=/))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?"
    )

    def __init__(self, exchange):
        self.exchange, q = exchange, exchange.query
        m = self.PATTERN.fullmatch(exchange.path)
        self.known = bool(m)
        self.watch = q.get("watch") in ("1", "true")
        if not m:
            return
        self.group, self.version = m["group"] or "", m["core"] or m["version"]
        self.namespace, self.plural, self.name, self.sub = m["ns"], m["plural"], m["name"], m["sub"]
        self.labels, self.fields = q.get("labelSelector"), q.get("fieldSelector")

    def json(self):
        if not self.exchange.body:
            return {}
        try:
            return json.loads(self.exchange.body)
        except ValueError as e:
            raise ApiError(400, "BadRequest", f"the object provided is unrecognized: {e}") from e


class Api:
    def __init__(self, store, loop):
        self.store, self.loop = store, loop
        self.rules = []
        self.requests = []  # every Exchange, in order of arrival
        self.tokens = None  # bearer tokens that are let in; None: all
        self.need_certificate = False
        self.bookmark_every = 0.5
        self.watching = 0

    # -- entry ------------------------------------------------------------------------------------

    async def handle(self, exchange):
        exchange.at = self.loop.time()
        self.requests.append(exchange)
        request = Request(exchange)
        rule = next((r for r in list(self.rules) if r.matches(exchange, request.watch)), None)
        if rule is None:
            await self.answer(request)
            return
        if rule.hook:
            rule.hook(exchange)
        if rule.delay:
            await asyncio.sleep(rule.delay)
        if rule.goaway is not None:
            exchange.goaway(rule.goaway)
        if rule.cut and not rule.after:
            exchange.cut()
        if rule.reset and not rule.after:
            exchange.reset()
        if rule.stall and not rule.after:
            await asyncio.Event().wait()
        await self.answer(request, rule)

    async def answer(self, request, rule=None):
        try:
            self.admit(request)
            if rule and rule.after:
                self.serve(request)
                if rule.cut:
                    request.exchange.cut()
                if rule.reset:
                    request.exchange.reset()
                if rule.stall:
                    await asyncio.Event().wait()
            if rule and (rule.status or rule.body is not None):
                await self.spoilt(request, rule)
            elif request.watch and request.known and not request.name:
                await self.serve_watch(request, rule)
            else:
                await self.send(request, rule, *self.serve(request))
        except ApiError as e:
            await self.send(request, None, e.code, e.status(), e.headers)

    async def spoilt(self, request, rule):
        status = rule.status or 200
        if rule.body is not None:
            await self.send(request, rule, status, rule.body, rule.headers, rule.content_type)
        else:
            error = ApiError(
                status, rule.reason, rule.message or f"told to answer {status}", rule.headers
            )
            await self.send(request, rule, status, error.status(), rule.headers)

    async def send(self, request, rule, status, body, headers=(), content_type="application/json"):
        data = body if isinstance(body, bytes) else dump(body)
        exchange = request.exchange
        exchange.status = status
        await exchange.head(status, [("Content-Type", content_type), *headers], len(data))
        if rule is None:
            await exchange.write(data)
        else:
            await self.send_spoilt(exchange, data, rule)
        await exchange.end()

    @staticmethod
    async def send_spoilt(exchange, data, rule):
        limit = rule.cut_at if rule.cut_at is not None else rule.stall_at
        part = data[:limit] if limit is not None else data
        step = rule.piece if rule.drip else max(len(part), 1)
        for i in range(0, len(part), step):
            await exchange.write(part[i : i + step])
            await asyncio.sleep(rule.drip)
        if rule.stall_at is not None:
            await asyncio.Event().wait()
        if rule.cut_at is not None:
            await asyncio.sleep(0.02)  # let the bytes leave before the connection does
            exchange.cut()

    # -- plain requests ---------------------------------------------------------------------------

    def admit(self, request):
        token = request.exchange.headers.get("authorization", "")
        if self.tokens is not None and token.removeprefix("Bearer ") not in self.tokens:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        if self.need_certificate and not request.exchange.peer.get("certificate"):
            raise ApiError(401, "Unauthorized", "Unauthorized")

    def kind_of(self, request):
        """The kind a request is for; raises what the real server says of a path it does not have."""
        kind = KINDS.get(request.plural)
        if (
            kind is None
            or kind.group != request.group
            or request.version not in self.store.versions(request.plural)
        ):
            raise NoSuchPath
        return kind

    def serve(self, request):
        """Carries a request out: (status, body, headers)."""
        path, method = request.exchange.path, request.exchange.method
        if path in ("/healthz", "/readyz", "/livez"):
            return 200, b"ok", TEXT
        if path == "/version":
            return 200, {"major": "1", "minor": "33", "gitVersion": "v1.33.0"}, ()
        if not request.known:
            return 404, b"404 page not found\n", TEXT
        try:
            kind = self.kind_of(request)
            serve = {
                "GET": self.get,
                "POST": self.post,
                "PUT": self.put,
                "PATCH": self.patch,
                "DELETE": self.delete,
            }.get(method)
            if serve is None:
                raise ApiError(405, "MethodNotAllowed", "the server does not allow this method")
            return serve(kind, request)
        except NoSuchPath:
            return 404, b"404 page not found\n", TEXT

    def show(self, request, obj):
        return self.store.present(request.plural, obj, request.version)

    def get(self, kind, request):
        if request.name:
            return (
                200,
                self.show(request, self.store.get(request.plural, request.namespace, request.name)),
                (),
            )
        q = request.exchange.query
        items, token, remaining, rv = self.store.page(
            request.plural,
            request.namespace,
            request.labels,
            request.fields,
            int(q.get("limit") or 0),
            q.get("continue"),
        )
        meta = {"resourceVersion": str(rv)}
        if token:
            meta.update({"continue": token, "remainingItemCount": remaining})
        return (
            200,
            {
                "kind": kind.kind + "List",
                "apiVersion": self.api_version(request),
                "metadata": meta,
                "items": [self.show(request, o) for o in items],
            },
            (),
        )

    @staticmethod
    def api_version(request):
        return f"{request.group}/{request.version}" if request.group else request.version

    def post(self, kind, request):
        obj = request.json()
        if obj.get("kind", kind.kind) != kind.kind or obj.get("apiVersion") != self.api_version(
            request
        ):
            raise ApiError(
                400,
                "BadRequest",
                f'the API version in the data ({obj.get("apiVersion")}) does not match '
                f"the expected API version ({self.api_version(request)})",
            )
        if request.exchange.query.get("fieldValidation") == "Strict" and "agentSocket" in (
            obj.get("spec") or {}
        ):
            raise ApiError(
                400, "BadRequest", 'strict decoding error: unknown field "spec.agentSocket"'
            )
        dry = request.exchange.query.get("dryRun") == "All"
        return (
            201,
            self.show(request, self.store.create(request.plural, obj, request.namespace, dry)),
            (),
        )

    def put(self, kind, request):
        obj = request.json()
        obj.setdefault("metadata", {}).update(name=request.name)
        if kind.namespaced:
            obj["metadata"]["namespace"] = request.namespace
        return 200, self.show(request, self.store.update(request.plural, obj, request.sub)), ()

    def patch(self, _kind, request):
        sort = request.exchange.headers.get("content-type", "").split(";")[0]
        if sort == "application/apply-patch+yaml":  # JSON is YAML
            obj, new = self.store.apply(
                request.plural,
                request.namespace,
                request.name,
                request.json(),
                request.exchange.query.get("fieldManager"),
            )
            return 201 if new else 200, self.show(request, obj), ()
        if sort != "application/merge-patch+json":
            raise ApiError(
                415,
                "UnsupportedMediaType",
                f"the body of the request was in an unknown format: {sort}",
            )
        obj = self.store.patch(
            request.plural,
            request.namespace,
            request.name,
            request.json(),
            request.sub,
            request.version,
        )
        return 200, self.show(request, obj), ()

    def delete(self, kind, request):
        if not request.name:
            raise ApiError(405, "MethodNotAllowed", "collections are not deleted here")
        obj = self.store.delete(request.plural, request.namespace, request.name, request.json())
        if obj["metadata"].get("deletionTimestamp"):
            return 200, self.show(request, obj), ()
        return (
            200,
            {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Success",
                "details": {
                    "name": request.name,
                    "kind": kind.plural,
                    "uid": obj["metadata"]["uid"],
                },
            },
            (),
        )

    # -- watches ----------------------------------------------------------------------------------

    async def serve_watch(self, request, rule):
        try:
            self.kind_of(request)
        except NoSuchPath:
            await self.send(request, None, 404, b"404 page not found\n", TEXT)
            return
        queue = asyncio.Queue()

        def heard(entry):
            if entry.plural == request.plural:
                self.loop.call_soon_threadsafe(queue.put_nowait, entry)

        with self.store.lock:  # so that nothing falls between the past and what is heard
            past = self.past(request)
            self.store.listeners.append(heard)
        self.watching += 1
        try:
            exchange = request.exchange
            exchange.status = 200
            await exchange.head(200, [("Content-Type", "application/json")])
            await Watch(self, request, rule, queue).run(past)
            await exchange.end()
        finally:
            self.watching -= 1
            self.store.listeners.remove(heard)

    def past(self, request):
        """The events with which a watch begins; None: it is too old."""
        rv = request.exchange.query.get("resourceVersion") or "0"
        if request.exchange.query.get("sendInitialEvents") == "true":
            raise ApiError(
                422,
                "Invalid",
                "sendInitialEvents is forbidden for watch unless the WatchList feature "
                "gate is enabled",
            )
        if rv == "0":
            return [
                History(int(o["metadata"]["resourceVersion"]), request.plural, "ADDED", o, None)
                for o in self.store.list(request.plural, request.namespace)
            ]
        return self.store.since(request.plural, int(rv))


class NoSuchPath(Exception):
    pass


class Watch:
    """One watch being answered."""

    def __init__(self, api, request, rule, queue):
        self.api, self.request, self.rule, self.queue = api, request, rule, queue
        if rule is not None and not rule.breaks_watch():
            self.rule = None
        self.sent = 0

    async def run(self, past):
        q = self.request.exchange.query
        if past is None:
            await self.error(
                {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "metadata": {},
                    "status": "Failure",
                    "message": "too old resource version",
                    "reason": "Expired",
                    "code": 410,
                }
            )
            return
        if self.rule and self.rule.events == 0 and await self.misbehave(None):
            return
        last = 0
        for entry in past:
            last = entry.rv
            if await self.take(entry):
                return
        ends = (
            self.api.loop.time() + float(q["timeoutSeconds"]) if q.get("timeoutSeconds") else None
        )
        while ends is None or self.api.loop.time() < ends:
            try:
                wait = (
                    self.api.bookmark_every
                    if ends is None
                    else min(self.api.bookmark_every, max(ends - self.api.loop.time(), 0.001))
                )
                entry = await asyncio.wait_for(self.queue.get(), wait)
            except asyncio.TimeoutError:
                if q.get("allowWatchBookmarks") in ("1", "true"):
                    await self.bookmark()
                continue
            if entry.rv > last and await self.take(entry):
                return

    def event_for(self, entry):
        """The event by which this watch learns of an entry; None when it is not concerned."""
        r = self.request
        if r.namespace and entry.obj["metadata"].get("namespace") != r.namespace:
            return None
        fits = entry.type != "DELETED" and selected(entry.obj, r.labels, r.fields)
        fitted = entry.old is not None and selected(entry.old, r.labels, r.fields)
        if not fits and not fitted:
            return None
        type_ = "DELETED" if not fits else "MODIFIED" if fitted else "ADDED"
        return {"type": type_, "object": self.api.show(r, entry.obj)}

    async def take(self, entry):
        """Sends an entry; True when the watch is over."""
        event = self.event_for(entry)
        if event is None:
            return False
        data = dump(event)
        if self.rule and self.rule.partial is not None and self.sent >= self.rule.events:
            return await self.misbehave(data)
        await self.request.exchange.write(data)
        self.sent += 1
        return bool(
            self.rule
            and self.rule.partial is None
            and self.sent == self.rule.events
            and await self.misbehave(None)
        )

    async def misbehave(self, data):
        rule, exchange = self.rule, self.request.exchange
        if rule.partial is not None and data is None:
            return False  # it waits for an event to cut
        if rule.raw is not None:
            await exchange.write(rule.raw)
        if rule.partial is not None:
            await exchange.write(data[: rule.partial])
        if rule.partial is not None or rule.drop:
            await asyncio.sleep(0.02)
            exchange.cut()
            raise Gone
        if rule.error is not None:
            await self.error(rule.error)
        return rule.error is not None or rule.finish

    async def error(self, status):
        await self.request.exchange.write(dump({"type": "ERROR", "object": status}))

    async def bookmark(self):
        r = self.request
        with self.api.store.lock:
            meta = {"resourceVersion": str(self.api.store.rv), "creationTimestamp": None}
        await asyncio.sleep(0)
        if not self.queue.empty():
            return  # what is still to be sent is older than what the bookmark would say
        await r.exchange.write(
            dump(
                {
                    "type": "BOOKMARK",
                    "object": {
                        "kind": KINDS[r.plural].kind,
                        "apiVersion": self.api.api_version(r),
                        "metadata": meta,
                    },
                }
            )
        )
