/*
 * The users and groups of an image: its /etc/passwd and /etc/group, which are somebody else's text, read
 * by a process that still holds privilege. So they are read here and never by the C library, whose name
 * services may load code and open sockets as the image wishes.
 *
 * The functions that look something up are pure. A line that is no entry is passed over, as C libraries
 * do; a text beyond a limit (supervisor contract 4.9) is an error.
 */
#ifndef OPENSHELL_ISOLATE_ACCOUNTS_H
#define OPENSHELL_ISOLATE_ACCOUNTS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

enum {
	ACCOUNTS_FILE_MAX = 1 << 20,  /* bytes of a file */
	ACCOUNTS_LINE_MAX = 8 << 10,  /* … of a line */
	ACCOUNTS_FIELD_MAX = 1 << 10, /* … of a field, but for a group's list of members */
};

struct account {
	struct str name, home, shell; /* borrowed from the text */
	uid_t uid;
	gid_t gid;
};

/* Each looks for the first entry: 1 when there is one, 0 when not, -1 when the text is beyond a limit. */
int account_by_name(struct str passwd, struct str name, struct account *out, struct err *e);
int account_by_uid(struct str passwd, uid_t uid, struct account *out, struct err *e);
int group_by_name(struct str group, struct str name, gid_t *out, struct err *e);

/* The groups that list the user as a member, each once, without `without` (its primary group). The number
 * of them; -1 when there are more than max, or the text is beyond a limit. */
int groups_of(struct str group, struct str user, gid_t without, gid_t *out, size_t max,
	      struct err *e);

/* Reads a file below the folder root ("etc/passwd"), which only a plain file can be, and no link may lead
 * out of root. A missing file is an empty text. The text is the caller's. */
int accounts_read(int root, const char *path, char **out, size_t *n, struct err *e);

#endif
