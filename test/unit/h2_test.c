/* The server's side of an HTTP/2 session. */
#include "h2.h"

TEST(a_request_is_read_and_answered)
{
	struct frame f;

	set_up(true);
	put_headers(1, 0, REQUEST, "x-a", "b", NULL);
	put(DATA, END_STREAM, 1, "hello", 5);
	EQ(feed(), 0);
	EQ(requests, 1);
	EQ(data_bytes, 5);
	EQ(ends, 1);
	OK(h2_is_open(session));
	OK(str_is(h2_header(last, ":path"), "/a"));
	OK(str_is(h2_header(last, "x-a"), "b"));
	OK(h2_header(last, "x-c").p == NULL);
	OK(wakes > 0);
	take();
	OK(sent(HEADERS, 1, &f));
	EQ(f.flags, END_HEADERS | END_STREAM);
	EQ(closes, 1);
	EQ(outcome, H2_END_DONE);
	EQ(h2_streams(session), 0);
	tear_down();
}

TEST(bytes_may_come_one_at_a_time)
{
	set_up(true);
	put_headers(1, 0, REQUEST, NULL);
	put(DATA, 0, 1, "hello", 5);
	put32(WINDOW_UPDATE, 1, 10);
	put(PRIORITY, 0, 1, "\0\0\0\3\1", 5);
	put(DATA, END_STREAM, 1, "world", 5);
	struct str v = buf_view(&in);
	for (size_t i = 0; i < v.n; i++)
		EQ(h2_feed(session, v.p + i, 1, &broken), 0);
	EQ(requests, 1);
	EQ(data_bytes, 10);
	EQ(ends, 1);
	tear_down();
}

TEST(a_body_and_trailers_go_out_in_order)
{
	struct h2_field trailer = {STR("x-end"), STR("1")};
	struct h2_chunk *c = h2_chunk_new(700);
	struct frame f;

	set_up(true);
	answer_at_once = false;
	put_headers(1, END_STREAM, REQUEST, NULL);
	feed();
	memset(c->bytes, 'a', c->n);
	h2_respond(last, 200, &plain, 1);
	OK(h2_send(last, c));
	EQ(c->refs, 2);
	OK(!h2_send(last, c)); /* 1,400 > stream_queue_max */
	EQ(h2_queued(last), 700);
	EQ(h2_session_queued(session), 700);
	take();
	EQ(writables, 1);
	EQ(c->refs, 1);
	h2_end_trailers(last, &trailer, 1);
	take();
	OK(sent(HEADERS, 1, &f));
	OK(next_frame(&f) && f.type == DATA && f.n == 700 && f.flags == 0);
	OK(next_frame(&f) && f.type == HEADERS && f.flags == (END_HEADERS | END_STREAM));
	EQ(outcome, H2_END_DONE);
	h2_chunk_unref(c);
	tear_down();
}

TEST(trailers_need_no_window)
{
	struct h2_field trailer = {STR("x-end"), STR("1")};
	struct h2_chunk *c = h2_chunk_new(100);
	static const uint8_t window[6] = {0, 4, 0, 0, 0, 100}; /* INITIAL_WINDOW_SIZE */
	struct frame f;

	set_up(true);
	answer_at_once = false;
	put(SETTINGS, 0, 0, window, sizeof window);
	put_headers(1, END_STREAM, REQUEST, NULL);
	feed();
	h2_respond(last, 200, &plain, 1);
	OK(h2_send(last, c));
	take();
	OK(sent(DATA, 1, &f));
	h2_end_trailers(last, &trailer, 1); /* the window is empty, and so is the queue */
	take();
	OK(sent(HEADERS, 1, &f));
	EQ(closes, 1);
	h2_chunk_unref(c);
	tear_down();
}

TEST(an_early_answer_stops_the_request)
{
	set_up(true);
	put_headers(1, 0, REQUEST, NULL);
	feed();
	h2_respond_end(last, 200, &plain, 1);
	expect_reset(1, H2_NO_ERROR);
	EQ(outcome, H2_END_DONE);
	/* what was on its way is passed over */
	put(DATA, END_STREAM, 1, "late", 4);
	EQ(feed(), 0);
	EQ(data_bytes, 0);
	tear_down();
}

static void ignore(void *owner UNUSED, struct h2_stream *st UNUSED)
{
}

TEST(a_request_that_nobody_accepts_is_refused)
{
	static const struct h2_session_ops deaf = {.request = ignore, .wake = on_wake};

	session = h2_server_new(&cfg, &deaf, NULL);
	put_preface(true);
	put_headers(1, END_STREAM, REQUEST, NULL);
	feed();
	expect_reset(1, H2_REFUSED_STREAM);
	tear_down();
}

static void malformed(const char *name, const char *value)
{
	set_up(true);
	put_headers(1, END_STREAM, REQUEST, name, value, NULL);
	EQ(feed(), 0);
	EQ(requests, 0);
	expect_reset(1, H2_PROTOCOL_ERROR);
	EQ(h2_streams(session), 0);
	tear_down();
}

