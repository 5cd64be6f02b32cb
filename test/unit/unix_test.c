#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "driver/listen.h"
#include "net/unix.h"
#include "test.h"

enum { OTHER_UID = 4242 };

static struct unix_path at;                      /* what a test listens on */
static char scratch[] = "/tmp/unix-test.XXXXXX"; /* a directory of this test's own, mode 0711 */

static int remove_one(const char *path, const struct stat *st UNUSED, int type UNUSED,
		      struct FTW *ftw UNUSED)
{
	return remove(path);
}

static void remove_scratch(void)
{
	nftw(scratch, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Keeps a text until the end of the test. */
static char *keep(char *text)
{
	static char *kept[32];
	static size_t n;
	must(n < ARRAY_LEN(kept));
	return kept[n++] = text;
}

static char *in_scratch(const char *name)
{
	static bool made;
	if (!made) {
		made = true;
		OK(mkdtemp(scratch) != NULL);
		OK(chmod(scratch, 0711) == 0);
		atexit(remove_scratch);
	}
	return keep(xasprintf("%s/%s", scratch, name));
}

static char *read_text(const char *path)
{
	char *text;
	struct err e;
	OK(file_read(path, 4096, &text, NULL, &e) == 0);
	return keep(text);
}

static mode_t mode_of(const char *path)
{
	struct stat st;
	OK(lstat(path, &st) == 0);
	return st.st_mode & 07777;
}

static void touch(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	OK(fd >= 0);
	close(fd);
}

static int dial_as(const char *path, int flags)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	OK(fd >= 0);
	strcpy(sa.sun_path, path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int dial(const char *path)
{
	return dial_as(path, 0);
}

TEST(a_private_socket_in_a_private_directory)
{
	struct err e;
	int fd;
	char *path = in_scratch("a/b/driver.sock");
	umask(0);
	OK(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e) == 0);
	EQ(mode_of(path), 0600);
	EQ(mode_of(in_scratch("a/b")), 0700);
	OK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	OK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	OK(dial(path) >= 0);
	unix_path_remove(&at);
	OK(access(path, F_OK) < 0);
}

TEST(a_narrow_umask_does_not_make_it_narrower)
{
	struct err e;
	int fd;
	char *path = in_scratch("a/driver.sock");
	umask(0777);
	OK(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e) == 0);
	EQ(mode_of(path), 0600);
	EQ(mode_of(in_scratch("a")), 0700);
	EQ(umask(0), 0777);
}

TEST(a_wider_parent_of_its_own_is_tightened)
{
	struct err e;
	int fd;
	char *dir = in_scratch("d"), *path = in_scratch("d/driver.sock");
	OK(mkdir(dir, 0) == 0 && chmod(dir, 0777) == 0);
	OK(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e) == 0);
	EQ(mode_of(dir), 0700);
}

TEST(a_parent_that_others_use_is_left_as_it_is)
{
	struct err e;
	int fd;
	char *dir = in_scratch("d"), *path = in_scratch("d/driver.sock");
	OK(mkdir(dir, 0) == 0 && chmod(dir, 0755) == 0);
	touch(in_scratch("d/other"));
	OK(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e) == 0);
	EQ(mode_of(dir), 0755);
	EQ(mode_of(path), 0600);
}

TEST(a_parent_that_others_use_and_write_is_refused)
{
	struct err e;
	int fd;
	char *dir = in_scratch("d"), *path = in_scratch("d/driver.sock");
	OK(mkdir(dir, 0) == 0 && chmod(dir, 0777) == 0);
	touch(in_scratch("d/other"));
	EQ(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e), -1);
	HAS(e.text, "is writable by others");
	OK(chmod(dir, 01777) == 0); /* as /tmp: nobody can move our socket away */
	OK(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e) == 0);
	EQ(mode_of(dir), 01777);
}

TEST(a_symlinked_parent_is_refused)
{
	struct err e;
	int fd;
	char *dir = in_scratch("d"), *link = in_scratch("l"), *path = in_scratch("l/driver.sock");
	OK(mkdir(dir, 0700) == 0 && symlink(dir, link) == 0);
	EQ(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e), -1);
	char *want = keep(
		xasprintf("driver socket parent '%s' must be a directory, not a symlink", link));
	STREQ(e.text, want);
}

TEST(the_old_name_of_run_is_taken)
{
	struct err e;
	int fd;
	if (geteuid() != 0 || access("/run", W_OK) < 0)
		SKIP("needs root to make a socket in /run");
	mode_t before = mode_of("/run");
	char *path = keep(xasprintf("/var/run/unix-test-%d.sock", getpid()));
	OK(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e) == 0);
	EQ(mode_of("/run"), before);
	OK(dial(path) >= 0);
	unix_path_remove(&at);
	OK(access(path, F_OK) < 0);
}

