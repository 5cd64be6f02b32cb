/*
 * YAML read into the same tree that JSON is read into, so that whoever reads a kubeconfig or a
 * policy need not know which it was. One document of the YAML 1.2 core schema: true, false, null,
 * numbers and text. What has no meaning in JSON is refused with its line and column: a key given
 * twice, a key that is no scalar, tags of one's own, merge keys, a second document. Aliases are
 * copied, within the bounds below.
 */
#ifndef OPENSHELL_BASE_YAML_H
#define OPENSHELL_BASE_YAML_H

#include <cJSON.h>

#include "base/err.h"
#include "base/str.h"

enum {
	YAML_SIZE_MAX = 1 << 20, /* bytes of text */
	YAML_DEPTH_MAX = 64,     /* collections in collections; cJSON's own limit is 100 */
	YAML_NODES_MAX = 200000, /* with what aliases copy */
	YAML_ANCHORS_MAX = 256,
};

/* Parses the text; JSON is taken as well. An empty document is null. what names it in the error:
 * "config: line 3 column 7: key "a" is given twice". NULL on error; else the caller's, released by
 * cJSON_Delete. */
cJSON *yaml_parse(struct str text, const char *what, struct err *e);

/* Where in the text a node stands: a member of a mapping at its key, anything else at its own first
 * character, what an alias copied at the alias. Counted from 1. */
struct yaml_mark {
	unsigned line, column;
};

/* The marks of a tree's nodes, for whoever finds fault with a value later. */
struct yaml_marks;

/* The same as yaml_parse, and *marks (the caller's, by yaml_marks_free) says where the nodes of the
 * tree stand for as long as the tree is not changed. *marks is NULL on error. */
cJSON *yaml_parse_marked(struct str text, const char *what, struct yaml_marks **marks,
			 struct err *e);
/* {0, 0} for a node that is not of that tree. */
struct yaml_mark yaml_mark_of(const struct yaml_marks *m, const cJSON *node);
void yaml_marks_free(struct yaml_marks *m);

/* The text of a scalar as it was written, for a place where text is wanted and 0123 or true was
 * written without quotes; NULL when the node is no scalar, null, or absent. Borrowed. */
const char *yaml_text(const cJSON *scalar);

#endif
