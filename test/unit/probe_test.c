/* probe/: the groups are filled on any host, and a child that hangs or dies is no harm. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../src/probe/host.c"
#include "../../src/probe/platform.c"
#include "../../src/probe/try.c"
#include "test.h"

static int refuse(void)
{
	return EPERM;
}

static int die_here(void)
{
	return raise(SIGKILL);
}

static int agree(void)
{
	return 0;
}

TEST(probe_child_answers_or_not)
{
	EQ(probe_in_child(agree), 0);
	EQ(probe_in_child(refuse), EPERM);
	EQ(probe_in_child(die_here), -1);
}

TEST(probe_root_is_the_last_mount_on_slash)
{
	struct root_mount root = {.type = STR("unknown")};

	read_mount(STR("20 1 0:18 / /proc rw,relatime - proc proc rw"), &root);
	OK(str_is(root.type, "unknown"));
	read_mount(STR("21 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw"), &root);
	OK(str_is(root.type, "ext4") && str_is(root.device, "254:0"));
	read_mount(STR("22 21 0:40 / / ro - overlay overlay ro,lowerdir=/a"), &root);
	OK(str_is(root.type, "overlay") && str_is(root.source, "overlay"));
	read_mount(STR("23"), &root);
	OK(str_is(root.type, "overlay"));
}

TEST(probe_names_capabilities)
{
	_cleanup_json_ cJSON *o = json_object();

	put_capabilities(o, "set", STR("0000000000201000"));
	_cleanup_free_ char *text = json_text(o);
	STREQ(text, "{\"set\":[\"NET_ADMIN\",\"SYS_ADMIN\"]}");
	OK(str_is(status_line(STR("Name:\tx\nCapEff:\t00ff\nX:"), "CapEff"), "00ff"));
	OK(str_is(status_line(STR("Name:\tx\n"), "CapEff"), ""));
}

TEST(probe_never_prints_a_credential)
{
	char path[] = "/tmp/probe-XXXXXX";
	int fd = mkstemp(path);
	_cleanup_json_ cJSON *o = json_object();

	OK(fd >= 0);
	EQ(write(fd, "s3cret", 6), 6);
	put_readable(o, "token", path);
	_cleanup_free_ char *text = json_text(o);
	OK(strstr(text, "s3cret") == NULL);
	HAS(text, "readable");
	unlink(path);
}

TEST(probe_finds_programs_in_path)
{
	setenv("PATH", "/nowhere::/bin", 1);
	_cleanup_free_ char *sh = in_path("sh");
	STREQ(sh, "/bin/sh");
	OK(in_path("no-such-program") == NULL);
}
