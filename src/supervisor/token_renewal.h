/*
 * Keeping the token alive (supervisor contract 2.1): renewed at 80 % of its life, or asked for anew with the
 * ServiceAccount's where it has expired all the same; when that fails, again after 10 s.
 */
#ifndef OPENSHELL_SUPERVISOR_TOKEN_RENEWAL_H
#define OPENSHELL_SUPERVISOR_TOKEN_RENEWAL_H

#include "supervisor/gateway_calls.h"

struct token_renewal {
	struct loop *loop;
	struct gateway_calls *calls;
	const struct gateway_token *token;
	struct timer timer;
	struct gateway_call call;
	bool failed; /* the last time */
};

/* What is given is borrowed until token_renewal_stop. */
void token_renewal_start(struct token_renewal *r, struct loop *l, struct gateway_calls *calls,
			 const struct gateway_token *token);
/* It is refused already: the gateway's key is another, or the machine slept over its end. */
void token_renewal_now(struct token_renewal *r);
/* Harmless when it was not started. */
void token_renewal_stop(struct token_renewal *r);

#endif
