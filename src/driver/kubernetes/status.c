#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/status_impl.h"

enum {
	GRACE_DEFAULT_SECS = 30, /* Kubernetes' terminationGracePeriodSeconds */
	GRACE_MAX_SECS = 86400,
	RECONCILE_SECS = 30, /* for the controller to act (3.11) */
	POLL_FIRST_MS = 250,
	POLL_MAX_MS = 2000,
};

bool k8s_wants_run(const cJSON *object)
{
	const cJSON *spec = json_get(object, "spec");
	const char *mode = json_str(spec, "operatingMode");

	if (mode != NULL)
		return !streq(mode, "Suspended");
	return json_int(spec, "replicas", 1) != 0;
}

static bool is_deleting(const cJSON *object)
{
	return !str_empty(json_str(json_get(object, "metadata"), "deletionTimestamp"));
}

/* Without a Suspended (agent-sandbox up to 0.4.6, and 0.5.0-0.5.3 until they wrote it): the pod is
 * gone when the server says so, or the controller in its Ready. */
static bool is_gone(const cJSON *object, enum pod_presence presence)
{
	struct condition ready;
	bool known = condition_find(object, "Ready", &ready);

	if (known && !ready.fresh) /* it may be making a pod right now */
		return false;
	return presence == POD_ABSENT || (presence == POD_UNKNOWN && known &&
					  str_starts(str_of(ready.message), "Pod does not exist"));
}

enum stop_state k8s_stop_state(const cJSON *object, enum pod_presence presence,
			       const char **message)
{
	struct condition c;

	*message = NULL;
	if (k8s_wants_run(object))
		return STOP_PENDING;
	if (!condition_find(object, "Suspended", &c) || !c.fresh)
		return is_gone(object, presence) ? STOP_DONE : STOP_PENDING;
	if (condition_is(&c, "True"))
		return presence == POD_PRESENT ? STOP_PENDING : STOP_DONE;
	if (condition_is(&c, "False") && streq(c.reason, "PodNotOwned")) {
		*message = c.message;
		return STOP_REJECTED;
	}
	return STOP_PENDING;
}

int64_t k8s_stop_timeout_ms(const cJSON *object)
{
	int64_t grace = json_int(json_at(object, "spec", "podTemplate", "spec", NULL),
				 "terminationGracePeriodSeconds", GRACE_DEFAULT_SECS);

	if (grace < 0 || grace > GRACE_MAX_SECS)
		grace = GRACE_MAX_SECS;
	return (grace + RECONCILE_SECS) * 1000;
}

int64_t k8s_stop_poll_ms(unsigned n)
{
	return n >= 3 ? POLL_MAX_MS : (int64_t)POLL_FIRST_MS << n;
}

void trouble_of_view(const struct k8s_view *v, struct k8s_trouble *out)
{
	struct condition ready;
	struct k8s_trouble seen;

	*out = (struct k8s_trouble){0};
	if (!k8s_wants_run(v->object) || is_deleting(v->object) ||
	    (condition_find(v->object, "Ready", &ready) && ready.fresh &&
	     !condition_is_transient(&ready)))
		return;
	if (v->trouble != NULL)
		*out = *v->trouble;
	if (k8s_trouble_of_object(v->object, v->now_ms, &seen))
		k8s_trouble_see(out, &seen);
	else if (out->kind == TROUBLE_REFUSED) /* it was let in since */
		*out = (struct k8s_trouble){0};
	if (v->pod != NULL && k8s_trouble_of_pod(v->pod, v->now_ms, &seen))
		k8s_trouble_see(out, &seen);
}

int64_t k8s_next_change_ms(const struct kubernetes_options *o, const struct k8s_view *v)
{
	struct k8s_trouble t;
	int64_t grace;

	trouble_of_view(v, &t);
	grace = k8s_trouble_grace_ms(o, t.kind);
	if (grace == INT64_MAX || t.since_ms > INT64_MAX - grace || t.since_ms + grace <= v->now_ms)
		return INT64_MAX;
	return t.since_ms + grace;
}

