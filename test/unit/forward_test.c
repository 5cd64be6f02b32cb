/*
 * Plain HTTP through the proxy (src/proxy/{forward,relay,rewrite}.c): what goes on, what comes back, and who
 * ends when. What is judged and refused: forward_policy_test.c.
 */
#include "proxy.h"
#include "proxy/forward_impl.h"

#define POLICY                                                                                     \
	NET("{endpoints: [{host: server.test, port: 80}, {host: server.test, port: 8080}, "        \
	    "{host: two.test, port: 80}, {host: nobody.test, port: 80}, {host: evil.test, port: "  \
	    "80}, {host: " SERVER ", port: 80}], binaries: [{path: /bin/tool}]}")

#define GET(path) "GET http://server.test" path " HTTP/1.1\r\nHost: server.test\r\n\r\n"
#define GOT(path) "GET " path " HTTP/1.1\r\nHost: server.test\r\nVia: 1.1 openshell-sandbox\r\n\r\n"
#define OK2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void say_on(int fd, const char *text)
{
	OK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static void broken(int fd)
{
	char byte;

	EQ(recv(fd, &byte, 1, 0), -1);
	EQ(errno, ECONNRESET);
	close(fd);
}

/* ---- requests ---- */

static const struct {
	const char *sent, *received;
} requests[] = {
	{GET("/a/b?c=d"), GOT("/a/b?c=d")},
	{GET(""), GOT("/")},
	{GET("?x"), GOT("/?x")},
	/* nothing is judged by its path here, so it is as it was written */
	{GET("/a;b//c/%7e%2F?x=%20"), GOT("/a;b//c/%7e%2F?x=%20")},
	{"GET http://SERVER.test.:80/ HTTP/1.1\r\nHost: other.test:99\r\n\r\n", GOT("/")},
	{"GET http://server.test:8080/ HTTP/1.1\r\nHost: server.test:8080\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: server.test:8080\r\nVia: 1.1 openshell-sandbox\r\n\r\n"},
	{"GET http://" SERVER "/ HTTP/1.1\r\nHost: x\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: " SERVER "\r\nVia: 1.1 openshell-sandbox\r\n\r\n"},
	{"GET http://server.test/ HTTP/1.0\r\n\r\n", GOT("/")},
	{"DELETE http://server.test/ HTTP/1.1\r\nHost: server.test\r\nAccept: */*\r\n"
	 "Proxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\n"
	 "Connection: close, X-Mine\r\nX-Mine: 1\r\nX-Other: 2\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
	 "Upgrade: foo\r\nTrailer: x\r\nVia: 1.0 before\r\nCookie: a=b\r\n\r\n",
	 "DELETE / HTTP/1.1\r\nHost: server.test\r\nAccept: */*\r\nX-Other: 2\r\nVia: 1.0 "
	 "before\r\n"
	 "Cookie: a=b\r\nVia: 1.1 openshell-sandbox\r\n\r\n"},
	{"POST http://server.test/ HTTP/1.1\r\nHost: server.test\r\nContent-Length: "
	 "0003\r\n\r\nabc",
	 "POST / HTTP/1.1\r\nHost: server.test\r\nContent-Length: 3\r\n"
	 "Via: 1.1 openshell-sandbox\r\n\r\nabc"},
	{"POST http://server.test/ HTTP/1.1\r\nHost: server.test\r\nConnection: content-length, "
	 "host\r\n"
	 "Content-Length: 3\r\n\r\nabc",
	 "POST / HTTP/1.1\r\nHost: server.test\r\nContent-Length: 3\r\n"
	 "Via: 1.1 openshell-sandbox\r\n\r\nabc"},
	{"POST http://server.test/ HTTP/1.1\r\nHost: server.test\r\nTransfer-Encoding: "
	 "chunked\r\n\r\n"
	 "3;x=\"y\"\r\nabc\r\n0002\r\nde\r\n0\r\nHost: evil\r\n\r\n",
	 "POST / HTTP/1.1\r\nHost: server.test\r\nTransfer-Encoding: chunked\r\n"
	 "Via: 1.1 openshell-sandbox\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"},
};

TEST(requests_are_sent_on_as_they_were_understood)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80), other = listen_on(SERVER, 8080);

	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		int client = say(requests[i].sent);
		int server = accept_from(strstr(requests[i].sent, ":8080") ? other : listener);
		hear(server, requests[i].received);
		say_on(server,
		       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
		HAS(hear_all((shutdown(client, SHUT_WR), client)), "\r\n\r\nok");
		close(server);
	}
	event("HTTP:GET [INFO] ALLOWED /bin/tool(42) -> GET http://server.test/a/b [policy:net "
	      "engine:opa]");
	EQ(denials_n, 0);
	finish();
}

