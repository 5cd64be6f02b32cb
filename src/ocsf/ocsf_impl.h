/*
 * What the files of src/ocsf share, for them and their tests alone: the names of OCSF's numbers, how
 * foreign text is made harmless, and the files that roll by the day.
 */
#ifndef OPENSHELL_OCSF_OCSF_IMPL_H
#define OPENSHELL_OCSF_OCSF_IMPL_H

#include "base/err.h"
#include "ocsf/event.h"

#define OCSF_APP "OpenShell Sandbox Supervisor"
#define OCSF_VENDOR "OpenShell"
#define OCSF_SCHEMA "1.8.0"

/* ---- names.c ---- */

struct ocsf_class_info {
	int uid, category;
	const char *name, *category_name, *tag; /* tag: as the shorthand begins */
	const char *profiles;                   /* a JSON array */
	const char *const *activities;          /* by number */
	size_t activities_n;
};

const struct ocsf_class_info *ocsf_class_info(enum ocsf_class c);
/* With what is said of an activity that is left out. */
enum ocsf_activity ocsf_activity_of(const struct ocsf_event *ev);
const char *ocsf_activity_name(const struct ocsf_event *ev);
enum ocsf_severity ocsf_severity_of(const struct ocsf_event *ev);
const char *ocsf_severity_name(enum ocsf_severity s);
const char *ocsf_severity_tag(enum ocsf_severity s); /* "MED" */
/* NULL for a number that has no name. */
const char *ocsf_status_name(enum ocsf_status s);
const char *ocsf_action_name(enum ocsf_action a);
const char *ocsf_disposition_name(enum ocsf_disposition d);
const char *ocsf_state_name(enum ocsf_state s);
const char *ocsf_security_level_name(enum ocsf_security_level l);
const char *ocsf_confidence_name(enum ocsf_confidence c);

/* The event's pairs by their keys; the number of them. */
size_t ocsf_pairs(const struct ocsf_event *ev, const struct ocsf_pair *sorted[OCSF_PAIRS_MAX]);
/* Whether it is an address in numbers, and whether one of IPv6. */
bool ocsf_is_ip(struct str host, bool *v6);

/* ---- text.c ---- */

/* A line of a fixed length. What no longer fits ends it: "..." is put there, and nothing after it. */
struct ocsf_line {
	char *p;
	size_t n, max;
	bool full;
};

/* How a foreign text stands in a line, and what is escaped beside control characters, what cannot be
 * seen, what turns the direction of writing, and bytes that are not UTF-8. */
enum ocsf_escape {
	OCSF_SENTENCE, /* nothing; line breaks and tabs are blanks */
	OCSF_WORD,     /* blanks: it ends at the next one */
	OCSF_VALUE,    /* blanks, brackets, backslash: it stands in [key:value] */
	OCSF_QUOTED,   /* quotes, backslash */
};

void ocsf_put(struct ocsf_line *l, const char *s);
void ocsf_put_int(struct ocsf_line *l, int64_t i);
void ocsf_put_upper(struct ocsf_line *l, const char *s);
void ocsf_put_lower(struct ocsf_line *l, const char *s);
/* At most max bytes of it as they are written, and "..." if it was longer. */
void ocsf_put_text(struct ocsf_line *l, struct str s, size_t max, enum ocsf_escape how);

/* The next character of a text that is not empty, and how many bytes it is. *c is OCSF_BAD_BYTE for
 * one byte that is not part of well-formed UTF-8. */
#define OCSF_BAD_BYTE UINT32_MAX
size_t ocsf_next_char(struct str s, uint32_t *c);
/* Whether a terminal would do something else than show it. */
bool ocsf_unprintable(uint32_t c);

/* ---- roll.c ---- */

/*
 * A file a day, <folder>/<name>.YYYY-MM-DD.log. Nothing but a plain file of our own is written to.
 *
 *	CLOSED --> OPEN     with the first line of a day, when the folder was exchanged
 *	  |         |
 *	  v         v
 *	BROKEN <----+       it cannot be opened or written: a line is lost, and for ROLL_RETRY_MS each
 *	  |                 that follows without a try
 *	  +------> OPEN     a line was written again
 */
enum roll_state {
	ROLL_CLOSED,
	ROLL_OPEN,
	ROLL_BROKEN,
};

struct roll {
	const char *folder, *name; /* borrowed */
	enum roll_state state;
	int fd;
	int64_t day;      /* of fd, in days since 1970 */
	int64_t retry_at; /* mono_ms */
	int64_t check_at; /* mono_ms: when to look whether the file is still there */
	uint64_t size;
	bool torn;      /* the last line was cut: the next one starts with a newline */
	uint64_t lost;  /* lines, since it broke */
	struct err why; /* it broke */
};

enum {
	ROLL_RETRY_MS = 1000,
	ROLL_PATH_MAX = 64, /* of a file's name within the folder */
};

enum roll_result {
	ROLL_WRITTEN,
	ROLL_LOST,      /* as before */
	ROLL_BROKE,     /* this line is the first to be lost; why says why */
	ROLL_RECOVERED, /* written, and lost says how many were not */
};

#define ROLL_INIT(where, what) ((struct roll){.folder = (where), .name = (what), .fd = -1})

/* Writes a line, newline included, to the file of its day. */
enum roll_result roll_write(struct roll *r, int64_t time_ms, struct str line);
void roll_fini(struct roll *r);

#endif
