#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/rfc3339.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "wire/fields.h"
#include "wire/json.h"
#include "wire/structs.h"
#include "wire/wire.h"

#define NAME_MAX_BYTES 128 /* of a field's name; ours are shorter */
#define PATH_MAX_BYTES 256 /* of a path in an error */

/* launch_authentication -> launchAuthentication */
static void camel(const char *name, char out[NAME_MAX_BYTES])
{
	size_t n = 0;

	for (; *name != '\0'; name++) {
		bool up = *name == '_' && name[1] >= 'a' && name[1] <= 'z';
		must(n + 1 < NAME_MAX_BYTES);
		out[n++] = up ? (char)(*++name - 'a' + 'A') : *name;
	}
	out[n] = '\0';
}

/* A map is a repeated message {key = 1, value = 2}, named after its field with Entry behind. */
static bool is_map(const ProtobufCFieldDescriptor *f)
{
	if (f->label != PROTOBUF_C_LABEL_REPEATED || f->type != PROTOBUF_C_TYPE_MESSAGE)
		return false;
	const ProtobufCMessageDescriptor *d = f->descriptor;
	return d->n_fields == 2 && d->fields[0].id == 1 && streq(d->fields[0].name, "key") &&
	       d->fields[1].id == 2 && streq(d->fields[1].name, "value") &&
	       str_ends(str_of(d->short_name), "Entry");
}

/* ---- to JSON ---- */

static cJSON *new_int_text(const char *fmt, ...) PRINTF(1, 2);
static cJSON *new_int_text(const char *fmt, ...)
{
	char text[32];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return json_new_str(text);
}

static cJSON *enum_to_json(const ProtobufCEnumDescriptor *d, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, value);

	return v ? json_new_str(v->name) : json_made(cJSON_CreateNumber(value));
}

static cJSON *message_to_json(const ProtobufCMessage *m, int depth, struct err *e);

static cJSON *value_to_json(const ProtobufCFieldDescriptor *f, const void *p, int depth,
			    struct err *e)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return json_made(cJSON_CreateNumber(*(const int32_t *)p));
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_made(cJSON_CreateNumber(*(const uint32_t *)p));
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return new_int_text("%lld", (long long)*(const int64_t *)p);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return new_int_text("%llu", (unsigned long long)*(const uint64_t *)p);
	case PROTOBUF_C_TYPE_FLOAT:
		return json_made(cJSON_CreateNumber((double)*(const float *)p));
	case PROTOBUF_C_TYPE_DOUBLE:
		return json_made(cJSON_CreateNumber(*(const double *)p));
	case PROTOBUF_C_TYPE_BOOL:
		return json_made(cJSON_CreateBool(*(const protobuf_c_boolean *)p));
	case PROTOBUF_C_TYPE_ENUM:
		return enum_to_json(f->descriptor, *(const int *)p);
	case PROTOBUF_C_TYPE_STRING:
		return json_new_str(*(char *const *)p ? *(char *const *)p : "");
	case PROTOBUF_C_TYPE_BYTES: {
		const ProtobufCBinaryData *b = p;
		_cleanup_free_ char *text = base64_encode(str_sub(b->data, b->len));
		return json_new_str(text);
	}
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_to_json(*(ProtobufCMessage *const *)p, depth + 1, e);
	}
	must(!"a field of unknown type");
	return NULL;
}

/* The key of a map as text: a string as it is, anything else as JSON would write it. */
static char *key_to_text(const ProtobufCFieldDescriptor *key, const ProtobufCMessage *entry)
{
	struct err none;
	_cleanup_json_ cJSON *j = value_to_json(key, field_at(entry, key, 0), 0, &none);

	return cJSON_IsString(j) ? xstrdup(j->valuestring) : json_text(j);
}

static cJSON *map_to_json(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, int depth,
			  struct err *e)
{
	_cleanup_json_ cJSON *o = json_object();

	for (size_t i = 0; i < field_count(m, f); i++) {
		const ProtobufCMessage *entry = field_message(m, f, i);
		const ProtobufCFieldDescriptor *member = entry->descriptor->fields;
		_cleanup_free_ char *key = key_to_text(&member[0], entry);
		cJSON *v = value_to_json(&member[1], field_at(entry, &member[1], 0), depth + 1, e);
		if (v == NULL)
			return NULL;
		if (!cJSON_AddItemToObject(o, key, v))
			die("out of memory");
	}
	return steal(&o);
}

