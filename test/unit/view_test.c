/* isolate/view: that what is given is there, and nothing else; as root, and in a user namespace. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "isolate/ladder_impl.h"
#include "isolate/view.h"
#include "test.h"

/* The world: ro/file, rw/file, out/secret, out/socket, below a folder of ours. */
static char top[] = "/tmp/view-test-XXXXXX";
static char paths[8][PATH_MAX];

static const char *at(const char *name)
{
	static unsigned turn;
	char *path = paths[turn++ % ARRAY_LEN(paths)];

	snprintf(path, PATH_MAX, "%s/%s", top, name);
	return path;
}

static void put_file(const char *name)
{
	int fd = open(at(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	OK(fd >= 0 && write(fd, "x\n", 2) == 2 && fchmod(fd, 0666) == 0);
	close(fd);
}

static void put_socket(const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, at(name));
	OK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0);
}

/* Another process takes it away, since this one will no longer be able to. */
static void make_world(void)
{
	static const char *const folders[] = {"ro", "ro/nested", "rw", "out", "out/deep", "work"};
	char command[64], c;
	int fds[2];

	OK(mkdtemp(top) && chmod(top, 0755) == 0);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		OK(mkdir(at(folders[i]), 0777) == 0 && chmod(at(folders[i]), 0777) == 0);
	put_file("ro/file");
	put_file("ro/nested/file");
	put_file("rw/file");
	put_file("out/secret");
	put_file("work/secret");
	put_socket("out/socket");
	OK(symlink("ro", at("link")) == 0 && symlink("out/secret", at("leads-out")) == 0);
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	if (fork() == 0) {
		close(fds[1]);
		setsid(); /* before the test may end, which kills its group */
		if (write(fds[0], "", 1) == 1)
			while (read(fds[0], &c, 1) > 0)
				;
		snprintf(command, sizeof command, "rm -rf %s", top);
		_exit(system(command) == 0 ? 0 : 1);
	}
	close(fds[0]); /* the other end closes with this process */
	OK(read(fds[1], &c, 1) == 1);
}

/* As a kernel or a seccomp profile does that does not know it, or does not allow it. */
static void forbid(unsigned call, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};

	OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* ---- in the view ---- */

static struct err why, shown;

static void need_root(void)
{
	NOT_EMULATED("move_mount");
	if (getuid() != 0)
		SKIP("needs root, for a mount namespace");
}

static void become_ordinary(void)
{
	if (getuid() == 0)
		OK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
	OK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0); /* so that /proc/self is ours */
}

/* What a policy commonly gives, and of the world ro (and its link) for reading and rw for writing. */
static const struct view *usual(bool enforced)
{
	static char ro[PATH_MAX], rw[PATH_MAX], link[PATH_MAX], nested[PATH_MAX], work[PATH_MAX];
	static struct view_path given[] = {
		{"/usr", false}, {"/lib", false}, {"/proc", false}, {"/dev/null", true},
		{ro, false},     {rw, true},      {link, false},    {nested, true},
	};
	static struct view v = {.paths = given, .n = ARRAY_LEN(given), .workdir = work};

	strcpy(ro, at("ro"));
	strcpy(rw, at("rw"));
	strcpy(link, at("link"));
	strcpy(nested, at("ro/nested"));
	strcpy(work, at("work"));
	v.enforced = enforced;
	return &v;
}

static void leave_and_enter(const struct view *v)
{
	if (view_leave(&why) < 0 || view_enter(v, NULL, &shown, &why) < 0)
		FAIL("%s", why.text);
}

static void enter(const struct view *v)
{
	leave_and_enter(v);
	if (shown.code != 0)
		FAIL("%s", shown.text);
}

static void unshare_user(bool mapped)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (unshare(CLONE_NEWUSER) < 0)
		SKIP("user namespaces: %s", strerror(errno));
	OK(!mapped || rung_map_self(uid, gid));
}

static int open_error(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0666);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

#define REFUSED(call, error)                                                                       \
	do {                                                                                       \
		EQ(call, -1);                                                                      \
		EQ(errno, error);                                                                  \
	} while (0)

