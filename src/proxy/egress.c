#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "net/proxy.h"
#include "proxy/destination.h"
#include "proxy/proxy_impl.h"

/* ---- refusals ---- */

static const struct refusal *refuse_always(struct egress *x, enum refused_by by, unsigned status,
					   const char *error, const char *detail,
					   const char *reason)
{
	x->refusal = (struct refusal){
		.by = by,
		.status = status,
		.error = error,
		.detail = arena_printf(&x->arena, "%s %s", x->what, detail),
		.reason = reason ? arena_dup(&x->arena, str_of(reason)) : NULL,
	};
	return &x->refusal;
}

const struct refusal *egress_refuse(struct egress *x, enum refused_by by, unsigned status,
				    const char *error, const char *detail, const char *reason)
{
	const struct refusal *r = refuse_always(x, by, status, error, detail, reason);

	if (!x->proxy->config.observe || by == REFUSED_BY_NETWORK)
		return r;
	if (!x->is_observed) /* the first is what would have been answered */
		x->observed = *r;
	x->is_observed = true;
	return NULL;
}

/* ---- who asks, and may it? ---- */

bool egress_stale(const struct egress *x)
{
	const struct proxy_config *c = &x->proxy->config;

	return !c->observe && policy_verdict_stale(&x->verdict, *c->policy);
}

/* This version runs no middleware; what must not go round one goes nowhere. */
static const struct refusal *check_middleware(struct egress *x)
{
	const struct policy_middleware *m = policy_middleware_for(x->policy, str_of(x->host), true);

	if (m == NULL)
		return NULL;
	return egress_refuse(
		x, REFUSED_BY_MIDDLEWARE, 403, "middleware_failed",
		"could not be processed by configured middleware",
		arena_printf(&x->arena, "middleware '%s' is not run by this version", m->name));
}

static void judge(struct egress *x, const struct err *why_unknown)
{
	struct policy_target target = {str_of(x->host), x->port};
	const struct refusal *why = NULL;

	x->policy = policy_ref(*x->proxy->config.policy);
	if (x->caller != NULL)
		caller_for_policy(x->caller, &x->who);
	policy_decide(x->policy, &target, x->caller && !why_unknown ? &x->who : NULL, &x->arena,
		      &x->verdict);
	if (!x->verdict.allowed)
		why = egress_refuse(x, REFUSED_BY_POLICY, 403, "policy_denied",
				    "not permitted by policy",
				    why_unknown ? why_unknown->text : x->verdict.reason);
	else
		why = check_middleware(x);
	x->decided(x, why);
}

static void found_out(struct caller_query *q, struct caller *who, const struct err *why)
{
	struct egress *x = container_of(q, struct egress, query);

	x->caller = who ? caller_ref(who) : NULL;
	if (x->known != NULL)
		x->known(x);
	else
		judge(x, why);
}

static void forget(struct egress *x)
{
	egress_cancel(x);
	caller_unref(steal(&x->caller));
	policy_unref(steal(&x->policy));
	arena_fini(&x->arena);
	x->addresses = NULL;
	x->who = (struct policy_caller){0};
	x->verdict = (struct policy_verdict){0};
	x->is_observed = false;
}

void egress_ask_who(struct egress *x, void (*known)(struct egress *x))
{
	forget(x);
	x->known = known;
	callers_ask(x->proxy->config.callers, &x->query, x->client);
}

void egress_ask(struct egress *x, struct str host, uint16_t port, struct str method, struct str url)
{
	must(host.n < sizeof x->host);
	forget(x);
	x->known = NULL;
	snprintf(x->host, sizeof x->host, "%.*s", STR_FMT(host));
	x->port = port;
	x->what = arena_printf(&x->arena, "%.*s %.*s", STR_FMT(method), STR_FMT(url));
	callers_ask(x->proxy->config.callers, &x->query, x->client);
}

/* ---- out ---- */

static void refuse_way(struct egress *x, const struct refusal *why)
{
	egress_cancel(x);
	x->connected(x, -1, why);
}

static void unreachable(struct egress *x, const struct err *why)
{
	refuse_way(x, egress_refuse(x, REFUSED_BY_NETWORK, 502, "upstream_unreachable",
				    "failed: upstream unreachable", why->text));
}

/* Contract 6.3, step 4: between the policy's answer and what is done by it there may be a new policy. */
static bool refused_as_stale(struct egress *x)
{
	if (!egress_stale(x))
		return false;
	refuse_way(x, egress_refuse(x, REFUSED_BY_STALENESS, 403, "policy_denied",
				    "not permitted by policy because policy changed", NULL));
	return true;
}

