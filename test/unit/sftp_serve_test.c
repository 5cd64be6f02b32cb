/* src/sftp: a server over pipes in a folder of its own, as a client meets it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "sftp.h"
#include "sftp/reply.h"
#include "sftp/sftp.h"
#include "test.h"

static pid_t server;
static char folder[] = "/tmp/sftp-test-XXXXXX";

static void start(void)
{
	int in[2], back[2];

	OK(mkdtemp(folder) != NULL && chdir(folder) == 0);
	OK(pipe2(in, O_CLOEXEC) == 0 && pipe2(back, O_CLOEXEC) == 0);
	server = fork();
	if (server == 0) {
		unsetenv("HOME");
		dup2(in[0], 0);
		dup2(back[1], 1);
		for (int fd = 3; fd < 20; fd++)
			close(fd);
		_exit(sftp_serve(NULL, NULL));
	}
	close(in[0]);
	close(back[1]);
	to = in[1];
	from = back[0];
}

/* The status that it ends with, once its input has ended. */
static int ended(void)
{
	int status;

	close(to);
	OK(waitpid(server, &status, 0) == server);
	OK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void finish(void)
{
	char command[64];

	EQ(ended(), 0);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	OK(system(command) == 0);
}

static void greet(void)
{
	struct buf none = BUF_INIT(0);

	start();
	queue(INIT, 3, &none);
	flush();
	receive();
	EQ(got.type, SFTP_REPLY_VERSION);
	EQ(got.id, 3);
}

static const char *content(const char *path)
{
	static char *text;
	struct err e;

	free(text);
	text = NULL;
	if (file_read(path, 4096, &text, NULL, &e) < 0)
		FAIL("%s", e.text);
	return text;
}

static void make(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	OK(fd >= 0 && file_write_all(fd, text, strlen(text)) == 0);
	close(fd);
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* ---- the conversation ---- */

TEST(sftp_begins_with_versions_and_ends_with_the_input)
{
	greet();
	MEMEQ(got.body.p,
	      "\0\0\0\30posix-rename@openssh.com\0\0\0\1"
	      "1",
	      33);
	finish();
}

TEST(sftp_without_a_version_there_is_no_talk)
{
	struct buf b = BUF_INIT(64);

	start();
	put_text(&b, ".");
	queue(STAT, 1, &b);
	flush();
	EQ(file_read_all(from, reply, 1), 0);
	EQ(ended(), 1);
}

TEST(sftp_ends_where_it_cannot_follow)
{
	static const struct {
		const char *bytes;
		size_t n;
	} wrong[] = {{"\0\0\0\0", 4},
		     {"\0\4\0\1\4", 5},
		     {"\0\0\0\3\4\0\0", 7},
		     {"\0\0\0\5\1\0\0\0\3", 9},
		     {"\0\0\0\11\5\0", 6}};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		strcpy(folder, "/tmp/sftp-test-XXXXXX");
		greet();
		OK(write(to, wrong[i].bytes, wrong[i].n) == (ssize_t)wrong[i].n);
		EQ(ended(), 1);
		OK(rmdir(folder) == 0);
	}
}

TEST(sftp_goes_on_after_what_does_not_hold)
{
	struct buf cut = BUF_INIT(64), unknown = BUF_INIT(64);

	greet();
	put_u32(&cut, 99);
	EQ(asked(STAT, &cut), SFTP_STATUS_BAD_MESSAGE);
	EQ(asked(77, &unknown), SFTP_STATUS_UNSUPPORTED);
	EQ(ask_extension("nobody@example.com", "a", NULL), SFTP_STATUS_UNSUPPORTED);
	EQ(ask_path(STAT, "."), SFTP_REPLY_ATTRS);
	finish();
}

TEST(sftp_answers_in_order_however_the_bytes_come)
{
	enum { N = 300 };
	struct buf b;

	greet();
	make("file", "content");
	for (uint32_t i = 0; i < N; i++) {
		b = BUF_INIT(64);
		put_text(&b, i % 3 ? "file" : "none");
		queue(STAT, i, &b);
	}
	size_t half = out.n / 2 + 3;
	for (size_t i = 0; i < 40; i++) /* byte by byte at first */
		OK(write(to, out.p + i, 1) == 1);
	OK(file_write_all(to, out.p + 40, half - 40) == 0);
	OK(file_write_all(to, out.p + half, out.n - half) == 0);
	buf_clear(&out);
	for (uint32_t i = 0; i < N; i++) {
		receive();
		EQ(got.id, i);
		EQ(got.type, i % 3 ? SFTP_REPLY_ATTRS : SFTP_REPLY_STATUS);
	}
	finish();
}

/* ---- files ---- */

TEST(sftp_reads_and_writes)
{
	char handle[8];

	greet();
	struct str h = opened("f", SFTP_OPEN_READ | SFTP_OPEN_WRITE | SFTP_OPEN_CREATE, handle);
	EQ(ask_write(h, 0, "hello"), SFTP_STATUS_OK);
	EQ(ask_write(h, 6, "world"), SFTP_STATUS_OK);
	EQ(ask_read(h, 0, 100), SFTP_REPLY_DATA);
	EQ(number(got.body.p), 11);
	MEMEQ(got.body.p + 4, "hello\0world", 11);
	EQ(ask_read(h, 6, 2), SFTP_REPLY_DATA);
	EQ(got.body.n, 6);
	EQ(ask_read(h, 11, 100), SFTP_STATUS_EOF);
	EQ(ask_read(h, UINT64_MAX, 100), SFTP_STATUS_BAD_MESSAGE);
	EQ(ask_write(h, UINT64_MAX, "x"), SFTP_STATUS_BAD_MESSAGE);
	EQ(ask_handle(FSTAT, h), SFTP_REPLY_ATTRS);
	EQ(ask_extension("fsync@openssh.com", NULL, NULL), SFTP_STATUS_BAD_MESSAGE);
	EQ(ask_handle(CLOSE, h), SFTP_STATUS_OK);
	EQ(ask_handle(CLOSE, h), SFTP_STATUS_NO_SUCH_FILE);
	EQ(ask_read(h, 0, 1), SFTP_STATUS_NO_SUCH_FILE);
	finish();
}

TEST(sftp_a_read_has_a_largest_size)
{
	char handle[8];

	greet();
	make("f", "");
	OK(truncate("f", 1 << 20) == 0);
	struct str h = opened("f", SFTP_OPEN_READ, handle);
	EQ(ask_read(h, 0, UINT32_MAX), SFTP_REPLY_DATA);
	EQ(number(got.body.p), SFTP_DATA_MAX);
	finish();
}

TEST(sftp_opens_as_the_flags_say)
{
	char handle[8];

	greet();
	make("f", "old");
	EQ(try_open("f", SFTP_OPEN_WRITE | SFTP_OPEN_CREATE | SFTP_OPEN_EXCLUSIVE),
	   SFTP_STATUS_FAILURE);
	EQ(try_open("none", SFTP_OPEN_READ), SFTP_STATUS_NO_SUCH_FILE);
	EQ(try_open("none", SFTP_OPEN_WRITE), SFTP_STATUS_NO_SUCH_FILE);
	EQ(try_open("f", SFTP_OPEN_READ | SFTP_OPEN_TRUNCATE), SFTP_STATUS_BAD_MESSAGE);
	STREQ(content("f"), "old");
	struct str h = opened("f", SFTP_OPEN_WRITE | SFTP_OPEN_APPEND, handle);
	EQ(ask_write(h, 0, " and new"), SFTP_STATUS_OK);
	STREQ(content("f"), "old and new");
	EQ(ask_read(h, 0, 1), SFTP_STATUS_NO_SUCH_FILE); /* EBADF: it is open for writing */
	h = opened("f", SFTP_OPEN_WRITE | SFTP_OPEN_TRUNCATE, handle);
	STREQ(content("f"), "");
	finish();
}

TEST(sftp_a_fifo_holds_nobody_up)
{
	char handle[8];

	greet();
	OK(mkfifo("fifo", 0600) == 0);
	EQ(try_open("fifo", SFTP_OPEN_WRITE), SFTP_STATUS_FAILURE);
	struct str h = opened("fifo", SFTP_OPEN_READ, handle);
	EQ(ask_read(h, 0, 10), SFTP_STATUS_FAILURE);
	finish();
}

TEST(sftp_shows_nothing_of_a_procfs)
{
	NOT_EMULATED("files of /proc, which it makes up");
	greet();
	EQ(try_open("/proc/self/maps", SFTP_OPEN_READ), SFTP_STATUS_PERMISSION_DENIED);
	EQ(try_open("/proc/self/mem", SFTP_OPEN_READ | SFTP_OPEN_WRITE),
	   SFTP_STATUS_PERMISSION_DENIED);
	EQ(ask_path(OPENDIR, "/proc/self/map_files"), SFTP_STATUS_PERMISSION_DENIED);
	OK(symlink("/proc/self/maps", "l") == 0);
	EQ(try_open("l", SFTP_OPEN_READ), SFTP_STATUS_PERMISSION_DENIED);
	finish();
}

TEST(sftp_handles_are_few_and_never_mistaken)
{
	char first[8], handle[8];
	struct rlimit many = {SFTP_HANDLES_MAX + 100, SFTP_HANDLES_MAX + 100};

	OK(setrlimit(RLIMIT_NOFILE, &many) == 0);
	greet();
	EQ(ask_extension("limits@openssh.com", NULL, NULL), SFTP_REPLY_EXTENDED);
	EQ(number(got.body.p + 28), SFTP_HANDLES_MAX);
	make("f", "");
	struct str old = opened("f", SFTP_OPEN_READ, first);
	EQ(ask_handle(CLOSE, old), SFTP_STATUS_OK);
	for (int i = 0; i < SFTP_HANDLES_MAX; i++)
		opened("f", SFTP_OPEN_READ, handle);
	EQ(try_open("f", SFTP_OPEN_READ), SFTP_STATUS_FAILURE);
	EQ(ask_path(OPENDIR, "."), SFTP_STATUS_FAILURE);
	EQ(ask_handle(FSTAT, old), SFTP_STATUS_NO_SUCH_FILE);
	EQ(ask_handle(FSTAT, str_sub("\377\377\377\377\0\0\0\1", 8)), SFTP_STATUS_NO_SUCH_FILE);
	EQ(ask_handle(CLOSE, str_sub(handle, 8)), SFTP_STATUS_OK);
	opened("f", SFTP_OPEN_READ, handle);
	finish();
}

/* ---- folders ---- */

TEST(sftp_lists_in_batches_each_once)
{
	enum { N = 2000 };
	static bool seen[N];
	char handle[8], name[16];
	unsigned entries = 0, batches = 0;

	greet();
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof name, "file-%d", i);
		make(name, "");
	}
	EQ(ask_path(OPENDIR, "."), SFTP_REPLY_HANDLE);
	struct str h = kept(handle);
	EQ(ask_read(h, 0, 1), SFTP_STATUS_NO_SUCH_FILE);
	while (ask_handle(READDIR, h) == SFTP_REPLY_NAME) {
		const char *at = got.body.p + 4;
		batches++;
		for (uint32_t n = number(got.body.p); n > 0; n--, entries++) {
			int i;
			if (sscanf(at + 4, "file-%d", &i) == 1) {
				OK(i >= 0 && i < N && !seen[i]);
				seen[i] = true;
			}
			at += 4 + number(at);
			HAS(at + 4, "rw");
			at += 4 + number(at);
			EQ(number(at), 15);
			at += 32;
		}
		OK(at == got.body.p + got.body.n);
	}
	EQ(got.code, SFTP_STATUS_EOF);
	EQ(entries, N + 2);
	OK(batches > 1);
	EQ(ask_handle(READDIR, h), SFTP_STATUS_EOF);
	EQ(ask_handle(CLOSE, h), SFTP_STATUS_OK);
	EQ(ask_path(OPENDIR, "file-0"), SFTP_STATUS_NO_SUCH_FILE);
	finish();
}

