/*
 * The head of one HTTP/1 response from bytes, as strictly as requests are read (head.h): a server must not
 * be able to say two things at once either, since what follows a response on a kept connection is taken for
 * the answer to the next request. No I/O.
 */
#ifndef OPENSHELL_PROXY_REPLY_H
#define OPENSHELL_PROXY_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "proxy/body.h"
#include "proxy/fields.h"

enum { REPLY_MAX = 64 << 10 }; /* bytes of a head; ours */

struct reply {
	unsigned status;   /* 100 to 599 */
	struct str phrase; /* may be empty */
	bool http10;
	bool interim; /* 1xx, but for 101: another one follows */
	enum body_framing framing;
	uint64_t length;
	bool keep_alive; /* the connection may carry another, once the body is over */
	struct fields fields;
};

/* Reads the head at the beginning of bytes, which are all that came so far. to_head: it answers a HEAD.
 * HEAD_OK: *used is how many of the bytes it has, and what is in *out is borrowed from them. HEAD_BAD,
 * HEAD_LONG: *why says so. */
enum head_result reply_read(struct reply *out, struct str bytes, bool to_head, size_t *used,
			    const char **why);

#endif
