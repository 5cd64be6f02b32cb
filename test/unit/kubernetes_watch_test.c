/*
 * What the Kubernetes backend makes of what it watches: Events, pods, trouble that lasts, and the
 * namespaces of the managed and operator modes.
 */
#include <sys/stat.h>

#include "driver/kubernetes/allowlist.h"
#include "live.h"
#include "wire/wire.h"

static struct registry_watch *stream;

static void ignore_wake(void *owner)
{
	(void)owner;
}

/* The next message of the stream, or NULL. The arena's, that is, until the end of the test. */
static Openshell__Compute__V1__WatchSandboxesEvent *next_message(void)
{
	struct h2_chunk *c;
	struct err e;

	if (!stream)
		stream = registry_watch_open(registry, ignore_wake, NULL);
	if (registry_watch_next(stream, &c) != REGISTRY_MESSAGE)
		return NULL;
	return wire_unpack(&openshell__compute__v1__watch_sandboxes_event__descriptor, c->bytes + 5,
			   c->n - 5, &test_arena, &e);
}

/* The next platform event, or NULL; sandboxes are passed over. */
static const Openshell__Compute__V1__DriverPlatformEvent *next_event(void)
{
	const Openshell__Compute__V1__WatchSandboxesEvent *m;

	while ((m = next_message())) {
		if (m->payload_case ==
		    OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD_PLATFORM_EVENT)
			return m->platform_event->event;
	}
	return NULL;
}

static const char *metadata(const Openshell__Compute__V1__DriverPlatformEvent *e, const char *key)
{
	for (size_t i = 0; i < e->n_metadata; i++) {
		if (streq(e->metadata[i]->key, key))
			return e->metadata[i]->value;
	}
	return "";
}

/* The reason of Ready in the newest snapshot. */
static const char *ready_reason(void)
{
	const struct registry_sandbox *s = registry_get(registry, ID);
	_cleanup_free_ char *bytes = NULL;
	struct str encoded = registry_encoded(s);
	const Openshell__Compute__V1__GetSandboxResponse *r;
	struct err e;

	bytes = xmalloc(encoded.n);
	memcpy(bytes, encoded.p, encoded.n);
	r = wire_unpack(&openshell__compute__v1__get_sandbox_response__descriptor, bytes, encoded.n,
			&test_arena, &e);
	for (size_t i = 0; i < r->sandbox->status->n_conditions; i++) {
		if (streq(r->sandbox->status->conditions[i]->type, "Ready"))
			return r->sandbox->status->conditions[i]->reason;
	}
	return "";
}

static char *event_text(const char *uid, int count, const char *kind, const char *name,
			const char *reason, const char *message)
{
	return arena_printf(
		&test_arena,
		"{\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\",\"uid\":\"%s\","
		"\"resourceVersion\":\"%d\"},\"involvedObject\":{\"kind\":\"%s\","
		"\"namespace\":\"default\",\"name\":\"%s\"},\"type\":\"Normal\","
		"\"reason\":\"%s\",\"message\":\"%s\",\"count\":%d,"
		"\"lastTimestamp\":\"2026-11-25T08:00:00Z\"}",
		uid, uid, 100 + count, kind, name, reason, message, count);
}

static struct kube_request *opened(const char *part)
{
	struct kube_request *watch = expect(KUBE_GET, part);

	watch->stream.opened(watch->stream.owner);
	return watch;
}

static void end_stream(void)
{
	registry_watch_close(stream);
	close_all();
}

/* ---- Events ---- */

TEST(events_of_sandbox_pod_and_claim_are_told)
{
	struct kube_request *events;
	const Openshell__Compute__V1__DriverPlatformEvent *e;

	watched(settled("--sandbox-uid=1000"), "ADDED", object_text("7", "u1", ID, ""));
	events = opened("/events?watch");
	OK(next_event() == NULL);
	watched(events, "ADDED",
		event_text("e1", 1, "Pod", "team--box", "Pulling", "Pulling image \\\"img:1\\\""));
	e = next_event();
	STREQ(e->reason, "Pulling");
	STREQ(metadata(e, "involved_kind"), "Pod");
	watched(events, "ADDED",
		event_text("e2", 1, "PersistentVolumeClaim", "workspace-team--box", "FailedBinding",
			   "no volume"));
	STREQ(next_event()->reason, "FailedBinding");
	watched(events, "ADDED",
		event_text("e3", 1, "Pod", "stranger", "Pulling", "Pulling image"));
	OK(next_event() == NULL);
	end_stream();
}

