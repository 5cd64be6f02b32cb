/* The client of src/grpc against servers that answer by hand, well and badly. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "google/protobuf/wrappers.pb-c.h"
#include "grpc/client.h"
#include "http2/h2_conn.h"
#include "test.h"

/* ---- a server that says what it is told to ---- */

static struct {
	int http; /* 0: says nothing */
	struct h2_field header[4], trailer[3];
	const void *body;
	size_t n;
	int reset; /* with this code, when not 0 */
	bool hang_up, goaway;
	int nap_ms; /* nobody does anything for so long, once the answer is on its way */
} say;

static bool ended, headers_seen, cancel_in_message, free_in_message, start_in_end;
static int ends, ends_when_lost;
static struct loop *loop;
static struct h2_conn *server;
static struct grpc_channel *channel;
static char timeout_said[20], metadata_said[50];

static size_t count(const struct h2_field *f, size_t max)
{
	size_t n = 0;

	while (n < max && f[n].name.p != NULL)
		n++;
	return n;
}

static void take_a_nap(struct later *l UNUSED)
{
	usleep((useconds_t)say.nap_ms * 1000);
}

static struct later nap = {.run = take_a_nap};

static void on_peer_end(struct h2_stream *st)
{
	size_t headers = count(say.header, ARRAY_LEN(say.header));
	size_t trailers = count(say.trailer, ARRAY_LEN(say.trailer));

	snprintf(timeout_said, sizeof timeout_said, "%.*s", STR_FMT(h2_header(st, "grpc-timeout")));
	snprintf(metadata_said, sizeof metadata_said, "%.*s", STR_FMT(h2_header(st, "x-a")));
	if (say.goaway)
		h2_terminate(h2_conn_session(server), H2_NO_ERROR);
	if (say.hang_up) {
		h2_conn_free(server);
		server = NULL;
		return;
	}
	if (say.nap_ms != 0)
		loop_later(loop, &nap);
	if (say.reset != 0 && say.http == 0)
		h2_reset(st, (uint32_t)say.reset);
	if (say.http == 0)
		return;
	if (say.n == 0 && trailers == 0) {
		h2_respond_end(st, say.http, say.header, headers);
		return;
	}
	h2_respond(st, say.http, say.header, headers);
	if (say.n > 0) {
		struct h2_chunk *c = h2_chunk_new(say.n);
		memcpy(c->bytes, say.body, say.n);
		h2_send(st, c);
		h2_chunk_unref(c);
	}
	if (trailers > 0)
		h2_end_trailers(st, say.trailer, trailers);
	else
		h2_end(st);
}

static void on_closed(struct h2_stream *st, enum h2_outcome how UNUSED, uint32_t code UNUSED)
{
	h2_release(st);
}

static const struct h2_stream_ops stream_ops = {.peer_end = on_peer_end, .closed = on_closed};

static void on_request(void *owner UNUSED, struct h2_stream *st)
{
	h2_accept(st, &stream_ops, NULL);
}

static void on_ended_conn(void *owner UNUSED, const struct err *why UNUSED)
{
	h2_conn_free(server);
	server = NULL;
}

static const struct h2_conn_ops conn_ops = {.request = on_request, .ended = on_ended_conn};

static void on_lost(void *arg UNUSED, const struct err *why UNUSED)
{
	ends_when_lost = ends;
}

static void set_up(void)
{
	const struct h2_conn_config cfg = {.h2 = H2_CONFIG_DEFAULT};
	struct grpc_channel_config client = GRPC_CHANNEL_CONFIG_DEFAULT;
	struct conn *a, *b;
	struct err e;
	int fd[2];

	client.message_max = 1000;
	OK(loop_new(&loop, &e) == 0);
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	OK(conn_of_fd(&a, loop, fd[0], "client", &e) == 0);
	OK(conn_of_fd(&b, loop, fd[1], "server", &e) == 0);
	server = h2_conn_server(b, &cfg, &conn_ops, NULL);
	channel = grpc_channel_new(a, &client, on_lost, NULL);
}

