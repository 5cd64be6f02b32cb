/* gRPC over HTTP/2, header by header: what src/grpc/server.c answers to requests made by hand. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/wrappers.pb-c.h"
#include "grpc/server.h"
#include "http2/h2_conn.h"
#include "test.h"

static struct loop *loop;
static struct grpc_server *server;
static struct h2_conn *client;
static int calls;

static void echo(struct grpc_call *call, void *request)
{
	calls++;
	grpc_reply(call, request);
}

static void on_message(struct grpc_call *call UNUSED, void *request UNUSED)
{
	calls++;
}

static void on_half_close(struct grpc_call *call)
{
	grpc_finish(call);
}

static void on_cancelled(struct grpc_call *call)
{
	grpc_fail(call, GRPC_CANCELLED, "cancelled");
}

static const struct grpc_call_ops chat_ops = {
	.message = on_message,
	.half_close = on_half_close,
	.cancelled = on_cancelled,
};

static void chat(struct grpc_call *call, void *none UNUSED)
{
	grpc_set_ops(call, &chat_ops, NULL);
}

static const struct grpc_method methods[] = {
	{"/t.T/Echo", GRPC_UNARY, &google__protobuf__bytes_value__descriptor,
	 &google__protobuf__bytes_value__descriptor, echo},
	{"/t.T/Deep", GRPC_UNARY, &google__protobuf__value__descriptor,
	 &google__protobuf__value__descriptor, echo},
	{"/t.T/Chat", GRPC_BIDI, &google__protobuf__bytes_value__descriptor,
	 &google__protobuf__bytes_value__descriptor, chat},
};

/* ---- a request, and the answer to it ---- */

static struct {
	bool closed;
	enum h2_outcome how;
	int http;
	char type[50], status[10], message[200], allow[20], accept[20];
	bool trailers_only;
	struct buf body;
} answer;

static void copy(char *to, size_t n, struct str s)
{
	snprintf(to, n, "%.*s", STR_FMT(s));
}

static void on_data(struct h2_stream *st, struct str bytes)
{
	OK(buf_str(&answer.body, bytes));
	h2_consume(st, bytes.n);
}

static void on_closed(struct h2_stream *st, enum h2_outcome how, uint32_t code UNUSED)
{
	struct str status = h2_trailer(st, "grpc-status"), text = h2_trailer(st, "grpc-message");

	answer.trailers_only = status.p == NULL;
	if (answer.trailers_only) {
		status = h2_header(st, "grpc-status");
		text = h2_header(st, "grpc-message");
	}
	answer.closed = true;
	answer.how = how;
	answer.http = h2_status(st);
	copy(answer.type, sizeof answer.type, h2_header(st, "content-type"));
	copy(answer.status, sizeof answer.status, status);
	copy(answer.message, sizeof answer.message, text);
	copy(answer.allow, sizeof answer.allow, h2_header(st, "allow"));
	copy(answer.accept, sizeof answer.accept, h2_header(st, "grpc-accept-encoding"));
	h2_release(st);
	loop_stop(loop, 0);
}

static const struct h2_stream_ops stream_ops = {.data = on_data, .closed = on_closed};

static void on_ended(void *owner UNUSED, const struct err *why UNUSED)
{
}

static const struct h2_conn_ops conn_ops = {.ended = on_ended};

static struct h2_conn_config client_cfg = {.h2.max_streams = 0};
static struct grpc_config server_cfg = {.max_streams = 0};

static void set_up(void)
{
	struct conn *a, *b;
	struct err e;
	int fd[2];

	if (client_cfg.h2.max_streams == 0)
		client_cfg.h2 = H2_CONFIG_DEFAULT;
	if (server_cfg.max_streams == 0)
		server_cfg = GRPC_CONFIG_DEFAULT;
	answer.body = BUF_INIT(1 << 20);
	OK(loop_new(&loop, &e) == 0);
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	OK(conn_of_fd(&a, loop, fd[0], "client", &e) == 0);
	OK(conn_of_fd(&b, loop, fd[1], "server", &e) == 0);
	server = grpc_server_new(loop, &server_cfg);
	grpc_server_add(server, methods, ARRAY_LEN(methods), NULL);
	grpc_server_serve(server, b);
	client = h2_conn_client(a, &client_cfg, &conn_ops, NULL);
}

static void tear_down(void)
{
	h2_conn_free(client);
	grpc_server_free(server);
	loop_free(loop);
	buf_fini(&answer.body);
}

struct question {
	const char *method, *path, *type;
	struct h2_field field; /* one more, when it has a name */
	const void *body;
	size_t n;
};

