/*
 * The client's side of one HTTP/1.1 connection: one request at a time, its response as it comes.
 * No deadlines: whoever waits for an answer knows how long, and frees the connection. Used by
 * src/kube, and by src/libpod later.
 */
#ifndef OPENSHELL_HTTP1_CLIENT_H
#define OPENSHELL_HTTP1_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "net/conn.h"

struct http1_client;

/* Callbacks of the request under way; they may call http1_client_free. */
struct http1_client_ops {
	/* The status is there; headers can be asked for. */
	void (*headers)(void *owner, int status);
	/* Bytes of the body, borrowed. */
	void (*data)(void *owner, struct str bytes);
	/* The response is complete. reusable: the connection takes another request, now or later. */
	void (*done)(void *owner, bool reusable);
	/* The connection is broken or closed, with or without a request under way; the last call. */
	void (*failed)(void *owner, const struct err *why);
};

/* Takes c. ops are borrowed. */
struct http1_client *http1_client_new(struct conn *c, const struct http1_client_ops *ops,
				      void *owner);
/* Ends it without a callback; also from inside one. Takes NULL. */
void http1_client_free(struct http1_client *h);

struct http1_header_line {
	const char *name;
	struct str value; /* left out when p is NULL */
};

struct http1_request {
	const char *method;
	const char *path; /* with its query */
	const char *host; /* the Host field */
	const struct http1_header_line *headers;
	size_t n;
	struct str body; /* none: p is NULL; sent with a Content-Length */
};

/* Sends a request (copied); only when none is under way. */
void http1_client_request(struct http1_client *h, const struct http1_request *r);
/* Whether any byte of the request under way may have left. */
bool http1_client_has_sent(const struct http1_client *h);
/* A header of the response, see http1_header. Borrowed until the next request. */
struct str http1_client_header(const struct http1_client *h, const char *name);

#endif
