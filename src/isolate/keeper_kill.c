/* The end of everything below a process. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "isolate/keeper_impl.h"

/* The bare call, which changes this thread alone. */
static int set_effective_uid(uid_t uid)
{
	return (int)syscall(SYS_setresuid, -1, uid, -1);
}

int keeper_kill(uid_t as, pid_t pid, int signo)
{
	uid_t self = geteuid();

	if (kill(pid, signo) == 0)
		return 0;
	if (errno != EPERM || as == (uid_t)KEEPER_NOBODY || set_effective_uid(as) < 0)
		return -1;
	int r = kill(pid, signo);
	int error = errno;
	/* capabilities come back with it, from the permitted set */
	must(set_effective_uid(self) == 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	errno = error;
	return r;
}

/* The children of one thread, as the kernel lists them. False where it does not (CONFIG_PROC_CHILDREN). */
static bool kill_children_of(const char *thread, uid_t as)
{
	char path[64];
	int pid;

	snprintf(path, sizeof path, "/proc/self/task/%.20s/children", thread);
	_cleanup_file_ FILE *f = fopen(path, "re");
	while (f && fscanf(f, "%d", &pid) == 1)
		keeper_kill(as, pid, SIGKILL);
	return f != NULL;
}

/* One number of /proc: our child? Its line reads "PID (NAME) S PPID …", and NAME may hold anything. */
static bool is_child(const char *pid)
{
	char path[64], line[512];

	snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
	_cleanup_file_ FILE *f = fopen(path, "re");
	const char *end = f && fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
	return end && strlen(end) > 4 && atoi(end + 4) == getpid();
}

static void each_number(const char *folder, void (*fn)(const char *name, uid_t as, void *arg),
			uid_t as, void *arg)
{
	DIR *d = opendir(folder);
	struct dirent *entry;

	while (d && (entry = readdir(d)) != NULL)
		if (isdigit((unsigned char)entry->d_name[0]))
			fn(entry->d_name, as, arg);
	if (d)
		closedir(d);
}

static void kill_by_thread(const char *thread, uid_t as, void *listed)
{
	if (kill_children_of(thread, as))
		*(bool *)listed = true;
}

static void kill_by_parent(const char *pid, uid_t as, void *arg UNUSED)
{
	if (is_child(pid))
		keeper_kill(as, atoi(pid), SIGKILL);
}

/* Takes what has ended. Whether there is a child left. */
static bool reap(void)
{
	pid_t pid;

	do {
		pid = waitpid(-1, NULL, WNOHANG);
	} while (pid > 0 || (pid < 0 && errno == EINTR));
	return pid == 0;
}

bool keeper_kill_all(uid_t as, int ms)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	int64_t end = mono_ms() + ms;

	while (reap()) {
		bool listed = false;

		if (mono_ms() >= end)
			return false;
		each_number("/proc/self/task", kill_by_thread, as, &listed);
		if (!listed)
			each_number("/proc", kill_by_parent, as, NULL);
		nanosleep(&pause, NULL);
	}
	return true;
}
