/* isolate/keeper: what a supervisor asks for, and gets, on every rung. */
#include <arpa/inet.h>
#include <dirent.h>
#include <pty.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/str.h"
#include "isolate/keeper_impl.h"
#include "isolate/landlock.h"
#include "isolate/pocket.h"
#include "keeper.h"

static int status;
static const struct identity someone = {
	.uid = 12345, .gid = 23456, .groups = {7, 9}, .n_groups = 2};

static void need_root(void)
{
	if (getuid() != 0)
		SKIP("needs root, to become somebody else");
}

/* A rung with a pocket, that works here. */
static enum rung any_pocket(void)
{
	struct rung_report t = {0};

	for (enum rung r = 0; r < RUNG_HOST; r++) {
		rung_try(r, &t);
		if (t.works)
			return r;
	}
	SKIP("no rung works here: %s", t.why.text);
}

/* ---- the rungs ---- */

static void works(enum rung r)
{
	start(r);
	STREQ(said("echo hello; exit 7", &status), "hello\n");
	EQ(WEXITSTATUS(status), 7);
	OK(rig.started.rung.works);
	OK(rig.started.proxy.sin_port != 0);
	OK(rig.started.listener >= 0 && rig.started.sock_diag >= 0);
	stop();
}

TEST(keeper_on_the_rung_pocket)
{
	works(RUNG_POCKET);
	EQ(rig.started.proxy.sin_addr.s_addr, inet_addr(POCKET_PROXY_ADDRESS));
}

TEST(keeper_on_the_rung_userns)
{
	works(RUNG_USERNS);
	EQ(rig.started.proxy.sin_addr.s_addr, inet_addr(POCKET_PROXY_ADDRESS));
}

