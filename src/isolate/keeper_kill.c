/* The end of everything below a process. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/folder.h"
#include "base/str.h"
#include "base/util.h"
#include "isolate/keeper_impl.h"

enum {
	LIST_MAX = 1 << 20, /* bytes of one list of children: many thousands */
	REAP_MAX = 1024,    /* between two looks for those that are left */
};

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

/* A file below a folder, with a NUL behind it; NULL when it cannot be read. */
static char *read_text(int folder, const char *path)
{
	_cleanup_close_ int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	_cleanup_free_ char *text = xmalloc(LIST_MAX + 1);
	ssize_t n = file_read_all(fd, text, LIST_MAX);
	if (n < 0)
		return NULL;
	text[n] = '\0';
	return steal(&text);
}

/* What is under way. */
struct killing {
	int proc;
	uid_t as;
	pid_t spared;
	size_t n; /* whom it found */
};

static void kill_child(struct killing *k, pid_t pid)
{
	if (pid == k->spared)
		return;
	keeper_kill(k->as, pid, SIGKILL);
	k->n++;
}

/* The children of one thread, as the kernel lists them. False where it does not (CONFIG_PROC_CHILDREN). */
static bool kill_children_of(struct killing *k, const char *thread)
{
	_cleanup_free_ char *path = xasprintf("self/task/%s/children", thread);
	_cleanup_free_ char *text = read_text(k->proc, path);
	char *end;
	long pid;

	if (!text)
		return false;
	for (char *at = text; (pid = strtol(at, &end, 10)) > 0; at = end)
		kill_child(k, (pid_t)pid);
	return true;
}

/* Its line reads "PID (NAME) S PPID …", and NAME may hold anything. */
static bool is_child(int proc, const char *pid)
{
	_cleanup_free_ char *path = xasprintf("%s/stat", pid);
	_cleanup_free_ char *text = read_text(proc, path);
	const char *end = text ? strrchr(text, ')') : NULL;

	return end && strlen(end) > 4 && atoi(end + 4) == getpid();
}

/* The next number in a folder of /proc, or NULL. */
static const char *next_number(DIR *d)
{
	const char *name;

	do {
		name = d ? folder_next(d) : NULL;
	} while (name && !isdigit((unsigned char)name[0]));
	return name;
}

/* The first thread's are all that there are, mostly; and to look there takes one descriptor only. */
static bool kill_listed(struct killing *k)
{
	char first[16];
	const char *thread;

	snprintf(first, sizeof first, "%d", getpid());
	bool listed = kill_children_of(k, first);
	_cleanup_folder_ DIR *d = folder_open(k->proc, "self/task");
	while ((thread = next_number(d)) != NULL)
		if (!streq(thread, first))
			listed = kill_children_of(k, thread) || listed;
	return listed;
}

static void kill_found(struct killing *k)
{
	_cleanup_folder_ DIR *d = folder_open(k->proc, ".");
	const char *pid;

	while ((pid = next_number(d)) != NULL)
		if (is_child(k->proc, pid))
			kill_child(k, atoi(pid));
}

/* Whether /proc has our numbers, and not those of an outer PID namespace. */
static bool is_ours(int proc)
{
	char self[16] = "";

	return readlinkat(proc, "self", self, sizeof self - 1) > 0 && atoi(self) == getpid();
}

/* Takes what has ended, but does not wait for those to come to an end who fork faster than that. Whether
 * there may be a child left. */
static bool reap(void)
{
	pid_t pid = 1;

	for (int i = 0; i < REAP_MAX && pid > 0; i++)
		pid = waitpid(-1, NULL, WNOHANG);
	return pid >= 0 || errno != ECHILD;
}

/* False when there was nobody to be killed. */
static bool kill_children(struct killing *k)
{
	k->n = 0;
	if (!kill_listed(k))
		kill_found(k);
	return k->n > 0;
}

bool keeper_kill_all(int proc, uid_t as, pid_t spared, int ms)
{
	struct killing k = {.proc = proc, .as = as, .spared = spared};
	const struct timespec pause = {.tv_nsec = 1000000};
	int64_t end = mono_ms() + ms;

	while (reap()) {
		if (mono_ms() >= end)
			return false;
		/* what was below the last of them was ours before that was reaped */
		if (is_ours(proc) && !kill_children(&k) && spared > 0)
			return true;
		nanosleep(&pause, NULL);
	}
	return true;
}
