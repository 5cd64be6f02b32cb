#include <ctype.h>
#include <string.h>

#include "ocsf/ocsf_impl.h"

static const char ELLIPSIS[] = "...";

/* All of it or nothing, so that neither a character nor an escape is ever cut. */
static void put_bytes(struct ocsf_line *l, const char *p, size_t n)
{
	if (l->full)
		return;
	if (n > l->max - sizeof ELLIPSIS - l->n) {
		l->full = true;
		p = ELLIPSIS;
		n = sizeof ELLIPSIS - 1;
	}
	memcpy(l->p + l->n, p, n);
	l->n += n;
	l->p[l->n] = '\0';
}

void ocsf_put(struct ocsf_line *l, const char *s)
{
	put_bytes(l, s, strlen(s));
}

void ocsf_put_int(struct ocsf_line *l, int64_t i)
{
	char digits[24];

	put_bytes(l, digits, (size_t)snprintf(digits, sizeof digits, "%lld", (long long)i));
}

void ocsf_put_upper(struct ocsf_line *l, const char *s)
{
	for (; *s; s++)
		put_bytes(l, &(char){(char)toupper((unsigned char)*s)}, 1);
}

void ocsf_put_lower(struct ocsf_line *l, const char *s)
{
	for (; *s; s++)
		put_bytes(l, &(char){(char)tolower((unsigned char)*s)}, 1);
}

size_t ocsf_next_char(struct str s, uint32_t *c)
{
	const unsigned char *p = (const unsigned char *)s.p;

	if (p[0] < 0x80) {
		*c = p[0];
		return 1;
	}
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (s.n < n || str_utf8_prefix(str_sub(p, n), n).n != n) {
		*c = OCSF_BAD_BYTE;
		return 1;
	}
	*c = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++)
		*c = *c << 6 | (p[i] & 0x3fu);
	return n;
}

bool ocsf_unprintable(uint32_t c)
{
	if (c < 0x80)
		return c < 0x20 || c == 0x7f;
	return c < 0xa0 || c == 0xad ||        /* C1 controls, soft hyphen */
	       c == 0x61c || c == 0xfeff ||    /* direction mark, zero width */
	       (c >= 0x200b && c <= 0x200f) || /* zero width, direction marks */
	       (c >= 0x2028 && c <= 0x202e) || /* line and paragraph, directions */
	       (c >= 0x2060 && c <= 0x206f) || /* zero width, directions */
	       (c >= 0xe0000 && c <= 0xe0fff); /* tags */
}

static bool is_blank(uint32_t c)
{
	return c == ' ' || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
	       c == 0x202f || c == 0x205f || c == 0x3000;
}

static bool must_escape(uint32_t c, enum ocsf_escape how)
{
	if (ocsf_unprintable(c))
		return true;
	return (how == OCSF_WORD || how == OCSF_VALUE) && is_blank(c);
}

static bool takes_backslash(uint32_t c, enum ocsf_escape how)
{
	if (how == OCSF_QUOTED)
		return c == '"' || c == '\\';
	return how == OCSF_VALUE && (c == '[' || c == ']' || c == '\\');
}

/* How the n bytes of character c at p are written; the number of bytes in out. */
static size_t escape(uint32_t c, const char *p, size_t n, enum ocsf_escape how, char out[16])
{
	if (c == OCSF_BAD_BYTE)
		return (size_t)sprintf(out, "\\x%02x", (unsigned char)*p);
	if (how == OCSF_SENTENCE && (c == '\n' || c == '\r' || c == '\t')) {
		out[0] = ' ';
		return 1;
	}
	if (must_escape(c, how))
		return (size_t)sprintf(out, "\\u{%x}", (unsigned)c);
	size_t at = 0;
	if (takes_backslash(c, how))
		out[at++] = '\\';
	memcpy(out + at, p, n);
	return at + n;
}

void ocsf_put_text(struct ocsf_line *l, struct str s, size_t max, enum ocsf_escape how)
{
	size_t written = 0;

	while (s.n > 0 && !l->full) {
		char out[16];
		uint32_t c;
		size_t n = ocsf_next_char(s, &c);
		size_t out_n = escape(c, s.p, n, how, out);
		if (written + out_n > max) {
			ocsf_put(l, ELLIPSIS);
			return;
		}
		put_bytes(l, out, out_n);
		written += out_n;
		s = str_sub(s.p + n, s.n - n);
	}
}
