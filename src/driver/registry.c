#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "driver/registry.h"
#include "grpc/server.h"

/* The bytes in front of a gRPC message: a flag and the length. */
#define GRPC_PREFIX 5

enum kind {
	SANDBOX,
	DELETION, /* a sandbox that was removed; keeps id and version */
	EVENT,    /* of the platform */
};

/* One line of the change log. */
struct record {
	struct list log;        /* in the order of seq */
	struct list queue;      /* a DELETION or EVENT among its like, oldest first */
	uint64_t seq;           /* given anew with each change */
	struct h2_chunk *chunk; /* a WatchSandboxesEvent as grpc_pack gives it */
	uint32_t owed; /* DELETION, EVENT: streams that were open when it came and are before it */
	enum kind kind;
};

struct sandbox {
	struct record rec;
	struct registry_sandbox is; /* id is its own allocation, the other strings are in texts */
	char *texts;
	uint32_t inner; /* where the encoded GetSandboxResponse begins in rec.chunk */
};

struct registry {
	struct map by_id;       /* SANDBOX and DELETION */
	struct map by_object;   /* "namespace/object" */
	struct map by_instance; /* "namespace/instance", where that is not the object's name */
	struct list log, deletions, events, watches;
	size_t n_sandboxes, n_deletions, n_events, n_watches;
	size_t encoded; /* see registry_encoded_total */
	uint64_t seq;
	bool synced;
};

/*
 * A reader's place in the log. Everything before `next` was told; what moves to the end of the log
 * takes the place along by unlink(), what comes new is noticed by append().
 */
struct registry_watch {
	struct registry *r;
	struct list link;
	struct record *next; /* NULL: all told */
	uint64_t opened; /* the newest seq when it was opened: what is older is not owed to it */
	uint64_t seen;   /* of the last record told */
	bool idle;       /* told that there is nothing: wants to be woken */
	bool lost;
	size_t dropped; /* platform events, since it last had all */
	void (*wake)(void *owner);
	void *owner;
};

static struct record *record_after(const struct registry *r, const struct record *rec)
{
	struct list *next = rec == NULL ? r->log.next : rec->log.next;
	return next == &r->log ? NULL : container_of(next, struct record, log);
}

static void watch_wake(struct registry_watch *w)
{
	if (!w->idle)
		return;
	w->idle = false;
	w->wake(w->owner);
}

/* Whether the stream has a right to this deletion or event and was not told of it yet. */
static bool watch_owed(const struct registry_watch *w, const struct record *rec)
{
	return rec->seq > w->opened && rec->seq > w->seen;
}

/* --- the log --- */

static void log_append(struct registry *r, struct record *rec)
{
	rec->seq = ++r->seq;
	list_add(&r->log, &rec->log);
	list_each(w, &r->watches, struct registry_watch, link) {
		if (w->next == NULL)
			w->next = rec;
		watch_wake(w);
	}
}

static void log_unlink(struct registry *r, struct record *rec)
{
	list_each(w, &r->watches, struct registry_watch, link) {
		if (w->next == rec)
			w->next = record_after(r, rec);
	}
	list_del(&rec->log);
}

static void log_move(struct registry *r, struct record *rec)
{
	log_unlink(r, rec);
	log_append(r, rec);
}

static void drop_event(struct registry *r, struct record *rec)
{
	log_unlink(r, rec);
	list_del(&rec->queue);
	r->n_events--;
	h2_chunk_unref(rec->chunk);
	free(rec);
}

static void free_sandbox(struct sandbox *s)
{
	h2_chunk_unref(s->rec.chunk);
	free(s->texts);
	free((char *)s->is.id);
	free(s);
}

static void drop_deletion(struct registry *r, struct record *rec)
{
	struct sandbox *s = container_of(rec, struct sandbox, rec);

	log_unlink(r, rec);
	list_del(&rec->queue);
	r->n_deletions--;
	map_del(&r->by_id, str_of(s->is.id));
	free_sandbox(s);
}

/* Lets go of what nobody waits for any more. Both queues are in the order of seq, and a stream that
 * is owed a record is owed all later ones: so the first that is still owed is where to stop. */
static void trim(struct registry *r)
{
	struct record *rec;

	while ((rec = list_first(&r->events, struct record, queue)) != NULL && rec->owed == 0)
		drop_event(r, rec);
	while (r->n_deletions > REGISTRY_DELETIONS_KEPT &&
	       (rec = list_first(&r->deletions, struct record, queue))->owed == 0)
		drop_deletion(r, rec);
}

static void bound_deletions(struct registry *r)
{
	if (r->n_deletions <= REGISTRY_DELETIONS_MAX)
		return;
	struct record *oldest = list_first(&r->deletions, struct record, queue);
	list_each(w, &r->watches, struct registry_watch, link) {
		if (!watch_owed(w, oldest))
			continue;
		w->lost = true;
		watch_wake(w);
	}
	drop_deletion(r, oldest);
}

