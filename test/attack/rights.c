/* More rights than the workload was given: root, groups, capabilities, and what takes no_new_privs away. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

enum { CAP_WORDS = 2 };

static enum result become_root(const struct attempt *a UNUSED)
{
	return got_if(setresuid(0, 0, 0), "setresuid(0)");
}

static enum result become_root_group(const struct attempt *a UNUSED)
{
	return got_if(setresgid(0, 0, 0), "setresgid(0)");
}

static enum result join_groups(const struct attempt *a UNUSED)
{
	const gid_t root = 0;

	return got_if(setgroups(1, &root), "setgroups(0)");
}

static enum result have_groups(const struct attempt *a UNUSED)
{
	gid_t have[64];
	int n = getgroups(ARRAY_LEN(have), have);

	for (int i = 0; i < n; i++)
		if (have[i] != getgid() && have[i] != SANDBOX_ID) {
			note("group %u is there", have[i]);
			return GOT;
		}
	note("no other group");
	return REFUSED;
}

static enum result raise_caps(const struct attempt *a UNUSED)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[CAP_WORDS] = {
		{1u << CAP_NET_ADMIN, 1u << CAP_NET_ADMIN, 0}};

	return got_if(syscall(SYS_capset, &head, data), "capset");
}

static enum result have_caps(const struct attempt *a UNUSED)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[CAP_WORDS];

	syscall(SYS_capget, &head, d);
	note("permitted %08x%08x, inheritable %08x%08x", d[1].permitted, d[0].permitted,
	     d[1].inheritable, d[0].inheritable);
	return d[0].permitted | d[1].permitted | d[0].inheritable | d[1].inheritable ? GOT
										     : REFUSED;
}

static enum result raise_ambient(const struct attempt *a UNUSED)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[CAP_WORDS];

	/* inheritable first, as it must be */
	syscall(SYS_capget, &head, d);
	d[0].inheritable |= d[0].permitted;
	syscall(SYS_capset, &head, d);
	return got_if(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0),
		      "PR_CAP_AMBIENT_RAISE");
}

static enum result set_securebits(const struct attempt *a UNUSED)
{
	return got_if(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS, 0, 0, 0), "PR_SET_SECUREBITS");
}

/* Runs a program that says by its status whether it has more rights than we. */
static enum result run_privileged(const struct attempt *a)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		/* as root a setuid program has nothing to give */
		if (getuid() == 0 &&
		    (setgroups(0, NULL) < 0 || setresgid(SANDBOX_ID, SANDBOX_ID, SANDBOX_ID) < 0 ||
		     setresuid(SANDBOX_ID, SANDBOX_ID, SANDBOX_ID) < 0))
			_exit(100);
		execl(a->with, a->with, "privileged", NULL);
		_exit(errno == EPERM ? 1 : 101); /* more than the bounding set has */
	}
	waitpid(pid, &status, 0);
	note("%s ended with 0x%x", (const char *)a->with, status);
	if (!WIFEXITED(status) || WEXITSTATUS(status) >= 100)
		return BROKEN;
	return WEXITSTATUS(status) == 0 ? GOT : REFUSED;
}

static enum result clear_no_new_privs(const struct attempt *a UNUSED)
{
	prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
	int now = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);

	note("no_new_privs is %d", now);
	return now ? REFUSED : GOT;
}

static enum result leave_seccomp(const struct attempt *a UNUSED)
{
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_DISABLED, 0, 0, 0);
	int now = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);

	note("seccomp is %d", now);
	return now ? REFUSED : GOT;
}

static enum result core_files(const struct attempt *a UNUSED)
{
	const struct rlimit more = {4096, 4096};

	return got_if(setrlimit(RLIMIT_CORE, &more), "setrlimit(RLIMIT_CORE)");
}

static enum result realtime(const struct attempt *a UNUSED)
{
	const struct sched_param first = {.sched_priority = 1};

	/* the bare call: musl has none */
	return got_if(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &first), "sched_setscheduler");
}

static enum result be_nice(const struct attempt *a UNUSED)
{
	return got_if(setpriority(PRIO_PROCESS, 0, -20), "setpriority(-20)");
}

/* A file without a path: no policy of programs can name it. */
static enum result nameless_program(const struct attempt *a UNUSED)
{
	return got_if(syscall(SYS_memfd_create, "attack", 0), "memfd_create");
}

static enum result run_descriptor(const struct attempt *a UNUSED)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		const char *args[] = {"attack", "exit", "7", NULL}, *none[] = {NULL};
		int fd = open(TOP "/ro/attack", O_RDONLY | O_CLOEXEC);

		syscall(SYS_execveat, fd, "", args, none, AT_EMPTY_PATH);
		_exit(errno);
	}
	waitpid(pid, &status, 0);
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
	return errno == 7 ? (note("it ran"), GOT) : no("execveat");
}

static const struct attempt rights[] = {
	{.name = "setuid", .what = "become root", .try = become_root},
	{.name = "setgid", .what = "become root's group", .try = become_root_group},
	{.name = "setgroups", .what = "join root's group", .try = join_groups},
	{.name = "groups",
	 .what = "have been left in a group of the supervisor",
	 .try = have_groups},
	{.name = "capset", .what = "raise a capability", .try = raise_caps},
	{.name = "caps", .what = "have been left a capability", .try = have_caps},
	{.name = "ambient", .what = "raise an ambient capability", .try = raise_ambient},
	{.name = "securebits", .what = "keep capabilities for later", .try = set_securebits},
	{.name = "setuid-file",
	 .what = "run a setuid-root program",
	 .try = run_privileged,
	 .with = TOP "/ro/suid"},
	{.name = "setgid-file",
	 .what = "run a setgid-root program",
	 .try = run_privileged,
	 .with = TOP "/ro/sgid"},
	{.name = "caps-file",
	 .what = "run a program with file capabilities",
	 .try = run_privileged,
	 .with = TOP "/ro/fcap"},
	{.name = "no-new-privs", .what = "take no_new_privs away", .try = clear_no_new_privs},
	{.name = "seccomp-off", .what = "take the filter of calls away", .try = leave_seccomp},
	{.name = "core-limit", .what = "have core files written again", .try = core_files},
	{.name = "realtime", .what = "starve others by realtime priority", .try = realtime},
	{.name = "nice", .what = "starve others by priority", .try = be_nice},
	{.name = "memfd", .what = "make a program without a path", .try = nameless_program},
	{.name = "execveat", .what = "run a descriptor", .try = run_descriptor},
};
GROUP(group_rights, "Rights", rights);
