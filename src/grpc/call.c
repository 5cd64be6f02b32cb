#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "grpc/server_impl.h"

enum {
	METADATA_MAX = 16,  /* fields of ours, of each kind */
	ARENA_TIMES = 16,   /* unpacked, a message may be that much larger than its bytes */
	TIMEOUT_DIGITS = 8, /* of grpc-timeout: gRPC over HTTP/2 specification */
};

/* ---- life ---- */

static void free_if_done(struct grpc_call *call)
{
	if (!call->answered || !call->closed || call->busy > 0)
		return;
	arena_fini(&call->message_arena);
	h2_release(call->stream); /* the call is in its arena */
}

static void drop_input(struct grpc_call *call)
{
	grpc_reader_fini(&call->reader);
	buf_fini(&call->waiting);
	if (call->server != NULL)
		call->server->held -= call->held;
	call->held = 0;
}

/* The handler is done with it. */
void grpc_call_answered(struct grpc_call *call)
{
	must(!call->answered);
	call->answered = true;
	call->gone = true;
	drop_input(call);
	list_del(&call->link);
	if (call->server != NULL) {
		timer_stop(call->server->loop, &call->deadline);
		call->server->n_calls--;
	}
	call->conn->n_calls--;
	grpc_conn_unref(call->conn);
	free_if_done(call);
}

/* Nobody waits any more; the handler, if it has the call, is told. */
static void set_gone(struct grpc_call *call)
{
	if (call->gone)
		return;
	call->gone = true;
	drop_input(call);
	if (call->server != NULL)
		timer_stop(call->server->loop, &call->deadline);
	if (!call->started)
		grpc_call_answered(call);
	else if (call->ops != NULL && call->ops->cancelled != NULL)
		call->ops->cancelled(call);
}

void grpc_call_end(struct grpc_call *call, enum grpc_status code, const char *text)
{
	if (call->gone)
		return;
	call->busy++;
	grpc_call_status(call, code, str_of(text));
	set_gone(call);
	call->busy--;
	free_if_done(call);
}

bool grpc_call_is_stream(const struct grpc_call *call)
{
	enum grpc_kind kind = call->entry.method->kind;

	return kind == GRPC_SERVER_STREAM || kind == GRPC_BIDI;
}

/* ---- what comes in ---- */

/* Counts what the call holds towards the server's maximum; false when that is exceeded. */
static bool count_held(struct grpc_call *call)
{
	size_t now = grpc_reader_held(&call->reader) + call->waiting.n;

	if (call->request != NULL)
		now += h2_arena(call->stream)->total;
	call->server->held += now - call->held;
	call->held = now;
	return call->server->held <= call->server->cfg.receive_max;
}

static void start_handler(struct grpc_call *call)
{
	call->started = true;
	call->busy++;
	call->entry.method->handler(call, call->request);
	/* the client of a stream may wait for the headers before it does anything else: tonic does
	 * (driver contract 1.3) */
	if (!call->gone && !call->headers_sent && call->entry.method->kind != GRPC_UNARY)
		grpc_call_headers(call);
	call->busy--;
	free_if_done(call);
}

static bool takes_many(const struct grpc_call *call)
{
	enum grpc_kind kind = call->entry.method->kind;

	return kind == GRPC_CLIENT_STREAM || kind == GRPC_BIDI;
}

static void deliver(struct grpc_call *call, struct str bytes)
{
	bool many = takes_many(call);
	struct arena *a = many ? &call->message_arena : h2_arena(call->stream);
	struct err e;

	if (call->request != NULL) {
		grpc_call_end(call, GRPC_INVALID_ARGUMENT, "more than one request message");
		return;
	}
	void *m = grpc_unpack(call->entry.method->in, &call->reader, bytes, a, &e);
	if (m == NULL)
		grpc_call_end(call, GRPC_INVALID_ARGUMENT, e.text);
	else if (!many)
		call->request = m;
	else if (call->ops != NULL && call->ops->message != NULL)
		call->ops->message(call, m);
	if (many)
		arena_fini(&call->message_arena);
}

static void refuse_frame(struct grpc_call *call, enum grpc_read why)
{
	char text[100];

	switch (why) {
	case GRPC_READ_TOO_LARGE:
		snprintf(text, sizeof text, "the message is larger than %zu bytes",
			 call->server->cfg.message_max);
		grpc_call_end(call, GRPC_RESOURCE_EXHAUSTED, text);
		break;
	case GRPC_READ_COMPRESSED:
		grpc_call_end(call, GRPC_UNIMPLEMENTED, "compressed messages are not supported");
		break;
	case GRPC_READ_BAD_FLAG:
	case GRPC_READ_MESSAGE:
	case GRPC_READ_MORE:
		grpc_call_end(call, GRPC_INTERNAL, "a message frame with unknown flags");
		break;
	}
}

