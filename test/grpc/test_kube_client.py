"""src/kube against an API server that misbehaves: test/kube/main.c is the client as a program."""

import json
import os
import queue
import random
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from apiserver import ApiServer
from kube_faults import gone_event, too_many
from runner import ROOT, WAIT, eventually

MACHINE = os.uname().machine
TOOL = os.environ.get(
    "OPENSHELL_KUBE_TOOL", os.path.join(ROOT, "build", MACHINE, "test", "kube", "kube")
)
PODS = "/api/v1/namespaces/default/pods"
SANDBOXES = "/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes"


def sandbox(name):
    return {
        "apiVersion": "agents.x-k8s.io/v1beta1",
        "kind": "Sandbox",
        "metadata": {"name": name},
        "spec": {"podTemplate": {"spec": {"containers": [{"name": "a", "image": "i"}]}}},
    }


class Client:
    """The program, its commands and what it says."""

    def __init__(self, *args, env=None):
        self.process = subprocess.Popen(
            [TOOL, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **(env or {})},
        )
        self.said = {}  # id -> queue of answers
        self.next = 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            self.said[answer["id"]].put(answer)

    def do(self, what, **how):
        self.next += 1
        self.said[self.next] = queue.Queue()
        self.tell(do=what, id=self.next, **how)
        return self.next

    def tell(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def answer(self, id_, seconds=WAIT):
        try:
            return self.said[id_].get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"no answer to {id_} within {seconds} s") from None

    def nothing(self, id_, seconds=0.3):
        try:
            raise AssertionError(f"unexpected: {self.said[id_].get(timeout=seconds)}")
        except queue.Empty:
            pass

    def call(self, method, path, body=None, seconds=WAIT, **how):
        more = {} if body is None else {"body": body}
        return self.answer(self.do("call", method=method, path=path, **more, **how), seconds)

    def close(self):
        """Ends it in order; what it says on stderr, a sanitizer's words included, is a failure."""
        self.process.stdin.close()
        status = self.process.wait(WAIT)
        self.reader.join(WAIT)
        words = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        if status != 0 or "ERROR:" in words:
            raise AssertionError(f"the client ended with {status}: {words}")
        return words


class Case(unittest.TestCase):
    protocols = ("h2", "http/1.1")
    tls = True

    def setUp(self):
        if not os.access(TOOL, os.X_OK):
            self.skipTest(f"{TOOL} was not built")
        self.server = ApiServer(protocols=self.protocols, tls=self.tls, controller=None)
        self.addCleanup(self.server.close)

    def client(self, *args, **how):
        client = Client(*(args or [self.server.kubeconfig()]), **how)
        self.addCleanup(client.close)
        return client

    def create(self, *names):
        for name in names:
            self.server.store.create("sandboxes", sandbox(name), "default")

    def delete(self, name):
        self.server.store.delete("sandboxes", "default", name)


