#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "driver/notify.h"

void notify_service_manager(const char *assignment)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (str_empty(path))
		return;
	size_t n = strlen(path);
	if (n > sizeof sa.sun_path || (path[0] != '/' && path[0] != '@')) {
		log_warn("NOTIFY_SOCKET is no Unix socket that can be reached", "path=%s", path);
		return;
	}
	memcpy(sa.sun_path, path, n);
	if (path[0] == '@') /* an abstract socket */
		sa.sun_path[0] = '\0';
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	if (fd < 0 || sendto(fd, assignment, strlen(assignment), MSG_NOSIGNAL,
			     (const struct sockaddr *)&sa, size) < 0)
		log_warn("the service manager could not be told", "what=%s error=%s", assignment,
			 strerror(errno));
}
