/* isolate/pid_space: a sandbox that is alone in its PID namespace, one that cannot be, and what dies with what. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/arguments.h"
#include "base/str.h"
#include "isolate/landlock.h"
#include "keeper.h"

static int status;
static const struct identity someone = {.uid = 12345, .gid = 12345};

static void need_root(void)
{
	if (getuid() != 0)
		SKIP("needs root");
}

/* On a host that lets us. */
static void start_alone(const struct keeper_config *c)
{
	NOT_EMULATED("unshare");
	start_with(c);
	if (rig.started.init == 0)
		SKIP("no PID namespace to be had: %s", rig.started.rung.no_own_pids.text);
}

/* One that this process may have such a namespace on. */
static enum rung some_rung(void)
{
	return getuid() == 0 ? RUNG_HOST : RUNG_USERNS;
}

/* ---- what is to be seen ---- */

static void is_alone(enum rung r)
{
	struct keeper_config c = plain(r);

	start_alone(&c);
	STREQ(rig.started.rung.no_own_pids.text, "");
	STREQ(said("cd /proc; set -- [0-9]*; read -r pid a < self/stat; "
		   "echo $PPID $(cat 1/comm) $* $pid $$",
		   &status),
	      "0 init 1 2 3 3 3\n");
	EQ(status, 0);
	stop();
}

TEST(pids_alone_in_a_pocket)
{
	is_alone(RUNG_POCKET);
}

TEST(pids_alone_in_a_user_namespace)
{
	is_alone(RUNG_USERNS);
}

TEST(pids_alone_in_a_user_namespace_of_anybodys)
{
	become_nobody();
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	is_alone(RUNG_USERNS);
}

TEST(pids_alone_on_the_host_as_root)
{
	need_root();
	is_alone(RUNG_HOST);
}

/* What is told outside is what is true outside. */
TEST(pids_told_are_those_of_outside)
{
	struct keeper_config c = plain(some_rung());
	char path[64], text[64] = "";
	struct err e;

	start_alone(&c);
	pid_t pid = shell("exec sleep 1000", STDERR_FILENO);
	OK(pid > 3);
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	OK(read(fd, text, sizeof text - 1) > 0);
	snprintf(path, sizeof path, " %d ", keeper_pid(rig.keeper));
	HAS(text, path);
	OK(keeper_signal(rig.keeper, pid, SIGUSR1, &e) == 0);
	EQ(WTERMSIG(end_of(pid)), SIGUSR1);
	stop();
}

/* Neither looked into nor signalled, whoever it is confined as. */
static void init_is_left_alone(const struct keeper_config *c)
{
	start_alone(c);
	STREQ(said("exec 2>/dev/null; cat /proc/1/environ || ls /proc/1/root/ || ls /proc/1/fd || "
		   "readlink /proc/1/ns/pid || head -c1 /proc/1/mem || echo locked",
		   &status),
	      "locked\n");
	said("for s in 1 9 15 19; do kill -$s 1; done 2>/dev/null; kill -9 -1", &status);
	EQ(WTERMSIG(status), 0);
	STREQ(said("echo still $(cat /proc/1/comm)", &status), "still init\n");
	OK(!rig.gone);
	stop();
}

TEST(pids_init_is_left_alone)
{
	struct keeper_config c = plain(RUNG_HOST);

	need_root();
	c.confine.identity = &someone;
	init_is_left_alone(&c);
}

TEST(pids_init_is_left_alone_by_its_own_uid)
{
	struct keeper_config c = plain(RUNG_USERNS);

	become_nobody();
	init_is_left_alone(&c);
}

/* Those of this program's start, by the words 48 and 49 of its stat (proc(5)). */
static void find_arguments(void)
{
	static char *argv[64];
	unsigned long from = 0, to = 0;
	int argc = 0;
	FILE *f = fopen("/proc/self/stat", "re");

	OK(f != NULL && fscanf(f, "%*d (%*[^)])") == 0);
	for (int i = 3; i < 48; i++)
		OK(fscanf(f, "%*s") == 0);
	OK(fscanf(f, "%lu %lu", &from, &to) == 2);
	fclose(f);
	for (char *p = (char *)from; p < (char *)to && argc < 64; p += strlen(p) + 1)
		argv[argc++] = p;
	arguments_are_at(argc, argv);
}

TEST(pids_inside_show_no_arguments_of_the_supervisors)
{
	struct keeper_config c = plain(some_rung());

	NOT_EMULATED("the place of arguments");
	find_arguments();
	start_alone(&c);
	STREQ(said("tr -d '\\0' </proc/1/cmdline; echo; tr -d '\\0' </proc/2/cmdline", &status),
	      "init\nnursery");
	stop();
}