TEST(sftp_makes_and_removes)
{
	greet();
	EQ(ask_paths(MKDIR, "d", ""), SFTP_STATUS_OK); /* "": attributes of no flags */
	EQ(ask_paths(MKDIR, "d", ""), SFTP_STATUS_FAILURE);
	EQ(ask_path(REMOVE, "d"), SFTP_STATUS_FAILURE);
	make("d/f", "");
	EQ(ask_path(RMDIR, "d"), SFTP_STATUS_FAILURE);
	EQ(ask_path(REMOVE, "d/f"), SFTP_STATUS_OK);
	EQ(ask_path(RMDIR, "d"), SFTP_STATUS_OK);
	OK(!is_there("d"));
	finish();
}

/* ---- names ---- */

TEST(sftp_renames_with_and_without_replacing)
{
	greet();
	make("a", "A");
	make("b", "B");
	EQ(ask_paths(RENAME, "a", "b"), SFTP_STATUS_FAILURE);
	STREQ(content("b"), "B");
	EQ(ask_paths(RENAME, "a", "c"), SFTP_STATUS_OK);
	EQ(ask_extension("posix-rename@openssh.com", "c", "b"), SFTP_STATUS_OK);
	STREQ(content("b"), "A");
	EQ(ask_paths(RENAME, "none", "x"), SFTP_STATUS_NO_SUCH_FILE);
	finish();
}

