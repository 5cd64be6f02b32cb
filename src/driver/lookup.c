#include "base/str.h"
#include "base/util.h"
#include "driver/lookup.h"
#include "grpc/server.h"

enum lookup lookup_match(const struct lookup_key *key, const struct lookup_sandbox *s)
{
	if (key->id[0] != '\0' && streq(key->id, s->id))
		return LOOKUP_ID;
	if (key->name[0] == '\0' || !streq(key->name, s->name))
		return LOOKUP_NONE;
	if (key->id[0] == '\0' || s->id[0] == '\0')
		return LOOKUP_NAME;
	return s->workspace[0] == '\0' ? LOOKUP_MISMATCH : LOOKUP_NONE;
}

bool lookup_better(enum lookup *found, enum lookup candidate)
{
	if (candidate == LOOKUP_NAME && (*found == LOOKUP_NAME || *found == LOOKUP_AMBIGUOUS)) {
		*found = LOOKUP_AMBIGUOUS;
		return false;
	}
	if (candidate <= *found)
		return false;
	*found = candidate;
	return candidate >= LOOKUP_NAME;
}

void lookup_fail(struct grpc_call *call, enum lookup found)
{
	switch (found) {
	case LOOKUP_NONE:
		grpc_fail(call, GRPC_NOT_FOUND, "sandbox not found");
		return;
	case LOOKUP_MISMATCH:
		grpc_fail(call, GRPC_FAILED_PRECONDITION,
			  "sandbox_id did not match the fetched sandbox");
		return;
	case LOOKUP_AMBIGUOUS:
		grpc_fail(call, GRPC_FAILED_PRECONDITION,
			  "several sandboxes have this name, sandbox_id must say which");
		return;
	case LOOKUP_NAME:
	case LOOKUP_ID:
		break;
	}
	must(!"a sandbox was found");
}
