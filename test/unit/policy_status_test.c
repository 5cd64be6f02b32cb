/* supervisor/policy_status.c, with calls that the test ends. */
#include <stdio.h>

#include "../../src/supervisor/policy_status.c"
#include "test.h"

/* ---- in the place of gateway_calls.c ---- */

static struct gateway_call *under_way;
static char said[256];

void gateway_call_start(struct gateway_calls *s, struct gateway_call *c, const char *method,
			const void *request, const ProtobufCMessageDescriptor *out UNUSED)
{
	const Openshell__V1__ReportPolicyStatusRequest *r = request;

	OK(under_way == NULL);
	STREQ(method, "ReportPolicyStatus");
	STREQ(r->sandbox_id, "id");
	snprintf(said, sizeof said, "%u %s %s", r->version,
		 r->status == OPENSHELL__V1__POLICY_STATUS__POLICY_STATUS_LOADED ? "loaded"
										 : "failed",
		 r->load_error);
	c->calls = s;
	under_way = c;
}

void gateway_call_cancel(struct gateway_call *c)
{
	if (under_way == c)
		under_way = NULL;
	c->calls = NULL;
}

bool gateway_may_pass(enum grpc_status s)
{
	return s == GRPC_UNAVAILABLE;
}

static void end(enum grpc_status status)
{
	struct gateway_call *c = under_way;

	OK(c != NULL);
	under_way = NULL;
	c->calls = NULL;
	c->done(c, status, NULL, STR("why"));
}

static struct policy_status *begin(struct loop **l)
{
	struct err e;

	EQ(loop_new(l, &e), 0);
	return policy_status_new(*l, (struct gateway_calls *)&under_way, "id");
}

static void finish(struct policy_status *s, struct loop *l)
{
	policy_status_free(s);
	OK(under_way == NULL);
	loop_free(l);
}

/* ---- the tests ---- */

TEST(one_after_the_other)
{
	struct loop *l;
	struct policy_status *s = begin(&l);

	policy_status_loaded(s, 1);
	policy_status_failed(s, 2, "it is none");
	STREQ(said, "1 loaded ");
	end(GRPC_OK);
	STREQ(said, "2 failed it is none");
	end(GRPC_NOT_FOUND); /* for good */
	OK(under_way == NULL);
	policy_status_loaded(s, 3);
	STREQ(said, "3 loaded ");
	finish(s, l);
}

/* The pause has a jitter of a fifth, and some of it may be over. */
static void expect_pause(const struct policy_status *s, int64_t ms)
{
	int64_t left = s->pause.at - mono_ms();

	OK(left <= ms * 6 / 5);
	OK(left >= ms * 4 / 5 - test_ms(200));
}

TEST(again_after_a_pause_that_grows)
{
	struct loop *l;
	struct policy_status *s = begin(&l);

	policy_status_loaded(s, 1);
	for (int64_t pause = 1000, i = 0; i < 10; i++, pause = MIN(2 * pause, (int64_t)32000)) {
		end(GRPC_UNAVAILABLE);
		OK(under_way == NULL && timer_armed(&s->pause));
		expect_pause(s, pause);
		policy_status_loaded(s, 2 + (uint32_t)i); /* waits behind it */
		OK(under_way == NULL);
		timer_stop(l, &s->pause);
		again(&s->pause);
		STREQ(said, "1 loaded ");
	}
	end(GRPC_OK);
	STREQ(said, "2 loaded ");
	end(GRPC_UNAVAILABLE);
	expect_pause(s, 1000);
	finish(s, l);
}

TEST(a_token_is_refused_so_often)
{
	struct loop *l;
	struct policy_status *s = begin(&l);

	policy_status_loaded(s, 1);
	for (int i = 1; i < TOKENS_MAX; i++) {
		end(GRPC_UNAUTHENTICATED);
		timer_stop(l, &s->pause);
		again(&s->pause);
	}
	policy_status_loaded(s, 2);
	STREQ(said, "1 loaded ");
	end(GRPC_UNAUTHENTICATED);
	STREQ(said, "2 loaded ");
	finish(s, l);
}

TEST(too_many_wait)
{
	struct loop *l;
	struct policy_status *s = begin(&l);

	for (uint32_t i = 1; i <= WAITING_MAX; i++)
		policy_status_loaded(s, i);
	STREQ(said, "1 loaded ");
	policy_status_loaded(s, WAITING_MAX + 1);
	STREQ(said, "2 loaded ");
	EQ(s->n, WAITING_MAX);
	finish(s, l);
}