static void tear_down(void)
{
	grpc_channel_free(channel);
	h2_conn_free(server);
	loop_free(loop);
}

/* ---- a call ---- */

static enum grpc_status status;
static char text[200], trailer_seen[50];
static int messages;

static void on_headers(struct grpc_rpc *r UNUSED)
{
	headers_seen = true;
}

static void on_message(struct grpc_rpc *r, void *message UNUSED)
{
	messages++;
	if (cancel_in_message)
		grpc_rpc_cancel(r);
	if (free_in_message) {
		grpc_channel_free(channel);
		channel = NULL;
	}
	if (cancel_in_message || free_in_message)
		loop_stop(loop, 0);
}

static void start(bool streams, int64_t timeout_ms);

static void on_ended(struct grpc_rpc *r, enum grpc_status s, struct str t)
{
	ends++;
	if (start_in_end) {
		start_in_end = false;
		start(false, 0);
	}
	ended = true;
	status = s;
	snprintf(text, sizeof text, "%.*s", STR_FMT(t));
	snprintf(trailer_seen, sizeof trailer_seen, "%.*s", STR_FMT(grpc_rpc_trailer(r, "x-b")));
	loop_stop(loop, 0);
}

static const struct grpc_rpc_ops ops = {
	.headers = on_headers,
	.message = on_message,
	.ended = on_ended,
};

static void start(bool streams, int64_t timeout_ms)
{
	static const struct h2_field md = {STR("x-a"), STR("some metadata")};
	const struct grpc_rpc_config cfg = {
		.path = "/t.T/M",
		.out = &google__protobuf__bytes_value__descriptor,
		.streams = streams,
		.timeout_ms = timeout_ms,
		.metadata = &md,
		.n = 1,
	};
	Google__Protobuf__BytesValue b = GOOGLE__PROTOBUF__BYTES_VALUE__INIT;

	ended = headers_seen = false;
	messages = 0;
	grpc_rpc_call(channel, &cfg, &b, &ops, NULL);
}

static void call_with(bool streams)
{
	set_up();
	start(streams, 0);
	while (!ended)
		loop_run(loop);
	tear_down();
}

static void call(void)
{
	call_with(false);
}

static char bytes_seen[40];

static void on_bytes(struct grpc_rpc *r UNUSED, struct str message)
{
	messages++;
	snprintf(bytes_seen, sizeof bytes_seen, "%.*s", STR_FMT(message));
}

#define GRPC_TYPE                                                                                  \
	{                                                                                          \
		STR("content-type"), STR("application/grpc")                                       \
	}
#define STATUS(s)                                                                                  \
	{                                                                                          \
		STR("grpc-status"), STR(s)                                                         \
	}
#define BODY(b) .body = (b), .n = sizeof(b) - 1
#define MESSAGE "\0\0\0\0\5\xa\3abc"
#define SAY(...) memcpy(&say, &(__typeof__(say)){__VA_ARGS__}, sizeof say)

static void expect(enum grpc_status s, const char *t)
{
	EQ(status, s);
	STREQ(text, t);
}

TEST(a_good_answer)
{
	SAY(.http = 200, .header = {GRPC_TYPE}, BODY(MESSAGE), .trailer = {STATUS("0")});
	call();
	expect(GRPC_OK, "");
	EQ(messages, 1);
	OK(headers_seen);
	STREQ(metadata_said, "some metadata");
	STREQ(timeout_said, "");
}

TEST(trailers_only_is_an_answer)
{
	SAY(.http = 200, .header = {GRPC_TYPE,
				    STATUS("5"),
				    {STR("grpc-message"), STR("not%20here")},
				    {STR("x-b"), STR("y")}});
	call();
	expect(GRPC_NOT_FOUND, "not here");
	OK(!headers_seen);
	STREQ(trailer_seen, "y");
}

