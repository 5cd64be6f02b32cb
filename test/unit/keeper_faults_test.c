/* isolate/keeper: whatever dies or runs out, nothing is left behind and everybody is told. */
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <linux/capability.h>

#include "../../src/isolate/keeper_kill.c"
#include "isolate/keeper_own.h"
#include "isolate/keeper_workload.h"
#include "keeper.h"

static int status;

/* What is hard to find: grandchildren that left their session and were left by their parent, which they say
 * a moment later; children, and itself. */
#define FAMILY                                                                                     \
	"(setsid sh -c 'sleep 1000 & sleep 0.05; echo up; exec sleep 1001' &); "                   \
	"sleep 1002 & exec sleep 1003"

/* Starts them: the end of the pipe that they hold open for as long as one of them lives. */
static int family(pid_t *pid)
{
	int fds[2];
	char word[8];

	OK(pipe2(fds, O_CLOEXEC) == 0);
	*pid = shell(FAMILY, fds[1]);
	close(fds[1]);
	OK(read(fds[0], word, sizeof word) == 3);
	return fds[0];
}

/* Until nobody is left, which the harness limits. */
static void nobody_left(int fd)
{
	STREQ(all_of(fd), "");
	close(fd);
}

static const struct identity someone = {.uid = 12345, .gid = 12345};

static void start_as_someone(enum rung r)
{
	struct keeper_config c = plain(r);

	if (getuid() != 0)
		SKIP("needs root, to become somebody else");
	c.confine.identity = &someone;
	start_with(&c);
}

/* ---- the nursery ---- */

static pid_t nursery(void)
{
	char path[64];
	int pid = 0;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", keeper_pid(rig.keeper),
		 keeper_pid(rig.keeper));
	FILE *f = fopen(path, "re");
	if (!f)
		SKIP("no list of children here");
	do
		OK(fscanf(f, "%d", &pid) == 1);
	while (pid == rig.started.init);
	fclose(f);
	return pid;
}

TEST(keeper_makes_the_nursery_again)
{
	start(RUNG_HOST);
	for (int i = 0; i < 5; i++) {
		pid_t old = nursery();
		OK(kill(old, SIGKILL) == 0);
		STREQ(said("echo still", &status), "still\n");
		OK(nursery() != old);
	}
	stop();
}

TEST(keeper_a_workload_may_kill_the_nursery)
{
	char command[64];

	start_as_someone(RUNG_HOST);
	/* the first that is born there after init */
	snprintf(command, sizeof command, "kill -9 %d", rig.started.init ? 2 : nursery());
	said(command, &status);
	EQ(status, 0);
	STREQ(said("id -u", &status), "12345\n");
	stop();
}

TEST_WITHIN(keeper_replaces_a_nursery_that_does_nothing, 30)
{
	struct try t;

	start_as_someone(RUNG_HOST);
	OK(kill(nursery(), SIGSTOP) == 0);
	ask_shell(&t, "exit 0", STDERR_FILENO);
	AWAIT(t.done);
	EQ(t.result, -1);
	STREQ(t.why.text, "the nursery did not start the workload");
	STREQ(said("id -u", &status), "12345\n");
	EQ(rig.n_exits, 1);
	stop();
}

TEST(keeper_orders_again_what_a_nursery_died_over)
{
	struct try t[10];

	start(RUNG_HOST);
	pid_t pid = nursery();
	OK(kill(pid, SIGSTOP) == 0);
	for (unsigned i = 0; i < ARRAY_LEN(t); i++)
		ask_shell(&t[i], "exit 0", STDERR_FILENO);
	usleep(20000); /* they are in its queue by now; or miss it */
	OK(kill(pid, SIGKILL) == 0);
	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		AWAIT(t[i].done);
		OK(t[i].result > 0);
		EQ(end_of(t[i].result), 0);
	}
	stop();
}

static bool nothing(void *owner UNUSED)
{
	return true;
}