class Calls(Case):
    """What any protocol must do; see the subclasses below."""

    def test_life_of_an_object(self):
        client = self.client()
        made = client.call("POST", SANDBOXES, sandbox("a"))
        self.assertEqual((made["status"], made["body"]["metadata"]["name"]), (201, "a"))
        again = client.call("POST", SANDBOXES, sandbox("a"))
        self.assertEqual((again["status"], again["fault"]), (409, "AlreadyExists"))
        patched = client.call(
            "PATCH", SANDBOXES + "/a", {"metadata": {"labels": {"x": "y"}}}, type="merge"
        )
        self.assertEqual(patched["body"]["metadata"]["labels"], {"x": "y"})
        stale = dict(sandbox("a"), metadata={"name": "a", "resourceVersion": "1"})
        self.assertEqual(client.call("PUT", SANDBOXES + "/a", stale)["fault"], "Conflict")
        self.assertEqual(client.call("DELETE", SANDBOXES + "/a")["status"], 200)
        gone = client.call("GET", SANDBOXES + "/a")
        self.assertEqual((gone["status"], gone["fault"]), (404, "NotFound"))
        self.assertEqual(gone["message"], 'sandboxes.agents.x-k8s.io "a" not found')
        nowhere = client.call("GET", SANDBOXES.replace("v1beta1", "v9"))
        self.assertEqual((nowhere["fault"], nowhere["message"]), ("NoResource", "404 page not found"))

    def test_many_calls_at_once(self):
        client = self.client()
        ids = [
            client.do("call", method="POST", path=SANDBOXES, body=sandbox(f"s{i}"))
            for i in range(200)
        ]
        self.assertEqual({client.answer(i, 30)["status"] for i in ids}, {201})
        self.assertLessEqual(self.server.connections, 1 if "h2" in self.protocols else 32)

    def test_a_large_answer(self):
        body = sandbox("big")
        body["metadata"]["annotations"] = {"a": "x" * 900_000}
        client = self.client()
        made = client.call("POST", SANDBOXES, body)
        self.assertEqual(len(made["body"]["metadata"]["annotations"]["a"]), 900_000)

    def test_429_is_repeated_for_every_method(self):
        self.server.api.rules.append(too_many(1, path="sandboxes", times=2))
        client = self.client()
        began = time.monotonic()
        self.assertEqual(client.call("POST", SANDBOXES, sandbox("a"))["status"], 201)
        self.assertGreater(time.monotonic() - began, 1.9)  # Retry-After twice
        self.assertEqual(len(self.server.seen("POST", "sandboxes")), 3)

    def test_429_for_ever_is_busy_at_the_deadline(self):
        self.server.api.rules.append(too_many(1, path="sandboxes", times=-1))
        answer = self.client().call("POST", SANDBOXES, sandbox("a"), timeout=1500)
        self.assertEqual((answer["fault"], answer["status"]), ("Busy", 429))
        self.assertFalse(answer["unsure"])
        self.assertEqual(answer["retry_after"], 1000)

    def test_a_wish_to_wait_for_an_hour_is_not_followed(self):
        self.server.api.rules.append(too_many(3600, path="sandboxes", times=-1))
        answer = self.client().call("GET", SANDBOXES)
        self.assertEqual((answer["fault"], answer["retry_after"]), ("Busy", 3600_000))

    def test_5xx_is_repeated_for_get_only(self):
        for status in (500, 502, 503, 504):
            with self.subTest(status=status):
                client = self.client()
                self.server.rule("sandboxes", status=status)
                self.assertEqual(client.call("GET", SANDBOXES)["status"], 200)
                self.server.rule("sandboxes", status=status)
                answer = client.call("POST", SANDBOXES, sandbox("a"))
                self.assertEqual(answer["status"], status)
                self.assertTrue(answer["unsure"])

    def test_a_server_that_is_still_starting_is_waited_for(self):
        self.server.rule(
            "sandboxes",
            status=503,
            reason="ServiceUnavailable",
            message="the request has been made before all known HTTP paths have been installed, "
            "please try again",
        )
        self.assertEqual(self.client().call("POST", SANDBOXES, sandbox("a"))["status"], 201)

    def test_500_for_ever_is_told(self):
        self.server.rule("sandboxes", status=500, reason="InternalError", message="no", times=-1)
        answer = self.client().call("GET", SANDBOXES)
        self.assertEqual(
            (answer["fault"], answer["reason"], answer["message"]),
            ("ServerError", "InternalError", "no"),
        )
        self.assertEqual(len(self.server.seen("GET", "sandboxes")), 4)

    def test_a_cut_before_the_answer(self):
        self.server.rule("sandboxes", cut=True, times=2)
        client = self.client()
        self.assertEqual(client.call("GET", SANDBOXES)["status"], 200)
        self.server.rule("sandboxes", cut=True, method="POST")
        answer = client.call("POST", SANDBOXES, sandbox("a"))
        self.assertEqual((answer["fault"], answer["unsure"]), ("Transport", True))
        self.assertEqual(len(self.server.seen("POST", "sandboxes")), 1)

    def test_a_cut_in_the_middle_of_the_answer(self):
        self.create("a")
        self.server.rule("sandboxes/a", cut_at=20)
        client = self.client()
        self.assertEqual(client.call("GET", SANDBOXES + "/a")["body"]["kind"], "Sandbox")
        self.assertEqual(len(self.server.seen("GET", "sandboxes/a")), 2)

    def test_an_answer_that_stalls_ends_at_the_deadline(self):
        self.create("a")
        self.server.rule("sandboxes/a", stall_at=20, times=-1)
        client = self.client()
        answer = client.call("GET", SANDBOXES + "/a", timeout=400)
        self.assertEqual((answer["fault"], answer["unsure"]), ("Timeout", False))
        self.assertIn("no answer within 400 ms", answer["message"])
        self.server.rule("sandboxes$", stall=True)
        answer = client.call("POST", SANDBOXES, sandbox("b"), timeout=400)
        self.assertEqual((answer["fault"], answer["unsure"]), ("Timeout", True))
        # and the connection is of use to others all the same
        self.assertEqual(client.call("GET", PODS)["status"], 200)

    def test_an_answer_that_comes_in_drops(self):
        self.create("a")
        self.server.rule("sandboxes/a", drip=0.001, piece=3)
        self.assertEqual(self.client().call("GET", SANDBOXES + "/a")["body"]["kind"], "Sandbox")

    def test_an_answer_that_is_no_json(self):
        self.server.rule("sandboxes", body=b"<html>hello</html>", status=200)
        self.assertEqual(self.client().call("GET", SANDBOXES)["fault"], "BadAnswer")

    def test_an_answer_beyond_the_limit(self):
        self.server.rule("sandboxes", body=b" " * (17 << 20), status=200)
        answer = self.client().call("GET", SANDBOXES)
        self.assertEqual(answer["fault"], "BadAnswer")
        self.assertIn("longer than 16777216 bytes", answer["message"])

    def test_a_proxys_error_page(self):
        self.server.rule("sandboxes", body=b"<h1>Bad\nGateway</h1>", status=418)
        answer = self.client().call("GET", SANDBOXES)
        self.assertEqual((answer["status"], answer["message"]), (418, "<h1>Bad"))

    def test_a_server_that_is_away_for_a_moment(self):
        client = self.client()
        self.assertEqual(client.call("GET", SANDBOXES)["status"], 200)
        self.server.stop()
        id_ = client.do("call", method="POST", path=SANDBOXES, body=sandbox("a"))
        client.nothing(id_, 1)
        self.server.start()
        self.assertEqual(client.answer(id_)["status"], 201)
        self.assertEqual(len(self.server.seen("POST", "sandboxes")), 1)

    def test_cancelled_calls_say_nothing(self):
        self.server.rule("sandboxes", delay=1, times=-1)
        client = self.client()
        ids = [client.do("call", method="GET", path=SANDBOXES) for _ in range(20)]
        eventually(lambda: self.server.seen("GET", "sandboxes"))
        for id_ in ids:
            client.tell(do="cancel", id=id_)
        client.nothing(ids[0], 0.5)
        self.assertEqual(client.call("GET", PODS)["status"], 200)

    # -- lists ------------------------------------------------------------------------------------

    def listed(self, client, id_):
        items = []
        while True:
            answer = client.answer(id_)
            if "item" not in answer:
                return items, answer
            items.append(answer["item"])

    def test_a_list_comes_in_pages(self):
        self.create(*(f"s{i:04}" for i in range(1201)))
        client = self.client()
        items, end = self.listed(client, client.do("list", path=SANDBOXES))
        self.assertEqual(items, [f"default/s{i:04}" for i in range(1201)])
        self.assertTrue(end["version"])
        self.assertEqual(len(self.server.seen("GET", "limit=500")), 3)

    def test_a_list_that_fails_half_way_is_no_list(self):
        self.create(*(f"s{i:04}" for i in range(600)))
        self.server.rule("continue=", status=400, reason="BadRequest")
        client = self.client()
        items, end = self.listed(client, client.do("list", path=SANDBOXES))
        self.assertEqual((len(items), end["fault"]), (500, "BadRequest"))
        self.assertNotIn("version", end)

    def test_a_page_that_is_cut_is_no_page(self):
        self.create(*(f"s{i:04}" for i in range(20)))
        self.server.rule("sandboxes", cut_at=5000)
        client = self.client()
        items, end = self.listed(client, client.do("list", path=SANDBOXES))
        self.assertEqual(end["fault"], "Transport")
        self.assertLess(len(items), 20)

    def test_a_page_refused_before_it_began_is_asked_for_again(self):
        self.create("a")
        self.server.rule("sandboxes", status=500)
        client = self.client()
        self.assertEqual(self.listed(client, client.do("list", path=SANDBOXES))[0], ["default/a"])

    def test_a_list_whose_token_is_too_old(self):
        self.create(*(f"s{i:04}" for i in range(600)))
        self.server.rule("continue=", status=410, reason="Expired")
        client = self.client()
        self.assertEqual(self.listed(client, client.do("list", path=SANDBOXES))[1]["fault"], "Expired")

    # -- streams ----------------------------------------------------------------------------------

    def test_a_stream_of_lines(self):
        client = self.client()
        id_ = client.do("stream", path=SANDBOXES + "?watch=1&resourceVersion=0")
        self.assertEqual(client.answer(id_), {"id": id_, "opened": True})
        self.create("a")
        self.assertGreater(client.answer(id_)["line"], 100)
        self.server.drop_connections()
        end = client.answer(id_)
        self.assertEqual((end["ended"], end["fault"]), (True, "Transport"))

    def test_a_stream_that_ends_in_order(self):
        client = self.client()
        id_ = client.do("stream", path=SANDBOXES + "?watch=1&timeoutSeconds=1&resourceVersion=0")
        self.assertTrue(client.answer(id_)["opened"])
        self.assertEqual(client.answer(id_), {"id": id_, "ended": True})

    def test_a_stream_that_ends_in_the_middle_of_a_line(self):
        self.server.rule("sandboxes", watch=True, raw=b'{"type":"ADD', finish=True)
        client = self.client()
        id_ = client.do("stream", path=SANDBOXES + "?watch=1&resourceVersion=0")
        self.assertTrue(client.answer(id_)["opened"])
        end = client.answer(id_)
        self.assertIn(end["fault"], ("Transport",))

    def test_a_silent_stream_ends(self):
        client = self.client()
        id_ = client.do("stream", path=SANDBOXES + "?watch=1&resourceVersion=0", silence=300)
        self.assertTrue(client.answer(id_)["opened"])
        self.assertEqual(client.answer(id_)["fault"], "Timeout")

    def test_a_stream_that_never_opens(self):
        self.server.rule("sandboxes", stall=True)
        client = self.client()
        id_ = client.do("stream", path=SANDBOXES + "?watch=1", timeout=300)
        self.assertEqual(client.answer(id_)["fault"], "Timeout")

    def test_a_line_beyond_the_limit(self):
        self.server.rule("sandboxes", watch=True, raw=b"x" * (5 << 20))
        client = self.client()
        id_ = client.do("stream", path=SANDBOXES + "?watch=1&resourceVersion=0")
        self.assertTrue(client.answer(id_)["opened"])
        self.assertEqual(client.answer(id_)["fault"], "BadAnswer")

    # -- the reflector ----------------------------------------------------------------------------

    def picture(self, client, id_, stop, seconds=WAIT):
        """The keys that the reflector says are there, once stop(keys) holds."""
        keys = getattr(self, "keys", set())
        self.keys = keys
        end = time.monotonic() + seconds
        while not stop(keys):
            left = end - time.monotonic()
            self.assertGreater(left, 0, f"the picture stays {keys}")
            answer = client.answer(id_, left)
            if "upsert" in answer:
                keys.add(answer["upsert"])
            elif "gone" in answer:
                keys.remove(answer["gone"])  # never told twice
        return keys

    def test_a_picture_is_kept(self):
        self.create("a", "b")
        client = self.client()
        id_ = client.do("reflect", path=SANDBOXES)
        self.picture(client, id_, lambda k: k == {"default/a", "default/b"})
        self.create("c")
        self.delete("a")
        self.picture(client, id_, lambda k: k == {"default/b", "default/c"})

    def test_a_picture_survives_every_fault(self):
        client = self.client()
        self.create("a", "b")
        id_ = client.do("reflect", path=SANDBOXES)
        self.picture(client, id_, lambda k: len(k) == 2)
        faults = (
            {"error": gone_event()},
            {"error": dict(gone_event(), code=500, reason="InternalError")},
            {"partial": 30},
            {"drop": True},
            {"finish": True},
            {"raw": b"this is no event\n"},
        )
        for i, fault in enumerate(faults):
            with self.subTest(fault=fault):
                self.server.rule("sandboxes", watch=True, **fault)
                self.server.drop_connections()  # the next watch misbehaves
                self.create(f"n{i}")
                if i > 0:
                    self.delete(f"n{i - 1}")
                want = {"default/a", "default/b", f"default/n{i}"}
                self.picture(client, id_, lambda k, want=want: k == want, 20)

    def test_a_picture_survives_faults_by_chance(self):
        seed = int(os.environ.get("TEST_SEED", random.randrange(1 << 32)))
        chance = random.Random(seed)
        there, step = set(), 0
        client = self.client()
        id_ = client.do("reflect", path=SANDBOXES)
        end = time.monotonic() + float(os.environ.get("TEST_SOAK", 4))
        while time.monotonic() < end:
            step += 1
            for _ in range(chance.randrange(30)):
                name = f"s{chance.randrange(100)}"
                if name in there:
                    self.delete(name)
                    there.remove(name)
                else:
                    self.create(name)
                    there.add(name)
            fault = chance.choice(
                (
                    {"watch": True, "error": gone_event()},
                    {"watch": True, "partial": chance.randrange(300)},
                    {"watch": True, "events": chance.randrange(5), "drop": True},
                    {"watch": True, "finish": True},
                    {"watch": True, "status": 503},
                    {"watch": False, "cut_at": chance.randrange(20000)},
                    {"watch": False, "status": 500},
                    {"watch": False, "drip": 0.001, "piece": 100},
                    {"cut": True},
                    {"status": 429, "headers": [("Retry-After", "1")]},
                )
            )
            self.server.rule("sandboxes", **fault)
            if chance.random() < 0.2:
                self.server.store.compact()
            if chance.random() < 0.5:
                self.server.drop_connections()
            time.sleep(chance.random() / 4)
        self.server.api.rules.clear()
        want = {f"default/{name}" for name in there}
        with self.subTest(seed=seed, steps=step):
            self.picture(client, id_, lambda k: k == want, 4 * WAIT)

    def test_a_picture_after_the_server_was_away_and_compacted(self):
        client = self.client()
        self.create("a", "b")
        id_ = client.do("reflect", path=SANDBOXES)
        self.picture(client, id_, lambda k: len(k) == 2)
        self.server.stop()
        self.delete("a")
        self.create("c")
        self.server.store.compact()
        time.sleep(0.5)
        self.server.start()
        self.picture(client, id_, lambda k: k == {"default/b", "default/c"}, 20)

    def test_a_picture_with_another_version_of_the_api(self):
        client = self.client()
        self.create("a")
        id_ = client.do("reflect", path=SANDBOXES)
        self.picture(client, id_, lambda k: len(k) == 1)
        client.tell(do="path", id=id_, path=SANDBOXES.replace("v1beta1", "v1alpha1"))
        while "upsert" not in client.answer(id_):  # told again
            pass
        self.create("b")
        self.picture(client, id_, lambda k: len(k) == 2)


