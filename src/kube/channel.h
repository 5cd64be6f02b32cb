/*
 * The connections to one API server, and exchanges (a request and its answer) on them: one HTTP/2
 * connection where the server offers it, else a small pool of HTTP/1.1 connections. Connects when
 * there is something to send, with backoff, through the proxy that is configured, with the
 * credentials that are fresh. Decides nothing about repeats: it says how an exchange ended and
 * whether the server can have seen it. Used by client.c.
 */
#ifndef OPENSHELL_KUBE_CHANNEL_H
#define OPENSHELL_KUBE_CHANNEL_H

#include <stdbool.h>

#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "kube/auth.h"
#include "kube/config.h"
#include "loop/loop.h"

struct channel;
struct exchange;

enum {
	CHANNEL_CONNECT_MS = 10000, /* name, TCP, proxy and TLS; driver contract 3.2 */
	CHANNEL_BACKOFF_FIRST_MS = 100,
	CHANNEL_BACKOFF_MAX_MS = 5000,
	CHANNEL_HTTP1_MAX = 32,  /* connections of the pool; a watch has one for itself */
	CHANNEL_IDLE_MS = 60000, /* a connection without an exchange is closed */
};

enum exchange_end {
	EXCHANGE_DONE,   /* the answer is complete */
	EXCHANGE_UNSENT, /* the server did not and will not act on it: never sent, or refused */
	EXCHANGE_LOST,   /* the connection broke: nobody knows whether it did */
};

struct exchange_ops {
	void (*headers)(struct exchange *x, int status);
	void (*data)(struct exchange *x, struct str bytes); /* borrowed */
	/* The last call. why->text is empty when it is done. */
	void (*ended)(struct exchange *x, enum exchange_end how, const struct err *why);
};

/* Embedded in its owner, zeroed. The strings are borrowed until it has ended or was withdrawn; the
 * struct itself must outlive the loop's turn in which that happens. */
struct exchange {
	const struct exchange_ops *ops;
	const char *method;
	const char *path;         /* without the server's prefix; with its query */
	const char *content_type; /* or NULL */
	struct str body;          /* p is NULL: none */

	unsigned generation; /* of the credentials that it was sent with */

	/* channel.c's and link.c's: */
	struct channel *channel;  /* NULL: not submitted, or over */
	struct list place;        /* in the list of those that wait, or of those that were lost */
	struct link *link;        /* what carries it, NULL while it waits */
	struct h2_stream *stream; /* on an HTTP/2 connection */
	bool peer_ended;          /* all of the answer is there */
	enum exchange_end how;    /* of one that was lost */
};

/* Checks the server's URL, the proxy and the certificates. config and auth are borrowed. */
int channel_new(struct channel **out, struct loop *l, const struct kube_config *config,
		struct kube_auth *auth, struct err *e);
/* Exchanges must have been withdrawn; takes NULL. */
void channel_free(struct channel *ch);

/* Sends it when there is a connection. Callbacks come from the loop. A connection that fails ends
 * what waits for it as EXCHANGE_UNSENT; submitting again waits for the next try. */
void exchange_submit(struct channel *ch, struct exchange *x);
/* No callback is called any more; the server is told when it has begun. Harmless when it was not
 * submitted. May be called from any callback. */
void exchange_withdraw(struct exchange *x);
/* Whether it has left the queue, so that the server may have seen it. */
bool exchange_is_sent(const struct exchange *x);
/* A header of the answer (lower case); valid from headers to ended. */
struct str exchange_header(const struct exchange *x, const char *name);

/* Why the newest try to connect failed, "" when it did not. */
const char *channel_trouble(const struct channel *ch);

#endif
