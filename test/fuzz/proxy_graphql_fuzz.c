/*
 * GraphQL: documents, and the requests that carry them. Whatever is taken has operations whose texts are
 * names, and fields that are in the document.
 */
#include <string.h>

#include "base/util.h"
#include "proxy/graphql.h"
#include "proxy/graphql_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_name(struct str name, struct str within)
{
	for (size_t i = 0; i < name.n; i++)
		must(name.p[i] == '_' || (name.p[i] | 0x20) >= 'a' || name.p[i] <= '9');
	must(name.n == 0 || memmem(within.p, within.n, name.p, name.n) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy_graphql_operation op;
	struct graphql g;
	struct str text = str_sub(p, n);

	if (graphql_document(&op, text, STR(""), &a) == NULL) {
		must(op.operation_type.n > 0 && op.fields_n > 0 &&
		     op.fields_n <= GRAPHQL_FIELDS_MAX);
		check_name(op.operation_name, text);
		for (size_t i = 0; i < op.fields_n; i++) {
			must(op.fields[i].n > 0);
			check_name(op.fields[i], text);
		}
	}
	if (graphql_read(&g, STR("POST"), NULL, 0, text) == NULL)
		must(g.request.operations_n > 0 && g.request.operations_n <= GRAPHQL_BATCH_MAX);
	graphql_fini(&g);
	const struct policy_param query = {STR("query"), text},
				  extensions = {STR("extensions"), text};
	const struct policy_param both[] = {query, extensions};
	graphql_read(&g, STR("GET"), both, 1, STR(""));
	graphql_fini(&g);
	graphql_read(&g, STR("GET"), both + 1, 1, STR(""));
	graphql_fini(&g);
	return 0;
}
