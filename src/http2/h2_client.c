#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "http2/h2_impl.h"

/* Streams that may be open at once, by our limit and by the peer's. */
static size_t streams_allowed(const struct h2_session *s)
{
	uint32_t theirs =
		nghttp2_session_get_remote_settings(s->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	return MIN(s->cfg.max_streams, theirs);
}

static bool start(struct h2_session *s, struct h2_stream *st)
{
	nghttp2_data_provider2 from = {.source.ptr = st, .read_callback = h2_read_body};
	bool body = !st->ending || st->queue.bytes > 0;
	int32_t id =
		nghttp2_submit_request2(s->ng, NULL, st->nva, st->n_nva, body ? &from : NULL, st);

	if (id < 0)
		return false;
	list_del(&st->wait);
	if (st->blocked)
		list_add(&s->blocked, &st->wait);
	s->n_waiting--;
	st->id = id;
	st->state = STREAM_OPEN;
	st->body = body ? BODY_READ : BODY_NONE;
	h2_wake(s);
	return true;
}

void h2_start_waiting(struct h2_session *s)
{
	struct h2_stream *st;

	if (s->server || s->dying)
		return;
	while ((st = list_first(&s->waiting, struct h2_stream, wait)) != NULL &&
	       s->n_streams - s->n_waiting < streams_allowed(s)) {
		if (start(s, st))
			continue;
		/* the numbers of this connection are used up */
		s->refused = true;
		h2_refuse_waiting(s);
	}
}

void h2_refuse_waiting(struct h2_session *s)
{
	struct h2_stream *st;

	while ((st = list_first(&s->waiting, struct h2_stream, wait)) != NULL)
		h2_stream_closed(st, H2_END_REFUSED, H2_REFUSED_STREAM);
}

static struct str copy(struct arena *a, struct str s)
{
	return (struct str){arena_dup(a, s), s.n};
}

static void set_nva(struct h2_stream *st, const struct h2_request *r)
{
	const struct h2_field pseudo[] = {
		{STR(":method"), r->method},
		{STR(":scheme"), r->scheme},
		{STR(":authority"), r->authority},
		{STR(":path"), r->path},
	};

	st->nva = arena_zalloc(&st->arena, (ARRAY_LEN(pseudo) + r->n) * sizeof *st->nva);
	for (size_t i = 0; i < ARRAY_LEN(pseudo) + r->n; i++) {
		struct h2_field f =
			i < ARRAY_LEN(pseudo) ? pseudo[i] : r->fields[i - ARRAY_LEN(pseudo)];
		f.name = copy(&st->arena, f.name);
		f.value = copy(&st->arena, f.value);
		st->nva[st->n_nva++] = h2_nv(&f);
	}
}

void h2_forget_request(struct h2_stream *st)
{
	/* a token may be among the values, and the memory goes to the next request */
	for (size_t i = 0; i < st->n_nva; i++)
		explicit_bzero(st->nva[i].value, st->nva[i].valuelen);
	st->n_nva = 0;
}

struct h2_stream *h2_request(struct h2_session *s, const struct h2_request *r,
			     const struct h2_stream_ops *ops, void *user, struct err *e)
{
	must(!s->server);
	if (s->refused || s->dying) {
		err_set(e, ESHUTDOWN, "the connection takes no more requests");
		return NULL;
	}
	if (s->n_waiting >= s->cfg.max_waiting) {
		err_set(e, EAGAIN, "%zu requests wait already", s->n_waiting);
		return NULL;
	}
	struct h2_stream *st = h2_stream_new(s);
	set_nva(st, r);
	s->n_waiting++;
	list_add(&s->waiting, &st->wait);
	if (r->body.n > 0) {
		struct h2_chunk *c = h2_chunk_new(r->body.n);
		memcpy(c->bytes, r->body.p, r->body.n);
		h2_queue_add(&st->queue, c);
		s->queued += c->n;
		h2_chunk_unref(c);
	}
	st->ending = !r->more;
	st->ops = ops;
	st->user = user;
	h2_start_waiting(s);
	return st;
}
