/*
 * The shape of a JSON object as a table, and the check that nothing else is in it: a key that is not
 * in the table is refused by its path, so that a typing error is never a silently lost setting.
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_SCHEMA_H
#define OPENSHELL_DRIVER_KUBERNETES_SCHEMA_H

#include <stdbool.h>

#include <cJSON.h>

#include "base/err.h"

enum shape {
	SHAPE_STRING,
	SHAPE_BOOL,
	SHAPE_STRINGS, /* object whose values are strings */
	SHAPE_AMOUNTS, /* object whose values are quantities: strings, or numbers */
	SHAPE_LIST,    /* array of objects, not looked into */
	SHAPE_OBJECT,  /* object of the fields in sub */
	SHAPE_OBJECTS, /* array of them */
};

struct schema {
	const char *key; /* NULL ends the table */
	enum shape shape;
	const struct schema *sub;
	bool required;
};

/* -1 with the text of *e naming the path: "unknown field 'pod.node_selctor', expected one of: …". A
 * value of null counts as absent. */
int schema_check(const cJSON *object, const struct schema *fields, struct err *e);

#endif
