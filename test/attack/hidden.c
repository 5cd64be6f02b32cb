/*
 * What the view hides besides: what lies above and beside what is given, the names there, and what could be done
 * with them although nobody may read them.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attack.h"

enum { MOUNTS_MAX = 1 << 18 };

/* Of the folder that is above all that the policy gives. */
static enum result list_above(const struct attempt *a)
{
	char entries[1024];
	_cleanup_close_ int fd = open(a->with, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? no(a->with)
		      : got_if(syscall(SYS_getdents64, fd, entries, sizeof entries), "getdents");
}

static enum result size_beside(const struct attempt *a UNUSED)
{
	struct stat st;

	if (stat(TOP "/policy.yaml", &st) < 0)
		return no("stat");
	note("%lld bytes, uid %u", (long long)st.st_size, st.st_uid);
	return st.st_size > 0 ? GOT : REFUSED;
}

static enum result enter_outside(const struct attempt *a UNUSED)
{
	return got_if(chdir(TOP "/outside"), "chdir");
}

static enum result watch_outside(const struct attempt *a UNUSED)
{
	_cleanup_close_ int fd = inotify_init1(IN_CLOEXEC);

	return fd < 0 ? no("inotify_init1")
		      : got_if(inotify_add_watch(fd, TOP "/outside", IN_ALL_EVENTS),
			       "inotify_add_watch");
}

static enum result free_space(const struct attempt *a UNUSED)
{
	struct statfs s;

	return got_if(statfs(TOP "/outside/folder", &s), "statfs");
}

/* A mount that is nowhere near what is given. */
static enum result find_mount(const char *path)
{
	static char text[MOUNTS_MAX];

	if (slurp(path, text, sizeof text) < 0)
		return no(path);
	const char *found = strstr(text, TOP "/covered");
	note("%s", found ? "there it is" : "it is not in there");
	return found ? GOT : REFUSED;
}

static enum result find_own_mount(const struct attempt *a UNUSED)
{
	return find_mount("/proc/self/mountinfo");
}

static enum result find_supervisors_mount(const struct attempt *a UNUSED)
{
	char path[40];

	snprintf(path, sizeof path, "/proc/%d/mountinfo", cast.supervisor);
	return find_mount(path);
}

/* The first process that is to be seen. */
static enum result find_mount_of_1(const struct attempt *a UNUSED)
{
	return find_mount("/proc/1/mountinfo");
}

static enum result read_above(const struct attempt *a)
{
	_cleanup_close_ int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int above = at < 0 ? -1 : openat(at, "../..", O_PATH | O_CLOEXEC);
	_cleanup_close_ int fd = above < 0 ? -1 : openat(above, a->with, O_RDONLY | O_CLOEXEC);
	char byte;

	return fd < 0 ? no("openat") : got_if(read(fd, &byte, 1), "read");
}

static enum result read_file(const struct attempt *a)
{
	return read_a_byte(a->with);
}

/* ---- the names themselves ---- */

static enum result mode_of(const struct attempt *a)
{
	struct stat st;

	if (stat(a->with, &st) < 0)
		return no("stat");
	return got_if(chmod(a->with, st.st_mode & 07777), "chmod");
}

static enum result times_of(const struct attempt *a)
{
	return got_if(utimensat(AT_FDCWD, a->with, NULL, 0), "utimensat");
}

static enum result make_above(const struct attempt *a)
{
	enum result r = got_if(mkdir(a->with, 0777), "mkdir");

	if (r == GOT)
		rmdir(a->with);
	return r;
}

static enum result move_above(const struct attempt *a UNUSED)
{
	enum result r = got_if(rename(TOP "/outside", TOP "/moved"), "rename");

	if (r == GOT)
		rename(TOP "/moved", TOP "/outside");
	return r;
}

static enum result remove_above(const struct attempt *a UNUSED)
{
	enum result r = got_if(unlink(TOP "/hosts"), "unlink");

	if (r == GOT)
		close(open(TOP "/hosts", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	return r;
}

static enum result unmount_given(const struct attempt *a UNUSED)
{
	/* a mount where there is a view */
	mount(TOP "/rw", TOP "/rw", NULL, MS_BIND, NULL);
	return got_if(umount2(TOP "/rw", MNT_DETACH), "umount2");
}

static enum result unmount_root(const struct attempt *a UNUSED)
{
	return got_if(umount2("/", MNT_DETACH), "umount2");
}

static const struct attempt hidden[] = {
	{.name = "list-above",
	 .what = "list the names beside what is given",
	 .try = list_above,
	 .with = TOP,
	 .against = LANDLOCK | VIEW},
	{.name = "list-root",
	 .what = "list /",
	 .try = list_above,
	 .with = "/",
	 .against = LANDLOCK | VIEW},
	{.name = "stat-beside",
	 .what = "look at the size of a file beside what is given",
	 .try = size_beside,
	 .against = VIEW},
	{.name = "chdir",
	 .what = "make a folder that is not given the working directory",
	 .try = enter_outside,
	 .against = VIEW},
	{.name = "inotify",
	 .what = "be told what happens in it, and the names there",
	 .try = watch_outside,
	 .against = VIEW},
	{.name = "statfs",
	 .what = "ask how much room a file system has that is not given",
	 .try = free_space,
	 .against = VIEW},
	{.name = "mountinfo",
	 .what = "learn of its mount from /proc/self/mountinfo",
	 .try = find_own_mount,
	 .against = VIEW},
	{.name = "proc-mounts",
	 .what = "the same from /proc/PID/mountinfo of the supervisor",
	 .try = find_supervisors_mount,
	 .against = PIDS},
	{.name = "proc-mounts-of-1",
	 .what = "the same from /proc/1/mountinfo",
	 .try = find_mount_of_1,
	 .against = VIEW | PIDS},
	{.name = "read-above",
	 .what = "read a file by what is above /",
	 .try = read_above,
	 .with = "srv/attack/outside/secret",
	 .against = LANDLOCK | VIEW},
	{.name = "read-root-of-1",
	 .what = "read it by /proc/1/root",
	 .try = read_file,
	 .with = "/proc/1/root" TOP "/outside/secret"},
	{.name = "mkdir-root", .what = "make a folder in /", .try = make_above, .with = "/new"},
	{.name = "mkdir-above",
	 .what = "make a folder beside what is given",
	 .try = make_above,
	 .with = TOP "/new"},
	{.name = "chmod-root", .what = "set the mode of /", .try = mode_of, .with = "/"},
	{.name = "chmod-above",
	 .what = "set the mode of the folder that has what is given",
	 .try = mode_of,
	 .with = TOP},
	{.name = "chmod-beside",
	 .what = "set the mode of a folder beside it, which is the workload's own",
	 .try = mode_of,
	 .with = TOP "/outside",
	 .against = VIEW},
	{.name = "utimes-root", .what = "set the times of /", .try = times_of, .with = "/"},
	{.name = "utimes-beside",
	 .what = "set the times of such a folder",
	 .try = times_of,
	 .with = TOP "/outside",
	 .against = VIEW},
	{.name = "rename-beside", .what = "move such a folder", .try = move_above},
	{.name = "unlink-beside",
	 .what = "remove a file beside what is given",
	 .try = remove_above},
	{.name = "umount-given",
	 .what = "uncover what lies below a folder that is given",
	 .try = unmount_given},
	{.name = "umount-root", .what = "uncover the old root", .try = unmount_root},
};
GROUP(group_hidden, "What is not shown", hidden);
