/*
 * Request heads (proxy/head.h), hosts, and bodies, as tables: what is taken and as what, and everything
 * that is refused. The refusals are those of supervisor contract 6.1 and 6.7 and of RFC 9112.
 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "proxy/body.h"
#include "proxy/head.h"
#include "proxy/host.h"
#include "test.h"

/* ---- hosts ---- */

static const struct {
	const char *text, *host; /* NULL: refused */
} hosts[] = {
	{"example.com", "example.com"},
	{"EXAMPLE.Com", "example.com"},
	{"example.com.", "example.com"},
	{"localhost", "localhost"},
	{"a", "a"},
	{"_dmarc.example.com", "_dmarc.example.com"},
	{"xn--bcher-kva.example", "xn--bcher-kva.example"},
	{"1password.com", "1password.com"},
	{"1.2.3.4.example", "1.2.3.4.example"},
	{"0x7f.example", "0x7f.example"},
	{"deadbeef", "deadbeef"},
	{"0xg", "0xg"},
	{"1.2.3.4", "1.2.3.4"},
	{"1.2.3.4.", "1.2.3.4"},
	{"255.255.255.255", "255.255.255.255"},
	{"[::1]", "::1"},
	{"[FE80::1]", "fe80::1"},
	{"[0:0:0:0:0:0:0:1]", "::1"},
	{"[2001:DB8::0:5]", "2001:db8::5"},
	{"[::ffff:1.2.3.4]", "::ffff:1.2.3.4"},
	{"[::ffff:102:304]", "::ffff:1.2.3.4"},
	{"", NULL},
	{".", NULL},
	{"..", NULL},
	{"example.com..", NULL},
	{".example.com", NULL},
	{"a..b", NULL},
	{"a b", NULL},
	{"a/b", NULL},
	{"a@b", NULL},
	{"a%2eb", NULL},
	{"a:b", NULL},
	{"a\\b", NULL},
	{"a#b", NULL},
	{"a?b", NULL},
	{"*.example.com", NULL},
	{"b\xc3\xbc"
	 "cher.example",
	 NULL},
	{"[", NULL},
	{"[]", NULL},
	{"[::1", NULL},
	{"::1", NULL},
	{"[1.2.3.4]", NULL},
	{"[fe80::1%eth0]", NULL},
	{"[fe80::1%25eth0]", NULL},
	{"[::1].", NULL},
	{"[:::1]", NULL},
	{"[12345::]", NULL},
	/* what a resolver takes for an address */
	{"2130706433", NULL},
	{"2130706433.", NULL},
	{"0x7f.1", NULL},
	{"0x7f000001", NULL},
	{"0X7F000001", NULL},
	{"017700000001", NULL},
	{"127.1", NULL},
	{"127.0.1", NULL},
	{"127.0.0.01", NULL},
	{"0177.0.0.1", NULL},
	{"0x7f.0.0.1", NULL},
	{"127.0.0.0x1", NULL},
	{"127.0.0.256", NULL},
	{"1.2.3.4.5", NULL},
	{"1.2.3", NULL},
	{"0", NULL},
	{"00.0.0.0", NULL},
	{"0x", NULL},
	{"host.0x1f", NULL},
	{"host.12", NULL},
	{"4294967296", NULL},
};

TEST(hosts_have_one_form)
{
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		char out[HOST_SIZE];
		bool ok = host_read(str_of(hosts[i].text), out);
		if (ok != (hosts[i].host != NULL))
			FAIL("%s: %s", hosts[i].text, ok ? "taken" : "refused");
		if (ok)
			STREQ(out, hosts[i].host);
	}
}

TEST(hosts_have_limits)
{
	char text[300], out[HOST_SIZE];

	memset(text, 'a', sizeof text);
	OK(host_read(str_sub(text, 63), out));
	OK(!host_read(str_sub(text, 64), out));
	for (size_t i = 49; i < sizeof text; i += 50)
		text[i] = '.';
	OK(host_read(str_sub(text, 253), out));
	EQ(strlen(out), 253);
	OK(!host_read(str_sub(text, 254), out));
	OK(!host_read(STR("a\0b"), out));
	OK(!host_read(STR("[::1\0]"), out));
}