TEST(who_waits_to_continue_is_told_by_the_server)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say("PUT http://server.test/ HTTP/1.1\r\nHost: server.test\r\n"
			 "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	int server = accept_from(listener);
	hear(server, "PUT / HTTP/1.1\r\nHost: server.test\r\nContent-Length: 3\r\n"
		     "Expect: 100-continue\r\nVia: 1.1 openshell-sandbox\r\n\r\n");
	say_on(server, "HTTP/1.1 100 Continue\r\n\r\n");
	hear(client, "HTTP/1.1 100 Continue\r\n\r\n");
	say_on(client, "abc");
	hear(server, "abc");
	say_on(server, OK2);
	hear(client, OK2);
	/* and the connection goes on */
	say_on(client, GET("/2"));
	hear(server, GOT("/2"));
	finish();
}

TEST(a_body_that_cannot_be_read_ends_both_sides)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say("PUT http://server.test/ HTTP/1.1\r\nHost: server.test\r\n"
			 "Transfer-Encoding: chunked\r\n\r\n");
	int server = accept_from(listener);
	hear(server, "PUT / HTTP/1.1\r\nHost: server.test\r\nTransfer-Encoding: chunked\r\n"
		     "Via: 1.1 openshell-sandbox\r\n\r\n");
	say_on(client, "this is no length\r\n");
	HAS(hear_all(client), "{\"error\":\"bad_request\",\"detail\":\"its body is malformed\"}");
	STREQ(hear_all(server), "");
	event("NET:FAIL [LOW] /bin/tool(42) -> server.test:80/tcp [policy:net engine:opa] "
	      "[reason:the body of the request is malformed]");
	finish();
}

