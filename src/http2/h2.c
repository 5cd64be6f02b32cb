#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "http2/h2_impl.h"

enum {
	/* tokens of h2_guard.c: about what an honest peer needs in its worst second */
	FRAMES_BURST = 4000,
	FRAMES_PER_SECOND = 500,
	RESETS_BURST = 1000,
	RESETS_PER_SECOND = 100,
};

const char *h2_code_name(uint32_t code)
{
	static const char *const names[] = {
		[H2_NO_ERROR] = "NO_ERROR",
		[H2_PROTOCOL_ERROR] = "PROTOCOL_ERROR",
		[H2_INTERNAL_ERROR] = "INTERNAL_ERROR",
		[H2_FLOW_CONTROL_ERROR] = "FLOW_CONTROL_ERROR",
		[H2_SETTINGS_TIMEOUT] = "SETTINGS_TIMEOUT",
		[H2_STREAM_CLOSED] = "STREAM_CLOSED",
		[H2_FRAME_SIZE_ERROR] = "FRAME_SIZE_ERROR",
		[H2_REFUSED_STREAM] = "REFUSED_STREAM",
		[H2_CANCEL] = "CANCEL",
		[H2_COMPRESSION_ERROR] = "COMPRESSION_ERROR",
		[H2_CONNECT_ERROR] = "CONNECT_ERROR",
		[H2_ENHANCE_YOUR_CALM] = "ENHANCE_YOUR_CALM",
		[H2_INADEQUATE_SECURITY] = "INADEQUATE_SECURITY",
		[H2_HTTP_1_1_REQUIRED] = "HTTP_1_1_REQUIRED",
	};
	static char unknown[24];

	static_assert(ARRAY_LEN(names) == H2_HTTP_1_1_REQUIRED + 1, "a name for every code");
	if (code < ARRAY_LEN(names))
		return names[code];
	snprintf(unknown, sizeof unknown, "error 0x%x", code);
	return unknown;
}

void h2_wake(struct h2_session *s)
{
	if (!s->dying && s->out == NULL)
		s->ops->wake(s->owner);
}

void h2_broken(struct h2_session *s, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	if (s->err.code != 0)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	err_set(&s->err, EPROTO, "%s", text);
}

/* ---- life ---- */

static nghttp2_option *options(bool server)
{
	static nghttp2_option *o[2];

	if (o[server] != NULL)
		return o[server];
	must(nghttp2_option_new(&o[server]) == 0);
	nghttp2_option_set_no_auto_window_update(o[server], 1);
	/* resets are counted by us, with an answer that says what is wrong */
	nghttp2_option_set_stream_reset_rate_limit(o[server], UINT32_MAX, UINT32_MAX);
	return o[server];
}

static struct h2_session *session_new(const struct h2_config *c, const struct h2_session_ops *ops,
				      void *owner, bool server)
{
	struct h2_session *s = xcalloc(1, sizeof *s);
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, c->stream_window},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, c->header_list_max},
		server ? (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
						  c->max_streams}
		       : (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
	};

	s->ops = ops;
	s->owner = owner;
	s->cfg = *c;
	s->server = server;
	s->preface_left = server ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
	s->frames = (struct h2_bucket){.max = FRAMES_BURST, .per_second = FRAMES_PER_SECOND};
	s->resets = (struct h2_bucket){.max = RESETS_BURST, .per_second = RESETS_PER_SECOND};
	list_init(&s->streams);
	list_init(&s->waiting);
	list_init(&s->blocked);
	int rv = server ? nghttp2_session_server_new2(&s->ng, h2_callbacks(), s, options(true))
			: nghttp2_session_client_new2(&s->ng, h2_callbacks(), s, options(false));
	must(rv == 0);
	nghttp2_submit_settings(s->ng, 0, settings, ARRAY_LEN(settings));
	nghttp2_session_set_local_window_size(s->ng, 0, 0, (int32_t)c->conn_window);
	return s;
}

struct h2_session *h2_server_new(const struct h2_config *c, const struct h2_session_ops *ops,
				 void *owner)
{
	return session_new(c, ops, owner, true);
}

