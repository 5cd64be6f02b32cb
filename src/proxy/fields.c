#include <llhttp.h>
#include <strings.h>

#include "base/util.h"
#include "proxy/fields.h"

static bool is_named(const struct field *f, const char *name)
{
	return str_ieq(f->name, str_of(name));
}

struct str fields_get(const struct fields *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (is_named(&f->v[i], name))
			return f->v[i].value;
	return STR_NONE;
}

size_t fields_count(const struct fields *f, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += is_named(&f->v[i], name);
	return n;
}

bool fields_have_token(const struct fields *f, const char *name, struct str token)
{
	for (size_t i = 0; i < f->n; i++) {
		if (!is_named(&f->v[i], name))
			continue;
		struct str rest = f->v[i].value;
		while (rest.p != NULL)
			if (str_ieq(str_trim(str_cut(&rest, ',')), token))
				return true;
	}
	return false;
}

bool fields_hop_by_hop(const struct fields *f, struct str name)
{
	static const char *const known[] = {"connection", "keep-alive",        "te",
					    "trailer",    "transfer-encoding", "upgrade"};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_ieq(name, str_of(known[i])))
			return true;
	if (name.n >= 6 && strncasecmp(name.p, "proxy-", 6) == 0)
		return true;
	return fields_have_token(f, "connection", name);
}

bool fields_framing(const struct fields *f, bool http10, enum body_framing *framing,
		    uint64_t *length, const char **why)
{
	size_t lengths = fields_count(f, "content-length");
	size_t codings = fields_count(f, "transfer-encoding");

	*framing = BODY_NONE;
	*length = 0;
	if (codings > 0) {
		*framing = BODY_CHUNKED;
		if (lengths > 0)
			*why = "it has a Content-Length and a Transfer-Encoding";
		else if (http10)
			*why = "it has a Transfer-Encoding and is of HTTP/1.0";
		else if (codings > 1 ||
			 !str_ieq(fields_get(f, "transfer-encoding"), STR("chunked")))
			*why = "its Transfer-Encoding is not \"chunked\"";
		else
			return true;
		return false;
	}
	if (lengths == 0)
		return true;
	*framing = BODY_LENGTH;
	if (lengths > 1)
		*why = "it has more than one Content-Length";
	else if (!str_u64(fields_get(f, "content-length"), length))
		*why = "its Content-Length is no number";
	else
		return true;
	return false;
}

bool fields_keep_alive(const struct fields *f, bool http10)
{
	if (fields_have_token(f, "connection", STR("close")))
		return false;
	return !http10 || fields_have_token(f, "connection", STR("keep-alive"));
}

/* ---- reading ---- */

enum head_result fields_find_head(struct str bytes, size_t max, struct str *head, const char **why)
{
	const size_t n = MIN(bytes.n, max);
	size_t line = 0; /* where it begins */

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)bytes.p[i];
		if (c == '\r' && (i + 1 == n || bytes.p[i + 1] == '\n'))
			continue;
		if (c == '\n' && i > 0 && bytes.p[i - 1] == '\r') {
			*head = str_sub(bytes.p, i + 1);
			*why = "it begins with an empty line";
			if (i == line + 1)
				return line > 0 ? HEAD_OK : HEAD_BAD;
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
	*why = "its head is too long";
	return n < max ? HEAD_MORE : HEAD_LONG;
}

struct reading {
	llhttp_t parser;
	struct fields *fields;
	bool too_many;
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

enum head_result fields_read(struct fields *f, llhttp_type_t type, struct str head,
			     const char **why)
{
	struct reading r = {.fields = f};

	f->n = 0;
	llhttp_init(&r.parser, type, &settings);
	/* all bytes are there: each part of the head comes in one piece */
	enum llhttp_errno code = llhttp_execute(&r.parser, head.p, head.n);
	if (code == HPE_PAUSED)
		return HEAD_OK;
	*why = r.too_many ? "it has too many fields" : llhttp_get_error_reason(&r.parser);
	if (str_empty(*why))
		*why = "it is no HTTP/1 message";
	return r.too_many ? HEAD_LONG : HEAD_BAD;
}
