/* isolate/confine: what is left of a process, seen by itself and by what it becomes. */
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../../src/isolate/confine.c"
#include "test.h"

static const struct identity someone = {
	.uid = 12345, .gid = 23456, .groups = {7, 9}, .n_groups = 2};
static struct confine_result result;

static struct confine plain(const struct identity *id)
{
	return (struct confine){.identity = id, .landlock_fd = -1};
}

static void need_root(void)
{
	if (getuid() != 0)
		SKIP("needs root, to become somebody else");
}

/* The value of a line of /proc/self/status. */
static const char *status_of(const char *key)
{
	static char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	OK(f != NULL);
	while (fgets(line, sizeof line, f)) {
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		fclose(f);
		line[strcspn(line, "\n")] = '\0';
		return line + strlen(key) + 2;
	}
	fclose(f);
	FAIL("no %s", key);
}

/* What the command prints when this process, confined, becomes it; at most 4 KiB. */
static const char *becomes(const struct confine *c, const char *command)
{
	static char text[4096];
	int fds[2];
	size_t n = 0;
	ssize_t r;

	OK(pipe(fds) == 0); /* not close-on-exec: that is confine_self's affair */
	pid_t pid = fork();
	if (pid == 0) {
		OK(dup2(fds[1], 1) == 1);
		if (confine_self(c, &result) < 0) {
			printf("%s: %s\n", confine_step_name(result.failed),
			       strerror(result.error));
			fflush(stdout);
			_exit(1);
		}
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(1);
	}
	close(fds[1]);
	while ((r = read(fds[0], text + n, sizeof text - 1 - n)) > 0)
		n += (size_t)r;
	text[n] = '\0';
	close(fds[0]);
	OK(waitpid(pid, NULL, 0) == pid);
	return text;
}

TEST(confine_becomes_somebody_for_good)
{
	struct confine c = plain(&someone);
	gid_t more[] = {1, 2, 3};

	need_root();
	OK(setgroups(3, more) == 0);
	if (confine_self(&c, &result) < 0)
		FAIL("%s: %s", confine_step_name(result.failed), strerror(result.error));
	EQ(result.lost_groups, 0);
	EQ(result.lost_bounding, 0);
	EQ(setuid(0), -1);
	EQ(setgid(0), -1);
	struct rlimit core;
	EQ(getrlimit(RLIMIT_CORE, &core), 0);
	EQ(core.rlim_max, 0);
	EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
	EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
}

TEST(confine_nothing_is_left_after_the_exec)
{
	struct confine c = plain(&someone);

	need_root();
	const char *text = becomes(&c, "cat /proc/self/status");
	HAS(text, "\nUid:\t12345\t12345\t12345\t12345\n");
	HAS(text, "\nGid:\t23456\t23456\t23456\t23456\n");
	HAS(text, "\nGroups:\t7 9");
	HAS(text, "\nCapInh:\t0000000000000000\n");
	HAS(text, "\nCapPrm:\t0000000000000000\n");
	HAS(text, "\nCapEff:\t0000000000000000\n");
	HAS(text, "\nCapBnd:\t0000000000000000\n");
	HAS(text, "\nCapAmb:\t0000000000000000\n");
	HAS(text, "\nNoNewPrivs:\t1\n");
	STREQ(becomes(&c, "ulimit -Hc"), "0\n");
}

TEST(confine_empty_groups_are_set_too)
{
	const struct identity alone = {.uid = 12345, .gid = 23456};
	struct confine c = plain(&alone);
	gid_t more[] = {0, 5};

	need_root();
	OK(setgroups(2, more) == 0);
	STREQ(becomes(&c, "id -G"), "23456\n");
}

TEST(confine_closes_what_was_open)
{
	struct confine c = plain(NULL);

	OK(dup2(0, 77) == 77 && dup2(0, 500) == 500);
	STREQ(becomes(&c,
		      "for fd in 3 4 5 6 77 500; do [ ! -e /proc/$$/fd/$fd ] || echo $fd; done"),
	      "");
}

TEST(confine_without_close_range)
{
	/* a filter as of an older container engine: the call is not there */
	struct sock_filter insn[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0x00050000 | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, 0x7fff0000),
	};
	struct seccomp_filter f = {.n = ARRAY_LEN(insn)};
	struct confine c = plain(NULL);

	NOT_EMULATED("seccomp");
	memcpy(f.insn, insn, sizeof insn);
	EQ(seccomp_install(&f), 0);
	OK(dup2(0, 77) == 77);
	STREQ(becomes(&c, "[ ! -e /proc/$$/fd/77 ] || echo 77"), "");
}

/* The road that a bounding set which cannot be emptied leaves open: root's exec gets all of it. */
TEST(confine_an_exec_gains_nothing_by_the_bounding_set)
{
	struct confine c = plain(NULL);
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2];

	need_root();
	/* no CAP_SETPCAP, so the set stays, as in rootless Podman */
	OK(syscall(SYS_capget, &head, caps) == 0);
	caps[0].effective &= ~(1u << CAP_SETPCAP);
	caps[0].permitted &= ~(1u << CAP_SETPCAP);
	OK(syscall(SYS_capset, &head, caps) == 0);
	const char *text = becomes(&c, "cat /proc/self/status");
	HAS(text, "\nUid:\t0\t");
	HAS(text, "\nCapPrm:\t0000000000000000\n");
	HAS(text, "\nCapEff:\t0000000000000000\n");
	OK(strstr(text, "\nCapBnd:\t0000000000000000\n") == NULL);

	struct __user_cap_data_struct none[2] = {
		{0}}; /* the same without no_new_privs, to compare */
	pid_t pid = fork();
	int status = 0;
	if (pid == 0) {
		OK(syscall(SYS_capset, &head, none) == 0);
		execl("/bin/sh", "sh", "-c", "grep -q '^CapPrm:.*[1-9a-f]' /proc/self/status",
		      NULL);
		_exit(2);
	}
	OK(waitpid(pid, &status, 0) == pid);
	EQ(status, 0);

	EQ(confine_self(&c, &result), 0);
	EQ(result.lost_bounding, EPERM);
}

