#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "proxy/strict_json.h"

cJSON *strict_json_parse(struct str text)
{
	struct err e;

	/* cJSON's texts end at a NUL */
	if (text.n == 0 || memchr(text.p, '\0', text.n) != NULL ||
	    memmem(text.p, text.n, "\\u0000", 6) != NULL || !str_is_utf8(text))
		return NULL;
	return json_parse(text, "a text", &e);
}

static bool is_ascii(const char *s)
{
	while (*s != '\0')
		if ((unsigned char)*s++ >= 0x80)
			return false;
	return true;
}

const char *strict_json_keys(const cJSON *o, const char *const *names, size_t n, bool ascii)
{
	unsigned seen = 0;

	must(n <= 32);
	for (const cJSON *c = o->child; c != NULL; c = c->next) {
		if (ascii && !is_ascii(c->string))
			return "a key is not ASCII";
		for (size_t i = 0; i < n; i++) {
			if (!str_ieq(str_of(c->string), str_of(names[i])))
				continue;
			if (!streq(c->string, names[i]) || seen & 1U << i)
				return "a key is ambiguous";
			seen |= 1U << i;
		}
	}
	return NULL;
}
