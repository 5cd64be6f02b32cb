/* base/: errors, text, buffers, lists, maps, arenas. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/arguments.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/str.h"
#include "test.h"

TEST(err_says_the_name_and_the_reason)
{
	struct err e;

	EQ(err_set(&e, EINVAL, "%s is odd", "x"), -1);
	STREQ(e.text, "x is odd");
	EQ(e.code, EINVAL);
	errno = ENOENT;
	EQ(err_sys(&e, "open %s", "/nowhere"), -1);
	STREQ(e.text, "open /nowhere: No such file or directory");
	EQ(err_wrap(&e, "policy %d", 7), -1);
	STREQ(e.text, "policy 7: open /nowhere: No such file or directory");
	EQ(e.code, ENOENT);
}

TEST(err_is_cut_at_a_character)
{
	struct err e;
	char text[ERR_TEXT_MAX + 8];

	/* two-byte characters, with the cut in the middle of one */
	text[0] = 'x';
	for (size_t i = 1; i + 1 < sizeof text; i += 2)
		memcpy(text + i, "\xc3\xa4", 2);
	text[sizeof text - 1] = '\0';
	err_set(&e, 1, "%s", text);
	OK(strlen(e.text) <= ERR_TEXT_MAX - 1);
	OK(strlen(e.text) >= ERR_TEXT_MAX - 3);
	OK(str_is_utf8(str_of(e.text)));
}

TEST(str_cuts_and_trims)
{
	struct str s = STR("a,b,,c");

	OK(str_is(str_cut(&s, ','), "a"));
	OK(str_is(str_cut(&s, ','), "b"));
	OK(str_is(str_cut(&s, ','), ""));
	OK(s.p != NULL);
	OK(str_is(str_cut(&s, ','), "c"));
	OK(s.p == NULL);
	OK(str_is(str_trim(STR(" \t x y \r\n")), "x y"));
	OK(str_is(str_trim(STR("  ")), ""));
}

TEST(str_numbers_fit_or_are_refused)
{
	uint64_t u;
	int64_t i;

	OK(str_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
	OK(!str_u64(STR("18446744073709551616"), &u));
	OK(!str_u64(STR(""), &u));
	EQ(str_percent(STR("%4a")), 'J');
	EQ(str_percent(STR("%fFx")), 0xff);
	EQ(str_percent(STR("%00")), 0);
	EQ(str_percent(STR("%4")), -1);
	EQ(str_percent(STR("%4g")), -1);
	EQ(str_percent(STR("%g4")), -1);
	EQ(str_percent(STR("4a%")), -1);
	EQ(str_percent(STR("")), -1);
	OK(!str_u64(STR("1 "), &u));
	OK(str_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
	OK(!str_i64(STR("9223372036854775808"), &i));
	OK(!str_i64(STR("-"), &i));
}

TEST(str_dns_names)
{
	char long_label[65];

	memset(long_label, 'a', 64);
	long_label[64] = '\0';
	OK(str_is_dns_label(STR("a-1")));
	OK(!str_is_dns_label(STR("-a")));
	OK(!str_is_dns_label(STR("a-")));
	OK(!str_is_dns_label(STR("A")));
	OK(!str_is_dns_label(STR("a.b")));
	OK(!str_is_dns_label(STR("")));
	OK(!str_is_dns_label(str_of(long_label)));
	OK(str_is_dns_label(str_sub(long_label, 63)));
	OK(str_is_dns_subdomain(STR("a.b-c.d")));
	OK(str_is_dns_subdomain(str_of(long_label)));
	OK(!str_is_dns_subdomain(STR("a..b")));
	OK(!str_is_dns_subdomain(STR("a.")));
	OK(!str_is_dns_subdomain(STR(".a")));
}

TEST(str_utf8)
{
	OK(str_is_utf8(STR("plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80")));
	OK(!str_is_utf8(STR("\xc0\xaf")));         /* overlong */
	OK(!str_is_utf8(STR("\xed\xa0\x80")));     /* surrogate */
	OK(!str_is_utf8(STR("\xf4\x90\x80\x80"))); /* beyond U+10FFFF */
	OK(!str_is_utf8(STR("\xe2\x82")));         /* cut */
	EQ(str_utf8_prefix(STR("a\xc3\xa4z"), 9).n, 4);
	EQ(str_utf8_prefix(STR("a\xc3\xa4z"), 2).n, 1);
	EQ(str_utf8_prefix(STR("a\xffz"), 9).n, 1);
	EQ(str_utf8_prefix(STR_NONE, 9).n, 0);
	OK(!str_is_utf8(STR("\x80")));
}

TEST(buf_takes_nothing_and_gives_room_for_nothing)
{
	_cleanup_buf_ struct buf b = BUF_INIT(16);

	OK(buf_room(&b, 0) != NULL);
	OK(buf_add(&b, NULL, 0));
	OK(buf_str(&b, STR_NONE));
	EQ(b.n, 0);
}

TEST(buf_keeps_its_maximum)
{
	_cleanup_buf_ struct buf b = BUF_INIT(10);

	OK(buf_cstr(&b, "12345"));
	OK(!buf_cstr(&b, "678901"));
	OK(str_is(buf_view(&b), "12345"));
	OK(buf_printf(&b, "%d", 67890));
	OK(!buf_char(&b, 'x'));
	OK(!buf_printf(&b, "%s", "x"));
	OK(str_is(buf_view(&b), "1234567890"));
	buf_consume(&b, 4);
	OK(buf_cstr(&b, "abcd"));
	OK(str_is(buf_view(&b), "567890abcd"));
	OK(buf_room(&b, SIZE_MAX) == NULL);
	_cleanup_free_ char *s = buf_take(&b);
	STREQ(s, "567890abcd");
	EQ(b.n, 0);
}

TEST(buf_is_a_queue)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	unsigned char in = 0, out = 0;

	for (int round = 0; round < 1000; round++) {
		for (int i = 0; i < 37; i++)
			OK(buf_char(&b, (char)in++));
		for (int i = 0; i < 36; i++) {
			EQ((unsigned char)buf_view(&b).p[0], out++);
			buf_consume(&b, 1);
		}
	}
	EQ(b.n, 1000);
	OK(b.cap <= 4096);
}

struct item {
	int v;
	struct list link;
};

TEST(list_survives_the_loss_of_the_element_in_hand)
{
	struct list head;
	struct item items[4] = {{.v = 0}, {.v = 1}, {.v = 2}, {.v = 3}};
	int seen = 0;

	list_init(&head);
	OK(list_first(&head, struct item, link) == NULL);
	for (size_t i = 0; i < ARRAY_LEN(items); i++)
		list_add(&head, &items[i].link);
	list_each(it, &head, struct item, link) {
		EQ(it->v, seen++);
		list_del(&it->link);
	}
	EQ(seen, 4);
	OK(list_empty(&head));
	list_del(&items[0].link); /* on no list: harmless */
}

TEST(map_against_a_plain_array)
{
	struct map m = MAP_INIT;
	bool present[500] = {false};
	size_t n = 0, at = 0, walked = 0;
	struct str key;
	void *value;
	char name[16];

	srand(7);
	for (int round = 0; round < 20000; round++) {
		int k = rand() % 500;
		snprintf(name, sizeof name, "key-%d", k);
		if (rand() % 2) {
			OK((map_put(&m, str_of(name), &present[k]) != NULL) == present[k]);
			n += !present[k];
			present[k] = true;
		} else {
			OK((map_del(&m, str_of(name)) != NULL) == present[k]);
			n -= present[k];
			present[k] = false;
		}
		EQ(m.n, n);
	}
	while (map_next(&m, &at, &key, &value)) {
		OK(*(bool *)value);
		OK(map_get(&m, key) == value);
		walked++;
	}
	EQ(walked, n);
	OK(m.cap <= 4096);
	map_fini(&m);
	OK(map_get(&m, STR("key-1")) == NULL);
}

TEST(arena_has_a_limit_for_what_a_peer_asks)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(10000);

	for (int i = 0; i < 5; i++) {
		char *p = arena_try(&a, 1999);
		OK(p != NULL);
		EQ((uintptr_t)p % _Alignof(max_align_t), 0);
		memset(p, i, 1999);
	}
	OK(arena_try(&a, 1999) == NULL);
	OK(arena_try(&a, SIZE_MAX) == NULL);
	STREQ(arena_printf(&a, "%d-%s", 5, "x"), "5-x");
	STREQ(arena_dup(&a, str_sub("abcdef", 3)), "abc");
	arena_fini(&a);
	OK(arena_try(&a, 9000) != NULL);
}

