"""A miniature agent-sandbox controller and kubelet, enough to move a Sandbox through its life.

The conditions are those that the controller of `profile` writes (driver contract 5.3), with the
quirks that a driver has to live with: a stale Suspended in 0.5.1, Ready=True of a stopped sandbox
in 0.4.6. It works on the Store directly and runs on the API server's event loop.
"""

import copy
import random

from kube_store import ApiError, now

NAME_HASH = "agents.x-k8s.io/sandbox-name-hash"
POD_NAME = "agents.x-k8s.io/pod-name"


def name_hash(name):
    """FNV-1a, 32 bits, as the controller labels a pod with."""
    value = 0x811C9DC5
    for byte in name.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{value:08x}"


class Controller:
    """Reconciles each Sandbox a little after it changed.

    profile          "0.4.6", "0.5.1" or "0.5.6"
    delay            seconds from a change to the reconciliation that answers it
    start, stop      seconds that a pod takes to become ready, and to end
    pull             None, or the reason with which pulling the image fails (ErrImagePull)
    refuse           None, or the words with which the API server refuses the pod
    unschedulable    None, or the scheduler's words
    exit             None, or "Succeeded" or "Failed": how the pod ends once it ran
    """

    def __init__(self, store, loop, profile="0.5.6", delay=0.0, start=0.0, stop=0.0):
        self.store, self.loop, self.profile = store, loop, profile
        self.delay, self.start, self.stop = delay, start, stop
        self.pull = self.refuse = self.unschedulable = self.exit = None
        self.paused = False
        self._ip = 0
        self._queued = set()
        store.listeners.append(self._changed)

    def version(self):
        return tuple(int(x) for x in self.profile.split("."))

    def _changed(self, entry):
        if entry.plural == "sandboxes":
            self.kick(entry.obj["metadata"]["namespace"], entry.obj["metadata"]["name"])
        elif entry.plural == "pods":
            for ref in entry.obj["metadata"].get("ownerReferences") or ():
                if ref.get("kind") == "Sandbox":
                    self.kick(entry.obj["metadata"]["namespace"], ref["name"])

    def kick(self, namespace, name):
        with self.store.lock:
            if (namespace, name) in self._queued:
                return
            self._queued.add((namespace, name))
        self.loop.call_soon_threadsafe(
            self.loop.call_later, self.delay, self._reconcile, namespace, name
        )

    def resume(self):
        self.paused = False
        for sandbox in self.store.list("sandboxes"):
            self.kick(sandbox["metadata"]["namespace"], sandbox["metadata"]["name"])

    # -- sandbox ----------------------------------------------------------------------------------

    def _reconcile(self, namespace, name):
        with self.store.lock:
            self._queued.discard((namespace, name))
            sandbox = self.store.objects["sandboxes"].get((namespace, name))
            if self.paused or sandbox is None or sandbox["metadata"].get("deletionTimestamp"):
                return
            pod = self._pod(sandbox)
            error = None
            if sandbox["spec"]["operatingMode"] == "Suspended":
                if pod and not pod["metadata"].get("deletionTimestamp"):
                    self._end_pod(pod)
                    pod = self._pod(sandbox)
                self._annotate(sandbox, None)
            elif pod is None:
                try:
                    pod = self._make_pod(sandbox)
                    self._annotate(sandbox, pod["metadata"]["name"])
                except ApiError as e:
                    error = f"Error seen: {e.message}"
            self._write_status(namespace, name, pod, error)

    def _pod(self, sandbox):
        return self.store.objects["pods"].get(
            (sandbox["metadata"]["namespace"], sandbox["metadata"]["name"])
        )

    def _annotate(self, sandbox, pod_name):
        annotations = sandbox["metadata"].get("annotations") or {}
        if annotations.get(POD_NAME) != pod_name:
            self.store.patch(
                "sandboxes",
                sandbox["metadata"]["namespace"],
                sandbox["metadata"]["name"],
                {"metadata": {"annotations": {POD_NAME: pod_name}}},
            )

    def _make_pod(self, sandbox):
        meta, template = sandbox["metadata"], copy.deepcopy(sandbox["spec"]["podTemplate"])
        owner = [
            {
                "apiVersion": "agents.x-k8s.io/v1beta1",
                "kind": "Sandbox",
                "name": meta["name"],
                "uid": meta["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
        spec = template["spec"]
        for claim in sandbox["spec"].get("volumeClaimTemplates") or []:
            title = f'{claim["metadata"]["name"]}-{meta["name"]}'
            if (meta["namespace"], title) not in self.store.objects["persistentvolumeclaims"]:
                self.store.create(
                    "persistentvolumeclaims",
                    {
                        "metadata": {
                            "name": title,
                            "ownerReferences": owner,
                            "labels": {NAME_HASH: name_hash(meta["name"])},
                        },
                        "spec": claim["spec"],
                        "status": {"phase": "Bound"},
                    },
                    meta["namespace"],
                )
            spec.setdefault("volumes", []).append(
                {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": title}}
            )
        if self.refuse:
            raise ApiError(403, "Forbidden", f'pods "{meta["name"]}" is forbidden: {self.refuse}')
        theirs = template.get("metadata") or {}
        labels = {
            k: v for k, v in (theirs.get("labels") or {}).items() if "agents.x-k8s.io/" not in k
        }
        pod = self.store.create(
            "pods",
            {
                "metadata": {
                    "name": meta["name"],
                    "ownerReferences": owner,
                    "labels": {**labels, NAME_HASH: name_hash(meta["name"])},
                    "annotations": theirs.get("annotations") or {},
                },
                "spec": spec,
                "status": {"phase": "Pending", "conditions": []},
            },
            meta["namespace"],
        )
        self.loop.call_soon_threadsafe(
            self.loop.call_later, self.start, self._start_pod, pod["metadata"]
        )
        return pod

    def _write_status(self, namespace, name, pod, error):
        sandbox = self.store.get("sandboxes", namespace, name)
        old = {c["type"]: c for c in (sandbox.get("status") or {}).get("conditions") or []}
        wanted = self._conditions(sandbox, pod, error, old)
        for condition in wanted:
            condition["observedGeneration"] = sandbox["metadata"]["generation"]
            before = old.get(condition["type"], {})
            same = before.get("status") == condition["status"]
            condition["lastTransitionTime"] = before["lastTransitionTime"] if same else now()
        status = {"conditions": wanted, "selector": f"{NAME_HASH}={name_hash(name)}"}
        if pod and pod["status"].get("podIP"):
            status["podIPs"] = [pod["status"]["podIP"]]
        self.store.update("sandboxes", {**sandbox, "status": status}, "status")

    def _conditions(self, sandbox, pod, error, old):
        version = self.version()
        suspended = sandbox["spec"]["operatingMode"] == "Suspended"
        phase = pod["status"].get("phase") if pod else None
        ready = pod and any(
            c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"]
        )
        out = []

        def say(type_, status, reason, message=""):
            out.append({"type": type_, "status": status, "reason": reason, "message": message})

        if error:
            say("Ready", "False", "ReconcilerError", error)
        elif suspended and version >= (0, 5, 0):
            say("Ready", "False", "SandboxSuspended", "Sandbox is suspended")
        elif suspended and pod is None:
            say("Ready", "True", "DependenciesReady", "Pod does not exist, replicas is 0")
        elif phase in ("Succeeded", "Failed") and version >= (0, 5, 1):
            say("Ready", "False", f"Pod{phase}", f"Pod is in phase {phase}")
        elif ready:
            say("Ready", "True", "DependenciesReady", "Pod is Ready")
        else:
            say(
                "Ready",
                "False",
                "DependenciesNotReady",
                "Pod exists with phase: " + (phase or "none"),
            )
        if phase in ("Succeeded", "Failed") and version >= (0, 4, 3):
            say("Finished", "True", f"Pod{phase}")
        if version >= (0, 5, 4) or (version >= (0, 5, 0) and suspended):
            if not suspended:
                say("Suspended", "False", "NotSuspended")
            elif pod is None:
                say("Suspended", "True", "PodTerminated")
            else:
                say(
                    "Suspended",
                    "False",
                    "PodTerminating" if version >= (0, 5, 4) else "PodNotTerminated",
                )
        elif version >= (0, 5, 0) and "Suspended" in old:
            out.append(dict(old["Suspended"]))  # 0.5.0-0.5.3 leave it behind on resume
        if version >= (0, 5, 6) and pod and not suspended:
            mine = [c for c in pod["status"]["conditions"] if c["type"] == "PodScheduled"]
            if not mine:
                say("PodScheduled", "Unknown", "PodSchedulingUnknown")
            elif mine[0]["status"] == "True":
                say("PodScheduled", "True", "PodScheduled")
            else:
                say("PodScheduled", "False", mine[0]["reason"], mine[0]["message"])
        return out

    # -- pod --------------------------------------------------------------------------------------

    def event(self, kind, namespace, name, reason, message, type_="Normal", **more):
        """Have an Event about an object."""
        uid = self.store.get(
            {
                "Pod": "pods",
                "Sandbox": "sandboxes",
                "PersistentVolumeClaim": "persistentvolumeclaims",
            }[kind],
            namespace,
            name,
        )["metadata"]["uid"]
        return self.store.create(
            "events",
            {
                "metadata": {"name": f"{name}.{random.getrandbits(60):x}"},
                "involvedObject": {
                    "kind": kind,
                    "namespace": namespace,
                    "name": name,
                    "uid": uid,
                    "apiVersion": "v1",
                },
                "reason": reason,
                "message": message,
                "type": type_,
                "count": 1,
                "firstTimestamp": now(),
                "lastTimestamp": now(),
                "source": {"component": "kubelet"},
                **more,
            },
            namespace,
        )

    def _start_pod(self, meta):
        namespace, name = meta["namespace"], meta["name"]
        with self.store.lock:
            pod = self.store.objects["pods"].get((namespace, name))
            if (
                pod is None
                or pod["metadata"]["uid"] != meta["uid"]
                or pod["metadata"].get("deletionTimestamp")
            ):
                return
            if self.unschedulable:
                self.event(
                    "Pod", namespace, name, "FailedScheduling", self.unschedulable, "Warning"
                )
                self._pod_status(
                    pod, "Pending", [("PodScheduled", "False", "Unschedulable", self.unschedulable)]
                )
                return
            image = (pod["spec"]["containers"] or [{}])[0].get("image", "")
            self.event(
                "Pod",
                namespace,
                name,
                "Scheduled",
                f"Successfully assigned {namespace}/{name} to node-1",
            )
            self.event("Pod", namespace, name, "Pulling", f'Pulling image "{image}"')
            if self.pull:
                why = f'Failed to pull image "{image}": not found'
                self.event("Pod", namespace, name, "Failed", why, "Warning")
                waiting = [
                    {
                        "name": "agent",
                        "ready": False,
                        "restartCount": 0,
                        "state": {"waiting": {"reason": self.pull, "message": why}},
                    }
                ]
                self._pod_status(
                    pod, "Pending", [("PodScheduled", "True", "", "")], containerStatuses=waiting
                )
                return
            self.event(
                "Pod",
                namespace,
                name,
                "Pulled",
                f'Successfully pulled image "{image}" in 1.2s (1.2s '
                "including waiting). Image size: 44040192 bytes.",
            )
            self.event("Pod", namespace, name, "Started", "Started container agent")
            self._ip += 1
            if self.exit:
                self._pod_status(pod, self.exit, [("Ready", "False", "PodCompleted", "")])
            else:
                self._pod_status(
                    pod,
                    "Running",
                    [("PodScheduled", "True", "", ""), ("Ready", "True", "", "")],
                    podIP=f"10.88.{self._ip >> 8 & 255}.{self._ip & 255}",
                )

    def _pod_status(self, pod, phase, conditions, **more):
        conditions = [dict(zip(("type", "status", "reason", "message"), c)) for c in conditions]
        self.store.update(
            "pods", {**pod, "status": {"phase": phase, "conditions": conditions, **more}}, "status"
        )

    def _end_pod(self, pod):
        """Deletion with a grace period: the pod lingers for `stop` seconds."""
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        new = copy.deepcopy(pod)
        new["metadata"]["finalizers"] = ["test/grace"]
        self.store.update("pods", new)
        self.store.delete("pods", namespace, name)
        self.loop.call_soon_threadsafe(
            self.loop.call_later, self.stop, self.end_pod, namespace, name
        )

    def end_pod(self, namespace, name):
        try:
            self.store.finalize("pods", namespace, name, "test/grace")
        except ApiError:
            pass
