/*
 * The Kubernetes backend against an API server that the test plays by hand (fake_kube.h): what it
 * asks, in what order, and what it makes of answers that are wrong, lost or late.
 */
#include "live.h"

static void create(void)
{
	Openshell__Compute__V1__CreateSandboxRequest r =
		OPENSHELL__COMPUTE__V1__CREATE_SANDBOX_REQUEST__INIT;

	call = (struct grpc_call){.arena = ARENA_INIT(1 << 20)};
	r.sandbox = sandbox_with("", "");
	kubernetes_backend.create(backend, &call, &r);
}

static void delete_box(void)
{
	Openshell__Compute__V1__DeleteSandboxRequest r =
		OPENSHELL__COMPUTE__V1__DELETE_SANDBOX_REQUEST__INIT;

	call = (struct grpc_call){.arena = ARENA_INIT(1 << 20)};
	r.sandbox_id = (char *)ID;
	r.sandbox_name = (char *)"box";
	kubernetes_backend.delete(backend, &call, &r);
}

static void stop_box(void)
{
	Openshell__Compute__V1__StopSandboxRequest r =
		OPENSHELL__COMPUTE__V1__STOP_SANDBOX_REQUEST__INIT;

	call = (struct grpc_call){.arena = ARENA_INIT(1 << 20)};
	r.sandbox_id = (char *)ID;
	r.sandbox_name = (char *)"box";
	kubernetes_backend.stop(backend, &call, &r);
}

/* ---- the API version ---- */

TEST(version_falls_through_what_is_not_served)
{
	open_with("");
	answer(expect(KUBE_GET, "v1beta1"), 404, "404 page not found");
	answer(expect(KUBE_GET, "v1alpha1"), 200, EMPTY_LIST);
	answer(expect(KUBE_GET, "/version"), 200, "{\"minor\":\"34+\"}");
	EQ(chosen_api(k), SANDBOX_V1ALPHA1);
	EQ(version_server_minor(k->version), 34);
	close_all();
}

TEST(version_that_is_forbidden_is_fallen_through_and_named)
{
	open_with("");
	answer(expect(KUBE_GET, "v1beta1"), 403,
	       "{\"code\":403,\"reason\":\"Forbidden\",\"message\":\"you may not list these\"}");
	answer(expect(KUBE_GET, "v1alpha1"), 404, "404 page not found");
	create();
	EQ(call.status, GRPC_FAILED_PRECONDITION);
	HAS(call.text, "v1beta1: you may not list these");
	close_all();
}

TEST(version_none_is_said_with_what_was_tried)
{
	open_with("");
	answer(expect(KUBE_GET, "v1beta1"), 404, "404 page not found");
	answer(expect(KUBE_GET, "v1alpha1"), 404, "404 page not found");
	create();
	STREQ(call.text, "no supported Agent Sandbox API version is available; tried v1beta1, "
			 "v1alpha1");
	close_all();
}

TEST(defect_13_api_server_away_at_start_is_waited_for)
{
	open_with("");
	lose(expect(KUBE_GET, "v1beta1"), KUBE_TIMEOUT, false);
	create();
	EQ(call.status, GRPC_UNAVAILABLE); /* whatever the fault: it was not this call's time */
	arena_fini(&call.arena);
	answer(expect(KUBE_GET, "v1beta1"), 200, EMPTY_LIST);
	answer(expect(KUBE_GET, "/version"), 200, "{}");
	create();
	OK(!call.answered);
	answer(expect(KUBE_GET, "=/api/v1/namespaces/default"), 200,
	       "{\"metadata\":{\"name\":\"default\"}}");
	answer(expect(KUBE_POST, SANDBOXES), 201, object_text("7", "u1", ID, ""));
	OK(call.answered && call.status == GRPC_OK);
	close_all();
}