/* The nursery has not come to closing its end of the pipe yet. */
TEST(workload_that_is_over_before_its_start_was_told)
{
	static struct workloads w;
	struct keeper_packet p;
	struct fdpass fds;
	siginfo_t info;
	struct err e;
	int channel[2], report[2];

	OK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, channel) == 0);
	OK(pipe2(report, O_NONBLOCK) == 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(3);
	OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
	w.channel = channel[0];
	w.before_end = nothing;
	w.starting = 1;
	w.all[5] = (struct workload){
		.state = WORKLOAD_STARTING, .id = 7, .pid = pid, .report = report[0]};
	workloads_look(&w);
	EQ(keeper_receive(channel[1], KEEPER_TELLS, &p, &fds, &e), 1);
	EQ(p.message, KEEPER_DONE);
	EQ(p.id, 7);
	EQ(p.pid, pid);
	EQ(keeper_receive(channel[1], KEEPER_TELLS, &p, &fds, &e), 1);
	EQ(p.message, KEEPER_EXITED);
	EQ(WEXITSTATUS(p.exited.status), 3);
	EQ(w.all[5].state, WORKLOAD_FREE);
	EQ(w.starting, 0);
}

/* ---- the end ---- */

static void ends_with_it(enum rung r)
{
	pid_t pid;
	int fd;

	start(r);
	fd = family(&pid);
	keeper_free(rig.keeper);
	nobody_left(fd);
	EQ(waitpid(-1, NULL, WNOHANG), -1);
}

TEST(keeper_ends_all_in_a_pocket)
{
	ends_with_it(RUNG_POCKET);
}

TEST(keeper_ends_all_in_a_user_namespace)
{
	ends_with_it(RUNG_USERNS);
}

TEST(keeper_ends_all_for_anybody)
{
	become_nobody();
	ends_with_it(RUNG_HOST);
}

/* As a container's root is. */
static void lose_capability(int cap)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	OK(syscall(SYS_capget, &head, data) == 0);
	data[cap / 32].permitted &= ~(1u << cap % 32);
	data[cap / 32].effective = data[cap / 32].permitted;
	OK(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0);
	OK(syscall(SYS_capset, &head, data) == 0);
}

TEST(keeper_ends_all_without_the_right_to_kill)
{
	struct err e;
	pid_t pid;

	NOT_EMULATED("capabilities");
	if (getuid() != 0)
		SKIP("needs root, to become somebody else");
	lose_capability(CAP_KILL);
	start_as_someone(RUNG_HOST);
	pid_t one = shell("exec sleep 1000", STDERR_FILENO);
	EQ(kill(one, 0), -1);
	OK(keeper_signal(rig.keeper, one, SIGTERM, &e) == 0);
	EQ(WTERMSIG(end_of(one)), SIGTERM);
	int fd = family(&pid);
	keeper_free(rig.keeper);
	nobody_left(fd);
}

TEST(keeper_killed_without_the_right_to_kill)
{
	pid_t pid;

	NOT_EMULATED("capabilities");
	if (getuid() != 0)
		SKIP("needs root, to become somebody else");
	lose_capability(CAP_KILL);
	start_as_someone(RUNG_HOST);
	int fd = family(&pid);
	OK(kill(keeper_pid(rig.keeper), SIGKILL) == 0);
	AWAIT(rig.gone);
	nobody_left(fd);
}

TEST(keeper_killed)
{
	struct keeper_spawn what = {.argv = plain_env, .env = plain_env, .cwd = "/"};
	struct try t;
	struct err e;
	pid_t pid;

	start(RUNG_HOST);
	int fd = family(&pid);
	OK(kill(keeper_pid(rig.keeper), SIGSTOP) == 0);
	ask_shell(&t, "exit 0", STDERR_FILENO);
	OK(kill(keeper_pid(rig.keeper), SIGKILL) == 0);
	AWAIT(rig.gone);
	STREQ(rig.why_gone.text, "the keeper was killed by signal 9 (Killed)");
	OK(t.done && t.result == -1);
	nobody_left(fd);
	t = TRY;
	EQ(keeper_spawn(rig.keeper, &what, &t.call, &e), -1);
	STREQ(e.text, "the keeper is gone");
	EQ(keeper_signal(rig.keeper, pid, SIGTERM, &e), -1);
	keeper_free(rig.keeper);
}

/* The supervisor may reap whatever ends, as the first process of a container does. */
TEST(keeper_killed_and_reaped_by_somebody_else)
{
	pid_t pid;

	start(RUNG_HOST);
	int fd = family(&pid);
	OK(kill(keeper_pid(rig.keeper), SIGKILL) == 0);
	OK(waitpid(keeper_pid(rig.keeper), NULL, 0) > 0);
	AWAIT(rig.gone);
	STREQ(rig.why_gone.text, "the keeper is gone");
	nobody_left(fd);
	keeper_free(rig.keeper);
}

