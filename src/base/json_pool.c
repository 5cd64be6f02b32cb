#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_pool.h"
#include "base/util.h"

enum {
	BLOCK = 64 << 10,
	NUMBER_MAX = 64, /* characters of a number that is more than a few digits */
};

struct json_block {
	struct json_block *next;
	size_t cap;
	_Alignas(max_align_t) char bytes[];
};

struct reader {
	struct json_pool *pool;
	const char *at, *end;
	unsigned depth;
	const char *why;
};

/* ---- memory ---- */

/* Releases blocks, but for one of the usual size when keep. */
static void drop_blocks(struct json_pool *p, bool keep)
{
	struct json_block *kept = NULL;

	while (p->blocks != NULL) {
		struct json_block *b = p->blocks;
		p->blocks = b->next;
		if (keep && kept == NULL && b->cap <= JSON_POOL_KEEP)
			kept = b;
		else
			free(b);
	}
	*p = JSON_POOL_INIT;
	if (kept == NULL)
		return;
	kept->next = NULL;
	p->blocks = kept;
	p->high = p->total = kept->cap;
}

void json_pool_fini(struct json_pool *p)
{
	drop_blocks(p, false);
}

/* Room for n bytes more in the newest block. */
static bool reserve(struct json_pool *p, size_t n)
{
	if (p->high - p->low >= n)
		return true;
	size_t cap = MAX(n, p->blocks ? (size_t)JSON_POOL_KEEP : (size_t)BLOCK);
	if (cap > JSON_POOL_MAX - p->total)
		return false;
	struct json_block *b = xmalloc(sizeof *b + cap);
	b->next = p->blocks;
	b->cap = cap;
	p->blocks = b;
	p->low = 0;
	p->high = cap;
	p->total += cap;
	return true;
}

static cJSON *new_node(struct reader *r, int type)
{
	struct json_pool *p = r->pool;

	/* aligned since nothing else grows from below, and a block begins aligned */
	_Static_assert(sizeof(cJSON) % _Alignof(cJSON) == 0, "nodes lie side by side");
	if (!reserve(p, sizeof(cJSON))) {
		r->why = "too large";
		return NULL;
	}
	cJSON *j = memset(p->blocks->bytes + p->low, 0, sizeof *j);
	p->low += sizeof *j;
	j->type = type;
	return j;
}

/* ---- the text ---- */

static void *refuse(struct reader *r, const char *why)
{
	if (r->why == NULL)
		r->why = why;
	return NULL;
}

static void skip_blanks(struct reader *r)
{
	while (r->at < r->end &&
	       (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r'))
		r->at++;
}

static bool next_is(struct reader *r, char c)
{
	skip_blanks(r);
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

static int hex4(const char *s)
{
	int n = 0;

	for (int i = 0; i < 4; i++) {
		int c = (unsigned char)s[i], low = c | 0x20;
		int digit = c >= '0' && c <= '9'       ? c - '0'
			    : low >= 'a' && low <= 'f' ? low - 'a' + 10
						       : -1;
		if (digit < 0)
			return -1;
		n = n * 16 + digit;
	}
	return n;
}

static char *put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*to++ = (char)(0xe0 | c >> 12);
		} else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}

/* \uXXXX, or two of them that are a surrogate pair; s is behind the u. Returns where it ends, or
 * NULL. Six or twelve characters become four bytes at the most. */
static const char *unescape_u(const char *s, const char *end, char **to)
{
	int c = end - s >= 4 ? hex4(s) : -1;

	if (c < 0 || (c >= 0xdc00 && c < 0xe000))
		return NULL;
	s += 4;
	if (c >= 0xd800 && c < 0xdc00) {
		int low = end - s >= 6 && s[0] == '\\' && s[1] == 'u' ? hex4(s + 2) : -1;
		if (low < 0xdc00 || low >= 0xe000)
			return NULL;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		s += 6;
	}
	*to = put_utf8(*to, (uint32_t)c);
	return s;
}

/* The text between s and end, the closing quote, written to `to`. False when it is malformed. */
static bool unescape(const char *s, const char *end, char *to)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";

	while (s < end) {
		if (*s != '\\') {
			*to++ = *s++;
			continue;
		}
		s++; /* what is escaped is there: the quote that ends the text is not it */
		if (*s == 'u') {
			s = unescape_u(s + 1, end, &to);
			if (s == NULL)
				return false;
			continue;
		}
		const char *k = memchr(from, *s++, sizeof from - 1);
		if (k == NULL)
			return false;
		*to++ = into[k - from];
	}
	*to = '\0';
	return true;
}

/* The text behind an opening quote; r->at ends behind the closing one. */
static char *read_text(struct reader *r)
{
	const char *s = r->at, *p = s;
	bool escapes = false;

	for (; p < r->end && *p != '"'; p++) {
		if ((unsigned char)*p < 0x20)
			return refuse(r, "a control character in a text");
		if (*p == '\\' && p + 1 < r->end) {
			escapes = true;
			p++; /* the next is no end, whatever it is */
		}
	}
	if (p == r->end)
		return refuse(r, "a text without an end");
	size_t n = (size_t)(p - s);
	if (!reserve(r->pool, n + 1))
		return refuse(r, "too large");
	r->pool->high -= n + 1;
	char *text = r->pool->blocks->bytes + r->pool->high;
	r->at = p + 1;
	if (escapes)
		return unescape(s, p, text) ? text : refuse(r, "an unknown escape in a text");
	memcpy(text, s, n);
	text[n] = '\0';
	return text;
}

