#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/arguments.h"
#include "base/str.h"
#include "base/util.h"
#include "base/fds.h"
#include "isolate/keeper_impl.h"
#include "isolate/nursery.h"
#include "net/fdpass.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What comes with an order. */
enum { ORDER_TEXT, ORDER_STDIO, ORDER_REPORT = ORDER_STDIO + 3, ORDER_FDS };

struct hello {
	int failed; /* whether result says which step did */
	struct confine_result result;
};

/* What one does. */
struct job {
	const struct keeper_kind *kind;
	const struct fdpass *fds;
	keeper_builtin_fn *const *builtins;
};

/* ---- a workload, until its exec ---- */

/* Ignored signals outlive an exec; those, too, that the C library keeps for itself, and lets nobody set but
 * by the bare call. All zero is the default action without flags. */
static void reset_signals(void)
{
	static const unsigned long plain[4];
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		syscall(SYS_rt_sigaction, s, plain, NULL, NSIG / 8);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Mapped and not copied: this process is an exec away from losing it. */
static int read_text(int fd, struct nursery_text *out, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "look at the arguments");
	if (st.st_size < 1 || st.st_size > KEEPER_TEXT_MAX)
		return err_set(e, EPROTO, "a workload's text of %lld bytes", (long long)st.st_size);
	size_t n = (size_t)st.st_size;
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, "map the arguments");
	return nursery_text_read(p, n, out, e);
}

/* A folder would be a way to all that lies around it, past the view. */
static int set_stdio(const struct fdpass *fds, bool terminal, struct err *e)
{
	for (int i = 0; i < 3; i++) {
		int fd = fds->fd[ORDER_STDIO + i];
		struct stat st;

		if (fstat(fd, &st) < 0)
			return err_sys(e, "look at a standard stream");
		if (S_ISDIR(st.st_mode))
			return err_set(e, EISDIR, "a standard stream is a folder");
		if (dup2(fd, i) < 0)
			return err_sys(e, "dup2");
	}
	if (terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
		return err_sys(e, "take the terminal");
	return 0;
}

static const char *path_of(char *const *env)
{
	for (; *env; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	return DEFAULT_PATH;
}

/* An execvpe that looks into the PATH of the new environment. Always fails, with errno. */
static void execute(char *const *argv, char *const *env)
{
	struct str rest = str_of(path_of(env));
	bool refused = false;
	char path[PATH_MAX];

	if (strchr(argv[0], '/') || argv[0][0] == '\0') {
		execve(argv[0], argv, env);
		return;
	}
	do {
		struct str dir = str_cut(&rest, ':');
		const char *slash = dir.n ? "/" : "";
		int n = snprintf(path, sizeof path, "%.*s%s%s", STR_FMT(dir), slash, argv[0]);

		if (n < 0 || (size_t)n >= sizeof path)
			continue;
		execve(path, argv, env);
		if (errno == EACCES)
			refused = true;
		else if (errno != ENOENT && errno != ENOTDIR)
			return;
	} while (rest.p);
	errno = refused ? EACCES : ENOENT;
}

/* The report's end closes with all else. */
_Noreturn static void call(keeper_builtin_fn *run, char *const *argv, char *const *env)
{
	prctl(PR_SET_NAME, argv[0], 0, 0, 0);
	arguments_replace(argv[0]);
	fds_close_all_but(NULL, 0);
	environ = (char **)env;
	_exit(run(argv, env));
}

static int become(const struct job *job, struct err *e)
{
	static struct nursery_text text;
	const struct fdpass *fds = job->fds;
	uint32_t builtin = job->kind->builtin;

	/* after confine_self, which clears it; and the keeper may have died before. From inside a PID namespace no parent
	 * is to be seen that is outside */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
	    fdpass_is_closed(fds->fd[ORDER_REPORT]))
		return err_set(e, ESRCH, "the keeper is gone");
	reset_signals();
	if (setsid() < 0)
		return err_sys(e, "setsid");
	if (read_text(fds->fd[ORDER_TEXT], &text, e) < 0)
		return -1;
	if (chdir(text.cwd) < 0)
		return err_sys(e, "chdir %s", text.cwd);
	if (set_stdio(fds, job->kind->terminal != 0, e) < 0)
		return -1;
	if (builtin != KEEPER_EXEC && !job->builtins[builtin])
		return err_set(e, ENOSYS, "%s is not built in here", text.argv[0]);
	if (builtin != KEEPER_EXEC)
		call(job->builtins[builtin], text.argv, text.env);
	execute(text.argv, text.env);
	return err_sys(e, "exec %s", text.argv[0]);
}

/* The keeper learns the pid from the clone itself, by the kernel's word: so it does even when the nursery is killed
 * now. */
static int be_workload(void *arg)
{
	const struct job *job = arg;
	int report = job->fds->fd[ORDER_REPORT];
	const enum nursery_word here = NURSERY_CLONED;
	struct err e = {0};

	if (write(report, &here, sizeof here) != sizeof here)
		_exit(126);
	become(job, &e);
	_exit(write(report, &e, sizeof e) == sizeof e ? 127 : 126);
}

/* ---- the nursery ---- */

/* A stack of its own, with a page below it that nobody may touch: under all of the functions of ours there is
 * none of the supervisor's frames. The end of it, which is where it begins; NULL. */
static char *make_stack(void)
{
	const size_t guard = 1 << 16; /* a page, wherever */
	char *p = mmap(NULL, guard + KEEPER_STACK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p + guard, KEEPER_STACK, PROT_READ | PROT_WRITE) < 0)
		return NULL;
	return p + guard + KEEPER_STACK;
}

