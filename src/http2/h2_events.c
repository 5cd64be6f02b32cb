/*
 * nghttp2's callbacks: what arrived, turned into the callbacks of a stream's user, and what is
 * about to leave. A callback of ours may have ended the session (h2_session_end), and with it every
 * stream: so `dying` is asked before a stream is touched again.
 */
#include <string.h>

#include "base/util.h"
#include "http2/h2_impl.h"

enum {
	INTERIM_MAX = 16,        /* 1xx responses before the final one */
	HEADER_BYTES_TIMES = 16, /* of header_list_max; beyond, the connection ends */
	/* tokens given, see h2_guard.c: peers answer what they get with window updates, and measure
	 * the way with pings */
	WORTH_OF_A_REQUEST = 3,
	WORTH_OF_DATA = 3,
	WORTH_OF_LITTLE_DATA = 1,
	LITTLE_DATA = 256, /* bytes */
};

/* nghttp2 has this from 1.70 on; an older one finds random bytes by itself. */
extern void nghttp2_session_callbacks_set_rand_callback(nghttp2_session_callbacks *cbs,
							void (*fill)(uint8_t *p, size_t n))
	__attribute__((weak));

/* ---- nghttp2's callbacks: headers ---- */

static int begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct h2_session *s = arg;

	if (s->dying)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
	if (s->server && f->headers.cat == NGHTTP2_HCAT_REQUEST) {
		st = h2_stream_new(s);
		st->id = f->hd.stream_id;
		st->state = STREAM_OPEN;
		st->released = true; /* until it is accepted */
		nghttp2_session_set_stream_user_data(ng, st->id, st);
	}
	if (st != NULL)
		st->header_bytes = 0;
	return 0;
}

static struct str rcbuf_str(nghttp2_rcbuf *b)
{
	nghttp2_vec v = nghttp2_rcbuf_get_buf(b);

	return str_sub(v.base, v.len);
}

static int on_field(nghttp2_session *ng, const nghttp2_frame *f, nghttp2_rcbuf *name,
		    nghttp2_rcbuf *value, uint8_t flags UNUSED, void *arg)
{
	struct h2_session *s = arg;
	struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);

	if (st == NULL || h2_stream_field(st, rcbuf_str(name), rcbuf_str(value)))
		return 0;
	/* the rest is decoded all the same, for the compression's state; but not without end */
	if (st->header_bytes / HEADER_BYTES_TIMES > s->cfg.header_list_max)
		return h2_calm(s, "header fields");
	return 0;
}