TEST(keeper_on_the_rung_host)
{
	works(RUNG_HOST);
	EQ(rig.started.proxy.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
}

TEST(keeper_on_the_rung_userns_for_anybody)
{
	become_nobody();
	/* as a supervisor is that has started one before */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	works(RUNG_USERNS);
	OK(rig.started.rung.mapped);
}

TEST(keeper_on_the_rung_host_for_anybody)
{
	become_nobody();
	works(RUNG_HOST);
}

/* ---- who workloads are ---- */

/* By the bare call; the handler comes first in what the kernel reads. */
static void ignore(int signo)
{
	const unsigned long action[4] = {(unsigned long)SIG_IGN};

	OK(syscall(SYS_rt_sigaction, signo, action, NULL, NSIG / 8) == 0);
}

static void takes_identity(enum rung r)
{
	struct keeper_config c = plain(r);
	struct seccomp_filter filter;
	gid_t more[] = {1, 2, 3};

	need_root();
	OK(setgroups(3, more) == 0);
	ignore(33); /* as make leaves one that the C library keeps for itself */
	seccomp_make(SECCOMP_CHILD, &filter);
	c.confine.identity = &someone;
	c.confine.filter = &filter;
	start_with(&c);
	const char *text = said("cat /proc/self/status; id -u; id -g; id -G", &status);
	HAS(text, "\n12345\n23456\n23456 7 9\n");
	HAS(text, "\nCapPrm:\t0000000000000000\n");
	HAS(text, "\nCapEff:\t0000000000000000\n");
	HAS(text, "\nCapBnd:\t0000000000000000\n");
	HAS(text, "\nNoNewPrivs:\t1\n");
	HAS(text, "\nSeccomp:\t2\n");
	HAS(text, "\nSigBlk:\t0000000000000000\n");
	HAS(text, "\nSigIgn:\t0000000000000000\n");
	EQ(rig.started.confined.lost_groups, 0);
	EQ(rig.started.confined.lost_bounding, 0);
	stop();
}

TEST(keeper_takes_the_identity_in_a_pocket)
{
	takes_identity(RUNG_POCKET);
}

TEST(keeper_takes_the_identity_in_a_user_namespace)
{
	takes_identity(RUNG_USERNS);
}

TEST(keeper_takes_the_identity_on_the_host)
{
	takes_identity(RUNG_HOST);
}

TEST(keeper_without_the_identity_there_is_none)
{
	struct keeper_config c = plain(RUNG_USERNS);
	struct err e;

	NOT_EMULATED("user namespaces");
	become_nobody();
	c.confine.identity = &someone;
	if (keeper_start(&rig.keeper, &c, &rig.started, &e) == 0)
		FAIL("it took an identity it has no right to");
	if (!rig.started.rung.works)
		SKIP("%s", e.text);
	HAS(e.text, "confine workloads: set the g");
	EQ(rig.started.listener, -1);
	/* nothing is left */
	EQ(waitpid(-1, NULL, WNOHANG), -1);
	EQ(errno, ECHILD);
}

TEST(keeper_an_identity_that_is_ours_needs_no_right)
{
	struct identity self = {.uid = 65534, .gid = 65534};
	struct keeper_config c = plain(RUNG_USERNS);

	need_root();
	become_nobody();
	c.confine.identity = &self;
	start_with(&c);
	STREQ(said("id -u", &status), "65534\n");
	stop();
}

TEST(keeper_workloads_share_a_domain_that_it_is_not_in)
{
	const char *const root[] = {"/"};
	struct landlock_policy policy = {.read_only = root,
					 .n_read_only = 1,
					 .read_write = (const char *const[]){"/dev"},
					 .n_read_write = 1,
					 .scoped = true};
	struct keeper_config c = plain(RUNG_HOST);
	struct landlock landlock;
	char command[200];
	struct err e;

	NOT_EMULATED("Landlock");
	if (landlock_abi() < 6)
		SKIP("no Landlock that scopes signals");
	without_own_pids(); /* they would have no number for it */
	OK(landlock_build(&policy, NULL, NULL, &landlock, &e) == 0);
	c.confine.landlock_fd = landlock.fd;
	start_with(&c);
	pid_t one = shell("exec sleep 1000", STDERR_FILENO);
	snprintf(command, sizeof command, "kill -0 %d 2>&1 || kill -0 %d 2>&1 || kill %d",
		 keeper_pid(rig.keeper), getpid(), one);
	const char *text = said(command, &status);
	HAS(text, "not permitted");
	OK(strstr(strstr(text, "not permitted") + 1, "not permitted") != NULL);
	EQ(status, 0);
	EQ(WTERMSIG(end_of(one)), SIGTERM);
	landlock_fini(&landlock);
	stop();
}

TEST(keeper_and_supervisor_cannot_be_looked_into)
{
	char command[200];

	become_nobody();
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* as one that was nobody all the time */
	start(RUNG_HOST);
	snprintf(command, sizeof command,
		 "exec 2>/dev/null; cat /proc/%d/environ || cat /proc/$PPID/environ || ls "
		 "/proc/$PPID/fd || "
		 "ls /proc/%d/root/ || echo locked",
		 getpid(), getpid());
	STREQ(said(command, &status), "locked\n");
	snprintf(command, sizeof command, "test $PPID = %d",
		 rig.started.init ? 0 : keeper_pid(rig.keeper));
	said(command, &status);
	EQ(status, 0);
	stop();
}

/* ---- what they are given ---- */

TEST(keeper_gives_arguments_environment_and_directory)
{
	char *argv[] = {"/bin/sh",     "-c", "pwd; echo \"$0|$1|$2|$X|$PATH\"; umask", "zero", "",
			"two words\n", NULL};
	char *env[] = {"X=a b", "PATH=/bin", NULL};
	int fds[2];
	struct try t = TRY;
	struct err e;

	start(RUNG_HOST);
	OK(pipe2(fds, O_CLOEXEC) == 0);
	struct keeper_spawn what = {
		.argv = argv, .env = env, .cwd = "/proc", .stdio = {fds[0], fds[1], fds[1]}};
	umask(027);
	OK(keeper_spawn(rig.keeper, &what, &t.call, &e) == 0);
	AWAIT(t.done);
	OK(t.result > 0);
	EQ(end_of(t.result), 0);
	close(fds[1]);
	STREQ(all_of(fds[0]), "/proc\nzero||two words\n|a b|/bin\n0022\n");
	stop();
}

/* Asks for a program that cannot be run: why not. */
static const char *refusal(char *program, char *path, const char *cwd, int code)
{
	static struct try t;
	struct err e;
	char *argv[] = {program, NULL}, *env[] = {path, NULL};
	struct keeper_spawn what = {.argv = argv, .env = env, .cwd = cwd, .stdio = {0, 1, 2}};

	t = TRY;
	if (keeper_spawn(rig.keeper, &what, &t.call, &e) < 0)
		FAIL("%s", e.text);
	AWAIT(t.done);
	EQ(t.result, -1);
	EQ(t.why.code, code);
	return t.why.text;
}

TEST(keeper_tells_why_a_program_does_not_run)
{
	become_nobody();
	start(RUNG_HOST);
	STREQ(refusal("/bin/bahs", "X=", "/", ENOENT), "exec /bin/bahs: No such file or directory");
	STREQ(refusal("bahs", "PATH=/bin:/usr/bin", "/", ENOENT),
	      "exec bahs: No such file or directory");
	STREQ(refusal("sh", "PATH=/nowhere:/etc/passwd", "/", ENOENT),
	      "exec sh: No such file or directory");
	STREQ(refusal("passwd", "PATH=/etc:/nowhere", "/", EACCES),
	      "exec passwd: Permission denied");
	STREQ(refusal("", "PATH=/bin", "/", ENOENT), "exec : No such file or directory");
	STREQ(refusal("/etc", "X=", "/", EACCES), "exec /etc: Permission denied");
	STREQ(refusal("sh", "PATH=/bin", "/nowhere", ENOENT),
	      "chdir /nowhere: No such file or directory");
	/* what has failed has not ended */
	STREQ(said("echo still", &status), "still\n");
	EQ(rig.n_exits, 1);
	stop();
}

TEST(keeper_gives_no_other_descriptors)
{
	int leak = open("/dev/null", O_RDWR); /* not close-on-exec */

	OK(leak > 2);
	start(RUNG_HOST);
	STREQ(said("for f in /proc/self/fd/*; do test -e $f && echo ${f##*/}; done", &status),
	      "0\n1\n2\n");
	stop();
}

/* By which a workload would come to what lies above it, and nobody gave that. */
TEST(keeper_gives_no_folder_as_a_stream)
{
	char *argv[] = {"true", NULL};
	_cleanup_close_ int folder = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct keeper_spawn what = {
		.argv = argv, .env = plain_env, .cwd = "/", .stdio = {0, folder, 2}};
	struct try t = TRY;
	struct err e;

	start(RUNG_HOST);
	OK(keeper_spawn(rig.keeper, &what, &t.call, &e) == 0);
	AWAIT(t.done);
	EQ(t.result, -1);
	EQ(t.why.code, EISDIR);
	stop();
}

TEST(keeper_gives_a_terminal)
{
	char *argv[] = {"sh", "-c", "echo here >/dev/tty; exit 3", NULL};
	char *stranger[] = {"sh", "-c", ": >/dev/tty", NULL};
	char text[16] = "";
	int master, slave;
	struct err e;

	start(RUNG_HOST);
	OK(openpty(&master, &slave, NULL, NULL, NULL) == 0);
	struct keeper_spawn what = {.argv = argv,
				    .env = plain_env,
				    .cwd = "/",
				    .stdio = {slave, slave, slave},
				    .terminal = true};
	struct try t = TRY;
	OK(keeper_spawn(rig.keeper, &what, &t.call, &e) == 0);
	AWAIT(t.done);
	EQ(WEXITSTATUS(end_of(t.result)), 3);
	OK(read(master, text, sizeof text - 1) > 0);
	STREQ(text, "here\r\n");

	what = (struct keeper_spawn){
		.argv = stranger, .env = plain_env, .cwd = "/", .stdio = {slave, slave, slave}};
	t = TRY;
	OK(keeper_spawn(rig.keeper, &what, &t.call, &e) == 0);
	AWAIT(t.done);
	OK(WEXITSTATUS(end_of(t.result)) != 0);

	int pipes[2];
	OK(pipe2(pipes, O_CLOEXEC) == 0);
	what.terminal = true;
	what.stdio[0] = pipes[0];
	t = TRY;
	OK(keeper_spawn(rig.keeper, &what, &t.call, &e) == 0);
	AWAIT(t.done);
	HAS(t.why.text, "take the terminal: ");
	stop();
}

TEST(keeper_workloads_lead_sessions)
{
	signal(SIGUSR1, SIG_IGN);
	start(RUNG_HOST);
	said("read -r a < /proc/self/stat; set -- $a; test $1 = $5 -a $1 = $6", &status);
	EQ(status, 0);
	stop();
}

TEST(keeper_takes_large_texts_up_to_a_limit)
{
	enum { PIECE = 100000, PIECES = 10 };
	char *env[PIECES + 3] = {"PATH=/bin"};
	char *argv[] = {"sh", "-c", "test ${#V9} = 99990", NULL};
	struct keeper_spawn what = {.argv = argv, .env = env, .cwd = "/", .stdio = {0, 1, 2}};
	struct try t = TRY;
	struct err e;

	start(RUNG_HOST);
	for (int i = 0; i < PIECES; i++) {
		env[i + 1] = xcalloc(1, PIECE);
		int n = snprintf(env[i + 1], PIECE, "V%d=", i);
		memset(env[i + 1] + n, 'x', PIECE - 10);
	}
	OK(keeper_spawn(rig.keeper, &what, &t.call, &e) == 0);
	AWAIT(t.done);
	if (t.result < 0)
		FAIL("%s", t.why.text);
	EQ(end_of(t.result), 0);
	env[PIECES + 1] = env[PIECES];
	EQ(keeper_spawn(rig.keeper, &what, &t.call, &e), -1);
	EQ(e.code, E2BIG);
	HAS(e.text, "bytes of arguments and environment, 1048576 at most");
	for (int i = 0; i < PIECES; i++)
		free(env[i + 1]);
	stop();
}

/* ---- functions of ours in place of a program ---- */

/* Says what it was given, and what it finds; what it reads comes last. */
static int builtin(char *const *argv, char *const *env)
{
	char line[256], cwd[64] = "?", comm[16] = "?";
	sigset_t blocked;

	if (streq(argv[1], "crash"))
		raise(SIGSEGV);
	unsigned fds = 0;
	for (int fd = 0; fd < 1024; fd++)
		fds += fcntl(fd, F_GETFD) >= 0;
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	prctl(PR_GET_NAME, comm, 0, 0, 0);
	int n = snprintf(
		line, sizeof line,
		"%s %s %s %s uid %d gid %d fds %u leads %d dumpable %d pipe %d chld %d %s ", comm,
		argv[1], env[0], getcwd(cwd, sizeof cwd), getuid(), getgid(), fds,
		getsid(0) == getpid(), prctl(PR_GET_DUMPABLE, 0, 0, 0, 0),
		signal(SIGPIPE, SIG_DFL) == SIG_DFL, sigismember(&blocked, SIGCHLD),
		getenv("X") ? getenv("X") : "?");
	ssize_t in = read(0, line + n, sizeof line - (size_t)n);
	return write(1, line, (size_t)n + (size_t)in) > 0 ? 42 : 1;
}

static void with_builtin(struct keeper_config *c)
{
	c->builtins[KEEPER_SFTP] = builtin;
	setenv("X", "the supervisor's", 1);
	start_with(c);
}

static void ask_builtin(struct try *t, char *argument, const int stdio[2])
{
	char *argv[] = {"function", argument, NULL}, *env[] = {"X=workload", NULL};
	struct keeper_spawn what = {.argv = argv,
				    .env = env,
				    .cwd = "/proc",
				    .stdio = {stdio[0], stdio[1], STDERR_FILENO},
				    .builtin = KEEPER_SFTP};
	struct err e;

	*t = TRY;
	if (keeper_spawn(rig.keeper, &what, &t->call, &e) < 0)
		FAIL("%s", e.text);
	AWAIT(t->done);
}

TEST(keeper_runs_a_function_as_a_workload)
{
	struct keeper_config c = plain(RUNG_HOST);
	struct seccomp_filter filter;
	int in[2], out[2];
	struct try t;

	need_root();
	ignore(SIGPIPE);
	seccomp_make(SECCOMP_CHILD, &filter);
	c.confine.identity = &someone;
	c.confine.filter = &filter;
	OK(open("/dev/null", O_RDWR) > 2); /* one that an exec would not close */
	with_builtin(&c);
	OK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	ask_builtin(&t, "run", (int[]){in[0], out[1]});
	if (t.result < 0)
		FAIL("%s", t.why.text);
	EQ(rig.n_exits, 0); /* it is told once it is called, not once it has ended */
	OK(write(in[1], "input\n", 6) == 6);
	EQ(WEXITSTATUS(end_of(t.result)), 42);
	close(out[1]);
	STREQ(all_of(out[0]), "function run X=workload /proc uid 12345 gid 23456 fds 3 leads 1 "
			      "dumpable 0 pipe 1 chld 0 workload input\n");
	stop();
}

TEST(keeper_a_function_cannot_be_looked_into_and_can_be_signalled)
{
	struct keeper_config c = plain(RUNG_HOST);
	char command[256];
	struct err e;
	int in[2];
	struct try t;

	become_nobody();
	with_builtin(&c);
	OK(pipe2(in, O_CLOEXEC) == 0);
	ask_builtin(&t, "run", (int[]){in[0], STDERR_FILENO});
	snprintf(command, sizeof command,
		 "exec 2>/dev/null; cat /proc/%d/environ || cat /proc/%d/maps || ls /proc/%d/fd || "
		 "head -c1 /proc/%d/mem || echo locked",
		 t.result, t.result, t.result, t.result);
	STREQ(said(command, &status), "locked\n");
	OK(keeper_signal(rig.keeper, t.result, SIGHUP, &e) == 0);
	EQ(WTERMSIG(end_of(t.result)), SIGHUP);
	stop();
}

TEST(keeper_a_function_that_crashes_is_a_workload_that_does)
{
	struct keeper_config c = plain(RUNG_HOST);
	struct try t;

	with_builtin(&c);
	ask_builtin(&t, "crash", (int[]){0, 1});
	OK(t.result > 0);
	OK(!WIFEXITED(end_of(t.result)));
	STREQ(said("echo still", &status), "still\n");
	stop();
}

TEST(keeper_refuses_a_function_that_it_was_not_given)
{
	struct try t;

	start(RUNG_HOST);
	ask_builtin(&t, "run", (int[]){0, 1});
	EQ(t.result, -1);
	EQ(t.why.code, ENOSYS);
	STREQ(t.why.text, "function is not built in here");
	stop();
}

/* ---- how they end ---- */

TEST(keeper_tells_how_workloads_end)
{
	start(RUNG_HOST);
	pid_t a = shell("exit 0", 2), b = shell("exit 200", 2), c = shell("kill -9 $$", 2);
	EQ(WTERMSIG(end_of(c)), SIGKILL);
	OK(a != b && b != c);
	EQ(WEXITSTATUS(end_of(b)), 200);
	EQ(end_of(a), 0);
	stop();
}

TEST(keeper_signals_the_whole_group)
{
	struct err e;
	int fds[2];

	start(RUNG_HOST);
	OK(pipe2(fds, O_CLOEXEC) == 0);
	pid_t pid = shell("sleep 1000 & exec sleep 1001", fds[1]);
	close(fds[1]);
	OK(keeper_signal(rig.keeper, pid, SIGTERM, &e) == 0);
	EQ(WTERMSIG(end_of(pid)), SIGTERM);
	STREQ(all_of(fds[0]), ""); /* the other one is dead too */
	/* one that has ended, and who never was */
	OK(keeper_signal(rig.keeper, pid, SIGTERM, &e) == 0);
	OK(keeper_signal(rig.keeper, getpid(), SIGKILL, &e) == 0);
	OK(keeper_signal(rig.keeper, -1, SIGKILL, &e) == 0);
	OK(keeper_signal(rig.keeper, 0, SIGKILL, &e) == 0);
	STREQ(said("echo still", &status), "still\n");
	stop();
}

TEST(keeper_cancelled_before_it_runs)
{
	struct try t[8];
	int fds[2];

	start(RUNG_HOST);
	OK(pipe2(fds, O_CLOEXEC) == 0);
	for (unsigned i = 0; i < ARRAY_LEN(t); i++)
		ask_shell(&t[i], "exec sleep 1000", fds[1]);
	close(fds[1]);
	for (unsigned i = 0; i < ARRAY_LEN(t); i++)
		keeper_cancel(&t[i].call);
	keeper_cancel(&t[0].call);
	STREQ(all_of(fds[0]), "");
	STREQ(said("echo still", &status), "still\n");
	for (unsigned i = 0; i < ARRAY_LEN(t); i++)
		OK(!t[i].done);
	EQ(rig.n_exits, 1);
	stop();
}

static unsigned children_of(pid_t parent)
{
	char path[64];
	unsigned n = 0;
	int pid;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", parent, parent);
	FILE *f = fopen(path, "re");
	if (!f)
		SKIP("no list of children here");
	while (fscanf(f, "%d", &pid) == 1)
		n++;
	fclose(f);
	return n;
}

/* The keeper's, but for the nursery and init; and init's. */
static unsigned children(void)
{
	pid_t init = rig.started.init;

	return children_of(keeper_pid(rig.keeper)) - 1 - (init ? 1 : 0) +
	       (init ? children_of(init) : 0);
}

static void reaps_orphans(void)
{
	start(RUNG_HOST);
	for (int i = 0; i < 20; i++)
		EQ(end_of(shell("(setsid sleep 0.3 &) ; exit 0", STDERR_FILENO)), 0);
	OK(children() > 0);
	while (children() > 0)
		usleep(10000);
	EQ(rig.n_exits, 20); /* nobody is told of them */
	stop();
}

TEST(keeper_or_init_reaps_orphans)
{
	reaps_orphans();
}

TEST(keeper_without_init_reaps_orphans)
{
	without_own_pids();
	reaps_orphans();
}

/* Of this process, and of the keeper where we may look at it. */
static unsigned open_files(void)
{
	char path[64];
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	snprintf(path, sizeof path, "/proc/%d/fd", keeper_pid(rig.keeper));
	DIR *d = opendir(path);
	OK(d || getuid() != 0);
	while (d && readdir(d))
		n += 1000;
	if (d)
		closedir(d);
	return n;
}

TEST_WITHIN(keeper_a_thousand_workloads_leave_nothing, 60)
{
	struct try t[KEEPER_CALLS_MAX + 1];

	start(RUNG_HOST);
	STREQ(said("echo first", &status), "first\n");
	unsigned before = open_files();
	for (unsigned round = 0; round < 1000 / KEEPER_CALLS_MAX + 1; round++) {
		for (unsigned i = 0; i < KEEPER_CALLS_MAX; i++)
			ask_shell(&t[i], "exit 1", STDERR_FILENO);
		for (unsigned i = 0; i < KEEPER_CALLS_MAX; i++) {
			AWAIT(t[i].done);
			if (t[i].result < 0)
				FAIL("%s", t[i].why.text);
			EQ(WEXITSTATUS(end_of(t[i].result)), 1);
		}
		rig.n_exits = 0;
	}
	/* an answer to this means that it is through with all before */
	STREQ(said("echo last", &status), "last\n");
	EQ(open_files(), before);
	EQ(children(), 0);
	stop();
}

TEST(keeper_takes_so_many_requests_and_no_more)
{
	struct try t[KEEPER_CALLS_MAX + 1];
	char *argv[] = {"sh", "-c", ":", NULL};
	struct keeper_spawn what = {.argv = argv, .env = plain_env, .cwd = "/", .stdio = {0, 1, 2}};
	struct err e;

	start(RUNG_HOST);
	for (unsigned i = 0; i < KEEPER_CALLS_MAX; i++)
		ask_shell(&t[i], ":", STDERR_FILENO);
	t[KEEPER_CALLS_MAX] = TRY;
	EQ(keeper_spawn(rig.keeper, &what, &t[KEEPER_CALLS_MAX].call, &e), -1);
	EQ(e.code, EAGAIN);
	for (unsigned i = 0; i < KEEPER_CALLS_MAX; i++)
		AWAIT(t[i].done);
	stop();
}

TEST_WITHIN(keeper_takes_so_many_workloads_and_no_more, 60)
{
	struct try t[KEEPER_CALLS_MAX], more;

	start(RUNG_HOST);
	for (unsigned n = 0; n < KEEPER_WORKLOADS_MAX; n += KEEPER_CALLS_MAX) {
		for (unsigned i = 0; i < KEEPER_CALLS_MAX; i++)
			ask_shell(&t[i], "exec sleep 1000", STDERR_FILENO);
		for (unsigned i = 0; i < KEEPER_CALLS_MAX; i++) {
			AWAIT(t[i].done);
			if (t[i].result < 0)
				FAIL("%s", t[i].why.text);
		}
	}
	ask_shell(&more, "exec sleep 1000", STDERR_FILENO);
	AWAIT(more.done);
	STREQ(more.why.text, "1024 workloads are running");
	EQ(more.why.code, EAGAIN);
	struct err e;
	OK(keeper_signal(rig.keeper, t[0].result, SIGTERM, &e) == 0);
	EQ(WTERMSIG(end_of(t[0].result)), SIGTERM);
	STREQ(said("echo still", &status), "still\n");
	stop();
	EQ(waitpid(-1, NULL, WNOHANG), -1);
}

/* ---- sockets ---- */

static int ask_socket(int (*ask)(struct keeper *, const struct sockaddr *, socklen_t,
				 struct keeper_call *, struct err *),
		      const char *host, in_port_t port, struct err *why)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct try t = TRY;
	struct err e;

	int r = inet_pton(AF_INET, host, &in.sin_addr) == 1
			? ask(rig.keeper, (struct sockaddr *)&in, sizeof in, &t.call, &e)
			: ask(rig.keeper, (struct sockaddr *)&in6, sizeof in6, &t.call, &e);
	OK(strchr(host, '.') || inet_pton(AF_INET6, host, &in6.sin6_addr) == 1);
	OK(r == 0);
	AWAIT(t.done);
	*why = t.why;
	return t.result;
}

