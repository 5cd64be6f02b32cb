#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/str.h"
#include "base/util.h"
#include "supervisor/files.h"

enum { DEPTH_MAX = 128 }; /* each level holds two descriptors open */

#define STEP_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static int add_all(struct path_list *list, const struct policy_texts *paths, struct err *e)
{
	for (size_t i = 0; i < paths->n; i++)
		if (!path_list_add(list, paths->v[i]))
			return err_set(e, E2BIG, "the policy names more than %d paths",
				       BASELINE_PATHS_MAX);
	return 0;
}

int files_paths(const struct policy *policy, const char *workdir, struct sandbox_paths *out,
		size_t *added, struct err *e)
{
	*out = (struct sandbox_paths){0};
	if (add_all(&out->read_only, &policy->read_only, e) < 0 ||
	    add_all(&out->read_write, &policy->read_write, e) < 0)
		return -1;
	if (policy->include_workdir && !str_empty(workdir) &&
	    !path_list_add(&out->read_write, workdir))
		return err_set(e, E2BIG, "the policy names more than %d paths", BASELINE_PATHS_MAX);
	*added = baseline_add(out, baseline_exists);
	return 0;
}

/* One step down, making the folder when it is missing. -1 with errno. */
static int step(int at, const char *name, uid_t uid, gid_t gid, bool *made)
{
	int next = openat(at, name, STEP_FLAGS);

	if (next >= 0 || errno != ENOENT)
		return next;
	if (mkdirat(at, name, 0755) < 0 && errno != EEXIST)
		return -1;
	_cleanup_close_ int fresh = openat(at, name, STEP_FLAGS);
	if (fresh < 0 || fchownat(fresh, "", uid, gid, AT_EMPTY_PATH) < 0)
		return -1;
	*made = true;
	return steal_fd(&fresh);
}

int files_make_folder(const char *path, uid_t uid, gid_t gid, bool *made, struct err *e)
{
	struct str rest = str_of(path);
	struct stat st;

	*made = false;
	_cleanup_close_ int at = open("/", STEP_FLAGS);
	while (at >= 0 && rest.p != NULL) {
		struct str name = str_cut(&rest, '/');
		if (name.n == 0)
			continue;
		_cleanup_free_ char *word = str_dup(name);
		int next = step(at, word, uid, gid, made);
		/* a file may be what is meant, if it is the last; a link never is */
		if (next < 0 && errno == ENOTDIR &&
		    fstatat(at, word, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			if (S_ISLNK(st.st_mode))
				return err_set(e, ELOOP, "%s: leads over a symbolic link", path);
			if (str_trim(rest).n == 0)
				return 0;
			errno = ENOTDIR;
		}
		int error = errno;
		close(at);
		at = next;
		errno = error;
	}
	return at < 0 ? err_sys(e, "make folder %s", path) : 0;
}

int files_give_folder(const char *path, uid_t uid, gid_t gid, struct err *e)
{
	struct stat st;
	bool made;

	if (files_make_folder(path, uid, gid, &made, e) < 0)
		return -1;
	_cleanup_close_ int fd = open(path, FOLDER_FLAGS);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "open %s", path);
	if ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) < 0)
		return err_sys(e, "give %s to %u:%u", path, uid, gid);
	if ((st.st_mode & 0300) != 0300 && fchmod(fd, (st.st_mode & 07777) | 0300) < 0)
		return err_sys(e, "make %s writable", path);
	return 0;
}

struct giving {
	uid_t uid;
	gid_t gid;
	dev_t dev;
	size_t *given;
	struct err *e;
};

static int give_folder(struct giving *g, int fd, unsigned depth);

static int give_entry(struct giving *g, int at, const char *name, unsigned depth)
{
	struct stat st;

	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(g->e, "look at %s", name);
	if (st.st_dev != g->dev || (!S_ISDIR(st.st_mode) && st.st_nlink > 1))
		return 0;
	if (S_ISDIR(st.st_mode)) {
		_cleanup_close_ int fd = openat(at, name, FOLDER_FLAGS);
		if (fd < 0)
			return err_sys(g->e, "open folder %s", name);
		return give_folder(g, fd, depth + 1);
	}
	if (st.st_uid == g->uid && st.st_gid == g->gid)
		return 0;
	if (fchownat(at, name, g->uid, g->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(g->e, "give %s to %u:%u", name, g->uid, g->gid);
	++*g->given;
	return 0;
}

/* What is in it first: a folder that is theirs is one that is done. */
static int give_folder(struct giving *g, int fd, unsigned depth)
{
	const char *name;

	if (depth > DEPTH_MAX)
		return err_set(g->e, ELOOP, "folders are nested more than %d deep", DEPTH_MAX);
	_cleanup_folder_ DIR *dir = folder_open(fd, ".");
	if (dir == NULL)
		return err_sys(g->e, "list folder");
	while ((name = folder_next(dir)) != NULL) {
		if (give_entry(g, fd, name, depth) < 0)
			return -1;
	}
	if (fchown(fd, g->uid, g->gid) < 0)
		return err_sys(g->e, "give a folder to %u:%u", g->uid, g->gid);
	++*g->given;
	return 0;
}

int files_give(const char *path, uid_t uid, gid_t gid, size_t *given, struct err *e)
{
	struct stat st;

	*given = 0;
	_cleanup_close_ int fd = open(path, FOLDER_FLAGS);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "open %s", path);
	if (st.st_uid == uid && st.st_gid == gid)
		return 0;
	struct giving g = {uid, gid, st.st_dev, given, e};
	return give_folder(&g, fd, 0) < 0 ? err_wrap(e, "%s", path) : 0;
}