static int connect_to(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, path);
	return connect(fd, (struct sockaddr *)&a, sizeof a);
}

/* By whom no right over files counts, as a workload is. */
static void look_around(void)
{
	struct stat st;

	EQ(open_error(at("ro/file"), O_RDONLY), 0);
	EQ(open_error(at("link/file"), O_RDONLY), 0);
	EQ(open_error(at("rw/file"), O_RDWR), 0);
	EQ(open_error(at("rw/new"), O_RDWR | O_CREAT), 0);
	EQ(open_error("/dev/null", O_RDWR), 0);
	EQ(open_error("/bin/sh", O_RDONLY), 0);
	/* what is beside is a name, and shut */
	OK(stat(at("out"), &st) == 0);
	EQ(st.st_mode, S_IFDIR);
	REFUSED(stat(at("out/secret"), &st), EACCES);
	REFUSED(stat(at("leads-out"), &st), EACCES);
	EQ(open_error(at("out"), O_RDONLY | O_DIRECTORY), EACCES);
	EQ(open_error(at("out/secret"), O_RDONLY), EACCES);
	EQ(open_error(at("work/secret"), O_RDONLY), EACCES);
	OK(stat(at("work/secret"), &st) == 0);
	EQ(st.st_size, 0);
	EQ(open_error("/root", O_RDONLY), EACCES);
	EQ(open_error("/dev/zero", O_RDONLY), EACCES);
	REFUSED(stat("/etc/passwd", &st), EACCES);
	REFUSED(stat(at("nothing"), &st), ENOENT);
	REFUSED(connect_to(at("out/socket")), EACCES);
	/* where programs start */
	EQ(chdir(at("work")), 0);
	EQ(chdir("/"), 0);
	REFUSED(chdir(at("out/deep")), EACCES);
}

static void try_to_change(void)
{
	REFUSED(mkdir("/new", 0777), EROFS);
	REFUSED(mkdir(at("new"), 0777), EROFS);
	REFUSED(chmod(at("out"), 0777), EROFS);
	REFUSED(chmod("/", 0777), EROFS);
	REFUSED(rename(at("out"), at("moved")), EROFS);
	REFUSED(rmdir(at("out")), EROFS);
	REFUSED(unlink(at("leads-out")), EROFS);
	REFUSED(utimensat(AT_FDCWD, at("out"), NULL, 0), EROFS);
}

static char *mounts(void)
{
	char *text;
	struct err e;

	if (file_read("/proc/self/mountinfo", 1 << 20, &text, NULL, &e) < 0)
		FAIL("%s", e.text);
	return text;
}

/* Not even a way back: neither by what lies above, nor by what is mounted. */
static void look_for_the_old_root(void)
{
	_cleanup_free_ char *mounted = mounts();
	struct stat root, above;

	OK(stat("/", &root) == 0 && stat("/../..", &above) == 0);
	EQ(above.st_ino, root.st_ino);
	EQ(above.st_dev, root.st_dev);
	OK(strstr(mounted, " / / ro,nosuid,nodev,noexec") != NULL);
	OK(!strstr(mounted, " /sys ") && !strstr(mounted, "/out"));
}

TEST(view_shows_what_is_given_and_nothing_else)
{
	need_root();
	make_world();
	enter(usual(true));
	look_for_the_old_root();
	EQ(open_error(at("ro/file"), O_RDWR), 0); /* that is Landlock's */
	try_to_change();
	become_ordinary();
	look_around();
	DIR *d = opendir("/");
	OK(d != NULL);
	closedir(d);
}

/* As in a pod. */
TEST(view_is_had_without_pivot_root)
{
	need_root();
	make_world();
	forbid(SYS_pivot_root, EPERM);
	enter(usual(true));
	look_for_the_old_root();
	try_to_change();
	become_ordinary();
	look_around();
}

TEST(view_is_had_in_a_user_namespace)
{
	NOT_EMULATED("move_mount");
	become_ordinary();
	make_world();
	unshare_user(true);
	enter(usual(true));
	look_for_the_old_root();
	try_to_change();
	/* no right over files is left */
	OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	unshare_user(false);
	EQ(open_error(at("out/secret"), O_RDONLY), EACCES);
	EQ(open_error(at("ro/file"), O_RDONLY), 0);
}

