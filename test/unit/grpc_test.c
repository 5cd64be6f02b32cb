/* The gRPC server and client of src/grpc, against each other over a socket pair. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "google/protobuf/wrappers.pb-c.h"
#include "grpc/client.h"
#include "grpc/health.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "grpc/server.h"
#include "test.h"

typedef Google__Protobuf__BytesValue bytes_value;
typedef Google__Protobuf__UInt32Value uint_value;
#define BYTES &google__protobuf__bytes_value__descriptor
#define UINT &google__protobuf__uint32_value__descriptor

/* ---- a server with one method of each kind ---- */

static struct loop *loop;
static struct grpc_server *server;
static struct grpc_channel *channel;
static struct grpc_call *parked; /* the last call that its handler has not answered */
static struct grpc_call *all_parked[10];
static size_t n_parked;
static int cancels, writables;

static bytes_value bytes_of(const void *p, size_t n)
{
	bytes_value b = GOOGLE__PROTOBUF__BYTES_VALUE__INIT;

	b.value = (ProtobufCBinaryData){n, (uint8_t *)p};
	return b;
}

static uint_value uint_of(uint32_t n)
{
	uint_value u = GOOGLE__PROTOBUF__UINT32_VALUE__INIT;

	u.value = n;
	return u;
}

static void echo(struct grpc_call *call, void *request)
{
	struct str name = grpc_metadata(call, "x-name");

	if (name.p != NULL) {
		grpc_add_header(call, STR("x-first"), name);
		grpc_add_trailer(call, STR("x-last"), name);
	}
	grpc_reply(call, request);
}

static void fail(struct grpc_call *call, void *request UNUSED)
{
	grpc_fail(call, GRPC_FAILED_PRECONDITION, "50%% of \xc3\xa9\n are bad");
}

static void on_cancelled(struct grpc_call *call UNUSED)
{
	cancels++;
}

static const struct grpc_call_ops park_ops = {.cancelled = on_cancelled};

static void park(struct grpc_call *call, void *request UNUSED)
{
	grpc_set_ops(call, &park_ops, NULL);
	parked = call;
	all_parked[n_parked++] = call;
}

static void count(struct grpc_call *call, void *request)
{
	uint_value *n = request;

	for (uint32_t i = 0; i < n->value; i++) {
		uint_value u = uint_of(i);
		OK(grpc_send(call, &u));
	}
	grpc_finish(call);
}

struct flood {
	uint32_t sent, total;
	struct h2_chunk *chunk;
};

static void flood_on(struct grpc_call *call)
{
	struct flood *f = grpc_user(call);

	writables++;
	while (f->sent < f->total && grpc_send_packed(call, f->chunk))
		f->sent++;
	if (f->sent < f->total)
		return;
	h2_chunk_unref(f->chunk);
	grpc_finish(call);
}

static void flood_cancelled(struct grpc_call *call)
{
	struct flood *f = grpc_user(call);

	cancels++;
	h2_chunk_unref(f->chunk);
	grpc_fail(call, GRPC_CANCELLED, "gone");
}

static const struct grpc_call_ops flood_ops = {.writable = flood_on, .cancelled = flood_cancelled};
static struct flood flooding;

/* n messages of 10,000 bytes, as fast as the client takes them */
static void flood(struct grpc_call *call, void *request)
{
	static char block[10000];
	bytes_value b = bytes_of(block, sizeof block);

	flooding = (struct flood){.total = ((uint_value *)request)->value, .chunk = grpc_pack(&b)};
	grpc_set_ops(call, &flood_ops, &flooding);
	flood_on(call);
}

static uint32_t sum;

static void sum_message(struct grpc_call *call UNUSED, void *request)
{
	sum += ((uint_value *)request)->value;
}

static void sum_end(struct grpc_call *call)
{
	uint_value u = uint_of(sum);

	grpc_reply(call, &u);
}

static const struct grpc_call_ops sum_ops = {
	.message = sum_message,
	.half_close = sum_end,
	.cancelled = flood_cancelled,
};

static void add_up(struct grpc_call *call, void *none)
{
	OK(none == NULL);
	sum = 0;
	grpc_set_ops(call, &sum_ops, NULL);
}

static void chat_message(struct grpc_call *call, void *request)
{
	OK(grpc_send(call, request));
}

static void chat_end(struct grpc_call *call)
{
	grpc_finish(call);
}

