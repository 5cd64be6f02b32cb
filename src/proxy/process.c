#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/folder.h"
#include "base/util.h"
#include "proxy/process.h"

enum {
	LOOKS = 4, /* at a process that goes from program to program, before it is left alone */
};

#define DELETED " (deleted)"

int process_err(struct err *e, pid_t pid, const char *what)
{
	if (errno != EACCES && errno != EPERM)
		return err_sys(e, "process %d: %s", (int)pid, what);
	return err_set(e, errno, "process %d: %s: %s (this needs CAP_SYS_PTRACE)", (int)pid, what,
		       strerror(errno));
}

ssize_t process_read(int dir, const char *name, char *text, size_t size)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -1 : file_read_all(fd, text, size);
}

/* With one read: it is given out whole. */
int process_read_stat(int dir, struct proc_stat *out)
{
	_cleanup_close_ int fd = openat(dir, "stat", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[PROC_STAT_MAX];
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;

	if (n >= 0 && proc_parse_stat(str_sub(text, (size_t)n), out))
		return 0;
	if (n >= 0 || errno == ENOENT)
		errno = ESRCH;
	return -1;
}

bool process_is_dead(const struct proc_stat *s)
{
	return (s->state == 'Z' || s->state == 'X') && s->threads <= 1;
}

/* ---- opening ---- */

/* The folder of a thread that lives on behind a first thread that has ended; -1 when there is none. */
static int open_living_thread(int dir)
{
	_cleanup_folder_ DIR *threads = folder_open(dir, "task");
	const char *name;

	while (threads != NULL && (name = folder_next(threads)) != NULL) {
		struct proc_stat s;
		pid_t tid;
		if (!proc_parse_pid(str_of(name), &tid))
			continue;
		_cleanup_close_ int found =
			openat(dirfd(threads), name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (found >= 0 && process_read_stat(found, &s) == 0 && s.state != 'Z')
			return steal_fd(&found);
	}
	return -1;
}

struct process *process_adopt(int dir, const struct proc_stat *s, struct err *e)
{
	struct process *p = xcalloc(1, sizeof *p);

	list_init(&p->link);
	p->pid = s->pid;
	p->stat = *s;
	p->dir = p->view = dir;
	if (s->state == 'Z')
		p->view = open_living_thread(dir);
	if (p->view < 0) {
		process_free(p);
		err_set(e, ESRCH, "process %d: it has ended", (int)s->pid);
		return NULL;
	}
	return p;
}

struct process *process_open(pid_t pid, struct err *e)
{
	char path[32];
	struct proc_stat s;

	snprintf(path, sizeof path, "/proc/%d", (int)pid);
	_cleanup_close_ int dir = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT)
		errno = ESRCH;
	if (dir < 0 || process_read_stat(dir, &s) < 0) {
		process_err(e, pid, "stat");
		return NULL;
	}
	return process_adopt(steal_fd(&dir), &s, e);
}

void process_free(struct process *p)
{
	if (p == NULL)
		return;
	if (p->view >= 0 && p->view != p->dir)
		close(p->view);
	close(p->dir);
	free(p->exe);
	for (size_t i = 0; i < p->paths_n; i++)
		free(p->paths[i]);
	free(p);
}

/* ---- looking ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Its paths mean what ours mean only where it sees the same mounts. */
static int check_mounts(const struct process *p, uint64_t mounts, struct err *e)
{
	static uint64_t ours; /* we never go into another one */
	struct stat st;

	if (mounts == 0 && ours == 0) {
		if (stat("/proc/self/ns/mnt", &st) < 0)
			return err_sys(e, "our mount namespace");
		ours = st.st_ino;
	}
	if (fstatat(p->view, "ns/mnt", &st, 0) < 0)
		return process_err(e, p->pid, "ns/mnt");
	if (st.st_ino != (mounts ? mounts : ours))
		return err_set(e, EXDEV,
			       "process %d: it is in another mount namespace, where its paths "
			       "have no meaning",
			       (int)p->pid);
	return 0;
}

/*
 * The image's path. " (deleted)" stands behind it when its name is gone, but a file may also be called
 * so: it is cut off only from what had no name left (st_nlink) before the path was read. A file that
 * still has another name keeps it, and matches no policy: to be safe, since names come and go.
 */
static int look_at_image(struct process *p, struct err *e)
{
	struct stat again;
	char path[PATH_MAX];

	if (fstatat(p->view, "exe", &p->image, 0) < 0)
		goto fail;
	ssize_t n = readlinkat(p->view, "exe", path, sizeof path);
	if (n < 0 || fstatat(p->view, "exe", &again, 0) < 0)
		goto fail;
	if (!same_file(&p->image, &again))
		return err_set(e, EAGAIN, "process %d: it became another program", (int)p->pid);
	struct str exe = {.p = path, .n = (size_t)n};
	if (exe.n == sizeof path)
		return err_set(e, ENAMETOOLONG, "process %d: the path of its image is too long",
			       (int)p->pid);
	if (p->image.st_nlink == 0 && str_ends(exe, DELETED))
		exe.n -= sizeof DELETED - 1;
	free(p->exe);
	p->exe = str_dup(exe);
	return 0;
fail:
	if (errno == ENOENT) /* it is about to end: it has no image any more */
		errno = ESRCH;
	return process_err(e, p->pid, "exe");
}

/* The kernel gives the folder of a process, unlike what is in it, the effective uid whether the process is
 * dumpable or not. It costs a tenth of reading status. */
int process_uid(const struct process *p, uid_t *out, struct err *e)
{
	struct stat st;

	if (fstat(p->view, &st) < 0)
		return process_err(e, p->pid, "stat");
	*out = st.st_uid;
	return 0;
}

/* Its own word; that there is none is no error. */
static void look_at_arguments(struct process *p)
{
	char text[PROCESS_CMDLINE_MAX];
	ssize_t n = process_read(p->view, "cmdline", text, sizeof text);
	struct str rest = str_sub(text, n > 0 ? (size_t)n : 0), path;

	while (p->paths_n < PROCESS_PATHS_MAX && proc_next_path(&rest, &path))
		p->paths[p->paths_n++] = str_dup(path);
}

int process_look(struct process *p, uint64_t mounts, struct err *e)
{
	int tries = 0, r;

	if (p->looked)
		return 0;
	do
		r = look_at_image(p, e);
	while (r < 0 && e->code == EAGAIN && ++tries < LOOKS);
	if (r < 0 || check_mounts(p, mounts, e) < 0)
		return -1;
	look_at_arguments(p);
	p->looked = true;
	return 0;
}

bool process_is_child_of(struct process *p, const struct process *parent)
{
	struct proc_stat s, theirs;

	return process_read_stat(parent->dir, &theirs) == 0 && process_read_stat(p->dir, &s) == 0 &&
	       s.ppid == parent->pid;
}

int process_open_image(const struct process *p, struct err *e)
{
	int fd = openat(p->view, "exe", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return fd >= 0 ? fd : err_sys(e, "read %s, the image of process %d", p->exe, (int)p->pid);
}
