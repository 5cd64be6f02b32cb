/*
 * One line a message on stderr: a sentence, then key=value fields. Text for a person or JSON for a
 * program (--log-format). Secrets never come here (style rule 11).
 *
 *   log_info("sandbox ready", "id=%s pid=%d", id, pid);
 *   2026-11-25T08:00:00.123Z INFO sandbox ready id=4f1c pid=77
 *   {"time":"2026-11-25T08:00:00.123Z","level":"info","msg":"sandbox ready","id":"4f1c","pid":77}
 */
#ifndef OPENSHELL_BASE_LOG_H
#define OPENSHELL_BASE_LOG_H

#include "base/err.h"
#include "base/str.h"
#include "base/util.h"

enum log_level {
	LOG_ERROR, /* somebody must act */
	LOG_WARN,  /* somebody should look */
	LOG_INFO,  /* life cycle */
	LOG_DEBUG,
};

enum log_format {
	LOG_TEXT,
	LOG_JSON,
};

/* The fields' format is a literal of `key=conversion` pairs separated by single spaces; a
 * conversion is one of %s %d %u %ld %lu %lld %llu %zu %c %.*s and must stand alone behind the `=`.
 * Text values are quoted when they hold a blank, a quote, `=` or a control character. */
#define log_error(msg, ...) log_write(LOG_ERROR, msg, " " __VA_ARGS__)
#define log_warn(msg, ...) log_write(LOG_WARN, msg, " " __VA_ARGS__)
#define log_info(msg, ...) log_write(LOG_INFO, msg, " " __VA_ARGS__)
#define log_debug(msg, ...) log_write(LOG_DEBUG, msg, " " __VA_ARGS__)

void log_write(enum log_level level, const char *msg, const char *fields, ...) PRINTF(3, 4);

/* Lines go to fn from now on, instead of to stderr: text is the message and its fields, as text, and
 * borrowed. fn chooses by level; of debug it hears only at that level. It must not log. NULL: stderr. */
typedef void log_fn(void *arg, enum log_level level, struct str text);
void log_divert(log_fn *fn, void *arg);

void log_set_level(enum log_level level);
void log_set_format(enum log_format format);

/* "error", "warn", "info", "debug" (and "trace", which is debug here), in either case. */
int log_level_parse(const char *name, enum log_level *out, struct err *e);
/* The same of an option's value; but RUST_LOG, which operators of the peers know, wins where it has a level for
 * everything. Those that it has for parts (warn,h2=error) mean nothing here. */
int log_level_choose(const char *name, enum log_level *out, struct err *e);
/* "text" or "json". */
int log_format_parse(const char *name, enum log_format *out, struct err *e);

#endif
