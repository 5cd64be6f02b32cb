/*
 * Files that the policy does not give, or gives for reading only. Everything has mode 0666 or 0777 and
 * belongs to the workload's own uid: nothing but Landlock and the view is in the way.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "attack.h"

#define SECRET_FILE TOP "/outside/secret"
#define READ_ONLY_FILE TOP "/ro/file"

enum { HANDLE_ROOM = 128 };

/* ---- reading ---- */

static enum result read_it(const struct attempt *a)
{
	return read_a_byte(a->with);
}

static enum result list_it(const struct attempt *a UNUSED)
{
	char entries[1024];
	_cleanup_close_ int fd = open(TOP "/outside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? no("open the folder")
		      : got_if(syscall(SYS_getdents64, fd, entries, sizeof entries), "getdents");
}

static enum result by_symlink(const struct attempt *a UNUSED)
{
	unlink(TOP "/rw/link");
	if (symlink(SECRET_FILE, TOP "/rw/link") < 0)
		return no("symlink");
	return read_a_byte(TOP "/rw/link");
}

static enum result by_dots(const struct attempt *a UNUSED)
{
	if (chdir(TOP "/rw") < 0)
		return no("chdir");
	return read_a_byte("../outside/secret");
}

/* An O_PATH descriptor needs no right; opening it again must. */
static enum result by_path_fd(const struct attempt *a UNUSED)
{
	char path[40];
	_cleanup_close_ int fd = open(SECRET_FILE, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return no("open(O_PATH)");
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return read_a_byte(path);
}

static enum result by_folder_fd(const struct attempt *a UNUSED)
{
	_cleanup_close_ int folder = open(TOP "/outside", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0)
		return no("open(O_PATH)");
	_cleanup_close_ int fd = openat(folder, "secret", O_RDONLY | O_CLOEXEC);
	return got_if(fd, "openat");
}

static enum result by_handle(const struct attempt *a UNUSED)
{
	struct {
		struct file_handle h;
		char room[HANDLE_ROOM];
	} handle = {.h = {.handle_bytes = HANDLE_ROOM}};
	int mount;

	if (name_to_handle_at(AT_FDCWD, SECRET_FILE, &handle.h, &mount, 0) < 0)
		return no("name_to_handle_at");
	_cleanup_close_ int folder = open(TOP "/rw", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = open_by_handle_at(folder, &handle.h, O_RDONLY | O_CLOEXEC);
	return got_if(fd, "open_by_handle_at");
}

/* A process outside that gives a descriptor to whoever comes. */
static enum result by_passed_fd(const struct attempt *a)
{
	const bool abstract = a->with != NULL;
	struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = TOP "/outside/socket"};
	socklen_t n = sizeof to;
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char text[64];
	struct iovec io = {.iov_base = text, .iov_len = sizeof text};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof control.bytes};
	_cleanup_close_ int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (abstract) {
		memcpy(to.sun_path, "\0attack-victim", sizeof "\0attack-victim");
		n = offsetof(struct sockaddr_un, sun_path) + sizeof "\0attack-victim" - 1;
	}
	if (s < 0 || connect(s, (struct sockaddr *)&to, n) < 0)
		return no("connect");
	if (recvmsg(s, &m, MSG_CMSG_CLOEXEC) <= 0 || !CMSG_FIRSTHDR(&m))
		return no("recvmsg");
	int fd;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	return got_if(pread(fd, text, 1, 0), "reading a descriptor that was passed");
}

/* ---- running ---- */

static enum result run_it(const struct attempt *a UNUSED)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		execl(TOP "/outside/attack", "attack", "exit", "7", NULL);
		_exit(errno);
	}
	waitpid(pid, &status, 0);
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
	if (errno != 7)
		return no("execve");
	note("a program outside of the policy's paths ran");
	return GOT;
}

/* ---- changing ---- */

static enum result write_it(const struct attempt *a)
{
	return write_a_byte(a->with);
}

static enum result truncate_it(const struct attempt *a)
{
	return got_if(truncate(a->with, 1), "truncate");
}