TEST(event_is_told_once_for_each_count)
{
	struct kube_request *events;
	char *one = event_text("e1", 1, "Sandbox", "team--box", "X", "x");

	watched(settled("--sandbox-uid=1000"), "ADDED", object_text("7", "u1", ID, ""));
	events = opened("/events?watch");
	OK(next_event() == NULL);
	watched(events, "ADDED", one);
	OK(next_event() != NULL);
	watched(events, "MODIFIED", one);
	OK(next_event() == NULL);
	watched(events, "MODIFIED", event_text("e1", 2, "Sandbox", "team--box", "X", "x"));
	STREQ(metadata(next_event(), "count"), "2");
	end_stream();
}

TEST(events_from_before_the_start_are_not_told)
{
	open_with("--sandbox-uid=1000");
	answer(expect(KUBE_GET, "limit=1"), 200, EMPTY_LIST);
	answer(expect(KUBE_GET, "/version"), 200, "{}");
	answer(expect(KUBE_GET, "sandboxes?"), 200,
	       arena_printf(&test_arena,
			    "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[%s]}",
			    object_text("7", "u1", ID, "")));
	OK(next_message() != NULL);
	answer(expect(KUBE_GET, "/events?"), 200,
	       arena_printf(&test_arena,
			    "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[%s]}",
			    event_text("e1", 1, "Sandbox", "team--box", "X", "x")));
	OK(next_event() == NULL);
	end_stream();
}

/* ---- trouble ---- */

#define REFUSED                                                                                    \
	",\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\","                   \
	"\"reason\":\"ReconcilerError\",\"observedGeneration\":1,\"message\":\"Error seen: pods "  \
	"\\\"team--box\\\" is forbidden: exceeded quota: few\"}]}"

TEST(refused_pod_is_told_at_once_and_terminal_after_its_grace)
{
	struct kube_request *watch = settled("--sandbox-uid=1000 --refusal-grace-secs=1");
	const Openshell__Compute__V1__DriverPlatformEvent *e;

	watched(watch, "ADDED", object_text("7", "u1", ID, ""));
	OK(next_event() == NULL);
	watched(watch, "MODIFIED", object_text("8", "u1", ID, REFUSED));
	e = next_event();
	OK(e != NULL);
	HAS(e->message, "exceeded quota");
	STREQ(ready_reason(), "ReconcilerError");
	/* nothing happens any more: time alone makes it terminal */
	answer(expect(KUBE_GET, "=" SANDBOXES "/team--box"), 200,
	       object_text("8", "u1", ID, REFUSED));
	answer(expect(KUBE_GET, "=/api/v1/namespaces/default/pods/team--box"), 404,
	       NOT_FOUND("pods"));
	STREQ(ready_reason(), "PodRefused");
	OK(next_event() == NULL); /* told once */
	end_stream();
}

TEST(image_that_cannot_be_pulled_is_told_and_forgotten_when_it_can)
{
	static const char failing[] =
		"{\"metadata\":{\"name\":\"team--box\",\"namespace\":\"default\",\"uid\":\"p\","
		"\"resourceVersion\":\"20\"},\"status\":{\"phase\":\"Pending\","
		"\"containerStatuses\":"
		"[{\"name\":\"agent\",\"image\":\"img:1\",\"state\":{\"waiting\":{\"reason\":"
		"\"ImagePullBackOff\",\"message\":\"no such image\"}}}]}}";
	static const char running[] =
		"{\"metadata\":{\"name\":\"team--box\",\"namespace\":\"default\",\"uid\":\"p\","
		"\"resourceVersion\":\"21\"},\"status\":{\"phase\":\"Running\","
		"\"containerStatuses\":"
		"[{\"name\":\"agent\",\"state\":{\"running\":{}}}]}}";
	struct kube_request *pods;

	watched(settled("--sandbox-uid=1000 --refusal-grace-secs=600"), "ADDED",
		object_text("7", "u1", ID, ""));
	pods = opened("/pods?label");
	OK(next_event() == NULL);
	watched(pods, "ADDED", failing);
	HAS(next_event()->message, "no such image");
	answer(expect(KUBE_GET, "=" SANDBOXES "/team--box"), 200, object_text("7", "u1", ID, ""));
	answer(expect(KUBE_GET, "=/api/v1/namespaces/default/pods/team--box"), 200, failing);
	OK(box_find(k, "default", "team--box")->trouble != NULL);
	watched(pods, "MODIFIED", running);
	OK(box_find(k, "default", "team--box")->trouble == NULL);
	end_stream();
}

