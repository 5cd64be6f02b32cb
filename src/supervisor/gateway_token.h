/*
 * By what a gateway knows us: the bearer token of each call. It is the environment's, a file's, or what the gateway
 * gives for a Kubernetes ServiceAccount's token (supervisor contract 2.1); then it is renewed again and again.
 *
 *	OPENSHELL_SANDBOX_TOKEN        the token, or
 *	OPENSHELL_SANDBOX_TOKEN_FILE   where it is; when another is put there, that one counts, or
 *	OPENSHELL_K8S_SA_TOKEN_FILE    where the ServiceAccount's is
 *
 * It is kept in a descriptor that nobody inherits, and in memory only for as long as a call takes to be started:
 * processes that are forked have it neither in their memory nor among their variables. The process of the boot
 * shares the descriptor, and leaves there what it gets.
 */
#ifndef OPENSHELL_SUPERVISOR_GATEWAY_TOKEN_H
#define OPENSHELL_SUPERVISOR_GATEWAY_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { GATEWAY_TOKEN_MAX = 16 << 10 }; /* ours */

struct gateway_token {
	int fd;
	const char *file, *account_file; /* "" is not given */
};

/* Takes it out of the environment. An error says that none of the three is there; gateway is its address, for that.
 * Released by gateway_token_fini, also on failure. */
int gateway_token_init(struct gateway_token *out, const char *gateway, struct err *e);
void gateway_token_fini(struct gateway_token *t);
/* Where no gateway is used: what the environment has is wiped. */
void gateway_token_forget(void);

/* "Bearer …", as it is now; the caller's, by free_secret. */
int gateway_token_bearer(const struct gateway_token *t, char **out, struct err *e);
/* The same of the ServiceAccount's, read anew. */
int gateway_token_account_bearer(const struct gateway_token *t, char **out, struct err *e);

/* Whether it must be asked for: there is none, but the ServiceAccount's. */
bool gateway_token_is_wanted(const struct gateway_token *t);
/* From now on it is this one. Fails when it is none. */
int gateway_token_set(const struct gateway_token *t, struct str token, struct err *e);

/* After how many ms it is to be renewed: at 80 % of the life that is left, and up to a tenth of that later, so that
 * not all come at once; from 1 s to 12 h. */
int64_t gateway_token_renewal_ms(const struct gateway_token *t);

#endif
