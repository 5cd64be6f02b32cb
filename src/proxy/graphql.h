/*
 * GraphQL requests over HTTP, as the policy judges them (policy/decide.h; supervisor contract 5.5): of a POST's
 * JSON, one or a batch, or of a GET's parameters. No I/O.
 */
#ifndef OPENSHELL_PROXY_GRAPHQL_H
#define OPENSHELL_PROXY_GRAPHQL_H

#include <cJSON.h>

#include "base/arena.h"
#include "base/str.h"
#include "policy/decide.h"

enum { GRAPHQL_BATCH_MAX = 64 };

struct graphql {
	struct policy_graphql request; /* error is "" */
	/* graphql.c's */
	struct policy_graphql_operation *operations;
	cJSON *tree;
	struct arena arena;
};

/* Reads a request with these parameters and this body. NULL, or why it is refused, in words; graphql_fini in
 * either case. */
const char *graphql_read(struct graphql *out, struct str method, const struct policy_param *params,
			 size_t params_n, struct str body);
void graphql_fini(struct graphql *g);

#endif
