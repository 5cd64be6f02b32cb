/*
 * A client's session with a few requests, fed with what a server may send. The first byte chooses
 * what the client does meanwhile, the second into what pieces the bytes are cut.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "http2/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum {
	HOLD = 1,     /* does not consume what it gets */
	RELEASE = 2,  /* forgets a stream at its response's headers */
	AGAIN = 4,    /* a new request for each that ended */
	END = 8,      /* ends the session at the first data */
	UPLOAD = 16,  /* the requests have bodies that go on */
	REQUESTS = 5, /* at once */
	IN_ALL = 20,
};

static int mode, asked, open_now;
static struct h2_session *session;

static void ask(void);

static void on_headers(struct h2_stream *st)
{
	must(h2_status(st) != 0 || h2_header(st, ":status").p != NULL);
	if (mode & RELEASE) {
		open_now--;
		h2_release(st);
	}
}

static void on_data(struct h2_stream *st, struct str bytes)
{
	if (!(mode & HOLD))
		h2_consume(st, bytes.n);
	if (mode & END)
		h2_session_end(session);
}

static void send_some(struct h2_stream *st)
{
	struct h2_chunk *c = h2_chunk_new(10000);

	memset(c->bytes, 'x', c->n);
	while (h2_send(st, c) && h2_queued(st) > 0)
		;
	h2_chunk_unref(c);
}

static void on_closed(struct h2_stream *st, enum h2_outcome how UNUSED, uint32_t code UNUSED)
{
	open_now--;
	h2_release(st);
	if (mode & AGAIN)
		ask();
}

static const struct h2_stream_ops ops = {
	.headers = on_headers,
	.data = on_data,
	.writable = send_some,
	.closed = on_closed,
};

static void ask(void)
{
	static const struct h2_field field = {STR("authorization"), STR("Bearer x")};
	const struct h2_request r = {
		.method = STR("GET"),
		.scheme = STR("https"),
		.authority = STR("x"),
		.path = STR("/api"),
		.fields = &field,
		.n = 1,
		.more = mode & UPLOAD,
	};
	struct err e;

	if (asked++ >= IN_ALL)
		return;
	struct h2_stream *st = h2_request(session, &r, &ops, NULL, &e);
	if (st == NULL)
		return;
	open_now++;
	if (mode & UPLOAD)
		send_some(st);
}

static void on_wake(void *owner UNUSED)
{
}

static void on_goaway(void *owner UNUSED, uint32_t code UNUSED)
{
}

static const struct h2_session_ops session_ops = {.wake = on_wake, .goaway = on_goaway};

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct h2_config cfg = H2_CONFIG_DEFAULT;
	_cleanup_buf_ struct buf out = BUF_INIT(SIZE_MAX / 2);
	struct err e;
	int rv = 0;

	if (n < 2)
		return 0;
	mode = p[0];
	asked = open_now = 0;
	size_t piece = 1 + p[1];
	p += 2;
	n -= 2;
	cfg.max_streams = 3;
	cfg.max_waiting = 4;
	cfg.stream_queue_max = 50 * 1000;
	session = h2_client_new(&cfg, &session_ops, NULL);
	for (int i = 0; i < REQUESTS; i++)
		ask();
	h2_take(session, &out, SIZE_MAX / 2);
	while (rv == 0 && n > 0) {
		size_t part = MIN(piece, n);
		rv = h2_feed(session, p, part, &e);
		p += part;
		n -= part;
		buf_clear(&out);
		h2_take(session, &out, 16384);
	}
	h2_take(session, &out, SIZE_MAX / 2);
	h2_session_free(session);
	must(open_now == 0); /* every stream was told its end, once */
	return 0;
}
