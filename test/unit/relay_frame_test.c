/* Relay frames made and read by hand, against protobuf's own way. */
#include <string.h>

#include "grpc/client.h"
#include "openshell.pb-c.h"
#include "pack.h"
#include "supervisor/relay_frame.h"
#include "test.h"

static uint8_t bytes[20000];

static void fill(void)
{
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
}

TEST(what_is_packed_is_what_protobuf_packs)
{
	const size_t sizes[] = {1, 2, 127, 128, 129, 4095, 4096, 10000, RELAY_DATA_MAX};

	fill();
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		Openshell__V1__RelayFrame f = OPENSHELL__V1__RELAY_FRAME__INIT;
		_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
		uint8_t *room;
		struct h2_chunk *c = relay_frame_new(&room);

		f.payload_case = OPENSHELL__V1__RELAY_FRAME__PAYLOAD_DATA;
		f.data = (ProtobufCBinaryData){.len = sizes[i], .data = bytes};
		pack(&f, &b);
		memcpy(room, bytes, sizes[i]);
		c = relay_frame_pack(c, sizes[i]);
		EQ(c->n, GRPC_RPC_HEAD + b.n);
		MEMEQ(c->bytes + GRPC_RPC_HEAD, buf_view(&b).p, b.n);
		h2_chunk_unref(c);
	}
}

TEST(chunks_are_used_again_and_do_not_share)
{
	struct h2_chunk *c[20];
	uint8_t *room;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_LEN(c); i++) {
			c[i] = relay_frame_new(&room);
			EQ(c[i]->n, GRPC_RPC_HEAD + 3 + RELAY_DATA_MAX);
			memset(room, (int)i, RELAY_DATA_MAX);
		}
		for (size_t i = 0; i < ARRAY_LEN(c); i++) {
			EQ(c[i]->bytes[GRPC_RPC_HEAD + 3], i);
			EQ(c[i]->bytes[c[i]->n - 1], i);
			c[i]->n = 1;
			h2_chunk_unref(c[i]);
		}
	}
}

static enum relay_frame read_of(const void *p, size_t n, struct str *data)
{
	*data = STR_NONE;
	return relay_frame_read(str_sub(p, n), data);
}

#define READ(lit, data) read_of(lit, sizeof lit - 1, data)

TEST(frames_are_read_in_place)
{
	static const char one[] = "\x12\x03"
				  "abc";
	struct str data;

	EQ(READ(one, &data), RELAY_FRAME_DATA);
	OK(data.p == one + 2 && data.n == 3);
	EQ(READ("\x12\x00", &data), RELAY_FRAME_DATA);
	EQ(data.n, 0);
	EQ(READ("\x12\x83\x80\x00"
		"abc",
		&data),
	   RELAY_FRAME_DATA); /* a length written longer than it must be */
	OK(str_is(data, "abc"));
}

TEST(unknown_fields_are_passed_over_and_the_last_payload_holds)
{
	struct str data;

	/* 3: varint, 4: fixed64, 5: fixed32, 6: bytes */
	EQ(READ("\x18\x96\x01\x21"
		"12345678"
		"\x2d"
		"1234"
		"\x32\x01x\x12\x02hi",
		&data),
	   RELAY_FRAME_DATA);
	OK(str_is(data, "hi"));
	EQ(READ("\x12\x01"
		"a\x12\x01"
		"b",
		&data),
	   RELAY_FRAME_DATA);
	OK(str_is(data, "b"));
	EQ(READ("\x12\x01"
		"a\x0a\x00",
		&data),
	   RELAY_FRAME_OTHER);
	EQ(READ("\x0a\x03\x0a\x01x", &data), RELAY_FRAME_OTHER);
	EQ(READ("", &data), RELAY_FRAME_OTHER);
}

TEST(malformed_frames_are_told)
{
	struct str data;

	EQ(READ("\x12", &data), RELAY_FRAME_MALFORMED);
	EQ(READ("\x12\x03"
		"ab",
		&data),
	   RELAY_FRAME_MALFORMED);
	EQ(READ("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", &data), RELAY_FRAME_MALFORMED);
	EQ(READ("\x02\x00", &data), RELAY_FRAME_MALFORMED);     /* field 0 */
	EQ(READ("\x13\x14", &data), RELAY_FRAME_MALFORMED);     /* a group */
	EQ(READ("\x21\x01\x02", &data), RELAY_FRAME_MALFORMED); /* cut short */
}