class Http2Test(Calls):
    def test_a_server_that_stays_away(self):
        client = self.client()
        self.server.stop()
        answer = client.call("GET", SANDBOXES, timeout=1000)
        self.assertEqual(answer["fault"], "Timeout")
        self.assertIn("Connection refused", answer["message"])
        answer = client.call("GET", SANDBOXES, seconds=20)
        self.assertEqual(answer["fault"], "Transport")
        self.assertIn(f"connect to 127.0.0.1:{self.server.port}: Connection refused", answer["message"])
        self.server.start()
        self.assertEqual(client.call("GET", SANDBOXES)["status"], 200)

    def test_goaway_moves_to_another_connection(self):
        client = self.client()
        for processed in (True, False):
            self.server.rule("sandboxes", goaway=processed)
            self.assertEqual(client.call("POST", SANDBOXES, sandbox(f"s{processed}".lower()))["status"], 201)
        self.assertEqual(client.call("GET", SANDBOXES)["status"], 200)
        self.assertGreaterEqual(self.server.connections, 2)

    def test_one_slow_call_holds_up_no_other(self):
        self.server.rule("pods", delay=3)
        client = self.client()
        slow = client.do("call", method="GET", path=PODS)
        for _ in range(20):
            self.assertEqual(client.call("GET", SANDBOXES, seconds=2)["status"], 200)
        self.assertEqual(client.answer(slow)["status"], 200)
        self.assertEqual(self.server.connections, 1)


