/*
 * A gRPC server with a method of each kind and a client, against each other over a socket pair in
 * one loop: what grpc_test.c and grpc_limits_test.c share.
 */
#ifndef OPENSHELL_TEST_GRPC_H
#define OPENSHELL_TEST_GRPC_H

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "google/protobuf/wrappers.pb-c.h"
#include "grpc/client.h"
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

#endif
