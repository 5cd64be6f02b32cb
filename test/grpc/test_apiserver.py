"""The scripted API server itself: a test double that errs would make good drivers fail, or bad ones pass."""

import http.client
import json
import ssl
import subprocess
import unittest

from apiserver import ApiServer
from kube_faults import too_many
from support import eventually

SANDBOXES = "/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes"
OLD = SANDBOXES.replace("v1beta1", "v1alpha1")


def sandbox(name, version="v1beta1", **spec):
    return {
        "apiVersion": f"agents.x-k8s.io/{version}",
        "kind": "Sandbox",
        "metadata": {"name": name},
        "spec": {
            "podTemplate": {"spec": {"containers": [{"name": "agent", "image": "i"}]}},
            **spec,
        },
    }


class ApiServerTest(unittest.TestCase):
    def setUp(self):
        self.server = ApiServer(controller=None)
        self.addCleanup(self.server.close)

    def connect(self):
        path = self.server.certificates.path
        context = ssl.create_default_context(cafile=path("ca.crt"))
        context.load_cert_chain(path("client.crt"), path("client.key"))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.server.port, context=context, timeout=10
        )
        self.addCleanup(connection.close)
        return connection

    def ask(self, method, path, body=None, headers=None, connection=None):
        connection = connection or self.connect()
        headers = {"Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        data = answer.read()
        return answer.status, json.loads(data) if data[:1] == b"{" else data, answer.headers

    def patch(self, path, body):
        return self.ask("PATCH", path, body, {"Content-Type": "application/merge-patch+json"})[:2]

    def watch(self, query="", path=SANDBOXES):
        """A watch as an iterator of events."""
        connection = self.connect()
        connection.request("GET", f"{path}?watch=1{query}")
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        return (json.loads(line) for line in answer)

    def curl(self, path, *args):
        certificate = self.server.certificates.path
        return subprocess.run(
            [
                "curl",
                "-sS",
                "--http2",
                "--cacert",
                certificate("ca.crt"),
                *args,
                self.server.url + path,
            ],
            capture_output=True,
            text=True,
            check=False,
        )

    def test_objects_are_made_read_changed_and_deleted(self):
        connection = self.connect()
        status, made, _ = self.ask(
            "POST", SANDBOXES, sandbox("a", agentSocket="x"), connection=connection
        )
        self.assertEqual((status, made["metadata"]["generation"]), (201, 1))
        self.assertNotIn("agentSocket", made["spec"])
        self.assertEqual(
            self.ask("POST", SANDBOXES, sandbox("a"), connection=connection)[1]["reason"],
            "AlreadyExists",
        )
        status, changed = self.patch(SANDBOXES + "/a", {"spec": {"operatingMode": "Suspended"}})
        self.assertEqual((status, changed["metadata"]["generation"]), (200, 2))
        stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}}
        self.assertEqual(self.patch(SANDBOXES + "/a", stale)[1]["reason"], "Conflict")
        self.assertEqual(self.ask("GET", OLD + "/a")[1]["spec"]["replicas"], 0)
        wrong = {"preconditions": {"uid": "another"}}
        self.assertEqual(self.ask("DELETE", SANDBOXES + "/a", wrong)[0], 409)
        right = {"preconditions": {"uid": made["metadata"]["uid"]}}
        self.assertEqual(self.ask("DELETE", SANDBOXES + "/a", right)[0], 200)
        self.assertEqual(self.ask("GET", SANDBOXES + "/a")[0], 404)

    def test_lists_come_in_pages(self):
        for i in range(5):
            self.server.store.create("sandboxes", sandbox(f"s{i}"), "default")
        names, token = [], ""
        while token is not None:
            page = self.ask(
                "GET", f"{SANDBOXES}?limit=2" + (f"&continue={token}" if token else "")
            )[1]
            names += [o["metadata"]["name"] for o in page["items"]]
            token = page["metadata"].get("continue")
        self.assertEqual(names, [f"s{i}" for i in range(5)])
        token = self.ask("GET", f"{SANDBOXES}?limit=2")[1]["metadata"]["continue"]
        self.server.store.compact()
        self.assertEqual(self.ask("GET", f"{SANDBOXES}?limit=2&continue={token}")[0], 410)

    def test_a_watch_tells_what_happens_after_its_version(self):
        self.server.store.create("sandboxes", sandbox("before"), "default")
        version = self.ask("GET", SANDBOXES)[1]["metadata"]["resourceVersion"]
        self.server.store.create("sandboxes", sandbox("between"), "default")
        events = self.watch(f"&resourceVersion={version}&allowWatchBookmarks=true")
        event = next(events)
        self.assertEqual((event["type"], event["object"]["metadata"]["name"]), ("ADDED", "between"))
        self.server.store.delete("sandboxes", "default", "before")
        self.assertEqual(next(events)["type"], "DELETED")
        self.assertEqual(next(events)["type"], "BOOKMARK")
        self.server.store.compact()
        self.assertEqual(next(self.watch(f"&resourceVersion={version}"))["object"]["code"], 410)

    def test_a_watch_with_a_selector_tells_of_objects_that_leave_it(self):
        events = self.watch("&resourceVersion=0&labelSelector=a%3Db")
        eventually(lambda: self.server.api.watching)
        self.server.store.create(
            "sandboxes",
            {**sandbox("x"), "metadata": {"name": "x", "labels": {"a": "b"}}},
            "default",
        )
        self.assertEqual(next(events)["type"], "ADDED")
        self.server.store.patch("sandboxes", "default", "x", {"metadata": {"labels": {"a": "c"}}})
        self.assertEqual(next(events)["type"], "DELETED")

    def test_a_version_that_is_not_served_is_no_path(self):
        self.server.store.served["sandboxes"] = ["v1alpha1"]
        self.assertEqual(self.ask("GET", SANDBOXES)[:2], (404, b"404 page not found\n"))
        self.assertEqual(self.ask("GET", OLD)[0], 200)

    def test_http2_and_tokens(self):
        self.server.api.tokens = {"good"}
        self.server.store.create("sandboxes", sandbox("a" * 60), "default")
        done = self.curl(SANDBOXES, "-H", "Authorization: Bearer good", "-w", "%{http_version}")
        self.assertTrue(done.stdout.endswith("}\n2"), done)
        self.assertIn('"code":401', self.curl(SANDBOXES, "-H", "Authorization: Bearer bad").stdout)

    def test_owners_take_what_they_own_with_them(self):
        owner = self.server.store.create("sandboxes", sandbox("a"), "default")
        self.server.store.create(
            "pods",
            {
                "metadata": {
                    "name": "p",
                    "ownerReferences": [
                        {"kind": "Sandbox", "name": "a", "uid": owner["metadata"]["uid"]}
                    ],
                }
            },
            "default",
        )
        self.server.store.delete("sandboxes", "default", "a")
        self.assertEqual(self.server.store.list("pods"), [])

    def test_rules_spoil_answers(self):
        self.server.api.rules.append(too_many(7, method="GET"))
        status, body, headers = self.ask("GET", SANDBOXES)
        self.assertEqual(
            (status, body["reason"], headers["Retry-After"]), (429, "TooManyRequests", "7")
        )
        self.assertEqual(self.ask("GET", SANDBOXES)[0], 200)
        self.server.rule("sandboxes", cut_at=10)
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            self.ask("GET", SANDBOXES)
        self.server.rule("sandboxes", method="POST", after=True, cut=True)
        with self.assertRaises((http.client.RemoteDisconnected, ConnectionError)):
            self.ask("POST", SANDBOXES, sandbox("made"))
        self.assertEqual(self.ask("GET", SANDBOXES + "/made")[0], 200)
        for words in ({"cut": True}, {"cut_at": 5}, {"goaway": False}):
            self.server.rule("sandboxes", method="GET", **words)
            self.assertNotEqual(self.curl(SANDBOXES).returncode, 0, words)
        self.server.rule("sandboxes", method="GET", goaway=True)
        self.assertEqual(self.curl(SANDBOXES).returncode, 0)

    def test_rules_spoil_watches(self):
        self.server.store.create("sandboxes", sandbox("one"), "default")
        self.server.rule(watch=True, error={"code": 500}, events=1)
        self.assertEqual([e["type"] for e in self.watch("&resourceVersion=0")], ["ADDED", "ERROR"])
        self.server.rule(watch=True, partial=20)
        done = self.curl(SANDBOXES + "?watch=1&resourceVersion=0")
        self.assertEqual((len(done.stdout), done.returncode != 0), (20, True))
        self.server.rule(watch=True, finish=True)
        self.assertEqual(list(self.watch("&resourceVersion=0")), [])

    def test_a_server_that_stops_comes_back_with_all_it_knew(self):
        self.server.store.create("sandboxes", sandbox("one"), "default")
        self.server.stop()
        with self.assertRaises(ConnectionError):
            self.ask("GET", SANDBOXES)
        self.server.start()
        self.assertEqual(len(self.ask("GET", SANDBOXES)[1]["items"]), 1)


