#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/util.h"
#include "http1/client.h"
#include "http1/response.h"
#include "test.h"

/* ---- responses from bytes ---- */

static struct http1_response r;
static char body[1 << 17];
static int heads, stop_at_head, stop_at_body;

static bool on_headers(void *owner UNUSED)
{
	heads++;
	return !stop_at_head;
}

static bool on_body(void *owner UNUSED, struct str bytes)
{
	strncat(body, bytes.p, bytes.n);
	return !stop_at_body;
}

static void begin(bool head)
{
	http1_response_fini(&r);
	r.headers = on_headers;
	r.body = on_body;
	heads = 0;
	body[0] = '\0';
	http1_response_init(&r, head);
}

/* Feeds in pieces of step bytes until it is more than MORE; *left is what was not used. */
static enum http1_result feed(const char *text, size_t n, size_t step, size_t *left)
{
	enum http1_result result = HTTP1_MORE;
	struct err e;
	size_t at = 0;

	while (at < n && result == HTTP1_MORE) {
		size_t used = 0;
		result = http1_response_feed(&r, str_sub(text + at, MIN(step, n - at)), &used, &e);
		at += used;
	}
	*left = n - at;
	return result;
}

static void reads(const char *text, int status, const char *content, bool keep_alive)
{
	for (size_t step = 1; step <= strlen(text); step++) {
		size_t left;
		begin(false);
		EQ(feed(text, strlen(text), step, &left), HTTP1_DONE);
		EQ(left, 0);
		EQ(r.status, status);
		EQ(heads, 1);
		STREQ(body, content);
		EQ(r.keep_alive, keep_alive);
	}
}

TEST(a_length_or_chunks_end_a_body)
{
	reads("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true);
	reads("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: "
	      "chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n"
	      "Trailer: t\r\n\r\n",
	      404, "abcde", true);
	reads("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true);
	reads("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", 200, "x",
	      false);
	reads("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200,
	      "x", true);
	reads("HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
	      "0\r\n\r\n",
	      200, "", true);
}

TEST(a_body_may_go_until_the_end_of_the_connection)
{
	static const char text[] = "HTTP/1.0 200 OK\r\n\r\nall of it";
	size_t left;
	struct err e;

	begin(false);
	EQ(feed(text, strlen(text), 7, &left), HTTP1_MORE);
	EQ(http1_response_eof(&r, &e), HTTP1_DONE);
	STREQ(body, "all of it");
	OK(!r.keep_alive);
}

TEST(headers_are_found_by_name)
{
	static const char text[] =
		"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nEmpty:\r\nX: a\r\nX: b\r\n"
		"Content-Length: 0\r\n\r\n";

	for (size_t step = 1; step <= strlen(text); step++) {
		size_t left;
		begin(false);
		EQ(feed(text, strlen(text), step, &left), HTTP1_DONE);
		OK(str_is(http1_header(&r, "retry-after"), "7"));
		OK(str_is(http1_header(&r, "x"), "a"));
		OK(str_is(http1_header(&r, "empty"), ""));
		OK(http1_header(&r, "empty").p != NULL);
		OK(http1_header(&r, "absent").p == NULL);
	}
}

TEST(an_answer_to_head_has_no_body)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
	size_t left;

	begin(true);
	EQ(feed(text, strlen(text), 100, &left), HTTP1_DONE);
}

TEST(what_follows_is_left)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1";
	size_t left;

	begin(false);
	EQ(feed(text, strlen(text), 1000, &left), HTTP1_DONE);
	EQ(left, 8);
}

TEST(what_is_ambiguous_or_malformed_is_refused)
{
	static const char *const texts[] = {
		"SSH-2.0-OpenSSH\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/3.7 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
		("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: "
		 "chunked\r\n\r\n0\r\n\r\n"),
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
		"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\x01\r\n\r\n",
		"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		size_t left;
		begin(false);
		if (feed(texts[i], strlen(texts[i]), 3, &left) != HTTP1_BAD)
			FAIL("taken: %s", texts[i]);
	}
}

TEST(an_answer_that_breaks_off_is_bad)
{
	static const char *const texts[] = {
		"",
		"HTTP/1.1 200 O",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		size_t left;
		struct err e = {0};
		begin(false);
		EQ(feed(texts[i], strlen(texts[i]), 100, &left), HTTP1_MORE);
		EQ(http1_response_eof(&r, &e), HTTP1_BAD);
		HAS(e.text, "the peer closed the connection");
	}
}

TEST(headers_are_limited)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	size_t left;

	buf_cstr(&b, "HTTP/1.1 200 OK\r\nA: ");
	for (int i = 0; i < HTTP1_HEADERS_MAX; i++)
		buf_char(&b, 'x');
	begin(false);
	EQ(feed(b.p, b.n, b.n, &left), HTTP1_BAD);
	STREQ(r.reason, "its header is too long");

	buf_clear(&b);
	buf_cstr(&b, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i <= HTTP1_FIELDS_MAX; i++)
		buf_cstr(&b, "a: b\r\n");
	begin(false);
	EQ(feed(b.p, b.n, b.n, &left), HTTP1_BAD);
	STREQ(r.reason, "its header has too many fields");
}

