#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"

enum { LINE_MAX_BYTES = 8192 };

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *const level_words[] = {"ERROR", "WARN", "INFO", "DEBUG"};
_Static_assert(ARRAY_LEN(level_names) == LOG_DEBUG + 1, "a name for each level");
_Static_assert(ARRAY_LEN(level_words) == LOG_DEBUG + 1, "a word for each level");

static enum log_level threshold = LOG_INFO;
static enum log_format line_format = LOG_TEXT;
static log_fn *diverted;
static void *diverted_arg;

void log_set_level(enum log_level level)
{
	threshold = level;
}

void log_set_format(enum log_format format)
{
	line_format = format;
}

void log_divert(log_fn *fn, void *arg)
{
	diverted = fn;
	diverted_arg = arg;
}

int log_level_parse(const char *name, enum log_level *out, struct err *e)
{
	if (strcasecmp(name, "trace") == 0)
		name = "debug";
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcasecmp(name, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return err_set(e, EINVAL, "log level '%s' is none of error, warn, info, debug", name);
}

int log_level_choose(const char *name, enum log_level *out, struct err *e)
{
	struct str rest = str_of(getenv("RUST_LOG"));
	struct err ignored;

	if (log_level_parse(name, out, e) < 0)
		return -1;
	while (rest.p != NULL) {
		_cleanup_free_ char *item = str_dup(str_trim(str_cut(&rest, ',')));
		if (log_level_parse(item, out, &ignored) == 0)
			break;
	}
	return 0;
}

int log_format_parse(const char *name, enum log_format *out, struct err *e)
{
	if (strcmp(name, "text") != 0 && strcmp(name, "json") != 0)
		return err_set(e, EINVAL, "log format '%s' is neither text nor json", name);
	*out = strcmp(name, "json") == 0 ? LOG_JSON : LOG_TEXT;
	return 0;
}

/* A quoted string; its escapes are those of JSON, in a text line too. */
static void add_quoted(struct buf *line, struct str s)
{
	bool valid = str_is_utf8(s);

	buf_char(line, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			buf_printf(line, "\\%c", c);
		else if (c == '\n')
			buf_cstr(line, "\\n");
		else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !valid))
			buf_printf(line, "\\u%04x", c);
		else
			buf_char(line, (char)c);
	}
	buf_char(line, '"');
}

static bool needs_quotes(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f || c >= 0x80)
			return true;
	}
	return s.n == 0;
}

static bool as_json(void)
{
	return line_format == LOG_JSON && !diverted;
}

static void add_text(struct buf *line, struct str s)
{
	if (as_json() || needs_quotes(s))
		add_quoted(line, s);
	else
		buf_str(line, s);
}

/* The conversions are read one by one, since a value must be quoted by itself. */
static void add_value(struct buf *line, struct str spec, va_list *ap)
{
	if (str_is(spec, "%s")) {
		const char *s = va_arg(*ap, const char *);
		add_text(line, str_of(s ? s : "(none)"));
	} else if (str_is(spec, "%.*s")) {
		int n = va_arg(*ap, int);
		const char *p = va_arg(*ap, const char *);
		add_text(line, str_sub(p, n > 0 ? (size_t)n : 0));
	} else if (str_is(spec, "%c")) {
		char c = (char)va_arg(*ap, int);
		add_text(line, str_sub(&c, 1));
	} else if (str_is(spec, "%d")) {
		buf_printf(line, "%d", va_arg(*ap, int));
	} else if (str_is(spec, "%u")) {
		buf_printf(line, "%u", va_arg(*ap, unsigned));
	} else if (str_is(spec, "%ld")) {
		buf_printf(line, "%ld", va_arg(*ap, long));
	} else if (str_is(spec, "%lu")) {
		buf_printf(line, "%lu", va_arg(*ap, unsigned long));
	} else if (str_is(spec, "%lld")) {
		buf_printf(line, "%lld", va_arg(*ap, long long));
	} else if (str_is(spec, "%llu")) {
		buf_printf(line, "%llu", va_arg(*ap, unsigned long long));
	} else {
		must(str_is(spec, "%zu"));
		buf_printf(line, "%zu", va_arg(*ap, size_t));
	}
}

static void add_fields(struct buf *line, const char *fields, va_list *ap)
{
	struct str rest = str_trim(str_of(fields));

	while (rest.n > 0) {
		struct str spec = str_cut(&rest, ' ');
		struct str key = str_cut(&spec, '=');
		if (as_json())
			buf_printf(line, ",\"%.*s\":", STR_FMT(key));
		else
			buf_printf(line, " %.*s=", STR_FMT(key));
		add_value(line, spec, ap);
	}
}

static void write_all(struct str s)
{
	while (s.n > 0) {
		ssize_t n = write(STDERR_FILENO, s.p, s.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody can be told */
		s.p += n;
		s.n -= (size_t)n;
	}
}

/* What stands before the fields. */
static void add_head(struct buf *line, enum log_level level, const char *msg)
{
	char when[64];
	struct timespec ts;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	size_t n = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(when + n, sizeof when - n, ".%03ldZ", ts.tv_nsec / 1000000);
	if (line_format == LOG_JSON) {
		buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":", when,
			   level_names[level]);
		add_quoted(line, str_of(msg));
	} else {
		buf_printf(line, "%s %s %s", when, level_words[level], msg);
	}
}

void log_write(enum log_level level, const char *msg, const char *fields, ...)
{
	int saved = errno;
	va_list ap;

	if (level > (diverted ? MAX(threshold, LOG_INFO) : threshold))
		return;
	_cleanup_buf_ struct buf line = BUF_INIT(LINE_MAX_BYTES);
	if (diverted)
		buf_cstr(&line, msg);
	else
		add_head(&line, level, msg);
	va_start(ap, fields);
	add_fields(&line, fields, &ap);
	va_end(ap);
	if (diverted) {
		diverted(diverted_arg, level, buf_view(&line));
	} else {
		buf_cstr(&line, line_format == LOG_JSON ? "}\n" : "\n");
		write_all(buf_view(&line));
	}
	errno = saved;
}