class Http1Test(Calls):
    protocols = ("http/1.1",)


class PlainTest(Case):
    protocols = ("http/1.1",)
    tls = False

    test_life_of_an_object = Calls.test_life_of_an_object
    test_a_list_comes_in_pages = Calls.test_a_list_comes_in_pages
    listed = Calls.listed
    test_a_picture_is_kept = Calls.test_a_picture_is_kept
    picture = Calls.picture


class CredentialsTest(Case):
    def setUp(self):
        super().setUp()
        self.server.api.tokens = {"good"}
        self.folder = tempfile.mkdtemp(prefix="kube-client-")

    def put(self, name, text, mode=0o600):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def test_a_token(self):
        client = self.client(self.server.kubeconfig(token="good"))
        self.assertEqual(client.call("GET", SANDBOXES)["status"], 200)

    def test_a_wrong_token(self):
        answer = self.client(self.server.kubeconfig(token="bad")).call("GET", SANDBOXES)
        self.assertEqual((answer["status"], answer["fault"]), (401, "Unauthorized"))
        self.assertEqual(len(self.server.seen("GET", "sandboxes")), 1)

    def test_a_token_file_that_rotates(self):
        path = self.put("token", "good")
        client = self.client(self.server.kubeconfig(tokenFile=path))
        self.assertEqual(client.call("GET", SANDBOXES)["status"], 200)
        self.server.api.tokens = {"better"}
        self.put("token", "better\n")
        self.assertEqual(client.call("POST", SANDBOXES, sandbox("a"))["status"], 201)
        self.assertEqual(len(self.server.seen("POST", "sandboxes")), 2)  # 401, then the new one

    def plugin(self, token):
        said = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {"token": token},
        }
        return self.put(
            "plugin", f"#!/bin/sh\necho run >> $0.log\necho '{json.dumps(said)}'\n", 0o700
        )

    def with_plugin(self, path):
        return self.server.kubeconfig(
            exec={
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": path,
                "interactiveMode": "Never",
            }
        )

    def test_a_plugin_runs_once_for_many(self):
        path = self.plugin("good")
        client = self.client(self.with_plugin(path))
        ids = [client.do("call", method="GET", path=SANDBOXES) for _ in range(10)]
        self.assertEqual({client.answer(i)["status"] for i in ids}, {200})
        with open(path + ".log", encoding="utf-8") as f:
            self.assertEqual(f.read(), "run\n")

    def test_a_plugin_that_fails(self):
        path = self.put("plugin", "#!/bin/sh\nexit 4\n", 0o700)
        answer = self.client(self.with_plugin(path)).call("GET", SANDBOXES)
        self.assertEqual(answer["fault"], "Transport")
        self.assertEqual(answer["message"], f"credential plugin {path}: it ended with status 4")

    def test_a_stream_after_a_rotation(self):
        path = self.put("token", "good")
        client = self.client(self.server.kubeconfig(tokenFile=path))
        self.assertEqual(client.call("GET", SANDBOXES)["status"], 200)
        self.server.api.tokens = {"better"}
        self.put("token", "better")
        id_ = client.do("stream", path=SANDBOXES + "?watch=1&resourceVersion=0")
        self.assertTrue(client.answer(id_).get("opened"))


