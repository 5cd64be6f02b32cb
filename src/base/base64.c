#include "base/base64.h"
#include "base/util.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(struct str s)
{
	const uint8_t *p = (const uint8_t *)s.p;
	char *out = xmalloc((s.n + 2) / 3 * 4 + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;
		v |= i + 1 < s.n ? (uint32_t)p[i + 1] << 8 : 0;
		v |= i + 2 < s.n ? p[i + 2] : 0;
		out[n++] = alphabet[v >> 18];
		out[n++] = alphabet[v >> 12 & 63];
		out[n++] = i + 1 < s.n ? alphabet[v >> 6 & 63] : '=';
		out[n++] = i + 2 < s.n ? alphabet[v & 63] : '=';
	}
	out[n] = '\0';
	return out;
}

size_t base64_decoded_max(size_t n)
{
	return n / 4 * 3 + 3;
}

/* The six bits of a character, or -1. */
static int bits_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	if (c == '/' || c == '_')
		return 63;
	return -1;
}

bool base64_decode(struct str text, uint8_t *out, size_t *n)
{
	uint32_t held = 0;
	unsigned bits = 0;

	for (int padding = 0; padding < 2 && text.n > 0 &&
			      text.n % 4 == (size_t)(padding ? 3 : 0) && text.p[text.n - 1] == '=';
	     padding++)
		text.n--;
	*n = 0;
	for (size_t i = 0; i < text.n; i++) {
		int six = bits_of(text.p[i]);
		if (six < 0)
			return false;
		held = held << 6 | (uint32_t)six;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[(*n)++] = (uint8_t)(held >> bits);
			held &= (1u << bits) - 1;
		}
	}
	return bits < 6 && held == 0;
}
