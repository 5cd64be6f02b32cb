/* Against sockets on loopback that accept, refuse, or accept and say nothing; and against a TLS server, with
 * something between that is slow or cuts. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "net/conn_dial.h"
#include "test.h"
#include "tls_server.h"

static struct loop *loop;
static struct resolver *resolver;
static struct tls_client *tls;
static struct conn *got;
static struct err why;
static int calls;

static void ignore(struct conn *c UNUSED, bool readable UNUSED, bool writable UNUSED)
{
}

static void done(void *owner, struct conn *c, const struct err *e)
{
	EQ(owner == &calls, 1);
	calls++;
	got = c;
	if (c == NULL)
		why = *e;
	else
		conn_set_owner(c, ignore, NULL);
	loop_stop(loop, 0);
}

/* A socket whose backlog takes connections, and nobody else does. */
static int listener(uint16_t *port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof sa;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	OK(fd >= 0 && bind(fd, (struct sockaddr *)&sa, n) == 0 && listen(fd, 4) == 0);
	OK(getsockname(fd, (struct sockaddr *)&sa, &n) == 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

enum { LONG_MS = 15000 };

static void set_up(void)
{
	struct err e;

	OK(loop_new(&loop, &e) == 0 && resolver_new(&resolver, loop, &e) == 0);
}

/* ca: PEM; NULL takes any certificate. */
static void make_client(const char *ca)
{
	static const char *alpn[] = {"h2", "http/1.1", NULL};
	struct tls_client_config config = {.ca_pem = ca, .insecure = ca == NULL, .alpn = alpn};
	struct err e;

	OK(tls_client_new(&tls, &config, &e) == 0);
}

static struct conn_dial *begin(struct conn_dial_config config)
{
	config.host = "127.0.0.1";
	config.tls = tls;
	config.done = done;
	config.owner = &calls;
	return conn_dial_start(loop, resolver, &config);
}

static void stop(struct timer *t UNUSED)
{
	loop_stop(loop, 0);
}

/* One more turn, so that what is released at the end of a turn is. */
static void turn(void)
{
	struct timer now = {.fire = stop};

	timer_set(loop, &now, 0);
	loop_run(loop);
}

static void tear_down(void)
{
	turn();
	EQ(calls, 1);
	conn_free(got);
	tls_client_unref(tls);
	resolver_free(resolver);
	loop_free(loop);
}

/* ---- sockets ---- */

TEST(connects_in_plain_text)
{
	uint16_t port;

	listener(&port);
	set_up();
	begin((struct conn_dial_config){.port = port, .timeout_ms = LONG_MS});
	loop_run(loop);
	OK(got != NULL);
	tear_down();
}

TEST(what_breaks_later_is_still_named)
{
	const struct linger abort = {.l_onoff = 1};
	char address[32], byte;
	uint16_t port;
	int fd = listener(&port);

	set_up();
	begin((struct conn_dial_config){.port = port, .timeout_ms = LONG_MS});
	loop_run(loop);
	turn(); /* of the dial nothing is left */
	int peer = accept(fd, NULL, NULL);
	OK(setsockopt(peer, SOL_SOCKET, SO_LINGER, &abort, sizeof abort) == 0);
	close(peer);
	EQ(conn_read(got, &byte, 1), CONN_ERROR);
	snprintf(address, sizeof address, "read from 127.0.0.1:%u: ", port);
	HAS(conn_error(got), address);
	tear_down();
}

TEST(who_refuses_is_named)
{
	char address[32];
	uint16_t port;

	close(listener(&port));
	set_up();
	make_client(NULL);
	begin((struct conn_dial_config){.port = port, .timeout_ms = LONG_MS});
	loop_run(loop);
	OK(got == NULL);
	snprintf(address, sizeof address, "127.0.0.1:%u", port);
	HAS(why.text, address);
	HAS(why.text, "refused");
	tear_down();
}

TEST(a_proxy_is_asked_for_the_server)
{
	char asked[64] = "";
	struct url proxy = {.scheme = "http", .host = "127.0.0.1"};
	int fd = listener(&proxy.port);

	set_up();
	begin((struct conn_dial_config){.port = 6443, .proxy = &proxy, .timeout_ms = 100});
	loop_run(loop);
	HAS(why.text, "waiting for the proxy");
	OK(read(accept(fd, NULL, NULL), asked, sizeof asked - 1) > 0);
	HAS(asked, "CONNECT 127.0.0.1:6443 HTTP/1.1");
	tear_down();
}

TEST(a_handshake_that_is_not_answered_ends)
{
	uint16_t port;

	listener(&port);
	set_up();
	make_client(NULL);
	begin((struct conn_dial_config){.port = port, .timeout_ms = 50});
	loop_run(loop);
	OK(got == NULL);
	EQ(why.code, ETIMEDOUT);
	HAS(why.text, "no answer within 50 ms");
	tear_down();
}

TEST(what_is_cancelled_is_not_told)
{
	struct timer soon = {.fire = stop};
	uint16_t port;

	listener(&port);
	set_up();
	make_client(NULL);
	struct conn_dial *d = begin((struct conn_dial_config){.port = port, .timeout_ms = LONG_MS});
	timer_set(loop, &soon, test_ms(20)); /* in the handshake by then */
	loop_run(loop);
	conn_dial_cancel(d);
	turn();
	EQ(calls, 0);
	d = begin((struct conn_dial_config){.port = port, .timeout_ms = LONG_MS});
	conn_dial_cancel(d); /* before anything has begun */
	turn();
	EQ(calls, 0);
	calls = 1;
	tear_down();
}

/* ---- a server ---- */

static void set_up_tls(void)
{
	make_certs(P256, "DNS:server.test", "9");
	set_up();
	_cleanup_free_ char *ca = slurp("ca.crt");
	make_client(ca);
}

/* Dials port, with the name that the certificate has. */
static void shake_hands(int port, int64_t timeout_ms)
{
	begin((struct conn_dial_config){
		.port = (uint16_t)port,
		.certificate_name = "server.test",
		.protocol = "h2",
		.timeout_ms = timeout_ms,
	});
	loop_run(loop);
}

TEST(shakes_hands_and_agrees_on_a_protocol)
{
	set_up_tls();
	shake_hands(serve("-www -alpn h2"), LONG_MS);
	OK(got != NULL);
	STREQ(tls_alpn(got), "h2");
	tear_down();
}

TEST(a_server_without_the_protocol_is_refused)
{
	set_up_tls();
	shake_hands(serve("-www -alpn http/1.1"), LONG_MS);
	OK(got == NULL);
	EQ(why.code, EPROTO);
	HAS(why.text, "the server does not offer h2 (ALPN)");
	tear_down();
}

TEST(any_protocol_or_none_will_do_where_none_is_asked_for)
{
	set_up_tls();
	begin((struct conn_dial_config){
		.port = (uint16_t)serve("-www"),
		.certificate_name = "server.test",
		.timeout_ms = LONG_MS,
	});
	loop_run(loop);
	OK(got != NULL);
	STREQ(tls_alpn(got), "");
	tear_down();
}

TEST(a_certificate_for_another_name_is_refused)
{
	set_up_tls();
	begin((struct conn_dial_config){.port = (uint16_t)serve("-www"), .timeout_ms = LONG_MS});
	loop_run(loop);
	OK(got == NULL);
	EQ(why.code, EACCES);
	HAS(why.text, "server.test"); /* whom it is for; it is asked to be for the address */
	tear_down();
}

/* ---- something between ---- */

/* What a server's bytes meet on their way: they come in pieces of step, and after limit bytes nothing more does,
 * or the connection is cut. */
struct between {
	size_t step, limit;
	bool cut;
};

static void carry(int client, int server, struct between how)
{
	struct pollfd p[] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
	char bytes[4096];

	while (poll(p, 2, -1) > 0) {
		if (p[0].revents != 0) {
			ssize_t n = read(client, bytes, sizeof bytes);
			if (n <= 0 || write(server, bytes, (size_t)n) != n)
				return;
		}
		if (p[1].revents == 0)
			continue;
		if (how.limit == 0 && how.cut)
			return;
		ssize_t n = how.limit == 0 ? (pause(), 0)
					   : read(server, bytes, MIN(how.step, how.limit));
		if (n <= 0 || write(client, bytes, (size_t)n) != n)
			return;
		how.limit -= (size_t)n;
	}
}

/* Its port; it serves one connection. */
static int stand_between(int server_port, struct between how)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server_port)};
	const int one = 1;
	uint16_t port;
	int fd = listener(&port);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		int client = accept(fd, NULL, NULL), server = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (connect(server, (struct sockaddr *)&sa, sizeof sa) == 0)
			carry(client, server, how);
		_exit(0);
	}
	close(fd);
	return port;
}

TEST(a_handshake_byte_by_byte)
{
	set_up_tls();
	shake_hands(stand_between(serve("-www -alpn h2"),
				  (struct between){.step = 1, .limit = SIZE_MAX}),
		    LONG_MS);
	OK(got != NULL);
	STREQ(tls_alpn(got), "h2");
	tear_down();
}

TEST(a_handshake_that_is_cut_says_so)
{
	set_up_tls();
	shake_hands(stand_between(serve("-www -alpn h2"),
				  (struct between){.step = 100, .limit = 300, .cut = true}),
		    LONG_MS);
	OK(got == NULL);
	EQ(why.code, ECONNRESET);
	HAS(why.text, "TLS with 127.0.0.1:");
	tear_down();
}

TEST(a_handshake_that_stops_in_the_middle_ends)
{
	set_up_tls();
	shake_hands(
		stand_between(serve("-www -alpn h2"), (struct between){.step = 100, .limit = 300}),
		200);
	OK(got == NULL);
	EQ(why.code, ETIMEDOUT);
	HAS(why.text, "no answer within 200 ms");
	tear_down();
}
