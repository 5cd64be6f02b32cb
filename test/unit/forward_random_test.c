/*
 * Plain HTTP through the proxy, at random: bodies of any length and framing, in pieces of any size, both ways,
 * over connections that are kept or not. Everything arrives whole, and nothing waits for what will not come.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"
#include "proxy.h"
#include "proxy/body.h"
#include "proxy/head.h"
#include "proxy/reply.h"

#define POLICY NET("{endpoints: [{host: server.test, port: 80}], binaries: [{path: /bin/tool}]}")

enum { ROUNDS = 400, BODY_MAX = 400000 };

static char content[BODY_MAX];

/* Each thread has its own. */
static int any(unsigned *seed, int n)
{
	return rand_r(seed) % n;
}

static size_t any_length(unsigned *seed)
{
	static const int most[] = {1, 2, 100, 5000, 40000, BODY_MAX};

	return (size_t)any(seed, most[any(seed, ARRAY_LEN(most))]);
}

static void send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
		OK(sent > 0);
		p += sent;
		n -= (size_t)sent;
	}
}

static void send_text(int fd, const char *text)
{
	send_all(fd, text, strlen(text));
}

/* The first n bytes of content, in pieces; the head is sent before. */
static void send_body(int fd, unsigned *seed, size_t n, bool chunked)
{
	static const int most[] = {10, 1000, 20000, 200000};
	char frame[32];

	for (size_t at = 0; at < n;) {
		size_t piece = (size_t)any(seed, most[any(seed, ARRAY_LEN(most))]) + 1;
		if (n > 20000) /* else it takes for ever */
			piece += 1000;
		piece = MIN(piece, n - at);
		if (chunked) {
			snprintf(frame, sizeof frame, "%zx;x=y\r\n", piece);
			send_text(fd, frame);
		}
		send_all(fd, content + at, piece);
		if (chunked)
			send_text(fd, "\r\n");
		at += piece;
	}
	if (chunked)
		send_text(fd, "0\r\nX: y\r\n\r\n");
}

/* What has come of a connection and is not used. */
struct reader {
	int fd;
	struct buf in;
	unsigned seed;
};

static bool more(struct reader *r)
{
	size_t n = (size_t)any(&r->seed, 60000) + 1;
	ssize_t got = recv(r->fd, buf_room(&r->in, n), n, 0);

	OK(got >= 0);
	buf_added(&r->in, (size_t)got);
	return got > 0;
}

/* Reads the body; how long it was. It must be the beginning of content. */
static size_t read_body(struct reader *r, enum body_framing framing, uint64_t length)
{
	_cleanup_buf_ struct buf out = BUF_INIT(BODY_MAX + BODY_OVERHEAD);
	struct body b;
	size_t used;

	body_init(&b, framing, length, true);
	while (!b.done) {
		enum body_result result = body_feed(&b, buf_view(&r->in), &out, &used);
		OK(result != BODY_BAD);
		buf_consume(&r->in, used);
		if (!b.done && !more(r))
			OK(body_eof(&b) == BODY_DONE);
	}
	MEMEQ(buf_view(&out).p ? buf_view(&out).p : "", content, out.n);
	return out.n;
}

