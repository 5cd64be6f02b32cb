#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "test.h"

static char top[] = "/tmp/folder-test.XXXXXX";

static void remove_all(void)
{
	static const char *const names[] = {"link", "...", "a", "b/c", "b", "."};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[64];
		snprintf(path, sizeof path, "%s/%s", top, names[i]);
		if (remove(path) < 0 && i < ARRAY_LEN(names) - 1)
			perror(path);
	}
	rmdir(top);
}

/* top/{a, ..., b/c, link -> b} */
static int make(void)
{
	OK(mkdtemp(top) != NULL);
	int fd = open(top, O_RDONLY | O_DIRECTORY);
	OK(mkdirat(fd, "b", 0700) == 0 && symlinkat("b", fd, "link") == 0);
	close(openat(fd, "a", O_CREAT | O_WRONLY, 0600));
	close(openat(fd, "...", O_CREAT | O_WRONLY, 0600));
	close(openat(fd, "b/c", O_CREAT | O_WRONLY, 0600));
	atexit(remove_all);
	return fd;
}

/* The names' first letters. */
static const char *letters(int at, const char *path)
{
	static char seen[16];
	_cleanup_folder_ DIR *d = folder_open(at, path);
	const char *name;
	size_t n = 0;

	OK(d != NULL);
	OK(fcntl(dirfd(d), F_GETFD) & FD_CLOEXEC);
	while ((name = folder_next(d)) != NULL && n < sizeof seen - 1)
		seen[n++] = name[0];
	seen[n] = '\0';
	return seen;
}

TEST(every_name_but_two)
{
	int fd = make();

	for (int i = 0; i < 2; i++) { /* from the beginning again */
		const char *seen = letters(fd, ".");
		EQ(strlen(seen), 4);
		OK(strchr(seen, '.') && strchr(seen, 'a') && strchr(seen, 'b') &&
		   strchr(seen, 'l'));
	}
	STREQ(letters(fd, "b"), "c");
	EQ(strlen(letters(AT_FDCWD, top)), 4);
}

/* Or that the file system does not say. */
TEST(what_a_name_is)
{
	int fd = make();
	_cleanup_folder_ DIR *d = folder_open(fd, ".");
	mode_t kind = 1;
	const char *name;
	int seen = 0;

	while ((name = folder_next_kind(d, &kind)) != NULL) {
		mode_t is = name[0] == 'b' ? S_IFDIR : name[0] == 'l' ? S_IFLNK : S_IFREG;

		OK(kind == 0 || kind == is);
		seen++;
	}
	EQ(seen, 4);
}

TEST(what_is_no_folder)
{
	int fd = make(), next = dup(fd);

	close(next);
	OK(folder_open(fd, "a") == NULL && errno == ENOTDIR);
	OK(folder_open(fd, "none") == NULL && errno == ENOENT);
	OK(folder_open(fd, "link") == NULL); /* ENOTDIR or ELOOP */
	EQ(dup(fd), next);                   /* nothing is left open */
}
