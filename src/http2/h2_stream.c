#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "http2/h2_impl.h"

enum {
	FIELDS_FIRST = 12,   /* fields that a header list is expected to have */
	FIELD_OVERHEAD = 32, /* RFC 9113 6.5.2 */
	RESPONSE_FIELDS_MAX = 40,
	KEPT_BYTES =
		16384 + 64, /* a frame of DATA (RFC 9113 4.2), and what a message has around it */
	KEPT_MIN = 4096,
	KEPT = 8,
};

static const struct h2_stream_ops no_ops;

/* ---- chunks and the queue of them ---- */

/* Those that nobody has. One thread. */
static struct h2_chunk *spare[KEPT];
static size_t n_spare;

struct h2_chunk *h2_chunk_new(size_t n)
{
	bool kept = n >= KEPT_MIN && n <= KEPT_BYTES;
	struct h2_chunk *c = kept && n_spare > 0
				     ? spare[--n_spare]
				     : xmalloc(sizeof *c + (kept ? (size_t)KEPT_BYTES : n));

	c->refs = 1;
	c->kept = kept;
	c->n = n;
	return c;
}

struct h2_chunk *h2_chunk_ref(struct h2_chunk *c)
{
	c->refs++;
	return c;
}

void h2_chunk_unref(struct h2_chunk *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	if (c->kept && n_spare < KEPT)
		spare[n_spare++] = c;
	else
		free(c);
}

void h2_queue_add(struct h2_queue *q, struct h2_chunk *c)
{
	if (q->n == q->cap) {
		struct h2_chunk **ring = xmalloc(2 * q->cap * sizeof *ring);
		for (size_t i = 0; i < q->n; i++)
			ring[i] = q->ring[(q->head + i) % q->cap];
		if (q->ring != q->some)
			free(q->ring);
		q->ring = ring;
		q->head = 0;
		q->cap *= 2;
	}
	q->ring[(q->head + q->n++) % q->cap] = h2_chunk_ref(c);
	q->bytes += c->n;
}

static void queue_drop_first(struct h2_queue *q)
{
	h2_chunk_unref(q->ring[q->head]);
	q->head = (q->head + 1) % q->cap;
	q->n--;
	q->at = 0;
}

void h2_queue_move(struct h2_queue *q, struct buf *out, size_t n)
{
	must(n <= q->bytes);
	q->bytes -= n;
	while (n > 0) {
		struct h2_chunk *c = q->ring[q->head];
		size_t part = MIN(n, c->n - q->at);
		must(buf_add(out, c->bytes + q->at, part));
		q->at += part;
		n -= part;
		if (q->at == c->n)
			queue_drop_first(q);
	}
}

static void queue_clear(struct h2_queue *q)
{
	while (q->n > 0)
		queue_drop_first(q);
	if (q->ring != q->some)
		free(q->ring);
	*q = (struct h2_queue){.ring = q->some, .cap = ARRAY_LEN(q->some)};
}

/* ---- life ---- */

struct h2_stream *h2_stream_new(struct h2_session *s)
{
	struct arena a = ARENA_INIT(s->cfg.arena_max);
	struct h2_stream *st = arena_zalloc(&a, sizeof *st); /* it lives in its own arena */

	st->arena = a;
	st->session = s;
	st->ops = &no_ops;
	st->queue.ring = st->queue.some;
	st->queue.cap = ARRAY_LEN(st->queue.some);
	list_init(&st->wait);
	list_add(&s->streams, &st->link);
	s->n_streams++;
	return st;
}

static void stream_free(struct h2_stream *st)
{
	struct arena a = st->arena;

	h2_forget_request(st);
	arena_fini(&a);
}

void h2_stream_closed(struct h2_stream *st, enum h2_outcome how, uint32_t code)
{
	struct h2_session *s = st->session;

	if (st->state == STREAM_WAITING)
		s->n_waiting--;
	s->n_streams--;
	s->queued -= st->queue.bytes;
	queue_clear(&st->queue);
	list_del(&st->link);
	list_del(&st->wait);
	st->state = STREAM_CLOSED;
	st->session = NULL;
	if (st->released)
		stream_free(st);
	else if (st->ops->closed != NULL)
		st->ops->closed(st, how, code);
}

