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
