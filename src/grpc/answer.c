/*
 * The side of a call that its handler sees: what the client said with it, and the answer.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "grpc/server_impl.h"

enum {
	METADATA_MAX = 16, /* fields of ours, of each kind */
};

static const struct h2_field content_type = {STR("content-type"), STR("application/grpc")};
static const struct h2_field accept_encoding = {STR("grpc-accept-encoding"), STR("identity")};
static const struct h2_field status_ok = {STR("grpc-status"), STR("0")};

/* ---- what goes out ---- */

void grpc_call_headers(struct grpc_call *call)
{
	struct h2_field f[1 + METADATA_MAX] = {content_type};

	call->headers_sent = true;
	if (call->n_headers > 0)
		memcpy(f + 1, call->headers, call->n_headers * sizeof *f);
	h2_respond(call->stream, 200, f, 1 + call->n_headers);
}

static struct h2_field *arena_fields(struct grpc_call *call, size_t n)
{
	return arena_zalloc(h2_arena(call->stream), n * sizeof(struct h2_field));
}

void grpc_call_status(struct grpc_call *call, enum grpc_status code, struct str text)
{
	struct arena *a = h2_arena(call->stream);
	size_t n = 0;

	if (code == GRPC_OK && call->headers_sent && call->n_trailers == 0) {
		h2_end_trailers(call->stream, &status_ok, 1);
		return;
	}
	struct h2_field *f = arena_fields(call, 4 + call->n_headers + call->n_trailers);
	if (!call->headers_sent) {
		f[n++] = content_type;
		if (code == GRPC_UNIMPLEMENTED)
			f[n++] = accept_encoding;
		for (size_t i = 0; i < call->n_headers; i++)
			f[n++] = call->headers[i];
	}
	f[n++] = (struct h2_field){STR("grpc-status"), str_of(arena_printf(a, "%d", (int)code))};
	if (text.n > 0)
		f[n++] = (struct h2_field){STR("grpc-message"), grpc_message_encode(text, a)};
	for (size_t i = 0; i < call->n_trailers; i++)
		f[n++] = call->trailers[i];
	if (call->headers_sent)
		h2_end_trailers(call->stream, f, n);
	else
		h2_respond_end(call->stream, 200, f, n);
	call->headers_sent = true;
}

/* ---- for handlers ---- */

void grpc_set_ops(struct grpc_call *call, const struct grpc_call_ops *ops, void *user)
{
	call->ops = ops;
	call->user = user;
}

void *grpc_user(const struct grpc_call *call)
{
	return call->user;
}

void *grpc_service(const struct grpc_call *call)
{
	return call->entry.service;
}

const struct grpc_method *grpc_call_method(const struct grpc_call *call)
{
	return call->entry.method;
}

struct arena *grpc_arena(struct grpc_call *call)
{
	return h2_arena(call->stream);
}

struct str grpc_metadata(const struct grpc_call *call, const char *name)
{
	return h2_header(call->stream, name);
}

bool grpc_cancelled(const struct grpc_call *call)
{
	return call->gone;
}

int64_t grpc_time_left(const struct grpc_call *call)
{
	if (call->deadline_at == INT64_MAX)
		return INT64_MAX;
	int64_t left = call->deadline_at - mono_ms();

	return MAX(left, (int64_t)0);
}

static void add_field(struct grpc_call *call, struct h2_field **v, size_t *n, struct str name,
		      struct str value)
{
	struct arena *a = h2_arena(call->stream);

	must(*n < METADATA_MAX);
	if (*v == NULL)
		*v = arena_fields(call, METADATA_MAX);
	(*v)[(*n)++] =
		(struct h2_field){{arena_dup(a, name), name.n}, {arena_dup(a, value), value.n}};
}

void grpc_add_header(struct grpc_call *call, struct str name, struct str value)
{
	must(!call->headers_sent || call->gone);
	if (!call->gone)
		add_field(call, &call->headers, &call->n_headers, name, value);
}

void grpc_add_trailer(struct grpc_call *call, struct str name, struct str value)
{
	if (!call->gone)
		add_field(call, &call->trailers, &call->n_trailers, name, value);
}

void grpc_reply(struct grpc_call *call, const void *message)
{
	must(!grpc_call_is_stream(call));
	if (!call->gone) {
		struct h2_chunk *c = grpc_frame(message);
		if (h2_has_room(call->stream, c->n)) {
			if (!call->headers_sent)
				grpc_call_headers(call);
			h2_send(call->stream, c);
			grpc_call_status(call, GRPC_OK, STR_NONE);
		} else {
			grpc_call_status(call, GRPC_RESOURCE_EXHAUSTED,
					 STR("the client does not read its answers"));
		}
		h2_chunk_unref(c);
	}
	grpc_call_answered(call);
}

void grpc_finish(struct grpc_call *call)
{
	must(grpc_call_is_stream(call));
	if (!call->gone) {
		if (!call->headers_sent)
			grpc_call_headers(call);
		grpc_call_status(call, GRPC_OK, STR_NONE);
	}
	grpc_call_answered(call);
}

void grpc_fail(struct grpc_call *call, enum grpc_status code, const char *fmt, ...)
{
	char text[2 * ERR_TEXT_MAX];
	va_list ap;

	must(code != GRPC_OK);
	if (!call->gone) {
		va_start(ap, fmt);
		vsnprintf(text, sizeof text, fmt, ap);
		va_end(ap);
		grpc_call_status(call, code, str_of(text));
	}
	grpc_call_answered(call);
}

bool grpc_send_packed(struct grpc_call *call, struct h2_chunk *packed)
{
	must(grpc_call_is_stream(call) && !call->answered);
	if (call->gone)
		return true;
	if (!call->headers_sent)
		grpc_call_headers(call);
	return h2_send(call->stream, packed);
}

bool grpc_send(struct grpc_call *call, const void *message)
{
	if (call->gone)
		return true;
	struct h2_chunk *c = grpc_frame(message);
	bool sent = grpc_send_packed(call, c);
	h2_chunk_unref(c);
	return sent;
}

struct h2_chunk *grpc_pack(const void *message)
{
	return grpc_frame(message);
}
