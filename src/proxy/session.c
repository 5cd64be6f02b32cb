#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "net/sock_diag.h"
#include "proxy/answer.h"
#include "proxy/proxy_impl.h"

enum {
	LINGER_MS = 2000,
	HEAD_CHUNK = 2048, /* most heads are shorter: a session takes no more memory than that */
};

/* ---- reading and ending ---- */

enum session_read session_read(struct session *s)
{
	size_t room = s->in.max - s->in.n;
	ssize_t n;

	if (s->state == SESSION_HEAD)
		room = MIN(room, (size_t)HEAD_CHUNK);
	do {
		n = recv(s->client.fd, buf_room(&s->in, room), room, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? SESSION_AGAIN : SESSION_BROKEN;
	if (n == 0 && room > 0)
		return SESSION_EOF;
	buf_added(&s->in, (size_t)n);
	return SESSION_READ;
}

/* Stops everything that could call back. */
static void stop(struct session *s)
{
	struct loop *l = s->proxy->loop;

	loop_del(l, &s->client);
	timer_stop(l, &s->deadline);
	egress_cancel(&s->egress);
	tunnel_stop(&s->tunnel);
}

void session_free(struct session *s)
{
	stop(s);
	loop_later_cancel(&s->end);
	forward_free(s->forward);
	egress_fini(&s->egress);
	if (s->state == SESSION_TUNNEL)
		s->proxy->tunnels--;
	s->proxy->clients--;
	list_del(&s->link);
	if (s->client.fd >= 0)
		close(s->client.fd);
	if (s->server >= 0)
		close(s->server);
	buf_fini(&s->in);
	buf_fini(&s->out);
	free(s);
}

static void end(struct later *l)
{
	session_free(container_of(l, struct session, end));
}

void session_end(struct session *s)
{
	stop(s);
	loop_later(s->proxy->loop, &s->end);
}

static void too_late(struct timer *t)
{
	session_end(container_of(t, struct session, deadline));
}

/* ---- answers ---- */

/* What the client still sends is nobody's. It is read, so that what it gets is the answer and an end. */
static void lingering(struct source *src, uint32_t events UNUSED)
{
	struct session *s = container_of(src, struct session, client);

	buf_clear(&s->in);
	enum session_read r = session_read(s);
	if (r == SESSION_EOF || r == SESSION_BROKEN)
		session_end(s);
}

static void answering(struct source *src, uint32_t events UNUSED)
{
	struct session *s = container_of(src, struct session, client);
	struct loop *l = s->proxy->loop;

	while (s->out.n > 0) {
		struct str out = buf_view(&s->out);
		ssize_t n = send(src->fd, out.p, out.n, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			session_end(s);
			return;
		}
		buf_consume(&s->out, (size_t)n);
	}
	shutdown(src->fd, SHUT_WR);
	s->state = SESSION_LINGERING;
	src->ready = lingering;
	loop_set(l, src, EPOLLIN);
	timer_set(l, &s->deadline, LINGER_MS);
}

void session_answer(struct session *s)
{
	s->state = SESSION_ANSWERING;
	s->client.ready = answering;
	s->deadline.fire = too_late;
	loop_set(s->proxy->loop, &s->client, EPOLLOUT);
	timer_set(s->proxy->loop, &s->deadline, PROXY_HEAD_MS);
	answering(&s->client, EPOLLOUT);
}

void session_refuse(struct session *s, const struct refusal *why)
{
	answer_error(&s->out, why->status, why->error, why->detail, why->reason);
	session_answer(s);
}

/* ---- tunnels ---- */

/* Contract 5.6: what an older policy has allowed ends where bytes would next flow by it. */
static bool may_move(struct tunnel *t)
{
	struct session *s = container_of(t, struct session, tunnel);

	if (!egress_stale(&s->egress))
		return true;
	report_stale(&s->egress);
	session_end(s);
	return false;
}

static void tunnel_ended(struct tunnel *t, const struct err *why)
{
	struct session *s = container_of(t, struct session, tunnel);

	if (why != NULL)
		report_fail(&s->egress, why->text);
	session_end(s);
}

/* Most often it goes out at once, and a turn of the loop is saved. */
static void send_first(int fd, struct str *bytes)
{
	ssize_t n = bytes->n > 0 ? send(fd, bytes->p, bytes->n, MSG_NOSIGNAL) : 0;

	if (n > 0)
		*bytes = str_sub(bytes->p + n, bytes->n - (size_t)n);
}

/* Whether it leaves this machine: what does not has one address at both ends. */
static bool is_far(int fd)
{
	struct sockaddr_storage ours = {0}, theirs = {0};
	socklen_t n = sizeof ours, m = sizeof theirs;
	struct sock_end a, b;

	return getsockname(fd, (struct sockaddr *)&ours, &n) == 0 &&
	       getpeername(fd, (struct sockaddr *)&theirs, &m) == 0 && sock_end_of(&ours, &a) &&
	       sock_end_of(&theirs, &b) && memcmp(&a.address, &b.address, sizeof a.address) != 0;
}

void session_tunnel(struct session *s, int server, struct str from_server)
{
	struct proxy *p = s->proxy;
	struct str from_client = buf_view(&s->in);
	struct err e;

	loop_del(p->loop, &s->client);
	timer_stop(p->loop, &s->deadline);
	s->state = SESSION_TUNNEL;
	p->tunnels++;
	s->tunnel = (struct tunnel){
		.loop = p->loop,
		.pool = &p->pool,
		.may_move = may_move,
		.ended = tunnel_ended,
		.idle_ms = PROXY_IDLE_MS,
		.half_closed_ms = PROXY_HALF_CLOSED_MS,
		.far = is_far(server),
	};
	send_first(s->client.fd, &from_server);
	send_first(server, &from_client);
	if (tunnel_start(&s->tunnel, steal_fd(&s->client.fd), server, from_client, from_server,
			 &e) < 0) {
		report_fail(&s->egress, e.text);
		session_end(s);
	}
	buf_fini(&s->in);
	buf_fini(&s->out);
}

/* ---- the head ---- */

static void bad_head_known(struct egress *x)
{
	struct session *s = container_of(x, struct session, egress);

	report_bad_head(x, s->bad_head);
	session_answer(s);
}

/* What more it sends has time until it has its answer. */
static void bad_head_client(struct source *src, uint32_t events UNUSED)
{
	session_end(container_of(src, struct session, client));
}

void session_refuse_head(struct session *s, const char *why)
{
	s->bad_head = why;
	if (s->egress.caller != NULL) {
		bad_head_known(&s->egress);
		return;
	}
	s->client.ready = bad_head_client;
	s->deadline.fire = too_late;
	loop_set(s->proxy->loop, &s->client, 0);
	timer_set(s->proxy->loop, &s->deadline, PROXY_HEAD_MS);
	egress_ask_who(&s->egress, bad_head_known);
}

static void refuse_head(struct session *s, unsigned status, const char *error, const char *why)
{
	answer_error(&s->out, status, error, why, NULL);
	session_refuse_head(s, why);
}

static void serve(struct session *s, const struct head *head, size_t used)
{
	timer_stop(s->proxy->loop, &s->deadline);
	if (head->form == HEAD_AUTHORITY) {
		s->state = SESSION_CONNECTING;
		connect_start(s, head, used);
		return;
	}
	loop_set(s->proxy->loop, &s->client, 0);
	s->state = SESSION_FORWARDING;
	forward_start(s, head, used);
}

static void head_ready(struct source *src, uint32_t events UNUSED)
{
	static struct head head; /* large, and needed for as long as this function runs */
	struct session *s = container_of(src, struct session, client);
	enum session_read r = session_read(s);
	const char *why = NULL;
	size_t used = 0;

	if (r == SESSION_EOF || r == SESSION_BROKEN) {
		session_end(s);
		return;
	}
	if (r == SESSION_AGAIN)
		return;
	switch (head_read(&head, buf_view(&s->in), &used, &why)) {
	case HEAD_OK:
		serve(s, &head, used);
		break;
	case HEAD_BAD:
		refuse_head(s, 400, "bad_request", why);
		break;
	case HEAD_LONG:
		refuse_head(s, 431, "request_header_too_large", why);
		break;
	case HEAD_MORE:
		break;
	}
}

void session_start(struct proxy *p, int fd)
{
	struct session *s = xcalloc(1, sizeof *s);
	const int one = 1;
	struct err e;

	s->proxy = p;
	s->server = -1;
	s->in = BUF_INIT(HEAD_MAX);
	s->out = BUF_INIT(SESSION_OUT_MAX);
	s->deadline.fire = too_late;
	s->end.run = end;
	s->client = (struct source){.fd = fd, .ready = head_ready, .name = "client"};
	egress_init(&s->egress, p, fd);
	list_add(&p->sessions, &s->link);
	p->clients++;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (loop_add(p->loop, &s->client, EPOLLIN, &e) < 0) {
		log_warn("a connection to the proxy cannot be served", "error=%s", e.text);
		session_end(s);
		return;
	}
	timer_set(p->loop, &s->deadline, PROXY_HEAD_MS);
	head_ready(&s->client, EPOLLIN); /* a client that is quick has sent it already */
}
