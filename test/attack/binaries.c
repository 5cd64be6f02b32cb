/*
 * Programs that pass for another. The policy gives other.test:8082 to TOP/ro/allowed, TOP/rw/tool and TOP/rw/tool2 alone,
 * which are copies of this program; the attempts are made by TOP/ro/attack. What a workload can always do
 * is to run the allowed program itself (docs/security.md); so what is tried here is to have a connection
 * of one program used by another, and to be taken for a program that one is not.
 *
 * As such a copy the program is a helper:
 *
 *   ask TOKEN [FD]     asks the proxy for other.test:8082, on a connection of its own or on FD
 *   lend FD            connects to the proxy and sends the connection over the socket FD
 *   lend-used FD       the same after a request on it
 *   exec-ask TOKEN     connects to the proxy, becomes TOP/ro/attack, which asks
 *   unlink-ask TOKEN   removes its own file and asks
 *   exit N, sleep MS
 *   privileged         status 0 when it has more rights than an ordinary process
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

#define ATTACKER TOP "/ro/attack"
#define ALLOWED TOP "/ro/allowed"
#define TOOL TOP "/rw/tool"
#define OTHER_TOOL TOP "/rw/tool2"
#define TARGET "other.test:8082"

enum {
	LEND_MS = 5000,
	IN_FLIGHT_MS = 1000,
};

/* ---- helpers: what the copies do ---- */

static int ask(int fd, const char *token)
{
	char answer[512];

	dprintf(fd, "CONNECT " TARGET " HTTP/1.1\r\nHost: " TARGET "\r\n\r\n");
	if (read_answer(fd, answer, sizeof answer) == 0)
		return 1;
	dprintf(fd, "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", token);
	read_answer(fd, answer, sizeof answer);
	return 0;
}

static int send_fd(int channel, int fd)
{
	char byte = 'F';
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
	return sendmsg(channel, &m, MSG_NOSIGNAL) == 1 ? 0 : 1;
}

static int lend(int channel, bool used)
{
	char answer[512];
	int fd = tcp_to_proxy();

	if (fd < 0)
		return 1;
	if (used) {
		dprintf(fd, "GET http://" TARGET "/first HTTP/1.1\r\nHost: " TARGET "\r\n\r\n");
		read_answer(fd, answer, sizeof answer);
	}
	if (send_fd(channel, fd) != 0)
		return 1;
	if (used)
		close(fd);
	/* else both have it for a while */
	poll(NULL, 0, LEND_MS);
	return 0;
}

static int exec_ask(const char *token)
{
	char text[12];
	int fd = tcp_to_proxy();

	if (fd < 0)
		return 1;
	fcntl(fd, F_SETFD, 0);
	snprintf(text, sizeof text, "%d", fd);
	execl(ATTACKER, ATTACKER, "ask", token, text, NULL);
	return 1;
}

static int privileged(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3] = {{0}};

	syscall(SYS_capget, &head, d);
	return geteuid() == 0 || getegid() == 0 || d[0].effective || d[1].effective ? 0 : 1;
}

int helper_main(char **argv)
{
	const char *mode = argv[0] ? argv[0] : "", *arg = argv[0] ? argv[1] : NULL;

	if (strcmp(mode, "privileged") == 0)
		return privileged();
	if (!arg)
		return -1;
	if (strcmp(mode, "ask") == 0)
		return ask(argv[2] ? atoi(argv[2]) : tcp_to_proxy(), arg);
	if (strcmp(mode, "lend") == 0)
		return lend(atoi(arg), false);
	if (strcmp(mode, "lend-used") == 0)
		return lend(atoi(arg), true);
	if (strcmp(mode, "exec-ask") == 0)
		return exec_ask(arg);
	if (strcmp(mode, "exit") == 0)
		return atoi(arg);
	if (strcmp(mode, "sleep") == 0)
		return poll(NULL, 0, atoi(arg));
	if (strcmp(mode, "unlink-ask") == 0)
		return unlink(TOOL) < 0 ? 1 : ask(tcp_to_proxy(), arg);
	return -1;
}

/* ---- attempts ---- */

/* Runs a program as argv says and waits; the other side knows whether the token arrived. */
static enum result run(const char *path, const char *argv0, const char *mode, const char *arg)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		execl(path, argv0, mode, arg, NULL);
		_exit(errno == EACCES ? 126 : 127);
	}
	waitpid(pid, &status, 0);
	note("%s %s ended with 0x%x", path, mode, status);
	return WIFEXITED(status) && WEXITSTATUS(status) < 126 ? SENT : BROKEN;
}

