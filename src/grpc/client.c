#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/util.h"
#include "grpc/client.h"
#include "grpc/frame.h"
#include "http2/h2_conn.h"
#include "net/unix_address.h"

enum {
	METADATA_MAX = 32,
	ARENA_TIMES = 16, /* unpacked, a message may be that much larger than its bytes */
	CONN_WINDOWS = 8, /* the connection's window, in windows of a call */
};

struct grpc_channel {
	struct loop *loop;
	struct h2_conn *h2;
	struct grpc_channel_config cfg;
	grpc_lost_fn *lost;
	void *arg;
	struct list rpcs;
};

/*
 * Life of a call: started --> peer ended | stream closed | deadline | cancelled --> gone. What the
 * peer sent before its end is delivered first, also when the call is paused. Where its user wants to
 * go on sending (server_done): peer ended --> lingers --> stream closed --> gone.
 */
struct grpc_rpc {
	struct grpc_channel *channel;
	struct h2_stream *stream; /* NULL: it could not be started */
	const struct grpc_rpc_ops *ops;
	void *user;
	const ProtobufCMessageDescriptor *out;
	bool streams;
	struct list link;
	unsigned busy; /* we are below a callback: not to be freed */
	bool over;     /* ended or cancelled: no callback comes any more */
	bool got_one;  /* message */
	bool peer_ended;
	bool half_closed; /* by us */
	bool lingers;     /* the server has ended in order, we go on */
	bool paused, reading;
	struct grpc_reader reader;
	struct buf waiting; /* bytes that came while paused */
	struct arena message_arena;
	struct timer deadline;
	struct later failed; /* it could not be started */
	enum grpc_status failure;
	struct err why;
};

/* ---- the end of a call ---- */

static void rpc_free_if_over(struct grpc_rpc *r)
{
	if (!r->over || r->busy > 0)
		return;
	grpc_reader_fini(&r->reader);
	buf_fini(&r->waiting);
	arena_fini(&r->message_arena);
	free(r);
}

/* Lets go of all that could call back. */
static void rpc_over(struct grpc_rpc *r)
{
	r->over = true;
	list_del(&r->link);
	timer_stop(r->channel->loop, &r->deadline);
	loop_later_cancel(&r->failed);
}

static void rpc_end(struct grpc_rpc *r, enum grpc_status status, struct str text)
{
	if (r->over)
		return;
	r->busy++;
	rpc_over(r);
	r->ops->ended(r, status, text);
	h2_release(r->stream);
	r->busy--;
	rpc_free_if_over(r);
}

static void rpc_endf(struct grpc_rpc *r, enum grpc_status status, const char *fmt, ...)
	PRINTF(3, 4);

static void rpc_endf(struct grpc_rpc *r, enum grpc_status status, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	rpc_end(r, status, str_of(text));
}

void grpc_rpc_cancel(struct grpc_rpc *r)
{
	must(!r->over);
	rpc_over(r);
	h2_release(r->stream);
	r->stream = NULL;
	rpc_free_if_over(r);
}

/* Whether the call goes on, though the server has said all. */
static bool rpc_lingers(struct grpc_rpc *r)
{
	if (r->half_closed || r->ops->server_done == NULL || h2_is_closed(r->stream))
		return false;
	r->busy++;
	r->lingers = r->ops->server_done(r);
	r->busy--;
	return r->lingers;
}

/* The server has said all: what did it say? */
static void rpc_finish(struct grpc_rpc *r)
{
	struct h2_stream *st = r->stream;
	struct str status = h2_trailer(st, "grpc-status"), text = h2_trailer(st, "grpc-message");

	if (status.p == NULL) {
		status = h2_header(st, "grpc-status");
		text = h2_header(st, "grpc-message");
	}
	if (status.p == NULL && h2_status(st) != 200) {
		rpc_endf(r, grpc_status_of_http(h2_status(st)), "HTTP status %d", h2_status(st));
		return;
	}
	if (status.p == NULL) {
		rpc_endf(r, GRPC_INTERNAL, "the answer has no grpc-status");
		return;
	}
	enum grpc_status code = grpc_status_parse(status);
	if (code == GRPC_OK && grpc_reader_partial(&r->reader))
		rpc_endf(r, GRPC_INTERNAL, "the answer ends within a message");
	else if (code == GRPC_OK && !r->streams && !r->got_one)
		rpc_endf(r, GRPC_INTERNAL, "the answer has no message");
	else if (code != GRPC_OK || !rpc_lingers(r))
		rpc_end(r, code, grpc_message_decode(text, h2_arena(st)));
}

