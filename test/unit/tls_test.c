/* The TLS client against `openssl s_server` on loopback, with certificates made for the occasion. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "net/tls.h"
#include "test.h"
#include "tls_server.h"

static struct loop *loop;

static void setup(const char *key_algorithm, const char *name, const char *days)
{
	struct err e;

	make_certs(key_algorithm, name, days);
	EQ(loop_new(&loop, &e), 0);
}

static int dial(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	OK(connect(fd, (void *)&a, sizeof a) == 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static const char *alpn[] = {"h2", "http/1.1", NULL};

static struct tls_client *client(bool with_cert, bool with_ca)
{
	struct tls_client *t = NULL;
	struct err e = {0};
	_cleanup_free_ char *ca = with_ca ? slurp("ca.crt") : NULL;
	_cleanup_free_ char *cert = with_cert ? slurp("s.crt") : NULL;
	_cleanup_free_ char *key = with_cert ? slurp("s.key") : NULL;
	struct tls_client_config c = {
		.ca_pem = ca,
		.insecure = !with_ca,
		.cert_pem = cert,
		.key_pem = key,
		.alpn = alpn,
	};

	tls_client_new(&t, &c, &e);
	STREQ(e.text, "");
	return t;
}

/* ---- a conversation: the request goes, the answer comes until the end ---- */

static struct conn *conn;
static int shaken; /* 1, or CONN_ERROR */
static char answer[1 << 16];
static size_t answer_n;
static ssize_t ended; /* CONN_EOF or CONN_ERROR */
static const char *request;
static bool over;

static void stop(void)
{
	over = true;
	loop_stop(loop, 0);
}

static void read_all(void)
{
	for (;;) {
		ssize_t n = conn_read(conn, answer + answer_n, sizeof answer - 1 - answer_n);
		if (n == CONN_AGAIN)
			break;
		if (n < 0) {
			ended = n;
			stop();
			return;
		}
		answer_n += (size_t)n;
	}
	conn_want(conn, true, false);
}

static void ready(struct conn *c, bool readable UNUSED, bool writable UNUSED)
{
	if (shaken == 0) {
		int r = tls_handshake(c);
		if (r == CONN_AGAIN)
			return;
		shaken = r;
		if (r < 0 || request == NULL) {
			stop();
			return;
		}
		EQ(conn_write(c, request, strlen(request)), strlen(request));
	}
	read_all();
}

static void talk(struct tls_client *t, int port, const char *name)
{
	struct err e = {0};

	tls_connect(&conn, loop, dial(port), t, name, "the server", &e);
	STREQ(e.text, "");
	conn_set_owner(conn, ready, NULL);
	ready(conn, true, true);
	if (!over) /* all may be said already */
		loop_run(loop);
}

static void done(struct tls_client *t)
{
	conn_free(conn);
	tls_client_unref(t);
	loop_free(loop);
}

/* ---- tests ---- */

static void works(const char *options, const char *name, const char *version)
{
	struct tls_client *t = client(false, true);

	request = "GET / HTTP/1.0\r\n\r\n";
	talk(t, serve(options), name);
	if (shaken != 1)
		FAIL("%s", conn_error(conn));
	STREQ(tls_version(conn), version);
	EQ(ended, CONN_EOF);
	HAS(answer, "HTTP/1.0 200 ok");
	done(t);
}

TEST(tls13_with_p256)
{
	setup(P256, "DNS:server.test", "9");
	works("-www -tls1_3", "server.test", "TLSv1.3");
}

TEST(tls12_with_p256)
{
	setup(P256, "DNS:*.test", "9");
	works("-www -tls1_2", "server.test", "TLSv1.2");
}

TEST(tls13_with_rsa_by_address)
{
	setup(RSA, "IP:127.0.0.1", "9");
	works("-www -tls1_3", "127.0.0.1", "TLSv1.3");
}

TEST(tls12_with_rsa_by_ipv6_address)
{
	setup(RSA, "IP:fd00\\:\\:1", "9");
	works("-www -tls1_2", "fd00::1", "TLSv1.2");
}

