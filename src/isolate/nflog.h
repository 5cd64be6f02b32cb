/*
 * What the pocket's chain refused: the packets that it logs to an NFLOG group (linux/netfilter/
 * nfnetlink_log.h), taken apart into addresses, ports and uid. Opened and read by the keeper, which is
 * in the namespace; a refused packet makes one message, sent at once. Messages of packets that wait for a verdict
 * (nfqueue.h) are of the same make, and read here too.
 *
 *	nflog_open(POCKET_LOG_GROUP, &fd, &e)		in the namespace
 *	n = recv(fd, bytes, sizeof bytes, 0)		when it is readable
 *	nflog_parse(bytes, n, each, arg)		bytes of the sandbox's making: trusts nothing
 */
#ifndef OPENSHELL_ISOLATE_NFLOG_H
#define OPENSHELL_ISOLATE_NFLOG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum {
	/* bytes of a packet that are copied: headers, extensions of IPv6, ports; never content that
	 * matters */
	NFLOG_PACKET_MAX = 256,
	/* bytes of a datagram from the kernel: it collects no messages (threshold 1), so one of them,
	 * its attributes and the packet; large enough is the page that it allocates at most */
	NFLOG_READ_MAX = 4096,
};

#define BYPASS_UID_UNKNOWN ((uid_t)-1)

/* Of fixed size and without pointers, to be passed on in a message as it is. */
struct bypass {
	uint8_t family;           /* AF_INET, AF_INET6 */
	uint8_t protocol;         /* IPPROTO_TCP, _UDP, _ICMP, _ICMPV6 or any other number */
	uint8_t type, code;       /* of ICMP, else 0 */
	uint16_t sport, dport;    /* of TCP, UDP, UDP-Lite, SCTP, DCCP; else, and when cut off, 0 */
	struct in6_addr src, dst; /* IPv4 as ::ffff:a.b.c.d */
	/* of the socket it came from, as the user namespace of the descriptor says it (65534: not
	 * mapped there), or BYPASS_UID_UNKNOWN */
	uid_t uid;
	uint32_t
		held; /* the number of a packet that waits for a verdict (nfqueue.h); 0: it does not */
};

/*
 * Binds the group in this network namespace: *fd is the caller's, non-blocking and close-on-exec. Needs
 * CAP_NET_ADMIN over the namespace. When its queue is full recv() fails with ENOBUFS: events are lost,
 * refusals are not.
 */
int nflog_open(uint16_t group, int *fd, struct err *e);

/* Calls each for every packet in the bytes, logged or queued, that can be told; returns how many. What is cut off
 * or makes no sense is passed over. No I/O. */
size_t nflog_parse(const void *bytes, size_t size, void (*each)(const struct bypass *b, void *arg),
		   void *arg);

/* One packet, from its IP header on. False when it is none. Fills all but uid. */
bool nflog_parse_packet(const void *bytes, size_t size, struct bypass *out);

#endif
