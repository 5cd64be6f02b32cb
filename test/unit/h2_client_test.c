/* The client's side of an HTTP/2 session. */
#include "h2.h"

static const struct h2_request get = {
	.method = STR("GET"), .scheme = STR("http"), .authority = STR("x"), .path = STR("/")};

static struct h2_stream *ask(void)
{
	return h2_request(session, &get, &ops, NULL, &broken);
}

static void put_max_streams(uint32_t n)
{
	const uint8_t p[6] = {0, 3, n >> 24, n >> 16, n >> 8, n};

	put(SETTINGS, 0, 0, p, sizeof p);
}

TEST(a_response_is_read)
{
	struct h2_stream *st;
	struct frame f;

	set_up(false);
	feed();
	st = ask();
	take();
	OK(sent(HEADERS, 1, &f));
	EQ(f.flags, END_HEADERS | END_STREAM);
	put_headers(1, 0, ":status", "103", NULL); /* passed over */
	put_headers(1, 0, ":status", "200", "x-a", "b", NULL);
	put(DATA, 0, 1, "hello", 5);
	put_headers(1, END_STREAM, "x-end", "c", NULL);
	answer_at_once = false;
	hold_data = true;
	/* closed releases the stream, so look before it */
	struct str v = buf_view(&in);
	EQ(h2_feed(session, v.p, v.n - 5, &broken), 0);
	EQ(h2_status(st), 200);
	OK(str_is(h2_header(st, "x-a"), "b"));
	EQ(requests, 1);
	EQ(data_bytes, 5);
	EQ(h2_feed(session, v.p + v.n - 5, 5, &broken), 0);
	EQ(ends, 1);
	EQ(closes, 1);
	EQ(outcome, H2_END_DONE);
	tear_down();
}

TEST(interim_responses_without_end_are_refused)
{
	set_up(false);
	feed();
	ask();
	take();
	for (int i = 0; i < 100; i++)
		put_headers(1, 0, ":status", "103", NULL);
	feed();
	expect_reset(1, H2_ENHANCE_YOUR_CALM);
	EQ(outcome, H2_END_RESET);
	tear_down();
}

TEST(requests_wait_for_the_peers_limit_and_only_so_many)
{
	struct frame f;

	set_up(false);
	put_max_streams(2);
	feed();
	for (int i = 0; i < 5; i++)
		OK(ask() != NULL);
	OK(ask() == NULL); /* two on their way, three wait */
	EQ(broken.code, EAGAIN);
	EQ(h2_streams(session), 5);
	take();
	OK(sent(HEADERS, 3, &f));
	OK(!sent(HEADERS, 5, &f));
	put_headers(1, END_STREAM, ":status", "204", NULL);
	answer_at_once = false;
	feed();
	EQ(closes, 1);
	take();
	OK(sent(HEADERS, 5, &f));
	put_max_streams(10);
	feed();
	take();
	OK(sent(HEADERS, 7, &f));
	OK(sent(HEADERS, 9, &f));
	tear_down();
}

TEST(a_waiting_request_may_be_reset_or_released)
{
	struct h2_stream *a, *b;
	struct frame f;

	set_up(false);
	put_max_streams(1);
	feed();
	OK(ask() != NULL);
	a = ask();
	b = ask();
	h2_reset(a, H2_CANCEL);
	EQ(closes, 1);
	EQ(outcome, H2_END_CANCELLED);
	h2_release(b);
	EQ(closes, 1);
	EQ(h2_streams(session), 1);
	take();
	OK(sent(HEADERS, 1, &f));
	OK(!sent(HEADERS, 3, &f));
	tear_down();
}

TEST(a_request_too_large_to_be_sent_is_no_refusal)
{
	struct h2_field big = {STR("x-big"), {calloc(1, 70000), 70000}};
	struct h2_request r = get;

	memset((char *)big.value.p, 'x', 70000);
	r.fields = &big;
	r.n = 1;
	set_up(false);
	feed();
	OK(h2_request(session, &r, &ops, NULL, &broken) != NULL);
	take();
	EQ(closes, 1);
	EQ(outcome, H2_END_RESET);
	tear_down();
	free((char *)big.value.p);
}

TEST(goaway_says_which_requests_may_be_repeated)
{
	static const uint8_t last_is_1[8] = {0, 0, 0, 1, 0, 0, 0, 0};

	set_up(false);
	put_max_streams(2);
	feed();
	for (int i = 0; i < 4; i++)
		OK(ask() != NULL);
	take();
	put(GOAWAY, 0, 0, last_is_1, sizeof last_is_1);
	feed();
	EQ(goaways, 1);
	EQ(closes, 3);
	EQ(refusals, 3); /* the second, which was sent, and the two that waited */
	OK(ask() == NULL);
	EQ(broken.code, ESHUTDOWN);
	OK(!h2_is_over(session));
	put_headers(1, END_STREAM, ":status", "204", NULL);
	answer_at_once = false;
	feed();
	EQ(outcome, H2_END_DONE);
	take();
	OK(h2_is_over(session));
	tear_down();
}