TEST(an_http_status_stands_for_a_grpc_one)
{
	SAY(.http = 503, .header = {{STR("content-type"), STR("text/html")}}, BODY("<html>"));
	call();
	expect(GRPC_UNAVAILABLE, "HTTP status 503");
	SAY(.http = 404);
	call();
	expect(GRPC_UNIMPLEMENTED, "HTTP status 404");
	/* but a grpc-status counts more */
	SAY(.http = 503, .header = {GRPC_TYPE, STATUS("7")});
	call();
	expect(GRPC_PERMISSION_DENIED, "");
}

TEST(another_content_type_is_no_answer)
{
	SAY(.http = 200, .header = {{STR("content-type"), STR("text/html")}}, BODY("<html>"));
	call();
	expect(GRPC_UNKNOWN, "the server answered with content type text/html");
}

TEST(an_answer_without_status_is_none)
{
	SAY(.http = 200, .header = {GRPC_TYPE}, BODY(MESSAGE));
	call();
	expect(GRPC_INTERNAL, "the answer has no grpc-status");
	SAY(.http = 200, .header = {GRPC_TYPE}, .trailer = {STATUS("nonsense")});
	call();
	EQ(status, GRPC_UNKNOWN);
}

TEST(a_unary_answer_has_exactly_one_message)
{
	SAY(.http = 200, .header = {GRPC_TYPE}, .trailer = {STATUS("0")});
	call();
	expect(GRPC_INTERNAL, "the answer has no message");
	call_with(true);
	expect(GRPC_OK, "");
	SAY(.http = 200, .header = {GRPC_TYPE}, BODY(MESSAGE MESSAGE), .trailer = {STATUS("0")});
	call();
	expect(GRPC_INTERNAL, "more than one message in the answer");
	call_with(true);
	expect(GRPC_OK, "");
	EQ(messages, 2);
}

TEST(messages_must_be_whole_and_well_formed)
{
	SAY(.http = 200, .header = {GRPC_TYPE}, BODY("\0\0\0\0\5\xa"), .trailer = {STATUS("0")});
	call();
	expect(GRPC_INTERNAL, "the answer ends within a message");
	SAY(.http = 200, .header = {GRPC_TYPE}, BODY("\0\0\0\0\2\xa\7"), .trailer = {STATUS("0")});
	call();
	EQ(status, GRPC_INTERNAL);
	HAS(text, "malformed answer");
	SAY(.http = 200, .header = {GRPC_TYPE}, BODY("\1\0\0\0\0"), .trailer = {STATUS("0")});
	call();
	expect(GRPC_INTERNAL, "the answer is compressed, which was not offered");
	SAY(.http = 200, .header = {GRPC_TYPE}, BODY("\0\0\0\x4\0"), .trailer = {STATUS("0")});
	call();
	expect(GRPC_RESOURCE_EXHAUSTED, "the answer is larger than 1000 bytes");
}

TEST(an_error_after_messages_counts)
{
	SAY(.http = 200, .header = {GRPC_TYPE}, BODY(MESSAGE), .trailer = {STATUS("10")});
	call_with(true);
	expect(GRPC_ABORTED, "");
	EQ(messages, 1);
}

static void reset(int code, enum grpc_status s)
{
	SAY(.reset = code);
	call();
	EQ(status, s);
}

TEST(resets_have_meanings)
{
	reset(H2_REFUSED_STREAM, GRPC_UNAVAILABLE);
	STREQ(text, "the server did not take the call");
	reset(H2_CANCEL, GRPC_CANCELLED);
	reset(H2_ENHANCE_YOUR_CALM, GRPC_RESOURCE_EXHAUSTED);
	reset(H2_INADEQUATE_SECURITY, GRPC_PERMISSION_DENIED);
	reset(H2_PROTOCOL_ERROR, GRPC_INTERNAL);
	STREQ(text, "the server reset the call: PROTOCOL_ERROR");
}

TEST(a_server_that_goes_away_is_unavailable)
{
	SAY(.hang_up = true);
	call();
	expect(GRPC_UNAVAILABLE, "the connection was lost");
}

