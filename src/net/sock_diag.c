#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "net/netlink.h"
#include "net/sock_diag.h"

enum {
	LOOPBACK = 1, /* the index of every namespace's lo */
	ANSWER_MAX = 8192,
};

_Static_assert((int)SOCK_DIAG_BATCH_MAX <= (int)NL_MESSAGES_MAX, "a batch of questions fits");

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

bool sock_end_of(const struct sockaddr_storage *sa, struct sock_end *out)
{
	const struct sockaddr_in *v4 = (const void *)sa;
	const struct sockaddr_in6 *v6 = (const void *)sa;

	memset(out, 0, sizeof *out);
	if (sa->ss_family == AF_INET) {
		memcpy(out->address.s6_addr, mapped, sizeof mapped);
		memcpy(out->address.s6_addr + 12, &v4->sin_addr, 4);
		out->port = ntohs(v4->sin_port);
		return true;
	}
	out->address = v6->sin6_addr;
	out->port = ntohs(v6->sin6_port);
	return sa->ss_family == AF_INET6;
}

bool sock_end_is_v4(const struct sock_end *e)
{
	return memcmp(e->address.s6_addr, mapped, sizeof mapped) == 0;
}

bool sock_end_same(const struct sock_end *a, const struct sock_end *b)
{
	return a->port == b->port && memcmp(&a->address, &b->address, sizeof a->address) == 0;
}

/* ---- answers ---- */

static struct sock_end end_of(uint8_t family, const __be32 address[4], __be16 port)
{
	struct sock_end end = {.port = ntohs(port)};

	if (family == AF_INET) {
		memcpy(end.address.s6_addr, mapped, sizeof mapped);
		memcpy(end.address.s6_addr + 12, address, 4);
	} else {
		memcpy(&end.address, address, sizeof end.address);
	}
	return end;
}

/*
 * Whether it is the socket that was asked for. The kernel finds one that would get a packet: where
 * there is no connection it may find a listening one. A datagram socket is mostly bound to a port
 * alone.
 */
static bool is_sought(const struct sock_query *q, const struct inet_diag_msg *m)
{
	const struct inet_diag_sockid *id = &m->id;
	struct sock_end local = end_of(m->idiag_family, id->idiag_src, id->idiag_sport);
	struct sock_end remote = end_of(m->idiag_family, id->idiag_dst, id->idiag_dport);

	if (q->protocol == IPPROTO_UDP)
		return local.port == q->local.port;
	return m->idiag_state != TCP_LISTEN && sock_end_same(&local, &q->local) &&
	       sock_end_same(&remote, &q->remote);
}

static void take_socket(struct sock_query *q, const struct inet_diag_msg *m)
{
	if (!is_sought(q, m)) {
		q->error = ENOENT;
		return;
	}
	q->inode = m->idiag_inode;
	q->uid = m->idiag_uid;
	q->state = m->idiag_state;
	q->error = q->inode != 0 ? 0 : ENOTCONN;
}

void sock_diag_parse(const void *bytes, size_t size, struct sock_query *q, size_t n, uint32_t *left)
{
	const char *at = bytes;
	struct nlmsghdr h;
	struct nlmsgerr error;
	struct inet_diag_msg m;

	/* copied out, since foreign bytes need not be aligned */
	while (size >= sizeof h) {
		memcpy(&h, at, sizeof h);
		if (h.nlmsg_len < sizeof h || h.nlmsg_len > size)
			return;
		size_t body = h.nlmsg_len - NLMSG_HDRLEN;
		bool asked = h.nlmsg_seq >= 1 && h.nlmsg_seq <= n &&
			     (*left >> (h.nlmsg_seq - 1) & 1) != 0;
		struct sock_query *to = asked ? &q[h.nlmsg_seq - 1] : NULL;
		if (asked && h.nlmsg_type == NLMSG_ERROR && body >= sizeof error) {
			memcpy(&error, at + NLMSG_HDRLEN, sizeof error);
			to->error = error.error < 0 && error.error >= -4095 ? -error.error : EPROTO;
			*left &= ~(UINT32_C(1) << (h.nlmsg_seq - 1));
		} else if (asked && h.nlmsg_type == SOCK_DIAG_BY_FAMILY && body >= sizeof m) {
			memcpy(&m, at + NLMSG_HDRLEN, sizeof m);
			take_socket(to, &m);
			*left &= ~(UINT32_C(1) << (h.nlmsg_seq - 1));
		}
		size_t step = MIN(NLMSG_ALIGN((size_t)h.nlmsg_len), size);
		at += step;
		size -= step;
	}
}

/* ---- questions ---- */

static void put_end(bool v4, const struct sock_end *e, __be32 address[4], __be16 *port)
{
	if (v4)
		memcpy(address, e->address.s6_addr + 12, 4);
	else
		memcpy(address, &e->address, sizeof e->address);
	*port = htons(e->port);
}

static void write_question(struct nl_batch *b, const struct sock_query *q)
{
	bool v4 = sock_end_is_v4(&q->local) && sock_end_is_v4(&q->remote);
	/* for UDP the kernel wants the ends the other way round, as a packet to it has them */
	bool udp = q->protocol == IPPROTO_UDP;
	struct inet_diag_req_v2 r = {
		.sdiag_family = v4 ? AF_INET : AF_INET6,
		.sdiag_protocol = (uint8_t)q->protocol,
		.idiag_states = ~UINT32_C(0),
		/* not 0: that would miss a socket that is bound to lo */
		.id = {.idiag_if = LOOPBACK,
		       .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}},
	};

	put_end(v4, udp ? &q->remote : &q->local, r.id.idiag_src, &r.id.idiag_sport);
	put_end(v4, udp ? &q->local : &q->remote, r.id.idiag_dst, &r.id.idiag_dport);
	nl_message(b, "look for a socket", SOCK_DIAG_BY_FAMILY, 0, &r, sizeof r);
}

int sock_diag_open(struct err *e)
{
	_cleanup_close_ int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	if (fd < 0 || connect(fd, (struct sockaddr *)&kernel, sizeof kernel) < 0)
		return err_sys(e, "netlink socket %d", NETLINK_SOCK_DIAG);
	return steal_fd(&fd);
}

int sock_diag_find(int fd, struct sock_query *q, size_t n, struct err *e)
{
	_Alignas(8) char answer[ANSWER_MAX];
	struct nl_batch b;
	uint32_t left = n < 32 ? (UINT32_C(1) << n) - 1 : ~UINT32_C(0);

	must(n >= 1 && n <= SOCK_DIAG_BATCH_MAX);
	/* what an earlier call left unread would be taken for an answer to this one */
	while (recv(fd, answer, sizeof answer, MSG_DONTWAIT) > 0)
		;
	nl_begin(&b);
	for (size_t i = 0; i < n; i++) {
		write_question(&b, &q[i]);
		q[i].error = EPROTO;
	}
	if (send(fd, b.bytes, b.n, MSG_DONTWAIT) < 0)
		return err_sys(e, "ask for a socket");
	while (left != 0) {
		ssize_t got = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, "ask for a socket: no answer");
		sock_diag_parse(answer, (size_t)got, q, n, &left);
	}
	return 0;
}