TEST(cleanup_and_hand_over)
{
	int fds[2];

	OK(pipe(fds) == 0);
	{
		_cleanup_close_ int gone = fds[0];
		_cleanup_close_ int kept = fds[1];
		fds[1] = steal_fd(&kept);
		EQ(kept, -1);
		OK(gone >= 0);
	}
	EQ(write(fds[1], "x", 0), 0);
	EQ(read(fds[0], (char[1]){0}, 1), -1);
	EQ(errno, EBADF);
	close(fds[1]);
	char *p = xstrdup("x"), *q = steal(&p);
	OK(p == NULL);
	STREQ(q, "x");
	free(q);
}

TEST(jitter_stays_within_a_fifth)
{
	for (int i = 0; i < 1000; i++) {
		int64_t d = with_jitter(1000);
		OK(d >= 800 && d <= 1200);
	}
	EQ(with_jitter(0), 0);
}

TEST(pauses_double_up_to_a_limit)
{
	static const int64_t want[] = {0, 1000, 2000, 4000, 8000, 10000, 10000};

	for (unsigned i = 0; i < 1000; i++) {
		int64_t d = want[MIN(i, ARRAY_LEN(want) - 1)], got = backoff_ms(i, 1000, 10000);
		OK(got >= d - d / 5 && got <= d + d / 5);
	}
	OK(backoff_ms(UINT32_MAX, 1000, 10000) <= 12000);
	OK(backoff_ms(1, 1000, 500) <= 600);
}

TEST(arguments_are_replaced_and_gone)
{
	char area[] = "program\0--token\0secret\0A=environment";
	char *argv[] = {area, area + 8, area + 16, NULL};

	arguments_replace("nobody has said where they are");
	STREQ(area, "program");
	arguments_are_at(3, argv);
	arguments_replace("init");
	OK(memcmp(area, "init\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 23) == 0);
	/* longer than they were */
	arguments_replace("0123456789012345678901234567890");
	STREQ(area, "0123456789012345678901");
	STREQ(area + 23, "A=environment");
}
