#include "driver/kubernetes/status.h"
#include "k8s.h"

#define NOW 1800000000000 /* ms */

static const struct kubernetes_options *opts(void)
{
	static const struct kubernetes_options *o;

	if (o == NULL)
		o = options("");
	return o;
}

/* A Sandbox of generation 2 with the given spec members and conditions. */
static cJSON *object(const char *spec, const char *conditions)
{
	return json_of(arena_printf(
		&test_arena,
		"{\"metadata\":{\"name\":\"team--box\",\"namespace\":\"ns\",\"generation\":2,"
		"\"annotations\":{\"openshell.ai/sandbox-id\":\"i\",\"openshell.ai/"
		"sandbox-name\":\"box\",\"openshell.ai/sandbox-workspace\":\"team\"}},"
		"\"spec\":{%s},\"status\":{\"conditions\":[%s]}}",
		spec, conditions));
}

#define RUNNING "\"operatingMode\":\"Running\""
#define SUSPENDED "\"operatingMode\":\"Suspended\""
/* one condition, of that generation */
#define COND(type, status, reason, message, generation)                                            \
	"{\"type\":\"" type "\",\"status\":\"" status "\",\"reason\":\"" reason                    \
	"\",\"message\":\"" message "\",\"observedGeneration\":" generation                        \
	",\"lastTransitionTime\":\"2026-11-25T08:00:00Z\"}"

static Openshell__Compute__V1__DriverSandbox *view_at(const cJSON *o, const cJSON *pod,
						      enum pod_presence presence,
						      const struct k8s_trouble *t, int64_t now)
{
	struct k8s_view v = {
		.object = o, .pod = pod, .presence = presence, .trouble = t, .now_ms = now};

	return k8s_sandbox_of(opts(), &v, &test_arena);
}

static Openshell__Compute__V1__DriverSandbox *view(const cJSON *o, enum pod_presence presence)
{
	return view_at(o, NULL, presence, NULL, NOW);
}

static const Openshell__Compute__V1__DriverCondition *condition(
	const Openshell__Compute__V1__DriverSandbox *s, const char *type)
{
	for (size_t i = 0; i < s->status->n_conditions; i++) {
		if (streq(s->status->conditions[i]->type, type))
			return s->status->conditions[i];
	}
	return NULL;
}

/* "False/PodFailed", or "" when there is no such condition. */
static const char *says(const Openshell__Compute__V1__DriverSandbox *s, const char *type)
{
	const Openshell__Compute__V1__DriverCondition *c = condition(s, type);

	return c ? arena_printf(&test_arena, "%s/%s", c->status, c->reason) : "";
}

/* seed 000: TestObjToDriverSandbox_BasicFields, _WithStatus */
TEST(sandbox_of_an_object)
{
	const Openshell__Compute__V1__DriverSandbox *s = view(
		object(RUNNING, COND("Ready", "True", "DependenciesReady", "Pod is Ready", "2")),
		POD_UNKNOWN);
	const Openshell__Compute__V1__DriverCondition *c = condition(s, "Ready");

	STREQ(s->id, "i");
	STREQ(s->name, "box");
	STREQ(s->workspace, "team");
	STREQ(s->namespace_, "ns");
	EQ(s->spec == NULL, true);
	EQ(s->status->deleting, false);
	STREQ(s->status->sandbox_name, "team--box");
	EQ(s->status->n_conditions, 1);
	STREQ(c->status, "True");
	STREQ(c->message, "Pod is Ready");
	STREQ(c->last_transition_time, "2026-11-25T08:00:00Z");
	EQ(c->transition_time->seconds, 1795593600);
}

TEST(an_empty_object_gives_empty_fields)
{
	const Openshell__Compute__V1__DriverSandbox *s = view(JSON({}), POD_UNKNOWN);

	STREQ(s->id, "");
	STREQ(s->name, "");
	EQ(s->status->n_conditions, 0);
	s = view(JSON({"metadata" : 3, "spec" : [], "status" : {"conditions" : {"a" : 1}}}),
		 POD_UNKNOWN);
	EQ(s->status->n_conditions, 0);
}

/* 5.5 item 8; 3.16, defect 12; seed 000: TestObjToDriverSandbox_DeletionTimestamp */
TEST(defect_12_deleting_without_a_status)
{
	const Openshell__Compute__V1__DriverSandbox *s = view(
		JSON({"metadata" : {"name" : "x", "deletionTimestamp" : "2026-11-25T08:00:00Z"}}),
		POD_UNKNOWN);

	EQ(s->status != NULL, true);
	EQ(s->status->deleting, true);
}

