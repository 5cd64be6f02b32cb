/*
 * A client of one API server. All calls share one HTTP/2 connection (a small pool of HTTP/1.1
 * connections where the server offers no h2), which is made when it is first needed and made again
 * with backoff and jitter when it breaks. Every call has a deadline. What may safely be repeated is
 * repeated by the client itself (see kube_call); nothing else ever is.
 *
 * Callbacks come from the loop, never from inside a function of this header. One thread.
 */
#ifndef OPENSHELL_KUBE_CLIENT_H
#define OPENSHELL_KUBE_CLIENT_H

#include <stdint.h>

#include <cJSON.h>

#include "base/err.h"
#include "base/str.h"
#include "kube/config.h"
#include "kube/error.h"
#include "kube/path.h"
#include "loop/loop.h"

struct kube_client;
struct kube_request; /* a call or stream under way */

/* Checks the server's URL, certificates and keys and prepares everything; makes no connection. Takes
 * config on success; it stays the caller's on failure. */
int kube_client_new(struct kube_client **out, struct loop *l, struct kube_config *config,
		    struct err *e);
/* Drops every request without a callback and releases the client; takes NULL. Not from inside a
 * callback of this client. */
void kube_client_free(struct kube_client *c);

struct loop *kube_client_loop(const struct kube_client *c);
/* What the client was made from. Borrowed. */
const struct kube_config *kube_client_config(const struct kube_client *c);

enum kube_method { KUBE_GET, KUBE_POST, KUBE_PUT, KUBE_PATCH, KUBE_DELETE };

enum kube_body {
	KUBE_JSON,        /* application/json */
	KUBE_MERGE_PATCH, /* application/merge-patch+json */
	KUBE_APPLY,       /* application/apply-patch+yaml (JSON is YAML): server-side apply */
};

enum {
	KUBE_CALL_TIMEOUT_MS = 30000,    /* driver contract 3.2, KUBE_API_TIMEOUT */
	KUBE_ANSWER_MAX = 16 << 20,      /* bytes of an answer */
	KUBE_LINE_MAX = 4 << 20,         /* bytes of one watch event */
	KUBE_STREAM_SILENCE_MS = 150000, /* default guard of a stream */
	KUBE_REQUESTS_MAX = 4096,        /* under way and waiting; one more is answered KUBE_BUSY */
};

struct kube_answer {
	int status;  /* HTTP status; 0 when none came */
	cJSON *body; /* parsed; NULL when empty. Borrowed: take it with steal() */
	const struct kube_error *error; /* NULL when the status is 2xx. Borrowed */
};

struct kube_call {
	enum kube_method method;
	enum kube_body type;
	const char *path;  /* from kube_path; copied */
	const cJSON *body; /* or NULL; written out at once, not kept */
	int64_t timeout_ms; /* for everything: waiting, connecting, repeats; 0: KUBE_CALL_TIMEOUT_MS */
	void (*done)(void *owner, struct kube_answer *a);
	void *owner;
};

/*
 * Starts a call; done is called once, unless it is cancelled or the client released. The handle is
 * valid until done is called or kube_cancel.
 *
 * Repeated within the deadline, with backoff and jitter or after Retry-After: GET on any lost
 * connection, 429, 500, 502, 503 and 504; every method on 429 (the server's word that it did
 * nothing), on the 503 of a server that is still starting, on a stream refused or not reached before
 * GOAWAY, and on a connection that failed before the request was sent. 401 refreshes the credentials
 * once.
 */
struct kube_request *kube_call(struct kube_client *c, const struct kube_call *call);

struct kube_stream {
	const char *path;   /* GET; copied */
	int64_t timeout_ms; /* until the answer's headers; 0: KUBE_CALL_TIMEOUT_MS */
	int64_t silence_ms; /* ends with KUBE_TIMEOUT when nothing comes for so long; 0: default */
	/* The answer is 200 and the stream open; may be NULL. */
	void (*opened)(void *owner);
	/* One whole line, without its newline; borrowed. The server is slowed down while we work. */
	void (*line)(void *owner, struct str line);
	/* The end: error is NULL when the server ended it in order between two lines. */
	void (*ended)(void *owner, const struct kube_error *error);
	void *owner;
};

/* Opens a stream of lines (a watch). It is never repeated, but for 401 once. The handle is valid
 * until ended is called or kube_cancel. */
struct kube_request *kube_stream(struct kube_client *c, const struct kube_stream *stream);

/* Drops a request: no callback of it is called any more (also when called from one of its own).
 * The server is told (RST_STREAM or a closed connection). Takes NULL. */
void kube_cancel(struct kube_request *r);

#endif