TEST(defect_14_version_is_chosen_again_when_it_is_gone)
{
	settled("--sandbox-uid=1000");
	create();
	answer(expect(KUBE_POST, SANDBOXES), 404, "404 page not found");
	answer(expect(KUBE_GET, "v1beta1"), 404, "404 page not found");
	answer(expect(KUBE_GET, "v1alpha1"), 200, EMPTY_LIST);
	answer(expect(KUBE_GET, "/version"), 200, "{}");
	answer(expect(KUBE_POST, OLD_SANDBOXES), 201, object_text("7", "u1", ID, ""));
	OK(call.answered && call.status == GRPC_OK);
	expect(KUBE_GET, OLD_SANDBOXES); /* the reflector moves on as well */
	close_all();
}

/* ---- create ---- */

TEST(create_costs_one_request_and_is_known_at_once)
{
	settled("--sandbox-uid=1000");
	create();
	answer(expect(KUBE_POST, SANDBOXES), 201, object_text("7", "u1", ID, ""));
	OK(call.answered && call.status == GRPC_OK);
	OK(registry_get(registry, ID) != NULL);
	close_all();
}

TEST(create_that_exists_is_said)
{
	settled("--sandbox-uid=1000");
	create();
	answer(expect(KUBE_POST, SANDBOXES), 409, ALREADY_EXISTS);
	answer(expect(KUBE_GET, SANDBOXES "/team--box"), 200,
	       object_text("7", "u1", "5d2f7c11-0000-4000-8000-000000000000", ""));
	EQ(call.status, GRPC_ALREADY_EXISTS);
	close_all();
}

TEST(create_of_what_is_known_is_refused)
{
	watched(settled("--sandbox-uid=1000"), "ADDED", object_text("7", "u1", ID, ""));
	create();
	answer(expect(KUBE_POST, SANDBOXES), 409, ALREADY_EXISTS);
	EQ(call.status, GRPC_ALREADY_EXISTS);
	close_all();
}

/* The client below repeats a request that the server cannot have seen, and may be wrong in that. */
TEST(create_that_finds_its_own_object_has_made_it)
{
	settled("--sandbox-uid=1000");
	create();
	answer(expect(KUBE_POST, SANDBOXES), 409, ALREADY_EXISTS);
	answer(expect(KUBE_GET, SANDBOXES "/team--box"), 200, object_text("7", "u1", ID, ""));
	OK(call.answered && call.status == GRPC_OK);
	close_all();
}

TEST(create_whose_answer_was_lost_is_read_back)
{
	settled("--sandbox-uid=1000");
	create();
	lose(expect(KUBE_POST, SANDBOXES), KUBE_TRANSPORT, true);
	OK(!call.answered);
	answer(expect(KUBE_GET, SANDBOXES "/team--box"), 200, object_text("7", "u1", ID, ""));
	OK(call.answered && call.status == GRPC_OK);
	close_all();
}

TEST(create_whose_answer_was_lost_and_that_is_not_there_is_repeated)
{
	settled("--sandbox-uid=1000");
	create();
	lose(expect(KUBE_POST, SANDBOXES), KUBE_TRANSPORT, true);
	answer(expect(KUBE_GET, SANDBOXES "/team--box"), 404, NOT_FOUND("sandboxes"));
	/* the first attempt came late: the name is taken, by us */
	answer(expect(KUBE_POST, SANDBOXES), 409, ALREADY_EXISTS);
	answer(expect(KUBE_GET, SANDBOXES "/team--box"), 200, object_text("7", "u1", ID, ""));
	OK(call.answered && call.status == GRPC_OK);
	close_all();
}

