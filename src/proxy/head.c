#include <string.h>

#include <llhttp.h>

#include "base/util.h"
#include "proxy/head.h"

/*
 * Where the head ends, counted from its beginning: each line ends in CR LF, the empty one is the last,
 * and no other control character is in it but tabs. 0: it has not come yet.
 */
static enum head_result find_end(struct str bytes, size_t *end, const char **why)
{
	size_t line = 0; /* where it begins */

	for (size_t i = 0; i < bytes.n; i++) {
		unsigned char c = (unsigned char)bytes.p[i];
		if (c == '\r' && (i + 1 == bytes.n || bytes.p[i + 1] == '\n'))
			continue;
		if (c == '\n' && i > 0 && bytes.p[i - 1] == '\r') {
			*end = i + 1;
			if (i == line + 1)
				return HEAD_OK;
			line = i + 1;
			continue;
		}
		*why = c == '\n'   ? "a line ends in LF without CR"
		       : c == '\r' ? "it has a CR without LF"
				   : "it has a control character";
		if (c < 0x20 ? c != '\t' : c == 0x7f)
			return HEAD_BAD;
		*why = "a field is folded over lines";
		if (i == line && line > 0 && (c == ' ' || c == '\t'))
			return HEAD_BAD;
	}
	return HEAD_MORE;
}

/* ---- llhttp ---- */

struct reading {
	llhttp_t parser;
	struct fields *fields;
	bool in_value, too_many;
};

static struct reading *of(llhttp_t *p)
{
	return container_of(p, struct reading, parser);
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
	struct reading *r = of(p);

	if (r->fields->n == FIELDS_MAX) {
		r->too_many = true;
		return HPE_USER;
	}
	r->fields->v[r->fields->n++] = (struct field){str_sub(at, n), str_sub(at + n, 0)};
	return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
	struct reading *r = of(p);

	r->fields->v[r->fields->n - 1].value = str_trim(str_sub(at, n));
	return 0;
}

static int on_headers(llhttp_t *p UNUSED)
{
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers,
};

/* All bytes of the head are there: each of its parts comes in one piece. */
static enum head_result parse(struct head *h, struct str bytes, const char **why)
{
	struct reading r = {.fields = &h->fields};

	h->fields.n = 0;
	llhttp_init(&r.parser, HTTP_REQUEST, &settings);
	enum llhttp_errno code = llhttp_execute(&r.parser, bytes.p, bytes.n);
	if (r.too_many) {
		*why = "it has too many fields";
		return HEAD_LONG;
	}
	if (code != HPE_PAUSED) {
		*why = llhttp_get_error_reason(&r.parser);
		if (str_empty(*why))
			*why = "it is no HTTP/1.1 request";
		return HEAD_BAD;
	}
	h->http10 = r.parser.http_minor == 0;
	return HEAD_OK;
}

/* ---- what it says ---- */

/* METHOD SP target SP version, and nothing else. */
static const char *read_line(struct head *h, struct str bytes)
{
	struct str line = str_cut(&bytes, '\r');
	struct str version = line;

	h->method = str_cut(&version, ' ');
	h->target = str_cut(&version, ' ');
	if (!str_is(version, "HTTP/1.1") && !str_is(version, "HTTP/1.0"))
		return "its first line is not \"METHOD target HTTP/1.1\"";
	for (size_t i = 0; i < h->target.n; i++)
		if (h->target.p[i] <= ' ' || h->target.p[i] > '~')
			return "its target has a character that must be percent-encoded";
	return h->target.n > 0 ? NULL : "it has no target";
}

static const char *read_host(struct head *h)
{
	size_t n = fields_count(&h->fields, "host");

	h->host[0] = '\0';
	h->port = 80;
	if (n > 1)
		return "it has more than one Host";
	if (n == 0)
		return h->http10 ? NULL : "it has no Host";
	if (!host_read_authority(fields_get(&h->fields, "host"), h->host, &h->port))
		return "its Host is no host[:port]";
	if (h->port == 0)
		h->port = 80;
	return NULL;
}

