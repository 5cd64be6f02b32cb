/*
 * Netlink without a library: messages made in a buffer that cannot be overrun, sent in one go, and
 * the kernel's answers read until each message has one. Blocking, with a time limit: it is used while
 * a namespace is set up, before any loop runs. Called by src/isolate and src/probe.
 *
 *	struct nl_batch b;
 *	nl_begin(&b);
 *	nl_message(&b, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, &ifi, sizeof ifi);
 *	nl_attr_str(&b, IFLA_IFNAME, "x");
 *	if (nl_exchange(fd, &b, &e) < 0) …
 */
#ifndef OPENSHELL_NET_NETLINK_H
#define OPENSHELL_NET_NETLINK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	NL_BATCH_MAX = 8192,  /* bytes of all messages of a batch */
	NL_MESSAGES_MAX = 32, /* messages of a batch */
	NL_ANSWER_MS = 5000,  /* the kernel answers at once or not at all */
};

struct nl_batch {
	_Alignas(8) char bytes[NL_BATCH_MAX];
	size_t n;
	size_t message;                    /* where the newest one begins */
	unsigned messages;                 /* each has its number, from 1, as sequence number */
	const char *what[NL_MESSAGES_MAX]; /* what each does, for the error */
	uint32_t awaited;                  /* bit i: message i + 1 asked for an acknowledgement */
};

/* A netlink socket of that protocol (NETLINK_ROUTE, NETLINK_NETFILTER), close-on-exec; -1 with *e. */
int nl_open(int protocol, struct err *e);

/* A batch with nothing in it. */
void nl_begin(struct nl_batch *b);

/* Begins a message: its type, flags (NLM_F_REQUEST is added) and fixed part. what says what it does,
 * in a few words (borrowed, a literal). A batch that outgrows its limits is a broken invariant: all
 * that goes into one is ours. */
void nl_message(struct nl_batch *b, const char *what, uint16_t type, uint16_t flags,
		const void *fixed, size_t n);

/* Appends an attribute to the newest message. */
void nl_attr(struct nl_batch *b, uint16_t type, const void *data, size_t n);
void nl_attr_str(struct nl_batch *b, uint16_t type, const char *s);
void nl_attr_u32(struct nl_batch *b, uint16_t type, uint32_t v);
/* nf_tables and other generic families want their numbers in network byte order. */
void nl_attr_be32(struct nl_batch *b, uint16_t type, uint32_t v);

/* An attribute that holds others: those appended between the two calls. */
size_t nl_nest(struct nl_batch *b, uint16_t type);
void nl_nest_end(struct nl_batch *b, size_t nest);

/* Sends the batch and waits for an answer to each message that asked for one (NLM_F_ACK). Fails with
 * the first error the kernel tells: "add address to lo: Operation not permitted", e->code being its
 * errno. */
int nl_exchange(int fd, const struct nl_batch *b, struct err *e);

#endif
