#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"
#include "driver/notify.h"
#include "test.h"

/* A service manager's socket at an abstract or a plain path. */
static int manager(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	OK(fd >= 0);
	memcpy(sa.sun_path, path, strlen(path));
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	OK(bind(fd, (struct sockaddr *)&sa, n) == 0);
	setenv("NOTIFY_SOCKET", path, 1);
	return fd;
}

static void expect(int fd, const char *want)
{
	char got[64] = "";

	OK(recv(fd, got, sizeof got - 1, 0) >= 0);
	STREQ(got, want);
}

TEST(the_manager_is_told)
{
	char path[64];
	snprintf(path, sizeof path, "/tmp/notify-test-%d.sock", getpid());
	int fd = manager(path);
	notify_service_manager("READY=1");
	unlink(path);
	expect(fd, "READY=1");
	snprintf(path, sizeof path, "@notify-test-%d", getpid());
	fd = manager(path);
	notify_service_manager("STOPPING=1");
	expect(fd, "STOPPING=1");
}

TEST(without_a_manager_nothing_happens)
{
	unsetenv("NOTIFY_SOCKET");
	notify_service_manager("READY=1");
	setenv("NOTIFY_SOCKET", "", 1);
	notify_service_manager("READY=1");
}

TEST(a_manager_that_is_not_there_is_no_failure)
{
	char path[200];
	setenv("NOTIFY_SOCKET", "/tmp/nobody-listens-here", 1);
	notify_service_manager("READY=1");
	setenv("NOTIFY_SOCKET", "relative", 1);
	notify_service_manager("READY=1");
	memset(path, 'x', sizeof path - 1);
	path[0] = '/';
	path[sizeof path - 1] = '\0';
	setenv("NOTIFY_SOCKET", path, 1);
	notify_service_manager("READY=1");
}
