#include <string.h>

#include "base/util.h"
#include "supervisor/relay_frame.h"

enum {
	INIT = 1, /* fields of RelayFrame */
	DATA = 2,
	/* how fields are written: protobuf's encoding */
	VARINT = 0,
	FIXED64 = 1,
	BYTES = 2,
	FIXED32 = 5,
	TAG_DATA = DATA << 3 | BYTES,
	HEAD = GRPC_RPC_HEAD + 3, /* the tag, and a length of two bytes */
	LENGTH_OF_ONE = 128,      /* below this one byte says it */
	WHOLE = 4096, /* from here on a frame is sent as it was made, with what it has to spare */
};

/* ---- packing ---- */

struct h2_chunk *relay_frame_new(uint8_t **room)
{
	struct h2_chunk *c = h2_chunk_new(HEAD + RELAY_DATA_MAX);

	*room = c->bytes + HEAD;
	return c;
}

struct h2_chunk *relay_frame_pack(struct h2_chunk *c, size_t n)
{
	size_t head = n < LENGTH_OF_ONE ? HEAD - 1 : HEAD;

	must(n > 0 && n <= RELAY_DATA_MAX);
	if (n < WHOLE) {
		struct h2_chunk *small = h2_chunk_new(head + n);
		memcpy(small->bytes + head, c->bytes + HEAD, n);
		h2_chunk_unref(c);
		c = small;
	}
	c->n = head + n;
	uint8_t *p = c->bytes + GRPC_RPC_HEAD;
	*p++ = TAG_DATA;
	*p = (uint8_t)(n % LENGTH_OF_ONE);
	if (n >= LENGTH_OF_ONE) {
		*p++ |= 0x80;
		*p = (uint8_t)(n / LENGTH_OF_ONE);
	}
	return c;
}

/* ---- reading ---- */

static bool take_varint(struct str *in, uint64_t *out)
{
	*out = 0;
	for (unsigned shift = 0; shift < 64 && in->n > 0; shift += 7) {
		uint8_t byte = (uint8_t)*in->p++;

		in->n--;
		*out |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return true;
	}
	return false;
}

/* Takes a field's value; *value is it where it has bytes. */
static bool take_value(struct str *in, unsigned how, struct str *value)
{
	uint64_t n = 0;

	*value = STR_NONE;
	switch (how) {
	case VARINT:
		return take_varint(in, &n);
	case FIXED64:
		n = 8;
		break;
	case FIXED32:
		n = 4;
		break;
	case BYTES:
		if (!take_varint(in, &n))
			return false;
		break;
	default: /* groups, which proto3 has not */
		return false;
	}
	if (n > in->n)
		return false;
	*value = str_sub(in->p, (size_t)n);
	in->p += n;
	in->n -= n;
	return true;
}

enum relay_frame relay_frame_read(struct str message, struct str *data)
{
	enum relay_frame found = RELAY_FRAME_OTHER;
	struct str value;
	uint64_t tag;

	while (message.n > 0) {
		if (!take_varint(&message, &tag) || tag >> 3 == 0 || tag > UINT32_MAX ||
		    !take_value(&message, tag & 7, &value))
			return RELAY_FRAME_MALFORMED;
		if (tag == TAG_DATA) {
			*data = value;
			found = RELAY_FRAME_DATA;
		} else if (tag == (INIT << 3 | BYTES)) {
			found = RELAY_FRAME_OTHER;
		}
	}
	return found;
}
