/*
 * A program of a sandbox that does what it is told: this test's own binary, copied to where a test wants
 * it, does so when ACTOR is in its environment. It takes one command a message on descriptor 3, answers
 * "ok" or what went wrong, and keeps its socket as descriptor 5 through exec. For tests of callers.
 *
 *	connect PORT	closed PORT: a connection as descriptor 5; the same, closed on exec
 *	exec PATH	becomes the program there, which answers
 *	spawn PATH	starts one, which holds descriptor 5 and does nothing
 *	parent PATH	becomes the parent of one, which takes the commands from now on
 *	fork		the same with a fork alone
 *	drop		closes descriptor 5
 *	move NUMBER	has it as that descriptor, and as 5 no more
 *	crowd COUNT	so many descriptors more, of the lowest numbers
 *	thread PORT	connects in a thread with a table of its own
 *	leave		its first thread ends; another goes on
 *	unshare FLAGS	a number
 *	become UID	and the group of that number
 *	pack		sends descriptor 5 to itself, and has it no more until
 *	unpack		it takes it again; a program that it became or started may, too
 *	storm PATH	becomes that program and this one in turn, without an end
 *	hide		is not dumpable: others of its user may not look into it
 */
#ifndef TEST_ACTOR_H
#define TEST_ACTOR_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ACTOR_COMMANDS = 3, ACTOR_SOCKET = 5, ACTOR_POST = 6, ACTOR_TEXT = 512 };

static void actor_say(const char *text)
{
	if (send(ACTOR_COMMANDS, text, strlen(text), MSG_NOSIGNAL) < 0)
		_exit(1);
}

static bool actor_connect(int port, int flags)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
	       dup3(fd, ACTOR_SOCKET, flags) == ACTOR_SOCKET && close(fd) == 0;
}

/* A child, which is gone when its parent is. */
static pid_t actor_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static bool actor_spawn(const char *path, const char *role)
{
	pid_t pid = actor_fork();

	if (pid == 0) {
		setenv("ACTOR", role, 1);
		execl(path, path, NULL);
		_exit(1);
	}
	return pid > 0;
}

/* What is sent and not yet taken is on its way, and nobody's. */
static bool actor_post(bool take)
{
	char byte = 'x';
	struct iovec io = {.iov_base = &byte, .iov_len = 1};
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.h = {.cmsg_level = SOL_SOCKET,
			   .cmsg_type = SCM_RIGHTS,
			   .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof control.bytes};
	int pair[2], fd = ACTOR_SOCKET;

	if (take) {
		if (recvmsg(ACTOR_POST, &m, 0) != 1)
			return false;
		memcpy(&fd, CMSG_DATA(&control.h), sizeof fd);
		return fd == ACTOR_SOCKET || dup2(fd, ACTOR_SOCKET) >= 0;
	}
	memcpy(CMSG_DATA(&control.h), &fd, sizeof fd);
	return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && dup2(pair[0], 20) == 20 &&
	       dup2(pair[1], 21) == 21 && dup2(20, ACTOR_POST) == ACTOR_POST &&
	       sendmsg(21, &m, 0) == 1 && close(ACTOR_SOCKET) == 0;
}

static bool actor_crowd(int n)
{
	while (n > 0 && dup(ACTOR_COMMANDS) >= 0)
		n--;
	return n == 0;
}

/* Each program finds the other one in its environment. */
static void actor_storm(void)
{
	const char *self = getenv("ACTOR_SELF"), *other = getenv("ACTOR_OTHER");
	char *path = strdup(other);

	usleep(200);
	setenv("ACTOR_OTHER", self, 1);
	setenv("ACTOR_SELF", path, 1);
	execl(path, path, NULL);
	_exit(1);
}

static bool actor_begin_storm(const char *other)
{
	char self[ACTOR_TEXT];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n < 0)
		return false;
	self[n] = '\0';
	setenv("ACTOR", "storms", 1);
	setenv("ACTOR_SELF", self, 1);
	setenv("ACTOR_OTHER", other, 1);
	actor_say("ok");
	actor_storm();
	return false;
}