TEST(a_callback_may_stop_it)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
	size_t left;

	begin(false);
	stop_at_head = 1;
	EQ(feed(text, strlen(text), 100, &left), HTTP1_STOPPED);
	begin(false);
	stop_at_head = 0;
	stop_at_body = 1;
	EQ(feed(text, strlen(text), 100, &left), HTTP1_STOPPED);
}

/* ---- the client, over a socket pair ---- */

static struct loop *loop;
static struct http1_client *client;
static int peer;
static char told[1024];
static bool free_in_data;

static void note(const char *s)
{
	strncat(told, s, sizeof told - strlen(told) - 1);
}

static void c_headers(void *owner UNUSED, int status)
{
	char text[16];

	snprintf(text, sizeof text, "%d ", status);
	note(text);
}

static void c_data(void *owner UNUSED, struct str bytes)
{
	strncat(told, bytes.p, bytes.n);
	note(" ");
	if (free_in_data) {
		http1_client_free(client);
		loop_stop(loop, 0);
	}
}

static void c_done(void *owner UNUSED, bool reusable)
{
	note(reusable ? "done " : "last ");
	loop_stop(loop, 0);
}

static void c_failed(void *owner UNUSED, const struct err *why)
{
	note(why->text);
	loop_stop(loop, 0);
}

static const struct http1_client_ops ops = {c_headers, c_data, c_done, c_failed};

static struct source server;
static const char *answer;
static char asked[1024];

/* The peer answers what it is asked. */
static void on_asked(struct source *src, uint32_t events UNUSED)
{
	ssize_t n = read(src->fd, asked, sizeof asked - 1);

	if (n > 0 && write(src->fd, answer, strlen(answer)) < 0)
		FAIL("write");
	if (n <= 0)
		loop_del(loop, src);
}

static void open_client(void)
{
	struct conn *c;
	struct err e;
	int pair[2];

	OK(loop_new(&loop, &e) == 0);
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	peer = pair[1];
	OK(conn_of_fd(&c, loop, pair[0], "peer", &e) == 0);
	client = http1_client_new(c, &ops, NULL);
}

static void ask(void)
{
	const struct http1_header_line lines[] = {{"Accept", STR("application/json")},
						  {"Authorization", STR_NONE}};
	struct http1_request q = {"POST", "/a?b", "h:1", lines, 2, STR("{}")};

	http1_client_request(client, &q);
}

static void say(const char *text)
{
	OK(write(peer, text, strlen(text)) == (ssize_t)strlen(text));
}

TEST(client_asks_and_is_answered_twice)
{
	struct err e;

	open_client();
	server = (struct source){.fd = peer, .ready = on_asked, .name = "server"};
	loop_add(loop, &server, EPOLLIN, &e);
	answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
	ask();
	OK(!http1_client_has_sent(client));
	loop_run(loop);
	STREQ(told, "200 hi done ");
	STREQ(asked, "POST /a?b HTTP/1.1\r\nHost: h:1\r\nAccept: application/json\r\n"
		     "Content-Length: 2\r\n\r\n{}");
	OK(http1_client_has_sent(client));
	answer = "HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
	ask();
	loop_run(loop);
	STREQ(told, "200 hi done 500 last ");
	http1_client_free(client);
	loop_free(loop);
}

TEST(client_tells_an_idle_connection_that_closes)
{
	open_client();
	close(peer);
	loop_run(loop);
	STREQ(told, "the peer closed the connection");
	http1_client_free(client);
	loop_free(loop);
}

TEST(client_tells_an_answer_that_breaks_off)
{
	open_client();
	ask();
	say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi");
	shutdown(peer, SHUT_WR);
	loop_run(loop);
	STREQ(told, "200 hi the peer closed the connection in the middle of its answer");
	http1_client_free(client);
	loop_free(loop);
}

TEST(client_does_not_use_a_connection_again_that_says_more)
{
	open_client();
	ask();
	say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n");
	loop_run(loop);
	STREQ(told, "200 last ");
	http1_client_free(client);
	loop_free(loop);
}

TEST(client_refuses_an_answer_to_no_question)
{
	open_client();
	say("HTTP/1.1 200 OK\r\n");
	loop_run(loop);
	STREQ(told, "the peer sends an answer that nobody asked for");
	http1_client_free(client);
	loop_free(loop);
}

TEST(client_may_be_freed_from_its_callback)
{
	open_client();
	ask();
	free_in_data = true;
	say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	loop_run(loop);
	STREQ(told, "200 hello ");
	loop_free(loop);
}