static in_port_t port_of(int fd)
{
	struct sockaddr_in at;
	socklen_t n = sizeof at;

	OK(getsockname(fd, (struct sockaddr *)&at, &n) == 0);
	return ntohs(at.sin_port);
}

TEST(keeper_listens_and_connects_inside)
{
	struct err e;
	char byte = 0;

	start(any_pocket());
	int server = ask_socket(keeper_listen, "127.0.0.1", 0, &e);
	OK(server >= 0);
	int client = ask_socket(keeper_connect, "127.0.0.1", port_of(server), &e);
	OK(client >= 0);
	OK(fcntl(client, F_GETFL) & O_NONBLOCK && fcntl(client, F_GETFD) & FD_CLOEXEC);
	fcntl(server, F_SETFL, 0);
	int peer = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	OK(peer >= 0 && write(peer, "x", 1) == 1);
	fcntl(client, F_SETFL, 0);
	OK(read(client, &byte, 1) == 1 && byte == 'x');
	/* not where the tests run, whoever else has that port there */
	int outside = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(port_of(server)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	connect(outside, (struct sockaddr *)&at, sizeof at);
	fcntl(server, F_SETFL, O_NONBLOCK);
	EQ(accept4(server, NULL, NULL, SOCK_CLOEXEC), -1);
	EQ(errno, EAGAIN);
	/* a pocket's own */
	OK(ask_socket(keeper_listen, POCKET_OWN_ADDRESS, 0, &e) >= 0);
	stop();
}

TEST(keeper_reaches_no_other_addresses)
{
	static const char *const others[] = {"10.200.0.3", "192.0.2.1", "169.254.169.254",
					     "0.0.0.0"};
	struct err e;

	start(any_pocket());
	for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
		EQ(ask_socket(keeper_connect, others[i], 80, &e), -1);
		STREQ(e.text, "not an address of the sandbox's own");
		EQ(ask_socket(keeper_listen, others[i], 80, &e), -1);
		EQ(e.code, EACCES);
	}
	struct sockaddr_storage local = {.ss_family = AF_UNIX};
	struct try t = TRY;
	EQ(keeper_connect(rig.keeper, (struct sockaddr *)&local, sizeof local, &t.call, &e), -1);
	EQ(e.code, EAFNOSUPPORT);
	stop();
}

