/*
 * The server's state, and what carries requests out. Included by src/sftp and its tests only.
 *
 *	serve.c     the loop, and the table of operations
 *	handles.c   open files and folders, by name
 *	files.c     operations on what is open
 *	paths.c     operations on what has a path
 *	resolve.c   a path without links, dots and tildes
 */
#ifndef OPENSHELL_SFTP_SFTP_IMPL_H
#define OPENSHELL_SFTP_SFTP_IMPL_H

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>

#include "base/buf.h"
#include "sftp/names.h"
#include "sftp/reply.h"
#include "sftp/request.h"

struct sftp_handle {
	uint32_t generation; /* of whom is here: an old name is not taken for a new one */
	int fd;              /* -1: nobody is; a folder's is dir's */
	DIR *dir;            /* NULL: a file */
	bool appends;        /* whatever the offset */
};

struct sftp_server {
	struct buf in, out; /* whole replies, room for one more */
	bool greeted;       /* its SFTP_INIT was answered */
	struct sftp_request request;
	struct sftp_handle handles[SFTP_HANDLES_MAX];
	struct sftp_names names;
	char home[PATH_MAX];
};

/* Carries a request out and appends the one reply to s->out. */
typedef void sftp_handler(struct sftp_server *s, const struct sftp_request *q);

sftp_handler sftp_do_open, sftp_do_close, sftp_do_read, sftp_do_write, sftp_do_fstat,
	sftp_do_fsetstat, sftp_do_opendir, sftp_do_readdir, sftp_do_fsync, sftp_do_fstatvfs;
sftp_handler sftp_do_lstat, sftp_do_stat, sftp_do_setstat, sftp_do_lsetstat, sftp_do_remove,
	sftp_do_mkdir, sftp_do_rmdir, sftp_do_rename, sftp_do_posix_rename, sftp_do_readlink,
	sftp_do_symlink, sftp_do_hardlink, sftp_do_statvfs;
sftp_handler sftp_do_realpath, sftp_do_expand_path, sftp_do_home_directory;
sftp_handler sftp_do_limits;

/* Answers by what a system call returned: r < 0 is an error, by errno. */
void sftp_tell_result(struct sftp_server *s, const struct sftp_request *q, int r);

void sftp_handles_init(struct sftp_server *s);
void sftp_handles_fini(struct sftp_server *s);
/* Takes fd (and dir, whose it is then, or NULL), gives it a name: what is there now. NULL, and nothing taken: none is
 * free. */
struct sftp_handle *sftp_handle_add(struct sftp_server *s, int fd, DIR *dir, struct sftp_name *out);
/* NULL, and errno EBADF: it is not open. */
struct sftp_handle *sftp_handle_find(struct sftp_server *s, struct sftp_name name);
/* 0, or -1 with errno: what a close may say. It is gone in either case. */
int sftp_handle_close(struct sftp_handle *h);

/* Sets what a->flags names: of fd, or where that is -1 of path, whose last link is followed unless at_flags has
 * AT_SYMLINK_NOFOLLOW. All of it is tried; -1 with the first errno. */
int sftp_set_attrs(const struct sftp_attrs *a, int fd, const char *path, int at_flags);

#endif
