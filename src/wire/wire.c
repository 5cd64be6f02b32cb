#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "compute_driver.pb-c.h"
#include "wire/fields.h"
#include "wire/wire.h"

/*
 * Field 9 of DriverSandboxSpec was `bool gpu` once, and a decoder that knows the message form fails
 * on the varint. The walk renames such a field to GPU_PARKED, a number that no generation declared,
 * so that protobuf-c keeps it as an unknown field; settle_gpu() turns that into the new form. A
 * field that a peer really numbers GPU_PARKED, whatever it may mean, is renamed to UNUSED first.
 * All of them have one-byte tags, and differ within the first byte of longer spellings.
 */
enum { GPU = 9, GPU_PARKED = 8, UNUSED_NUMBER = 4 };

struct level {
	const ProtobufCMessageDescriptor *type;
	const uint8_t *end;
};

struct walk {
	const ProtobufCMessageDescriptor *type; /* the outermost message, for words */
	uint8_t *p;
	size_t fields;
	bool old_gpu;
	size_t depth; /* of the innermost open message, which is level[depth] */
	struct level level[WIRE_DEPTH_MAX + 1];
};

static int malformed(const struct walk *w, const char *what, struct err *e)
{
	return err_set(e, EINVAL, "message %s is malformed: %s", w->type->name, what);
}

/* A varint of at most max bytes. */
static int take_varint(struct walk *w, size_t max, uint64_t *out, struct err *e)
{
	const uint8_t *end = w->level[w->depth].end;

	*out = 0;
	for (size_t i = 0; i < max; i++) {
		if (w->p == end)
			return malformed(w, "cut inside a number", e);
		uint8_t byte = *w->p++;
		*out |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80)
			return 0;
	}
	return malformed(w, "a number is too long", e);
}

static int skip(struct walk *w, uint64_t n, struct err *e)
{
	if (n > (uint64_t)(w->level[w->depth].end - w->p))
		return malformed(w, "a field is longer than what holds it", e);
	w->p += n;
	return 0;
}

static int check_string(const struct walk *w, const ProtobufCFieldDescriptor *f, struct str s,
			struct err *e)
{
	const char *in = w->level[w->depth].type->short_name;

	if (!str_is_utf8(s))
		return err_set(e, EINVAL, "field %s of %s is not UTF-8", f->name, in);
	/* protobuf-c's strings end there, and what follows would be lost without a word. */
	if (memchr(s.p, '\0', s.n) != NULL)
		return err_set(e, EINVAL, "field %s of %s contains a NUL", f->name, in);
	return 0;
}

/* A length-delimited field: text is checked, a message is entered, the rest is skipped. */
static int take_bytes(struct walk *w, const ProtobufCFieldDescriptor *f, struct err *e)
{
	const uint8_t *start;
	uint64_t n;

	if (take_varint(w, 10, &n, e) < 0)
		return -1;
	start = w->p;
	if (skip(w, n, e) < 0)
		return -1;
	if (f != NULL && f->type == PROTOBUF_C_TYPE_STRING)
		return check_string(w, f, str_sub(start, (size_t)n), e);
	if (f == NULL || f->type != PROTOBUF_C_TYPE_MESSAGE)
		return 0;
	if (w->depth == WIRE_DEPTH_MAX)
		return err_set(e, EINVAL, "message %s is nested deeper than %d levels",
			       w->type->name, WIRE_DEPTH_MAX);
	w->level[++w->depth] = (struct level){.type = f->descriptor, .end = w->p};
	w->p -= n;
	return 0;
}

/* See GPU above. tag is the first byte of the field's tag in the message. */
static void rename_gpu(struct walk *w, uint8_t *tag, uint64_t number, unsigned wire_type)
{
	if (w->level[w->depth].type != &openshell__compute__v1__driver_sandbox_spec__descriptor ||
	    wire_type != PROTOBUF_C_WIRE_TYPE_VARINT)
		return;
	if (number == GPU) {
		*tag ^= (GPU ^ GPU_PARKED) << 3;
		w->old_gpu = true;
	} else if (number == GPU_PARKED) {
		*tag ^= (GPU_PARKED ^ UNUSED_NUMBER) << 3;
	}
}