/* fork would not do, since the child shall be the keeper's; nor the bare call, since the C library keeps the
 * pid: a function of ours that aborts would signal the nursery in its place. */
static void carry_out(const struct job *job, char *stack)
{
	int report = job->fds->fd[ORDER_REPORT];
	int pid = clone(be_workload, stack, CLONE_PARENT | SIGCHLD, (void *)job);
	struct err e = {0};
	const enum nursery_word none = NURSERY_FAILED;

	if (pid > 0)
		return;
	err_sys(&e, "clone");
	/* when it cannot be told, the end of the channel tells it */
	if (write(report, &none, sizeof none) == sizeof none && write(report, &e, sizeof e) < 0)
		return;
}

_Noreturn static void nurse(int channel, keeper_builtin_fn *const *builtins)
{
	char *stack = make_stack();

	while (stack) {
		struct keeper_kind kind;
		struct fdpass fds;
		const struct job job = {&kind, &fds, builtins};
		ssize_t n = fdpass_receive(channel, &kind, sizeof kind, &fds);

		if (n <= 0)
			break;
		if (n == sizeof kind && kind.builtin < KEEPER_BUILTIN_COUNT && fds.n == ORDER_FDS)
			carry_out(&job, stack);
		fdpass_close(&fds);
	}
	_exit(stack ? 0 : 1);
}

_Noreturn static void live(const struct keeper_config *c, int channel)
{
	const int kept[] = {channel, c->confine.landlock_fd};
	struct hello hello = {0};

	/* not those that the supervisor was started with: all workloads may list them */
	arguments_replace("nursery");
	fds_close_all_but(kept, ARRAY_LEN(kept));
	setsid();
	hello.failed = confine_self(&c->confine, &hello.result) < 0;
	fds_close_all_but(kept, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (fdpass_is_closed(channel) || fdpass_send(channel, &hello, sizeof hello, NULL, 0) < 0 ||
	    hello.failed)
		_exit(1);
	nurse(channel, c->builtins);
}

/* ---- the keeper's side ---- */

int nursery_make(struct nursery *n, const struct keeper_config *c, struct err *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "socketpair");
	_cleanup_close_ int ours = pair[0], theirs = pair[1];
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(e, "fork");
	if (pid == 0)
		live(c, theirs);
	/* orders do not block: one that finds no room fails */
	fcntl(ours, F_SETFL, O_NONBLOCK);
	*n = (struct nursery){.pid = pid, .channel = steal_fd(&ours)};
	return 0;
}

int nursery_hello(const struct nursery *n, struct confine_result *out, int ms, struct err *e)
{
	struct hello hello;
	struct fdpass fds;
	ssize_t got = fdpass_receive_within(n->channel, &hello, sizeof hello, &fds, ms);

	fdpass_close(&fds);
	if (got < 0)
		return err_sys(e, "hear of the nursery");
	if (got != sizeof hello)
		return err_set(e, ECONNRESET, "the nursery is gone");
	*out = hello.result;
	errno = hello.result.error;
	return hello.failed ? err_sys(e, "%s", confine_step_name(hello.result.failed)) : 0;
}

int nursery_order(const struct nursery *n, const struct keeper_kind *kind, const int order[4],
		  int report, struct err *e)
{
	const int fds[ORDER_FDS] = {order[0], order[1], order[2], order[3], report};

	if (fdpass_send(n->channel, kind, sizeof *kind, fds, ORDER_FDS) < 0)
		return err_sys(e, "order a workload");
	return 0;
}

void nursery_end(struct nursery *n, uid_t as)
{
	if (n->pid == 0)
		return;
	keeper_kill(as, n->pid, SIGKILL);
	nursery_forget(n);
}

void nursery_forget(struct nursery *n)
{
	close(n->channel);
	*n = (struct nursery){.channel = -1};
}
