#include <errno.h>
#include <math.h>

#include "base/json.h"
#include "base/map.h"
#include "wire/structs.h"
#include "wire/wire.h"

typedef Google__Protobuf__Struct Struct;
typedef Google__Protobuf__Value Value;
typedef Google__Protobuf__ListValue List;

static int too_deep(struct err *e)
{
	return err_set(e, EINVAL, "nested too deep: more than %d levels of messages",
		       WIRE_DEPTH_MAX);
}

/* Each returns NULL with *e filled. depth counts messages around this one. */
static cJSON *value_to_json(const Value *v, int depth, struct err *e);

static cJSON *struct_to_json(const Struct *s, int depth, struct err *e)
{
	_cleanup_json_ cJSON *o = json_object();
	_cleanup_(map_fini) struct map seen = MAP_INIT; /* cJSON would search its whole list */

	for (size_t i = 0; s != NULL && i < s->n_fields; i++) {
		const Google__Protobuf__Struct__FieldsEntry *f = s->fields[i];
		if (map_put(&seen, str_of(f->key), o) != NULL) {
			err_set(e, EINVAL, "key '%.100s' is there twice", f->key);
			return NULL;
		}
		cJSON *v = value_to_json(f->value, depth + 2, e);
		if (v == NULL)
			return NULL;
		if (!cJSON_AddItemToObject(o, f->key, v))
			die("out of memory");
	}
	return steal(&o);
}

static cJSON *list_to_json(const List *l, int depth, struct err *e)
{
	_cleanup_json_ cJSON *array = json_array();

	for (size_t i = 0; l != NULL && i < l->n_values; i++) {
		cJSON *v = value_to_json(l->values[i], depth + 1, e);
		if (v == NULL)
			return NULL;
		json_add(array, v);
	}
	return steal(&array);
}

static cJSON *value_to_json(const Value *v, int depth, struct err *e)
{
	if (depth > WIRE_DEPTH_MAX) {
		too_deep(e);
		return NULL;
	}
	switch (v ? v->kind_case : GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET) {
	case GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE:
		return json_made(cJSON_CreateNull());
	case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
		if (isfinite(v->number_value))
			return json_made(cJSON_CreateNumber(v->number_value));
		err_set(e, EINVAL, "a number is not finite");
		return NULL;
	case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
		return json_new_str(v->string_value);
	case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
		return json_made(cJSON_CreateBool(v->bool_value));
	case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
		return struct_to_json(v->struct_value, depth + 1, e);
	case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
		return list_to_json(v->list_value, depth + 1, e);
	case GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET:
	case _GOOGLE__PROTOBUF__VALUE__KIND__CASE_IS_INT_SIZE:
		break;
	}
	err_set(e, EINVAL, "a value has no kind");
	return NULL;
}

cJSON *structs_to_json(const Struct *s, struct err *e)
{
	return struct_to_json(s, 1, e);
}

cJSON *structs_value_to_json(const Value *v, struct err *e)
{
	return value_to_json(v, 1, e);
}

static int fill_value(Value *v, const cJSON *j, int depth, struct arena *a, struct err *e);

/* The items of an object or array. */
static size_t item_count(const cJSON *j)
{
	return (size_t)cJSON_GetArraySize(j);
}

static int fill_struct(Struct *s, const cJSON *j, int depth, struct arena *a, struct err *e)
{
	const cJSON *it;

	s->fields = arena_zalloc(a, item_count(j) * sizeof *s->fields);
	cJSON_ArrayForEach(it, j) {
		Google__Protobuf__Struct__FieldsEntry *f =
			wire_new(&google__protobuf__struct__fields_entry__descriptor, a);
		f->key = arena_dup(a, str_of(it->string));
		f->value = wire_new(&google__protobuf__value__descriptor, a);
		s->fields[s->n_fields++] = f;
		if (fill_value(f->value, it, depth + 2, a, e) < 0)
			return -1;
	}
	return 0;
}

static int fill_list(List *l, const cJSON *j, int depth, struct arena *a, struct err *e)
{
	const cJSON *it;

	l->values = arena_zalloc(a, item_count(j) * sizeof *l->values);
	cJSON_ArrayForEach(it, j) {
		Value *v = wire_new(&google__protobuf__value__descriptor, a);
		l->values[l->n_values++] = v;
		if (fill_value(v, it, depth + 1, a, e) < 0)
			return -1;
	}
	return 0;
}

static int fill_value(Value *v, const cJSON *j, int depth, struct arena *a, struct err *e)
{
	if (depth > WIRE_DEPTH_MAX)
		return too_deep(e);
	if (cJSON_IsObject(j)) {
		v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
		v->struct_value = wire_new(&google__protobuf__struct__descriptor, a);
		return fill_struct(v->struct_value, j, depth + 1, a, e);
	}
	if (cJSON_IsArray(j)) {
		v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
		v->list_value = wire_new(&google__protobuf__list_value__descriptor, a);
		return fill_list(v->list_value, j, depth + 1, a, e);
	}
	if (cJSON_IsString(j)) {
		v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
		v->string_value = arena_dup(a, str_of(j->valuestring));
	} else if (cJSON_IsNumber(j)) {
		v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
		v->number_value = j->valuedouble;
	} else if (cJSON_IsBool(j)) {
		v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
		v->bool_value = cJSON_IsTrue(j);
	} else {
		v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
	}
	return 0;
}

Struct *structs_from_json(const cJSON *j, struct arena *a, struct err *e)
{
	Struct *s = wire_new(&google__protobuf__struct__descriptor, a);

	if (!cJSON_IsObject(j)) {
		err_set(e, EINVAL, "is not an object");
		return NULL;
	}
	return fill_struct(s, j, 1, a, e) < 0 ? NULL : s;
}

Value *structs_value_from_json(const cJSON *j, struct arena *a, struct err *e)
{
	Value *v = wire_new(&google__protobuf__value__descriptor, a);

	return fill_value(v, j, 1, a, e) < 0 ? NULL : v;
}
