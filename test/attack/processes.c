/* Other processes - the supervisor's, and one of the workload's own uid outside: their memory, files, namespaces. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/nsfs.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <mqueue.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

enum {
	PIDFD_GET_NET = 0xff04, /* ioctl PIDFD_GET_NET_NAMESPACE of linux/pidfd.h, Linux 6.11 */
};

typedef enum result target_fn(pid_t pid, const void *with);

/* Of all of them: GOT when it worked with one, REFUSED when it was refused by one at least. */
static enum result each(target_fn *try, const void *with)
{
	const pid_t all[] = {cast.supervisor, cast.keeper,  cast.nursery, cast.victim,
			     cast.sshd,       cast.session, cast.sftp};
	enum result r = ABSENT;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		enum result one = all[i] > 0 ? try(all[i], with) : ABSENT;

		if (one == GOT)
			return GOT;
		if (one == REFUSED)
			r = REFUSED;
	}
	return r;
}

static const char *path_in(pid_t pid, const char *name)
{
	static char path[128];

	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	return path;
}

/* ---- files of /proc/PID ---- */

static enum result read_one(pid_t pid, const void *name)
{
	return read_a_byte(path_in(pid, name));
}

static enum result read_each(const struct attempt *a)
{
	return each(read_one, a->with);
}

/* Of those outside of the sandbox alone. */
static enum result read_outsiders(const struct attempt *a)
{
	const pid_t all[] = {cast.supervisor, cast.keeper, cast.victim, cast.sshd, cast.session};
	enum result r = ABSENT;

	for (size_t i = 0; i < ARRAY_LEN(all) && r != GOT; i++)
		if (all[i] > 0)
			r = read_one(all[i], a->with);
	return r;
}

/* Of the first process of the PID namespace, which may be the sandbox's own init. */
static enum result read_first(const struct attempt *a)
{
	return read_one(1, a->with);
}

static enum result write_one(pid_t pid, const void *name)
{
	_cleanup_close_ int fd = open(path_in(pid, name), O_WRONLY | O_CLOEXEC);

	return fd < 0 ? no(path_in(pid, name)) : got_if(write(fd, "1", 1), path_in(pid, name));
}

static enum result write_each(const struct attempt *a)
{
	return each(write_one, a->with);
}

static enum result follow_one(pid_t pid, const void *name)
{
	char text[256];
	ssize_t n = readlink(path_in(pid, name), text, sizeof text - 1);

	if (n < 0)
		return no(path_in(pid, name));
	note("%s leads to %.*s", path_in(pid, name), (int)n, text);
	return GOT;
}

static enum result follow_each(const struct attempt *a)
{
	return each(follow_one, a->with);
}

static enum result follow_first(const struct attempt *a)
{
	return follow_one(1, a->with);
}

/* What is in a folder, and, where its entries are links, one of them must lead somewhere. */
static enum result list_one(pid_t pid, const void *name)
{
	DIR *d = opendir(path_in(pid, name));
	char text[256];
	enum result r = REFUSED;

	if (!d)
		return no(path_in(pid, name));
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		if (e->d_name[0] == '.')
			continue;
		note("%s has %s", path_in(pid, name), e->d_name);
		if (e->d_type != DT_LNK || readlinkat(dirfd(d), e->d_name, text, sizeof text) > 0) {
			r = GOT;
			break;
		}
	}
	closedir(d);
	return r;
}

static enum result list_each(const struct attempt *a)
{
	return each(list_one, a->with);
}

/* A descriptor of somebody else, opened again. */
static enum result reopen_one(pid_t pid, const void *with UNUSED)
{
	enum result r = ABSENT;

	for (int fd = 0; fd < 32; fd++) {
		char name[16];

		snprintf(name, sizeof name, "fd/%d", fd);
		_cleanup_close_ int ours =
			open(path_in(pid, name), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (ours >= 0) {
			note("opened %s", path_in(pid, name));
			return GOT;
		}
		if (no(path_in(pid, name)) == REFUSED && errno != ENOENT)
			r = REFUSED;
	}
	return r;
}

static enum result reopen_each(const struct attempt *a)
{
	return each(reopen_one, a->with);
}

/* The first page that is mapped, by way of maps when that can be read. */
static enum result memory_one(pid_t pid, const void *with UNUSED)
{
	char text[64], byte;
	unsigned long from = 0x400000;

