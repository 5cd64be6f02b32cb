#include <errno.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "supervisor/copy_file.h"

enum {
	AT_ONCE = 1 << 24,
	BUFFER = 65536,
};

static int copy_by_hand(int from, int to)
{
	_cleanup_free_ char *buffer = xmalloc(BUFFER);

	for (;;) {
		ssize_t n = read(from, buffer, BUFFER);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		if (file_write_all(to, buffer, (size_t)n) < 0)
			return -1;
	}
}

int copy_file(int from, int to)
{
	for (;;) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, AT_ONCE, 0);
		if (n > 0 || (n < 0 && errno == EINTR))
			continue;
		/* 0 at once may also mean a file system that does not say its sizes: read() decides */
		if (n == 0 || errno == EXDEV || errno == EINVAL || errno == ENOSYS ||
		    errno == EOPNOTSUPP || errno == EPERM || errno == EIO)
			return copy_by_hand(from, to);
		return -1;
	}
}
