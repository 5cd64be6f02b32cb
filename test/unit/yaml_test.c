#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/yaml.h"
#include "test.h"

static void same(const char *yaml, const char *json)
{
	struct err e = {0};
	_cleanup_json_ cJSON *j = yaml_parse(str_of(yaml), "t", &e);

	STREQ(e.text, "");
	OK(j != NULL);
	_cleanup_free_ char *text = json_text(j);
	STREQ(text, json);
}

static void refused(const char *yaml, const char *why)
{
	struct err e = {0};
	_cleanup_json_ cJSON *j = yaml_parse(str_of(yaml), "t", &e);

	OK(j == NULL);
	HAS(e.text, why);
}

TEST(scalars_follow_the_core_schema)
{
	same("a: 1\nb: -2.5\nc: 0x1f\nd: 0o17\ne: 1e3\n",
	     "{\"a\":1,\"b\":-2.5,\"c\":31,\"d\":15,\"e\":1000}");
	same("[true, False, TRUE, null, ~, ]", "[true,false,true,null,null]");
	same("[yes, no, on, off, y]", "[\"yes\",\"no\",\"on\",\"off\",\"y\"]");
	same("a: 1.2.3\nb: 1_000\nc: 12:30\nd: '1'\ne: \"true\"\nf: !!str 5\n",
	     "{\"a\":\"1.2.3\",\"b\":\"1_000\",\"c\":\"12:30\",\"d\":\"1\",\"e\":\"true\",\"f\":"
	     "\"5\"}");
	same("", "null");
	same("a:\n", "{\"a\":null}");
}

TEST(collections_and_block_text)
{
	same("a:\n- b: 1\n  c: [x, {y: z}]\n-\n  - deep\n",
	     "{\"a\":[{\"b\":1,\"c\":[\"x\",{\"y\":\"z\"}]},[\"deep\"]]}");
	same("a: |\n  one\n  two\nb: >-\n  x\n  y\n", "{\"a\":\"one\\ntwo\\n\",\"b\":\"x y\"}");
	same("1: a\ntrue: b\n", "{\"1\":\"a\",\"true\":\"b\"}");
}

TEST(json_is_yaml_too)
{
	same(" {\"a\":[1,{\"b\":null}]}\n", "{\"a\":[1,{\"b\":null}]}");
	same("{a: 1, b: [x]}", "{\"a\":1,\"b\":[\"x\"]}");
}

TEST(a_scalar_keeps_how_it_was_written)
{
	struct err e;
	_cleanup_json_ cJSON *j = yaml_parse(STR("a: 0123\nb: true\nc: x\nd: {}\ne:\n"), "t", &e);

	STREQ(yaml_text(json_get(j, "a")), "0123");
	STREQ(yaml_text(json_get(j, "b")), "true");
	STREQ(yaml_text(json_get(j, "c")), "x");
	OK(yaml_text(json_get(j, "d")) == NULL);
	OK(yaml_text(json_get(j, "e")) == NULL);
	OK(yaml_text(NULL) == NULL);
}

TEST(aliases_are_copied)
{
	same("a: &x {k: [1, 2]}\nb: *x\nc: [*x, &y 7, *y]\n",
	     "{\"a\":{\"k\":[1,2]},\"b\":{\"k\":[1,2]},\"c\":[{\"k\":[1,2]},7,7]}");
}

TEST(an_alias_bomb_is_refused)
{
	char text[2048] = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n";

	for (int i = 1; i < 10; i++) {
		char line[128];
		snprintf(line, sizeof line,
			 "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i,
			 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
		strcat(text, line);
	}
	refused(text, "more than 200000 values");
}

TEST(aliases_cannot_nest_beyond_the_limit)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 16);

	buf_cstr(&b, "a0: &a0 [1]\n");
	for (int i = 1; i < 100; i++)
		buf_printf(&b, "a%d: &a%d [*a%d]\n", i, i, i - 1);
	_cleanup_free_ char *text = buf_take(&b);
	refused(text, "nested deeper than 64");
}

