#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "isolate/ladder.h"
#include "isolate/pocket.h"

enum {
	STEP_MS = 3000, /* for what takes microseconds when it works */
	OUTSIDE_PORT = 9,
};

#define OUTSIDE "192.0.2.1" /* TEST-NET-1 (RFC 5737): nobody's, and out of reach from in there */

static const char *const names[] = {"pocket", "userns", "host"};
_Static_assert(ARRAY_LEN(names) == RUNG_COUNT, "a name for each rung");

const char *rung_name(enum rung r)
{
	return names[r];
}

/* ---- inside: the child ---- */

/* A map of the own uid is refused to some (uid 0 without CAP_SETFCAP). It is not needed: the kernel
 * knows who we are all the same, and the capabilities in the new namespace stay until an exec. */
static bool map_self(uid_t uid)
{
	_cleanup_close_ int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
	_cleanup_free_ char *map = xasprintf("%u %u 1", uid, uid);

	return fd >= 0 && write(fd, map, strlen(map)) == (ssize_t)strlen(map);
}

static int enter(enum rung r, struct rung_report *out)
{
	uid_t uid = geteuid();

	if (r == RUNG_POCKET)
		return unshare(CLONE_NEWNET) < 0 ? err_sys(&out->why, "unshare(NEWNET)") : 0;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return err_sys(&out->why, "unshare(NEWUSER|NEWNET)");
	out->mapped = map_self(uid);
	return 0;
}

static struct sockaddr_in address_of(const char *host, in_port_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};

	must(inet_pton(AF_INET, host, &sa.sin_addr) == 1);
	return sa;
}

/* Hands a descriptor to the parent; one byte goes with it. */
static int hand_out(int channel, int fd)
{
	char byte = 'L';
	struct iovec io = {.iov_base = &byte, .iov_len = 1};
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof fd)];
	} control = {{0}};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof control.bytes};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(h), &fd, sizeof fd);
	return sendmsg(channel, &m, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

/* 0 when connected within the limit, else -1 with errno. */
static int connect_within(int fd, const struct sockaddr_in *to)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int error = 0;
	socklen_t n = sizeof error;

	if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -1;
	if (poll(&p, 1, STEP_MS) != 1) {
		errno = ETIMEDOUT;
		return -1;
	}
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
	errno = error;
	return error ? -1 : 0;
}

/* What a sandbox does all day: it reaches the proxy that listens outside on a socket made inside. */
static int reach_proxy(int channel, struct err *e)
{
	struct sockaddr_in at = address_of(POCKET_PROXY_ADDRESS, 0);
	socklen_t n = sizeof at;
	char byte;

	_cleanup_close_ int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server < 0 || bind(server, (struct sockaddr *)&at, sizeof at) < 0 ||
	    listen(server, 1) < 0 || getsockname(server, (struct sockaddr *)&at, &n) < 0)
		return err_sys(e, "listen on %s", POCKET_PROXY_ADDRESS);
	if (hand_out(channel, server) < 0)
		return err_sys(e, "hand a socket out");
	_cleanup_close_ int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client < 0 || connect_within(client, &at) < 0)
		return err_sys(e, "connect to the proxy's address");
	struct pollfd p = {.fd = client, .events = POLLIN};
	if (poll(&p, 1, STEP_MS) != 1 || read(client, &byte, 1) != 1)
		return err_set(e, ETIMEDOUT, "the connection was not accepted outside");
	return 0;
}

/* What it must not be able to do. */
static int go_round(const struct rung_report *out, struct err *e)
{
	struct sockaddr_in outside = address_of(OUTSIDE, OUTSIDE_PORT);

	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, "socket");
	if (connect_within(fd, &outside) == 0)
		return err_set(e, EPROTO, "there is a way round the proxy");
	if (errno != (out->refuses ? ECONNREFUSED : ENETUNREACH))
		return err_sys(e, "an attempt to go round the proxy fails in an unexpected way");
	return 0;
}

static void climb(enum rung r, int channel, struct rung_report *out)
{
	out->works = enter(r, out) == 0 &&
		     pocket_set_up(&out->refuses, &out->lost, &out->why) == 0 &&
		     reach_proxy(channel, &out->why) == 0 && go_round(out, &out->why) == 0;
	if (out->refuses)
		out->lost.code = 0;
}

/* ---- outside: the parent ---- */

/* The next message of the child: its size, and the descriptor that came with it, or -1 for none. */
static ssize_t next_message(int channel, void *p, size_t n, int *fd)
{
	struct pollfd poller = {.fd = channel, .events = POLLIN};
	struct iovec io = {.iov_base = p, .iov_len = n};
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof *fd)];
	} control;
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof control.bytes};

	*fd = -1;
	if (poll(&poller, 1, STEP_MS) != 1)
		return -1;
	ssize_t got = recvmsg(channel, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *h = got > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (h != NULL && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(h), sizeof *fd);
	return got;
}

/* Plays the proxy: takes the one connection and sends a byte. What goes wrong here the child tells. */
static void play_proxy(int server)
{
	struct pollfd p = {.fd = server, .events = POLLIN};

	if (poll(&p, 1, STEP_MS) != 1)
		return;
	_cleanup_close_ int client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	if (client >= 0)
		send(client, "p", 1, MSG_NOSIGNAL);
}

static void watch(int channel, struct rung_report *out)
{
	struct rung_report told;

	for (;;) {
		int server;
		ssize_t n = next_message(channel, &told, sizeof told, &server);
		_cleanup_close_ int owned = server;
		if (n == sizeof told) {
			*out = told;
			return;
		}
		if (n != 1 || owned < 0) {
			err_set(&out->why, ETIMEDOUT, "the trial ended without an answer");
			return;
		}
		play_proxy(owned);
	}
}

void rung_try(enum rung r, struct rung_report *out)
{
	int pair[2];

	memset(out, 0, sizeof *out);
	if (r == RUNG_HOST) {
		out->works = true;
		return;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		err_sys(&out->why, "socketpair");
		return;
	}
	_cleanup_close_ int ours = pair[0], theirs = pair[1];
	pid_t pid = fork();
	if (pid < 0) {
		err_sys(&out->why, "fork");
		return;
	}
	if (pid == 0) {
		climb(r, theirs, out);
		_exit(send(theirs, out, sizeof *out, MSG_NOSIGNAL) == sizeof *out ? 0 : 1);
	}
	close(steal_fd(&theirs));
	watch(ours, out);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

const char *rung_help(enum rung r, const struct rung_report *report)
{
	if (report->works)
		return NULL;
	if (r == RUNG_POCKET && report->why.code == EPERM)
		return "CAP_SYS_ADMIN (and NET_ADMIN) in the container, and a seccomp profile that "
		       "allows unshare";
	if (r == RUNG_USERNS && report->why.code == EPERM)
		return "unprivileged user namespaces: a seccomp profile that allows "
		       "unshare(NEWUSER), "
		       "kernel.apparmor_restrict_unprivileged_userns=0";
	if (r == RUNG_USERNS && report->why.code == ENOSPC)
		return "user.max_user_namespaces above 0";
	if (report->why.code == EINVAL || report->why.code == ENOSYS)
		return "a kernel built with network and user namespaces";
	return NULL;
}