/* 5.5 item 8; 3.16, defect 11 */
TEST(defect_11_instance_id_is_filled)
{
	STREQ(view(object(RUNNING, ""), POD_UNKNOWN)->status->instance_id, "team--box");
	STREQ(view(JSON({
			   "metadata" : {
				   "name" : "x",
				   "annotations" : {"agents.x-k8s.io/pod-name" : "x-7"}
			   }
		   }),
		   POD_UNKNOWN)
		      ->status->instance_id,
	      "x-7");
}

/* 5.5 item 2 */
TEST(adapt_02_intent_by_version)
{
	EQ(k8s_wants_run(JSON({"spec" : {"operatingMode" : "Suspended"}})), false);
	EQ(k8s_wants_run(JSON({"spec" : {"operatingMode" : "Running"}})), true);
	EQ(k8s_wants_run(JSON({"spec" : {"replicas" : 0}})), false);
	EQ(k8s_wants_run(JSON({"spec" : {"replicas" : 1}})), true);
	EQ(k8s_wants_run(JSON({"spec" : {}})), true);
}

/* 5.5 item 3: up to 0.4.6 nothing says Suspended and Ready stays True */
TEST(adapt_03_suspended_is_made_where_no_one_writes_it)
{
	const char *ready = "{\"type\":\"Ready\",\"status\":\"True\",\"reason\":"
			    "\"DependenciesReady\",\"message\":\"Pod is Ready\"}";
	const char *gone =
		"{\"type\":\"Ready\",\"status\":\"True\",\"reason\":"
		"\"DependenciesReady\",\"message\":\"Pod does not exist, replicas is 0\"}";
	const cJSON *o = object("\"replicas\":0", ready);
	const Openshell__Compute__V1__DriverSandbox *s = view(o, POD_UNKNOWN);

	STREQ(says(s, "Suspended"), "False/PodTerminating");
	STREQ(says(s, "Ready"), "False/DependenciesNotReady");
	s = view(o, POD_PRESENT);
	STREQ(says(s, "Suspended"), "False/PodTerminating");
	s = view(o, POD_ABSENT);
	STREQ(says(s, "Suspended"), "True/PodTerminated");
	STREQ(says(s, "Ready"), "False/SandboxSuspended");
	s = view(object("\"replicas\":0", gone), POD_UNKNOWN);
	STREQ(says(s, "Suspended"), "True/PodTerminated");
}

/* 5.5 item 4: 0.5.0-0.5.3 do not take Suspended=True back; 3.16, defect 6 */
TEST(adapt_04_suspended_of_a_running_object_is_stale)
{
	const Openshell__Compute__V1__DriverSandbox *s =
		view(object(RUNNING, COND("Suspended", "True", "PodTerminated", "", "2") "," COND(
					     "Ready", "True", "DependenciesReady", "", "2")),
		     POD_UNKNOWN);

	STREQ(says(s, "Suspended"), "");
	STREQ(says(s, "Ready"), "True/DependenciesReady");
	/* 0.5.4 and later keep it, at False: no harm */
	s = view(object(RUNNING, COND("Suspended", "False", "NotSuspended", "", "2")), POD_UNKNOWN);
	STREQ(says(s, "Suspended"), "False/NotSuspended");
}

/* 3.16, defect 6: an old True must not end a new stop early */
TEST(defect_06_stale_suspended_does_not_finish_a_stop)
{
	const char *message;
	const cJSON *o = object(SUSPENDED, COND("Suspended", "True", "PodTerminated", "", "1"));
	const Openshell__Compute__V1__DriverSandbox *s = view(o, POD_PRESENT);

	EQ(k8s_stop_state(o, POD_PRESENT, &message), STOP_PENDING);
	EQ(k8s_stop_state(o, POD_UNKNOWN, &message), STOP_PENDING);
	STREQ(says(s, "Suspended"), "False/PodTerminating");
}

