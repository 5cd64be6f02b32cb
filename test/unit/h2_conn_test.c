/* The pump between a connection and a session: deadlines, and ends from everywhere. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/http2/h2_conn.c"
#include "test.h"

#define SETTINGS "\0\0\0\4\0\0\0\0\0"
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" SETTINGS
/* POST http / with authority x, all there is of the request */
#define REQUEST "\0\0\6\1\5\0\0\0\1\x83\x86\x84\1\1x"
#define REQUEST_3 "\0\0\6\1\5\0\0\0\3\x83\x86\x84\1\1x"

static struct loop *loop;
static struct h2_conn *hc;
static int peer;
static bool ended;
static struct err why;
static int requests, closed;
static enum h2_outcome outcome;
static struct h2_stream *last;
static enum when { FREE_NEVER, FREE_IN_REQUEST, FREE_IN_CLOSED, FREE_IN_ENDED } free_when;
static struct h2_conn_config cfg;

static void free_it(enum when when)
{
	if (free_when != when)
		return;
	h2_conn_free(hc);
	hc = NULL;
}

static void on_closed(struct h2_stream *st, enum h2_outcome how, uint32_t code UNUSED)
{
	closed++;
	outcome = how;
	h2_release(st);
	free_it(FREE_IN_CLOSED);
	loop_stop(loop, 0);
}

static const struct h2_stream_ops ops = {.closed = on_closed};

static void got_request(void *owner UNUSED, struct h2_stream *st)
{
	requests++;
	last = st;
	h2_accept(st, &ops, NULL);
	free_it(FREE_IN_REQUEST);
	loop_stop(loop, 0);
}

static void on_ended(void *owner UNUSED, const struct err *e)
{
	OK(!ended);
	ended = true;
	why = *e;
	free_it(FREE_IN_ENDED);
	loop_stop(loop, 0);
}

static const struct h2_conn_ops conn_ops = {.request = got_request, .ended = on_ended};

static void set_up(bool server)
{
	struct conn *c;
	struct err e;
	int fd[2];

	cfg.h2 = H2_CONFIG_DEFAULT;
	OK(loop_new(&loop, &e) == 0);
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0);
	OK(fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0);
	OK(conn_of_fd(&c, loop, fd[0], "peer", &e) == 0);
	peer = fd[1];
	hc = server ? h2_conn_server(c, &cfg, &conn_ops, NULL)
		    : h2_conn_client(c, &cfg, &conn_ops, NULL);
}

static void tear_down(void)
{
	h2_conn_free(hc);
	if (peer >= 0)
		close(peer);
	loop_free(loop);
}

static void say(const char *p, size_t n)
{
	EQ(write(peer, p, n), n);
}

static void run_until_ended(void)
{
	while (!ended)
		loop_run(loop);
}

static void stop_now(struct timer *t UNUSED)
{
	loop_stop(loop, 0);
}

static void run_for(int64_t ms)
{
	struct timer t = {.fire = stop_now};

	timer_set(loop, &t, ms);
	loop_run(loop);
	timer_stop(loop, &t);
}

/* ---- deadlines ---- */

TEST(a_peer_without_preface_is_dropped)
{
	cfg.open_ms = 20;
	set_up(true);
	run_until_ended();
	EQ(why.code, ETIMEDOUT);
	STREQ(why.text, "no HTTP/2 preface within 20 ms");
	tear_down();
}

TEST(a_peer_with_half_a_preface_is_dropped_too)
{
	cfg.open_ms = 20;
	set_up(true);
	say(PREFACE, 10);
	run_until_ended();
	EQ(why.code, ETIMEDOUT);
	tear_down();
}

TEST(an_open_connection_may_be_idle_for_ever)
{
	cfg.open_ms = 20;
	set_up(true);
	say(PREFACE, sizeof PREFACE - 1);
	run_for(60);
	OK(!ended);
	tear_down();
}

TEST(a_connection_without_a_request_ends_where_that_is_configured)
{
	cfg.unused_ms = 20;
	cfg.drain_ms = 20; /* this peer does not answer the PING */
	set_up(true);
	say(PREFACE, sizeof PREFACE - 1);
	run_until_ended();
	STREQ(why.text, "not let go within 20 ms");
	tear_down();
}

TEST(a_connection_that_had_a_request_is_used)
{
	cfg.unused_ms = 20;
	set_up(true);
	say(PREFACE REQUEST, sizeof PREFACE REQUEST - 1);
	run_for(1000);
	EQ(requests, 1);
	h2_respond_end(last, 200, NULL, 0);
	run_for(60);
	OK(!ended);
	tear_down();
}

