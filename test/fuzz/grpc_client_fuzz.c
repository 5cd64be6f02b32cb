/*
 * Answers to calls: the first byte chooses the answer's headers, trailers and end, and what the
 * client does meanwhile; the second the size of the pieces of the body, which is the rest.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "google/protobuf/struct.pb-c.h"
#include "grpc/client.h"
#include "http2/h2_conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum {
	TRAILERS_ONLY = 1,
	NO_STATUS = 2,
	MESSAGE_IS_BODY = 4, /* grpc-message is what the body is */
	STREAM = 8,
	PAUSE = 16,  /* after each message */
	CANCEL = 32, /* at the first message */
	HANG_UP = 64,
	HTTP_ERROR = 128,
};

static int mode;
static size_t piece;
static struct str body;
static struct loop *loop;
static struct h2_conn *server;
static struct grpc_rpc *rpc;
static bool ended, paused;

/* ---- the server ---- */

/* A field's value, with what may not be in one left out. */
static struct str as_value(struct h2_stream *st)
{
	char *v = arena_zalloc(h2_arena(st), body.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < MIN(body.n, (size_t)1000); i++) {
		if (body.p[i] > ' ' && body.p[i] <= '~')
			v[n++] = body.p[i];
	}
	return (struct str){v, n};
}

static void on_peer_end(struct h2_stream *st)
{
	struct h2_field *f = arena_zalloc(h2_arena(st), 3 * sizeof *f);
	size_t n = 0;

	f[n++] = (struct h2_field){STR("content-type"), STR("application/grpc")};
	if (!(mode & NO_STATUS))
		f[n++] = (struct h2_field){STR("grpc-status"), STR("0")};
	if (mode & MESSAGE_IS_BODY)
		f[n++] = (struct h2_field){STR("grpc-message"), as_value(st)};
	if (mode & TRAILERS_ONLY) {
		h2_respond_end(st, mode & HTTP_ERROR ? 503 : 200, f, n);
		return;
	}
	h2_respond(st, mode & HTTP_ERROR ? 503 : 200, f, 1);
	for (size_t at = 0; at < body.n; at += piece) {
		struct h2_chunk *c = h2_chunk_new(MIN(piece, body.n - at));
		memcpy(c->bytes, body.p + at, c->n);
		h2_send(st, c);
		h2_chunk_unref(c);
	}
	if (mode & HANG_UP)
		h2_reset(st, H2_INTERNAL_ERROR);
	else
		h2_end_trailers(st, f + 1, n - 1);
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

static void on_conn_ended(void *owner UNUSED, const struct err *why UNUSED)
{
}

static const struct h2_conn_ops conn_ops = {.request = on_request, .ended = on_conn_ended};

/* ---- the client ---- */

static void on_message(struct grpc_rpc *r, void *message)
{
	must(((ProtobufCMessage *)message)->descriptor == &google__protobuf__value__descriptor);
	if (mode & CANCEL) {
		rpc = NULL;
		grpc_rpc_cancel(r);
		loop_stop(loop, 0);
	} else if (mode & PAUSE) {
		paused = true;
		grpc_rpc_pause(r);
		loop_stop(loop, 0);
	}
}

static void on_ended(struct grpc_rpc *r UNUSED, enum grpc_status s, struct str text)
{
	must(!ended);
	ended = true;
	rpc = NULL;
	must(s != GRPC_OK || text.p != NULL || text.n == 0);
	loop_stop(loop, 0);
}

static const struct grpc_rpc_ops ops = {.message = on_message, .ended = on_ended};

static struct conn *conn_of(int fd)
{
	struct conn *c;
	struct err e;

	must(conn_of_fd(&c, loop, fd, "fuzz", &e) == 0);
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct h2_conn_config cfg = {.h2 = H2_CONFIG_DEFAULT};
	struct grpc_channel_config client = GRPC_CHANNEL_CONFIG_DEFAULT;
	Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
	struct err e;
	int fd[2];

	if (n < 2 || n > 100 * 1000)
		return 0;
	mode = p[0];
	piece = 1 + p[1] * 8;
	body = str_sub(p + 2, n - 2);
	ended = paused = false;
	if (loop == NULL)
		must(loop_new(&loop, &e) == 0);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	client.message_max = 64 * 1024;
	server = h2_conn_server(conn_of(fd[0]), &cfg, &conn_ops, NULL);
	struct grpc_channel *ch = grpc_channel_new(conn_of(fd[1]), &client, NULL, NULL);
	const struct grpc_rpc_config call = {
		.path = "/f/F",
		.out = &google__protobuf__value__descriptor,
		.streams = mode & STREAM,
	};
	rpc = grpc_rpc_call(ch, &call, &v, &ops, NULL);
	while (rpc != NULL) {
		if (paused) {
			paused = false;
			grpc_rpc_resume(rpc);
		} else {
			loop_run(loop);
		}
	}
	must(ended || (mode & CANCEL));
	grpc_channel_free(ch);
	h2_conn_free(server);
	return 0;
}
