/*
 * Canonical paths and decoded queries (supervisor contract 6.7), as a table.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "proxy/target.h"
#include "test.h"

static const struct {
	const char *raw, *path; /* begins with "-": refused, with these words */
} paths[] = {
	{"/", "/"},
	{"", "/"},
	{"/a", "/a"},
	{"/a/", "/a/"},
	{"/a/b", "/a/b"},
	{"//", "/"},
	{"///a///b///", "/a/b/"},
	{"/a//b", "/a/b"},
	{"/.", "/"},
	{"/./", "/"},
	{"/a/.", "/a/"},
	{"/a/./b", "/a/b"},
	{"/a/..", "/"},
	{"/a/../", "/"},
	{"/a/../b", "/b"},
	{"/a/b/..", "/a/"},
	{"/a/b/../", "/a/"},
	{"/a/b/../../c", "/c"},
	{"/a/b/c/../../d/./e", "/a/d/e"},
	{"/a//../b", "/b"},
	{"/...", "/..."},
	{"/a/..b/.c", "/a/..b/.c"},
	{"/%61", "/a"},
	{"/%2e", "/"},
	{"/a/%2e%2e/b", "/b"},
	{"/a/%2E./b", "/b"},
	{"/a/.%2e/b", "/b"},
	{"/%7Euser", "/~user"},
	{"/%20", "/%20"},
	{"/%C3%BC", "/%C3%BC"},
	{"/%c3%bc", "/%C3%BC"},
	{"/%25", "/%25"},
	{"/%252e%252e/", "/%252e%252e/"},
	{"/%25%32%65", "/%252e"},
	{"/%3F", "/%3F"},
	{"/%23", "/%23"},
	{"/%5c", "/%5C"},
	{"/a\\b", "/a%5Cb"},
	{"/a%5Cb", "/a%5Cb"},
	{"/\"<>^`{|}", "/%22%3C%3E%5E%60%7B%7C%7D"},
	{"/[x]", "/%5Bx%5D"},
	{"/-._~!$&'()*+,=:@", "/-._~!$&'()*+,=:@"},
	{"/%21%24%26%27%28%29%2A%2B%2C%3D%3A%40", "/!$&'()*+,=:@"},
	/* parameters */
	{"/a;x=1/b", "/a/b"},
	{"/a/b;jsessionid=1", "/a/b"},
	{"/a;", "/a"},
	{"/;x", "/"},
	{"/a/;x/b", "/a/b"},
	{"/a/..;/b", "/b"},
	{"/a/..;x=y/b", "/b"},
	{"/a/.;/b", "/a/b"},
	{"/a%3Bx/b", "/a/b"},
	{"/a/%2e%2e%3b/b", "/b"},
	{"/a/.%3b./b", "/a/b"},
	/* encoded slashes are told */
	{"/a%2Fb", "*/a%2Fb"},
	{"/a%2fb/", "*/a%2Fb/"},
	{"/%2f%2f", "*/%2F%2F"},
	{"/a%2F..", "-hides"},
	{"/a%2f%2e%2e%2fb", "-hides"},
	{"/..%2fa", "-hides"},
	{"/.%2F", "-hides"},
	{"/a%2F...", "*/a%2F..."},
	{"/a\\..\\b", "-hides"},
	{"/a/..%5cb", "-hides"},
	{"/a%5C.", "-hides"},
	/* refused */
	{"/..", "-climbs"},
	{"/../", "-climbs"},
	{"/../a", "-climbs"},
	{"/a/../..", "-climbs"},
	{"/a/../../b", "-climbs"},
	{"/./..", "-climbs"},
	{"//..", "-climbs"},
	{"/%2e%2e", "-climbs"},
	{"/..;", "-climbs"},
	{"/;/..", "-climbs"},
	{"a", "-slash"},
	{"*", "-slash"},
	{"%2Fa", "-slash"},
	{"/%", "-percent-encoding"},
	{"/%a", "-percent-encoding"},
	{"/%4", "-percent-encoding"},
	{"/%zz", "-percent-encoding"},
	{"/%a%41", "-percent-encoding"},
	{"/%%41", "-percent-encoding"},
	{"/%-1", "-percent-encoding"},
	{"/% 1", "-must be percent-encoded"},
	{"/%00", "-control"},
	{"/%01", "-control"},
	{"/%0a", "-control"},
	{"/%0D%0A", "-control"},
	{"/%09", "-control"},
	{"/%1F", "-control"},
	{"/%7f", "-control"},
	{"/\x01", "-must be percent-encoded"},
	{"/\t", "-must be percent-encoded"},
	{"/\x7f", "-must be percent-encoded"},
	{"/ ", "-must be percent-encoded"},
	{"/\xc3\xbc", "-must be percent-encoded"},
	{"/#", "-fragment"},
	{"/a?b#c", "-fragment"},
	{"#", "-fragment"},
};

