/*
 * The reflectors: Sandbox objects, which are the truth about sandboxes; their pods, which tell early
 * what is wrong; and Kubernetes Events, in every workspace mode (driver contract 3.16, defect 4).
 * Pods and Events are watched once the objects are known, since they mean nothing without them. We
 * do without either where the role does not allow it, and say so once.
 *
 * What is in the registry counts as true while the watch of the objects is open, and for STALE_MS
 * after it was lost; then Get and List read live until it is back.
 */
#include <stdlib.h>

#include "base/log.h"
#include "driver/kubernetes/events.h"
#include "driver/kubernetes/kubernetes_impl.h"

enum {
	STALE_MS = 10000,
	PULSE_MS = 500, /* between looks at a watch that is lost */
	EVENT_SLACK_MS = 2000,
};

struct stream {
	struct watch *w;
	const char *what;
	struct kube_reflector *reflector;
	enum kube_fault said; /* the fault that was logged last; KUBE_NONE: it works */
};

struct watch {
	struct kubernetes *k;
	struct stream sandboxes, pods, events;
	struct timer pulse;
	int64_t lost_at;         /* mono_ms; 0: it is not */
	int64_t newest_event_ms; /* by the events' own clocks */
};

static void say_failed(struct stream *s, const struct kube_error *error)
{
	if (s->said != error->fault)
		log_warn("cannot be watched; trying again", "what=%s fault=%s error=%s", s->what,
			 kube_fault_name(error->fault), error->message);
	s->said = error->fault;
}

static void say_works(struct stream *s)
{
	log_info("watching", "what=%s objects=%zu", s->what, kube_reflector_count(s->reflector));
	s->said = KUBE_NONE;
}

static void other_synced(void *owner)
{
	say_works(owner);
}

static void other_failed(void *owner, const struct kube_error *error)
{
	say_failed(owner, error);
}

/* ---- pods ---- */

static struct box *box_of_pod(struct stream *s, const struct kube_key *key)
{
	_cleanup_free_ char *ns = str_dup(key->ns), *name = str_dup(key->name);

	return box_of_instance(s->w->k, ns, name);
}

static void pod_changed(void *owner, const struct kube_key *key, const cJSON *object)
{
	struct box *b = box_of_pod(owner, key);

	if (b)
		trouble_pod(b, object);
}

static void pod_gone(void *owner, const struct kube_key *key, const cJSON *object)
{
	struct box *b = box_of_pod(owner, key);

	(void)object;
	if (b)
		trouble_pod(b, NULL);
}

/* ---- Events ---- */

/* What happened before we began is history: the objects' conditions tell how it ended. After a gap
 * in the watch the server tells all again, and what is older than the newest is what we know. */
static void event_happened(void *owner, const struct kube_key *key, const cJSON *object)
{
	struct stream *s = owner;
	struct watch *w = s->w;
	int64_t at = k8s_event_time_ms(object);

	(void)key;
	if (!kube_reflector_live(s->reflector) && at < w->newest_event_ms - EVENT_SLACK_MS)
		return;
	w->newest_event_ms = MAX(w->newest_event_ms, at);
	trouble_event(w->k, object);
}

static void events_synced(void *owner)
{
	struct stream *s = owner;

	if (!s->w->newest_event_ms)
		s->w->newest_event_ms = wall_ms();
	say_works(s);
}

static void start_others(struct watch *w)
{
	const char *ns = watched_namespace(w->k);
	_cleanup_free_ char *pods = kube_path(&resource_pods, ns, NULL, NULL);
	_cleanup_free_ char *events = kube_path(&resource_events, ns, NULL, NULL);

	if (w->pods.reflector)
		return;
	w->pods.reflector = kube_reflector_new(
		w->k->client,
		&(struct kube_reflector_config){.path = pods,
						.label_selector = LABEL_MANAGED_BY "=" MANAGED_BY,
						.upsert = pod_changed,
						.gone = pod_gone,
						.synced = other_synced,
						.failed = other_failed,
						.owner = &w->pods});
	w->events.reflector = kube_reflector_new(
		w->k->client, &(struct kube_reflector_config){.path = events,
							      .tail = true,
							      .upsert = event_happened,
							      .synced = events_synced,
							      .failed = other_failed,
							      .owner = &w->events});
}

