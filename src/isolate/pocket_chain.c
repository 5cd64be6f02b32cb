/*
 * The pocket's one chain, in nf_tables' own messages (linux/netfilter/nf_tables.h). In nft's words:
 *
 *	table inet openshell {
 *		chain output {
 *			type filter hook output priority 0; policy accept;
 *			fib daddr type local accept
 *			meta mark 0 log group 77
 *			meta l4proto tcp reject with tcp reset
 *			reject with icmpx port-unreachable
 *		}
 *		chain hold {
 *			type filter hook output priority -1; policy accept;
 *			fib daddr type local accept
 *			meta l4proto tcp queue flags bypass to 0
 *		}
 *	}
 *
 * `local` is every address that lo carries: nothing else is in a pocket. A reset makes connect() fail
 * with ECONNREFUSED at once; an ICMP error does not reach a socket whose packet never left. Anything
 * else than TCP fails with EPERM where it is sent. `log` stands in a rule of its own, so that a
 * kernel that lacks it still refuses (pocket_make_chain tries both ways).
 *
 * `hold` comes later and may be missing (pocket_hold_connections). What it queues goes on to `output` when it is let
 * go, marked, so that it is not logged again. It is iptables' target (nft_compat), or where that is missing the `queue`
 * expression; kernels have one, the other or both.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "isolate/pocket.h"
#include "isolate/pocket_impl.h"

#define TABLE "openshell"
#define CHAIN "output"
#define HOLD "hold"

static void begin(struct nl_batch *b, const char *what, int type, uint16_t flags)
{
	struct nfgenmsg fixed = {.nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0};

	nl_message(b, what, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, &fixed,
		   sizeof fixed);
}

/* The messages that bracket a transaction. */
static void bracket(struct nl_batch *b, const char *what, int type)
{
	struct nfgenmsg fixed = {.version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES)};

	nl_message(b, what, (uint16_t)type, 0, &fixed, sizeof fixed);
}

struct expression {
	size_t element, data;
};

static struct expression begin_expression(struct nl_batch *b, const char *name)
{
	struct expression x = {.element = nl_nest(b, NFTA_LIST_ELEM)};

	nl_attr_str(b, NFTA_EXPR_NAME, name);
	x.data = nl_nest(b, NFTA_EXPR_DATA);
	return x;
}

static void end_expression(struct nl_batch *b, struct expression x)
{
	nl_nest_end(b, x.data);
	nl_nest_end(b, x.element);
}

static size_t begin_rule(struct nl_batch *b, const char *chain, const char *what)
{
	begin(b, what, NFT_MSG_NEWRULE, NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND);
	nl_attr_str(b, NFTA_RULE_TABLE, TABLE);
	nl_attr_str(b, NFTA_RULE_CHAIN, chain);
	return nl_nest(b, NFTA_RULE_EXPRESSIONS);
}

/* Whether register 1 holds these bytes. */
static void write_compare(struct nl_batch *b, const void *bytes, size_t n)
{
	struct expression cmp = begin_expression(b, "cmp");

	nl_attr_be32(b, NFTA_CMP_SREG, NFT_REG_1);
	nl_attr_be32(b, NFTA_CMP_OP, NFT_CMP_EQ);
	size_t data = nl_nest(b, NFTA_CMP_DATA);
	nl_attr(b, NFTA_DATA_VALUE, bytes, n);
	nl_nest_end(b, data);
	end_expression(b, cmp);
}

