/* Paths without links, dots and tildes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "sftp/sftp_impl.h"

static int join(char out[PATH_MAX], struct str dir, const char *between, struct str name)
{
	int n = snprintf(out, PATH_MAX, "%.*s%s%.*s", STR_FMT(dir), between, STR_FMT(name));

	if (n >= 0 && n < PATH_MAX)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

/* The folder is there, but not what shall be in it. */
static int resolve_new(const char *path, char out[PATH_MAX])
{
	char dir[PATH_MAX], real[PATH_MAX];
	size_t n = strlen(path);

	while (n > 0 && path[n - 1] == '/')
		n--;
	size_t begin = n;
	while (begin > 0 && path[begin - 1] != '/')
		begin--;
	struct str name = str_sub(path + begin, n - begin);
	if (name.n == 0 || str_is(name, ".") || str_is(name, "..")) {
		errno = ENOENT;
		return -1;
	}
	snprintf(dir, sizeof dir, "%.*s", begin > 0 ? (int)begin : 1, begin > 0 ? path : ".");
	if (!realpath(dir, real))
		return -1;
	return join(out, str_of(real), streq(real, "/") ? "" : "/", name);
}

/* As OpenSSH's server has it: the last part need not be there. */
static int resolve(const char *path, char out[PATH_MAX])
{
	if (path[0] == '\0')
		path = ".";
	if (realpath(path, out))
		return 0;
	return errno == ENOENT ? resolve_new(path, out) : -1;
}

static int home_of(struct sftp_server *s, struct str user, struct str *out)
{
	*out = user.n == 0 ? str_of(s->home) : sftp_names_home(&s->names, user);
	if (out->n > 0)
		return 0;
	errno = ENOENT;
	return -1;
}

/* ~, ~/path, ~user, ~user/path */
static int expand(struct sftp_server *s, const char *path, char out[PATH_MAX])
{
	struct str rest = str_of(path), home;

	if (!str_skip(&rest, "~"))
		return join(out, rest, "", STR_NONE);
	struct str user = str_cut(&rest, '/');
	if (home_of(s, user, &home) < 0)
		return -1;
	return join(out, home, "/", rest);
}

static void tell(struct sftp_server *s, const struct sftp_request *q, const char *path)
{
	char real[PATH_MAX];

	if (resolve(path, real) < 0)
		sftp_tell_error(&s->out, q->id, errno);
	else
		sftp_tell_path(&s->out, q->id, real);
}

void sftp_do_realpath(struct sftp_server *s, const struct sftp_request *q)
{
	tell(s, q, q->path[0]);
}

void sftp_do_expand_path(struct sftp_server *s, const struct sftp_request *q)
{
	char path[PATH_MAX];

	if (expand(s, q->path[0], path) < 0)
		sftp_tell_error(&s->out, q->id, errno);
	else
		tell(s, q, path);
}

/* Of a user by name; "" is who we are. */
void sftp_do_home_directory(struct sftp_server *s, const struct sftp_request *q)
{
	char path[PATH_MAX];
	struct str home;

	if (home_of(s, str_of(q->path[0]), &home) < 0 || join(path, home, "", STR_NONE) < 0)
		sftp_tell_error(&s->out, q->id, errno);
	else
		sftp_tell_path(&s->out, q->id, path);
}
