/*
 * The cases of gRPC's interoperability tests that need no cloud, against any server of
 * grpc.testing.TestService.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "grpc/client.h"
#include "interop.h"
#include "test/interop/interop.pb-c.h"

enum { TIMEOUT_MS = 10 * 1000, LARGE_REQUEST = 271828, LARGE_RESPONSE = 314159 };

#define SERVICE "/grpc.testing.TestService/"
#define SPECIAL                                                                                    \
	"\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and non-BMP "                    \
	"\xf0\x9f\x98\x88\t\n"

static const int32_t request_sizes[] = {27182, 8, 1828, 45904};
static const int32_t response_sizes[] = {31415, 9, 2653, 58979};

static uint8_t zeros[LARGE_RESPONSE];
static struct loop *loop;
static struct grpc_channel *channel;

#define CHECK(cond) ((cond) ? (void)0 : die("%s:%d: not so: %s", __FILE__, __LINE__, #cond))

/* ---- a call, and what became of it ---- */

struct call {
	struct grpc_rpc *rpc;
	bool ended;
	enum grpc_status status;
	char text[200];
	char first[100], last[100]; /* custom metadata */
	size_t messages, sizes[8];
	int64_t sum;
	void (*then)(struct call *c); /* after each message */
};

static void on_headers(struct grpc_rpc *r)
{
	struct call *c = grpc_rpc_user(r);

	snprintf(c->first, sizeof c->first, "%.*s",
		 STR_FMT(grpc_rpc_header(r, "x-grpc-test-echo-initial")));
}

static void on_message(struct grpc_rpc *r, void *message)
{
	struct call *c = grpc_rpc_user(r);
	const ProtobufCMessage *m = message;
	const Grpc__Testing__Payload *p = NULL;

	CHECK(c->messages < ARRAY_LEN(c->sizes));
	if (m->descriptor == &grpc__testing__simple_response__descriptor)
		p = ((Grpc__Testing__SimpleResponse *)message)->payload;
	else if (m->descriptor == &grpc__testing__streaming_output_call_response__descriptor)
		p = ((Grpc__Testing__StreamingOutputCallResponse *)message)->payload;
	else if (m->descriptor == &grpc__testing__streaming_input_call_response__descriptor)
		c->sum = ((Grpc__Testing__StreamingInputCallResponse *)message)
				 ->aggregated_payload_size;
	c->sizes[c->messages++] = p != NULL ? p->body.len : 0;
	if (c->then != NULL)
		c->then(c);
}

static void on_ended(struct grpc_rpc *r, enum grpc_status status, struct str text)
{
	struct call *c = grpc_rpc_user(r);

	c->ended = true;
	c->status = status;
	snprintf(c->text, sizeof c->text, "%.*s", STR_FMT(text));
	snprintf(c->last, sizeof c->last, "%.*s",
		 STR_FMT(grpc_rpc_trailer(r, "x-grpc-test-echo-trailing-bin")));
	loop_stop(loop, 0);
}

static const struct grpc_rpc_ops ops = {
	.headers = on_headers,
	.message = on_message,
	.ended = on_ended,
};

static const struct h2_field custom[] = {
	{STR("x-grpc-test-echo-initial"), STR("test_initial_metadata_value")},
	{STR("x-grpc-test-echo-trailing-bin"), STR("q6ur")},
};

/* request: NULL for one that is to be streamed */
static void start(struct call *c, const char *path, const ProtobufCMessageDescriptor *out,
		  const void *request, bool with_metadata, int64_t timeout_ms)
{
	const struct grpc_rpc_config cfg = {
		.path = path,
		.out = out,
		.streams = out == &grpc__testing__streaming_output_call_response__descriptor,
		.timeout_ms = timeout_ms,
		.metadata = custom,
		.n = with_metadata ? ARRAY_LEN(custom) : 0,
	};

	if (request != NULL)
		c->rpc = grpc_rpc_call(channel, &cfg, request, &ops, c);
	else
		c->rpc = grpc_rpc_start(channel, &cfg, &ops, c);
}

static void finish(struct call *c)
{
	while (!c->ended)
		loop_run(loop);
}

static void expect(struct call *c, enum grpc_status status)
{
	finish(c);
	if (c->status != status)
		die("status %s (%s), not %s", grpc_status_name(c->status), c->text,
		    grpc_status_name(status));
}

/* ---- unary cases ---- */

static const Grpc__Testing__Empty empty = GRPC__TESTING__EMPTY__INIT;

static void call_empty(const char *path, enum grpc_status status)
{
	struct call c = {0};

	start(&c, path, &grpc__testing__empty__descriptor, &empty, false, TIMEOUT_MS);
	expect(&c, status);
	CHECK(c.messages == (status == GRPC_OK));
}

