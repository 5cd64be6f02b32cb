/*
 * The proxy's own answers (supervisor contract 6.1, 6.3, 6.4, appendix D): what clients and agents get to
 * read when a request goes no further. Each is a whole response that ends its connection. No I/O.
 */
#ifndef OPENSHELL_PROXY_ANSWER_H
#define OPENSHELL_PROXY_ANSWER_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum { ANSWER_MAX = 64 << 10 }; /* bytes of the longest, a reason of POLICY_REASON_MAX included */

/* 200 Connection Established: the tunnel begins. */
void answer_established(struct buf *out);

/* {"error": error, "detail": detail[, "reason": reason]}; reason may be NULL. A status that is in no
 * table of answer.c is a broken invariant. */
void answer_error(struct buf *out, unsigned status, const char *error, const char *detail,
		  const char *reason);

/* The same, detail formatted. */
void answer_errorf(struct buf *out, unsigned status, const char *error, const char *format, ...)
	PRINTF(4, 5);

/* A text without JSON, as the contract has it for https targets of the forward proxy. */
void answer_text(struct buf *out, unsigned status, const char *text);

/* A request that the rules of an endpoint do not allow: 403 in the shape of appendix D. Texts that are
 * NULL or empty (and port 0) are left out where the contract says so. */
struct answer_denial {
	const char *policy;   /* NULL: none matched, "-" is said */
	const char *protocol; /* of the endpoint */
	struct str method, path;
	const char *reason;
	const char *host;
	uint16_t port;
	const char *binary;
};

void answer_denied(struct buf *out, const struct answer_denial *d);

#endif
