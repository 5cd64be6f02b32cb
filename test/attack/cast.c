/*
 * Who is there: the supervisor's processes as /proc shows them to anybody, and the victim, a process
 * outside of the sandbox that has the workload's own uid, so that nothing but the wall protects it.
 *
 * A sandbox in a PID namespace of its own cannot see them. There an attacker is given the numbers that they have
 * outside (test/attack/run writes them down), which nobody has inside.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

#define VICTIM_PID TOP "/ro/victim.pid"
#define VICTIM_LOG TOP "/ro/victim.log"
#define OUTSIDERS TOP "/ro/outsiders"

enum { HEAR_MS = 1000, FDS_MAX = 1023, SESSION_MS = 15000 };

#define SSHD_NAME "openshell-sshd"
#define SFTP_NAME "sftp-server"
#define INIT_NAME "init"

struct cast cast;

/* The keeper's number as /proc has it here: 0 from within a PID namespace that it is not in. */
static pid_t parent_of_all;

/* Of somebody who lives; -1: nobody. */
static pid_t parent_of(pid_t pid)
{
	char path[40], text[512];
	char state;
	int parent = -1;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	if (slurp(path, text, sizeof text) < 0)
		return -1;
	/* a name may hold anything, but it ends with the last bracket */
	const char *end = strrchr(text, ')');
	return end && sscanf(end + 1, " %c %d", &state, &parent) == 2 && state != 'Z' ? parent : -1;
}

static bool is_called(pid_t pid, const char *name)
{
	char path[40], text[64] = "";

	snprintf(path, sizeof path, "/proc/%d/comm", pid);
	slurp(path, text, sizeof text);
	return strncmp(text, name, strlen(name)) == 0 && text[strlen(name)] == '\n';
}

/* The child that has the name, or with NULL one that is neither init nor the SFTP server, but not `other`; 0: none. */
static pid_t child_of(pid_t parent, const char *name, pid_t other)
{
	DIR *proc = opendir("/proc");
	pid_t found = 0;

	for (struct dirent *d = proc ? readdir(proc) : NULL; d && !found; d = readdir(proc)) {
		pid_t pid = atoi(d->d_name);

		if (pid > 0 && pid != other && parent_of(pid) == parent &&
		    (name ? is_called(pid, name)
			  : !is_called(pid, SFTP_NAME) && !is_called(pid, INIT_NAME)))
			found = pid;
	}
	if (proc)
		closedir(proc);
	return found;
}

/* Those outside, by the numbers that they have there; once they are written down, which may take a while. */
static void be_told_of_outsiders(void)
{
	char text[100];
	int waited = 0;

	while (slurp(OUTSIDERS, text, sizeof text) <= 0 && (waited += 20) < SESSION_MS)
		poll(NULL, 0, 20);
	sscanf(text, "%d %d %d %d", &cast.supervisor, &cast.keeper, &cast.sshd, &cast.session);
}

/* Where there is to be a session it may take a while. */
static bool find_session(void)
{
	int waited = 0;

	do {
		if (parent_of_all > 0) {
			cast.sshd = child_of(cast.supervisor, SSHD_NAME, 0);
			cast.session = cast.sshd ? child_of(cast.sshd, NULL, 0) : 0;
		}
		cast.sftp = child_of(parent_of_all, SFTP_NAME, 0);
		if (!getenv("ATTACK_SESSION") || (cast.session > 0 && cast.sftp > 0))
			return true;
		poll(NULL, 0, 20);
	} while ((waited += 20) < SESSION_MS);
	note("cannot find the session: sshd %d, session %d, sftp %d", cast.sshd, cast.session,
	     cast.sftp);
	return false;
}

bool cast_find(void)
{
	char text[32];

	cast.inherited = -1;
	for (int fd = FDS_MAX; fd > 2; fd--)
		if (fcntl(fd, F_GETFD) >= 0)
			cast.inherited = fd;
	parent_of_all = cast.keeper = getppid();
	if (parent_of_all > 0)
		cast.supervisor = parent_of(cast.keeper);
	else
		be_told_of_outsiders();
	cast.nursery = child_of(parent_of_all, NULL, getpid());
	cast.victim = slurp(VICTIM_PID, text, sizeof text) > 0 ? atoi(text) : 0;
	note("cannot find everybody: supervisor %d, keeper %d, nursery %d, victim %d",
	     cast.supervisor, cast.keeper, cast.nursery, cast.victim);
	return cast.supervisor > 0 && cast.keeper > 0 && cast.nursery > 0 && cast.victim > 0 &&
	       find_session();
}

int victim_heard(int signo)
{
	static char text[1 << 16];
	char line[16];
	int n = 0;

	snprintf(line, sizeof line, "signal %d\n", signo);
	if (slurp(VICTIM_LOG, text, sizeof text) < 0)
		return 0;
	for (const char *at = strstr(text, line); at; at = strstr(at + 1, line))
		n++;
	return n;
}

