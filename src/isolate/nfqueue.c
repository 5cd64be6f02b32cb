#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "isolate/nflog.h"
#include "isolate/nfqueue.h"
#include "net/netlink.h"

static void begin(struct nl_batch *b, const char *what, int type, uint16_t flags)
{
	struct nfgenmsg fixed = {.version = NFNETLINK_V0, .res_id = htons(0)};

	nl_message(b, what, (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type), flags, &fixed, sizeof fixed);
}

int nfqueue_open(uint32_t max, int *out, struct err *e)
{
	struct nfqnl_msg_config_cmd bind = {.command = NFQNL_CFG_CMD_BIND};
	struct nfqnl_msg_config_params copy = {.copy_range = htonl(NFLOG_PACKET_MAX),
					       .copy_mode = NFQNL_COPY_PACKET};
	/* open: it goes on, and the chain that refuses it logs it */
	const uint32_t flags = NFQA_CFG_F_UID_GID | NFQA_CFG_F_FAIL_OPEN;
	_cleanup_close_ int fd = nl_open(NETLINK_NETFILTER, e);
	struct nl_batch b;

	if (fd < 0)
		return -1;
	nl_begin(&b);
	begin(&b, "bind an NFQUEUE", NFQNL_MSG_CONFIG, NLM_F_ACK);
	nl_attr(&b, NFQA_CFG_CMD, &bind, sizeof bind);
	begin(&b, "set what NFQUEUE copies", NFQNL_MSG_CONFIG, NLM_F_ACK);
	nl_attr(&b, NFQA_CFG_PARAMS, &copy, sizeof copy);
	nl_attr_be32(&b, NFQA_CFG_QUEUE_MAXLEN, max);
	nl_attr_be32(&b, NFQA_CFG_MASK, flags);
	nl_attr_be32(&b, NFQA_CFG_FLAGS, flags);
	if (nl_exchange(fd, &b, e) < 0)
		return -1;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, "netlink socket %d", NETLINK_NETFILTER);
	*out = steal_fd(&fd);
	return 0;
}

void nfqueue_refuse(int fd, uint32_t id)
{
	/* ACCEPT means that it goes on to the next chain */
	struct nfqnl_msg_verdict_hdr verdict = {.verdict = htonl(NF_ACCEPT), .id = htonl(id)};
	struct nl_batch b;

	nl_begin(&b);
	begin(&b, "let a packet go on", NFQNL_MSG_VERDICT, 0);
	nl_attr(&b, NFQA_VERDICT_HDR, &verdict, sizeof verdict);
	nl_attr_be32(&b, NFQA_MARK, NFQUEUE_MARK);
	(void)send(fd, b.bytes, b.n, MSG_DONTWAIT);
}
