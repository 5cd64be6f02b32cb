#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "supervisor/shell_words.h"

enum token { TOKEN_END, TOKEN_WORD, TOKEN_AND };

struct reader {
	struct str rest;
	char *out; /* where the next byte of a word goes; a word is never longer than what it is read from */
	char *word;   /* the last one */
	size_t plain; /* how many bytes at its beginning stand unquoted in the line */
};

static int refuse(struct err *e, char c)
{
	if (c == '\0' || c == '\n')
		return err_set(e, EINVAL, "a %s in a command takes a shell, and there is none",
			       c == '\n' ? "line break" : "NUL byte");
	return err_set(e, EINVAL, "'%c' in a command takes a shell, and there is none", c);
}

static char take(struct reader *r)
{
	char c = *r->rest.p;

	r->rest = str_sub(r->rest.p + 1, r->rest.n - 1);
	return c;
}

static bool one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static int unended(struct err *e, const char *what)
{
	return err_set(e, EINVAL, "the command ends within %s", what);
}

static int read_single(struct reader *r, struct err *e)
{
	while (r->rest.n > 0) {
		char c = take(r);

		if (c == '\'')
			return 0;
		if (c == '\0')
			return refuse(e, c);
		*r->out++ = c;
	}
	return unended(e, "single quotes");
}

static int read_double(struct reader *r, struct err *e)
{
	while (r->rest.n > 0) {
		char c = take(r);

		if (c == '"')
			return 0;
		if (c == '\\' && r->rest.n > 0 && one_of(*r->rest.p, "$`\"\\\n")) {
			c = take(r);
			if (c == '\n') /* the line goes on */
				continue;
		} else if (one_of(c, "$`") || c == '\0') {
			return refuse(e, c);
		}
		*r->out++ = c;
	}
	return unended(e, "double quotes");
}

static int read_escaped(struct reader *r, struct err *e)
{
	if (r->rest.n == 0)
		return unended(e, "an escape");
	char c = take(r);
	if (c == '\0')
		return refuse(e, c);
	if (c != '\n') /* else the line goes on */
		*r->out++ = c;
	return 0;
}

static int read_word(struct reader *r, struct err *e)
{
	bool quoted = false;

	r->word = r->out;
	r->plain = 0;
	while (r->rest.n > 0 && !one_of(*r->rest.p, " \t")) {
		char c = take(r);
		int result = 0;

		if (one_of(c, "'\"\\")) {
			quoted = true;
			result = c == '\''  ? read_single(r, e)
				 : c == '"' ? read_double(r, e)
					    : read_escaped(r, e);
		} else if (c == '\0' || one_of(c, "|&;<>()$`*?[\n") ||
			   (r->out == r->word && !quoted && one_of(c, "#~"))) {
			result = refuse(e, c);
		} else {
			*r->out++ = c;
			r->plain += !quoted;
		}
		if (result < 0)
			return -1;
	}
	*r->out++ = '\0';
	return 0;
}

static int next(struct reader *r, struct err *e)
{
	while (r->rest.n > 0 && one_of(*r->rest.p, " \t"))
		take(r);
	if (r->rest.n == 0)
		return TOKEN_END;
	if (str_skip(&r->rest, "&&"))
		return TOKEN_AND;
	return read_word(r, e) < 0 ? -1 : TOKEN_WORD;
}

/* NAME= that no quote is part of. */
static bool is_assignment(const struct reader *r)
{
	size_t n =
		strspn(r->word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");

	return n > 0 && n < r->plain && r->word[n] == '=' && !one_of(*r->word, "0123456789");
}

/* A word that is exactly this, none of it quoted. */
static bool is_plain(const struct reader *r, const char *word)
{
	return streq(r->word, word) && r->plain == strlen(word);
}

/* The rest of "cd DIR &&"; the word after it is read, or its end found. */
static int read_cd(struct shell_words *out, struct reader *r, struct err *e)
{
	int token = next(r, e);

	if (token < 0)
		return -1;
	if (token != TOKEN_WORD)
		return err_set(e, EINVAL, "cd in a command names no directory");
	out->cwd = r->word;
	token = next(r, e);
	if (token < 0)
		return -1;
	if (token != TOKEN_AND)
		return err_set(e, EINVAL,
			       "cd DIR in a command must be followed by &&: there is no shell");
	return next(r, e);
}

int shell_words(struct shell_words *out, struct str line, struct err *e)
{
	/* a word and the blank after it are two bytes at least; two lists, each with its NULL */
	size_t max = MIN(line.n / 2 + 1, (size_t)SHELL_WORDS_MAX), n = 0;
	struct reader r = {.rest = line};
	int token;

	*out = (struct shell_words){.text = xmalloc(line.n + 2),
				    .words = xcalloc(max + 2, sizeof *out->words)};
	r.out = out->text;
	token = next(&r, e);
	if (token == TOKEN_WORD && is_plain(&r, "cd"))
		token = read_cd(out, &r, e);
	out->assign = out->words;
	for (; token == TOKEN_WORD; token = next(&r, e)) {
		if (n - (out->argv != NULL) == max)
			return err_set(e, E2BIG, "a command of more than %zu words", max);
		if (out->argv == NULL && !is_assignment(&r)) {
			out->words[n++] = NULL;
			out->argv = out->words + n;
		}
		out->words[n++] = r.word;
	}
	if (token < 0)
		return -1;
	if (token == TOKEN_AND)
		return refuse(e, '&');
	return out->argv == NULL ? err_set(e, EINVAL, "no command is given") : 0;
}

void shell_words_fini(struct shell_words *w)
{
	free(w->text);
	free(w->words);
	*w = (struct shell_words){0};
}