static void chat_cancelled(struct grpc_call *call)
{
	cancels++;
	grpc_fail(call, GRPC_CANCELLED, "gone");
}

static const struct grpc_call_ops chat_ops = {
	.message = chat_message,
	.half_close = chat_end,
	.cancelled = chat_cancelled,
};

static void chat(struct grpc_call *call, void *none UNUSED)
{
	grpc_set_ops(call, &chat_ops, NULL);
	parked = call;
}

static const struct grpc_method methods[] = {
	{"/t.T/Echo", GRPC_UNARY, BYTES, BYTES, echo},
	{"/t.T/Fail", GRPC_UNARY, BYTES, BYTES, fail},
	{"/t.T/Park", GRPC_UNARY, BYTES, BYTES, park},
	{"/t.T/Count", GRPC_SERVER_STREAM, UINT, UINT, count},
	{"/t.T/Flood", GRPC_SERVER_STREAM, UINT, BYTES, flood},
	{"/t.T/Wait", GRPC_SERVER_STREAM, UINT, UINT, park},
	{"/t.T/Sum", GRPC_CLIENT_STREAM, UINT, UINT, add_up},
	{"/t.T/Chat", GRPC_BIDI, BYTES, BYTES, chat},
};

/* ---- both ends in one loop ---- */

static struct err lost_why;
static bool lost;

static void on_lost(void *arg UNUSED, const struct err *why)
{
	lost = true;
	lost_why = *why;
}

static struct grpc_channel *connect_channel(void)
{
	struct conn *a, *b;
	struct err e;
	int fd[2];

	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	OK(conn_of_fd(&a, loop, fd[0], "client", &e) == 0);
	OK(conn_of_fd(&b, loop, fd[1], "server", &e) == 0);
	grpc_server_serve(server, b);
	return grpc_channel_new(a, &GRPC_CHANNEL_CONFIG_DEFAULT, on_lost, NULL);
}

static void set_up_with(const struct grpc_config *cfg)
{
	struct err e;

	OK(loop_new(&loop, &e) == 0);
	server = grpc_server_new(loop, cfg);
	grpc_server_add(server, methods, ARRAY_LEN(methods), NULL);
	channel = connect_channel();
}

static void set_up(void)
{
	set_up_with(&GRPC_CONFIG_DEFAULT);
}

static void tear_down(void)
{
	grpc_channel_free(channel);
	grpc_server_free(server);
	loop_free(loop);
}

static void stop_later(struct timer *t UNUSED)
{
	loop_stop(loop, 1);
}

/* Runs the loop until something stops it, or for ms. */
static void run_for(int64_t ms)
{
	struct timer limit = {.fire = stop_later};

	timer_set(loop, &limit, test_ms(ms));
	loop_run(loop);
	timer_stop(loop, &limit);
}

/* ---- a call, remembered ---- */

struct seen {
	struct grpc_rpc *rpc;
	bool ended, headers;
	enum grpc_status status;
	char text[200];
	int messages;
	size_t bytes;
	uint32_t last;
	char first_md[50], last_md[50];
	bool pause_each;
	int stop_after; /* messages, then the loop stops */
};

static void seen_headers(struct grpc_rpc *r)
{
	struct seen *s = grpc_rpc_user(r);
	struct str v = grpc_rpc_header(r, "x-first");

	s->headers = true;
	snprintf(s->first_md, sizeof s->first_md, "%.*s", STR_FMT(v));
}

static void seen_message(struct grpc_rpc *r, void *message)
{
	struct seen *s = grpc_rpc_user(r);
	const ProtobufCMessage *m = message;

	s->messages++;
	if (m->descriptor == UINT)
		s->last = ((uint_value *)message)->value;
	else if (m->descriptor == BYTES)
		s->bytes += ((bytes_value *)message)->value.len;
	if (s->pause_each)
		grpc_rpc_pause(r);
	if (s->messages == s->stop_after)
		loop_stop(loop, 0);
}

static void seen_ended(struct grpc_rpc *r, enum grpc_status status, struct str text)
{
	struct seen *s = grpc_rpc_user(r);
	struct str v = grpc_rpc_trailer(r, "x-last");

	snprintf(s->last_md, sizeof s->last_md, "%.*s", STR_FMT(v));
	OK(!s->ended);
	s->ended = true;
	s->status = status;
	snprintf(s->text, sizeof s->text, "%.*s", STR_FMT(text));
	loop_stop(loop, 0);
}