class TrustTest(Case):
    def refused(self, words, **how):
        answer = self.client(self.server.kubeconfig(**how)).call("GET", SANDBOXES, seconds=5)
        self.assertEqual(answer["fault"], "Transport")
        self.assertIn(words, answer["message"])

    def test_an_unknown_authority_at_once(self):
        other = self.server.certificates.path("other-ca.crt")
        self.refused("an authority that is not trusted", cluster={"certificate-authority": other})

    def test_another_name_at_once(self):
        self.refused(
            'its certificate is not for "example.test", but for',
            cluster={"tls-server-name": "example.test"},
        )

    def test_a_name_of_our_own(self):
        client = self.client(
            self.server.kubeconfig(cluster={"tls-server-name": "kubernetes.default.svc"})
        )
        self.assertEqual(client.call("GET", SANDBOXES)["status"], 200)

    def test_insecure_is_said(self):
        path = self.server.kubeconfig(certificate=False, cluster={"insecure-skip-tls-verify": True})
        with open(path, encoding="utf-8") as f:
            config = json.load(f)
        del config["clusters"][0]["cluster"]["certificate-authority"]
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)
        client = Client(path)
        self.assertEqual(client.call("GET", SANDBOXES)["status"], 200)
        self.assertIn("the API server's certificate is not checked", client.close())

    def test_a_client_certificate_is_needed(self):
        self.server.api.need_certificate = True
        self.assertEqual(self.client().call("GET", SANDBOXES)["status"], 200)
        answer = self.client(self.server.kubeconfig(certificate=False)).call("GET", SANDBOXES)
        self.assertEqual(answer["fault"], "Unauthorized")


