#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "isolate/accounts.h"

enum { PASSWD_FIELDS = 7, GROUP_FIELDS = 4 };

/*
 * Takes the next entry off the text: the fields of a line that has exactly n of them. 1, or 0 at the end,
 * or -1 with an error.
 */
static int next_entry(struct str *text, struct str *fields, size_t n, struct err *e)
{
	while (text->n > 0) {
		struct str line = str_cut(text, '\n');
		size_t have = 0;

		if (line.n > ACCOUNTS_LINE_MAX)
			return err_set(e, E2BIG, "a line of more than %d bytes", ACCOUNTS_LINE_MAX);
		while (line.p && have <= n) {
			struct str field = str_cut(&line, ':');

			if (have < n)
				fields[have] = field;
			have++;
			/* a group's members are the last of four and may fill the line */
			if (field.n > ACCOUNTS_FIELD_MAX && !(n == GROUP_FIELDS && have == n))
				return err_set(e, E2BIG, "a field of more than %d bytes",
					       ACCOUNTS_FIELD_MAX);
		}
		if (have == n && fields[0].n > 0 && fields[0].p[0] != '#')
			return 1;
	}
	return 0;
}

/* An id as a file may have it: not (uid_t)-1, which means "leave it" to the kernel. */
static bool read_id(struct str text, uint32_t *out)
{
	uint64_t id;

	if (!str_u64(text, &id) || id >= UINT32_MAX)
		return false;
	*out = (uint32_t)id;
	return true;
}

static int check_size(struct str text, const char *what, struct err *e)
{
	if (text.n > ACCOUNTS_FILE_MAX)
		return err_set(e, E2BIG, "%s: more than %d bytes", what, ACCOUNTS_FILE_MAX);
	return 0;
}

/* The next account that makes sense. */
static int next_account(struct str *text, struct account *out, struct err *e)
{
	struct str f[PASSWD_FIELDS];
	int r;

	while ((r = next_entry(text, f, PASSWD_FIELDS, e)) > 0) {
		*out = (struct account){.name = f[0], .home = f[5], .shell = f[6]};
		if (read_id(f[2], &out->uid) && read_id(f[3], &out->gid))
			return 1;
	}
	return r < 0 ? err_wrap(e, "the image's /etc/passwd") : 0;
}

int account_by_name(struct str passwd, struct str name, struct account *out, struct err *e)
{
	int r = check_size(passwd, "the image's /etc/passwd", e);

	while (r >= 0 && (r = next_account(&passwd, out, e)) > 0)
		if (str_eq(out->name, name))
			return 1;
	return r;
}

int account_by_uid(struct str passwd, uid_t uid, struct account *out, struct err *e)
{
	int r = check_size(passwd, "the image's /etc/passwd", e);

	while (r >= 0 && (r = next_account(&passwd, out, e)) > 0)
		if (out->uid == uid)
			return 1;
	return r;
}

struct group_entry {
	struct str name, members;
	gid_t gid;
};

static int next_group(struct str *text, struct group_entry *out, struct err *e)
{
	struct str f[GROUP_FIELDS];
	int r;

	while ((r = next_entry(text, f, GROUP_FIELDS, e)) > 0) {
		*out = (struct group_entry){.name = f[0], .members = f[3]};
		if (read_id(f[2], &out->gid))
			return 1;
	}
	return r < 0 ? err_wrap(e, "the image's /etc/group") : 0;
}

int group_by_name(struct str group, struct str name, gid_t *out, struct err *e)
{
	struct group_entry g;
	int r = check_size(group, "the image's /etc/group", e);

	while (r >= 0 && (r = next_group(&group, &g, e)) > 0) {
		if (str_eq(g.name, name)) {
			*out = g.gid;
			return 1;
		}
	}
	return r;
}

static bool is_member(struct str members, struct str user)
{
	while (members.p && members.n > 0)
		if (str_eq(str_cut(&members, ','), user))
			return true;
	return false;
}

static bool holds(const gid_t *list, size_t n, gid_t gid)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == gid)
			return true;
	return false;
}

int groups_of(struct str group, struct str user, gid_t without, gid_t *out, size_t max,
	      struct err *e)
{
	struct group_entry g;
	size_t n = 0;
	int r = check_size(group, "the image's /etc/group", e);

	while (r >= 0 && (r = next_group(&group, &g, e)) > 0) {
		if (g.gid == without || holds(out, n, g.gid) || !is_member(g.members, user))
			continue;
		if (n == max)
			return err_set(e, E2BIG,
				       "the image's /etc/group: %.*s is in more than %zu groups",
				       STR_FMT(user), max);
		out[n++] = g.gid;
	}
	return r < 0 ? -1 : (int)n;
}

/* Without openat2 (a seccomp profile from before it) the last name may be no link, and that must do. */
static int open_below(int root, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);

	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		fd = openat(root, path, (int)how.flags | O_NOFOLLOW);
	return fd;
}

int accounts_read(int root, const char *path, char **out, size_t *n, struct err *e)
{
	_cleanup_close_ int fd = open_below(root, path);
	struct stat st;

	*n = 0;
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		*out = xstrdup("");
		return 0;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "the image's /%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "the image's /%s: not a plain file", path);
	if (st.st_size > ACCOUNTS_FILE_MAX)
		return err_set(e, E2BIG, "the image's /%s: more than %d bytes", path,
			       ACCOUNTS_FILE_MAX);
	/* one byte more than it should have shows a file that grows meanwhile */
	_cleanup_free_ char *text = xmalloc(ACCOUNTS_FILE_MAX + 1);
	ssize_t got = file_read_all(fd, text, ACCOUNTS_FILE_MAX + 1);
	if (got < 0)
		return err_sys(e, "the image's /%s", path);
	*n = (size_t)got;
	if (*n > ACCOUNTS_FILE_MAX)
		return err_set(e, E2BIG, "the image's /%s: more than %d bytes", path,
			       ACCOUNTS_FILE_MAX);
	*out = steal(&text);
	return 0;
}