/* 5.5 item 5: Ready=False/SandboxSuspended alone would be Error */
TEST(adapt_05_sandbox_suspended_never_comes_alone)
{
	const char *ready = COND("Ready", "False", "SandboxSuspended", "", "2");
	const Openshell__Compute__V1__DriverSandbox *s =
		view(object(SUSPENDED, ready), POD_PRESENT);

	STREQ(says(s, "Suspended"), "False/PodTerminating");
	s = view(object(SUSPENDED, ready), POD_ABSENT);
	STREQ(says(s, "Suspended"), "True/PodTerminated");
	STREQ(says(s, "Ready"), "False/SandboxSuspended");
	/* the controller's own word stands */
	s = view(object(SUSPENDED, COND("Ready", "False", "SandboxSuspended", "", "2") "," COND(
					   "Suspended", "False", "PodTerminating", "its own", "2")),
		 POD_UNKNOWN);
	STREQ(condition(s, "Suspended")->message, "its own");
	/* and to a gateway that did not ask for the stop it would be Error even then (1.11) */
	STREQ(says(s, "Ready"), "False/DependenciesNotReady");
}

/* 5.5 item 6: a resumed sandbox must not become Error for what was said while it was stopped */
TEST(adapt_06_conditions_older_than_the_spec_are_withheld)
{
	const Openshell__Compute__V1__DriverSandbox *s =
		view(object(RUNNING, COND("Ready", "False", "SandboxSuspended", "", "1") "," COND(
					     "Suspended", "True", "PodTerminated", "", "1")),
		     POD_UNKNOWN);

	STREQ(says(s, "Ready"), "False/DependenciesNotReady");
	STREQ(says(s, "Suspended"), "");
	s = view(object(RUNNING, COND("Ready", "False", "PodFailed", "", "1")), POD_UNKNOWN);
	STREQ(says(s, "Ready"), "False/DependenciesNotReady");
	s = view(object(RUNNING, COND("Ready", "False", "PodFailed", "", "2")), POD_UNKNOWN);
	STREQ(says(s, "Ready"), "False/PodFailed");
	/* an intermediate state: the spec is observed, but this condition is left over */
	s = view(object(RUNNING, COND("Ready", "False", "SandboxSuspended", "", "2")), POD_UNKNOWN);
	STREQ(says(s, "Ready"), "False/DependenciesNotReady");
}

/* 5.5 item 7: terminal reasons go through */
TEST(adapt_07_terminal_reasons_are_told)
{
	static const char *const reasons[] = {"PodSucceeded", "PodFailed", "SandboxExpired",
					      "MultiplePods"};

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		const char *c = arena_printf(&test_arena,
					     "{\"type\":\"Ready\",\"status\":\"False\",\"reason\":"
					     "\"%s\",\"observedGeneration\":2}",
					     reasons[i]);
		STREQ(condition(view(object(RUNNING, c), POD_UNKNOWN), "Ready")->reason,
		      reasons[i]);
	}
}

/* 5.3: 0.4.3-0.4.6 say Finished, and nothing of it in Ready */
TEST(finished_ends_a_sandbox_of_old_controllers)
{
	const char *finished =
		"{\"type\":\"Finished\",\"status\":\"True\",\"reason\":\"PodFailed\"}";
	const char *both = arena_printf(&test_arena,
					"{\"type\":\"Ready\",\"status\":\"False\",\"reason\":"
					"\"DependenciesNotReady\"},%s",
					finished);

	STREQ(says(view(object("\"replicas\":1", finished), POD_UNKNOWN), "Ready"),
	      "False/PodFailed");
	STREQ(says(view(object("\"replicas\":1", both), POD_UNKNOWN), "Ready"), "False/PodFailed");
}

/* upstream: stopped_status_requires_published_condition */
TEST(stop_needs_more_than_replicas_in_the_status)
{
	const char *message;
	const cJSON *o = JSON({
		"metadata" : {"name" : "x", "generation" : 2},
		"spec" : {"replicas" : 0},
		"status" : {"replicas" : 0}
	});

	EQ(k8s_stop_state(o, POD_UNKNOWN, &message), STOP_PENDING);
	EQ(k8s_stop_state(o, POD_PRESENT, &message), STOP_PENDING);
	EQ(k8s_stop_state(o, POD_ABSENT, &message), STOP_DONE);
	o = object(SUSPENDED, COND("Suspended", "True", "PodTerminated", "", "2"));
	EQ(k8s_stop_state(o, POD_UNKNOWN, &message), STOP_DONE);
	EQ(k8s_stop_state(o, POD_ABSENT, &message), STOP_DONE);
	EQ(k8s_stop_state(o, POD_PRESENT, &message), STOP_PENDING);
	/* not even an absent pod, while the controller may be making one */
	o = object(SUSPENDED, COND("Ready", "True", "DependenciesReady", "", "1"));
	EQ(k8s_stop_state(o, POD_ABSENT, &message), STOP_PENDING);
	/* nor for an object that is to run again */
	o = object(RUNNING, COND("Suspended", "True", "PodTerminated", "", "2"));
	EQ(k8s_stop_state(o, POD_ABSENT, &message), STOP_PENDING);
}

