#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/util.h"
#include "net/unix_address.h"

int unix_address(struct unix_address *out, const char *name, struct err *e)
{
	const size_t n = strlen(name), max = sizeof out->sa.sun_path - 1;
	const size_t prefix = name[0] == '@';

	if (n == prefix)
		return err_set(e, EINVAL, "'%s' names no socket", name);
	if (n > max)
		return err_set(e, ENAMETOOLONG,
			       "'%s' is %zu bytes long, the name of a socket may have %zu", name, n,
			       max);
	*out = (struct unix_address){.sa = {.sun_family = AF_UNIX}};
	/* an abstract name begins with a NUL instead of the "@", and is as long as it is said to be */
	memcpy(out->sa.sun_path + prefix, name + prefix, n - prefix);
	out->n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	return 0;
}

int unix_connect(int *out, const char *name, struct err *e)
{
	struct unix_address at;

	if (unix_address(&at, name, e) < 0)
		return err_wrap(e, "connect");
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&at.sa, at.n) < 0)
		return err_sys(e, "connect to %s", name);
	*out = steal_fd(&fd);
	return 0;
}