TEST(keeper_on_the_host_there_are_no_own_addresses)
{
	struct err e;

	start(RUNG_HOST);
	EQ(ask_socket(keeper_listen, POCKET_OWN_ADDRESS, 0, &e), -1);
	EQ(e.code, EACCES);
	int server = ask_socket(keeper_listen, "127.0.0.1", 0, &e);
	OK(server >= 0);
	/* in use: the call's own errno */
	EQ(ask_socket(keeper_listen, "127.0.0.1", port_of(server), &e), -1);
	EQ(e.code, EADDRINUSE);
	stop();
}

TEST(keeper_workloads_reach_the_proxy)
{
	char command[200];
	int listener;

	start(any_pocket());
	listener = rig.started.listener;
	OK(fcntl(listener, F_GETFL) & O_NONBLOCK);
	snprintf(command, sizeof command,
		 "exec bash -c 'exec 3<>/dev/tcp/10.200.0.1/%u && read -r x <&3 && echo got $x'",
		 ntohs(rig.started.proxy.sin_port));
	int fds[2];
	OK(pipe2(fds, O_CLOEXEC) == 0);
	pid_t pid = shell(command, fds[1]);
	fcntl(listener, F_SETFL, 0);
	int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	OK(peer >= 0 && write(peer, "word\n", 5) == 5);
	EQ(end_of(pid), 0);
	close(fds[1]);
	STREQ(all_of(fds[0]), "got word\n");
	stop();
}

