/*
 * Second looks: an object and its pod are read again and taken in as if a watch had told them. Since
 * objects are not kept, this is how their status changes when only time passed, when a pod or an
 * Event said something, or when a pod must be known to be gone. A few at a time.
 *
 *   look_again --ms--> WAITING --> [queue while LOOKS_MAX are under way] --> OBJECT --> POD --> gone
 *                         ^                                                    |
 *                         +------------------ failed: backoff -----------------+
 */
#include <stdlib.h>

#include "base/json.h"

#include "driver/kubernetes/kubernetes_impl.h"

enum {
	LOOKS_MAX = 8,
	CALL_MS = 10000,
	RETRY_MIN_MS = 1000,
	RETRY_MAX_MS = 60000,
	TRIES_MAX = 12, /* some ten minutes; the watch brings what is lost then */
};

struct look {
	struct box *b;
	struct list link; /* kubernetes.looks */
	struct timer timer;
	struct kube_request *request;
	cJSON *object;
	unsigned tries;
	bool running; /* counted in kubernetes.looking */
	bool again;   /* asked for while it was running */
	int64_t due;  /* mono_ms, while the timer is armed */
};

static void start(struct look *l);

static void schedule(struct look *l, int64_t ms)
{
	l->due = mono_ms() + ms;
	timer_set(l->b->k->loop, &l->timer, ms);
}

static void run_next(struct kubernetes *k)
{
	while (k->looking < LOOKS_MAX && !list_empty(&k->looks)) {
		struct look *next = list_first(&k->looks, struct look, link);

		list_del(&next->link);
		start(next);
	}
}

static void stop_running(struct look *l)
{
	struct kubernetes *k = l->b->k;

	if (!l->running)
		return;
	l->running = false;
	k->looking--;
	run_next(k);
}

void look_forget(struct box *b)
{
	struct look *l = b->look;

	if (!l)
		return;
	b->look = NULL;
	kube_cancel(l->request);
	timer_stop(b->k->loop, &l->timer);
	list_del(&l->link);
	cJSON_Delete(l->object);
	stop_running(l);
	free(l);
}

static void failed(struct look *l, const struct kube_error *error)
{
	struct kubernetes *k = l->b->k;

	if (error->fault == KUBE_NO_RESOURCE)
		version_doubt(k->version);
	if (error->fault == KUBE_NOT_FOUND && !l->b->watched) {
		box_vanished(l->b);
		return;
	}
	if (error->fault == KUBE_NOT_FOUND || ++l->tries == TRIES_MAX) {
		look_forget(l->b);
		return;
	}
	cJSON_Delete(l->object);
	l->object = NULL;
	stop_running(l);
	schedule(l, backoff_ms(l->tries + 1, RETRY_MIN_MS, RETRY_MAX_MS));
}

static void pod_read(void *owner, struct kube_answer *a)
{
	struct look *l = owner;
	struct box *b = l->b;
	struct kubernetes *k = b->k;
	_cleanup_json_ cJSON *object = steal(&l->object);
	enum pod_presence presence = POD_UNKNOWN;
	bool again = l->again, news = false;

	l->request = NULL;
	if (a->error && kube_error_is_transient(a->error)) {
		failed(l, a->error);
		return;
	}
	look_forget(b); /* it has done its work; box_update may ask for the next one */
	b->end_sought = b->looked = true;
	if (!a->error) {
		presence = POD_PRESENT;
		news = trouble_in_pod(b, a->body);
	} else if (a->error->fault == KUBE_NOT_FOUND) {
		presence = POD_ABSENT;
	}
	b = box_update(k, object, a->error ? NULL : a->body, presence);
	if (b && news && !b->ready)
		trouble_tell(b);
	if (b && again)
		look_again(b, RETRY_MIN_MS);
}

static void object_read(void *owner, struct kube_answer *a)
{
	struct look *l = owner;
	struct box *b = l->b;
	_cleanup_free_ char *path = NULL;

	l->request = NULL;
	if (a->error) {
		failed(l, a->error);
		return;
	}
	l->object = steal(&a->body);
	path = kube_path(&resource_pods, b->ns, k8s_pod_name(l->object), NULL);
	l->request = kube_call(b->k->client, &(struct kube_call){.method = KUBE_GET,
								 .path = path,
								 .timeout_ms = CALL_MS,
								 .done = pod_read,
								 .owner = l});
}

static void start(struct look *l)
{
	struct kubernetes *k = l->b->k;
	_cleanup_free_ char *path = sandbox_path(k, l->b->ns, l->b->object);

	l->running = true;
	l->again = false;
	k->looking++;
	l->request = kube_call(k->client, &(struct kube_call){.method = KUBE_GET,
							      .path = path,
							      .timeout_ms = CALL_MS,
							      .done = object_read,
							      .owner = l});
}

static void due(struct timer *t)
{
	struct look *l = container_of(t, struct look, timer);
	struct kubernetes *k = l->b->k;

	if (k->looking < LOOKS_MAX)
		start(l);
	else
		list_add(&k->looks, &l->link);
}

void look_again(struct box *b, int64_t ms)
{
	struct look *l = b->look;

	if (l && l->running) {
		l->again = true;
	} else if (!l) {
		l = b->look = xcalloc(1, sizeof(*l));
		l->b = b;
		l->timer.fire = due;
		list_init(&l->link);
		schedule(l, ms);
	} else if (timer_armed(&l->timer) && mono_ms() + ms < l->due) {
		schedule(l, ms);
	}
}