static void dialled(void *owner, int fd, const struct err *why)
{
	struct egress *x = owner;

	x->dial = NULL;
	if (fd < 0) {
		unreachable(x, why);
		return;
	}
	if (refused_as_stale(x)) {
		close(fd);
		return;
	}
	timer_stop(x->proxy->loop, &x->deadline);
	x->connected(x, fd, NULL);
}

/* Whether a corporate proxy is asked (contract 6.12). */
static const struct url *corporate_proxy(const struct egress *x)
{
	const struct proxy_upstream *u = x->proxy->config.upstream;

	if (u == NULL || !x->tunnel ||
	    proxy_excepted(str_of(u->no_proxy), x->host, x->port, x->addresses, x->addresses_n))
		return NULL;
	return u->url;
}

static void dial(struct egress *x)
{
	const struct url *proxy = corporate_proxy(x);
	struct dial_config c = {
		.host = x->host,
		.port = x->port,
		.addresses = x->addresses,
		.addresses_n = x->addresses_n,
		.timeout_ms = MAX(x->deadline.at - mono_ms(), (int64_t)1),
		.done = dialled,
		.owner = x,
	};

	if (proxy != NULL) {
		c.proxy = proxy;
		c.addresses_n = 0;
	}
	if (proxy != NULL && !x->proxy->config.upstream->connect_by_hostname) {
		char *host = arena_zalloc(&x->arena, ADDRESS_HOST_MAX);
		address_host(&x->addresses[0], host);
		c.host = host;
	}
	x->dial = dial_start(x->proxy->loop, x->proxy->config.resolver, &c);
}

/* An address at which the proxy itself listens: it listens on one, and 0.0.0.0 is any of them. */
static bool is_self(const struct proxy *p, const struct address *a, uint16_t port)
{
	return address_port(&p->self) == port && address_reach(a) == ADDRESS_NEVER;
}

static const struct refusal *check_destination(struct egress *x)
{
	struct destination d = {
		.host = str_of(x->host),
		.port = x->port,
		.addresses = x->addresses,
		.addresses_n = (size_t)x->addresses_n,
		.verdict = &x->verdict,
		.gateway = x->proxy->config.host_gateway,
	};
	char reason[256], detail[64];

	for (int i = 0; i < x->addresses_n; i++) {
		if (x->proxy->config.observe && is_self(x->proxy, &x->addresses[i], x->port))
			return refuse_always(x, REFUSED_BY_DESTINATION, 403, "ssrf_denied",
					     "blocked: internal address",
					     "it leads to the proxy itself");
	}
	enum destination_denial denial = destination_check(&d, reason, sizeof reason);
	if (denial == DESTINATION_ALLOWED)
		return NULL;
	snprintf(detail, sizeof detail, "blocked: %s", destination_denial_text(denial));
	return egress_refuse(x, REFUSED_BY_DESTINATION, 403, "ssrf_denied", detail, reason);
}

static void resolved(struct resolve_query *q, const struct address *a, int n, const struct err *e)
{
	struct egress *x = container_of(q, struct egress, name);
	const struct refusal *why;

	if (n == 0) {
		unreachable(x, e);
		return;
	}
	if (refused_as_stale(x))
		return;
	x->addresses = arena_zalloc(&x->arena, (size_t)n * sizeof *a);
	memcpy(x->addresses, a, (size_t)n * sizeof *a);
	x->addresses_n = n;
	why = check_destination(x);
	if (why == NULL && x->checked != NULL)
		why = x->checked(x);
	if (why != NULL)
		refuse_way(x, why);
	else
		dial(x);
}

static void timed_out(struct timer *t)
{
	struct egress *x = container_of(t, struct egress, deadline);
	struct err e;

	err_set(&e, ETIMEDOUT, "look up %s: timed out", x->host);
	unreachable(x, &e);
}

void egress_connect(struct egress *x)
{
	struct proxy *p = x->proxy;
	struct address literal;
	struct err e;

	timer_set(p->loop, &x->deadline, PROXY_DIAL_MS);
	if (resolve_literal(x->host, x->port, &literal))
		resolved(&x->name, &literal, 1, NULL);
	else if (resolve_start(p->config.resolver, &x->name, x->host, x->port, &e) < 0)
		unreachable(x, &e);
}

/* ---- life ---- */

void egress_init(struct egress *x, struct proxy *p, int client)
{
	*x = (struct egress){
		.proxy = p,
		.client = client,
		.arena = ARENA_INIT(EGRESS_ARENA_MAX),
		.query.done = found_out,
		.name.done = resolved,
		.deadline.fire = timed_out,
	};
}

void egress_cancel(struct egress *x)
{
	callers_cancel(&x->query);
	resolve_cancel(&x->name);
	dial_cancel(steal(&x->dial));
	timer_stop(x->proxy->loop, &x->deadline);
}

void egress_fini(struct egress *x)
{
	forget(x);
}
