/* URLs, proxies, names and connections: src/net/{url,proxy,resolver,dial}.c, on loopback only. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "net/dial.h"
#include "net/proxy.h"
#include "net/resolver.h"
#include "net/url.h"
#include "test.h"

/* ---- URLs ---- */

static void url(const char *text, const char *scheme, const char *host, int port, const char *path)
{
	struct url u;
	struct err e = {0};

	url_parse(&u, text, "t", &e);
	STREQ(e.text, "");
	STREQ(u.scheme, scheme);
	STREQ(u.host, host);
	EQ(u.port, port);
	STREQ(u.path, path);
	url_fini(&u);
}

TEST(urls_are_taken_apart)
{
	url("https://api.example", "https", "api.example", 443, "");
	url("HTTPS://API.example:6443/", "https", "api.example", 6443, "");
	url("http://h/a/b/", "http", "h", 80, "/a/b");
	url("https://[fd00::1]:8443/k8s/c-1", "https", "fd00::1", 8443, "/k8s/c-1");
	url("https://[::1]", "https", "::1", 443, "");
	url("socks5://p", "socks5", "p", 1080, "");
	url("socks5h://p:9", "socks5h", "p", 9, "");
}

TEST(urls_have_users)
{
	struct url u;
	struct err e;

	OK(url_parse(&u, "http://a%40b:p%3a:w@d@h:1", "t", &e) == 0);
	STREQ(u.user, "a@b");
	STREQ(u.password, "p::w@d");
	STREQ(u.host, "h");
	url_fini(&u);
	OK(url_parse(&u, "http://a@h", "t", &e) == 0);
	STREQ(u.user, "a");
	OK(u.password == NULL);
	url_fini(&u);
}

TEST(what_is_no_url_is_refused)
{
	static const char *const texts[] = {
		"",
		"h:1",
		"://h",
		"https://",
		"https://:1",
		"https://h:0",
		"https://h:65536",
		"https://h:x",
		"https://h:1:2",
		"https://[::1",
		"https://[::1]x",
		"https://h?q",
		"https://h#f",
		"https://h h",
		"https://a%zz@h",
		"https://a%0a@h",
		"https://a%@h",
		"ftp://h",
		"https://h\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct url u;
		struct err e = {0};
		if (url_parse(&u, texts[i], "thing", &e) == 0)
			FAIL("taken: %s", texts[i]);
		HAS(e.text, "thing: ");
		url_fini(&u);
	}
}

TEST(a_bad_url_does_not_tell_its_password)
{
	struct url u;
	struct err e = {0};

	EQ(url_parse(&u, "http://me:secret@h:x", "t", &e), -1);
	HAS(e.text, "@h:x");
	OK(strstr(e.text, "secret") == NULL);
	url_fini(&u);
}

/* ---- proxies ---- */

static struct url proxy;
static struct proxy_talk talk;

static void begin(const char *text, const char *host, uint16_t port)
{
	struct err e = {0};

	url_parse(&proxy, text, "t", &e);
	proxy_talk_init(&talk, &proxy, host, port, &e);
	STREQ(e.text, "");
}

/* What is to be sent, which is then sent. */
static void sends(const void *bytes, size_t n)
{
	EQ(talk.out.n, n);
	MEMEQ(buf_view(&talk.out).p, bytes, n);
	buf_consume(&talk.out, n);
}

static void answers(const void *bytes, size_t n, enum proxy_result result, const char *words)
{
	struct err e = {0};

	EQ(proxy_feed(&talk, str_sub(bytes, n), &e), result);
	if (result == PROXY_FAILED)
		STREQ(e.text, words);
}

static void end(void)
{
	proxy_talk_fini(&talk);
	url_fini(&proxy);
}

TEST(http_connect)
{
	static const char ask[] = "CONNECT h:6443 HTTP/1.1\r\nHost: h:6443\r\n\r\n";
	static const char yes[] = "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n";

	for (size_t step = 1; step < sizeof yes; step++) {
		begin("http://p:1", "h", 6443);
		sends(ask, strlen(ask));
		for (size_t at = 0; at < strlen(yes); at += step) {
			size_t n = MIN(step, strlen(yes) - at);
			answers(yes + at, n, at + n == strlen(yes) ? PROXY_OK : PROXY_MORE, "");
		}
		end();
	}
}

