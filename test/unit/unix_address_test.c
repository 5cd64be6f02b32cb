#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "net/unix_address.h"
#include "test.h"

/* name's text and then x up to n bytes. */
static const char *filled(const char *name, size_t n)
{
	static char text[200];

	must(n < sizeof text);
	memset(text, 'x', n);
	memcpy(text, name, strlen(name));
	text[n] = '\0';
	return text;
}

/* Listens at name as it is taken by the kernel. */
static int listener(const char *name, int backlog)
{
	struct unix_address at;
	struct err e;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	OK(unix_address(&at, name, &e) == 0);
	OK(bind(fd, (struct sockaddr *)&at.sa, at.n) == 0 && listen(fd, backlog) == 0);
	return fd;
}

TEST(a_path_is_as_it_is_and_ends)
{
	struct unix_address at;
	struct err e;

	OK(unix_address(&at, "/run/x.sock", &e) == 0);
	EQ(at.sa.sun_family, AF_UNIX);
	STREQ(at.sa.sun_path, "/run/x.sock");
	EQ(at.n, offsetof(struct sockaddr_un, sun_path) + 11);
	OK(unix_address(&at, filled("/", 107), &e) == 0);
	EQ(strlen(at.sa.sun_path), 107);
}

TEST(an_abstract_name_begins_with_a_nul_and_is_as_long_as_it_is)
{
	struct unix_address at;
	struct err e;

	OK(unix_address(&at, "@x", &e) == 0);
	OK(memcmp(at.sa.sun_path, "\0x", 2) == 0);
	EQ(at.n, offsetof(struct sockaddr_un, sun_path) + 2);
	OK(unix_address(&at, "a@x", &e) == 0);
	STREQ(at.sa.sun_path, "a@x");
}

TEST(what_is_no_name_is_refused)
{
	struct unix_address at;
	struct err e;

	EQ(unix_address(&at, "", &e), -1);
	EQ(e.code, EINVAL);
	EQ(unix_address(&at, "@", &e), -1);
	EQ(e.code, EINVAL);
	STREQ(e.text, "'@' names no socket");
	EQ(unix_address(&at, filled("/", 108), &e), -1);
	EQ(e.code, ENAMETOOLONG);
	HAS(e.text, "xxx' is 108 bytes long, the name of a socket may have 107");
	EQ(unix_address(&at, filled("@", 108), &e), -1);
	EQ(e.code, ENAMETOOLONG);
}

TEST(either_can_be_connected_to)
{
	char path[64], name[64];
	struct err e;
	int a, b;

	snprintf(path, sizeof path, "/tmp/unix-address-test-%d", getpid());
	snprintf(name, sizeof name, "@unix-address-test-%d", getpid());
	int plain = listener(path, 1), abstract = listener(name, 1);
	OK(unix_connect(&a, path, &e) == 0);
	OK(unix_connect(&b, name, &e) == 0);
	unlink(path);
	OK(accept(plain, NULL, NULL) >= 0);
	OK(accept(abstract, NULL, NULL) >= 0);
	EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
	OK(fcntl(a, F_GETFL) & O_NONBLOCK);
}

TEST(who_cannot_be_connected_to_is_named)
{
	char want[100], name[64];
	struct err e;
	int fd;

	EQ(unix_connect(&fd, "/tmp/nobody-listens-here", &e), -1);
	EQ(e.code, ENOENT);
	STREQ(e.text, "connect to /tmp/nobody-listens-here: No such file or directory");
	EQ(unix_connect(&fd, "", &e), -1);
	STREQ(e.text, "connect: '' names no socket");
	snprintf(name, sizeof name, "@unix-address-test-%d", getpid());
	snprintf(want, sizeof want, "connect to %s: Connection refused", name);
	EQ(unix_connect(&fd, name, &e), -1);
	STREQ(e.text, want);
}

TEST(a_full_backlog_is_not_waited_for)
{
	char name[64];
	struct err e;
	int fd;

	snprintf(name, sizeof name, "@unix-address-test-%d", getpid());
	listener(name, 0);
	OK(unix_connect(&fd, name, &e) == 0);
	EQ(unix_connect(&fd, name, &e), -1);
	EQ(e.code, EAGAIN);
}
