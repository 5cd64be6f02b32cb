/*
 * Where events go (event.h says what they are): stderr, a log for people and a record for programs in
 * files that roll by the day, and a callback (the push of logs to a gateway). The supervisor has one
 * emitter; the proxy and the keeper's side of the supervisor tell it what they see.
 *
 *	/var/log/openshell.2026-11-25.log       2026-11-25T08:00:00.123Z OCSF NET:OPEN [MED] DENIED …
 *	                                        2026-11-25T08:00:00.130Z INFO proxy: listening
 *	/var/log/openshell-ocsf.2026-11-25.log  {"activity_id":1,…}
 *
 * Nothing here fails or waits: what cannot be written is counted and lost, and this is said once on
 * stderr, and again when it goes on. No link, pipe or foreign file that somebody has laid where a log
 * should be is ever followed, written or removed. Not for two threads at once.
 */
#ifndef OPENSHELL_OCSF_OCSF_H
#define OPENSHELL_OCSF_OCSF_H

#include <stdbool.h>

#include "base/log.h"
#include "ocsf/event.h"

enum {
	OCSF_DAYS_KEPT = 3,               /* files of a kind (contract 1.6) */
	OCSF_FILE_MAX = 64 * 1024 * 1024, /* bytes of one; beyond, until midnight, lines are lost */
};

struct ocsf;

/* Texts are copied; NULL and "" are left out of the records. */
struct ocsf_options {
	const char *sandbox_id, *sandbox_name, *image, *hostname;
	const char *folder;          /* of the files; NULL: no files */
	enum log_level stderr_level; /* what is more important than this goes to stderr too */
};

/* Never fails: a folder that is not there is told with the first line. The caller's process should
 * ignore SIGXFSZ and SIGPIPE. */
struct ocsf *ocsf_new(const struct ocsf_options *options);
void ocsf_free(struct ocsf *o);

/* Whether records are written (the setting ocsf_json_enabled); at first they are not. */
void ocsf_set_json(struct ocsf *o, bool on);
/* The proxy's address in the records to come; host is copied. o may be NULL. */
void ocsf_set_proxy(struct ocsf *o, struct ocsf_endpoint proxy);

/* Called for every line as it goes to the log: word "OCSF" and target "ocsf" for an event, whose
 * text is its shorthand (contract 2.7), and whose level comes of its severity; else word is the level's.
 * Everything is borrowed. It must not emit. NULL: nobody. */
typedef void ocsf_sink_fn(void *arg, int64_t time_ms, enum log_level level, const char *word,
			  const char *target, struct str text);
void ocsf_set_sink(struct ocsf *o, ocsf_sink_fn *fn, void *arg);

/* Tells an event everywhere. o may be NULL: nobody listens. */
void ocsf_emit(struct ocsf *o, const struct ocsf_event *ev);

/* Sends the lines of base/log.h here as well (log_divert), with the target "openshell", until ocsf_free;
 * their level on stderr is this emitter's. */
void ocsf_divert_log(struct ocsf *o);

/* An ordinary line in the same places: `<time> <LEVEL> <target>: <text>`. The file has no debug. */
void ocsf_log(struct ocsf *o, enum log_level level, const char *target, struct str text);

#endif