static enum result open_truncating(const struct attempt *a UNUSED)
{
	_cleanup_close_ int fd = open(READ_ONLY_FILE, O_RDONLY | O_TRUNC | O_CLOEXEC);

	return got_if(fd, "open(O_RDONLY|O_TRUNC)");
}

static enum result make_it(const struct attempt *a)
{
	const char *path = a->with;
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	enum result r = got_if(fd, path);

	if (r == GOT)
		unlink(path);
	return r;
}

static enum result make_temporary(const struct attempt *a UNUSED)
{
	_cleanup_close_ int fd = open(TOP "/ro", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);

	return got_if(fd, "open(O_TMPFILE)");
}

static enum result make_folder(const struct attempt *a UNUSED)
{
	enum result r = got_if(mkdir(TOP "/ro/folder", 0777), "mkdir");

	rmdir(TOP "/ro/folder");
	return r;
}

static enum result make_link(const struct attempt *a UNUSED)
{
	enum result r = got_if(symlink("/", TOP "/ro/link"), "symlink");

	unlink(TOP "/ro/link");
	return r;
}

static enum result make_fifo(const struct attempt *a UNUSED)
{
	enum result r = got_if(mkfifo(TOP "/ro/fifo", 0666), "mkfifo");

	unlink(TOP "/ro/fifo");
	return r;
}

static enum result make_socket(const struct attempt *a UNUSED)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = TOP "/ro/socket"};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	enum result r = got_if(bind(fd, (struct sockaddr *)&at, sizeof at), "bind");

	unlink(at.sun_path);
	return r;
}

static enum result remove_it(const struct attempt *a)
{
	return got_if(unlink(a->with), "unlink");
}

static enum result remove_folder(const struct attempt *a UNUSED)
{
	return got_if(rmdir(TOP "/ro/empty"), "rmdir");
}

struct move {
	const char *from, *to;
	unsigned flags;
};

static enum result move_it(const struct attempt *a)
{
	const struct move *m = a->with;
	enum result r = got_if(syscall(SYS_renameat2, AT_FDCWD, m->from, AT_FDCWD, m->to, m->flags),
			       "rename");

	/* back, so that the others find what they need */
	if (r == GOT)
		syscall(SYS_renameat2, AT_FDCWD, m->to, AT_FDCWD, m->from, m->flags);
	return r;
}

/* A second name, where the policy gives more. */
static enum result link_it(const struct attempt *a)
{
	unlink(TOP "/rw/second");
	if (link(a->with, TOP "/rw/second") < 0)
		return no("link");
	enum result r = write_a_byte(TOP "/rw/second");
	unlink(TOP "/rw/second");
	return r;
}

static enum result link_fd(const struct attempt *a UNUSED)
{
	char path[40];
	_cleanup_close_ int fd = open(READ_ONLY_FILE, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return no("open");
	unlink(TOP "/rw/second");
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, path, AT_FDCWD, TOP "/rw/second", AT_SYMLINK_FOLLOW) < 0)
		return no("linkat");
	enum result r = write_a_byte(TOP "/rw/second");
	unlink(TOP "/rw/second");
	return r;
}

/* A descriptor for reading, opened again for writing. */
static enum result reopen_for_writing(const struct attempt *a UNUSED)
{
	char path[40];
	_cleanup_close_ int fd = open(READ_ONLY_FILE, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return no("open");
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return write_a_byte(path);
}

static enum result map_for_writing(const struct attempt *a UNUSED)
{
	_cleanup_close_ int fd = open(READ_ONLY_FILE, O_RDONLY | O_CLOEXEC);
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return no("mmap");
	return got_if(mprotect(p, 1, PROT_READ | PROT_WRITE),
		      "mprotect(PROT_WRITE) of a file that is read-only");
}

static enum result allocate(const struct attempt *a UNUSED)
{
	_cleanup_close_ int fd = open(READ_ONLY_FILE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? no("open(O_RDWR)") : got_if(fallocate(fd, 0, 0, 1), "fallocate");
}

static enum result set_flags(const struct attempt *a UNUSED)
{
	int flags = 0;
	_cleanup_close_ int fd = open(SECRET_FILE, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? no("open") : got_if(ioctl(fd, FS_IOC_GETFLAGS, &flags), "FS_IOC_GETFLAGS");
}

/* ---- what Landlock does not restrict ---- */

static enum result look_at(const struct attempt *a UNUSED)
{
	struct stat st;