/* A tmpfs takes no files of somebody whom it does not know. */
TEST(view_cannot_be_had_without_a_map)
{
	NOT_EMULATED("move_mount");
	become_ordinary();
	make_world();
	unshare_user(false);
	leave_and_enter(usual(true));
	EQ(shown.code, EOVERFLOW);
	HAS(shown.text, "tmpfs");
	EQ(open_error(at("out/secret"), O_RDONLY), 0);
	EQ(open_error("/etc/passwd", O_RDONLY), 0);
}

TEST(view_keeps_from_writing_where_there_is_no_landlock)
{
	need_root();
	make_world();
	enter(usual(false));
	EQ(open_error(at("ro/file"), O_RDWR), EROFS);
	EQ(open_error(at("link/file"), O_RDWR), EROFS);
	EQ(open_error(at("ro/nested/file"), O_RDWR), 0);
	EQ(open_error(at("rw/file"), O_RDWR), 0);
	EQ(open_error("/proc/self/comm", O_RDWR), EROFS);
	EQ(open_error("/dev/null", O_RDWR), 0);
	REFUSED(chmod(at("ro/file"), 0777), EROFS);
	become_ordinary();
	look_around();
	/* nor are the names told */
	EQ(open_error("/", O_RDONLY | O_DIRECTORY), EACCES);
	EQ(open_error("/dev", O_RDONLY | O_DIRECTORY), EACCES);
}

TEST(view_keeps_from_writing_in_a_user_namespace)
{
	NOT_EMULATED("move_mount");
	become_ordinary();
	make_world();
	unshare_user(true);
	enter(usual(false));
	EQ(open_error(at("ro/file"), O_RDWR), EROFS);
	EQ(open_error(at("ro/nested/file"), O_RDWR), 0);
	EQ(open_error("/proc/self/comm", O_RDWR), EROFS);
	REFUSED(chmod(at("ro/file"), 0777), EROFS);
}

TEST(view_of_everything_hides_nothing)
{
	static const struct view_path all = {"/", false};
	struct view v = {.paths = &all, .n = 1, .enforced = true};

	need_root();
	make_world();
	leave_and_enter(&v);
	EQ(shown.code, VIEW_OF_ALL);
	EQ(open_error(at("out/secret"), O_RDONLY), 0);
	v.enforced = false;
	leave_and_enter(&v);
	EQ(shown.code, VIEW_OF_ALL);
	enter(NULL);
}

/* Whatever is refused, whenever: it is told, and all is as before. */
TEST(view_that_is_refused_changes_nothing)
{
	static const struct {
		unsigned call;
		int error;
		const char *told;
	} refusals[] = {
		{SYS_pivot_root, EPERM, "pivot_root: "},
		{SYS_mount_setattr, ENOSYS, "mount_setattr /dev/pts: "},
		{SYS_move_mount, EPERM, "move_mount /: "},
		{SYS_mknodat, EACCES, "make names in a tmpfs: "},
		{SYS_fsmount, EPERM, "fsmount: "},
		{SYS_fsopen, ENOSYS, "fsopen tmpfs: "},
	};

	need_root();
	make_world();
	EQ(view_leave(&why), 0);
	_cleanup_free_ char *before = mounts();
	forbid(SYS_chroot, EACCES);
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		forbid(refusals[i].call, refusals[i].error);
		EQ(view_enter(usual(true), NULL, &shown, &why), 0);
		EQ(shown.code, refusals[i].error);
		HAS(shown.text, refusals[i].told);
		_cleanup_free_ char *after = mounts();
		STREQ(after, before);
		EQ(open_error(at("out/secret"), O_RDONLY), 0);
	}
}

