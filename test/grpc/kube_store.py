"""What a Kubernetes API server remembers: objects, resource versions, history.

Enough of the API's rules for a client to be held to them: optimistic locking, generations, the
status subresource, merge patch and server-side apply, label and field selectors, preconditions,
finalizers, owner references, paged lists, both versions of the Sandbox kind with conversion, and a
history that can be compacted. It knows nothing of HTTP. Every method may be called from any thread.
"""

import base64
import copy
import json
import re
import threading
import time
import uuid
from bisect import bisect_right
from collections import namedtuple

Kind = namedtuple("Kind", "group plural kind namespaced versions")

KINDS = {
    k.plural: k
    for k in (
        Kind("", "pods", "Pod", True, ("v1",)),
        Kind("", "events", "Event", True, ("v1",)),
        Kind("", "persistentvolumeclaims", "PersistentVolumeClaim", True, ("v1",)),
        Kind("", "namespaces", "Namespace", False, ("v1",)),
        Kind("", "nodes", "Node", False, ("v1",)),
        Kind("", "serviceaccounts", "ServiceAccount", True, ("v1",)),
        Kind("", "secrets", "Secret", True, ("v1",)),
        Kind("networking.k8s.io", "networkpolicies", "NetworkPolicy", True, ("v1",)),
        Kind("agents.x-k8s.io", "sandboxes", "Sandbox", True, ("v1beta1", "v1alpha1")),
    )
}

# Fields of a v1beta1 Sandbox's spec (driver contract 5.2); the rest is pruned as by the real schema.
SANDBOX_SPEC = {
    "podTemplate",
    "volumeClaimTemplates",
    "service",
    "shutdownTime",
    "shutdownPolicy",
    "operatingMode",
    "replicas",
}

History = namedtuple("History", "rv plural type obj old")


class ApiError(Exception):
    """An answer that is a Status object."""

    def __init__(self, code, reason, message, headers=(), details=None):
        super().__init__(message)
        self.code, self.reason, self.message, self.headers = code, reason, message, list(headers)
        self.details = details or {}

    def status(self):
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }


def not_found(kind, name):
    group = f".{kind.group}" if kind.group else ""
    return ApiError(
        404,
        "NotFound",
        f'{kind.plural}{group} "{name}" not found',
        details={"name": name, "group": kind.group, "kind": kind.plural},
    )


def conflict(kind, name, why):
    return ApiError(
        409, "Conflict", f'Operation cannot be fulfilled on {kind.plural} "{name}": {why}'
    )


def merge_patch(target, patch):
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def label_match(selector, labels):
    """Equality, existence and set terms of a label selector."""
    for term in filter(None, (t.strip() for t in re.split(r",(?![^(]*\))", selector or ""))):
        m = re.fullmatch(r"(\S+?)\s+(in|notin)\s+\(([^)]*)\)", term)
        if m:
            values = {v.strip() for v in m.group(3).split(",")}
            if (labels.get(m.group(1)) in values) != (m.group(2) == "in"):
                return False
        elif "!=" in term:
            key, value = term.split("!=", 1)
            if labels.get(key.strip()) == value.strip():
                return False
        elif "=" in term:
            key, value = re.split(r"==?", term, maxsplit=1)
            if labels.get(key.strip()) != value.strip():
                return False
        elif term.startswith("!"):
            if term[1:] in labels:
                return False
        elif term not in labels:
            return False
    return True


def field_match(selector, obj):
    for term in filter(None, (selector or "").split(",")):
        negate = "!=" in term
        key, value = term.split("!=", 1) if negate else re.split(r"==?", term, maxsplit=1)
        here = obj
        for part in key.split("."):
            here = here.get(part, "") if isinstance(here, dict) else ""
        if (str(here) == value) == negate:
            return False
    return True