/* A server that has heard enough: the body is not waited for. */
TEST(a_response_before_the_whole_request_ends_the_connection)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say("PUT http://server.test/ HTTP/1.1\r\nHost: server.test\r\n"
			 "Content-Length: 1000\r\n\r\nabc");
	int server = accept_from(listener);
	hear(server, "PUT / HTTP/1.1\r\nHost: server.test\r\nContent-Length: 1000\r\n"
		     "Via: 1.1 openshell-sandbox\r\n\r\nabc");
	say_on(server, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
	hear(client, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
	STREQ(hear_all(server), "");
	finish();
}

TEST(a_server_that_hangs_up_on_a_body_is_still_heard)
{
	char *body = xcalloc(1, 4 << 20);

	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say("PUT http://server.test/ HTTP/1.1\r\nHost: server.test\r\n"
			 "Content-Length: 4194304\r\n\r\n");
	int server = accept_from(listener);
	hear(server, "PUT /");
	say_on(server, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
	shutdown(server, SHUT_RDWR);
	hear(client, "HTTP/1.1 413 Too Large\r\n");
	memset(body, 'a', 4 << 20);
	send(client, body, 4 << 20, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(client);
	close(server);
	finish();
	free(body);
}

/* ---- responses ---- */

static const struct {
	const char *method, *version, *sent, *received;
	bool kept; /* else the client's connection ends with it */
} responses[] = {
	{"GET", "1.1", OK2, OK2, true},
	{"GET", "1.1", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", OK2, true},
	{"GET", "1.1", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
	 "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", true},
	{"GET", "1.1",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: "
	 "X\r\n\r\n2;a=b\r\nok\r\n0\r\nX: "
	 "y\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
	{"HEAD", "1.1", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", true},
	{"HEAD", "1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	 "HTTP/1.1 200 OK\r\n\r\n", true},
	{"GET", "1.1", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", true},
	{"GET", "1.1", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"x\"\r\n\r\n",
	 "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"x\"\r\n\r\n", true},
	{"GET", "1.1", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" OK2,
	 "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" OK2, true},
	{"GET", "1.1",
	 "HTTP/1.1 200 OK\r\nConnection: X-Mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: "
	 "timeout=5\r\n"
	 "Proxy-Authenticate: Basic\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: "
	 "2\r\n\r\nok",
	 "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok", true},
	{"GET", "1.0", OK2, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
	 false},
	{"GET", "1.0",
	 "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", false},
};

TEST(responses_come_back_as_they_were_understood)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);

	for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
		char request[256], sent_on[256];
		snprintf(request, sizeof request,
			 "%s http://server.test/ HTTP/%s\r\nHost: a\r\n\r\n", responses[i].method,
			 responses[i].version);
		int client = say(request), server = accept_from(listener);
		snprintf(sent_on, sizeof sent_on,
			 "%s / HTTP/1.1\r\nHost: server.test\r\nVia: 1.1 openshell-sandbox\r\n\r\n",
			 responses[i].method);
		hear(server, sent_on);
		/* the head in pieces; were it the body too, its chunks would be those */
		const char *p = responses[i].sent;
		for (; !str_starts(str_of(p), "\r\n\r\n"); p++)
			OK(send(server, p, 1, MSG_NOSIGNAL) == 1);
		say_on(server, p);
		hear(client, responses[i].received);
		if (responses[i].kept) {
			say_on(client, GET("/again"));
			if (strstr(responses[i].sent, "HTTP/1.0")) {
				close(server);
				server = accept_from(listener);
			}
			hear(server, GOT("/again"));
			say_on(server, OK2);
			hear(client, OK2);
			close(client);
		} else {
			STREQ(hear_all(client), "");
		}
		close(server);
	}
	finish();
}

TEST(a_body_may_go_on_until_the_end)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say(GET("/"));
	int server = accept_from(listener);
	hear(server, GOT("/")); /* what is closed with bytes unread ends in a reset */
	say_on(server, "HTTP/1.1 200 OK\r\n\r\nall ");
	hear(client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall ");
	say_on(server, "of it");
	close(server);
	STREQ(hear_all(client), "of it");
	finish();
}

/* ---- kept connections ---- */

TEST(connections_are_kept_on_both_sides)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say(GET("/1"));
	int server = accept_from(listener);
	hear(server, GOT("/1"));
	say_on(server, OK2);
	hear(client, OK2);
	for (int i = 0; i < 3; i++) {
		say_on(client, GET("/2"));
		hear(server, GOT("/2"));
		say_on(server, OK2);
		hear(client, OK2);
	}
	/* another host is another connection, and the first is not kept beside it */
	say_on(client, "GET http://two.test/3 HTTP/1.1\r\nHost: two.test\r\n\r\n");
	int second = accept_from(listener);
	STREQ(hear_all(server), "");
	hear(second, "GET /3 HTTP/1.1\r\nHost: two.test\r\n");
	say_on(second, OK2);
	hear(client, OK2);
	/* each was asked about */
	for (int i = 0; i < 5000 && events_n < 6; i++)
		usleep(1000);
	EQ(events_n, 6); /* and the listener's own */
	finish();
}

TEST(requests_may_be_sent_ahead)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client =
		say("POST http://server.test/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
		    "abc" GET("/2") GET("/3"));
	int server = accept_from(listener);
	hear(server, "POST /1 HTTP/1.1\r\nHost: server.test\r\nContent-Length: 3\r\n"
		     "Via: 1.1 openshell-sandbox\r\n\r\nabc");
	/* one at a time */
	usleep(20000);
	char byte;
	EQ(recv(server, &byte, 1, MSG_DONTWAIT), -1);
	say_on(server, OK2);
	hear(server, GOT("/2"));
	say_on(server, OK2);
	hear(server, GOT("/3"));
	say_on(server, OK2);
	hear(client, OK2 OK2 OK2);
	shutdown(client, SHUT_WR);
	STREQ(hear_all(client), "");
	finish();
}

TEST(a_server_that_ended_between_requests_is_dialled_again)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say(GET("/1"));
	int server = accept_from(listener);
	hear(server, GOT("/1"));
	say_on(server, OK2);
	hear(client, OK2);
	close(server);
	usleep(20000);
	say_on(client, GET("/2"));
	server = accept_from(listener);
	hear(server, GOT("/2"));
	say_on(server, OK2);
	hear(client, OK2);
	/* in the very moment: it has read the request, and ends */
	say_on(client, GET("/3"));
	hear(server, GOT("/3"));
	close(server);
	server = accept_from(listener);
	hear(server, GOT("/3"));
	say_on(server, OK2);
	hear(client, OK2);
	/* but nothing is posted twice */
	say_on(client,
	       "POST http://server.test/4 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
	hear(server, "POST /4 ");
	close(server);
	HAS(hear_all(client), "HTTP/1.1 502 Bad Gateway");
	nobody_came(listener);
	finish();
}

TEST(a_tunnel_may_follow_on_the_same_connection)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say(GET("/1"));
	int server = accept_from(listener);
	say_on(server, OK2);
	hear(client, OK2);
	say_on(client, CONNECT("server.test:80"));
	int tunnel = accept_from(listener);
	hear(client, ESTABLISHED);
	say_on(client, "any bytes");
	hear(tunnel, "any bytes");
	finish();
}

/* ---- what breaks ---- */

TEST(servers_that_are_not_there)
{
	begin(POLICY);
	const char *answer = answer_to("GET http://nobody.test/ HTTP/1.1\r\nHost: a\r\n\r\n");
	HAS(answer, "HTTP/1.1 502 Bad Gateway\r\n");
	HAS(answer, "{\"error\":\"upstream_unreachable\"");
	event("NET:FAIL [LOW]");
	EQ(denials_n, 0);
	finish();
}

TEST(a_server_that_says_nothing)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say(GET("/"));
	close(accept_from(listener));
	HAS(hear_all(client), "{\"error\":\"upstream_unreachable\"");
	/* half of a head is nothing either */
	client = say(GET("/"));
	int server = accept_from(listener);
	say_on(server, "HTTP/1.1 200 OK\r\nContent-");
	close(server);
	HAS(hear_all(client), "HTTP/1.1 502 Bad Gateway\r\n");
	finish();
}

/* The client must not take a part for the whole. */
TEST(a_response_that_is_cut_is_cut_for_the_client)
{
	static const char *const cut[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
	};

	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	for (size_t i = 0; i < ARRAY_LEN(cut); i++) {
		int client = say(GET("/"));
		int server = accept_from(listener);
		say_on(server, cut[i]);
		hear(client, "HTTP/1.1 200 OK\r\n");
		usleep(20000);
		close(server);
		char rest[256];
		ssize_t n;
		while ((n = recv(client, rest, sizeof rest, 0)) > 0)
			;
		EQ(n, -1);
		EQ(errno, ECONNRESET);
		close(client);
	}
	event("NET:FAIL [LOW]");
	finish();
}

static struct proxy_counts counts;

static void count(void)
{
	proxy_counts(proxy, &counts);
}

static void wait_for_clients(unsigned n)
{
	for (int i = 0; i < 10000; i++) {
		in_loop(count);
		if (counts.clients == n)
			return;
		usleep(1000);
	}
	FAIL("%u clients", counts.clients);
}

TEST(clients_may_go_at_any_time)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	/* in a body */
	int client =
		say("POST http://server.test/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na");
	int server = accept_from(listener);
	hear(server, "POST / ");
	close(client);
	wait_for_clients(0);
	close(server);
	/* in a response */
	client = say(GET("/"));
	server = accept_from(listener);
	hear(server, GOT("/"));
	close(client);
	say_on(server, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
	for (int i = 0; i < 1000 && send(server, "abc", 3, MSG_NOSIGNAL) == 3; i++)
		usleep(1000);
	wait_for_clients(0);
	/* between two requests */
	client = say(GET("/"));
	close(server);
	server = accept_from(listener);
	say_on(server, OK2);
	hear(client, OK2);
	close(client);
	wait_for_clients(0);
	STREQ((hear(server, GOT("/")), hear_all(server)), "");
	/* in the middle of a head */
	client = say("GET http://server");
	close(client);
	wait_for_clients(0);
	finish();
}

TEST(a_client_that_ended_its_side_gets_its_response)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say(GET("/"));
	shutdown(client, SHUT_WR);
	int server = accept_from(listener);
	hear(server, GOT("/"));
	usleep(20000);
	say_on(server, OK2);
	STREQ(hear_all(client), OK2);
	finish();
}

