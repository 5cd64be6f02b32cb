#include <stdlib.h>

#include "base/json.h"
#include "base/json_pool.h"
#include "base/util.h"

/* The pool that cJSON takes its memory from at this moment; NULL: malloc. cJSON's hooks have no
 * argument, so it cannot be handed in; it is set for the length of one parse. */
static struct json_pool *current;

static void *pool_alloc(size_t n)
{
	return current != NULL ? arena_try(&current->arena, n) : malloc(n);
}

/* During a parse all that is released is the pool's, and goes with it. */
static void pool_free(void *p)
{
	if (current == NULL)
		free(p);
}

static void install_hooks(void)
{
	static bool installed;
	cJSON_Hooks hooks = {.malloc_fn = pool_alloc, .free_fn = pool_free};

	if (!installed)
		cJSON_InitHooks(&hooks);
	installed = true;
}

void json_pool_fini(struct json_pool *p)
{
	arena_fini(&p->arena);
}

const cJSON *json_pool_parse(struct json_pool *p, struct str text, const char *what, struct err *e)
{
	install_hooks();
	json_pool_fini(p);
	p->arena.max = JSON_POOL_MAX;
	current = p;
	cJSON *j = json_parse(text, what, e);
	current = NULL;
	return j;
}
