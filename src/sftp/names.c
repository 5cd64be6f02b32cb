#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/util.h"
#include "sftp/names.h"

enum {
	FILE_MAX = 1 << 20,
	HALF_YEAR = 365 * 24 * 3600 / 2,
};

void sftp_names_fini(struct sftp_names *n)
{
	free(n->passwd);
	free(n->group);
	*n = (struct sftp_names){.read = false};
}

struct str sftp_name_of(struct str text, uint32_t id)
{
	uint64_t number;

	while (text.p) {
		struct str line = str_cut(&text, '\n');
		struct str name = str_cut(&line, ':');

		str_cut(&line, ':'); /* a password */
		if (str_u64(str_cut(&line, ':'), &number) && number == id)
			return name;
	}
	return STR_NONE;
}

struct str sftp_home_of(struct str passwd, struct str user)
{
	while (passwd.p) {
		struct str line = str_cut(&passwd, '\n');

		if (!str_eq(str_cut(&line, ':'), user))
			continue;
		for (int i = 0; i < 4; i++) /* password, uid, gid, comment */
			str_cut(&line, ':');
		return str_cut(&line, ':');
	}
	return STR_NONE;
}

static char *read_text(const char *path)
{
	char *text = NULL;
	struct err e;

	return file_read(path, FILE_MAX, &text, NULL, &e) < 0 ? NULL : text;
}

static void read_once(struct sftp_names *n)
{
	if (n->read)
		return;
	n->read = true;
	n->passwd = read_text("/etc/passwd");
	n->group = read_text("/etc/group");
}

struct str sftp_names_home(struct sftp_names *n, struct str user)
{
	read_once(n);
	return sftp_home_of(str_of(n->passwd), user);
}

static const char *owner(struct sftp_owner *last, const char *text, uint32_t id)
{
	if (last->known && last->id == id)
		return last->name;
	struct str name = str_utf8_prefix(sftp_name_of(str_of(text), id), SFTP_OWNER_MAX);
	if (name.n > 0 && !str_has_control(name))
		snprintf(last->name, sizeof last->name, "%.*s", STR_FMT(name));
	else
		snprintf(last->name, sizeof last->name, "%u", id);
	last->id = id;
	last->known = true;
	return last->name;
}

static char type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return '-';
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	case S_IFIFO:
		return 'p';
	case S_IFSOCK:
		return 's';
	default:
		return '?';
	}
}

/* The x of three permissions, with the bit that is shown in its place. */
static char execute(mode_t mode, mode_t x, mode_t special, char with, char without)
{
	if (mode & special)
		return mode & x ? with : without;
	return mode & x ? 'x' : '-';
}

static void write_mode(mode_t mode, char to[11])
{
	static const char letters[] = "rwxrwxrwx";

	to[0] = type_of(mode);
	for (int i = 0; i < 9; i++)
		to[i + 1] = mode & (S_IRUSR >> i) ? letters[i] : '-';
	to[3] = execute(mode, S_IXUSR, S_ISUID, 's', 'S');
	to[6] = execute(mode, S_IXGRP, S_ISGID, 's', 'S');
	to[9] = execute(mode, S_IXOTH, S_ISVTX, 't', 'T');
	to[10] = '\0';
}

static void write_time(time_t at, time_t now, char *to, size_t room)
{
	bool recent = at <= now && at > now - HALF_YEAR;
	struct tm tm;

	if (!gmtime_r(&at, &tm) ||
	    strftime(to, room, recent ? "%b %e %H:%M" : "%b %e  %Y", &tm) == 0)
		snprintf(to, room, "%lld", (long long)at);
}

void sftp_line(struct sftp_names *n, const char *name, const struct stat *st, time_t now, char *to,
	       size_t room)
{
	char mode[11], when[32];

	read_once(n);
	write_mode(st->st_mode, mode);
	write_time(st->st_mtime, now, when, sizeof when);
	int len = snprintf(to, room, "%s %3llu %-8s %-8s %8llu %s %s", mode,
			   (unsigned long long)st->st_nlink, owner(&n->user, n->passwd, st->st_uid),
			   owner(&n->owner_group, n->group, st->st_gid),
			   (unsigned long long)st->st_size, when, name);
	must(len > 0 && (size_t)len < room);
}
