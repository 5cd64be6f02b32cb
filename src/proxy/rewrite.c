#include <string.h>

#include "base/util.h"
#include "proxy/rewrite.h"

static void put(struct buf *out, struct str text)
{
	must(buf_str(out, text));
}

static void put_field(struct buf *out, struct str name, struct str value)
{
	put(out, name);
	put(out, STR(": "));
	put(out, value);
	put(out, STR("\r\n"));
}

/* Those that are passed on as they are. */
static void put_fields(struct buf *out, const struct fields *f, const char *const *but)
{
	for (size_t i = 0; i < f->n; i++) {
		bool left_out = fields_hop_by_hop(f, f->v[i].name);
		for (const char *const *name = but; *name != NULL; name++)
			left_out = left_out || str_ieq(f->v[i].name, str_of(*name));
		if (!left_out)
			put_field(out, f->v[i].name, f->v[i].value);
	}
}

static void put_length(struct buf *out, uint64_t length)
{
	must(buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)length));
}

static void put_host(struct buf *out, const char *host, uint16_t port)
{
	bool v6 = strchr(host, ':') != NULL;

	must(buf_printf(out, "Host: %s%s%s", v6 ? "[" : "", host, v6 ? "]" : ""));
	if (port != 80)
		must(buf_printf(out, ":%u", port));
	put(out, STR("\r\n"));
}

static void put_upgrade(struct buf *out)
{
	put(out, STR("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
}

void rewrite_request(struct buf *out, const struct rewrite_request *r)
{
	static const char *const ours[] = {"host", "content-length", "expect", NULL};

	put(out, r->head->method);
	put(out, STR(" "));
	put(out, r->target);
	put(out, STR(" HTTP/1.1\r\n"));
	put_host(out, r->host, r->port);
	put_fields(out, &r->head->fields, ours);
	if (r->framing == BODY_LENGTH)
		put_length(out, r->length);
	else if (r->framing == BODY_CHUNKED)
		put(out, STR("Transfer-Encoding: chunked\r\n"));
	if (r->expect)
		put(out, STR("Expect: 100-continue\r\n"));
	if (r->websocket)
		put_upgrade(out);
	put(out, STR("Via: 1.1 openshell-sandbox\r\n\r\n"));
}

void rewrite_reply(struct buf *out, const struct rewrite_reply *r)
{
	/* without a body it is what another request would have got, and goes on (RFC 9110 8.6) */
	static const char *const with_body[] = {"content-length", NULL}, *const without[] = {NULL};
	const struct reply *reply = r->reply;

	must(buf_printf(out, "HTTP/1.1 %u ", reply->status));
	put(out, reply->phrase);
	put(out, STR("\r\n"));
	put_fields(out, &reply->fields, reply->framing == BODY_NONE ? without : with_body);
	if (reply->framing == BODY_LENGTH)
		put_length(out, reply->length);
	else if (r->chunked)
		put(out, STR("Transfer-Encoding: chunked\r\n"));
	if (r->websocket)
		put_upgrade(out);
	if (r->close)
		put(out, STR("Connection: close\r\n"));
	put(out, STR("\r\n"));
}
