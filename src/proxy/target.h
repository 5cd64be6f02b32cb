/*
 * A request's path and query in the one form that rules are matched to and that is sent on (supervisor
 * contract 6.7): what is judged is what the server gets. What has no such form is refused. No I/O.
 */
#ifndef OPENSHELL_PROXY_TARGET_H
#define OPENSHELL_PROXY_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"
#include "policy/decide.h"

enum {
	TARGET_PATH_MAX = 4096, /* bytes as written (contract 6.7) */
	TARGET_PARAMS_MAX = 1024,
};

struct target {
	/* Begins with "/". Percent-encoding only where a byte may not stand for itself in a segment, in upper
	 * case; no dot segments, no double slashes, no ";params". "%2F" is in it only if the client wrote
	 * that, be it in a segment that a ".." took away again: whether it may is a matter of the
	 * endpoint (allow_encoded_slash). */
	struct str path;
	bool encoded_slash; /* the client wrote it */
	struct str query;   /* as written; p is NULL when there is no "?" */
	/* the query, decoded ("+" is a blank), in order; keys without "=" have an empty value */
	const struct policy_param *params;
	size_t params_n;
	struct str text; /* path and query together: what is sent */
};

/* Reads path and query, as head.h has them; what comes out is the arena's, which needs room for some
 * three times the length and the params. NULL, or why it is refused, in a sentence without a dot. */
const char *target_read(struct target *out, struct str raw, struct arena *a);

#endif
