/*
 * CONNECT (supervisor contract 6.3): a tunnel to a destination that the policy allows. Where the policy
 * wants to judge requests one by one, what the client begins with decides: plain HTTP/1 is judged
 * (forward.c), everything else is refused, since it cannot be looked into.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "proxy/answer.h"
#include "proxy/proxy_impl.h"

enum {
	PEEK_MAX = 24, /* bytes: the preface of HTTP/2 (RFC 9113 3.4) */
	TLS_PORT = 443,
};

/* ---- what the client begins with ---- */

enum begins { BEGINS_UNKNOWN, BEGINS_TLS, BEGINS_HTTP1, BEGINS_MORE };

static bool is_token(char c)
{
	return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

static enum begins what_begins(struct str bytes)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	size_t i = 0;

	_Static_assert(sizeof preface - 1 == PEEK_MAX, "the whole preface is peeked at");
	/* a record of TLS 1.0 to 1.3 that holds a handshake (RFC 8446 5.1) */
	if (bytes.n > 0 && bytes.p[0] == 0x16)
		return bytes.n > 1 ? bytes.p[1] == 3 ? BEGINS_TLS : BEGINS_UNKNOWN : BEGINS_MORE;
	if (bytes.n > 0 && memcmp(bytes.p, preface, MIN(bytes.n, sizeof preface - 1)) == 0)
		return bytes.n >= PEEK_MAX ? BEGINS_UNKNOWN : BEGINS_MORE;
	while (i < bytes.n && is_token(bytes.p[i]))
		i++;
	if (i == bytes.n)
		return i < PEEK_MAX ? BEGINS_MORE : BEGINS_UNKNOWN;
	return i > 0 && bytes.p[i] == ' ' ? BEGINS_HTTP1 : BEGINS_UNKNOWN;
}

/* Requests are to be judged inside of the tunnel. */
static bool is_inspected(const struct egress *x)
{
	return x->verdict.inspected && !x->verdict.tls_skip;
}

static const struct refusal *refuse_tls(struct egress *x)
{
	return egress_refuse(x, REFUSED_BY_TLS, 503, "tls_termination_unavailable",
			     "requires TLS termination, which is not available",
			     "the policy judges requests to this endpoint one by one, and those "
			     "inside TLS cannot be seen");
}

/* ---- the tunnel ---- */

static void refuse(struct session *s, const struct refusal *why)
{
	report_open(&s->egress, why);
	session_refuse(s, why);
}

static void begin_tunnel(struct session *s, struct str first)
{
	report_open(&s->egress, NULL);
	session_tunnel(s, steal_fd(&s->server), first);
}

/* The client has had its 200 and speaks TLS: what it understands is an alert (RFC 8446 6.2, access_denied). */
static void refuse_in_tls(struct session *s, const struct refusal *why)
{
	report_open(&s->egress, why);
	buf_str(&s->out, STR("\x15\x03\x03\x00\x02\x02\x31"));
	session_answer(s);
}

/* Contract 6.3, step 10. */
static void begin(struct session *s, enum begins what)
{
	const struct refusal *why;

	timer_stop(s->proxy->loop, &s->deadline);
	loop_set(s->proxy->loop, &s->client, 0);
	if (what == BEGINS_HTTP1) {
		report_open(&s->egress, NULL);
		s->state = SESSION_FORWARDING;
		forward_tunnel_start(s, steal_fd(&s->server));
		return;
	}
	if (what == BEGINS_TLS)
		why = refuse_tls(&s->egress);
	else
		why = egress_refuse(&s->egress, REFUSED_BY_PROTOCOL, 403, "unsupported_l7_protocol",
				    "requires HTTP/1, which alone can be looked into",
				    "the policy judges requests to this endpoint one by one");
	if (why == NULL)
		begin_tunnel(s, STR_NONE);
	else if (what == BEGINS_TLS)
		refuse_in_tls(s, why);
	else
		refuse(s, why);
}

static void peek(struct source *src, uint32_t events UNUSED)
{
	struct session *s = container_of(src, struct session, client);
	enum session_read r = session_read(s);

	if (r == SESSION_EOF || r == SESSION_BROKEN) {
		session_end(s);
		return;
	}
	enum begins what = what_begins(buf_view(&s->in));
	if (what != BEGINS_MORE)
		begin(s, what);
}

static void peeked_long_enough(struct timer *t)
{
	begin(container_of(t, struct session, deadline), BEGINS_UNKNOWN);
}

/* The contract waits 100 ms and takes silence for a protocol that it does not know. Where nothing but HTTP/1
 * is let through anyhow, a client that is slow costs nothing, and is given the time of a head. */
static void begin_to_peek(struct session *s)
{
	struct loop *l = s->proxy->loop;
	struct str out = buf_view(&s->out);

	if (send(s->client.fd, out.p, out.n, MSG_NOSIGNAL) != (ssize_t)out.n) {
		session_end(s); /* its socket was empty: it is broken */
		return;
	}
	buf_clear(&s->out);
	s->state = SESSION_PEEKING;
	s->client.ready = peek;
	s->deadline.fire = peeked_long_enough;
	loop_set(l, &s->client, EPOLLIN);
	timer_set(l, &s->deadline, s->proxy->config.observe ? PROXY_PEEK_MS : PROXY_HEAD_MS);
	peek(&s->client, EPOLLIN);
}

/* ---- the way to it ---- */

static void connected(struct egress *x, int fd, const struct refusal *why)
{
	struct session *s = container_of(x, struct session, egress);

	if (why != NULL) {
		refuse(s, why);
		return;
	}
	s->server = fd;
	answer_established(&s->out);
	if (is_inspected(x))
		begin_to_peek(s);
	else
		begin_tunnel(s, buf_view(&s->out));
}

/* By its port we know that a client will speak TLS, and can still say in words why not: step 6. Where that
 * is open, it is let begin. */
static const struct refusal *checked(struct egress *x)
{
	return is_inspected(x) && x->port == TLS_PORT ? refuse_tls(x) : NULL;
}

static void decided(struct egress *x, const struct refusal *why)
{
	struct session *s = container_of(x, struct session, egress);

	if (why != NULL)
		refuse(s, why);
	else
		egress_connect(x);
}

/* Nothing is expected of the client now but that it may go. What it sends all the same has time. */
static void client_early(struct source *src, uint32_t events)
{
	struct session *s = container_of(src, struct session, client);

	if (events & (EPOLLHUP | EPOLLERR))
		session_end(s);
	else
		loop_set(s->proxy->loop, src, 0);
}

void connect_start(struct session *s, const struct head *head, size_t used)
{
	struct egress *x = &s->egress;

	buf_consume(&s->in, used);
	s->client.ready = client_early;
	x->decided = decided;
	x->checked = checked;
	x->connected = connected;
	x->tunnel = true;
	/* contract 6.9: there are no routes */
	if (streq(head->host, "inference.local") && head->port == TLS_PORT) {
		answer_error(&s->out, 503, "cluster_inference_unavailable",
			     "cluster inference is not configured", NULL);
		session_answer(s);
		return;
	}
	egress_ask(x, str_of(head->host), head->port, head->method, head->target);
}
