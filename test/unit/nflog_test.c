/* isolate/nflog: packets and messages as bytes; and real ones, refused in a namespace of our own. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "isolate/nflog.h"
#include "isolate/nfqueue.h"
#include "isolate/pocket.h"
#include "test.h"

/* ---- packets ---- */

static const char *text(const struct in6_addr *a)
{
	static char out[INET6_ADDRSTRLEN];

	return inet_ntop(AF_INET6, a, out, sizeof out);
}

#define V4(protocol) 0x45, 0, 0, 40, 0, 1, 0, 0, 64, protocol, 0, 0, 10, 200, 0, 2, 192, 0, 2, 1
#define V6(next)                                                                                   \
	0x60, 0, 0, 0, 0, 0, next, 64, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x20, 1, \
		0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1
#define PORTS 0x9c, 0x40, 1, 0xbb /* 40000, 443 */

#define PACKET(...) nflog_parse_packet((const uint8_t[]){__VA_ARGS__}, LENGTH(__VA_ARGS__), &b)
#define LENGTH(...) sizeof((const uint8_t[]){__VA_ARGS__})

TEST(nflog_ipv4_gives_addresses_and_ports)
{
	struct bypass b;

	OK(PACKET(V4(6), PORTS));
	EQ(b.family, AF_INET);
	EQ(b.protocol, IPPROTO_TCP);
	STREQ(text(&b.src), "::ffff:10.200.0.2");
	STREQ(text(&b.dst), "::ffff:192.0.2.1");
	EQ(b.sport, 40000);
	EQ(b.dport, 443);
	EQ(b.uid, BYPASS_UID_UNKNOWN);
	OK(PACKET(V4(17), PORTS));
	EQ(b.dport, 443);
	OK(PACKET(V4(1), 8, 3, 0, 0));
	EQ(b.type, 8);
	EQ(b.code, 3);
	EQ(b.dport, 0);
	OK(PACKET(V4(47), PORTS)); /* GRE has no ports */
	EQ(b.protocol, 47);
	EQ(b.dport, 0);
}

TEST(nflog_ipv4_options_are_stepped_over)
{
	struct bypass b;
	uint8_t p[] = {V4(6), 1, 1, 1, 1, PORTS};

	p[0] = 0x46;
	OK(nflog_parse_packet(p, sizeof p, &b));
	EQ(b.dport, 443);
	p[0] = 0x4f; /* more options than there are bytes */
	OK(nflog_parse_packet(p, sizeof p, &b));
	EQ(b.dport, 0);
	p[0] = 0x44;
	OK(!nflog_parse_packet(p, sizeof p, &b));
}

TEST(nflog_a_later_fragment_has_no_ports)
{
	struct bypass b;
	uint8_t p[] = {V4(17), PORTS};

	p[6] = 0x20; /* the first of several */
	OK(nflog_parse_packet(p, sizeof p, &b));
	EQ(b.dport, 443);
	p[7] = 1;
	OK(nflog_parse_packet(p, sizeof p, &b));
	EQ(b.dport, 0);
	OK(PACKET(V6(44), 17, 0, 0, 1, 0, 0, 0, 1, PORTS));
	EQ(b.protocol, IPPROTO_UDP);
	EQ(b.dport, 443);
	OK(PACKET(V6(44), 17, 0, 0, 8, 0, 0, 0, 1, PORTS));
	EQ(b.protocol, IPPROTO_UDP);
	EQ(b.dport, 0);
}

TEST(nflog_ipv6_extension_headers_are_stepped_over)
{
	struct bypass b;

	OK(PACKET(V6(17), PORTS));
	EQ(b.family, AF_INET6);
	STREQ(text(&b.dst), "2001:db8::1");
	EQ(b.dport, 443);
	OK(PACKET(V6(0), 43, 0, 0, 0, 0, 0, 0, 0,                          /* hop by hop */
		  60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,         /* routing, 16 */
		  51, 0, 0, 0, 0, 0, 0, 0,                                 /* destination */
		  6, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* AH, 24 */
		  0, 0, 0, 0, 0, PORTS));
	EQ(b.protocol, IPPROTO_TCP);
	EQ(b.sport, 40000);
	EQ(b.dport, 443);
	OK(PACKET(V6(58), 128, 0));
	EQ(b.type, 128);
}

