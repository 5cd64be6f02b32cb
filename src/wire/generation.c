#include <errno.h>
#include <string.h>

#include "base/rfc3339.h"
#include "wire/generation.h"
#include "wire/wire.h"

const char *generation_name(enum generation g)
{
	switch (g) {
	case GENERATION_0_0:
		return "0.0";
	case GENERATION_0_1:
		return "0.1";
	}
	must(!"a generation without a name");
	return NULL;
}

enum generation generation_of(const Openshell__Compute__V1__GetCapabilitiesRequest *r)
{
	return r->gateway != NULL ? GENERATION_0_1 : GENERATION_0_0;
}

int generation_refuse(const Openshell__Compute__V1__GetCapabilitiesRequest *r, struct err *e)
{
	const Openshell__Extension__V1__PeerMetadata *peer = r->gateway;
	const Openshell__Extension__V1__ProtocolVersion *v = peer->protocol_version;

	/* Names of the peer's choosing are cut, not trusted. */
	return err_set(
		e, EPROTONOSUPPORT,
		"this driver speaks the OpenShell %s compute contract; the gateway (%.64s %.64s) "
		"speaks %s, extension protocol %u.%u",
		generation_name(GENERATION_0_0),
		peer->implementation_name[0] ? peer->implementation_name : "unnamed",
		peer->implementation_version[0] ? peer->implementation_version : "of no version",
		generation_name(GENERATION_0_1), v ? v->major : 0, v ? v->minor : 0);
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
