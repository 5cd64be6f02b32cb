/*
 * struct conn - a connected byte stream: Unix socket, TCP, or TLS over TCP. Protocol code never
 * asks which. It is non-blocking and edge-free: the owner says whether it wants to read or write
 * and is called back when that is possible.
 */
#ifndef OPENSHELL_NET_CONN_H
#define OPENSHELL_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "loop/loop.h"

enum conn_io {
	CONN_AGAIN = 0,  /* nothing now: wait to be called back */
	CONN_EOF = -1,   /* the peer ended its direction in order */
	CONN_ERROR = -2, /* broken; conn_error says why */
};

struct conn;

/* What a transport can do. All functions get the conn that embeds it. */
struct conn_ops {
	/* > 0: bytes moved; else an enum conn_io. */
	ssize_t (*read)(struct conn *c, void *p, size_t n);
	ssize_t (*write)(struct conn *c, const void *p, size_t n);
	/* Translates what the owner wants into epoll events; NULL: EPOLLIN and EPOLLOUT directly. */
	uint32_t (*wants)(struct conn *c, bool read, bool write);
	/* Whether bytes are waiting inside the transport that epoll will not announce (TLS). */
	bool (*pending)(struct conn *c);
	/* Tells the peer that nothing more will be sent (TLS close_notify, shutdown). */
	void (*end)(struct conn *c);
	/* Releases everything, the file descriptor too. */
	void (*free)(struct conn *c);
};

struct conn {
	struct source src;
	struct loop *loop;
	const struct conn_ops *ops;
	void (*ready)(struct conn *c, bool readable, bool writable); /* the owner's */
	void *owner;
	bool want_read, want_write;
	struct err err; /* after CONN_ERROR */
			/* the transport's own state follows in the struct that embeds this one */
};

/* A conn over a connected non-blocking stream socket; takes fd (closed on failure too). name is what
 * errors call the other end; it is copied. It watches nothing until conn_want. */
int conn_of_fd(struct conn **out, struct loop *l, int fd, const char *name, struct err *e);

/* Sets up the common part for a transport that embeds struct conn; used by transports only. name is
 * borrowed for as long as it lives. */
int conn_init(struct conn *c, struct loop *l, int fd, const struct conn_ops *ops, const char *name,
	      struct err *e);

/* Sets whom to call. May be called again, when a connection changes hands. */
void conn_set_owner(struct conn *c, void (*ready)(struct conn *, bool, bool), void *owner);
/* What the owner waits for. Errors and hang-up are reported as readable whatever it waits for; the
 * owner must then read until CONN_EOF or CONN_ERROR, or release it, else the loop spins. */
void conn_want(struct conn *c, bool read, bool write);

ssize_t conn_read(struct conn *c, void *p, size_t n);
ssize_t conn_write(struct conn *c, const void *p, size_t n);
bool conn_pending(struct conn *c);
void conn_end(struct conn *c);
/* Why it broke; valid after CONN_ERROR. Borrowed. */
const char *conn_error(const struct conn *c);
/* Releases it and closes the descriptor; takes NULL. The owner may call it from its ready callback,
 * as the last thing it does with the conn. */
void conn_free(struct conn *c);

#endif