TEST(an_idle_connection_ends_where_that_is_configured)
{
	cfg.idle_ms = 20;
	cfg.drain_ms = 20; /* this peer does not answer the PING */
	set_up(true);
	say(PREFACE REQUEST, sizeof PREFACE REQUEST - 1);
	run_for(1000);
	EQ(requests, 1);
	run_for(60);
	OK(!ended); /* a stream is open */
	h2_respond_end(last, 200, NULL, 0);
	run_until_ended();
	EQ(closed, 1);
	tear_down();
}

TEST(a_silent_peer_is_pinged_and_then_given_up)
{
	cfg.ping_ms = 20;
	cfg.pong_ms = 30;
	set_up(false);
	run_until_ended();
	EQ(why.code, ETIMEDOUT);
	STREQ(why.text, "no answer to a PING within 30 ms");
	tear_down();
}

TEST(a_peer_that_answers_pings_stays)
{
	cfg.ping_ms = 10;
	cfg.pong_ms = 10 * 1000;
	set_up(false);
	say(SETTINGS, sizeof SETTINGS - 1);
	for (int i = 0; i < 10; i++) {
		run_for(10);
		say("\0\0\4\x77\0\0\0\0\0abcd", 13); /* any frame is a sign of life */
	}
	OK(!ended);
	tear_down();
}

TEST(a_peer_that_takes_nothing_is_given_up)
{
	static char block[100 * 1000];
	struct h2_chunk *c = h2_chunk_new(sizeof block);

	memset(c->bytes, 0, c->n);
	cfg.stall_ms = 30;
	set_up(true);
	/* windows as large as they can be: SETTINGS 4, then WINDOW_UPDATE */
	say(PREFACE "\0\0\6\4\0\0\0\0\0\0\4\x7f\xff\xff\xff"
		    "\0\0\4\x8\0\0\0\0\0\x7f\0\0\0",
	    sizeof PREFACE - 1 + 15 + 13);
	say(REQUEST, sizeof REQUEST - 1);
	run_for(1000);
	EQ(requests, 1);
	h2_respond(last, 200, NULL, 0);
	for (int i = 0; i < 50 && !ended; i++) {
		h2_send(last, c);
		run_for(5);
	}
	run_until_ended();
	EQ(why.code, ETIMEDOUT);
	STREQ(why.text, "the peer read nothing for 30 ms");
	EQ(outcome, H2_END_LOST);
	h2_chunk_unref(c);
	tear_down();
}

TEST(a_drain_waits_for_what_is_open)
{
	cfg.drain_ms = 20;
	set_up(true);
	say(PREFACE REQUEST, sizeof PREFACE REQUEST - 1);
	run_for(1000);
	h2_conn_drain(hc);
	run_for(60);
	OK(!ended);
	h2_respond_end(last, 200, NULL, 0);
	run_until_ended();
	EQ(outcome, H2_END_DONE);
	tear_down();
}

/* ---- a transport that holds bytes of which epoll does not know, as TLS does ---- */

enum { FRAME = 16384, FRAMES = 40 };

struct hoard {
	struct conn conn;
	struct buf bytes;
};

static ssize_t hoard_read(struct conn *c, void *p, size_t n)
{
	struct hoard *h = container_of(c, struct hoard, conn);
	char woken;

	if (read(c->src.fd, &woken, 1) < 0 && h->bytes.n == 0)
		return CONN_AGAIN;
	n = MIN(n, h->bytes.n);
	memcpy(p, buf_view(&h->bytes).p, n);
	buf_consume(&h->bytes, n);
	return (ssize_t)n;
}

static ssize_t hoard_write(struct conn *c UNUSED, const void *p UNUSED, size_t n)
{
	return (ssize_t)n;
}

static bool hoard_pending(struct conn *c)
{
	return container_of(c, struct hoard, conn)->bytes.n > 0;
}

static void hoard_end(struct conn *c UNUSED)
{
}

static void hoard_free(struct conn *c)
{
	struct hoard *h = container_of(c, struct hoard, conn);

	close(c->src.fd);
	buf_fini(&h->bytes);
	free(h);
}

static const struct conn_ops hoard_ops = {
	.read = hoard_read,
	.write = hoard_write,
	.pending = hoard_pending,
	.end = hoard_end,
	.free = hoard_free,
};

static size_t hoarded;

static void count_data(struct h2_stream *st, struct str bytes)
{
	hoarded += bytes.n;
	h2_consume(st, bytes.n);
}

static void take_data(void *owner UNUSED, struct h2_stream *st)
{
	static const struct h2_stream_ops data_ops = {.data = count_data, .closed = on_closed};

	h2_accept(st, &data_ops, NULL);
}

