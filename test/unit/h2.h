/*
 * HTTP/2 sessions fed with frames made by hand, and what they answer, frame by frame: what
 * h2_test.c, h2_flood_test.c and h2_client_test.c share.
 */
#ifndef OPENSHELL_TEST_H2_H
#define OPENSHELL_TEST_H2_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "http2/h2_impl.h"
#include "test.h"

/* ---- frames by hand ---- */

enum {
	DATA,
	HEADERS,
	PRIORITY,
	RST_STREAM,
	SETTINGS,
	PUSH_PROMISE,
	PING,
	GOAWAY,
	WINDOW_UPDATE,
	CONTINUATION
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 };

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static struct buf in = BUF_INIT(64 << 20);

static void put_head(size_t n, int type, int flags, uint32_t id)
{
	const uint8_t head[9] = {n >> 16, n >> 8, n, type, flags, id >> 24, id >> 16, id >> 8, id};

	OK(buf_add(&in, head, sizeof head));
}

static uint32_t h2_get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put(int type, int flags, uint32_t id, const void *p, size_t n)
{
	put_head(n, type, flags, id);
	OK(buf_add(&in, p, n));
}

static void put32(int type, uint32_t id, uint32_t value)
{
	const uint8_t p[4] = {value >> 24, value >> 16, value >> 8, value};

	put(type, 0, id, p, sizeof p);
}

/* HEADERS whose block is literals without indexing: name, value, …, NULL. */
static void put_fields(uint32_t id, int flags, const char *const *texts)
{
	uint8_t b[4096], *p = b;

	for (int i = 0; texts[i] != NULL; i++) {
		size_t n = strlen(texts[i]);
		OK(n < 127);
		if (i % 2 == 0)
			*p++ = 0;
		*p++ = (uint8_t)n;
		memcpy(p, texts[i], n);
		p += n;
	}
	put(HEADERS, END_HEADERS | flags, id, b, (size_t)(p - b));
}

#define put_headers(id, flags, ...) put_fields(id, flags, (const char *const[]){__VA_ARGS__})

#define REQUEST ":method", "POST", ":scheme", "http", ":path", "/a", ":authority", "x"

static void put_preface(bool server)
{
	if (server)
		OK(buf_add(&in, PREFACE, sizeof PREFACE - 1));
	put(SETTINGS, 0, 0, NULL, 0);
}

/* ---- a session and its user ---- */

static struct h2_session *session;
static struct buf out = BUF_INIT(64 << 20);
static struct err broken;
static int requests, closes, ends, goaways, wakes, writables, refusals;
static enum h2_outcome outcome;
static uint32_t close_code;
static size_t data_bytes;
static struct h2_stream *last;
static bool answer_at_once, hold_data, end_session_in_callback;

static const struct h2_field plain = {STR("content-type"), STR("text/plain")};

static void on_data(struct h2_stream *st, struct str bytes)
{
	data_bytes += bytes.n;
	if (!hold_data)
		h2_consume(st, bytes.n);
	if (end_session_in_callback)
		h2_session_end(session);
}

static void on_peer_end(struct h2_stream *st)
{
	ends++;
	if (answer_at_once)
		h2_respond_end(st, 200, &plain, 1);
	if (end_session_in_callback)
		h2_session_end(session);
}

static void on_writable(struct h2_stream *st UNUSED)
{
	writables++;
}

static void on_closed(struct h2_stream *st, enum h2_outcome how, uint32_t code)
{
	closes++;
	refusals += how == H2_END_REFUSED;
	outcome = how;
	close_code = code;
	OK(h2_is_closed(st));
	h2_release(st);
	if (last == st)
		last = NULL;
}

static void on_headers(struct h2_stream *st UNUSED)
{
	requests++;
}

static const struct h2_stream_ops ops = {
	.headers = on_headers,
	.data = on_data,
	.peer_end = on_peer_end,
	.writable = on_writable,
	.closed = on_closed,
};

static void on_request(void *owner UNUSED, struct h2_stream *st)
{
	requests++;
	last = st;
	h2_accept(st, &ops, NULL);
}

static void on_wake(void *owner UNUSED)
{
	wakes++;
}

static void on_goaway(void *owner UNUSED, uint32_t code UNUSED)
{
	goaways++;
}

static const struct h2_session_ops session_ops = {on_request, on_wake, on_goaway};

static struct h2_config cfg = {
	.max_streams = 10,
	.max_waiting = 3,
	.stream_window = 65535,
	.conn_window = 65535,
	.header_list_max = 4096,
	.stream_queue_max = 1000,
	.conn_queue_max = 5000,
	.arena_max = 1 << 20,
};

static void set_up(bool server)
{
	answer_at_once = true;
	session = server ? h2_server_new(&cfg, &session_ops, NULL)
			 : h2_client_new(&cfg, &session_ops, NULL);
	put_preface(server);
}

static void tear_down(void)
{
	h2_session_free(session);
	buf_fini(&in);
	buf_fini(&out);
}

/* Feeds what was put. */
static int feed(void)
{
	struct str v = buf_view(&in);
	int rv = h2_feed(session, v.p, v.n, &broken);

	buf_clear(&in);
	return rv;
}

static void take(void)
{
	h2_take(session, &out, SIZE_MAX / 2);
}

struct frame {
	int type, flags;
	uint32_t id;
	const uint8_t *p;
	size_t n;
};

/* The next frame that the session sent; the client's preface is passed over. */
static bool next_frame(struct frame *f)
{
	struct str v = buf_view(&out);

	if (str_skip(&v, PREFACE))
		buf_consume(&out, sizeof PREFACE - 1);
	if (v.n < 9)
		return false;
	const uint8_t *p = (const uint8_t *)v.p;
	f->n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
	f->type = p[3];
	f->flags = p[4];
	f->id = (uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8];
	f->p = p + 9;
	OK(v.n >= 9 + f->n);
	buf_consume(&out, 9 + f->n);
	return true;
}

/* Whether the session sent a frame of that type for that stream; the ones before it are lost. */
static bool sent(int type, uint32_t id, struct frame *f)
{
	while (next_frame(f)) {
		if (f->type == type && f->id == id)
			return true;
	}
	return false;
}

static void expect_goaway(uint32_t code)
{
	struct frame f;

	take();
	OK(sent(GOAWAY, 0, &f));
	EQ(h2_get32(f.p + 4), code);
	OK(h2_is_over(session));
	OK(h2_error(session)->code != 0);
}

UNUSED static void expect_reset(uint32_t id, uint32_t code)
{
	struct frame f;

	take();
	OK(sent(RST_STREAM, id, &f));
	EQ(h2_get32(f.p), code);
	OK(!h2_is_over(session));
}

#endif