static cJSON *field_to_json(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, int depth,
			    struct err *e)
{
	if (is_map(f))
		return map_to_json(m, f, depth, e);
	if (f->label != PROTOBUF_C_LABEL_REPEATED)
		return value_to_json(f, field_at(m, f, 0), depth, e);

	_cleanup_json_ cJSON *array = json_array();
	for (size_t i = 0; i < field_count(m, f); i++) {
		cJSON *v = value_to_json(f, field_at(m, f, i), depth, e);
		if (v == NULL)
			return NULL;
		json_add(array, v);
	}
	return steal(&array);
}

static cJSON *timestamp_to_json(const Google__Protobuf__Timestamp *t, struct err *e)
{
	char text[RFC3339_MAX];

	if (rfc3339_format(t->seconds, t->nanos, text))
		return json_new_str(text);
	err_set(e, EINVAL, "a timestamp is outside of the years 1 to 9999");
	return NULL;
}

static cJSON *message_to_json(const ProtobufCMessage *m, int depth, struct err *e)
{
	if (depth > WIRE_DEPTH_MAX) {
		err_set(e, EINVAL, "nested deeper than %d levels", WIRE_DEPTH_MAX);
		return NULL;
	}
	if (m == NULL) /* the value of a map entry that was absent on the wire */
		return json_object();
	if (m->descriptor == &google__protobuf__struct__descriptor)
		return structs_to_json((const Google__Protobuf__Struct *)m, e);
	if (m->descriptor == &google__protobuf__value__descriptor)
		return structs_value_to_json((const Google__Protobuf__Value *)m, e);
	if (m->descriptor == &google__protobuf__timestamp__descriptor)
		return timestamp_to_json((const Google__Protobuf__Timestamp *)m, e);

	_cleanup_json_ cJSON *o = json_object();
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		char name[NAME_MAX_BYTES];
		if (field_count(m, f) == 0)
			continue;
		cJSON *v = field_to_json(m, f, depth, e);
		if (v == NULL)
			return NULL;
		camel(f->name, name);
		json_put(o, name, v);
	}
	return steal(&o);
}

cJSON *wire_to_json(const ProtobufCMessage *m, struct err *e)
{
	return message_to_json(m, 0, e);
}

/* ---- from JSON ---- */

/* Where in the JSON the reader is, for errors: a chain on the stack, innermost last. */
struct place {
	const struct place *up;
	const char *key; /* or NULL: item number index of an array */
	int index;
	int depth; /* messages around this one */
	struct arena *a;
};

static void path_of(const struct place *p, struct buf *b)
{
	if (p == NULL || (p->up == NULL && p->key == NULL))
		return;
	path_of(p->up, b);
	if (p->key != NULL)
		buf_printf(b, "%s%.64s", b->n ? "." : "", p->key);
	else
		buf_printf(b, "[%d]", p->index);
}