class Proxy:
    """An HTTP CONNECT or SOCKS5 proxy that counts."""

    def __init__(self, kind):
        self.kind, self.asked = kind, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        host, port = getattr(self, "_" + self.kind)(client)
        self.asked.append((host, port))
        server = socket.create_connection((host, port))
        if self.kind == "http":
            client.sendall(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")
        else:
            client.sendall(b"\x05\x00\x00\x01\0\0\0\0\0\0")
        threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
        self._pump(server, client)

    @staticmethod
    def _http(client):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        host, port = head.split(b" ")[1].rsplit(b":", 1)
        return host.decode(), int(port)

    @staticmethod
    def _socks5(client):
        _, n = client.recv(2)
        client.recv(n)
        client.sendall(b"\x05\x00")
        kind = client.recv(4)[3]
        host = (
            socket.inet_ntoa(client.recv(4))
            if kind == 1
            else client.recv(client.recv(1)[0]).decode()
        )
        return host, int.from_bytes(client.recv(2), "big")

    @staticmethod
    def _pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.socket.close()


class ProxyTest(Case):
    def proxied(self, kind, scheme, **how):
        proxy = Proxy(kind)
        self.addCleanup(proxy.close)
        url = f"{scheme}://127.0.0.1:{proxy.port}"
        client = self.client(self.server.kubeconfig(cluster={"proxy-url": url, **how}))
        self.assertEqual(client.call("GET", SANDBOXES)["status"], 200)
        return proxy.asked

    def test_http(self):
        self.assertEqual(self.proxied("http", "http"), [("127.0.0.1", self.server.port)])

    def test_socks5(self):
        self.assertEqual(self.proxied("socks5", "socks5"), [("127.0.0.1", self.server.port)])

    def test_socks5_looks_the_name_up(self):
        server = f"https://localhost:{self.server.port}"
        asked = self.proxied("socks5", "socks5", server=server)
        self.assertEqual(asked, [("localhost", self.server.port)])

    def test_the_environments_proxy_is_not_used_for_loopback(self):
        client = self.client(env={"HTTPS_PROXY": "http://127.0.0.1:1"})
        self.assertEqual(client.call("GET", SANDBOXES)["status"], 200)

    def test_a_proxy_that_is_not_there(self):
        path = self.server.kubeconfig(cluster={"proxy-url": "http://127.0.0.1:1"})
        answer = self.client(path).call("GET", SANDBOXES, timeout=500)
        self.assertIn("connect to proxy 127.0.0.1:1: Connection refused", answer["message"])

    def test_a_scheme_that_is_not_supported(self):
        path = self.server.kubeconfig(cluster={"proxy-url": "https://127.0.0.1:1"})
        done = subprocess.run([TOOL, path], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("proxy-url: proxies of the scheme https are not supported", done.stderr)


del Calls  # its subclasses are the tests
