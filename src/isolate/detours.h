/*
 * What goes round the proxy, heard by the keeper: the kernel refuses it by itself (pocket.h), and this only
 * finds out that it did. A refused packet is logged (nflog.h). A TCP socket that was refused is nobody's any
 * more, so that where the kernel can (nfnetlink_queue) the first packet of a connection waits before it is
 * refused, until the supervisor has found out whose it is:
 *
 *	queued --> told, HELD --released, or DETOUR_HELD_MS--> goes on to the chain that refuses it
 *	   '-- too many are told or held: goes on at once, and is counted
 *
 * No verdict lets a packet out: one that is given, or none, or a queue that overflows, only decides when and
 * how it is refused. A flood costs nobody else anything: what is told is rationed, the kernel's queue bounded.
 * Used by keeper_inside.c.
 */
#ifndef OPENSHELL_ISOLATE_DETOURS_H
#define OPENSHELL_ISOLATE_DETOURS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	DETOUR_HELD_MAX = 32,  /* packets that wait at once */
	DETOUR_HELD_MS = 100,  /* for the supervisor's answer, which takes less than one */
	DETOUR_QUEUE_MAX = 64, /* in the kernel; one more does not wait, and is logged */
	DETOURS_POLL = 2,
};

struct detours {
	int log, queue; /* -1: there is none */
	int channel;    /* where it is told; borrowed */
	unsigned credit;
	int64_t earned; /* when credit was last added to */
	uint64_t lost;
	int64_t lost_due; /* when the lost ones are told; 0: there are none */
	struct {
		uint32_t id;
		int64_t due;
	} held[DETOUR_HELD_MAX]; /* the oldest first */
	size_t held_n;
};

/* Nothing is heard. */
void detours_init(struct detours *d, int channel);
/* Hears what the chain of this network namespace refuses, and lets connections wait where the kernel can do
 * that; when it cannot, or cannot even log, *why says why. Needs CAP_NET_ADMIN; what waits also does later. */
void detours_open(struct detours *d, struct err *why);
/* Reads what there is, tells it, and lets go what has waited for too long. */
void detours_look(struct detours *d);
/* The supervisor knows what it wants to know of a packet. */
void detours_release(struct detours *d, uint32_t id);
/* What is to be waited for; lowers *ms (-1: no limit) to when detours_look has to be called at the latest. */
void detours_poll(const struct detours *d, struct pollfd p[DETOURS_POLL], int *ms);

#endif
