/* isolate/identity and isolate/accounts: who a sandbox is, by whatever an image's files hold. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/isolate/accounts.c"
#include "isolate/identity.h"
#include "test.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "# comment:x:5:5::/:\n"
			     "short:x:7\n"
			     "sandbox:x:1000:1001::/sandbox:/bin/sh\n"
			     "default:x:1002:0::/opt:/bin/sh\n"
			     "twice:x:1003:1003::/first:/bin/sh\n"
			     "twice:x:0:0::/second:/bin/sh\n"
			     "huge:x:4294967296:1::/:\n"
			     "keep:x:4294967295:1::/:\n"
			     "minus:x:-1:1::/:\n"
			     "toor:x:0:1000::/:\n"
			     "odd:x:1004:1004::/a\tb:\n";
static const char group[] = "root:x:0:\n"
			    "sandbox:x:1001:\n"
			    "audio:x:29:other,sandbox\n"
			    "audio2:x:29:sandbox\n"
			    "video:x:44:sandboxed,sandbox\n"
			    "own:x:1001:sandbox\n"
			    "bad:x:many:sandbox\n"
			    "other:x:50:other\n";

static struct identity id;
static struct err e;

static struct identity_source image(void)
{
	return (struct identity_source){.passwd = str_of(passwd), .group = str_of(group)};
}

static int oci(const char *user)
{
	struct identity_source from = image();

	from.oci_user = user;
	return identity_resolve(&from, &id, &e);
}

static int driver(const char *uid, const char *gid)
{
	struct identity_source from = image();

	from.uid = uid;
	from.gid = gid;
	from.oci_user = "";
	return identity_resolve(&from, &id, &e);
}

static int policy(const char *user, const char *of_group)
{
	struct identity_source from = image();

	from.run_as_user = user;
	from.run_as_group = of_group;
	return identity_resolve(&from, &id, &e);
}

TEST(identity_of_nobody_in_particular_is_sandbox)
{
	EQ(policy(NULL, NULL), 0);
	EQ(id.uid, 1000);
	EQ(id.gid, 1001);
	EQ(id.n_groups, 2);
	EQ(id.groups[0], 29); /* once, though it has two names */
	EQ(id.groups[1], 44);
	STREQ(id.name, "sandbox");
	STREQ(id.home, "/sandbox");
}

TEST(identity_of_the_policy)
{
	EQ(policy("5000", "6000"), 0);
	EQ(id.uid, 5000);
	EQ(id.gid, 6000);
	EQ(id.n_groups, 0);
	STREQ(id.name, "");
	EQ(policy("1000", "sandbox"), 0);
	EQ(id.gid, 1001);
	EQ(id.n_groups, 0); /* a number has none */
	STREQ(id.home, "/sandbox");
	EQ(policy("sandbox", "44"), 0);
	EQ(id.gid, 44);
	EQ(id.n_groups, 2);
	EQ(id.groups[1], 1001);
	EQ(policy("4294967294", "4294967294"), 0);

	const char *bad[] = {"0",  "root",    "4294967295",          "-1",
			     "1 ", "default", "18446744073709551617"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		EQ(policy(bad[i], "5"), -1);
		HAS(e.text, "run_as_user");
		EQ(policy("5", bad[i]), -1);
		HAS(e.text, "run_as_group");
	}
}

TEST(identity_of_the_driver)
{
	EQ(driver("1000", "2000"), 0);
	EQ(id.uid, 1000);
	EQ(id.gid, 2000);
	EQ(id.n_groups, 0);
	STREQ(id.name, "sandbox");
	EQ(driver("1000", NULL), -1);
	HAS(e.text, "one without the other");
	EQ(driver("", "1000"), -1);
	EQ(driver("0", "1000"), -1);
	EQ(driver("1000", "0"), -1);
	EQ(driver("sandbox", "1000"), -1);

	struct identity_source from = image();
	from.uid = from.gid = "7";
	from.oci_user = "sandbox";
	EQ(identity_resolve(&from, &id, &e), -1);
	from.oci_user = "";
	from.run_as_user = "8"; /* the driver's word counts */
	EQ(identity_resolve(&from, &id, &e), 0);
	EQ(id.uid, 7);
}

TEST(identity_of_an_image)
{
	EQ(oci("sandbox"), 0);
	EQ(id.uid, 1000);
	EQ(id.gid, 1001);
	EQ(id.n_groups, 2);
	EQ(oci("sandbox:video"), 0);
	EQ(id.gid, 44);
	EQ(id.n_groups, 0);
	EQ(oci("1000"), 0); /* a number with an entry is the entry */
	EQ(id.gid, 1001);
	EQ(id.n_groups, 2);
	EQ(oci("1000:5"), 0);
	EQ(id.gid, 5);
	EQ(id.n_groups, 0);
	EQ(oci("3000"), 0);
	EQ(id.gid, 3000); /* and not root's */
	EQ(id.n_groups, 0);
	EQ(oci("default"), 0);
	EQ(id.gid, 0); /* as the image says */
	EQ(oci("3000:0"), 0);
	EQ(oci("twice"), 0);
	EQ(id.uid, 1003);
	STREQ(id.home, "/first");
	EQ(oci("odd"), 0);
	STREQ(id.home, ""); /* no such thing in an environment */
}