/* Delivers the messages in *in, until it is used up or the handler pauses. */
static void read_messages(struct grpc_call *call, struct str *in)
{
	struct str message;
	enum grpc_read rv = GRPC_READ_MORE;

	call->reading = true;
	while (!call->gone && !call->paused &&
	       (rv = grpc_reader_next(&call->reader, in, &message)) == GRPC_READ_MESSAGE) {
		deliver(call, message);
		grpc_reader_release(&call->reader);
	}
	call->reading = false;
	if (!call->gone && rv < 0)
		refuse_frame(call, rv);
}

/* The client has sent all, and all of it is delivered. */
static void half_close(struct grpc_call *call)
{
	call->half_close_told = true;
	if (grpc_reader_partial(&call->reader))
		grpc_call_end(call, GRPC_INVALID_ARGUMENT, "the request ends within a message");
	else if (takes_many(call) && call->ops != NULL && call->ops->half_close != NULL)
		call->ops->half_close(call);
	else if (!takes_many(call) && call->request == NULL)
		grpc_call_end(call, GRPC_INVALID_ARGUMENT, "no request message");
	else if (!takes_many(call))
		start_handler(call);
}

static void on_data(struct h2_stream *st, struct str bytes)
{
	struct grpc_call *call = h2_user(st);
	struct str in = bytes;

	if (call->gone) {
		h2_consume(st, bytes.n);
		return;
	}
	call->busy++;
	if (!call->paused)
		read_messages(call, &in);
	if (!call->gone) {
		/* what a paused call holds is bounded by its window, which is not given back */
		must(buf_add(&call->waiting, in.p, in.n));
		h2_consume(st, bytes.n - in.n);
		if (!count_held(call))
			grpc_call_end(call, GRPC_RESOURCE_EXHAUSTED, "too many large requests");
	} else if (!call->closed) {
		h2_consume(st, bytes.n);
	}
	call->busy--;
	free_if_done(call);
}

static void on_peer_end(struct h2_stream *st)
{
	struct grpc_call *call = h2_user(st);

	call->half_closed = true;
	if (call->gone || call->paused)
		return;
	call->busy++;
	half_close(call);
	call->busy--;
	free_if_done(call);
}

void grpc_pause(struct grpc_call *call)
{
	call->paused = true;
}

void grpc_resume(struct grpc_call *call)
{
	if (!call->paused)
		return;
	call->paused = false;
	if (call->gone || call->reading)
		return;
	call->busy++;
	struct str in = buf_view(&call->waiting);
	read_messages(call, &in);
	if (!call->gone) {
		size_t used = call->waiting.n - in.n;
		buf_consume(&call->waiting, used);
		h2_consume(call->stream, used);
		count_held(call);
		if (call->half_closed && !call->half_close_told && !call->paused)
			half_close(call);
	}
	call->busy--;
	free_if_done(call);
}

static void on_writable(struct h2_stream *st)
{
	struct grpc_call *call = h2_user(st);

	if (!call->gone && call->ops != NULL && call->ops->writable != NULL)
		call->ops->writable(call);
}

static void on_closed(struct h2_stream *st, enum h2_outcome how UNUSED, uint32_t code UNUSED)
{
	struct grpc_call *call = h2_user(st);

	call->closed = true;
	call->busy++;
	set_gone(call);
	call->busy--;
	free_if_done(call);
}

static const struct h2_stream_ops stream_ops = {
	.data = on_data,
	.peer_end = on_peer_end,
	.writable = on_writable,
	.closed = on_closed,
};

/* ---- the start ---- */

static void on_deadline(struct timer *t)
{
	struct grpc_call *call = container_of(t, struct grpc_call, deadline);

	grpc_call_end(call, GRPC_DEADLINE_EXCEEDED, "the deadline has passed");
}

/* grpc-timeout: up to 8 digits and a unit. Milliseconds, rounded up; -1 when it is malformed. */
static int64_t parse_timeout(struct str s)
{
	uint64_t n;

	if (s.n < 2 || s.n > TIMEOUT_DIGITS + 1)
		return -1;
	char unit = s.p[--s.n];
	if (!str_u64(s, &n))
		return -1;
	switch (unit) {
	case 'H':
		return (int64_t)n * 3600 * 1000;
	case 'M':
		return (int64_t)n * 60 * 1000;
	case 'S':
		return (int64_t)n * 1000;
	case 'm':
		return (int64_t)n;
	case 'u':
		return (int64_t)(n + 999) / 1000;
	case 'n':
		return (int64_t)(n + 999999) / 1000000;
	default:
		return -1;
	}
}

