/* ctl/: what a state is called. The commands are tested against the real driver in test/grpc. */
#include <stdlib.h>

#include "../../src/ctl/print.c"
#include "test.h"

static const char *phase(const char *status)
{
	struct err e;
	_cleanup_free_ char *text = xasprintf("{\"status\":%s}", status);
	_cleanup_json_ cJSON *j = json_parse(str_of(text), "test", &e);

	OK(j != NULL);
	return ctl_phase(j);
}

#define CONDITION(type, status, reason)                                                            \
	"{\"type\":\"" type "\",\"status\":\"" status "\",\"reason\":\"" reason "\"}"
#define CONDITIONS(list) "{\"conditions\":[" list "]}"

TEST(phase_is_the_gateways)
{
	STREQ(phase("{}"), "Provisioning");
	STREQ(phase(CONDITIONS(CONDITION("Ready", "True", "x"))), "Ready");
	STREQ(phase(CONDITIONS(CONDITION("Ready", "Unknown", "x"))), "Provisioning");
	STREQ(phase(CONDITIONS(CONDITION("Ready", "False", "ReconcilerError"))), "Provisioning");
	STREQ(phase(CONDITIONS(CONDITION("Ready", "False", "dependenciesnotready"))),
	      "Provisioning");
	STREQ(phase(CONDITIONS(CONDITION("Ready", "False", "PodFailed"))), "Error");
	STREQ(phase(CONDITIONS(CONDITION("Ready", "False", ""))), "Error");
	STREQ(phase(CONDITIONS(CONDITION("Ready", "False", "SandboxSuspended") "," CONDITION(
		      "Suspended", "true", ""))),
	      "Stopped");
	STREQ(phase(CONDITIONS(CONDITION("Ready", "False", "SandboxSuspended") "," CONDITION(
		      "Suspended", "False", "PodTerminating"))),
	      "Stopping");
	STREQ(phase("{\"deleting\":true,\"conditions\":[" CONDITION("Ready", "True", "") "]}"),
	      "Deleting");
}

TEST(reason_has_the_platforms_words)
{
	struct err e;
	_cleanup_json_ cJSON *j = json_parse(
		STR("{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\","
		    "\"reason\":\"ImagePullFailed\",\"message\":\"no such image\"}]}}"),
		"test", &e);
	_cleanup_free_ char *reason = ctl_reason(j);
	_cleanup_free_ char *none = ctl_reason(NULL);

	STREQ(reason, "ImagePullFailed: no such image");
	STREQ(none, "");
}