/* ---- Sandbox objects ---- */

static void sandbox_changed(void *owner, const struct kube_key *key, const cJSON *object)
{
	struct stream *s = owner;
	struct box *b = box_update(s->w->k, object, NULL, POD_UNKNOWN);

	if (!b || !str_is(key->uid, b->uid))
		return;
	b->watched = true;
	if (!b->wants_run)
		stops_wake(s->w->k, b);
}

static void sandbox_gone(void *owner, const struct kube_key *key, const cJSON *object)
{
	struct stream *s = owner;

	box_gone(s->w->k, key,
		 object ? k8s_object_version(object) : kube_reflector_version(s->reflector));
}

static void sandboxes_synced(void *owner)
{
	struct stream *s = owner;
	struct watch *w = s->w;

	say_works(s);
	if (w->lost_at)
		w->lost_at = mono_ms(); /* until the watch is open, too */
	boxes_listed(w->k);
	registry_set_synced(w->k->registry, true);
	start_others(w);
}

static void sandboxes_failed(void *owner, const struct kube_error *error)
{
	struct stream *s = owner;
	struct watch *w = s->w;

	say_failed(s, error);
	if (error->fault == KUBE_NO_RESOURCE)
		version_doubt(w->k->version);
	else if (error->fault == KUBE_SERVER)
		version_suspect(w->k->version);
	if (!w->lost_at)
		w->lost_at = mono_ms();
	timer_set(w->k->loop, &w->pulse, PULSE_MS);
}

static void pulse(struct timer *t)
{
	struct watch *w = container_of(t, struct watch, pulse);
	struct kubernetes *k = w->k;

	if (kube_reflector_live(w->sandboxes.reflector)) {
		w->lost_at = 0;
		w->sandboxes.said = KUBE_NONE;
		registry_set_synced(k->registry, true);
		return;
	}
	if (mono_ms() - w->lost_at > STALE_MS && registry_synced(k->registry)) {
		log_warn("the watch has been lost for too long; reading live from now on",
			 "seconds=%d", STALE_MS / 1000);
		registry_set_synced(k->registry, false);
	}
	timer_set(k->loop, &w->pulse, PULSE_MS);
}

void watch_api(struct watch *w)
{
	struct kubernetes *k = w->k;
	_cleanup_free_ char *path = sandbox_path(k, watched_namespace(k), NULL);
	_cleanup_free_ char *selector = k8s_selector_all(k->options);

	if (w->sandboxes.reflector) {
		kube_reflector_set_path(w->sandboxes.reflector, path);
		return;
	}
	w->sandboxes.reflector = kube_reflector_new(
		k->client, &(struct kube_reflector_config){.path = path,
							   .label_selector = selector,
							   .upsert = sandbox_changed,
							   .gone = sandbox_gone,
							   .synced = sandboxes_synced,
							   .failed = sandboxes_failed,
							   .owner = &w->sandboxes});
}

struct watch *watch_new(struct kubernetes *k)
{
	struct watch *w = xcalloc(1, sizeof(*w));

	w->k = k;
	w->sandboxes = (struct stream){.w = w, .what = "sandboxes"};
	w->pods = (struct stream){.w = w, .what = "pods"};
	w->events = (struct stream){.w = w, .what = "events"};
	w->pulse.fire = pulse;
	return w;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	timer_stop(w->k->loop, &w->pulse);
	kube_reflector_free(w->sandboxes.reflector);
	kube_reflector_free(w->pods.reflector);
	kube_reflector_free(w->events.reflector);
	free(w);
}