TEST(create_that_failed_is_cleaned_up_behind_its_failure)
{
	struct kube_request *r;

	settled("--sandbox-uid=1000");
	create();
	lose(expect(KUBE_POST, SANDBOXES), KUBE_SERVER, true);
	answer(expect(KUBE_GET, SANDBOXES "/team--box"), 404, NOT_FOUND("sandboxes"));
	EQ(call.status, GRPC_INTERNAL);
	EQ(kubernetes_backend.pending(backend), 1);
	answer(expect(KUBE_GET, SANDBOXES "/team--box"), 404, NOT_FOUND("sandboxes"));
	EQ(kubernetes_backend.pending(backend), 0);
	/* not there yet is not never */
	answer(expect(KUBE_GET, SANDBOXES "/team--box"), 200, object_text("7", "u1", ID, ""));
	r = expect(KUBE_DELETE, SANDBOXES "/team--box");
	STREQ(json_str(json_get(r->body, "preconditions"), "uid"), "u1");
	answer(r, 200, "{}");
	EQ(kubernetes_backend.pending(backend), 0);
	close_all();
}

TEST(create_does_not_clean_up_what_is_anothers)
{
	settled("--sandbox-uid=1000");
	create();
	lose(expect(KUBE_POST, SANDBOXES), KUBE_SERVER, true);
	answer(expect(KUBE_GET, SANDBOXES "/team--box"), 404, NOT_FOUND("sandboxes"));
	answer(expect(KUBE_GET, SANDBOXES "/team--box"), 200,
	       object_text("7", "u1", "5d2f7c11-0000-4000-8000-000000000000", ""));
	OK(!asked(KUBE_DELETE, SANDBOXES, 50));
	EQ(kubernetes_backend.pending(backend), 0);
	close_all();
}

TEST(create_refused_is_said_in_the_servers_words)
{
	static const struct {
		int status;
		const char *body;
		enum grpc_status code;
	} cases[] = {
		{403, "{\"reason\":\"Forbidden\",\"message\":\"admission says no\"}",
		 GRPC_FAILED_PRECONDITION},
		{422, "{\"reason\":\"Invalid\",\"message\":\"admission says no\"}",
		 GRPC_INVALID_ARGUMENT},
		{403,
		 "{\"reason\":\"Forbidden\",\"message\":\"admission says no: exceeded quota: q\"}",
		 GRPC_RESOURCE_EXHAUSTED},
		{500, "{\"reason\":\"InternalError\",\"message\":\"admission says no\"}",
		 GRPC_INTERNAL},
	};

	settled("--sandbox-uid=1000");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		create();
		answer(expect(KUBE_POST, SANDBOXES), cases[i].status, cases[i].body);
		EQ(call.status, cases[i].code);
		HAS(call.text, "admission says no");
		arena_fini(&call.arena);
	}
	close_all();
}

TEST(defect_15_identity_that_cannot_be_read_is_no_1000)
{
	settled("");
	create();
	answer(expect(KUBE_GET, "=/api/v1/namespaces/default"), 403,
	       "{\"reason\":\"Forbidden\",\"message\":\"namespaces is forbidden\"}");
	EQ(call.status, GRPC_FAILED_PRECONDITION);
	HAS(call.text, "namespaces is forbidden");
	arena_fini(&call.arena);
	create();
	lose(expect(KUBE_GET, "=/api/v1/namespaces/default"), KUBE_TRANSPORT, false);
	EQ(call.status, GRPC_UNAVAILABLE);
	OK(!asked(KUBE_POST, SANDBOXES, 20));
	close_all();
}

TEST(identity_is_read_once_for_many)
{
	settled("");
	create();
	answer(expect(KUBE_GET, "=/api/v1/namespaces/default"), 200,
	       "{\"metadata\":{\"name\":\"default\"}}");
	answer(expect(KUBE_POST, SANDBOXES), 403, "{\"reason\":\"Forbidden\",\"message\":\"no\"}");
	arena_fini(&call.arena);
	create();
	expect(KUBE_POST, SANDBOXES);
	close_all();
}

/* ---- stop, delete ---- */