static size_t digits(const char *s, const char *end)
{
	const char *p = s;

	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return (size_t)(p - s);
}

/* Where the number ends (RFC 8259 section 6), or NULL; *whole: it has neither fraction nor exponent. */
static const char *number_end(const char *s, const char *end, bool *whole)
{
	s += *s == '-';
	size_t n = digits(s, end);
	if (n == 0 || (n > 1 && *s == '0'))
		return NULL;
	s += n;
	*whole = true;
	if (s < end && *s == '.') {
		n = digits(s + 1, end);
		if (n == 0)
			return NULL;
		s += 1 + n;
		*whole = false;
	}
	if (s < end && (*s == 'e' || *s == 'E')) {
		s++;
		s += s < end && (*s == '-' || *s == '+');
		n = digits(s, end);
		if (n == 0)
			return NULL;
		s += n;
		*whole = false;
	}
	return s;
}

static double to_double(const char *s, size_t n, bool whole)
{
	char copy[NUMBER_MAX + 1];
	int64_t value = 0;

	if (!whole || n > 15) { /* 15 digits are exact */
		memcpy(copy, s, n);
		copy[n] = '\0';
		return strtod(copy, NULL);
	}
	for (size_t i = *s == '-'; i < n; i++)
		value = value * 10 + (s[i] - '0');
	return *s == '-' ? -(double)value : (double)value;
}

static cJSON *read_number(struct reader *r)
{
	bool whole;
	const char *end = number_end(r->at, r->end, &whole);

	if (end == NULL || end - r->at > NUMBER_MAX)
		return refuse(r,
			      end ? "a number that is too long" : "neither a value nor a number");
	cJSON *j = new_node(r, cJSON_Number);
	if (j == NULL)
		return NULL;
	double d = to_double(r->at, (size_t)(end - r->at), whole);
	j->valuedouble = d;
	j->valueint = d >= INT_MAX   ? INT_MAX
		      : d <= INT_MIN ? INT_MIN
				     : (int)d; /* as cJSON has it */
	r->at = end;
	return j;
}

static cJSON *read_word(struct reader *r, const char *word, int type)
{
	size_t n = strlen(word);

	if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0)
		return refuse(r, "neither a value nor a number");
	r->at += n;
	cJSON *j = new_node(r, type);
	if (j != NULL)
		j->valueint = type == cJSON_True;
	return j;
}

static cJSON *read_value(struct reader *r);

/* "key": in front of a member's value. */
static char *read_key(struct reader *r)
{
	if (!next_is(r, '"'))
		return refuse(r, "a member without a key");
	char *key = read_text(r);
	if (key != NULL && !next_is(r, ':'))
		return refuse(r, "a key without a value");
	return key;
}

/* The members behind the opening brace or bracket. The first child's prev is the last, as cJSON has
 * it. */
static bool read_children(struct reader *r, cJSON *parent, char close)
{
	cJSON *last = NULL;

	if (next_is(r, close))
		return true;
	do {
		char *key = close == '}' ? read_key(r) : NULL;
		if (close == '}' && key == NULL)
			return false;
		cJSON *child = read_value(r);
		if (child == NULL)
			return false;
		child->string = key;
		child->prev = last;
		if (last != NULL)
			last->next = child;
		else
			parent->child = child;
		last = child;
	} while (next_is(r, ','));
	parent->child->prev = last;
	if (!next_is(r, close)) {
		refuse(r, "an object or array without an end");
		return false;
	}
	return true;
}

static cJSON *read_container(struct reader *r, int type, char close)
{
	cJSON *j = new_node(r, type);

	if (j == NULL)
		return NULL;
	if (++r->depth > JSON_POOL_DEPTH_MAX)
		return refuse(r, "nested too deeply");
	if (!read_children(r, j, close))
		return NULL;
	r->depth--;
	return j;
}

static cJSON *read_string(struct reader *r)
{
	char *text = read_text(r);
	cJSON *j = text ? new_node(r, cJSON_String) : NULL;

	if (j != NULL)
		j->valuestring = text;
	return j;
}

static cJSON *read_value(struct reader *r)
{
	skip_blanks(r);
	if (r->at == r->end)
		return refuse(r, "it ends too early");
	switch (*r->at) {
	case '{':
		r->at++;
		return read_container(r, cJSON_Object, '}');
	case '[':
		r->at++;
		return read_container(r, cJSON_Array, ']');
	case '"':
		r->at++;
		return read_string(r);
	case 't':
		return read_word(r, "true", cJSON_True);
	case 'f':
		return read_word(r, "false", cJSON_False);
	case 'n':
		return read_word(r, "null", cJSON_NULL);
	default:
		return read_number(r);
	}
}

const cJSON *json_pool_parse(struct json_pool *p, struct str text, const char *what, struct err *e)
{
	struct reader r = {.pool = p, .at = text.p, .end = text.p + text.n};

	drop_blocks(p, true);
	cJSON *j = read_value(&r);
	skip_blanks(&r);
	if (j != NULL && r.at != r.end)
		j = refuse(&r, "text behind it");
	if (j == NULL)
		err_set(e, EINVAL, "%s is not JSON: byte %zu: %s", what, (size_t)(r.at - text.p),
			r.why);
	return j;
}