def selected(obj, labels=None, fields=None):
    return label_match(labels, obj["metadata"].get("labels") or {}) and field_match(fields, obj)


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Store:
    def __init__(self):
        self.lock = threading.RLock()
        self.objects = {plural: {} for plural in KINDS}
        self.owned = {}  # uid of an owner -> {(plural, key)}
        self.rv = 100
        self.compacted = 0
        self.history = []
        self.listeners = []  # called with each History entry, lock held: must not block
        self.served = {"sandboxes": ["v1beta1", "v1alpha1"]}

    # -- what is served ---------------------------------------------------------------------------

    def versions(self, plural):
        return self.served.get(plural, KINDS[plural].versions)

    def present(self, plural, obj, version=None):
        """A copy of a stored object as `version` shows it."""
        kind = KINDS[plural]
        version = version or (self.versions(plural) or kind.versions)[0]
        out = copy.deepcopy(obj)
        if plural == "sandboxes" and version == "v1alpha1":
            spec = out.setdefault("spec", {})
            suspended = spec.pop("operatingMode", "Running") == "Suspended"
            spec["replicas"] = 0 if suspended else 1
            if "status" in out:
                out["status"]["replicas"] = 0 if suspended else 1
                out["status"].pop("nodeName", None)
        out["apiVersion"] = f"{kind.group}/{version}" if kind.group else version
        out["kind"] = kind.kind
        return out

    @staticmethod
    def _canonical(plural, obj):
        """What is stored: a v1beta1 Sandbox without unknown spec fields; anything else as it is."""
        out = copy.deepcopy(obj)
        if plural == "sandboxes":
            spec = {k: v for k, v in (out.get("spec") or {}).items() if k in SANDBOX_SPEC}
            if "replicas" in spec:
                spec["operatingMode"] = "Suspended" if spec.pop("replicas") == 0 else "Running"
            spec.setdefault("operatingMode", "Running")
            spec.setdefault("shutdownPolicy", "Retain")
            out["spec"] = spec
            if "status" in out:
                out["status"].pop("replicas", None)
        out.pop("apiVersion", None)
        out.pop("kind", None)
        return out

    # -- writing ----------------------------------------------------------------------------------

    def _commit(self, plural, type_, obj, old):
        self.rv += 1
        obj["metadata"]["resourceVersion"] = str(self.rv)
        key = (obj["metadata"].get("namespace"), obj["metadata"]["name"])
        for ref in (old or obj)["metadata"].get("ownerReferences") or ():
            self.owned.get(ref.get("uid"), set()).discard((plural, key))
        if type_ == "DELETED":
            self.objects[plural].pop(key, None)
        else:
            self.objects[plural][key] = obj
            for ref in obj["metadata"].get("ownerReferences") or ():
                self.owned.setdefault(ref.get("uid"), set()).add((plural, key))
        entry = History(self.rv, plural, type_, obj, old)
        self.history.append(entry)
        for listener in self.listeners:
            listener(entry)
        return obj

    def create(self, plural, obj, namespace=None, dry_run=False):
        kind = KINDS[plural]
        with self.lock:
            obj = self._canonical(plural, obj)
            meta = obj.setdefault("metadata", {})
            name = meta.get("name")
            if not name or not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", name):
                raise ApiError(422, "Invalid", f'{kind.kind} "{name}" is invalid: metadata.name')
            if kind.namespaced:
                meta["namespace"] = namespace or meta.get("namespace") or "default"
                space = self.objects["namespaces"].get((None, meta["namespace"]))
                if space is None:
                    raise not_found(KINDS["namespaces"], meta["namespace"])
                if space["metadata"].get("deletionTimestamp"):
                    raise ApiError(
                        403,
                        "Forbidden",
                        f'{kind.plural} "{name}" is forbidden: unable to '
                        f'create new content in namespace {meta["namespace"]} because it is '
                        'being terminated',
                    )
            else:
                meta.pop("namespace", None)
            if (meta.get("namespace"), name) in self.objects[plural]:
                raise ApiError(409, "AlreadyExists", f'{kind.plural} "{name}" already exists')
            meta.update(uid=str(uuid.uuid4()), creationTimestamp=now(), generation=1)
            if plural == "sandboxes":
                obj.pop("status", None)
            if plural == "namespaces":
                obj["status"] = {"phase": "Active"}
            if dry_run:
                return obj
            return self._commit(plural, "ADDED", obj, None)

    def get(self, plural, namespace, name):
        with self.lock:
            obj = self.objects[plural].get((namespace if KINDS[plural].namespaced else None, name))
            if obj is None:
                raise not_found(KINDS[plural], name)
            return obj

    def list(self, plural, namespace=None, labels=None, fields=None):
        with self.lock:
            return [
                o
                for (ns, _), o in sorted(
                    self.objects[plural].items(), key=lambda kv: (kv[0][0] or "", kv[0][1])
                )
                if (not namespace or ns == namespace) and selected(o, labels, fields)
            ]

    def page(self, plural, namespace, labels, fields, limit, token):
        """One page of a list: items, continue token or None, how many remain, resource version."""
        with self.lock:
            items, start, rv = self.list(plural, namespace, labels, fields), 0, self.rv
            if token:
                rv, last = json.loads(base64.urlsafe_b64decode(token))
                if rv < self.compacted:
                    raise ApiError(
                        410,
                        "Expired",
                        "The provided continue parameter is too old to display "
                        "a consistent list result.",
                    )
                keys = [
                    [o["metadata"].get("namespace") or "", o["metadata"]["name"]] for o in items
                ]
                start = bisect_right(keys, last)
            rest = items[start:]
            if not limit or len(rest) <= limit:
                return rest, None, 0, rv
            last = rest[limit - 1]["metadata"]
            token = base64.urlsafe_b64encode(
                json.dumps([rv, [last.get("namespace") or "", last["name"]]]).encode()
            )
            return rest[:limit], token.decode(), len(rest) - limit, rv

    def update(self, plural, obj, subresource=None):
        kind = KINDS[plural]
        with self.lock:
            obj = self._canonical(plural, obj)
            meta = obj["metadata"]
            old = self.get(plural, meta.get("namespace"), meta["name"])
            if meta.get("resourceVersion") not in (None, "", old["metadata"]["resourceVersion"]):
                raise conflict(
                    kind,
                    meta["name"],
                    "the object has been modified; please apply your "
                    "changes to the latest version and try again",
                )
            if meta.get("uid") not in (None, "", old["metadata"]["uid"]):
                raise conflict(
                    kind,
                    meta["name"],
                    "Precondition failed: UID in precondition: "
                    f'{meta["uid"]}, UID in object meta: {old["metadata"]["uid"]}',
                )
            if subresource == "status":
                new = copy.deepcopy(old)
                new["status"] = obj.get("status", {})
            else:
                new = obj
                if plural == "sandboxes":
                    self._keep_status(old, new)
                    if old["spec"].get("volumeClaimTemplates") != new["spec"].get(
                        "volumeClaimTemplates"
                    ):
                        raise ApiError(
                            422,
                            "Invalid",
                            f'Sandbox "{meta["name"]}" is invalid: spec: Invalid '
                            'value: "object": volumeClaimTemplates is immutable',
                        )
                for field in ("uid", "creationTimestamp", "generation", "deletionTimestamp"):
                    if field in old["metadata"]:
                        new["metadata"][field] = old["metadata"][field]
                if new.get("spec") != old.get("spec"):
                    new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
            if {**new, "metadata": {**new["metadata"], "resourceVersion": ""}} == {
                **old,
                "metadata": {**old["metadata"], "resourceVersion": ""},
            }:
                return old
            if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
                return self._gone(plural, new)
            return self._commit(plural, "MODIFIED", new, old)

    @staticmethod
    def _keep_status(old, new):
        new.pop("status", None)
        if "status" in old:
            new["status"] = copy.deepcopy(old["status"])

    def patch(self, plural, namespace, name, patch, subresource=None, version=None):
        """A merge patch, in the shape of `version`; None: as stored."""
        with self.lock:
            old = self.get(plural, namespace, name)
            meta = (patch.get("metadata") or {}) if isinstance(patch, dict) else {}
            if meta.get("resourceVersion") not in (None, old["metadata"]["resourceVersion"]):
                raise conflict(
                    KINDS[plural],
                    name,
                    "the object has been modified; please apply your "
                    "changes to the latest version and try again",
                )
            new = merge_patch(self.present(plural, old, version) if version else old, patch)
            return self.update(plural, new, subresource)

    def apply(self, plural, namespace, name, obj, manager):
        """Server-side apply: creates, or merges without looking at who owned which field."""
        with self.lock:
            if not manager:
                raise ApiError(400, "BadRequest", "fieldManager is required for apply patch")
            obj = {**obj, "metadata": {**obj.get("metadata", {}), "name": name}}
            try:
                self.get(plural, namespace, name)
            except ApiError:
                return self.create(plural, obj, namespace), True
            return self.patch(plural, namespace, name, obj), False

    def delete(self, plural, namespace, name, options=None):
        kind, options = KINDS[plural], options or {}
        with self.lock:
            old = self.get(plural, namespace, name)
            for field in ("uid", "resourceVersion"):
                want = (options.get("preconditions") or {}).get(field)
                if want and want != old["metadata"][field]:
                    raise conflict(
                        kind,
                        name,
                        f"Precondition failed: {field} in precondition: {want}, "
                        f"in object meta: {old['metadata'][field]}",
                    )
            new = copy.deepcopy(old)
            finalizers = new["metadata"].setdefault("finalizers", [])
            if (
                options.get("propagationPolicy") == "Foreground"
                and "foregroundDeletion" not in finalizers
            ):
                finalizers.append("foregroundDeletion")
            if not finalizers:
                del new["metadata"]["finalizers"]
                return self._gone(plural, new)
            if not old["metadata"].get("deletionTimestamp"):
                new["metadata"]["deletionTimestamp"] = now()
                new["metadata"]["deletionGracePeriodSeconds"] = 0
                if plural == "namespaces":
                    new["status"] = {"phase": "Terminating"}
                new = self._commit(plural, "MODIFIED", new, old)
            if "foregroundDeletion" in finalizers:
                self._collect(plural, new)
                self.finalize(plural, namespace, name, "foregroundDeletion")
            return new

    def finalize(self, plural, namespace, name, finalizer):
        """Take a finalizer away; the last one taken from a deleted object lets it go."""
        with self.lock:
            new = copy.deepcopy(self.get(plural, namespace, name))
            new["metadata"]["finalizers"] = [
                f for f in new["metadata"].get("finalizers", []) if f != finalizer
            ]
            if not new["metadata"]["finalizers"]:
                del new["metadata"]["finalizers"]
            return self.update(plural, new)

    def _gone(self, plural, obj):
        obj = self._commit(plural, "DELETED", obj, obj)
        if plural == "namespaces":
            for other, kind in KINDS.items():
                for item in [
                    o for o in self.list(other, obj["metadata"]["name"]) if kind.namespaced
                ]:
                    self._gone(other, copy.deepcopy(item))
        self._collect(plural, obj)
        return obj

    def _collect(self, plural, owner):
        """What the garbage collector does for an owner that goes."""
        for other, key in self.owned.pop(owner["metadata"]["uid"], ()):
            if key in self.objects[other]:
                self._gone(other, copy.deepcopy(self.objects[other][key]))

    # -- history ----------------------------------------------------------------------------------

    def since(self, plural, rv):
        """Entries of `plural` newer than rv; None where they were compacted away."""
        with self.lock:
            if rv < self.compacted:
                return None
            start = bisect_right(self.history, rv, key=lambda h: h.rv) if self.history else 0
            return [h for h in self.history[start:] if h.plural == plural]

    def compact(self):
        """Forget the history: watches and continue tokens from before now get 410."""
        with self.lock:
            self.rv += 1
            self.compacted = self.rv
            self.history.clear()
