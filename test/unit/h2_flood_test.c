/* What a peer may ask of a session for nothing, and when it is too much. */
#include "h2.h"

static void flooded(void)
{
	int rv = 0;

	/* the peer reads all that we send, and does not stop */
	for (int round = 0; rv == 0 && round < 100; round++) {
		struct str v = buf_view(&in);
		rv = h2_feed(session, v.p, v.n, &broken);
		if (rv == 0) {
			take();
			buf_clear(&out);
			rv = h2_is_over(session) ? -1 : 0;
			if (rv < 0)
				return;
		}
	}
	buf_clear(&in);
	EQ(rv, -1);
	expect_goaway(H2_ENHANCE_YOUR_CALM);
}

TEST(a_ping_flood_ends_the_connection)
{
	set_up(true);
	feed();
	for (int i = 0; i < 500; i++)
		put(PING, 0, 0, "12345678", 8);
	flooded();
	tear_down();
}

TEST(a_ping_flood_that_is_not_read_queues_a_bounded_number_of_answers)
{
	set_up(true);
	feed();
	for (int i = 0; i < 100 * 1000; i++)
		put(PING, 0, 0, "12345678", 8);
	EQ(feed(), -1);
	take();
	OK(out.n < 100 * 1000);
	tear_down();
}

TEST(a_settings_flood_ends_the_connection)
{
	set_up(true);
	feed();
	for (int i = 0; i < 50; i++)
		put(SETTINGS, 0, 0, NULL, 0);
	flooded();
	tear_down();
}

TEST(a_window_update_flood_ends_the_connection)
{
	set_up(true);
	feed();
	for (int i = 0; i < 500; i++)
		put32(WINDOW_UPDATE, 0, 1);
	flooded();
	tear_down();
}

TEST(an_empty_data_flood_ends_the_connection)
{
	set_up(true);
	put_headers(1, 0, REQUEST, NULL);
	feed();
	for (int i = 0; i < 500; i++)
		put(DATA, 0, 1, NULL, 0);
	flooded();
	tear_down();
}

TEST(a_flood_of_unknown_frames_ends_the_connection)
{
	set_up(true);
	feed();
	for (int i = 0; i < 500; i++)
		put(0xee, 0, 0, "x", 1);
	flooded();
	tear_down();
}

TEST(a_continuation_flood_ends_the_connection)
{
	set_up(true);
	feed();
	put(HEADERS, 0, 1, "\x83\x86\x84", 3);
	for (int i = 0; i < 100; i++)
		put(CONTINUATION, 0, 1, "\0\1a\1b", 5);
	EQ(feed(), -1);
	expect_goaway(H2_ENHANCE_YOUR_CALM);
	tear_down();
}

TEST(rapid_resets_end_the_connection)
{
	uint32_t id = 1;
	int rv = 0;

	set_up(true);
	answer_at_once = false;
	feed();
	for (; rv == 0 && id < 100000; id += 2) {
		put_headers(id, END_STREAM, REQUEST, NULL);
		put32(RST_STREAM, id, H2_CANCEL);
		rv = feed();
		take();
		if (rv == 0)
			buf_clear(&out);
	}
	OK(id > 500 && id < 10000);
	OK(h2_streams(session) <= 1);
	expect_goaway(H2_ENHANCE_YOUR_CALM);
	tear_down();
}

TEST(resets_that_the_peer_makes_us_send_end_the_connection)
{
	uint32_t id = 1;
	int rv = 0;

	set_up(true);
	feed();
	for (; rv == 0 && id < 100000; id += 2) {
		put_headers(id, END_STREAM, REQUEST, "X-Upper", "malformed", NULL);
		rv = feed();
		take();
		if (rv == 0)
			buf_clear(&out);
	}
	OK(id > 500 && id < 10000);
	expect_goaway(H2_ENHANCE_YOUR_CALM);
	tear_down();
}

TEST(a_busy_peer_that_updates_and_pings_for_each_answer_is_no_flood)
{
	struct h2_chunk *c = h2_chunk_new(20);

	set_up(true);
	answer_at_once = false;
	memset(c->bytes, 'x', c->n);
	for (uint32_t id = 1; id < 40000; id += 2) {
		put_headers(id, 0, REQUEST, NULL);
		put(DATA, END_STREAM, id, "x", 1);
		EQ(feed(), 0);
		h2_respond(last, 200, &plain, 1);
		OK(h2_send(last, c));
		h2_end(last);
		take();
		buf_clear(&out);
		put32(WINDOW_UPDATE, 0, 20);
		put32(WINDOW_UPDATE, id, 20);
		put(PING, 0, 0, "12345678", 8);
		put(PING, ACK, 0, "12345678", 8);
	}
	h2_chunk_unref(c);
	tear_down();
}

TEST(work_fills_the_bucket_up_again)
{
	struct h2_bucket b = {.max = 10, .per_second = 1};

	OK(h2_bucket_take(&b, 10));
	OK(!h2_bucket_take(&b, 10));
	h2_bucket_give(&b, 100);
	OK(h2_bucket_take(&b, 10));
	OK(!h2_bucket_take(&b, 10));
}