static bool copy(const char *from, const char *to)
{
	static char bytes[1 << 16];
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);

	unlink(to);
	_cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (in < 0 || out < 0)
		return false;
	for (;;) {
		ssize_t n = read(in, bytes, sizeof bytes);

		if (n <= 0)
			return n == 0;
		if (write(out, bytes, (size_t)n) != n)
			return false;
	}
}

static enum result ask_as(const struct attempt *a, const char *path)
{
	if (!copy(ATTACKER, path))
		return no("copying the program"), BROKEN;
	return run(path, path, "ask", token_of(a));
}

static enum result plainly(const struct attempt *a)
{
	return run(ATTACKER, ATTACKER, "ask", token_of(a));
}

static enum result by_argv0(const struct attempt *a)
{
	return run(ATTACKER, ALLOWED, "ask", token_of(a));
}

static enum result by_name(const struct attempt *a)
{
	prctl(PR_SET_NAME, "allowed", 0, 0, 0);
	ask(tcp_to_proxy(), token_of(a));
	note("asked as \"allowed\"");
	return SENT;
}

static enum result by_same_name(const struct attempt *a)
{
	return ask_as(a, TOP "/rw/allowed");
}

static enum result by_link(const struct attempt *a)
{
	mkdir(TOP "/rw/ro", 0755);
	unlink(TOP "/rw/ro/allowed");
	if (symlink(ATTACKER, TOP "/rw/ro/allowed") < 0)
		return no("symlink"), BROKEN;
	return run(TOP "/rw/ro/allowed", ALLOWED, "ask", token_of(a));
}

static enum result by_deleted_name(const struct attempt *a)
{
	return ask_as(a, TOOL " (deleted)");
}

/* The genuine program is seen at this path, then another is put in its place. */
static bool replace(const char *path, const char *by)
{
	return copy(ALLOWED, path) && run(path, path, "ask", "first") == SENT &&
	       copy(ATTACKER, by) && rename(by, path) == 0;
}

/* The kernel calls it "... (deleted)", truly: the path before is allowed, the bytes are not. */
static enum result by_deleted_file(const struct attempt *a)
{
	if (!replace(TOOL, TOP "/rw/next"))
		return no("putting a program in its place"), BROKEN;
	return run(TOOL, TOOL, "unlink-ask", token_of(a));
}

static enum result by_replaced_file(const struct attempt *a)
{
	if (!replace(OTHER_TOOL, TOP "/rw/next2"))
		return no("putting a program in its place"), BROKEN;
	return run(OTHER_TOOL, OTHER_TOOL, "ask", token_of(a));
}

static int receive_fd(int channel)
{
	char byte;
	int fd = -1;
	struct iovec io = {.iov_base = &byte, .iov_len = 1};
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof fd)];
	} control;
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof control.bytes};

	if (recvmsg(channel, &m, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&m))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	return fd;
}

/* A connection of the allowed program, sent to us. */
static enum result lent(const struct attempt *a)
{
	int pair[2];
	char text[12];

	must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		snprintf(text, sizeof text, "%d", pair[1]);
		execl(ALLOWED, ALLOWED, a->with, text, NULL);
		_exit(126);
	}
	close(pair[1]);
	_cleanup_close_ int fd = receive_fd(pair[0]);
	if (fd < 0)
		return no("a connection of the allowed program"), BROKEN;
	if (strcmp(a->with, "lend-used") == 0) {
		char answer[512];

		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		dprintf(fd, "GET http://" TARGET "/%s HTTP/1.1\r\nHost: " TARGET "\r\n\r\n",
			token_of(a));
		read_answer(fd, answer, sizeof answer);
		note("%.60s", answer);
		return SENT;
	}
	ask(fd, token_of(a));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	note("asked on a connection that both have");
	return SENT;
}

static enum result by_exec(const struct attempt *a)
{
	return run(ALLOWED, ALLOWED, "exec-ask", token_of(a));
}

/*
 * What nobody can see: a request is written and held back (TCP_CORK: 200 ms), the connection goes to an allowed
 * program by exec, and a second descriptor of it is under way in a Unix socket, where no process has it.
 */
static enum result in_flight(const struct attempt *a)
{
	const int on = 1;
	int pair[2], fd = tcp_to_proxy();
	char answer[512];