TEST(defect_1_delete_is_guarded_by_uid_alone_and_a_conflict_is_retried)
{
	struct kube_request *r;
	const cJSON *guard;

	watched(settled("--sandbox-uid=1000"), "ADDED", object_text("7", "u1", ID, ""));
	delete_box();
	r = expect(KUBE_DELETE, SANDBOXES "/team--box");
	guard = json_get(r->body, "preconditions");
	STREQ(json_str(guard, "uid"), "u1");
	OK(!json_get(guard, "resourceVersion"));
	answer(r, 409, CONFLICT);
	OK(!call.answered);
	r = expect(KUBE_GET, "sandbox-id%3D");
	answer(r, 200,
	       arena_printf(&test_arena,
			    "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[%s]}",
			    object_text("8", "u2", ID, "")));
	r = expect(KUBE_DELETE, SANDBOXES "/team--box");
	STREQ(json_str(json_get(r->body, "preconditions"), "uid"), "u2");
	answer(r, 200, "{}");
	OK(call.answered && call.status == GRPC_OK && call.deleted);
	close_all();
}

TEST(delete_of_what_is_not_there)
{
	settled("--sandbox-uid=1000");
	delete_box();
	answer(expect(KUBE_GET, "sandbox-id%3D"), 200, EMPTY_LIST);
	answer(expect(KUBE_GET, SANDBOXES "/box"), 404, NOT_FOUND("sandboxes"));
	OK(call.answered && call.status == GRPC_OK && !call.deleted);
	close_all();
}

TEST(delete_that_fails_is_never_not_found)
{
	watched(settled("--sandbox-uid=1000"), "ADDED", object_text("7", "u1", ID, ""));
	delete_box();
	answer(expect(KUBE_DELETE, SANDBOXES "/team--box"), 404, NOT_FOUND("sandboxes"));
	lose(expect(KUBE_GET, "sandbox-id%3D"), KUBE_TRANSPORT, false);
	OK(!call.answered); /* a look that was lost is made again */
	lose(expect(KUBE_GET, "sandbox-id%3D"), KUBE_BAD_ANSWER, false);
	EQ(call.status, GRPC_INTERNAL);
	close_all();
}

TEST(defect_2_conflict_on_stop_is_read_again_and_retried)
{
	struct kube_request *r;

	watched(settled("--sandbox-uid=1000"), "ADDED", object_text("7", "u1", ID, ""));
	stop_box();
	r = expect(KUBE_PATCH, SANDBOXES "/team--box");
	STREQ(json_str(json_get(r->body, "metadata"), "resourceVersion"), "7");
	answer(r, 409, CONFLICT);
	answer(expect(KUBE_GET, "sandbox-id%3D"), 200,
	       arena_printf(&test_arena,
			    "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[%s]}",
			    object_text("8", "u1", ID, "")));
	r = expect(KUBE_PATCH, SANDBOXES "/team--box");
	STREQ(json_str(json_get(r->body, "metadata"), "resourceVersion"), "8");
	lose(r, KUBE_CONFLICT, false);
	OK(!call.answered);
	close_all();
}

/* ---- reading ---- */

TEST(read_whose_caller_is_gone_is_given_up)
{
	static const Openshell__Compute__V1__ListSandboxesRequest request =
		OPENSHELL__COMPUTE__V1__LIST_SANDBOXES_REQUEST__INIT;
	struct kube_request *list;

	settled("--sandbox-uid=1000");
	backend->ops->list(backend, &call, &request);
	list = expect(KUBE_GET, "limit=500");
	call.ops->cancelled(&call);
	OK(call.answered);
	EQ(call.status, GRPC_CANCELLED);
	OK(list->cancelled);
	answer(list, 200, EMPTY_LIST);
	close_all();
}

TEST(write_whose_caller_is_gone_goes_on)
{
	open_with("--sandbox-uid=1000");
	settle_on("v1beta1");
	create();
	OK(call.ops == NULL);
	EQ(backend->ops->pending(backend), 1);
	answer(expect(KUBE_POST, SANDBOXES), 201, object_text("4", "u1", ID, ""));
	EQ(backend->ops->pending(backend), 0);
	close_all();
}

/* ---- what is known ---- */

