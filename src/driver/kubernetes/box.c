#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "driver/kubernetes/kubernetes_impl.h"

enum {
	VIEW_ARENA = 64 * 1024, /* what it may hold of a peer's; our own making does not count */
	STOP_LOOK_MS = 2000,    /* until we look for the pod of a sandbox that is to stop, */
	STOP_RELOOK_MS = 15000, /* and look again while it is there */
	VANISHED_MAX = 1024,    /* uids of objects that vanished */
};

struct box_key {
	char text[2 * (K8S_LABEL_MAX + 1) + 256]; /* objects made by others may have long names */
};

static struct str key_of(struct box_key *key, const char *ns, const char *object)
{
	snprintf(key->text, sizeof(key->text), "%s/%s", ns, object);
	return str_of(key->text);
}

struct box *box_find(const struct kubernetes *k, const char *ns, const char *object)
{
	struct box_key key;

	return map_get(&k->boxes, key_of(&key, ns, object));
}

struct box *box_of_instance(const struct kubernetes *k, const char *ns, const char *name)
{
	struct box *b = box_find(k, ns, name);
	const struct registry_sandbox *s = b ? NULL : registry_of_object(k->registry, ns, name);

	return s ? box_find(k, ns, s->object) : b;
}

/* What the registry has under this very object name, not under that of a pod. */
static const struct registry_sandbox *registered(const struct kubernetes *k, const char *ns,
						 const char *object)
{
	const struct registry_sandbox *s = registry_of_object(k->registry, ns, object);

	return s && streq(s->object, object) ? s : NULL;
}

const char *box_id(const struct box *b)
{
	const struct registry_sandbox *s = registered(b->k, b->ns, b->object);

	return s ? s->id : NULL;
}

/* ---- making and dropping ---- */

static void due(struct timer *t)
{
	look_again(container_of(t, struct box, timer), 0);
}

static struct box *box_new(struct kubernetes *k, const cJSON *object)
{
	const char *ns = k8s_object_namespace(object), *name = k8s_object_name(object);
	const char *uid = k8s_object_uid(object);
	size_t n1 = strlen(ns) + 1, n2 = strlen(name) + 1, n3 = strlen(uid) + 1;
	struct box *b = xcalloc(1, sizeof(*b) + n1 + n2 + n3);
	char *text = (char *)(b + 1);
	struct box_key key;

	b->k = k;
	b->ns = memcpy(text, ns, n1);
	b->object = memcpy(text + n1, name, n2);
	b->uid = memcpy(text + n1 + n2, uid, n3);
	b->timer.fire = due;
	list_init(&b->claimant);
	map_put(&k->boxes, key_of(&key, ns, name), b);
	return b;
}

static void free_claims(struct box *b)
{
	for (char **c = b->claims; c && *c; c++)
		free(*c);
	free(b->claims);
	b->claims = NULL;
	list_del(&b->claimant);
}

static void box_free(struct box *b)
{
	b->k->refused -= b->refused;
	look_forget(b);
	trouble_forget(b);
	timer_stop(b->k->loop, &b->timer);
	free_claims(b);
	free(b->image);
	free(b->end);
	free(b);
}

static void box_drop(struct box *b)
{
	struct box_key key;

	map_del(&b->k->boxes, key_of(&key, b->ns, b->object));
	box_free(b);
}

void boxes_free(struct kubernetes *k)
{
	size_t at = 0;
	void *value;

	while (map_next(&k->boxes, &at, NULL, &value))
		box_free(value);
	map_fini(&k->boxes);
	map_fini(&k->vanished);
}

/* ---- what is remembered ---- */

static const cJSON *pod_spec(const cJSON *object)
{
	return json_at(object, "spec", "podTemplate", "spec", NULL);
}

static void remember_image(struct box *b, const cJSON *object)
{
	const char *image = NULL;
	const cJSON *c;

	cJSON_ArrayForEach(c, json_get(pod_spec(object), "containers")) {
		if (streq(json_str(c, "name"), "agent"))
			image = json_str(c, "image");
	}
	if (streq(b->image, image))
		return;
	free(b->image);
	b->image = image ? xstrdup(image) : NULL;
}

static void remember_claims(struct box *b, const cJSON *object)
{
	const cJSON *volumes = json_get(pod_spec(object), "volumes"), *v;
	size_t n = 0;

	free_claims(b);
	cJSON_ArrayForEach(v, volumes) {
		const char *claim = json_str(json_get(v, "persistentVolumeClaim"), "claimName");

		if (!claim)
			continue;
		b->claims = xrealloc(b->claims, (n + 2) * sizeof(*b->claims));
		b->claims[n++] = xstrdup(claim);
		b->claims[n] = NULL;
	}
	if (b->claims)
		list_add(&b->k->claimants, &b->claimant);
}

static bool condition_is(const Openshell__Compute__V1__DriverSandbox *s, const char *type,
			 const char *status)
{
	for (size_t i = 0; s->status && i < s->status->n_conditions; i++) {
		const Openshell__Compute__V1__DriverCondition *c = s->status->conditions[i];

		if (streq(c->type, type) && streq(c->status, status))
			return true;
	}
	return false;
}

/* ---- into the registry ---- */

static uint64_t version_number(const char *text)
{
	uint64_t version;

	return str_u64(str_of(text), &version) ? version : 0;
}

static uint64_t version_of(const cJSON *object)
{
	return version_number(k8s_object_version(object));
}

/* Keeps how the pod ended, for the updates that come without it. False: it is not known, and a look
 * at the pod is under way to learn it. */