TEST(view_of_too_much_is_none)
{
	static char deep[PATH_MAX];
	static const struct view_path given = {deep, false};
	const struct view v = {.paths = &given, .n = 1, .enforced = true};

	need_root();
	make_world();
	OK(chdir(top) == 0);
	strcpy(deep, top);
	for (int i = 0; i < 80; i++) {
		OK(mkdir("d", 0755) == 0 && chdir("d") == 0);
		strcat(deep, "/d");
	}
	leave_and_enter(&v);
	EQ(shown.code, E2BIG);
	EQ(open_error(at("out/secret"), O_RDONLY), 0);
	enter(usual(true));
}

/* Mounts of outside come in where they are below what is given; those of inside stay there. */
TEST(view_follows_what_is_mounted_later)
{
	need_root();
	make_world();
	OK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) == 0);
	char c;
	int go[2], done[2];
	OK(pipe(go) == 0 && pipe(done) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		enter(usual(true));
		OK(write(done[1], "", 1) == 1 && read(go[0], &c, 1) == 1);
		_exit(access(at("rw/mounted/inside"), F_OK) == 0 ? 0 : 1);
	}
	int status;
	OK(read(done[0], &c, 1) == 1);
	EQ(access(at("out/secret"), F_OK), 0);
	OK(mkdir(at("rw/mounted"), 0755) == 0 &&
	   mount("tmpfs", at("rw/mounted"), "tmpfs", 0, NULL) == 0 &&
	   mkdir(at("rw/mounted/inside"), 0755) == 0 && write(go[1], "", 1) == 1);
	OK(waitpid(pid, &status, 0) == pid);
	EQ(status, 0);
	OK(umount(at("rw/mounted")) == 0);
}

/* Who was there before the view goes along: the sandbox's init. */
TEST(view_is_that_of_those_forked_before)
{
	char path[32], name[PATH_MAX] = "", byte;
	struct stat ours, its;
	int hold[2];

	need_root();
	make_world();
	OK(chdir(at("out")) == 0 && pipe(hold) == 0);
	EQ(view_leave(&why), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(hold[1]);
		_exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
	}
	OK(view_enter(usual(true), NULL, &shown, &why) == 0 && shown.code == 0);
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "/proc/%d/%s", pid, i ? "root" : "cwd");
		OK(readlink(path, name, sizeof name - 1) == 1);
		STREQ(name, "/");
		OK(stat(path, &its) == 0 && stat("/", &ours) == 0);
		OK(its.st_dev == ours.st_dev && its.st_ino == ours.st_ino);
	}
	close(hold[1]);
	OK(waitpid(pid, NULL, 0) == pid);
}

/* By its number a supervisor finds what program a connection is of: the same name as without a view. */
TEST(view_leaves_programs_their_names)
{
	char path[32], name[PATH_MAX] = "", expected[PATH_MAX];
	int go[2];
	char c;

	need_root();
	OK(realpath("/bin/sh", expected) != NULL);
	make_world();
	OK(pipe(go) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		enter(usual(true));
		dup2(go[1], 1);
		execl("/bin/sh", "sh", "-c", "echo; sleep 60; exit", NULL);
		_exit(1);
	}
	OK(read(go[0], &c, 1) == 1);
	snprintf(path, sizeof path, "/proc/%d/exe", pid);
	OK(readlink(path, name, sizeof name - 1) > 0);
	STREQ(name, expected);
	OK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

/* Terminals are made outside, and found inside by their names. */
TEST(view_has_the_names_of_terminals)
{
	need_root();
	int unlocked = 0;
	_cleanup_close_ int m = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	OK(m >= 0 && ioctl(m, TIOCSPTLCK, &unlocked) == 0);
	_cleanup_close_ int s = open(ptsname(m), O_RDWR | O_NOCTTY | O_CLOEXEC);
	OK(s >= 0 && fchmod(s, 0666) == 0);
	make_world();
	enter(usual(true));
	const char *name = ttyname(s);
	OK(name != NULL);
	REFUSED(chmod(name, 0600), EROFS);
	become_ordinary();
	EQ(open_error(name, O_RDWR | O_NOCTTY), EACCES);
	EQ(open_error("/dev/ptmx", O_RDWR | O_NOCTTY), EACCES);
	EQ(open_error("/dev/pts/ptmx", O_RDWR | O_NOCTTY), EACCES);
}
