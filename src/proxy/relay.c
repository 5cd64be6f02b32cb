/*
 * One request of plain HTTP on its way to the server, and the response back: both at once, each as fast as
 * its receiver reads, and neither taken for anything but the one message that its head has announced.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "proxy/forward_impl.h"
#include "proxy/rewrite.h"

/* It may be over at any step: refused, broken, switched to another protocol, or tried anew. */
static bool is_over(const struct forward *f)
{
	return f->state != FORWARD_RELAYING;
}

/* Whether the whole response is queued, if not sent. */
static bool is_answered(const struct forward *f)
{
	return f->answering && f->response.done;
}

/* ---- the request ---- */

static void consume_head(struct forward *f)
{
	buf_consume(&f->session->in, f->head_n);
	f->head_n = 0;
}

/* Moves what the client has sent of the body into the queue. */
static void take_request(struct forward *f, bool readable)
{
	struct session *s = f->session;
	size_t used;

	while (!f->request.done && !f->server_deaf && f->to_server.n < FORWARD_QUEUE) {
		if (s->in.n == 0) {
			enum session_read r = readable ? session_read(s) : SESSION_AGAIN;
			if (r == SESSION_EOF || r == SESSION_BROKEN) {
				forward_end(f);
				return;
			}
			if (r == SESSION_AGAIN)
				break;
			readable = false; /* one read a turn */
		}
		struct str in = buf_view(&s->in);
		in.n = MIN(in.n, (size_t)FORWARD_QUEUE);
		enum body_result r = body_feed(&f->request, in, &f->to_server, &used);
		buf_consume(&s->in, used);
		if (r != BODY_BAD)
			continue;
		if (f->answering || s->out.n > 0) {
			forward_abort(f, "the body of the request is malformed");
		} else {
			report_fail(&s->egress, "the body of the request is malformed");
			forward_refuse(f, 400, "bad_request", "its body is malformed");
		}
		return;
	}
}

/* A server that takes no more may have answered all the same; what it says is still read. */
static void send_to_server(struct forward *f)
{
	while (f->to_server.n > 0) {
		struct str out = buf_view(&f->to_server);
		ssize_t n = send(f->server.fd, out.p, out.n, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			f->server_deaf = true;
			buf_clear(&f->to_server);
		}
		if (n < 0)
			return;
		buf_consume(&f->to_server, (size_t)n);
	}
}

/* ---- the response ---- */

/* The server has failed before its response was on its way. */
static void fail(struct forward *f, const char *error, const char *why)
{
	if (f->interims > 0) {
		forward_abort(f, why);
		return;
	}
	report_fail(&f->session->egress, why);
	forward_refuse(f, 502, error, why);
}

/* What is to be said when no response comes. A server that has ended a kept connection at the moment at which
 * we asked again has seen nothing of it: who may ask twice does (RFC 9110 9.2.2). */
static void no_reply(struct forward *f)
{
	if (f->asked_before && f->repeatable && f->interims == 0 && f->from_server.n == 0) {
		forward_drop_server(f);
		forward_connect(f);
		return;
	}
	fail(f, "upstream_unreachable", "the server ended without a response");
}

static void bad_reply(struct forward *f, const char *why)
{
	struct buf text = BUF_INIT(512);

	buf_printf(&text, "not a response that can be passed on: %s", why);
	buf_char(&text, '\0');
	fail(f, "upstream_invalid_response", buf_view(&text).p);
	buf_fini(&text);
}

/* From now on it is no HTTP. What is left of either side's bytes belongs to the other. */
static void switch_protocols(struct forward *f, size_t used)
{
	struct session *s = f->session;
	const char *why = "it switches protocols unasked";

	if (f->accept[0] != '\0')
		why = websocket_reply(&f->reply, f->accept);
	if (why == NULL && f->to_server.n > 0)
		why = "it answers before it was asked";
	if (why != NULL) {
		bad_reply(f, why);
		return;
	}
	rewrite_reply(&s->out, &(struct rewrite_reply){.reply = &f->reply, .websocket = true});
	buf_consume(&f->from_server, used);
	must(buf_str(&s->out, buf_view(&f->from_server)));
	consume_head(f);
	loop_del(s->proxy->loop, &f->server);
	f->state = FORWARD_OVER;
	session_tunnel(s, steal_fd(&f->server.fd), buf_view(&s->out));
}

