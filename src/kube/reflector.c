#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "base/util.h"
#include "kube/event.h"
#include "kube/list.h"
#include "kube/reflector.h"

enum {
	BACKOFF_FIRST_MS = 500,
	BACKOFF_MAX_MS = 8000,   /* how much later than others we know that it is back */
	BACKOFF_ALIVE_MS = 2000, /* a server that answers, if only that it is busy, is soon well */
	RETRY_AFTER_MAX_MS = 30000,
	WATCH_SECONDS_MIN = 300, /* the server ends each watch after 5 to 10 minutes */
	WATCH_SECONDS_MAX = 600,
	WATCH_SHORT_MS = 5000, /* one that ends sooner and brought nothing is a failure */
	KEY_MAX = 1024,        /* bytes of namespace, name, uid or resourceVersion */
};

/*
 *          new, set_path, relist
 *                  |
 *                  v       done
 *   +---------> LISTING ----------> OPENING ------> WATCHING
 *   |              |  ^                ^ |  opened     |
 *   | timer        |  |                | |             | ended: by the server in its time,
 *   |       failed |  | expired (410)  | |             | lost, silent
 *   |              v  |                | v             v
 *   +--------- LIST_WAIT <----------- WATCH_WAIT (0 ms to 8 s)
 *                         refused: 4xx
 *
 * WATCH_WAIT goes back to OPENING with the resourceVersion that was seen last; LIST_WAIT forgets it
 * and lists. What is known of the objects survives both.
 */
enum state { LISTING, LIST_WAIT, OPENING, WATCHING, WATCH_WAIT };

/* What is remembered of an object: four texts one after the other. */
struct entry {
	uint32_t seen; /* number of the list that had it last */
	uint16_t ns_n, name_n, uid_n, version_n;
	char text[];
};

struct kube_reflector {
	struct kube_client *client;
	struct loop *loop;
	struct kube_reflector_config config;
	char *path, *label_selector, *field_selector;

	enum state state;
	struct map objects; /* "namespace/name" -> struct entry */
	char *version;      /* resourceVersion to watch from */
	uint32_t round; /* number of the list; also tells a callback's caller that all changed */
	bool synced, dead;

	struct kube_list *list;
	struct kube_request *watch;
	struct json_pool pool; /* the event at hand */
	int64_t watch_began;
	bool fresh;        /* version is a list's, and no watch has gone on from it */
	unsigned failures; /* in a row; rules the backoff */
	struct timer timer;
	struct later free_later;
};

static void start_list(struct kube_reflector *r);
static void start_watch(struct kube_reflector *r);

/* ---- what is known ---- */

static struct kube_key entry_key(const struct entry *x)
{
	return (struct kube_key){
		.ns = str_sub(x->text, x->ns_n),
		.name = str_sub(x->text + x->ns_n, x->name_n),
		.uid = str_sub(x->text + x->ns_n + x->name_n, x->uid_n),
	};
}

static struct str entry_version(const struct entry *x)
{
	return str_sub(x->text + x->ns_n + x->name_n + x->uid_n, x->version_n);
}

static struct entry *entry_new(const struct kube_key *k, struct str version, uint32_t seen)
{
	struct entry *x = xmalloc(sizeof *x + k->ns.n + k->name.n + k->uid.n + version.n);
	char *at = x->text;

	x->seen = seen;
	x->ns_n = (uint16_t)k->ns.n;
	x->name_n = (uint16_t)k->name.n;
	x->uid_n = (uint16_t)k->uid.n;
	x->version_n = (uint16_t)version.n;
	at = mempcpy(at, k->ns.p, k->ns.n);
	at = mempcpy(at, k->name.p, k->name.n);
	at = mempcpy(at, k->uid.p, k->uid.n);
	memcpy(at, version.p, version.n);
	return x;
}

