#include <fcntl.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "base/fds.h"

enum {
	FIRST = 3,
	/* the kernel's own limit, fs.nr_open, unless an administrator raised it */
	FDS_MAX = 1 << 20,
};

/* Before Linux 5.9 each number is tried: some milliseconds. */
static void close_range_of(unsigned from, unsigned to)
{
	if (from > to || syscall(SYS_close_range, from, to, 0) == 0)
		return;
	for (unsigned fd = from; fd <= to && fd < FDS_MAX; fd++)
		close((int)fd);
}

void fds_close_all_but(const int *kept, size_t n)
{
	unsigned from = FIRST;

	for (;;) {
		int next = -1;

		for (size_t i = 0; i < n; i++)
			if (kept[i] >= (int)from && (next < 0 || kept[i] < next))
				next = kept[i];
		if (next < 0)
			break;
		close_range_of(from, (unsigned)next - 1);
		from = (unsigned)next + 1;
	}
	close_range_of(from, ~0u);
}

int fds_above_stdio(int fd)
{
	return fd >= 0 && fd < FIRST ? fcntl(fd, F_DUPFD_CLOEXEC, FIRST) : fd;
}

void fds_set_stdio_aside(void)
{
	int pair[2];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* an image may have no such file */
	if (null < 0 && pipe2(pair, O_CLOEXEC) == 0) {
		null = pair[1];
		close(pair[0]);
	}
	must(null >= 0);
	bool have_stderr = fcntl(STDERR_FILENO, F_GETFD) >= 0;
	for (int fd = 0; fd < FIRST; fd++)
		if (fd != null && (fd != STDERR_FILENO || !have_stderr))
			dup2(null, fd);
	if (null >= FIRST)
		close(null);
}
