/*
 * The body of one HTTP/1 message on its way through: how much of the bytes it is, and what of it goes out
 * on the other side. A chunked body is taken apart by llhttp and put together anew, so that neither chunk
 * extensions nor trailers nor odd line ends of one peer reach the other. No I/O.
 */
#ifndef OPENSHELL_PROXY_BODY_H
#define OPENSHELL_PROXY_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llhttp.h>

#include "base/buf.h"
#include "base/str.h"

enum body_framing {
	BODY_NONE,
	BODY_LENGTH,
	BODY_CHUNKED,
	BODY_UNTIL_CLOSE, /* of a response: until the connection ends */
};

enum {
	/* Of bytes that are fed at once, at most so many more come out (the frame of a chunk). */
	BODY_OVERHEAD = 32,
};

struct body {
	enum body_framing framing;
	uint64_t left; /* BODY_LENGTH */
	bool plain;    /* chunks come out without their frames: to be kept, or for HTTP/1.0 */
	bool done;
	/* the rest is body.c's */
	struct buf *out;
	bool full;
	size_t idle; /* bytes since the last one of the body */
	llhttp_t parser;
};

/* length counts for BODY_LENGTH only. plain: see there. */
void body_init(struct body *b, enum body_framing framing, uint64_t length, bool plain);

enum body_result {
	BODY_DONE = 1, /* it is complete; bytes behind it are not used */
	BODY_MORE = 0,
	BODY_BAD =
		-1, /* malformed, or out has no room: feed no more than that has, less BODY_OVERHEAD */
};

/* Takes bytes and appends to out what of them goes on; *used is how many, all of them unless it is done. May
 * be called with no bytes: BODY_DONE when nothing is to come. */
enum body_result body_feed(struct body *b, struct str bytes, struct buf *out, size_t *used);

/* The peer ended the connection: BODY_DONE for BODY_UNTIL_CLOSE, and for what is complete. */
enum body_result body_eof(struct body *b);

#endif