TEST(a_lost_connection_says_which_requests_may_be_repeated)
{
	set_up(false);
	put_max_streams(2);
	feed();
	OK(ask() != NULL);
	take();
	OK(ask() != NULL); /* not taken: never left */
	OK(ask() != NULL);
	h2_session_end(session);
	EQ(closes, 3);
	EQ(refusals, 2);
	tear_down();
}

TEST(a_refused_stream_may_be_repeated)
{
	set_up(false);
	feed();
	OK(ask() != NULL);
	take();
	put32(RST_STREAM, 1, H2_REFUSED_STREAM);
	feed();
	EQ(outcome, H2_END_REFUSED);
	tear_down();
}

TEST(a_body_is_not_taken_in_faster_than_it_is_consumed)
{
	static char block[16384];
	struct h2_stream *st;
	struct frame f;

	set_up(false);
	feed();
	st = ask();
	take();
	buf_clear(&out);
	hold_data = true;
	put_headers(1, 0, ":status", "200", NULL);
	for (int i = 0; i < 3; i++)
		put(DATA, 0, 1, block, sizeof block);
	feed();
	take();
	OK(sent(WINDOW_UPDATE, 0, &f)); /* the connection's is given back at once… */
	OK(!sent(WINDOW_UPDATE, 1, &f));
	h2_consume(st, 3 * sizeof block); /* …the stream's when its user says so */
	take();
	OK(sent(WINDOW_UPDATE, 1, &f));
	for (int i = 0; i < 5; i++)
		put(DATA, 0, 1, block, sizeof block);
	feed();
	expect_goaway(H2_FLOW_CONTROL_ERROR);
	tear_down();
}

TEST(the_queue_of_a_connection_is_bounded_too)
{
	struct h2_chunk *c = h2_chunk_new(900);
	struct h2_stream *st[8];
	struct h2_request post = get;
	static const uint8_t no_window[6] = {0, 4, 0, 0, 0, 0};
	size_t taken = 0;

	post.more = true;
	set_up(false);
	put(SETTINGS, 0, 0, no_window, sizeof no_window);
	feed();
	for (size_t i = 0; i < ARRAY_LEN(st); i++) {
		st[i] = h2_request(session, &post, &ops, NULL, &broken);
		taken += h2_send(st[i], c);
	}
	take();
	EQ(taken, 6); /* 5 * 900 < conn_queue_max <= 6 * 900 */
	EQ(h2_session_queued(session), 6 * 900);
	EQ(writables, 0);
	for (int i = 0; i < 4; i++)
		h2_reset(st[i], H2_CANCEL);
	take();
	EQ(writables, 2);
	EQ(h2_session_queued(session), 2 * 900);
	h2_chunk_unref(c);
	tear_down();
}

TEST(a_token_does_not_stay_in_memory_after_its_request_left)
{
	const struct h2_field secret = {STR("authorization"), STR("Bearer verysecret")};
	struct h2_request r = get;
	struct h2_stream *st;

	set_up(false);
	feed();
	r.fields = &secret;
	r.n = 1;
	st = h2_request(session, &r, &ops, NULL, &broken);
	const uint8_t *value = st->nva[4].value;
	MEMEQ(value, "Bearer verysecret", 17);
	take();
	MEMEQ(value, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 17);
	tear_down();
}

TEST(a_goaway_with_an_error_says_why)
{
	static const uint8_t calm[8 + 14] = "\0\0\0\0\0\0\0\xbtoo_many_pings";

	set_up(false);
	feed();
	ask();
	take();
	put(GOAWAY, 0, 0, calm, sizeof calm);
	feed();
	EQ(outcome, H2_END_REFUSED);
	STREQ(h2_error(session)->text,
	      "the peer ended the connection: ENHANCE_YOUR_CALM, too_many_pings");
	tear_down();
}

TEST(a_client_that_drains_finishes_what_it_asked)
{
	struct frame f;

	set_up(false);
	feed();
	OK(ask() != NULL);
	take();
	h2_drain(session);
	OK(ask() == NULL);
	EQ(broken.code, ESHUTDOWN);
	take();
	OK(sent(GOAWAY, 0, &f));
	OK(!h2_is_over(session));
	put_headers(1, END_STREAM, ":status", "204", NULL);
	answer_at_once = false;
	feed();
	EQ(outcome, H2_END_DONE);
	OK(h2_is_over(session));
	tear_down();
}