TEST(http_connect_with_a_password)
{
	begin("http://Aladdin:open%20sesame@p:1", "fd00::1", 443);
	HAS(talk.out.p, "CONNECT [fd00::1]:443 HTTP/1.1\r\n");
	HAS(talk.out.p, "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
	end();
}

static void http_fails(const char *answer, const char *words)
{
	begin("http://p:1", "h", 1);
	answers(answer, strlen(answer), PROXY_FAILED, words);
	end();
}

TEST(http_connect_fails)
{
	http_fails("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
		   "it answers 407 Proxy Authentication Required");
	http_fails("HTTP/1.0 503\r\n\r\n", "it answers 503 ");
	http_fails("SSH-2.0\r\n\r\n", "it does not speak HTTP");
	http_fails("HTTP/1.1 200 OK\r\n\r\nmore", "it sends more than its answer");
	char *large = xcalloc(1, 20000);
	memset(large, 'x', 19999);
	http_fails(large, "its answer is longer than 16384 bytes");
	free(large);
}

TEST(socks5_without_a_password)
{
	begin("socks5://p", "api.test", 0x1234);
	sends("\5\1\0", 3);
	answers("\5", 1, PROXY_MORE, "");
	answers("\0", 1, PROXY_MORE, "");
	sends("\5\1\0\3\10api.test\x12\x34", 15);
	answers("\5\0\0\1\1\2\3\4\5", 9, PROXY_MORE, "");
	answers("\6", 1, PROXY_OK, "");
	end();
}

TEST(socks5_with_a_password_and_addresses)
{
	begin("socks5h://me:pw@p", "10.0.0.1", 1);
	sends("\5\2\0\2", 4);
	answers("\5\2", 2, PROXY_MORE, "");
	sends("\1\2me\2pw", 7);
	answers("\1\0", 2, PROXY_MORE, "");
	sends("\5\1\0\1\12\0\0\1\0\1", 10);
	answers("\5\0\0\3\3abc\0\1", 10, PROXY_OK, "");
	end();
	begin("socks5://p", "::1", 1);
	sends("\5\1\0", 3);
	answers("\5\0", 2, PROXY_MORE, "");
	sends("\5\1\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\1", 22);
	end();
}

static void socks_fails(const char *first, size_t n, const char *second, size_t m,
			const char *words)
{
	begin("socks5://p", "h", 1);
	if (second != NULL)
		answers(first, n, PROXY_MORE, "");
	answers(second ? second : first, second ? m : n, PROXY_FAILED, words);
	end();
}

TEST(socks5_fails)
{
	socks_fails("\4\0", 2, NULL, 0, "it does not speak SOCKS5");
	socks_fails("\5\377", 2, NULL, 0, "it wants an authentication that we do not have");
	socks_fails("\5\2", 2, NULL, 0, "it wants an authentication that we do not have");
	socks_fails("\5\0", 2, "\5\5", 2, "it answers: connection refused");
	socks_fails("\5\0", 2, "\5\77", 2, "it answers: unknown failure");
	socks_fails("\5\0", 2, "\5\0\0\7\0\0\0\0\0", 9,
		    "it answers with an address of an unknown type");
	socks_fails("\5\0", 2, "\5\0\0\1\0\0\0\0\0\0x", 11, "it sends more than its answer");
}

TEST(only_some_schemes_are_proxies)
{
	struct err e;

	OK(url_parse(&proxy, "https://p", "t", &e) == 0);
	EQ(proxy_check(&proxy, "proxy-url", &e), -1);
	STREQ(e.text, "proxy-url: proxies of the scheme https are not supported (http, socks5 and "
		      "socks5h are)");
	end();
}

static void env(const char *no_proxy, const char *host, int port, const char *want)
{
	setenv("NO_PROXY", no_proxy, 1);
	char *got = proxy_from_environment(true, host, (uint16_t)port);
	if (!streq(got, want))
		FAIL("NO_PROXY=%s %s:%d gives %s", no_proxy, host, port, got ? got : "none");
	free(got);
}

TEST(the_environments_proxy)
{
	setenv("HTTPS_PROXY", "http://p:1", 1);
	setenv("HTTP_PROXY", "other:2", 1);
	env("", "h", 443, "http://p:1");
	env("", "localhost", 443, NULL);
	env("", "127.1.2.3", 443, NULL);
	env("", "::1", 443, NULL);
	env("*", "h", 443, NULL);
	env("a.test, h", "h", 443, NULL);
	env("b.test", "a.b.test", 443, NULL);
	env("b.test", "ab.test", 443, "http://p:1");
	env(".b.test", "a.B.test", 443, NULL);
	env(".b.test", "b.test", 443, "http://p:1");
	env("*.b.test", "a.b.test", 443, NULL);
	env("h:443", "h", 443, NULL);
	env("h:444", "h", 443, "http://p:1");
	env("10.0.0.0/8", "10.9.8.7", 443, NULL);
	env("10.0.0.0/8", "11.9.8.7", 443, "http://p:1");
	env("10.0.0.0/33,10.0.0.0/x", "10.9.8.7", 443, "http://p:1");
	env("10.9.8.7", "10.9.8.7", 443, NULL);
	env("10.9.8.7:443", "10.9.8.7", 443, NULL);
	env("fd00::/16", "fd00::1", 443, NULL);
	env("fd00::1", "fd00:0::1", 443, NULL);
	env("[fd00::1]:443", "fd00::1", 443, NULL);
	env("[fd00::1]:1", "fd00::1", 443, "http://p:1");
	env("0.0.0.0/0", "h", 443, "http://p:1");
	env(",, ,", "h", 443, "http://p:1");
	char *plain = proxy_from_environment(false, "h", 80);
	STREQ(plain, "http://other:2");
	free(plain);
	unsetenv("HTTPS_PROXY");
	env("", "h", 443, NULL);
	setenv("https_proxy", "q", 1);
	env("", "h", 443, "http://q");
}

TEST(a_list_of_exceptions_knows_what_a_name_resolves_to)
{
	struct address at[2];

	OK(resolve_literal("192.0.2.1", 443, &at[0]));
	OK(resolve_literal("10.1.2.3", 443, &at[1]));
	OK(!proxy_excepted(STR("10.0.0.0/8"), "db.example", 443, NULL, 0));
	OK(!proxy_excepted(STR("10.0.0.0/8"), "db.example", 443, at, 1));
	OK(proxy_excepted(STR("other, 10.0.0.0/8"), "db.example", 443, at, 2));
	OK(proxy_excepted(STR("10.1.2.3:443"), "db.example", 443, at, 2));
	OK(!proxy_excepted(STR("10.1.2.3:80"), "db.example", 443, at, 2));
	OK(proxy_excepted(STR(".example"), "db.example", 443, NULL, 0));
	OK(!proxy_excepted(STR_NONE, "db.example", 443, at, 2));
}

/* ---- names ---- */

static struct loop *loop;
static struct resolver *resolver;
static int answered;
static char first[ADDRESS_TEXT_MAX];
static struct err why;

static void on_resolved(struct resolve_query *q UNUSED, const struct address *a, int n,
			const struct err *e)
{
	answered++;
	first[0] = '\0';
	if (n > 0)
		address_text(a, first);
	else
		why = *e;
	loop_stop(loop, 0);
}

static void setup(void)
{
	struct err e;

	OK(loop_new(&loop, &e) == 0);
	OK(resolver_new(&resolver, loop, &e) == 0);
}

TEST(literals_need_no_thread)
{
	struct address a;
	char text[ADDRESS_TEXT_MAX];

	OK(resolve_literal("10.1.2.3", 65535, &a));
	address_text(&a, text);
	STREQ(text, "10.1.2.3:65535");
	OK(resolve_literal("fd00::1", 1, &a));
	address_text(&a, text);
	STREQ(text, "[fd00::1]:1");
	OK(!resolve_literal("localhost", 1, &a));
}

TEST(a_name_is_looked_up)
{
	struct resolve_query q = {.done = on_resolved}, again = {.done = on_resolved};
	struct err e;

	setup();
	OK(resolve_start(resolver, &q, "localhost", 80, &e) == 0);
	loop_run(loop);
	EQ(answered, 1);
	OK(streq(first, "127.0.0.1:80") || streq(first, "[::1]:80"));
	OK(resolve_start(resolver, &again, "no such name!", 80, &e) == 0);
	loop_run(loop);
	EQ(answered, 2);
	HAS(why.text, "look up no such name!: ");
	resolver_free(resolver);
	loop_free(loop);
}

TEST(a_cancelled_query_is_not_answered)
{
	struct resolve_query cancelled = {.done = on_resolved}, q = {.done = on_resolved};
	struct err e;

	setup();
	OK(resolve_start(resolver, &cancelled, "localhost", 1, &e) == 0);
	resolve_cancel(&cancelled);
	resolve_cancel(&cancelled);
	OK(resolve_start(resolver, &q, "localhost", 2, &e) == 0);
	loop_run(loop);
	EQ(answered, 1);
	HAS(first, ":2");
	resolver_free(resolver);
	loop_free(loop);
}

TEST(too_many_names_are_refused)
{
	static struct resolve_query q[RESOLVE_WAITING_MAX + 1];
	char host[32];
	struct err e;
	int r = 0;

	setup();
	for (size_t i = 0; i < ARRAY_LEN(q) && r == 0; i++) {
		q[i].done = on_resolved;
		snprintf(host, sizeof host, "no such name %zu!", i);
		r = resolve_start(resolver, &q[i], host, 1, &e); /* answered by the loop only */
	}
	EQ(r, -1);
	HAS(e.text, "too many names");
	for (size_t i = 0; i < ARRAY_LEN(q); i++)
		resolve_cancel(&q[i]);
	resolver_free(resolver);
	loop_free(loop);
}

/* ---- connections ---- */

static int dialled;
static int dialled_fd;

static void on_dialled(void *owner UNUSED, int fd, const struct err *e)
{
	dialled++;
	dialled_fd = fd;
	if (fd < 0)
		why = *e;
	loop_stop(loop, 0);
}

/* A listening socket on loopback; its port. */
static int listen_at(int *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	OK(bind(fd, (void *)&a, sizeof a) == 0 && listen(fd, 4) == 0);
	OK(getsockname(fd, (void *)&a, &n) == 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static struct dial *dial_to(const char *host, int port, const struct url *via, int64_t ms)
{
	struct dial_config c = {
		.host = host,
		.port = (uint16_t)port,
		.proxy = via,
		.timeout_ms = ms,
		.done = on_dialled,
	};

	return dial_start(loop, resolver, &c);
}

static void on_stop(struct timer *t UNUSED)
{
	loop_stop(loop, 0);
}

static void finish(void)
{
	static struct timer t = {.fire = on_stop};

	timer_set(loop, &t, 0);
	loop_run(loop);
	resolver_free(resolver);
	loop_free(loop);
}

TEST(dials_by_address_and_by_name)
{
	int port;

	setup();
	int server = listen_at(&port);
	dial_to("127.0.0.1", port, NULL, 5000);
	EQ(dialled, 0); /* never from inside dial_start */
	loop_run(loop);
	OK(dialled_fd >= 0);
	close(dialled_fd);
	dial_to("localhost", port, NULL, 5000); /* ::1 may be tried first, in vain */
	loop_run(loop);
	OK(dialled_fd >= 0);
	close(dialled_fd);
	close(server);
	finish();
}

TEST(dials_the_addresses_it_is_given)
{
	struct address at[2];
	int port;

	setup();
	int server = listen_at(&port);
	/* nobody listens at the first, and the name means nothing */
	OK(resolve_literal("127.0.0.1", 1, &at[0]));
	OK(resolve_literal("127.0.0.1", (uint16_t)port, &at[1]));
	struct dial_config c = {
		.host = "no such name!",
		.port = 443,
		.addresses = at,
		.addresses_n = 2,
		.timeout_ms = 5000,
		.done = on_dialled,
	};
	dial_start(loop, resolver, &c);
	EQ(dialled, 0);
	loop_run(loop);
	OK(dialled_fd >= 0);
	close(dialled_fd);
	c.addresses_n = 1;
	dial_start(loop, resolver, &c);
	loop_run(loop);
	EQ(dialled_fd, -1);
	STREQ(why.text, "connect to no such name!:443 (127.0.0.1:1): Connection refused");
	close(server);
	finish();
}

TEST(dial_says_what_is_refused)
{
	char words[128];
	int port;

	setup();
	close(listen_at(&port));
	dial_to("127.0.0.1", port, NULL, 5000);
	loop_run(loop);
	EQ(dialled_fd, -1);
	snprintf(words, sizeof words, "connect to 127.0.0.1:%d: Connection refused", port);
	STREQ(why.text, words);
	dial_to("localhost", port, NULL, 5000);
	loop_run(loop);
	snprintf(words, sizeof words, "connect to localhost:%d (", port);
	HAS(why.text, words);
	finish();
}

TEST(dial_can_be_cancelled)
{
	int port;

	setup();
	int server = listen_at(&port);
	dial_cancel(dial_to("127.0.0.1", port, NULL, 5000));
	dial_cancel(dial_to("localhost", port, NULL, 5000));
	finish();
	EQ(dialled, 0);
	close(server);
}

/* A proxy that takes the connection and says nothing: the kernel accepts for it. */
TEST(dial_gives_up_in_time)
{
	char text[64];
	int port;
	struct err e;

	setup();
	int server = listen_at(&port);
	snprintf(text, sizeof text, "http://127.0.0.1:%d", port);
	OK(url_parse(&proxy, text, "t", &e) == 0);
	dial_to("h", 1, &proxy, 200);
	loop_run(loop);
	HAS(why.text, "timed out after 200 ms (waiting for the proxy)");
	close(server);
	url_fini(&proxy);
	finish();
}

TEST(dial_says_what_the_proxy_says)
{
	char text[64];
	int port;
	struct err e;

	setup();
	int server = listen_at(&port);
	snprintf(text, sizeof text, "http://127.0.0.1:%d", port);
	OK(url_parse(&proxy, text, "t", &e) == 0);
	dial_to("api.test", 6443, &proxy, 5000);
	if (fork() == 0) {
		int fd = accept(server, NULL, NULL);
		static const char no[] = "HTTP/1.1 403 Forbidden\r\n\r\n";
		_exit(write(fd, no, sizeof no - 1) < 0);
	}
	loop_run(loop);
	snprintf(text, sizeof text, "proxy 127.0.0.1:%d: it answers 403 Forbidden", port);
	HAS(why.text, "connect to api.test:6443: ");
	HAS(why.text, text);
	close(server);
	url_fini(&proxy);
	finish();
}

TEST(what_a_server_says_first_is_left_to_who_dialled)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nX: y\r\n\r\n\r\nSSH-2.0-x\r\n";
	char text[64];
	int port;
	struct err e;

	for (size_t cut = 1; cut < sizeof answer - 1; cut += 3) {
		setup();
		int server = listen_at(&port);
		snprintf(text, sizeof text, "http://127.0.0.1:%d", port);
		OK(url_parse(&proxy, text, "t", &e) == 0);
		dial_to("api.test", 22, &proxy, 5000);
		if (fork() == 0) {
			int fd = accept(server, NULL, NULL);
			OK(write(fd, answer, cut) == (ssize_t)cut);
			usleep(2000);
			OK(write(fd, answer + cut, sizeof answer - 1 - cut) > 0);
			usleep(5000);
			_exit(0);
		}
		loop_run(loop);
		OK(dialled_fd >= 0);
		while (recv(dialled_fd, text, 13, MSG_PEEK) < 13)
			usleep(1000);
		EQ(recv(dialled_fd, text, sizeof text, 0), 13);
		MEMEQ(text, "\r\nSSH-2.0-x\r\n", 13);
		close(dialled_fd);
		close(server);
		url_fini(&proxy);
		finish();
	}
}
