#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "http1/response.h"

static struct http1_response *of(llhttp_t *p)
{
	return container_of(p, struct http1_response, parser);
}

static int refuse(struct http1_response *r, const char *why)
{
	r->reason = why;
	return HPE_USER;
}

/* Adds bytes to the name or value at hand; llhttp may bring it in pieces. */
static int add(struct http1_response *r, const char *at, size_t n, size_t *field_n)
{
	if (!buf_add(&r->text, at, n))
		return refuse(r, "its header is too long");
	*field_n += n;
	return 0;
}

static int on_begin(llhttp_t *p)
{
	struct http1_response *r = of(p);

	buf_clear(&r->text);
	r->n = 0;
	r->in_value = true;
	return 0;
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
	struct http1_response *r = of(p);

	if (r->in_value) {
		if (r->n == HTTP1_FIELDS_MAX)
			return refuse(r, "its header has too many fields");
		r->fields[r->n++] = (struct http1_field){.name = r->text.n};
		r->in_value = false;
	}
	return add(r, at, n, &r->fields[r->n - 1].name_n);
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
	struct http1_response *r = of(p);
	struct http1_field *f = &r->fields[r->n - 1];

	if (!r->in_value) {
		f->value = r->text.n;
		r->in_value = true;
	}
	return add(r, at, n, &f->value_n);
}

/* A field without a value brings no call of on_value. */
static int on_value_complete(llhttp_t *p)
{
	of(p)->in_value = true;
	return 0;
}

static int on_headers(llhttp_t *p)
{
	struct http1_response *r = of(p);

	r->status = p->status_code;
	r->interim = r->status < 200;
	if (r->status == 101)
		return refuse(r, "it switches protocols unasked");
	if (!r->interim && !r->headers(r->owner)) {
		r->stopped = true;
		return -1;
	}
	return r->interim;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
	struct http1_response *r = of(p);

	if (r->body(r->owner, str_sub(at, n)))
		return 0;
	r->stopped = true;
	return HPE_USER;
}

static int on_complete(llhttp_t *p)
{
	struct http1_response *r = of(p);

	if (r->interim)
		return 0;
	r->done = true;
	r->keep_alive = llhttp_should_keep_alive(p);
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_message_begin = on_begin,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

/* How llhttp is told that a response has no body although its header speaks of one. */
static int on_headers_of_head(llhttp_t *p)
{
	int r = on_headers(p);

	return r ? r : 1;
}

static const llhttp_settings_t head_settings = {
	.on_message_begin = on_begin,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_of_head,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

void http1_response_init(struct http1_response *r, bool head)
{
	r->text = BUF_INIT(HTTP1_HEADERS_MAX);
	r->status = 0;
	r->n = 0;
	r->in_value = r->interim = r->done = r->stopped = r->keep_alive = false;
	r->reason = NULL;
	llhttp_init(&r->parser, HTTP_RESPONSE, head ? &head_settings : &settings);
}

void http1_response_fini(struct http1_response *r)
{
	buf_fini(&r->text);
}

static enum http1_result bad(const struct http1_response *r, struct err *e)
{
	const char *why = llhttp_get_error_reason(&r->parser);

	err_set(e, EPROTO, "not an HTTP/1.1 response: %s",
		r->reason ? r->reason
		: why     ? why
			  : "malformed");
	return HTTP1_BAD;
}

enum http1_result http1_response_feed(struct http1_response *r, struct str bytes, size_t *used,
				      struct err *e)
{
	enum llhttp_errno code = llhttp_execute(&r->parser, bytes.p, bytes.n);

	*used = bytes.n;
	if (r->stopped)
		return HTTP1_STOPPED;
	if (code == HPE_OK)
		return HTTP1_MORE;
	if (code != HPE_PAUSED || !r->done)
		return bad(r, e);
	*used = (size_t)(llhttp_get_error_pos(&r->parser) - bytes.p);
	return HTTP1_DONE;
}

enum http1_result http1_response_eof(struct http1_response *r, struct err *e)
{
	llhttp_finish(&r->parser);
	if (r->stopped)
		return HTTP1_STOPPED;
	if (r->done) {
		r->keep_alive = false;
		return HTTP1_DONE;
	}
	err_set(e, ECONNRESET, "the peer closed the connection %s",
		r->status ? "in the middle of its answer" : "without an answer");
	return HTTP1_BAD;
}

struct str http1_header(const struct http1_response *r, const char *name)
{
	struct str text = buf_view(&r->text);

	for (size_t i = 0; i < r->n; i++) {
		const struct http1_field *f = &r->fields[i];
		if (str_ieq(str_sub(text.p + f->name, f->name_n), str_of(name)))
			return str_sub(text.p + f->value, f->value_n);
	}
	return STR_NONE;
}