TEST(identity_is_never_root)
{
	const char *roots[] = {"root", "0", "toor", "root:sandbox", "0:1000", "000", "toor:video"};

	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		EQ(oci(roots[i]), -1);
		HAS(e.text, "not run as root");
	}
	struct identity_source from = {.passwd = STR("sandbox:x:0:0::/:\n"),
				       .group = STR("sandbox:x:5:\n")};
	EQ(identity_resolve(&from, &id, &e), -1);
	HAS(e.text, "not run as root, which user sandbox of the image is");
}

TEST(identity_that_an_image_does_not_have)
{
	const char *absent[] = {"nobody", "huge",       "keep",        "minus",
				"short",  ":5",         "sandbox:x",   "sandbox:a:b",
				"#",      "4294967295", "1:4294967295"};

	for (size_t i = 0; i < ARRAY_LEN(absent); i++)
		EQ(oci(absent[i]), -1);
	EQ(oci("nobody"), -1);
	STREQ(e.text, "the image's user nobody: user nobody: not in the image's /etc/passwd");
	struct identity_source nothing = {0};
	EQ(identity_resolve(&nothing, &id, &e), -1);
	HAS(e.text, "group sandbox: not in the image's /etc/group");
}

TEST(accounts_beyond_a_limit_are_errors)
{
	static char line[ACCOUNTS_LINE_MAX + 100];
	struct account a;

	memset(line, 'x', sizeof line);
	memcpy(line, "a:", 2);
	line[ACCOUNTS_FIELD_MAX + 5] = '\n';
	EQ(account_by_name(str_sub(line, sizeof line), STR("b"), &a, &e), -1);
	HAS(e.text, "/etc/passwd: a field of more than 1024 bytes");
	memset(line, ':', sizeof line);
	EQ(account_by_name(str_sub(line, sizeof line), STR("b"), &a, &e), -1);
	HAS(e.text, "a line of more than 8192 bytes");
	EQ(account_by_uid(str_sub(line, ACCOUNTS_FILE_MAX + 1), 1, &a, &e), -1);
	EQ(e.code, E2BIG);
}

TEST(accounts_of_a_group_with_many_members)
{
	static char text[ACCOUNTS_LINE_MAX + 1];
	gid_t gids[1];
	size_t n = (size_t)snprintf(text, sizeof text, "g:x:5:");

	while (n < 5000)
		n += (size_t)snprintf(text + n, sizeof text - n, "user%zu,", n);
	n += (size_t)snprintf(text + n, sizeof text - n, "me\nh:x:6:me\n");
	EQ(groups_of(str_sub(text, n), STR("me"), 6, gids, 1, &e), 1);
	EQ(gids[0], 5);
	EQ(groups_of(str_sub(text, n), STR("me"), 0, gids, 1, &e), -1);
	HAS(e.text, "me is in more than 1 groups");
	EQ(groups_of(str_sub(text, n), STR(""), 0, gids, 1, &e), 0);
}

static int in(const char *folder, const char *file, char **text, size_t *n)
{
	_cleanup_close_ int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return accounts_read(fd, file, text, n, &e);
}

TEST(accounts_are_read_from_plain_files_only)
{
	char dir[] = "/tmp/accounts-test-XXXXXX";
	char *text = NULL;
	size_t n = 0;

	NOT_EMULATED("openat2");
	OK(mkdtemp(dir) && chdir(dir) == 0 && mkdir("etc", 0755) == 0);
	EQ(in(dir, "etc/passwd", &text, &n), 0);
	EQ(n, 0);
	free(text);
	int fd = open("etc/passwd", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	OK(write(fd, "a:b\n", 4) == 4);
	EQ(in(dir, "etc/passwd", &text, &n), 0);
	EQ(n, 4);
	MEMEQ(text, "a:b\n", 4);
	free(text);
	EQ(ftruncate(fd, ACCOUNTS_FILE_MAX + 1), 0);
	EQ(in(dir, "etc/passwd", &text, &n), -1);
	HAS(e.text, "the image's /etc/passwd: more than 1048576 bytes");
	close(fd);
	EQ(mkfifo("etc/fifo", 0644), 0); /* nobody waits for a writer */
	EQ(in(dir, "etc/fifo", &text, &n), -1);
	HAS(e.text, "not a plain file");
	EQ(symlink("/etc/hostname", "etc/link"), 0); /* leads nowhere inside */
	EQ(in(dir, "etc/link", &text, &n), 0);
	EQ(n, 0);
	free(text);
	EQ(in("/", "proc/self/exe", &text, &n), -1); /* leads to what is open */
	unlink("etc/passwd");
	unlink("etc/fifo");
	unlink("etc/link");
	rmdir("etc");
	rmdir(dir);
}