static void bound_events(struct registry *r)
{
	if (r->n_events <= REGISTRY_EVENTS_MAX)
		return;
	struct record *oldest = list_first(&r->events, struct record, queue);
	list_each(w, &r->watches, struct registry_watch, link) {
		if (watch_owed(w, oldest) && w->dropped++ == 0)
			log_warn("a watch stream reads too slowly, the oldest platform events are "
				 "dropped for it",
				 "bound=%d", REGISTRY_EVENTS_MAX);
	}
	drop_event(r, oldest);
}

/* --- the indexes --- */

static char *place(const char *namespace, const char *name)
{
	return xasprintf("%s/%s", namespace, name);
}

static void index_put(struct map *m, const char *namespace, const char *name, struct sandbox *s)
{
	_cleanup_free_ char *key = place(namespace, name);
	map_put(m, str_of(key), s);
}

static void index_del(struct map *m, const char *namespace, const char *name,
		      const struct sandbox *s)
{
	_cleanup_free_ char *key = place(namespace, name);
	if (map_get(m, str_of(key)) == s)
		map_del(m, str_of(key));
}

static bool has_own_instance(const struct registry_sandbox *s)
{
	return !str_empty(s->instance) && !streq(s->instance, s->object);
}

/* Takes over the texts of a sandbox, in one allocation, and enters it into the indexes. */
static void set_texts(struct registry *r, struct sandbox *s,
		      const Openshell__Compute__V1__DriverSandbox *from, const char *object)
{
	const char *in[] = {from->name, from->workspace, from->namespace_, object,
			    from->status != NULL ? from->status->instance_id : ""};
	const char **out[] = {&s->is.name, &s->is.workspace, &s->is.namespace, &s->is.object,
			      &s->is.instance};
	size_t total = 0;

	for (size_t i = 0; i < ARRAY_LEN(in); i++)
		total += strlen(in[i]) + 1;
	s->texts = xmalloc(total);
	char *at = s->texts;
	for (size_t i = 0; i < ARRAY_LEN(in); i++) {
		size_t n = strlen(in[i]) + 1;
		*out[i] = memcpy(at, in[i], n);
		at += n;
	}
	index_put(&r->by_object, s->is.namespace, s->is.object, s);
	if (has_own_instance(&s->is))
		index_put(&r->by_instance, s->is.namespace, s->is.instance, s);
}

static void clear_texts(struct registry *r, struct sandbox *s)
{
	index_del(&r->by_object, s->is.namespace, s->is.object, s);
	if (has_own_instance(&s->is))
		index_del(&r->by_instance, s->is.namespace, s->is.instance, s);
	free(s->texts);
	s->texts = NULL;
	s->is.name = s->is.workspace = s->is.namespace = s->is.object = s->is.instance = "";
}

/* --- put, remove, event --- */

/* Encodes a snapshot without its spec: the platform's object is the spec, and a list of them must
 * stay small (driver contract 1.3 and 3.11). */
static struct h2_chunk *encode_sandbox(const Openshell__Compute__V1__DriverSandbox *from)
{
	Openshell__Compute__V1__WatchSandboxesSandboxEvent inner =
		OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_SANDBOX_EVENT__INIT;
	Openshell__Compute__V1__WatchSandboxesEvent ev =
		OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__INIT;
	Openshell__Compute__V1__DriverSandbox s = *from;

	s.spec = NULL;
	inner.sandbox = &s;
	ev.payload_case = OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD_SANDBOX;
	ev.sandbox = &inner;
	return grpc_pack(&ev);
}

static struct h2_chunk *encode_deletion(const char *id)
{
	Openshell__Compute__V1__WatchSandboxesDeletedEvent inner =
		OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_DELETED_EVENT__INIT;
	Openshell__Compute__V1__WatchSandboxesEvent ev =
		OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__INIT;

	inner.sandbox_id = (char *)id;
	ev.payload_case = OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD_DELETED;
	ev.deleted = &inner;
	return grpc_pack(&ev);
}

static size_t encoded_length(const struct sandbox *s)
{
	return s->rec.chunk->n - s->inner;
}

/* Takes chunk. */
static void set_snapshot(struct registry *r, struct sandbox *s, struct h2_chunk *chunk)
{
	h2_chunk_unref(s->rec.chunk);
	s->rec.chunk = chunk;
	s->inner = GRPC_PREFIX + 2; /* the tag, and the last byte of the length */
	while (chunk->bytes[s->inner - 1] & 0x80)
		s->inner++;
	r->encoded += encoded_length(s);
}

static struct sandbox *new_sandbox(struct registry *r, const char *id)
{
	struct sandbox *s = xcalloc(1, sizeof *s);

