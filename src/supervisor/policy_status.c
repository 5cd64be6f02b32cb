#include <stdlib.h>

#include "base/log.h"
#include "base/util.h"
#include "openshell.pb-c.h"
#include "supervisor/policy_status.h"

enum {
	WAITING_MAX = 32,    /* ours: a gateway that is away, and back, wants the last of them */
	PAUSE_MIN_MS = 1000, /* contract 2.3 */
	PAUSE_MAX_MS = 32000,
	TOKENS_MAX = 5, /* ours: that may be refused in a row, since a token may be renewed */
};

struct report {
	struct list link;
	uint32_t version;
	char *why; /* NULL: it is in force */
};

/*
 *   IDLE --a report--> CALLING --taken, or refused for good--> IDLE, or CALLING for the next
 *                        ^  |
 *                        +--+ PAUSE
 */
struct policy_status {
	struct loop *loop;
	struct gateway_calls *calls;
	const char *sandbox_id;
	struct list reports; /* the first is told */
	size_t n;
	struct gateway_call call;
	struct timer pause;
	unsigned failures; /* of this report */
	int tokens;        /* that were refused */
};

static void drop_first(struct policy_status *s)
{
	struct report *r = list_first(&s->reports, struct report, link);

	list_del(&r->link);
	s->n--;
	free(r->why);
	free(r);
}

static void tell_first(struct policy_status *s)
{
	const struct report *r = list_first(&s->reports, struct report, link);
	Openshell__V1__ReportPolicyStatusRequest request =
		OPENSHELL__V1__REPORT_POLICY_STATUS_REQUEST__INIT;

	if (r == NULL || s->call.calls != NULL || timer_armed(&s->pause))
		return;
	request.sandbox_id = (char *)s->sandbox_id;
	request.version = r->version;
	request.status = OPENSHELL__V1__POLICY_STATUS__POLICY_STATUS_LOADED;
	if (r->why != NULL) {
		request.status = OPENSHELL__V1__POLICY_STATUS__POLICY_STATUS_FAILED;
		request.load_error = r->why;
	}
	gateway_call_start(s->calls, &s->call, "ReportPolicyStatus", &request,
			   &openshell__v1__report_policy_status_response__descriptor);
}

static void again(struct timer *t)
{
	tell_first(container_of(t, struct policy_status, pause));
}

static bool may_pass(struct policy_status *s, enum grpc_status status)
{
	if (status == GRPC_UNAUTHENTICATED)
		return ++s->tokens < TOKENS_MAX;
	return gateway_may_pass(status);
}

static void told(struct gateway_call *c, enum grpc_status status, const void *message UNUSED,
		 struct str text)
{
	struct policy_status *s = container_of(c, struct policy_status, call);

	if (status != GRPC_OK && may_pass(s, status)) {
		if (s->failures++ == 0)
			log_warn("the state of the policy is not acknowledged; it is told again",
				 "reason=%.*s", STR_FMT(text));
		timer_set(s->loop, &s->pause, backoff_ms(s->failures, PAUSE_MIN_MS, PAUSE_MAX_MS));
		return;
	}
	if (status != GRPC_OK)
		log_warn("the gateway does not want to know the state of the policy", "reason=%.*s",
			 STR_FMT(text));
	s->failures = 0;
	s->tokens = 0;
	drop_first(s);
	tell_first(s);
}

static void add(struct policy_status *s, uint32_t version, const char *why)
{
	struct report *r = xcalloc(1, sizeof *r);

	must(version != 0);
	r->version = version;
	r->why = why ? xstrdup(why) : NULL;
	list_add(&s->reports, &r->link);
	if (++s->n > WAITING_MAX) {
		log_warn("a state of the policy was never told: too many wait for the gateway");
		gateway_call_cancel(&s->call);
		drop_first(s);
	}
	tell_first(s);
}

void policy_status_loaded(struct policy_status *s, uint32_t version)
{
	add(s, version, NULL);
}

void policy_status_failed(struct policy_status *s, uint32_t version, const char *why)
{
	add(s, version, why);
}

struct policy_status *policy_status_new(struct loop *l, struct gateway_calls *calls,
					const char *sandbox_id)
{
	struct policy_status *s = xcalloc(1, sizeof *s);

	s->loop = l;
	s->calls = calls;
	s->sandbox_id = sandbox_id;
	s->call.done = told;
	s->pause.fire = again;
	list_init(&s->reports);
	return s;
}

void policy_status_free(struct policy_status *s)
{
	if (s == NULL)
		return;
	gateway_call_cancel(&s->call);
	timer_stop(s->loop, &s->pause);
	while (s->n > 0)
		drop_first(s);
	free(s);
}
