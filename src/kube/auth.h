/*
 * Who we are to the API server, now: a bearer token (fixed, from a file that rotates, or of a
 * plugin), basic authentication, a client certificate, or nothing. Keeps them fresh; client.c and
 * channel.c ask for them with each request and connection.
 */
#ifndef OPENSHELL_KUBE_AUTH_H
#define OPENSHELL_KUBE_AUTH_H

#include <stdint.h>

#include "base/err.h"
#include "kube/config.h"
#include "loop/loop.h"

enum {
	KUBE_TOKEN_FRESH_MS = 60000, /* a token file is read again after so long */
	KUBE_EXEC_EARLY_S = 10,      /* a plugin's credential counts as expired so long before */
	KUBE_EXEC_RETRY_MS = 5000,   /* a plugin is not run again before */
};

struct kube_auth;

/* changed is called from the loop when a plugin has answered: what waited may ask again. */
struct kube_auth *kube_auth_new(struct loop *l, const struct kube_config *config,
				void (*changed)(void *owner), void *owner);
void kube_auth_free(struct kube_auth *a);

enum kube_auth_state {
	KUBE_AUTH_READY,  /* header and identity may be asked for */
	KUBE_AUTH_WAIT,   /* a plugin runs; changed will be called */
	KUBE_AUTH_FAILED, /* *e says why; asking later may succeed */
};

/* Makes sure that there are credentials and that they are fresh. */
enum kube_auth_state kube_auth_check(struct kube_auth *a, struct err *e);

/* The value of the Authorization header; NULL: send none. Borrowed until the next check. Secret. */
const char *kube_auth_header(const struct kube_auth *a);
/* A number that changes with the credentials. */
unsigned kube_auth_generation(const struct kube_auth *a);
/* The client certificate and key that a plugin gave, PEM; NULL when it gave none. */
const char *kube_auth_cert_pem(const struct kube_auth *a);
const char *kube_auth_key_pem(const struct kube_auth *a);

/* The server answered 401 to these credentials. Whether asking again makes sense: they have changed
 * since, or can be renewed (which the next check does). */
bool kube_auth_rejected(struct kube_auth *a, unsigned generation);

#endif
