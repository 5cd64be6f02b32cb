#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "compute_driver.pb-c.h"
#include "pack.h"
#include "test.h"
#include "wire/structs.h"
#include "wire/wire.h"

#define SPEC (&openshell__compute__v1__driver_sandbox_spec__descriptor)
#define CREATE (&openshell__compute__v1__create_sandbox_request__descriptor)
#define VALIDATE (&openshell__compute__v1__validate_sandbox_create_request__descriptor)
#define RESOLVE (&openshell__compute__v1__resolve_sandbox_endpoint_request__descriptor)

typedef Openshell__Compute__V1__DriverSandboxSpec Spec;

static struct arena arena = ARENA_INIT(64 << 20);
static struct err err;

/* Reads bytes written in the test, from a copy of exactly their size. */
static void *unpack(const ProtobufCMessageDescriptor *type, const void *p, size_t n)
{
	uint8_t *copy = xmalloc(n);
	void *m;

	memcpy(copy, p, n);
	m = wire_unpack(type, copy, n, &arena, &err);
	free(copy);
	return m;
}

#define UNPACK(type, lit) unpack(type, lit, sizeof(lit) - 1)

TEST(a_message_survives_packing_and_unpacking)
{
	Spec s = OPENSHELL__COMPUTE__V1__DRIVER_SANDBOX_SPEC__INIT, *back;
	char *command[] = {"sh", "-c", "true"};
	_cleanup_buf_ struct buf b = BUF_INIT(4096);

	s.log_level = "debug";
	s.command = command;
	s.n_command = 3;
	s.tty = true;
	pack(&s, &b);
	back = unpack(SPEC, b.p, b.n);
	OK(back != NULL);
	STREQ(back->log_level, "debug");
	EQ(back->n_command, 3);
	STREQ(back->command[2], "true");
	OK(back->tty);
}

TEST(an_old_gpu_becomes_a_resource_requirement)
{
	Spec *s = UNPACK(SPEC, "\x48\x01");

	OK(s != NULL);
	OK(s->resource_requirements != NULL);
	OK(s->resource_requirements->gpu != NULL);
	EQ(s->resource_requirements->gpu->_count_case, 0);
}

TEST(an_old_gpu_of_false_is_none)
{
	Spec *s = UNPACK(SPEC, "\x48\x00");

	OK(s != NULL && s->resource_requirements == NULL);
	s = UNPACK(SPEC, "\x48\x01\x48\x00"); /* the last one counts */
	OK(s != NULL && s->resource_requirements == NULL);
}

TEST(an_old_gpu_is_found_however_its_tag_and_value_are_spelled)
{
	Spec *s = UNPACK(SPEC, "\xc8\x80\x00\x81\x80\x00\x68\x01");

	OK(s != NULL && s->resource_requirements != NULL);
	OK(s->tty);
}

TEST(the_new_form_of_field_9_is_read_as_it_is)
{
	Spec *s = UNPACK(SPEC, "\x4a\x04\x0a\x02\x08\x03");

	OK(s != NULL && s->resource_requirements->gpu != NULL);
	EQ(s->resource_requirements->gpu->count, 3);
	s = UNPACK(SPEC, "\x48\x01\x4a\x00"); /* both: the new one counts */
	OK(s != NULL && s->resource_requirements != NULL);
	OK(s->resource_requirements->gpu == NULL);
}

TEST(a_field_of_our_parking_number_is_not_taken_for_a_gpu)
{
	Spec *s = UNPACK(SPEC, "\x40\x01\x48\x00");

	OK(s != NULL && s->resource_requirements == NULL);
}

TEST(field_9_of_other_messages_is_left_alone)
{
	uint8_t bytes[] = {0x48, 0x01};

	OK(wire_unpack(CREATE, bytes, sizeof bytes, &arena, &err) != NULL);
	EQ(bytes[0], 0x48);
}