enum result victim_hears(int signo, int before)
{
	for (int waited = 0; waited < HEAR_MS; waited += 10) {
		if (victim_heard(signo) > before) {
			note("the victim heard signal %d", signo);
			return GOT;
		}
		poll(NULL, 0, 10);
	}
	note("no error, but the victim heard nothing");
	return REFUSED;
}

/* ---- the victim ---- */

static int log_fd;

static void on_signal(int signo)
{
	char line[16];
	int n = snprintf(line, sizeof line, "signal %d\n", signo);

	if (write(log_fd, line, (size_t)n) != n)
		_exit(1);
}

/* A listening Unix socket; the name begins with a NUL when it is abstract. */
static int listen_on(const char *name, size_t n)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, name, n);
	must(fd >= 0);
	must(bind(fd, (struct sockaddr *)&at,
		  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) == 0);
	must(listen(fd, 8) == 0);
	return fd;
}

/* Gives whoever comes a descriptor of the secret, and the secret itself. */
static void serve(int server, int secret)
{
	int client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	struct iovec io = {.iov_base = SECRET, .iov_len = sizeof SECRET};
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof secret)];
	} control = {{0}};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof control.bytes};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	if (client < 0)
		return;
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof secret);
	memcpy(CMSG_DATA(h), &secret, sizeof secret);
	sendmsg(client, &m, MSG_NOSIGNAL);
	close(client);
}

static void share_memory(void)
{
	int id = shmget(SHM_KEY, 4096, IPC_CREAT | 0600);
	char *p = id < 0 ? (void *)-1 : shmat(id, NULL, 0);
	mqd_t q = mq_open("/attack", O_CREAT | O_RDWR | O_NONBLOCK | O_CLOEXEC, 0600, NULL);

	if (p != (void *)-1)
		strcpy(p, SECRET);
	for (int i = 0; q >= 0 && i < 8; i++)
		mq_send(q, SECRET, sizeof SECRET, 0);
}

static void write_pid(void)
{
	char text[16];
	int fd = open(VICTIM_PID, O_WRONLY | O_TRUNC | O_CLOEXEC);
	int n = snprintf(text, sizeof text, "%d\n", getpid());

	must(fd >= 0 && write(fd, text, (size_t)n) == n);
	close(fd);
}

int victim_main(void)
{
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	setsid();
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	log_fd = open(VICTIM_LOG, O_WRONLY | O_APPEND | O_CLOEXEC);
	int secret = open(TOP "/outside/secret", O_RDWR | O_CLOEXEC);
	must(log_fd >= 0 && secret >= 0);
	for (int s = SIGRTMIN; s <= SIGRTMAX; s++)
		sigaction(s, &act, NULL);
	sigaction(SIGIO, &act, NULL);
	sigaction(SIGURG, &act, NULL);
	share_memory();
	const char abstract[] = "\0attack-victim";
	struct pollfd servers[] = {
		{.fd = listen_on(abstract, sizeof abstract - 1), .events = POLLIN},
		{.fd = listen_on(TOP "/outside/socket", sizeof TOP "/outside/socket"),
		 .events = POLLIN},
	};
	must(chmod(TOP "/outside/socket", 0666) == 0);
	write_pid();
	for (;;) {
		if (poll(servers, ARRAY_LEN(servers), -1) <= 0)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(servers); i++)
			if (servers[i].revents)
				serve(servers[i].fd, secret);
	}
}

/* ---- without a wall ---- */

static _Noreturn void be_idle(void)
{
	signal(SIGURG, SIG_IGN);
	for (;;)
		pause();
}

static pid_t stand_in_called(const char *name)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_NAME, name, 0, 0, 0);
	be_idle();
}

/* It and its session. */
static pid_t stand_in_for_sshd(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_NAME, SSHD_NAME, 0, 0, 0);
	stand_in_called("openshell-ssh");
	be_idle();
}

static _Noreturn void be_keeper(int (*then)(void))
{
	int status = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	pid_t nursery = stand_in_called("attack");
	pid_t sftp = stand_in_called(SFTP_NAME);
	pid_t workload = fork();
	if (workload == 0) {
		status = then();
		fflush(stdout);
		_exit(status);
	}
	waitpid(workload, &status, 0);
	kill(nursery, SIGKILL);
	kill(sftp, SIGKILL);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

int stand_in(int (*then)(void))
{
	int status = 0;

	for (int s = SIGRTMIN; s <= SIGRTMAX; s++)
		signal(s, SIG_IGN);
	fflush(stdout);
	pid_t sshd = stand_in_for_sshd();
	pid_t keeper = fork();
	if (keeper == 0)
		be_keeper(then);
	waitpid(keeper, &status, 0);
	kill(sshd, SIGKILL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