TEST(keeper_that_does_not_answer_in_time)
{
	struct try t;
	int fds[2];

	start(RUNG_HOST);
	OK(pipe2(fds, O_CLOEXEC) == 0);
	OK(kill(keeper_pid(rig.keeper), SIGSTOP) == 0);
	ask_shell(&t, "exec sleep 1000", fds[1]);
	close(fds[1]);
	timer_set(rig.loop, &t.call.timer, 1);
	AWAIT(t.done);
	EQ(t.result, -1);
	STREQ(t.why.text, "the keeper did not answer within 30 s");
	OK(kill(keeper_pid(rig.keeper), SIGCONT) == 0);
	nobody_left(fds[0]);
	STREQ(said("echo still", &status), "still\n");
	EQ(rig.n_exits, 1);
	keeper_free(rig.keeper);
}

TEST(keeper_that_does_not_answer_ends_all_the_same)
{
	pid_t pid;

	start(RUNG_HOST);
	int fd = family(&pid);
	OK(kill(keeper_pid(rig.keeper), SIGSTOP) == 0);
	keeper_free(rig.keeper);
	nobody_left(fd);
	EQ(waitpid(-1, NULL, WNOHANG), -1);
}

/* A supervisor of its own, which tells by one byte that its sandbox is up, and then only lives. */
static void supervisor_dies(int signo)
{
	int up[2], life[2];
	char byte;

	NOT_EMULATED("clone with CLONE_PARENT");
	OK(pipe2(up, O_CLOEXEC) == 0 && pipe2(life, O_CLOEXEC) == 0);
	pid_t supervisor = fork();
	if (supervisor == 0) {
		close(life[0]);
		start(RUNG_HOST);
		shell(FAMILY, life[1]);
		OK(write(up[1], "u", 1) == 1);
		loop_run(rig.loop);
	}
	close(up[1]);
	close(life[1]);
	OK(read(up[0], &byte, 1) == 1);
	OK(read(life[0], &byte, 1) == 1);
	OK(kill(supervisor, signo) == 0);
	OK(waitpid(supervisor, NULL, 0) == supervisor);
	while (read(life[0], &byte, 1) == 1)
		;
}

TEST(keeper_nothing_outlives_a_supervisor_that_is_killed)
{
	supervisor_dies(SIGKILL);
}

TEST(keeper_nothing_outlives_a_supervisor_that_is_terminated)
{
	supervisor_dies(SIGTERM);
}

/* They end with the keeper by themselves, when the supervisor is in no state to see to it. */
TEST(keeper_killed_while_the_supervisor_is_stopped)
{
	int up[2], life[2];
	char byte;
	pid_t keeper;

	NOT_EMULATED("clone with CLONE_PARENT");
	OK(pipe2(up, O_CLOEXEC) == 0 && pipe2(life, O_CLOEXEC) == 0);
	pid_t supervisor = fork();
	if (supervisor == 0) {
		close(life[0]);
		start(RUNG_HOST);
		shell("exec sleep 1000", life[1]);
		close(life[1]);
		keeper = keeper_pid(rig.keeper);
		OK(write(up[1], &keeper, sizeof keeper) == sizeof keeper);
		raise(SIGSTOP);
	}
	close(up[1]);
	close(life[1]);
	OK(read(up[0], &keeper, sizeof keeper) == sizeof keeper);
	OK(waitpid(supervisor, NULL, WUNTRACED) == supervisor);
	OK(kill(keeper, SIGKILL) == 0);
	OK(read(life[0], &byte, 1) == 0);
	OK(kill(supervisor, SIGKILL) == 0);
}

TEST_WITHIN(keeper_ends_what_forks_and_runs, 30)
{
	int fds[2];
	char word[8];

	start(RUNG_HOST);
	OK(pipe2(fds, O_CLOEXEC) == 0);
	/* each generation dies as soon as it has borne the next one */
	end_of(shell("echo up; hop() { sleep 0.001; (hop &) ; exit; }; hop &", fds[1]));
	close(fds[1]);
	OK(read(fds[0], word, sizeof word) == 3);
	keeper_free(rig.keeper);
	nobody_left(fds[0]);
}