TEST(an_old_gpu_is_found_in_every_message_that_holds_a_spec)
{
	/* {sandbox {spec {gpu: true, tty: true}}} */
	static const char bytes[] = "\x0a\x06\x22\x04\x48\x01\x68\x01";
	const ProtobufCMessageDescriptor *types[] = {CREATE, VALIDATE, RESOLVE};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		/* The three messages look alike. */
		Openshell__Compute__V1__CreateSandboxRequest *r = UNPACK(types[i], bytes);
		OK(r != NULL && r->sandbox->spec->resource_requirements->gpu != NULL);
		OK(r->sandbox->spec->tty);
	}
	Openshell__Compute__V1__ListSandboxesResponse *l =
		unpack(&openshell__compute__v1__list_sandboxes_response__descriptor,
		       "\x0a\x00\x0a\x04\x22\x02\x48\x01", 8);
	OK(l != NULL && l->n_sandboxes == 2 && l->sandboxes[0]->spec == NULL);
	OK(l->sandboxes[1]->spec->resource_requirements->gpu != NULL);
}

/* A google.protobuf.Value inside of depth - 1 others, as bytes. The caller's. */
static void nested_value(size_t depth, struct buf *out)
{
	/* Each level is list_value (tag 0x32) and values (0x0a): two messages. */
	static char bytes[1 << 16];
	size_t at = sizeof bytes;

	while (depth-- > 0) {
		size_t n = sizeof bytes - at;
		if (n > 0x7f)
			bytes[--at] = (char)(n >> 7);
		bytes[--at] = (char)(n > 0x7f ? (n & 0x7f) | 0x80 : n);
		bytes[--at] = depth % 2 ? 0x32 : 0x0a;
	}
	buf_add(out, bytes + at, sizeof bytes - at);
}

TEST(nesting_is_refused_beyond_100_levels)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 16);

	nested_value(100, &b);
	OK(unpack(&google__protobuf__list_value__descriptor, b.p, b.n) != NULL);
	buf_clear(&b);
	nested_value(101, &b);
	OK(unpack(&google__protobuf__list_value__descriptor, b.p, b.n) == NULL);
	STREQ(err.text, "message google.protobuf.ListValue is nested deeper than 100 levels");
	buf_clear(&b);
	nested_value(5000, &b); /* this many would overflow the stack of protobuf-c */
	OK(unpack(&google__protobuf__list_value__descriptor, b.p, b.n) == NULL);
}

TEST(more_fields_than_the_limit_are_refused)
{
	size_t n = WIRE_FIELDS_MAX + 1;
	char *bytes = xmalloc(2 * n);

	for (size_t i = 0; i < n; i++)
		memcpy(bytes + 2 * i, "\x62\x00", 2); /* command: "" */
	OK(unpack(SPEC, bytes, 2 * n) == NULL);
	HAS(err.text, "more than 524288 fields");
	OK(unpack(SPEC, bytes, 2 * n - 2) != NULL);
	free(bytes);
}

TEST(text_that_is_no_text_is_refused)
{
	OK(UNPACK(SPEC, "\x0a\x02\xc3\x28") == NULL);
	STREQ(err.text, "field log_level of DriverSandboxSpec is not UTF-8");
	OK(UNPACK(SPEC, "\x0a\x03"
			"a\0b") == NULL);
	STREQ(err.text, "field log_level of DriverSandboxSpec contains a NUL");
	OK(UNPACK(SPEC, "\x2a\x04\x0a\x02\xff\xfe") == NULL);
	STREQ(err.text, "field key of EnvironmentEntry is not UTF-8");
	/* launch_authentication is bytes, and may be any. */
	OK(UNPACK(SPEC, "\x82\x01\x02\x00\xff") != NULL);
}

