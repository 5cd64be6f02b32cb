#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/util.h"
#include "net/proxy.h"

enum {
	ANSWER_MAX = 16 << 10, /* bytes of a proxy's answer to CONNECT */
	SOCKS_VERSION = 5,
	SOCKS_NO_AUTH = 0,
	SOCKS_USER_PASSWORD = 2,
	SOCKS_CONNECT = 1,
	SOCKS_IPV4 = 1,
	SOCKS_NAME = 3,
	SOCKS_IPV6 = 4,
};

int proxy_check(const struct url *proxy, const char *what, struct err *e)
{
	if (streq(proxy->scheme, "http") || streq(proxy->scheme, "socks5") ||
	    streq(proxy->scheme, "socks5h"))
		return 0;
	return err_set(
		e, EPROTONOSUPPORT,
		"%s: proxies of the scheme %s are not supported (http, socks5 and socks5h are)",
		what, proxy->scheme);
}

/* ---- HTTP CONNECT ---- */

static void http_hello(struct proxy_talk *t)
{
	_cleanup_free_ char *to = url_authority(t->host, t->port);

	buf_printf(&t->out, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", to, to);
	if (t->proxy->user != NULL) {
		_cleanup_secret_ char *pair = xasprintf(
			"%s:%s", t->proxy->user, t->proxy->password ? t->proxy->password : "");
		_cleanup_secret_ char *coded = base64_encode(str_of(pair));
		buf_printf(&t->out, "Proxy-Authorization: Basic %s\r\n", coded);
	}
	buf_cstr(&t->out, "\r\n");
	t->state = PROXY_CONNECT;
}

static enum proxy_result http_answer(struct proxy_talk *t, struct err *e)
{
	struct str in = buf_view(&t->in);
	const char *end = in.n ? memmem(in.p, in.n, "\r\n\r\n", 4) : NULL;
	uint64_t status = 0;

	if (end == NULL)
		return PROXY_MORE;
	struct str rest = in;
	struct str line = str_trim(str_cut(&rest, '\n'));
	struct str reason = line;
	str_cut(&reason, ' ');
	struct str code = str_cut(&reason, ' ');
	if (!str_starts(line, "HTTP/1.") || !str_u64(code, &status))
		return err_set(e, EPROTO, "it does not speak HTTP");
	if (status / 100 != 2)
		return err_set(e, ECONNREFUSED, "it answers %.*s %.*s", STR_FMT(code),
			       (int)MIN(reason.n, (size_t)80), reason.n ? reason.p : "");
	if (end + 4 != in.p + in.n)
		return err_set(e, EPROTO, "it sends more than its answer");
	t->state = PROXY_DONE;
	return PROXY_OK;
}

/* ---- SOCKS5 ---- */

static const char *const socks_replies[] = {
	"succeeded",           "general failure",       "not allowed by its rules",
	"network unreachable", "host unreachable",      "connection refused",
	"TTL expired",         "command not supported", "address type not supported",
};

static void add_bytes(struct buf *b, const void *p, size_t n)
{
	must(buf_add(b, p, n));
}

static void socks_hello(struct proxy_talk *t)
{
	if (t->proxy->user != NULL)
		add_bytes(&t->out,
			  (uint8_t[]){SOCKS_VERSION, 2, SOCKS_NO_AUTH, SOCKS_USER_PASSWORD}, 4);
	else
		add_bytes(&t->out, (uint8_t[]){SOCKS_VERSION, 1, SOCKS_NO_AUTH}, 3);
	t->state = PROXY_METHOD;
}

static void add_short_text(struct buf *b, const char *s)
{
	uint8_t n = (uint8_t)strlen(s);

	add_bytes(b, &n, 1);
	add_bytes(b, s, n);
}

static void socks_request(struct proxy_talk *t)
{
	uint8_t address[16];

	add_bytes(&t->out, (uint8_t[]){SOCKS_VERSION, SOCKS_CONNECT, 0}, 3);
	if (inet_pton(AF_INET, t->host, address) == 1) {
		must(buf_char(&t->out, SOCKS_IPV4));
		add_bytes(&t->out, address, 4);
	} else if (inet_pton(AF_INET6, t->host, address) == 1) {
		must(buf_char(&t->out, SOCKS_IPV6));
		add_bytes(&t->out, address, 16);
	} else {
		must(buf_char(&t->out, SOCKS_NAME));
		add_short_text(&t->out, t->host);
	}
	add_bytes(&t->out, (uint8_t[]){(uint8_t)(t->port >> 8), (uint8_t)t->port}, 2);
	t->state = PROXY_REQUEST;
}

static enum proxy_result socks_method(struct proxy_talk *t, const uint8_t *in, struct err *e)
{
	if (in[0] != SOCKS_VERSION)
		return err_set(e, EPROTO, "it does not speak SOCKS5");
	if (in[1] == SOCKS_NO_AUTH) {
		socks_request(t);
	} else if (in[1] == SOCKS_USER_PASSWORD && t->proxy->user != NULL) {
		must(buf_char(&t->out, 1)); /* RFC 1929's own version */
		add_short_text(&t->out, t->proxy->user);
		add_short_text(&t->out, t->proxy->password ? t->proxy->password : "");
		t->state = PROXY_PASSWORD;
	} else {
		return err_set(e, EACCES, "it wants an authentication that we do not have");
	}
	buf_consume(&t->in, 2);
	return PROXY_MORE;
}

static enum proxy_result socks_password(struct proxy_talk *t, const uint8_t *in, struct err *e)
{
	if (in[1] != 0)
		return err_set(e, EACCES, "it refuses the user name or password");
	buf_consume(&t->in, 2);
	socks_request(t);
	return PROXY_MORE;
}

static enum proxy_result socks_reply(struct proxy_talk *t, const uint8_t *in, size_t n,
				     struct err *e)
{
	if (in[0] != SOCKS_VERSION)
		return err_set(e, EPROTO, "it does not speak SOCKS5");
	if (in[1] != 0)
		return err_set(e, ECONNREFUSED, "it answers: %s",
			       in[1] < ARRAY_LEN(socks_replies) ? socks_replies[in[1]]
								: "unknown failure");
	if (n < 5)
		return PROXY_MORE;
	size_t address = in[3] == SOCKS_IPV4 ? 4 : in[3] == SOCKS_IPV6 ? 16 : 1u + in[4];
	if (in[3] != SOCKS_IPV4 && in[3] != SOCKS_IPV6 && in[3] != SOCKS_NAME)
		return err_set(e, EPROTO, "it answers with an address of an unknown type");
	if (n < 4 + address + 2)
		return PROXY_MORE;
	if (n > 4 + address + 2)
		return err_set(e, EPROTO, "it sends more than its answer");
	t->state = PROXY_DONE;
	return PROXY_OK;
}

/* ---- both ---- */

int proxy_talk_init(struct proxy_talk *t, const struct url *proxy, const char *host, uint16_t port,
		    struct err *e)
{
	*t = (struct proxy_talk){
		.proxy = proxy,
		.host = host,
		.port = port,
		.in = BUF_INIT(ANSWER_MAX),
		.out = BUF_INIT(ANSWER_MAX),
	};
	if (streq(proxy->scheme, "http")) {
		http_hello(t);
		return 0;
	}
	if (strlen(host) > 255 || (proxy->user != NULL && strlen(proxy->user) > 255) ||
	    (proxy->password != NULL && strlen(proxy->password) > 255))
		return err_set(e, EINVAL, "a name or password is longer than SOCKS5 can say");
	socks_hello(t);
	return 0;
}

void proxy_talk_fini(struct proxy_talk *t)
{
	if (t->out.p != NULL) /* it may hold a password */
		explicit_bzero(t->out.p, t->out.cap);
	buf_fini(&t->out);
	buf_fini(&t->in);
}

size_t proxy_own(const struct proxy_talk *t, struct str bytes)
{
	static const char end[] = "\r\n\r\n";
	struct str before = buf_view(&t->in);
	size_t matched = 0;

	if (t->state != PROXY_CONNECT)
		return bytes.n;
	for (size_t i = before.n - MIN(before.n, (size_t)3); i < before.n + bytes.n; i++) {
		char c = i < before.n ? before.p[i] : bytes.p[i - before.n];
		matched = c == end[matched] ? matched + 1 : c == '\r';
		if (matched == 4)
			return i + 1 - before.n;
	}
	return bytes.n;
}

enum proxy_result proxy_feed(struct proxy_talk *t, struct str bytes, struct err *e)
{
	if (!buf_str(&t->in, bytes))
		return err_set(e, EPROTO, "its answer is longer than %d bytes", ANSWER_MAX);
	struct str in = buf_view(&t->in);
	const uint8_t *p = (const uint8_t *)in.p;
	switch (t->state) {
	case PROXY_CONNECT:
		return http_answer(t, e);
	case PROXY_METHOD:
		return in.n < 2 ? PROXY_MORE : socks_method(t, p, e);
	case PROXY_PASSWORD:
		return in.n < 2 ? PROXY_MORE : socks_password(t, p, e);
	case PROXY_REQUEST:
		return in.n < 2 ? PROXY_MORE : socks_reply(t, p, in.n, e);
	case PROXY_DONE:
		break;
	}
	return err_set(e, EPROTO, "it sends more than its answer");
}

/* ---- the environment ---- */

static const char *either(const char *upper, const char *lower)
{
	const char *s = getenv(upper);

	return str_empty(s) ? getenv(lower) : s;
}

/* An address as 16 bytes, IPv4 mapped into IPv6. */
static bool to_bytes(struct str text, uint8_t out[16])
{
	_cleanup_free_ char *s = str_dup(text);

	memcpy(out, (uint8_t[12]){[10] = 0xff, [11] = 0xff}, 12);
	return inet_pton(AF_INET, s, out + 12) == 1 || inet_pton(AF_INET6, s, out) == 1;
}

static bool is_loopback(const uint8_t a[16])
{
	static const uint8_t v6[16] = {[15] = 1};

	return memcmp(a, v6, 16) == 0 || (a[10] == 0xff && a[11] == 0xff && a[12] == 127);
}

static bool in_network(const uint8_t a[16], const uint8_t net[16], unsigned bits)
{
	for (unsigned i = 0; i < bits; i++) {
		uint8_t mask = (uint8_t)(0x80 >> (i % 8));
		if ((a[i / 8] & mask) != (net[i / 8] & mask))
			return false;
	}
	return true;
}

static bool matches_cidr(struct str entry, const uint8_t *address)
{
	struct str rest = entry;
	struct str network = str_cut(&rest, '/');
	uint8_t net[16];
	uint64_t bits;

	if (address == NULL || !to_bytes(network, net) || !str_u64(rest, &bits))
		return false;
	bool v4 = memchr(network.p, ':', network.n) == NULL;
	if (bits > (v4 ? 32 : 128))
		return false;
	return in_network(address, net, (unsigned)bits + (v4 ? 96 : 0));
}

/* Takes ":port" or the brackets of an address off an entry. False when it is another port. */
static bool strip_port(struct str *entry, uint16_t port)
{
	struct str rest = *entry;
	uint64_t n;

	if (entry->n > 0 && entry->p[0] == '[') {
		rest = str_sub(entry->p + 1, entry->n - 1);
		*entry = str_cut(&rest, ']');
		return rest.n == 0 || (str_skip(&rest, ":") && str_u64(rest, &n) && n == port);
	}
	struct str host = str_cut(&rest, ':');
	if (rest.p == NULL || memchr(rest.p, ':', rest.n) != NULL)
		return true; /* none, or an IPv6 address */
	*entry = host;
	return str_u64(rest, &n) && n == port;
}

static bool matches_name(struct str entry, struct str host)
{
	str_skip(&entry, "*");
	bool subdomains_only = entry.n > 0 && entry.p[0] == '.';
	struct str name = subdomains_only ? str_sub(entry.p + 1, entry.n - 1) : entry;

	if (name.n == 0 || name.n > host.n)
		return false;
	if (name.n == host.n)
		return !subdomains_only && str_ieq(name, host);
	return host.p[host.n - name.n - 1] == '.' &&
	       str_ieq(name, str_sub(host.p + host.n - name.n, name.n));
}

static bool is_excepted(struct str entry, struct str host, const uint8_t *address, uint16_t port)
{
	uint8_t other[16];

	if (str_is(entry, "*"))
		return true;
	if (entry.n > 0 && memchr(entry.p, '/', entry.n) != NULL)
		return matches_cidr(entry, address);
	if (entry.n == 0 || !strip_port(&entry, port))
		return false;
	if (to_bytes(entry, other))
		return address != NULL && memcmp(address, other, 16) == 0;
	return matches_name(entry, host);
}

static bool is_in_list(struct str list, struct str host, const uint8_t *address, uint16_t port)
{
	while (list.n > 0) {
		struct str entry = str_trim(str_cut(&list, ','));
		if (is_excepted(entry, host, address, port))
			return true;
	}
	return false;
}

bool proxy_excepted(struct str list, const char *host, uint16_t port,
		    const struct address *addresses, int n)
{
	char text[ADDRESS_HOST_MAX];
	uint8_t bytes[16];

	if (is_in_list(list, str_of(host), to_bytes(str_of(host), bytes) ? bytes : NULL, port))
		return true;
	for (int i = 0; i < n; i++) {
		address_host(&addresses[i], text);
		if (to_bytes(str_of(text), bytes) && is_in_list(list, str_of(host), bytes, port))
			return true;
	}
	return false;
}

char *proxy_from_environment(bool https, const char *host, uint16_t port)
{
	const char *proxy =
		https ? either("HTTPS_PROXY", "https_proxy") : either("HTTP_PROXY", "http_proxy");
	struct str list = str_of(either("NO_PROXY", "no_proxy"));
	uint8_t bytes[16];

	if (str_empty(proxy) || str_ieq(str_of(host), STR("localhost")) ||
	    (to_bytes(str_of(host), bytes) && is_loopback(bytes)) ||
	    proxy_excepted(list, host, port, NULL, 0))
		return NULL;
	/* "proxy:3128" is taken for http://proxy:3128 */
	return strstr(proxy, "://") ? xstrdup(proxy) : xasprintf("http://%s", proxy);
}
