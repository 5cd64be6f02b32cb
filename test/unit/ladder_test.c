/* isolate/: the rungs on this host, the pocket from inside, and hosts that lack something. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "isolate/ladder.h"
#include "isolate/ladder_impl.h"
#include "isolate/pocket.h"
#include "isolate/pocket_impl.h"
#include "forbid.h"
#include "net/netlink.h"
#include "test.h"

static struct rung_report tried(enum rung r)
{
	struct rung_report t;

	rung_try(r, &t);
	return t;
}

TEST(ladder_names_and_the_last_rung)
{
	STREQ(rung_name(RUNG_POCKET), "pocket");
	STREQ(rung_name(RUNG_USERNS), "userns");
	STREQ(rung_name(RUNG_HOST), "host");
	struct rung_report t = tried(RUNG_HOST);
	OK(t.works && !t.refuses);
}

TEST(ladder_a_rung_works_or_says_which_call_failed)
{
	for (enum rung r = 0; r < RUNG_HOST; r++) {
		struct rung_report t = tried(r);
		OK(t.works == (t.why.text[0] == '\0'));
		OK(!t.refuses || t.lost.code == 0);
		OK(t.works || t.why.code != 0);
	}
}

/* As somebody without a right: root's maps need no refusal of setgroups. */
TEST(ladder_maps_our_own_ids)
{
	enum { NOBODY = 65533 };

	NOT_EMULATED("unshare(NEWUSER)");
	if (geteuid() == 0) {
		OK(setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
		   setresuid(NOBODY, NOBODY, NOBODY) == 0);
		OK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	}
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (unshare(CLONE_NEWUSER) < 0)
		SKIP("no user namespace to be had: %s", strerror(errno));
	OK(rung_map_self(uid, gid));
	EQ(geteuid(), uid);
	EQ(getegid(), gid);
}

TEST(ladder_without_the_right_to_unshare)
{
	forbid(SYS_unshare, -1, 0, EPERM);
	struct rung_report pocket = tried(RUNG_POCKET), user = tried(RUNG_USERNS);
	OK(!pocket.works && !user.works);
	STREQ(pocket.why.text, "unshare(NEWNET): Operation not permitted");
	STREQ(user.why.text, "unshare(NEWUSER|NEWNET): Operation not permitted");
	OK(rung_help(RUNG_POCKET, &pocket) != NULL && rung_help(RUNG_USERNS, &user) != NULL);
}

/* A rung that can be entered here at all; or the test is skipped. */
static enum rung any_rung(void)
{
	struct rung_report t = {0};

	for (enum rung r = 0; r < RUNG_HOST; r++) {
		t = tried(r);
		if (t.works)
			return r;
	}
	SKIP("no rung works here: %s", t.why.text);
}

TEST(ladder_a_kernel_without_nf_tables_still_walls)
{
	enum rung r = any_rung();

	forbid(SYS_socket, 2, NETLINK_NETFILTER, EPROTONOSUPPORT);
	struct rung_report t = tried(r);
	OK(t.works && !t.refuses);
	HAS(t.lost.text, "netlink socket 12: Protocol not supported");
}

TEST(ladder_a_kernel_without_routing_netlink_does_not)
{
	enum rung r = any_rung();

	forbid(SYS_socket, 2, NETLINK_ROUTE, EPROTONOSUPPORT);
	struct rung_report t = tried(r);
	OK(!t.works);
	STREQ(t.why.text, "netlink socket 0: Protocol not supported");
}

/* ---- from inside ---- */

static void enter_pocket(void)
{
	struct err e, why;
	bool refuses;

	NOT_EMULATED("netfilter's netlink");
	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		SKIP("no network namespace to be had: %s", strerror(errno));
	if (pocket_set_up(&refuses, &why, &e) < 0)
		FAIL("%s", e.text);
	if (!refuses)
		SKIP("no nf_tables here: %s", why.text);
}

static int try_connect(int family, int type, const char *address, int port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((in_port_t)port)};
	_cleanup_close_ int fd = socket(family, type | SOCK_CLOEXEC, 0);

	inet_pton(family, address,
		  family == AF_INET ? (void *)&in.sin_addr : (void *)&in6.sin6_addr);
	int r = family == AF_INET ? connect(fd, (struct sockaddr *)&in, sizeof in)
				  : connect(fd, (struct sockaddr *)&in6, sizeof in6);
	if (r == 0 && type == SOCK_DGRAM)
		r = send(fd, "x", 1, MSG_NOSIGNAL) == 1 ? 0 : -1;
	return r == 0 ? 0 : errno;
}

TEST(pocket_refuses_at_once_over_every_family)
{
	enter_pocket();
	EQ(try_connect(AF_INET, SOCK_STREAM, "192.0.2.1", 443), ECONNREFUSED);
	EQ(try_connect(AF_INET, SOCK_STREAM, "169.254.169.254", 80), ECONNREFUSED);
	EQ(try_connect(AF_INET, SOCK_STREAM, "10.200.0.3", 80), ECONNREFUSED);
	EQ(try_connect(AF_INET, SOCK_DGRAM, "192.0.2.53", 53), EPERM);
	int six = try_connect(AF_INET6, SOCK_STREAM, "2001:db8::1", 443);
	OK(six == ECONNREFUSED || six == EAFNOSUPPORT);
}

TEST(pocket_lets_what_is_local_pass)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
	socklen_t n = sizeof at;

	enter_pocket();
	int server = socket(AF_INET, SOCK_STREAM, 0);
	OK(bind(server, (struct sockaddr *)&at, sizeof at) == 0 && listen(server, 4) == 0);
	OK(getsockname(server, (struct sockaddr *)&at, &n) == 0);
	EQ(try_connect(AF_INET, SOCK_STREAM, POCKET_PROXY_ADDRESS, ntohs(at.sin_port)), 0);
	EQ(try_connect(AF_INET, SOCK_STREAM, POCKET_OWN_ADDRESS, ntohs(at.sin_port)), 0);
	EQ(try_connect(AF_INET, SOCK_STREAM, "127.0.0.1", ntohs(at.sin_port)), 0);
}

/* ---- netlink ---- */

TEST(netlink_names_the_message_that_failed)
{
	struct ifinfomsg nothing = {.ifi_index = 12345};
	struct ifinfomsg lo = {.ifi_index = 1};
	struct nl_batch b;
	struct err e;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		SKIP("no network namespace to be had: %s", strerror(errno));
	int fd = nl_open(NETLINK_ROUTE, &e);
	OK(fd >= 0);
	nl_begin(&b);
	nl_message(&b, "touch lo", RTM_NEWLINK, NLM_F_ACK, &lo, sizeof lo);
	nl_message(&b, "touch what is not there", RTM_NEWLINK, NLM_F_ACK, &nothing, sizeof nothing);
	EQ(nl_exchange(fd, &b, &e), -1);
	STREQ(e.text, "touch what is not there: No such device");
	EQ(e.code, ENODEV);
	close(fd);
}

TEST(netlink_lengths_are_those_of_the_kernel)
{
	struct nl_batch b;
	const struct nlmsghdr *h = (const struct nlmsghdr *)b.bytes;
	unsigned messages = 0;

	pocket_write_chain(&b);
	for (size_t left = b.n; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		messages++;
		EQ(h->nlmsg_seq, messages);
		OK(h->nlmsg_flags & NLM_F_REQUEST);
	}
	EQ((const char *)h - b.bytes, b.n);
	EQ(messages, b.messages);
	EQ(messages, 8);
	EQ(b.awaited, 0x7e); /* all but the two brackets */
}