	if (slurp(path_in(pid, "maps"), text, sizeof text) > 0)
		from = strtoul(text, NULL, 16);
	_cleanup_close_ int fd = open(path_in(pid, "mem"), O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return no(path_in(pid, "mem"));
	return got_if(pread(fd, &byte, 1, (off_t)from), path_in(pid, "mem"));
}

static enum result memory_each(const struct attempt *a)
{
	return each(memory_one, a->with);
}

static enum result secret_by_root(pid_t pid, const void *with UNUSED)
{
	return read_a_byte(path_in(pid, "root" TOP "/outside/secret"));
}

/* The numbers alone. */
static enum result count_victims(const struct attempt *a UNUSED)
{
	_cleanup_close_ int folder =
		open(path_in(cast.victim, "fd"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char entries[1024];

	return folder < 0 ? no("open its fd folder")
			  : got_if(syscall(SYS_getdents64, folder, entries, sizeof entries),
				   "getdents");
}

static enum result root_each(const struct attempt *a)
{
	return each(secret_by_root, a->with);
}

static enum result root_of_first(const struct attempt *a UNUSED)
{
	return secret_by_root(1, NULL);
}

/* ---- the PID namespace ---- */

static enum result join_pids_one(pid_t pid, const void *with UNUSED)
{
	_cleanup_close_ int fd = open(path_in(pid, "ns/pid"), O_RDONLY | O_CLOEXEC);

	return fd < 0 ? no("open its ns/pid") : got_if(setns(fd, CLONE_NEWPID), "setns");
}

static enum result join_pids_each(const struct attempt *a)
{
	return each(join_pids_one, a->with);
}

static enum result parent_of_pids(const struct attempt *a UNUSED)
{
	_cleanup_close_ int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int fd = own < 0 ? -1 : ioctl(own, NS_GET_PARENT);

	return got_if(fd, "NS_GET_PARENT");
}

/* The old /proc lies below the sandbox's own, where it has one. */
static enum result uncover(const struct attempt *a UNUSED)
{
	return got_if(umount2("/proc", MNT_DETACH), "umount2(/proc)");
}

/* ---- calls ---- */

static enum result attach_one(pid_t pid, const void *request)
{
	long r = ptrace(*(const int *)request, pid, NULL, NULL);

	/* who was stopped by it goes on */
	if (r == 0 && *(const int *)request == PTRACE_ATTACH && waitpid(pid, NULL, __WALL) == pid)
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return got_if(r, "ptrace");
}

static enum result attach_each(const struct attempt *a)
{
	return each(attach_one, a->with);
}

static enum result copy_one(pid_t pid, const void *call)
{
	char text[64], byte = 0;
	unsigned long from = 0x400000;
	struct iovec ours = {&byte, 1};

	if (slurp(path_in(pid, "maps"), text, sizeof text) > 0)
		from = strtoul(text, NULL, 16);
	struct iovec theirs = {(void *)from, 1};
	long r = syscall(*(const long *)call, pid, &ours, 1, &theirs, 1, 0);
	if (r < 0 && errno == EFAULT) { /* the right was there, the page was not writable */
		note("process_vm: their address was looked at");
		return GOT;
	}
	return got_if(r, "process_vm");
}

static enum result copy_each(const struct attempt *a)
{
	return each(copy_one, a->with);
}

static enum result take_fd_one(pid_t pid, const void *with UNUSED)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0)
		return no("pidfd_open");
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_getfd, pidfd, 0, 0);
	return got_if(fd, "pidfd_getfd");
}

static enum result take_fd_each(const struct attempt *a)
{
	return each(take_fd_one, a->with);
}

static enum result pidfd_namespace_one(pid_t pid, const void *with UNUSED)
{
	/* a folder of /proc is a pidfd for some calls, and needs no pidfd_open */
	_cleanup_close_ int folder = open(path_in(pid, ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	_cleanup_close_ int ns = syscall(SYS_ioctl, pidfd < 0 ? folder : pidfd, PIDFD_GET_NET, 0);

	if (ns < 0 && pidfd >= 0 && errno == ENOTTY)
		return no("PIDFD_GET_NET_NAMESPACE"), ABSENT;
	return got_if(ns, "PIDFD_GET_NET_NAMESPACE");
}

static enum result pidfd_namespace_each(const struct attempt *a)
{
	return each(pidfd_namespace_one, a->with);
}

static enum result compare_one(pid_t pid, const void *with UNUSED)
{
	return got_if(syscall(SYS_kcmp, getpid(), pid, KCMP_VM, 0, 0), "kcmp");
}

static enum result compare_each(const struct attempt *a)
{
	return each(compare_one, a->with);
}

static enum result profile_one(pid_t pid, const void *with UNUSED)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_CPU_CLOCK};
	_cleanup_close_ int fd = (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, 0);