TEST(a_deadline_is_told_and_kept)
{
	SAY(.http = 0);
	set_up();
	start(false, 300);
	while (!ended)
		loop_run(loop);
	expect(GRPC_DEADLINE_EXCEEDED, "the deadline has passed");
	STREQ(timeout_said, "300m");
	tear_down();
}

/* A server that keeps the deadline too may cut the call before our own timer is looked at. */
TEST(a_call_cut_at_its_deadline_is_not_a_cancelled_one)
{
	SAY(.reset = H2_CANCEL, .nap_ms = 60);
	set_up();
	start(false, 30);
	while (!ended)
		loop_run(loop);
	expect(GRPC_DEADLINE_EXCEEDED, "the deadline has passed");
	tear_down();
}

TEST(long_deadlines_are_told_in_seconds)
{
	SAY(.http = 200, .header = {GRPC_TYPE, STATUS("1")});
	set_up();
	start(false, 200 * 1000 * 1000);
	while (!ended)
		loop_run(loop);
	STREQ(timeout_said, "200000S");
	tear_down();
}

TEST(a_call_may_be_cancelled_in_its_message)
{
	SAY(.http = 200, .header = {GRPC_TYPE}, BODY(MESSAGE MESSAGE), .trailer = {STATUS("0")});
	cancel_in_message = true;
	set_up();
	start(true, 0);
	loop_run(loop);
	EQ(messages, 1);
	OK(!ended);
	tear_down();
}

TEST(the_channel_may_be_freed_in_a_message)
{
	SAY(.http = 200, .header = {GRPC_TYPE}, BODY(MESSAGE MESSAGE), .trailer = {STATUS("0")});
	free_in_message = true;
	set_up();
	start(true, 0);
	start(true, 0);
	loop_run(loop);
	EQ(messages, 1);
	OK(!ended);
	tear_down();
}

TEST(after_goaway_calls_are_unavailable)
{
	SAY(.goaway = true);
	set_up();
	start(false, 0);
	while (!ended)
		loop_run(loop);
	EQ(status, GRPC_UNAVAILABLE);
	start(false, 0);
	while (!ended)
		loop_run(loop);
	EQ(status, GRPC_UNAVAILABLE);
	tear_down();
}

TEST(a_call_started_at_the_end_is_ended_before_the_channel)
{
	SAY(.hang_up = true);
	start_in_end = true;
	set_up();
	start(false, 0);
	while (ends < 2)
		loop_run(loop);
	EQ(status, GRPC_UNAVAILABLE);
	EQ(ends_when_lost, 2);
	tear_down();
}

TEST(messages_may_be_had_and_sent_as_bytes)
{
	static const struct grpc_rpc_ops as_bytes = {.bytes = on_bytes, .ended = on_ended};
	const struct grpc_rpc_config cfg = {.path = "/t.T/M", .streams = true};
	struct h2_chunk *c = h2_chunk_new(GRPC_RPC_HEAD + 5);

	say.http = 200;
	say.header[0] = (struct h2_field)GRPC_TYPE;
	say.body = "\0\0\0\0\2ab\0\0\0\0\10no\377proto";
	say.n = 20;
	say.trailer[0] = (struct h2_field){STR("grpc-status"), STR("0")};
	set_up();
	ended = false;
	messages = 0;
	struct grpc_rpc *r = grpc_rpc_start(channel, &cfg, &as_bytes, NULL);
	memcpy(c->bytes + GRPC_RPC_HEAD, "hello", 5);
	OK(grpc_rpc_send_packed(r, c));
	MEMEQ(c->bytes, "\0\0\0\0\5hello", 10);
	h2_chunk_unref(c);
	grpc_rpc_half_close(r);
	while (!ended)
		loop_run(loop);
	tear_down();
	EQ(status, GRPC_OK);
	EQ(messages, 2);
	STREQ(bytes_seen, "no\377proto");
}
