/*
 * Reads one HTTP/1.1 response after the other from bytes (RFC 9112), strictly, by llhttp. Interim
 * responses (1xx) are passed over. No I/O; used by http1/client.c.
 */
#ifndef OPENSHELL_HTTP1_RESPONSE_H
#define OPENSHELL_HTTP1_RESPONSE_H

#include <stdbool.h>

#include <llhttp.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum {
	HTTP1_HEADERS_MAX = 64 << 10, /* bytes of all names and values of a message */
	HTTP1_FIELDS_MAX = 128,
};

struct http1_response {
	/* The status line and the header are complete. False ends the reading. */
	bool (*headers)(void *owner);
	/* Bytes of the body; borrowed. False ends the reading. */
	bool (*body)(void *owner, struct str bytes);
	void *owner;

	int status;
	bool keep_alive; /* once done: whether the connection may carry another */
	/* the rest is response.c's */
	llhttp_t parser;
	struct buf text; /* names and values, one behind the other */
	struct http1_field {
		size_t name, name_n, value, value_n; /* in text */
	} fields[HTTP1_FIELDS_MAX];
	size_t n;
	bool in_value, interim, done, stopped;
	const char *reason;
};

/* head: whether it answers a HEAD, and so has no body. */
void http1_response_init(struct http1_response *r, bool head);
void http1_response_fini(struct http1_response *r);

enum http1_result {
	HTTP1_DONE = 1, /* the response is complete */
	HTTP1_MORE = 0,
	HTTP1_BAD = -1,     /* it is malformed, or beyond a limit */
	HTTP1_STOPPED = -2, /* a callback said so; nothing was touched after it */
};

/* Takes bytes; *used is how many, all of them unless it is done. Not called after anything but
 * HTTP1_MORE. */
enum http1_result http1_response_feed(struct http1_response *r, struct str bytes, size_t *used,
				      struct err *e);
/* The peer closed the connection: HTTP1_DONE for a body that goes until then, else HTTP1_BAD. */
enum http1_result http1_response_eof(struct http1_response *r, struct err *e);

/* The value of the first field of that (lower-case) name; p is NULL when there is none. Borrowed
 * until http1_response_fini. */
struct str http1_header(const struct http1_response *r, const char *name);

#endif
