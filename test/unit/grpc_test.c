/* Calls of all kinds, their errors, metadata, deadlines and cancellation. */
#include "grpc.h"

/* ---- the four kinds ---- */

TEST(unary)
{
	struct seen s = {0};
	bytes_value b = bytes_of("hello", 5);

	set_up();
	start(&s, "/t.T/Echo", BYTES, false, &b, 0);
	finish(&s);
	EQ(s.status, GRPC_OK);
	EQ(s.messages, 1);
	EQ(s.bytes, 5);
	STREQ(s.text, "");
	EQ(grpc_server_calls(server), 0);
	tear_down();
}

TEST(unary_large)
{
	enum { N = 3 * 1024 * 1024 };
	struct seen s = {0};
	bytes_value b = bytes_of(calloc(1, N), N);

	set_up();
	start(&s, "/t.T/Echo", BYTES, false, &b, 0);
	finish(&s);
	EQ(s.status, GRPC_OK);
	EQ(s.bytes, N);
	tear_down();
	free(b.value.data);
}

TEST(server_stream)
{
	struct seen s = {0};
	uint_value n = uint_of(100);

	set_up();
	start(&s, "/t.T/Count", UINT, true, &n, 0);
	finish(&s);
	EQ(s.status, GRPC_OK);
	OK(s.headers);
	EQ(s.messages, 100);
	EQ(s.last, 99);
	tear_down();
}

TEST(client_stream)
{
	struct seen s = {0};

	set_up();
	start(&s, "/t.T/Sum", UINT, false, NULL, 0);
	for (uint32_t i = 1; i <= 10; i++) {
		uint_value u = uint_of(i);
		OK(grpc_rpc_send(s.rpc, &u));
		run_for(1);
	}
	grpc_rpc_half_close(s.rpc);
	finish(&s);
	EQ(s.status, GRPC_OK);
	EQ(s.last, 55);
	tear_down();
}

TEST(bidi)
{
	struct seen s = {.stop_after = 3};
	bytes_value b = bytes_of("abc", 3);

	set_up();
	start(&s, "/t.T/Chat", BYTES, true, NULL, 0);
	while (!s.headers) /* before any message */
		run_for(5);
	for (int i = 0; i < 3; i++)
		OK(grpc_rpc_send(s.rpc, &b));
	loop_run(loop);
	EQ(s.messages, 3);
	OK(!s.ended);
	grpc_rpc_half_close(s.rpc);
	finish(&s);
	EQ(s.status, GRPC_OK);
	tear_down();
}

TEST(headers_of_a_stream_go_out_before_its_first_message)
{
	struct seen s = {0};
	uint_value n = uint_of(1);

	set_up();
	start(&s, "/t.T/Wait", UINT, true, &n, 0);
	while (!s.headers)
		run_for(5);
	OK(!s.ended);
	grpc_finish(parked);
	finish(&s);
	EQ(s.status, GRPC_OK);
	EQ(s.messages, 0);
	tear_down();
}

/* ---- errors and metadata ---- */

TEST(an_error_keeps_its_code_and_every_byte_of_its_text)
{
	struct seen s = {0};
	bytes_value b = bytes_of("x", 1);

	set_up();
	start(&s, "/t.T/Fail", BYTES, false, &b, 0);
	finish(&s);
	EQ(s.status, GRPC_FAILED_PRECONDITION);
	STREQ(s.text, "50% of \xc3\xa9\n are bad");
	EQ(s.messages, 0);
	tear_down();
}

TEST(unknown_methods_and_services_are_unimplemented)
{
	struct seen a = {0}, b = {0};
	bytes_value v = bytes_of("x", 1);

	set_up();
	start(&a, "/t.T/Nope", BYTES, false, &v, 0);
	start(&b, "/t.X/Nope", BYTES, false, &v, 0);
	finish(&a);
	finish(&b);
	EQ(a.status, GRPC_UNIMPLEMENTED);
	STREQ(a.text, "unknown method Nope for service t.T");
	EQ(b.status, GRPC_UNIMPLEMENTED);
	STREQ(b.text, "unknown service t.X");
	tear_down();
}

