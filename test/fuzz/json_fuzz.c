/* JSON in a pool and out of it: both say the same of the same text. */
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
	const cJSON *pooled = json_pool_parse(&pool, text, "fuzz", &e);
	_cleanup_json_ cJSON *plain = json_parse(text, "fuzz", &e);

	must((pooled == NULL) == (plain == NULL));
	if (pooled == NULL)
		return 0;
	_cleanup_free_ char *a = json_text(pooled), *b = json_text(plain);
	must(strcmp(a, b) == 0);
	return 0;
}
