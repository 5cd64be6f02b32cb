/*
 * The one place that knows the sandboxes. A backend keeps it true (put, remove, event); Get and List
 * are answered from it, and every WatchSandboxes stream is fed from it. It does no I/O.
 *
 * A sandbox's snapshot is encoded once, when it changes, and the bytes are shared by every reader:
 * they are queued on each stream by reference.
 *
 * The change log. Sandboxes, deletions and platform events are records in one list, in the order of
 * their last change: a sandbox that changes moves to the end. A stream is a place in that list. So
 * a reader costs a few bytes however slow it is, it gets only the newest state of a sandbox, and it
 * gets every deletion. A new stream starts at the front: it is told every present sandbox, the
 * deletions that are still remembered (a gateway that was away for a moment misses none), then what
 * changes.
 *
 *   put, new id        -> a record at the end
 *   put, other bytes   -> its record moves to the end
 *   put, same bytes    -> nothing
 *   remove             -> its record becomes a deletion and moves to the end
 *   put after remove   -> the deletion becomes a sandbox again and moves to the end: a reader that
 *                         was not told of the deletion yet never will be
 *   event              -> a record at the end, gone once every stream of now has passed it
 *
 * What is bounded, and what happens at the bound: REGISTRY_EVENTS_MAX platform events wait for slow
 * streams; then the oldest is dropped, and said once a stream. REGISTRY_DELETIONS_MAX deletions wait;
 * then the oldest is dropped and a stream that has not been told of it ends with an error, never
 * silently (see registry_watch_next).
 */
#ifndef OPENSHELL_DRIVER_REGISTRY_H
#define OPENSHELL_DRIVER_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "compute_driver.pb-c.h"
#include "driver/lookup.h"

struct h2_chunk;
struct registry;

enum {
	REGISTRY_EVENTS_MAX = 4096,
	REGISTRY_DELETIONS_KEPT = 1024, /* remembered for new streams */
	REGISTRY_DELETIONS_MAX = 16384, /* remembered for slow ones */
};

struct registry *registry_new(void);
/* Every watch must have ended; takes NULL. */
void registry_free(struct registry *r);

/* --- what a backend does --- */

enum registry_put {
	REGISTRY_ADDED,
	REGISTRY_CHANGED,
	REGISTRY_SAME,    /* nothing to tell */
	REGISTRY_OLD,     /* refused: what is known is newer */
	REGISTRY_FOREIGN, /* refused: the id belongs to another object that is present; when that one
			     goes, the backend may put this one */
};

/*
 * The sandbox is like this. Its id is the key and not empty; its spec is not kept. object is the
 * name of the platform's object in the namespace s->namespace_, and s->status->instance_id what runs
 * it. All is copied. A sandbox of another id that was this object is thereby removed.
 *
 * version orders what is said about one id: what is older than what is known, or than its deletion,
 * is refused, so that a slow answer to a live read cannot undo what a watch has told since
 * (Kubernetes: the resourceVersion as number). 0: not known, always taken.
 */
enum registry_put registry_put(struct registry *r, const Openshell__Compute__V1__DriverSandbox *s,
			       const char *object, uint64_t version);

/* The object is gone, and with it the sandbox that it was. False when no sandbox is this object.
 * version as above, 0 when not known. */
bool registry_remove(struct registry *r, const char *namespace, const char *object,
		     uint64_t version);

/* The platform said something about a sandbox. Nothing is kept when nobody watches. */
void registry_event(struct registry *r, const char *id,
		    const Openshell__Compute__V1__DriverPlatformEvent *event);

/* True: every sandbox of the platform is here, and stays true from now on (a whole list was told and
 * a watch is open). False, as at the beginning: Get and List read live. A backend says false when
 * its watch has been away for so long that what is here may be old. */
void registry_set_synced(struct registry *r, bool synced);
bool registry_synced(const struct registry *r);

/* --- what is known --- */

/* All strings are borrowed until the next put or remove, never NULL, "" when not known. */
struct registry_sandbox {
	const char *id, *name, *workspace, *namespace, *object, *instance;
	uint64_t version;
};

const struct registry_sandbox *registry_get(const struct registry *r, const char *id);
/* Whose object or instance (pod) that is; NULL for nobody's. */
const struct registry_sandbox *registry_of_object(const struct registry *r, const char *namespace,
						  const char *object);
/* By lookup.h's rule: *out is set for LOOKUP_ID and LOOKUP_NAME. */
enum lookup registry_find(const struct registry *r, const char *id, const char *name,
			  const struct registry_sandbox **out);
/* All, in the order of their last change: NULL gives the first, NULL comes behind the last. Nothing
 * may be put or removed meanwhile. */
const struct registry_sandbox *registry_next(const struct registry *r,
					     const struct registry_sandbox *s);
size_t registry_count(const struct registry *r);

/* The snapshot as an encoded GetSandboxResponse. Its bytes are also those of one element of a
 * ListSandboxesResponse, and of a WatchSandboxesSandboxEvent: all three have it as field 1. */
struct str registry_encoded(const struct registry_sandbox *s);
/* The bytes of all of them together: the length of an encoded ListSandboxesResponse. */
size_t registry_encoded_total(const struct registry *r);

/* --- streams --- */

struct registry_watch;

/* Opens one. wake is called when there is something for registry_watch_next behind its last
 * REGISTRY_NOTHING; not from inside registry_watch_open, and it must not call the registry back. */
struct registry_watch *registry_watch_open(struct registry *r, void (*wake)(void *owner),
					   void *owner);
void registry_watch_close(struct registry_watch *w);

enum registry_step {
	REGISTRY_NOTHING, /* all told; wake will be called */
	REGISTRY_MESSAGE, /* *out is a WatchSandboxesEvent, packed as by grpc_pack */
	REGISTRY_LOST,    /* the stream fell behind the deletions: it must end, with an error */
};

/* The next message for this stream. *out is borrowed until any other call of this header. */
enum registry_step registry_watch_next(struct registry_watch *w, struct h2_chunk **out);

#endif