static void empty_unary(void)
{
	call_empty(SERVICE "EmptyCall", GRPC_OK);
}

static void unimplemented_method(void)
{
	call_empty(SERVICE "UnimplementedCall", GRPC_UNIMPLEMENTED);
}

static void unimplemented_service(void)
{
	call_empty("/grpc.testing.UnimplementedService/UnimplementedCall", GRPC_UNIMPLEMENTED);
}

static void call_large(struct call *c, bool with_metadata)
{
	Grpc__Testing__Payload p = GRPC__TESTING__PAYLOAD__INIT;
	Grpc__Testing__SimpleRequest q = GRPC__TESTING__SIMPLE_REQUEST__INIT;

	p.body = (ProtobufCBinaryData){LARGE_REQUEST, zeros};
	q.payload = &p;
	q.response_size = LARGE_RESPONSE;
	start(c, SERVICE "UnaryCall", &grpc__testing__simple_response__descriptor, &q,
	      with_metadata, TIMEOUT_MS);
	expect(c, GRPC_OK);
	CHECK(c->messages == 1 && c->sizes[0] == LARGE_RESPONSE);
}

static void large_unary(void)
{
	struct call c = {0};

	call_large(&c, false);
}

static void call_status(const char *text)
{
	struct call c = {0};
	Grpc__Testing__EchoStatus s = GRPC__TESTING__ECHO_STATUS__INIT;
	Grpc__Testing__SimpleRequest q = GRPC__TESTING__SIMPLE_REQUEST__INIT;

	s.code = GRPC_UNKNOWN;
	s.message = (char *)text;
	q.response_status = &s;
	start(&c, SERVICE "UnaryCall", &grpc__testing__simple_response__descriptor, &q, false,
	      TIMEOUT_MS);
	expect(&c, GRPC_UNKNOWN);
	CHECK(streq(c.text, text));
}

static void special_status_message(void)
{
	call_status(SPECIAL);
}

/* ---- streams ---- */

static void send_request(struct call *c, int32_t payload_size, const int32_t *sizes, size_t n)
{
	Grpc__Testing__Payload p = GRPC__TESTING__PAYLOAD__INIT;
	Grpc__Testing__StreamingOutputCallRequest q =
		GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
	Grpc__Testing__ResponseParameters param[8], *params[8];

	p.body = (ProtobufCBinaryData){(size_t)payload_size, zeros};
	q.payload = &p;
	q.n_response_parameters = n;
	q.response_parameters = params;
	for (size_t i = 0; i < n; i++) {
		grpc__testing__response_parameters__init(&param[i]);
		param[i].size = sizes[i];
		params[i] = &param[i];
	}
	CHECK(grpc_rpc_send(c->rpc, &q));
}

static void start_chat(struct call *c, const char *method, bool with_metadata, int64_t timeout_ms)
{
	start(c, method, &grpc__testing__streaming_output_call_response__descriptor, NULL,
	      with_metadata, timeout_ms);
}

static void server_streaming(void)
{
	struct call c = {0};

	start_chat(&c, SERVICE "StreamingOutputCall", false, TIMEOUT_MS);
	send_request(&c, 0, response_sizes, ARRAY_LEN(response_sizes));
	grpc_rpc_half_close(c.rpc);
	expect(&c, GRPC_OK);
	CHECK(c.messages == ARRAY_LEN(response_sizes));
	for (size_t i = 0; i < c.messages; i++)
		CHECK(c.sizes[i] == (size_t)response_sizes[i]);
}

static void client_streaming(void)
{
	struct call c = {0};

	start(&c, SERVICE "StreamingInputCall",
	      &grpc__testing__streaming_input_call_response__descriptor, NULL, false, TIMEOUT_MS);
	for (size_t i = 0; i < ARRAY_LEN(request_sizes); i++) {
		Grpc__Testing__Payload p = GRPC__TESTING__PAYLOAD__INIT;
		Grpc__Testing__StreamingInputCallRequest q =
			GRPC__TESTING__STREAMING_INPUT_CALL_REQUEST__INIT;
		p.body = (ProtobufCBinaryData){(size_t)request_sizes[i], zeros};
		q.payload = &p;
		CHECK(grpc_rpc_send(c.rpc, &q));
	}
	grpc_rpc_half_close(c.rpc);
	expect(&c, GRPC_OK);
	CHECK(c.sum == 74922);
}

static void next_ping(struct call *c)
{
	CHECK(c->sizes[c->messages - 1] == (size_t)response_sizes[c->messages - 1]);
	if (c->messages == ARRAY_LEN(response_sizes))
		grpc_rpc_half_close(c->rpc);
	else
		send_request(c, request_sizes[c->messages], &response_sizes[c->messages], 1);
}