/* upstream: stop_failure_only_rejects_terminal_suspension_condition */
TEST(stop_is_rejected_by_a_pod_that_is_anothers)
{
	const char *message;

	EQ(k8s_stop_state(object(SUSPENDED, COND("Suspended", "False", "PodNotOwned",
						 "pod belongs to x", "2")),
			  POD_PRESENT, &message),
	   STOP_REJECTED);
	STREQ(message, "pod belongs to x");
	EQ(k8s_stop_state(
		   object(SUSPENDED, COND("Suspended", "Unknown", "PodStateUnknown", "", "2")),
		   POD_PRESENT, &message),
	   STOP_PENDING);
	EQ(k8s_stop_state(object(SUSPENDED, COND("Suspended", "False", "PodTerminating", "", "2")),
			  POD_ABSENT, &message),
	   STOP_PENDING);
	EQ(k8s_stop_state(object(SUSPENDED, COND("Suspended", "False", "PodNotOwned", "", "1")),
			  POD_PRESENT, &message),
	   STOP_PENDING);
}

/* upstream: stop_timeout_includes_pod_grace_period_and_reconcile_headroom, stop_poll_interval_* */
TEST(stop_times)
{
	EQ(k8s_stop_timeout_ms(JSON({"spec" : {}})), 60000);
	EQ(k8s_stop_timeout_ms(JSON(
		   {"spec" : {"podTemplate" : {"spec" : {"terminationGracePeriodSeconds" : 45}}}})),
	   75000);
	EQ(k8s_stop_poll_ms(0), 250);
	EQ(k8s_stop_poll_ms(1), 500);
	EQ(k8s_stop_poll_ms(2), 1000);
	EQ(k8s_stop_poll_ms(3), 2000);
	EQ(k8s_stop_poll_ms(400), 2000);
}

/* --- trouble --- */

#define FORBIDDEN                                                                                  \
	"Error seen: pods \\\"x\\\" is forbidden: exceeded quota: q, requested: limits.cpu=2"

/* 3.17: a refused pod is told at once, and ends the sandbox once its grace is over */
TEST(refused_pod_becomes_terminal_after_its_grace)
{
	const cJSON *o = object(RUNNING, COND("Ready", "False", "ReconcilerError", FORBIDDEN, "2"));
	struct k8s_trouble seen, known = {0};
	struct k8s_view v = {.object = o, .trouble = &known, .now_ms = NOW};
	const Openshell__Compute__V1__DriverPlatformEvent *ev;
	const Openshell__Compute__V1__DriverSandbox *s;

	EQ(k8s_trouble_of_object(o, NOW, &seen), true);
	EQ(seen.kind, TROUBLE_REFUSED);
	EQ(k8s_trouble_see(&known, &seen), true);
	EQ(k8s_next_change_ms(opts(), &v), NOW + 60000);

	s = view_at(o, NULL, POD_ABSENT, &known, NOW + 59999);
	STREQ(says(s, "Ready"), "False/ReconcilerError");
	s = view_at(o, NULL, POD_ABSENT, &known, NOW + 60000);
	STREQ(says(s, "Ready"), "False/PodRefused");
	STREQ(condition(s, "Ready")->message,
	      "pods \"x\" is forbidden: exceeded quota: q, requested: limits.cpu=2");
	v.now_ms = NOW + 60000;
	EQ(k8s_next_change_ms(opts(), &v), INT64_MAX);

	/* seen again: no news, and the clock goes on */
	seen.since_ms = NOW + 5000;
	EQ(k8s_trouble_see(&known, &seen), false);
	EQ(known.since_ms, NOW);

	ev = k8s_trouble_event(&known, o, &test_arena);
	STREQ(ev->reason, "PodRefused");
	STREQ(ev->type, "Warning");
	HAS(ev->message, "is forbidden");
	EQ(ev->timestamp_ms, NOW);

	/* let in after all */
	o = object(RUNNING, COND("Ready", "False", "DependenciesNotReady", "", "2"));
	s = view_at(o, NULL, POD_UNKNOWN, &known, NOW + 60000);
	STREQ(says(s, "Ready"), "False/DependenciesNotReady");
}