static void actor_run(void);

static void *actor_thread(void *arg)
{
	int port = *(int *)arg;
	char byte;

	if (port < 0)
		actor_run(); /* the thread that goes on */
	if (unshare(CLONE_FILES) < 0 || !actor_connect(port, O_CLOEXEC))
		actor_say("thread");
	else
		actor_say("ok");
	while (recv(ACTOR_SOCKET, &byte, 1, 0) > 0)
		;
	return NULL;
}

/* Whether it was done; what answers by itself, or becomes another, is done by then. */
static bool actor_do(const char *verb, const char *what)
{
	static int port;
	pthread_t t;

	if (!strcmp(verb, "connect"))
		return actor_connect(atoi(what), 0);
	if (!strcmp(verb, "closed"))
		return actor_connect(atoi(what), O_CLOEXEC);
	if (!strcmp(verb, "exec")) {
		execl(what, what, "/a/script", NULL);
		return false;
	}
	if (!strcmp(verb, "spawn"))
		return actor_spawn(what, "holds");
	if (!strcmp(verb, "drop"))
		return close(ACTOR_SOCKET) == 0;
	if (!strcmp(verb, "move"))
		return dup2(ACTOR_SOCKET, atoi(what)) >= 0 &&
		       dup2(ACTOR_COMMANDS, ACTOR_SOCKET) == ACTOR_SOCKET;
	if (!strcmp(verb, "crowd"))
		return actor_crowd(atoi(what));
	if (!strcmp(verb, "unshare"))
		return unshare(atoi(what)) == 0;
	if (!strcmp(verb, "pack"))
		return actor_post(false);
	if (!strcmp(verb, "unpack"))
		return actor_post(true);
	if (!strcmp(verb, "storm"))
		return actor_begin_storm(what);
	if (!strcmp(verb, "hide"))
		return prctl(PR_SET_DUMPABLE, 0) == 0;
	if (!strcmp(verb, "become"))
		return setresgid((gid_t)atoi(what), (gid_t)atoi(what), (gid_t)atoi(what)) == 0 &&
		       setresuid((uid_t)atoi(what), (uid_t)atoi(what), (uid_t)atoi(what)) == 0;
	port = !strcmp(verb, "thread") ? atoi(what) : -1;
	if (pthread_create(&t, NULL, actor_thread, &port) != 0)
		return false;
	if (port < 0) {
		actor_say("ok");
		syscall(SYS_exit, 0); /* of this thread alone */
	}
	pthread_join(t, NULL);
	return true;
}

/* "parent" and "fork" hand the commands over; false when it is neither. */
static bool actor_hand_over(const char *verb, const char *what)
{
	pid_t pid;

	if (!strcmp(verb, "parent")) {
		if (!actor_spawn(what, "obeys"))
			return false;
	} else if (!strcmp(verb, "fork")) {
		pid = actor_fork();
		if (pid <= 0) {
			actor_say(pid == 0 ? "ok" : "fork");
			return true;
		}
	} else {
		return false;
	}
	for (;;)
		pause();
}

static void actor_run(void)
{
	char line[ACTOR_TEXT];
	ssize_t n;

	while ((n = recv(ACTOR_COMMANDS, line, sizeof line - 1, 0)) > 0) {
		line[n] = '\0';
		char *what = strchr(line, ' ');
		if (what != NULL)
			*what++ = '\0';
		if (!actor_hand_over(line, what ? what : ""))
			actor_say(actor_do(line, what ? what : "") ? "ok" : strerror(errno));
	}
	_exit(0);
}

__attribute__((constructor)) static void actor_main(void)
{
	const char *role = getenv("ACTOR");

	if (role == NULL)
		return;
	if (!strcmp(role, "storms"))
		actor_storm();
	if (!strcmp(role, "holds"))
		for (;;)
			pause();
	actor_say("ok");
	actor_run();
}

#endif