TEST(a_parent_of_another_user_is_refused)
{
	struct err e;
	int fd;
	if (geteuid() != 0)
		SKIP("needs root to make a directory of another user");
	char *dir = in_scratch("d"), *path = in_scratch("d/driver.sock");
	OK(mkdir(dir, 0700) == 0 && chown(dir, OTHER_UID, OTHER_UID) == 0);
	EQ(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e), -1);
	char *want = keep(xasprintf("driver socket parent '%s' is owned by uid %d, expected 0", dir,
				    OTHER_UID));
	STREQ(e.text, want);
}

static void expect_not_owned(const char *path)
{
	struct err e;
	int fd;
	EQ(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e), -1);
	char *want = keep(
		xasprintf("driver socket path '%s' exists but is not an owned Unix socket", path));
	STREQ(e.text, want);
	OK(access(path, F_OK) == 0 || errno == ENOENT); /* a dangling link is still a link */
}

TEST(what_is_no_socket_is_not_replaced)
{
	char *file = in_scratch("file"), *link = in_scratch("link"), *dir = in_scratch("dir");
	touch(file);
	expect_not_owned(file);
	OK(symlink("/nowhere", link) == 0);
	expect_not_owned(link);
	OK(mkdir(dir, 0700) == 0);
	expect_not_owned(dir);
}

static int listen_plainly(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(sa.sun_path, path);
	OK(bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0 && listen(fd, 0) == 0);
	return fd;
}

TEST(a_socket_of_another_user_is_not_replaced)
{
	if (geteuid() != 0)
		SKIP("needs root to make a socket of another user");
	char *path = in_scratch("s");
	close(listen_plainly(path));
	OK(lchown(path, OTHER_UID, OTHER_UID) == 0);
	expect_not_owned(path);
}

TEST(a_stale_socket_of_our_own_is_replaced)
{
	struct err e;
	int fd;
	char *path = in_scratch("s");
	close(listen_plainly(path));
	OK(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e) == 0);
	OK(dial(path) >= 0);
}

TEST(a_live_socket_is_not_stolen)
{
	struct err e;
	int fd;
	char *path = in_scratch("s");
	int other = listen_plainly(path);
	EQ(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e), -1);
	EQ(e.code, EADDRINUSE);
	char *want =
		keep(xasprintf("driver socket path '%s' is in use by process %d", path, getpid()));
	STREQ(e.text, want);
	/* also when it has no room for one connection more */
	while (dial_as(path, SOCK_NONBLOCK) >= 0)
		;
	EQ(errno, EAGAIN);
	EQ(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e), -1);
	EQ(e.code, EADDRINUSE);
	close(other);
}

TEST(the_socket_of_a_successor_is_not_removed)
{
	struct err e;
	int fd;
	char *path = in_scratch("d/s"), *moved = in_scratch("d/t");
	OK(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e) == 0);
	OK(rename(path, moved) == 0); /* keeps its inode from being used again */
	int other = listen_plainly(path);
	unix_path_remove(&at);
	OK(dial(path) >= 0);
	close(other);
	unix_path_remove(&at); /* and twice is nothing */
}