TEST(object_that_no_list_has_is_looked_for_and_forgotten)
{
	open_with("--sandbox-uid=1000");
	answer(expect(KUBE_GET, "limit=1"), 200, EMPTY_LIST);
	answer(expect(KUBE_GET, "/version"), 200, "{}");
	create();
	answer(expect(KUBE_POST, SANDBOXES), 201, object_text("4", "u1", ID, ""));
	OK(registry_get(registry, ID) != NULL);
	/* deleted by somebody before the first list, which therefore never tells of it */
	answer(expect(KUBE_GET, "limit=500"), 200, EMPTY_LIST);
	answer(expect(KUBE_GET, SANDBOXES "/team--box"), 404, NOT_FOUND("sandboxes"));
	OK(registry_get(registry, ID) == NULL);
	close_all();
}

TEST(old_state_of_the_object_before_changes_nothing)
{
	struct kube_request *watch = settled("--sandbox-uid=1000");

	watched(watch, "ADDED", object_text("7", "u1", ID, ""));
	create(); /* a new sandbox under the old name, made before the watch tells of the deletion */
	answer(expect(KUBE_POST, SANDBOXES), 201,
	       object_text("9", "u2", "5d2f7c11-0000-4000-8000-000000000000", ""));
	watched(watch, "DELETED", object_text("8", "u1", ID, ""));
	OK(registry_get(registry, ID) == NULL);
	OK(registry_get(registry, "5d2f7c11-0000-4000-8000-000000000000") != NULL);
	close_all();
}

TEST(defect_16_object_of_another_gateway_is_left_alone)
{
	struct kube_request *watch = settled("--sandbox-uid=1000 --gateway-id=mine");

	watched(watch, "ADDED", object_text("7", "u1", ID, ""));
	EQ(registry_count(registry), 0);
	OK(!asked(KUBE_PATCH, SANDBOXES, 20));
	close_all();
}

/* Whether the sandbox's snapshot contains the text. */
static bool told(const char *text)
{
	const struct registry_sandbox *s = registry_get(registry, ID);
	struct str bytes = s ? registry_encoded(s) : STR_NONE;

	return bytes.n > 0 && memmem(bytes.p, bytes.n, text, strlen(text)) != NULL;
}

#define ENDED                                                                                      \
	",\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":"        \
	"\"PodFailed\",\"message\":\"Pod failed\",\"observedGeneration\":1}]}"

/* A gateway takes the end for final and shows what comes with it, so the pod is asked first. */
TEST(pod_that_ended_is_told_with_its_last_words)
{
	struct kube_request *watch = settled("--sandbox-uid=1000");
	const char *object = object_text("7", "u1", ID, ENDED);

	watched(watch, "ADDED", object);
	OK(!told("PodFailed"));
	answer(expect(KUBE_GET, SANDBOXES "/team--box"), 200, object);
	answer(expect(KUBE_GET, "/pods/team--box"), 200,
	       "{\"status\":{\"phase\":\"Failed\",\"containerStatuses\":[{\"name\":\"agent\","
	       "\"state\":{\"terminated\":{\"exitCode\":1,\"message\":\"wrong account\"}}}]}}");
	OK(told("PodFailed"));
	OK(told("Pod failed: container agent exited with 1: wrong account"));
	/* and stays so when the object changes without its pod being seen again */
	watched(watch, "MODIFIED", object_text("8", "u1", ID, ENDED));
	OK(told("wrong account"));
	OK(!asked(KUBE_GET, "/pods/team--box", 20));
	close_all();
}

/* A pod that is gone, or that may not be read, tells nothing: the end is told all the same. */
TEST(pod_that_ended_and_cannot_be_read)
{
	struct kube_request *watch = settled("--sandbox-uid=1000");
	const char *object = object_text("7", "u1", ID, ENDED);

	watched(watch, "ADDED", object);
	answer(expect(KUBE_GET, SANDBOXES "/team--box"), 200, object);
	lose(expect(KUBE_GET, "/pods/team--box"), KUBE_FORBIDDEN, false);
	OK(told("PodFailed"));
	OK(!asked(KUBE_GET, "/pods/team--box", 20));
	close_all();
}