/* What a reset means (gRPC over HTTP/2, "Errors"). */
static enum grpc_status status_of_reset(uint32_t code)
{
	switch (code) {
	case H2_REFUSED_STREAM:
		return GRPC_UNAVAILABLE;
	case H2_CANCEL:
		return GRPC_CANCELLED;
	case H2_ENHANCE_YOUR_CALM:
		return GRPC_RESOURCE_EXHAUSTED;
	case H2_INADEQUATE_SECURITY:
		return GRPC_PERMISSION_DENIED;
	default:
		return GRPC_INTERNAL;
	}
}

/* ---- what comes in ---- */

static void on_headers(struct h2_stream *st)
{
	struct grpc_rpc *r = h2_user(st);
	struct str type = h2_header(st, "content-type");

	if (h2_status(st) != 200)
		return;
	if (!str_starts(type, "application/grpc")) {
		rpc_endf(r, GRPC_UNKNOWN, "the server answered with content type %.*s",
			 STR_FMT(type));
		return;
	}
	/* with a status in it, the header list is the whole answer */
	if (h2_header(st, "grpc-status").p == NULL && r->ops->headers != NULL)
		r->ops->headers(r);
}

static void deliver(struct grpc_rpc *r, struct str bytes)
{
	struct err e;

	if (r->got_one && !r->streams) {
		rpc_endf(r, GRPC_INTERNAL, "more than one message in the answer");
		return;
	}
	r->got_one = true;
	if (r->out == NULL) {
		r->ops->bytes(r, bytes);
		return;
	}
	void *m = grpc_unpack(r->out, &r->reader, bytes, &r->message_arena, &e);
	if (m == NULL)
		rpc_endf(r, GRPC_INTERNAL, "malformed answer: %s", e.text);
	else if (r->ops->message != NULL)
		r->ops->message(r, m);
	arena_fini(&r->message_arena);
}

static void refuse_frame(struct grpc_rpc *r, enum grpc_read why)
{
	if (why == GRPC_READ_TOO_LARGE)
		rpc_endf(r, GRPC_RESOURCE_EXHAUSTED, "the answer is larger than %zu bytes",
			 r->channel->cfg.message_max);
	else if (why == GRPC_READ_COMPRESSED)
		rpc_endf(r, GRPC_INTERNAL, "the answer is compressed, which was not offered");
	else
		rpc_endf(r, GRPC_INTERNAL, "a message frame with unknown flags");
}

/* Delivers the messages in *in, until it is used up or the user pauses. */
static void read_messages(struct grpc_rpc *r, struct str *in)
{
	struct str message;
	enum grpc_read rv = GRPC_READ_MORE;

	r->reading = true;
	while (!r->over && !r->paused &&
	       (rv = grpc_reader_next(&r->reader, in, &message)) == GRPC_READ_MESSAGE) {
		deliver(r, message);
		grpc_reader_release(&r->reader);
	}
	r->reading = false;
	if (!r->over && rv < 0)
		refuse_frame(r, rv);
}

static void on_data(struct h2_stream *st, struct str bytes)
{
	struct grpc_rpc *r = h2_user(st);
	struct str in = bytes;

	if (h2_status(st) != 200) {
		h2_consume(st, bytes.n);
		return;
	}
	r->busy++;
	if (!r->paused)
		read_messages(r, &in);
	if (!r->over) {
		/* bounded by the window, which is not given back for what waits */
		must(buf_add(&r->waiting, in.p, in.n));
		h2_consume(st, bytes.n - in.n);
	}
	r->busy--;
	rpc_free_if_over(r);
}

static void on_peer_end(struct h2_stream *st)
{
	struct grpc_rpc *r = h2_user(st);

	r->peer_ended = true;
	if (!r->paused)
		rpc_finish(r);
}

static void on_writable(struct h2_stream *st)
{
	struct grpc_rpc *r = h2_user(st);

	if (r->ops->writable != NULL)
		r->ops->writable(r);
}

static void on_deadline(struct timer *t)
{
	struct grpc_rpc *r = container_of(t, struct grpc_rpc, deadline);

	rpc_endf(r, GRPC_DEADLINE_EXCEEDED, "the deadline has passed");
}

/* Whether the deadline has passed, also where its timer has not been looked at yet: a server that keeps
 * it too may be faster than our loop. */
static bool is_late(const struct grpc_rpc *r)
{
	return timer_armed(&r->deadline) && r->deadline.at <= mono_ms();
}

