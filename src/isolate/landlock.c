#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "base/util.h"
#include "isolate/landlock.h"
#include "isolate/landlock_abi.h"

enum {
	FS_ABI_1 = (1 << 13) - 1,
	FS_ABI_2 = FS_ABI_1 | FS_REFER,
	FS_ABI_3 = FS_ABI_2 | FS_TRUNCATE,
	FS_ABI_5 = FS_ABI_3 | FS_IOCTL_DEV,
	FS_ABI_9 = FS_ABI_5 | FS_RESOLVE_UNIX,

	FS_OF_FILES = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV |
		      FS_RESOLVE_UNIX,
	FS_READ_ONLY = FS_EXECUTE | FS_READ_FILE | FS_READ_DIR | FS_RESOLVE_UNIX,
	SCOPES = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL,
};

/* What each ABI can restrict. 4 brought network ports, 7 audit records, 8 restricting all threads. */
static const struct ruleset_attr abis[LANDLOCK_ABI_KNOWN + 1] = {
	[1] = {.handled_fs = FS_ABI_1},
	[2] = {.handled_fs = FS_ABI_2},
	[3] = {.handled_fs = FS_ABI_3},
	[4] = {.handled_fs = FS_ABI_3},
	[5] = {.handled_fs = FS_ABI_5},
	[6] = {.handled_fs = FS_ABI_5, .scoped = SCOPES},
	[7] = {.handled_fs = FS_ABI_5, .scoped = SCOPES},
	[8] = {.handled_fs = FS_ABI_5, .scoped = SCOPES},
	[9] = {.handled_fs = FS_ABI_9, .scoped = SCOPES},
};

static const struct {
	int since;
	const char *name;
} rights[] = {
	{2, "refer"},
	{3, "truncate"},
	{5, "ioctl_dev"},
	{6, "signal"},
	{6, "abstract_unix_socket"},
	{9, "resolve_unix"},
};

static const char *const result_names[] = {"applied", "missing", "symlink", "inaccessible"};
_Static_assert(ARRAY_LEN(result_names) == LANDLOCK_RESULT_COUNT, "a name for each result");

const char *landlock_result_name(enum landlock_result r)
{
	must(r >= 0 && r < LANDLOCK_RESULT_COUNT);
	return result_names[r];
}

int landlock_mode_parse(const char *text, enum landlock_mode *out, struct err *e)
{
	if (str_empty(text) || streq(text, "best_effort"))
		*out = LANDLOCK_BEST_EFFORT;
	else if (streq(text, "hard_requirement"))
		*out = LANDLOCK_HARD_REQUIREMENT;
	else
		return err_set(
			e, EINVAL,
			"Landlock compatibility %.64s: neither best_effort nor hard_requirement",
			text);
	return 0;
}

int landlock_abi(void)
{
	return (int)syscall(CALL_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);
}

size_t landlock_missing(int abi, const char **names, size_t max)
{
	size_t n = 0;

	if (abi < 1 && max > 0) {
		names[n++] = "everything";
		return n;
	}
	for (size_t i = 0; i < ARRAY_LEN(rights) && n < max; i++)
		if (rights[i].since > abi)
			names[n++] = rights[i].name;
	return n;
}

/* What a kernel of this ABI is asked to restrict. */
static struct ruleset_attr handled(int abi, bool scoped)
{
	struct ruleset_attr attr = abis[MIN(abi, (int)LANDLOCK_ABI_KNOWN)];

	if (!scoped)
		attr.scoped = 0;
	return attr;
}

static uint64_t rights_of(const struct ruleset_attr *attr, bool write, bool folder)
{
	uint64_t all = write ? attr->handled_fs : attr->handled_fs & FS_READ_ONLY;

	return folder ? all : all & FS_OF_FILES;
}

/*
 * A read-write path is opened name by name, each one no link: a link in an image (/sandbox -> /etc)
 * would turn the policy's words into something that nobody wrote. -1 with errno, ELOOP for a link.
 */
static int open_without_links(const char *path)
{
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return root < 0 ? -1 : file_open_without_links(root, path);
}

/*
 * A read-only path may lead over links, since distributions have /lib and /bin that way; but not over
 * those of /proc, which lead to what some process has open. Where a seccomp profile hides openat2, a
 * plain open serves: all that such a link could add is reading.
 */
static int open_following(const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);

	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		fd = open(path, O_PATH | O_CLOEXEC);
	return fd;
}

static int add_rule(int ruleset, const struct ruleset_attr *attr, int fd, bool write)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	struct path_beneath_attr rule = {
		.allowed = rights_of(attr, write, S_ISDIR(st.st_mode)),
		.parent_fd = fd,
	};
	return (int)syscall(CALL_ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, 0);
}

/* Gives the rights of one path; out->result says what became of it. */
static void add_path(int ruleset, const struct ruleset_attr *attr, struct landlock_path *out)
{
	_cleanup_close_ int fd =
		out->write ? open_without_links(out->path) : open_following(out->path);

	if (fd >= 0 && add_rule(ruleset, attr, fd, out->write) == 0) {
		out->result = LANDLOCK_APPLIED;
		return;
	}
	out->error = errno;
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		out->result = LANDLOCK_MISSING;
		out->error = 0;
	} else if (fd < 0 && errno == ELOOP && out->write) {
		out->result = LANDLOCK_SYMLINK;
	} else {
		out->result = LANDLOCK_INACCESSIBLE;
	}
}

