/* Peers that do not keep up, limits, and the end of a server. */
#include "grpc.h"

/* ---- a peer that does not keep up ---- */

TEST(a_slow_reader_costs_bounded_memory_and_holds_up_nobody)
{
	struct seen slow = {.pause_each = true}, quick = {0};
	uint_value n = uint_of(1000); /* 10 MB */
	bytes_value b = bytes_of("x", 1);

	set_up();
	start(&slow, "/t.T/Flood", BYTES, true, &n, 0);
	while (slow.messages == 0)
		run_for(5);
	run_for(50);
	EQ(slow.messages, 1);
	/* its window, what we queue for it, and the buffers of the sockets */
	OK(flooding.sent < 150);
	start(&quick, "/t.T/Echo", BYTES, false, &b, 0);
	finish(&quick);
	EQ(quick.status, GRPC_OK);
	slow.pause_each = false;
	grpc_rpc_resume(slow.rpc);
	finish(&slow);
	EQ(slow.status, GRPC_OK);
	EQ(slow.messages, 1000);
	OK(writables > 10);
	tear_down();
}

TEST(messages_are_delivered_before_the_end_of_a_paused_call)
{
	struct seen s = {.pause_each = true};
	uint_value n = uint_of(5);

	set_up();
	start(&s, "/t.T/Count", UINT, true, &n, 0);
	while (s.messages == 0)
		run_for(5);
	run_for(100);
	EQ(s.messages, 1);
	OK(!s.ended);
	for (int i = 2; i <= 5; i++) {
		grpc_rpc_resume(s.rpc);
		while (s.messages < i)
			run_for(5);
		EQ(s.messages, i);
	}
	OK(!s.ended);
	grpc_rpc_resume(s.rpc);
	finish(&s);
	EQ(s.status, GRPC_OK);
	tear_down();
}

static void pausing_message(struct grpc_call *call, void *request UNUSED)
{
	sum++;
	grpc_pause(call);
}

static const struct grpc_call_ops pausing_ops = {
	.message = pausing_message,
	.half_close = sum_end,
	.cancelled = on_cancelled,
};

static void take_slowly(struct grpc_call *call, void *none UNUSED)
{
	sum = 0;
	parked = call;
	grpc_set_ops(call, &pausing_ops, NULL);
}

static const struct grpc_method slow_methods[] = {
	{"/t.Slow/Take", GRPC_CLIENT_STREAM, BYTES, UINT, take_slowly},
};

TEST(a_paused_call_makes_its_client_stop)
{
	static char block[10000];
	struct seen s = {0};
	bytes_value b = bytes_of(block, sizeof block);
	uint32_t sent = 0;

	set_up();
	grpc_server_add(server, slow_methods, 1, NULL);
	start(&s, "/t.Slow/Take", UINT, false, NULL, 0);
	for (int i = 0; i < 20 || sum == 0; i++) {
		while (sent < 1000 && grpc_rpc_send(s.rpc, &b))
			sent++;
		run_for(5);
	}
	EQ(sum, 1);
	OK(sent < 150); /* two windows of 256 KiB, and the sockets */
	uint32_t then = sent;
	for (uint32_t i = 1; i < then; i++) {
		grpc_resume(parked);
		while (sum == i)
			run_for(1);
		EQ(sum, i + 1);
	}
	OK(writables > 0);
	grpc_rpc_half_close(s.rpc);
	grpc_resume(parked);
	finish(&s);
	EQ(s.status, GRPC_OK);
	EQ(s.last, then);
	tear_down();
}

static int half_closes;

static void count_half_close(struct grpc_call *call UNUSED)
{
	half_closes++;
}

static const struct grpc_call_ops quiet_ops = {
	.half_close = count_half_close,
	.cancelled = chat_cancelled,
};

static void keep_quiet(struct grpc_call *call, void *none UNUSED)
{
	parked = call;
	grpc_set_ops(call, &quiet_ops, NULL);
}

static const struct grpc_method quiet_methods[] = {
	{"/t.Quiet/Chat", GRPC_BIDI, BYTES, BYTES, keep_quiet},
};

TEST(a_half_close_is_told_once_and_trailers_may_come_late)
{
	struct seen s = {0};

	set_up();
	grpc_server_add(server, quiet_methods, 1, NULL);
	start(&s, "/t.Quiet/Chat", BYTES, true, NULL, 0);
	while (!s.headers)
		run_for(5);
	grpc_pause(parked);
	grpc_rpc_half_close(s.rpc);
	run_for(30);
	EQ(half_closes, 0);
	grpc_resume(parked);
	while (half_closes == 0)
		run_for(5);
	grpc_pause(parked);
	grpc_resume(parked);
	EQ(half_closes, 1);
	grpc_add_trailer(parked, STR("x-last"), STR("late"));
	grpc_finish(parked);
	finish(&s);
	EQ(s.status, GRPC_OK);
	STREQ(s.last_md, "late");
	tear_down();
}

static void all_metadata(struct grpc_call *call, void *request UNUSED)
{
	for (int i = 0; i < 16; i++) {
		grpc_add_header(call, STR("x-first"), STR("h"));
		grpc_add_trailer(call, STR("x-last"), STR("t"));
	}
	grpc_fail(call, GRPC_ABORTED, "with all that");
}

static const struct grpc_method metadata_methods[] = {
	{"/t.Meta/Data", GRPC_UNARY, BYTES, BYTES, all_metadata},
};

