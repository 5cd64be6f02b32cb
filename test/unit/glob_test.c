/*
 * Globs as tables: what the contract says of them (supervisor contract 5.5), and what globset makes
 * of the corners.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "policy/glob.h"
#include "test.h"

struct row {
	const char *pattern;
	const char *yes[6], *no[6]; /* NULL-terminated unless full */
};

static const struct glob *compile(struct arena *a, const char *pattern, enum glob_kind kind)
{
	const char *why = NULL;
	const struct glob *g = glob_compile(a, str_of(pattern), kind, &why);

	if (g == NULL)
		FAIL("%s %s", pattern, why);
	return g;
}

static void try_row(const struct row *r, enum glob_kind kind)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	const struct glob *g = compile(&a, r->pattern, kind);

	for (size_t i = 0; i < 6 && r->yes[i] != NULL; i++) {
		if (!glob_match(g, str_of(r->yes[i])))
			FAIL("%s does not match \"%s\"", r->pattern, r->yes[i]);
	}
	for (size_t i = 0; i < 6 && r->no[i] != NULL; i++) {
		if (glob_match(g, str_of(r->no[i])))
			FAIL("%s matches \"%s\"", r->pattern, r->no[i]);
	}
}

static const struct row paths[] = {
	{"", {""}, {"/", "a"}},
	{"/a", {"/a"}, {"/", "/ab", "/a/", "/A", "a"}},
	{"/a/*", {"/a/b", "/a/", "/a/b.c"}, {"/a", "/a/b/c", "/b/a"}},
	{"/a/*/c", {"/a/b/c", "/a//c"}, {"/a/b/b/c", "/a/c"}},
	{"/a*z", {"/az", "/abz"}, {"/a/z", "/azb"}},
	{"/repos/**", {"/repos/a", "/repos/a/b", "/repos/"}, {"/repos", "/repo/a", "/reposx/a"}},
	{"/**", {"/", "/a", "/a/b"}, {"", "a"}},
	{"**", {"", "/", "a", "/a/b"}, {NULL}},
	{"**/x", {"x", "/x", "a/x", "/a/b/x"}, {"ax", "/a/bx", "x/"}},
	{"/a/**/z", {"/a/z", "/a/b/z", "/a/b/c/z"}, {"/az", "/a/bz", "/a/z/"}},
	{"/a/**/**/z", {"/a/z", "/a/b/z"}, {"/az"}},
	{"/a/**/**", {"/a/", "/a/b/c"}, {"/a"}},
	{"**/**", {"", "/a/b"}, {NULL}},
	{"**/**/x", {"x", "/x", "/a/x"}, {"ax"}},
	{"/a/b**", {"/a/b", "/a/bcd"}, {"/a/b/c", "/a"}},
	{"/a**/b", {"/a/b", "/acc/b"}, {"/a/c/b"}},
	{"**a", {"a", "bba"}, {"b/a"}},
	{"/a/***", {"/a/", "/a/b"}, {"/a/b/c"}},
	{"/v?", {"/v1", "/v."}, {"/v", "/v12", "/v/"}},
	{"/?", {"/a"}, {"//", "/"}},
	{"/v[12]/x", {"/v1/x", "/v2/x"}, {"/v3/x", "/v12/x"}},
	{"/[a-c]x", {"/ax", "/cx"}, {"/dx", "/-x"}},
	{"/[!a-c]x", {"/dx", "//x"}, {"/ax", "/x"}},
	{"/[^a]", {"/b"}, {"/a"}},
	{"/[]a]", {"/]", "/a"}, {"/b"}},
	{"/[!]]", {"/a"}, {"/]"}},
	{"/[-a]", {"/-", "/a"}, {"/b"}},
	{"/[a-]", {"/-", "/a"}, {"/b"}},
	{"/[a-c-e]", {"/b", "/d", "/e"}, {"/-", "/f"}},
	{"/[*?{]", {"/*", "/?", "/{"}, {"/a"}},
	{"/{a,b}/c", {"/a/c", "/b/c"}, {"/c/c", "/ab/c", "/{a,b}/c"}},
	{"/{a,b*,c/d}", {"/a", "/bx", "/c/d"}, {"/b/x", "/c", "/d"}},
	{"/{a,{b,c}d}e", {"/ae", "/bde", "/cde"}, {"/be", "/ade"}},
	{"/x{,a}", {"/xa"}, {"/x"}},
	{"/x{}y", {"/xy"}, {"/x{}y"}},
	{"/x{{},}y", {"/xy"}, {"/x"}},
	{"/x{a}y", {"/xay"}, {"/xy"}},
	{"/{**/x,y}", {"/x", "/a/b/x", "/y"}, {"/ax", "/a/y"}},
	{"{/a/**,/b}", {"/a/", "/a/x/y", "/b"}, {"/a", "/b/x"}},
	{"/a,b", {"/a,b"}, {"/a"}},
	{"/a\\*b", {"/a*b"}, {"/axb", "/a\\*b"}},
	{"/a\\\\b", {"/a\\b"}, {"/ab"}},
	{"/\\{a\\}", {"/{a}"}, {"/a"}},
	{"/a.b", {"/a.b"}, {"/axb"}},
	{"/*.*", {"/a.b", "/a.b.c", "/."}, {"/a", "/a/b.c"}},
	{"/usr/bin/*", {"/usr/bin/git"}, {"/usr/bin/sub/git", "/usr/bin"}},
	{"/usr/**/git", {"/usr/git", "/usr/bin/git", "/usr/lib/x/git"}, {"/usr/bin/git2"}},
};