static bool remember_end(struct box *b, const cJSON *object, const cJSON *pod, struct arena *a)
{
	const char *words = k8s_pod_end(pod, a);

	if (!k8s_object_ended(object)) {
		free(b->end);
		b->end = NULL;
		b->end_sought = false;
		return true;
	}
	if (words) {
		free(b->end);
		b->end = xstrdup(words);
	}
	if (b->end || b->end_sought)
		return true;
	look_again(b, 0);
	return false;
}

/* Somebody copied an object with its labels: who came first keeps the id. */
static void set_refused(struct box *b, bool refused)
{
	if (refused && !b->refused)
		log_warn("two objects carry one sandbox id; the newer one is ignored",
			 "namespace=%s object=%s", b->ns, b->object);
	b->k->refused += (size_t)refused - (size_t)b->refused;
	b->refused = refused;
}

static void register_box(struct box *b, const cJSON *object, const cJSON *pod)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(VIEW_ARENA);
	bool end_known = remember_end(b, object, pod, &a);
	struct k8s_view view = {
		.object = object,
		.pod = pod,
		.presence = b->presence,
		.trouble = b->trouble,
		.end = b->end,
		.end_pending = !end_known,
		.now_ms = wall_ms(),
	};
	const Openshell__Compute__V1__DriverSandbox *s = k8s_sandbox_of(b->k->options, &view, &a);
	int64_t change = k8s_next_change_ms(b->k->options, &view);
	enum registry_put put;

	b->ready = condition_is(s, "Ready", "True");
	b->stopped = condition_is(s, "Suspended", "True");
	/* one that was refused may be older than the deletion of the other, and is taken all the same */
	put = registry_put(b->k->registry, s, b->object, b->refused ? 0 : version_of(object));
	set_refused(b, put == REGISTRY_FOREIGN);
	if (change == INT64_MAX)
		timer_stop(b->k->loop, &b->timer);
	else
		timer_set(b->k->loop, &b->timer, MAX(change - view.now_ms, 0) + 1);
}

static bool is_ours(const struct kubernetes *k, const cJSON *object)
{
	return k8s_is_ours(k->options, object) && *k8s_object_id(object);
}

static void each_box(struct kubernetes *k, void (*fn)(struct box *b))
{
	size_t at = 0;
	void *value;

	while (map_next(&k->boxes, &at, NULL, &value))
		fn(value);
}

static void look_if_refused(struct box *b)
{
	if (b->refused)
		look_again(b, 0);
}

static void look_if_unwatched(struct box *b)
{
	if (!b->watched)
		look_again(b, 0);
}

/* An object was taken from us, or made again: the sandbox that it was is gone. */
static void forget_object(struct kubernetes *k, struct box *b, const char *ns, const char *name,
			  uint64_t version)
{
	if (registered(k, ns, name))
		registry_remove(k->registry, ns, name, version);
	if (b)
		box_drop(b);
	if (k->refused)
		each_box(k, look_if_refused); /* its id may be free now */
}

struct box *box_update(struct kubernetes *k, const cJSON *object, const cJSON *pod,
		       enum pod_presence presence)
{
	const char *ns = k8s_object_namespace(object), *name = k8s_object_name(object);
	const struct registry_sandbox *known = registered(k, ns, name);
	struct box *b = box_find(k, ns, name);
	uint64_t version = version_of(object);
	bool news;

	if (known && version && version < known->version)
		return b;
	if (map_get(&k->vanished, str_of(k8s_object_uid(object))) != NULL)
		return NULL;
	if (!is_ours(k, object)) {
		forget_object(k, b, ns, name, version);
		return NULL;
	}
	if (b && !streq(b->uid, k8s_object_uid(object))) {
		forget_object(k, b, ns, name, 0);
		b = NULL;
	}
	if (!b)
		b = box_new(k, object);
	remember_image(b, object);
	remember_claims(b, object);
	b->wants_run = k8s_wants_run(object);
	b->looked &= !b->wants_run;
	if (presence != POD_UNKNOWN)
		b->presence = presence;
	else if (b->wants_run && b->presence == POD_ABSENT)
		b->presence = POD_UNKNOWN; /* it will be there again, and nobody need tell us */
	news = trouble_in_object(b, object);
	register_box(b, object, pod);
	if (!registered(k, ns, name) && !b->refused) { /* a late answer about what is gone */
		box_drop(b);
		return NULL;
	}
	if (b->ready || b->stopped)
		trouble_forget(b);
	else if (news)
		trouble_tell(b);
	if (!b->wants_run && !b->stopped)
		look_again(b, b->looked ? STOP_RELOOK_MS : STOP_LOOK_MS);
	return b;
}

void box_gone(struct kubernetes *k, const struct kube_key *key, const char *version)
{
	_cleanup_free_ char *ns = str_dup(key->ns), *name = str_dup(key->name);
	const struct registry_sandbox *known = registered(k, ns, name);
	struct box *b = box_find(k, ns, name);
	uint64_t at = version_number(version);

	map_del(&k->vanished, key->uid);
	if (b && !str_is(key->uid, b->uid))
		return; /* the next object of that name is here already */
	/* that it is gone is final, even where versions run backwards: an etcd put back to a backup */
	forget_object(k, b, ns, name, known ? MAX(at, known->version) : at);
}

/* Nobody told the version at which it went, and a watch that was away may yet tell its whole life,
 * which would bring it back for a moment. So its uid is remembered until the watch tells the end. */
void box_vanished(struct box *b)
{
	if (b->k->vanished.n >= VANISHED_MAX)
		map_fini(&b->k->vanished);
	map_put(&b->k->vanished, str_of(b->uid), b->k);
	forget_object(b->k, b, b->ns, b->object, 0);
}

void boxes_listed(struct kubernetes *k)
{
	each_box(k, look_if_unwatched);
}