	s->is.id = xstrdup(id);
	list_init(&s->rec.log);
	list_init(&s->rec.queue);
	map_put(&r->by_id, str_of(id), s);
	return s;
}

static enum registry_put add(struct registry *r, struct sandbox *s,
			     const Openshell__Compute__V1__DriverSandbox *from, const char *object,
			     uint64_t version)
{
	if (s == NULL) {
		s = new_sandbox(r, from->id);
	} else {
		log_unlink(r, &s->rec);
		list_del(&s->rec.queue);
		r->n_deletions--;
	}
	s->rec.kind = SANDBOX;
	s->is.version = MAX(s->is.version, version);
	set_snapshot(r, s, encode_sandbox(from));
	set_texts(r, s, from, object);
	r->n_sandboxes++;
	log_append(r, &s->rec);
	return REGISTRY_ADDED;
}

static enum registry_put change(struct registry *r, struct sandbox *s,
				const Openshell__Compute__V1__DriverSandbox *from,
				const char *object, uint64_t version)
{
	struct h2_chunk *chunk = encode_sandbox(from), *old = s->rec.chunk;

	s->is.version = MAX(s->is.version, version);
	if (chunk->n == old->n && memcmp(chunk->bytes, old->bytes, old->n) == 0) {
		h2_chunk_unref(chunk);
		return REGISTRY_SAME;
	}
	r->encoded -= encoded_length(s);
	set_snapshot(r, s, chunk);
	clear_texts(r, s);
	set_texts(r, s, from, object);
	log_move(r, &s->rec);
	return REGISTRY_CHANGED;
}

static struct sandbox *of_object(const struct registry *r, const char *namespace,
				 const char *object)
{
	_cleanup_free_ char *key = place(namespace, object);
	return map_get(&r->by_object, str_of(key));
}

/* Makes a deletion of it. */
static void bury(struct registry *r, struct sandbox *s, uint64_t version)
{
	clear_texts(r, s);
	r->encoded -= encoded_length(s);
	r->n_sandboxes--;
	h2_chunk_unref(s->rec.chunk);
	s->rec.chunk = encode_deletion(s->is.id);
	s->is.version = MAX(s->is.version, version);
	s->rec.kind = DELETION;
	s->rec.owed = (uint32_t)r->n_watches;
	log_move(r, &s->rec);
	list_add(&r->deletions, &s->rec.queue);
	r->n_deletions++;
	bound_deletions(r);
}

enum registry_put registry_put(struct registry *r,
			       const Openshell__Compute__V1__DriverSandbox *from,
			       const char *object, uint64_t version)
{
	must(from->id[0] != '\0');
	trim(r);
	struct sandbox *before = of_object(r, from->namespace_, object);
	if (before != NULL && !streq(before->is.id, from->id)) { /* the object has a new id */
		if (version != 0 && version < before->is.version)
			return REGISTRY_OLD;
		bury(r, before, 0);
	}
	struct sandbox *s = map_get(&r->by_id, str_of(from->id));
	if (s == NULL)
		return add(r, NULL, from, object, version);
	if (s->rec.kind == DELETION) {
		if (version != 0 && version <= s->is.version)
			return REGISTRY_OLD;
		return add(r, s, from, object, version);
	}
	if (!streq(s->is.object, object) || !streq(s->is.namespace, from->namespace_))
		return REGISTRY_FOREIGN;
	if (version != 0 && version < s->is.version)
		return REGISTRY_OLD;
	return change(r, s, from, object, version);
}

bool registry_remove(struct registry *r, const char *namespace, const char *object,
		     uint64_t version)
{
	trim(r);
	struct sandbox *s = of_object(r, namespace, object);

	if (s == NULL || (version != 0 && version < s->is.version))
		return false;
	bury(r, s, version);
	return true;
}

void registry_event(struct registry *r, const char *id,
		    const Openshell__Compute__V1__DriverPlatformEvent *event)
{
	Openshell__Compute__V1__WatchSandboxesPlatformEvent inner =
		OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_PLATFORM_EVENT__INIT;
	Openshell__Compute__V1__WatchSandboxesEvent ev =
		OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__INIT;

	trim(r);
	if (r->n_watches == 0)
		return;
	inner.sandbox_id = (char *)id;
	inner.event = (Openshell__Compute__V1__DriverPlatformEvent *)event;
	ev.payload_case = OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD_PLATFORM_EVENT;
	ev.platform_event = &inner;

	struct record *rec = xcalloc(1, sizeof *rec);
	rec->chunk = grpc_pack(&ev);
	rec->kind = EVENT;
	rec->owed = (uint32_t)r->n_watches;
	list_add(&r->events, &rec->queue);
	r->n_events++;
	log_append(r, rec);
	bound_events(r);
}

/* --- what is known --- */

