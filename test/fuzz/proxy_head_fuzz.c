/*
 * What a sandbox sends to the proxy: a head, the body that it announces, and what follows. Whatever is
 * taken is taken the same however it is cut, and a body that was let through is, read again, the same
 * body with nothing behind it.
 */
#include <string.h>

#include "base/util.h"
#include "proxy/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { ROOM = 1 << 20 };

static size_t relay(struct body *b, struct str in, size_t step, struct buf *out)
{
	enum body_result r = BODY_MORE;
	size_t at = 0;

	while (r == BODY_MORE && at < in.n) {
		size_t used, before = out->n, some = MIN(step, in.n - at);
		r = body_feed(b, str_sub(in.p + at, some), out, &used);
		must(used <= some && out->n - before <= some + BODY_OVERHEAD);
		at += used;
	}
	must(r != BODY_DONE || b->done);
	return at;
}

static void check_body(const struct head *h, struct str in, size_t step)
{
	struct body a, b;
	_cleanup_buf_ struct buf framed = BUF_INIT(ROOM), plain = BUF_INIT(ROOM),
				 again = BUF_INIT(ROOM);

	body_init(&a, h->framing, h->length, false);
	size_t used = relay(&a, in, step, &framed);
	body_init(&b, h->framing, h->length, true);
	must(relay(&b, in, in.n, &plain) == used || !a.done);
	if (!a.done)
		return;
	must(b.done);
	body_init(&a, h->framing, h->length, true);
	must(relay(&a, buf_view(&framed), ROOM, &again) == framed.n);
	must(a.done && str_eq(buf_view(&again), buf_view(&plain)));
}

static void check_host(const char *host)
{
	char text[HOST_SIZE + 2], again[HOST_SIZE];

	snprintf(text, sizeof text, strchr(host, ':') ? "[%s]" : "%s", host);
	must(host_read(str_of(text), again) && streq(host, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct head h, first;
	size_t used = 0, end = 0;
	const char *why = NULL;

	if (n < 2)
		return 0;
	struct str in = str_sub(p + 1, n - 1);
	enum head_result r = head_read(&h, in, &used, &why);
	if (r == HEAD_BAD || r == HEAD_LONG) {
		must(why != NULL && why[0] != '\0');
		return 0;
	}
	/* in pieces: never anything but "more" before its end, and the same then */
	for (size_t i = 0; i < (r == HEAD_OK ? used : in.n); i += p[0] % 64 + 1)
		must(head_read(&first, str_sub(in.p, i), &end, &why) == HEAD_MORE);
	if (r == HEAD_MORE)
		return 0;
	must(used <= HEAD_MAX && h.fields.n <= FIELDS_MAX);
	must(h.framing == BODY_LENGTH || h.length == 0);
	if (h.host[0] != '\0')
		check_host(h.host);
	else
		must(h.http10 || h.scheme != HEAD_HTTP);
	check_body(&h, str_sub(in.p + used, in.n - used), p[0] % 64 + 1);
	return 0;
}