class ControllerTest(unittest.TestCase):
    def life(self, profile):
        """The conditions of a sandbox that is started, suspended and resumed: type -> status/reason each."""
        server = ApiServer(controller=profile, tls=False)
        self.addCleanup(server.close)
        store, out = server.store, []

        def settled(check):
            def look():
                obj = store.get("sandboxes", "default", "a")
                found = {
                    c["type"]: f'{c["status"]}/{c["reason"]}'
                    for c in (obj.get("status") or {}).get("conditions", ())
                    if c["observedGeneration"] == obj["metadata"]["generation"]
                    or c["type"] == "Suspended"
                }
                return found if check(found.get("Ready", ""), store.list("pods")) else None

            out.append(eventually(look))

        store.create("sandboxes", sandbox("a"), "default")
        settled(lambda ready, pods: ready == "True/DependenciesReady" and pods)
        store.patch("sandboxes", "default", "a", {"spec": {"operatingMode": "Suspended"}})
        settled(
            lambda ready, pods: not pods
            and ready in ("False/SandboxSuspended", "True/DependenciesReady")
        )
        store.patch("sandboxes", "default", "a", {"spec": {"operatingMode": "Running"}})
        settled(lambda ready, pods: ready == "True/DependenciesReady" and pods)
        return out

    def test_conditions_are_those_of_each_controller(self):
        started, suspended, resumed = self.life("0.5.6")
        self.assertEqual(started["Suspended"], "False/NotSuspended")
        self.assertEqual(resumed["PodScheduled"], "True/PodScheduled")
        started, suspended, resumed = self.life("0.5.1")
        self.assertNotIn("Suspended", started)
        self.assertEqual(resumed["Suspended"].split("/")[0], suspended["Suspended"].split("/")[0])
        started, suspended, resumed = self.life("0.4.6")
        self.assertEqual(set(started) | set(suspended) | set(resumed), {"Ready"})


if __name__ == "__main__":
    unittest.main()
