/* Operations on open files and folders, and their opening. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "sftp/sftp_impl.h"

enum {
	DEFAULT_MODE = 0666,
	PERMISSIONS = 0777,
	BATCH_BYTES = 32 << 10, /* a listing's reply ends with the entry that exceeds it */
};

/* ---- opening ---- */

/* What is on a procfs would be about ourselves (sftp.h). Nothing waits for the other end of a fifo. */
static int open_plain(const char *path, int flags, mode_t mode)
{
	struct statfs fs;

	_cleanup_close_ int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode);
	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return -1;
	if (fs.f_type == PROC_SUPER_MAGIC) {
		errno = EACCES;
		return -1;
	}
	return steal_fd(&fd);
}

static int open_flags(uint32_t pflags)
{
	static const struct {
		uint32_t theirs;
		int ours;
	} more[] = {
		{SFTP_OPEN_APPEND, O_APPEND},
		{SFTP_OPEN_CREATE, O_CREAT},
		{SFTP_OPEN_TRUNCATE, O_TRUNC},
		{SFTP_OPEN_EXCLUSIVE, O_EXCL},
	};
	int flags = O_RDONLY;

	if (pflags & SFTP_OPEN_WRITE)
		flags = pflags & SFTP_OPEN_READ ? O_RDWR : O_WRONLY;
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		if (pflags & more[i].theirs)
			flags |= more[i].ours;
	return flags;
}

static void add(struct sftp_server *s, const struct sftp_request *q, int fd, DIR *dir)
{
	struct sftp_name name;
	struct sftp_handle *h = sftp_handle_add(s, fd, dir, &name);

	if (h) {
		h->appends = q->pflags & SFTP_OPEN_APPEND;
		sftp_tell_handle(&s->out, q->id, name);
		return;
	}
	if (dir)
		closedir(dir);
	else
		close(fd);
	sftp_tell_error(&s->out, q->id, EMFILE);
}

void sftp_do_open(struct sftp_server *s, const struct sftp_request *q)
{
	mode_t mode = q->attrs.flags & SFTP_ATTR_PERMISSIONS ? q->attrs.permissions & PERMISSIONS
							     : DEFAULT_MODE;

	/* Linux would empty the file */
	if ((q->pflags & SFTP_OPEN_TRUNCATE) && !(q->pflags & SFTP_OPEN_WRITE)) {
		sftp_tell_error(&s->out, q->id, EINVAL);
		return;
	}
	int fd = open_plain(q->path[0], open_flags(q->pflags), mode);
	if (fd < 0)
		sftp_tell_error(&s->out, q->id, errno);
	else
		add(s, q, fd, NULL);
}

void sftp_do_opendir(struct sftp_server *s, const struct sftp_request *q)
{
	int fd = open_plain(q->path[0], O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir) {
		add(s, q, fd, dir);
		return;
	}
	sftp_tell_error(&s->out, q->id, errno);
	if (fd >= 0)
		close(fd);
}

/* ---- what is open ---- */

/* One of that kind; else the request is answered. */
static struct sftp_handle *find(struct sftp_server *s, const struct sftp_request *q, bool dir)
{
	struct sftp_handle *h = sftp_handle_find(s, q->handle);

	if (h && (h->dir != NULL) == dir)
		return h;
	sftp_tell_error(&s->out, q->id, EBADF);
	return NULL;
}

static struct sftp_handle *find_any(struct sftp_server *s, const struct sftp_request *q)
{
	struct sftp_handle *h = sftp_handle_find(s, q->handle);

	if (!h)
		sftp_tell_error(&s->out, q->id, EBADF);
	return h;
}

void sftp_do_close(struct sftp_server *s, const struct sftp_request *q)
{
	struct sftp_handle *h = find_any(s, q);

	if (h)
		sftp_tell_result(s, q, sftp_handle_close(h));
}

/* The data goes where it is sent from. */
void sftp_do_read(struct sftp_server *s, const struct sftp_request *q)
{
	struct sftp_handle *h = find(s, q, false);
	size_t n = MIN(q->length, (uint32_t)SFTP_DATA_MAX);

	if (!h)
		return;
	char *room = buf_room(&s->out, SFTP_DATA_HEAD + n);
	must(room != NULL);
	ssize_t r = pread(h->fd, room + SFTP_DATA_HEAD, n, (off_t)q->offset);
	if (r < 0)
		sftp_tell_error(&s->out, q->id, errno);
	else if (r == 0)
		sftp_tell_status(&s->out, q->id, SFTP_STATUS_EOF, "End of file");
	else
		sftp_tell_data(&s->out, q->id, (uint32_t)r);
}

