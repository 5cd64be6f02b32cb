/*
 * A whole collection, in pages of KUBE_PAGE objects (limit and continue). Each object is parsed,
 * told and released as its bytes arrive, so that thousands of objects cost the memory of one. All
 * pages are of one resourceVersion. A list that failed half-way, or outlived its continue token
 * (KUBE_EXPIRED), is reported as failed: it is never a list.
 */
#ifndef OPENSHELL_KUBE_LIST_H
#define OPENSHELL_KUBE_LIST_H

#include "kube/client.h"

enum {
	KUBE_PAGE = 500,
	KUBE_LIST_TIMEOUT_MS = 60000, /* of one page */
};

struct kube_list; /* under way */

struct kube_list_config {
	const char *path; /* the collection, with selectors, from kube_path; copied */
	int first;        /* only so many objects of it, at most a page; 0: all */
	/* One object; borrowed. */
	void (*item)(void *owner, const cJSON *object);
	/* The end. resource_version is that of the whole list, what to watch from; NULL on error. */
	void (*done)(void *owner, const char *resource_version, const struct kube_error *error);
	void *owner;
};

/* Starts it; the handle is valid until done is called or kube_list_cancel. */
struct kube_list *kube_list(struct kube_client *c, const struct kube_list_config *config);
/* Drops it without a callback (also from inside item). Takes NULL. */
void kube_list_cancel(struct kube_list *l);

#endif
