#include <arpa/inet.h>
#include <string.h>

#include "ocsf/ocsf_impl.h"

/* Contract 7.1. */
static const char *const network[] = {NULL,   "Open",   "Close",   "Reset",
				      "Fail", "Refuse", "Traffic", "Listen"};
static const char *const http[] = {NULL,      "Connect", "Delete", "Get",   "Head",
				   "Options", "Post",    "Put",    "Trace", "Patch"};
static const char *const process[] = {NULL, "Launch", "Terminate"};
static const char *const finding[] = {NULL, "Create", "Update", "Close"};
static const char *const lifecycle[] = {NULL,   "Install", "Remove", "Start",
					"Stop", "Restart", "Enable", "Disable"};
static const char *const config[] = {NULL, "Log"};

#define ACTIVITIES(table) .activities = (table), .activities_n = ARRAY_LEN(table)
#define HOST_PROFILES "\"container\",\"host\"]"

static const struct ocsf_class_info classes[] = {
	[OCSF_NET] = {4001, 4, "Network Activity", "Network Activity", "NET",
		      "[\"security_control\",\"network_proxy\"," HOST_PROFILES,
		      ACTIVITIES(network)},
	[OCSF_HTTP] = {4002, 4, "HTTP Activity", "Network Activity", "HTTP",
		       "[\"security_control\",\"network_proxy\"," HOST_PROFILES, ACTIVITIES(http)},
	[OCSF_SSH] = {4007, 4, "SSH Activity", "Network Activity", "SSH",
		      "[\"security_control\"," HOST_PROFILES, ACTIVITIES(network)},
	[OCSF_PROC] = {1007, 1, "Process Activity", "System Activity", "PROC",
		       "[\"security_control\"," HOST_PROFILES, ACTIVITIES(process)},
	[OCSF_FINDING] = {2004, 2, "Detection Finding", "Findings", "FINDING",
			  "[\"security_control\"," HOST_PROFILES, ACTIVITIES(finding)},
	[OCSF_LIFECYCLE] = {6002, 6, "Application Lifecycle", "Application Activity", "LIFECYCLE",
			    "[" HOST_PROFILES, ACTIVITIES(lifecycle)},
	[OCSF_CONFIG] = {5019, 5, "Device Config State Change", "Discovery", "CONFIG",
			 "[\"security_control\"," HOST_PROFILES, ACTIVITIES(config)},
	[OCSF_API] = {6003, 6, "API Activity", "Application Activity", "API",
		      "[\"ai_operation\"," HOST_PROFILES, NULL, 0},
	[OCSF_BASE] = {0, 0, "Base Event", "Uncategorized", "EVENT", "[" HOST_PROFILES, NULL, 0},
};
_Static_assert(ARRAY_LEN(classes) == OCSF_CLASS_COUNT, "a row for each class");

const struct ocsf_class_info *ocsf_class_info(enum ocsf_class c)
{
	must(c < OCSF_CLASS_COUNT);
	return &classes[c];
}

/* A method that has no number of its own is Other. */
static enum ocsf_activity activity_of_method(struct str method)
{
	for (size_t i = 1; i < ARRAY_LEN(http); i++) {
		if (str_ieq(method, str_of(http[i])))
			return (enum ocsf_activity)i;
	}
	return OCSF_OTHER;
}

enum ocsf_activity ocsf_activity_of(const struct ocsf_event *ev)
{
	if (ev->activity)
		return ev->activity;
	if (ev->class == OCSF_HTTP)
		return activity_of_method(ev->http.method);
	return ev->class == OCSF_CONFIG ? OCSF_CONFIG_LOG : OCSF_OTHER;
}

const char *ocsf_activity_name(const struct ocsf_event *ev)
{
	const struct ocsf_class_info *c = ocsf_class_info(ev->class);
	size_t i = ocsf_activity_of(ev);

	return i < c->activities_n && c->activities[i] ? c->activities[i] : "Other";
}

enum ocsf_severity ocsf_severity_of(const struct ocsf_event *ev)
{
	must(ev->severity <= OCSF_FATAL);
	return ev->severity ? ev->severity : OCSF_INFORMATIONAL;
}

const char *ocsf_severity_name(enum ocsf_severity s)
{
	static const char *const names[] = {"Unknown", "Informational", "Low",  "Medium",
					    "High",    "Critical",      "Fatal"};
	_Static_assert(ARRAY_LEN(names) == OCSF_FATAL + 1, "a name for each severity");

	return names[s];
}

const char *ocsf_severity_tag(enum ocsf_severity s)
{
	static const char *const tags[] = {"INFO", "INFO", "LOW", "MED", "HIGH", "CRIT", "FATAL"};
	_Static_assert(ARRAY_LEN(tags) == OCSF_FATAL + 1, "a tag for each severity");

	return tags[s];
}

#define NAME_IN(table, i) ((size_t)(i) < ARRAY_LEN(table) ? (table)[i] : NULL)

const char *ocsf_status_name(enum ocsf_status s)
{
	static const char *const names[] = {NULL, "Success", "Failure"};

	return NAME_IN(names, s);
}

const char *ocsf_action_name(enum ocsf_action a)
{
	static const char *const names[] = {NULL, "Allowed", "Denied", "Observed"};

	return NAME_IN(names, a);
}

const char *ocsf_disposition_name(enum ocsf_disposition d)
{
	static const char *const names[] = {
		[OCSF_DISPOSITION_ALLOWED] = "Allowed", [OCSF_BLOCKED] = "Blocked",
		[OCSF_DETECTED] = "Detected",           [OCSF_LOGGED] = "Logged",
		[OCSF_REJECTED] = "Rejected",           [OCSF_ERROR] = "Error",
	};

	return NAME_IN(names, d);
}

const char *ocsf_state_name(enum ocsf_state s)
{
	static const char *const names[] = {
		[OCSF_DISABLED] = "Disabled",
		[OCSF_ENABLED] = "Enabled",
		[OCSF_STATE_OTHER] = "Other",
	};

	return NAME_IN(names, s);
}

const char *ocsf_security_level_name(enum ocsf_security_level l)
{
	static const char *const names[] = {NULL, "Secure", "At Risk", "Compromised"};

	return NAME_IN(names, l);
}

const char *ocsf_confidence_name(enum ocsf_confidence c)
{
	static const char *const names[] = {NULL, "Low", "Medium", "High"};

	return NAME_IN(names, c);
}

size_t ocsf_pairs(const struct ocsf_event *ev, const struct ocsf_pair *sorted[OCSF_PAIRS_MAX])
{
	size_t n = 0;

	while (n < OCSF_PAIRS_MAX && ev->unmapped[n].key) {
		const struct ocsf_pair *pair = &ev->unmapped[n];
		size_t at = n++;
		for (; at > 0 && strcmp(sorted[at - 1]->key, pair->key) > 0; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = pair;
	}
	return n;
}

bool ocsf_is_ip(struct str host, bool *v6)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char address[sizeof(struct in6_addr)];

	*v6 = false;
	if (host.n == 0 || host.n >= sizeof text || memchr(host.p, '\0', host.n))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	*v6 = inet_pton(AF_INET6, text, address) == 1;
	return *v6 || inet_pton(AF_INET, text, address) == 1;
}
