#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "supervisor/copy_file.h"
#include "supervisor/copy_self.h"

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Makes every folder above the last component of path. */
static int make_parents(const char *path, struct err *e)
{
	_cleanup_free_ char *at = xstrdup(path);

	for (char *p = at + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		if (mkdir(at, 0755) < 0 && errno != EEXIST)
			return err_sys(e, "make folder %s", at);
		*p = '/';
	}
	return 0;
}

/* Where the copy goes; the caller's. */
static char *destination(const char *dest)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	const char *name = "openshell-sandbox";

	if (!is_folder(dest) && !str_ends(str_of(dest), "/"))
		return xstrdup(dest);
	if (n > 0) {
		exe[n] = '\0';
		name = strrchr(exe, '/') + 1;
	}
	return xasprintf("%s%s%s", dest, str_ends(str_of(dest), "/") ? "" : "/", name);
}

int copy_self(const char *dest, struct err *e)
{
	if (str_empty(dest))
		return err_set(e, EINVAL, "copy-self: no destination");
	_cleanup_free_ char *path = destination(dest);
	_cleanup_free_ char *fresh = xasprintf("%s.%d.new", path, (int)getpid());
	if (make_parents(path, e) < 0)
		return -1;
	_cleanup_close_ int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return err_sys(e, "open /proc/self/exe");
	_cleanup_close_ int to = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (to < 0)
		return err_sys(e, "create %s", fresh);
	if (copy_file(from, to) < 0 || fchmod(to, 0755) < 0) {
		err_sys(e, "write %s", fresh);
		unlink(fresh);
		return -1;
	}
	/* a program whose file is open for writing cannot be executed (ETXTBSY) */
	close(steal_fd(&to));
	if (rename(fresh, path) < 0) {
		err_sys(e, "rename %s to %s", fresh, path);
		unlink(fresh);
		return -1;
	}
	return 0;
}