static const struct {
	const char *text, *host;
	int port;
} authorities[] = {
	{"a.example", "a.example", 0},
	{"a.example:443", "a.example", 443},
	{"a.example.:443", "a.example", 443},
	{"1.2.3.4:1", "1.2.3.4", 1},
	{"[::1]", "::1", 0},
	{"[::1]:65535", "::1", 65535},
	{"a:00080", "a", 80},
	{"a:", NULL, 0},
	{"a:0", NULL, 0},
	{"a:65536", NULL, 0},
	{"a:000080", NULL, 0},
	{"a:99999999999999999999", NULL, 0},
	{"a:+80", NULL, 0},
	{"a:-80", NULL, 0},
	{"a: 80", NULL, 0},
	{"a:8 0", NULL, 0},
	{"a:80:80", NULL, 0},
	{"a:0x50", NULL, 0},
	{":80", NULL, 0},
	{"::1:80", NULL, 0},
	{"[::1]80", NULL, 0},
	{"[::1]:", NULL, 0},
	{"[::1]]:80", NULL, 0},
	{"user@a:80", NULL, 0},
	{"user:pass@a:80", NULL, 0},
	{"a:80@b:80", NULL, 0},
	{"", NULL, 0},
};

TEST(authorities)
{
	for (size_t i = 0; i < ARRAY_LEN(authorities); i++) {
		char out[HOST_SIZE];
		uint16_t port;
		bool ok = host_read_authority(str_of(authorities[i].text), out, &port);
		if (ok != (authorities[i].host != NULL))
			FAIL("%s: %s", authorities[i].text, ok ? "taken" : "refused");
		if (!ok)
			continue;
		STREQ(out, authorities[i].host);
		EQ(port, authorities[i].port);
	}
}

/* ---- heads ---- */

#define H "Host: h\r\n"

/* A head that is taken is told as "form host port path framing length". */
static void tell(const struct head *h, char *out, size_t size)
{
	static const char *const forms[] = {"authority", "absolute", "origin"};
	static const char *const schemes[] = {"", "https", "other"};

	snprintf(out, size, "%s%s %s %u %.*s %.*s %d %llu", forms[h->form], schemes[h->scheme],
		 h->host, h->port, STR_FMT(h->method), STR_FMT(h->path), h->framing,
		 (unsigned long long)h->length);
}