struct h2_session *h2_client_new(const struct h2_config *c, const struct h2_session_ops *ops,
				 void *owner)
{
	return session_new(c, ops, owner, false);
}

void h2_session_end(struct h2_session *s)
{
	struct h2_stream *st;

	s->dying = true;
	h2_refuse_waiting(s);
	while ((st = list_first(&s->streams, struct h2_stream, link)) != NULL) {
		bool left = s->server || st->sent;
		h2_stream_closed(st, left ? H2_END_LOST : H2_END_REFUSED, H2_INTERNAL_ERROR);
	}
}

void h2_session_free(struct h2_session *s)
{
	if (s == NULL)
		return;
	must(s->out == NULL);
	h2_session_end(s);
	nghttp2_session_del(s->ng);
	free(s);
}

/* ---- bytes ---- */

/* The connection cannot go on: what is left is to say why. */
static int give_up(struct h2_session *s, nghttp2_ssize rv, struct err *e)
{
	uint32_t code =
		rv == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? H2_PROTOCOL_ERROR : H2_ENHANCE_YOUR_CALM;

	h2_broken(s, "%s: %s", h2_code_name(code), nghttp2_strerror((int)rv));
	h2_terminate(s, s->code != 0 ? s->code : code);
	*e = s->err;
	return -1;
}

int h2_feed(struct h2_session *s, const void *p, size_t n, struct err *e)
{
	struct str in = str_sub(p, n), part;

	while (in.n > 0 && !s->dying) {
		if (h2_next_part(s, &in, &part) < 0)
			return give_up(s, NGHTTP2_ERR_CALLBACK_FAILURE, e);
		if (part.n == 0)
			continue;
		nghttp2_ssize rv =
			nghttp2_session_mem_recv2(s->ng, (const uint8_t *)part.p, part.n);
		if (rv < 0 && !s->dying)
			return give_up(s, rv, e);
	}
	if (s->dying)
		return err_set(e, ECANCELED, "the session has ended");
	if (nghttp2_session_want_write(s->ng))
		h2_wake(s);
	return 0;
}

void h2_take(struct h2_session *s, struct buf *out, size_t most)
{
	const uint8_t *p;
	nghttp2_ssize n = 0;

	s->out = out;
	s->most = most;
	while (!s->dying && out->n < most && (n = nghttp2_session_mem_send2(s->ng, &p)) > 0)
		must(buf_add(out, p, (size_t)n));
	s->out = NULL;
	must(n >= 0 || s->dying);
	h2_unblock(s);
}

bool h2_has_output(struct h2_session *s)
{
	return !s->dying && nghttp2_session_want_write(s->ng);
}

bool h2_is_over(struct h2_session *s)
{
	if (s->dying)
		return true;
	return s->drain != DRAIN_NOTICE && s->n_waiting == 0 && !nghttp2_session_want_read(s->ng) &&
	       !nghttp2_session_want_write(s->ng);
}

const struct err *h2_error(const struct h2_session *s)
{
	return &s->err;
}

bool h2_is_open(const struct h2_session *s)
{
	return s->open;
}

size_t h2_streams(const struct h2_session *s)
{
	return s->n_streams;
}

size_t h2_session_queued(const struct h2_session *s)
{
	return s->queued;
}

void h2_ping(struct h2_session *s)
{
	nghttp2_submit_ping(s->ng, 0, NULL);
	h2_wake(s);
}

void h2_drain(struct h2_session *s)
{
	if (s->dying || s->drain != DRAIN_NO)
		return;
	s->refused = true;
	if (s->server) {
		s->drain = DRAIN_NOTICE;
		nghttp2_submit_shutdown_notice(s->ng);
	} else {
		s->drain = DRAIN_FINAL;
		nghttp2_submit_goaway(s->ng, 0, 0, H2_NO_ERROR, NULL, 0);
	}
	h2_wake(s);
}

void h2_terminate(struct h2_session *s, uint32_t code)
{
	if (s->dying)
		return;
	s->drain = DRAIN_FINAL;
	nghttp2_session_terminate_session(s->ng, code);
	h2_wake(s);
}
