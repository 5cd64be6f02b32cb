/* base/file: descriptors read to their end and written whole, however little one call does; ways without links. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "test.h"

enum { BIG = 1 << 20 }; /* more than a pipe holds */

static char sent[BIG], got[BIG + 1];

static void fill(void)
{
	for (size_t i = 0; i < sizeof sent; i++)
		sent[i] = (char)(i * 7 + i / 251);
}

TEST(what_is_written_whole_is_read_to_its_end)
{
	int ends[2], status;

	fill();
	OK(pipe(ends) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		_exit(file_write_all(ends[1], sent, sizeof sent) == 0 ? 0 : 1);
	}
	close(ends[1]);
	EQ(file_read_all(ends[0], got, sizeof got), BIG);
	OK(memcmp(got, sent, sizeof sent) == 0);
	OK(waitpid(pid, &status, 0) == pid && status == 0);
}

TEST(no_more_is_read_than_may_be)
{
	int ends[2];

	OK(pipe(ends) == 0 && write(ends[1], "abcdef", 6) == 6);
	EQ(file_read_all(ends[0], got, 4), 4);
	EQ(got[4], 0);
	EQ(file_read_all(ends[0], got, 2), 2);
	EQ(got[0], 'e');
}

/* A call that writes a part is no error yet; the next one is. */
TEST(what_there_is_room_for_is_not_the_whole)
{
	char path[] = "/tmp/file_test.XXXXXX";
	const struct rlimit room = {4, 4};
	int fd = mkstemp(path);

	signal(SIGXFSZ, SIG_IGN);
	OK(fd >= 0 && unlink(path) == 0 && setrlimit(RLIMIT_FSIZE, &room) == 0);
	EQ(file_write_all(fd, "abcdef", 6), -1);
	EQ(errno, EFBIG);
	EQ(lseek(fd, 0, SEEK_END), 4);
}

TEST(what_fails_says_why)
{
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	OK(pipe(ends) == 0);
	close(ends[0]);
	EQ(file_write_all(ends[1], "x", 1), -1);
	EQ(errno, EPIPE);
	EQ(file_read_all(-1, got, 1), -1);
	EQ(errno, EBADF);
	EQ(file_write_all(-1, "", 0), 0);
}

TEST(a_way_without_links_is_gone_name_by_name)
{
	static const struct {
		const char *path;
		int error; /* 0: it opens */
	} ways[] = {
		{"", 0},         {"a", 0},           {"/a//b/", 0},      {"a/b", 0},
		{"link", ELOOP}, {"a/up", ELOOP},    {"link/b", ELOOP},  {"a/none", ENOENT},
		{"a/f/", 0},     {"a/f/x", ENOTDIR}, {"none/b", ENOENT},
	};
	char path[] = "/tmp/file_test.XXXXXX";

	OK(mkdtemp(path) != NULL);
	_cleanup_close_ int top = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	OK(mkdirat(top, "a", 0700) == 0 && mkdirat(top, "a/b", 0700) == 0);
	OK(mknodat(top, "a/f", S_IFREG | 0600, 0) == 0);
	OK(symlinkat("a", top, "link") == 0 && symlinkat("..", top, "a/up") == 0);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		_cleanup_close_ int fd = file_open_without_links(top, ways[i].path);

		EQ(fd < 0 ? errno : 0, ways[i].error);
	}
	EQ(file_open_without_links(-1, "a"), -1);
	EQ(errno, EBADF);
	OK(unlinkat(top, "link", 0) == 0 && unlinkat(top, "a/up", 0) == 0 &&
	   unlinkat(top, "a/f", 0) == 0);
	OK(unlinkat(top, "a/b", AT_REMOVEDIR) == 0 && unlinkat(top, "a", AT_REMOVEDIR) == 0);
	rmdir(path);
}
