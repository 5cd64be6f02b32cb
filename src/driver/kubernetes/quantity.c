#include <string.h>

#include "base/util.h"
#include "driver/kubernetes/quantity.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t digits(struct str *s)
{
	size_t n = 0;

	while (s->n > 0 && is_digit(s->p[0])) {
		s->p++;
		s->n--;
		n++;
	}
	return n;
}

bool is_quantity(struct str s)
{
	static const char *const suffixes[] = {"",  "n", "u",  "m",  "k",  "M",  "G",  "T",
					       "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
	size_t n;

	if (s.n == 0 || s.n > 64)
		return false;
	n = digits(&s);
	if (str_skip(&s, "."))
		n += digits(&s);
	if (n == 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		if (str_is(s, suffixes[i]))
			return true;
	}
	if (!str_skip(&s, "e") && !str_skip(&s, "E"))
		return false;
	if (!str_skip(&s, "-"))
		str_skip(&s, "+");
	return digits(&s) > 0 && s.n == 0;
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_label_value(struct str s)
{
	if (s.n == 0)
		return true;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_alnum(s.p[i]) && (s.p[i] == '\0' || strchr("-_.", s.p[i]) == NULL))
			return false;
	}
	return s.n <= 63 && is_alnum(s.p[0]) && is_alnum(s.p[s.n - 1]);
}

bool is_label_key(struct str s)
{
	if (s.n > 0 && memchr(s.p, '/', s.n) != NULL && !str_is_dns_subdomain(str_cut(&s, '/')))
		return false;
	return s.n > 0 && is_label_value(s);
}