TEST(keeper_that_dies_takes_all_but_who_is_spared)
{
	int fds[2], s;
	pid_t spared = fork();

	if (spared == 0) {
		pause();
		_exit(0);
	}
	start(RUNG_HOST);
	OK(pipe2(fds, O_CLOEXEC) == 0);
	shell("(sleep 1000 &) ; exec sleep 1000", fds[1]);
	close(fds[1]);
	keeper_spare(rig.keeper, spared);
	OK(kill(keeper_pid(rig.keeper), SIGKILL) == 0);
	keeper_free(rig.keeper);
	nobody_left(fds[0]);
	EQ(waitpid(spared, &s, WNOHANG), 0);
	OK(kill(spared, SIGKILL) == 0);
}

TEST(keeper_finds_children_without_the_kernels_list)
{
	struct killing k = {.proc = open("/proc", O_PATH | O_CLOEXEC), .as = (uid_t)KEEPER_NOBODY};
	int s;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_NAME, "a) S 1 (b");
		pause();
	}
	while (!is_child(k.proc, "self") && (kill_found(&k), waitpid(pid, &s, WNOHANG)) == 0)
		usleep(1000);
	EQ(WTERMSIG(s), SIGKILL);
}

/* ---- descriptors run out ---- */

static void limit_files(pid_t pid, rlim_t n)
{
	struct rlimit now;

	OK(prlimit(pid, RLIMIT_NOFILE, NULL, &now) == 0);
	now.rlim_cur = n;
	OK(prlimit(pid, RLIMIT_NOFILE, &now, NULL) == 0);
}

TEST(keeper_out_of_descriptors_in_the_supervisor)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char *argv[] = {"sh", NULL};
	struct keeper_spawn what = {.argv = argv, .env = plain_env, .cwd = "/", .stdio = {0, 1, 2}};
	struct try t = TRY;
	struct err e;

	start(RUNG_HOST);
	limit_files(0, 3);
	EQ(keeper_spawn(rig.keeper, &what, &t.call, &e), -1);
	EQ(e.code, EMFILE);
	OK(keeper_listen(rig.keeper, (struct sockaddr *)&at, sizeof at, &t.call, &e) == 0);
	AWAIT(t.done);
	EQ(t.result, -1);
	STREQ(t.why.text, "no room for a descriptor of the keeper's");
	limit_files(0, 1024);
	STREQ(said("echo still", &status), "still\n");
	stop();
}

TEST(keeper_out_of_descriptors_in_the_keeper)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct try t;
	struct err e;

	start(RUNG_HOST);
	limit_files(keeper_pid(rig.keeper), 3);
	for (int i = 0; i < 3; i++) {
		ask_shell(&t, "exit 0", STDERR_FILENO);
		AWAIT(t.done);
		EQ(t.result, -1);
		EQ(t.why.code, EMFILE);
		t = TRY;
		OK(keeper_listen(rig.keeper, (struct sockaddr *)&at, sizeof at, &t.call, &e) == 0);
		AWAIT(t.done);
		EQ(t.why.code, EMFILE);
	}
	limit_files(keeper_pid(rig.keeper), 1024);
	STREQ(said("echo still", &status), "still\n");
	limit_files(nursery(), 3);
	ask_shell(&t, "exit 0", STDERR_FILENO);
	AWAIT(t.done);
	STREQ(t.why.text, "the nursery ended, or had no room for descriptors");
	limit_files(nursery(), 1024);
	STREQ(said("echo still", &status), "still\n");
	stop();
}

TEST(keeper_out_of_descriptors_still_ends_all)
{
	pid_t pid;

	start(RUNG_HOST);
	int fd = family(&pid);
	limit_files(keeper_pid(rig.keeper), 3);
	keeper_free(rig.keeper);
	nobody_left(fd);
}

TEST(keeper_killed_while_the_supervisor_is_out_of_descriptors)
{
	pid_t pid;

	start(RUNG_HOST);
	int fd = family(&pid);
	limit_files(0, 64);
	while (dup(0) >= 0)
		;
	OK(kill(keeper_pid(rig.keeper), SIGKILL) == 0);
	AWAIT(rig.gone);
	nobody_left(fd);
}

/* ---- messages ---- */

TEST(keeper_ends_when_it_does_not_understand)
{
	struct keeper_packet p = {.message = KEEPER_EXITED};
	pid_t pid;

	start(RUNG_HOST);
	int fd = family(&pid);
	OK(send(rig.keeper->channel, &p, keeper_size(p.message), 0) > 0);
	AWAIT(rig.gone);
	nobody_left(fd);
	keeper_free(rig.keeper);
}