static void seen_writable(struct grpc_rpc *r UNUSED)
{
	writables++;
}

static const struct grpc_rpc_ops seen_ops = {
	.headers = seen_headers,
	.message = seen_message,
	.writable = seen_writable,
	.ended = seen_ended,
};

static void start(struct seen *s, const char *path, const ProtobufCMessageDescriptor *out,
		  bool streams, const void *request, int64_t timeout_ms)
{
	struct grpc_rpc_config cfg = {
		.path = path, .out = out, .streams = streams, .timeout_ms = timeout_ms};

	if (request != NULL)
		s->rpc = grpc_rpc_call(channel, &cfg, request, &seen_ops, s);
	else
		s->rpc = grpc_rpc_start(channel, &cfg, &seen_ops, s);
}

static void finish(struct seen *s)
{
	while (!s->ended)
		loop_run(loop);
}

/* ---- the four kinds ---- */

TEST(unary)
{
	struct seen s = {0};
	bytes_value b = bytes_of("hello", 5);

	set_up();
	start(&s, "/t.T/Echo", BYTES, false, &b, 0);
	finish(&s);
	EQ(s.status, GRPC_OK);
	EQ(s.messages, 1);
	EQ(s.bytes, 5);
	STREQ(s.text, "");
	EQ(grpc_server_calls(server), 0);
	tear_down();
}

TEST(unary_large)
{
	enum { N = 3 * 1024 * 1024 };
	struct seen s = {0};
	bytes_value b = bytes_of(calloc(1, N), N);

	set_up();
	start(&s, "/t.T/Echo", BYTES, false, &b, 0);
	finish(&s);
	EQ(s.status, GRPC_OK);
	EQ(s.bytes, N);
	tear_down();
	free(b.value.data);
}

TEST(server_stream)
{
	struct seen s = {0};
	uint_value n = uint_of(100);

	set_up();
	start(&s, "/t.T/Count", UINT, true, &n, 0);
	finish(&s);
	EQ(s.status, GRPC_OK);
	OK(s.headers);
	EQ(s.messages, 100);
	EQ(s.last, 99);
	tear_down();
}

TEST(client_stream)
{
	struct seen s = {0};

	set_up();
	start(&s, "/t.T/Sum", UINT, false, NULL, 0);
	for (uint32_t i = 1; i <= 10; i++) {
		uint_value u = uint_of(i);
		OK(grpc_rpc_send(s.rpc, &u));
		run_for(1);
	}
	grpc_rpc_half_close(s.rpc);
	finish(&s);
	EQ(s.status, GRPC_OK);
	EQ(s.last, 55);
	tear_down();
}

TEST(bidi)
{
	struct seen s = {.stop_after = 3};
	bytes_value b = bytes_of("abc", 3);

	set_up();
	start(&s, "/t.T/Chat", BYTES, true, NULL, 0);
	run_for(20);
	OK(s.headers); /* before any message */
	for (int i = 0; i < 3; i++)
		OK(grpc_rpc_send(s.rpc, &b));
	loop_run(loop);
	EQ(s.messages, 3);
	OK(!s.ended);
	grpc_rpc_half_close(s.rpc);
	finish(&s);
	EQ(s.status, GRPC_OK);
	tear_down();
}

TEST(headers_of_a_stream_go_out_before_its_first_message)
{
	struct seen s = {0};
	uint_value n = uint_of(1);

	set_up();
	start(&s, "/t.T/Wait", UINT, true, &n, 0);
	while (!s.headers)
		run_for(5);
	OK(!s.ended);
	grpc_finish(parked);
	finish(&s);
	EQ(s.status, GRPC_OK);
	EQ(s.messages, 0);
	tear_down();
}

/* ---- errors and metadata ---- */

TEST(an_error_keeps_its_code_and_every_byte_of_its_text)
{
	struct seen s = {0};
	bytes_value b = bytes_of("x", 1);

	set_up();
	start(&s, "/t.T/Fail", BYTES, false, &b, 0);
	finish(&s);
	EQ(s.status, GRPC_FAILED_PRECONDITION);
	STREQ(s.text, "50% of \xc3\xa9\n are bad");
	EQ(s.messages, 0);
	tear_down();
}

