#include "base/util.h"
#include "ocsf/ocsf.h"
#include "proxy/proxy_impl.h"

/* The words of contract 6.11 and 7.5 for who refused. */
static const struct {
	const char *engine, *group;
	enum ocsf_severity severity;
} words[] = {
	[REFUSED_BY_POLICY] = {"opa", "connect_policy", OCSF_MEDIUM},
	[REFUSED_BY_STALENESS] = {"opa", "policy_stale", OCSF_MEDIUM},
	[REFUSED_BY_DESTINATION] = {"ssrf", "ssrf", OCSF_MEDIUM},
	[REFUSED_BY_TLS] = {"tls", "l7_policy", OCSF_HIGH},
	[REFUSED_BY_PROTOCOL] = {"l7", "l7_parse_rejection", OCSF_MEDIUM},
	[REFUSED_BY_MIDDLEWARE] = {"middleware", "l7_policy", OCSF_HIGH},
	[REFUSED_BY_NETWORK] = {"opa", NULL, OCSF_LOW},
};
_Static_assert(ARRAY_LEN(words) == REFUSED_BYS, "each has its words");

static struct ocsf_process who(const struct egress *x)
{
	if (x->caller == NULL)
		return (struct ocsf_process){0};
	return (struct ocsf_process){
		.name = str_of(x->caller->exe),
		.pid = x->caller->pid,
		.parent_name = str_of(x->caller->ancestors_n ? x->caller->ancestors[0] : ""),
	};
}

static struct str policy_name(const char *policy)
{
	return policy != NULL ? str_of(policy) : STR("-");
}

static void tell_aggregates(const struct egress *x, const char *group)
{
	const struct proxy_config *c = &x->proxy->config;

	if (c->denied != NULL && group != NULL)
		c->denied(c->owner, x->host, x->port, x->caller ? x->caller->exe : "", group);
}

static void fill_open(const struct egress *x, struct ocsf_event *ev)
{
	*ev = (struct ocsf_event){
		.class = OCSF_NET,
		.activity = OCSF_NET_OPEN,
		.severity = OCSF_INFORMATIONAL,
		.process = who(x),
		.dst = {.host = str_of(x->host), .port = x->port},
		.protocol = STR("tcp"),
		.rule = {.policy = policy_name(x->verdict.policy), .engine = STR("opa")},
	};
}

static void tell_failure(const struct egress *x, const char *why)
{
	struct ocsf_event ev;

	fill_open(x, &ev);
	ev.activity = OCSF_NET_FAIL;
	ev.severity = OCSF_LOW;
	ev.status = OCSF_FAILURE;
	ev.status_detail = ev.message = str_of(why);
	ocsf_emit(x->proxy->config.events, &ev);
}

static void tell_denial(const struct egress *x, const struct refusal *why, bool observed)
{
	const char *group = words[why->by].group;
	struct ocsf_event ev;

	if (why->by == REFUSED_BY_POLICY && !x->tunnel)
		group = "forward_policy";
	fill_open(x, &ev);
	ev.severity = words[why->by].severity;
	ev.action = observed ? OCSF_OBSERVED : OCSF_DENIED;
	ev.disposition = observed ? OCSF_DETECTED : OCSF_BLOCKED;
	ev.rule.engine = str_of(words[why->by].engine);
	ev.status_detail = str_of(why->reason ? why->reason : why->detail);
	ocsf_emit(x->proxy->config.events, &ev);
	tell_aggregates(x, group);
}

void report_open(const struct egress *x, const struct refusal *why)
{
	struct ocsf_event ev;

	if (why != NULL && why->by == REFUSED_BY_NETWORK) {
		tell_failure(x, why->reason);
	} else if (why != NULL) {
		tell_denial(x, why, false);
	} else if (x->is_observed) {
		tell_denial(x, &x->observed, true);
	} else {
		fill_open(x, &ev);
		ev.action = OCSF_ALLOWED;
		ev.disposition = OCSF_DISPOSITION_ALLOWED;
		ocsf_emit(x->proxy->config.events, &ev);
	}
}

/* Where to is known of a tunnel only. */
void report_bad_head(const struct egress *x, const char *why)
{
	struct ocsf_event ev;

	fill_open(x, &ev);
	ev.activity = OCSF_OTHER;
	ev.severity = OCSF_MEDIUM;
	ev.action = OCSF_DENIED;
	ev.disposition = OCSF_BLOCKED;
	ev.rule.engine = STR("l7");
	ev.status_detail = str_of(why);
	if (!x->tunnel)
		ev.dst = (struct ocsf_endpoint){0};
	ocsf_emit(x->proxy->config.events, &ev);
	if (x->tunnel)
		tell_aggregates(x, "l7_parse_rejection");
}

void report_stale(const struct egress *x)
{
	const struct refusal why = {
		.by = REFUSED_BY_STALENESS,
		.detail = "the policy that allowed it holds no more",
	};

	tell_denial(x, &why, false);
}

void report_fail(const struct egress *x, const char *why)
{
	tell_failure(x, why);
}

void report_request(const struct egress *x, const struct request_report *r)
{
	bool observed = !r->allowed && (r->audited || x->proxy->config.observe);
	struct ocsf_event ev = {
		.class = OCSF_HTTP,
		.severity = r->allowed   ? OCSF_INFORMATIONAL
			    : r->audited ? OCSF_LOW
					 : OCSF_MEDIUM,
		.process = who(x),
		.dst = {.host = str_of(x->host), .port = x->port},
		.http = {.method = r->method,
			 .scheme = STR("http"),
			 .host = str_of(x->host),
			 .path = r->path,
			 .port = x->port},
		.action = r->allowed ? OCSF_ALLOWED
			  : observed ? OCSF_OBSERVED
				     : OCSF_DENIED,
		.disposition = r->allowed ? OCSF_DISPOSITION_ALLOWED
			       : observed ? OCSF_DETECTED
					  : OCSF_BLOCKED,
		.rule = {.policy = policy_name(r->policy), .engine = str_of(r->engine)},
		.status_detail = str_of(r->reason),
	};

	ocsf_emit(x->proxy->config.events, &ev);
	tell_aggregates(x, r->group);
}
