#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "net/unix.h"
#include "net/unix_address.h"

enum {
	BACKLOG = 128,
	PEERPIDFD = 77, /* SO_PEERPIDFD, of Linux 6.5 */
};

/* --- the parent --- */

/* /var/run/x as /run/x where the first is a link to the second, made by root: everybody writes the
 * old name, and a parent must be no link. The caller's. */
static char *plain_path(const char *path)
{
	static const char old[] = "/var/run/";
	char target[16];
	struct stat st;

	if (strncmp(path, old, strlen(old)) != 0 || lstat("/var/run", &st) < 0 ||
	    !S_ISLNK(st.st_mode) || st.st_uid != 0)
		return xstrdup(path);
	ssize_t n = readlink("/var/run", target, sizeof target);
	struct str to = str_sub(target, n > 0 ? (size_t)n : 0);
	if (!str_is(to, "/run") && !str_is(to, "../run"))
		return xstrdup(path);
	return xasprintf("/run/%s", path + strlen(old));
}

/* What stands before the last slash; the caller's. NULL when path names no file in a directory. */
static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL || slash[1] == '\0')
		return NULL;
	return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

/* Makes what is missing above dir (as mkdir -p, by the umask), then dir itself. *made says whether
 * that was not there before. */
static int make_parent(const char *what, const char *dir, mode_t mode, bool *made, struct err *e)
{
	_cleanup_free_ char *at = xstrdup(dir);

	for (char *slash = strchr(at + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(at, 0755) < 0 && errno != EEXIST)
			return err_sys(e, "%s parent '%s'", what, at);
		*slash = '/';
	}
	*made = mkdir(dir, mode) == 0;
	if (!*made && errno != EEXIST)
		return err_sys(e, "%s parent '%s'", what, dir);
	return 0;
}

/* Whether nothing but, perhaps, our own socket is in the directory. */
static bool is_alone(const char *dir, const char *socket_path)
{
	const char *own = strrchr(socket_path, '/') + 1;
	_cleanup_folder_ DIR *d = folder_open(AT_FDCWD, dir);
	bool alone = d != NULL;

	for (const char *name; alone && (name = folder_next(d)) != NULL;)
		alone = streq(name, own);
	return alone;
}

static int prepare_parent(const char *what, const char *path, enum unix_reach reach, struct err *e)
{
	const mode_t mode = reach == UNIX_OWNER ? 0700 : 0711;
	_cleanup_free_ char *dir = parent_of(path);
	struct stat st;
	bool made;

	if (dir == NULL)
		return err_set(e, EINVAL, "%s path '%s' names no file in a directory", what, path);
	if (make_parent(what, dir, mode, &made, e) < 0)
		return -1;
	if (lstat(dir, &st) < 0)
		return err_sys(e, "%s parent '%s'", what, dir);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ENOTDIR, "%s parent '%s' must be a directory, not a %s", what,
			       dir, S_ISLNK(st.st_mode) ? "symlink" : "file");
	if (st.st_uid != geteuid())
		return err_set(e, EPERM, "%s parent '%s' is owned by uid %u, expected %u", what,
			       dir, st.st_uid, geteuid());
	if (made || is_alone(dir, path)) {
		/* also where it was made just now: the umask had its say */
		if (chmod(dir, mode) < 0)
			return err_sys(e, "%s parent '%s': chmod", what, dir);
		return 0;
	}
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))
		return err_set(e, EPERM,
			       "%s parent '%s' holds other files and is writable by others "
			       "(mode %04o): use a directory of its own",
			       what, dir, st.st_mode & 07777);
	if (reach == UNIX_EVERYONE && !(st.st_mode & S_IXOTH))
		log_warn("a socket's directory holds other files and lets no other user through",
			 "socket=%s path=%s mode=%04o", path, dir, st.st_mode & 07777);
	return 0;
}

/* --- the place of the socket --- */

