#include <ctype.h>

#include "proxy/reply.h"

/* version SP status SP [phrase] */
static const char *read_line(struct reply *r, struct str head)
{
	struct str line = str_cut(&head, '\r');
	struct str version = str_cut(&line, ' ');
	uint64_t n;

	r->http10 = str_is(version, "HTTP/1.0");
	if (!r->http10 && !str_is(version, "HTTP/1.1"))
		return "its first line is not \"HTTP/1.1 status\"";
	struct str status = str_cut(&line, ' ');
	if (status.n != 3 || !str_u64(status, &n) || n < 100 || n > 599)
		return "its status is none";
	r->status = (unsigned)n;
	r->phrase = line.p ? line : STR("");
	r->interim = n < 200 && n != 101;
	return NULL;
}

/* RFC 9112 6.3 */
static const char *read_framing(struct reply *r, bool to_head)
{
	const char *why = NULL;

	if (!fields_framing(&r->fields, r->http10, &r->framing, &r->length, &why))
		return why;
	r->keep_alive = fields_keep_alive(&r->fields, r->http10);
	if (r->status < 200 || r->status == 204) {
		if (r->framing == BODY_CHUNKED || r->length > 0)
			return "its status allows no body, and it announces one";
		r->framing = BODY_NONE;
	} else if (to_head || r->status == 304) {
		r->framing = BODY_NONE;
		r->length = 0;
	} else if (r->framing == BODY_NONE) {
		r->framing = BODY_UNTIL_CLOSE;
		r->keep_alive = false;
	}
	return NULL;
}

enum head_result reply_read(struct reply *out, struct str bytes, bool to_head, size_t *used,
			    const char **why)
{
	struct str in;
	enum head_result r = fields_find_head(bytes, REPLY_MAX, &in, why);

	if (r != HEAD_OK)
		return r;
	*why = read_line(out, in);
	if (*why != NULL)
		return HEAD_BAD;
	r = fields_read(&out->fields, HTTP_RESPONSE, in, why);
	if (r != HEAD_OK)
		return r;
	*why = read_framing(out, to_head);
	*used = in.n;
	return *why == NULL ? HEAD_OK : HEAD_BAD;
}
