#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/json_pool.h"
#include "test.h"

static struct json_pool pool;

/* Reads the text, and says it again as cJSON says it. */
static void reads(const char *text, const char *again)
{
	struct err e = {0};
	const cJSON *j = json_pool_parse(&pool, str_of(text), "t", &e);

	STREQ(e.text, "");
	_cleanup_free_ char *printed = json_text(j);
	STREQ(printed, again);
}

static void refused(const char *text, const char *why)
{
	struct err e = {0};

	if (json_pool_parse(&pool, str_of(text), "t", &e) != NULL)
		FAIL("taken: %s", text);
	HAS(e.text, why);
}

TEST(values_are_read)
{
	reads(" { \"a\" : [ 1 , -2.5 , true , false , null , \"x\" , {} , [] ] }\r\n\t",
	      "{\"a\":[1,-2.5,true,false,null,\"x\",{},[]]}");
	reads("5", "5");
	reads("\"\"", "\"\"");
	reads("[]", "[]");
}

TEST(numbers_are_read)
{
	reads("[0,-0,12345678901234567890,1e3,1E+2,2e-1,0.5,-123456789012345,9007199254740993]",
	      "[0,0,1.2345678901234567e+19,1000,100,0.2,0.5,-123456789012345,9.00719925474099e+"
	      "15]");
	struct err e;
	const cJSON *j = json_pool_parse(&pool, STR("[3000000000,-3000000000,7]"), "t", &e);
	EQ(cJSON_GetArrayItem(j, 0)->valueint, 2147483647);
	EQ(cJSON_GetArrayItem(j, 1)->valueint, -2147483647 - 1);
	EQ(cJSON_GetArrayItem(j, 2)->valueint, 7);
}

TEST(texts_are_unescaped)
{
	reads("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"");
	reads("\"a\\u0041\\u00e9\\u20aC\\ud83d\\uDE00z\"",
	      "\"aA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z\"");
	reads("{\"\\u006bey\":1}", "{\"key\":1}");
	reads("\"\xff\x7f\"", "\"\xff\x7f\"");
	reads("\"cut\\u0000off\"", "\"cut\""); /* a C string cannot hold it */
}

TEST(getters_work_on_the_tree)
{
	struct err e;
	const cJSON *j = json_pool_parse(
		&pool, STR("{\"a\":{\"b\":[1,2,3]},\"s\":\"x\",\"t\":true}"), "t", &e);

	EQ(cJSON_GetArraySize(json_at(j, "a", "b", NULL)), 3);
	STREQ(json_str(j, "s"), "x");
	OK(json_bool(j, "t", false));
	OK(j->child->prev == json_get(j, "t")); /* the last, as in cJSON */
	cJSON *copy = json_copy(j);
	json_put_int(copy, "n", 4);
	reads("0", "0");
	_cleanup_free_ char *text = json_text(copy);
	STREQ(text, "{\"a\":{\"b\":[1,2,3]},\"s\":\"x\",\"t\":true,\"n\":4}");
	cJSON_Delete(copy);
}

TEST(what_is_no_json_is_refused_with_its_place)
{
	refused("", "t is not JSON: byte 0: it ends too early");
	refused("[1,]", "byte 3: neither a value nor a number");
	refused("[1 2]", "byte 3: an object or array without an end");
	refused("[1", "without an end");
	refused("{\"a\"}", "a key without a value");
	refused("{a:1}", "a member without a key");
	refused("{\"a\":1,}", "a member without a key");
	refused("{\"a\":", "it ends too early");
	refused("1 2", "byte 2: text behind it");
	refused("nul", "neither a value");
	refused("nulL", "neither a value");
	refused("01", "neither a value");
	refused("1.", "neither a value");
	refused(".5", "neither a value");
	refused("1e", "neither a value");
	refused("-", "neither a value");
	refused("+1", "neither a value");
	refused("NaN", "neither a value");
	refused("\"a", "a text without an end");
	refused("\"a\\", "a text without an end");
	refused("\"a\\\"", "a text without an end");
	refused("\"\\x\"", "an unknown escape");
	refused("\"\\u12g4\"", "an unknown escape");
	refused("\"\\u12\"", "an unknown escape");
	refused("\"\\ud83d\"", "an unknown escape");
	refused("\"\\ud83d\\u0041\"", "an unknown escape");
	refused("\"\\ude00\"", "an unknown escape");
	refused("\"a\nb\"", "a control character");
	refused("1111111111111111111111111111111111111111111111111111111111111111111", "too long");
}

TEST(nesting_is_limited)
{
	char text[300] = {0};

	memset(text, '[', 100);
	memset(text + 100, ']', 100);
	reads(text, text);
	memset(text, '[', 101);
	memset(text + 101, ']', 101);
	refused(text, "nested too deeply");
}

TEST(large_texts_use_more_blocks_which_are_not_kept)
{
	_cleanup_buf_ struct buf b = BUF_INIT(8 << 20);
	struct err e;

	buf_cstr(&b, "[");
	for (int i = 0; i < 100000; i++)
		buf_printf(&b, "%s\"text %d\"", i ? "," : "", i);
	buf_cstr(&b, "]");
	const cJSON *j = json_pool_parse(&pool, buf_view(&b), "t", &e);
	EQ(cJSON_GetArraySize(j), 100000);
	STREQ(cJSON_GetArrayItem(j, 99999)->valuestring, "text 99999");
	OK(pool.total > 100000 * sizeof(cJSON));
	reads("1", "1");
	OK(pool.total <= JSON_POOL_KEEP);

	buf_clear(&b);
	buf_cstr(&b, "[\"");
	for (int i = 0; i < 1 << 20; i++)
		buf_char(&b, 'x');
	buf_cstr(&b, "\",1]");
	j = json_pool_parse(&pool, buf_view(&b), "t", &e);
	EQ(strlen(j->child->valuestring), 1 << 20);
	json_pool_fini(&pool);
	EQ(pool.total, 0);
}

TEST(memory_is_limited)
{
	_cleanup_buf_ struct buf b = BUF_INIT(16 << 20);
	struct err e = {0};

	buf_cstr(&b, "[0");
	for (int i = 0; i < 4 << 20; i++)
		buf_cstr(&b, ",0");
	buf_cstr(&b, "]");
	OK(json_pool_parse(&pool, buf_view(&b), "t", &e) == NULL);
	HAS(e.text, "too large");
	json_pool_fini(&pool);
}
