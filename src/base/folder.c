#include <errno.h>
#include <fcntl.h>

#include "base/folder.h"
#include "base/str.h"

DIR *folder_open(int at, const char *path)
{
	_cleanup_close_ int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (d != NULL)
		steal_fd(&fd); /* it is d's now */
	return d;
}

const char *folder_next_kind(DIR *d, mode_t *kind)
{
	const struct dirent *entry;

	do {
		entry = readdir(d);
	} while (entry != NULL && (streq(entry->d_name, ".") || streq(entry->d_name, "..")));
	if (entry == NULL)
		return NULL;
	*kind = DTTOIF(entry->d_type); /* DT_UNKNOWN is 0 */
	return entry->d_name;
}

const char *folder_next(DIR *d)
{
	mode_t kind;

	return folder_next_kind(d, &kind);
}

void cleanup_folderp(DIR **d)
{
	int saved = errno;

	if (*d != NULL)
		closedir(*d);
	errno = saved;
}
