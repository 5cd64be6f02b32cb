/*
 * Mappings read by tables, for read.c and read_endpoint.c; and where a node stands, for check.c too.
 */
#ifndef OPENSHELL_POLICY_READ_IMPL_H
#define OPENSHELL_POLICY_READ_IMPL_H

#include "policy/policy_impl.h"

/* Reads a node that is not null into what *into is. */
typedef int read_fn(struct policy_build *b, const cJSON *node, void *into);

struct field {
	const char *key;
	read_fn *read;
	size_t offset; /* of the member of the structure that is read into */
	bool required;
};

/* Reads the mapping's members by the table into the structure at into. A member that is not in the
 * table is refused; one that is null counts as absent. Texts and patterns that are absent become
 * "". name is what the mapping is, "an endpoint". */
int read_fields(struct policy_build *b, const cJSON *o, const char *name,
		const struct field *fields, size_t n, void *into);

struct policy_mark read_mark(const struct policy_build *b, const cJSON *node);
/* policy_bad at a node. */
int read_bad(const struct policy_build *b, const cJSON *node, const char *fmt, ...) PRINTF(3, 4);

read_fn read_text;     /* const char * */
read_fn read_pattern;  /* struct policy_pattern, its text */
read_fn read_flag;     /* bool */
read_fn read_u32;      /* uint32_t */
read_fn read_texts;    /* struct policy_texts */
read_fn read_patterns; /* struct policy_patterns, their texts */

/* Whether the node is a list; says so if not. */
int read_list(struct policy_build *b, const cJSON *node);
/* A whole number from low to high. */
int read_number(struct policy_build *b, const cJSON *node, double low, double high, double *out);

/* struct policy_network, its endpoints. read_endpoint.c. */
read_fn read_endpoints;

#endif