/* What is given, and a /proc of its own, is all that there is. */
TEST(pids_together_with_a_view)
{
	static const struct view_path paths[] = {{"/usr", false},
						 {"/bin", false},
						 {"/lib", false},
						 {"/lib64", false},
						 {"/proc", false}};
	struct view view = {.paths = paths, .n = ARRAY_LEN(paths)};
	struct keeper_config c = plain(some_rung());

	c.view = &view;
	start_alone(&c);
	STREQ(rig.started.rung.shown.text, "");
	STREQ(said("cat /proc/1/comm; ls /etc/passwd 2>&1; grep -c ' /proc ' /proc/self/mountinfo",
		   &status),
	      "init\nls: cannot access '/etc/passwd': Permission denied\n1\n");
	stop();
}

/* ---- Landlock ---- */

static const char *with_landlock(const char *command, const char *const *read_only, size_t n)
{
	struct landlock_policy policy = {.read_only = read_only, .n_read_only = n, .scoped = true};
	struct view_path paths[8];
	struct view view = {.paths = paths, .n = n, .enforced = true};
	struct keeper_config c = plain(RUNG_HOST);
	struct landlock landlock;
	struct err e;

	need_root();
	NOT_EMULATED("Landlock");
	if (landlock_abi() < 1)
		SKIP("no Landlock");
	for (size_t i = 0; i < n; i++)
		paths[i] = (struct view_path){read_only[i], false};
	OK(landlock_build(&policy, NULL, NULL, &landlock, &e) == 0);
	c.confine.landlock_fd = landlock.fd;
	c.view = &view;
	start_alone(&c);
	const char *text = said(command, &status);
	landlock_fini(&landlock);
	stop();
	return text;
}

#define SOME "/usr", "/lib", "/bin", "/lib64"

TEST(pids_landlock_gives_the_new_proc)
{
	static const char *const paths[] = {SOME, "/proc"};

	STREQ(with_landlock("cat /proc/1/comm", paths, ARRAY_LEN(paths)), "init\n");
}

TEST(pids_landlock_gives_a_part_of_the_new_proc)
{
	static const char *const paths[] = {SOME, "/proc/uptime", "/proc/nowhere"};

	HAS(with_landlock("cat /proc/uptime; cat /proc/1/comm 2>&1", paths, ARRAY_LEN(paths)),
	    "/proc/1/comm: Permission denied");
	HAS(with_landlock("cat /proc/uptime 2>&1", paths, ARRAY_LEN(paths)), ".");
}

TEST(pids_landlock_keeps_the_new_proc)
{
	static const char *const paths[] = {SOME};

	HAS(with_landlock("cat /proc/uptime 2>&1", paths, ARRAY_LEN(paths)), "Permission denied");
}

/* ---- what a container's runtime has put over /proc ---- */

