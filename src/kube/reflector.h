/*
 * Keeps its owner's picture of one collection true: lists it in pages, watches it from there, and
 * does so again whenever the watch ends, for as long as it lives. It remembers key, uid and
 * resourceVersion of each object, not the objects: what an owner is told twice it need not compare,
 * what vanished while nobody looked is told as a deletion, and an object that was made again under
 * its old name is told as a deletion and an object. It never gives up and never forgets; a server
 * that is away for an hour costs a try each eight seconds.
 *
 * Callbacks come from the loop. The owner may call kube_reflector_free from any of them.
 */
#ifndef OPENSHELL_KUBE_REFLECTOR_H
#define OPENSHELL_KUBE_REFLECTOR_H

#include <stdbool.h>
#include <stddef.h>

#include <cJSON.h>

#include "base/str.h"
#include "kube/client.h"

struct kube_reflector;

/* Which object; borrowed. ns is empty for cluster-wide types. */
struct kube_key {
	struct str ns, name, uid;
};

struct kube_reflector_config {
	const char *path;           /* the collection, from kube_path, without query; copied */
	const char *label_selector; /* or NULL; copied */
	const char *field_selector; /* or NULL; copied */
	/* A collection of happenings instead of things, such as Events: only what comes from now on is
	 * told. No object is remembered and gone is never called; after a gap in the watch (410) what
	 * is there is told again, the old with the new. */
	bool tail;

	/* The object is new or changed. Borrowed; take what you need. Objects of the first list come
	 * before synced. Kind and apiVersion are absent in listed objects. */
	void (*upsert)(void *owner, const struct kube_key *key, const cJSON *object);
	/* It is gone. object is its last state, or NULL when it vanished between two lists: that was
	 * before kube_reflector_version. */
	void (*gone)(void *owner, const struct kube_key *key, const cJSON *object);
	/* A whole list was told (the difference to what was known before); again after each relist. */
	void (*synced)(void *owner);
	/* Something failed and will be tried again by itself; for the owner's log, and for its decision:
	 * KUBE_NO_RESOURCE means that the type or its version is not served (any more), KUBE_FORBIDDEN
	 * that we may not. An owner that then knows better calls kube_reflector_set_path. A watch that
	 * ends in order or is silent, and a 410 that a relist heals, are no failures. May be NULL. */
	void (*failed)(void *owner, const struct kube_error *error);
	void *owner;
};

/* Starts it: the first list is asked for at once. client is borrowed and must live longer. */
struct kube_reflector *kube_reflector_new(struct kube_client *client,
					  const struct kube_reflector_config *config);
/* Ends it; no callback is called any more. Takes NULL. */
void kube_reflector_free(struct kube_reflector *r);

/* Goes on with another collection of the same objects (another API version): lists at once, tells
 * every object again since its form changed, and those that are not there as gone. */
void kube_reflector_set_path(struct kube_reflector *r, const char *path);

/* Lists again now, ignoring backoff; for an owner that has reason to doubt. */
void kube_reflector_relist(struct kube_reflector *r);

/* Whether a first list has been told. */
bool kube_reflector_synced(const struct kube_reflector *r);
/* Whether the picture is being kept: synced, and the watch is open. */
bool kube_reflector_live(const struct kube_reflector *r);
/* The resourceVersion that the picture is of; NULL before the first list. Borrowed. */
const char *kube_reflector_version(const struct kube_reflector *r);
/* How many objects it knows. */
size_t kube_reflector_count(const struct kube_reflector *r);

#endif
