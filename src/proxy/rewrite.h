/*
 * The heads of requests and responses as they leave the proxy (supervisor contract 6.4; RFC 9110 7.6): what
 * is for one hop only is gone, what says where to and how long is made anew from what was understood. No I/O.
 */
#ifndef OPENSHELL_PROXY_REWRITE_H
#define OPENSHELL_PROXY_REWRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "proxy/head.h"
#include "proxy/reply.h"

enum {
	/* Bytes that a head may be longer than the one that came: Host, Via, framing, a canonical path. */
	REWRITE_OVERHEAD = 16 << 10,
};

struct rewrite_request {
	const struct head *head;
	struct str target; /* path and query */
	const char *host;
	uint16_t port;
	enum body_framing framing; /* of the body as it goes on */
	uint64_t length;
	bool websocket; /* Connection: Upgrade goes on */
	bool expect;    /* so does Expect: 100-continue */
};

/* Appends it; out has room for the head that was read and REWRITE_OVERHEAD more. */
void rewrite_request(struct buf *out, const struct rewrite_request *r);

struct rewrite_reply {
	const struct reply *reply;
	bool chunked;   /* the body goes on in chunks */
	bool close;     /* the client is told that no other response follows */
	bool websocket; /* Connection: Upgrade goes on */
};

void rewrite_reply(struct buf *out, const struct rewrite_reply *r);

#endif