/* ---- what goes round ---- */

static void need_log(void)
{
	if (rig.started.not_logged.code != 0)
		SKIP("no log of what is refused here: %s", rig.started.not_logged.text);
}

TEST(keeper_tells_of_a_bypass)
{
	struct in6_addr to;
	char text[INET6_ADDRSTRLEN];

	start(any_pocket());
	need_log();
	EQ(rig.n_bypasses, 0); /* its own trial is none */
	said("exec bash -c 'exec 3<>/dev/tcp/192.0.2.1/443' 2>/dev/null", &status);
	OK(status != 0);
	AWAIT(rig.n_bypasses == 1);
	struct bypass *b = &rig.bypasses[0];
	EQ(b->family, AF_INET);
	EQ(b->protocol, IPPROTO_TCP);
	EQ(b->dport, 443);
	OK(inet_pton(AF_INET6, "::ffff:192.0.2.1", &to) == 1);
	STREQ(inet_ntop(AF_INET6, &b->dst, text, sizeof text), "::ffff:192.0.2.1");

	said("exec bash -c 'echo x >/dev/udp/192.0.2.53/53' 2>/dev/null", &status);
	AWAIT(rig.n_bypasses == 2);
	EQ(rig.bypasses[1].protocol, IPPROTO_UDP);
	EQ(rig.bypasses[1].dport, 53);
	stop();
}