static const struct {
	const char *text, *told; /* told begins with "-": refused, with these words in the reason */
} heads[] = {
	{"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
	 "authority a.example 443 CONNECT  0 0"},
	{"CONNECT A.Example.:443 HTTP/1.1\r\n" H "\r\n", "authority a.example 443 CONNECT  0 0"},
	{"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n" H "\r\n",
	 "authority 2001:db8::1 443 CONNECT  0 0"},
	{"CONNECT a:443 HTTP/1.0\r\n\r\n", "authority a 443 CONNECT  0 0"},
	{"CONNECT a:443 HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n",
	 "authority a 443 CONNECT  1 0"},
	{"GET http://a.example/x?y=1 HTTP/1.1\r\nHost: other\r\n\r\n",
	 "absolute a.example 80 GET /x?y=1 0 0"},
	{"GET HTTP://A.example:8080/ HTTP/1.1\r\n" H "\r\n", "absolute a.example 8080 GET / 0 0"},
	{"GET http://a HTTP/1.1\r\n" H "\r\n", "absolute a 80 GET  0 0"},
	{"GET http://a?q HTTP/1.1\r\n" H "\r\n", "absolute a 80 GET ?q 0 0"},
	{"GET http://[::1]:81/ HTTP/1.1\r\n" H "\r\n", "absolute ::1 81 GET / 0 0"},
	{"GET http://a/b@c:1/http://d/ HTTP/1.1\r\n" H "\r\n",
	 "absolute a 80 GET /b@c:1/http://d/ 0 0"},
	{"GET https://a/ HTTP/1.1\r\n" H "\r\n", "absolutehttps  0 GET  0 0"},
	{"GET ftp://a/ HTTP/1.1\r\n" H "\r\n", "absoluteother  0 GET  0 0"},
	{"GET / HTTP/1.1\r\nhOST:\t a.example \r\n\r\n", "origin a.example 80 GET / 0 0"},
	{"GET /p HTTP/1.1\r\nHost:a:8080\r\n\r\n", "origin a 8080 GET /p 0 0"},
	{"GET //p HTTP/1.1\r\n" H "\r\n", "origin h 80 GET //p 0 0"},
	{"GET / HTTP/1.0\r\n\r\n", "origin  80 GET / 0 0"},
	{"POST / HTTP/1.1\r\n" H "Content-Length: 12\r\n\r\n", "origin h 80 POST / 1 12"},
	{"POST / HTTP/1.1\r\n" H "Content-Length: 0012\r\n\r\n", "origin h 80 POST / 1 12"},
	{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", "origin h 80 POST / 2 0"},
	{"POST / HTTP/1.1\r\n" H "transfer-encoding: Chunked\r\n\r\n", "origin h 80 POST / 2 0"},
	{"DELETE / HTTP/1.1\r\n" H "\r\n", "origin h 80 DELETE / 0 0"},
	{"PROPFIND / HTTP/1.1\r\n" H "\r\n", "origin h 80 PROPFIND / 0 0"},
	{"GET / HTTP/1.1\r\n" H "X: \xff\xfe\r\nEmpty:\r\n\r\n", "origin h 80 GET / 0 0"},

	/* lines */
	{"GET / HTTP/1.1\nHost: h\n\n", "-LF without CR"},
	{"GET / HTTP/1.1\r\nHost: h\n\r\n", "-LF without CR"},
	{"GET / HTTP/1.1\r\nHost: h\r\n\n", "-LF without CR"},
	{"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", "-CR without LF"},
	{"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", "-CR without LF"},
	{"GET / HTTP/1.1\r\nHost: h\r\n x\r\n\r\n", "-folded"},
	{"GET / HTTP/1.1\r\nHost: h\r\n\tx\r\n\r\n", "-folded"},
	{"GET / HTTP/1.1\r\n Host: h\r\n\r\n", "-folded"},
	{"GET / HTTP/1.1\r\n" H "X: \x01\r\n\r\n", "-control"},
	{"GET / HTTP/1.1\r\n" H "X: \x7f\r\n\r\n", "-control"},
	{"GET / HTTP/1.1\r\n" H "X: \x1b[0m\r\n\r\n", "-control"},
	{"\r\nGET / HTTP/1.1\r\n" H "\r\n", "-empty line"},
	{"\nGET / HTTP/1.1\r\n" H "\r\n", "-LF without CR"},
	{"\x16\x03\x01", "-control"},

	/* the first line */
	{"GET  / HTTP/1.1\r\n" H "\r\n", "-first line"},
	{"GET /  HTTP/1.1\r\n" H "\r\n", "-first line"},
	{"GET / HTTP/1.1 \r\n" H "\r\n", "-first line"},
	{" GET / HTTP/1.1\r\n" H "\r\n", "-first line"},
	{"GET\t/ HTTP/1.1\r\n" H "\r\n", "-first line"},
	{"GET /\tHTTP/1.1\r\n" H "\r\n", "-first line"},
	{"GET /\t HTTP/1.1\r\n" H "\r\n", "-percent-encoded"},
	{"GET /a b HTTP/1.1\r\n" H "\r\n", "-first line"},
	{"GET /\r\n\r\n", "-first line"},
	{"GET\r\n\r\n", "-first line"},
	{"GET / HTTP/0.9\r\n" H "\r\n", "-first line"},
	{"GET / HTTP/2.0\r\n" H "\r\n", "-first line"},
	{"GET / HTTP/1.2\r\n" H "\r\n", "-first line"},
	{"GET / http/1.1\r\n" H "\r\n", "-first line"},
	{"GET / ICE/1.0\r\n" H "\r\n", "-first line"},
	{"PRI * HTTP/2.0\r\n\r\n", "-first line"},
	{"GET /\xc3\xbc HTTP/1.1\r\n" H "\r\n", "-percent-encoded"},
	{"get / HTTP/1.1\r\n" H "\r\n", "-"},
	{"G@T / HTTP/1.1\r\n" H "\r\n", "-"},
	{"NONSENSE / HTTP/1.1\r\n" H "\r\n", "-"},
	{"DESCRIBE / HTTP/1.1\r\n" H "\r\n", "-"},

	/* the target */
	{"CONNECT a HTTP/1.1\r\n" H "\r\n", "-no host:port"},
	{"CONNECT a: HTTP/1.1\r\n" H "\r\n", "-"},
	{"CONNECT a:0 HTTP/1.1\r\n" H "\r\n", "-no host:port"},
	{"CONNECT a:65536 HTTP/1.1\r\n" H "\r\n", "-"},
	{"CONNECT u@a:443 HTTP/1.1\r\n" H "\r\n", "-"},
	{"CONNECT http://a:443 HTTP/1.1\r\n" H "\r\n", "-"},
	{"CONNECT /a:443 HTTP/1.1\r\n" H "\r\n", "-"},
	{"CONNECT a:443/x HTTP/1.1\r\n" H "\r\n", "-"},
	{"CONNECT 2130706433:80 HTTP/1.1\r\n" H "\r\n", "-no host:port"},
	{"CONNECT 0x7f.1:80 HTTP/1.1\r\n" H "\r\n", "-no host:port"},
	{"CONNECT 017700000001:80 HTTP/1.1\r\n" H "\r\n", "-no host:port"},
	{"CONNECT [::1%25lo]:80 HTTP/1.1\r\n" H "\r\n", "-"},
	{"CONNECT ::1:80 HTTP/1.1\r\n" H "\r\n", "-"},
	{"CONNECT a:443 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n", "-no body"},
	{"CONNECT a:443 HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", "-no body"},
	{"GET a:443 HTTP/1.1\r\n" H "\r\n", "-"},
	{"GET * HTTP/1.1\r\n" H "\r\n", "-"},
	{"OPTIONS * HTTP/1.1\r\n" H "\r\n", "-neither a path"},
	{"GET http:///x HTTP/1.1\r\n" H "\r\n", "-"},
	{"GET http://u:p@a/ HTTP/1.1\r\n" H "\r\n", "-host[:port]"},
	{"GET http://a:b/ HTTP/1.1\r\n" H "\r\n", "-host[:port]"},
	{"GET http://a:/ HTTP/1.1\r\n" H "\r\n", "-host[:port]"},
	{"GET http://127.1/ HTTP/1.1\r\n" H "\r\n", "-host[:port]"},
	{"GET http://a\\@b/ HTTP/1.1\r\n" H "\r\n", "-"},
	{"GET http://a#f HTTP/1.1\r\n" H "\r\n", "-"},
	{"GET http:/a/ HTTP/1.1\r\n" H "\r\n", "-"},
	{"GET mailto:a HTTP/1.1\r\n" H "\r\n", "-"},

	/* Host */
	{"GET / HTTP/1.1\r\n\r\n", "-no Host"},
	{"GET http://a/ HTTP/1.1\r\n\r\n", "-no Host"},
	{"CONNECT a:443 HTTP/1.1\r\n\r\n", "-no Host"},
	{"GET / HTTP/1.1\r\n" H H "\r\n", "-more than one Host"},
	{"GET / HTTP/1.0\r\n" H H "\r\n", "-more than one Host"},
	{"GET / HTTP/1.1\r\nHost:\r\n\r\n", "-no host[:port]"},
	{"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "-no host[:port]"},
	{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "-no host[:port]"},
	{"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "-no host[:port]"},
	{"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "-no host[:port]"},
	{"GET / HTTP/1.1\r\nHost: 0x7f.1\r\n\r\n", "-no host[:port]"},
	{"GET / HTTP/1.1\r\nHost : h\r\n\r\n", "-"},
	{"GET / HTTP/1.1\r\nHost\t: h\r\n\r\n", "-"},
	{"GET / HTTP/1.1\r\nHo st: h\r\n\r\n", "-"},
	{"GET / HTTP/1.1\r\n" H "X\r\n\r\n", "-"},
	{"GET / HTTP/1.1\r\n" H ": x\r\n\r\n", "-"},
	{"GET / HTTP/1.1\r\n" H "X(y): x\r\n\r\n", "-"},
	{"GET / HTTP/1.1\r\n" H "X\xc3\xbc: x\r\n\r\n", "-"},

	/* the body */
	{"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Content-Length: 1 1\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Content-Length: 1_0\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551616\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n", "-not \"chunked\""},
	{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", "-not \"chunked\""},
	{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", "-"},
	{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	 "-"},
	{"POST / HTTP/1.1\r\n" H
	 "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n",
	 "-"},
	{"POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n", "-"},
	{"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "-HTTP/1.0"},
};

TEST(heads_are_read_or_refused)
{
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		struct head h;
		struct str text = str_of(heads[i].text);
		size_t used = 0;
		const char *why = NULL;
		enum head_result r = head_read(&h, text, &used, &why);
		if (heads[i].told[0] == '-') {
			if (r != HEAD_BAD || strstr(why, heads[i].told + 1) == NULL)
				FAIL("%s: %d, %s", heads[i].text, r, why);
			continue;
		}
		char told[512];
		if (r != HEAD_OK)
			FAIL("%s: %d, %s", heads[i].text, r, why);
		EQ(used, text.n);
		tell(&h, told, sizeof told);
		STREQ(told, heads[i].told);
	}
}

TEST(nul_is_refused)
{
	static const char text[] = "GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n";
	struct head h;
	size_t used;
	const char *why;

	EQ(head_read(&h, str_sub(text, sizeof text - 1), &used, &why), HEAD_BAD);
}

TEST(heads_come_in_pieces)
{
	static const char text[] =
		"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n";
	size_t end = (size_t)(strstr(text, "abc") - text);

	for (size_t n = 0; n < sizeof text; n++) {
		struct head h;
		size_t used = 0;
		const char *why;
		EQ(head_read(&h, str_sub(text, n), &used, &why), n < end ? HEAD_MORE : HEAD_OK);
		EQ(used, n < end ? 0 : end);
	}
}

TEST(heads_have_limits)
{
	static char text[2 * HEAD_MAX];
	struct head h;
	size_t used;
	const char *why;
	int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\nX: ");

	memset(text + n, 'a', sizeof text - (size_t)n);
	memcpy(text + HEAD_MAX - 4, "\r\n\r\n", 4);
	EQ(head_read(&h, str_sub(text, sizeof text), &used, &why), HEAD_OK);
	EQ(used, HEAD_MAX);
	EQ(head_read(&h, str_sub(text, HEAD_MAX - 1), &used, &why), HEAD_MORE);
	memcpy(text + HEAD_MAX - 4, "a\r\n\r\n", 5);
	EQ(head_read(&h, str_sub(text, HEAD_MAX), &used, &why), HEAD_LONG);
	EQ(head_read(&h, str_sub(text, sizeof text), &used, &why), HEAD_LONG);

	n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\n");
	for (int i = 1; i < FIELDS_MAX; i++)
		n += snprintf(text + n, sizeof text - (size_t)n, "X: y\r\n");
	snprintf(text + n, sizeof text - (size_t)n, "\r\n");
	EQ(head_read(&h, str_of(text), &used, &why), HEAD_OK);
	EQ(h.fields.n, FIELDS_MAX);
	snprintf(text + n, sizeof text - (size_t)n, "X: y\r\n\r\n");
	EQ(head_read(&h, str_of(text), &used, &why), HEAD_LONG);
}

/* ---- what a head says beside ---- */

static struct head read_with(const char *version, const char *lines)
{
	static char text[1024];
	static struct head h;
	size_t used;
	const char *why;

	snprintf(text, sizeof text, "GET / HTTP/%s\r\nHost: h\r\n%s\r\n", version, lines);
	if (head_read(&h, str_of(text), &used, &why) != HEAD_OK)
		FAIL("%s: %s", text, why);
	return h;
}

TEST(connections_are_kept_or_not)
{
	OK(read_with("1.1", "").keep_alive);
	OK(!read_with("1.1", "Connection: close\r\n").keep_alive);
	OK(!read_with("1.1", "Connection: foo , CLOSE\r\n").keep_alive);
	OK(!read_with("1.1", "Connection: keep-alive\r\nConnection: close\r\n").keep_alive);
	OK(!read_with("1.0", "").keep_alive);
	OK(read_with("1.0", "Connection: Keep-Alive\r\n").keep_alive);
	OK(read_with("1.1", "Connection: closed\r\n").keep_alive);
}

TEST(upgrades_and_expectations)
{
	struct head h = read_with("1.1", "Connection: Upgrade\r\nUpgrade: WebSocket\r\n");

	OK(head_asks_websocket(&h));
	h = read_with("1.1", "Upgrade: websocket\r\n");
	OK(!head_asks_websocket(&h));
	h = read_with("1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
	OK(!head_asks_websocket(&h));
	h = read_with("1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\n");
	OK(head_asks_h2c(&h) && !head_asks_websocket(&h));
	h = read_with("1.1", "HTTP2-Settings: AAMAAABkAAQAAP__\r\n");
	OK(head_asks_h2c(&h));
	h = read_with("1.1", "Upgrade: foo, h2c\r\n");
	OK(head_asks_h2c(&h));
	h = read_with("1.1", "Expect: 100-Continue\r\n");
	OK(h.expect_continue && !h.expect_other);
	h = read_with("1.1", "Expect: 200-ok\r\n");
	OK(!h.expect_continue && h.expect_other);
	h = read_with("1.0", "Expect: 100-continue\r\n");
	OK(!h.expect_continue && !h.expect_other);
}

TEST(fields_of_one_hop)
{
	struct head h =
		read_with("1.1", "Connection: X-Mine, close\r\nX-Mine: 1\r\nX-Other: 2\r\n");
	static const char *const gone[] = {"Connection",
					   "keep-alive",
					   "TE",
					   "Trailer",
					   "Transfer-Encoding",
					   "Upgrade",
					   "Proxy-Connection",
					   "Proxy-Authorization",
					   "PROXY-anything",
					   "x-mine"};

	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		OK(fields_hop_by_hop(&h.fields, str_of(gone[i])));
	OK(!fields_hop_by_hop(&h.fields, STR("X-Other")));
	OK(!fields_hop_by_hop(&h.fields, STR("Host")));
	OK(!fields_hop_by_hop(&h.fields, STR("Proxy")));
	OK(str_is(fields_get(&h.fields, "x-other"), "2"));
	EQ(fields_count(&h.fields, "connection"), 1);
}

/* ---- bodies ---- */

static const struct {
	enum body_framing framing;
	uint64_t length;
	const char *in, *out; /* out NULL: refused */
	size_t rest;          /* bytes left over */
	const char *plain;
} bodies[] = {
	{BODY_NONE, 0, "abc", "", 3, ""},
	{BODY_LENGTH, 0, "abc", "", 3, ""},
	{BODY_LENGTH, 2, "abc", "ab", 1, "ab"},
	{BODY_LENGTH, 3, "abc", "abc", 0, "abc"},
	{BODY_CHUNKED, 0, "0\r\n\r\nGET", "0\r\n\r\n", 3, ""},
	{BODY_CHUNKED, 0, "3\r\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", 0, "abc"},
	{BODY_CHUNKED, 0, "00003\r\nabc\r\n0000\r\n\r\nx", "3\r\nabc\r\n0\r\n\r\n", 1, "abc"},
	{BODY_CHUNKED, 0, "3;a=b;c=\"d\"\r\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", 0, "abc"},
	{BODY_CHUNKED, 0, "3\r\nabc\r\n0\r\nX: y\r\nHost: z\r\n\r\nx", "3\r\nabc\r\n0\r\n\r\n", 1,
	 "abc"},
	{BODY_CHUNKED, 0, "A\r\n0123456789\r\n0\r\n\r\n", "a\r\n0123456789\r\n0\r\n\r\n", 0,
	 "0123456789"},
	{BODY_CHUNKED, 0, "3\nabc\n0\n\n", NULL, 0, NULL},
	{BODY_CHUNKED, 0, "3\r\nabcd\r\n0\r\n\r\n", NULL, 0, NULL},
	{BODY_CHUNKED, 0, "3\r\nabc0\r\n\r\n", NULL, 0, NULL},
	{BODY_CHUNKED, 0, "x\r\nabc\r\n", NULL, 0, NULL},
	{BODY_CHUNKED, 0, "0x3\r\nabc\r\n0\r\n\r\n", NULL, 0, NULL},
	{BODY_CHUNKED, 0, "-3\r\nabc\r\n", NULL, 0, NULL},
	{BODY_CHUNKED, 0, "+3\r\nabc\r\n", NULL, 0, NULL},
	{BODY_CHUNKED, 0, " 3\r\nabc\r\n", NULL, 0, NULL},
	{BODY_CHUNKED, 0, "3 \r\nabc\r\n0\r\n\r\n", NULL, 0, NULL},
	{BODY_CHUNKED, 0, "\r\n3\r\nabc\r\n", NULL, 0, NULL},
	{BODY_CHUNKED, 0, "10000000000000000\r\n", NULL, 0, NULL},
	{BODY_CHUNKED, 0, "3\r\nabc\r\n0\r\nX : y\r\n\r\n", NULL, 0, NULL},
};

static enum body_result feed_all(struct body *b, struct str in, size_t step, struct buf *out,
				 size_t *rest)
{
	enum body_result r = body_feed(b, str_sub(in.p, 0), out, &(size_t){0});
	size_t at = 0;

	while (r == BODY_MORE && at < in.n) {
		size_t used = 0;
		r = body_feed(b, str_sub(in.p + at, MIN(step, in.n - at)), out, &used);
		at += used;
	}
	*rest = in.n - at;
	return r;
}

TEST(bodies_are_told_apart)
{
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct str in = str_of(bodies[i].in);
		for (size_t step = 1; step <= in.n; step++) {
			struct body b;
			size_t rest;
			_cleanup_buf_ struct buf plain = BUF_INIT(4096), out = BUF_INIT(4096);
			body_init(&b, bodies[i].framing, bodies[i].length, true);
			enum body_result r = feed_all(&b, in, step, &plain, &rest);
			if (r != (bodies[i].out ? BODY_DONE : BODY_BAD))
				FAIL("%s: %d", bodies[i].in, r);
			if (r == BODY_BAD)
				continue;
			OK(str_is(buf_view(&plain), bodies[i].plain));
			EQ(rest, bodies[i].rest);
			/* chunks again are the same body, however they are cut */
			struct body again;
			_cleanup_buf_ struct buf twice = BUF_INIT(4096);
			body_init(&b, bodies[i].framing, bodies[i].length, false);
			feed_all(&b, in, step, &out, &rest);
			EQ(rest, bodies[i].rest);
			OK(out.n <= in.n - rest + (in.n / step + 1) * BODY_OVERHEAD);
			if (step == in.n)
				OK(str_is(buf_view(&out), bodies[i].out));
			body_init(&again, bodies[i].framing, bodies[i].length, true);
			feed_all(&again, buf_view(&out), out.n ? out.n : 1, &twice, &rest);
			OK(str_eq(buf_view(&twice), buf_view(&plain)));
		}
	}
}

TEST(bodies_that_are_cut_are_told)
{
	struct body b;
	_cleanup_buf_ struct buf out = BUF_INIT(100);
	size_t used;

	body_init(&b, BODY_LENGTH, 3, false);
	EQ(body_feed(&b, STR("ab"), &out, &used), BODY_MORE);
	EQ(body_eof(&b), BODY_BAD);
	body_init(&b, BODY_CHUNKED, 0, false);
	EQ(body_feed(&b, STR("3\r\nabc\r\n"), &out, &used), BODY_MORE);
	EQ(body_eof(&b), BODY_BAD);
	body_init(&b, BODY_UNTIL_CLOSE, 0, false);
	EQ(body_feed(&b, STR("abc"), &out, &used), BODY_MORE);
	EQ(used, 3);
	EQ(body_eof(&b), BODY_DONE);
	body_init(&b, BODY_NONE, 0, false);
	EQ(body_eof(&b), BODY_DONE);
}

/* Neither extensions nor trailers are a way to be sent bytes for ever. */
TEST(bodies_must_go_on)
{
	struct body b;
	_cleanup_buf_ struct buf out = BUF_INIT(100);
	size_t used, fed = 0;
	enum body_result r = BODY_MORE;

	body_init(&b, BODY_CHUNKED, 0, false);
	EQ(body_feed(&b, STR("3;"), &out, &used), BODY_MORE);
	for (; r == BODY_MORE && fed < 1 << 20; fed += 4)
		r = body_feed(&b, STR("aaaa"), &out, &used);
	EQ(r, BODY_BAD);
	OK(fed < 20000);
	fed = 0;
	body_init(&b, BODY_CHUNKED, 0, false);
	r = body_feed(&b, STR("0\r\n"), &out, &used);
	for (; r == BODY_MORE && fed < 1 << 20; fed += 6)
		r = body_feed(&b, STR("X: y\r\n"), &out, &used);
	EQ(r, BODY_BAD);
}

TEST(bodies_respect_their_room)
{
	struct body b;
	_cleanup_buf_ struct buf out = BUF_INIT(10);
	size_t used;

	body_init(&b, BODY_LENGTH, 11, false);
	EQ(body_feed(&b, STR("01234567890"), &out, &used), BODY_BAD);
	body_init(&b, BODY_CHUNKED, 0, false);
	EQ(body_feed(&b, STR("8\r\n01234567\r\n0\r\n\r\n"), &out, &used), BODY_BAD);
}