struct registry *registry_new(void)
{
	struct registry *r = xcalloc(1, sizeof *r);

	list_init(&r->log);
	list_init(&r->deletions);
	list_init(&r->events);
	list_init(&r->watches);
	return r;
}

void registry_free(struct registry *r)
{
	if (r == NULL)
		return;
	must(r->n_watches == 0);
	trim(r);
	list_each(rec, &r->log, struct record, log)
		free_sandbox(container_of(rec, struct sandbox, rec));
	map_fini(&r->by_id);
	map_fini(&r->by_object);
	map_fini(&r->by_instance);
	free(r);
}

void registry_set_synced(struct registry *r, bool synced)
{
	r->synced = synced;
}

bool registry_synced(const struct registry *r)
{
	return r->synced;
}

const struct registry_sandbox *registry_get(const struct registry *r, const char *id)
{
	struct sandbox *s = map_get(&r->by_id, str_of(id));
	return s != NULL && s->rec.kind == SANDBOX ? &s->is : NULL;
}

const struct registry_sandbox *registry_of_object(const struct registry *r, const char *namespace,
						  const char *object)
{
	_cleanup_free_ char *key = place(namespace, object);
	struct sandbox *s = map_get(&r->by_object, str_of(key));

	if (s == NULL)
		s = map_get(&r->by_instance, str_of(key));
	return s != NULL ? &s->is : NULL;
}

const struct registry_sandbox *registry_next(const struct registry *r,
					     const struct registry_sandbox *s)
{
	const struct record *rec = s == NULL ? NULL : &container_of(s, struct sandbox, is)->rec;

	do {
		rec = record_after(r, rec);
	} while (rec != NULL && rec->kind != SANDBOX);
	return rec == NULL ? NULL : &container_of(rec, struct sandbox, rec)->is;
}

/* A name is looked for one by one: it is asked for only when an id is not known, which is rare, and
 * an index would cost each sandbox memory for ever. */
enum lookup registry_find(const struct registry *r, const char *id, const char *name,
			  const struct registry_sandbox **out)
{
	const struct lookup_key key = {id, name};
	enum lookup found = LOOKUP_NONE;

	*out = registry_get(r, id);
	if (*out != NULL)
		return LOOKUP_ID;
	if (name[0] == '\0')
		return LOOKUP_NONE;
	for (const struct registry_sandbox *s = NULL; (s = registry_next(r, s)) != NULL;) {
		const struct lookup_sandbox candidate = {s->id, s->name, s->workspace};
		if (lookup_better(&found, lookup_match(&key, &candidate)))
			*out = s;
	}
	return found;
}

size_t registry_count(const struct registry *r)
{
	return r->n_sandboxes;
}

struct str registry_encoded(const struct registry_sandbox *is)
{
	const struct sandbox *s = container_of(is, struct sandbox, is);
	return str_sub(s->rec.chunk->bytes + s->inner, encoded_length(s));
}

size_t registry_encoded_total(const struct registry *r)
{
	return r->encoded;
}

/* --- streams --- */

struct registry_watch *registry_watch_open(struct registry *r, void (*wake)(void *owner),
					   void *owner)
{
	struct registry_watch *w = xcalloc(1, sizeof *w);

	w->r = r;
	w->next = record_after(r, NULL);
	w->opened = r->seq;
	w->wake = wake;
	w->owner = owner;
	list_add(&r->watches, &w->link);
	r->n_watches++;
	return w;
}

/* From the newest back: what a stream is owed is the end of a queue. */
static void forgive(const struct registry_watch *w, struct list *queue)
{
	for (struct list *l = queue->prev; l != queue; l = l->prev) {
		struct record *rec = container_of(l, struct record, queue);
		if (!watch_owed(w, rec))
			return;
		rec->owed--;
	}
}

void registry_watch_close(struct registry_watch *w)
{
	struct registry *r = w->r;

	forgive(w, &r->deletions);
	forgive(w, &r->events);
	list_del(&w->link);
	r->n_watches--;
	free(w);
	trim(r);
}

enum registry_step registry_watch_next(struct registry_watch *w, struct h2_chunk **out)
{
	trim(w->r); /* here and not behind it: *out must stay */
	for (;;) {
		struct record *rec = w->next;
		if (w->lost)
			return REGISTRY_LOST;
		if (rec == NULL) {
			w->idle = true;
			w->dropped = 0;
			return REGISTRY_NOTHING;
		}
		bool owed = rec->kind != SANDBOX && watch_owed(w, rec);
		w->next = record_after(w->r, rec);
		w->seen = rec->seq;
		if (owed)
			rec->owed--;
		if (rec->kind == EVENT && !owed)
			continue; /* of a time before this stream: not news */
		*out = rec->chunk;
		return REGISTRY_MESSAGE;
	}
}
