/*
 * JSON in a pool against cJSON: what the strict reader takes, the other takes too, and both say the
 * same of it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/json_pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct json_pool pool;
	struct str text = str_sub(p, n);
	struct err e;
	const cJSON *ours = json_pool_parse(&pool, text, "fuzz", &e);

	if (ours == NULL)
		return 0;
	_cleanup_json_ cJSON *theirs = json_parse(text, "fuzz", &e);
	must(theirs != NULL);
	_cleanup_free_ char *a = json_text(ours), *b = json_text(theirs);
	must(strcmp(a, b) == 0);
	return 0;
}
