/*
 * HTTP/1.1 responses, the answers of proxies, and URLs; in pieces whose size the first byte rules.
 * However they are cut, the same comes out.
 */
#include <string.h>

#include "base/map.h"
#include "base/util.h"
#include "http1/response.h"
#include "net/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct sum {
	size_t body;
	uint64_t byte_sum;
	int heads;
};

static bool on_headers(void *owner)
{
	((struct sum *)owner)->heads++;
	return true;
}

static bool on_body(void *owner, struct str bytes)
{
	struct sum *s = owner;

	s->body += bytes.n;
	for (size_t i = 0; i < bytes.n; i++)
		s->byte_sum = s->byte_sum * 31 + (uint8_t)bytes.p[i];
	return true;
}

static struct sum read_response(struct str text, size_t step, enum http1_result *r)
{
	static struct http1_response response;
	struct sum sum = {0};
	struct err e;
	size_t at = 0;

	response.headers = on_headers;
	response.body = on_body;
	response.owner = &sum;
	http1_response_init(&response, false);
	*r = HTTP1_MORE;
	while (at < text.n && *r == HTTP1_MORE) {
		size_t used = 0;
		*r = http1_response_feed(&response, str_sub(text.p + at, MIN(step, text.n - at)),
					 &used, &e);
		must(used <= MIN(step, text.n - at));
		at += used;
	}
	if (*r == HTTP1_MORE)
		*r = http1_response_eof(&response, &e);
	must(*r == HTTP1_DONE || *r == HTTP1_BAD);
	if (*r == HTTP1_DONE)
		must(sum.heads == 1);
	http1_header(&response, "retry-after");
	http1_response_fini(&response);
	return sum;
}

static void talk_to_proxy(const char *url, struct str text, size_t step)
{
	struct url u;
	struct proxy_talk t;
	struct err e;
	enum proxy_result r = PROXY_MORE;

	must(url_parse(&u, url, "fuzz", &e) == 0);
	must(proxy_talk_init(&t, &u, "api.test", 443, &e) == 0);
	for (size_t at = 0; at < text.n && r == PROXY_MORE; at += step)
		r = proxy_feed(&t, str_sub(text.p + at, MIN(step, text.n - at)), &e);
	must((r == PROXY_OK) == (t.state == PROXY_DONE));
	proxy_talk_fini(&t);
	url_fini(&u);
}

static void read_url(struct str text)
{
	_cleanup_free_ char *copy = str_dup(text);
	struct url u;
	struct err e;

	if (url_parse(&u, copy, "fuzz", &e) == 0)
		must(u.host[0] != '\0' && u.port != 0);
	url_fini(&u);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n < 2)
		return 0;
	struct str text = str_sub((const char *)p + 1, n - 1);
	size_t step = p[0] % 64 + 1;
	enum http1_result r1, r2;

	struct sum a = read_response(text, step, &r1), b = read_response(text, text.n, &r2);
	must(r1 == r2);
	if (r1 == HTTP1_DONE)
		must(a.body == b.body && a.byte_sum == b.byte_sum);
	read_url(text);
	talk_to_proxy("http://p", text, step);
	talk_to_proxy("socks5://u:p@p", text, step);
	return 0;
}
