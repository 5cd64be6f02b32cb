#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "grpc/frame.h"
#include "wire/wire.h"

enum {
	FLAG_COMPRESSED = 1,
	KEEP = 72 * 1024, /* a larger buffer is not made at once, nor kept for the next message */
};

void grpc_reader_init(struct grpc_reader *r, size_t max)
{
	r->held = BUF_INIT(max + GRPC_FRAME_HEAD);
}

void grpc_reader_fini(struct grpc_reader *r)
{
	buf_fini(&r->held);
}

static uint32_t message_length(const char *head)
{
	const uint8_t *p = (const uint8_t *)head;

	return (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
}

/* Moves up to n bytes from *in to what is held. */
static void hold(struct grpc_reader *r, struct str *in, size_t n)
{
	n = MIN(n, in->n);
	if (n == 0) /* and perhaps in->p == NULL */
		return;
	must(buf_add(&r->held, in->p, n));
	in->p += n;
	in->n -= n;
}

static enum grpc_read check_head(const struct grpc_reader *r, const char *head)
{
	uint8_t flags = (uint8_t)head[0];

	if (flags == FLAG_COMPRESSED)
		return GRPC_READ_COMPRESSED;
	if (flags != 0)
		return GRPC_READ_BAD_FLAG;
	if (message_length(head) > r->held.max - GRPC_FRAME_HEAD)
		return GRPC_READ_TOO_LARGE;
	return GRPC_READ_MORE;
}

enum grpc_read grpc_reader_next(struct grpc_reader *r, struct str *in, struct str *message)
{
	struct str frame;
	bool held = r->held.n > 0;

	if (held || in->n < GRPC_FRAME_HEAD) {
		if (r->held.n < GRPC_FRAME_HEAD)
			hold(r, in, GRPC_FRAME_HEAD - r->held.n);
		frame = buf_view(&r->held);
		held = true;
	} else {
		frame = *in;
	}
	if (frame.n < GRPC_FRAME_HEAD)
		return GRPC_READ_MORE;
	enum grpc_read rv = check_head(r, frame.p);
	if (rv < 0)
		return rv;
	size_t whole = GRPC_FRAME_HEAD + message_length(frame.p);
	if (held || in->n < whole) {
		if (whole <= KEEP) /* at once, and not by doubling */
			buf_room(&r->held, whole - r->held.n);
		hold(r, in, whole - r->held.n);
		frame = buf_view(&r->held);
		if (frame.n < whole)
			return GRPC_READ_MORE;
	} else {
		in->p += whole;
		in->n -= whole;
	}
	*message = (struct str){frame.p + GRPC_FRAME_HEAD, whole - GRPC_FRAME_HEAD};
	return GRPC_READ_MESSAGE;
}

void grpc_reader_release(struct grpc_reader *r)
{
	if (r->held.cap > KEEP)
		buf_fini(&r->held);
	else
		buf_clear(&r->held);
}

bool grpc_reader_partial(const struct grpc_reader *r)
{
	return r->held.n > 0;
}

size_t grpc_reader_held(const struct grpc_reader *r)
{
	return r->held.n;
}

void *grpc_unpack(const ProtobufCMessageDescriptor *type, const struct grpc_reader *r,
		  struct str message, struct arena *a, struct err *e)
{
	/* wire_unpack changes what it reads: that may be done in the reader, but not in the input */
	if (r->held.n > 0)
		return wire_unpack(type, r->held.p + r->held.at + GRPC_FRAME_HEAD, message.n, a, e);
	void *own = arena_try(a, message.n);
	if (own == NULL) {
		err_set(e, EMSGSIZE, "the message is too large");
		return NULL;
	}
	if (message.n > 0)
		memcpy(own, message.p, message.n);
	return wire_unpack(type, own, message.n, a, e);
}

void grpc_frame_head(uint8_t head[GRPC_FRAME_HEAD], size_t n)
{
	must(n <= UINT32_MAX);
	head[0] = 0;
	for (int i = 0; i < 4; i++)
		head[1 + i] = (uint8_t)(n >> (24 - 8 * i));
}

struct h2_chunk *grpc_frame(const ProtobufCMessage *m)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	struct h2_chunk *c = h2_chunk_new(GRPC_FRAME_HEAD + n);

	grpc_frame_head(c->bytes, n);
	must(protobuf_c_message_pack(m, c->bytes + GRPC_FRAME_HEAD) == n);
	return c;
}