static void begin_response(struct forward *f)
{
	const struct reply *r = &f->reply;

	f->keep = f->head.keep_alive && !f->head.http10 && f->request.done &&
		  r->framing != BODY_UNTIL_CLOSE;
	rewrite_reply(&f->session->out,
		      &(struct rewrite_reply){
			      .reply = r,
			      .chunked = r->framing == BODY_CHUNKED && !f->head.http10,
			      .close = !f->keep,
		      });
	body_init(&f->response, r->framing, r->length, f->head.http10);
	f->answering = true;
	consume_head(f);
}

/* Takes one head. False: there is none yet, or the relay is over. */
static bool take_head(struct forward *f)
{
	const char *why = NULL;
	size_t used = 0;

	if ((f->from_server.n == 0 && !f->server_ended) || f->session->out.n >= FORWARD_QUEUE)
		return false;
	enum head_result r =
		reply_read(&f->reply, buf_view(&f->from_server), f->to_head, &used, &why);
	if (r == HEAD_MORE) {
		if (f->server_ended)
			no_reply(f);
		return false;
	}
	if (r == HEAD_OK && f->reply.interim && ++f->interims > FORWARD_INTERIM_MAX)
		why = "it has too many interim responses";
	if (why != NULL) {
		bad_reply(f, why);
		return false;
	}
	if (f->reply.status == 101) {
		switch_protocols(f, used);
		return false;
	}
	if (!f->reply.interim)
		begin_response(f);
	else if (!f->head.http10)
		rewrite_reply(&f->session->out, &(struct rewrite_reply){.reply = &f->reply});
	buf_consume(&f->from_server, used);
	return true;
}

/* Takes of the body what the client's queue has room for. False: there is no more now, or it is over. */
static bool take_body(struct forward *f)
{
	struct session *s = f->session;
	struct str in = buf_view(&f->from_server);
	size_t room = s->out.n < FORWARD_QUEUE ? FORWARD_QUEUE - s->out.n : 0, used;

	if (f->response.done || room == 0)
		return false;
	in.n = MIN(in.n, room);
	enum body_result r = body_feed(&f->response, in, &s->out, &used);
	buf_consume(&f->from_server, used);
	if (r == BODY_MORE && f->from_server.n == 0 && f->server_ended)
		r = f->server_broken ? BODY_BAD : body_eof(&f->response);
	if (r == BODY_BAD)
		forward_abort(f, "the server's response is cut or malformed");
	return r == BODY_MORE && used > 0;
}