TEST(refusals_of_every_kind)
{
	static const char *const words[] = {
		"pods \\\"x\\\" is forbidden: unable to validate against any security context "
		"constraint",
		"pods \\\"x\\\" is forbidden: error looking up service account ns/sandbox: "
		"serviceaccount \\\"sandbox\\\" not found",
		"pods \\\"x\\\" is forbidden: violates PodSecurity \\\"restricted:latest\\\"",
		"admission webhook \\\"w\\\" denied the request: no",
		"Pod \\\"x\\\" is invalid: spec.volumes[0].image: required",
	};
	static const char *const others[] = {"Error seen: context deadline exceeded",
					     "Error seen: etcdserver: leader changed"};
	struct k8s_trouble t;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		const char *c = arena_printf(&test_arena,
					     "{\"type\":\"Ready\",\"status\":\"False\",\"reason\":"
					     "\"ReconcilerError\",\"message\":\"%s\"}",
					     words[i]);
		if (!k8s_trouble_of_object(object(RUNNING, c), NOW, &t) ||
		    t.kind != TROUBLE_REFUSED)
			FAIL("not taken for a refusal: %s", words[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		const char *c = arena_printf(&test_arena,
					     "{\"type\":\"Ready\",\"status\":\"False\",\"reason\":"
					     "\"ReconcilerError\",\"message\":\"%s\"}",
					     others[i]);
		EQ(k8s_trouble_of_object(object(RUNNING, c), NOW, &t), false);
	}
	/* the same words of before the last change, or of a sandbox that is to stop */
	EQ(k8s_trouble_of_object(
		   object(RUNNING, COND("Ready", "False", "ReconcilerError", FORBIDDEN, "1")), NOW,
		   &t),
	   false);
	EQ(k8s_trouble_of_object(
		   object(SUSPENDED, COND("Ready", "False", "ReconcilerError", FORBIDDEN, "2")),
		   NOW, &t),
	   false);
}

static cJSON *pod_waiting(const char *list, const char *reason, const char *message)
{
	return json_of(
		arena_printf(&test_arena,
			     "{\"status\":{\"phase\":\"Pending\",\"%s\":[{\"name\":\"agent\","
			     "\"state\":{\"waiting\":{\"reason\":\"%s\",\"message\":\"%s\"}}}]}}",
			     list, reason, message));
}

/* An image that cannot be had: its own words while young, its own reason after the grace period. */
TEST(image_trouble_is_told_and_ends)
{
	const cJSON *o =
		object(RUNNING, COND("Ready", "False", "DependenciesNotReady", "not ready", "2"));
	const cJSON *pod = pod_waiting("containerStatuses", "ErrImageNeverPull",
				       "Container image \\\"x:1\\\" is not present");
	struct k8s_trouble seen, known = {0};
	const Openshell__Compute__V1__DriverSandbox *s;

	EQ(k8s_trouble_of_pod(pod, NOW, &seen), true);
	EQ(seen.kind, TROUBLE_IMAGE);
	EQ(k8s_trouble_see(&known, &seen), true);
	s = view_at(o, NULL, POD_PRESENT, &known, NOW + 1000);
	STREQ(says(s, "Ready"), "False/DependenciesNotReady");
	STREQ(condition(s, "Ready")->message,
	      "ErrImageNeverPull: Container image \"x:1\" is not present");
	s = view_at(o, NULL, POD_PRESENT, &known, NOW + 60000);
	STREQ(says(s, "Ready"), "False/ImagePullFailed");
	/* without what was known: the pod itself tells, and is young */
	s = view_at(o, pod, POD_PRESENT, NULL, NOW + 60000);
	STREQ(says(s, "Ready"), "False/DependenciesNotReady");
	HAS(condition(s, "Ready")->message, "ErrImageNeverPull");
	/* before the controller wrote any condition */
	s = view_at(object(RUNNING, ""), pod, POD_PRESENT, NULL, NOW);
	STREQ(says(s, "Ready"), "False/DependenciesNotReady");
	/* a sandbox that is ready, stopped or goes has no trouble */
	o = object(RUNNING, COND("Ready", "True", "DependenciesReady", "", "2"));
	STREQ(says(view_at(o, NULL, POD_PRESENT, &known, NOW + 60000), "Ready"),
	      "True/DependenciesReady");
	o = JSON({
		"metadata" : {"name" : "x", "deletionTimestamp" : "2026-11-25T08:00:00Z"},
		"status" : {
			"conditions" : [ {
				"type" : "Ready",
				"status" : "False",
				"reason" : "DependenciesNotReady"
			} ]
		}
	});
	STREQ(says(view_at(o, NULL, POD_PRESENT, &known, NOW + 60000), "Ready"),
	      "False/DependenciesNotReady");
	o = object(SUSPENDED, COND("Ready", "False", "DependenciesNotReady", "", "2"));
	STREQ(says(view_at(o, NULL, POD_PRESENT, &known, NOW + 60000), "Ready"),
	      "False/DependenciesNotReady");
}

TEST(grace_periods_are_options)
{
	const struct kubernetes_options *o =
		options("--refusal-grace-secs 5 --pending-grace-secs 0");

	EQ(k8s_trouble_grace_ms(o, TROUBLE_REFUSED), 5000);
	EQ(k8s_trouble_grace_ms(o, TROUBLE_IMAGE), 5000);
	EQ(k8s_trouble_grace_ms(o, TROUBLE_UNSCHEDULABLE), INT64_MAX);
	EQ(k8s_trouble_grace_ms(o, TROUBLE_NONE), INT64_MAX);
	EQ(k8s_trouble_grace_ms(opts(), TROUBLE_PENDING_CLAIM), 600000);
}

TEST(pods_tell_their_trouble)
{
	static const struct {
		const char *list, *reason;
		enum k8s_trouble_kind kind;
	} rows[] = {
		{"initContainerStatuses", "ErrImagePull", TROUBLE_IMAGE},
		{"containerStatuses", "ImagePullBackOff", TROUBLE_IMAGE},
		{"containerStatuses", "InvalidImageName", TROUBLE_IMAGE},
		{"containerStatuses", "CreateContainerConfigError", TROUBLE_CONTAINER},
		{"containerStatuses", "ContainerCreating", TROUBLE_NONE},
		{"containerStatuses", "PodInitializing", TROUBLE_NONE},
	};
	struct k8s_trouble t;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool is =
			k8s_trouble_of_pod(pod_waiting(rows[i].list, rows[i].reason, "m"), NOW, &t);
		EQ(is, rows[i].kind != TROUBLE_NONE);
		EQ(t.kind, rows[i].kind);
	}
	EQ(k8s_trouble_of_pod(pod_waiting("containerStatuses", "ImagePullBackOff", "Back-off"), NOW,
			      &t),
	   true);
	EQ(t.vague, true);
	EQ(k8s_trouble_of_pod(pod_waiting("containerStatuses", "ImagePullBackOff",
					  "Back-off: ErrImagePull: 401"),
			      NOW, &t),
	   true);
	EQ(t.vague, false);
	EQ(k8s_trouble_of_pod(
		   JSON({
			   "status" : {
				   "conditions" : [
					   {"type" : "PodScheduled", "status" : "True"}, {
						   "type" : "Ready",
						   "status" : "False",
						   "reason" : "Unschedulable"
					   },
					   {
						   "type" : "PodScheduled",
						   "status" : "False",
						   "reason" : "SchedulingGated"
					   },
					   {
						   "type" : "PodScheduled",
						   "status" : "True",
						   "reason" : "Unschedulable"
					   }
				   ]
			   }
		   }),
		   NOW, &t),
	   false);
	EQ(k8s_trouble_of_pod(NULL, NOW, &t), false);
	EQ(k8s_trouble_of_pod(
		   JSON({
			   "status" : {
				   "conditions" : [ {
					   "type" : "PodScheduled",
					   "status" : "False",
					   "reason" : "Unschedulable",
					   "message" : "0/3 nodes: Insufficient nvidia.com/gpu"
				   } ]
			   }
		   }),
		   NOW, &t),
	   true);
	EQ(t.kind, TROUBLE_UNSCHEDULABLE);
	STREQ(k8s_trouble_reason(t.kind), "Unschedulable");
}

