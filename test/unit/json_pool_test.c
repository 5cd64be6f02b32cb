/* base/json_pool: cJSON's reading in memory of our own. What is JSON and what is not is cJSON's affair. */
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
	reads("\"a\\u0041\\u00e9\\ud83d\\uDE00z\"", "\"aA\xc3\xa9\xf0\x9f\x98\x80z\"");
	reads("[]", "[]");
}

TEST(a_copy_outlives_the_pool)
{
	struct err e;
	const cJSON *j = json_pool_parse(
		&pool, STR("{\"a\":{\"b\":[1,2,3]},\"s\":\"x\",\"t\":true}"), "t", &e);

	EQ(cJSON_GetArraySize(json_at(j, "a", "b", NULL)), 3);
	STREQ(json_str(j, "s"), "x");
	cJSON *copy = json_copy(j);
	json_put_int(copy, "n", 4);
	reads("0", "0");
	json_pool_fini(&pool);
	_cleanup_free_ char *text = json_text(copy);
	STREQ(text, "{\"a\":{\"b\":[1,2,3]},\"s\":\"x\",\"t\":true,\"n\":4}");
	cJSON_Delete(copy);
}

TEST(trees_from_before_and_between_are_released_as_they_were_made)
{
	struct err e;
	cJSON *before = json_parse(STR("{\"a\":[\"before\"]}"), "t", &e);

	reads("[1]", "[1]");
	cJSON *between = json_parse(STR("{\"b\":[\"between\"]}"), "t", &e);
	cJSON_Delete(before);
	json_pool_fini(&pool);
	cJSON_Delete(between);
}

TEST(what_is_no_json_is_refused_by_name)
{
	refused("", "t is not JSON");
	refused("[1,]", "t is not JSON");
	refused("{\"a\"}", "t is not JSON");
	refused("\"a", "t is not JSON");
	refused("1 2", "t has text behind its JSON");
}

TEST(nesting_is_limited)
{
	char text[300] = {0};

	memset(text, '[', 100);
	memset(text + 100, ']', 100);
	reads(text, text);
	memset(text, '[', 101);
	memset(text + 101, ']', 101);
	refused(text, "t is not JSON");
}

TEST(memory_is_limited_and_given_back)
{
	_cleanup_buf_ struct buf b = BUF_INIT(16 << 20);
	struct err e = {0};

	buf_cstr(&b, "[0");
	for (int i = 0; i < 4 << 20; i++)
		buf_cstr(&b, ",0");
	buf_cstr(&b, "]");
	OK(json_pool_parse(&pool, buf_view(&b), "t", &e) == NULL);
	HAS(e.text, "t is not JSON");
	OK(pool.arena.total <= JSON_POOL_MAX);
	reads("1", "1");
	OK(pool.arena.total < 1024);
	json_pool_fini(&pool);
	EQ(pool.arena.total, 0);
}
