/* Sockets that no wall of addresses holds: raw, packet, netlink, other families, and rings of requests. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch.h"
#include "attack.h"

enum { FAMILY_COUNT = 64 };

struct kind {
	int family, type, protocol;
};

static enum result open_kind(const struct attempt *a)
{
	const struct kind *k = a->with;
	_cleanup_close_ int fd = socket(k->family, k->type | SOCK_CLOEXEC, k->protocol);

	return got_if(fd, "socket");
}

/* Any family but the four that the filter lets pass. */
static enum result open_any_family(const struct attempt *a UNUSED)
{
	const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET};
	int got = 0, last = 0;

	for (int family = 0; family < FAMILY_COUNT; family++) {
		if (family == AF_UNIX || family == AF_INET || family == AF_INET6 ||
		    family == AF_NETLINK)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(types); i++) {
			int fd = socket(family, types[i] | SOCK_CLOEXEC, 0);

			if (fd < 0)
				continue;
			close(fd);
			last = family;
			got++;
		}
	}
	note("%d kinds of socket, the last of family %d", got, last);
	return got ? GOT : REFUSED;
}

/* ---- the namespace's own set-up ---- */

static enum result add_address(const struct attempt *a UNUSED)
{
	struct {
		struct nlmsghdr h;
		struct ifaddrmsg m;
		struct rtattr attr;
		struct in_addr in;
	} q = {{sizeof q, RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0},
	       {AF_INET, 32, 0, 0, 1},
	       {sizeof q.attr + sizeof q.in, IFA_LOCAL},
	       {0}};
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		char rest[256];
	} r = {.h = {0}};
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	inet_pton(AF_INET, "203.0.113.7", &q.in);
	if (fd < 0 || send(fd, &q, sizeof q, 0) < 0 || recv(fd, &r, sizeof r, 0) < 0)
		return no("netlink");
	errno = -r.e.error;
	return got_if(r.e.error, "RTM_NEWADDR");
}

static enum result link_down(const struct attempt *a UNUSED)
{
	struct ifreq r = {.ifr_name = "lo"};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return no("socket");
	r.ifr_mtu = 60000;
	return got_if(ioctl(fd, SIOCSIFMTU, &r), "SIOCSIFMTU on lo");
}

static enum result make_tun(const struct attempt *a UNUSED)
{
	struct ifreq r = {.ifr_name = "attack0", .ifr_flags = IFF_TUN | IFF_NO_PI};
	_cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? (no("/dev/net/tun"), ABSENT) : no("/dev/net/tun");
	return got_if(ioctl(fd, TUNSETIFF, &r), "TUNSETIFF");
}

/* ---- io_uring: requests that no filter of calls sees ---- */

struct ring {
	int fd;
	struct io_uring_params p;
	char *sq, *cq;
	struct io_uring_sqe *sqe;
};