	return got_if(stat(SECRET_FILE, &st), "stat");
}

static enum result change_mode(const struct attempt *a)
{
	return got_if(chmod(a->with, 0666), "chmod");
}

static enum result set_attribute(const struct attempt *a UNUSED)
{
	return got_if(utimensat(AT_FDCWD, SECRET_FILE, NULL, 0), "utimensat");
}

#define MOVE(...)                                                                                  \
	&(const struct move)                                                                       \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

static const struct attempt files[] = {
	{.name = "read",
	 .what = "read a file that the policy does not give",
	 .try = read_it,
	 .with = SECRET_FILE,
	 .against = LANDLOCK | VIEW},
	{.name = "list",
	 .what = "list a folder that it does not give",
	 .try = list_it,
	 .against = LANDLOCK | VIEW},
	{.name = "read-symlink",
	 .what = "read it by a symbolic link in a folder that is given",
	 .try = by_symlink,
	 .against = LANDLOCK | VIEW},
	{.name = "read-dots", .what = "read it by ../", .try = by_dots, .against = LANDLOCK | VIEW},
	{.name = "read-self-root",
	 .what = "read it by /proc/self/root",
	 .try = read_it,
	 .with = "/proc/self/root" SECRET_FILE,
	 .against = LANDLOCK | VIEW},
	{.name = "read-path-fd",
	 .what = "open it with O_PATH, and then by /proc/self/fd",
	 .try = by_path_fd,
	 .against = LANDLOCK | VIEW},
	{.name = "read-folder-fd",
	 .what = "open its folder with O_PATH, and then beneath",
	 .try = by_folder_fd,
	 .against = LANDLOCK | VIEW},
	{.name = "read-handle", .what = "open it by a file handle", .try = by_handle},
	{.name = "passed-abstract",
	 .what = "be given it by a process outside, over an abstract socket",
	 .try = by_passed_fd,
	 .with = "abstract"},
	{.name = "passed-path",
	 .what = "be given it by one outside, over a socket of the file system",
	 .try = by_passed_fd,
	 .against = LANDLOCK_9 | VIEW},
	{.name = "shadow", .what = "read the passwords", .try = read_it, .with = "/etc/shadow"},
	{.name = "token",
	 .what = "read the supervisor's token",
	 .try = read_it,
	 .with = TOP "/outside/token"},
	{.name = "execute",
	 .what = "run a program of a folder that is not given",
	 .try = run_it,
	 .against = LANDLOCK | VIEW},
	{.name = "write",
	 .what = "write to a file that is given for reading",
	 .try = write_it,
	 .with = READ_ONLY_FILE,
	 .against = LANDLOCK | VIEW},
	{.name = "write-outside",
	 .what = "write to a file that is not given",
	 .try = write_it,
	 .with = TOP "/outside/file",
	 .against = LANDLOCK | VIEW},
	{.name = "write-reopen",
	 .what = "open it for reading, and again for writing by /proc/self/fd",
	 .try = reopen_for_writing,
	 .against = LANDLOCK | VIEW},
	{.name = "write-map",
	 .what = "map it for reading, and make the map writable",
	 .try = map_for_writing,
	 .uncontrolled = "the kernel never allows it"},
	{.name = "truncate",
	 .what = "shorten it by its name",
	 .try = truncate_it,
	 .with = READ_ONLY_FILE,
	 .against = LANDLOCK | VIEW},
	{.name = "truncate-outside",
	 .what = "shorten a file that is not given",
	 .try = truncate_it,
	 .with = TOP "/outside/file",
	 .against = LANDLOCK | VIEW},
	{.name = "truncate-open",
	 .what = "shorten it by opening it",
	 .try = open_truncating,
	 .against = LANDLOCK | VIEW},
	{.name = "fallocate",
	 .what = "make room in it",
	 .try = allocate,
	 .against = LANDLOCK | VIEW},
	{.name = "create",
	 .what = "make a file in a folder that is given for reading",
	 .try = make_it,
	 .with = TOP "/ro/new",
	 .against = LANDLOCK | VIEW},
	{.name = "create-outside",
	 .what = "make a file in a folder that is not given",
	 .try = make_it,
	 .with = TOP "/outside/new",
	 .against = LANDLOCK | VIEW},
	{.name = "create-etc",
	 .what = "make a file in /etc",
	 .try = make_it,
	 .with = "/etc/attack"},
	{.name = "create-temporary",
	 .what = "make a file without a name there",
	 .try = make_temporary,
	 .against = LANDLOCK | VIEW},
	{.name = "mkdir",
	 .what = "make a folder there",
	 .try = make_folder,
	 .against = LANDLOCK | VIEW},
	{.name = "symlink",
	 .what = "make a symbolic link there",
	 .try = make_link,
	 .against = LANDLOCK | VIEW},
	{.name = "mkfifo",
	 .what = "make a named pipe there",
	 .try = make_fifo,
	 .against = LANDLOCK | VIEW},
	{.name = "bind-unix",
	 .what = "make a Unix socket there",
	 .try = make_socket,
	 .against = LANDLOCK | VIEW},
	{.name = "unlink",
	 .what = "remove a file there",
	 .try = remove_it,
	 .with = TOP "/ro/removable",
	 .against = LANDLOCK | VIEW},
	{.name = "rmdir",
	 .what = "remove a folder there",
	 .try = remove_folder,
	 .against = LANDLOCK | VIEW},
	{.name = "rename-in",
	 .what = "move a file that is not given to where everything is allowed",
	 .try = move_it,
	 .with = MOVE(TOP "/outside/file", TOP "/rw/moved", 0),
	 .against = LANDLOCK | VIEW},
	{.name = "rename-out",
	 .what = "move a file out to a folder that is not given",
	 .try = move_it,
	 .with = MOVE(TOP "/rw/own", TOP "/outside/moved", 0),
	 .against = LANDLOCK | VIEW},
	{.name = "rename-over",
	 .what = "move a file over one that is given for reading",
	 .try = move_it,
	 .with = MOVE(TOP "/rw/own", TOP "/ro/file2", 0),
	 .against = LANDLOCK | VIEW},
	{.name = "rename-exchange",
	 .what = "exchange two files",
	 .try = move_it,
	 .with = MOVE(TOP "/rw/own", TOP "/outside/file", RENAME_EXCHANGE),
	 .against = LANDLOCK | VIEW},
	{.name = "rename-folder",
	 .what = "move the folder itself to where everything is allowed",
	 .try = move_it,
	 .with = MOVE(TOP "/outside/folder", TOP "/rw/folder", 0),
	 .against = LANDLOCK | VIEW},
	{.name = "link-read-only",
	 .what = "give a read-only file a second name where it may be written",
	 .try = link_it,
	 .with = READ_ONLY_FILE,
	 .against = LANDLOCK | VIEW},
	{.name = "link-outside",
	 .what = "the same with a file that is not given",
	 .try = link_it,
	 .with = TOP "/outside/file",
	 .against = LANDLOCK | VIEW},
	{.name = "link-fd",
	 .what = "the same by an open descriptor",
	 .try = link_fd,
	 .against = LANDLOCK | VIEW},
	{.name = "file-flags",
	 .what = "read the flags of a file that is not given",
	 .try = set_flags,
	 .uncontrolled = "not every file system has them",
	 .against = LANDLOCK | VIEW},
	{.name = "stat",
	 .what = "look at the size and times of a file that is not given",
	 .try = look_at,
	 .against = VIEW},
	{.name = "chmod",
	 .what = "change the mode of such a file, which is the workload's own",
	 .try = change_mode,
	 .with = SECRET_FILE,
	 .against = VIEW},
	{.name = "chmod-given",
	 .what = "change the mode of a file that is given for reading, and the workload's own",
	 .try = change_mode,
	 .with = READ_ONLY_FILE,
	 .works = WITH_LANDLOCK},
	{.name = "utimes",
	 .what = "set the times of such a file",
	 .try = set_attribute,
	 .against = VIEW},
};
GROUP(group_files, "Files", files);