TEST(what_json_cannot_say_is_refused_with_its_place)
{
	refused("a: 1\nb:\n  c: 2\n  c: 3\n", "t: line 4 column 3: key \"c\" is given twice");
	refused("? [a]\n: b\n", "line 1 column 3: a key must be a plain value");
	refused("a: !foo b\n", "line 1 column 4: tag !foo is not supported");
	refused("a: &x {b: 1}\nc:\n  <<: *x\n", "line 3 column 3: merge keys");
	refused("a: 1\n---\nb: 2\n", "line 2 column 1: a second document");
	refused("a: .nan\n", "no number of JSON");
	refused("a: *nowhere\n", "alias *nowhere has no anchor");
	refused("a: &a [*a]\n", "inside its own anchor");
	refused("\"a\\0b\": 1\n", "a NUL character in a key");
	refused("a: \"b\\0\"\n", "a NUL character in a value");
}

TEST(syntax_errors_have_their_place)
{
	refused("a: [1, 2\nb: 3\n", "t: line 2 column 2");
	refused("a: b: c\n", "t: line 1 column 5");
	refused("a: \"x\n", "line 2 column 1");
	refused("a: \xff\n", "t: byte 3");
	refused("{\"a\": 1", "line 2 column 1");
}

TEST(depth_and_size_are_limited)
{
	char deep[201] = {0};
	_cleanup_free_ char *large = xmalloc(YAML_SIZE_MAX + 2);

	memset(deep, '[', 200);
	refused(deep, "nested deeper than 64");
	memset(large, ' ', YAML_SIZE_MAX + 1);
	large[YAML_SIZE_MAX + 1] = '\0';
	refused(large, "larger than 1048576 bytes");
}

TEST(many_keys_are_no_quadratic_search)
{
	_cleanup_buf_ struct buf b = BUF_INIT(YAML_SIZE_MAX);
	struct err e;

	for (int i = 0; i < 90000; i++)
		buf_printf(&b, "k%d: 1\n", i);
	_cleanup_json_ cJSON *j = yaml_parse(buf_view(&b), "t", &e);
	EQ(cJSON_GetArraySize(j), 90000);
}

static void stands_at(const struct yaml_marks *m, const cJSON *node, unsigned line, unsigned column)
{
	struct yaml_mark at = yaml_mark_of(m, node);

	EQ(at.line, line);
	EQ(at.column, column);
}

TEST(nodes_know_where_they_stand)
{
	struct err e;
	struct yaml_marks *m;
	_cleanup_json_ cJSON *j =
		yaml_parse_marked(STR("a: 1\nb:\n  - x\n  -  {c: &k [2]}\nd: *k\n"), "t", &m, &e);

	OK(j != NULL);
	stands_at(m, j, 1, 1);
	stands_at(m, json_get(j, "a"), 1, 1);
	stands_at(m, json_get(j, "b"), 2, 1);
	const cJSON *second = cJSON_GetArrayItem(json_get(j, "b"), 1);
	stands_at(m, cJSON_GetArrayItem(json_get(j, "b"), 0), 3, 5);
	stands_at(m, second, 4, 6);
	stands_at(m, json_get(second, "c"), 4, 7);
	stands_at(m, json_get(second, "c")->child, 4, 14);
	stands_at(m, json_get(j, "d"), 5, 1);
	stands_at(m, json_get(j, "d")->child, 5, 4); /* a copy: where the alias is */
	stands_at(m, (const cJSON *)m, 0, 0);
	yaml_marks_free(m);
}

TEST(json_has_marks_too)
{
	struct err e;
	struct yaml_marks *m;
	_cleanup_json_ cJSON *j = yaml_parse_marked(STR("{\"a\":\n {\"b\": 1}}"), "t", &m, &e);

	OK(j != NULL);
	stands_at(m, json_at(j, "a", "b", NULL), 2, 3);
	yaml_marks_free(m);
	OK(yaml_parse_marked(STR("a: [1"), "t", &m, &e) == NULL);
	OK(m == NULL);
	HAS(e.text, "t: line 2 column 1: ");
}