TEST(paths)
{
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
		try_row(&paths[i], GLOB_PATH);
}

static const struct row texts[] = {
	{"v1*", {"v1", "v12", "v1/2"}, {"v1.2", "v", "V1"}},
	{"v1.*", {"v1.2", "v1."}, {"v1", "v1.2.3"}},
	{"v1.**", {"v1.2", "v1.2.3"}, {"v1"}},
	{"**", {"", "a", "a.b.c", "a/b"}, {NULL}},
	{"*", {"", "a", "a/b"}, {"a.b", "."}},
	{"NVIDIA/*", {"NVIDIA/OpenShell", "NVIDIA/"}, {"NVIDIA", "NVIDIA/open.shell"}},
	{"a/**", {"a/b", "a/"}, {"a", "a/b.c"}},
	{"a?c", {"abc", "a/c"}, {"a.c", "ac"}},
	{"tools/*", {"tools/call", "tools/list"}, {"tools", "tools/a.b"}},
	{"{a.b,c}", {"a.b", "c"}, {"a", "b"}},
	{"reports.*", {"reports.list"}, {"reports", "reports.list.all"}},
	{"**.x", {"a.x", "a.b.x"}, {"x"}},
	{"a.**.z", {"a.b.z", "a.b.c.z", "a..z"}, {"az", "a.bz", "a.z"}},
	{"", {""}, {"a", "."}},
};

TEST(texts)
{
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		try_row(&texts[i], GLOB_TEXT);
}

static const struct row hosts[] = {
	{"*.example.com", {"a.example.com", "A.Example.COM"}, {"example.com", "a.b.example.com"}},
	{"*.EXAMPLE.com", {"a.example.com"}, {"a.example.org"}},
	{"**.example.com", {"a.example.com", "a.b.c.example.com"}, {"example.com", "xexample.com"}},
	{"api-*.example.com", {"api-1.example.com", "api-.example.com"}, {"api-1.x.example.com"}},
	{"a.*.example.com", {"a.b.example.com"}, {"a.example.com", "a.b.c.example.com"}},
	{"*.*.example.com", {"a.b.example.com"}, {"a.example.com", "a.b.c.example.com"}},
};

TEST(hosts)
{
	for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
		try_row(&hosts[i], GLOB_HOST);
}

TEST(what_is_no_glob_says_why)
{
	static const char *const bad[][2] = {
		{"/[a", "a class that is not closed"},
		{"/[", "a class that is not closed"},
		{"/[]", "a class that is not closed"},
		{"/[!]", "a class that is not closed"},
		{"/[z-a]", "a range that ends before it begins"},
		{"/{a,b", "a group that is not closed"},
		{"/a}", "closes a group that is not open"},
		{"/{a}}", "closes a group that is not open"},
		{"/a\\", "ends in a backslash"},
		{"{{{{{{{{{{{{{{{{{a}}}}}}}}}}}}}}}}}", "nests groups too deep"},
	};
	_cleanup_arena_ struct arena a = ARENA_INIT(0);

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		const char *why = NULL;
		OK(glob_compile(&a, str_of(bad[i][0]), GLOB_PATH, &why) == NULL);
		HAS(why, bad[i][1]);
	}
	const char *why = NULL;
	OK(glob_compile(&a, STR("a\0b"), GLOB_PATH, &why) == NULL);
	HAS(why, "NUL");
}

