#include <stdint.h>
#include <string.h>

#include "base/util.h"
#include "wire/fields.h"

bool field_in_oneof(const ProtobufCFieldDescriptor *f)
{
	return (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

size_t field_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_ENUM:
		return 4;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	}
	must(!"a field of unknown type");
	return 0;
}

static const void *member(const ProtobufCMessage *m, size_t offset)
{
	return (const char *)m + offset;
}

/* Whether a field without presence differs from its default. */
static bool is_set(const ProtobufCFieldDescriptor *f, const void *p)
{
	static const char zeros[8];

	if (f->type == PROTOBUF_C_TYPE_STRING) {
		const char *s = *(char *const *)p;
		return s != NULL && s[0] != '\0';
	}
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(ProtobufCMessage *const *)p != NULL;
	if (f->type == PROTOBUF_C_TYPE_BYTES)
		return ((const ProtobufCBinaryData *)p)->len > 0;
	return memcmp(p, zeros, field_size(f)) != 0;
}

size_t field_count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)member(m, f->quantifier_offset);
	if (field_in_oneof(f))
		return *(const uint32_t *)member(m, f->quantifier_offset) == f->id;
	return is_set(f, member(m, f->offset));
}

const void *field_at(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t i)
{
	const void *p = member(m, f->offset);

	if (f->label != PROTOBUF_C_LABEL_REPEATED)
		return p;
	return *(const char *const *)p + i * field_size(f);
}

ProtobufCMessage *field_message(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
				size_t i)
{
	return *(ProtobufCMessage *const *)field_at(m, f, i);
}
