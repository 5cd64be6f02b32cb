/* supervisor/: copy-self, and a workspace whose volume is hostile. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "supervisor/copy_self.h"
#include "supervisor/workspace.h"
#include "test.h"

static char base[64];

static void enter_scratch(void)
{
	strcpy(base, "/tmp/supervisor-test-XXXXXX");
	OK(mkdtemp(base) != NULL);
	OK(chdir(base) == 0);
}

static void leave_scratch(void)
{
	_cleanup_free_ char *rm = xasprintf("rm -rf %s", base);

	OK(system(rm) == 0);
}

static void put(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	OK(fd >= 0);
	OK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	fchmod(fd, mode);
	close(fd);
}

static char *get(const char *path)
{
	static char text[4096];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	text[n < 0 ? 0 : n] = '\0';
	close(fd);
	return text;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_mode : 0;
}

TEST(copy_self_makes_parents_and_is_executable)
{
	struct err e;
	struct stat own, copy;

	enter_scratch();
	EQ(copy_self("a/b/openshell-sandbox", &e), 0);
	int exe = open("/proc/self/exe", O_RDONLY); /* which qemu knows to open, but not to stat */
	OK(fstat(exe, &own) == 0 && stat("a/b/openshell-sandbox", &copy) == 0);
	close(exe);
	EQ(copy.st_size, own.st_size);
	EQ(copy.st_mode, S_IFREG | 0755);
	EQ(copy_self("a/b/openshell-sandbox", &e), 0); /* again, over itself */
	EQ(copy_self("a", &e), 0);                     /* a folder: the program's own name in it */
	EQ(mode_of("a/supervisor_test"), S_IFREG | 0755);
	EQ(copy_self("new/", &e), 0);
	EQ(mode_of("new/supervisor_test"), S_IFREG | 0755);
	leave_scratch();
}

TEST(copy_self_names_what_failed)
{
	struct err e;

	enter_scratch();
	put("file", "x", 0600);
	EQ(copy_self("file/x", &e), -1);
	HAS(e.text, "file/x");
	EQ(copy_self("", &e), -1);
	STREQ(e.text, "copy-self: no destination");
	STREQ(get("file"), "x");
	leave_scratch();
}

static int copy(struct workspace_copied *done, struct err *e)
{
	int from = open("from", O_RDONLY | O_DIRECTORY), to = open("to", O_RDONLY | O_DIRECTORY);
	int r = workspace_copy(from, to, getuid(), getgid(), done, e);

	close(from);
	close(to);
	return r;
}

TEST(workspace_copies_files_folders_and_links)
{
	struct workspace_copied done = {0};
	struct err e;
	char target[64] = "";

	enter_scratch();
	OK(mkdir("from", 0755) == 0 && mkdir("to", 0755) == 0 && mkdir("from/d", 0750) == 0);
	put("from/d/run", "program", 04755);
	put("from/.hidden", "dot", 0640);
	OK(symlink("/etc/passwd", "from/link") == 0);
	OK(mkfifo("from/pipe", 0600) == 0);
	EQ(copy(&done, &e), 0);
	STREQ(get("to/d/run"), "program");
	EQ(mode_of("to/d/run"), S_IFREG | 0755); /* never setuid */
	EQ(mode_of("to/d"), S_IFDIR | 0750);
	EQ(mode_of("to/.hidden"), S_IFREG | 0640);
	EQ(readlink("to/link", target, sizeof target), 11);
	STREQ(target, "/etc/passwd");
	EQ(mode_of("to/pipe"), 0);
	EQ(done.files, 2);
	EQ(done.folders, 1);
	EQ(done.links, 1);
	EQ(done.skipped, 1);
	leave_scratch();
}

