#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/util.h"
#include "proxy/websocket.h"

/* ---- SHA-1 (FIPS 180-4 6.1), which the handshake asks for and nothing else here uses ---- */

enum { SHA1_SIZE = 20, SHA1_BLOCK = 64 };

static uint32_t rotate(uint32_t x, int n)
{
	return x << n | x >> (32 - n);
}

static void sha1_block(uint32_t h[5], const uint8_t *p)
{
	uint32_t w[80], s[5];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
		       (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	memcpy(s, h, sizeof s);
	for (int i = 0; i < 80; i++) {
		uint32_t b = s[1], c = s[2], d = s[3];
		uint32_t f = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999
			     : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
			     : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
				      : (b ^ c ^ d) + 0xca62c1d6;
		uint32_t next = rotate(s[0], 5) + f + s[4] + w[i];
		s[4] = d;
		s[3] = c;
		s[2] = rotate(b, 30);
		s[1] = s[0];
		s[0] = next;
	}
	for (int i = 0; i < 5; i++)
		h[i] += s[i];
}

/* Of what fits into two blocks with its padding. */
static void sha1(struct str text, uint8_t out[SHA1_SIZE])
{
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	uint8_t blocks[2 * SHA1_BLOCK] = {0};
	size_t n = text.n + 9 > SHA1_BLOCK ? 2 * SHA1_BLOCK : SHA1_BLOCK;

	must(text.n + 9 <= sizeof blocks);
	memcpy(blocks, text.p, text.n);
	blocks[text.n] = 0x80;
	blocks[n - 2] = (uint8_t)(text.n * 8 >> 8);
	blocks[n - 1] = (uint8_t)(text.n * 8);
	for (size_t at = 0; at < n; at += SHA1_BLOCK)
		sha1_block(h, blocks + at);
	for (int i = 0; i < SHA1_SIZE; i++)
		out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

/* ---- the handshake ---- */

/* 16 bytes in base64, as every client writes them. */
static bool is_key(struct str key)
{
	uint8_t bytes[32];
	size_t n;

	return key.n == 24 && str_ends(key, "==") && base64_decode(key, bytes, &n) && n == 16;
}

const char *websocket_request(const struct head *h, char accept[WEBSOCKET_ACCEPT_SIZE])
{
	struct str key = fields_get(&h->fields, "sec-websocket-key");
	char text[64];
	uint8_t hash[SHA1_SIZE];

	if (!str_is(h->method, "GET"))
		return "a WebSocket begins with a GET";
	if (h->framing == BODY_CHUNKED || h->length > 0)
		return "a WebSocket's request has no body";
	if (fields_count(&h->fields, "sec-websocket-version") != 1 ||
	    !str_is(fields_get(&h->fields, "sec-websocket-version"), "13"))
		return "a WebSocket's version is 13";
	if (fields_count(&h->fields, "sec-websocket-key") != 1 || !is_key(key))
		return "a WebSocket's request has one Sec-WebSocket-Key of 16 bytes";
	int n = snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
			 STR_FMT(key));
	sha1(str_sub(text, (size_t)n), hash);
	_cleanup_free_ char *encoded = base64_encode(str_sub(hash, sizeof hash));
	snprintf(accept, WEBSOCKET_ACCEPT_SIZE, "%s", encoded);
	return NULL;
}

const char *websocket_reply(const struct reply *r, const char *accept)
{
	if (r->http10 || !fields_have_token(&r->fields, "connection", STR("upgrade")) ||
	    fields_count(&r->fields, "upgrade") != 1 ||
	    !str_ieq(fields_get(&r->fields, "upgrade"), STR("websocket")))
		return "it switches to another protocol than WebSocket";
	if (fields_count(&r->fields, "sec-websocket-accept") != 1 ||
	    !str_is(fields_get(&r->fields, "sec-websocket-accept"), accept))
		return "its Sec-WebSocket-Accept is not that of the request";
	return NULL;
}
