#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/quantity.h"
#include "driver/kubernetes/schema.h"

/* Where we are: "volumes[2].name". A path that is too long is cut, which an error text bears. */
struct path {
	char text[256];
};

static struct path below(const struct path *p, const char *key)
{
	struct path q;

	snprintf(q.text, sizeof q.text, "%.180s%s%.70s", p->text, p->text[0] ? "." : "", key);
	return q;
}

static struct path at_index(const struct path *p, int i)
{
	struct path q;

	snprintf(q.text, sizeof q.text, "%.240s[%d]", p->text, i);
	return q;
}

static const struct schema *find(const struct schema *fields, const char *key)
{
	for (; fields->key != NULL; fields++) {
		if (streq(fields->key, key))
			return fields;
	}
	return NULL;
}

static int unknown(const struct path *p, const struct schema *fields, struct err *e)
{
	char all[300] = "";

	for (const struct schema *f = fields; f->key != NULL; f++) {
		size_t n = strlen(all);
		snprintf(all + n, sizeof all - n, "%s%s", n ? ", " : "", f->key);
	}
	return err_set(e, EINVAL, "unknown field '%s', expected one of: %s", p->text, all);
}

static int wrong(const struct path *p, const char *want, struct err *e)
{
	return err_set(e, EINVAL, "field '%s' must be %s", p->text, want);
}

static bool is_amount(const cJSON *j)
{
	return cJSON_IsString(j) ? is_quantity(str_of(j->valuestring))
				 : cJSON_IsNumber(j) && j->valuedouble >= 0;
}

/* Every member of a map. */
static int check_map(const cJSON *j, enum shape shape, const struct path *p, struct err *e)
{
	const cJSON *v;

	if (!cJSON_IsObject(j))
		return wrong(p, "an object", e);
	cJSON_ArrayForEach(v, j) {
		struct path q = below(p, v->string);
		if (shape == SHAPE_STRINGS && !cJSON_IsString(v))
			return wrong(&q, "a string", e);
		if (shape == SHAPE_AMOUNTS && !is_amount(v))
			return wrong(&q, "a quantity such as 500m or 4Gi", e);
	}
	return 0;
}

static int check_fields(const cJSON *o, const struct schema *fields, const struct path *p,
			struct err *e);

static int check_list(const cJSON *j, const struct schema *sub, const struct path *p, struct err *e)
{
	const cJSON *v;
	int i = 0;

	if (!cJSON_IsArray(j))
		return wrong(p, "a list", e);
	cJSON_ArrayForEach(v, j) {
		struct path q = at_index(p, i++);
		if (!cJSON_IsObject(v))
			return wrong(&q, "an object", e);
		if (sub != NULL && check_fields(v, sub, &q, e) < 0)
			return -1;
	}
	return 0;
}

static int check_value(const cJSON *j, const struct schema *f, const struct path *p, struct err *e)
{
	switch (f->shape) {
	case SHAPE_STRING:
		return cJSON_IsString(j) ? 0 : wrong(p, "a string", e);
	case SHAPE_BOOL:
		return cJSON_IsBool(j) ? 0 : wrong(p, "true or false", e);
	case SHAPE_STRINGS:
	case SHAPE_AMOUNTS:
		return check_map(j, f->shape, p, e);
	case SHAPE_LIST:
		return check_list(j, NULL, p, e);
	case SHAPE_OBJECT:
		return check_fields(j, f->sub, p, e);
	case SHAPE_OBJECTS:
		return check_list(j, f->sub, p, e);
	}
	must(!"shape");
	return -1;
}

static int check_fields(const cJSON *o, const struct schema *fields, const struct path *p,
			struct err *e)
{
	const cJSON *v;

	if (!cJSON_IsObject(o))
		return wrong(p, "an object", e);
	cJSON_ArrayForEach(v, o) {
		struct path q = below(p, v->string);
		const struct schema *f = find(fields, v->string);
		if (f == NULL)
			return unknown(&q, fields, e);
		if (!cJSON_IsNull(v) && check_value(v, f, &q, e) < 0)
			return -1;
	}
	for (; fields->key != NULL; fields++) {
		struct path q = below(p, fields->key);
		v = json_get(o, fields->key);
		if (fields->required && (v == NULL || cJSON_IsNull(v)))
			return err_set(e, EINVAL, "missing field '%s'", q.text);
	}
	return 0;
}

int schema_check(const cJSON *object, const struct schema *fields, struct err *e)
{
	struct path root = {""};

	return check_fields(object, fields, &root, e);
}
