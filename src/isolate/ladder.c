#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "isolate/ladder_impl.h"
#include "isolate/pid_space.h"
#include "isolate/pocket.h"
#include "net/fdpass.h"

enum { OUTSIDE_PORT = 9 };

#define OUTSIDE "192.0.2.1" /* TEST-NET-1 (RFC 5737): nobody's, and out of reach from in there */

static const char *const names[] = {"pocket", "userns", "host"};
_Static_assert(ARRAY_LEN(names) == RUNG_COUNT, "a name for each rung");

const char *rung_name(enum rung r)
{
	return names[r];
}

/* ---- inside ---- */

/* The files of the maps are ours, and not root's, only while we are dumpable. */
static bool map(const struct identity *id, uid_t uid, gid_t gid, int channel)
{
	int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	enum rung_word word = RUNG_MAP;
	struct fdpass fds;

	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	bool mapped = id && fdpass_send(channel, &word, sizeof word, NULL, 0) == 0 &&
		      fdpass_receive_within(channel, &word, sizeof word, &fds, RUNG_STEP_MS) ==
			      sizeof word &&
		      word == RUNG_MAPPED;
	if (!mapped)
		mapped = rung_map_self(uid, gid);
	prctl(PR_SET_DUMPABLE, dumpable == 1, 0, 0, 0);
	return mapped;
}

/* System V memory knows no Landlock, so it is left behind too, in the same call, since a profile may take
 * no other. Not every kernel has such namespaces, or lets us have one more: that is no reason to give the
 * network up. */
static int leave(int namespaces)
{
	if (unshare(namespaces | CLONE_NEWIPC) == 0)
		return 0;
	return errno == EINVAL || errno == ENOSPC ? unshare(namespaces) : -1;
}

static int enter(const struct rung_climber *c, int channel, struct rung_report *out)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (c->rung == RUNG_HOST)
		return 0;
	if (c->rung == RUNG_POCKET && leave(CLONE_NEWNET) < 0)
		return err_sys(&out->why, "unshare(NEWNET)");
	if (c->rung == RUNG_USERNS && leave(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return err_sys(&out->why, "unshare(NEWUSER|NEWNET)");
	out->mapped = c->rung == RUNG_USERNS && map(c->identity, uid, gid, channel);
	if (pocket_set_up(&out->refuses, &out->lost, &out->why) < 0)
		return -1;
	if (out->refuses)
		out->lost.code = 0;
	return 0;
}

static struct sockaddr_in address_of(const char *host, in_port_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};

	must(inet_pton(AF_INET, host, &sa.sin_addr) == 1);
	return sa;
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
	if (poll(&p, 1, RUNG_STEP_MS) != 1) {
		errno = ETIMEDOUT;
		return -1;
	}
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
	errno = error;
	return error ? -1 : 0;
}

static int listen_for_proxy(const struct rung_climber *c, int channel, struct sockaddr_in *at,
			    struct err *e)
{
	const char *host = c->rung == RUNG_HOST ? "127.0.0.1" : POCKET_PROXY_ADDRESS;
	socklen_t n = sizeof *at;
	int on = 1;

	*at = address_of(host, c->port);
	_cleanup_close_ int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server < 0 || setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    bind(server, (struct sockaddr *)at, sizeof *at) < 0 || listen(server, SOMAXCONN) < 0 ||
	    getsockname(server, (struct sockaddr *)at, &n) < 0)
		return err_sys(e, "listen on %s:%u", host, c->port);
	struct rung_listening listening = {.at = *at};
	if (fdpass_send(channel, &listening, sizeof listening, &server, 1) < 0)
		return err_sys(e, "hand a socket out");
	return 0;
}

/* What a sandbox does all day: it reaches the proxy that listens outside on a socket made inside. */
static int reach_proxy(const struct sockaddr_in *at, struct err *e)
{
	char byte;

	_cleanup_close_ int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client < 0 || connect_within(client, at) < 0)
		return err_sys(e, "connect to the proxy's address");
	struct pollfd p = {.fd = client, .events = POLLIN};
	if (poll(&p, 1, RUNG_STEP_MS) != 1 || read(client, &byte, 1) != 1)
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

