/*
 * The making of a view: a tmpfs with what view_plan says, and what is given bound into it; then it is the root, and
 * the old one is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "isolate/view_plan.h"

enum { AT_RECURSIVE_TREE = 0x8000 }; /* AT_RECURSIVE of linux/fcntl.h */

/* The names, and nothing else: no room for more than the plan may have. */
#define TMPFS_SIZE "16m"

int view_leave(struct err *e)
{
	if (unshare(CLONE_NEWNS) < 0)
		return err_sys(e, "unshare(NEWNS)");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_sys(e, "keep mounts from going out");
	/* whoever is forked between now and then goes along to the new root, and holds nothing of the old one */
	return chdir("/") < 0 ? err_sys(e, "chdir /") : 0;
}

/* ---- calls that the C library does not have ---- */

static int set_option(int fs, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
}

/* Nothing comes in there from outside any more, since it would be without them. */
static int set_attributes(int mount, uint64_t attributes, unsigned flags)
{
	struct mount_attr attr = {.attr_set = attributes, .propagation = MS_PRIVATE};

	return (int)syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | flags, &attr,
			    sizeof attr);
}

static int move(int mount, int to)
{
	return (int)syscall(SYS_move_mount, mount, "", to, "",
			    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/* ---- the names ---- */

static int make_tmpfs(struct err *e)
{
	_cleanup_close_ int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0)
		return err_sys(e, "fsopen tmpfs");
	if (set_option(fs, "size", TMPFS_SIZE) < 0 || set_option(fs, "mode", "0700") < 0 ||
	    syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_sys(e, "make a tmpfs");
	int root = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
				MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return root < 0 ? err_sys(e, "fsmount") : root;
}

static int make_names(int at, const struct view_node *folder, mode_t mode);

static int make_name(int at, const struct view_node *n, mode_t mode)
{
	switch (n->kind) {
	case VIEW_LINK:
		return symlinkat(n->target, at, n->name);
	case VIEW_GIVEN_FILE:
	case VIEW_CLOSED_FILE:
		return mknodat(at, n->name, S_IFREG, 0);
	case VIEW_GIVEN_FOLDER:
	case VIEW_CLOSED_FOLDER:
		return mkdirat(at, n->name, 0);
	case VIEW_FOLDER:
		break;
	}
	if (mkdirat(at, n->name, 0700) < 0)
		return -1;
	_cleanup_close_ int fd = openat(at, n->name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -1 : make_names(fd, n, mode);
}

/* -1 with errno. */
static int make_names(int at, const struct view_node *folder, mode_t mode)
{
	for (const struct view_node *n = folder->first; n; n = n->next)
		if (make_name(at, n, mode) < 0)
			return -1;
	/* by a name: fchmod takes no O_PATH descriptor, and in the C library goes by a /proc then which may not know us */
	return fchmodat(at, ".", mode, 0);
}

/* ---- what is given ---- */

struct making {
	const struct view *view;
	const struct view_plan *plan;
	int old, new; /* roots */
};

/*
 * With Landlock in force a mount that is read-only would only change the error of what that refuses anyway, from
 * EACCES to EROFS.
 */
static int restrict_bind(const struct making *m, const struct view_bind *b, int tree)
{
	if (b->access == VIEW_LOOK)
		return set_attributes(tree,
				      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
					      MOUNT_ATTR_NOEXEC,
				      AT_RECURSIVE_TREE);
	if (b->access == VIEW_READ && !m->view->enforced)
		return set_attributes(tree, MOUNT_ATTR_RDONLY, AT_RECURSIVE_TREE);
	return 0;
}

static int bind_one(const struct making *m, const struct view_bind *b, struct err *e)
{
	_cleanup_close_ int from = file_open_without_links(m->old, b->path);
	_cleanup_close_ int to = file_open_without_links(m->new, b->path);

	if (from < 0 || to < 0)
		return err_sys(e, "open /%s", b->path);
	_cleanup_close_ int tree = (int)syscall(SYS_open_tree, from, "",
						AT_EMPTY_PATH | AT_RECURSIVE_TREE |
							OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return err_sys(e, "open_tree /%s", b->path);
	if (restrict_bind(m, b, tree) < 0)
		return err_sys(e, "mount_setattr /%s", b->path);
	return move(tree, to) < 0 ? err_sys(e, "move_mount /%s", b->path) : 0;
}

static int bind_all(const struct making *m, struct err *e)
{
	for (size_t i = 0; i < m->plan->n_binds; i++)
		if (bind_one(m, &m->plan->binds[i], e) < 0)
			return -1;
	/* the names, for good */
	return set_attributes(m->new, MOUNT_ATTR_RDONLY, 0) < 0 ? err_sys(e, "mount_setattr /") : 0;
}

/*
 * The new root lies over the old one; now it takes its place (pivot_root(2), "pivot_root(".", ".")"). The seccomp profile
 * of containerd refuses that, also to who has CAP_SYS_ADMIN, and so does a kernel whose root is an initramfs. Then the
 * old root stays below, and this process, and all of the sandbox with it, is locked into the new one: who is to get
 * out of that needs CAP_SYS_CHROOT or a descriptor from outside, and nobody there has either.
 */
static int turn(const struct making *m, struct err *e)
{
	if (fchdir(m->new) < 0)
		return err_sys(e, "chdir to the new root");
	int pivoted = (int)syscall(SYS_pivot_root, ".", ".");
	int error = errno;
	if (pivoted < 0 && chroot(".") < 0) {
		errno = error;
		return err_sys(e, "pivot_root");
	}
	must((pivoted < 0 || umount2(".", MNT_DETACH) == 0) && chdir("/") == 0);
	return 0;
}

static int make_all_names(const struct making *m, struct err *e)
{
	/* who may not list them anyway is not told their names by a mode either, where there is no Landlock */
	mode_t mode = m->view->enforced ? 0555 : 0111;

	return make_names(m->new, &m->plan->root, mode) < 0 ? err_sys(e, "make names in a tmpfs")
							    : 0;
}

static int fill_and_turn(const struct making *m, struct err *e)
{
	if (make_all_names(m, e) < 0)
		return -1;
	if (move(m->new, m->old) < 0)
		return err_sys(e, "move_mount /");
	if (bind_all(m, e) == 0 && turn(m, e) == 0)
		return 0;
	/* of what is stacked at "/" that is the uppermost; with all that is in it */
	must(umount2("/", MNT_DETACH) == 0 && chdir("/") == 0);
	return -1;
}

static int show(const struct view *v, struct view_plan *plan, struct err *e)
{
	_cleanup_close_ int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (old < 0)
		return err_sys(e, "open /");
	if (view_plan(plan, v, old, e) < 0)
		return -1;
	if (plan->all)
		return err_set(e, VIEW_OF_ALL, "the policy gives /");
	_cleanup_close_ int new = make_tmpfs(e);
	if (new < 0)
		return -1;
	const struct making m = {v, plan, old, new};
	return fill_and_turn(&m, e);
}

/* The own /proc is put over the old one first: it is then bound like all that is given. */
int view_enter(const struct view *v, const struct own_proc *own, struct err *shown, struct err *e)
{
	struct err why = {0};

	if (own && own_proc_put(own, "/proc", e) < 0)
		return -1;
	if (v) {
		struct view_plan *plan = xcalloc(1, sizeof *plan);
		show(v, plan, &why);
		view_plan_fini(plan);
		free(plan);
	}
	*shown = why;
	return 0;
}
