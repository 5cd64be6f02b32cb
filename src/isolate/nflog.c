#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "isolate/nflog.h"
#include "net/netlink.h"

/* ---- the group ---- */

static void begin(struct nl_batch *b, const char *what, uint16_t group)
{
	struct nfgenmsg fixed = {.version = NFNETLINK_V0, .res_id = htons(group)};

	nl_message(b, what, NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG, NLM_F_ACK, &fixed,
		   sizeof fixed);
}

static void write_binding(struct nl_batch *b, uint16_t group)
{
	struct nfulnl_msg_config_cmd bind = {.command = NFULNL_CFG_CMD_BIND};
	struct nfulnl_msg_config_mode mode = {.copy_range = htonl(NFLOG_PACKET_MAX),
					      .copy_mode = NFULNL_COPY_PACKET};

	nl_begin(b);
	begin(b, "bind an NFLOG group", group);
	nl_attr(b, NFULA_CFG_CMD, &bind, sizeof bind);
	begin(b, "set what NFLOG copies", group);
	nl_attr(b, NFULA_CFG_MODE, &mode, sizeof mode);
	/* else the kernel keeps a hundred of them back, or a second's */
	nl_attr_be32(b, NFULA_CFG_QTHRESH, 1);
}

int nflog_open(uint16_t group, int *out, struct err *e)
{
	_cleanup_close_ int fd = nl_open(NETLINK_NETFILTER, e);
	struct nl_batch b;

	if (fd < 0)
		return -1;
	write_binding(&b, group);
	if (nl_exchange(fd, &b, e) < 0)
		return -1;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, "netlink socket %d", NETLINK_NETFILTER);
	*out = steal_fd(&fd);
	return 0;
}

/* ---- packets ---- */

/* What is left of the bytes; nothing is read but by take(). */
struct rest {
	const uint8_t *p;
	size_t n;
};

/* The next n bytes, or NULL when there are fewer. */
static const uint8_t *take(struct rest *r, size_t n)
{
	if (r->n < n)
		return NULL;
	r->p += n;
	r->n -= n;
	return r->p - n;
}

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void read_transport(struct rest r, struct bypass *out)
{
	const uint8_t *p;

	switch (out->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP: /* ports come first in all of them */
		p = take(&r, 4);
		if (p != NULL) {
			out->sport = be16(p);
			out->dport = be16(p + 2);
		}
		return;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		p = take(&r, 2);
		if (p != NULL) {
			out->type = p[0];
			out->code = p[1];
		}
		return;
	default:
		return;
	}
}

/* RFC 791, 3.1. */
static bool read_v4(struct rest r, struct bypass *out)
{
	enum { FIXED = 20, FRAGMENT_OFFSET = 0x1fff };
	const uint8_t *p = take(&r, FIXED);

	if (p == NULL)
		return false;
	size_t header = (size_t)(p[0] & 15) * 4;
	if (header < FIXED)
		return false;
	out->family = AF_INET;
	out->protocol = p[9];
	out->src = out->dst = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
	memcpy(out->src.s6_addr + 12, p + 12, 4);
	memcpy(out->dst.s6_addr + 12, p + 16, 4);
	bool first = (be16(p + 6) & FRAGMENT_OFFSET) == 0;
	if (first && take(&r, header - FIXED) != NULL)
		read_transport(r, out);
	return true;
}

/* Walks the extension headers (RFC 8200, 4; RFC 4302, 2 for AH) and leaves r behind them, with the
 * protocol that follows in *next. False when there is nothing behind to be read. */
static bool skip_extensions(struct rest *r, uint8_t *next)
{
	enum { FRAGMENT_OFFSET = 0xfff8 };

	for (;;) {
		struct rest at = *r;
		const uint8_t *p = take(&at, 8);
		size_t more;

		switch (*next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_MH:
			more = p != NULL ? (size_t)p[1] * 8 : 0;
			break;
		case IPPROTO_AH:
			/* in words of 4 bytes, two of them not counted */
			more = p != NULL && p[1] > 0 ? ((size_t)p[1] + 2) * 4 - 8 : 0;
			break;
		case IPPROTO_FRAGMENT:
			more = 0;
			break;
		default:
			return true;
		}
		if (p == NULL || take(&at, more) == NULL)
			return false;
		bool fragment = *next == IPPROTO_FRAGMENT;
		*next = p[0];
		*r = at;
		if (fragment && (be16(p + 2) & FRAGMENT_OFFSET) != 0)
			return false;
	}
}

