#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/str.h"
#include "base/util.h"
#include "supervisor/main_spec.h"

#define VARIABLE "OPENSHELL_MAIN_PROCESS_SPEC"
#define BASE64_PREFIX "base64url:"
#define BASE64_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

enum {
	/* each byte of an argument may be written as six ("\u0001") */
	TEXT_MAX = 6 * MAIN_SPEC_TOTAL_MAX + 8 * MAIN_SPEC_ARGS_MAX,
};

void main_spec_fini(struct main_spec *s)
{
	for (size_t i = 0; s->argv != NULL && s->argv[i] != NULL; i++)
		free(s->argv[i]);
	free(s->argv);
	s->argv = NULL;
}

static void add(struct main_spec *s, size_t *n, const char *arg)
{
	s->argv = xrealloc(s->argv, (*n + 2) * sizeof *s->argv);
	s->argv[(*n)++] = xstrdup(arg);
	s->argv[*n] = NULL;
}

/* The JSON text behind the prefix, or the text itself; the caller's. NULL on error. */
static char *decode(const char *spec, struct err *e)
{
	struct str text = str_of(spec);
	size_t n;

	if (text.n > base64_decoded_max(TEXT_MAX) * 2) {
		err_set(e, E2BIG, VARIABLE ": longer than any command can be");
		return NULL;
	}
	if (!str_skip(&text, BASE64_PREFIX))
		return str_dup(text);
	_cleanup_free_ char *out = xmalloc(base64_decoded_max(text.n) + 1);
	if (strspn(text.p, BASE64_LETTERS) != text.n || !base64_decode(text, (uint8_t *)out, &n) ||
	    memchr(out, 0, n) != NULL) {
		err_set(e, EINVAL, VARIABLE ": not base64url without padding");
		return NULL;
	}
	out[n] = '\0';
	return steal(&out);
}

static int read_command(struct main_spec *out, const cJSON *command, struct err *e)
{
	const cJSON *item;
	size_t n = 0, total = 0;

	if (!cJSON_IsArray(command) || command->child == NULL)
		return err_set(e, EINVAL, VARIABLE ": no command");
	cJSON_ArrayForEach(item, command) {
		size_t length = cJSON_IsString(item) ? strlen(item->valuestring) : 0;

		if (!cJSON_IsString(item))
			return err_set(e, EINVAL, VARIABLE ": an argument is no text");
		total += length;
		if (n == MAIN_SPEC_ARGS_MAX || length > MAIN_SPEC_ARG_MAX ||
		    total > MAIN_SPEC_TOTAL_MAX)
			return err_set(e, E2BIG, VARIABLE ": more than %d arguments or %d bytes",
				       MAIN_SPEC_ARGS_MAX, MAIN_SPEC_TOTAL_MAX);
		add(out, &n, item->valuestring);
	}
	if (str_empty(out->argv[0]))
		return err_set(e, EINVAL, VARIABLE ": the command's name is empty");
	return 0;
}

static int from_spec(struct main_spec *out, const char *spec, struct err *e)
{
	static const char *const known[] = {"version", "command", "tty", NULL};
	_cleanup_free_ char *text = decode(spec, e);
	_cleanup_json_ cJSON *j = text ? json_parse(str_of(text), VARIABLE, e) : NULL;
	const cJSON *version, *tty;

	if (j == NULL)
		return -1;
	if (!cJSON_IsObject(j))
		return err_set(e, EINVAL, VARIABLE ": not an object");
	if (json_unknown_key(j, known) != NULL)
		return err_set(e, EINVAL, VARIABLE ": unknown member '%.64s'",
			       json_unknown_key(j, known));
	version = json_get(j, "version");
	if (!cJSON_IsNumber(version) || version->valuedouble != 1)
		return err_set(e, EINVAL, VARIABLE ": version is not 1");
	tty = json_get(j, "tty");
	if (tty != NULL && !cJSON_IsBool(tty))
		return err_set(e, EINVAL, VARIABLE ": tty is neither true nor false");
	out->tty = cJSON_IsTrue(tty);
	return read_command(out, json_get(j, "command"), e);
}

int main_spec_resolve(struct main_spec *out, char *const *argv, const char *spec, struct err *e)
{
	size_t n = 0;

	*out = (struct main_spec){0};
	if (argv != NULL && argv[0] != NULL) {
		out->from = MAIN_FROM_ARGV;
		while (argv[n] != NULL)
			add(out, &n, argv[n]);
		return 0;
	}
	if (!str_empty(spec)) {
		out->from = MAIN_FROM_SPEC;
		return from_spec(out, spec, e);
	}
	out->from = MAIN_FROM_DEFAULT;
	out->tty = true;
	add(out, &n, MAIN_SPEC_SHELL);
	add(out, &n, "-l");
	return 0;
}

bool main_spec_is_login_shell(const struct main_spec *s)
{
	return streq(s->argv[0], MAIN_SPEC_SHELL) && s->argv[1] != NULL &&
	       streq(s->argv[1], "-l") && s->argv[2] == NULL;
}
