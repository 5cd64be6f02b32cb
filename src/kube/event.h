/*
 * One line of a watch: {"type":"ADDED","object":{…}}. Parsed without I/O; used by reflector.c.
 */
#ifndef OPENSHELL_KUBE_EVENT_H
#define OPENSHELL_KUBE_EVENT_H

#include <cJSON.h>

#include "base/err.h"
#include "base/json_pool.h"
#include "base/str.h"

enum kube_event_type {
	KUBE_ADDED,
	KUBE_MODIFIED,
	KUBE_DELETED,
	KUBE_BOOKMARK, /* only metadata.resourceVersion counts */
	KUBE_ERROR,    /* object is a Status */
};

/* Parses a line. *object lives in the pool until its next use. An event of a type that nobody knows,
 * or without an object, is an error. */
int kube_event_parse(struct json_pool *pool, struct str line, enum kube_event_type *type,
		     const cJSON **object, struct err *e);

#endif
