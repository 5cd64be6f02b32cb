#include <string.h>

#include "base/str.h"
#include "test.h"
#include "wire/generation.h"

static struct arena arena = ARENA_INIT(1 << 20);

TEST(a_gateway_that_says_who_it_is_speaks_0_1)
{
	Openshell__Compute__V1__GetCapabilitiesRequest r =
		OPENSHELL__COMPUTE__V1__GET_CAPABILITIES_REQUEST__INIT;
	Openshell__Extension__V1__PeerMetadata peer = OPENSHELL__EXTENSION__V1__PEER_METADATA__INIT;
	Openshell__Extension__V1__ProtocolVersion v =
		OPENSHELL__EXTENSION__V1__PROTOCOL_VERSION__INIT;
	struct err e;

	EQ(generation_of(&r), GENERATION_0_0);
	r.gateway = &peer;
	EQ(generation_of(&r), GENERATION_0_1);
	EQ(generation_refuse(&r, &e), -1);
	STREQ(e.text,
	      "this driver speaks the OpenShell 0.0 compute contract; the gateway (unnamed of "
	      "no version) speaks 0.1, extension protocol 0.0");
	peer.implementation_name = "openshell/gateway";
	peer.implementation_version = "0.1.5";
	peer.protocol_version = &v;
	v.major = 1;
	generation_refuse(&r, &e);
	HAS(e.text, "openshell/gateway 0.1.5");
	HAS(e.text, "extension protocol 1.0");
}

TEST(names_of_a_gateway_are_cut_where_a_character_ends)
{
	Openshell__Compute__V1__GetCapabilitiesRequest r =
		OPENSHELL__COMPUTE__V1__GET_CAPABILITIES_REQUEST__INIT;
	Openshell__Extension__V1__PeerMetadata peer = OPENSHELL__EXTENSION__V1__PEER_METADATA__INIT;
	char name[1002] = "x"; /* so that 64 falls into the middle of a character */
	struct err e;

	for (size_t i = 1; i < 1001; i += 2)
		memcpy(name + i, "\xc3\xa9", 2);
	r.gateway = &peer;
	peer.implementation_name = name;
	generation_refuse(&r, &e);
	OK(str_is_utf8(str_of(e.text)));
	OK(strlen(e.text) < 250);
}

TEST(a_condition_carries_its_time_for_both_generations)
{
	Openshell__Compute__V1__DriverCondition c = OPENSHELL__COMPUTE__V1__DRIVER_CONDITION__INIT;

	generation_set_condition_time(&c, "2026-11-25T08:00:01Z", &arena);
	STREQ(c.last_transition_time, "2026-11-25T08:00:01Z");
	EQ(c.transition_time->seconds, 1795593601);
	generation_set_condition_time(&c, "soon", &arena);
	STREQ(c.last_transition_time, "soon");
	OK(c.transition_time == NULL);
}

TEST(an_event_carries_its_time_for_both_generations)
{
	Openshell__Compute__V1__DriverPlatformEvent ev =
		OPENSHELL__COMPUTE__V1__DRIVER_PLATFORM_EVENT__INIT;

	generation_set_event_time(&ev, 1795593601250, &arena);
	EQ(ev.timestamp_ms, 1795593601250);
	EQ(ev.event_time->seconds, 1795593601);
	EQ(ev.event_time->nanos, 250000000);
	generation_set_event_time(&ev, -1, &arena);
	EQ(ev.event_time->seconds, -1);
	EQ(ev.event_time->nanos, 999000000);
	generation_set_event_time(&ev, 0, &arena);
	OK(ev.event_time == NULL);
}
