#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/util.h"
#include "net/url.h"

enum { URL_MAX = 4096 };

/* Percent-decoded; NULL when that is malformed or gives a control character. The caller's. */
static char *decode(struct str s)
{
	char *out = xcalloc(1, s.n + 1), *to = out;

	for (size_t i = 0; i < s.n; i++) {
		int c = (unsigned char)s.p[i];
		if (c == '%') {
			c = str_percent(str_sub(s.p + i, s.n - i));
			i += 2;
		}
		if (c < 0x20 || c == 0x7f) {
			free_secret(out);
			return NULL;
		}
		*to++ = (char)c;
	}
	return out;
}

static char *lower(struct str s)
{
	char *out = str_dup(s);

	for (char *p = out; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	return out;
}

static uint16_t default_port(const char *scheme)
{
	if (streq(scheme, "https"))
		return 443;
	if (streq(scheme, "http"))
		return 80;
	return str_starts(str_of(scheme), "socks5") ? 1080 : 0;
}

static bool is_host(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!isalnum((unsigned char)c) && strchr("-._:", c) == NULL)
			return false;
	}
	return s.n > 0;
}

/* user:password@ */
static int read_user(struct url *u, struct str s)
{
	struct str rest = s;
	struct str user = str_cut(&rest, ':');

	u->user = decode(user);
	u->password = rest.p ? decode(rest) : NULL;
	return u->user == NULL || (rest.p != NULL && u->password == NULL) ? -1 : 0;
}

static int read_host(struct url *u, struct str s)
{
	struct str host = s, port = STR_NONE;
	uint64_t n = default_port(u->scheme);

	if (s.n > 0 && s.p[0] == '[') {
		struct str rest = str_sub(s.p + 1, s.n - 1);
		host = str_cut(&rest, ']');
		if (rest.p == NULL || (rest.n > 0 && rest.p[0] != ':'))
			return -1;
		port = rest.n > 0 ? str_sub(rest.p + 1, rest.n - 1) : STR_NONE;
	} else if (memchr(s.p, ':', s.n) != NULL) {
		port = s;
		host = str_cut(&port, ':');
		if (memchr(port.p, ':', port.n) != NULL)
			return -1;
	}
	if (port.n > 0 && !str_u64(port, &n))
		return -1;
	if (!is_host(host) || n == 0 || n > UINT16_MAX)
		return -1;
	u->host = lower(host);
	u->port = (uint16_t)n;
	return 0;
}

static int read_all(struct url *u, struct str s)
{
	const char *colon = strstr(s.p, "://");
	if (colon == NULL || colon == s.p)
		return -1;
	u->scheme = lower(str_sub(s.p, (size_t)(colon - s.p)));
	s = str_of(colon + 3);
	size_t n = strcspn(s.p, "/");
	struct str authority = str_sub(s.p, n);
	struct str path = str_sub(s.p + n, s.n - n);
	for (size_t i = authority.n; i > 0; i--) { /* a password may hold an @ */
		if (authority.p[i - 1] != '@')
			continue;
		if (read_user(u, str_sub(authority.p, i - 1)) < 0)
			return -1;
		authority = str_sub(authority.p + i, authority.n - i);
		break;
	}
	while (str_ends(path, "/"))
		path.n--;
	u->path = str_dup(path);
	return read_host(u, authority);
}

int url_parse(struct url *out, const char *text, const char *what, struct err *e)
{
	*out = (struct url){0};
	if (strlen(text) > URL_MAX)
		return err_set(e, EINVAL, "%s: the URL is longer than %d bytes", what, URL_MAX);
	if (str_has_control(str_of(text)) || strpbrk(text, " ?#\\\"<>^`{|}") != NULL ||
	    read_all(out, str_of(text)) < 0) {
		/* it may hold a password, which is not repeated */
		const char *at = strrchr(text, '@');
		return err_set(e, EINVAL, "%s: \"%s%s\" is no URL of the form scheme://host:port",
			       what, at ? "…" : "", at ? at : text);
	}
	return 0;
}

void url_fini(struct url *u)
{
	free(u->scheme);
	free_secret(u->user);
	free_secret(u->password);
	free(u->host);
	free(u->path);
	*u = (struct url){0};
}

char *url_authority(const char *host, uint16_t port)
{
	bool v6 = strchr(host, ':') != NULL;

	return xasprintf("%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "", port);
}