TEST(a_nul_in_a_text_matches_nothing)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);

	OK(!glob_match(compile(&a, "**", GLOB_PATH), STR("/a\0b")));
	OK(!glob_match(compile(&a, "a/b", GLOB_TEXT), STR("a\0b")));
	OK(glob_match(compile(&a, "a/b", GLOB_TEXT), STR("a/b")));
}

TEST(the_largest_patterns_fit)
{
	static const char *const units[] = {".",   "*",   "**.", "?",   "{a,b}",
					    "{,}", "[a]", "a",   "/**/"};
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	const char *why;

	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		for (int kind = GLOB_PATH; kind <= GLOB_HOST; kind++) {
			char text[GLOB_PATTERN_MAX + 2];
			size_t n = 0, u = strlen(units[i]);
			for (; n + u <= GLOB_PATTERN_MAX; n += u)
				memcpy(text + n, units[i], u);
			OK(glob_compile(&a, str_sub(text, n), (enum glob_kind)kind, &why) != NULL);
		}
	}
	char text[GLOB_PATTERN_MAX + 1];
	memset(text, 'a', sizeof text);
	OK(glob_compile(&a, str_sub(text, GLOB_PATTERN_MAX), GLOB_PATH, &why) != NULL);
	OK(glob_compile(&a, str_sub(text, sizeof text), GLOB_PATH, &why) == NULL);
	HAS(why, "1024");
}

/* A matcher that goes back would need longer than the universe has. */
TEST_WITHIN(many_stars_take_no_time, 5)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	const struct glob *g = compile(&a, "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", GLOB_PATH);
	char text[4096];

	memset(text, 'a', sizeof text);
	OK(!glob_match(g, str_sub(text, sizeof text)));
	text[sizeof text - 1] = 'b';
	OK(glob_match(g, str_sub(text, sizeof text)));
}

TEST(overlap)
{
	static const struct {
		const char *a, *b;
		enum glob_kind kind;
		bool meet;
	} rows[] = {
		{"*.example.com", "*.example.com", GLOB_HOST, true},
		{"*.example.com", "a.*.com", GLOB_HOST, true},
		{"*.example.com", "**.com", GLOB_HOST, true},
		{"*.example.com", "*.example.org", GLOB_HOST, false},
		{"*.example.com", "*.*.example.com", GLOB_HOST, false},
		{"a-*.example.com", "b-*.example.com", GLOB_HOST, false},
		{"a-*.example.com", "*-b.example.com", GLOB_HOST, true},
		{"**.example.com", "a.*.example.com", GLOB_HOST, true},
		{"/a/**", "/a/b", GLOB_PATH, true},
		{"/a/**", "/a", GLOB_PATH, false},
		{"/a/*", "/*/b", GLOB_PATH, true},
		{"/a/*", "/a/b/*", GLOB_PATH, false},
		{"/[a-c]", "/[c-e]", GLOB_PATH, true},
		{"/[a-c]", "/[d-e]", GLOB_PATH, false},
		{"/{a,b}", "/{b,c}", GLOB_PATH, true},
		{"/{a,b}", "/{c,d}", GLOB_PATH, false},
		{"**", "/x", GLOB_PATH, true},
	};
	_cleanup_arena_ struct arena a = ARENA_INIT(0);

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct glob *x = compile(&a, rows[i].a, rows[i].kind);
		const struct glob *y = compile(&a, rows[i].b, rows[i].kind);
		if (glob_overlap(x, y) != rows[i].meet || glob_overlap(y, x) != rows[i].meet)
			FAIL("%s and %s", rows[i].a, rows[i].b);
	}
}

TEST(what_is_too_large_to_compare_may_overlap)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	char x[GLOB_PATTERN_MAX + 1], y[GLOB_PATTERN_MAX + 1];

	memset(x, 'x', GLOB_PATTERN_MAX);
	memset(y, 'y', GLOB_PATTERN_MAX);
	x[GLOB_PATTERN_MAX] = y[GLOB_PATTERN_MAX] = '\0';
	OK(glob_overlap(compile(&a, x, GLOB_PATH), compile(&a, y, GLOB_PATH)));
	x[512] = y[512] = '\0';
	OK(!glob_overlap(compile(&a, x, GLOB_PATH), compile(&a, y, GLOB_PATH)));
}
