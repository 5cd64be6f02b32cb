/*
 * A server's session, fed with what a peer may send. The first byte says whether the preface is put
 * in front, and what the server does with requests; the second into what pieces the bytes are cut.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "http2/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum {
	NO_PREFACE = 1,
	EARLY = 2,   /* answers before the request is complete */
	BODY = 4,    /* with a body and trailers */
	RELEASE = 8, /* and forgets the stream */
	HOLD = 16,   /* does not consume what it gets */
	END = 32,    /* ends the session at the first data */
	DRAIN = 64,
};

static int mode;
static struct h2_session *session;

static const struct h2_field field = {STR("a"), STR("b")};

static void answer(struct h2_stream *st)
{
	if (!(mode & BODY)) {
		h2_respond_end(st, 200, &field, 1);
		return;
	}
	struct h2_chunk *c = h2_chunk_new(20000);
	memset(c->bytes, 'x', c->n);
	h2_respond(st, 404, &field, 1);
	while (h2_send(st, c) && h2_queued(st) > 0)
		;
	h2_end_trailers(st, &field, 1);
	h2_chunk_unref(c);
}

static void on_data(struct h2_stream *st, struct str bytes)
{
	if (!(mode & HOLD))
		h2_consume(st, bytes.n);
	if (mode & END)
		h2_session_end(session);
}

static void on_peer_end(struct h2_stream *st)
{
	if (!(mode & EARLY))
		answer(st);
}

static void on_closed(struct h2_stream *st, enum h2_outcome how UNUSED, uint32_t code UNUSED)
{
	h2_release(st);
}

static const struct h2_stream_ops ops = {
	.data = on_data,
	.peer_end = on_peer_end,
	.closed = on_closed,
};

static void on_request(void *owner UNUSED, struct h2_stream *st)
{
	must(h2_header(st, ":method").p != NULL);
	h2_accept(st, &ops, NULL);
	if (mode & EARLY)
		answer(st);
	if (mode & RELEASE)
		h2_release(st);
}

static void on_wake(void *owner UNUSED)
{
}

static const struct h2_session_ops session_ops = {.request = on_request, .wake = on_wake};

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	struct h2_config cfg = H2_CONFIG_DEFAULT;
	_cleanup_buf_ struct buf out = BUF_INIT(SIZE_MAX / 2);
	struct err e;

	if (n < 2)
		return 0;
	mode = p[0];
	size_t piece = 1 + p[1];
	p += 2;
	n -= 2;
	cfg.max_streams = 8;
	cfg.stream_queue_max = 50 * 1000;
	session = h2_server_new(&cfg, &session_ops, NULL);
	int rv = mode & NO_PREFACE ? 0 : h2_feed(session, preface, sizeof preface - 1, &e);
	while (rv == 0 && n > 0) {
		size_t part = MIN(piece, n);
		rv = h2_feed(session, p, part, &e);
		p += part;
		n -= part;
		h2_take(session, &out, 16384);
		must(out.n < 64 * 1024);
		buf_clear(&out);
		if (mode & DRAIN)
			h2_drain(session);
	}
	must(rv == 0 || e.code != 0);
	h2_take(session, &out, SIZE_MAX / 2);
	h2_session_free(session);
	return 0;
}
