#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "supervisor/shell_words.h"
#include "test.h"

/* "cwd|assignment;...|word;..." or the error */
static const char *read_line(struct str line)
{
	static char *text;
	struct buf b = BUF_INIT(1 << 20);
	struct shell_words w;
	struct err e;

	if (shell_words(&w, line, &e) < 0) {
		buf_printf(&b, "error: %s", e.text);
	} else {
		buf_printf(&b, "%s|", w.cwd ? w.cwd : "");
		for (char **a = w.assign; *a; a++)
			buf_printf(&b, "%s;", *a);
		buf_cstr(&b, "|");
		for (char **a = w.argv; *a; a++)
			buf_printf(&b, "%s;", *a);
	}
	shell_words_fini(&w);
	free(text);
	text = buf_take(&b);
	return text;
}

#define READ(lit) read_line(STR(lit))

TEST(words)
{
	STREQ(READ("ls -la /tmp"), "||ls;-la;/tmp;");
	STREQ(READ("  a\t b  "), "||a;b;");
	STREQ(READ("find . -name {} +"), "||find;.;-name;{};+;");
	STREQ(READ("a=b=c"), "error: no command is given");
	STREQ(READ("echo a=b x#y x~"), "||echo;a=b;x#y;x~;");
}

TEST(quotes)
{
	STREQ(READ("'print('\"'\"'ok'\"'\"')'"), "||print('ok');");
	STREQ(READ("'' \"\" a''b"), "||;;ab;");
	STREQ(READ("\"a \\$ \\` \\\" \\\\ \\x\""), "||a $ ` \" \\ \\x;");
	STREQ(READ("a\\ b \\$c \\'"), "||a b;$c;';");
	STREQ(READ("'a\nb' \"c\nd\""), "||a\nb;c\nd;");
	STREQ(READ("a\\\nb \"c\\\nd\""), "||ab;cd;");
	STREQ(READ("'#' '~' '|'"), "||#;~;|;");
}

TEST(what_a_gateway_makes_of_an_exec)
{
	STREQ(READ("cd /work && HOME=/home A='it'\"'\"'s' B='' python -c 'x; y'"),
	      "/work|HOME=/home;A=it's;B=;|python;-c;x; y;");
	STREQ(READ("cd 'a b' && ls"), "a b||ls;");
	STREQ(READ("A=1 cd x"), "|A=1;|cd;x;");
	STREQ(READ("'cd' x"), "||cd;x;");
}

TEST(what_is_no_assignment)
{
	STREQ(READ("A'='1 x"), "||A=1;x;");
	STREQ(READ("'A=1' x"), "||A=1;x;");
	STREQ(READ("1A=1 x"), "||1A=1;x;");
	STREQ(READ("=1 x"), "||=1;x;");
	STREQ(READ("x A=1"), "||x;A=1;");
}

TEST(what_takes_a_shell)
{
	const char *lines[] = {"a | b",   "a; b",   "a & b",   "a > f", "a < f",  "(a)",
			       "echo $A", "`a`",    "*.c",     "a?",    "[a]",    "~/x",
			       "# words", "\"$A\"", "\"`a`\"", "a\nb",  "a || b", "a && b"};

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		HAS(read_line(str_of(lines[i])), "takes a shell, and there is none");
	STREQ(READ("a | b"), "error: '|' in a command takes a shell, and there is none");
	HAS(READ("a\0b"), "a NUL byte in");
	HAS(READ("'a\0b'"), "a NUL byte in");
	HAS(READ("\"a\0b\""), "a NUL byte in");
	HAS(READ("a\\\0b"), "a NUL byte in");
}

TEST(what_does_not_end_well)
{
	HAS(READ("'a"), "ends within single quotes");
	HAS(READ("\"a"), "ends within double quotes");
	HAS(READ("\"a\\\""), "ends within double quotes");
	HAS(READ("a\\"), "ends within an escape");
	HAS(READ(""), "no command is given");
	HAS(READ("  "), "no command is given");
	HAS(READ("cd"), "names no directory");
	HAS(READ("cd a"), "followed by &&");
	HAS(READ("cd a b"), "followed by &&");
	HAS(READ("cd a &&"), "no command is given");
	HAS(READ("&& a"), "'&' in a command");
}

TEST(as_many_words_as_there_may_be)
{
	char line[2 * SHELL_WORDS_MAX + 2];

	for (size_t i = 0; i < sizeof line; i += 2)
		memcpy(line + i, "a ", 2);
	EQ(strlen(read_line(str_sub(line, 2 * SHELL_WORDS_MAX))), 2 + 2 * SHELL_WORDS_MAX);
	HAS(read_line(str_sub(line, sizeof line)), "more than 4096 words");
	EQ(strlen(READ("a b c d e")), 12);
}