void rung_climb(const struct rung_climber *c, int channel, struct rung_report *out)
{
	struct sockaddr_in at;

	memset(out, 0, sizeof *out);
	out->works = enter(c, channel, out) == 0 &&
		     listen_for_proxy(c, channel, &at, &out->why) == 0 &&
		     reach_proxy(&at, &out->why) == 0 &&
		     (c->rung == RUNG_HOST || go_round(out, &out->why) == 0);
}

/* ---- outside ---- */

/* Plays the proxy: takes the one connection and sends a byte. What goes wrong here is told inside. */
static void play_proxy(int server)
{
	struct pollfd p = {.fd = server, .events = POLLIN};

	if (poll(&p, 1, RUNG_STEP_MS) != 1)
		return;
	_cleanup_close_ int client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	if (client >= 0)
		send(client, "p", 1, MSG_NOSIGNAL);
}

/* The next message of those inside. False when it is the last one. */
static bool follow(const struct rung_climber *c, pid_t pid, int channel, struct rung_report *out,
		   struct rung_listening *listening, int *listener)
{
	union {
		enum rung_word word;
		struct rung_listening listening;
		struct rung_report report;
	} told;
	_cleanup_fdpass_ struct fdpass fds;

	_Static_assert(sizeof told.word != sizeof told.listening &&
			       sizeof told.listening != sizeof told.report,
		       "told apart by their sizes");
	ssize_t n = fdpass_receive_within(channel, &told, sizeof told, &fds, RUNG_CLIMB_MS);
	if (n == sizeof told.report) {
		*out = told.report;
		return false;
	}
	if (n == sizeof told.word && c->identity) {
		bool mapped = rung_map_identity(pid, c->identity);
		told.word = mapped ? RUNG_MAPPED : RUNG_UNMAPPED;
		return fdpass_send(channel, &told.word, sizeof told.word, NULL, 0) == 0;
	}
	if (n == sizeof told.listening && fds.n == 1 && *listener < 0) {
		*listening = told.listening;
		*listener = fdpass_take(&fds, 0);
		play_proxy(*listener);
		return true;
	}
	err_set(&out->why, ETIMEDOUT, "the trial ended without an answer");
	return false;
}

void rung_watch(const struct rung_climber *c, pid_t pid, int channel, struct rung_report *out,
		struct rung_listening *listening, int *listener)
{
	*listener = -1;
	memset(out, 0, sizeof *out);
	while (follow(c, pid, channel, out, listening, listener))
		;
}

/* ---- a trial ---- */

_Noreturn static void climb_and_tell(const struct rung_climber *c, int channel)
{
	static const struct view_path proc = {"/proc", false};
	const struct view view = {.paths = &proc, .n = 1, .enforced = true};
	const struct confine nothing = {.landlock_fd = -1};
	struct rung_report report = {.works = true};
	struct pid_space space = PID_SPACE_NONE;

	/* without a namespace there is nothing to prove */
	if (c->rung != RUNG_HOST)
		rung_climb(c, channel, &report);
	if (report.works && (pid_space_enter(&space, &nothing, &view, &report.no_own_pids,
					     &report.shown, &report.why) < 0 ||
			     pid_space_settle(&space, &report.why) < 0))
		report.works = false;
	/* init ends with this process */
	_exit(fdpass_send(channel, &report, sizeof report, NULL, 0) == 0 ? 0 : 1);
}

void rung_try(enum rung r, struct rung_report *out)
{
	const struct rung_climber climber = {.rung = r};
	struct rung_listening listening;
	int pair[2], listener;

	memset(out, 0, sizeof *out);
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
	if (pid == 0)
		climb_and_tell(&climber, theirs);
	close(steal_fd(&theirs));
	rung_watch(&climber, pid, ours, out, &listening, &listener);
	if (listener >= 0)
		close(listener);
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