/* A field that HTTP does not allow makes the whole message malformed (RFC 9113 8.1.1). */
static int on_bad_field(nghttp2_session *ng UNUSED, const nghttp2_frame *f UNUSED,
			nghttp2_rcbuf *name UNUSED, nghttp2_rcbuf *value UNUSED,
			uint8_t flags UNUSED, void *arg UNUSED)
{
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void peer_end(struct h2_stream *st)
{
	if (st->peer_ended)
		return;
	st->peer_ended = true;
	if (st->ops->peer_end != NULL)
		st->ops->peer_end(st);
}

static void request_arrived(struct h2_session *s, struct h2_stream *st)
{
	static const struct h2_field none[1];

	st->got_headers = true;
	h2_bucket_give(&s->frames, WORTH_OF_A_REQUEST);
	if (st->too_large) {
		/* RFC 6585 5: Request Header Fields Too Large */
		h2_respond_end(st, 431, none, 0);
		return;
	}
	s->ops->request(s->owner, st);
	if (!s->dying && st->released && !st->ending)
		h2_reset(st, H2_REFUSED_STREAM);
}

static void response_arrived(struct h2_stream *st)
{
	uint64_t status = 0;

	str_u64(h2_header(st, ":status"), &status);
	if (status >= 100 && status < 200) {
		st->headers.n = 0;
		st->too_large = ++st->interim > INTERIM_MAX;
		return;
	}
	st->got_headers = true;
	st->status = (int)status;
	if (st->ops->headers != NULL)
		st->ops->headers(st);
}

static void headers_arrived(struct h2_session *s, struct h2_stream *st, bool end)
{
	bool request = s->server && !st->got_headers;

	if (request)
		request_arrived(s, st);
	else if (!st->got_headers && !st->too_large)
		response_arrived(st);
	if (s->dying)
		return;
	if (st->too_large && !request)
		h2_reset(st, H2_ENHANCE_YOUR_CALM);
	else if (end)
		peer_end(st);
}

/* ---- nghttp2's callbacks: frames ---- */

static void goaway_arrived(struct h2_session *s, const nghttp2_goaway *f)
{
	if (f->error_code != H2_NO_ERROR)
		h2_broken(s, "the peer ended the connection: %s%s%.*s", h2_code_name(f->error_code),
			  f->opaque_data_len ? ", " : "", (int)MIN(f->opaque_data_len, (size_t)100),
			  (const char *)f->opaque_data);
	if (s->server)
		return;
	bool first = !s->refused;
	s->refused = true;
	h2_refuse_waiting(s);
	if (first && s->ops->goaway != NULL)
		s->ops->goaway(s->owner, f->error_code);
}

static void ping_answered(struct h2_session *s)
{
	if (s->drain != DRAIN_NOTICE)
		return;
	s->drain = DRAIN_FINAL;
	nghttp2_submit_goaway(s->ng, 0, nghttp2_session_get_last_proc_stream_id(s->ng), H2_NO_ERROR,
			      NULL, 0);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct h2_session *s = arg;
	struct h2_stream *st;
	bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (s->dying)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
		st = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
		if (st != NULL)
			headers_arrived(s, st, end);
		break;
	case NGHTTP2_DATA:
		st = end ? nghttp2_session_get_stream_user_data(ng, f->hd.stream_id) : NULL;
		if (st != NULL)
			peer_end(st);
		break;
	case NGHTTP2_SETTINGS:
		if (!(f->hd.flags & NGHTTP2_FLAG_ACK))
			s->open = true;
		h2_start_waiting(s);
		break;
	case NGHTTP2_RST_STREAM:
		if (s->server && !h2_bucket_take(&s->resets, 1))
			return h2_calm(s, "stream resets");
		s->reset_by_peer = f->hd.stream_id;
		break;
	case NGHTTP2_PING:
		if (f->hd.flags & NGHTTP2_FLAG_ACK)
			ping_answered(s);
		break;
	case NGHTTP2_GOAWAY:
		goaway_arrived(s, &f->goaway);
		break;
	default:
		break;
	}
	return s->dying ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* A frame that made the stream or the connection malformed; nghttp2 answers it by itself. */
static int on_bad_frame(nghttp2_session *ng UNUSED, const nghttp2_frame *f UNUSED, int why,
			void *arg)
{
	struct h2_session *s = arg;

	if (s->dying)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (!h2_bucket_take(&s->resets, 1))
		return h2_calm(s, nghttp2_strerror(why));
	return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags UNUSED, int32_t id, const uint8_t *p,
		   size_t n, void *arg)
{
	struct h2_session *s = arg;
	struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, id);

	if (s->dying)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	nghttp2_session_consume_connection(ng, n);
	if (n > 0)
		h2_bucket_give(&s->frames, WORTH_OF_LITTLE_DATA);
	if (st == NULL || st->ops->data == NULL)
		nghttp2_session_consume_stream(ng, id, n);
	else
		st->ops->data(st, str_sub(p, n));
	return s->dying ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	struct h2_session *s = arg;
	struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, id);
	enum h2_outcome how = H2_END_RESET;

	if (s->dying)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (st == NULL)
		return 0;
	if (code == H2_NO_ERROR && (s->server ? st->ended : st->peer_ended))
		how = H2_END_DONE;
	else if (st->resetting && !st->too_large)
		how = H2_END_CANCELLED;
	else if (!s->server && !st->too_large && code == H2_REFUSED_STREAM)
		how = H2_END_REFUSED;
	nghttp2_session_set_stream_user_data(ng, id, NULL);
	if (s->server)
		h2_history_set(&s->history, id,
			       st->peer_ended || s->reset_by_peer == id ? PAST_CLOSED : PAST_RESET);
	h2_stream_closed(st, how, code);
	h2_start_waiting(s);
	return s->dying ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* ---- nghttp2's callbacks: sending ---- */

