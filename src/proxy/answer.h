/*
 * The proxy's own answers (supervisor contract 6.1, 6.3, 6.4, appendix D): what clients and agents get to
 * read when a request goes no further. Each is a whole response that ends its connection. No I/O.
 */
#ifndef OPENSHELL_PROXY_ANSWER_H
#define OPENSHELL_PROXY_ANSWER_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* Bytes of the longest: twice a path of a whole head and a reason of POLICY_REASON_MAX, escaped. A buffer
 * that an answer goes to has room for so many. */
enum { ANSWER_MAX = 160 << 10 };

/* 200 Connection Established: the tunnel begins. */
void answer_established(struct buf *out);

/* {"error": error, "detail": detail[, "reason": reason]}; reason may be NULL. status is one of those that
 * answer.c has a phrase for. */
void answer_error(struct buf *out, unsigned status, const char *error, const char *detail,
		  const char *reason);

/* The same, detail formatted. */
void answer_errorf(struct buf *out, unsigned status, const char *error, const char *format, ...)
	PRINTF(4, 5);

/* A text without JSON, as the contract has it for https targets of the forward proxy. */
void answer_text(struct buf *out, unsigned status, const char *text);

/* A request that the rules of an endpoint do not allow: 403 in the shape of appendix D, which calls every
 * protocol "rest". host, binary and port are left out where they are NULL, empty or 0. */
struct answer_denial {
	const char *policy; /* NULL: none matched, "-" is said */
	struct str method, path;
	const char *reason;
	const char *host;
	uint16_t port;
	const char *binary;
};

void answer_denied(struct buf *out, const struct answer_denial *d);

#endif
