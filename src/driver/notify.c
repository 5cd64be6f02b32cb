#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "driver/notify.h"
#include "net/unix_address.h"

void notify_service_manager(const char *assignment)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct unix_address at;
	struct err e;

	if (str_empty(path))
		return;
	if ((path[0] != '/' && path[0] != '@') || unix_address(&at, path, &e) < 0) {
		log_warn("NOTIFY_SOCKET is no Unix socket that can be reached", "path=%s", path);
		return;
	}
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || sendto(fd, assignment, strlen(assignment), MSG_NOSIGNAL,
			     (const struct sockaddr *)&at.sa, at.n) < 0)
		log_warn("the service manager could not be told", "what=%s error=%s", assignment,
			 strerror(errno));
}