/* Identity and version of an object; false when they are missing, which no API server does. */
static bool identify(const cJSON *object, struct kube_key *k, struct str *version)
{
	const cJSON *metadata = json_get(object, "metadata");

	k->ns = str_of(json_str_or_empty(metadata, "namespace"));
	k->name = str_of(json_str_or_empty(metadata, "name"));
	k->uid = str_of(json_str_or_empty(metadata, "uid"));
	*version = str_of(json_str_or_empty(metadata, "resourceVersion"));
	return k->name.n > 0 && k->uid.n > 0 && version->n > 0 && k->ns.n < KEY_MAX &&
	       k->name.n < KEY_MAX && k->uid.n < KEY_MAX && version->n < KEY_MAX;
}

static struct str map_key(const struct kube_key *k, char text[2 * KEY_MAX])
{
	char *at = mempcpy(text, k->ns.p, k->ns.n);

	*at++ = '/';
	at = mempcpy(at, k->name.p, k->name.n);
	return str_sub(text, (size_t)(at - text));
}

static void forget(struct kube_reflector *r, const struct kube_key *k, const cJSON *object)
{
	char text[2 * KEY_MAX];
	_cleanup_free_ struct entry *x = map_del(&r->objects, map_key(k, text));

	if (x == NULL)
		return;
	struct kube_key known = entry_key(x);
	r->config.gone(r->config.owner, &known, object);
}

/* The object is there in this version: tells what is new in that. */
static void see(struct kube_reflector *r, const cJSON *object)
{
	char text[2 * KEY_MAX];
	struct kube_key k;
	struct str version;
	uint32_t round = r->round;

	if (!identify(object, &k, &version))
		return;
	if (r->config.tail) {
		if (r->synced)
			r->config.upsert(r->config.owner, &k, object);
		return;
	}
	struct entry *x = map_get(&r->objects, map_key(&k, text));
	if (x != NULL && !str_eq(entry_key(x).uid, k.uid)) { /* made again under the same name */
		forget(r, &k, NULL);
		if (r->dead || r->round != round)
			return;
		x = NULL;
	}
	if (x != NULL && str_eq(entry_version(x), version)) {
		x->seen = r->round;
		return;
	}
	free(map_put(&r->objects, map_key(&k, text), entry_new(&k, version, r->round)));
	r->config.upsert(r->config.owner, &k, object);
}

static void forget_unseen(struct kube_reflector *r)
{
	uint32_t round = r->round;
	size_t at = 0;
	void *value;

	while (!r->dead && r->round == round && map_next(&r->objects, &at, NULL, &value)) {
		struct entry *x = value;
		if (x->seen == round)
			continue;
		struct kube_key k = entry_key(x);
		forget(r, &k, NULL);
	}
}

/* A version that no object has: each one of the next list is told. */
static void forget_versions(struct kube_reflector *r)
{
	size_t at = 0;
	void *value;

	while (map_next(&r->objects, &at, NULL, &value))
		((struct entry *)value)->version_n = 0;
}

/* ---- waiting ---- */

static void stop(struct kube_reflector *r)
{
	kube_list_cancel(steal(&r->list));
	kube_cancel(steal(&r->watch));
	timer_stop(r->loop, &r->timer);
}

/* Goes on in `state` after a while; error is why, NULL when nothing failed. */
static void wait_in(struct kube_reflector *r, enum state state, const struct kube_error *error)
{
	int64_t max = BACKOFF_MAX_MS, at_least = 0;

	if (error != NULL) {
		at_least = MIN(error->retry_after_ms, (int64_t)RETRY_AFTER_MAX_MS);
		if (error->http != 0 &&
		    (kube_error_is_transient(error) || error->fault == KUBE_EXPIRED))
			max = BACKOFF_ALIVE_MS;
	}
	int64_t pause = backoff_ms(r->failures++, BACKOFF_FIRST_MS, max);
	r->state = state;
	timer_set(r->loop, &r->timer, MAX(pause, at_least));
}

static void on_timer(struct timer *t)
{
	struct kube_reflector *r = container_of(t, struct kube_reflector, timer);

	if (r->state == LIST_WAIT)
		start_list(r);
	else
		start_watch(r);
}