void h2_release(struct h2_stream *st)
{
	if (st == NULL)
		return;
	must(!st->released);
	st->released = true;
	st->ops = &no_ops;
	if (st->state == STREAM_CLOSED)
		stream_free(st);
	else
		h2_reset(st, H2_CANCEL);
}

void h2_reset(struct h2_stream *st, uint32_t code)
{
	if (st->state == STREAM_CLOSED || st->resetting)
		return;
	st->resetting = true;
	if (st->state == STREAM_WAITING) {
		h2_stream_closed(st, H2_END_CANCELLED, code);
		return;
	}
	struct h2_session *s = st->session;
	s->queued -= st->queue.bytes;
	queue_clear(&st->queue);
	nghttp2_submit_rst_stream(s->ng, 0, st->id, code);
	h2_wake(s);
}

/* ---- what arrived ---- */

static void fields_add(struct h2_fields *f, struct arena *a, struct h2_field field)
{
	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : FIELDS_FIRST;
		struct h2_field *v = arena_zalloc(a, cap * sizeof *v);
		if (f->n > 0)
			memcpy(v, f->v, f->n * sizeof *v);
		f->v = v;
		f->cap = cap;
	}
	f->v[f->n++] = field;
}

bool h2_stream_field(struct h2_stream *st, struct str name, struct str value)
{
	st->header_bytes += (uint32_t)(name.n + value.n) + FIELD_OVERHEAD;
	if (st->header_bytes > st->session->cfg.header_list_max)
		st->too_large = true;
	if (st->too_large)
		return false;
	char *p = arena_zalloc(&st->arena, name.n + value.n + 2);
	memcpy(p, name.p, name.n);
	memcpy(p + name.n + 1, value.p, value.n);
	struct h2_field f = {{p, name.n}, {p + name.n + 1, value.n}};
	fields_add(st->got_headers ? &st->trailers : &st->headers, &st->arena, f);
	return true;
}

static struct str field_find(const struct h2_fields *f, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < f->n; i++) {
		if (f->v[i].name.n == n && memcmp(f->v[i].name.p, name, n) == 0)
			return f->v[i].value;
	}
	return STR_NONE;
}

struct str h2_header(const struct h2_stream *st, const char *name)
{
	return field_find(&st->headers, name);
}

struct str h2_trailer(const struct h2_stream *st, const char *name)
{
	return field_find(&st->trailers, name);
}

void h2_consume(struct h2_stream *st, size_t n)
{
	if (st->state != STREAM_OPEN || n == 0)
		return;
	nghttp2_session_consume_stream(st->session->ng, st->id, n);
	if (nghttp2_session_want_write(st->session->ng))
		h2_wake(st->session);
}

/* ---- what is sent ---- */

void h2_accept(struct h2_stream *st, const struct h2_stream_ops *ops, void *user)
{
	must(st->released);
	st->released = false;
	st->ops = ops;
	st->user = user;
}

static void submit_trailers(struct h2_stream *st)
{
	nghttp2_nv nva[RESPONSE_FIELDS_MAX];

	must(st->n_end_fields <= ARRAY_LEN(nva));
	st->trailing = true;
	for (size_t i = 0; i < st->n_end_fields; i++)
		nva[i] = h2_nv(&st->end_fields[i]);
	nghttp2_submit_trailer(st->session->ng, st->id, nva, st->n_end_fields);
}

nghttp2_ssize h2_read_body(nghttp2_session *ng UNUSED, int32_t id UNUSED, uint8_t *p UNUSED,
			   size_t room, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct h2_session *s = arg;
	struct h2_stream *st = source->ptr;

	if (s->dying)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	size_t n = MIN(room, st->queue.bytes);
	if (n == 0 && (!st->ending || st->trailing)) {
		st->body = BODY_IDLE;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n > 0)
		*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (n == st->queue.bytes && st->ending) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (st->end_fields != NULL) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			submit_trailers(st);
		}
	}
	return (nghttp2_ssize)n;
}

/* Has nghttp2 read the queue. A waiting request's is read when it starts. */
static void read_queue(struct h2_stream *st)
{
	nghttp2_session *ng = st->session->ng;
	nghttp2_data_provider2 from = {.source.ptr = st, .read_callback = h2_read_body};

	if (st->state == STREAM_WAITING)
		return;
	if (st->body == BODY_NONE)
		nghttp2_submit_data2(ng, NGHTTP2_FLAG_END_STREAM, st->id, &from);
	else if (st->body == BODY_IDLE)
		nghttp2_session_resume_data(ng, st->id);
	st->body = BODY_READ;
	h2_wake(st->session);
}

