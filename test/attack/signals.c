/* Signals to who is outside: the victim tells what it hears, and the supervisor's death would end the run. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

enum { MOMENT_MS = 200 };

/* Each way has a signal of its own, so that the victim's log tells them apart. */
enum way { KILL, TKILL, TGKILL, QUEUE, GROUP_KILL, EVERYBODY, PIDFD, FOLDER };

static long send_by(enum way how, pid_t pid, int signo)
{
	siginfo_t info = {.si_signo = signo, .si_code = SI_QUEUE};
	char path[32];

	switch (how) {
	case KILL:
		return kill(pid, signo);
	case TKILL:
		return syscall(SYS_tkill, pid, signo);
	case TGKILL:
		return syscall(SYS_tgkill, pid, pid, signo);
	case QUEUE:
		return syscall(SYS_rt_sigqueueinfo, pid, signo, &info);
	case GROUP_KILL:
		return kill(-pid, signo);
	case EVERYBODY:
		return kill(-1, signo);
	case PIDFD: {
		_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
		return fd < 0 ? -1 : syscall(SYS_pidfd_send_signal, fd, signo, NULL, 0);
	}
	case FOLDER: {
		snprintf(path, sizeof path, "/proc/%d", pid);
		_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? -1 : syscall(SYS_pidfd_send_signal, fd, signo, NULL, 0);
	}
	}
	return -1;
}

static enum result to_victim(const struct attempt *a)
{
	enum way how = *(const enum way *)a->with;
	int signo = SIGRTMIN + 1 + (int)how, before = victim_heard(signo);

	if (send_by(how, cast.victim, signo) < 0)
		return no("sending");
	return victim_hears(signo, before);
}

/* A signal that ends none of them when it arrives, but whose sending needs the right. */
static enum result to_supervisor(const struct attempt *a UNUSED)
{
	return got_if(kill(cast.supervisor, SIGURG), "kill(supervisor)");
}

static enum result to_keeper(const struct attempt *a UNUSED)
{
	return got_if(kill(cast.keeper, SIGURG), "kill(keeper)");
}

static enum result continue_keeper(const struct attempt *a UNUSED)
{
	/* SIGCONT needs no right within a session */
	return got_if(kill(cast.keeper, SIGCONT), "kill(keeper, SIGCONT)");
}

/* The nursery holds nothing and is made anew for the next workload (isolate/keeper.h, whose tests see to that); init dies
 * by nobody inside. What is wanted is the end of the sandbox: who reads this knows that it has not come. */
static enum result end_all_by(pid_t pid)
{
	if (pid <= 0)
		return ABSENT;
	if (kill(pid, SIGKILL) < 0)
		return no("kill");
	poll(NULL, 0, MOMENT_MS);
	note("no error, and this goes on");
	return REFUSED;
}

static enum result end_nursery(const struct attempt *a UNUSED)
{
	return end_all_by(cast.nursery);
}

static enum result end_init(const struct attempt *a UNUSED)
{
	return end_all_by(1);
}

/* ---- signals that the kernel sends for us ---- */

static enum result owned_pipe(const struct attempt *a)
{
	int fds[2], signo = *(const int *)a->with, before;

	signo = signo ? signo : SIGRTMIN + 10;
	before = victim_heard(signo);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		return no("socketpair");
	if (fcntl(fds[0], F_SETSIG, signo == SIGIO ? 0 : signo) < 0 ||
	    fcntl(fds[0], F_SETOWN, cast.victim) < 0 ||
	    fcntl(fds[0], F_SETFL, O_ASYNC | O_NONBLOCK) < 0)
		return no("fcntl");
	if (write(fds[1], "x", 1) != 1)
		return no("write");
	return victim_hears(signo, before);
}

static enum result owned_ex(const struct attempt *a UNUSED)
{
	struct f_owner_ex owner = {F_OWNER_TID, cast.victim};
	int fds[2], signo = SIGRTMIN + 11, before = victim_heard(signo);

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		return no("socketpair");
	if (fcntl(fds[0], F_SETSIG, signo) < 0 || fcntl(fds[0], F_SETOWN_EX, &owner) < 0 ||
	    fcntl(fds[0], F_SETFL, O_ASYNC | O_NONBLOCK) < 0)
		return no("fcntl");
	if (write(fds[1], "x", 1) != 1)
		return no("write");
	return victim_hears(signo, before);
}

/* Urgent data has SIGURG sent to the socket's owner. */
static enum result owned_urgent(const struct attempt *a UNUSED)
{
	struct sockaddr_storage at;
	socklen_t n = address(&at, "127.0.0.1", 0);
	int before = victim_heard(SIGURG);
	_cleanup_close_ int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (server < 0 || client < 0 || bind(server, (struct sockaddr *)&at, n) < 0 ||
	    listen(server, 1) < 0 || getsockname(server, (struct sockaddr *)&at, &n) < 0 ||
	    connect(client, (struct sockaddr *)&at, n) < 0)
		return no("a connection to oneself");
	_cleanup_close_ int served = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	if (fcntl(served, F_SETOWN, cast.victim) < 0)
		return no("F_SETOWN");
	if (send(client, "x", 1, MSG_OOB) != 1)
		return no("send(MSG_OOB)");
	return victim_hears(SIGURG, before);
}

