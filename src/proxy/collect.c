/*
 * The body of a request that is to be judged: read whole, with a bound and a deadline, before anything of
 * the request goes on.
 */
#include <sys/socket.h>

#include "base/util.h"
#include "proxy/forward_impl.h"

/* Contract 6.4. */
static void refuse(struct forward *f, unsigned status, const char *why)
{
	const struct policy_endpoint *ep =
		policy_endpoint_for(&f->session->egress.verdict, f->target.path);
	bool graphql = ep != NULL && ep->protocol == POLICY_GRAPHQL;

	forward_let_pass(f, graphql ? "l7-graphql" : "l7-jsonrpc", "l7_parse_rejection", why);
	forward_refuse(f, status, graphql ? "invalid_graphql_request" : "invalid_jsonrpc_request",
		       why);
}

/* Takes what has come. */
static void take(struct forward *f)
{
	struct session *s = f->session;
	size_t used = 0;
	enum body_result r = body_feed(&f->request, buf_view(&s->in), &f->body, &used);

	buf_consume(&s->in, used);
	if (r == BODY_MORE)
		return;
	timer_stop(s->proxy->loop, &s->deadline);
	loop_set(s->proxy->loop, &s->client, 0);
	if (r == BODY_BAD) {
		refuse(f, 400, "its body is malformed or too long");
		return;
	}
	f->collected = true;
	judge_body(f);
}

static void ready(struct source *src, uint32_t events UNUSED)
{
	struct session *s = container_of(src, struct session, client);
	enum session_read r = session_read(s);

	if (r == SESSION_EOF || r == SESSION_BROKEN)
		forward_end(s->forward);
	else if (r == SESSION_READ)
		take(s->forward);
}

static void too_late(struct timer *t)
{
	refuse(container_of(t, struct session, deadline)->forward, 408, "its body does not come");
}

/* The head must outlive its place in the buffer in which the body comes. */
static void keep_head(struct forward *f)
{
	struct buf *in = &f->session->in;
	const char *why;
	size_t used;

	buf_clear(&f->kept);
	must(buf_add(&f->kept, buf_view(in).p, f->head_n));
	buf_consume(in, f->head_n);
	f->head_n = 0;
	must(head_read(&f->head, buf_view(&f->kept), &used, &why) == HEAD_OK);
}

void collect_start(struct forward *f, size_t max)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct session *s = f->session;

	f->state = FORWARD_COLLECTING;
	keep_head(f);
	buf_clear(&f->body);
	f->body.max = MIN(max, (size_t)FORWARD_BODY_MAX);
	if (f->head.framing == BODY_LENGTH && f->head.length > f->body.max) {
		refuse(f, 400, "its body is too long");
		return;
	}
	body_init(&f->request, f->head.framing, f->head.length, true);
	s->client.ready = ready;
	s->deadline.fire = too_late;
	timer_set(s->proxy->loop, &s->deadline, FORWARD_BODY_MS);
	loop_set(s->proxy->loop, &s->client, EPOLLIN);
	/* a client that waits for the word has an empty socket: it goes out whole or never */
	if (f->head.expect_continue && s->in.n == 0)
		send(s->client.fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	take(f);
}
