/*
 * The lines of a listing, as `ls -l` has them, and the names of users and groups for them. The latter are read from
 * /etc/passwd and /etc/group, once; where these are missing, too large or without an entry it is numbers. Times are
 * in UTC: no time zone of an image is read for them.
 */
#ifndef OPENSHELL_SFTP_NAMES_H
#define OPENSHELL_SFTP_NAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "base/str.h"

enum {
	SFTP_LINE_HEAD = 160, /* bytes of a line without the file's name, at most */
	SFTP_OWNER_MAX = 32,  /* of a name; a longer one is cut */
};

struct sftp_names {
	bool read;
	char *passwd, *group; /* NULL: there is none */
	/* those that were looked for last: in a folder most are the same */
	struct sftp_owner {
		bool known;
		uint32_t id;
		char name[SFTP_OWNER_MAX + 1];
	} user, owner_group;
};

void sftp_names_fini(struct sftp_names *n);

/* The name of the entry with that id in a passwd or group file (in both it is the third field); empty: none. Pure. */
struct str sftp_name_of(struct str text, uint32_t id);
/* The folder of a user; empty: there is no such user, or he has none. Pure. */
struct str sftp_home_of(struct str passwd, struct str user);
/* … of this image's; borrowed from n. */
struct str sftp_names_home(struct sftp_names *n, struct str user);

/* Writes the line of a file into to, which has SFTP_LINE_HEAD bytes and as many as the name has; now decides between
 * a time and a year. */
void sftp_line(struct sftp_names *n, const char *name, const struct stat *st, time_t now, char *to,
	       size_t room);

#endif
