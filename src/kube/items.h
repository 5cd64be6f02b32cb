/*
 * Splits a list as the API server writes it, {"items":[{…},{…}],"metadata":{…}}, into the texts of
 * its items while it arrives, so that a list of any length costs the memory of one item. What stands
 * around the items is kept and parsed at the end. No I/O; used by list.c.
 */
#ifndef OPENSHELL_KUBE_ITEMS_H
#define OPENSHELL_KUBE_ITEMS_H

#include <stdbool.h>

#include <cJSON.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum {
	KUBE_ITEM_MAX =
		4 << 20, /* bytes of one object; etcd takes 1.5 MiB, conversion may double it */
	KUBE_AROUND_MAX = 1 << 20, /* bytes of everything but the items */
};

enum kube_items_place {
	ITEMS_OUTSIDE, /* anywhere but below */
	ITEMS_KEY,     /* behind "items", a key of the outermost object */
	ITEMS_COLON,   /* behind its colon */
	ITEMS_ARRAY,   /* in the array, between two items */
	ITEMS_ITEM,    /* in an item */
};

struct kube_items {
	/* The text of one item, an object by its braces; borrowed. False ends the splitting. */
	bool (*item)(void *owner, struct str text);
	void *owner;
	/* the rest is items.c's */
	enum kube_items_place place;
	unsigned depth;
	bool in_string, escaped;
	size_t string_at;  /* where the string in hand began in around */
	struct buf part;   /* an item that spans two feeds */
	struct buf around; /* the list without its items */
};

void kube_items_init(struct kube_items *s, bool (*item)(void *, struct str), void *owner);
void kube_items_fini(struct kube_items *s);

enum kube_items_result {
	ITEMS_OK,
	ITEMS_STOPPED,  /* the callback wanted no more */
	ITEMS_TOO_LONG, /* an item, or what is around them */
};

enum kube_items_result kube_items_feed(struct kube_items *s, struct str bytes);

/* The list without its items, once all of it was fed. NULL with *e filled when it is no list that
 * ended. The caller's. */
cJSON *kube_items_end(struct kube_items *s, struct err *e);

#endif