/* Whether a TCP socket that has just said SYN waits for an answer; as the keeper's namespace sees it. */
static bool has_waiting_socket(void)
{
	char line[256];
	_cleanup_free_ char *path = xasprintf("/proc/%d/net/tcp", keeper_pid(rig.keeper));
	_cleanup_file_ FILE *f = fopen(path, "re");

	OK(f != NULL);
	while (fgets(line, sizeof line, f) != NULL)
		if (strstr(line, ":01BB 02 ") != NULL) /* to port 443, SYN_SENT */
			return true;
	return false;
}

static void need_hold(void)
{
	need_log();
	if (rig.started.not_held.code != 0)
		SKIP("no connection waits here: %s", rig.started.not_held.text);
}

TEST(keeper_a_connection_waits_until_it_is_known_whose_it_is)
{
	start(any_pocket());
	need_hold();
	rig.keeps_held = true;
	pid_t pid = shell("exec bash -c ': <>/dev/tcp/192.0.2.1/443' 2>/dev/null", STDERR_FILENO);
	AWAIT(rig.n_bypasses == 1);
	EQ(rig.bypasses[0].dport, 443);
	OK(rig.bypasses[0].held != 0);
	/* nobody but the kernel says when the moment is over; it may be by now */
	bool waits = has_waiting_socket();
	keeper_release(rig.keeper, rig.bypasses[0].held + 7); /* another's */
	keeper_release(rig.keeper, rig.bypasses[0].held);
	keeper_release(rig.keeper, rig.bypasses[0].held);
	end_of(pid);
	OK(!has_waiting_socket());
	EQ(rig.n_bypasses, 1); /* and is not told again by the log */
	if (!waits)
		SKIP("too slow to see it wait");
	stop();
}