/* Whether the first bytes that are sent hold the name. */
static bool asks_for(const char *name)
{
	struct tls_client *t = client(false, true);
	char hello[4096];
	struct err e;
	int pair[2];

	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	OK(tls_connect(&conn, loop, pair[0], t, name, "x:6443", &e) == 0);
	EQ(tls_handshake(conn), CONN_AGAIN);
	ssize_t n = read(pair[1], hello, sizeof hello);
	OK(n > 100);
	conn_free(conn);
	tls_client_unref(t);
	return memmem(hello, (size_t)n, name, strlen(name)) != NULL;
}

TEST(a_name_is_asked_for_and_an_address_is_not)
{
	setup(P256, "DNS:server.test", "9");
	OK(asks_for("server.test"));
	OK(!asks_for("127.0.0.1"));
	OK(!asks_for("fd00::1"));
	loop_free(loop);
}

TEST(alpn_chooses_a_protocol)
{
	setup(P256, "DNS:server.test", "9");
	struct tls_client *t = client(false, true);
	talk(t, serve("-alpn http/1.1,h2 -www"), "server.test");
	EQ(shaken, 1);
	STREQ(tls_alpn(conn), "http/1.1"); /* the server's favourite */
	done(t);
}

TEST(no_alpn_is_no_protocol)
{
	setup(P256, "DNS:server.test", "9");
	struct tls_client *t = client(false, true);
	talk(t, serve("-www"), "server.test");
	EQ(shaken, 1);
	STREQ(tls_alpn(conn), "");
	done(t);
}

TEST(a_client_certificate_is_shown)
{
	setup(P256, "DNS:server.test", "9");
	struct tls_client *t = client(true, true);
	request = "GET / HTTP/1.0\r\n\r\n";
	talk(t, serve("-www -Verify 2 -CAfile ca.crt -verify_return_error"), "server.test");
	EQ(shaken, 1);
	HAS(answer, "Client certificate");
	done(t);
}

/* TLS 1.3 lets the client be through before the server has said no. */
TEST(a_missing_client_certificate_is_said)
{
	setup(P256, "DNS:server.test", "9");
	struct tls_client *t = client(false, true);
	request = "GET / HTTP/1.0\r\n\r\n";
	talk(t, serve("-www -Verify 2 -CAfile ca.crt -verify_return_error -tls1_3"), "server.test");
	EQ(ended, CONN_ERROR);
	STREQ(conn_error(conn),
	      "TLS with the server: it ends the connection: it wants a client certificate");
	done(t);
}

static void fails(struct tls_client *t, int port, const char *name, const char *why)
{
	talk(t, port, name);
	EQ(shaken, CONN_ERROR);
	HAS(conn_error(conn), why);
	EQ(tls_handshake(conn), CONN_ERROR); /* and stays so */
	done(t);
}

TEST(another_name_is_refused_with_the_names_it_has)
{
	setup(P256, "DNS:a.test,DNS:b.test,IP:10.0.0.1", "9");
	fails(client(false, true), serve("-www"), "server.test",
	      "TLS with the server: its certificate is not for \"server.test\", but for a.test, "
	      "b.test, "
	      "10.0.0.1");
}

TEST(another_address_is_refused)
{
	setup(P256, "DNS:a.test", "9");
	fails(client(false, true), serve("-www -tls1_2"), "127.0.0.1",
	      "its certificate is not for \"127.0.0.1\", but for a.test");
}

TEST(an_expired_certificate_is_refused_with_its_date)
{
	setup(P256, "DNS:server.test", "-1");
	fails(client(false, true), serve("-www"), "server.test", "its certificate expired on 20");
}

TEST(an_unknown_authority_is_refused_by_name)
{
	setup(P256, "DNS:server.test", "9");
	int port = serve("-www");
	run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout o.key "
	    "-out "
	    "ca.crt -days 9 -subj '/CN=other' 2>log");
	fails(client(false, true), port, "server.test",
	      "its certificate is signed by an authority that is not trusted: \"CN=test "
	      "authority\"");
}

TEST(insecure_takes_any_certificate)
{
	setup(P256, "DNS:a.test", "-1");
	struct tls_client *t = client(false, false);
	talk(t, serve("-www -tls1_3"), "server.test");
	if (shaken != 1)
		FAIL("%s", conn_error(conn));
	done(t);
}

