#include "base/util.h"
#include "proxy/body.h"

enum {
	IDLE_MAX = 16384, /* bytes in which nothing of the body comes: extensions, trailers */
};

static struct body *of(llhttp_t *p)
{
	return container_of(p, struct body, parser);
}

static int put(struct body *b, bool fits)
{
	b->full |= !fits;
	return fits ? 0 : HPE_USER;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
	struct body *b = of(p);

	b->idle = 0;
	if (b->plain)
		return put(b, buf_add(b->out, at, n));
	return put(b, buf_printf(b->out, "%zx\r\n", n) && buf_add(b->out, at, n) &&
			      buf_cstr(b->out, "\r\n"));
}

static int on_complete(llhttp_t *p)
{
	struct body *b = of(p);

	b->done = true;
	if (!b->plain && put(b, buf_cstr(b->out, "0\r\n\r\n")) != 0)
		return HPE_USER;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_body = on_body,
	.on_message_complete = on_complete,
};

void body_init(struct body *b, enum body_framing framing, uint64_t length, bool plain)
{
	/* what brings the parser to where a chunked body begins */
	static const char head[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";

	*b = (struct body){.framing = framing, .left = length, .plain = plain};
	b->done = framing == BODY_NONE || (framing == BODY_LENGTH && length == 0);
	if (framing != BODY_CHUNKED)
		return;
	llhttp_init(&b->parser, HTTP_REQUEST, &settings);
	must(llhttp_execute(&b->parser, head, sizeof head - 1) == HPE_OK);
}

static enum body_result feed_chunked(struct body *b, struct str bytes, size_t *used)
{
	*used = bytes.n;
	b->idle += bytes.n;
	enum llhttp_errno code = llhttp_execute(&b->parser, bytes.p, bytes.n);
	if (code == HPE_OK && !b->full)
		return b->idle > IDLE_MAX ? BODY_BAD : BODY_MORE;
	if (code != HPE_PAUSED || !b->done || b->full)
		return BODY_BAD;
	*used = (size_t)(llhttp_get_error_pos(&b->parser) - bytes.p);
	return BODY_DONE;
}

enum body_result body_feed(struct body *b, struct str bytes, struct buf *out, size_t *used)
{
	*used = 0;
	if (b->done)
		return BODY_DONE;
	if (bytes.n == 0)
		return BODY_MORE;
	if (b->framing == BODY_CHUNKED) {
		b->out = out;
		return feed_chunked(b, bytes, used);
	}
	*used = b->framing == BODY_LENGTH ? (size_t)MIN(b->left, bytes.n) : bytes.n;
	if (!buf_add(out, bytes.p, *used))
		return BODY_BAD;
	if (b->framing != BODY_LENGTH)
		return BODY_MORE;
	b->left -= *used;
	b->done = b->left == 0;
	return b->done ? BODY_DONE : BODY_MORE;
}

enum body_result body_eof(struct body *b)
{
	if (b->framing == BODY_UNTIL_CLOSE)
		b->done = true;
	return b->done ? BODY_DONE : BODY_BAD;
}