TEST(sftp_links)
{
	struct stat st;

	greet();
	make("f", "F");
	EQ(ask_paths(SYMLINK, "f", "l"), SFTP_STATUS_OK); /* the target first */
	EQ(ask_path(READLINK, "l"), SFTP_REPLY_NAME);
	STREQ(told_path(), "f");
	EQ(ask_path(READLINK, "f"), SFTP_STATUS_BAD_MESSAGE);
	EQ(ask_extension("hardlink@openssh.com", "f", "h"), SFTP_STATUS_OK);
	OK(stat("h", &st) == 0 && st.st_nlink == 2);
	EQ(ask_path(LSTAT, "l"), SFTP_REPLY_ATTRS);
	EQ(number(got.body.p + 20) & S_IFMT, S_IFLNK);
	EQ(ask_path(STAT, "l"), SFTP_REPLY_ATTRS);
	EQ(number(got.body.p + 20) & S_IFMT, S_IFREG);
	finish();
}

TEST(sftp_real_paths)
{
	char want[64];

	greet();
	OK(mkdir("d", 0755) == 0 && symlink("d", "l") == 0);
	EQ(ask_path(REALPATH, "l/../l/."), SFTP_REPLY_NAME);
	snprintf(want, sizeof want, "%s/d", folder);
	STREQ(told_path(), want);
	EQ(ask_path(REALPATH, ""), SFTP_REPLY_NAME);
	STREQ(told_path(), folder);
	EQ(ask_path(REALPATH, "l/new//"), SFTP_REPLY_NAME);
	snprintf(want, sizeof want, "%s/d/new", folder);
	STREQ(told_path(), want);
	EQ(ask_path(REALPATH, "none/new"), SFTP_STATUS_NO_SUCH_FILE);
	EQ(ask_path(REALPATH, "none/.."), SFTP_STATUS_NO_SUCH_FILE);
	EQ(ask_path(REALPATH, "/"), SFTP_REPLY_NAME);
	STREQ(told_path(), "/");
	EQ(ask_path(REALPATH, "/none-such"), SFTP_REPLY_NAME);
	STREQ(told_path(), "/none-such");
	finish();
}