TEST(keeper_lets_a_connection_go_that_nobody_asks_about)
{
	start(any_pocket());
	need_hold();
	rig.keeps_held = true;
	/* more than may wait at once: all are refused, one after the other or without a wait */
	said("exec bash -c 'for i in {1..80}; do (: <>/dev/tcp/192.0.2.1/$i) 2>/dev/null & done; "
	     "wait'",
	     &status);
	EQ(status, 0);
	AWAIT(rig.n_bypasses == 80);
	unsigned held = 0;
	for (unsigned i = 0; i < rig.n_bypasses; i++)
		held += rig.bypasses[i].held != 0;
	OK(held > 0);
	stop();
}

static bool is_zombie(pid_t pid)
{
	char path[32], state = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	_cleanup_file_ FILE *f = fopen(path, "re");
	return f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state == 'Z';
}

TEST(keeper_tells_of_a_bypass_before_the_end_of_who_tried)
{
	int fds[2];

	start(any_pocket());
	need_log();
	OK(pipe2(fds, O_CLOEXEC) == 0);
	pid_t pid = shell("exec bash -c 'read -r go; echo >/dev/udp/192.0.2.1/443' 2>/dev/null",
			  fds[0]);
	/* it tries and ends while the keeper cannot look */
	OK(kill(keeper_pid(rig.keeper), SIGSTOP) == 0);
	OK(write(fds[1], "go\n", 3) == 3);
	while (!is_zombie(pid))
		usleep(1000);
	OK(kill(keeper_pid(rig.keeper), SIGCONT) == 0);
	AWAIT(rig.n_exits == 1);
	EQ(rig.exits[0].bypasses, 1);
	stop();
}

TEST_WITHIN(keeper_a_flood_of_bypasses_is_rationed_and_counted, 60)
{
	start(any_pocket());
	need_log();
	pid_t flood =
		shell("exec bash -c 'for i in {1..2000}; do echo >/dev/udp/192.0.2.1/$i; done' "
		      "2>/dev/null",
		      STDERR_FILENO);
	/* nobody else is starved */
	for (int i = 0; i < 5; i++)
		STREQ(said("echo still", &status), "still\n");
	end_of(flood);
	AWAIT(rig.lost > 0);
	OK(rig.n_bypasses >= 100);
	OK(rig.n_bypasses < 2000 / 2);
	stop();
}

TEST(keeper_on_the_host_nothing_is_refused)
{
	start(RUNG_HOST);
	EQ(rig.started.not_logged.code, 0);
	OK(!rig.started.rung.refuses);
	stop();
}