static void on_closed(struct h2_stream *st, enum h2_outcome how, uint32_t code)
{
	struct grpc_rpc *r = h2_user(st);

	if (r->lingers && (how == H2_END_DONE || code == H2_NO_ERROR)) {
		rpc_end(r, GRPC_OK, STR(""));
		return;
	}
	if (r->peer_ended && !r->lingers) /* paused: its messages and its end are still to come */
		return;
	if (how == H2_END_LOST)
		rpc_endf(r, GRPC_UNAVAILABLE, "the connection was lost");
	else if (how == H2_END_REFUSED)
		rpc_endf(r, GRPC_UNAVAILABLE, "the server did not take the call");
	else if (code == H2_CANCEL && is_late(r))
		on_deadline(&r->deadline);
	else
		rpc_endf(r, status_of_reset(code), "the server reset the call: %s",
			 h2_code_name(code));
}

static const struct h2_stream_ops stream_ops = {
	.headers = on_headers,
	.data = on_data,
	.peer_end = on_peer_end,
	.writable = on_writable,
	.closed = on_closed,
};

void grpc_rpc_pause(struct grpc_rpc *r)
{
	r->paused = true;
}

void grpc_rpc_resume(struct grpc_rpc *r)
{
	if (!r->paused)
		return;
	r->paused = false;
	if (r->over || r->reading)
		return;
	r->busy++;
	struct str in = buf_view(&r->waiting);
	read_messages(r, &in);
	if (!r->over) {
		size_t used = r->waiting.n - in.n;
		buf_consume(&r->waiting, used);
		h2_consume(r->stream, used);
		if (r->peer_ended && !r->paused)
			rpc_finish(r);
	}
	r->busy--;
	rpc_free_if_over(r);
}

/* ---- the start of a call ---- */

static void run_failed(struct later *l)
{
	struct grpc_rpc *r = container_of(l, struct grpc_rpc, failed);

	rpc_end(r, r->failure, str_of(r->why.text));
}

/* grpc-timeout takes at most eight digits. */
static void print_timeout(char *to, size_t n, int64_t ms)
{
	if (ms < 100 * 1000 * 1000)
		snprintf(to, n, "%" PRId64 "m", ms);
	else
		snprintf(to, n, "%" PRId64 "S", MIN(ms / 1000, (int64_t)99999999));
}

static struct h2_stream *open_stream(struct grpc_rpc *r, const struct grpc_rpc_config *cfg)
{
	struct grpc_channel *ch = r->channel;
	struct h2_session *session = h2_conn_session(ch->h2);
	char timeout[16];
	struct h2_field f[4 + METADATA_MAX] = {
		{STR("te"), STR("trailers")},
		{STR("content-type"), STR("application/grpc")},
		{STR("user-agent"), STR("openshell-static")},
	};
	size_t n = 3;

	must(cfg->n <= METADATA_MAX);
	if (session == NULL) {
		err_set(&r->why, ESHUTDOWN, "the connection has ended");
		return NULL;
	}
	if (cfg->timeout_ms > 0) {
		print_timeout(timeout, sizeof timeout, cfg->timeout_ms);
		f[n++] = (struct h2_field){STR("grpc-timeout"), str_of(timeout)};
	}
	for (size_t i = 0; i < cfg->n; i++)
		f[n++] = cfg->metadata[i];
	const struct h2_request req = {
		.method = STR("POST"),
		.scheme = str_of(ch->cfg.scheme),
		.authority = str_of(ch->cfg.authority),
		.path = str_of(cfg->path),
		.fields = f,
		.n = n,
		.more = true,
	};
	return h2_request(session, &req, &stream_ops, r, &r->why);
}

struct grpc_rpc *grpc_rpc_start(struct grpc_channel *ch, const struct grpc_rpc_config *cfg,
				const struct grpc_rpc_ops *ops, void *user)
{
	struct grpc_rpc *r = xcalloc(1, sizeof *r);

	r->channel = ch;
	r->ops = ops;
	r->user = user;
	r->out = cfg->out;
	r->streams = cfg->streams;
	grpc_reader_init(&r->reader, ch->cfg.message_max);
	r->waiting = BUF_INIT(SIZE_MAX / 2);
	r->message_arena = ARENA_INIT(ARENA_TIMES * ch->cfg.message_max);
	r->deadline.fire = on_deadline;
	r->failed.run = run_failed;
	list_add(&ch->rpcs, &r->link);
	r->stream = open_stream(r, cfg);
	if (r->stream == NULL) {
		r->failure = r->why.code == EAGAIN ? GRPC_RESOURCE_EXHAUSTED : GRPC_UNAVAILABLE;
		loop_later(ch->loop, &r->failed);
	} else if (cfg->timeout_ms > 0) {
		timer_set(ch->loop, &r->deadline, cfg->timeout_ms);
	}
	return r;
}

bool grpc_rpc_send(struct grpc_rpc *r, const void *message)
{
	if (r->stream == NULL || r->over)
		return true;
	struct h2_chunk *c = grpc_frame(message);
	bool sent = h2_send(r->stream, c);
	h2_chunk_unref(c);
	return sent;
}