static void send_question(const struct question *q)
{
	struct h2_field f[3] = {{STR("te"), STR("trailers")}};
	struct err e;
	size_t n = 1;

	if (q->type != NULL)
		f[n++] = (struct h2_field){STR("content-type"), str_of(q->type)};
	if (q->field.name.p != NULL)
		f[n++] = q->field;
	const struct h2_request r = {
		.method = str_of(q->method ? q->method : "POST"),
		.scheme = STR("http"),
		.authority = STR("[::]:50051"),
		.path = str_of(q->path ? q->path : "/t.T/Echo"),
		.fields = f,
		.n = n,
		.body = {q->body, q->n},
	};
	OK(h2_request(h2_conn_session(client), &r, &stream_ops, NULL, &e) != NULL);
}

/* Asks on a new connection. */
static void ask(const struct question *q)
{
	set_up();
	send_question(q);
	while (!answer.closed)
		loop_run(loop);
	EQ(answer.how, H2_END_DONE);
	EQ(grpc_server_calls(server), 0);
	tear_down();
}

#define GRPC "application/grpc"
#define BODY(text) .body = (text), .n = sizeof(text) - 1
/* a BytesValue of "abc" */
#define MESSAGE "\0\0\0\0\5\xa\3abc"

static void expect_error(enum grpc_status status, const char *text)
{
	EQ(answer.http, 200);
	STREQ(answer.type, "application/grpc");
	EQ(atoi(answer.status), status);
	STREQ(answer.message, text);
	OK(answer.trailers_only);
	EQ(calls, 0);
}

TEST(an_answer_has_the_headers_that_grpc_wants)
{
	ask(&(struct question){.type = GRPC, BODY(MESSAGE)});
	EQ(answer.http, 200);
	STREQ(answer.type, "application/grpc");
	STREQ(answer.status, "0");
	OK(!answer.trailers_only);
	EQ(answer.body.cap > 0, false); /* released */
	EQ(calls, 1);
}

TEST(the_content_type_may_say_proto_or_have_parameters)
{
	ask(&(struct question){.type = GRPC "+proto", BODY(MESSAGE)});
	STREQ(answer.status, "0");
	answer.closed = false;
	ask(&(struct question){.type = GRPC ";charset=utf-8", BODY(MESSAGE)});
	STREQ(answer.status, "0");
}

TEST(another_content_type_is_415)
{
	ask(&(struct question){.type = "application/json", BODY("{}")});
	EQ(answer.http, 415);
	EQ(calls, 0);
}

TEST(no_content_type_and_one_that_only_begins_alike_are_415)
{
	ask(&(struct question){.type = NULL, BODY(MESSAGE)});
	EQ(answer.http, 415);
	answer.closed = false;
	ask(&(struct question){.type = "application/grpc-web", BODY(MESSAGE)});
	EQ(answer.http, 415);
}

TEST(another_method_is_405)
{
	ask(&(struct question){.method = "GET", .type = GRPC});
	EQ(answer.http, 405);
	STREQ(answer.allow, "POST");
}

TEST(an_unknown_path_is_unimplemented_whatever_it_looks_like)
{
	static const char *const paths[] = {"/", "/x", "//", "/t.T/", "/t.T/Echo/", "/t.T"};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		answer.closed = false;
		ask(&(struct question){.type = GRPC, .path = paths[i], BODY(MESSAGE)});
		EQ(atoi(answer.status), GRPC_UNIMPLEMENTED);
	}
}

TEST(an_encoding_is_unimplemented_and_told_what_is)
{
	ask(&(struct question){
		.type = GRPC, .field = {STR("grpc-encoding"), STR("gzip")}, BODY(MESSAGE)});
	expect_error(GRPC_UNIMPLEMENTED, "encoding gzip is not supported");
	STREQ(answer.accept, "identity");
}

TEST(the_identity_encoding_is_fine)
{
	ask(&(struct question){
		.type = GRPC, .field = {STR("grpc-encoding"), STR("identity")}, BODY(MESSAGE)});
	STREQ(answer.status, "0");
}

TEST(a_compressed_message_is_unimplemented)
{
	ask(&(struct question){.type = GRPC, BODY("\1\0\0\0\5\xa\3abc")});
	expect_error(GRPC_UNIMPLEMENTED, "compressed messages are not supported");
	STREQ(answer.accept, "identity");
}

TEST(unknown_flags_are_an_error)
{
	ask(&(struct question){.type = GRPC, BODY("\2\0\0\0\5\xa\3abc")});
	expect_error(GRPC_INTERNAL, "a message frame with unknown flags");
}

TEST(a_message_of_four_gigabytes_is_refused_by_its_length)
{
	ask(&(struct question){.type = GRPC, BODY("\0\xff\xff\xff\xff")});
	expect_error(GRPC_RESOURCE_EXHAUSTED, "the message is larger than 4194304 bytes");
}