TEST(confine_a_setuid_program_gives_nothing)
{
	struct confine c = plain(&someone);
	char path[] = "/tmp/confine-test-XXXXXX", command[128];

	need_root();
	int fd = mkstemp(path);
	OK(fd >= 0);
	close(fd);
	snprintf(command, sizeof command, "cp /bin/cat %s && chmod 4755 %s", path, path);
	OK(system(command) == 0);
	snprintf(command, sizeof command, "%s /proc/self/status", path);
	const char *text = becomes(&c, command);
	unlink(path);
	HAS(text, "\nUid:\t12345\t12345\t12345\t12345\n");
}

TEST(confine_needs_the_right_to_become_somebody)
{
	struct confine c = plain(&someone);

	if (getuid() == 0)
		OK(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
	EQ(confine_self(&c, &result), -1);
	EQ(result.error, EPERM);
	OK(result.failed == CONFINE_GROUPS || result.failed == CONFINE_GID);
}

TEST(confine_of_an_unprivileged_user)
{
	struct identity own = {.uid = 1234, .gid = 1234};
	struct confine c = plain(&own);
	gid_t more[] = {1234, 29};

	need_root();
	OK(setgroups(2, more) == 0 && setgid(1234) == 0 && setuid(1234) == 0);
	EQ(confine_self(&c, &result), 0); /* it is itself already; a group it cannot lose is told */
	EQ(result.lost_groups, EPERM);
	EQ(result.lost_bounding, EPERM);
	own.groups[own.n_groups++] = 29;
	EQ(confine_self(&c, &result), 0);
	EQ(result.lost_groups, 0);
}

TEST(confine_in_an_unmapped_user_namespace)
{
	struct confine c = plain(NULL);
	gid_t more[] = {29};
	int had = getuid() == 0 || getgroups(0, NULL) > 0;

	NOT_EMULATED("unshare");
	if (getuid() == 0)
		OK(setgroups(1, more) == 0 && setgid(1234) == 0 && setuid(1234) == 0);
	if (unshare(CLONE_NEWUSER) < 0)
		SKIP("no unprivileged user namespaces: %s", strerror(errno));
	EQ(confine_self(&c, &result), 0);
	EQ(result.lost_bounding, 0); /* all capabilities are ours in there, until now */
	EQ(prctl(PR_CAPBSET_READ, 0, 0, 0, 0), 0);
	EQ(result.lost_groups, had ? EPERM : 0);
	HAS(status_of("CapEff"), "0000000000000000");
}

TEST(confine_says_which_step_failed)
{
	struct confine c = plain(NULL);

	NOT_EMULATED("landlock_restrict_self");
	c.landlock_fd = 999;
	EQ(confine_self(&c, &result), -1);
	EQ(result.failed, CONFINE_LANDLOCK);
	STREQ(confine_step_name(result.failed), "apply the Landlock ruleset");
	OK(result.error != 0);
}

TEST(confine_puts_the_walls_on)
{
	const char *ro[] = {"/bin", "/lib", "/lib64", "/usr", "/proc"};
	struct landlock_policy policy = {.read_only = ro, .n_read_only = ARRAY_LEN(ro)};
	struct seccomp_filter filter;
	struct landlock l;
	struct err e;

	NOT_EMULATED("seccomp");
	if (landlock_abi() < 1)
		SKIP("no Landlock here");
	EQ(landlock_build(&policy, NULL, NULL, &l, &e), 0);
	seccomp_make(SECCOMP_CHILD, &filter);
	struct confine c = {.landlock_fd = l.fd, .filter = &filter};
	const char *text = becomes(&c, "cat /etc/passwd 2>&1; cat /proc/self/status");
	HAS(text, "/etc/passwd: Permission denied");
	HAS(text, "\nSeccomp:\t2\n");
	landlock_fini(&l);
}

TEST(confine_environment_keeps_the_supervisors_affairs)
{
	char *from[] = {"PATH=/bin",
			"OPENSHELL_SANDBOX_TOKEN=secret",
			"OPENSHELL_SANDBOX=1",
			"OPENSHELL_SANDBOX_TOKENS=x",
			"OPENSHELL_TLS_KEY",
			"OPENSHELL_SANDBOX_UID=",
			"OPENSHELL_NETWORK_MODE=auto",
			"OPENSHELL_PREPARE_WORKSPACE=/mnt",
			"=odd",
			NULL};
	char *to[8];

	OK(confine_environment(from, to, 5));
	STREQ(to[0], "PATH=/bin");
	STREQ(to[1], "OPENSHELL_SANDBOX=1");
	STREQ(to[2], "OPENSHELL_SANDBOX_TOKENS=x");
	STREQ(to[3], "=odd");
	OK(to[4] == NULL);
	OK(!confine_environment(from, to, 4));
	OK(!confine_environment(from, to, 0));
}
