#include <errno.h>

#include "base/json.h"
#include "kube/event.h"

static const char *const type_names[] = {
	[KUBE_ADDED] = "ADDED",       [KUBE_MODIFIED] = "MODIFIED", [KUBE_DELETED] = "DELETED",
	[KUBE_BOOKMARK] = "BOOKMARK", [KUBE_ERROR] = "ERROR",
};
_Static_assert(ARRAY_LEN(type_names) == KUBE_ERROR + 1, "a name for each type");

int kube_event_parse(struct json_pool *pool, struct str line, enum kube_event_type *type,
		     const cJSON **object, struct err *e)
{
	const cJSON *event = json_pool_parse(pool, line, "a watch event", e);

	if (event == NULL)
		return -1;
	const char *name = json_str_or_empty(event, "type");
	size_t t = 0;
	while (t < ARRAY_LEN(type_names) && !streq(name, type_names[t]))
		t++;
	if (t == ARRAY_LEN(type_names))
		return err_set(e, EPROTO, "a watch event of the unknown type \"%.32s\"", name);
	*object = json_get(event, "object");
	if (!cJSON_IsObject(*object))
		return err_set(e, EPROTO, "a watch event without an object");
	*type = (enum kube_event_type)t;
	return 0;
}