bool reason_is_end(const char *reason)
{
	return streq(reason, "PodFailed") || streq(reason, "PodSucceeded");
}

bool k8s_object_ended(const cJSON *object)
{
	struct condition c;

	if (!k8s_wants_run(object))
		return false;
	return (condition_find(object, "Ready", &c) && c.fresh && reason_is_end(c.reason)) ||
	       (condition_find(object, "Finished", &c) && c.fresh && condition_is(&c, "True"));
}

/* The container that ended badly, or the one that ended. */
static const cJSON *ended_container(const cJSON *status)
{
	static const char *const lists[] = {"initContainerStatuses", "containerStatuses"};
	const cJSON *s, *last = NULL;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		cJSON_ArrayForEach(s, json_get(status, lists[i])) {
			const cJSON *t = json_at(s, "state", "terminated", NULL);
			if (t == NULL)
				continue;
			if (json_int(t, "exitCode", 0) != 0)
				return s;
			last = s;
		}
	}
	return last;
}

/* The last lines of a log, as one line that ends where the log does. */
static char *last_words(const char *message, struct arena *a)
{
	enum { LAST_WORDS_MAX = 400 };
	struct str s = str_trim(str_of(message));
	char *text;

	if (s.n > LAST_WORDS_MAX)
		s = str_sub(s.p + s.n - LAST_WORDS_MAX, LAST_WORDS_MAX);
	while (s.n > 0 && !str_is_utf8(s))
		s = str_sub(s.p + 1, s.n - 1);
	text = arena_dup(a, s);
	for (char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	}
	return text;
}

char *k8s_pod_end(const cJSON *pod, struct arena *a)
{
	const cJSON *status = json_get(pod, "status");
	const cJSON *c = ended_container(status);
	const cJSON *t = json_at(c, "state", "terminated", NULL);
	const char *phase =
		streq(json_str(status, "phase"), "Succeeded") ? "Pod succeeded" : "Pod failed";
	const char *why = streq(json_str(t, "reason"), "OOMKilled") ? " (OOMKilled)" : "";
	char *words;

	if (!str_empty(json_str(status, "reason"))) /* Evicted, NodeLost, … */
		return arena_printf(a, "%s: %s: %s", phase, json_str(status, "reason"),
				    last_words(json_str_or_empty(status, "message"), a));
	if (t == NULL)
		return NULL;
	words = last_words(json_str_or_empty(t, "message"), a);
	return arena_printf(a, "%s: container %s exited with %lld%s%s%s", phase,
			    json_str_or_empty(c, "name"), (long long)json_int(t, "exitCode", 0),
			    why, *words ? ": " : "", words);
}

Openshell__Compute__V1__DriverSandbox *k8s_sandbox_of(const struct kubernetes_options *o,
						      const struct k8s_view *v, struct arena *a)
{
	Openshell__Compute__V1__DriverSandbox *s = arena_zalloc(a, sizeof *s);
	Openshell__Compute__V1__DriverSandboxStatus *status = arena_zalloc(a, sizeof *status);

	openshell__compute__v1__driver_sandbox__init(s);
	openshell__compute__v1__driver_sandbox_status__init(status);
	s->id = text_copy(a, k8s_object_id(v->object));
	s->name = text_copy(a, k8s_object_sandbox(v->object));
	s->workspace = text_copy(a, k8s_object_workspace(v->object));
	s->namespace_ = text_copy(a, k8s_object_namespace(v->object));
	s->status = status;
	status->sandbox_name = text_copy(a, k8s_object_name(v->object));
	status->instance_id = text_copy(a, k8s_pod_name(v->object));
	status->deleting = is_deleting(v->object);
	status->conditions = conditions_tell(o, v, a, &status->n_conditions);
	return s;
}
