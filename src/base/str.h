/*
 * struct str - borrowed bytes with a length. Text that comes from outside is one of these and is
 * never strlen'd (style rule 10). It owns nothing and may hold any byte, NUL included.
 */
#ifndef OPENSHELL_BASE_STR_H
#define OPENSHELL_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
	const char *p;
	size_t n;
};

#define STR(lit) ((struct str){(lit), sizeof(lit) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* For printf's "%.*s". */
#define STR_FMT(s) (int)(s).n, (s).p

/* A view of a C string; NULL gives an empty one. */
struct str str_of(const char *s);
struct str str_sub(const void *p, size_t n);

bool str_eq(struct str a, struct str b);
bool str_is(struct str a, const char *b);
bool str_ieq(struct str a, struct str b); /* ASCII letters of either case */
bool str_starts(struct str s, const char *prefix);
bool str_ends(struct str s, const char *suffix);

/* Removes a prefix when it is there and says so. */
bool str_skip(struct str *s, const char *prefix);
/* Cuts *s at the first sep: returns what stands before it and leaves the rest behind it in *s.
 * Without a sep the whole is returned and *s becomes empty with p == NULL. */
struct str str_cut(struct str *s, char sep);
/* Without leading and trailing blanks (space, tab, CR, LF). */
struct str str_trim(struct str s);

/* Reads the whole of s as a number. False when it is empty, has another character, or does not fit. */
bool str_u64(struct str s, uint64_t *out);
bool str_i64(struct str s, int64_t *out);
/* The byte that s begins with as "%4a" (three bytes of s; RFC 3986 2.1); -1 when it does not begin so. */
int str_percent(struct str s);

/* A copy as C string, the caller's; must hold no NUL byte that matters. */
char *str_dup(struct str s);

/* Whether the C strings are equal; NULL equals only NULL. */
bool streq(const char *a, const char *b);
/* Whether s is NULL or "". */
bool str_empty(const char *s);

/* A name that Kubernetes takes as label value, namespace or container name: RFC 1123 label
 * ([a-z0-9]([-a-z0-9]*[a-z0-9])?, 63 characters at most). */
bool str_is_dns_label(struct str s);
/* RFC 1123 subdomain as Kubernetes takes it: labels joined by dots, 253 characters at most, a single
 * label as long as the whole. */
bool str_is_dns_subdomain(struct str s);
/* Whether the bytes are well-formed UTF-8 (no surrogates, no overlong forms). */
bool str_is_utf8(struct str s);
/* The longest beginning of s that is well-formed UTF-8 and no longer than max bytes. */
struct str str_utf8_prefix(struct str s, size_t max);
/* Whether a control character (below 0x20, or 0x7f) occurs. */
bool str_has_control(struct str s);

#endif
