/*
 * Bytes between two connected sockets, both ways, without a look at them: by splice(2) through a pipe,
 * so that they never come into this process, or by copying where the kernel does not have it. An end of
 * one direction is passed on as such (shutdown), a connection that breaks is passed on as broken (RST),
 * so that each side sees what it would have seen without us. What is under way is bounded by what a pipe
 * holds, and a busy tunnel moves a bounded amount per turn of the loop. Used by the proxy.
 */
#ifndef OPENSHELL_PROXY_TUNNEL_H
#define OPENSHELL_PROXY_TUNNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"

enum {
	PIPES_KEPT_MAX = 32, /* that wait for bytes of any tunnel */
	TUNNEL_PIPE =
		256 << 10, /* bytes that a pipe is asked to hold; fewer where the kernel says so */
	TUNNEL_COPY = 64 << 10,  /* and a buffer, without splice */
	TUNNEL_TURN = 512 << 10, /* one way, per turn */
};

/* The pipes of all tunnels of a loop: a tunnel has one per direction, while bytes are in it and not
 * longer. All zeroes: none yet. */
struct pipes {
	int kept[PIPES_KEPT_MAX][2];
	int n;
	bool no_splice; /* the kernel refuses it */
};

void pipes_fini(struct pipes *p);

struct tunnel;

struct tunnel_end {
	struct source src;
	struct tunnel *tunnel;
	bool hung_up; /* both its directions are over: the loop has nothing more to tell of it */
};

/*
 *	FLOWING ----> ENDING ----> OVER        ENDING: the sender has ended, bytes are still held
 *	    |            |          ^          OVER: the receiver was told, or does not listen any more
 *	    +------------+----------+
 */
enum way_state { WAY_FLOWING, WAY_ENDING, WAY_OVER };

struct way {
	enum way_state state;
	int pipe[2]; /* -1 when none is held */
	size_t in_pipe;
	char *copy; /* goes out before what is in the pipe; NULL when there is none */
	size_t copy_at, copy_n;
};

struct tunnel {
	/* The owner's, set before tunnel_start. */
	struct loop *loop;
	struct pipes *pipes;
	/* Asked whenever bytes have come, before they are moved; false ends it (ended is not called, and
	 * the tunnel may be released in it). May be NULL. */
	bool (*may_move)(struct tunnel *t);
	/* It has ended: in order (why is NULL), or not. From the loop; the owner releases it then or later. */
	void (*ended)(struct tunnel *t, const struct err *why);
	int64_t idle_ms, half_closed_ms; /* without a byte either way */
	/* the tunnel's */
	struct tunnel_end ends[2]; /* client, server */
	struct way ways[2];        /* from ends[i] to the other */
	struct timer idle;
	int64_t moved_at;
	uint64_t moved[2]; /* bytes, each way */
};

enum { TUNNEL_CLIENT, TUNNEL_SERVER };

/* Starts it, with the bytes that were read of either side already. Takes both sockets, which must be
 * non-blocking, also on failure. Nothing is called back from in here. */
int tunnel_start(struct tunnel *t, int client, int server, struct str from_client,
		 struct str from_server, struct err *e);

/* Ends it and closes both sockets: with a reset for who was not told of an orderly end. Harmless when it
 * was not started or is stopped. */
void tunnel_stop(struct tunnel *t);

#endif
