#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "base/util.h"
#include "isolate/own_proc.h"

enum {
	MOUNTS_MAX = 4 << 20, /* bytes of mountinfo: tens of thousands of mounts */
	/* linux/stat.h, Linux 5.8: the path is where a mount begins */
	ATTRIBUTE_MOUNT_ROOT = 0x2000,
};

#define MOUNTS "/proc/self/mountinfo"

/* ---- the new one ---- */

int own_proc_mount(struct err *e)
{
	struct statvfs old;
	unsigned rights = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

	if (statvfs("/proc", &old) == 0 && (old.f_flag & ST_RDONLY))
		rights |= MOUNT_ATTR_RDONLY;
	_cleanup_close_ int fs = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
	if (fs < 0)
		return err_sys(e, "fsopen(proc)");
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_sys(e, "fsconfig(proc)");
	int mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, rights);
	return mount < 0 ? err_sys(e, "fsmount(proc)") : mount;
}

/* ---- what lies over the old one ---- */

/* Whether something is mounted there, and not hidden itself below another mount. */
static bool is_mount(const char *path)
{
	struct statx st;

	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &st) == 0 &&
	       (st.stx_attributes & ATTRIBUTE_MOUNT_ROOT);
}

/* Whether a mask that is there already takes it along. */
static bool has(const struct own_proc *p, struct str path)
{
	for (size_t i = 0; i < p->n_masks; i++) {
		struct str rest = path;
		if (str_skip(&rest, p->masks[i].path) && (rest.n == 0 || rest.p[0] == '/'))
			return true;
	}
	return false;
}

static int clone_mask(struct own_proc *p, struct str below, struct err *e)
{
	_cleanup_free_ char *path = xasprintf("/proc/%.*s", STR_FMT(below));

	/* those of one process concern no other; the kernel writes what is no plain character as \ooo */
	if (isdigit((unsigned char)below.p[0]) || has(p, below))
		return 0;
	if (memchr(below.p, '\\', below.n))
		return err_set(e, EINVAL, "a mount over %s", path);
	if (!is_mount(path))
		return 0;
	if (p->n_masks == OWN_PROC_MASKS_MAX)
		return err_set(e, E2BIG, "more than %d mounts over /proc", OWN_PROC_MASKS_MAX);
	int mount = (int)syscall(SYS_open_tree, AT_FDCWD, path,
				 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE |
					 AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT);
	if (mount < 0)
		return err_sys(e, "open_tree(%s)", path);
	p->masks[p->n_masks++] = (struct own_proc_mask){str_dup(below), mount};
	return 0;
}

/* A line's fifth word is where the mount is (proc(5)); what is below another mount comes after it. */
int own_proc_clone_masks(struct own_proc *p, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	size_t n;

	if (file_read(MOUNTS, MOUNTS_MAX, &text, &n, e) < 0)
		return -1;
	for (struct str rest = str_sub(text, n); rest.n > 0;) {
		struct str line = str_cut(&rest, '\n'), at = STR_NONE;

		for (int i = 0; i < 5; i++)
			at = str_cut(&line, ' ');
		if (str_skip(&at, "/proc/") && at.n > 0 && clone_mask(p, at, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- its place ---- */

static int move(int mount, int folder, const char *at)
{
	return (int)syscall(SYS_move_mount, mount, "", folder, at, MOVE_MOUNT_F_EMPTY_PATH);
}

int own_proc_put(const struct own_proc *p, const char *at, struct err *e)
{
	if (move(p->mount, AT_FDCWD, at) < 0)
		return err_sys(e, "move_mount(proc)");
	for (size_t i = 0; i < p->n_masks; i++) {
		const struct own_proc_mask *mask = &p->masks[i];

		/* what is not there needs no mask */
		if (move(mask->mount, p->mount, mask->path) == 0 || errno == ENOENT)
			continue;
		err_sys(e, "move_mount(/proc/%s)", mask->path);
		must(umount2(at, MNT_DETACH) == 0);
		return -1;
	}
	return 0;
}

void own_proc_fini(struct own_proc *p)
{
	for (size_t i = 0; i < p->n_masks; i++) {
		close(p->masks[i].mount);
		free(p->masks[i].path);
	}
	if (p->mount >= 0)
		close(p->mount);
	*p = OWN_PROC_NONE;
}
