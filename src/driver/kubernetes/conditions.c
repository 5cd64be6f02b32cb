/* What is said about a sandbox: agent-sandbox's conditions, made fit for a gateway (status.h). */
#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/status_impl.h"
#include "wire/generation.h"

enum { CONDITIONS_MAX = 32 }; /* agent-sandbox writes four */

struct conditions {
	struct condition v[CONDITIONS_MAX];
	size_t n;
};

#define NOT_YET "the controller has not acted on the latest change yet"

bool condition_read(const cJSON *object, const cJSON *c, struct condition *out)
{
	int64_t generation = json_int(json_get(object, "metadata"), "generation", 0);

	*out = (struct condition){
		.type = json_str(c, "type"),
		.status = json_str(c, "status"),
		.reason = json_str_or_empty(c, "reason"),
		.message = json_str_or_empty(c, "message"),
		.time = json_str_or_empty(c, "lastTransitionTime"),
		/* without the number it is of a controller that does not count */
		.fresh = json_int(c, "observedGeneration", generation) >= generation,
	};
	return out->type != NULL && out->status != NULL;
}

bool condition_find(const cJSON *object, const char *type, struct condition *out)
{
	const cJSON *c;

	cJSON_ArrayForEach(c, json_at(object, "status", "conditions", NULL)) {
		if (condition_read(object, c, out) && streq(out->type, type))
			return true;
	}
	return false;
}

bool condition_is(const struct condition *c, const char *status)
{
	return str_ieq(str_of(c->status), str_of(status));
}

bool condition_is_transient(const struct condition *ready)
{
	return condition_is(ready, "False") && (streq(ready->reason, "DependenciesNotReady") ||
						streq(ready->reason, "ReconcilerError"));
}

static struct condition *find(struct conditions *all, const char *type)
{
	for (size_t i = 0; i < all->n; i++) {
		if (streq(all->v[i].type, type))
			return &all->v[i];
	}
	return NULL;
}

static void drop(struct conditions *all, struct condition *c)
{
	size_t i = (size_t)(c - all->v);

	memmove(c, c + 1, (--all->n - i) * sizeof *c);
}

/* Sets a condition, made when it is not there: it keeps its time, since there is no other. */
static struct condition *set(struct conditions *all, const char *type, const char *status,
			     const char *reason, const char *message)
{
	struct condition *c = find(all, type);

	if (c == NULL) {
		must(all->n < CONDITIONS_MAX);
		c = &all->v[all->n++];
		c->time = "";
	}
	c->type = type;
	c->status = status;
	c->reason = reason;
	c->message = message;
	c->fresh = true;
	return c;
}

static void read_all(struct conditions *all, const cJSON *object)
{
	const cJSON *c;

	all->n = 0;
	cJSON_ArrayForEach(c, json_at(object, "status", "conditions", NULL)) {
		if (all->n < CONDITIONS_MAX - 2 && condition_read(object, c, &all->v[all->n]))
			all->n++; /* two are left for those that are made */
	}
}

/* An object that is to run: nothing from before may end it in the gateway's eyes. */
static void adapt_running(struct conditions *all)
{
	struct condition *ready = find(all, "Ready");
	struct condition *suspended = find(all, "Suspended");
	struct condition *finished;

	if (ready != NULL && (!ready->fresh || streq(ready->reason, "SandboxSuspended")))
		set(all, "Ready", "False", "DependenciesNotReady", NOT_YET);
	if (suspended != NULL && (!suspended->fresh || condition_is(suspended, "True")))
		drop(all, suspended);
	finished = find(all, "Finished");
	if (finished != NULL && finished->fresh && condition_is(finished, "True") &&
	    (ready == NULL || condition_is_transient(find(all, "Ready"))))
		set(all, "Ready", "False", finished->reason, finished->message);
}

