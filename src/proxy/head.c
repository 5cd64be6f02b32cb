#include <string.h>

#include "proxy/head.h"

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
	h->http10 = str_is(version, "HTTP/1.0");
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
	struct str in;
	enum head_result r = fields_find_head(bytes, HEAD_MAX, &in, why);

	if (r != HEAD_OK)
		return r;
	*why = read_line(out, in);
	if (*why != NULL)
		return HEAD_BAD;
	r = fields_read(&out->fields, HTTP_REQUEST, in, why);
	if (r != HEAD_OK)
		return r;
	/* the target has the last word about where to, so it comes after Host */
	*why = read_host(out);
	if (*why == NULL)
		*why = read_target(out);
	if (*why == NULL)
		*why = read_rest(out);
	*used = in.n;
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