static cJSON *event(const char *kind, const char *name, const char *reason, const char *message)
{
	cJSON *e = keep(json_object()), *about = json_put_object(e, "involvedObject");

	json_put_str(about, "kind", kind);
	json_put_str(about, "name", name);
	json_put_str(about, "namespace", "ns");
	json_put_str(e, "reason", reason);
	json_put_str(e, "message", message);
	return e;
}

TEST(events_tell_trouble)
{
	static const struct {
		const char *kind, *reason, *message;
		enum k8s_trouble_kind trouble;
		bool vague;
	} rows[] = {
		{"Pod", "FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu.",
		 TROUBLE_UNSCHEDULABLE, false},
		{"Pod", "FailedScheduling", "pod has unbound immediate PersistentVolumeClaims",
		 TROUBLE_PENDING_CLAIM, true},
		{"Pod", "FailedScheduling", "persistentvolumeclaim \"c\" not found",
		 TROUBLE_PENDING_CLAIM, false},
		{"PersistentVolumeClaim", "FailedBinding", "no persistent volumes available",
		 TROUBLE_PENDING_CLAIM, false},
		{"PersistentVolumeClaim", "ProvisioningFailed", "no such class",
		 TROUBLE_PENDING_CLAIM, false},
		{"PersistentVolumeClaim", "WaitForFirstConsumer", "", TROUBLE_NONE, false},
		{"Pod", "Failed", "Failed to pull image \"x\": 401", TROUBLE_IMAGE, false},
		{"Pod", "Failed", "Error: ErrImagePull", TROUBLE_IMAGE, true},
		{"Pod", "Failed", "Error: secret \"s\" not found", TROUBLE_CONTAINER, false},
		{"Pod", "ErrImageNeverPull", "image \"x\" is not present", TROUBLE_IMAGE, false},
		{"Pod", "FailedMount", "secret \"tls\" not found", TROUBLE_CONTAINER, false},
		{"Pod", "FailedCreatePodSandBox", "no IP", TROUBLE_CONTAINER, false},
		{"Pod", "Killing", "Stopping container", TROUBLE_NONE, false},
		{"Node", "FailedScheduling", "x", TROUBLE_NONE, false},
	};
	struct k8s_trouble t;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const cJSON *e = event(rows[i].kind, "n", rows[i].reason, rows[i].message);
		EQ(k8s_trouble_of_event(e, NOW, &t), rows[i].trouble != TROUBLE_NONE);
		EQ(t.kind, rows[i].trouble);
		EQ(t.vague, rows[i].vague);
	}
}