/* An object that is to stop: it has a Suspended, and no Ready=True. */
static void adapt_stopping(struct conditions *all, const struct k8s_view *v)
{
	const char *message = NULL;
	enum stop_state state = k8s_stop_state(v->object, v->presence, &message);
	struct condition *suspended = find(all, "Suspended");
	struct condition *ready = find(all, "Ready");

	if (suspended == NULL || !suspended->fresh ||
	    (condition_is(suspended, "True") && state != STOP_DONE)) {
		if (state == STOP_DONE)
			set(all, "Suspended", "True", "PodTerminated", "the pod is gone");
		else
			set(all, "Suspended", "False", "PodTerminating", "the pod is ending");
	}
	/* while its pod ends, SandboxSuspended would be an error to a gateway that asked for no stop */
	if (ready == NULL || (ready->fresh && !condition_is(ready, "True") &&
			      (state == STOP_DONE || !streq(ready->reason, "SandboxSuspended"))))
		return;
	if (state == STOP_DONE)
		set(all, "Ready", "False", "SandboxSuspended", "the sandbox is stopped");
	else
		set(all, "Ready", "False", "DependenciesNotReady", "the sandbox is stopping");
}

static bool is_over(const struct kubernetes_options *o, const struct k8s_trouble *t, int64_t now_ms)
{
	int64_t grace = k8s_trouble_grace_ms(o, t->kind);

	return grace != INT64_MAX && now_ms - t->since_ms >= grace;
}

/* Puts trouble into Ready: as message while it is young, then as reason too. */
static void tell_trouble(struct conditions *all, const struct kubernetes_options *o,
			 const struct k8s_view *v, struct arena *a)
{
	struct condition *ready = find(all, "Ready");
	const char *reason = "DependenciesNotReady";
	struct k8s_trouble t;

	trouble_of_view(v, &t);
	if (t.kind == TROUBLE_NONE || (ready != NULL && !condition_is_transient(ready)))
		return;
	/* the controller's own error is not ours to cover, unless we know that it is final */
	if (ready != NULL && streq(ready->reason, "ReconcilerError") && t.kind != TROUBLE_REFUSED)
		return;
	if (is_over(o, &t, v->now_ms))
		reason = k8s_trouble_reason(t.kind);
	else if (t.kind == TROUBLE_REFUSED)
		reason = "ReconcilerError"; /* as the controller has it */
	set(all, "Ready", "False", reason, arena_dup(a, str_of(t.text)));
}

/* "Pod failed" is what agent-sandbox says; the pod knows more. */
static void tell_end(struct conditions *all, const struct k8s_view *v, struct arena *a)
{
	struct condition *ready = find(all, "Ready");
	const char *words;

	if (ready == NULL || !condition_is(ready, "False") || !reason_is_end(ready->reason))
		return;
	words = k8s_pod_end(v->pod, a);
	if (words == NULL)
		words = v->end;
	if (words != NULL)
		ready->message = words;
	else if (v->end_pending)
		set(all, "Ready", "False", "DependenciesNotReady", "the pod has ended");
}

char *text_copy(struct arena *a, const char *s)
{
	return arena_dup(a, str_utf8_prefix(str_of(s), STATUS_TEXT_MAX));
}

Openshell__Compute__V1__DriverCondition **conditions_tell(const struct kubernetes_options *o,
							  const struct k8s_view *v, struct arena *a,
							  size_t *n)
{
	Openshell__Compute__V1__DriverCondition **out;
	struct conditions all;

	read_all(&all, v->object);
	if (k8s_wants_run(v->object))
		adapt_running(&all);
	else
		adapt_stopping(&all, v);
	tell_trouble(&all, o, v, a);
	tell_end(&all, v, a);

	out = arena_zalloc(a, (all.n + 1) * sizeof *out);
	for (size_t i = 0; i < all.n; i++) {
		const struct condition *c = &all.v[i];
		Openshell__Compute__V1__DriverCondition *d = arena_zalloc(a, sizeof *d);
		openshell__compute__v1__driver_condition__init(d);
		d->type = text_copy(a, c->type);
		d->status = text_copy(a, c->status);
		d->reason = text_copy(a, c->reason);
		d->message = text_copy(a, c->message);
		if (!str_empty(c->time))
			generation_set_condition_time(d, text_copy(a, c->time), a);
		out[i] = d;
	}
	*n = all.n;
	return out;
}