/* Connects to see whether anybody listens: 1 yes (*pid says who), 0 no. */
static int is_answered(const char *what, const struct unix_address *at, pid_t *pid, struct err *e)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct unix_peer peer;

	if (fd < 0)
		return err_sys(e, "socket");
	if (connect(fd, (const struct sockaddr *)&at->sa, at->n) == 0) {
		*pid = unix_peer(fd, &peer, e) == 0 ? peer.pid : 0;
		return 1;
	}
	if (errno == EAGAIN) /* its backlog is full */
		return 1;
	if (errno == ECONNREFUSED || errno == ENOENT)
		return 0;
	return err_sys(e, "%s path '%s' exists and cannot be asked who listens on it", what,
		       at->sa.sun_path);
}

static int clear_path(const char *what, const struct unix_address *at, struct err *e)
{
	const char *path = at->sa.sun_path;
	struct stat st;
	pid_t pid = 0;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "%s path '%s'", what, path);
	if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
		return err_set(e, EEXIST, "%s path '%s' exists but is not an owned Unix socket",
			       what, path);
	int answered = is_answered(what, at, &pid, e);
	if (answered < 0)
		return -1;
	if (answered > 0)
		return err_set(e, EADDRINUSE, "%s path '%s' is in use by process %d", what, path,
			       pid);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(e, "%s path '%s': remove", what, path);
	return 0;
}

static int bind_with_mode(const char *what, int fd, const struct unix_address *at, mode_t mode,
			  struct err *e)
{
	const char *path = at->sa.sun_path;

	/* the umask, so that the socket is never wider than it shall be; chmod, because umask only
	 * takes away */
	mode_t before = umask(0777 & ~mode);
	int rc = bind(fd, (const struct sockaddr *)&at->sa, at->n);
	int bind_errno = errno;

	umask(before);
	errno = bind_errno;
	if (rc < 0)
		return err_sys(e, "%s path '%s': bind", what, path);
	if (chmod(path, mode) < 0)
		return err_sys(e, "%s path '%s': chmod", what, path);
	return 0;
}

int unix_listen(int *out, struct unix_path *at, const char *what, const char *given,
		enum unix_reach reach, struct err *e)
{
	_cleanup_free_ char *path = plain_path(given);
	struct unix_address address;
	struct stat st;

	if (path[0] == '@')
		return err_set(e, EINVAL, "%s '%s' is an abstract name, which everybody can reach",
			       what, path);
	if (unix_address(&address, path, e) < 0)
		return err_wrap(e, "%s", what);
	if (prepare_parent(what, path, reach, e) < 0 || clear_path(what, &address, e) < 0)
		return -1;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, "socket");
	if (bind_with_mode(what, fd, &address, reach == UNIX_OWNER ? 0600 : 0666, e) < 0)
		return -1;
	if (listen(fd, BACKLOG) < 0 || lstat(path, &st) < 0)
		return err_sys(e, "%s path '%s': listen", what, path);
	*at = (struct unix_path){.path = steal(&path), .dev = st.st_dev, .ino = st.st_ino};
	*out = steal_fd(&fd);
	return 0;
}

void unix_path_remove(struct unix_path *at)
{
	struct stat st;

	/* another driver may have taken the place meanwhile: its socket is not ours to remove */
	if (at->path != NULL && lstat(at->path, &st) == 0 && st.st_dev == at->dev &&
	    st.st_ino == at->ino)
		unlink(at->path);
	free(at->path);
	*at = (struct unix_path){0};
}

int unix_peer(int fd, struct unix_peer *out, struct err *e)
{
	struct ucred cred;
	socklen_t n = sizeof cred;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
		return err_sys(e, "peer credentials");
	*out = (struct unix_peer){.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
	return 0;
}

int unix_peer_pidfd(int fd)
{
	int pidfd;
	socklen_t n = sizeof pidfd;

	return getsockopt(fd, SOL_SOCKET, PEERPIDFD, &pidfd, &n) < 0 ? -1 : pidfd;
}