/* 0 for gRPC; else the status for what is none: gRPC over HTTP/2 says 415, HTTP says 405. */
static int not_grpc(const struct h2_stream *st)
{
	struct str type = h2_header(st, "content-type");

	if (!str_is(h2_header(st, ":method"), "POST"))
		return 405;
	if (!str_skip(&type, "application/grpc") ||
	    !(type.n == 0 || type.p[0] == ';' || str_is(type, "+proto")))
		return 415;
	return 0;
}

/* Answers what is no gRPC, once it is complete. */
static void plain_peer_end(struct h2_stream *st)
{
	static const struct h2_field fields[] = {
		{STR("content-type"), STR("text/plain")},
		{STR("allow"), STR("POST")},
	};
	static const struct str text = STR("This is a gRPC server: POST application/grpc.\n");
	int status = not_grpc(st);
	struct h2_chunk *c = h2_chunk_new(text.n);

	memcpy(c->bytes, text.p, text.n);
	h2_respond(st, status, fields, status == 405 ? 2 : 1);
	h2_send(st, c);
	h2_chunk_unref(c);
	h2_end(st);
}

static void plain_closed(struct h2_stream *st, enum h2_outcome how UNUSED, uint32_t code UNUSED)
{
	h2_release(st);
}

static const struct h2_stream_ops plain_ops = {.peer_end = plain_peer_end, .closed = plain_closed};

static void refuse(struct grpc_call *call, enum grpc_status code, const char *fmt, ...)
	PRINTF(3, 4);

static void refuse(struct grpc_call *call, enum grpc_status code, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	grpc_call_end(call, code, text);
}

static void refuse_path(struct grpc_call *call, struct str path)
{
	struct str service, method = path;
	const struct grpc_server *srv = call->server;
	size_t at = 0;

	str_skip(&method, "/");
	service = str_cut(&method, '/');
	for (struct str known; grpc_server_services(srv, &at, &known);) {
		if (str_eq(known, service)) {
			refuse(call, GRPC_UNIMPLEMENTED, "unknown method %.*s for service %.*s",
			       STR_FMT(method), STR_FMT(service));
			return;
		}
	}
	refuse(call, GRPC_UNIMPLEMENTED, "unknown service %.*s", STR_FMT(service));
}

/* Sets the deadline that the client gave; false when it is malformed. */
static bool set_deadline(struct grpc_call *call)
{
	struct str timeout = h2_header(call->stream, "grpc-timeout");

	call->deadline_at = INT64_MAX;
	call->deadline.fire = on_deadline;
	if (timeout.p == NULL)
		return true;
	int64_t ms = parse_timeout(timeout);
	if (ms < 0)
		return false;
	call->deadline_at = mono_ms() + ms;
	timer_set(call->server->loop, &call->deadline, ms);
	return true;
}

static struct grpc_call *call_new(struct grpc_conn *conn, struct h2_stream *st)
{
	static const struct grpc_method none;
	struct grpc_server *srv = conn->server;
	struct grpc_call *call = arena_zalloc(h2_arena(st), sizeof *call);
	struct str path = h2_header(st, ":path");

	call->server = srv;
	call->conn = conn;
	call->stream = st;
	const struct grpc_entry *known = map_get(&srv->by_path, path);
	call->entry = known != NULL ? *known : (struct grpc_entry){&none, NULL};
	grpc_reader_init(&call->reader, srv->cfg.message_max);
	call->waiting = BUF_INIT(SIZE_MAX / 2);
	call->message_arena = ARENA_INIT(ARENA_TIMES * srv->cfg.message_max);
	list_add(&srv->calls, &call->link);
	srv->n_calls++;
	conn->n_calls++;
	h2_accept(st, &stream_ops, call);
	return call;
}

void grpc_call_start(struct grpc_conn *conn, struct h2_stream *st)
{
	struct grpc_server *srv = conn->server;
	struct str encoding = h2_header(st, "grpc-encoding");

	/* calls whose clients are gone count until their handlers have let go of them; what is not
	 * accepted is refused in a way that lets the client try again */
	if (conn->n_calls >= srv->cfg.max_streams)
		return;
	if (not_grpc(st) != 0) {
		h2_accept(st, &plain_ops, NULL);
		return;
	}
	struct grpc_call *call = call_new(conn, st);
	call->busy++;
	if (call->entry.method->path == NULL)
		refuse_path(call, h2_header(st, ":path"));
	else if (srv->draining)
		refuse(call, GRPC_UNAVAILABLE, "the server is shutting down");
	else if (encoding.p != NULL && !str_is(encoding, "identity"))
		refuse(call, GRPC_UNIMPLEMENTED, "encoding %.*s is not supported",
		       STR_FMT(encoding));
	else if (!set_deadline(call))
		refuse(call, GRPC_INVALID_ARGUMENT, "malformed grpc-timeout");
	else if (takes_many(call))
		start_handler(call);
	call->busy--;
	free_if_done(call);
}