static bool read_v6(struct rest r, struct bypass *out)
{
	const uint8_t *p = take(&r, 40);

	if (p == NULL)
		return false;
	out->family = AF_INET6;
	out->protocol = p[6];
	memcpy(&out->src, p + 8, sizeof out->src);
	memcpy(&out->dst, p + 24, sizeof out->dst);
	if (skip_extensions(&r, &out->protocol))
		read_transport(r, out);
	return true;
}

bool nflog_parse_packet(const void *bytes, size_t size, struct bypass *out)
{
	struct rest r = {.p = bytes, .n = size};

	memset(out, 0, sizeof *out);
	out->uid = BYPASS_UID_UNKNOWN;
	if (size == 0)
		return false;
	switch (r.p[0] >> 4) {
	case 4:
		return read_v4(r, out);
	case 6:
		return read_v6(r, out);
	default:
		return false;
	}
}

/* ---- messages ---- */

/* Attributes and messages are padded to four bytes, the last one perhaps not. */
static void skip_padded(struct rest *r, size_t n)
{
	take(r, MIN(NLA_ALIGN(n), r->n));
}

/* What the two kinds of messages call their attributes. */
struct kind {
	uint16_t type;
	int payload, uid, header; /* header: -1 where there is no number to be had from it */
};

static const struct kind kinds[] = {
	{NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET, NFULA_PAYLOAD, NFULA_UID, -1},
	{NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET, NFQA_PAYLOAD, NFQA_UID, NFQA_PACKET_HDR},
};

static const struct kind *kind_of(uint16_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].type == type)
			return &kinds[i];
	return NULL;
}

/* A number in network byte order at the beginning of an attribute of so many bytes; else it stays. */
static void read_be32(struct rest value, size_t size, uint32_t *out)
{
	if (value.n != size)
		return;
	memcpy(out, value.p, sizeof *out);
	*out = ntohl(*out);
}

/* The attributes of one packet. */
static bool parse_message(const struct kind *kind, struct rest r, struct bypass *out)
{
	struct nlattr a;
	struct rest packet = {0};
	uint32_t uid = BYPASS_UID_UNKNOWN, held = 0;

	while (r.n >= sizeof a) {
		memcpy(&a, r.p, sizeof a);
		if (a.nla_len < sizeof a || a.nla_len > r.n)
			return false;
		struct rest value = {.p = r.p + sizeof a, .n = a.nla_len - sizeof a};
		int type = a.nla_type & NLA_TYPE_MASK;
		skip_padded(&r, a.nla_len);
		if (type == kind->payload)
			packet = value;
		else if (type == kind->uid)
			read_be32(value, sizeof uid, &uid);
		else if (type == kind->header)
			read_be32(value, sizeof(struct nfqnl_msg_packet_hdr), &held);
	}
	if (!nflog_parse_packet(packet.p, packet.n, out))
		return false;
	out->uid = uid;
	out->held = held;
	return true;
}

size_t nflog_parse(const void *bytes, size_t size, void (*each)(const struct bypass *b, void *arg),
		   void *arg)
{
	struct rest r = {.p = bytes, .n = size};
	struct nlmsghdr h;
	struct bypass found;
	size_t count = 0;

	while (r.n >= sizeof h) {
		memcpy(&h, r.p, sizeof h);
		if (h.nlmsg_len < sizeof h || h.nlmsg_len > r.n)
			break;
		struct rest body = {.p = r.p + sizeof h, .n = h.nlmsg_len - sizeof h};
		skip_padded(&r, h.nlmsg_len);
		const struct kind *kind = kind_of(h.nlmsg_type);
		if (kind == NULL || take(&body, sizeof(struct nfgenmsg)) == NULL ||
		    !parse_message(kind, body, &found))
			continue;
		each(&found, arg);
		count++;
	}
	return count;
}
