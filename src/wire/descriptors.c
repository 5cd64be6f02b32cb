#include <stdint.h>
#include <string.h>

#include "base/util.h"
#include "descriptor_set.h" /* the bytes: made of proto/ by protoc and scripts/embed */
#include "wire/descriptors.h"

/* The whole is a FileDescriptorSet. Field numbers of google/protobuf/descriptor.proto, as far as names are found by them. */
enum {
	SET_FILE = 1,
	FILE_NAME = 1,
	FILE_PACKAGE = 2,
	FILE_DEPENDENCY = 3,
	FILE_MESSAGE = 4,
	FILE_ENUM = 5,
	FILE_SERVICE = 6,
	MESSAGE_FIELD = 2,
	MESSAGE_NESTED = 3,
	MESSAGE_ENUM = 4,
	ENUM_VALUE = 2,
	SERVICE_METHOD = 2,
	ANY_NAME = 1, /* of a message, field, enum, value, service or method */
};

struct field {
	unsigned number;
	struct str bytes; /* empty for what is not length-delimited */
};

/* The bytes are our own build's, so that a malformed one only has to end the walk. */
static uint64_t take_varint(struct str *s)
{
	uint64_t v = 0;
	unsigned shift = 0;

	while (s->n > 0 && shift < 64) {
		unsigned char byte = (unsigned char)s->p[0];
		*s = str_sub(s->p + 1, s->n - 1);
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return v;
		shift += 7;
	}
	*s = STR_NONE;
	return 0;
}

static bool take_field(struct str *s, struct field *f)
{
	uint64_t tag, n = 0;

	if (s->n == 0)
		return false;
	tag = take_varint(s);
	*f = (struct field){.number = (unsigned)(tag >> 3)};
	switch (tag & 7) {
	case 0:
		take_varint(s);
		return true;
	case 1:
		n = 8;
		break;
	case 2:
		n = take_varint(s);
		break;
	case 5:
		n = 4;
		break;
	default:
		return false;
	}
	if (n > s->n)
		return false;
	if ((tag & 7) == 2)
		f->bytes = str_sub(s->p, (size_t)n);
	*s = str_sub(s->p + n, s->n - (size_t)n);
	return true;
}

static struct str first(struct str message, unsigned number)
{
	struct field f;

	while (take_field(&message, &f))
		if (f.number == number)
			return f.bytes;
	return STR_NONE;
}

static bool next_file(struct str *set, struct str *file)
{
	struct field f;

	while (take_field(set, &f)) {
		if (f.number != SET_FILE)
			continue;
		*file = f.bytes;
		return true;
	}
	return false;
}

static struct str whole_set(void)
{
	return str_sub(descriptor_set, descriptor_set_len);
}

bool descriptors_file(struct str name, struct str *out)
{
	struct str set = whole_set(), file;

	while (next_file(&set, &file)) {
		if (!str_eq(first(file, FILE_NAME), name))
			continue;
		*out = file;
		return true;
	}
	return false;
}

bool descriptors_import(struct str file, size_t *at, struct str *name)
{
	struct str rest = str_sub(file.p + *at, file.n - *at);
	struct field f;

	while (take_field(&rest, &f)) {
		*at = file.n - rest.n;
		if (f.number != FILE_DEPENDENCY)
			continue;
		*name = f.bytes;
		return true;
	}
	return false;
}

/* Takes "name" or "name." off the front of a symbol; what is left is looked for inside. The symbol
 * is of no use when it returns false. */
static bool take_name(struct str *symbol, struct str name)
{
	if (name.n == 0 || symbol->n < name.n || memcmp(symbol->p, name.p, name.n) != 0)
		return false;
	*symbol = str_sub(symbol->p + name.n, symbol->n - name.n);
	return symbol->n == 0 || (str_skip(symbol, ".") && symbol->n > 0);
}

/* Whether a declaration whose members that can be named have the given number has the symbol. */
static bool declares(struct str declaration, struct str symbol, unsigned members)
{
	struct field f;

	if (!take_name(&symbol, first(declaration, ANY_NAME)))
		return false;
	if (symbol.n == 0)
		return true;
	while (take_field(&declaration, &f))
		if (f.number == members && str_eq(first(f.bytes, ANY_NAME), symbol))
			return true;
	return false;
}

static bool message_declares(struct str message, struct str symbol)
{
	struct field f;

	if (declares(message, symbol, MESSAGE_FIELD))
		return true;
	if (!take_name(&symbol, first(message, ANY_NAME)))
		return false;
	while (take_field(&message, &f)) {
		if (f.number == MESSAGE_NESTED && message_declares(f.bytes, symbol))
			return true;
		if (f.number == MESSAGE_ENUM && declares(f.bytes, symbol, ENUM_VALUE))
			return true;
	}
	return false;
}

static bool file_declares(struct str file, struct str symbol)
{
	struct str rest = file;
	struct field f;

	if (!take_name(&symbol, first(file, FILE_PACKAGE)))
		return false;
	while (take_field(&rest, &f)) {
		if ((f.number == FILE_MESSAGE && message_declares(f.bytes, symbol)) ||
		    (f.number == FILE_ENUM && declares(f.bytes, symbol, ENUM_VALUE)) ||
		    (f.number == FILE_SERVICE && declares(f.bytes, symbol, SERVICE_METHOD)))
			return true;
	}
	return false;
}

bool descriptors_file_of(struct str symbol, struct str *out)
{
	struct str set = whole_set(), file;

	while (next_file(&set, &file)) {
		if (!file_declares(file, symbol))
			continue;
		*out = file;
		return true;
	}
	return false;
}
