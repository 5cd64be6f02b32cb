/*
 * struct kube_error - why a call to the API server did not do what was asked, with enough to decide
 * what now. It is made from the answer's Status object, or from what broke on the way there.
 */
#ifndef OPENSHELL_KUBE_ERROR_H
#define OPENSHELL_KUBE_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include <cJSON.h>

#include "base/str.h"

enum kube_fault {
	KUBE_NONE,         /* no error */
	KUBE_TRANSPORT,    /* no answer: connect, TLS, proxy, credentials plugin, lost connection */
	KUBE_TIMEOUT,      /* our deadline passed, or the server's own (504, reason Timeout) */
	KUBE_BAD_ANSWER,   /* an answer that cannot be used: not JSON, too large */
	KUBE_BAD_REQUEST,  /* 400 and other 4xx without a name here */
	KUBE_UNAUTHORIZED, /* 401, after the credentials were refreshed once */
	KUBE_FORBIDDEN,    /* 403: RBAC, admission, SCC */
	KUBE_QUOTA,        /* 403 whose message says that a quota is exceeded */
	KUBE_NOT_FOUND,    /* 404 with a Status that names an object */
	KUBE_NO_RESOURCE,  /* 404 for the collection itself: no such API version or type */
	KUBE_ALREADY_EXISTS, /* 409 AlreadyExists */
	KUBE_CONFLICT,       /* any other 409: resourceVersion or uid differ, terminating… */
	KUBE_EXPIRED,        /* 410 Gone or Expired: resourceVersion or continue token too old */
	KUBE_INVALID,        /* 422 */
	KUBE_BUSY,           /* 429, 503 after our repeats */
	KUBE_SERVER,         /* any other 5xx */
};

struct kube_error {
	enum kube_fault fault;
	int http;    /* the answer's status, also of an ERROR event's Status; 0: none */
	bool unsure; /* the server may have done it although the answer says no, or none came:
				   read before you repeat what must not happen twice */
	int64_t retry_after_ms; /* what the server asked for; 0 when nothing */
	char reason[64];        /* Status.reason, "" when none */
	char kind[64];          /* Status.details.kind */
	char name[254];         /* Status.details.name */
	char message[1024];     /* the server's own words, or ours; never empty in an error */
};

/* "NotFound", "Transport"…: for logs. */
const char *kube_fault_name(enum kube_fault f);

/* Whether waiting and asking again may help (transport, timeout, busy, server). */
bool kube_error_is_transient(const struct kube_error *e);

/* Fills *e from an answer with the given HTTP status (or, with http == 0, from the Status in an
 * ERROR event of a watch, whose code counts). body is the parsed Status or NULL; text is what the
 * body says when it is not JSON, cut to a line. */
void kube_error_from_status(struct kube_error *e, int http, const cJSON *body, struct str text);

/* Fills *e with a fault of our own and words. */
void kube_error_set(struct kube_error *e, enum kube_fault fault, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