static int ring_open(struct ring *r)
{
	memset(r, 0, sizeof *r);
	r->fd = (int)syscall(SYS_io_uring_setup, 4, &r->p);
	if (r->fd < 0)
		return -1;
	size_t sq = r->p.sq_off.array + r->p.sq_entries * sizeof(unsigned);
	size_t cq = r->p.cq_off.cqes + r->p.cq_entries * sizeof(struct io_uring_cqe);
	r->sq = mmap(NULL, sq, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
	r->cq = mmap(NULL, cq, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_CQ_RING);
	r->sqe = mmap(NULL, r->p.sq_entries * sizeof *r->sqe, PROT_READ | PROT_WRITE, MAP_SHARED,
		      r->fd, IORING_OFF_SQES);
	return r->sq == MAP_FAILED || r->cq == MAP_FAILED || r->sqe == MAP_FAILED ? -1 : 0;
}

/* One request at a time; its result, negative errno as the kernel's. */
static int ring_do(struct ring *r, const struct io_uring_sqe *request)
{
	unsigned *tail = (unsigned *)(r->sq + r->p.sq_off.tail);
	unsigned *array = (unsigned *)(r->sq + r->p.sq_off.array);
	unsigned *head = (unsigned *)(r->cq + r->p.cq_off.head);
	unsigned cq_mask = *(unsigned *)(r->cq + r->p.cq_off.ring_mask);
	struct io_uring_cqe *cqe = (struct io_uring_cqe *)(r->cq + r->p.cq_off.cqes);

	r->sqe[0] = *request;
	array[*tail & *(unsigned *)(r->sq + r->p.sq_off.ring_mask)] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return -errno;
	int result = cqe[*head & cq_mask].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}

static enum result uring(const struct attempt *a)
{
	struct ring r;
	struct sockaddr_storage to;
	socklen_t n = address(&to, OUTSIDE4, ANY_PORT);
	const char *token = token_of(a);

	if (ring_open(&r) < 0)
		return no("io_uring_setup");
	int fd =
		ring_do(&r, &(struct io_uring_sqe){
				    .opcode = IORING_OP_SOCKET, .fd = AF_INET, .off = SOCK_STREAM});
	if (fd < 0)
		return errno = -fd, no("IORING_OP_SOCKET");
	int e = ring_do(&r, &(struct io_uring_sqe){.opcode = IORING_OP_CONNECT,
						   .fd = fd,
						   .addr = (uint64_t)(uintptr_t)&to,
						   .off = n});
	if (e < 0)
		return errno = -e, no("IORING_OP_CONNECT");
	e = ring_do(&r, &(struct io_uring_sqe){.opcode = IORING_OP_SEND,
					       .fd = fd,
					       .addr = (uint64_t)(uintptr_t)token,
					       .len = (unsigned)strlen(token)});
	if (e < 0)
		return errno = -e, no("IORING_OP_SEND");
	note("sent by a ring");
	return SENT;
}

/* ---- calls of another architecture ---- */

static enum result foreign_call(const struct attempt *a UNUSED)
{
	long pid = call_by_int80();

	if (pid == -ENOSYS) {
		note("this machine has one way to call only");
		return ABSENT;
	}
	note("getpid by int 0x80 gives %ld", pid);
	return pid == getpid() ? GOT : REFUSED;
}

static enum result x32_call(const struct attempt *a UNUSED)
{
	return got_if(syscall(X32_BIT + SYS_getpid), "getpid of x32");
}

#define KIND(f, t, p)                                                                              \
	&(const struct kind)                                                                       \
	{                                                                                          \
		f, t, p                                                                            \
	}

static const struct attempt sockets[] = {
	{.name = "raw4",
	 .what = "open a raw IPv4 socket",
	 .try = open_kind,
	 .with = KIND(AF_INET, SOCK_RAW, IPPROTO_RAW)},
	{.name = "raw4-icmp",
	 .what = "open a raw ICMP socket",
	 .try = open_kind,
	 .with = KIND(AF_INET, SOCK_RAW, IPPROTO_ICMP)},
	{.name = "raw6",
	 .what = "open a raw IPv6 socket",
	 .try = open_kind,
	 .with = KIND(AF_INET6, SOCK_RAW, IPPROTO_RAW)},
	{.name = "packet-raw",
	 .what = "open a packet socket, which sees and sends frames",
	 .try = open_kind,
	 .with = KIND(AF_PACKET, SOCK_RAW, 0)},
	{.name = "packet-cooked",
	 .what = "the same without link headers",
	 .try = open_kind,
	 .with = KIND(AF_PACKET, SOCK_DGRAM, 0)},
	{.name = "vsock",
	 .what = "open a socket to the hypervisor",
	 .try = open_kind,
	 .with = KIND(AF_VSOCK, SOCK_STREAM, 0)},
	{.name = "xdp",
	 .what = "open an AF_XDP socket",
	 .try = open_kind,
	 .with = KIND(44, SOCK_RAW, 0)},
	{.name = "alg",
	 .what = "open a socket to the kernel's ciphers",
	 .try = open_kind,
	 .with = KIND(AF_ALG, SOCK_SEQPACKET, 0)},
	{.name = "key",
	 .what = "open a PF_KEY socket (IPsec)",
	 .try = open_kind,
	 .with = KIND(AF_KEY, SOCK_RAW, 2)},
	{.name = "smc",
	 .what = "open an SMC socket, which falls back to TCP",
	 .try = open_kind,
	 .with = KIND(43, SOCK_STREAM, 0)},
	{.name = "bluetooth",
	 .what = "open a Bluetooth socket",
	 .try = open_kind,
	 .with = KIND(AF_BLUETOOTH, SOCK_RAW, 1)},
	{.name = "any-family",
	 .what = "open a socket of any family but unix, inet, inet6 and netlink",
	 .try = open_any_family},
	{.name = "netlink-diag",
	 .what = "list all sockets (NETLINK_SOCK_DIAG)",
	 .try = open_kind,
	 .with = KIND(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG)},
	{.name = "netlink-netfilter",
	 .what = "reach the packet filter (NETLINK_NETFILTER)",
	 .try = open_kind,
	 .with = KIND(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER)},
	{.name = "netlink-audit",
	 .what = "reach the audit subsystem",
	 .try = open_kind,
	 .with = KIND(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT)},
	{.name = "netlink-uevent",
	 .what = "hear the kernel's device events",
	 .try = open_kind,
	 .with = KIND(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT)},
	{.name = "netlink-generic",
	 .what = "reach generic netlink families",
	 .try = open_kind,
	 .with = KIND(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC)},
	{.name = "netlink-xfrm",
	 .what = "reach the IPsec tables",
	 .try = open_kind,
	 .with = KIND(AF_NETLINK, SOCK_RAW, NETLINK_XFRM)},
	{.name = "route-address",
	 .what = "add an address by NETLINK_ROUTE, which is open to all",
	 .try = add_address},
	{.name = "route-mtu", .what = "change lo by an ioctl", .try = link_down},
	{.name = "tun", .what = "make a tunnel interface", .try = make_tun},
	{.name = "uring",
	 .what = "connect and send by io_uring, whose requests no filter of calls sees",
	 .try = uring},
	{.name = "int80", .what = "make a 32-bit call", .try = foreign_call},
	{.name = "x32", .what = "make an x32 call", .try = x32_call},
};
GROUP(group_sockets, "Sockets and calls of other kinds", sockets);