/* A lease on a file is broken by whoever opens it, with a signal to the owner of the descriptor. */
static enum result owned_lease(const struct attempt *a UNUSED)
{
	int signo = SIGRTMIN + 12, before = victim_heard(signo);
	_cleanup_close_ int fd = open(TOP "/rw/lease", O_RDONLY | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		return no("open");
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0 || fcntl(fd, F_SETSIG, signo) < 0 ||
	    fcntl(fd, F_SETOWN, cast.victim) < 0)
		return no("fcntl(F_SETLEASE)");
	_cleanup_close_ int other = open(TOP "/rw/lease", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	return victim_hears(signo, before);
}

/* A daemon that shall still be there when the sandbox has ended; the token in its arguments tells. */
static enum result outlive(const struct attempt *a)
{
	pid_t pid = fork();

	if (pid == 0) {
		setsid();
		if (fork() != 0)
			_exit(0);
		/* nobody shall wait for the end of its output */
		for (int fd = 0; fd < 3; fd++)
			close(fd);
		execl(TOP "/ro/attack", "attack", "sleep", "600000", token_of(a), NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
	note("left behind");
	return SENT;
}

/* ---- terminals ---- */

static enum result type_into(const struct attempt *a UNUSED)
{
	if (!isatty(0)) {
		note("standard input is no terminal");
		return BROKEN;
	}
	return got_if(ioctl(0, TIOCSTI, "\n"), "TIOCSTI");
}

static enum result select_and_paste(const struct attempt *a UNUSED)
{
	char paste[] = {3}; /* TIOCL_PASTESEL */
	int r = ioctl(0, TIOCLINUX, paste);

	if (r < 0 && errno == ENOTTY) {
		note("the terminal is no virtual console");
		return ABSENT;
	}
	return got_if(r, "TIOCLINUX");
}

#define WAY(w)                                                                                     \
	&(const enum way)                                                                          \
	{                                                                                          \
		w                                                                                  \
	}
#define SIGNAL(n)                                                                                  \
	&(const int)                                                                               \
	{                                                                                          \
		n                                                                                  \
	}

static const struct attempt signals[] = {
	{.name = "kill",
	 .what = "send a signal to a process outside",
	 .try = to_victim,
	 .with = WAY(KILL),
	 .against = LANDLOCK | PIDS},
	{.name = "tkill",
	 .what = "the same by tkill",
	 .try = to_victim,
	 .with = WAY(TKILL),
	 .against = LANDLOCK | PIDS},
	{.name = "tgkill",
	 .what = "the same by tgkill",
	 .try = to_victim,
	 .with = WAY(TGKILL),
	 .against = LANDLOCK | PIDS},
	{.name = "sigqueue",
	 .what = "the same by rt_sigqueueinfo",
	 .try = to_victim,
	 .with = WAY(QUEUE),
	 .against = LANDLOCK | PIDS},
	{.name = "kill-group",
	 .what = "the same to its process group",
	 .try = to_victim,
	 .with = WAY(GROUP_KILL),
	 .against = LANDLOCK | PIDS},
	{.name = "kill-all",
	 .what = "the same to everybody, kill(-1)",
	 .try = to_victim,
	 .with = WAY(EVERYBODY),
	 .against = LANDLOCK | PIDS},
	{.name = "pidfd-signal",
	 .what = "the same by a pidfd",
	 .try = to_victim,
	 .with = WAY(PIDFD)},
	{.name = "folder-signal",
	 .what = "the same by its folder of /proc",
	 .try = to_victim,
	 .with = WAY(FOLDER)},
	{.name = "setown-sigio",
	 .what = "have the kernel send SIGIO to it (F_SETOWN)",
	 .try = owned_pipe,
	 .with = SIGNAL(SIGIO),
	 .against = LANDLOCK | PIDS},
	{.name = "setown-setsig",
	 .what = "have it send another signal (F_SETSIG)",
	 .try = owned_pipe,
	 .with = SIGNAL(0),
	 .against = LANDLOCK | PIDS},
	{.name = "setown-thread",
	 .what = "have it send to a thread (F_SETOWN_EX)",
	 .try = owned_ex,
	 .against = LANDLOCK | PIDS},
	{.name = "setown-urgent",
	 .what = "have it send SIGURG, for urgent data",
	 .try = owned_urgent,
	 .against = LANDLOCK | PIDS},
	{.name = "setown-lease",
	 .what = "have it send for a broken lease",
	 .try = owned_lease,
	 .against = LANDLOCK | PIDS},
	{.name = "kill-supervisor",
	 .what = "send a signal to the supervisor",
	 .try = to_supervisor},
	{.name = "kill-keeper", .what = "send a signal to the keeper", .try = to_keeper},
	{.name = "cont-keeper",
	 .what = "send it SIGCONT, which needs no right within a session",
	 .try = continue_keeper},
	{.name = "kill-nursery",
	 .what = "end the sandbox with the nursery",
	 .try = end_nursery,
	 .uncontrolled = "whose end it would be could not tell"},
	{.name = "kill-init",
	 .what = "end it with the first process",
	 .try = end_init,
	 .uncontrolled = "whose end it would be could not tell"},
	{.name = "outlive", .what = "leave a daemon behind when the sandbox ends", .try = outlive},
	{.name = "tiocsti",
	 .what = "type into the terminal the sandbox was given (TIOCSTI)",
	 .try = type_into},
	{.name = "tioclinux",
	 .what = "paste into it (TIOCLINUX)",
	 .try = select_and_paste,
	 .uncontrolled = "needs a virtual console"},
};
GROUP(group_signals, "Signals and terminals", signals);
