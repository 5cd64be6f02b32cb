#include "base/log.h"
#include "base/str.h"
#include "openshell.pb-c.h"
#include "supervisor/token_renewal.h"

enum { AGAIN_MS = 10000 }; /* contract 2.1 */

static void renew(struct token_renewal *r)
{
	Openshell__V1__RefreshSandboxTokenRequest request =
		OPENSHELL__V1__REFRESH_SANDBOX_TOKEN_REQUEST__INIT;

	r->call.as_account = false;
	gateway_call_start(r->calls, &r->call, "RefreshSandboxToken", &request,
			   &openshell__v1__refresh_sandbox_token_response__descriptor);
}

static void exchange(struct token_renewal *r)
{
	Openshell__V1__IssueSandboxTokenRequest request =
		OPENSHELL__V1__ISSUE_SANDBOX_TOKEN_REQUEST__INIT;

	r->call.as_account = true;
	gateway_call_start(r->calls, &r->call, "IssueSandboxToken", &request,
			   &openshell__v1__issue_sandbox_token_response__descriptor);
}

/* It lives in a file or with the gateway, where it may be renewed meanwhile. */
static void again_later(struct token_renewal *r, struct str why)
{
	if (!r->failed)
		log_warn("the token is not renewed; it is tried again", "reason=%.*s",
			 STR_FMT(why));
	r->failed = true;
	timer_set(r->loop, &r->timer, AGAIN_MS);
}

static void take(struct token_renewal *r, const char *token)
{
	struct err e;

	if (gateway_token_set(r->token, str_of(token), &e) < 0) {
		err_wrap(&e, "the gateway's token");
		again_later(r, str_of(e.text));
		return;
	}
	r->failed = false;
	log_info("the token was renewed");
	timer_set(r->loop, &r->timer, gateway_token_renewal_ms(r->token));
}

static void done(struct gateway_call *c, enum grpc_status status, const void *message,
		 struct str text)
{
	struct token_renewal *r = container_of(c, struct token_renewal, call);

	if (status == GRPC_UNAUTHENTICATED && !c->as_account && !str_empty(r->token->account_file))
		exchange(r);
	else if (status != GRPC_OK)
		again_later(r, text);
	else if (c->as_account)
		take(r, ((const Openshell__V1__IssueSandboxTokenResponse *)message)->token);
	else
		take(r, ((const Openshell__V1__RefreshSandboxTokenResponse *)message)->token);
}

static void fire(struct timer *t)
{
	renew(container_of(t, struct token_renewal, timer));
}

void token_renewal_start(struct token_renewal *r, struct loop *l, struct gateway_calls *calls,
			 const struct gateway_token *token)
{
	*r = (struct token_renewal){
		.loop = l,
		.calls = calls,
		.token = token,
		.timer = {.fire = fire},
		.call = {.done = done},
	};
	timer_set(l, &r->timer, gateway_token_renewal_ms(token));
}

void token_renewal_now(struct token_renewal *r)
{
	if (r->call.calls != NULL || r->failed) /* it is being renewed, or will be in seconds */
		return;
	timer_stop(r->loop, &r->timer);
	renew(r);
}

void token_renewal_stop(struct token_renewal *r)
{
	if (r->loop == NULL)
		return;
	gateway_call_cancel(&r->call);
	timer_stop(r->loop, &r->timer);
}
