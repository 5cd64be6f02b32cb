/* The framing of messages: every way to cut the bytes into pieces gives the same messages. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "google/protobuf/wrappers.pb-c.h"
#include "grpc/frame.h"
#include "grpc/status.h"
#include "test.h"

static const char bytes[] = "\0\0\0\0\3abc"
			    "\0\0\0\0\0"
			    "\0\0\0\0\5hello"
			    "\0\0\0\0\1x";

static char got[100];

/* Feeds p[0..n), appends the messages to got, each with a bar behind it. */
static enum grpc_read feed(struct grpc_reader *r, const char *p, size_t n)
{
	struct str in = {p, n}, m;
	enum grpc_read rv;

	while ((rv = grpc_reader_next(r, &in, &m)) == GRPC_READ_MESSAGE) {
		size_t at = strlen(got);
		snprintf(got + at, sizeof got - at, "%.*s|", STR_FMT(m));
		grpc_reader_release(r);
	}
	return rv;
}

TEST(messages_are_the_same_however_the_bytes_are_cut)
{
	const size_t n = sizeof bytes - 1;

	for (size_t a = 0; a <= n; a++) {
		for (size_t b = a; b <= n; b++) {
			struct grpc_reader r;
			grpc_reader_init(&r, 10);
			got[0] = '\0';
			EQ(feed(&r, bytes, a), GRPC_READ_MORE);
			EQ(feed(&r, bytes + a, b - a), GRPC_READ_MORE);
			EQ(feed(&r, bytes + b, n - b), GRPC_READ_MORE);
			STREQ(got, "abc||hello|x|");
			OK(!grpc_reader_partial(&r));
			EQ(grpc_reader_held(&r), 0);
			grpc_reader_fini(&r);
		}
	}
}

TEST(a_message_may_be_as_long_as_the_maximum_and_no_longer)
{
	struct grpc_reader r;

	grpc_reader_init(&r, 3);
	EQ(feed(&r, "\0\0\0\0\3abc", 8), GRPC_READ_MORE);
	STREQ(got, "abc|");
	EQ(feed(&r, "\0\0\0\0\4a", 6), GRPC_READ_TOO_LARGE);
	grpc_reader_fini(&r);
}

TEST(part_of_a_message_is_seen_as_such)
{
	struct grpc_reader r;

	grpc_reader_init(&r, 10);
	EQ(feed(&r, "\0", 1), GRPC_READ_MORE);
	OK(grpc_reader_partial(&r));
	EQ(feed(&r, "\0\0\0\2a", 5), GRPC_READ_MORE);
	OK(grpc_reader_partial(&r));
	EQ(grpc_reader_held(&r), 6);
	EQ(feed(&r, "b", 1), GRPC_READ_MORE);
	OK(!grpc_reader_partial(&r));
	grpc_reader_fini(&r);
}

TEST(flags_are_judged_before_the_length)
{
	struct grpc_reader r;

	grpc_reader_init(&r, 10);
	EQ(feed(&r, "\1\xff\xff\xff\xff", 5), GRPC_READ_COMPRESSED);
	EQ(feed(&r, "\x80\0\0\0\1", 5), GRPC_READ_BAD_FLAG);
	grpc_reader_fini(&r);
}

TEST(what_is_framed_can_be_read)
{
	Google__Protobuf__BytesValue b = GOOGLE__PROTOBUF__BYTES_VALUE__INIT;
	struct grpc_reader r;

	b.value = (ProtobufCBinaryData){3, (uint8_t *)"abc"};
	struct h2_chunk *c = grpc_frame(&b.base);
	EQ(c->n, 10);
	grpc_reader_init(&r, 10);
	EQ(feed(&r, (const char *)c->bytes, c->n), GRPC_READ_MORE);
	STREQ(got, "\xa\3abc|");
	grpc_reader_fini(&r);
	h2_chunk_unref(c);
}

/* ---- status ---- */

static void round_trip(const char *text, const char *encoded)
{
	struct arena a = ARENA_INIT(10000);
	struct str e = grpc_message_encode(str_of(text), &a);

	EQ(e.n, strlen(encoded));
	MEMEQ(e.p, encoded, e.n);
	OK(str_is(grpc_message_decode(e, &a), text));
	arena_fini(&a);
}

TEST(messages_are_percent_encoded)
{
	round_trip("", "");
	round_trip("plain ~ text", "plain ~ text");
	round_trip("100%", "100%25");
	round_trip(" a b ", "%20a b%20");
	round_trip(" ", "%20");
	round_trip("a\r\nb\t\x7f", "a%0D%0Ab%09%7F");
	round_trip("\xe2\x98\xba", "%E2%98%BA");
}

TEST(a_message_that_is_badly_encoded_is_taken_as_it_is)
{
	static const char *const bad[] = {"%", "%4", "%zz", "100% sure", "%%41"};
	static const char *const good[] = {"%", "%4", "%zz", "100% sure", "%A"};
	struct arena a = ARENA_INIT(10000);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		OK(str_is(grpc_message_decode(str_of(bad[i]), &a), good[i]));
	OK(str_is(grpc_message_decode(STR("%e2%98%ba"), &a), "\xe2\x98\xba"));
	arena_fini(&a);
}

TEST(status_codes_have_names_and_numbers)
{
	STREQ(grpc_status_name(GRPC_OK), "OK");
	STREQ(grpc_status_name(GRPC_UNAUTHENTICATED), "UNAUTHENTICATED");
	STREQ(grpc_status_name((enum grpc_status)17), "UNKNOWN");
	EQ(grpc_status_parse(STR("5")), GRPC_NOT_FOUND);
	EQ(grpc_status_parse(STR("NOT_FOUND")), GRPC_NOT_FOUND);
	EQ(grpc_status_parse(STR("17")), GRPC_UNKNOWN);
	EQ(grpc_status_parse(STR("")), GRPC_UNKNOWN);
	EQ(grpc_status_of_http(503), GRPC_UNAVAILABLE);
	EQ(grpc_status_of_http(404), GRPC_UNIMPLEMENTED);
	EQ(grpc_status_of_http(302), GRPC_UNKNOWN);
}