TEST(malformed_requests_are_reset_and_never_seen)
{
	malformed(":path", "/b");
	malformed(":status", "200");
	malformed("X-Upper", "a");
	malformed("connection", "close");
	malformed("transfer-encoding", "chunked");
	malformed("te", "gzip");
	malformed("x-bad", "a\nb");
	malformed("content-length", "7");
}

TEST(a_missing_pseudo_header_is_malformed)
{
	set_up(true);
	put_headers(1, END_STREAM, ":method", "POST", ":scheme", "http", NULL);
	EQ(feed(), 0);
	EQ(requests, 0);
	expect_reset(1, H2_PROTOCOL_ERROR);
	tear_down();
}

TEST(a_content_length_that_does_not_match_is_malformed)
{
	set_up(true);
	put_headers(1, 0, REQUEST, "content-length", "7", NULL);
	put(DATA, END_STREAM, 1, "hello", 5);
	EQ(feed(), 0);
	EQ(ends, 0);
	expect_reset(1, H2_PROTOCOL_ERROR);
	EQ(closes, 1);
	EQ(outcome, H2_END_RESET);
	tear_down();
}

TEST(te_trailers_is_fine)
{
	set_up(true);
	put_headers(1, END_STREAM, REQUEST, "te", "trailers", NULL);
	EQ(feed(), 0);
	EQ(requests, 1);
	tear_down();
}

TEST(a_header_list_too_large_is_answered_431)
{
	uint8_t b[8192];
	size_t n = 0;
	struct frame f;

	set_up(true);
	memcpy(b, "\x83\x86\x84\x41\1x", 6); /* POST, http, /, an authority */
	n = 6;
	for (int i = 0; i < 50; i++) {
		memcpy(b + n, "\0\1a\x64", 4);
		memset(b + n + 4, 'x', 100);
		n += 104;
	}
	put(HEADERS, END_HEADERS | END_STREAM, 1, b, n);
	EQ(feed(), 0);
	EQ(requests, 0);
	take();
	OK(sent(HEADERS, 1, &f));
	EQ(h2_streams(session), 0);
	OK(!h2_is_over(session));
	/* and the next request is as good as ever */
	put_headers(3, END_STREAM, REQUEST, NULL);
	EQ(feed(), 0);
	EQ(requests, 1);
	tear_down();
}

TEST(a_header_list_that_unpacks_without_end_ends_the_connection)
{
	uint8_t b[16000];
	size_t n = 0;

	set_up(true);
	memcpy(b, "\x83\x86\x84\x40\1a\x7f\x81\x1f", 9); /* indexed: a = 4,096 - 1 bytes… */
	n = 9;
	memset(b + n, 'x', 0x7f + 0xf81);
	n = 9 + 0x7f + 0xf81 > 4000 ? 9 + 4000 : n;
	b[6] = 0x7f; /* length 127 + 3,873 = 4,000 */
	b[7] = 0x80 | (3873 & 0x7f);
	b[8] = 3873 >> 7;
	memset(b + n, 0x80 | 62, 4000); /* …and again and again, a byte each time */
	n += 4000;
	put(HEADERS, END_HEADERS | END_STREAM, 1, b, n);
	EQ(feed(), -1);
	expect_goaway(H2_ENHANCE_YOUR_CALM);
	tear_down();
}

TEST(streams_beyond_the_limit_are_refused_or_end_the_connection)
{
	struct frame f;

	set_up(true);
	answer_at_once = false;
	for (uint32_t i = 0; i <= cfg.max_streams; i++)
		put_headers(2 * i + 1, END_STREAM, REQUEST, NULL);
	feed();
	EQ(requests, cfg.max_streams);
	take();
	OK(sent(RST_STREAM, 2 * cfg.max_streams + 1, &f));
	EQ(h2_get32(f.p), H2_REFUSED_STREAM);
	tear_down();
}

TEST(an_answer_too_large_to_be_sent_resets_the_stream)
{
	struct h2_field big = {STR("x-big"), {calloc(1, 70000), 70000}};

	set_up(true);
	answer_at_once = false;
	memset((char *)big.value.p, 'x', 70000);
	put_headers(1, END_STREAM, REQUEST, NULL);
	feed();
	h2_respond_end(last, 200, &big, 1);
	expect_reset(1, H2_INTERNAL_ERROR);
	EQ(closes, 1);
	tear_down();
	free((char *)big.value.p);
}

TEST(what_follows_a_refused_stream_is_passed_over)
{
	uint32_t refused = 2 * cfg.max_streams + 1;
	struct frame f;

	set_up(true);
	answer_at_once = false;
	for (uint32_t id = 1; id < refused; id += 2)
		put_headers(id, END_STREAM, REQUEST, NULL);
	put_headers(refused, 0, REQUEST, NULL);
	EQ(feed(), 0);
	h2_respond_end(last, 200, &plain, 1);
	take();
	EQ(closes, 1);
	/* there is room for another one, and then the rest of the refused one arrives */
	put_headers(refused + 2, END_STREAM, REQUEST, NULL);
	put(DATA, END_STREAM, refused, "x", 1);
	EQ(feed(), 0);
	take();
	OK(!sent(GOAWAY, 0, &f));
	EQ(requests, cfg.max_streams + 1);
	tear_down();
}

