#include <errno.h>

#include "base/json.h"
#include "kube/event.h"

static const char *const type_names[] = {
	[KUBE_ADDED] = "ADDED",       [KUBE_MODIFIED] = "MODIFIED", [KUBE_DELETED] = "DELETED",
	[KUBE_BOOKMARK] = "BOOKMARK", [KUBE_ERROR] = "ERROR",
};
_Static_assert(ARRAY_LEN(type_names) == KUBE_ERROR + 1, "a name for each type");

int kube_event_parse(struct str line, enum kube_event_type *type, cJSON **object, struct err *e)
{
	_cleanup_json_ cJSON *event = json_parse(line, "a watch event", e);

	if (event == NULL)
		return -1;
	const char *name = json_str_or_empty(event, "type");
	size_t t = 0;
	while (t < ARRAY_LEN(type_names) && !streq(name, type_names[t]))
		t++;
	if (t == ARRAY_LEN(type_names))
		return err_set(e, EPROTO, "a watch event of the unknown type \"%.32s\"", name);
	if (!cJSON_IsObject(json_get(event, "object")))
		return err_set(e, EPROTO, "a watch event without an object");
	*type = (enum kube_event_type)t;
	*object = cJSON_DetachItemFromObjectCaseSensitive(event, "object");
	return 0;
}