TEST(vague_words_do_not_replace_better_ones)
{
	struct k8s_trouble known = {0}, seen;

	k8s_trouble_of_event(event("Pod", "p", "FailedScheduling",
				   "pod has unbound immediate PersistentVolumeClaims"),
			     NOW, &seen);
	EQ(k8s_trouble_see(&known, &seen), true);
	k8s_trouble_of_event(event("PersistentVolumeClaim", "workspace-p", "FailedBinding",
				   "no storage class is set"),
			     NOW + 1, &seen);
	EQ(k8s_trouble_see(&known, &seen), false);
	STREQ(known.text, "no storage class is set");
	EQ(known.since_ms, NOW);
	k8s_trouble_of_event(event("Pod", "p", "FailedScheduling",
				   "pod has unbound immediate PersistentVolumeClaims"),
			     NOW + 2, &seen);
	k8s_trouble_see(&known, &seen);
	STREQ(known.text, "no storage class is set");
	/* a later stage's trouble replaces it, an earlier one's does not */
	k8s_trouble_of_event(event("Pod", "p", "Failed", "Failed to pull image \"x\""), NOW + 3,
			     &seen);
	EQ(k8s_trouble_see(&known, &seen), true);
	EQ(known.kind, TROUBLE_IMAGE);
	k8s_trouble_of_event(event("Pod", "p", "FailedScheduling", "x"), NOW + 4, &seen);
	EQ(k8s_trouble_see(&known, &seen), false);
	EQ(known.kind, TROUBLE_IMAGE);
}