static void ping_pong(void)
{
	struct call c = {.then = next_ping};

	start_chat(&c, SERVICE "FullDuplexCall", false, TIMEOUT_MS);
	send_request(&c, request_sizes[0], &response_sizes[0], 1);
	expect(&c, GRPC_OK);
	CHECK(c.messages == ARRAY_LEN(response_sizes));
}

static void empty_stream(void)
{
	struct call c = {0};

	start_chat(&c, SERVICE "FullDuplexCall", false, TIMEOUT_MS);
	grpc_rpc_half_close(c.rpc);
	expect(&c, GRPC_OK);
	CHECK(c.messages == 0);
}

static bool metadata_came_back(const struct call *c)
{
	return streq(c->first, "test_initial_metadata_value") && streq(c->last, "q6ur");
}

static void custom_metadata(void)
{
	struct call unary = {0}, chat = {0};

	call_large(&unary, true);
	CHECK(metadata_came_back(&unary));
	start_chat(&chat, SERVICE "FullDuplexCall", true, TIMEOUT_MS);
	send_request(&chat, LARGE_REQUEST / 10, &(int32_t){LARGE_RESPONSE / 10}, 1);
	grpc_rpc_half_close(chat.rpc);
	expect(&chat, GRPC_OK);
	CHECK(metadata_came_back(&chat));
}

static void status_code_and_message(void)
{
	struct call c = {0};
	Grpc__Testing__EchoStatus s = GRPC__TESTING__ECHO_STATUS__INIT;
	Grpc__Testing__StreamingOutputCallRequest q =
		GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;

	call_status("test status message");
	s.code = GRPC_UNKNOWN;
	s.message = (char *)"test status message";
	q.response_status = &s;
	start_chat(&c, SERVICE "FullDuplexCall", false, TIMEOUT_MS);
	CHECK(grpc_rpc_send(c.rpc, &q));
	grpc_rpc_half_close(c.rpc);
	expect(&c, GRPC_UNKNOWN);
	CHECK(streq(c.text, s.message));
}

/* ---- ends before the end: a cancelled call says nothing more, and the next one works ---- */

static void cancel_after_begin(void)
{
	struct call c = {0};

	start(&c, SERVICE "StreamingInputCall",
	      &grpc__testing__streaming_input_call_response__descriptor, NULL, false, TIMEOUT_MS);
	grpc_rpc_cancel(c.rpc);
	empty_unary();
	CHECK(!c.ended);
}

static void stop_at_first(struct call *c UNUSED)
{
	loop_stop(loop, 0);
}

static void cancel_after_first_response(void)
{
	struct call c = {.then = stop_at_first};

	start_chat(&c, SERVICE "FullDuplexCall", false, TIMEOUT_MS);
	send_request(&c, request_sizes[0], &response_sizes[0], 1);
	loop_run(loop);
	CHECK(c.messages == 1 && !c.ended);
	grpc_rpc_cancel(c.rpc);
	empty_unary();
	CHECK(!c.ended);
}

static void timeout_on_sleeping_server(void)
{
	struct call c = {0};

	start_chat(&c, SERVICE "FullDuplexCall", false, 1);
	send_request(&c, request_sizes[0], NULL, 0);
	expect(&c, GRPC_DEADLINE_EXCEEDED);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{"empty_unary", empty_unary},
	{"large_unary", large_unary},
	{"client_streaming", client_streaming},
	{"server_streaming", server_streaming},
	{"ping_pong", ping_pong},
	{"empty_stream", empty_stream},
	{"custom_metadata", custom_metadata},
	{"status_code_and_message", status_code_and_message},
	{"special_status_message", special_status_message},
	{"unimplemented_method", unimplemented_method},
	{"unimplemented_service", unimplemented_service},
	{"cancel_after_begin", cancel_after_begin},
	{"cancel_after_first_response", cancel_after_first_response},
	{"timeout_on_sleeping_server", timeout_on_sleeping_server},
};

static void connect_to(uint16_t port)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct grpc_channel_config cfg = GRPC_CHANNEL_CONFIG_DEFAULT;
	struct conn *c;
	struct err e;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
		die("connect to port %u: %m", port);
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	if (loop_new(&loop, &e) < 0 || conn_of_fd(&c, loop, fd, "server", &e) < 0)
		die("%s", e.text);
	cfg.queue_max = 1024 * 1024;
	channel = grpc_channel_new(c, &cfg, NULL, NULL);
}

int interop_client(int argc, char **argv)
{
	if (argc != 3)
		die("usage: interop client PORT CASE");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (!streq(cases[i].name, argv[2]))
			continue;
		connect_to((uint16_t)atoi(argv[1]));
		cases[i].run();
		grpc_channel_free(channel);
		loop_free(loop);
		return 0;
	}
	die("there is no case %s", argv[2]);
}