static const char *read_absolute(struct head *h)
{
	const char *colon = memmem(h->target.p, h->target.n, "://", 3);

	if (colon == NULL)
		return "its target is neither a path nor an http URL";
	h->form = HEAD_ABSOLUTE;
	struct str scheme = str_sub(h->target.p, (size_t)(colon - h->target.p));
	struct str rest = str_sub(colon + 3, h->target.n - scheme.n - 3);
	if (!str_ieq(scheme, STR("http"))) {
		h->scheme = str_ieq(scheme, STR("https")) ? HEAD_HTTPS : HEAD_OTHER_SCHEME;
		h->host[0] = '\0';
		h->port = 0;
		return NULL;
	}
	size_t n = 0;
	while (n < rest.n && memchr("/?#", rest.p[n], 3) == NULL)
		n++;
	h->path = str_sub(rest.p + n, rest.n - n);
	if (!host_read_authority(str_sub(rest.p, n), h->host, &h->port))
		return "its target has no valid host[:port]";
	if (h->port == 0)
		h->port = 80;
	return NULL;
}

static const char *read_target(struct head *h)
{
	h->scheme = HEAD_HTTP;
	h->path = str_sub(h->target.p + h->target.n, 0);
	if (str_is(h->method, "CONNECT")) {
		h->form = HEAD_AUTHORITY;
		if (!host_read_authority(h->target, h->host, &h->port) || h->port == 0)
			return "the target of CONNECT is no host:port";
		return NULL;
	}
	if (h->target.p[0] != '/')
		return read_absolute(h);
	h->form = HEAD_ORIGIN;
	h->path = h->target;
	return NULL;
}

static const char *read_rest(struct head *h)
{
	const struct fields *f = &h->fields;
	const char *why = NULL;

	if (!fields_framing(f, h->http10, &h->framing, &h->length, &why))
		return why;
	if (h->form == HEAD_AUTHORITY && (h->framing == BODY_CHUNKED || h->length > 0))
		return "a CONNECT has no body";
	struct str expect = fields_get(f, "expect");
	h->expect_continue = !h->http10 && fields_count(f, "expect") == 1 &&
			     str_ieq(expect, STR("100-continue"));
	h->expect_other = !h->http10 && expect.p != NULL && !h->expect_continue;
	h->keep_alive = fields_keep_alive(f, h->http10);
	h->upgrade = STR_NONE;
	if (!h->http10 && fields_have_token(f, "connection", STR("upgrade")))
		h->upgrade = fields_get(f, "upgrade");
	return NULL;
}

enum head_result head_read(struct head *out, struct str bytes, size_t *used, const char **why)
{
	size_t end = 0;
	struct str in = str_sub(bytes.p, MIN(bytes.n, HEAD_MAX));
	enum head_result r = find_end(in, &end, why);

	if (r == HEAD_MORE && bytes.n >= HEAD_MAX) {
		*why = "it is too long";
		return HEAD_LONG;
	}
	if (r != HEAD_OK)
		return r;
	in.n = end;
	if (end == 2) {
		*why = "it begins with an empty line";
		return HEAD_BAD;
	}
	*why = read_line(out, in);
	if (*why != NULL)
		return HEAD_BAD;
	r = parse(out, in, why);
	if (r != HEAD_OK)
		return r;
	/* the target has the last word about where to, so it comes after Host */
	*why = read_host(out);
	if (*why == NULL)
		*why = read_target(out);
	if (*why == NULL)
		*why = read_rest(out);
	*used = end;
	return *why == NULL ? HEAD_OK : HEAD_BAD;
}

bool head_asks_websocket(const struct head *h)
{
	return h->upgrade.p != NULL && fields_have_token(&h->fields, "upgrade", STR("websocket"));
}

bool head_asks_h2c(const struct head *h)
{
	return fields_have_token(&h->fields, "upgrade", STR("h2c")) ||
	       fields_count(&h->fields, "http2-settings") > 0;
}
