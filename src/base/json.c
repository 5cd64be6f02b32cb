#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

void json_freep(cJSON **j)
{
	cJSON_Delete(*j);
}

cJSON *json_parse(struct str text, const char *what, struct err *e)
{
	const char *end = NULL;
	cJSON *j = text.n ? cJSON_ParseWithLengthOpts(text.p, text.n, &end, 0) : NULL;

	if (j == NULL) {
		size_t at = end ? (size_t)(end - text.p) : 0;
		err_set(e, EINVAL, "%s is not JSON (at byte %zu)", what, at);
		return NULL;
	}
	if (str_trim(str_sub(end, text.n - (size_t)(end - text.p))).n > 0) {
		cJSON_Delete(j);
		err_set(e, EINVAL, "%s has text behind its JSON", what);
		return NULL;
	}
	return j;
}

char *json_text(const cJSON *j)
{
	char *s = cJSON_PrintUnformatted(j);

	if (s == NULL)
		die("out of memory");
	return s;
}

cJSON *json_get(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

const cJSON *json_at(const cJSON *o, ...)
{
	const char *key;
	va_list ap;

	va_start(ap, o);
	while (o != NULL && (key = va_arg(ap, const char *)) != NULL)
		o = json_get(o, key);
	va_end(ap);
	return o;
}

const char *json_str(const cJSON *o, const char *key)
{
	return cJSON_GetStringValue(json_get(o, key));
}

const char *json_str_or_empty(const cJSON *o, const char *key)
{
	const char *s = json_str(o, key);

	return s ? s : "";
}

int64_t json_int(const cJSON *o, const char *key, int64_t fallback)
{
	const cJSON *j = json_get(o, key);

	if (!cJSON_IsNumber(j) || !(fabs(j->valuedouble) < 9.2e18))
		return fallback;
	return (int64_t)j->valuedouble;
}

bool json_bool(const cJSON *o, const char *key, bool fallback)
{
	const cJSON *j = json_get(o, key);

	return cJSON_IsBool(j) ? cJSON_IsTrue(j) : fallback;
}

cJSON *json_made(cJSON *j)
{
	if (j == NULL)
		die("out of memory");
	return j;
}

cJSON *json_object(void)
{
	return json_made(cJSON_CreateObject());
}

cJSON *json_array(void)
{
	return json_made(cJSON_CreateArray());
}

cJSON *json_new_str(const char *value)
{
	return json_made(cJSON_CreateString(value));
}

cJSON *json_copy(const cJSON *j)
{
	return json_made(cJSON_Duplicate(j, 1));
}

cJSON *json_put(cJSON *o, const char *key, cJSON *value)
{
	must(cJSON_IsObject(o));
	cJSON_DeleteItemFromObjectCaseSensitive(o, key);
	if (!cJSON_AddItemToObject(o, key, value))
		die("out of memory");
	return value;
}

cJSON *json_put_object(cJSON *o, const char *key)
{
	return json_put(o, key, json_object());
}

cJSON *json_put_array(cJSON *o, const char *key)
{
	return json_put(o, key, json_array());
}

cJSON *json_put_str(cJSON *o, const char *key, const char *value)
{
	return json_put(o, key, json_new_str(value));
}

cJSON *json_put_int(cJSON *o, const char *key, int64_t value)
{
	return json_put(o, key, json_made(cJSON_CreateNumber((double)value)));
}

cJSON *json_put_bool(cJSON *o, const char *key, bool value)
{
	return json_put(o, key, json_made(cJSON_CreateBool(value)));
}

cJSON *json_add(cJSON *array, cJSON *value)
{
	must(cJSON_IsArray(array));
	if (!cJSON_AddItemToArray(array, value))
		die("out of memory");
	return value;
}

cJSON *json_add_object(cJSON *array)
{
	return json_add(array, json_object());
}

cJSON *json_add_str(cJSON *array, const char *value)
{
	return json_add(array, json_new_str(value));
}

const char *json_unknown_key(const cJSON *o, const char *const *known)
{
	const cJSON *it;

	cJSON_ArrayForEach(it, o) {
		size_t i = 0;
		while (known[i] != NULL && strcmp(known[i], it->string) != 0)
			i++;
		if (known[i] == NULL)
			return it->string;
	}
	return NULL;
}
