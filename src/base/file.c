#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "base/util.h"

static int open_file(const char *path, struct err *e)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "read %s", path);
	if (S_ISDIR(st.st_mode))
		return err_set(e, EISDIR, "read %s: a directory", path);
	if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		return err_set(e, EINVAL, "read %s: not a file", path);
	return steal_fd(&fd);
}

ssize_t file_read_all(int fd, void *to, size_t max)
{
	size_t n = 0;

	while (n < max) {
		ssize_t got = read(fd, (char *)to + n, max - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

int file_write_all(int fd, const void *from, size_t n)
{
	const char *p = from;

	while (n > 0) {
		ssize_t put = write(fd, p, n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -1;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

int file_read(const char *path, size_t max, char **out, size_t *n, struct err *e)
{
	_cleanup_close_ int fd = open_file(path, e);
	if (fd < 0)
		return -1;
	/* one byte more than may be, so that one too many is seen */
	_cleanup_free_ char *text = xmalloc(max + 1);
	ssize_t got = file_read_all(fd, text, max + 1);
	if (got < 0)
		return err_sys(e, "read %s", path);
	if ((size_t)got <= max) {
		*out = memcpy(xmalloc((size_t)got + 1), text, (size_t)got);
		(*out)[got] = '\0';
		if (n != NULL)
			*n = (size_t)got;
	}
	explicit_bzero(text, (size_t)got);
	if ((size_t)got > max)
		return err_set(e, EFBIG, "read %s: larger than %zu bytes", path, max);
	return 0;
}

int file_open_without_links(int folder, const char *path)
{
	_cleanup_close_ int at = openat(folder, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct str rest = str_of(path);
	struct stat st;

	while (at >= 0 && rest.p) {
		struct str name = str_cut(&rest, '/');

		if (name.n == 0)
			continue;
		_cleanup_free_ char *word = str_dup(name);
		int next = openat(at, word, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		close(at);
		at = next;
		if (at >= 0 && fstat(at, &st) == 0 && S_ISLNK(st.st_mode)) {
			errno = ELOOP;
			return -1;
		}
	}
	return steal_fd(&at);
}