/* ---- bounds ---- */

/* The deadline of the only session's state passes. */
static void time_passes(void)
{
	struct session *s = list_first(&proxy->sessions, struct session, link);

	OK(s != NULL && timer_armed(&s->deadline));
	timer_set(proxy_loop, &s->deadline, 0);
}

TEST(nobody_waits_for_ever)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	/* for a response */
	int client = say(GET("/"));
	int server = accept_from(listener);
	hear(server, GOT("/"));
	in_loop(time_passes);
	HAS(hear_all(client), "HTTP/1.1 504 Gateway Timeout\r\n");
	STREQ(hear_all(server), "");
	/* for the rest of one */
	client = say(GET("/"));
	server = accept_from(listener);
	say_on(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
	hear(client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
	in_loop(time_passes);
	broken(client);
	close(server);
	wait_for_clients(0);
	/* for another request, and for the rest of its head */
	for (int i = 0; i < 2; i++) {
		client = say(GET("/"));
		server = accept_from(listener);
		say_on(server, OK2);
		hear(client, OK2);
		if (i == 1) {
			say_on(client, "GET http://server");
			usleep(20000);
		}
		in_loop(time_passes);
		STREQ(hear_all(client), "");
		close(server);
		wait_for_clients(0);
	}
	finish();
}

/* As much as goes in: until the other side's queue and all buffers between are full. */
static size_t fill_up(int fd)
{
	static char bytes[65536];
	size_t sent = 0;
	int quiet = 0;

	memset(bytes, 'a', sizeof bytes);
	while (quiet < 20) {
		ssize_t n = send(fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			sent += (size_t)n;
			quiet = 0;
		} else {
			quiet++;
			usleep(5000);
		}
	}
	return sent;
}

static size_t held;

static void look_at_queues(void)
{
	struct session *s = list_first(&proxy->sessions, struct session, link);
	const struct forward *f = s->forward;

	held = MAX(MAX(s->in.cap, s->out.cap), MAX(f->to_server.cap, f->from_server.cap));
}

static size_t drain(int fd, size_t n)
{
	static char bytes[65536];
	size_t at = 0;

	while (at < n) {
		ssize_t got = recv(fd, bytes, sizeof bytes, 0);
		if (got <= 0)
			break;
		at += (size_t)got;
	}
	return at;
}

TEST(nobody_is_read_faster_than_the_other_reads)
{
	const int small = 16384;

	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	int client = say("PUT http://server.test/ HTTP/1.1\r\nHost: a\r\n"
			 "Content-Length: 1000000000\r\n\r\n");
	int server = accept_from(listener);
	hear(server, "PUT / HTTP/1.1\r\nHost: server.test\r\nContent-Length: 1000000000\r\n"
		     "Via: 1.1 openshell-sandbox\r\n\r\n");
	size_t sent = fill_up(client);
	OK(sent < 64 << 20);
	in_loop(look_at_queues);
	OK(held <= 256 << 10);
	OK(drain(server, sent) >= sent);
	close(client);
	close(server);
	wait_for_clients(0);

	client = say(GET("/"));
	server = accept_from(listener);
	say_on(server, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
	hear(client, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
	sent = fill_up(server);
	OK(sent < 64 << 20);
	in_loop(look_at_queues);
	OK(held <= 256 << 10);
	OK(drain(client, sent) >= sent);
	finish();
}

static bool unwatched, full;

static void look_at_server(void)
{
	struct session *s = list_first(&proxy->sessions, struct session, link);

	full = s != NULL && s->out.n >= FORWARD_QUEUE;
	unwatched = s != NULL && s->forward->server_hung_up && !s->forward->server.added;
}

/* So that not much fits beyond what epoll calls writable. */
static void send_little(void)
{
	struct session *s = list_first(&proxy->sessions, struct session, link);
	const int small = 8192;

	OK(setsockopt(s->client.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
}

/* The loop would tell of it in every turn, and nobody could listen. */
TEST(a_server_that_hangs_up_while_the_client_does_not_read)
{
	const struct linger reset = {.l_onoff = 1};

	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say(GET("/"));
	int server = accept_from(listener);
	hear(server, GOT("/"));
	say_on(server, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
	in_loop(send_little);
	for (int i = 0; i < 50 && !full; i++) {
		fill_up(server);
		in_loop(look_at_server);
	}
	OK(full);
	fill_up(server); /* what is not read yet */
	setsockopt(server, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(server);
	for (int i = 0; i < 5000 && !unwatched; i++) {
		in_loop(look_at_server);
		usleep(1000);
	}
	OK(unwatched);
	OK(drain(client, 1000000000) > 100000);
	EQ(errno, ECONNRESET);
	close(client);
	wait_for_clients(0);
	finish();
}

/* What was queued is sent without another word of the server. */
TEST(a_slow_client_gets_the_last_bytes_too)
{
	static const char *const heads[] = {"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n",
					    "HTTP/1.1 200 OK\r\n\r\n"};
	char *body = xcalloc(1, 300000);

	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		int client = say(GET("/"));
		int server = accept_from(listener);
		hear(server, GOT("/"));
		in_loop(send_little);
		say_on(server, heads[i]);
		OK(send(server, body, 300000, 0) == 300000);
		if (i == 1)
			close(server);
		usleep(50000);
		hear(client, "HTTP/1.1 200 OK\r\n");
		hear(client, i ? "Connection: close\r\n\r\n" : "Content-Length: 300000\r\n\r\n");
		EQ(drain(client, 300000), 300000);
		if (i == 1)
			STREQ(hear_all(client), "");
		else
			close(client);
		wait_for_clients(0);
	}
	finish();
	free(body);
}

static void sleep_in_loop(void)
{
	usleep(100000);
}

/* All of it is there, and the server gone, when the proxy looks. */
TEST(what_a_server_leaves_behind_its_response_is_nobodys)
{
	enum { N = 500000 };
	const struct linger reset = {.l_onoff = 1};
	char *garbage = xcalloc(1, N), byte;

	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say(GET("/"));
	int server = accept_from(listener);
	hear(server, GOT("/"));
	ordered = sleep_in_loop;
	OK(write(order_pipe[1], "x", 1) == 1);
	usleep(20000);
	say_on(server, OK2);
	send(server, garbage, N, MSG_DONTWAIT | MSG_NOSIGNAL);
	setsockopt(server, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(server);
	OK(read(done_pipe[0], &byte, 1) == 1);
	hear(client, OK2);
	say_on(client, GET("/2"));
	server = accept_from(listener);
	hear(server, GOT("/2"));
	finish();
	free(garbage);
}

TEST(interim_responses_wait_for_the_client_too)
{
	enum { N = 60000 };
	char *field = xmalloc(N + 1);

	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	memset(field, 'a', N);
	field[N] = '\0';
	int client = say(GET("/"));
	int server = accept_from(listener);
	hear(server, GOT("/"));
	_cleanup_free_ char *hints = xasprintf("HTTP/1.1 103 Early Hints\r\nX: %s\r\n\r\n", field);
	for (int i = 0; i < FORWARD_INTERIM_MAX; i++)
		say_on(server, hints);
	say_on(server, OK2);
	usleep(50000);
	in_loop(look_at_queues);
	OK(held <= 256 << 10);
	for (int i = 0; i < FORWARD_INTERIM_MAX; i++) {
		hear(client, "HTTP/1.1 103 Early Hints\r\nX: ");
		for (size_t n = 0; n < N + 4; n += 4)
			hear(client, n < N ? "aaaa" : "\r\n\r\n");
	}
	hear(client, OK2);
	finish();
	free(field);
}

TEST(large_bodies_arrive_whole)
{
	enum { N = 3000000 };
	char *body = xmalloc(N), *got = xmalloc(N);
	size_t at = 0;

	begin(POLICY);
	for (size_t i = 0; i < N; i++)
		body[i] = (char)(i * 7 + i / 251);
	int listener = listen_on(SERVER, 80);
	int client = say(
		"POST http://server.test/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
	int server = accept_from(listener);
	hear(server, "POST / HTTP/1.1\r\nHost: server.test\r\nContent-Length: 3000000\r\n"
		     "Via: 1.1 openshell-sandbox\r\n\r\n");
	for (size_t sent = 0; at < N;) {
		ssize_t n = sent < N ? send(client, body + sent, N - sent, MSG_DONTWAIT) : 0;
		sent += n > 0 ? (size_t)n : 0;
		n = recv(server, got + at, N - at, sent < N ? MSG_DONTWAIT : 0);
		at += n > 0 ? (size_t)n : 0;
	}
	MEMEQ(got, body, N);
	say_on(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2dc6c0\r\n");
	hear(client, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	at = 0;
	struct body b;
	_cleanup_buf_ struct buf out = BUF_INIT(4 << 20);
	body_init(&b, BODY_CHUNKED, 0, true);
	for (size_t sent = 0; !b.done;) {
		ssize_t n = sent < N ? send(server, body + sent, N - sent, MSG_DONTWAIT) : 0;
		sent += n > 0 ? (size_t)n : 0;
		if (sent == N && n > 0)
			say_on(server, "\r\n0\r\n\r\n");
		n = recv(client, got, 65536, sent < N ? MSG_DONTWAIT : 0);
		if (n > 0)
			OK(body_feed(&b, str_sub(got, (size_t)n), &out, &at) != BODY_BAD);
	}
	EQ(out.n, N);
	MEMEQ(buf_view(&out).p, body, N);
	finish();
	free(body);
	free(got);
}