TEST(unknown_methods_and_services_are_unimplemented)
{
	struct seen a = {0}, b = {0};
	bytes_value v = bytes_of("x", 1);

	set_up();
	start(&a, "/t.T/Nope", BYTES, false, &v, 0);
	start(&b, "/t.X/Nope", BYTES, false, &v, 0);
	finish(&a);
	finish(&b);
	EQ(a.status, GRPC_UNIMPLEMENTED);
	STREQ(a.text, "unknown method Nope for service t.T");
	EQ(b.status, GRPC_UNIMPLEMENTED);
	STREQ(b.text, "unknown service t.X");
	tear_down();
}

TEST(metadata_goes_both_ways)
{
	struct seen s = {0};
	bytes_value b = bytes_of("x", 1);
	const struct h2_field md = {STR("x-name"), STR("some value")};
	const struct grpc_rpc_config cfg = {
		.path = "/t.T/Echo", .out = BYTES, .metadata = &md, .n = 1};

	set_up();
	s.rpc = grpc_rpc_call(channel, &cfg, &b, &seen_ops, &s);
	finish(&s);
	EQ(s.status, GRPC_OK);
	STREQ(s.first_md, "some value");
	STREQ(s.last_md, "some value");
	tear_down();
}

/* ---- deadlines and cancellation ---- */

TEST(a_deadline_ends_the_call_on_both_sides)
{
	struct seen s = {0};
	bytes_value b = bytes_of("x", 1);

	set_up();
	start(&s, "/t.T/Park", BYTES, false, &b, 500);
	finish(&s);
	EQ(s.status, GRPC_DEADLINE_EXCEEDED);
	while (cancels == 0)
		run_for(5);
	OK(grpc_cancelled(parked));
	EQ(grpc_server_calls(server), 1); /* until its handler has answered it */
	grpc_reply(parked, &b);
	EQ(grpc_server_calls(server), 0);
	EQ(cancels, 1);
	tear_down();
}

TEST(a_handler_knows_the_time_left)
{
	struct seen a = {0}, b = {0};
	bytes_value v = bytes_of("x", 1);

	set_up();
	start(&a, "/t.T/Park", BYTES, false, &v, 60 * 1000);
	while (parked == NULL)
		run_for(5);
	OK(grpc_time_left(parked) > 0 && grpc_time_left(parked) <= 60 * 1000);
	grpc_reply(parked, &v);
	finish(&a);
	EQ(a.status, GRPC_OK);
	parked = NULL;
	start(&b, "/t.T/Park", BYTES, false, &v, 0);
	while (parked == NULL)
		run_for(5);
	OK(grpc_time_left(parked) == INT64_MAX);
	grpc_fail(parked, GRPC_ABORTED, "%s", "enough");
	finish(&b);
	EQ(b.status, GRPC_ABORTED);
	tear_down();
}

TEST(a_cancelled_call_is_told_once_and_may_be_answered_late)
{
	struct seen s = {0};
	bytes_value b = bytes_of("x", 1);

	set_up();
	start(&s, "/t.T/Park", BYTES, false, &b, 0);
	while (parked == NULL)
		run_for(5);
	grpc_rpc_cancel(s.rpc);
	while (cancels == 0)
		run_for(5);
	run_for(20);
	EQ(cancels, 1);
	OK(!s.ended);
	grpc_fail(parked, GRPC_INTERNAL, "too late");
	run_for(5);
	EQ(grpc_server_connections(server), 1);
	tear_down();
}

TEST(a_call_survives_its_client_and_even_its_server)
{
	struct seen s = {0};
	bytes_value b = bytes_of("x", 1);

	set_up();
	start(&s, "/t.T/Park", BYTES, false, &b, 0);
	while (parked == NULL)
		run_for(5);
	grpc_channel_free(channel);
	channel = NULL;
	while (grpc_server_connections(server) > 0)
		run_for(5);
	EQ(cancels, 1);
	OK(grpc_cancelled(parked));
	OK(arena_dup(grpc_arena(parked), STR("still there")) != NULL);
	grpc_server_free(server);
	server = NULL;
	grpc_reply(parked, &b);
	tear_down();
}