TEST(workspace_follows_and_overwrites_nothing_in_the_volume)
{
	struct workspace_copied done = {0};
	struct err e;

	enter_scratch();
	OK(mkdir("from", 0755) == 0 && mkdir("to", 0755) == 0 && mkdir("outside", 0755) == 0);
	OK(mkdir("from/d", 0755) == 0);
	put("from/d/file", "image", 0644);
	put("from/kept", "image", 0644);
	put("from/aimed", "image", 0644);
	put("outside/target", "precious", 0644);
	/* what a sandbox that ran before may have left there */
	OK(symlink("../outside", "to/d") == 0);
	OK(symlink("../outside/target", "to/aimed") == 0);
	put("to/kept", "mine", 0600);
	EQ(copy(&done, &e), 0);
	EQ(mode_of("outside/file"), 0);
	STREQ(get("outside/target"), "precious");
	STREQ(get("to/kept"), "mine");
	EQ(done.files, 0);
	EQ(done.skipped, 3);
	leave_scratch();
}

/* A container in small: a root file system with /sandbox in it, and a volume over that. */
static void enter_container(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
		SKIP("needs root and a mount namespace");
	OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	enter_scratch();
	OK(mount("root", base, "tmpfs", 0, NULL) == 0);
	OK(chroot(base) == 0 && chdir("/") == 0);
	OK(mkdir("/sandbox", 0755) == 0 && mkdir("/sandbox/work", 0755) == 0);
	put("/sandbox/work/readme", "from the image", 0644);
	OK(mount("claim", "/sandbox", "tmpfs", 0, "size=1m") == 0);
}

TEST(workspace_is_seeded_once_and_given_away)
{
	struct workspace_copied done;
	struct err why, e;
	struct stat st;

	NOT_EMULATED("open_tree");
	enter_container();
	OK(access("/sandbox/work", F_OK) < 0);
	EQ(workspace_prepare("/sandbox", 1000, 1001, &done, &why, &e), 0);
	STREQ(why.text, "");
	STREQ(get("/sandbox/work/readme"), "from the image");
	OK(stat("/sandbox/work/readme", &st) == 0 && st.st_uid == 1000 && st.st_gid == 1001);
	OK(stat("/sandbox", &st) == 0 && st.st_uid == 1000 && (st.st_mode & 0770) == 0770);
	OK(access("/sandbox/" WORKSPACE_SENTINEL, F_OK) == 0);
	EQ(done.files, 1);
	/* what the sandbox removed does not come back */
	OK(unlink("/sandbox/work/readme") == 0);
	EQ(workspace_prepare("/sandbox", 1000, 1001, &done, &why, &e), 0);
	OK(access("/sandbox/work/readme", F_OK) < 0);
	EQ(done.files, 0);
}

TEST(workspace_full_disk_leaves_no_half_file_and_no_sentinel)
{
	struct workspace_copied done;
	struct err why, e;

	NOT_EMULATED("open_tree");
	enter_container();
	OK(umount("/sandbox") == 0);
	int fd = open("/sandbox/big", O_WRONLY | O_CREAT, 0644);
	OK(fd >= 0);
	_cleanup_free_ char *block = xcalloc(1, 65536);
	for (int i = 0; i < 32; i++)
		EQ(write(fd, block, 65536), 65536);
	close(fd);
	OK(mount("claim", "/sandbox", "tmpfs", 0, "size=1m") == 0);
	EQ(workspace_prepare("/sandbox", 1000, 1000, &done, &why, &e), -1);
	HAS(e.text,
	    "copy the image's /sandbox into its volume: write big: No space left on device");
	OK(access("/sandbox/big", F_OK) < 0);
	OK(access("/sandbox/" WORKSPACE_SENTINEL, F_OK) < 0);
}

TEST(workspace_of_an_image_without_the_folder)
{
	struct workspace_copied done;
	struct err why, e;

	NOT_EMULATED("open_tree");
	enter_container();
	OK(mkdir("/other", 0755) == 0);
	OK(mount("claim", "/other", "tmpfs", 0, "size=1m") == 0);
	EQ(workspace_prepare("/other", 7, 7, &done, &why, &e), 0);
	STREQ(why.text, "");
	EQ(done.files, 0);
	OK(access("/other/" WORKSPACE_SENTINEL, F_OK) == 0);
	EQ(workspace_prepare("/nowhere", 7, 7, &done, &why, &e), -1);
	HAS(e.text, "open workspace /nowhere: No such file or directory");
}
