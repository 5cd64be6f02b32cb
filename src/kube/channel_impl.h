/*
 * What channel.c and link.c share, and nobody else may see: a channel has links, connections that
 * are open; a link carries exchanges.
 */
#ifndef OPENSHELL_KUBE_CHANNEL_IMPL_H
#define OPENSHELL_KUBE_CHANNEL_IMPL_H

#include "http1/client.h"
#include "http2/h2_conn.h"
#include "kube/channel.h"
#include "net/conn_dial.h"

/*
 *  OPEN ---> CLOSING ---> gone
 *  CLOSING: carries what it carries, takes nothing new
 */
struct link {
	struct channel *channel;
	struct list place;
	struct h2_conn *h2; /* one of these two */
	struct http1_client *h1;
	struct exchange *busy;    /* HTTP/1.1: what it carries */
	struct list lost;         /* HTTP/2: ended by the end of the connection, to be told why */
	unsigned auth_generation; /* the credentials that it was made with */
	bool closing;
	bool answered; /* the server has answered something on it */
	struct timer idle;
	struct later free_later;
};

/* Takes the conn. */
struct link *link_new(struct channel *ch, struct conn *c, bool http2);
/* Whether it can take one more. */
bool link_has_room(const struct link *l);
/* Begins an exchange that is on no list. */
void link_send(struct link *l, struct exchange *x);
/* Takes nothing new, and ends when what it carries has. */
void link_drain(struct link *l);
/* Ends it, without a word to what it carries; also from its own callbacks. */
void link_free(struct link *l);
/* The same, but from outside of them. */
void link_free_now(struct link *l);
/* Stops carrying x, and says nothing to it. */
void link_withdraw(struct link *l, struct exchange *x);

/* Tells it the end, once. */
void exchange_end(struct exchange *x, enum exchange_end how, const struct err *why);

/* What links tell their channel: the server answers; a link ended (released by the channel); one
 * more can be sent. */
void channel_answered(struct channel *ch);
void channel_link_ended(struct channel *ch, struct link *l, const struct err *why);
void channel_pump(struct channel *ch);

/* The loop; Host and :authority; the path in front of every path. */
struct loop *channel_loop(const struct channel *ch);
const char *channel_authority(const struct channel *ch);
const char *channel_prefix(const struct channel *ch);
const char *channel_scheme(const struct channel *ch);
/* The credentials of this moment; the header may be NULL. */
unsigned channel_auth_generation(const struct channel *ch);
const char *channel_authorization(const struct channel *ch);

#endif
