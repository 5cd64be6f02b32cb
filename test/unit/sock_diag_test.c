/* net/sock_diag: the kernel's answers as bytes, and real sockets found by their addresses. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "net/sock_diag.h"
#include "test.h"

/* ---- real sockets ---- */

struct pair {
	int server, client, accepted;
};

static struct sockaddr_storage address(int family, const char *host, uint16_t port)
{
	struct sockaddr_storage sa = {.ss_family = (sa_family_t)family};
	struct sockaddr_in *in = (void *)&sa;
	struct sockaddr_in6 *in6 = (void *)&sa;

	in->sin_port = htons(port);
	OK(inet_pton(family, host,
		     family == AF_INET ? (void *)&in->sin_addr : (void *)&in6->sin6_addr) == 1);
	return sa;
}

static socklen_t length(const struct sockaddr_storage *sa)
{
	return sa->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static struct sock_end end_at(int fd, int (*name)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_storage sa;
	struct sock_end end;
	socklen_t n = sizeof sa;

	OK(name(fd, (struct sockaddr *)&sa, &n) == 0);
	OK(sock_end_of(&sa, &end));
	return end;
}

static int listening(struct sockaddr_storage *sa)
{
	int fd = socket(sa->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t n = length(sa);

	OK(fd >= 0);
	if (bind(fd, (struct sockaddr *)sa, n) < 0)
		SKIP("no such address here: %s", strerror(errno));
	OK(listen(fd, 8) == 0 && getsockname(fd, (struct sockaddr *)sa, &n) == 0);
	return fd;
}

/* A connection: the server listens at one address, the client connects to another form of it. */
static struct pair connected(int family, const char *at, int client_family, const char *to)
{
	struct sockaddr_storage sa = address(family, at, 0);
	struct pair p = {.server = listening(&sa)};
	struct sockaddr_storage dial =
		address(client_family, to, ntohs(((struct sockaddr_in *)&sa)->sin_port));

	p.client = socket(client_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	OK(connect(p.client, (struct sockaddr *)&dial, length(&dial)) == 0);
	p.accepted = accept4(p.server, NULL, NULL, SOCK_CLOEXEC);
	OK(p.accepted >= 0);
	return p;
}

static uint32_t inode_of(int fd)
{
	struct stat st;

	OK(fstat(fd, &st) == 0);
	return (uint32_t)st.st_ino;
}

/* The question for the other end of an accepted socket. */
static struct sock_query other_end(int accepted)
{
	return (struct sock_query){
		.protocol = IPPROTO_TCP,
		.local = end_at(accepted, getpeername),
		.remote = end_at(accepted, getsockname),
	};
}

static void find(struct sock_query *q, size_t n)
{
	struct err e;
	int fd = sock_diag_open(&e);

	NOT_EMULATED("sock_diag's netlink");
	if (fd < 0)
		FAIL("%s", e.text);
	if (sock_diag_find(fd, q, n, &e) < 0)
		FAIL("%s", e.text);
	close(fd);
}

static void finds(struct pair p)
{
	struct sock_query q = other_end(p.accepted);

	find(&q, 1);
	EQ(q.error, 0);
	EQ(q.inode, inode_of(p.client));
	EQ(q.uid, geteuid());
	EQ(q.state, TCP_ESTABLISHED);
}

TEST(sock_diag_finds_the_other_end_v4)
{
	finds(connected(AF_INET, "127.0.0.1", AF_INET, "127.0.0.1"));
}

TEST(sock_diag_finds_the_other_end_v6)
{
	finds(connected(AF_INET6, "::1", AF_INET6, "::1"));
}

TEST(sock_diag_finds_a_v6_socket_that_speaks_v4)
{
	finds(connected(AF_INET, "127.0.0.1", AF_INET6, "::ffff:127.0.0.1"));
}

TEST(sock_diag_finds_a_v4_socket_behind_a_dual_stack_listener)
{
	finds(connected(AF_INET6, "::", AF_INET, "127.0.0.1"));
	finds(connected(AF_INET6, "::", AF_INET6, "::ffff:127.0.0.1"));
}

TEST(sock_diag_finds_a_socket_that_is_bound_to_lo)
{
	struct sockaddr_storage sa = address(AF_INET, "127.0.0.1", 0);
	struct pair p = {.server = listening(&sa), .client = socket(AF_INET, SOCK_STREAM, 0)};

	if (setsockopt(p.client, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) < 0)
		SKIP("SO_BINDTODEVICE: %s", strerror(errno));
	OK(connect(p.client, (struct sockaddr *)&sa, length(&sa)) == 0);
	p.accepted = accept4(p.server, NULL, NULL, SOCK_CLOEXEC);
	finds(p);
}

TEST(sock_diag_a_half_closed_socket_is_still_somebodys)
{
	struct pair p = connected(AF_INET, "127.0.0.1", AF_INET, "127.0.0.1");
	struct sock_query q = other_end(p.accepted);

	OK(shutdown(p.client, SHUT_WR) == 0);
	find(&q, 1);
	EQ(q.error, 0);
	EQ(q.inode, inode_of(p.client));
	OK(q.state == TCP_FIN_WAIT1 || q.state == TCP_FIN_WAIT2);
}

TEST(sock_diag_a_closed_socket_is_nobodys)
{
	struct pair p = connected(AF_INET, "127.0.0.1", AF_INET, "127.0.0.1");
	struct sock_query q = other_end(p.accepted);

	close(p.client);
	find(&q, 1);
	EQ(q.error, ENOTCONN);
	EQ(q.inode, 0);
	close(p.accepted);
	find(&q, 1); /* TIME_WAIT, or gone */
	OK(q.error == ENOTCONN || q.error == ENOENT);
}

TEST(sock_diag_a_listener_at_the_port_is_not_taken_for_it)
{
	struct sockaddr_storage sa = address(AF_INET, "0.0.0.0", 0);
	int fd = listening(&sa);
	struct sock_query q = {
		.protocol = IPPROTO_TCP,
		.local = end_at(fd, getsockname),
		.remote = {.port = 1},
	};
	struct sockaddr_storage lo = address(AF_INET, "127.0.0.1", q.local.port);

	OK(sock_end_of(&lo, &q.local));
	q.remote.address = q.local.address;
	find(&q, 1);
	EQ(q.error, ENOENT);
	EQ(q.inode, 0);
}

TEST(sock_diag_answers_each_of_a_batch)
{
	struct sock_query q[SOCK_DIAG_BATCH_MAX];
	struct pair p[SOCK_DIAG_BATCH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(q); i++) {
		p[i] = connected(AF_INET, "127.0.0.1", AF_INET, "127.0.0.1");
		q[i] = other_end(p[i].accepted);
		if (i % 2 == 1)
			q[i].remote.port ^= 1;
	}
	find(q, ARRAY_LEN(q));
	for (size_t i = 0; i < ARRAY_LEN(q); i++) {
		EQ(q[i].error, i % 2 ? ENOENT : 0);
		EQ(q[i].inode, i % 2 ? 0 : inode_of(p[i].client));
	}
}

TEST(sock_diag_finds_who_sent_a_datagram)
{
	struct sockaddr_storage any = address(AF_INET, "0.0.0.0", 0);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	OK(bind(fd, (struct sockaddr *)&any, length(&any)) == 0);
	struct sock_query q = {.protocol = IPPROTO_UDP, .local = end_at(fd, getsockname)};
	struct sockaddr_storage from = address(AF_INET, "127.0.0.1", q.local.port);
	struct sockaddr_storage to = address(AF_INET, "192.0.2.1", 53);
	OK(sock_end_of(&from, &q.local) && sock_end_of(&to, &q.remote));
	find(&q, 1);
	EQ(q.error, 0);
	EQ(q.inode, inode_of(fd));
	close(fd);
	find(&q, 1);
	EQ(q.error, ENOENT);
}

TEST(sock_diag_ends_of_addresses)
{
	struct sockaddr_storage v4 = address(AF_INET, "10.0.0.1", 80);
	struct sockaddr_storage mapped = address(AF_INET6, "::ffff:10.0.0.1", 80);
	struct sockaddr_storage un = {.ss_family = AF_UNIX};
	struct sock_end a, b;

	OK(sock_end_of(&v4, &a) && sock_end_of(&mapped, &b));
	MEMEQ(&a, &b, sizeof a);
	OK(sock_end_is_v4(&a));
	EQ(a.port, 80);
	OK(!sock_end_of(&un, &a));
}

/* ---- bytes ---- */

static size_t answer(char *to, uint32_t seq, uint16_t type, const void *body, size_t n)
{
	struct nlmsghdr h = {
		.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + n), .nlmsg_type = type, .nlmsg_seq = seq};

	memcpy(to, &h, sizeof h);
	memcpy(to + NLMSG_HDRLEN, body, n);
	return NLMSG_ALIGN(NLMSG_HDRLEN + n);
}

TEST(sock_diag_passes_over_what_was_not_asked_for)
{
	struct sock_query q = {.protocol = IPPROTO_TCP, .local = {.port = 7}, .error = EPROTO};
	struct inet_diag_msg m = {.idiag_family = AF_INET6,
				  .idiag_state = TCP_ESTABLISHED,
				  .idiag_inode = 5,
				  .id = {.idiag_sport = htons(7)}};
	struct nlmsgerr none = {.error = -ENOENT}, odd = {.error = 7};
	char bytes[512] = {0};
	uint32_t left = 1;

	for (uint32_t seq = 0; seq < 40; seq++) {
		if (seq == 1)
			continue;
		size_t n = answer(bytes, seq, SOCK_DIAG_BY_FAMILY, &m, sizeof m);
		sock_diag_parse(bytes, n, &q, 1, &left);
		EQ(left, 1);
	}
	size_t n = answer(bytes, 1, NLMSG_NOOP, &m, sizeof m);
	n += answer(bytes + n, 1, SOCK_DIAG_BY_FAMILY, &m, sizeof m);
	for (size_t cut = 0; cut < n; cut++) {
		sock_diag_parse(bytes, cut, &q, 1, &left);
		EQ(left, 1);
	}
	sock_diag_parse(bytes, n, &q, 1, &left);
	EQ(left, 0);
	EQ(q.error, 0);
	EQ(q.inode, 5);
	left = 1;
	n = answer(bytes, 1, NLMSG_ERROR, &none, sizeof none);
	sock_diag_parse(bytes, n, &q, 1, &left);
	EQ(left, 0);
	EQ(q.error, ENOENT);
	left = 1;
	n = answer(bytes, 1, NLMSG_ERROR, &odd, sizeof odd);
	sock_diag_parse(bytes, n, &q, 1, &left);
	EQ(q.error, EPROTO);
}

TEST(sock_diag_other_ends_are_not_the_socket)
{
	struct sock_query q = {.protocol = IPPROTO_TCP, .local = {.port = 7}};
	struct inet_diag_msg m = {.idiag_family = AF_INET6,
				  .idiag_state = TCP_ESTABLISHED,
				  .idiag_inode = 5,
				  .id = {.idiag_sport = htons(7), .idiag_dport = htons(1)}};
	char bytes[512];
	uint32_t left = 1;

	size_t n = answer(bytes, 1, SOCK_DIAG_BY_FAMILY, &m, sizeof m);
	sock_diag_parse(bytes, n, &q, 1, &left);
	EQ(left, 0);
	EQ(q.error, ENOENT);
	EQ(q.inode, 0);
}