static void write_verdict(struct nl_batch *b, uint32_t what)
{
	struct expression verdict = begin_expression(b, "immediate");

	nl_attr_be32(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	size_t data = nl_nest(b, NFTA_IMMEDIATE_DATA);
	size_t code = nl_nest(b, NFTA_DATA_VERDICT);
	nl_attr_be32(b, NFTA_VERDICT_CODE, what);
	nl_nest_end(b, code);
	nl_nest_end(b, data);
	end_expression(b, verdict);
}

static void write_meta(struct nl_batch *b, uint32_t key)
{
	struct expression meta = begin_expression(b, "meta");

	nl_attr_be32(b, NFTA_META_DREG, NFT_REG_1);
	nl_attr_be32(b, NFTA_META_KEY, key);
	end_expression(b, meta);
}

static void write_is_tcp(struct nl_batch *b)
{
	uint8_t tcp = IPPROTO_TCP;

	write_meta(b, NFT_META_L4PROTO);
	write_compare(b, &tcp, sizeof tcp);
}

static void write_accept_local(struct nl_batch *b, const char *chain)
{
	uint32_t local = RTN_LOCAL; /* in host byte order, as fib stores it */
	size_t rule = begin_rule(b, chain, "add the rule that lets local traffic pass");

	struct expression fib = begin_expression(b, "fib");
	nl_attr_be32(b, NFTA_FIB_DREG, NFT_REG_1);
	nl_attr_be32(b, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nl_attr_be32(b, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
	end_expression(b, fib);

	write_compare(b, &local, sizeof local);

	write_verdict(b, NF_ACCEPT);
	nl_nest_end(b, rule);
}

static void write_log(struct nl_batch *b)
{
	uint16_t group = htons(POCKET_LOG_GROUP);
	uint32_t unmarked = 0;
	size_t rule = begin_rule(b, CHAIN, "add the rule that logs");

	write_meta(b, NFT_META_MARK);
	write_compare(b, &unmarked, sizeof unmarked);

	struct expression log = begin_expression(b, "log");
	nl_attr(b, NFTA_LOG_GROUP, &group, sizeof group);
	end_expression(b, log);
	nl_nest_end(b, rule);
}

static void write_reset_tcp(struct nl_batch *b)
{
	size_t rule = begin_rule(b, CHAIN, "add the rule that resets TCP");

	write_is_tcp(b);
	struct expression reject = begin_expression(b, "reject");
	nl_attr_be32(b, NFTA_REJECT_TYPE, NFT_REJECT_TCP_RST);
	end_expression(b, reject);
	nl_nest_end(b, rule);
}

static void write_reject(struct nl_batch *b)
{
	uint8_t code = NFT_REJECT_ICMPX_PORT_UNREACH;
	size_t rule = begin_rule(b, CHAIN, "add the rule that refuses");

	struct expression reject = begin_expression(b, "reject");
	nl_attr_be32(b, NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
	nl_attr(b, NFTA_REJECT_ICMP_CODE, &code, sizeof code);
	end_expression(b, reject);
	nl_nest_end(b, rule);
}

static void write_hook(struct nl_batch *b, const char *chain, int priority)
{
	begin(b, "add a chain", NFT_MSG_NEWCHAIN, NLM_F_ACK | NLM_F_CREATE);
	nl_attr_str(b, NFTA_CHAIN_TABLE, TABLE);
	nl_attr_str(b, NFTA_CHAIN_NAME, chain);
	nl_attr_str(b, NFTA_CHAIN_TYPE, "filter");
	size_t hook = nl_nest(b, NFTA_CHAIN_HOOK);
	nl_attr_be32(b, NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
	nl_attr_be32(b, NFTA_HOOK_PRIORITY, (uint32_t)priority);
	nl_nest_end(b, hook);
}

static void write_chain(struct nl_batch *b, bool log)
{
	nl_begin(b);
	bracket(b, "begin a transaction", NFNL_MSG_BATCH_BEGIN);
	begin(b, "add a table", NFT_MSG_NEWTABLE, NLM_F_ACK | NLM_F_CREATE);
	nl_attr_str(b, NFTA_TABLE_NAME, TABLE);
	write_hook(b, CHAIN, 0);
	write_accept_local(b, CHAIN);
	if (log)
		write_log(b);
	write_reset_tcp(b);
	write_reject(b);
	bracket(b, "end a transaction", NFNL_MSG_BATCH_END);
}

/* nf_tables' own way. bypass: without a reader of the queue it goes on by itself. */
static void write_queue(struct nl_batch *b)
{
	const uint16_t number = htons(0), total = htons(1), flags = htons(NFT_QUEUE_FLAG_BYPASS);
	struct expression queue = begin_expression(b, "queue");

	nl_attr(b, NFTA_QUEUE_NUM, &number, sizeof number);
	nl_attr(b, NFTA_QUEUE_TOTAL, &total, sizeof total);
	nl_attr(b, NFTA_QUEUE_FLAGS, &flags, sizeof flags);
	end_expression(b, queue);
}

/* iptables' way, which nf_tables can borrow. */
static void write_queue_target(struct nl_batch *b)
{
	const struct xt_NFQ_info_v3 info = {.queues_total = 1, .flags = NFQ_FLAG_BYPASS};
	struct expression target = begin_expression(b, "target");

	nl_attr_str(b, NFTA_TARGET_NAME, "NFQUEUE");
	nl_attr_be32(b, NFTA_TARGET_REV, 3);
	nl_attr(b, NFTA_TARGET_INFO, &info, sizeof info);
	end_expression(b, target);
}

static int try_to_hold(int fd, void (*write)(struct nl_batch *b), struct err *e)
{
	struct nl_batch b;

	nl_begin(&b);
	bracket(&b, "begin a transaction", NFNL_MSG_BATCH_BEGIN);
	write_hook(&b, HOLD, -1);
	write_accept_local(&b, HOLD);
	size_t rule = begin_rule(&b, HOLD, "add the rule that lets connections wait");
	write_is_tcp(&b);
	write(&b);
	nl_nest_end(&b, rule);
	bracket(&b, "end a transaction", NFNL_MSG_BATCH_END);
	return nl_exchange(fd, &b, e);
}

/* By the socket that stays: when one is closed behind a transaction, or a transaction fails, the kernel waits for
 * all processors (synchronize_rcu), which is some milliseconds of a sandbox's start. */
int pocket_hold_connections(int queue, struct err *e)
{
	if (try_to_hold(queue, write_queue_target, e) == 0)
		return 0;
	_cleanup_close_ int fd = nl_open(NETLINK_NETFILTER, e);
	return fd < 0 ? -1 : try_to_hold(fd, write_queue, e);
}

void pocket_write_chain(struct nl_batch *b)
{
	write_chain(b, true);
}

/* A socket for each try: answers to the messages behind a failed one must not be taken for those of
 * the next. */
static int try_chain(bool log, struct err *e)
{
	_cleanup_close_ int fd = nl_open(NETLINK_NETFILTER, e);
	struct nl_batch b;

	if (fd < 0)
		return -1;
	write_chain(&b, log);
	return nl_exchange(fd, &b, e);
}

int pocket_make_chain(struct err *e)
{
	if (try_chain(true, e) == 0)
		return 0;
	/* without NFLOG a bypass is refused all the same, and goes unreported */
	return try_chain(false, e);
}