TEST(nflog_what_is_cut_off_is_not_read)
{
	struct bypass b;
	const uint8_t v4[] = {V4(6), PORTS}, v6[] = {V6(60), 6, 0, 0, 0, 0, 0, 0, 0, PORTS};

	for (size_t n = 0; n < sizeof v4; n++)
		EQ(nflog_parse_packet(v4, n, &b), n >= 20);
	EQ(b.dport, 0);
	for (size_t n = 0; n < sizeof v6; n++)
		EQ(nflog_parse_packet(v6, n, &b), n >= 40);
	EQ(b.dport, 0);
	OK(nflog_parse_packet(v6, sizeof v6, &b));
	EQ(b.dport, 443);
	OK(PACKET(V6(0), 6, 255, 0, 0, 0, 0, 0, 0, PORTS)); /* a header longer than the packet */
	EQ(b.dport, 0);
	OK(!PACKET(0x55, 0));
}

/* ---- real ones ---- */

enum { WAIT_MS = 3000 };

struct seen {
	struct bypass last;
	int n;
};

static void note(const struct bypass *b, void *arg)
{
	struct seen *seen = arg;

	seen->last = *b;
	seen->n++;
}

static struct bypass next(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char bytes[NFLOG_READ_MAX];
	struct seen seen = {0};

	while (seen.n == 0) {
		if (poll(&p, 1, (int)test_ms(WAIT_MS)) != 1)
			FAIL("nothing was logged");
		ssize_t n = recv(fd, bytes, sizeof bytes, 0);
		OK(n > 0);
		nflog_parse(bytes, (size_t)n, note, &seen);
	}
	EQ(seen.n, 1);
	return seen.last;
}

/* Sends to the address by TCP or UDP, which fails. The port it was sent from. */
static uint16_t attempt(int family, int type, const char *address)
{
	struct sockaddr_storage sa = {.ss_family = (sa_family_t)family};
	struct sockaddr_in *in = (void *)&sa;
	struct sockaddr_in6 *in6 = (void *)&sa;
	socklen_t n = family == AF_INET ? sizeof *in : sizeof *in6;
	int fd = socket(family, type, 0);

	OK(fd >= 0 && bind(fd, (struct sockaddr *)&sa, n) == 0);
	OK(getsockname(fd, (struct sockaddr *)&sa, &n) == 0);
	uint16_t port = ntohs(in->sin_port); /* at the same place in both */
	in->sin_port = htons(443);
	OK(inet_pton(family, address,
		     family == AF_INET ? (void *)&in->sin_addr : (void *)&in6->sin6_addr) == 1);
	if (connect(fd, (struct sockaddr *)&sa, n) == 0)
		OK(send(fd, "x", 1, MSG_NOSIGNAL) < 0);
	close(fd);
	return port;
}

/* In a pocket that refuses and logs, with the group bound; uid is ours as it is told there. */
static int in_pocket(int flags)
{
	struct err e, why;
	bool refuses;
	int fd = -1;

	NOT_EMULATED("netfilter's netlink");
	if (unshare(flags) < 0)
		SKIP("no such namespace to be had: %s", strerror(errno));
	if (pocket_set_up(&refuses, &why, &e) < 0)
		FAIL("%s", e.text);
	if (!refuses)
		SKIP("no nf_tables here: %s", why.text);
	if (nflog_open(POCKET_LOG_GROUP, &fd, &e) < 0)
		FAIL("%s", e.text);
	OK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	OK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	return fd;
}

static void attempts_are_logged(int flags)
{
	int fd = in_pocket(flags);
	uint16_t port = attempt(AF_INET, SOCK_STREAM, "192.0.2.1");
	struct bypass b = next(fd);

	EQ(b.family, AF_INET);
	EQ(b.protocol, IPPROTO_TCP);
	STREQ(text(&b.dst), "::ffff:192.0.2.1");
	EQ(b.sport, port);
	EQ(b.dport, 443);
	EQ(b.uid, getuid());
	port = attempt(AF_INET, SOCK_DGRAM, "192.0.2.53");
	b = next(fd);
	EQ(b.protocol, IPPROTO_UDP);
	STREQ(text(&b.dst), "::ffff:192.0.2.53");
	EQ(b.sport, port);
	attempt(AF_INET6, SOCK_STREAM, "2001:db8::1");
	b = next(fd);
	EQ(b.family, AF_INET6);
	STREQ(text(&b.dst), "2001:db8::1");
	EQ(b.dport, 443);
	close(fd);
}