static int send_data(nghttp2_session *ng UNUSED, nghttp2_frame *f UNUSED, const uint8_t *head,
		     size_t n, nghttp2_data_source *source, void *arg)
{
	struct h2_session *s = arg;
	struct h2_stream *st = source->ptr;

	if (s->dying)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	must(buf_add(s->out, head, H2_FRAME_HEAD));
	h2_queue_move(&st->queue, s->out, n);
	s->queued -= n;
	h2_bucket_give(&s->frames, n < LITTLE_DATA ? WORTH_OF_LITTLE_DATA : WORTH_OF_DATA);
	return s->out->n >= s->most ? NGHTTP2_ERR_PAUSE : 0;
}

static void goaway_sent(struct h2_session *s, const nghttp2_goaway *f)
{
	if (f->error_code != H2_NO_ERROR)
		h2_broken(s, "%s: %s", h2_code_name(f->error_code),
			  s->hint[0] ? s->hint : "the peer broke HTTP/2");
	/* nghttp2 would let a PING overtake the GOAWAY whose arrival it is to tell */
	else if (s->drain == DRAIN_NOTICE)
		nghttp2_submit_ping(s->ng, 0, NULL);
}

static int on_sent(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct h2_session *s = arg;

	if (s->dying)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (f->hd.type == NGHTTP2_GOAWAY)
		goaway_sent(s, &f->goaway);
	if (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA)
		return 0;
	struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
	if (st == NULL)
		return 0;
	st->sent = true;
	h2_forget_request(st);
	if (!(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	st->ended = true;
	/* answered early: the rest of the request is not wanted (RFC 9113 8.1) */
	if (s->server && !st->peer_ended)
		nghttp2_submit_rst_stream(ng, 0, st->id, H2_NO_ERROR);
	return 0;
}

/* A header list that is too large to be sent (64 KiB: nghttp2's limit) would leave the stream open
 * without an answer, or look as if the peer had refused the request. */
static int on_not_sent(nghttp2_session *ng, const nghttp2_frame *f, int why, void *arg)
{
	struct h2_session *s = arg;

	if (s->dying)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
	if (f->hd.type != NGHTTP2_HEADERS || why != NGHTTP2_ERR_FRAME_SIZE_ERROR || st == NULL)
		return 0;
	st->too_large = true;
	if (s->server)
		nghttp2_submit_rst_stream(ng, 0, st->id, H2_INTERNAL_ERROR);
	return 0;
}

/* nghttp2's words for what is wrong; whether it ends the connection is seen later. */
static int on_text(nghttp2_session *ng UNUSED, int code UNUSED, const char *msg, size_t n,
		   void *arg)
{
	struct h2_session *s = arg;
	const char *value = memmem(msg, n, ", value:", 8);

	/* the value of a field may be a secret */
	snprintf(s->hint, sizeof s->hint, "%.*s", value != NULL ? (int)(value - msg) : (int)n, msg);
	return 0;
}

static void fill_random(uint8_t *p, size_t n)
{
	random_bytes(p, n);
}

nghttp2_session_callbacks *h2_callbacks(void)
{
	static nghttp2_session_callbacks *c;

	if (c != NULL)
		return c;
	must(nghttp2_session_callbacks_new(&c) == 0);
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, begin_headers);
	nghttp2_session_callbacks_set_on_header_callback2(c, on_field);
	nghttp2_session_callbacks_set_on_invalid_header_callback2(c, on_bad_field);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_bad_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
	nghttp2_session_callbacks_set_send_data_callback(c, send_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(c, on_sent);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_not_sent);
	nghttp2_session_callbacks_set_error_callback2(c, on_text);
	if (nghttp2_session_callbacks_set_rand_callback != NULL)
		nghttp2_session_callbacks_set_rand_callback(c, fill_random);
	return c;
}