TEST(a_lost_server_ends_every_call_and_then_the_channel)
{
	struct seen a = {0}, b = {0};
	bytes_value v = bytes_of("x", 1);

	set_up();
	start(&a, "/t.T/Park", BYTES, false, &v, 0);
	start(&b, "/t.T/Chat", BYTES, true, NULL, 0);
	while (n_parked == 0 || !b.headers)
		run_for(5);
	grpc_server_free(server);
	server = NULL;
	finish(&a);
	finish(&b);
	EQ(a.status, GRPC_UNAVAILABLE);
	EQ(b.status, GRPC_UNAVAILABLE);
	while (!lost)
		run_for(5);
	struct seen c = {0};
	start(&c, "/t.T/Echo", BYTES, false, &v, 0);
	OK(!c.ended); /* not from inside the start */
	finish(&c);
	EQ(c.status, GRPC_UNAVAILABLE);
	grpc_reply(all_parked[0], &v);
	tear_down();
}

/* ---- a peer that does not keep up ---- */

TEST(a_slow_reader_costs_bounded_memory_and_holds_up_nobody)
{
	struct seen slow = {.pause_each = true}, quick = {0};
	uint_value n = uint_of(1000); /* 10 MB */
	bytes_value b = bytes_of("x", 1);

	set_up();
	start(&slow, "/t.T/Flood", BYTES, true, &n, 0);
	while (slow.messages == 0)
		run_for(5);
	run_for(50);
	EQ(slow.messages, 1);
	/* its window, what we queue for it, and the buffers of the sockets */
	OK(flooding.sent < 150);
	start(&quick, "/t.T/Echo", BYTES, false, &b, 0);
	finish(&quick);
	EQ(quick.status, GRPC_OK);
	slow.pause_each = false;
	grpc_rpc_resume(slow.rpc);
	finish(&slow);
	EQ(slow.status, GRPC_OK);
	EQ(slow.messages, 1000);
	OK(writables > 10);
	tear_down();
}

TEST(messages_are_delivered_before_the_end_of_a_paused_call)
{
	struct seen s = {.pause_each = true};
	uint_value n = uint_of(5);

	set_up();
	start(&s, "/t.T/Count", UINT, true, &n, 0);
	while (s.messages == 0)
		run_for(5);
	run_for(100);
	EQ(s.messages, 1);
	OK(!s.ended);
	for (int i = 2; i <= 5; i++) {
		grpc_rpc_resume(s.rpc);
		EQ(s.messages, i);
	}
	OK(!s.ended);
	grpc_rpc_resume(s.rpc);
	OK(s.ended);
	EQ(s.status, GRPC_OK);
	tear_down();
}

static void pausing_message(struct grpc_call *call, void *request UNUSED)
{
	sum++;
	grpc_pause(call);
}

static const struct grpc_call_ops pausing_ops = {
	.message = pausing_message,
	.half_close = sum_end,
	.cancelled = on_cancelled,
};

static void take_slowly(struct grpc_call *call, void *none UNUSED)
{
	sum = 0;
	parked = call;
	grpc_set_ops(call, &pausing_ops, NULL);
}

static const struct grpc_method slow_methods[] = {
	{"/t.Slow/Take", GRPC_CLIENT_STREAM, BYTES, UINT, take_slowly},
};

TEST(a_paused_call_makes_its_client_stop)
{
	static char block[10000];
	struct seen s = {0};
	bytes_value b = bytes_of(block, sizeof block);
	uint32_t sent = 0;

	set_up();
	grpc_server_add(server, slow_methods, 1, NULL);
	start(&s, "/t.Slow/Take", UINT, false, NULL, 0);
	for (int i = 0; i < 20 || sum == 0; i++) {
		while (sent < 1000 && grpc_rpc_send(s.rpc, &b))
			sent++;
		run_for(5);
	}
	EQ(sum, 1);
	OK(sent < 150); /* two windows of 256 KiB, and the sockets */
	uint32_t then = sent;
	for (uint32_t i = 1; i < then; i++) {
		grpc_resume(parked);
		while (sum == i)
			run_for(1);
		EQ(sum, i + 1);
	}
	OK(writables > 0);
	grpc_rpc_half_close(s.rpc);
	grpc_resume(parked);
	finish(&s);
	EQ(s.status, GRPC_OK);
	EQ(s.last, then);
	tear_down();
}

/* ---- limits ---- */

