/*
 * What keeps a sandbox from becoming ready: seen in objects, pods and Events, told to the user once
 * as a platform event, and remembered with its box, so that status.c can give it as the reason when
 * it lasts (driver contract 3.17). And the Events themselves, which are the sandbox's progress.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/events.h"
#include "driver/kubernetes/kubernetes_impl.h"

enum {
	EVENT_ARENA = 16 * 1024,
	SETTLE_MS = 300, /* what heals by itself within that time costs no look */
};

/* The object as far as it takes to tell about it: name, namespace, the agent's image. The caller's. */
static cJSON *stub(const struct box *b)
{
	cJSON *object = json_object(), *meta = json_put_object(object, "metadata"), *agent;
	cJSON *template = json_put_object(json_put_object(object, "spec"), "podTemplate");
	const char *id = box_id(b);

	json_put_str(meta, "name", b->object);
	json_put_str(meta, "namespace", b->ns);
	json_put_str(meta, "uid", b->uid);
	if (id)
		json_put_str(json_put_object(meta, "annotations"), LABEL_ID, id);
	agent = json_add_object(json_put_array(json_put_object(template, "spec"), "containers"));
	json_put_str(agent, "name", "agent");
	if (b->image)
		json_put_str(agent, "image", b->image);
	return object;
}

/* ---- what is known ---- */

static bool see(struct box *b, const struct k8s_trouble *seen)
{
	if (!b->trouble)
		b->trouble = xcalloc(1, sizeof(*b->trouble));
	return k8s_trouble_see(b->trouble, seen);
}

void trouble_forget(struct box *b)
{
	free(b->trouble);
	b->trouble = NULL;
	b->object_trouble = TROUBLE_NONE;
}

bool trouble_in_object(struct box *b, const cJSON *object)
{
	enum k8s_trouble_kind before = b->object_trouble;
	struct k8s_trouble seen;

	if (!k8s_trouble_of_object(object, wall_ms(), &seen)) {
		b->object_trouble = TROUBLE_NONE;
		if (b->trouble && before != TROUBLE_NONE && b->trouble->kind == before)
			trouble_forget(b);
		return false;
	}
	b->object_trouble = seen.kind;
	return see(b, &seen);
}

static bool container_started(const cJSON *pod, const char *list)
{
	const cJSON *c;

	cJSON_ArrayForEach(c, json_at(pod, "status", list, NULL)) {
		if (json_at(c, "state", "running", NULL) || json_at(c, "state", "terminated", NULL))
			return true;
	}
	return false;
}

static bool is_scheduled(const cJSON *pod)
{
	const cJSON *c;

	cJSON_ArrayForEach(c, json_at(pod, "status", "conditions", NULL)) {
		if (streq(json_str(c, "type"), "PodScheduled"))
			return streq(json_str(c, "status"), "True");
	}
	return false;
}

/* Whether a pod that says nothing bad ends the trouble that is known. One that no scheduler has
 * looked at yet says nothing about claims and nodes. One that could not be mounted says nothing
 * until a container has started, and kubelet writes an image that it has not got into the status
 * only at its second look, 15 s after its Event; by then the init container, whose image was there,
 * has long run. */
static bool pod_heals(const struct k8s_trouble *known, const cJSON *pod)
{
	switch (known->kind) {
	case TROUBLE_IMAGE:
		return container_started(pod, "containerStatuses");
	case TROUBLE_CONTAINER:
		return container_started(pod, "containerStatuses") ||
		       container_started(pod, "initContainerStatuses");
	case TROUBLE_PENDING_CLAIM:
	case TROUBLE_UNSCHEDULABLE:
		return is_scheduled(pod);
	case TROUBLE_NONE:
	case TROUBLE_REFUSED:
	case TROUBLE_COUNT:
		break;
	}
	return true;
}

bool trouble_in_pod(struct box *b, const cJSON *pod)
{
	struct k8s_trouble seen;

	if (k8s_trouble_of_pod(pod, wall_ms(), &seen))
		return see(b, &seen);
	if (b->trouble && b->object_trouble == TROUBLE_NONE && pod_heals(b->trouble, pod))
		trouble_forget(b);
	return false;
}

void trouble_tell(struct box *b)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(EVENT_ARENA);
	_cleanup_json_ cJSON *object = stub(b);
	const char *id = box_id(b);

	if (id && b->trouble)
		registry_event(b->k->registry, id, k8s_trouble_event(b->trouble, object, &a));
}

void trouble_pod(struct box *b, const cJSON *pod)
{
	bool knew = b->trouble != NULL;

	if (!pod) {
		b->presence = POD_UNKNOWN;
		stops_wake(b->k, b);
		if (!b->wants_run || knew)
			look_again(b, 0);
		return;
	}
	b->presence = POD_PRESENT;
	if (b->ready)
		return;
	if (trouble_in_pod(b, pod)) {
		trouble_tell(b);
		look_again(b, SETTLE_MS);
	} else if (knew && !b->trouble) {
		look_again(b, SETTLE_MS);
	}
}

/* ---- Events ---- */

static struct box *claimant(const struct kubernetes *k, const struct k8s_subject *s)
{
	list_each(b, &k->claimants, struct box, claimant) {
		if (!streq(b->ns, s->ns))
			continue;
		for (char **c = b->claims; *c; c++) {
			if (streq(*c, s->name))
				return b;
		}
	}
	return NULL;
}

static struct box *box_of_subject(const struct kubernetes *k, const struct k8s_subject *s)
{
	struct box *b = NULL;

	if (streq(s->kind, "Sandbox"))
		return box_find(k, s->ns, s->name);
	if (streq(s->kind, "Pod"))
		return box_of_instance(k, s->ns, s->name);
	if (s->object)
		b = box_find(k, s->ns, s->object);
	return b ? b : claimant(k, s);
}

/* An Event that happens again is the same object with a higher count. */
static bool told_before(struct kubernetes *k, const cJSON *event)
{
	char text[128];
	uint64_t hash;
	int n = snprintf(text, sizeof(text), "%.64s %lld %lld", k8s_object_uid(event),
			 (long long)json_int(event, "count", 0),
			 (long long)json_int(json_get(event, "series"), "count", 0));

	hash = hash_bytes(text, (size_t)n);
	for (size_t i = 0; i < MIN(k->n_told_events, ARRAY_LEN(k->told_events)); i++) {
		if (k->told_events[i] == hash)
			return true;
	}
	k->told_events[k->n_told_events++ % ARRAY_LEN(k->told_events)] = hash;
	return false;
}

void trouble_event(struct kubernetes *k, const cJSON *event)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(EVENT_ARENA);
	_cleanup_json_ cJSON *object = NULL;
	struct k8s_subject subject;
	struct k8s_trouble seen;
	char words[TROUBLE_TEXT_MAX];
	struct box *b;
	const char *id;

	if (!k8s_event_subject(event, &subject))
		return;
	b = box_of_subject(k, &subject);
	id = b ? box_id(b) : NULL;
	if (!id || told_before(k, event))
		return;
	object = stub(b);
	registry_event(k->registry, id, k8s_event_map(event, object, &a));
	if (b->ready)
		return;
	if (k8s_trouble_of_event(event, wall_ms(), &seen)) {
		snprintf(words, sizeof(words), "%s", b->trouble ? b->trouble->text : "");
		if (see(b, &seen) || !streq(words, b->trouble->text))
			look_again(b,
				   SETTLE_MS); /* a gateway should have the best words there are */
	} else if (b->trouble && k8s_trouble_heal(b->trouble, event)) {
		trouble_forget(b);
		look_again(b, SETTLE_MS);
	}
}
