/*
 * Which sandbox a request means. Every gateway sends both an id and a name; until v0.0.87 drivers
 * found a sandbox by its name and then compared the id, since v0.0.88 they find it by its id (driver
 * contract 2.3, rule 4). One rule serves both:
 *
 *   1. The sandbox that has the id is meant, whatever its name.
 *   2. Where none has it, and for a request without an id, the name is looked for. A sandbox of that
 *      name is meant when the request has no id or the sandbox has none.
 *   3. A sandbox of that name under another id is another sandbox: nothing is found. But where it
 *      belongs to no workspace, it was made for a gateway that looks up by name, and that one is told
 *      that the id does not match.
 *
 * Used by the registry on its own entries, and by backends on what they read live.
 */
#ifndef OPENSHELL_DRIVER_LOOKUP_H
#define OPENSHELL_DRIVER_LOOKUP_H

#include <stdbool.h>

struct grpc_call;

enum lookup {
	LOOKUP_NONE,      /* answer: lookup_fail */
	LOOKUP_MISMATCH,  /* rule 3, answer: lookup_fail */
	LOOKUP_AMBIGUOUS, /* no id, and several sandboxes of that name; answer: lookup_fail */
	LOOKUP_NAME,      /* found by name */
	LOOKUP_ID,        /* found by id: look no further */
};

/* What a request asks for and what a sandbox is; none is NULL, any may be "". */
struct lookup_key {
	const char *id, *name;
};
struct lookup_sandbox {
	const char *id, *name, *workspace;
};

/* What one sandbox is to the request. */
enum lookup lookup_match(const struct lookup_key *key, const struct lookup_sandbox *s);

/* What was found so far (LOOKUP_NONE at first) and one candidate more, in any order. True when the
 * candidate is now the one that was found. */
bool lookup_better(enum lookup *found, enum lookup candidate);

/* Answers a call whose sandbox was not found: NOT_FOUND or FAILED_PRECONDITION with the contract's
 * words (driver contract 3.5 and 2.3). */
void lookup_fail(struct grpc_call *call, enum lookup found);

#endif
