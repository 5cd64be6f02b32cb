#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "http1/client.h"
#include "http1/response.h"

enum {
	READ_AT_ONCE = 64 << 10,
	READS_A_TURN = 4,
};

/*
 *  IDLE --request--> BUSY --done--> IDLE
 *    \                 \---failed--> OVER
 *     \------failed----------------> OVER    http1_client_free from any of them
 */
enum state { IDLE, BUSY, OVER };

struct http1_client {
	struct conn *conn;
	struct loop *loop;
	const struct http1_client_ops *ops;
	void *owner;
	enum state state;
	bool sent, freed;
	unsigned below; /* we are below one of our callbacks */
	struct buf out;
	struct http1_response response;
	struct later start, free_later;
	struct timer reread; /* bytes wait in the transport, but others come first */
};

static void release(struct http1_client *h)
{
	loop_later_cancel(&h->start);
	loop_later_cancel(&h->free_later);
	timer_stop(h->loop, &h->reread);
	conn_free(h->conn);
	http1_response_fini(&h->response);
	if (h->out.p != NULL) /* it held a token */
		explicit_bzero(h->out.p, h->out.cap);
	buf_fini(&h->out);
	free(h);
}

static void run_free(struct later *l)
{
	release(container_of(l, struct http1_client, free_later));
}

void http1_client_free(struct http1_client *h)
{
	if (h == NULL || h->freed)
		return;
	h->freed = true;
	if (h->below == 0) {
		release(h);
		return;
	}
	conn_want(h->conn, false, false);
	loop_later(h->loop, &h->free_later);
}

static void fail(struct http1_client *h, const struct err *why)
{
	if (h->freed || h->state == OVER)
		return;
	h->state = OVER;
	conn_want(h->conn, false, false);
	timer_stop(h->loop, &h->reread);
	h->ops->failed(h->owner, why);
}

/* ---- writing ---- */

static void write_out(struct http1_client *h)
{
	while (h->out.n > 0) {
		struct str v = buf_view(&h->out);
		ssize_t n = conn_write(h->conn, v.p, v.n);
		if (n == CONN_AGAIN)
			break;
		if (n < 0) {
			struct err why;
			err_set(&why, EPIPE, "%s", conn_error(h->conn));
			fail(h, &why);
			return;
		}
		h->sent = true;
		buf_consume(&h->out, (size_t)n);
	}
	if (h->out.n == 0 && h->out.p != NULL) {
		explicit_bzero(h->out.p, h->out.cap);
		buf_fini(&h->out);
	}
	conn_want(h->conn, true, h->out.n > 0);
}

/* From the loop, so that a broken connection is not told from inside http1_client_request. */
static void start(struct later *l)
{
	struct http1_client *h = container_of(l, struct http1_client, start);

	h->below++;
	write_out(h);
	h->below--;
}

/* ---- reading ---- */

static bool on_headers(void *owner)
{
	struct http1_client *h = owner;

	h->ops->headers(h->owner, h->response.status);
	return !h->freed;
}

static bool on_body(void *owner, struct str bytes)
{
	struct http1_client *h = owner;

	h->ops->data(h->owner, bytes);
	return !h->freed;
}

/* A request must be all out before its answer counts; nothing may follow the answer. */
static void complete(struct http1_client *h, bool more_follows)
{
	bool reusable = h->response.keep_alive && !more_follows && h->out.n == 0;

	h->state = reusable ? IDLE : OVER;
	if (!reusable)
		conn_want(h->conn, false, false);
	h->ops->done(h->owner, reusable);
}

static void feed(struct http1_client *h, struct str bytes)
{
	size_t used = 0;
	struct err why;

	if (h->state != BUSY) {
		err_set(&why, EPROTO, "the peer sends an answer that nobody asked for");
		fail(h, &why);
		return;
	}
	enum http1_result r = http1_response_feed(&h->response, bytes, &used, &why);
	if (r == HTTP1_BAD)
		fail(h, &why);
	else if (r == HTTP1_DONE)
		complete(h, used < bytes.n);
}

static void end_of_file(struct http1_client *h)
{
	struct err why;

	if (h->state == BUSY && http1_response_eof(&h->response, &why) == HTTP1_DONE) {
		complete(h, false);
		return;
	}
	if (h->state == IDLE)
		err_set(&why, ECONNRESET, "the peer closed the connection");
	fail(h, &why);
}

static void read_in(struct http1_client *h)
{
	static char input[READ_AT_ONCE]; /* one thread: it is empty between two calls */

	for (int i = 0; i < READS_A_TURN && !h->freed && h->state != OVER; i++) {
		ssize_t n = conn_read(h->conn, input, sizeof input);
		if (n == CONN_AGAIN)
			return;
		if (n == CONN_EOF) {
			end_of_file(h);
		} else if (n < 0) {
			struct err why;
			err_set(&why, EPIPE, "%s", conn_error(h->conn));
			fail(h, &why);
		} else {
			feed(h, str_sub(input, (size_t)n));
		}
	}
	if (!h->freed && h->state != OVER && conn_pending(h->conn))
		timer_set(h->loop, &h->reread, 0);
}

static void ready(struct conn *c, bool readable, bool writable)
{
	struct http1_client *h = c->owner;

	if (h->freed || h->state == OVER)
		return;
	h->below++;
	if (readable)
		read_in(h);
	if (writable && !h->freed && h->state == BUSY && h->out.n > 0)
		write_out(h);
	h->below--;
}

static void reread(struct timer *t)
{
	struct http1_client *h = container_of(t, struct http1_client, reread);

	ready(h->conn, true, false);
}

/* ---- life ---- */

struct http1_client *http1_client_new(struct conn *c, const struct http1_client_ops *ops,
				      void *owner)
{
	struct http1_client *h = xcalloc(1, sizeof *h);

	h->conn = c;
	h->loop = c->loop;
	h->ops = ops;
	h->owner = owner;
	h->out = BUF_INIT(SIZE_MAX / 2); /* our own request */
	h->start.run = start;
	h->free_later.run = run_free;
	h->reread.fire = reread;
	conn_set_owner(c, ready, h);
	conn_want(c, true, false);
	return h;
}

void http1_client_request(struct http1_client *h, const struct http1_request *r)
{
	must(h->state == IDLE);
	buf_printf(&h->out, "%s %s HTTP/1.1\r\nHost: %s\r\n", r->method, r->path, r->host);
	for (size_t i = 0; i < r->n; i++) {
		if (r->headers[i].value.p != NULL)
			buf_printf(&h->out, "%s: %.*s\r\n", r->headers[i].name,
				   STR_FMT(r->headers[i].value));
	}
	if (r->body.p != NULL)
		buf_printf(&h->out, "Content-Length: %zu\r\n", r->body.n);
	buf_cstr(&h->out, "\r\n");
	buf_str(&h->out, r->body);
	http1_response_fini(&h->response);
	h->response.headers = on_headers;
	h->response.body = on_body;
	h->response.owner = h;
	http1_response_init(&h->response, streq(r->method, "HEAD"));
	h->state = BUSY;
	h->sent = false;
	loop_later(h->loop, &h->start);
}

bool http1_client_has_sent(const struct http1_client *h)
{
	return h->sent;
}

struct str http1_client_header(const struct http1_client *h, const char *name)
{
	return http1_header(&h->response, name);
}