TEST(metadata_goes_both_ways)
{
	struct seen s = {0};
	bytes_value b = bytes_of("x", 1);
	const struct h2_field md = {STR("x-name"), STR("some value")};
	const struct grpc_rpc_config cfg = {
		.path = "/t.T/Echo", .out = BYTES, .metadata = &md, .n = 1};

	set_up();
	s.rpc = grpc_rpc_call(channel, &cfg, &b, &seen_ops, &s);
	finish(&s);
	EQ(s.status, GRPC_OK);
	STREQ(s.first_md, "some value");
	STREQ(s.last_md, "some value");
	tear_down();
}

/* ---- deadlines and cancellation ---- */

TEST(a_deadline_ends_the_call_on_both_sides)
{
	struct seen s = {0};
	bytes_value b = bytes_of("x", 1);

	set_up();
	start(&s, "/t.T/Park", BYTES, false, &b, 500);
	finish(&s);
	EQ(s.status, GRPC_DEADLINE_EXCEEDED);
	while (cancels == 0)
		run_for(5);
	OK(grpc_cancelled(parked));
	EQ(grpc_server_calls(server), 1); /* until its handler has answered it */
	grpc_reply(parked, &b);
	EQ(grpc_server_calls(server), 0);
	EQ(cancels, 1);
	tear_down();
}

TEST(a_handler_knows_the_time_left)
{
	struct seen a = {0}, b = {0};
	bytes_value v = bytes_of("x", 1);

	set_up();
	start(&a, "/t.T/Park", BYTES, false, &v, 60 * 1000);
	while (parked == NULL)
		run_for(5);
	OK(grpc_time_left(parked) > 0 && grpc_time_left(parked) <= 60 * 1000);
	grpc_reply(parked, &v);
	finish(&a);
	EQ(a.status, GRPC_OK);
	parked = NULL;
	start(&b, "/t.T/Park", BYTES, false, &v, 0);
	while (parked == NULL)
		run_for(5);
	OK(grpc_time_left(parked) == INT64_MAX);
	grpc_fail(parked, GRPC_ABORTED, "%s", "enough");
	finish(&b);
	EQ(b.status, GRPC_ABORTED);
	tear_down();
}

TEST(a_cancelled_call_is_told_once_and_may_be_answered_late)
{
	struct seen s = {0};
	bytes_value b = bytes_of("x", 1);

	set_up();
	start(&s, "/t.T/Park", BYTES, false, &b, 0);
	while (parked == NULL)
		run_for(5);
	grpc_rpc_cancel(s.rpc);
	while (cancels == 0)
		run_for(5);
	run_for(20);
	EQ(cancels, 1);
	OK(!s.ended);
	grpc_fail(parked, GRPC_INTERNAL, "too late");
	run_for(5);
	EQ(grpc_server_connections(server), 1);
	tear_down();
}

TEST(a_call_survives_its_client_and_even_its_server)
{
	struct seen s = {0};
	bytes_value b = bytes_of("x", 1);

	set_up();
	start(&s, "/t.T/Park", BYTES, false, &b, 0);
	while (parked == NULL)
		run_for(5);
	grpc_channel_free(channel);
	channel = NULL;
	while (grpc_server_connections(server) > 0)
		run_for(5);
	EQ(cancels, 1);
	OK(grpc_cancelled(parked));
	OK(arena_dup(grpc_arena(parked), STR("still there")) != NULL);
	grpc_server_free(server);
	server = NULL;
	grpc_reply(parked, &b);
	tear_down();
}

TEST(a_lost_server_ends_every_call_and_then_the_channel)
{
	struct seen a = {0}, b = {0};
	bytes_value v = bytes_of("x", 1);

	set_up();
	start(&a, "/t.T/Park", BYTES, false, &v, 0);
	start(&b, "/t.T/Chat", BYTES, true, NULL, 0);
	while (n_parked == 0 || !b.headers)
		run_for(5);
	grpc_server_free(server);
	server = NULL;
	finish(&a);
	finish(&b);
	EQ(a.status, GRPC_UNAVAILABLE);
	EQ(b.status, GRPC_UNAVAILABLE);
	while (!lost)
		run_for(5);
	struct seen c = {0};
	start(&c, "/t.T/Echo", BYTES, false, &v, 0);
	OK(!c.ended); /* not from inside the start */
	finish(&c);
	EQ(c.status, GRPC_UNAVAILABLE);
	grpc_reply(all_parked[0], &v);
	tear_down();
}