TEST(malformed_bytes_are_refused)
{
	static const struct {
		const char *p;
		size_t n;
	} bad[] = {
		{"\x0a", 1}, /* no length */
		{"\x0a\x05"
		 "abc",
		 5},                                                  /* shorter than its length */
		{"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}, /* a length of 2^64 - 1 */
		{"\x68\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* a varint of 11 bytes */
		{"\x00\x01", 2},                                          /* field 0 */
		{"\xff\xff\xff\xff\x7f\x01", 6}, /* a field number beyond 2^29 - 1 */
		{"\x0b\x0c", 2},                 /* a group */
		{"\x0e", 1},                     /* wire type 6 */
		{"\x0d\x01\x02", 3},             /* half of a fixed32 */
		{"\x09\x01\x02\x03\x04", 5},     /* half of a fixed64 */
		{"\x32\x02\x0a\x01", 4},         /* the inner string leaves the message */
		{"\x32\x03\x0a\x05"
		 "a",
		 5},
		{"\x08\x01", 2}, /* a number where text belongs */
		{"\x68", 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err.code = 0;
		if (unpack(SPEC, bad[i].p, bad[i].n) != NULL)
			FAIL("case %zu was taken", i);
		OK(err.code != 0 && err.text[0] != '\0');
	}
	OK(unpack(SPEC, "", 0) != NULL);
}

TEST(unknown_fields_are_ignored)
{
	/* 200: varint, 201: fixed64, 202: bytes, 203: fixed32 */
	Spec *s = UNPACK(SPEC, "\xc0\x0c\x01\xc9\x0c"
			       "12345678"
			       "\xd2\x0c\x02\xff\xff\xdd\x0c"
			       "1234"
			       "\x68\x01");
	OK(s != NULL && s->tty);
}

TEST(a_full_arena_is_an_error)
{
	_cleanup_arena_ struct arena small = ARENA_INIT(64);
	char bytes[200] = "\x0a\x7f";
	uint8_t copy[129];

	memset(bytes + 2, 'x', 127);
	memcpy(copy, bytes, sizeof copy);
	OK(wire_unpack(SPEC, copy, sizeof copy, &small, &err) == NULL);
	HAS(err.text, "too large");
}

TEST(a_struct_becomes_json_and_a_struct_again)
{
	static const char text[] =
		"{\"pod\":{\"tolerations\":[{\"key\":\"a\",\"n\":-2}],\"x\":null},"
		"\"on\":true,\"big\":1099511627776,\"half\":0.5,\"e\":[],\"o\":{}}";
	_cleanup_json_ cJSON *j = json_parse(STR(text), "text", &err);
	Google__Protobuf__Struct *s = structs_from_json(j, &arena, &err);
	OK(s != NULL);
	_cleanup_json_ cJSON *back = structs_to_json(s, &err);
	OK(back != NULL);
	_cleanup_free_ char *out = json_text(back);
	STREQ(out, text);
}

TEST(a_struct_that_json_cannot_hold_is_refused)
{
	/* {"a": nothing}, {"a": NaN}, {"a": 1, "a": 1} */
	Google__Protobuf__Struct *s =
		UNPACK(&google__protobuf__struct__descriptor, "\x0a\x05\x0a\x01"
							      "a\x12\x00");
	OK(s != NULL && structs_to_json(s, &err) == NULL);
	s = UNPACK(&google__protobuf__struct__descriptor, "\x0a\x0e\x0a\x01"
							  "a\x12\x09\x11\0\0\0\0\0\0\xf8\x7f");
	OK(s != NULL && structs_to_json(s, &err) == NULL);
	STREQ(err.text, "a number is not finite");
	s = UNPACK(&google__protobuf__struct__descriptor, "\x0a\x07\x0a\x01"
							  "a\x12\x02\x20\x01\x0a\x07\x0a\x01"
							  "a\x12\x02\x20\x01");
	OK(s != NULL && structs_to_json(s, &err) == NULL);
	STREQ(err.text, "key 'a' is there twice");
}

TEST(no_struct_is_an_empty_object)
{
	_cleanup_json_ cJSON *j = structs_to_json(NULL, &err);

	OK(cJSON_IsObject(j) && j->child == NULL);
}

TEST(a_struct_is_made_of_objects_only_and_no_deeper_than_can_be_read)
{
	_cleanup_json_ cJSON *array = json_array();
	_cleanup_json_ cJSON *deep = json_object();
	cJSON *at = deep;

	OK(structs_from_json(array, &arena, &err) == NULL);
	for (int i = 0; i < 32; i++) /* three messages a level, and one at the end */
		at = json_put_object(at, "a");
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	Google__Protobuf__Struct *s = structs_from_json(deep, &arena, &err);
	OK(s != NULL);
	pack(s, &b);
	OK(unpack(&google__protobuf__struct__descriptor, b.p, b.n) != NULL);
	json_put_object(json_put_object(at, "a"), "a");
	OK(structs_from_json(deep, &arena, &err) == NULL);
	HAS(err.text, "nested too deep");
}

TEST(an_empty_message_packs_to_nothing)
{
	Spec s = OPENSHELL__COMPUTE__V1__DRIVER_SANDBOX_SPEC__INIT;
	_cleanup_buf_ struct buf b = BUF_INIT(16);

	pack(&s, &b);
	EQ(b.n, 0);
	OK(wire_unpack(SPEC, NULL, 0, &arena, &err) != NULL);
}