/* Tells the owner, who may have changed everything when this returns false. */
static bool report(struct kube_reflector *r, const struct kube_error *error)
{
	uint32_t round = r->round;

	if (r->config.failed != NULL)
		r->config.failed(r->config.owner, error);
	return !r->dead && r->round == round;
}

/* ---- list ---- */

static void on_item(void *owner, const cJSON *object)
{
	see(owner, object);
}

static void on_listed(void *owner, const char *version, const struct kube_error *error)
{
	struct kube_reflector *r = owner;
	uint32_t round = r->round;

	r->list = NULL;
	if (error != NULL) {
		r->failures += r->failures == 0;
		if (error->fault == KUBE_EXPIRED || report(r, error))
			wait_in(r, LIST_WAIT, error);
		return;
	}
	free(r->version);
	r->version = xstrdup(version);
	r->fresh = true;
	forget_unseen(r);
	if (r->dead || r->round != round)
		return;
	r->synced = true;
	if (r->config.synced != NULL)
		r->config.synced(r->config.owner);
	if (!r->dead && r->round == round)
		start_watch(r);
}

static char *selected_path(const struct kube_reflector *r)
{
	char *path = kube_path_query(xstrdup(r->path), "labelSelector", r->label_selector);

	return kube_path_query(path, "fieldSelector", r->field_selector);
}

static void start_list(struct kube_reflector *r)
{
	_cleanup_free_ char *path = selected_path(r);

	stop(r);
	r->round++;
	r->state = LISTING;
	struct kube_list_config c = {
		.path = path,
		.first = r->config.tail && !r->synced, /* where to begin, and nothing else */
		.item = on_item,
		.done = on_listed,
		.owner = r,
	};
	r->list = kube_list(r->client, &c);
}

/* ---- watch ---- */

static void set_version(struct kube_reflector *r, const cJSON *object)
{
	const char *version = json_str(json_get(object, "metadata"), "resourceVersion");

	if (str_empty(version))
		return;
	free(r->version);
	r->version = xstrdup(version);
}

static void on_opened(void *owner)
{
	struct kube_reflector *r = owner;

	r->state = WATCHING;
	r->watch_began = mono_ms();
}

/* A server that ends every watch at once must not make us ask without a pause: only a watch that
 * was good for something is followed by the next without one. */
static void forgive(struct kube_reflector *r)
{
	if (r->state == WATCHING && mono_ms() - r->watch_began >= WATCH_SHORT_MS)
		r->failures = 0;
}

static void watch_failed(struct kube_reflector *r, const struct kube_error *error)
{
	bool again = kube_error_is_transient(error);

	kube_cancel(steal(&r->watch));
	forgive(r);
	if (error->fault == KUBE_EXPIRED) { /* what was missed since is found by a list */
		if (!r->fresh)              /* at once, but not in a circle */
			r->failures = 0;
		wait_in(r, LIST_WAIT, error);
		return;
	}
	r->failures += r->failures == 0; /* the first wait after a failure is a second */
	if (report(r, error))
		wait_in(r, again ? WATCH_WAIT : LIST_WAIT, error);
}

static void on_deleted(struct kube_reflector *r, const cJSON *object)
{
	char text[2 * KEY_MAX];
	struct kube_key k;
	struct str version;

	if (!identify(object, &k, &version))
		return;
	const struct entry *x = map_get(&r->objects, map_key(&k, text));
	if (x != NULL && str_eq(entry_key(x).uid, k.uid))
		forget(r, &k, object);
}

static void on_event(struct kube_reflector *r, enum kube_event_type type, const cJSON *object)
{
	struct kube_error error;

	if (type == KUBE_ERROR) {
		kube_error_from_status(&error, 0, object, STR_NONE);
		watch_failed(r, &error);
		return;
	}
	r->failures = 0;
	r->fresh = false;
	set_version(r, object);
	if (type == KUBE_DELETED)
		on_deleted(r, object);
	else if (type != KUBE_BOOKMARK)
		see(r, object);
}