static int take_field(struct walk *w, struct err *e)
{
	const ProtobufCMessageDescriptor *type = w->level[w->depth].type;
	uint8_t *at = w->p;
	uint64_t tag;

	if (++w->fields > WIRE_FIELDS_MAX)
		return err_set(e, EINVAL, "message %s has more than %d fields", w->type->name,
			       WIRE_FIELDS_MAX);
	if (take_varint(w, 5, &tag, e) < 0)
		return -1;
	if (tag >> 3 == 0 || tag > UINT32_MAX)
		return malformed(w, "a field has an impossible number", e);
	rename_gpu(w, at, tag >> 3, tag & 7);
	switch (tag & 7) {
	case PROTOBUF_C_WIRE_TYPE_VARINT:
		return take_varint(w, 10, &tag, e);
	case PROTOBUF_C_WIRE_TYPE_64BIT:
		return skip(w, 8, e);
	case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
		return take_bytes(
			w, protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3)), e);
	case PROTOBUF_C_WIRE_TYPE_32BIT:
		return skip(w, 4, e);
	default:
		return malformed(w, "a field has no known wire type", e);
	}
}

static int walk(struct walk *w, const ProtobufCMessageDescriptor *type, void *bytes, size_t n,
		struct err *e)
{
	w->type = type;
	w->fields = w->depth = 0;
	w->old_gpu = false;
	if (n == 0) /* bytes may be NULL then */
		return 0;
	w->p = bytes;
	w->level[0] = (struct level){.type = type, .end = w->p + n};
	for (;;) {
		while (w->p == w->level[w->depth].end) {
			if (w->depth == 0)
				return 0;
			w->depth--;
		}
		if (take_field(w, e) < 0)
			return -1;
	}
}

static void *arena_alloc(void *arena, size_t n)
{
	return arena_try(arena, n);
}

/* Nothing is released piece by piece. */
static void arena_free(void *arena UNUSED, void *p UNUSED)
{
}

static void settle_spec_gpu(Openshell__Compute__V1__DriverSandboxSpec *s, struct arena *a)
{
	bool gpu = false;

	for (unsigned i = 0; i < s->base.n_unknown_fields; i++) {
		const ProtobufCMessageUnknownField *u = &s->base.unknown_fields[i];
		if (u->tag != GPU_PARKED || u->wire_type != PROTOBUF_C_WIRE_TYPE_VARINT)
			continue;
		gpu = false; /* the last one counts */
		for (size_t k = 0; k < u->len; k++)
			gpu = gpu || (u->data[k] & 0x7f) != 0;
	}
	if (!gpu || s->resource_requirements != NULL)
		return;
	s->resource_requirements =
		wire_new(&openshell__compute__v1__resource_requirements__descriptor, a);
	s->resource_requirements->gpu =
		wire_new(&openshell__compute__v1__gpu_resource_requirements__descriptor, a);
}

/* Recursion goes no deeper than the walk allowed. */
static void settle_gpu(ProtobufCMessage *m, struct arena *a)
{
	if (m->descriptor == &openshell__compute__v1__driver_sandbox_spec__descriptor)
		settle_spec_gpu((Openshell__Compute__V1__DriverSandboxSpec *)m, a);
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		size_t n = f->type == PROTOBUF_C_TYPE_MESSAGE ? field_count(m, f) : 0;
		for (size_t k = 0; k < n; k++)
			settle_gpu(field_message(m, f, k), a);
	}
}

void *wire_unpack(const ProtobufCMessageDescriptor *type, void *bytes, size_t n, struct arena *a,
		  struct err *e)
{
	ProtobufCAllocator allocator = {arena_alloc, arena_free, a};
	ProtobufCMessage *m;
	struct walk w;

	if (walk(&w, type, bytes, n, e) < 0)
		return NULL;
	m = protobuf_c_message_unpack(type, &allocator, n, bytes);
	if (m == NULL) {
		err_set(e, EINVAL, "message %s is malformed, or too large to be held", type->name);
		return NULL;
	}
	if (w.old_gpu)
		settle_gpu(m, a);
	return m;
}

void *wire_new(const ProtobufCMessageDescriptor *type, struct arena *a)
{
	ProtobufCMessage *m = arena_zalloc(a, type->sizeof_message);

	protobuf_c_message_init(type, m);
	return m;
}