bool grpc_rpc_send_packed(struct grpc_rpc *r, struct h2_chunk *packed)
{
	if (r->stream == NULL || r->over)
		return true;
	static_assert(GRPC_RPC_HEAD == GRPC_FRAME_HEAD, "the head of a message");
	grpc_frame_head(packed->bytes, packed->n - GRPC_RPC_HEAD);
	return h2_send(r->stream, packed);
}

void grpc_rpc_half_close(struct grpc_rpc *r)
{
	r->half_closed = true;
	if (r->stream != NULL && !r->over)
		h2_end(r->stream);
}

struct grpc_rpc *grpc_rpc_call(struct grpc_channel *ch, const struct grpc_rpc_config *cfg,
			       const void *request, const struct grpc_rpc_ops *ops, void *user)
{
	struct grpc_rpc *r = grpc_rpc_start(ch, cfg, ops, user);

	if (!grpc_rpc_send(r, request)) {
		h2_release(r->stream);
		r->stream = NULL;
		r->failure = GRPC_RESOURCE_EXHAUSTED;
		err_set(&r->why, EAGAIN, "the server does not read its calls");
		loop_later(ch->loop, &r->failed);
	}
	grpc_rpc_half_close(r);
	return r;
}

void *grpc_rpc_user(const struct grpc_rpc *r)
{
	return r->user;
}

struct str grpc_rpc_header(const struct grpc_rpc *r, const char *name)
{
	return r->stream != NULL ? h2_header(r->stream, name) : STR_NONE;
}

struct str grpc_rpc_trailer(const struct grpc_rpc *r, const char *name)
{
	if (r->stream == NULL)
		return STR_NONE;
	struct str v = h2_trailer(r->stream, name);
	/* trailers-only: the header list is both */
	if (v.p == NULL && h2_header(r->stream, "grpc-status").p != NULL)
		v = h2_header(r->stream, name);
	return v;
}

/* ---- the channel ---- */

static struct grpc_rpc *next_failed(struct grpc_channel *ch)
{
	list_each(r, &ch->rpcs, struct grpc_rpc, link) {
		if (r->stream == NULL)
			return r;
	}
	return NULL;
}

static void on_ended(void *owner, const struct err *why)
{
	struct grpc_channel *ch = owner;
	struct grpc_rpc *r;

	/* those that could not be started were to be told later in this turn */
	while ((r = next_failed(ch)) != NULL)
		rpc_end(r, r->failure, str_of(r->why.text));
	if (ch->lost != NULL)
		ch->lost(ch->arg, why);
}

static const struct h2_conn_ops conn_ops = {.ended = on_ended};

struct grpc_channel *grpc_channel_new(struct conn *c, const struct grpc_channel_config *cfg,
				      grpc_lost_fn *lost, void *arg)
{
	struct grpc_channel *ch = xcalloc(1, sizeof *ch);
	struct h2_conn_config h2 = {
		.h2 = H2_CONFIG_DEFAULT,
		.ping_ms = cfg->ping_ms,
		.pong_ms = cfg->pong_ms,
	};

	h2.h2.stream_window = cfg->window;
	h2.h2.conn_window =
		(uint32_t)MIN((uint64_t)cfg->window * CONN_WINDOWS, (uint64_t)INT32_MAX);
	h2.h2.stream_queue_max = cfg->queue_max;
	h2.h2.conn_queue_max = cfg->queues_max;
	h2.h2.arena_max = ARENA_TIMES * cfg->message_max;
	ch->loop = c->loop;
	ch->cfg = *cfg;
	ch->lost = lost;
	ch->arg = arg;
	list_init(&ch->rpcs);
	ch->h2 = h2_conn_client(c, &h2, &conn_ops, ch);
	return ch;
}

int grpc_channel_unix(struct grpc_channel **out, struct loop *l, const char *path,
		      const struct grpc_channel_config *cfg, grpc_lost_fn *lost, void *arg,
		      struct err *e)
{
	struct conn *c;
	int fd;

	if (unix_connect(&fd, path, e) < 0 || conn_of_fd(&c, l, fd, "gRPC server", e) < 0)
		return -1;
	*out = grpc_channel_new(c, cfg, lost, arg);
	return 0;
}

void grpc_channel_free(struct grpc_channel *ch)
{
	struct grpc_rpc *r;

	if (ch == NULL)
		return;
	while ((r = list_first(&ch->rpcs, struct grpc_rpc, link)) != NULL)
		grpc_rpc_cancel(r);
	h2_conn_free(ch->h2);
	free(ch);
}