static void on_line(void *owner, struct str line)
{
	struct kube_reflector *r = owner;
	struct kube_error error;
	struct err e;
	enum kube_event_type type;
	const cJSON *object;

	if (kube_event_parse(&r->pool, line, &type, &object, &e) < 0) {
		/* an event that cannot be read is missed, and only a list tells what it was */
		kube_error_set(&error, KUBE_BAD_ANSWER, "%s", e.text);
		watch_failed(r, &error);
		return;
	}
	on_event(r, type, object);
}

/* Nothing came for long: where nothing happens a server sends no bookmarks either (seen with 1.34),
 * and a proxy that lost the stream sends nothing ever. A fresh watch tells the two apart. */
static bool is_silence(const struct kube_reflector *r, const struct kube_error *error)
{
	return r->state == WATCHING && error->fault == KUBE_TIMEOUT && error->http == 0;
}

static void on_ended(void *owner, const struct kube_error *error)
{
	struct kube_reflector *r = owner;

	r->watch = NULL;
	if (error != NULL && !is_silence(r, error)) {
		watch_failed(r, error);
		return;
	}
	forgive(r);
	wait_in(r, WATCH_WAIT, NULL);
}

static void start_watch(struct kube_reflector *r)
{
	uint32_t random;

	random_bytes(&random, sizeof random);
	int seconds =
		WATCH_SECONDS_MIN + (int)(random % (WATCH_SECONDS_MAX - WATCH_SECONDS_MIN + 1));
	_cleanup_free_ char *path = kube_path_query(selected_path(r), "watch", "true");
	path = kube_path_query(path, "allowWatchBookmarks", "true");
	path = kube_path_query(path, "resourceVersion", r->version);
	path = kube_path_query_int(path, "timeoutSeconds", seconds);
	stop(r);
	r->state = OPENING;
	struct kube_stream s = {
		.path = path,
		.opened = on_opened,
		.line = on_line,
		.ended = on_ended,
		.owner = r,
	};
	r->watch = kube_stream(r->client, &s);
}

/* ---- life ---- */

struct kube_reflector *kube_reflector_new(struct kube_client *client,
					  const struct kube_reflector_config *config)
{
	struct kube_reflector *r = xcalloc(1, sizeof *r);

	r->client = client;
	r->loop = kube_client_loop(client);
	r->config = *config;
	r->path = xstrdup(config->path);
	r->label_selector = config->label_selector ? xstrdup(config->label_selector) : NULL;
	r->field_selector = config->field_selector ? xstrdup(config->field_selector) : NULL;
	r->timer.fire = on_timer;
	start_list(r);
	return r;
}

static void reflector_free(struct later *later)
{
	struct kube_reflector *r = container_of(later, struct kube_reflector, free_later);
	size_t at = 0;
	void *value;

	while (map_next(&r->objects, &at, NULL, &value))
		free(value);
	map_fini(&r->objects);
	json_pool_fini(&r->pool);
	free(r->version);
	free(r->path);
	free(r->label_selector);
	free(r->field_selector);
	free(r);
}

void kube_reflector_free(struct kube_reflector *r)
{
	if (r == NULL || r->dead)
		return;
	r->dead = true;
	stop(r);
	r->free_later.run = reflector_free;
	loop_later(r->loop, &r->free_later);
}

void kube_reflector_set_path(struct kube_reflector *r, const char *path)
{
	free(r->path);
	r->path = xstrdup(path);
	forget_versions(r);
	r->failures = 0;
	start_list(r);
}

void kube_reflector_relist(struct kube_reflector *r)
{
	r->failures = 0;
	start_list(r);
}

bool kube_reflector_synced(const struct kube_reflector *r)
{
	return r->synced;
}

bool kube_reflector_live(const struct kube_reflector *r)
{
	return r->synced && r->state == WATCHING;
}

const char *kube_reflector_version(const struct kube_reflector *r)
{
	return r->version;
}

size_t kube_reflector_count(const struct kube_reflector *r)
{
	return r->objects.n;
}