static int refuse(const struct place *p, struct err *e, const char *fmt, ...) PRINTF(3, 4);
static int refuse(const struct place *p, struct err *e, const char *fmt, ...)
{
	_cleanup_buf_ struct buf b = BUF_INIT(PATH_MAX_BYTES);
	char what[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	path_of(p, &b);
	if (b.n == 0)
		return err_set(e, EINVAL, "%s", what);
	return err_set(e, EINVAL, "%.*s: %s", STR_FMT(buf_view(&b)), what);
}

/* An integer from a number or a decimal string, between min and max. */
static int read_int(const struct place *p, const cJSON *j, int64_t min, int64_t max, int64_t *out,
		    struct err *e)
{
	if (cJSON_IsString(j)) {
		if (!str_i64(str_of(j->valuestring), out))
			return refuse(p, e, "'%.40s' is not a whole number", j->valuestring);
	} else if (cJSON_IsNumber(j) && j->valuedouble == floor(j->valuedouble) &&
		   fabs(j->valuedouble) < 9.2e18) {
		*out = (int64_t)j->valuedouble;
	} else {
		return refuse(p, e, "is not a whole number");
	}
	if (*out < min || *out > max)
		return refuse(p, e, "%lld is out of range", (long long)*out);
	return 0;
}

static int read_u64(const struct place *p, const cJSON *j, uint64_t *out, struct err *e)
{
	int64_t small;

	if (cJSON_IsString(j)) {
		if (str_u64(str_of(j->valuestring), out))
			return 0;
		return refuse(p, e, "'%.40s' is not a whole number from 0 on", j->valuestring);
	}
	if (read_int(p, j, 0, INT64_MAX, &small, e) < 0)
		return -1;
	*out = (uint64_t)small;
	return 0;
}

static int read_enum(const struct place *p, const cJSON *j, const ProtobufCEnumDescriptor *d,
		     int *out, struct err *e)
{
	const ProtobufCEnumValue *v;
	int64_t number;

	if (!cJSON_IsString(j)) {
		if (read_int(p, j, INT32_MIN, INT32_MAX, &number, e) < 0)
			return -1;
		*out = (int)number;
		return 0;
	}
	v = protobuf_c_enum_descriptor_get_value_by_name(d, j->valuestring);
	if (v == NULL)
		return refuse(p, e, "'%.64s' is not a value of %s", j->valuestring, d->short_name);
	*out = v->value;
	return 0;
}

static int read_bytes(const struct place *p, const cJSON *j, ProtobufCBinaryData *out,
		      struct err *e)
{
	const char *text = cJSON_GetStringValue(j);

	if (text == NULL)
		return refuse(p, e, "is not a string");
	out->data = arena_zalloc(p->a, base64_decoded_max(strlen(text)));
	if (!base64_decode(str_of(text), out->data, &out->len))
		return refuse(p, e, "is not base64");
	return 0;
}

static int fill_message(const struct place *p, const cJSON *j, ProtobufCMessage *m, struct err *e);

static int read_message(const struct place *p, const cJSON *j, const ProtobufCMessageDescriptor *d,
			ProtobufCMessage **out, struct err *e)
{
	struct place inside = *p;

	if (++inside.depth > WIRE_DEPTH_MAX)
		return refuse(p, e, "nested deeper than %d levels", WIRE_DEPTH_MAX);
	*out = wire_new(d, p->a);
	return fill_message(&inside, j, *out, e);
}

static int read_value(const struct place *p, const cJSON *j, const ProtobufCFieldDescriptor *f,
		      void *out, struct err *e)
{
	int64_t number;

	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		if (read_int(p, j, INT32_MIN, INT32_MAX, &number, e) < 0)
			return -1;
		*(int32_t *)out = (int32_t)number;
		return 0;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		if (read_int(p, j, 0, UINT32_MAX, &number, e) < 0)
			return -1;
		*(uint32_t *)out = (uint32_t)number;
		return 0;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return read_int(p, j, INT64_MIN, INT64_MAX, out, e);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return read_u64(p, j, out, e);
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		if (!cJSON_IsNumber(j))
			return refuse(p, e, "is not a number");
		if (f->type == PROTOBUF_C_TYPE_FLOAT)
			*(float *)out = (float)j->valuedouble;
		else
			*(double *)out = j->valuedouble;
		return 0;
	case PROTOBUF_C_TYPE_BOOL:
		if (!cJSON_IsBool(j))
			return refuse(p, e, "is neither true nor false");
		*(protobuf_c_boolean *)out = cJSON_IsTrue(j);
		return 0;
	case PROTOBUF_C_TYPE_ENUM:
		return read_enum(p, j, f->descriptor, out, e);
	case PROTOBUF_C_TYPE_STRING:
		if (!cJSON_IsString(j))
			return refuse(p, e, "is not a string");
		*(char **)out = arena_dup(p->a, str_of(j->valuestring));
		return 0;
	case PROTOBUF_C_TYPE_BYTES:
		return read_bytes(p, j, out, e);
	case PROTOBUF_C_TYPE_MESSAGE:
		return read_message(p, j, f->descriptor, out, e);
	}
	must(!"a field of unknown type");
	return -1;
}

/* A key of a map, written as a string whatever its type. */
static int read_key(const struct place *p, const char *key, const ProtobufCFieldDescriptor *f,
		    void *out, struct err *e)
{
	cJSON text = {.type = cJSON_String, .valuestring = (char *)key};

	return read_value(p, &text, f, out, e);
}

static int read_map(const struct place *p, const cJSON *j, const ProtobufCFieldDescriptor *f,
		    ProtobufCMessage **entries, struct err *e)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;
	const cJSON *it;
	size_t n = 0;

	cJSON_ArrayForEach(it, j) {
		struct place at = {.up = p, .key = it->string, .depth = p->depth + 1, .a = p->a};
		ProtobufCMessage *m = wire_new(d, p->a);
		if (json_get(j, it->string) != it)
			return refuse(&at, e, "is there twice");
		if (read_key(&at, it->string, &d->fields[0], (char *)m + d->fields[0].offset, e) <
			    0 ||
		    read_value(&at, it, &d->fields[1], (char *)m + d->fields[1].offset, e) < 0)
			return -1;
		entries[n++] = m;
	}
	return 0;
}

