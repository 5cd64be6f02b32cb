#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "kube/path.h"

enum { PATH_MAX_BYTES = 16 << 10 };

/* Everything but the unreserved characters of RFC 3986 section 2.3. */
static void add_encoded(struct buf *b, const char *s)
{
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					 "0123456789-._~";

	for (; *s != '\0'; s++) {
		if (strchr(unreserved, *s) != NULL)
			must(buf_char(b, *s));
		else
			must(buf_printf(b, "%%%02X", (unsigned char)*s));
	}
}

static void add_segment(struct buf *b, const char *s)
{
	must(buf_char(b, '/'));
	/* a name that is a step of its own would climb the path, encoded or not */
	if (streq(s, ".") || streq(s, ".."))
		must(buf_cstr(b, s[1] ? "%2E%2E" : "%2E"));
	else
		add_encoded(b, s);
}

char *kube_path(const struct kube_resource *r, const char *ns, const char *name, const char *sub)
{
	struct buf b = BUF_INIT(PATH_MAX_BYTES);

	must(buf_cstr(&b, r->group[0] ? "/apis" : "/api"));
	if (r->group[0] != '\0')
		add_segment(&b, r->group);
	add_segment(&b, r->version);
	if (!str_empty(ns)) {
		add_segment(&b, "namespaces");
		add_segment(&b, ns);
	}
	add_segment(&b, r->plural);
	if (!str_empty(name)) {
		add_segment(&b, name);
		if (!str_empty(sub))
			add_segment(&b, sub);
	}
	return buf_take(&b);
}

char *kube_path_query(char *path, const char *key, const char *value)
{
	struct buf b = BUF_INIT(PATH_MAX_BYTES);

	if (str_empty(value))
		return path;
	must(buf_cstr(&b, path));
	must(buf_char(&b, strchr(path, '?') ? '&' : '?'));
	add_encoded(&b, key);
	must(buf_char(&b, '='));
	add_encoded(&b, value);
	free(path);
	return buf_take(&b);
}

char *kube_path_query_int(char *path, const char *key, long long value)
{
	char text[32];

	snprintf(text, sizeof text, "%lld", value);
	return kube_path_query(path, key, text);
}
