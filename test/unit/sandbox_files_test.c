/* supervisor/: the files that are prepared for a sandbox, and those that are read for it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "supervisor/files.h"
#include "supervisor/hosts.h"
#include "supervisor/passwd.h"
#include "test.h"

static char base[64];
static struct err e;

static void enter_scratch(void)
{
	strcpy(base, "/tmp/sandbox-files-XXXXXX");
	OK(mkdtemp(base) != NULL);
	OK(chdir(base) == 0);
}

static void leave_scratch(void)
{
	_cleanup_free_ char *rm = xasprintf("rm -rf %s", base);

	OK(system(rm) == 0);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	OK(fd >= 0);
	OK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
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

static int make(const char *below, bool *made)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", base, below);

	return files_make_folder(path, getuid(), getgid(), made, &e);
}

TEST(folder_is_made_with_what_is_above_it)
{
	struct stat st;
	bool made;

	enter_scratch();
	EQ(make("a//b/c/", &made), 0);
	OK(made && stat("a/b/c", &st) == 0 && (st.st_mode & 07777) == 0755);
	EQ(make("a/b/c", &made), 0);
	OK(!made);
	put("file", "x");
	EQ(make("file", &made), 0);
	OK(!made);
	EQ(make("file/x", &made), -1);
	EQ(e.code, ENOTDIR);
	leave_scratch();
}

TEST(folder_is_never_made_over_a_link)
{
	struct stat st;
	bool made;

	enter_scratch();
	OK(mkdir("etc", 0755) == 0 && symlink("etc", "data") == 0 && symlink("gone", "end") == 0);
	EQ(make("data/cron.d", &made), -1);
	EQ(e.code, ELOOP);
	OK(stat("etc/cron.d", &st) < 0);
	EQ(make("end", &made), -1);
	EQ(e.code, ELOOP);
	OK(stat("gone", &st) < 0);
	leave_scratch();
}

TEST(folder_is_given_to_whom_it_is_for)
{
	struct stat st;
	bool made;

	if (geteuid() != 0)
		SKIP("needs root");
	enter_scratch();
	_cleanup_free_ char *path = xasprintf("%s/a/b", base);
	EQ(files_make_folder(path, 1000, 1001, &made, &e), 0);
	OK(stat("a", &st) == 0 && st.st_uid == 1000 && st.st_gid == 1001);
	OK(stat("a/b", &st) == 0 && st.st_uid == 1000 && st.st_gid == 1001);
	OK(stat(".", &st) == 0 && st.st_uid == 0);
	leave_scratch();
}

TEST(only_the_folder_itself_is_given)
{
	struct stat st;

	if (geteuid() != 0)
		SKIP("needs root");
	enter_scratch();
	OK(mkdir("work", 0055) == 0 && symlink("work", "link") == 0);
	put("work/file", "x");
	_cleanup_free_ char *path = xasprintf("%s/work", base);
	_cleanup_free_ char *below = xasprintf("%s/below/more", path);
	_cleanup_free_ char *link = xasprintf("%s/link", base);
	EQ(files_give_folder(path, 1000, 1001, &e), 0);
	OK(stat("work", &st) == 0 && st.st_uid == 1000 && st.st_gid == 1001);
	EQ(st.st_mode & 07777, 0355);
	OK(stat("work/file", &st) == 0 && st.st_uid == 0);
	EQ(files_give_folder(path, 1000, 1001, &e), 0); /* it is theirs */
	EQ(files_give_folder(below, 1000, 1001, &e), 0);
	OK(stat(below, &st) == 0 && st.st_uid == 1000);
	EQ(files_give_folder(link, 1, 1, &e), -1);
	EQ(e.code, ELOOP);
	leave_scratch();
}

TEST(give_follows_nothing_and_spares_what_has_other_names)
{
	struct stat st;
	size_t given;

	if (geteuid() != 0)
		SKIP("needs root");
	enter_scratch();
	OK(mkdir("home", 0755) == 0 && mkdir("home/d", 0755) == 0);
	put("home/d/file", "x");
	put("outside", "x");
	put("shadow", "x");
	OK(symlink("../outside", "home/link") == 0 && link("shadow", "home/hard") == 0);
	_cleanup_free_ char *path = xasprintf("%s/home", base);
	EQ(files_give(path, 1000, 1001, &given, &e), 0);
	EQ(given, 4); /* home, d, file, link itself */
	OK(stat("home/d/file", &st) == 0 && st.st_uid == 1000 && st.st_gid == 1001);
	OK(lstat("home/link", &st) == 0 && st.st_uid == 1000);
	OK(stat("outside", &st) == 0 && st.st_uid == 0);
	OK(stat("shadow", &st) == 0 && st.st_uid == 0);
	EQ(files_give(path, 1000, 1001, &given, &e), 0); /* it is theirs */
	EQ(given, 0);
	EQ(files_give("/no/such", 1, 1, &given, &e), 0);
	leave_scratch();
}

TEST(passwd_has_one_line_of_the_name)
{
	char *t = passwd_replace(STR("a:1\nsandbox:x:2\nb:3\nsandbox:x:4"), "sandbox", "sandbox:y");

	STREQ(t, "a:1\nsandbox:y\nb:3\n");
	free(t);
	t = passwd_replace(STR("sandboxes:1\nend"), "sandbox", "sandbox:y");
	STREQ(t, "sandboxes:1\nend\nsandbox:y\n");
	free(t);
	t = passwd_replace(STR(""), "sandbox", "sandbox:y");
	STREQ(t, "sandbox:y\n");
	free(t);
}

TEST(passwd_is_written_once_and_whole)
{
	bool changed;
	struct stat st;

	enter_scratch();
	OK(mkdir("etc", 0755) == 0);
	put("etc/passwd", "root:x:0:0::/root:/bin/sh\nsandbox:x:998:998::/x:/bin/false\n");
	put("victim", "keep");
	OK(symlink("../victim", "etc/.group.openshell") == 0);
	int root = open(".", O_RDONLY | O_DIRECTORY);
	EQ(passwd_write(root, 1000, 1001, &changed, &e), 0);
	OK(changed);
	STREQ(get("etc/passwd"), "root:x:0:0::/root:/bin/sh\n"
				 "sandbox:x:1000:1001::/sandbox:/bin/sh\n");
	STREQ(get("etc/group"), "sandbox:x:1001:\n");
	OK(stat("etc/passwd", &st) == 0 && (st.st_mode & 07777) == 0644);
	STREQ(get("victim"), "keep");
	EQ(passwd_write(root, 1000, 1001, &changed, &e), 0);
	OK(!changed);
	close(root);
	leave_scratch();
}

TEST(hosts_names_the_gateway)
{
	struct address a;
	char text[ADDRESS_TEXT_MAX];

	OK(hosts_gateway(STR("127.0.0.1 localhost # host.openshell.internal\n"
			     "10.1.1.1\tx host.docker.internal\n"
			     " 10.89.0.1  other  Host.OpenShell.Internal  # c\n"),
			 &a));
	address_text(&a, text);
	STREQ(text, "10.89.0.1:0");
	OK(hosts_gateway(STR("fd00::1 host.containers.internal"), &a));
	OK(!hosts_gateway(STR("host-gateway host.containers.internal\n"), &a));
	OK(!hosts_gateway(STR("1.2.3.4\n#\n\n \n1.2.3.4 host.openshell.internal.evil"), &a));
	OK(!hosts_gateway(STR(""), &a));
}