TEST(bytes_that_wait_in_the_transport_are_read_without_an_event)
{
	static const struct h2_conn_ops taker = {.request = take_data, .ended = on_ended};
	/* SETTINGS acknowledged, so that the window is open; then the request */
	static const char request[] = "\0\0\0\4\1\0\0\0\0\0\0\6\1\4\0\0\0\1\x83\x86\x84\1\1x";
	static char block[FRAME];
	struct hoard *h = xcalloc(1, sizeof *h);
	struct err e;
	int fd[2];

	cfg.h2 = H2_CONFIG_DEFAULT;
	cfg.h2.stream_window = cfg.h2.conn_window = 1 << 20;
	OK(loop_new(&loop, &e) == 0);
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	h->bytes = BUF_INIT(1 << 20);
	OK(buf_add(&h->bytes, PREFACE, sizeof PREFACE - 1));
	OK(buf_add(&h->bytes, request, sizeof request - 1));
	for (int i = 0; i < FRAMES; i++) {
		OK(buf_add(&h->bytes, "\0\x40\0\0\0\0\0\0\1", 9));
		OK(buf_add(&h->bytes, block, sizeof block));
	}
	OK(conn_init(&h->conn, loop, fd[0], &hoard_ops, "hoard", &e) == 0);
	peer = fd[1];
	hc = h2_conn_server(&h->conn, &cfg, &taker, NULL);
	say("x", 1); /* the only event */
	while (hoarded < FRAME * FRAMES && !ended)
		run_for(20);
	EQ(hoarded, FRAME * FRAMES);
	tear_down();
}

/* ---- ends ---- */

TEST(a_peer_that_leaves_in_order_is_no_error)
{
	set_up(true);
	say(PREFACE, sizeof PREFACE - 1);
	run_for(5);
	close(peer);
	peer = -1;
	run_until_ended();
	EQ(why.code, 0);
	OK(h2_conn_session(hc) == NULL);
	tear_down();
}

TEST(a_peer_that_leaves_amid_a_request_is_one)
{
	set_up(true);
	say(PREFACE REQUEST, sizeof PREFACE REQUEST - 1);
	run_for(1000);
	close(peer);
	peer = -1;
	run_until_ended();
	EQ(outcome, H2_END_LOST);
	OK(why.code == ECONNRESET || why.code == EPIPE);
	tear_down();
}

TEST(a_peer_that_speaks_something_else_is_told_and_dropped)
{
	char answer[200] = "";

	set_up(true);
	say("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
	run_until_ended();
	EQ(why.code, EPROTO);
	ssize_t n = read(peer, answer, sizeof answer);
	/* SETTINGS, WINDOW_UPDATE perhaps, and a GOAWAY with PROTOCOL_ERROR at the end */
	OK(n > 17 && memmem(answer, (size_t)n, "\0\0\0\1", 4) != NULL);
	tear_down();
}

TEST(what_a_peer_said_before_it_left_still_counts)
{
	static const struct h2_request r = {.method = STR("GET"),
					    .scheme = STR("http"),
					    .authority = STR("x"),
					    .path = STR("/")};
	struct err e;

	set_up(false);
	OK(h2_request(h2_conn_session(hc), &r, &ops, NULL, &e) != NULL);
	run_for(5);
	/* a whole response, with :status 204 by HPACK's table, is in the socket when a PING of ours
	 * finds the peer gone */
	say(SETTINGS "\0\0\1\1\5\0\0\0\1\x89", sizeof SETTINGS + 9);
	close(peer);
	peer = -1;
	struct later *flush = &hc->flush;
	h2_ping(h2_conn_session(hc));
	flush->run(flush);
	OK(ended);
	EQ(closed, 1);
	EQ(outcome, H2_END_DONE);
	tear_down();
}

static void freed_in(enum when when)
{
	free_when = when;
	set_up(true);
	say(PREFACE REQUEST REQUEST_3, sizeof PREFACE REQUEST REQUEST_3 - 1);
	run_for(1000);
	if (when != FREE_IN_REQUEST) {
		EQ(requests, 2);
		close(peer);
		peer = -1;
		while (hc != NULL)
			run_for(20);
	}
	run_for(5);
	OK(hc == NULL);
	EQ(closed, when == FREE_IN_REQUEST ? 1 : 2);
	EQ(ended, when == FREE_IN_ENDED);
	tear_down();
}

TEST(it_may_be_freed_when_a_request_comes)
{
	freed_in(FREE_IN_REQUEST);
}

TEST(it_may_be_freed_when_a_stream_closes)
{
	freed_in(FREE_IN_CLOSED);
}

TEST(it_may_be_freed_when_it_ends)
{
	freed_in(FREE_IN_ENDED);
}

TEST(streams_outlive_their_connection)
{
	set_up(true);
	say(PREFACE REQUEST, sizeof PREFACE REQUEST - 1);
	run_for(1000);
	h2_conn_free(hc);
	hc = NULL;
	EQ(closed, 1);
	tear_down();
}
