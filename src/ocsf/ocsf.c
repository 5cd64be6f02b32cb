#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/version.h"
#include "ocsf/ocsf.h"
#include "ocsf/ocsf_impl.h"

enum {
	/* PIPE_BUF: a pipe takes it whole or not at all. More than OCSF_SHORTHAND_MAX and what stands
	 * before it, so that the newline always fits. */
	LINE_MAX_BYTES = 4096,
	RECORD_MAX_BYTES = 1 << 20,  /* more than all texts of an event with every byte escaped */
	RECORD_KEPT_BYTES = 1 << 16, /* memory that is kept for the next one */
	TARGET_SHOWN = 64,
	WHAT_SHOWN = 1024,
	TELL_AGAIN_MS = 60 * 1000, /* a log that comes and goes is told of this often */
	OWNED_MAX = 5,
};

/* A file, and what was said about it. */
struct log_file {
	struct roll roll;
	bool told;          /* that it is broken */
	int64_t tell_after; /* mono_ms: and not before it is told again */
};

struct ocsf {
	char *owned[OWNED_MAX]; /* the texts of the context, and the folder */
	size_t owned_n;
	struct ocsf_context context;
	char proxy_host[64];
	bool has_files, json, diverts;
	enum log_level stderr_level;
	uint64_t stderr_lost; /* lines, since one was written */
	struct log_file lines, records;
	struct buf record;
	ocsf_sink_fn *sink;
	void *sink_arg;
};

static const char *const level_words[] = {"ERROR", "WARN", "INFO", "DEBUG"};
_Static_assert(ARRAY_LEN(level_words) == LOG_DEBUG + 1, "a word for each level");

static const char *own(struct ocsf *o, const char *s)
{
	must(o->owned_n < OWNED_MAX);
	return o->owned[o->owned_n++] = xstrdup(s ? s : "");
}

struct ocsf *ocsf_new(const struct ocsf_options *options)
{
	struct ocsf *o = xcalloc(1, sizeof *o);
	const char *folder = own(o, options->folder);

	o->context = (struct ocsf_context){
		.sandbox_id = str_of(own(o, options->sandbox_id)),
		.sandbox_name = str_of(own(o, options->sandbox_name)),
		.image = str_of(own(o, options->image)),
		.hostname = str_of(own(o, options->hostname)),
		.version = STR(OPENSHELL_VERSION),
	};
	o->has_files = options->folder != NULL;
	o->stderr_level = options->stderr_level;
	o->lines.roll = ROLL_INIT(folder, "openshell");
	o->records.roll = ROLL_INIT(folder, "openshell-ocsf");
	o->record = BUF_INIT(RECORD_MAX_BYTES);
	return o;
}

void ocsf_free(struct ocsf *o)
{
	if (!o)
		return;
	if (o->diverts)
		log_divert(NULL, NULL);
	roll_fini(&o->lines.roll);
	roll_fini(&o->records.roll);
	buf_fini(&o->record);
	for (size_t i = 0; i < o->owned_n; i++)
		free(o->owned[i]);
	free(o);
}

void ocsf_set_json(struct ocsf *o, bool on)
{
	o->json = on;
}

void ocsf_set_proxy(struct ocsf *o, struct ocsf_endpoint proxy)
{
	if (!o)
		return;
	struct str host = str_sub(o->proxy_host, MIN(proxy.host.n, sizeof o->proxy_host));
	memcpy(o->proxy_host, proxy.host.p, host.n);
	o->context.proxy = (struct ocsf_endpoint){.host = host, .port = proxy.port};
}

void ocsf_set_sink(struct ocsf *o, ocsf_sink_fn *fn, void *arg)
{
	o->sink = fn;
	o->sink_arg = arg;
}

/* ---- lines ---- */

/* "2026-11-25T08:00:00.123Z INFO proxy: ", or for an event, without a target, "… OCSF ". */
static void begin_line(struct ocsf_line *l, int64_t time_ms, const char *word, const char *target)
{
	time_t seconds = time_ms / 1000;
	char when[40];
	struct tm tm;

	must(gmtime_r(&seconds, &tm) != NULL);
	size_t n = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(when + n, sizeof when - n, ".%03dZ ", (int)(time_ms % 1000));
	ocsf_put(l, when);
	ocsf_put(l, word);
	ocsf_put(l, " ");
	if (target) {
		ocsf_put_text(l, str_of(target), TARGET_SHOWN, OCSF_WORD);
		ocsf_put(l, ": ");
	}
}

static bool try_stderr(struct str line)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	/* Nobody may be reading. What says that it can be written to takes a line whole. */
	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) &&
	       write(STDERR_FILENO, line.p, line.n) == (ssize_t)line.n;
}