/* ---- managed workspaces ---- */

#define MANAGED "--workspace-mode=managed --gateway-id=gw --sandbox-service-account=runner "

static void ensure_team(void)
{
	Openshell__Compute__V1__EnsureWorkspaceRequest r =
		OPENSHELL__COMPUTE__V1__ENSURE_WORKSPACE_REQUEST__INIT;

	call = (struct grpc_call){.arena = ARENA_INIT(1 << 20)};
	r.workspace = (char *)"team";
	kubernetes_backend.ensure_workspace(backend, &call, &r);
}

#define TEAM "/api/v1/namespaces/openshell-gw-team"
#define OUR_LABELS                                                                                 \
	"\"labels\":{\"openshell.ai/managed-by\":\"openshell\",\"openshell.ai/"                    \
	"gateway-id\":\"gw\"}"

TEST(managed_namespace_is_made_with_its_account)
{
	struct kube_request *r;

	open_with(MANAGED "--sandbox-uid=1000");
	ensure_team();
	answer(expect(KUBE_GET, "=" TEAM), 404, NOT_FOUND("namespaces"));
	r = expect(KUBE_POST, "=/api/v1/namespaces");
	STREQ(json_str(json_get(r->body, "metadata"), "name"), "openshell-gw-team");
	OK(!json_at(r->body, "metadata", "annotations",
		    NULL)); /* OpenShift's allocator fills them */
	answer(r, 201, "{}");
	answer(expect(KUBE_GET, "=" TEAM), 200,
	       "{\"metadata\":{\"name\":\"openshell-gw-team\",\"uid\":\"n\"," OUR_LABELS "}}");
	answer(expect(KUBE_POST, TEAM "/serviceaccounts"), 409, ALREADY_EXISTS);
	OK(call.answered && call.status == GRPC_OK);
	close_all();
}

TEST(managed_namespace_of_others_is_refused)
{
	open_with(MANAGED "--sandbox-uid=1000");
	ensure_team();
	answer(expect(KUBE_GET, "=" TEAM), 200,
	       "{\"metadata\":{\"name\":\"openshell-gw-team\",\"uid\":\"n\",\"labels\":"
	       "{\"openshell.ai/managed-by\":\"openshell\",\"openshell.ai/"
	       "gateway-id\":\"other\"}}}");
	STREQ(call.text, "namespace openshell-gw-team exists but is not owned by this gateway");
	close_all();
}

TEST(managed_namespace_that_is_terminating_is_waited_for)
{
	open_with(MANAGED "--sandbox-uid=1000");
	ensure_team();
	answer(expect(KUBE_GET, "=" TEAM), 200,
	       "{\"metadata\":{\"name\":\"openshell-gw-team\",\"uid\":\"n\",\"deletionTimestamp\":"
	       "\"2026-11-25T08:00:00Z\"," OUR_LABELS "}}");
	OK(!call.answered);
	answer(expect(KUBE_GET, "=" TEAM), 404, NOT_FOUND("namespaces"));
	expect(KUBE_POST, "=/api/v1/namespaces");
	close_all();
}

TEST(managed_namespace_on_openshift_waits_for_its_uids)
{
	const struct place *p;

	open_with(MANAGED);
	ensure_team();
	answer(expect(KUBE_GET, "=" TEAM), 200,
	       "{\"metadata\":{\"name\":\"openshell-gw-team\",\"uid\":\"n\"," OUR_LABELS "}}");
	answer(expect(KUBE_GET, "security.openshift.io"), 200, "{}");
	OK(!call.answered);
	answer(expect(KUBE_GET, "=" TEAM), 200,
	       "{\"metadata\":{\"name\":\"openshell-gw-team\",\"uid\":\"n\"," OUR_LABELS
	       ",\"annotations\":{\"openshift.io/sa.scc.uid-range\":\"1000700000/10000\"}}}");
	answer(expect(KUBE_POST, TEAM "/serviceaccounts"), 201, "{}");
	OK(call.answered && call.status == GRPC_OK);
	p = place_ready(k, "openshell-gw-team");
	EQ(p->identity.uid, 1000700000);
	close_all();
}

