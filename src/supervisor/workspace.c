#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/str.h"
#include "base/util.h"
#include "supervisor/copy_file.h"
#include "supervisor/workspace.h"

enum {
	/* each level holds two descriptors open */
	DEPTH_MAX = 128,
	/* linux/mount.h, which clashes with sys/mount.h */
	OPEN_TREE_CLONE_FLAG = 1,
};

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct copying {
	uid_t uid;
	gid_t gid;
	struct workspace_copied *done;
	struct err *e;
};

static int copy_folder(struct copying *c, int from, int to, unsigned depth);

static int copy_regular(struct copying *c, int from, int to, const char *name, mode_t mode)
{
	_cleanup_close_ int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (in < 0)
		return err_sys(c->e, "read %s", name);
	_cleanup_close_ int out =
		openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0 && errno == EEXIST) {
		c->done->skipped++;
		return 0;
	}
	if (out < 0)
		return err_sys(c->e, "create %s", name);
	if (copy_file(in, out) < 0 || fchown(out, c->uid, c->gid) < 0 ||
	    fchmod(out, mode & 0777) < 0) {
		err_sys(c->e, "write %s", name);
		unlinkat(to, name, 0); /* half a file would never be completed */
		return -1;
	}
	c->done->files++;
	return 0;
}

static int copy_link(struct copying *c, int from, int to, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from, name, target, sizeof target - 1);

	if (n < 0)
		return err_sys(c->e, "read link %s", name);
	target[n] = '\0';
	if (symlinkat(target, to, name) < 0) {
		if (errno != EEXIST)
			return err_sys(c->e, "create link %s", name);
		c->done->skipped++;
		return 0;
	}
	if (fchownat(to, name, c->uid, c->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(c->e, "give link %s to %u:%u", name, c->uid, c->gid);
	c->done->links++;
	return 0;
}

static int copy_subfolder(struct copying *c, int from, int to, const char *name, mode_t mode,
			  unsigned depth)
{
	bool made = mkdirat(to, name, 0700) == 0;

	if (!made && errno != EEXIST)
		return err_sys(c->e, "make folder %s", name);
	_cleanup_close_ int in = openat(from, name, FOLDER_FLAGS);
	if (in < 0)
		return err_sys(c->e, "open folder %s", name);
	_cleanup_close_ int out = openat(to, name, FOLDER_FLAGS);
	if (out < 0 && (errno == ENOTDIR || errno == ELOOP)) {
		c->done->skipped++; /* something else has that name: it stays */
		return 0;
	}
	if (out < 0)
		return err_sys(c->e, "open folder %s", name);
	if (copy_folder(c, in, out, depth + 1) < 0)
		return err_wrap(c->e, "%s", name);
	if (made && (fchown(out, c->uid, c->gid) < 0 || fchmod(out, (mode & 0777) | 0700) < 0))
		return err_sys(c->e, "give folder %s to %u:%u", name, c->uid, c->gid);
	c->done->folders += made;
	return 0;
}

static int copy_entry(struct copying *c, int from, int to, const char *name, unsigned depth)
{
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(c->e, "look at %s", name);
	if (S_ISREG(st.st_mode))
		return copy_regular(c, from, to, name, st.st_mode);
	if (S_ISLNK(st.st_mode))
		return copy_link(c, from, to, name);
	if (S_ISDIR(st.st_mode))
		return copy_subfolder(c, from, to, name, st.st_mode, depth);
	c->done->skipped++;
	return 0;
}

static int copy_folder(struct copying *c, int from, int to, unsigned depth)
{
	const char *name;

	if (depth > DEPTH_MAX)
		return err_set(c->e, ELOOP, "folders are nested more than %d deep", DEPTH_MAX);
	_cleanup_folder_ DIR *dir = folder_open(from, ".");
	if (dir == NULL)
		return err_sys(c->e, "list folder");
	while ((name = folder_next(dir)) != NULL) {
		if (copy_entry(c, from, to, name, depth) < 0)
			return -1;
	}
	return 0;
}

int workspace_copy(int from, int to, uid_t uid, gid_t gid, struct workspace_copied *done,
		   struct err *e)
{
	struct copying c = {.uid = uid, .gid = gid, .done = done, .e = e};

	return copy_folder(&c, from, to, 0);
}

/* The image's own folder under what is mounted at dir: a clone of the root mount alone shows it. */
static int open_hidden(const char *dir, struct err *why)
{
	_cleanup_close_ int root =
		(int)syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE_FLAG | O_CLOEXEC);
	if (root < 0)
		return err_sys(why, "see the image's %s (open_tree)", dir);
	int fd = openat(root, dir + strspn(dir, "/"), FOLDER_FLAGS);
	if (fd < 0)
		return err_sys(why, "open the image's %s", dir);
	return fd;
}

/* Only this one inode is given away: what is in the volume is the sandbox's own affair. */
static int give_root(int fd, const char *dir, uid_t uid, gid_t gid, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "look at %s", dir);
	if ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) < 0)
		return err_sys(e, "give %s to %u:%u", dir, uid, gid);
	if ((st.st_mode & 0770) != 0770 && fchmod(fd, (st.st_mode & 07777) | 0770) < 0)
		return err_sys(e, "make %s writable", dir);
	return 0;
}

static int make_sentinel(int fd, uid_t uid, gid_t gid, struct err *e)
{
	_cleanup_close_ int s = openat(fd, WORKSPACE_SENTINEL,
				       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (s < 0 || fchown(s, uid, gid) < 0)
		return err_sys(e, "create " WORKSPACE_SENTINEL);
	return 0;
}

int workspace_prepare(const char *dir, uid_t uid, gid_t gid, struct workspace_copied *done,
		      struct err *why, struct err *e)
{
	struct stat st;

	*done = (struct workspace_copied){0};
	why->text[0] = '\0';
	_cleanup_close_ int to = open(dir, FOLDER_FLAGS);
	if (to < 0)
		return err_sys(e, "open workspace %s", dir);
	if (give_root(to, dir, uid, gid, e) < 0)
		return -1;
	if (fstatat(to, WORKSPACE_SENTINEL, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	_cleanup_close_ int from = open_hidden(dir, why);
	if (from < 0 && why->code != ENOENT)
		return 0;
	/* an image that has no such folder has nothing to copy */
	why->text[0] = '\0';
	if (from >= 0 && workspace_copy(from, to, uid, gid, done, e) < 0)
		return err_wrap(e, "copy the image's %s into its volume", dir);
	return make_sentinel(to, uid, gid, e);
}