bool h2_has_room(const struct h2_stream *st, size_t n)
{
	const struct h2_session *s = st->session;

	if (st->state == STREAM_CLOSED || st->resetting)
		return true;
	return s->queued < s->cfg.conn_queue_max &&
	       (st->queue.bytes == 0 || st->queue.bytes + n <= s->cfg.stream_queue_max);
}

bool h2_send(struct h2_stream *st, struct h2_chunk *c)
{
	struct h2_session *s = st->session;

	if (st->state == STREAM_CLOSED || st->resetting)
		return true;
	must(!st->ending);
	if (!h2_has_room(st, c->n)) {
		st->blocked = true;
		if (list_empty(&st->wait))
			list_add(&s->blocked, &st->wait);
		return false;
	}
	if (c->n == 0)
		return true;
	h2_queue_add(&st->queue, c);
	s->queued += c->n;
	read_queue(st);
	return true;
}

void h2_end(struct h2_stream *st)
{
	if (st->state == STREAM_CLOSED || st->resetting || st->ending)
		return;
	st->ending = true;
	read_queue(st);
}

void h2_end_trailers(struct h2_stream *st, const struct h2_field *fields, size_t n)
{
	if (st->state == STREAM_CLOSED || st->resetting || st->ending)
		return;
	st->ending = true;
	st->end_fields = fields;
	st->n_end_fields = n;
	/* with nothing queued the trailers need not wait for the peer's window */
	if (st->queue.bytes > 0) {
		read_queue(st);
		return;
	}
	submit_trailers(st);
	h2_wake(st->session);
}

static void respond(struct h2_stream *st, uint8_t flags, int status, const struct h2_field *fields,
		    size_t n)
{
	nghttp2_nv nva[RESPONSE_FIELDS_MAX + 1];
	struct h2_field first = {STR(":status"), STR("200")};

	if (st->state == STREAM_CLOSED || st->resetting)
		return;
	must(n <= RESPONSE_FIELDS_MAX);
	if (status != 200)
		first.value = str_of(arena_printf(&st->arena, "%03d", status));
	nva[0] = h2_nv(&first);
	for (size_t i = 0; i < n; i++)
		nva[i + 1] = h2_nv(&fields[i]);
	nghttp2_submit_headers(st->session->ng, flags, st->id, NULL, nva, n + 1, NULL);
	h2_wake(st->session);
}

void h2_respond(struct h2_stream *st, int status, const struct h2_field *fields, size_t n)
{
	respond(st, NGHTTP2_FLAG_NONE, status, fields, n);
}

void h2_respond_end(struct h2_stream *st, int status, const struct h2_field *fields, size_t n)
{
	st->ending = true;
	respond(st, NGHTTP2_FLAG_END_STREAM, status, fields, n);
}

static bool may_send(const struct h2_stream *st)
{
	const struct h2_session *s = st->session;

	return st->queue.bytes <= s->cfg.stream_queue_max / 2 &&
	       s->queued <= s->cfg.conn_queue_max / 2;
}

void h2_unblock(struct h2_session *s)
{
	struct list ready;

	list_init(&ready);
	list_each(st, &s->blocked, struct h2_stream, wait) {
		if (!may_send(st))
			continue;
		list_del(&st->wait);
		list_add(&ready, &st->wait);
	}
	struct h2_stream *st;
	while ((st = list_first(&ready, struct h2_stream, wait)) != NULL) {
		list_del(&st->wait);
		st->blocked = false;
		if (st->ops->writable != NULL)
			st->ops->writable(st);
	}
}

/* ---- small questions ---- */

bool h2_is_closed(const struct h2_stream *st)
{
	return st->state == STREAM_CLOSED;
}

size_t h2_queued(const struct h2_stream *st)
{
	return st->queue.bytes;
}

void *h2_user(const struct h2_stream *st)
{
	return st->user;
}

struct arena *h2_arena(struct h2_stream *st)
{
	return &st->arena;
}

int h2_status(const struct h2_stream *st)
{
	return st->status;
}