TEST(an_error_may_carry_all_the_metadata_there_may_be)
{
	struct seen s = {0};
	bytes_value b = bytes_of("x", 1);

	set_up();
	grpc_server_add(server, metadata_methods, 1, NULL);
	start(&s, "/t.Meta/Data", BYTES, false, &b, 0);
	finish(&s);
	EQ(s.status, GRPC_ABORTED);
	STREQ(s.text, "with all that");
	STREQ(s.last_md, "t");
	tear_down();
}

/* ---- limits ---- */

TEST(a_message_over_the_limit_is_refused)
{
	struct grpc_config cfg = GRPC_CONFIG_DEFAULT;
	struct seen a = {0}, b = {0};
	static char block[2000];
	bytes_value small = bytes_of(block, 990), large = bytes_of(block, 2000);

	cfg.message_max = 1000;
	set_up_with(&cfg);
	start(&a, "/t.T/Echo", BYTES, false, &small, 0);
	start(&b, "/t.T/Echo", BYTES, false, &large, 0);
	finish(&a);
	finish(&b);
	EQ(a.status, GRPC_OK);
	EQ(b.status, GRPC_RESOURCE_EXHAUSTED);
	STREQ(b.text, "the message is larger than 1000 bytes");
	tear_down();
}

TEST(requests_of_all_calls_together_are_bounded)
{
	struct grpc_config cfg = GRPC_CONFIG_DEFAULT;
	struct seen s[5] = {0};
	static char block[100 * 1000];
	bytes_value b = bytes_of(block, sizeof block);
	int refused = 0;

	cfg.receive_max = 350 * 1000;
	set_up_with(&cfg);
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		start(&s[i], "/t.T/Park", BYTES, false, &b, 0);
	while (n_parked + (size_t)refused < ARRAY_LEN(s)) {
		run_for(5);
		refused = 0;
		for (size_t i = 0; i < ARRAY_LEN(s); i++)
			refused += s[i].ended && s[i].status == GRPC_RESOURCE_EXHAUSTED;
	}
	EQ(refused, 2);
	for (size_t i = 0; i < n_parked; i++)
		grpc_reply(all_parked[i], &b);
	tear_down();
}

TEST(calls_beyond_the_limit_of_a_connection_wait)
{
	struct grpc_config cfg = GRPC_CONFIG_DEFAULT;
	struct seen s[10] = {0};
	bytes_value b = bytes_of("x", 1);

	cfg.max_streams = 2;
	set_up_with(&cfg);
	struct seen first = {0};
	start(&first, "/t.T/Echo", BYTES, false, &b, 0);
	finish(&first); /* and so the server's SETTINGS are there */
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		start(&s[i], "/t.T/Echo", BYTES, false, &b, 0);
	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		finish(&s[i]);
		EQ(s[i].status, GRPC_OK);
	}
	tear_down();
}

TEST(connections_beyond_the_limit_are_closed)
{
	struct grpc_config cfg = GRPC_CONFIG_DEFAULT;

	cfg.max_connections = 1;
	set_up_with(&cfg);
	struct grpc_channel *second = connect_channel();
	while (!lost)
		run_for(5);
	EQ(grpc_server_connections(server), 1);
	grpc_channel_free(second);
	tear_down();
}

/* ---- the end ---- */

static int drained;

static void on_drained(void *arg UNUSED)
{
	drained++;
	loop_stop(loop, 0);
}

TEST(drain_ends_streams_and_lets_unary_calls_finish)
{
	struct seen stream = {0}, unary = {0}, late = {0};
	bytes_value b = bytes_of("x", 1);

	set_up();
	start(&stream, "/t.T/Chat", BYTES, true, NULL, 0);
	while (!stream.headers)
		run_for(5);
	parked = NULL;
	start(&unary, "/t.T/Park", BYTES, false, &b, 0);
	while (parked == NULL)
		run_for(5);
	grpc_server_drain(server, 10 * 1000, on_drained, NULL);
	finish(&stream);
	EQ(stream.status, GRPC_UNAVAILABLE);
	EQ(cancels, 1);
	run_for(20);
	EQ(drained, 0);
	start(&late, "/t.T/Echo", BYTES, false, &b, 0);
	finish(&late);
	EQ(late.status, GRPC_UNAVAILABLE);
	grpc_reply(parked, &b);
	finish(&unary);
	EQ(unary.status, GRPC_OK);
	while (!drained)
		run_for(50);
	EQ(grpc_server_connections(server), 0);
	OK(lost);
	EQ(lost_why.code, 0);
	tear_down();
}

TEST(drain_cuts_off_what_takes_too_long)
{
	struct seen unary = {0};
	bytes_value b = bytes_of("x", 1);

	set_up();
	start(&unary, "/t.T/Park", BYTES, false, &b, 0);
	while (parked == NULL)
		run_for(5);
	grpc_server_drain(server, 30, on_drained, NULL);
	while (!drained)
		run_for(50);
	EQ(cancels, 1);
	finish(&unary);
	EQ(unary.status, GRPC_UNAVAILABLE);
	grpc_reply(parked, &b);
	tear_down();
}

TEST(drain_of_a_server_without_connections_is_done_in_the_next_turn)
{
	set_up();
	grpc_channel_free(channel);
	channel = NULL;
	while (grpc_server_connections(server) > 0)
		run_for(5);
	grpc_server_drain(server, 1000, on_drained, NULL);
	EQ(drained, 0);
	run_for(1000);
	EQ(drained, 1);
	tear_down();
}