TEST(sftp_tildes)
{
	char want[64];

	greet();
	EQ(ask_extension("expand-path@openssh.com", "~", NULL), SFTP_REPLY_NAME);
	STREQ(told_path(), folder);
	EQ(ask_extension("expand-path@openssh.com", "~/x", NULL), SFTP_REPLY_NAME);
	snprintf(want, sizeof want, "%s/x", folder);
	STREQ(told_path(), want);
	EQ(ask_extension("expand-path@openssh.com", "./~", NULL), SFTP_REPLY_NAME);
	snprintf(want, sizeof want, "%s/~", folder);
	STREQ(told_path(), want);
	EQ(ask_extension("expand-path@openssh.com", "~nobody-such/x", NULL),
	   SFTP_STATUS_NO_SUCH_FILE);
	EQ(ask_extension("home-directory", "", NULL), SFTP_REPLY_NAME);
	STREQ(told_path(), folder);
	finish();
}

/* ---- attributes ---- */

TEST(sftp_sets_attributes)
{
	struct stat st;

	greet();
	make("f", "FFFF");
	OK(symlink("f", "l") == 0);
	EQ(ask_attrs(NULL, "l", 15), SFTP_STATUS_OK);
	OK(stat("f", &st) == 0);
	EQ(st.st_size, 2);
	EQ(st.st_mode, 0100600);
	EQ(st.st_atime, 1000000000);
	EQ(st.st_mtime, 4000000000);
	EQ(ask_attrs("lsetstat@openssh.com", "l", SFTP_ATTR_TIMES), SFTP_STATUS_OK);
	OK(lstat("l", &st) == 0);
	EQ(st.st_mtime, 4000000000);
	EQ(ask_attrs("lsetstat@openssh.com", "l", SFTP_ATTR_SIZE), SFTP_STATUS_BAD_MESSAGE);
	EQ(ask_attrs(NULL, "none", 15), SFTP_STATUS_NO_SUCH_FILE);
	/* what can be set is set */
	EQ(ask_attrs("lsetstat@openssh.com", "f", SFTP_ATTR_SIZE | SFTP_ATTR_TIMES),
	   SFTP_STATUS_BAD_MESSAGE);
	finish();
}