TEST(copy_of_an_object_takes_its_place_when_it_is_gone)
{
	struct kube_request *watch = settled("--sandbox-uid=1000");
	const char *copy =
		"{\"metadata\":{\"name\":\"copy\",\"namespace\":\"default\",\"uid\":\"u2\","
		"\"resourceVersion\":\"8\",\"labels\":{\"openshell.ai/managed-by\":"
		"\"openshell\",\"openshell.ai/gateway-id\":\"openshell\","
		"\"openshell.ai/sandbox-id\":\"" ID "\"}},\"spec\":{}}";

	watched(watch, "ADDED", object_text("7", "u1", ID, ""));
	watched(watch, "ADDED", copy);
	STREQ(registry_get(registry, ID)->object, "team--box");
	watched(watch, "DELETED", object_text("9", "u1", ID, ""));
	answer(expect(KUBE_GET, "=" SANDBOXES "/copy"), 200, copy);
	answer(expect(KUBE_GET, "/pods/copy"), 404, NOT_FOUND("pods"));
	STREQ(registry_get(registry, ID)->object, "copy");
	close_all();
}

/* ---- stop and start, to the end ---- */

static char *stopping_text(const char *version, const char *conditions)
{
	char *text = object_text(version, "u1", ID, conditions);
	char *mode = strstr(text, "Running\"");

	memcpy(mode, "Suspend\"", 8); /* of the same length; the next line mends it */
	return arena_printf(&test_arena, "%.*sSuspended%s", (int)(mode - text), text, mode + 7);
}

#define SUSPENDED                                                                                  \
	",\"status\":{\"conditions\":[{\"type\":\"Suspended\",\"status\":\"True\","                \
	"\"reason\":\"PodTerminated\",\"observedGeneration\":1}]}"

TEST(stop_waits_for_condition_and_pod)
{
	struct kube_request *r;

	watched(settled("--sandbox-uid=1000"), "ADDED", object_text("7", "u1", ID, ""));
	stop_box();
	r = expect(KUBE_PATCH, "=" SANDBOXES "/team--box");
	STREQ(json_str(json_get(r->body, "spec"), "operatingMode"), "Suspended");
	answer(r, 200, stopping_text("8", ""));
	answer(expect(KUBE_GET, "/pods/team--box"), 200, "{}");
	answer(expect(KUBE_GET, "=" SANDBOXES "/team--box"), 200, stopping_text("9", SUSPENDED));
	OK(!call.answered); /* says so, but its pod is there */
	answer(expect(KUBE_GET, "/pods/team--box"), 404, NOT_FOUND("pods"));
	answer(expect(KUBE_GET, "=" SANDBOXES "/team--box"), 200, stopping_text("9", SUSPENDED));
	OK(call.answered && call.status == GRPC_OK);
	close_all();
}

TEST(stop_looks_at_once_when_the_watch_tells)
{
	struct kube_request *watch = settled("--sandbox-uid=1000");

	watched(watch, "ADDED", object_text("7", "u1", ID, ""));
	stop_box();
	answer(expect(KUBE_PATCH, "=" SANDBOXES "/team--box"), 200, stopping_text("8", ""));
	for (int i = 0; i < 2; i++) {
		answer(expect(KUBE_GET, "/pods/team--box"), 200, "{}");
		answer(expect(KUBE_GET, "=" SANDBOXES "/team--box"), 200, stopping_text("8", ""));
	}
	OK(!asked(KUBE_GET, "/pods/team--box", 20)); /* the next look is a second away */
	watched(watch, "MODIFIED", stopping_text("9", SUSPENDED));
	OK(asked(KUBE_GET, "/pods/team--box", 20));
	close_all();
}

