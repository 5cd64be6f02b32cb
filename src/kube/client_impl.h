/*
 * What list.c shares with client.c, and nobody else may see: the answer's body as it comes.
 */
#ifndef OPENSHELL_KUBE_CLIENT_IMPL_H
#define OPENSHELL_KUBE_CLIENT_IMPL_H

#include "kube/client.h"

struct kube_transfer {
	const char *path; /* GET; copied */
	int64_t timeout_ms; /* for everything: waiting, connecting, repeats; 0: KUBE_CALL_TIMEOUT_MS */
	/* Bytes of a 2xx answer, borrowed. */
	void (*data)(void *owner, struct str bytes);
	/* The end: error is NULL when all of a 2xx answer was told. */
	void (*ended)(void *owner, const struct kube_error *error);
	void *owner;
};

/* Repeated as a GET by kube_call is, but only until the first byte was told. */
struct kube_request *kube_transfer(struct kube_client *c, const struct kube_transfer *t);

#endif
