#include <errno.h>
#include <string.h>

#include "base/rfc3339.h"
#include "wire/generation.h"
#include "wire/wire.h"

enum { TOLD_MAX = 64 }; /* bytes of a name in an error */

enum generation generation_of(const Openshell__Compute__V1__GetCapabilitiesRequest *r)
{
	return r->gateway != NULL ? GENERATION_0_1 : GENERATION_0_0;
}

/* What a peer calls itself is cut, at the end of a character, and not trusted to be there. */
static struct str told(const char *name, const char *otherwise)
{
	struct str s = str_of(name[0] != '\0' ? name : otherwise);

	s.n = MIN(s.n, (size_t)TOLD_MAX);
	while (!str_is_utf8(s))
		s.n--;
	return s;
}

int generation_refuse(const Openshell__Compute__V1__GetCapabilitiesRequest *r, struct err *e)
{
	const Openshell__Extension__V1__PeerMetadata *peer = r->gateway;
	const Openshell__Extension__V1__ProtocolVersion *v = peer->protocol_version;

	struct str name = told(peer->implementation_name, "unnamed");
	struct str version = told(peer->implementation_version, "of no version");

	return err_set(e, EPROTONOSUPPORT,
		       "this driver speaks the OpenShell 0.0 compute contract; the gateway "
		       "(%.*s %.*s) speaks 0.1, extension protocol %u.%u",
		       STR_FMT(name), STR_FMT(version), v ? v->major : 0, v ? v->minor : 0);
}

static Google__Protobuf__Timestamp *timestamp(int64_t seconds, int32_t nanos, struct arena *a)
{
	Google__Protobuf__Timestamp *t = wire_new(&google__protobuf__timestamp__descriptor, a);

	t->seconds = seconds;
	t->nanos = nanos;
	return t;
}

void generation_set_condition_time(Openshell__Compute__V1__DriverCondition *c, const char *time,
				   struct arena *a)
{
	int64_t seconds;
	int32_t nanos;

	c->last_transition_time = (char *)time;
	c->transition_time = NULL;
	if (rfc3339_parse(str_of(time), &seconds, &nanos))
		c->transition_time = timestamp(seconds, nanos, a);
}

void generation_set_event_time(Openshell__Compute__V1__DriverPlatformEvent *ev, int64_t ms,
			       struct arena *a)
{
	int64_t seconds = ms / 1000 - (ms % 1000 < 0);

	ev->timestamp_ms = ms;
	ev->event_time = NULL;
	if (ms != 0)
		ev->event_time = timestamp(seconds, (int32_t)(ms - seconds * 1000) * 1000000, a);
}