TEST(a_message_over_the_limit_is_refused)
{
	struct grpc_config cfg = GRPC_CONFIG_DEFAULT;
	struct seen a = {0}, b = {0};
	static char block[2000];
	bytes_value small = bytes_of(block, 990), large = bytes_of(block, 2000);

	cfg.message_max = 1000;
	set_up_with(&cfg);
	start(&a, "/t.T/Echo", BYTES, false, &small, 0);
	start(&b, "/t.T/Echo", BYTES, false, &large, 0);
	finish(&a);
	finish(&b);
	EQ(a.status, GRPC_OK);
	EQ(b.status, GRPC_RESOURCE_EXHAUSTED);
	STREQ(b.text, "the message is larger than 1000 bytes");
	tear_down();
}

TEST(requests_of_all_calls_together_are_bounded)
{
	struct grpc_config cfg = GRPC_CONFIG_DEFAULT;
	struct seen s[5] = {0};
	static char block[100 * 1000];
	bytes_value b = bytes_of(block, sizeof block);
	int refused = 0;

	cfg.receive_max = 350 * 1000;
	set_up_with(&cfg);
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		start(&s[i], "/t.T/Park", BYTES, false, &b, 0);
	run_for(50);
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		refused += s[i].ended && s[i].status == GRPC_RESOURCE_EXHAUSTED;
	EQ(refused, 2);
	EQ(n_parked, 3);
	for (size_t i = 0; i < n_parked; i++)
		grpc_reply(all_parked[i], &b);
	tear_down();
}

TEST(calls_beyond_the_limit_of_a_connection_wait)
{
	struct grpc_config cfg = GRPC_CONFIG_DEFAULT;
	struct seen s[10] = {0};
	bytes_value b = bytes_of("x", 1);

	cfg.max_streams = 2;
	set_up_with(&cfg);
	run_for(10); /* the server's SETTINGS */
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		start(&s[i], "/t.T/Echo", BYTES, false, &b, 0);
	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		finish(&s[i]);
		EQ(s[i].status, GRPC_OK);
	}
	tear_down();
}

TEST(connections_beyond_the_limit_are_closed)
{
	struct grpc_config cfg = GRPC_CONFIG_DEFAULT;

	cfg.max_connections = 1;
	set_up_with(&cfg);
	struct grpc_channel *second = connect_channel();
	while (!lost)
		run_for(5);
	EQ(grpc_server_connections(server), 1);
	grpc_channel_free(second);
	tear_down();
}

/* ---- the end ---- */

static int drained;

static void on_drained(void *arg UNUSED)
{
	drained++;
	loop_stop(loop, 0);
}

TEST(drain_ends_streams_and_lets_unary_calls_finish)
{
	struct seen stream = {0}, unary = {0}, late = {0};
	bytes_value b = bytes_of("x", 1);

	set_up();
	start(&stream, "/t.T/Chat", BYTES, true, NULL, 0);
	while (!stream.headers)
		run_for(5);
	parked = NULL;
	start(&unary, "/t.T/Park", BYTES, false, &b, 0);
	while (parked == NULL)
		run_for(5);
	grpc_server_drain(server, 10 * 1000, on_drained, NULL);
	finish(&stream);
	EQ(stream.status, GRPC_UNAVAILABLE);
	EQ(cancels, 1);
	run_for(20);
	EQ(drained, 0);
	start(&late, "/t.T/Echo", BYTES, false, &b, 0);
	finish(&late);
	EQ(late.status, GRPC_UNAVAILABLE);
	grpc_reply(parked, &b);
	finish(&unary);
	EQ(unary.status, GRPC_OK);
	while (!drained)
		run_for(50);
	EQ(grpc_server_connections(server), 0);
	OK(lost);
	EQ(lost_why.code, 0);
	tear_down();
}

TEST(drain_cuts_off_what_takes_too_long)
{
	struct seen unary = {0};
	bytes_value b = bytes_of("x", 1);

	set_up();
	start(&unary, "/t.T/Park", BYTES, false, &b, 0);
	while (parked == NULL)
		run_for(5);
	grpc_server_drain(server, 30, on_drained, NULL);
	while (!drained)
		run_for(50);
	EQ(cancels, 1);
	finish(&unary);
	EQ(unary.status, GRPC_UNAVAILABLE);
	grpc_reply(parked, &b);
	tear_down();
}

TEST(drain_of_a_server_without_connections_is_done_in_the_next_turn)
{
	set_up();
	grpc_channel_free(channel);
	channel = NULL;
	while (grpc_server_connections(server) > 0)
		run_for(5);
	grpc_server_drain(server, 1000, on_drained, NULL);
	EQ(drained, 0);
	run_for(1000);
	EQ(drained, 1);
	tear_down();
}