	return got_if(fd, "perf_event_open");
}

static enum result profile_each(const struct attempt *a)
{
	return each(profile_one, a->with);
}

/* A limit of somebody else, set to what it is: who may do that can end him by RLIMIT_CPU. */
static enum result limit_one(pid_t pid, const void *with UNUSED)
{
	struct rlimit now;

	if (syscall(SYS_prlimit64, pid, RLIMIT_CPU, NULL, &now) < 0)
		return no("prlimit");
	return got_if(syscall(SYS_prlimit64, pid, RLIMIT_CPU, &now, NULL), "prlimit");
}

static enum result limit_each(const struct attempt *a)
{
	return each(limit_one, a->with);
}

/* ---- what was left lying about ---- */

static enum result shared_memory(const struct attempt *a UNUSED)
{
	int id = shmget(SHM_KEY, 0, 0);
	const char *p = id < 0 ? (void *)-1 : shmat(id, NULL, SHM_RDONLY);

	if (p == (void *)-1)
		return no("shmget");
	note("the victim's memory: %s", p);
	return strcmp(p, SECRET) == 0 ? GOT : REFUSED;
}

static enum result message_queue(const struct attempt *a UNUSED)
{
	char text[8192 + 1];
	mqd_t q = mq_open("/attack", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (q < 0)
		return no("mq_open");
	ssize_t n = mq_receive(q, text, sizeof text, NULL);
	return got_if(n, "mq_receive");
}

static enum result inherited(const struct attempt *a UNUSED)
{
	if (cast.inherited < 0) {
		note("only the first three are open");
		return REFUSED;
	}
	note("descriptor %d is open", cast.inherited);
	return GOT;
}

extern char **environ;

static enum result own_environment(const struct attempt *a UNUSED)
{
	for (char **e = environ; *e; e++)
		if (strstr(*e, SECRET) || strstr(*e, GATEWAY_TOKEN)) {
			note("%.40s", *e);
			return GOT;
		}
	note("no secret in the environment");
	return REFUSED;
}

#define INT(n)                                                                                     \
	&(const int)                                                                               \
	{                                                                                          \
		n                                                                                  \
	}
#define LONG(n)                                                                                    \
	&(const long)                                                                              \
	{                                                                                          \
		n                                                                                  \
	}
#define FAR                                                                                        \
	"of the supervisor, the keeper, the nursery, the sshd, a session, its SFTP server and a "  \
	"process outside"

static const struct attempt processes[] = {
	{.name = "proc-environ",
	 .what = "read the environment " FAR,
	 .try = read_each,
	 .with = "environ",
	 .against = LANDLOCK | PIDS},
	{.name = "proc-auxv",
	 .what = "read where the programs are loaded (auxv) " FAR,
	 .try = read_each,
	 .with = "auxv",
	 .against = LANDLOCK | PIDS},
	{.name = "proc-maps",
	 .what = "read the memory maps " FAR,
	 .try = read_each,
	 .with = "maps",
	 .against = LANDLOCK | PIDS},
	{.name = "proc-pagemap",
	 .what = "read the page tables " FAR,
	 .try = read_each,
	 .with = "pagemap",
	 .against = LANDLOCK | PIDS},
	{.name = "proc-stack",
	 .what = "read the kernel stack " FAR,
	 .try = read_each,
	 .with = "stack"},
	{.name = "proc-syscall",
	 .what = "read the call under way " FAR,
	 .try = read_each,
	 .with = "syscall",
	 .against = LANDLOCK | PIDS},
	{.name = "proc-mem",
	 .what = "read the memory " FAR " by /proc/PID/mem",
	 .try = memory_each,
	 .against = LANDLOCK | VIEW | PIDS},
	{.name = "proc-exe",
	 .what = "follow /proc/PID/exe " FAR,
	 .try = follow_each,
	 .with = "exe",
	 .against = LANDLOCK | PIDS},
	{.name = "proc-cwd",
	 .what = "follow /proc/PID/cwd " FAR,
	 .try = follow_each,
	 .with = "cwd",
	 .against = LANDLOCK | PIDS},
	{.name = "proc-ns-net",
	 .what = "follow /proc/PID/ns/net " FAR,
	 .try = follow_each,
	 .with = "ns/net",
	 .against = LANDLOCK | PIDS},
	{.name = "proc-root",
	 .what = "read a file by /proc/PID/root " FAR,
	 .try = root_each,
	 .against = LANDLOCK | PIDS},
	{.name = "proc-fd",
	 .what = "see what the descriptors are " FAR,
	 .try = list_each,
	 .with = "fd",
	 .against = LANDLOCK | PIDS},
	{.name = "proc-fd-numbers",
	 .what = "count the descriptors of a process outside that has the workload's uid",
	 .try = count_victims,
	 .against = PIDS},
	{.name = "proc-fdinfo",
	 .what = "list what is known of the descriptors " FAR,
	 .try = list_each,
	 .with = "fdinfo",
	 .against = LANDLOCK | PIDS},
	{.name = "proc-map-files",
	 .what = "list the mapped files " FAR,
	 .try = list_each,
	 .with = "map_files",
	 .against = LANDLOCK | PIDS},
	{.name = "proc-fd-reopen",
	 .what = "open descriptors again " FAR,
	 .try = reopen_each,
	 .against = LANDLOCK | PIDS},
	{.name = "proc-clear-refs",
	 .what = "write to /proc/PID/clear_refs " FAR,
	 .try = write_each,
	 .with = "clear_refs",
	 .against = LANDLOCK | VIEW | PIDS},
	{.name = "proc-oom",
	 .what = "choose who dies first, by oom_score_adj " FAR,
	 .try = write_each,
	 .with = "oom_score_adj",
	 .against = LANDLOCK | VIEW | PIDS},
	{.name = "proc-net",
	 .what = "read the host's connections by /proc/PID/net of the supervisor",
	 .try = read_outsiders,
	 .with = "net/dev",
	 .against = PIDS},
	{.name = "proc-comm",
	 .what = "see that the supervisor, the keeper, the sshd or a process outside is there",
	 .try = read_outsiders,
	 .with = "comm",
	 .against = PIDS},
	{.name = "proc-cmdline",
	 .what = "read what they were started with",
	 .try = read_outsiders,
	 .with = "cmdline",
	 .against = PIDS},
	{.name = "proc-uncover",
	 .what = "take the own /proc away from over that of the host",
	 .try = uncover},
	{.name = "init-environ",
	 .what = "read the environment of the first process",
	 .try = read_first,
	 .with = "environ"},
	{.name = "init-ns", .what = "follow /proc/1/ns/pid", .try = follow_first, .with = "ns/pid"},
	{.name = "init-root", .what = "read a file by /proc/1/root", .try = root_of_first},
	{.name = "setns-pid",
	 .what = "enter the PID namespace of any of them",
	 .try = join_pids_each},
	{.name = "pid-parent",
	 .what = "take the PID namespace around the own one (NS_GET_PARENT)",
	 .try = parent_of_pids,
	 .uncontrolled = "the kernel shows it to nobody who is inside"},
	{.name = "ptrace-attach",
	 .what = "trace (PTRACE_ATTACH) any of them",
	 .try = attach_each,
	 .with = INT(PTRACE_ATTACH)},
	{.name = "ptrace-seize",
	 .what = "trace (PTRACE_SEIZE) any of them",
	 .try = attach_each,
	 .with = INT(PTRACE_SEIZE)},
	{.name = "vm-readv",
	 .what = "process_vm_readv from any of them",
	 .try = copy_each,
	 .with = LONG(SYS_process_vm_readv)},
	{.name = "vm-writev",
	 .what = "process_vm_writev to any of them",
	 .try = copy_each,
	 .with = LONG(SYS_process_vm_writev)},
	{.name = "pidfd-getfd", .what = "take a descriptor of any of them", .try = take_fd_each},
	{.name = "pidfd-ns",
	 .what = "take the network namespace of any of them by a pidfd",
	 .try = pidfd_namespace_each},
	{.name = "kcmp",
	 .what = "compare the own kernel objects with theirs",
	 .try = compare_each,
	 .against = LANDLOCK | PIDS},
	{.name = "perf", .what = "profile any of them", .try = profile_each},
	{.name = "prlimit", .what = "set a limit of any of them", .try = limit_each},
	{.name = "shm-sysv",
	 .what = "attach System V shared memory of a process outside",
	 .try = shared_memory,
	 .works = ON_HOST},
	{.name = "mq-posix",
	 .what = "read a POSIX message queue of a process outside",
	 .try = message_queue},
	{.name = "fd-inherited",
	 .what = "find a descriptor beyond the first three",
	 .try = inherited},
	{.name = "environment",
	 .what = "find the supervisor's token in the own environment",
	 .try = own_environment},
};
GROUP(group_processes, "Other processes", processes);
