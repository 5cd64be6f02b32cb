#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/util.h"
#include "net/netlink.h"

int nl_open(int protocol, struct err *e)
{
	struct timeval limit = {.tv_sec = NL_ANSWER_MS / 1000};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return err_sys(e, "netlink socket %d", protocol);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
	    connect(fd, (struct sockaddr *)&kernel, sizeof kernel) < 0)
		return err_sys(e, "netlink socket %d", protocol);
	return steal_fd(&fd);
}

void nl_begin(struct nl_batch *b)
{
	b->n = b->message = b->messages = b->awaited = 0;
}

/* Room for n bytes, padded with zeroes to netlink's alignment. */
static void *room(struct nl_batch *b, size_t n)
{
	size_t padded = NLMSG_ALIGN(n);
	char *p = b->bytes + b->n;

	must(padded <= sizeof b->bytes - b->n);
	memset(p, 0, padded);
	b->n += padded;
	return p;
}

static struct nlmsghdr *newest(struct nl_batch *b)
{
	return (struct nlmsghdr *)(b->bytes + b->message);
}

void nl_message(struct nl_batch *b, const char *what, uint16_t type, uint16_t flags,
		const void *fixed, size_t n)
{
	must(b->messages < NL_MESSAGES_MAX);
	b->message = b->n;
	struct nlmsghdr *h = room(b, sizeof *h);
	b->what[b->messages] = what;
	if (flags & NLM_F_ACK)
		b->awaited |= UINT32_C(1) << b->messages;
	*h = (struct nlmsghdr){.nlmsg_type = type,
			       .nlmsg_flags = flags | NLM_F_REQUEST,
			       .nlmsg_seq = ++b->messages};
	memcpy(room(b, n), fixed, n);
	h->nlmsg_len = (uint32_t)(b->n - b->message);
}

void nl_attr(struct nl_batch *b, uint16_t type, const void *data, size_t n)
{
	struct nlattr *a = room(b, sizeof *a);

	a->nla_type = type;
	a->nla_len = (uint16_t)(sizeof *a + n);
	if (n > 0)
		memcpy(room(b, n), data, n);
	newest(b)->nlmsg_len = (uint32_t)(b->n - b->message);
}

void nl_attr_str(struct nl_batch *b, uint16_t type, const char *s)
{
	nl_attr(b, type, s, strlen(s) + 1);
}

void nl_attr_u32(struct nl_batch *b, uint16_t type, uint32_t v)
{
	nl_attr(b, type, &v, sizeof v);
}

void nl_attr_be32(struct nl_batch *b, uint16_t type, uint32_t v)
{
	nl_attr_u32(b, type, htonl(v));
}

size_t nl_nest(struct nl_batch *b, uint16_t type)
{
	size_t at = b->n;

	nl_attr(b, type | NLA_F_NESTED, NULL, 0);
	return at;
}

void nl_nest_end(struct nl_batch *b, size_t nest)
{
	((struct nlattr *)(b->bytes + nest))->nla_len = (uint16_t)(b->n - nest);
}

/* Takes what one datagram says into account: clears the bits of what is done. */
static int read_answers(const struct nl_batch *b, char *p, size_t n, uint32_t *waiting,
			struct err *e)
{
	for (struct nlmsghdr *h = (struct nlmsghdr *)p; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
		const struct nlmsgerr *answer = NLMSG_DATA(h);
		if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_len < NLMSG_LENGTH(sizeof *answer) ||
		    h->nlmsg_seq == 0 || h->nlmsg_seq > b->messages)
			continue;
		if (answer->error != 0) {
			errno = -answer->error;
			return err_sys(e, "%s", b->what[h->nlmsg_seq - 1]);
		}
		*waiting &= ~(UINT32_C(1) << (h->nlmsg_seq - 1));
	}
	return 0;
}

int nl_exchange(int fd, const struct nl_batch *b, struct err *e)
{
	_Alignas(8) char answer[16384];
	uint32_t waiting = b->awaited;

	if (send(fd, b->bytes, b->n, 0) < 0)
		return err_sys(e, "%s", b->what[0]);
	while (waiting != 0) {
		ssize_t n = recv(fd, answer, sizeof answer, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "%s: no answer", b->what[__builtin_ctz(waiting)]);
		if (read_answers(b, answer, (size_t)n, &waiting, e) < 0)
			return -1;
	}
	return 0;
}
