/* base/log: one line a message, whatever the values hold. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "test.h"

/* What log writes to stderr while fn runs. */
static char *captured(void (*fn)(void))
{
	static char text[4096];
	int fds[2], saved = dup(STDERR_FILENO);

	OK(pipe(fds) == 0);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	fn();
	dup2(saved, STDERR_FILENO);
	close(saved);
	ssize_t n = read(fds[0], text, sizeof text - 1);
	close(fds[0]);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void plain(void)
{
	log_info("sandbox ready", "id=%s pid=%d size=%zu big=%lld", "4f1c", 77, (size_t)9, -5LL);
}

static void nasty(void)
{
	char *volatile absent = NULL;

	log_warn("odd", "name=%s cut=%.*s none=%s", "a b\"c\nd=\x01", 2, "xyz", absent);
}

static void quiet(void)
{
	log_debug("unheard");
	log_set_level(LOG_ERROR);
	log_warn("unheard");
	log_set_level(LOG_INFO);
}

static void bare(void)
{
	log_error("no fields");
}

TEST(log_text_is_a_sentence_and_fields)
{
	char *line = captured(plain);

	OK(strstr(line, "Z INFO sandbox ready id=4f1c pid=77 size=9 big=-5\n") != NULL);
	line = captured(bare);
	OK(strstr(line, "Z ERROR no fields\n") != NULL);
}

TEST(log_text_quotes_what_would_break_the_line)
{
	char *line = captured(nasty);

	OK(strstr(line, "name=\"a b\\\"c\\nd=\\u0001\" cut=xy none=(none)\n") != NULL);
	EQ(strchr(line, '\n') - line, (long)strlen(line) - 1);
}

TEST(log_json_is_json)
{
	struct err e;

	log_set_format(LOG_JSON);
	char *line = captured(nasty);
	_cleanup_json_ cJSON *j = json_parse(str_of(line), "log", &e);
	OK(j != NULL);
	STREQ(json_str(j, "level"), "warn");
	STREQ(json_str(j, "msg"), "odd");
	STREQ(json_str(j, "name"), "a b\"c\nd=\x01");
	STREQ(json_str(j, "cut"), "xy");
	line = captured(plain);
	_cleanup_json_ cJSON *k = json_parse(str_of(line), "log", &e);
	EQ(json_int(k, "pid", 0), 77);
	EQ(json_int(k, "big", 0), -5);
}

TEST(log_levels)
{
	enum log_level level;
	enum log_format format;
	struct err e;

	STREQ(captured(quiet), "");
	OK(log_level_parse("WARN", &level, &e) == 0 && level == LOG_WARN);
	OK(log_level_parse("trace", &level, &e) == 0 && level == LOG_DEBUG);
	EQ(log_level_parse("loud", &level, &e), -1);
	STREQ(e.text, "log level 'loud' is none of error, warn, info, debug");
	unsetenv("RUST_LOG");
	OK(log_level_choose("error", &level, &e) == 0 && level == LOG_ERROR);
	setenv("RUST_LOG", "h2=error, Warn,debug", 1);
	OK(log_level_choose("error", &level, &e) == 0 && level == LOG_WARN);
	setenv("RUST_LOG", "h2=error", 1);
	OK(log_level_choose("error", &level, &e) == 0 && level == LOG_ERROR);
	EQ(log_level_choose("loud", &level, &e), -1);
	OK(log_format_parse("json", &format, &e) == 0 && format == LOG_JSON);
	EQ(log_format_parse("xml", &format, &e), -1);
}
