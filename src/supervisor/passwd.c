#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/util.h"
#include "isolate/accounts.h"
#include "supervisor/passwd.h"

#define NAME "sandbox"

char *passwd_replace(struct str text, const char *name, const char *line)
{
	_cleanup_buf_ struct buf out = BUF_INIT(ACCOUNTS_FILE_MAX + ACCOUNTS_LINE_MAX);
	bool done = false;

	while (text.p != NULL && text.n > 0) {
		struct str old = str_cut(&text, '\n'), rest = old;

		if (!str_is(str_cut(&rest, ':'), name)) {
			must(buf_str(&out, old) && buf_char(&out, '\n'));
		} else if (!done) {
			must(buf_printf(&out, "%s\n", line));
			done = true;
		}
	}
	if (!done)
		must(buf_printf(&out, "%s\n", line));
	return buf_take(&out);
}

static int replace_file(int etc, const char *name, struct str text, struct err *e)
{
	char fresh[64];

	snprintf(fresh, sizeof fresh, ".%s.openshell", name);
	unlinkat(etc, fresh, 0); /* of one that was killed here */
	_cleanup_close_ int fd =
		openat(etc, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, "write the image's /etc/%s", name);
	if (file_write_all(fd, text.p, text.n) < 0 || fchmod(fd, 0644) < 0 ||
	    renameat(etc, fresh, etc, name) < 0) {
		err_sys(e, "write the image's /etc/%s", name);
		unlinkat(etc, fresh, 0);
		return -1;
	}
	return 0;
}

static int update(int root, int etc, const char *name, const char *line, bool *changed,
		  struct err *e)
{
	_cleanup_free_ char *path = xasprintf("etc/%s", name);
	_cleanup_free_ char *old = NULL;
	size_t n;

	if (accounts_read(root, path, &old, &n, e) < 0)
		return -1;
	_cleanup_free_ char *fresh = passwd_replace(str_sub(old, n), NAME, line);
	if (str_eq(str_sub(old, n), str_of(fresh)))
		return 0;
	*changed = true;
	return replace_file(etc, name, str_of(fresh), e);
}

int passwd_write(int root, uid_t uid, gid_t gid, bool *changed, struct err *e)
{
	_cleanup_free_ char *user = xasprintf(NAME ":x:%u:%u::/sandbox:/bin/sh", uid, gid);
	_cleanup_free_ char *group = xasprintf(NAME ":x:%u:", gid);

	*changed = false;
	_cleanup_close_ int etc =
		openat(root, "etc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (etc < 0)
		return err_sys(e, "open the image's /etc");
	if (update(root, etc, "passwd", user, changed, e) < 0)
		return -1;
	return update(root, etc, "group", group, changed, e);
}
