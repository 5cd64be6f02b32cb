#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "isolate/pocket.h"
#include "isolate/pocket_impl.h"

enum { LO = 1 }; /* lo is the first interface of every network namespace */

static void add_address(struct nl_batch *b, const char *address)
{
	struct ifaddrmsg fixed = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = LO};
	struct in_addr in;

	must(inet_pton(AF_INET, address, &in) == 1);
	nl_message(b, "add an address to lo", RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
		   &fixed, sizeof fixed);
	nl_attr(b, IFA_LOCAL, &in, sizeof in);
	nl_attr(b, IFA_ADDRESS, &in, sizeof in);
}

int pocket_make_lo(int route_fd, struct err *e)
{
	struct ifinfomsg up = {.ifi_index = LO, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct nl_batch b;

	nl_begin(&b);
	nl_message(&b, "set lo up", RTM_NEWLINK, NLM_F_ACK, &up, sizeof up);
	add_address(&b, POCKET_PROXY_ADDRESS);
	add_address(&b, POCKET_OWN_ADDRESS);
	return nl_exchange(route_fd, &b, e);
}

static void add_route(struct nl_batch *b, unsigned char family)
{
	struct rtmsg fixed = {.rtm_family = family,
			      .rtm_table = RT_TABLE_MAIN,
			      .rtm_protocol = RTPROT_BOOT,
			      .rtm_scope = family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
			      .rtm_type = RTN_UNICAST};

	nl_message(b, "add a default route to lo", RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE, &fixed,
		   sizeof fixed);
	nl_attr_u32(b, RTA_OIF, LO);
}

int pocket_make_route(int route_fd, struct err *e)
{
	struct nl_batch b;
	struct err none;

	nl_begin(&b);
	add_route(&b, AF_INET);
	if (nl_exchange(route_fd, &b, e) < 0)
		return -1;
	/* a kernel without IPv6 has nothing to refuse there */
	nl_begin(&b);
	add_route(&b, AF_INET6);
	if (nl_exchange(route_fd, &b, &none) < 0 && none.code != EAFNOSUPPORT &&
	    none.code != EOPNOTSUPP && none.code != ENODEV)
		*e = none;
	else
		return 0;
	return -1;
}

int pocket_set_up(bool *refuses, struct err *why, struct err *e)
{
	_cleanup_close_ int route = nl_open(NETLINK_ROUTE, e);

	*refuses = false;
	if (route < 0 || pocket_make_lo(route, e) < 0)
		return -1;
	/* the chain first: a route without it would let packets loop on lo */
	if (pocket_make_chain(why) < 0 || pocket_make_route(route, why) < 0)
		return 0;
	*refuses = true;
	return 0;
}
