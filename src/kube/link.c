#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/version.h"
#include "kube/channel_impl.h"
#include "kube/client.h"

#define USER_AGENT "openshell-static/" OPENSHELL_VERSION

static const struct h2_conn_config h2_config = {
	.h2 = {.max_streams = 1024, /* the server says fewer: 250 by default */
	       .max_waiting = KUBE_REQUESTS_MAX,
	       .stream_window = 1 << 20,
	       .conn_window = 4 << 20,
	       .header_list_max = 64 << 10,
	       .stream_queue_max = 256 << 10,
	       .conn_queue_max = 64 << 20,
	       .arena_max = 1 << 20},
	.open_ms = CHANNEL_CONNECT_MS,
	.idle_ms = CHANNEL_IDLE_MS,
	.ping_ms =
		30000, /* as client-go: HTTP2_READ_IDLE_TIMEOUT_SECONDS, HTTP2_PING_TIMEOUT_SECONDS */
	.pong_ms = 15000,
	.stall_ms = 30000,
	.drain_ms = 0, /* watches may go on until they end */
};

static bool is_empty(const struct link *l)
{
	if (l->h2 == NULL)
		return l->busy == NULL;
	struct h2_session *s = h2_conn_session(l->h2);
	return s == NULL || h2_streams(s) == 0;
}

/* ---- HTTP/2 ---- */

static void s_headers(struct h2_stream *s)
{
	struct exchange *x = h2_user(s);

	x->link->answered = true;
	channel_answered(x->channel);
	x->ops->headers(x, h2_status(s));
}

static void s_data(struct h2_stream *s, struct str bytes)
{
	struct exchange *x = h2_user(s);

	x->ops->data(x, bytes);
	if (x->stream == s) /* not withdrawn by that */
		h2_consume(s, bytes.n);
}

static void s_peer_end(struct h2_stream *s)
{
	((struct exchange *)h2_user(s))->peer_ended = true;
}

static enum exchange_end end_of(enum h2_outcome how, const struct exchange *x)
{
	if (how == H2_END_DONE || (how == H2_END_RESET && x->peer_ended))
		return EXCHANGE_DONE;
	return how == H2_END_REFUSED ? EXCHANGE_UNSENT : EXCHANGE_LOST;
}

static void s_closed(struct h2_stream *s, enum h2_outcome how, uint32_t code)
{
	struct exchange *x = h2_user(s);
	struct link *l = x->link;
	struct err why = {0};

	x->how = end_of(how, x);
	if (x->how != EXCHANGE_DONE && h2_conn_session(l->h2) == NULL) {
		list_add(&l->lost, &x->place); /* c_ended will know why */
		return;
	}
	if (x->how == EXCHANGE_UNSENT)
		err_set(&why, ECONNREFUSED, "%s refuses the request for now",
			channel_authority(l->channel));
	else if (x->how == EXCHANGE_LOST)
		err_set(&why, ECONNRESET, "%s reset the request: %s", channel_authority(l->channel),
			h2_code_name(code));
	exchange_end(x, x->how, &why);
}

static const struct h2_stream_ops stream_ops = {
	.headers = s_headers,
	.data = s_data,
	.peer_end = s_peer_end,
	.closed = s_closed,
};

static void c_goaway(void *owner, uint32_t code UNUSED)
{
	struct link *l = owner;

	l->closing = true;
	channel_pump(l->channel); /* what waits needs another connection */
}

static void c_ended(void *owner, const struct err *why)
{
	struct link *l = owner;
	struct exchange *x;
	struct err words = *why;

	l->closing = true;
	if (why->code == 0)
		err_set(&words, ECONNRESET, "it was closed");
	err_wrap(&words, "connection to %s", channel_authority(l->channel));
	while ((x = list_first(&l->lost, struct exchange, place)) != NULL) {
		list_del(&x->place);
		exchange_end(x, x->how, &words);
	}
	channel_link_ended(l->channel, l, &words);
}

static const struct h2_conn_ops conn_ops = {
	.goaway = c_goaway,
	.ended = c_ended,
};

static void send_http2(struct link *l, struct exchange *x, const char *path)
{
	const char *authorization = channel_authorization(l->channel);
	char length[24];
	struct h2_field fields[5];
	struct err e;
	size_t n = 0;

	snprintf(length, sizeof length, "%zu", x->body.n);
	fields[n++] = (struct h2_field){STR("accept"), STR("application/json")};
	fields[n++] = (struct h2_field){STR("user-agent"), STR(USER_AGENT)};
	if (authorization != NULL)
		fields[n++] = (struct h2_field){STR("authorization"), str_of(authorization)};
	if (x->body.p != NULL) {
		fields[n++] = (struct h2_field){STR("content-type"), str_of(x->content_type)};
		fields[n++] = (struct h2_field){STR("content-length"), str_of(length)};
	}
	struct h2_request r = {
		.method = str_of(x->method),
		.scheme = str_of(channel_scheme(l->channel)),
		.authority = str_of(channel_authority(l->channel)),
		.path = str_of(path),
		.fields = fields,
		.n = n,
		.body = x->body,
	};
	x->stream = h2_request(h2_conn_session(l->h2), &r, &stream_ops, x, &e);
	if (x->stream == NULL) {
		l->closing |= e.code == ESHUTDOWN;
		exchange_end(x, EXCHANGE_UNSENT, &e);
	}
}

