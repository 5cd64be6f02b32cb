#include <ctype.h>
#include <string.h>

#include "base/util.h"
#include "proxy/target.h"

enum {
	/* stands for an encoded slash while segments are told apart; it is no byte of any path */
	SLASH = 0x01,
};

/* The byte at the beginning of *s, percent-decoded, which is taken off; -1: malformed. */
static int next_byte(struct str *s)
{
	bool encoded = s->p[0] == '%';
	int c = encoded ? str_percent(*s) : (unsigned char)s->p[0];
	size_t n = encoded ? 3 : 1;

	if (c >= 0)
		*s = str_sub(s->p + n, s->n - n);
	return c;
}

/* Decodes the path into out, which has room for it. */
static const char *decode_path(struct str raw, char *out, struct str *decoded, bool *encoded_slash)
{
	size_t n = 0;

	while (raw.n > 0) {
		bool encoded = raw.p[0] == '%';
		int c = next_byte(&raw);
		if (c < 0)
			return "its path has an invalid percent-encoding";
		if (c < 0x20 || c == 0x7f)
			return "its path has an encoded control character";
		if (encoded && c == '/') {
			*encoded_slash = true;
			c = SLASH;
		}
		out[n++] = (char)c;
	}
	*decoded = str_sub(out, n);
	return NULL;
}

/* What may stand for itself in a segment (RFC 3986 pchar). */
static bool is_plain(unsigned char c)
{
	return isalnum(c) || (c < 0x80 && memchr("-._~!$&'()*+,;=:@", c, 17) != NULL);
}

/* A segment as it is written. */
static size_t put_segment(char *out, struct str s)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (is_plain(c)) {
			out[n++] = (char)c;
			continue;
		}
		if (c == SLASH)
			c = '/';
		out[n++] = '%';
		out[n++] = digits[c >> 4];
		out[n++] = digits[c & 15];
	}
	return n;
}

/* Whether a server that takes an encoded slash, or a backslash, for a slash would find a dot segment. */
static bool hides_dots(struct str segment)
{
	for (size_t from = 0, i = 0; i <= segment.n; i++) {
		if (i < segment.n && segment.p[i] != SLASH && segment.p[i] != '\\')
			continue;
		struct str part = str_sub(segment.p + from, i - from);
		if (str_is(part, ".") || str_is(part, ".."))
			return true;
		from = i + 1;
	}
	return false;
}

/* Puts the segments of a decoded path one behind the other; out has room for three times its length. */
static const char *join(struct str decoded, char *out, size_t *out_n)
{
	struct str rest = str_sub(decoded.p + 1, decoded.n - 1);
	size_t n = 0;

	while (rest.p != NULL) {
		struct str whole = str_cut(&rest, '/');
		/* first of all, so that "..;" is ".." */
		struct str segment = str_cut(&whole, ';');
		bool last = rest.p == NULL;
		if (str_is(segment, "..")) {
			if (n == 0)
				return "its path climbs above the root";
			while (out[--n] != '/')
				;
		} else if (!str_is(segment, ".") && segment.n > 0) {
			if (hides_dots(segment))
				return "its path hides a dot segment";
			out[n++] = '/';
			n += put_segment(out + n, segment);
			continue;
		}
		if (last)
			out[n++] = '/';
	}
	*out_n = n;
	return NULL;
}

static const char *read_path(struct target *t, struct str raw, struct arena *a)
{
	if (raw.n == 0)
		raw = STR("/");
	if (raw.p[0] != '/')
		return "its path does not begin with a slash";
	if (raw.n > TARGET_PATH_MAX)
		return "its path is too long";
	char *decoded = arena_try(a, raw.n), *out = arena_try(a, 3 * raw.n + 1);
	if (decoded == NULL || out == NULL)
		return "it is too long";
	struct str path;
	const char *why = decode_path(raw, decoded, &path, &t->encoded_slash);
	if (why == NULL)
		why = join(path, out, &t->path.n);
	t->path.p = out;
	return why;
}

static const char *read_component(struct str raw, struct str *out, struct arena *a)
{
	char *p = arena_try(a, raw.n);
	size_t n = 0;

	if (p == NULL)
		return "it is too long";
	while (raw.n > 0) {
		int c = raw.p[0] == '+' ? ' ' : 0;
		if (c == 0)
			c = next_byte(&raw);
		else
			raw = str_sub(raw.p + 1, raw.n - 1);
		if (c < 0)
			return "its query has an invalid percent-encoding";
		p[n++] = (char)c;
	}
	*out = str_sub(p, n);
	return str_is_utf8(*out) ? NULL : "its query is not UTF-8";
}

static const char *read_query(struct target *t, struct str rest, struct arena *a)
{
	size_t n = 1;

	for (size_t i = 0; i < rest.n; i++)
		n += rest.p[i] == '&';
	if (n > TARGET_PARAMS_MAX)
		return "its query has too many parameters";
	struct policy_param *params = arena_try(a, n * sizeof *params);
	if (params == NULL)
		return "it is too long";
	t->params = params;
	while (rest.p != NULL) {
		struct str value = str_cut(&rest, '&');
		if (value.n == 0)
			continue;
		struct str key = str_cut(&value, '=');
		struct policy_param *param = &params[t->params_n++];
		const char *why = read_component(key, &param->key, a);
		if (why == NULL)
			why = read_component(value, &param->value, a);
		if (why != NULL)
			return why;
	}
	return NULL;
}

const char *target_read(struct target *out, struct str raw, struct arena *a)
{
	*out = (struct target){0};
	for (size_t i = 0; i < raw.n; i++)
		if (raw.p[i] <= ' ' || raw.p[i] > '~' || raw.p[i] == '#')
			return raw.p[i] == '#' ? "it has a fragment"
					       : "it has a character that must be percent-encoded";
	struct str path = str_cut(&raw, '?');
	const char *why = read_path(out, path, a);
	if (why == NULL && raw.p != NULL)
		why = read_query(out, raw, a);
	if (why != NULL)
		return why;
	out->text = out->path;
	if (raw.p == NULL)
		return NULL;
	char *text = arena_try(a, out->path.n + 1 + raw.n);
	if (text == NULL)
		return "it is too long";
	memcpy(text, out->path.p, out->path.n);
	text[out->path.n] = '?';
	memcpy(text + out->path.n + 1, raw.p, raw.n);
	out->text = str_sub(text, out->path.n + 1 + raw.n);
	out->query = str_sub(text + out->path.n + 1, raw.n);
	return NULL;
}