/* Else each piece may wait for the one before it to be acknowledged. */
static int at_once(int fd)
{
	const int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

/* ---- a server that answers with what it was told, in any way ---- */

static int listener;

/* "/LENGTH": what the response is to have. False: nobody asks any more. */
static bool serve_one(struct reader *r, bool *keep)
{
	static const char *const hint = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
	struct head h;
	size_t used, length;
	const char *why;
	char text[128];

	while (head_read(&h, buf_view(&r->in), &used, &why) == HEAD_MORE)
		if (!more(r))
			return false;
	length = strtoul(h.path.p + 1, NULL, 10);
	enum body_framing framing = h.framing;
	uint64_t n = h.length;
	buf_consume(&r->in, used);
	size_t got = read_body(r, framing, n);
	int way = any(&r->seed, 5);
	*keep = way != 0 && any(&r->seed, 10) != 0;
	if (any(&r->seed, 5) == 0)
		send_text(r->fd, hint);
	if (way == 0)
		snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nX-Got: %zu\r\n\r\n", got);
	else if (way < 3)
		snprintf(text, sizeof text,
			 "HTTP/1.1 200 OK\r\nX-Got: %zu\r\nContent-Length: %zu\r\n%s\r\n", got,
			 length, *keep ? "" : "Connection: close\r\n");
	else
		snprintf(text, sizeof text,
			 "HTTP/1.1 200 OK\r\nX-Got: %zu\r\nTransfer-Encoding: chunked\r\n%s\r\n",
			 got, *keep ? "" : "Connection: close\r\n");
	send_text(r->fd, text);
	send_body(r->fd, &r->seed, length, way >= 3);
	return true;
}

static void *serve(void *arg)
{
	for (unsigned seed = 1;; seed++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			return arg;
		struct reader r = {.fd = at_once(fd), .in = BUF_INIT(1 << 20), .seed = seed};
		bool keep = true;
		while (keep && serve_one(&r, &keep))
			;
		buf_fini(&r.in);
		close(fd);
	}
}

/* ---- the client ---- */

static void request(int fd, unsigned *seed, size_t n, size_t wanted)
{
	int way = n > 0 ? 1 + any(seed, 2) : 0;
	char text[256], framing[64] = "";

	if (way == 1)
		snprintf(framing, sizeof framing, "Content-Length: %zu\r\n", n);
	else if (way == 2)
		snprintf(framing, sizeof framing, "Transfer-Encoding: chunked\r\n");
	snprintf(text, sizeof text,
		 "%s http://server.test/%zu HTTP/1.1\r\nHost: server.test\r\n%s\r\n",
		 way ? "POST" : "GET", wanted, framing);
	send_text(fd, text);
	if (way)
		send_body(fd, seed, n, way == 2);
}

/* Whether the connection goes on. */
static bool hear_answer(struct reader *r, size_t n, size_t wanted)
{
	struct reply reply;
	size_t used;
	const char *why;
	uint64_t got;

	do {
		while (reply_read(&reply, buf_view(&r->in), false, &used, &why) == HEAD_MORE)
			OK(more(r));
		if (reply.interim)
			buf_consume(&r->in, used);
	} while (reply.interim);
	EQ(reply.status, 200);
	OK(str_u64(fields_get(&reply.fields, "x-got"), &got));
	EQ(got, n);
	bool keep = reply.keep_alive;
	enum body_framing framing = reply.framing;
	uint64_t length = reply.length;
	buf_consume(&r->in, used);
	EQ(read_body(r, framing, length), wanted);
	return keep;
}

static void send_little(void)
{
	struct session *s = list_first(&proxy->sessions, struct session, link);
	const int small = 16384;

	if (s != NULL)
		setsockopt(s->client.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
}

TEST_WITHIN(whatever_is_sent_arrives, 60)
{
	struct reader r = {.fd = -1, .in = BUF_INIT(1 << 20), .seed = 42};
	pthread_t server;

	for (size_t i = 0; i < sizeof content; i++)
		content[i] = (char)(i * 31 + i / 253);
	begin(POLICY);
	listener = listen_on(SERVER, 80);
	pthread_create(&server, NULL, serve, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		size_t n = any_length(&r.seed), wanted = any_length(&r.seed);
		if (r.fd < 0) {
			r.fd = at_once(say(""));
			buf_clear(&r.in);
			if (any(&r.seed, 2) == 0)
				in_loop(send_little);
		}
		request(r.fd, &r.seed, n, wanted);
		if (!hear_answer(&r, n, wanted)) {
			close(r.fd);
			r.fd = -1;
		}
	}
	buf_fini(&r.in);
	event("HTTP:POST [INFO] ALLOWED");
	finish();
	shutdown(listener, SHUT_RDWR);
	pthread_join(server, NULL);
}