static void put_stderr(struct ocsf *o, int64_t time_ms, struct str line)
{
	char text[LINE_MAX_BYTES];

	if (o->stderr_lost > 0) {
		struct ocsf_line l = {.p = text, .max = sizeof text};
		begin_line(&l, time_ms, "WARN", "ocsf");
		ocsf_put(&l, "nobody read this: lines lost: ");
		ocsf_put_int(&l, (int64_t)o->stderr_lost);
		ocsf_put(&l, "\n");
		if (try_stderr(str_sub(text, l.n)))
			o->stderr_lost = 0;
	}
	if (o->stderr_lost > 0 || !try_stderr(line))
		o->stderr_lost++;
}

/* What is to be known of a file is said on stderr, whatever its level. */
static void tell(struct ocsf *o, int64_t time_ms, const char *what, const char *more)
{
	char text[LINE_MAX_BYTES];
	struct ocsf_line l = {.p = text, .max = sizeof text};

	begin_line(&l, time_ms, "WARN", "ocsf");
	ocsf_put_text(&l, str_of(what), WHAT_SHOWN, OCSF_SENTENCE);
	ocsf_put(&l, more);
	ocsf_put(&l, "\n");
	put_stderr(o, time_ms, str_sub(text, l.n));
}

static void put_file(struct ocsf *o, struct log_file *f, int64_t time_ms, struct str line)
{
	char what[64];

	switch (roll_write(&f->roll, time_ms, line)) {
	case ROLL_WRITTEN:
	case ROLL_LOST:
		break;
	case ROLL_BROKE:
		f->told = mono_ms() >= f->tell_after;
		if (!f->told)
			break;
		f->tell_after = mono_ms() + TELL_AGAIN_MS;
		tell(o, time_ms, f->roll.why.text,
		     ": lines are lost there until it can be written");
		break;
	case ROLL_RECOVERED:
		if (!f->told)
			break;
		snprintf(what, sizeof what, "%s log: written again, lines lost: %llu", f->roll.name,
			 (unsigned long long)f->roll.lost);
		tell(o, time_ms, what, "");
		break;
	}
}

/* A line to all who want one of its level. target: NULL for an event, whose word is OCSF. text is fit
 * for a line. */
static void deliver(struct ocsf *o, int64_t time_ms, enum log_level level, const char *target,
		    const char *text)
{
	const char *word = target ? level_words[level] : "OCSF";
	char line[LINE_MAX_BYTES];
	struct ocsf_line l = {.p = line, .max = sizeof line};

	begin_line(&l, time_ms, word, target);
	ocsf_put(&l, text);
	ocsf_put(&l, "\n");
	struct str whole = str_sub(line, l.n);
	if (level <= o->stderr_level)
		put_stderr(o, time_ms, whole);
	if (level <= LOG_INFO && o->has_files)
		put_file(o, &o->lines, time_ms, whole);
	if (o->sink)
		o->sink(o->sink_arg, time_ms, level, word, target ? target : "ocsf", str_of(text));
}

void ocsf_log(struct ocsf *o, enum log_level level, const char *target, struct str text)
{
	char shown[OCSF_SHORTHAND_MAX];
	struct ocsf_line l = {.p = shown, .max = sizeof shown};
	int saved = errno;

	shown[0] = '\0';
	ocsf_put_text(&l, text, sizeof shown, OCSF_SENTENCE);
	deliver(o, wall_ms(), level, target, shown);
	errno = saved;
}

static void heard(void *arg, enum log_level level, struct str text)
{
	ocsf_log(arg, level, "openshell", text);
}

void ocsf_divert_log(struct ocsf *o)
{
	o->diverts = true;
	log_divert(heard, o);
}

/* ---- events ---- */

static enum log_level level_of(enum ocsf_severity s)
{
	return s >= OCSF_HIGH ? LOG_ERROR : s == OCSF_MEDIUM ? LOG_WARN : LOG_INFO;
}

static void put_record(struct ocsf *o, const struct ocsf_event *ev)
{
	buf_clear(&o->record);
	must(ocsf_json(ev, &o->context, &o->record) && buf_char(&o->record, '\n'));
	put_file(o, &o->records, ev->time_ms, buf_view(&o->record));
	if (o->record.cap > RECORD_KEPT_BYTES)
		buf_fini(&o->record);
}

void ocsf_emit(struct ocsf *o, const struct ocsf_event *event)
{
	char text[OCSF_SHORTHAND_MAX];
	int saved = errno;

	if (!o)
		return;
	struct ocsf_event ev = *event;
	if (ev.time_ms == 0)
		ev.time_ms = wall_ms();
	ocsf_shorthand(&ev, text);
	deliver(o, ev.time_ms, level_of(ocsf_severity_of(&ev)), NULL, text);
	if (o->json && o->has_files)
		put_record(o, &ev);
	errno = saved;
}