TEST(paths_that_cannot_be_sockets)
{
	struct err e;
	int fd;
	char long_name[200];
	memset(long_name, 'x', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = '\0';
	EQ(unix_listen(&fd, &at, "driver socket", in_scratch(long_name), UNIX_OWNER, &e), -1);
	HAS(e.text, "bytes long, the name of a socket may have 107");
	EQ(unix_listen(&fd, &at, "driver socket", "driver.sock", UNIX_OWNER, &e), -1);
	STREQ(e.text, "driver socket path 'driver.sock' names no file in a directory");
	EQ(unix_listen(&fd, &at, "driver socket", in_scratch(""), UNIX_OWNER, &e), -1);
	HAS(e.text, "names no file in a directory");
	touch(in_scratch("file"));
	EQ(unix_listen(&fd, &at, "driver socket", in_scratch("file/s"), UNIX_OWNER, &e), -1);
	HAS(e.text, "must be a directory, not a file");
	EQ(unix_listen(&fd, &at, "driver socket", "@driver", UNIX_OWNER, &e), -1);
	HAS(e.text, "is an abstract name");
}

TEST(errors_call_the_socket_by_its_name)
{
	struct err e;
	int fd;
	EQ(unix_listen(&fd, &at, "ssh socket", "ssh.sock", UNIX_OWNER, &e), -1);
	STREQ(e.text, "ssh socket path 'ssh.sock' names no file in a directory");
	EQ(unix_listen(&fd, &at, "ssh socket", "", UNIX_OWNER, &e), -1);
	STREQ(e.text, "ssh socket: '' names no socket");
}

/* As another user: connects, and waits for a byte or the end. 0: it was let in. */
static int visit(const char *path, uid_t uid)
{
	char c;
	if (setgid(uid) < 0 || setuid(uid) < 0)
		return 3;
	int fd = dial(path);
	if (fd < 0)
		return errno == EACCES ? 2 : 3;
	return read(fd, &c, 1) == 1 ? 0 : 1;
}

/* What visit says, when the server admits its connection by the list of users. */
static int visit_served(int fd, const char *path, uid_t uid, struct listen_users *users)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(visit(path, uid));
	OK(fcntl(fd, F_SETFL, 0) == 0); /* accept waits */
	int c = accept(fd, NULL, NULL);
	OK(c >= 0);
	if (listen_admit(users, c))
		OK(write(c, "y", 1) == 1);
	close(c);
	OK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

TEST(users_are_told_apart_by_the_kernel)
{
	const uid_t allowed[] = {7, OTHER_UID};
	struct listen_users users = {allowed, ARRAY_LEN(allowed)}, nobody = {0};
	struct err e;
	int fd;
	if (geteuid() != 0)
		SKIP("needs root to become other users");
	char *path = in_scratch("d/s");
	OK(unix_listen(&fd, &at, "driver socket", path, UNIX_EVERYONE, &e) == 0);
	EQ(mode_of(in_scratch("d")), 0711);
	EQ(mode_of(path), 0666);
	EQ(visit_served(fd, path, 0, &nobody), 0);
	EQ(visit_served(fd, path, OTHER_UID, &users), 0);
	EQ(visit_served(fd, path, OTHER_UID, &nobody), 1);
	EQ(visit_served(fd, path, OTHER_UID + 1, &users), 1);
}

/* Also when it has ended, and its number is free. */
TEST(who_connected_is_known_beyond_its_number)
{
	struct err e;
	int fd, hold[2];
	char *path = in_scratch("d/s");
	char pid_line[32];

	OK(unix_listen(&fd, &at, "socket", path, UNIX_OWNER, &e) == 0 && pipe(hold) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(hold[1]);
		dial(path);
		_exit(read(hold[0], &(char){0}, 1) == 0 ? 0 : 1);
	}
	OK(fcntl(fd, F_SETFL, 0) == 0); /* accept waits */
	int c = accept(fd, NULL, NULL), pidfd = unix_peer_pidfd(c);
	if (pidfd < 0 && errno == ENOPROTOOPT)
		SKIP("a kernel before 6.5 has no SO_PEERPIDFD");
	OK(pidfd >= 0);
	EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
	snprintf(pid_line, sizeof pid_line, "Pid:\t%d\n", pid);
	HAS(read_text(keep(xasprintf("/proc/self/fdinfo/%d", pidfd))), pid_line);
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	EQ(poll(&ended, 1, 0), 0);
	close(hold[1]);
	OK(waitpid(pid, NULL, 0) == pid);
	EQ(poll(&ended, 1, 0), 1);
	/* who asks only now is told so, or gets one that says so */
	ended.fd = unix_peer_pidfd(c);
	OK((ended.fd < 0 && errno != ENOPROTOOPT) || poll(&ended, 1, 0) == 1);
}

TEST(a_private_socket_cannot_be_reached_by_another_user)
{
	struct err e;
	int fd, status;
	if (geteuid() != 0)
		SKIP("needs root to become another user");
	char *path = in_scratch("d/s");
	OK(unix_listen(&fd, &at, "driver socket", path, UNIX_OWNER, &e) == 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(visit(path, OTHER_UID));
	OK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	EQ(WEXITSTATUS(status), 2);
}

TEST(only_loopback_is_bound)
{
	static const char *const refused[] = {"0.0.0.0:1", "10.0.0.1:1", "[::]:1",
					      "[2001:db8::1]:1"};
	static const char *const malformed[] = {"127.0.0.1",       "127.0.0.1:", ":1",    "host:1",
						"127.0.0.1:65536", "::1:5",      "[::1]", "[::1:5"};
	static const char *const good[] = {"127.0.0.1:0", "localhost:0", "127.1.2.3:0"};
	struct err e;
	int fd;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		EQ(listen_loopback(&fd, refused[i], &e), -1);
		HAS(e.text, "is no loopback address");
	}
	for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
		EQ(listen_loopback(&fd, malformed[i], &e), -1);
		HAS(e.text, "is not of the form HOST:PORT");
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		OK(listen_loopback(&fd, good[i], &e) == 0);
		close(fd);
	}
}
