/*
 * Decisions as rows of text, for the tests of decide.h.
 *
 * What is expected is "+NAME" (allowed, by the network policy of that name) or "-WORDS" (denied, for
 * a reason that has these words; the whole reason after "-=").
 */
#ifndef OPENSHELL_TEST_DECIDE_H
#define OPENSHELL_TEST_DECIDE_H

#include "policy.h"
#include "policy/decide.h"

enum { WORDS_MAX = 16 };

/* A list written with a separator. */
struct words {
	char text[512];
	const char *v[WORDS_MAX];
	size_t n;
};

static inline void split(struct words *w, const char *list, const char *separator)
{
	w->n = 0;
	snprintf(w->text, sizeof w->text, "%s", list ? list : "");
	for (char *save, *p = strtok_r(w->text, separator, &save); p != NULL;
	     p = strtok_r(NULL, separator, &save))
		w->v[w->n++] = p;
}

/* "host:port" */
static inline struct policy_target target_of(const char *text)
{
	const char *colon = strrchr(text, ':');

	return (struct policy_target){str_sub(text, (size_t)(colon - text)),
				      (uint16_t)atoi(colon + 1)};
}

static inline void expect(const char *row, bool allowed, const char *policy, const char *reason,
			  const char *wanted)
{
	if (allowed != (wanted[0] == '+'))
		FAIL("%s: %s, not %s", row, allowed ? policy : reason, wanted);
	if (allowed && (reason != NULL || !streq(policy, wanted + 1)))
		FAIL("%s: allowed by %s, not %s", row, policy, wanted);
	if (!allowed && wanted[1] == '=' && !streq(reason, wanted + 2))
		FAIL("%s: \"%s\", not %s", row, reason, wanted);
	if (!allowed && wanted[1] != '=' && strstr(reason, wanted + 1) == NULL)
		FAIL("%s: \"%s\", not %s", row, reason, wanted);
}

/* "key=value&key=value" */
static inline size_t params_of(struct words *w, const char *text, struct policy_param *out)
{
	split(w, text, "&");
	for (size_t i = 0; i < w->n; i++) {
		struct str rest = str_of(w->v[i]), key = str_cut(&rest, '=');
		out[i] = (struct policy_param){key, rest};
	}
	return w->n;
}

#endif
