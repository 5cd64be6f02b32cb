/*
 * One socket by its addresses: the kernel is asked over NETLINK_SOCK_DIAG (sock_diag(7)) for exactly the
 * socket with these two ends, never for a list. It looks in the network namespace in which the
 * descriptor was made. It answers before send() returns, so nothing here waits.
 *
 * IPv4 addresses written as IPv6 ones (::ffff:a.b.c.d) are the same as these; a dual-stack socket is
 * found by either. Called by src/proxy.
 */
#ifndef OPENSHELL_NET_SOCK_DIAG_H
#define OPENSHELL_NET_SOCK_DIAG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/err.h"

enum {
	SOCK_DIAG_BATCH_MAX = 32, /* sockets of one call */
};

/* An end of a connection. IPv4 is kept in its IPv6 form, so that both compare alike. */
struct sock_end {
	struct in6_addr address;
	uint16_t port; /* in host byte order */
};

/* False when it is neither AF_INET nor AF_INET6. */
bool sock_end_of(const struct sockaddr_storage *sa, struct sock_end *out);
bool sock_end_is_v4(const struct sock_end *e);
bool sock_end_same(const struct sock_end *a, const struct sock_end *b);

/* local is the sought socket's own end. */
struct sock_query {
	int protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	struct sock_end local, remote;
	/* the answer */
	int error; /* 0, or an errno: ENOENT: there is none, ENOTCONN: it has no owner any more */
	uint32_t inode; /* as in the "socket:[N]" of /proc/PID/fd */
	uid_t uid;      /* who made it, in the user namespace of whoever made the descriptor */
	uint8_t state;  /* TCP_ESTABLISHED… (netinet/tcp.h) */
};

/* A descriptor for this network namespace, close-on-exec and non-blocking; -1 with *e. */
int sock_diag_open(struct err *e);

/* Asks for n sockets at most SOCK_DIAG_BATCH_MAX at once; each says for itself how it went. Fails when
 * nothing can be asked at all. */
int sock_diag_find(int fd, struct sock_query *q, size_t n, struct err *e);

/*
 * Takes what one datagram of the kernel's says into account: message number i + 1 is the answer to
 * q[i]. *left loses a bit for each that is answered. Bytes that make no sense and answers that were not
 * asked for are passed over; a socket that has other ends than those asked for is none (ENOENT). No I/O.
 */
void sock_diag_parse(const void *bytes, size_t size, struct sock_query *q, size_t n,
		     uint32_t *left);

#endif