TEST(stop_of_what_somebody_starts_again_ends)
{
	watched(settled("--sandbox-uid=1000"), "ADDED", object_text("7", "u1", ID, ""));
	stop_box();
	answer(expect(KUBE_PATCH, "=" SANDBOXES "/team--box"), 200, stopping_text("8", ""));
	answer(expect(KUBE_GET, "/pods/team--box"), 200, "{}");
	answer(expect(KUBE_GET, "=" SANDBOXES "/team--box"), 200, object_text("9", "u1", ID, ""));
	EQ(call.status, GRPC_ABORTED);
	close_all();
}

TEST(late_answer_about_what_is_gone_changes_nothing)
{
	struct kube_request *watch = settled("--sandbox-uid=1000"), *r;

	watched(watch, "ADDED", object_text("7", "u1", ID, ""));
	stop_box();
	answer(expect(KUBE_PATCH, "=" SANDBOXES "/team--box"), 200, stopping_text("8", ""));
	answer(expect(KUBE_GET, "/pods/team--box"), 200, "{}");
	r = expect(KUBE_GET, "=" SANDBOXES "/team--box");
	watched(watch, "DELETED", stopping_text("9", ""));
	answer(r, 200, stopping_text("8", ""));
	OK(registry_get(registry, ID) == NULL);
	EQ(k->boxes.n, 0);
	close_all();
}

TEST(late_answer_about_what_a_list_lacks_changes_nothing)
{
	struct kube_request *watch = settled("--sandbox-uid=1000"), *r;

	watched(watch, "ADDED", object_text("7", "u1", ID, ""));
	stop_box();
	answer(expect(KUBE_PATCH, "=" SANDBOXES "/team--box"), 200, stopping_text("8", ""));
	answer(expect(KUBE_GET, "/pods/team--box"), 200, "{}");
	r = expect(KUBE_GET, "=" SANDBOXES "/team--box");
	watched(watch, "ERROR", "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}");
	answer(expect(KUBE_GET, "/sandboxes?"), 200,
	       "{\"metadata\":{\"resourceVersion\":\"20\"},\"items\":[]}");
	OK(registry_get(registry, ID) == NULL);
	answer(r, 200, stopping_text("12", "")); /* read before, told after */
	OK(registry_get(registry, ID) == NULL);
	EQ(k->boxes.n, 0);
	close_all();
}

TEST(watch_that_tells_a_life_afterwards_brings_nothing_back)
{
	struct kube_request *watch = settled("--sandbox-uid=1000");

	create();
	answer(expect(KUBE_POST, "=" SANDBOXES), 201, object_text("7", "u1", ID, ""));
	watched(watch, "ERROR", "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}");
	answer(expect(KUBE_GET, "/sandboxes?"), 200, /* of before it was made */
	       "{\"metadata\":{\"resourceVersion\":\"6\"},\"items\":[]}");
	answer(expect(KUBE_GET, "=" SANDBOXES "/team--box"), 404, NOT_FOUND("sandboxes"));
	OK(registry_get(registry, ID) == NULL);
	watch = expect(KUBE_GET, "resourceVersion=6");
	watch->stream.opened(watch->stream.owner);
	watched(watch, "ADDED", object_text("7", "u1", ID, ""));
	watched(watch, "MODIFIED", object_text("8", "u1", ID, ""));
	OK(registry_get(registry, ID) == NULL);
	EQ(k->vanished.n, 1);
	watched(watch, "DELETED", object_text("9", "u1", ID, ""));
	EQ(k->vanished.n, 0);
	watched(watch, "ADDED", object_text("10", "u2", ID, "")); /* the next of that name */
	OK(registry_get(registry, ID) != NULL);
	close_all();
}

TEST(deletion_counts_even_when_versions_run_backwards)
{
	struct kube_request *watch = settled("--sandbox-uid=1000");

	watched(watch, "ADDED", object_text("1007", "u1", ID, ""));
	watched(watch, "DELETED", object_text("9", "u1", ID, ""));
	EQ(registry_count(registry), 0);
	EQ(k->boxes.n, 0);
	close_all();
}
