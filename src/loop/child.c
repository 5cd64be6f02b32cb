#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "loop/child.h"

/* What the child tells when it could not become the program. */
struct report {
	int step; /* index in step_names */
	int error;
};

enum step { STEP_STDIN, STEP_STDOUT, STEP_PARENT, STEP_EXEC };
static const char *const step_names[] = {"stdin", "stdout", "parent-death signal", "exec"};
_Static_assert(ARRAY_LEN(step_names) == STEP_EXEC + 1, "a name for each step");

struct pipes {
	int in[2], out[2], report[2];
};

static void close_pair(int pair[2])
{
	for (int i = 0; i < 2; i++) {
		if (pair[i] >= 0)
			close(pair[i]);
		pair[i] = -1;
	}
}

static void close_pipes(struct pipes *p)
{
	close_pair(p->in);
	close_pair(p->out);
	close_pair(p->report);
}

static int open_pipes(struct pipes *p, int flags, struct err *e)
{
	*p = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}};
	if (((flags & CHILD_PIPE_IN) && pipe2(p->in, O_CLOEXEC) < 0) ||
	    ((flags & CHILD_PIPE_OUT) && pipe2(p->out, O_CLOEXEC) < 0) ||
	    pipe2(p->report, O_CLOEXEC) < 0) {
		err_sys(e, "pipe2");
		close_pipes(p);
		return -1;
	}
	return 0;
}

_Noreturn static void fail(int fd, enum step step)
{
	struct report r = {(int)step, errno};
	ssize_t n = write(fd, &r, sizeof r);

	_exit(n == sizeof r ? 127 : 126);
}

/* Between fork and exec: async-signal-safe calls only. */
_Noreturn static void become(struct pipes *p, char *const argv[], char *const env[], pid_t parent)
{
	sigset_t none;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (dup2(p->in[0] >= 0 ? p->in[0] : null, STDIN_FILENO) < 0)
		fail(p->report[1], STEP_STDIN);
	if (p->out[1] >= 0 && dup2(p->out[1], STDOUT_FILENO) < 0)
		fail(p->report[1], STEP_STDOUT);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		fail(p->report[1], STEP_PARENT);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvpe(argv[0], argv, env);
	fail(p->report[1], STEP_EXEC);
}

static void reaped(struct source *s, uint32_t events UNUSED)
{
	struct child *c = container_of(s, struct child, pidfd);
	int status = 0;

	if (waitpid(c->pid, &status, WNOHANG) != c->pid)
		return;
	loop_del(c->loop, s);
	close(s->fd);
	c->pid = 0;
	c->exited(c, status);
}

/* Waits for the exec: the report pipe closes with it, or brings what failed. */
static int await_exec(const struct pipes *p, const char *program, struct err *e)
{
	struct report r;
	ssize_t n;

	do {
		n = read(p->report[0], &r, sizeof r);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	errno = n == sizeof r ? r.error : EIO;
	return err_sys(e, "run %s (%s)", program, n == sizeof r ? step_names[r.step] : "report");
}

static void keep_our_ends(struct child *c, struct pipes *p)
{
	c->in = steal_fd(&p->in[1]);
	c->out = steal_fd(&p->out[0]);
	if (c->in >= 0)
		fcntl(c->in, F_SETFL, O_NONBLOCK);
	if (c->out >= 0)
		fcntl(c->out, F_SETFL, O_NONBLOCK);
}

int child_start(struct child *c, struct loop *l, char *const argv[], char *const env[], int flags,
		struct err *e)
{
	struct pipes p;
	pid_t parent = getpid();

	must(c->exited != NULL);
	c->in = c->out = -1;
	if (open_pipes(&p, flags, e) < 0)
		return -1;
	pid_t pid = fork();
	if (pid < 0) {
		close_pipes(&p);
		return err_sys(e, "fork for %s", argv[0]);
	}
	if (pid == 0)
		become(&p, argv, env ? env : environ, parent);
	close(steal_fd(&p.report[1]));
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		err_sys(e, "pidfd_open for %s", argv[0]);
	c->pidfd = (struct source){.fd = pidfd, .ready = reaped, .name = "child"};
	if (pidfd < 0 || await_exec(&p, argv[0], e) < 0 || loop_add(l, &c->pidfd, EPOLLIN, e) < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		if (pidfd >= 0)
			close(pidfd);
		close_pipes(&p);
		return -1;
	}
	c->pid = pid;
	c->loop = l;
	keep_our_ends(c, &p);
	close_pipes(&p);
	return 0;
}

void child_kill(struct child *c, int signo)
{
	if (c->pid > 0)
		kill(c->pid, signo);
}

void child_forget(struct child *c)
{
	if (c->pid == 0)
		return;
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	loop_del(c->loop, &c->pidfd);
	close(c->pidfd.fd);
	c->pid = 0;
}