TEST(insecure_takes_any_certificate_by_tls12)
{
	setup(P256, "DNS:a.test", "-1");
	struct tls_client *t = client(false, false);
	talk(t, serve("-www -tls1_2"), "server.test");
	EQ(shaken, 1);
	done(t);
}

TEST(an_ed25519_server_is_said_by_name)
{
	setup("ed25519", "DNS:server.test", "9");
	fails(client(false, true), serve("-www"), "server.test", "Ed25519");
}

TEST(a_server_that_does_not_speak_tls_is_said)
{
	setup(P256, "DNS:server.test", "9");
	int port = serve("-www");
	struct tls_client *t = client(false, true);
	struct err e;
	int pair[2];

	(void)port;
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	OK(write(pair[1], "HTTP/1.1 400 Bad Request\r\n\r\n", 28) == 28);
	OK(tls_connect(&conn, loop, pair[0], t, "x", "x:6443", &e) == 0);
	conn_set_owner(conn, ready, NULL);
	EQ(tls_handshake(conn), CONN_ERROR);
	STREQ(conn_error(conn), "TLS with x:6443: what it sends is not TLS");
	done(t);
}

TEST(a_server_that_hangs_up_is_said)
{
	setup(P256, "DNS:server.test", "9");
	struct tls_client *t = client(false, true);
	struct err e;
	int pair[2];

	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	OK(tls_connect(&conn, loop, pair[0], t, "x", "x:6443", &e) == 0);
	conn_set_owner(conn, ready, NULL);
	EQ(tls_handshake(conn), CONN_AGAIN);
	shutdown(pair[1], SHUT_WR);
	EQ(tls_handshake(conn), CONN_ERROR);
	HAS(conn_error(conn), "closed the connection during the handshake");
	done(t);
}

static void config_fails(struct tls_client_config c, const char *why)
{
	struct tls_client *t = NULL;
	struct err e = {0};

	EQ(tls_client_new(&t, &c, &e), -1);
	HAS(e.text, why);
}

TEST(what_cannot_be_read_is_named)
{
	setup("ed25519", "DNS:server.test", "9");
	run("openssl genrsa -aes128 -passout pass:x -out enc.key 2>log");
	run("openssl ecparam -name prime256v1 -genkey -noout -out other.key");
	_cleanup_free_ char *ca = slurp("ca.crt");
	_cleanup_free_ char *cert = slurp("s.crt");
	_cleanup_free_ char *key = slurp("s.key");
	_cleanup_free_ char *encrypted = slurp("enc.key");
	_cleanup_free_ char *other = slurp("other.key");
	config_fails((struct tls_client_config){.ca_pem = "x", .ca_name = "/ca.crt"},
		     "/ca.crt is not PEM text");
	config_fails(
		(struct tls_client_config){.ca_pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END "
						     "CERTIFICATE-----\n"},
		"CA certificate: ");
	config_fails((struct tls_client_config){.ca_pem = ca, .cert_pem = cert, .key_pem = key},
		     "client certificate: Ed25519 keys are not supported");
	config_fails((struct tls_client_config){.ca_pem = ca, .cert_pem = ca, .key_pem = key},
		     "client key: Ed25519 keys are not supported");
	config_fails((struct tls_client_config){.ca_pem = ca, .cert_pem = ca, .key_pem = encrypted},
		     "is encrypted by a password");
	config_fails(
		(struct tls_client_config){
			.ca_pem = ca, .cert_pem = ca, .key_pem = other, .key_name = "k"},
		"k is not the key of client certificate");
}

TEST(the_machines_own_authorities_are_used_when_none_is_given)
{
	struct tls_client_config c = {.alpn = alpn};
	struct tls_client *t = NULL;
	struct err e = {0};

	setup(P256, "DNS:server.test", "9");
	setenv("SSL_CERT_FILE", "ca.crt", 1);
	EQ(tls_client_new(&t, &c, &e), 0);
	talk(t, serve("-www"), "server.test");
	EQ(shaken, 1);
	setenv("SSL_CERT_FILE", "/nowhere", 1);
	config_fails(c, "read /nowhere: No such file");
	done(t);
}
