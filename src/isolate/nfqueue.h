/*
 * Packets that wait for a verdict (linux/netfilter/nfnetlink_queue.h): queue 0 of a network namespace, into
 * which the pocket puts the first packets of connections that it will refuse (pocket_hold_connections). They are
 * read with nflog_parse, which gives each its number. Opened and read by the keeper (detours.c).
 */
#ifndef OPENSHELL_ISOLATE_NFQUEUE_H
#define OPENSHELL_ISOLATE_NFQUEUE_H

#include <stdint.h>

#include "base/err.h"

/* The mark of a packet that was told of already; only CAP_NET_ADMIN could forge it. */
enum { NFQUEUE_MARK = 1 };

/*
 * Binds queue 0 in this network namespace, for so many packets at most (one more goes on at once, and is
 * logged): *fd is the caller's, non-blocking and close-on-exec. Needs CAP_NET_ADMIN over the namespace, as do verdicts.
 */
int nfqueue_open(uint32_t max, int *fd, struct err *e);

/* Lets a packet go on, marked, to the chain that refuses it. A verdict that the kernel has no room for
 * leaves the connection refused by silence. */
void nfqueue_refuse(int fd, uint32_t id);

#endif
