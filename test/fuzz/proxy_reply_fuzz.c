/*
 * What passes through the proxy, both ways: a request that was read and is sent on is, read again, the same
 * one and one only; likewise a response.
 */
#include <string.h>

#include "base/util.h"
#include "proxy/rewrite.h"
#include "proxy/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { ROOM = 256 << 10 };

/* Nothing of one hop is left, but what we have put there. */
static void check_fields(const struct fields *f)
{
	must(fields_count(f, "transfer-encoding") + fields_count(f, "content-length") <= 1);
	must(fields_count(f, "proxy-authorization") == 0 && fields_count(f, "keep-alive") == 0);
	must(fields_count(f, "connection") <= 2 && fields_count(f, "te") == 0);
}

static void pass_request(struct str in)
{
	static struct head h, again;
	_cleanup_buf_ struct buf out = BUF_INIT(ROOM);
	char accept[WEBSOCKET_ACCEPT_SIZE];
	size_t used;
	const char *why;

	if (head_read(&h, in, &used, &why) != HEAD_OK || h.form == HEAD_AUTHORITY ||
	    h.host[0] == '\0')
		return;
	bool websocket = head_asks_websocket(&h) && websocket_request(&h, accept) == NULL;
	rewrite_request(&out, &(struct rewrite_request){.head = &h,
							.target = STR("/x"),
							.host = h.host,
							.port = h.port,
							.framing = h.framing,
							.length = h.length,
							.websocket = websocket,
							.expect = h.expect_continue});
	must(out.n <= HEAD_MAX + REWRITE_OVERHEAD);
	enum head_result r = head_read(&again, buf_view(&out), &used, &why);
	if (r == HEAD_LONG) /* one field more than it had */
		return;
	must(r == HEAD_OK && used == out.n);
	must(again.form == HEAD_ORIGIN && streq(again.host, h.host) && again.port == h.port);
	must(again.framing == h.framing && again.length == h.length);
	must(head_asks_websocket(&again) == websocket);
	must(again.keep_alive && fields_count(&again.fields, "host") == 1);
	check_fields(&again.fields);
}

static void pass_reply(struct str in, bool to_head)
{
	static struct reply a, b;
	_cleanup_buf_ struct buf out = BUF_INIT(ROOM);
	size_t used;
	const char *why = NULL;

	enum head_result r = reply_read(&a, in, to_head, &used, &why);
	if (r != HEAD_OK) {
		must(r == HEAD_MORE || why != NULL);
		return;
	}
	must(used <= REPLY_MAX && (a.interim || a.status >= 200 || a.status == 101));
	must(a.framing != BODY_UNTIL_CLOSE || !a.keep_alive);
	rewrite_reply(&out, &(struct rewrite_reply){.reply = &a,
						    .chunked = a.framing == BODY_CHUNKED,
						    .close = !a.keep_alive});
	must(out.n <= REPLY_MAX + REWRITE_OVERHEAD);
	r = reply_read(&b, buf_view(&out), to_head, &used, &why);
	if (r == HEAD_LONG)
		return;
	must(r == HEAD_OK && used == out.n);
	must(b.status == a.status && b.framing == a.framing && b.length == a.length);
	must(b.keep_alive == a.keep_alive);
	check_fields(&b.fields);
	websocket_reply(&a, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n < 1)
		return 0;
	pass_request(str_sub(p + 1, n - 1));
	pass_reply(str_sub(p + 1, n - 1), p[0] & 1);
	return 0;
}