/* ---- streams that are no more ---- */

TEST(frames_for_a_stream_the_peer_closed_end_the_connection)
{
	set_up(true);
	put_headers(1, END_STREAM, REQUEST, NULL);
	feed();
	take();
	put(DATA, 0, 1, "x", 1);
	EQ(feed(), -1);
	expect_goaway(H2_STREAM_CLOSED);
	tear_down();
}

TEST(a_skipped_stream_may_not_be_opened_any_more)
{
	set_up(true);
	put_headers(5, END_STREAM, REQUEST, NULL);
	put_headers(3, END_STREAM, REQUEST, NULL);
	EQ(feed(), -1);
	EQ(requests, 1);
	expect_goaway(H2_PROTOCOL_ERROR);
	tear_down();
}

TEST(history_remembers_the_latest_and_is_honest_about_the_rest)
{
	struct h2_history h = {0};

	for (int32_t id = 1; id < 1000; id += 2)
		h2_history_set(&h, id, PAST_CLOSED);
	EQ(h2_history_get(&h, 999), PAST_CLOSED);
	EQ(h2_history_get(&h, 999 - 126), PAST_CLOSED);
	EQ(h2_history_get(&h, 999 - 128), PAST_UNKNOWN);
	EQ(h2_history_get(&h, 1001), PAST_UNKNOWN);
	h2_history_set(&h, 1005, PAST_OPEN);
	EQ(h2_history_get(&h, 1003), PAST_SKIPPED);
	EQ(h2_history_get(&h, 1005), PAST_OPEN);
}

TEST(a_stream_window_that_overflows_costs_the_stream_alone)
{
	set_up(true);
	put_headers(1, 0, REQUEST, NULL);
	put32(WINDOW_UPDATE, 1, INT32_MAX);
	EQ(feed(), 0);
	expect_reset(1, H2_FLOW_CONTROL_ERROR);
	EQ(outcome, H2_END_RESET);
	tear_down();
}

TEST(a_stream_that_depends_on_itself_is_an_error)
{
	set_up(true);
	put_headers(1, 0, REQUEST, NULL);
	put(PRIORITY, 0, 1, "\0\0\0\1\1", 5);
	EQ(feed(), 0);
	expect_reset(1, H2_PROTOCOL_ERROR);
	tear_down();
}

/* ---- the end ---- */

TEST(drain_waits_for_requests_on_their_way)
{
	struct frame f;

	set_up(true);
	answer_at_once = false;
	feed();
	take();
	h2_drain(session);
	take();
	OK(sent(GOAWAY, 0, &f));
	EQ(h2_get32(f.p), INT32_MAX);
	OK(sent(PING, 0, &f));
	OK(!h2_is_over(session));
	uint8_t opaque[8];
	memcpy(opaque, f.p, sizeof opaque);
	put_headers(1, END_STREAM, REQUEST, NULL); /* crossed our GOAWAY */
	put(PING, ACK, 0, opaque, sizeof opaque);
	feed();
	EQ(requests, 1);
	take();
	OK(sent(GOAWAY, 0, &f));
	EQ(h2_get32(f.p), 1);
	OK(!h2_is_over(session));
	h2_respond_end(last, 200, &plain, 1);
	take();
	OK(h2_is_over(session));
	EQ(h2_error(session)->code, 0);
	tear_down();
}

TEST(a_client_that_says_goaway_is_let_go)
{
	static const uint8_t as_go_does[8 + 3] = {0x7f, 0xff, 0xff, 0xff, 0,  0,
						  0,    0,    'b',  'y',  'e'};

	set_up(true);
	answer_at_once = false;
	put_headers(1, END_STREAM, REQUEST, NULL);
	put(GOAWAY, 0, 0, as_go_does, sizeof as_go_does);
	EQ(feed(), 0);
	take();
	OK(!h2_is_over(session)); /* its request is still answered */
	h2_respond_end(last, 200, &plain, 1);
	take();
	EQ(outcome, H2_END_DONE);
	OK(h2_is_over(session));
	EQ(h2_error(session)->code, 0);
	tear_down();
}

TEST(ending_the_session_in_a_callback_is_safe)
{
	set_up(true);
	end_session_in_callback = true;
	put_headers(1, 0, REQUEST, NULL);
	put(DATA, 0, 1, "x", 1);
	put(DATA, END_STREAM, 1, "y", 1);
	put_headers(3, END_STREAM, REQUEST, NULL);
	EQ(feed(), -1);
	EQ(data_bytes, 1);
	EQ(requests, 1);
	EQ(closes, 1);
	EQ(outcome, H2_END_LOST);
	take();
	OK(h2_is_over(session));
	tear_down();
}