/* The C library's pwrite goes where it is told even where O_APPEND is set. */
static int write_all(const struct sftp_handle *h, struct str data, off_t at)
{
	while (data.n > 0) {
		ssize_t n = h->appends ? write(h->fd, data.p, data.n)
				       : pwrite(h->fd, data.p, data.n, at);

		if (n < 0)
			return -1;
		data.p += n;
		data.n -= (size_t)n;
		at += n;
	}
	return 0;
}

void sftp_do_write(struct sftp_server *s, const struct sftp_request *q)
{
	struct sftp_handle *h = find(s, q, false);

	if (h)
		sftp_tell_result(s, q, write_all(h, q->data, (off_t)q->offset));
}

void sftp_do_fstat(struct sftp_server *s, const struct sftp_request *q)
{
	struct sftp_handle *h = find_any(s, q);
	struct stat st;

	if (!h)
		return;
	if (fstat(h->fd, &st) < 0)
		sftp_tell_error(&s->out, q->id, errno);
	else
		sftp_tell_attrs(&s->out, q->id, &st);
}

void sftp_do_fsetstat(struct sftp_server *s, const struct sftp_request *q)
{
	struct sftp_handle *h = find_any(s, q);

	if (h)
		sftp_tell_result(s, q, sftp_set_attrs(&q->attrs, h->fd, NULL, 0));
}

void sftp_do_fsync(struct sftp_server *s, const struct sftp_request *q)
{
	struct sftp_handle *h = find_any(s, q);

	if (h)
		sftp_tell_result(s, q, fsync(h->fd));
}

/* ---- listing ---- */

/* False: it is gone already. One that cannot be looked at has its name only. */
static bool put_entry(struct sftp_server *s, int dir, const char *name, time_t now)
{
	char line[NAME_MAX + 1 + SFTP_LINE_HEAD];
	struct sftp_attrs a = {.flags = 0};
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		a = sftp_attrs_of(&st);
		sftp_line(&s->names, name, &st, now, line, sizeof line);
	} else if (errno == ENOENT) {
		return false;
	} else {
		snprintf(line, sizeof line, "%s", name);
	}
	sftp_put_string(&s->out, str_of(name));
	sftp_put_string(&s->out, str_of(line));
	sftp_put_attrs(&s->out, &a);
	return true;
}

void sftp_do_readdir(struct sftp_server *s, const struct sftp_request *q)
{
	struct sftp_handle *h = find(s, q, true);
	const struct dirent *entry;
	time_t now = time(NULL);
	uint32_t n = 0;

	if (!h)
		return;
	size_t begun = sftp_begin(&s->out, SFTP_REPLY_NAME, q->id);
	size_t count = s->out.n;
	sftp_put_u32(&s->out, 0);
	errno = 0;
	while (s->out.n - begun < BATCH_BYTES && (entry = readdir(h->dir)) != NULL)
		/* longer names, of some file systems, are no paths' parts */
		if (strlen(entry->d_name) <= NAME_MAX && put_entry(s, h->fd, entry->d_name, now))
			n++;
	if (n > 0) {
		sftp_change_u32(&s->out, count, n);
		sftp_end(&s->out, begun);
		return;
	}
	s->out.n = begun;
	if (errno != 0 && errno != ENOENT)
		sftp_tell_error(&s->out, q->id, errno);
	else
		sftp_tell_status(&s->out, q->id, SFTP_STATUS_EOF, "End of file");
}

/* ---- file systems ---- */

enum { STATVFS_READ_ONLY = 1, STATVFS_NO_SETUID = 2 };

static void tell_statvfs(struct sftp_server *s, const struct sftp_request *q, int r,
			 const struct statvfs *v)
{
	if (r < 0) {
		sftp_tell_error(&s->out, q->id, errno);
		return;
	}
	const uint64_t numbers[] = {
		v->f_bsize,
		v->f_frsize,
		v->f_blocks,
		v->f_bfree,
		v->f_bavail,
		v->f_files,
		v->f_ffree,
		v->f_favail,
		v->f_fsid,
		(v->f_flag & ST_RDONLY ? STATVFS_READ_ONLY : 0u) |
			(v->f_flag & ST_NOSUID ? STATVFS_NO_SETUID : 0u),
		v->f_namemax,
	};
	size_t begun = sftp_begin(&s->out, SFTP_REPLY_EXTENDED, q->id);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		sftp_put_u64(&s->out, numbers[i]);
	sftp_end(&s->out, begun);
}

void sftp_do_statvfs(struct sftp_server *s, const struct sftp_request *q)
{
	struct statvfs v;
	int r = statvfs(q->path[0], &v);

	tell_statvfs(s, q, r, &v);
}

void sftp_do_fstatvfs(struct sftp_server *s, const struct sftp_request *q)
{
	struct sftp_handle *h = find_any(s, q);
	struct statvfs v;

	if (!h)
		return;
	int r = fstatvfs(h->fd, &v);
	tell_statvfs(s, q, r, &v);
}