TEST(a_request_needs_exactly_one_message)
{
	ask(&(struct question){.type = GRPC});
	expect_error(GRPC_INVALID_ARGUMENT, "no request message");
	answer.closed = false;
	ask(&(struct question){.type = GRPC, BODY(MESSAGE MESSAGE)});
	expect_error(GRPC_INVALID_ARGUMENT, "more than one request message");
	answer.closed = false;
	ask(&(struct question){.type = GRPC, BODY("\0\0\0\0\5\xa\3")});
	expect_error(GRPC_INVALID_ARGUMENT, "the request ends within a message");
}

TEST(an_empty_message_is_a_message)
{
	ask(&(struct question){.type = GRPC, BODY("\0\0\0\0\0")});
	STREQ(answer.status, "0");
	EQ(calls, 1);
}

TEST(malformed_messages_are_invalid_arguments)
{
	ask(&(struct question){.type = GRPC,
			       BODY("\0\0\0\0\5\xa\7"
				    "abc")});
	EQ(atoi(answer.status), GRPC_INVALID_ARGUMENT);
	EQ(calls, 0);
}

TEST(messages_nested_too_deep_are_invalid_arguments)
{
	uint8_t b[5 + 2000];
	size_t n = 0;

	/* google.protobuf.Value: list_value (6) of values (1): two levels for every four bytes */
	for (size_t at = sizeof b; at > 5 + 6;) {
		size_t inner = sizeof b - at;
		at -= inner < 128 ? 2 : 3;
		b[at] = n++ % 2 ? 0x32 : 0xa;
		b[at + 1] = inner < 128 ? (uint8_t)inner : (uint8_t)(0x80 | (inner & 0x7f));
		if (inner >= 128)
			b[at + 2] = (uint8_t)(inner >> 7);
		if (n == 400) {
			size_t whole = sizeof b - at;
			memmove(b + 5, b + at, whole);
			b[0] = b[1] = b[2] = 0;
			b[3] = (uint8_t)(whole >> 8);
			b[4] = (uint8_t)whole;
			ask(&(struct question){
				.type = GRPC, .path = "/t.T/Deep", .body = b, .n = 5 + whole});
			EQ(atoi(answer.status), GRPC_INVALID_ARGUMENT);
			EQ(calls, 0);
			return;
		}
	}
	FAIL("not deep enough");
}

static void timeout(const char *value, bool good)
{
	struct question q = {.type = GRPC, BODY(MESSAGE)};

	calls = 0;
	answer.closed = false;
	q.field = (struct h2_field){STR("grpc-timeout"), str_of(value)};
	ask(&q);
	if (good)
		STREQ(answer.status, "0");
	else
		expect_error(GRPC_INVALID_ARGUMENT, "malformed grpc-timeout");
}

TEST(timeouts_are_up_to_eight_digits_and_a_unit)
{
	timeout("1H", true);
	timeout("99999999M", true);
	timeout("10S", true);
	timeout("10000m", true);
	timeout("10000000u", true);
	timeout("99999999n", true);
	timeout("100000000n", false);
	timeout("1", false);
	timeout("S", false);
	timeout("1s", false);
	timeout("-1S", false);
	timeout("1 S", false);
	timeout("", false);
}

TEST(a_malformed_message_on_a_stream_ends_it_and_tells_its_handler)
{
	ask(&(struct question){.type = GRPC, .path = "/t.T/Chat", BODY(MESSAGE "\0\0\0\0\2\xa\7")});
	EQ(calls, 1);
	EQ(answer.http, 200);
	EQ(atoi(answer.status), GRPC_INVALID_ARGUMENT);
	OK(!answer.trailers_only); /* its headers went out at once */
}

static void on_drained(void *arg UNUSED)
{
}

TEST(a_call_that_crosses_the_drain_is_unavailable)
{
	set_up();
	send_question(&(struct question){.type = GRPC, BODY(MESSAGE)});
	grpc_server_drain(server, 1000, on_drained, NULL);
	while (!answer.closed)
		loop_run(loop);
	expect_error(GRPC_UNAVAILABLE, "the server is shutting down");
	tear_down();
}

TEST(answers_that_nobody_reads_are_bounded)
{
	set_up();
	tear_down();
	client_cfg.h2.stream_window = 0;
	server_cfg.conn_queue_max = 2 * (sizeof MESSAGE - 1);
	set_up();
	for (int i = 0; i < 3; i++)
		send_question(&(struct question){.type = GRPC, BODY(MESSAGE)});
	while (!answer.closed)
		loop_run(loop);
	EQ(calls, 3);
	calls = 0;
	expect_error(GRPC_RESOURCE_EXHAUSTED, "the client does not read its answers");
	tear_down();
}
