/*
 * Bytes between two connected sockets, both ways, without a look at them. An end of one direction is passed
 * on as such (shutdown), a connection that breaks is passed on as broken (RST), so that each side sees what
 * it would have seen without us. What is under way is bounded, and a busy tunnel moves a bounded amount per
 * turn of the loop. Used by the proxy.
 *
 * Bytes of another machine move by splice, through a pipe of TUNNEL_PIPE, and never come into our memory. On
 * loopback what has come is read into a large buffer, which all tunnels share, and sent on; only when the receiver
 * does not take all of it is the buffer kept until it does. Either has a bound over all tunnels, and takes the
 * other's place, or a small pipe, when that is reached. Measured (docs/figures.md): through a pipe of 1 MiB splice
 * costs a tenth to a quarter less than the copy between two devices, and on loopback it is slower; through one of
 * 256 KiB it costs more than the copy everywhere.
 */
#ifndef OPENSHELL_PROXY_TUNNEL_H
#define OPENSHELL_PROXY_TUNNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"

enum {
	TUNNEL_BUFFER = 1 << 20, /* of a shared buffer: also what one way moves per turn */
	TUNNEL_BUFFERS_MAX = 8,  /* of those, in use */
	TUNNEL_BUFFERS_KEPT = 2, /* not in use */
	/* bytes that a pipe is asked to hold; it is used all the same when it holds fewer, but not by choice */
	TUNNEL_PIPE = 1 << 20,
	TUNNEL_PIPES_MAX =
		32, /* of whole ones, in use; the kernel gives a user 64 (pipe(7), pipe-user-pages-soft) */
	TUNNEL_PIPES_KEPT = 16,  /* not in use */
	TUNNEL_SMALL = 16 << 10, /* a buffer where there is no pipe to be had */
};

/* The buffers and pipes of all tunnels of a loop: a way has one of them while bytes are in it, and not
 * longer. All zeroes: none yet. */
struct tunnel_pool {
	char *buffers[TUNNEL_BUFFERS_KEPT];
	int buffers_n, buffers_used;
	int pipes[TUNNEL_PIPES_KEPT][2]; /* whole ones */
	int pipes_n, pipes_used;
	bool no_splice, no_whole_pipe; /* the kernel refuses it */
};

void tunnel_pool_fini(struct tunnel_pool *p);

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
	/* one of the two, or neither */
	char *buffer;
	bool shared; /* buffer is the pool's */
	size_t at, n;
	int pipe[2]; /* -1 when there is none */
	bool whole;  /* it holds TUNNEL_PIPE */
	size_t in_pipe;
};

struct tunnel {
	/* The owner's, set before tunnel_start. */
	struct loop *loop;
	struct tunnel_pool *pool;
	/* Asked whenever bytes have come, before they are moved; false ends it (ended is not called, and
	 * the tunnel may be released in it). May be NULL. */
	bool (*may_move)(struct tunnel *t);
	/* It has ended: in order (why is NULL), or not. From the loop; the owner releases it then or later. */
	void (*ended)(struct tunnel *t, const struct err *why);
	int64_t idle_ms, half_closed_ms; /* without a byte either way */
	bool far;                        /* the server is another machine */
	/* the tunnel's */
	struct tunnel_end ends[2]; /* client, server */
	struct way ways[2];        /* from ends[i] to the other */
	struct timer idle;
	int64_t moved_at;
};

/* Starts it, with the bytes that were read of either side already. Takes both sockets, which must be
 * non-blocking, also on failure. Nothing is called back from in here. */
int tunnel_start(struct tunnel *t, int client, int server, struct str from_client,
		 struct str from_server, struct err *e);

/* Ends it and closes both sockets: with a reset for who was not told of an orderly end. Harmless when it
 * was not started or is stopped. */
void tunnel_stop(struct tunnel *t);

#endif