static int own_pocket(void)
{
	return geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET;
}

TEST(nflog_tells_of_attempts)
{
	attempts_are_logged(own_pocket());
}

TEST(nflog_tells_of_attempts_in_a_user_namespace)
{
	/* unmapped: getuid() says 65534 there, and so does the log */
	attempts_are_logged(CLONE_NEWUSER | CLONE_NEWNET);
}

/* ---- those that wait ---- */

static int begin_to_connect(const char *address)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(443)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	OK(fd >= 0 && inet_pton(AF_INET, address, &to.sin_addr) == 1);
	int r = connect(fd, (struct sockaddr *)&to, sizeof to);
	OK(r < 0 && (errno == EINPROGRESS || errno == ECONNREFUSED));
	return fd;
}

/* 0: it waits still. */
static int end_of_connect(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int error = 0;
	socklen_t n = sizeof error;

	if (poll(&p, 1, ms) == 0)
		return 0;
	OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0);
	return error;
}

TEST(nfqueue_a_connection_waits_and_is_refused)
{
	int log = in_pocket(own_pocket()), queue = -1;
	struct bypass other;
	struct err e;
	char byte;

	if (nfqueue_open(1, &queue, &e) < 0 || pocket_hold_connections(queue, &e) < 0)
		SKIP("no connection waits here: %s", e.text);
	OK(fcntl(queue, F_GETFD) & FD_CLOEXEC);
	OK(fcntl(queue, F_GETFL) & O_NONBLOCK);
	int first = begin_to_connect("192.0.2.1");
	struct bypass b = next(queue);
	OK(b.held != 0);
	EQ(b.protocol, IPPROTO_TCP);
	EQ(b.dport, 443);
	EQ(b.uid, getuid());
	EQ(end_of_connect(first, 0), 0);
	/* one more than may wait does not, and is told by the log */
	int second = begin_to_connect("192.0.2.2");
	other = next(log);
	STREQ(text(&other.dst), "::ffff:192.0.2.2");
	/* its reset comes a moment later, or came already */
	int error = end_of_connect(second, (int)test_ms(WAIT_MS));
	OK(error == ECONNREFUSED || error == 0);
	nfqueue_refuse(queue, b.held);
	EQ(end_of_connect(first, (int)test_ms(WAIT_MS)), ECONNREFUSED);
	OK(recv(log, &byte, 1, 0) < 0 && errno == EAGAIN); /* it is not logged again */
	/* nobody reads the queue */
	close(queue);
	close(begin_to_connect("192.0.2.3"));
	other = next(log);
	STREQ(text(&other.dst), "::ffff:192.0.2.3");
	close(first);
	close(second);
	close(log);
}

TEST(nflog_a_flood_loses_events_and_nothing_else)
{
	int fd = in_pocket(own_pocket());
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
	char bytes[NFLOG_READ_MAX];
	struct seen seen = {0};
	bool lost = false;
	int small = 1, sender = socket(AF_INET, SOCK_DGRAM, 0);

	OK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
	OK(inet_pton(AF_INET, "192.0.2.53", &to.sin_addr) == 1);
	for (int i = 0; i < 200; i++)
		OK(sendto(sender, "x", 1, 0, (struct sockaddr *)&to, sizeof to) < 0 &&
		   errno == EPERM);
	for (;;) {
		ssize_t n = recv(fd, bytes, sizeof bytes, 0);
		if (n < 0 && errno == ENOBUFS) {
			lost = true;
			continue;
		}
		if (n < 0)
			break;
		nflog_parse(bytes, (size_t)n, note, &seen);
	}
	EQ(errno, EAGAIN);
	OK(lost && seen.n > 0 && seen.n < 200);
	attempt(AF_INET, SOCK_STREAM, "192.0.2.9");
	STREQ(text((struct in6_addr[]){next(fd).dst}), "::ffff:192.0.2.9");
}

TEST(nflog_without_the_right_says_so)
{
	struct err e;
	int fd = -1;

	NOT_EMULATED("netfilter's netlink");
	if (setresuid(65534, 65534, 65534) < 0 && geteuid() == 0)
		SKIP("root that cannot become another: %s", strerror(errno));
	EQ(nflog_open(POCKET_LOG_GROUP, &fd, &e), -1);
	EQ(fd, -1);
	STREQ(e.text, "bind an NFLOG group: Operation not permitted");
}