/* One of the policy's two lists. */
struct list {
	const char *const *paths;
	size_t n;
	bool write;
};

struct build {
	const struct landlock_policy *policy;
	struct ruleset_attr attr;
	landlock_path_fn *each;
	void *arg;
	int fd;
	size_t applied;
};

static int add_list(struct build *b, const struct list *list, struct err *e)
{
	for (size_t i = 0; i < list->n; i++) {
		struct landlock_path path = {.path = list->paths[i], .write = list->write};

		add_path(b->fd, &b->attr, &path);
		if (b->each)
			b->each(b->arg, &path);
		if (path.result == LANDLOCK_APPLIED)
			b->applied++;
		else if (path.result != LANDLOCK_MISSING &&
			 b->policy->mode == LANDLOCK_HARD_REQUIREMENT)
			return err_set(e, path.error,
				       "Landlock path %s in hard_requirement mode: %s", path.path,
				       path.result == LANDLOCK_SYMLINK
					       ? "read-write over a symbolic link"
					       : strerror(path.error));
	}
	return 0;
}

static int check_policy(const struct landlock_policy *p, struct err *e)
{
	const struct list lists[] = {{p->read_only, p->n_read_only, false},
				     {p->read_write, p->n_read_write, true}};

	if (p->n_read_only + p->n_read_write > LANDLOCK_PATHS_MAX)
		return err_set(e, E2BIG, "%zu Landlock paths: more than %d",
			       p->n_read_only + p->n_read_write, LANDLOCK_PATHS_MAX);
	for (size_t l = 0; l < ARRAY_LEN(lists); l++)
		for (size_t i = 0; i < lists[l].n; i++)
			if (lists[l].paths[i][0] != '/')
				return err_set(e, EINVAL, "Landlock path %s: not absolute",
					       lists[l].paths[i]);
	return 0;
}

static const char *why_not(int error)
{
	switch (error) {
	case ENOSYS:
		return "the kernel has none, or a seccomp profile hides it";
	case EOPNOTSUPP:
		return "the kernel has it, but it is not enabled at boot (lsm=)";
	case EPERM:
		return "refused, as a seccomp profile does";
	default:
		return strerror(error);
	}
}

/* Nothing can be enforced: an error, or what best_effort puts up with. */
static int unavailable(const struct landlock_policy *p, struct landlock *out, struct err *e)
{
	if (p->mode == LANDLOCK_HARD_REQUIREMENT)
		return err_set(e, out->why.code,
			       "Landlock unavailable in hard_requirement mode: %s", out->why.text);
	out->state = LANDLOCK_UNAVAILABLE;
	return 0;
}

int landlock_build(const struct landlock_policy *p, landlock_path_fn *each, void *arg,
		   struct landlock *out, struct err *e)
{
	const struct list read_only = {p->read_only, p->n_read_only, false};
	const struct list read_write = {p->read_write, p->n_read_write, true};

	*out = LANDLOCK_NONE;
	if (check_policy(p, e) < 0)
		return -1;
	int abi = landlock_abi();
	int error = abi < 0 ? errno : 0;
	out->abi = MAX(abi, 0);
	if (p->n_read_only + p->n_read_write == 0)
		return 0;
	if (abi < 1) {
		err_set(&out->why, error ? error : ENOSYS, "%s", why_not(error ? error : ENOSYS));
		return unavailable(p, out, e);
	}
	if (abi < LANDLOCK_ABI_HARD && p->mode == LANDLOCK_HARD_REQUIREMENT) {
		err_set(&out->why, EOPNOTSUPP, "the kernel's ABI is %d, %d is needed", abi,
			LANDLOCK_ABI_HARD);
		return unavailable(p, out, e);
	}

	struct build b = {p, handled(abi, p->scoped), each, arg, -1, 0};
	_cleanup_close_ int fd = (int)syscall(CALL_CREATE_RULESET, &b.attr, sizeof b.attr, 0);
	if (fd < 0) {
		err_sys(&out->why, "create a ruleset");
		return unavailable(p, out, e);
	}
	b.fd = fd;
	if (add_list(&b, &read_only, e) < 0 || add_list(&b, &read_write, e) < 0)
		return -1;
	out->applied = b.applied;
	if (b.applied == 0) {
		err_set(&out->why, ENOENT, "none of the policy's paths can be used");
		return unavailable(p, out, e);
	}
	out->state = LANDLOCK_READY;
	out->fd = steal_fd(&fd);
	return 0;
}

int landlock_give(int ruleset_fd, int fd, bool write)
{
	int abi = landlock_abi();

	if (abi < 0)
		return -1;
	const struct ruleset_attr attr = handled(abi, true);
	return add_rule(ruleset_fd, &attr, fd, write);
}

void landlock_fini(struct landlock *l)
{
	if (l->fd >= 0)
		close(l->fd);
	*l = LANDLOCK_NONE;
}

int landlock_restrict(int ruleset_fd)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return (int)syscall(CALL_RESTRICT_SELF, ruleset_fd, 0);
}

int landlock_restrict_all(void)
{
	int abi = landlock_abi();

	if (abi < 0)
		return -1;
	const struct ruleset_attr attr = handled(abi, true);
	_cleanup_close_ int fd = (int)syscall(CALL_CREATE_RULESET, &attr, sizeof attr, 0);
	return fd < 0 ? -1 : landlock_restrict(fd);
}
