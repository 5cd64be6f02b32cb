/*
 * Bodies of calls: the first byte chooses the method and what its handler does, the second the
 * size of the DATA frames; the rest is the body. All that HTTP/2 is about is right.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/wrappers.pb-c.h"
#include "grpc/health.h"
#include "grpc/reflection.h"
#include "grpc/server_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum {
	METHODS = 7,
	PAUSE = 16,    /* the handler pauses after each message */
	EARLY = 32,    /* and ends the call at the first one */
	NO_END = 64,   /* the client does not half-close */
	HANG_UP = 128, /* it resets the call at the end */
};

static int mode;
static struct grpc_call *paused;

static void echo(struct grpc_call *call, void *request)
{
	grpc_reply(call, request);
}

static void one(struct grpc_call *call, void *request)
{
	grpc_send(call, request);
	grpc_finish(call);
}

static void on_message(struct grpc_call *call, void *request)
{
	if (mode & EARLY) {
		paused = NULL;
		grpc_fail(call, GRPC_ABORTED, "enough");
		return;
	}
	if (grpc_call_method(call)->kind == GRPC_BIDI)
		grpc_send(call, request);
	if (mode & PAUSE) {
		paused = call;
		grpc_pause(call);
	}
}

static void on_half_close(struct grpc_call *call)
{
	Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;

	paused = NULL;
	if (grpc_call_method(call)->kind == GRPC_BIDI)
		grpc_finish(call);
	else
		grpc_reply(call, &v);
}

static void on_cancelled(struct grpc_call *call)
{
	paused = NULL;
	grpc_fail(call, GRPC_CANCELLED, "cancelled");
}

static const struct grpc_call_ops ops = {
	.message = on_message,
	.half_close = on_half_close,
	.cancelled = on_cancelled,
};

static void stream(struct grpc_call *call, void *none UNUSED)
{
	grpc_set_ops(call, &ops, NULL);
}

#define VALUE &google__protobuf__value__descriptor

static const struct grpc_method methods[] = {
	{"/f/Unary", GRPC_UNARY, VALUE, VALUE, echo},
	{"/f/Out", GRPC_SERVER_STREAM, VALUE, VALUE, one},
	{"/f/In", GRPC_CLIENT_STREAM, VALUE, VALUE, stream},
	{"/f/Both", GRPC_BIDI, VALUE, VALUE, stream},
};

static const char *const paths[METHODS] = {
	"/f/Unary",
	"/f/Out",
	"/f/In",
	"/f/Both",
	"/grpc.health.v1.Health/Check",
	"/grpc.health.v1.Health/Watch",
	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
};

static struct loop *loop;
static struct grpc_server *server;

static void on_request(void *owner, struct h2_stream *st)
{
	grpc_call_start(owner, st);
}

static void on_wake(void *owner UNUSED)
{
}

static const struct h2_session_ops server_ops = {.request = on_request, .wake = on_wake};
static const struct h2_session_ops client_ops = {.wake = on_wake};

static void on_closed(struct h2_stream *st, enum h2_outcome how, uint32_t code UNUSED)
{
	/* our answers are well-formed, whatever was asked */
	must(how != H2_END_RESET);
	if (how == H2_END_DONE)
		must(h2_header(st, "grpc-status").p != NULL ||
		     h2_trailer(st, "grpc-status").p != NULL);
	h2_release(st);
}

static const struct h2_stream_ops stream_ops = {.closed = on_closed};

/* Moves bytes between the two sessions until none has more. */
static void exchange(struct h2_session *a, struct h2_session *b)
{
	_cleanup_buf_ struct buf out = BUF_INIT(SIZE_MAX / 2);
	struct h2_session *from = a, *to = b;
	struct err e;

	for (int quiet = 0; quiet < 2;) {
		h2_take(from, &out, 1 << 20);
		quiet = out.n == 0 ? quiet + 1 : 0;
		must(h2_feed(to, buf_view(&out).p, out.n, &e) == 0);
		buf_clear(&out);
		struct h2_session *was = from;
		from = to;
		to = was;
	}
}

static void set_up(void)
{
	struct grpc_config cfg = GRPC_CONFIG_DEFAULT;
	struct err e;

	cfg.message_max = 64 * 1024;
	must(loop_new(&loop, &e) == 0);
	server = grpc_server_new(loop, &cfg);
	grpc_server_add(server, methods, ARRAY_LEN(methods), NULL);
	grpc_health_new(server);
	grpc_reflection_add(server);
}

static void call_with(struct h2_session *client, struct h2_session *srv, const uint8_t *p, size_t n,
		      size_t piece)
{
	static const struct h2_field type = {STR("content-type"), STR("application/grpc")};
	const struct h2_request r = {
		.method = STR("POST"),
		.scheme = STR("http"),
		.authority = STR("x"),
		.path = str_of(paths[(mode & 15) % METHODS]),
		.fields = &type,
		.n = 1,
		.more = true,
	};
	struct err e;
	struct h2_stream *st = h2_request(client, &r, &stream_ops, NULL, &e);

	for (size_t part; n > 0 && !h2_is_closed(st); p += part, n -= part) {
		part = MIN(piece, n);
		struct h2_chunk *c = h2_chunk_new(part);
		memcpy(c->bytes, p, part);
		h2_send(st, c);
		h2_chunk_unref(c);
		exchange(client, srv);
		if (h2_streams(client) == 0)
			return;
		if (paused != NULL)
			grpc_resume(paused);
	}
	if (!(mode & NO_END))
		h2_end(st);
	exchange(client, srv);
	while (paused != NULL && h2_streams(client) > 0) {
		struct grpc_call *call = paused;
		paused = NULL;
		grpc_resume(call);
		exchange(client, srv);
	}
	if ((mode & HANG_UP) && h2_streams(client) > 0)
		h2_reset(st, H2_CANCEL);
	exchange(client, srv);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct h2_config cfg = H2_CONFIG_DEFAULT;

	if (n < 2 || n > 256 * 1024)
		return 0;
	if (server == NULL)
		set_up();
	mode = p[0];
	paused = NULL;
	struct grpc_conn *conn = xcalloc(1, sizeof *conn);
	conn->server = server;
	struct h2_session *srv = h2_server_new(&cfg, &server_ops, conn);
	struct h2_session *client = h2_client_new(&cfg, &client_ops, NULL);
	call_with(client, srv, p + 2, n - 2, 1 + p[1] * 8);
	h2_session_free(client);
	h2_session_free(srv);
	must(conn->n_calls == 0 && server->n_calls == 0 && server->held == 0);
	free(conn);
	return 0;
}