TEST(good_news_end_trouble)
{
	static const struct {
		enum k8s_trouble_kind kind;
		const char *reason;
		bool ends;
	} rows[] = {
		{TROUBLE_PENDING_CLAIM, "ProvisioningSucceeded", true},
		{TROUBLE_UNSCHEDULABLE, "ProvisioningSucceeded", false},
		{TROUBLE_UNSCHEDULABLE, "Scheduled", true},
		{TROUBLE_PENDING_CLAIM, "Scheduled", true},
		{TROUBLE_IMAGE, "Scheduled", false},
		{TROUBLE_IMAGE, "Pulled", true},
		{TROUBLE_CONTAINER, "Pulled", false},
		{TROUBLE_CONTAINER, "Started", true},
		{TROUBLE_REFUSED, "Started", false},
		{TROUBLE_NONE, "Started", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct k8s_trouble t = {.kind = rows[i].kind};
		EQ(k8s_trouble_heal(&t, event("Pod", "p", rows[i].reason, "")), rows[i].ends);
		EQ(t.kind, rows[i].ends ? TROUBLE_NONE : rows[i].kind);
	}
}

TEST(words_are_one_line_and_cut_between_characters)
{
	struct k8s_trouble t;
	char *text = arena_zalloc(&test_arena, 3000);

	strcpy(text, "a\nb\t");
	while (strlen(text) < 2900)
		strcat(text, "ä");
	EQ(k8s_trouble_of_event(event("Pod", "p", "FailedMount", text), NOW, &t), true);
	EQ(strncmp(t.text, "a b ", 4), 0);
	EQ(strlen(t.text) <= TROUBLE_TEXT_MAX - 1, true);
	EQ(str_is_utf8(str_of(t.text)), true);
}

/* What the CLI shows of a supervisor whose service account the gateway does not accept. */
TEST(failed_pod_says_what_it_said_last)
{
	const cJSON *o = object(RUNNING, COND("Ready", "False", "PodFailed", "Pod failed", "2"));
	const cJSON *pod = JSON({
		"status" : {
			"phase" : "Failed",
			"containerStatuses" : [ {
				"name" : "agent",
				"state" : {
					"terminated" : {
						"exitCode" : 1,
						"reason" : "Error",
						"message" : "try 5\nwrong service account\n"
					}
				}
			} ]
		}
	});

	STREQ(condition(view_at(o, pod, POD_PRESENT, NULL, NOW), "Ready")->message,
	      "Pod failed: container agent exited with 1: try 5 wrong service account");
	STREQ(condition(view_at(o, NULL, POD_PRESENT, NULL, NOW), "Ready")->message, "Pod failed");
	/* of several containers, the one that ended badly */
	pod = JSON({
		"status" : {
			"phase" : "Failed",
			"initContainerStatuses" :
				[ {"name" : "first", "state" : {"terminated" : {"exitCode" : 0}}} ],
			"containerStatuses" : [
				{"name" : "good", "state" : {"terminated" : {"exitCode" : 0}}}, {
					"name" : "bad",
					"state" : {
						"terminated" :
							{"exitCode" : 137, "reason" : "OOMKilled"}
					}
				}
			]
		}
	});
	STREQ(condition(view_at(o, pod, POD_PRESENT, NULL, NOW), "Ready")->message,
	      "Pod failed: container bad exited with 137 (OOMKilled)");
	EQ(k8s_object_ended(o), true);
	EQ(k8s_object_ended(object(RUNNING, COND("Finished", "True", "PodFailed", "", "2"))), true);
	EQ(k8s_object_ended(object(RUNNING, COND("Finished", "True", "PodFailed", "", "1"))),
	   false);
	EQ(k8s_object_ended(object(RUNNING, COND("Finished", "False", "", "", "2"))), false);
	EQ(k8s_object_ended(object(RUNNING, COND("Ready", "False", "PodFailed", "", "1"))), false);
	EQ(k8s_object_ended(object(SUSPENDED, COND("Ready", "False", "PodFailed", "", "2"))),
	   false);
	pod = JSON({
		"status" : {"phase" : "Failed", "reason" : "Evicted", "message" : "low on memory"}
	});
	STREQ(condition(view_at(o, pod, POD_PRESENT, NULL, NOW), "Ready")->message,
	      "Pod failed: Evicted: low on memory");
}

/* The end is final for a gateway, so it waits until its reason is known. */
TEST(end_waits_for_its_reason)
{
	const cJSON *o = object(RUNNING, COND("Ready", "False", "PodFailed", "Pod failed", "2"));
	struct k8s_view v = {.object = o, .end_pending = true, .now_ms = NOW};
	const Openshell__Compute__V1__DriverSandbox *s = k8s_sandbox_of(opts(), &v, &test_arena);

	STREQ(says(s, "Ready"), "False/DependenciesNotReady");
	v.end = "Pod failed: container agent exited with 3";
	s = k8s_sandbox_of(opts(), &v, &test_arena);
	STREQ(says(s, "Ready"), "False/PodFailed");
	STREQ(condition(s, "Ready")->message, "Pod failed: container agent exited with 3");
	v.end = NULL;
	v.end_pending = false;
	s = k8s_sandbox_of(opts(), &v, &test_arena);
	STREQ(condition(s, "Ready")->message, "Pod failed");
}