static int read_array(const struct place *p, const cJSON *j, const ProtobufCFieldDescriptor *f,
		      char *values, struct err *e)
{
	const cJSON *it;
	int i = 0;

	cJSON_ArrayForEach(it, j) {
		struct place at = {.up = p, .index = i, .depth = p->depth, .a = p->a};
		if (read_value(&at, it, f, values + (size_t)i * field_size(f), e) < 0)
			return -1;
		i++;
	}
	return 0;
}

static int read_repeated(const struct place *p, const cJSON *j, const ProtobufCFieldDescriptor *f,
			 ProtobufCMessage *m, struct err *e)
{
	bool map = is_map(f);

	if (map ? !cJSON_IsObject(j) : !cJSON_IsArray(j))
		return refuse(p, e, map ? "is not an object" : "is not an array");

	size_t n = (size_t)cJSON_GetArraySize(j);
	void *values = arena_zalloc(p->a, n * field_size(f));
	*(size_t *)((char *)m + f->quantifier_offset) = n;
	*(void **)((char *)m + f->offset) = values;
	return map ? read_map(p, j, f, values, e) : read_array(p, j, f, values, e);
}

static int read_field(const struct place *p, const cJSON *j, const ProtobufCFieldDescriptor *f,
		      ProtobufCMessage *m, struct err *e)
{
	/* null means unset, except where null is a value. */
	if (cJSON_IsNull(j) && f->descriptor != &google__protobuf__value__descriptor)
		return 0;
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return read_repeated(p, j, f, m, e);
	if (field_in_oneof(f)) {
		uint32_t *chosen = (uint32_t *)((char *)m + f->quantifier_offset);
		if (*chosen != 0)
			return refuse(p, e, "is set beside another of its oneof");
		*chosen = f->id;
	}
	return read_value(p, j, f, (char *)m + f->offset, e);
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *d,
						  const char *key)
{
	for (unsigned i = 0; i < d->n_fields; i++) {
		char name[NAME_MAX_BYTES];
		camel(d->fields[i].name, name);
		if (streq(key, name) || streq(key, d->fields[i].name))
			return &d->fields[i];
	}
	return NULL;
}

static int fill_fields(const struct place *p, const cJSON *j, ProtobufCMessage *m, struct err *e)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	bool *seen = arena_zalloc(p->a, d->n_fields * sizeof *seen);
	const cJSON *it;

	if (!cJSON_IsObject(j))
		return refuse(p, e, "is not an object");
	cJSON_ArrayForEach(it, j) {
		struct place at = {.up = p, .key = it->string, .depth = p->depth, .a = p->a};
		const ProtobufCFieldDescriptor *f = find_field(d, it->string);
		if (f == NULL)
			return refuse(&at, e, "no such field in %s", d->short_name);
		if (seen[f - d->fields])
			return refuse(&at, e, "is there twice");
		seen[f - d->fields] = true;
		if (read_field(&at, it, f, m, e) < 0)
			return -1;
	}
	return 0;
}

static int fill_message(const struct place *p, const cJSON *j, ProtobufCMessage *m, struct err *e)
{
	void *made_elsewhere = NULL;

	if (m->descriptor == &google__protobuf__timestamp__descriptor) {
		Google__Protobuf__Timestamp *t = (Google__Protobuf__Timestamp *)m;
		if (!rfc3339_parse(str_of(cJSON_GetStringValue(j)), &t->seconds, &t->nanos))
			return refuse(p, e, "is not an RFC 3339 time");
		return 0;
	}
	if (m->descriptor == &google__protobuf__struct__descriptor)
		made_elsewhere = structs_from_json(j, p->a, e);
	else if (m->descriptor == &google__protobuf__value__descriptor)
		made_elsewhere = structs_value_from_json(j, p->a, e);
	else
		return fill_fields(p, j, m, e);
	if (made_elsewhere == NULL) {
		struct err why = *e;
		return refuse(p, e, "%s", why.text);
	}
	memcpy(m, made_elsewhere, m->descriptor->sizeof_message);
	return 0;
}

void *wire_from_json(const ProtobufCMessageDescriptor *type, const cJSON *j, struct arena *a,
		     struct err *e)
{
	struct place top = {.a = a};
	ProtobufCMessage *m = wire_new(type, a);

	return fill_message(&top, j, m, e) < 0 ? NULL : m;
}