TEST(paths_have_one_form)
{
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		_cleanup_arena_ struct arena a = ARENA_INIT(65536);
		struct target t;
		const char *why = target_read(&t, str_of(paths[i].raw), &a), *path = paths[i].path;
		if (path[0] == '-') {
			if (why == NULL || strstr(why, path + 1) == NULL)
				FAIL("%s: %s, %.*s", paths[i].raw, why, STR_FMT(t.path));
			continue;
		}
		if (why != NULL)
			FAIL("%s: %s", paths[i].raw, why);
		EQ(t.encoded_slash, path[0] == '*');
		path += path[0] == '*';
		if (!str_is(t.path, path) || !str_is(t.text, path))
			FAIL("%s: %.*s, not %s", paths[i].raw, STR_FMT(t.path), path);
		/* and that form is its own */
		struct target again;
		OK(target_read(&again, t.path, &a) == NULL && str_eq(again.path, t.path));
	}
}

/* "key=value|key=value", or "-" and why. */
static const struct {
	const char *raw, *told;
} queries[] = {
	{"?", ""},
	{"?a", "a="},
	{"?a=", "a="},
	{"?=b", "=b"},
	{"?a=b", "a=b"},
	{"?a=b&a=c", "a=b|a=c"},
	{"?a=b&&c=d&", "a=b|c=d"},
	{"?a=b=c", "a=b=c"},
	{"?a+b=c+d", "a b=c d"},
	{"?a%2Bb=%26%3D%25", "a+b=&=%"},
	{"?%61=%c3%bc", "a=\xc3\xbc"},
	{"?a=/../b?c", "a=/../b?c"},
	{"?a;b=c", "a;b=c"},
	{"?a=%2F%2e", "a=/."},
	{"?a=%0a", "a=\n"},
	{"?a=%", "-percent-encoding"},
	{"?a=%4", "-percent-encoding"},
	{"?%zz", "-percent-encoding"},
	{"?a=%ff", "-UTF-8"},
	{"?%c3=b", "-UTF-8"},
	{"?a=%ed%a0%80", "-UTF-8"},
};

TEST(queries_are_decoded)
{
	for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
		_cleanup_arena_ struct arena a = ARENA_INIT(65536);
		_cleanup_buf_ struct buf told = BUF_INIT(4096), text = BUF_INIT(4096);
		struct target t;

		buf_printf(&text, "/p%s", queries[i].raw);
		const char *why = target_read(&t, buf_view(&text), &a);
		if (queries[i].told[0] == '-') {
			if (why == NULL || strstr(why, queries[i].told + 1) == NULL)
				FAIL("%s: %s", queries[i].raw, why);
			continue;
		}
		if (why != NULL)
			FAIL("%s: %s", queries[i].raw, why);
		for (size_t j = 0; j < t.params_n; j++)
			buf_printf(&told, "%s%.*s=%.*s", j ? "|" : "", STR_FMT(t.params[j].key),
				   STR_FMT(t.params[j].value));
		if (!str_is(buf_view(&told), queries[i].told))
			FAIL("%s: %.*s", queries[i].raw, STR_FMT(buf_view(&told)));
		OK(str_is(t.query, queries[i].raw + 1));
		OK(str_eq(t.text, buf_view(&text)));
	}
}

TEST(without_a_question_mark_there_is_no_query)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(65536);
	struct target t;

	OK(target_read(&t, STR("/p"), &a) == NULL);
	OK(t.query.p == NULL && t.params_n == 0);
	OK(target_read(&t, STR("?a=b"), &a) == NULL);
	OK(str_is(t.path, "/") && str_is(t.text, "/?a=b"));
}

TEST(targets_have_limits)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(1 << 20), small = ARENA_INIT(100);
	static char text[20000];
	struct target t;

	memset(text, '|', sizeof text);
	text[0] = '/';
	OK(target_read(&t, str_sub(text, TARGET_PATH_MAX), &a) == NULL);
	EQ(t.path.n, 1 + 3 * (TARGET_PATH_MAX - 1));
	HAS(target_read(&t, str_sub(text, TARGET_PATH_MAX + 1), &a), "too long");
	HAS(target_read(&t, str_sub(text, 200), &small), "too long");
	memset(text, '&', sizeof text);
	memcpy(text, "/?", 2);
	OK(target_read(&t, str_sub(text, 2 + TARGET_PARAMS_MAX - 1), &a) == NULL);
	EQ(t.params_n, 0);
	HAS(target_read(&t, str_sub(text, 2 + TARGET_PARAMS_MAX), &a), "too many");
}