/* ---- HTTP/1.1 ---- */

static void h_headers(void *owner, int status)
{
	struct link *l = owner;

	l->answered = true;
	channel_answered(l->channel);
	l->busy->ops->headers(l->busy, status);
}

static void h_data(void *owner, struct str bytes)
{
	struct link *l = owner;

	l->busy->ops->data(l->busy, bytes);
}

static void h_done(void *owner, bool reusable)
{
	struct link *l = owner;
	struct exchange *x = l->busy;
	struct err none = {0};

	l->busy = NULL;
	l->closing |= !reusable;
	timer_set(channel_loop(l->channel), &l->idle, l->closing ? 0 : CHANNEL_IDLE_MS);
	exchange_end(x, EXCHANGE_DONE, &none);
	channel_pump(l->channel);
}

static void h_failed(void *owner, const struct err *why)
{
	struct link *l = owner;
	struct exchange *x = steal(&l->busy);
	struct err words = *why;
	bool sent = http1_client_has_sent(l->h1);

	l->closing = true;
	err_wrap(&words, "connection to %s", channel_authority(l->channel));
	if (x != NULL)
		exchange_end(x, sent ? EXCHANGE_LOST : EXCHANGE_UNSENT, &words);
	channel_link_ended(l->channel, l, &words);
}

static const struct http1_client_ops client_ops = {
	.headers = h_headers,
	.data = h_data,
	.done = h_done,
	.failed = h_failed,
};

static void send_http1(struct link *l, struct exchange *x, const char *path)
{
	const struct http1_header_line headers[] = {
		{"Accept", STR("application/json")},
		{"User-Agent", STR(USER_AGENT)},
		{"Authorization", str_of(channel_authorization(l->channel))},
		{"Content-Type", x->body.p ? str_of(x->content_type) : STR_NONE},
	};
	struct http1_request r = {
		.method = x->method,
		.path = path,
		.host = channel_authority(l->channel),
		.headers = headers,
		.n = ARRAY_LEN(headers),
		.body = x->body,
	};

	l->busy = x;
	timer_stop(channel_loop(l->channel), &l->idle);
	http1_client_request(l->h1, &r);
}

static void idle(struct timer *t)
{
	struct link *l = container_of(t, struct link, idle);
	struct err none = {0};

	l->answered = true; /* that nobody asked on it is no failure */
	channel_link_ended(l->channel, l, &none);
}

/* ---- both ---- */

struct link *link_new(struct channel *ch, struct conn *c, bool http2)
{
	struct link *l = xcalloc(1, sizeof *l);

	l->channel = ch;
	l->auth_generation = channel_auth_generation(ch);
	l->idle.fire = idle;
	list_init(&l->place);
	list_init(&l->lost);
	if (http2) {
		l->h2 = h2_conn_client(c, &h2_config, &conn_ops, l);
		return l;
	}
	l->h1 = http1_client_new(c, &client_ops, l);
	timer_set(channel_loop(ch), &l->idle, CHANNEL_IDLE_MS);
	return l;
}

bool link_has_room(const struct link *l)
{
	if (l->closing)
		return false;
	return l->h2 != NULL ? h2_conn_session(l->h2) != NULL : l->busy == NULL;
}

void link_send(struct link *l, struct exchange *x)
{
	_cleanup_free_ char *path = xasprintf("%s%s", channel_prefix(l->channel), x->path);

	x->link = l;
	x->peer_ended = false;
	x->generation = channel_auth_generation(l->channel);
	if (l->h2 != NULL)
		send_http2(l, x, path);
	else
		send_http1(l, x, path);
}

void link_drain(struct link *l)
{
	l->closing = true;
	if (l->h2 != NULL)
		h2_conn_drain(l->h2);
	else if (is_empty(l))
		timer_set(channel_loop(l->channel), &l->idle, 0);
}

void link_withdraw(struct link *l, struct exchange *x)
{
	struct err none = {0};

	list_del(&x->place);
	if (l->h2 != NULL) {
		h2_release(steal(&x->stream));
		return;
	}
	/* HTTP/1.1 knows no other way to say it */
	l->busy = NULL;
	l->answered = true;
	channel_link_ended(l->channel, l, &none);
}

static void close_link(struct link *l)
{
	list_del(&l->place);
	timer_stop(channel_loop(l->channel), &l->idle);
	h2_conn_free(steal(&l->h2));
	http1_client_free(steal(&l->h1));
}

static void release(struct later *later)
{
	free(container_of(later, struct link, free_later));
}

void link_free(struct link *l)
{
	close_link(l);
	l->free_later.run = release;
	loop_later(channel_loop(l->channel), &l->free_later);
}

void link_free_now(struct link *l)
{
	close_link(l);
	free(l);
}
