/*
 * A GraphQL document (GraphQL specification, October 2021, section 2), as far as the policy asks: the operation
 * that is executed, its type, and the fields of its root. No I/O.
 */
#ifndef OPENSHELL_PROXY_GRAPHQL_DOCUMENT_H
#define OPENSHELL_PROXY_GRAPHQL_DOCUMENT_H

#include "base/arena.h"
#include "base/str.h"
#include "policy/decide.h"

enum {
	GRAPHQL_TOKENS_MAX = 20000,
	GRAPHQL_DEPTH_MAX = 128,       /* of selections, and of values */
	GRAPHQL_DEFINITIONS_MAX = 128, /* ours, as the next */
	GRAPHQL_FIELDS_MAX = 1024,     /* of the roots of all definitions */
};

/* Finds the operation of that name, or the only one where no name is given (n == 0). Its fields are those of
 * the fragments in its root as well. What is in *out is text's and the arena's. NULL, or why the document
 * is refused, in words. */
const char *graphql_document(struct policy_graphql_operation *out, struct str text, struct str name,
			     struct arena *a);

#endif