static void read_server(struct forward *f)
{
	ssize_t n;

	do {
		n = recv(f->server.fd, buf_room(&f->from_server, FORWARD_READ), FORWARD_READ, 0);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		buf_added(&f->from_server, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		f->server_ended = true;
	if (n < 0 && errno != EAGAIN)
		f->server_broken = true;
}

/* Whether there is a use for more of what the server says: not behind its response, and not before the
 * client has taken what is queued. */
static bool wants_more(const struct forward *f)
{
	return !f->server_ended && !is_answered(f) && f->session->out.n < FORWARD_QUEUE &&
	       f->from_server.n + FORWARD_READ <= FORWARD_BUF_MAX;
}

/* Queues what has come, as far as there is room. */
static void take_reply(struct forward *f)
{
	while (!is_over(f) && (f->answering ? take_body(f) : take_head(f)))
		;
}

static void send_to_client(struct forward *f)
{
	struct session *s = f->session;

	while (s->out.n > 0) {
		struct str out = buf_view(&s->out);
		ssize_t n = send(s->client.fd, out.p, out.n, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			forward_end(f);
		if (n < 0)
			return;
		buf_consume(&s->out, (size_t)n);
	}
}

/* ---- both ---- */

static bool may_keep_server(const struct forward *f)
{
	return f->reply.keep_alive && f->request.done && f->to_server.n == 0 && !f->server_deaf &&
	       !f->server_ended && f->from_server.n == 0;
}

static void finish(struct forward *f)
{
	if (may_keep_server(f))
		f->asked_before = true;
	else
		forward_drop_server(f);
	/* who only waits for the next request holds no memory */
	buf_fini(&f->from_server);
	buf_fini(&f->to_server);
	buf_fini(&f->session->out);
	if (f->session->in.n == 0)
		buf_fini(&f->session->in);
	if (f->keep) {
		forward_next(f);
		return;
	}
	forward_drop_server(f);
	f->state = FORWARD_OVER;
	session_answer(f->session); /* nothing is left to be sent: our end is said */
}

static void watch(struct forward *f)
{
	struct session *s = f->session;
	bool client_in = !f->request.done && !f->server_deaf && f->to_server.n < FORWARD_QUEUE;

	loop_set(s->proxy->loop, &s->client,
		 (client_in ? EPOLLIN : 0) | (s->out.n > 0 ? EPOLLOUT : 0));
	if (f->server_ended || f->server_hung_up) /* the loop would tell it again and again */
		loop_del(s->proxy->loop, &f->server);
	else
		loop_set(s->proxy->loop, &f->server,
			 (wants_more(f) ? EPOLLIN : 0) | (f->to_server.n > 0 ? EPOLLOUT : 0));
}

/* Until nothing moves any more but by news of the loop. There are none of bytes that are here already, nor of
 * a server that has hung up. */
static void pump_reply(struct forward *f, bool readable)
{
	bool again = true;

	while (again) {
		if ((readable || f->server_hung_up) && wants_more(f))
			read_server(f);
		readable = false;
		size_t held = f->from_server.n;
		take_reply(f);
		if (is_over(f))
			return;
		size_t queued = f->session->out.n;
		send_to_client(f);
		if (is_over(f))
			return;
		bool moved = f->from_server.n < held || f->session->out.n < queued;
		again = !is_answered(f) && f->session->out.n < FORWARD_QUEUE &&
			((f->from_server.n > 0 && moved) || f->server_ended || f->server_hung_up);
	}
}

static void pump(struct forward *f, bool client_readable, bool server_readable)
{
	take_request(f, client_readable);
	if (!is_over(f))
		send_to_server(f);
	if (!is_over(f))
		pump_reply(f, server_readable);
	if (is_over(f))
		return;
	timer_set(f->session->proxy->loop, &f->session->deadline, PROXY_IDLE_MS);
	if (is_answered(f) && f->session->out.n == 0)
		finish(f);
	else
		watch(f);
}

static void client_ready(struct source *src, uint32_t events)
{
	struct forward *f = container_of(src, struct session, client)->forward;

	if (events & (EPOLLHUP | EPOLLERR))
		forward_end(f);
	else
		pump(f, events & EPOLLIN, false);
}

void relay_server_ready(struct source *src, uint32_t events)
{
	struct forward *f = container_of(src, struct forward, server);

	if (events & (EPOLLHUP | EPOLLERR))
		f->server_hung_up = true;
	if (f->state == FORWARD_RELAYING)
		pump(f, false, true);
	else
		forward_drop_server(f); /* it speaks unasked, or has ended */
}

static void idle(struct timer *t)
{
	struct forward *f = container_of(t, struct session, deadline)->forward;

	if (!f->answering && f->interims == 0)
		forward_refuse(f, 504, "upstream_timeout", "the server does not answer");
	else
		forward_abort(f, "nothing has moved for too long");
}

/* What was read before, since it was judged. */
static void put_body(struct forward *f)
{
	f->to_server.max = FORWARD_BUF_MAX + f->body.n;
	must(buf_str(&f->to_server, buf_view(&f->body)));
	buf_fini(&f->body);
}

void relay_start(struct forward *f)
{
	struct session *s = f->session;
	const struct head *h = &f->head;
	bool says_host = h->host[0] != '\0'; /* which HTTP/1.0 need not */
	bool whole = f->collected && h->framing != BODY_NONE;

	f->state = FORWARD_RELAYING;
	f->server_deaf = f->server_ended = f->server_broken = f->server_hung_up = false;
	f->answering = false;
	f->interims = 0;
	buf_clear(&f->from_server);
	buf_clear(&f->to_server); /* of a request that is sent once more */
	f->to_server.max = FORWARD_BUF_MAX;
	f->to_head = str_is(h->method, "HEAD");
	f->repeatable = f->head_n > 0 && h->framing == BODY_NONE &&
			(f->to_head || str_is(h->method, "GET") || str_is(h->method, "OPTIONS"));
	rewrite_request(&f->to_server, &(struct rewrite_request){
					       .head = h,
					       .target = f->target.text,
					       .host = says_host ? h->host : s->egress.host,
					       .port = says_host ? h->port : s->egress.port,
					       .framing = whole ? BODY_LENGTH : h->framing,
					       .length = whole ? f->body.n : h->length,
					       .websocket = f->accept[0] != '\0',
					       .expect = h->expect_continue && !whole,
				       });
	body_init(&f->request, whole ? BODY_NONE : h->framing, h->length, false);
	if (whole)
		put_body(f);
	if (!f->repeatable) /* else it is kept until the server has answered */
		consume_head(f);
	s->client.ready = client_ready;
	s->deadline.fire = idle;
	pump(f, !f->request.done, false);
}
