/*
 * The head of one HTTP/1 request from bytes (supervisor contract 6.1, RFC 9112): read by llhttp, and
 * beforehand held to the strictest reading that there is, so that nobody behind us can find another
 * request in it. Every refusal is one of the reasons below; nothing is repaired. No I/O; what is read
 * are views into the bytes that were given.
 */
#ifndef OPENSHELL_PROXY_HEAD_H
#define OPENSHELL_PROXY_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "proxy/body.h"
#include "proxy/fields.h"
#include "proxy/host.h"

enum {
	HEAD_MAX = 8192, /* bytes, its last CR LF included (contract 6.1) */
};

enum head_form {
	HEAD_AUTHORITY, /* CONNECT host:port */
	HEAD_ABSOLUTE,  /* GET http://host/path, to a proxy */
	HEAD_ORIGIN,    /* GET /path, inside of a tunnel */
};

enum head_scheme {
	HEAD_HTTP,
	HEAD_HTTPS, /* nothing but this is known of the target, nor of the next */
	HEAD_OTHER_SCHEME,
};

struct head {
	struct str method; /* upper case, one of those that llhttp knows */
	struct str target; /* as it was written */
	enum head_form form;
	enum head_scheme scheme; /* HEAD_HTTP where there is none */
	bool http10;             /* HTTP/1.0; else HTTP/1.1 */

	/* Where to, as host.h has it: of the target, or of Host for HEAD_ORIGIN. Empty for HEAD_ORIGIN in
	 * HTTP/1.0 without Host. */
	char host[HOST_SIZE];
	uint16_t port; /* 80 where none is written */
	/* Path and query as written; may be empty or start with "?" in HEAD_ABSOLUTE. Empty for CONNECT. */
	struct str path;

	enum body_framing framing; /* never BODY_UNTIL_CLOSE */
	uint64_t length;
	bool keep_alive;
	bool expect_continue; /* Expect: 100-continue */
	bool expect_other;    /* what nobody knows how to meet: 417 */
	struct str upgrade;   /* value of Upgrade when Connection nominates it; else p is NULL */
	struct fields fields;
};

/* Reads the head at the beginning of bytes, which are all that came so far. HEAD_OK: *used is how
 * many of them it has, and what is in *out is borrowed from them. HEAD_BAD (400) and HEAD_LONG (431), also
 * as soon as no more bytes could help: *why says so in a sentence without a dot. */
enum head_result head_read(struct head *out, struct str bytes, size_t *used, const char **why);

/* Whether the request asks for a WebSocket, or for HTTP/2 on this connection. */
bool head_asks_websocket(const struct head *h);
bool head_asks_h2c(const struct head *h);

#endif