TEST(managed_secret_that_is_missing_is_named)
{
	open_with(MANAGED "--sandbox-uid=1000 --sandbox-image-pull-secrets=pull");
	ensure_team();
	answer(expect(KUBE_GET, "=" TEAM), 200,
	       "{\"metadata\":{\"name\":\"openshell-gw-team\",\"uid\":\"n\"," OUR_LABELS "}}");
	answer(expect(KUBE_POST, TEAM "/serviceaccounts"), 201, "{}");
	answer(expect(KUBE_GET, "=/api/v1/namespaces/default/secrets/pull"), 404,
	       NOT_FOUND("secrets"));
	STREQ(call.text, "configured image-pull Secret pull does not exist in source namespace "
			 "default");
	close_all();
}

/* ---- operator's allowlist ---- */

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	OK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* Waits for what a change of the file brings, at most five seconds. */
static bool becomes(const struct allowlist *a, const char *ns, bool allowed)
{
	for (int i = 0; i < 100 && allowlist_has(a, ns) != allowed; i++)
		turn_for(50);
	return allowlist_has(a, ns) == allowed;
}

TEST(allowlist_file_is_read_again_and_a_bad_one_is_not)
{
	char dir[] = "/tmp/openshell-test-XXXXXX", path[64];
	struct kubernetes_options *o;
	struct allowlist *a;
	struct err e;

	OK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/list.json", dir);
	o = options(arena_printf(&test_arena,
				 "--workspace-mode=operator --operator-namespace-file=%s", path));
	EQ(loop_new(&fake_client.loop, &e), 0);
	EQ(allowlist_new(&a, &fake_client, o, &e),
	   0); /* the file may come later: nothing is allowed */
	OK(!allowlist_has(a, "team"));
	write_file(path, "[\"team\",\"other\"]");
	OK(becomes(a, "team", true));
	write_file(path, "[\"other\", ");
	turn_for(1500);
	OK(allowlist_has(a, "team"));
	write_file(path, "[\"other\"]");
	OK(becomes(a, "team", false));
	OK(allowlist_has(a, "other"));
	allowlist_free(a);
	loop_free(fake_client.loop);
	unlink(path);
	rmdir(dir);
}

TEST(allowlist_by_label_follows_the_namespaces)
{
	struct kube_request *watch;

	open_with("--workspace-mode=operator --operator-namespace-label=openshell=yes "
		  "--sandbox-uid=1000");
	OK(!allowlist_has(k->allowlist, "team"));
	ensure_team();
	EQ(call.status, GRPC_PERMISSION_DENIED);
	STREQ(call.text, "workspace 'team' is not in the operator namespace allowlist");
	answer(expect(KUBE_GET, "/namespaces?labelSelector=openshell%3Dyes"), 200,
	       "{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[{\"metadata\":{\"name\":"
	       "\"team\","
	       "\"uid\":\"n\",\"resourceVersion\":\"4\"}}]}");
	OK(allowlist_has(k->allowlist, "team"));
	watch = opened("/namespaces?labelSelector");
	watched(watch, "DELETED",
		"{\"metadata\":{\"name\":\"team\",\"uid\":\"n\",\"resourceVersion\":\"6\"}}");
	OK(!allowlist_has(k->allowlist, "team"));
	close_all();
}

TEST(allowlist_parse_names_what_is_wrong)
{
	struct map m = MAP_INIT;
	struct err e;

	EQ(allowlist_parse(STR("{}"), "f", &m, &e), -1);
	HAS(e.text, "not an array");
	EQ(allowlist_parse(STR("[\"a\", \"Not A Name\"]"), "f", &m, &e), -1);
	HAS(e.text, "Not A Name");
	EQ(m.n, 0);
	EQ(allowlist_parse(STR("[\"a\", \"b\"]"), "f", &m, &e), 0);
	EQ(m.n, 2);
	map_fini(&m);
}
