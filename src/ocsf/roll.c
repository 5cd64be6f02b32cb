#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/folder.h"
#include "ocsf/ocsf.h"
#include "ocsf/ocsf_impl.h"

enum {
	DAY_MS = 24 * 60 * 60 * 1000,
	CHECK_MS = 1000,       /* how often it is looked whether the file is still there */
	ENTRIES_MAX = 1 << 16, /* of a folder, that are looked at for old files */
	DATE_LEN = 10,         /* 2026-11-25 */
};

static int64_t day_of(int64_t time_ms)
{
	return time_ms / DAY_MS - (time_ms % DAY_MS < 0);
}

/* The file's name within the folder. */
static void name_of(const struct roll *r, int64_t day, char out[ROLL_PATH_MAX])
{
	time_t seconds = day * (DAY_MS / 1000);
	struct tm tm;
	char date[24];

	must(gmtime_r(&seconds, &tm) != NULL);
	strftime(date, sizeof date, "%Y-%m-%d", &tm);
	must(snprintf(out, ROLL_PATH_MAX, "%s.%s.log", r->name, date) < ROLL_PATH_MAX);
}

static void close_file(struct roll *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

/* Whether an entry of the folder is one of these files, of an earlier day than today's. */
static bool is_older(const struct roll *r, const char *entry, const char *today)
{
	struct str s = str_of(entry);

	if (s.n != strlen(today) || !str_skip(&s, r->name) || !str_skip(&s, ".") ||
	    !str_ends(s, ".log"))
		return false;
	for (size_t i = 0; i < DATE_LEN; i++) {
		bool dash = i == 4 || i == 7;
		if (dash ? s.p[i] != '-' : s.p[i] < '0' || s.p[i] > '9')
			return false;
	}
	return strcmp(entry, today) < 0;
}

static void remove_old(int folder, const char *entry)
{
	struct stat st;

	if (fstatat(folder, entry, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    st.st_uid == geteuid())
		unlinkat(folder, entry, 0);
}

/* Keeps the newest of the earlier days' files. Names of days to come count for nothing: somebody
 * else may have made them. */
static void prune(const struct roll *r, int folder, const char *today)
{
	char kept[OCSF_DAYS_KEPT - 1][ROLL_PATH_MAX] = {""};
	_cleanup_folder_ DIR *dir = folder_open(folder, ".");
	const char *name;

	for (int i = 0; dir && i < ENTRIES_MAX && (name = folder_next(dir)) != NULL; i++) {
		char next[ROLL_PATH_MAX], swap[ROLL_PATH_MAX];
		if (!is_older(r, name, today))
			continue;
		strcpy(next, name);
		/* kept is sorted, newest first: what is newer takes the place and is pushed on */
		for (size_t k = 0; k < ARRAY_LEN(kept); k++) {
			if (strcmp(next, kept[k]) <= 0)
				continue;
			strcpy(swap, kept[k]);
			strcpy(kept[k], next);
			strcpy(next, swap);
		}
		if (next[0])
			remove_old(folder, next);
	}
}

static int open_file(struct roll *r, int64_t day, struct err *e)
{
	char name[ROLL_PATH_MAX];
	struct stat st;

	name_of(r, day, name);
	_cleanup_close_ int folder = open(r->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return err_sys(e, "%s", r->folder);
	/* O_NONBLOCK: somebody may have laid a pipe there */
	_cleanup_close_ int fd = openat(folder, name,
					O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK |
						O_NOCTTY | O_CLOEXEC,
					0640);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "%s/%s", r->folder, name);
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_uid != geteuid())
		return err_set(e, EPERM, "%s/%s is not a file of ours alone", r->folder, name);
	prune(r, folder, name);
	r->fd = steal_fd(&fd);
	r->torn = false;
	r->day = day;
	r->size = (uint64_t)st.st_size;
	r->check_at = mono_ms() + CHECK_MS;
	return 0;
}

/* The file may have been removed, with its folder or without, or cut, by somebody else. */
static bool is_gone(struct roll *r)
{
	struct stat st;
	int64_t now = mono_ms();

	if (now < r->check_at)
		return false;
	r->check_at = now + CHECK_MS;
	if (fstat(r->fd, &st) < 0 || st.st_nlink == 0)
		return true;
	r->size = (uint64_t)st.st_size;
	return false;
}

/* 0, or -1 with errno. */
static int write_line(struct roll *r, struct str line)
{
	if (r->size + line.n + 1 > OCSF_FILE_MAX) {
		errno = EFBIG;
		return -1;
	}
	if (r->torn) {
		if (write(r->fd, "\n", 1) != 1)
			return -1;
		r->torn = false;
		r->size++;
	}
	ssize_t n = write(r->fd, line.p, line.n);
	if (n > 0)
		r->size += (size_t)n;
	if (n == (ssize_t)line.n)
		return 0;
	if (n > 0) {
		r->torn = true;
		errno = ENOSPC; /* a file takes less than all of it for this reason only */
	}
	return -1;
}

static int try_line(struct roll *r, int64_t day, struct str line, struct err *e)
{
	char name[ROLL_PATH_MAX];

	if (r->fd < 0 || r->day != day || is_gone(r)) {
		/* even when no other can be opened: nothing is written to a past one */
		close_file(r);
		if (open_file(r, day, e) < 0)
			return -1;
	}
	if (write_line(r, line) == 0)
		return 0;
	int error = errno;
	name_of(r, r->day, name);
	errno = error;
	if (error == EFBIG)
		return err_set(e, EFBIG, "%s/%s has its largest size of a day", r->folder, name);
	return err_sys(e, "%s/%s", r->folder, name);
}

enum roll_result roll_write(struct roll *r, int64_t time_ms, struct str line)
{
	enum roll_state before = r->state;
	struct err e;

	if (before == ROLL_BROKEN && mono_ms() < r->retry_at) {
		r->lost++;
		return ROLL_LOST;
	}
	if (try_line(r, day_of(time_ms), line, &e) == 0) {
		r->state = ROLL_OPEN;
		return before == ROLL_BROKEN ? ROLL_RECOVERED : ROLL_WRITTEN;
	}
	r->state = ROLL_BROKEN;
	r->retry_at = mono_ms() + ROLL_RETRY_MS;
	if (before == ROLL_BROKEN) {
		r->lost++;
		return ROLL_LOST;
	}
	r->lost = 1;
	r->why = e;
	return ROLL_BROKE;
}

void roll_fini(struct roll *r)
{
	close_file(r);
	r->state = ROLL_CLOSED;
}
