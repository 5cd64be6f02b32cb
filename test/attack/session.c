/* The sandbox's sshd, its sessions and its gateway: none of them is for a workload. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

enum { ORPHAN_MS = 100, FLOOD = 200 };

static int connect_unix(const char *name, size_t n)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (n > sizeof at.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(at.sun_path, name, n);
	if (fd < 0 || connect(fd, (struct sockaddr *)&at,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		return -1;
	return steal_fd(&fd);
}

/* Who is served is greeted. */
static enum result is_greeted(int fd)
{
	char text[64];

	if (fd < 0)
		return no("connect");
	size_t n = read_answer(fd, text, sizeof text);
	close(fd);
	note("connected, and heard %zu bytes", n);
	return n >= 4 && memcmp(text, "SSH-", 4) == 0 ? GOT : REFUSED;
}

static enum result by_path(const struct attempt *a UNUSED)
{
	return is_greeted(connect_unix(SSH_SOCKET, sizeof SSH_SOCKET));
}

static enum result by_abstract_name(const struct attempt *a UNUSED)
{
	static const char name[] = "\0" SSH_ABSTRACT;

	return is_greeted(connect_unix(name, sizeof name - 1));
}

static enum result by_root(const struct attempt *a UNUSED)
{
	char path[100];
	int n = snprintf(path, sizeof path, "/proc/%d/root" SSH_SOCKET, cast.supervisor);

	return is_greeted(connect_unix(path, (size_t)n + 1));
}

/* By a process whose parents are gone, so that nobody could tell where it came from. */
static enum result by_orphan(const struct attempt *a UNUSED)
{
	enum result r = BROKEN;
	int fds[2];

	must(pipe2(fds, O_CLOEXEC) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (fork() > 0)
			_exit(0);
		setsid();
		usleep(ORPHAN_MS * 1000);
		r = by_path(NULL);
		if (r != GOT)
			r = by_abstract_name(NULL);
		_exit(write(fds[1], &r, sizeof r) == sizeof r ? 0 : 1);
	}
	close(fds[1]);
	waitpid(pid, NULL, 0);
	if (read(fds[0], &r, sizeof r) != sizeof r)
		return BROKEN;
	close(fds[0]);
	note("a daemon was %s", r == GOT ? "greeted" : "not greeted");
	return r;
}

/* So many that are connected and say nothing, and never go away. */
static enum result flood(const struct attempt *a UNUSED)
{
	unsigned n = 0;

	for (int i = 0; i < FLOOD; i++) {
		char byte;
		int fd = connect_unix(SSH_SOCKET, sizeof SSH_SOCKET);

		if (fd >= 0 && read(fd, &byte, 1) == 1)
			n++;
	}
	note("%u of %d connections are served", n, FLOOD);
	return n > 0 ? GOT : REFUSED;
}

static enum result signal_sshd(const struct attempt *a UNUSED)
{
	return got_if(kill(cast.sshd, SIGURG), "kill(sshd)");
}

static enum result signal_session(const struct attempt *a UNUSED)
{
	return got_if(kill(cast.session, SIGURG), "kill(session)");
}

static enum result speak_http2(int fd)
{
	static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	char text[64];

	if (fd < 0)
		return no("connect");
	bool sent = send_all(fd, hello, sizeof hello - 1);
	size_t n = sent ? read_answer(fd, text, sizeof text) : 0;
	close(fd);
	note("%zu bytes of an answer", n);
	return n >= 9 && text[3] == 4 ? GOT : REFUSED; /* SETTINGS */
}

static enum result gateway_directly(const struct attempt *a UNUSED)
{
	return speak_http2(tcp_to("127.0.0.1", GATEWAY_PORT));
}

static enum result gateway_by_proxy(const struct attempt *a UNUSED)
{
	char text[256];
	int n, fd = tcp_to_proxy();

	if (fd < 0)
		return no("connect to the proxy");
	n = snprintf(text, sizeof text,
		     "CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", GATEWAY_PORT,
		     GATEWAY_PORT);
	if (!send_all(fd, text, (size_t)n) || read_answer(fd, text, sizeof text) < 12 ||
	    strncmp(text + 8, " 200", 4) != 0) {
		note("the proxy says %.12s", text);
		close(fd);
		return REFUSED;
	}
	return speak_http2(fd);
}

static const struct attempt session[] = {
	{.name = "ssh-path",
	 .what = "connect to the sandbox's sshd by the path of its socket",
	 .try = by_path},
	{.name = "ssh-abstract",
	 .what = "connect to it by an abstract name, where it has one",
	 .try = by_abstract_name},
	{.name = "ssh-root",
	 .what = "connect to it by /proc/PID/root of the supervisor",
	 .try = by_root},
	{.name = "ssh-orphan",
	 .what = "connect to it by a daemon, whose parents are gone",
	 .try = by_orphan},
	{.name = "ssh-flood", .what = "take all the sessions that it has for others", .try = flood},
	{.name = "ssh-kill", .what = "send a signal to the sshd", .try = signal_sshd},
	{.name = "ssh-kill-session",
	 .what = "send a signal to a session of somebody else",
	 .try = signal_session},
	{.name = "gateway",
	 .what = "speak with the supervisor's gateway, on the host's loopback",
	 .try = gateway_directly,
	 .works = ON_HOST},
	{.name = "gateway-proxy",
	 .what = "speak with it by the proxy",
	 .try = gateway_by_proxy,
	 .works = ON_HOST},
};
GROUP(group_session, "The sshd and the gateway", session);