	if (fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return no("a connection to the proxy"), BROKEN;
	if (send_fd(pair[0], fd) != 0)
		return no("sending a descriptor"), BROKEN;
	pid_t pid = fork();
	if (pid == 0) {
		fcntl(fd, F_SETFD, 0);
		setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
		dprintf(fd, "CONNECT " TARGET " HTTP/1.1\r\nHost: " TARGET "\r\n\r\n");
		execl(ALLOWED, ALLOWED, "sleep", "10000", NULL);
		_exit(126);
	}
	close(fd);
	poll(NULL, 0, IN_FLIGHT_MS);
	fd = receive_fd(pair[1]);
	read_answer(fd, answer, sizeof answer);
	note("%.60s", answer);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	dprintf(fd, "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", token_of(a));
	read_answer(fd, answer, sizeof answer);
	return SENT;
}

/* Who traces an allowed program is that program. */
static enum result trace_allowed(const struct attempt *a UNUSED)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(errno);
		execl(ALLOWED, ALLOWED, "exit", "0", NULL);
		_exit(126);
	}
	waitpid(pid, &status, 0);
	if (WIFSTOPPED(status)) {
		kill(pid, SIGKILL);
		note("an allowed program stops for us");
		return GOT;
	}
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
	return no("PTRACE_TRACEME");
}

/* Where somebody's writable memory begins, or 0. */
static unsigned long writable_memory(pid_t pid)
{
	char path[40], line[256], mode[5];
	unsigned long from;

	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	_cleanup_file_ FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "%lx-%*x %4s", &from, mode) == 2 && strcmp(mode, "rw-p") == 0)
			return from;
	return 0;
}

/* The same by the memory of an allowed program that we start. */
static enum result write_allowed(const struct attempt *a UNUSED)
{
	char path[40];
	enum result r;
	pid_t pid = fork();

	if (pid == 0) {
		execl(ALLOWED, ALLOWED, "sleep", "2000", NULL);
		_exit(126);
	}
	poll(NULL, 0, 200);
	unsigned long from = writable_memory(pid);
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
	r = fd < 0 ? no(path) : got_if(pwrite(fd, "x", 1, (off_t)from), "writing its memory");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return r;
}

/* To take the proxy's place for the other sessions of the sandbox. */
static enum result steal_proxy(const struct attempt *a UNUSED)
{
	struct sockaddr_storage at;
	socklen_t n;
	const int on = 1;
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || !proxy_address(&at, &n))
		return no("the proxy's address"), BROKEN;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&at, n) < 0)
		return no("bind");
	return got_if(listen(fd, 8), "listen");
}

static const struct attempt binaries[] = {
	{.name = "bin-denied",
	 .what = "ask for what another program is allowed",
	 .try = plainly,
	 .works = ON_HOST},
	{.name = "bin-argv0",
	 .what = "the same under the allowed program's argv[0]",
	 .try = by_argv0,
	 .works = ON_HOST},
	{.name = "bin-comm", .what = "under its process name", .try = by_name, .works = ON_HOST},
	{.name = "bin-basename",
	 .what = "as a copy of the same name elsewhere",
	 .try = by_same_name,
	 .works = ON_HOST},
	{.name = "bin-symlink",
	 .what = "by a symbolic link of the same name",
	 .try = by_link,
	 .works = ON_HOST},
	{.name = "bin-deleted-name",
	 .what = "as a file whose name ends with \"(deleted)\"",
	 .try = by_deleted_name,
	 .works = ON_HOST},
	{.name = "bin-deleted",
	 .what = "as a file that was put in its place and removed",
	 .try = by_deleted_file,
	 .works = ON_HOST},
	{.name = "bin-replaced",
	 .what = "as a file that was put in its place, once it was known",
	 .try = by_replaced_file,
	 .works = ON_HOST},
	{.name = "bin-exec",
	 .what = "have it connect, and become another program before asking",
	 .try = by_exec,
	 .works = ON_HOST},
	{.name = "bin-shared",
	 .what = "ask on a connection that both programs have",
	 .try = lent,
	 .with = "lend",
	 .works = ON_HOST},
	{.name = "bin-keep-alive",
	 .what = "ask on a connection on which the allowed program has asked before",
	 .try = lent,
	 .with = "lend-used",
	 .works = ON_HOST},
	{.name = "bin-in-flight",
	 .what = "hand a connection to it with the request, and take it back when it is allowed",
	 .try = in_flight,
	 .works = EVERYWHERE},
	{.name = "bin-trace",
	 .what = "start it under the own control (PTRACE_TRACEME)",
	 .try = trace_allowed},
	{.name = "bin-memory",
	 .what = "write to its memory by /proc",
	 .try = write_allowed,
	 .against = LANDLOCK | VIEW},
	{.name = "proxy-port", .what = "listen in the proxy's place", .try = steal_proxy},
};
GROUP(group_binaries, "Programs that pass for another", binaries);