static void mask_proc(void)
{
	need_root();
	NOT_EMULATED("mount");
	OK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	OK(mount("/dev/null", "/proc/version", NULL, MS_BIND, NULL) == 0);
	OK(mount("none", "/proc/fs", "tmpfs", MS_RDONLY, "size=4k") == 0);
	OK(mount("/proc/sys", "/proc/sys", NULL, MS_BIND | MS_REC, NULL) == 0);
	OK(mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
}

TEST(pids_masks_lie_over_the_new_proc)
{
	struct keeper_config c = plain(RUNG_POCKET);

	mask_proc();
	start_alone(&c);
	STREQ(said("cat /proc/version; ls /proc/fs; cat /proc/1/comm; "
		   "echo 1 2>&1 >/proc/sys/kernel/pid_max | grep -o Read-only; "
		   "grep -c ' /proc' /proc/self/mountinfo", /* the old ones are below */
		   &status),
	      "init\nRead-only\n8\n");
	stop();
}

/* The kernel's rule: what a mask hides, a user namespace must not uncover by another mount. */
TEST(pids_masks_forbid_a_proc_to_a_user_namespace)
{
	struct keeper_config c = plain(RUNG_USERNS);

	mask_proc();
	start_with(&c);
	EQ(rig.started.init, 0);
	STREQ(rig.started.rung.no_own_pids.text, "fsmount(proc): Operation not permitted");
	STREQ(said("cat /proc/version; echo works", &status), "works\n");
	stop();
}

/* ---- hosts that refuse it ---- */

static void is_not_alone(const char *why)
{
	struct keeper_config c = plain(RUNG_HOST);
	char text[64];

	start_with(&c);
	EQ(rig.started.init, 0);
	STREQ(rig.started.rung.no_own_pids.text, why);
	snprintf(text, sizeof text, "%d works\n", keeper_pid(rig.keeper));
	STREQ(said("echo $PPID works", &status), text);
	stop();
}

TEST(pids_without_the_right)
{
	become_nobody();
	is_not_alone("unshare(NEWNS): Operation not permitted");
}

TEST(pids_without_mounts)
{
	need_root();
	forbid(SYS_mount, -1, 0, EACCES); /* as AppArmor does */
	is_not_alone("keep mounts from going out: Permission denied");
}

TEST(pids_without_the_new_mount_calls)
{
	need_root();
	forbid(SYS_fsopen, -1, 0, ENOSYS);
	is_not_alone("fsopen(proc): Function not implemented");
}

TEST(pids_without_putting_mounts_in_place)
{
	need_root();
	forbid(SYS_move_mount, -1, 0, EPERM);
	is_not_alone("move_mount(proc): Operation not permitted");
}

TEST(pids_without_setns)
{
	need_root();
	forbid(SYS_setns, -1, 0, EPERM);
	is_not_alone("setns(NEWPID): Operation not permitted");
}

TEST(pids_without_pid_namespaces)
{
	need_root();
	forbid(SYS_clone, 0, CLONE_NEWPID | CLONE_FS | SIGCHLD, EINVAL);
	is_not_alone("clone(NEWPID): Invalid argument");
}

TEST(pids_with_masks_that_cannot_be_cloned)
{
	mask_proc();
	forbid(SYS_open_tree, -1, 0, EPERM);
	is_not_alone("open_tree(/proc/version): Operation not permitted");
}

/* ---- the end ---- */

/* Those that left their session and their parent, too. */
#define FAMILY "(setsid sh -c 'sleep 1000 & echo up; exec sleep 1001' &); exec sleep 1003"

TEST(pids_init_killed_is_the_end)
{
	struct keeper_config c = plain(some_rung());
	char word[8];
	int fds[2];

	start_alone(&c);
	OK(pipe2(fds, O_CLOEXEC) == 0);
	shell(FAMILY, fds[1]);
	close(fds[1]);
	OK(read(fds[0], word, sizeof word) == 3);
	OK(kill(rig.started.init, SIGKILL) == 0);
	AWAIT(rig.gone);
	STREQ(rig.why_gone.text,
	      "the first process of its PID namespace has ended, and all others with it");
	EQ(rig.n_exits, 0); /* that is what has happened, and not that some program was killed */
	STREQ(all_of(fds[0]), "");
	EQ(waitpid(-1, NULL, WNOHANG), -1);
	keeper_free(rig.keeper);
}

/* The four in whose hands a sandbox is. */
enum { SUPERVISOR, KEEPER, INIT, NURSERY, FOUR };

static pid_t nursery_of(pid_t keeper, pid_t init, pid_t workload)
{
	char path[64];
	int pid;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", keeper, keeper);
	FILE *f = fopen(path, "re");
	if (!f)
		SKIP("no list of children here");
	do
		OK(fscanf(f, "%d", &pid) == 1);
	while (pid == init || pid == workload);
	fclose(f);
	return pid;
}

/* A supervisor that tells who the four are. */
_Noreturn static void supervise(int up, int life)
{
	struct keeper_config c = plain(some_rung());

	c.confine.identity = getuid() == 0 ? &someone : NULL;
	start_with(&c);
	pid_t workload = shell(FAMILY, life);
	close(life);
	pid_t four[FOUR] = {getpid(), keeper_pid(rig.keeper), rig.started.init,
			    nursery_of(keeper_pid(rig.keeper), rig.started.init, workload)};
	OK(write(up, four, sizeof four) == sizeof four);
	for (;;)
		loop_run(rig.loop);
}

static void nobody_outlives(const int *order, int n)
{
	int up[2], life[2];
	pid_t four[FOUR];
	char word[8];

	OK(pipe2(up, O_CLOEXEC) == 0 && pipe2(life, O_CLOEXEC) == 0);
	pid_t supervisor = fork();
	if (supervisor == 0)
		supervise(up[1], life[1]);
	close(up[1]);
	close(life[1]);
	if (read(up[0], four, sizeof four) != sizeof four)
		FAIL("no supervisor");
	OK(read(life[0], word, sizeof word) > 0);
	if (four[INIT] == 0)
		SKIP("no PID namespace to be had");
	for (int i = 0; i < n; i++)
		OK(kill(four[order[i]], SIGKILL) == 0 || errno == ESRCH);
	while (read(life[0], word, sizeof word) > 0)
		;
	kill(supervisor, SIGKILL);
	waitpid(supervisor, NULL, 0);
	close(up[0]);
	close(life[0]);
}

/* All orders of any of them; but the nursery alone is nobody's end. */
static void each_order(int *order, int n, unsigned used)
{
	if (n > 1 || (n == 1 && order[0] != NURSERY))
		nobody_outlives(order, n);
	for (int next = 0; next < FOUR; next++) {
		order[n] = next;
		if (!(used & 1u << next))
			each_order(order, n + 1, used | 1u << next);
	}
}

TEST_WITHIN(pids_nothing_outlives_in_any_order, 60)
{
	int order[FOUR + 1];

	NOT_EMULATED("unshare");
	each_order(order, 0, 0);
}
