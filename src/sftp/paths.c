/* Operations on what has a path. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "sftp/sftp_impl.h"

enum {
	DEFAULT_FOLDER_MODE = 0777,
	MODE_BITS = 07777,
	NO_REPLACE = 1, /* linux/fs.h: RENAME_NOREPLACE */
};

void sftp_tell_result(struct sftp_server *s, const struct sftp_request *q, int r)
{
	if (r < 0)
		sftp_tell_error(&s->out, q->id, errno);
	else
		sftp_tell_status(&s->out, q->id, SFTP_STATUS_OK, "Success");
}

/* ---- attributes ---- */

static int set_size(const struct sftp_attrs *a, int fd, const char *path, int at_flags)
{
	if (fd >= 0)
		return ftruncate(fd, (off_t)a->size);
	if (at_flags == 0)
		return truncate(path, (off_t)a->size);
	errno = EINVAL; /* a link has no size to set */
	return -1;
}

static int set_mode(const struct sftp_attrs *a, int fd, const char *path, int at_flags)
{
	mode_t mode = a->permissions & MODE_BITS;

	return fd >= 0 ? fchmod(fd, mode) : fchmodat(AT_FDCWD, path, mode, at_flags);
}

static int set_times(const struct sftp_attrs *a, int fd, const char *path, int at_flags)
{
	const struct timespec times[] = {{.tv_sec = a->atime}, {.tv_sec = a->mtime}};

	return fd >= 0 ? futimens(fd, times) : utimensat(AT_FDCWD, path, times, at_flags);
}

static int set_owner(const struct sftp_attrs *a, int fd, const char *path, int at_flags)
{
	return fd >= 0 ? fchown(fd, a->uid, a->gid)
		       : fchownat(AT_FDCWD, path, a->uid, a->gid, at_flags);
}

int sftp_set_attrs(const struct sftp_attrs *a, int fd, const char *path, int at_flags)
{
	static const struct {
		uint32_t flag;
		int (*set)(const struct sftp_attrs *a, int fd, const char *path, int at_flags);
	} all[] = {
		{SFTP_ATTR_SIZE, set_size},
		/* the owner before the mode: a change of it clears the bits of setuid and setgid */
		{SFTP_ATTR_OWNER, set_owner},
		{SFTP_ATTR_PERMISSIONS, set_mode},
		{SFTP_ATTR_TIMES, set_times},
	};
	int first = 0;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if ((a->flags & all[i].flag) && all[i].set(a, fd, path, at_flags) < 0 && first == 0)
			first = errno;
	errno = first;
	return first == 0 ? 0 : -1;
}

void sftp_do_setstat(struct sftp_server *s, const struct sftp_request *q)
{
	sftp_tell_result(s, q, sftp_set_attrs(&q->attrs, -1, q->path[0], 0));
}

void sftp_do_lsetstat(struct sftp_server *s, const struct sftp_request *q)
{
	sftp_tell_result(s, q, sftp_set_attrs(&q->attrs, -1, q->path[0], AT_SYMLINK_NOFOLLOW));
}

static void tell_stat(struct sftp_server *s, const struct sftp_request *q, int at_flags)
{
	struct stat st;

	if (fstatat(AT_FDCWD, q->path[0], &st, at_flags) < 0)
		sftp_tell_error(&s->out, q->id, errno);
	else
		sftp_tell_attrs(&s->out, q->id, &st);
}

void sftp_do_stat(struct sftp_server *s, const struct sftp_request *q)
{
	tell_stat(s, q, 0);
}

void sftp_do_lstat(struct sftp_server *s, const struct sftp_request *q)
{
	tell_stat(s, q, AT_SYMLINK_NOFOLLOW);
}

/* ---- folders ---- */

void sftp_do_remove(struct sftp_server *s, const struct sftp_request *q)
{
	sftp_tell_result(s, q, unlink(q->path[0]));
}

void sftp_do_mkdir(struct sftp_server *s, const struct sftp_request *q)
{
	mode_t mode = q->attrs.flags & SFTP_ATTR_PERMISSIONS ? q->attrs.permissions & MODE_BITS
							     : DEFAULT_FOLDER_MODE;

	sftp_tell_result(s, q, mkdir(q->path[0], mode));
}

void sftp_do_rmdir(struct sftp_server *s, const struct sftp_request *q)
{
	sftp_tell_result(s, q, rmdir(q->path[0]));
}

/* ---- names ---- */

/* Version 3's rename replaces nothing (draft-02, section 6.5). A file system that cannot promise that (EINVAL) is
 * asked before. */
static int rename_only(const char *from, const char *to)
{
	struct stat st;

	if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, NO_REPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (lstat(to, &st) < 0)
		return errno == ENOENT ? rename(from, to) : -1;
	errno = EEXIST;
	return -1;
}

void sftp_do_rename(struct sftp_server *s, const struct sftp_request *q)
{
	sftp_tell_result(s, q, rename_only(q->path[0], q->path[1]));
}

void sftp_do_posix_rename(struct sftp_server *s, const struct sftp_request *q)
{
	sftp_tell_result(s, q, rename(q->path[0], q->path[1]));
}

void sftp_do_symlink(struct sftp_server *s, const struct sftp_request *q)
{
	sftp_tell_result(s, q, symlink(q->path[0], q->path[1]));
}

void sftp_do_hardlink(struct sftp_server *s, const struct sftp_request *q)
{
	sftp_tell_result(s, q, link(q->path[0], q->path[1]));
}

void sftp_do_readlink(struct sftp_server *s, const struct sftp_request *q)
{
	char target[PATH_MAX];
	ssize_t n = readlink(q->path[0], target, sizeof target - 1);

	if (n < 0) {
		sftp_tell_error(&s->out, q->id, errno);
		return;
	}
	target[n] = '\0';
	sftp_tell_path(&s->out, q->id, target);
}
