#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "net/dial.h"
#include "net/proxy.h"

/* For one address while there are others left; the last has what remains of the whole. */
enum { ADDRESS_MS = 3000 };

/*
 *  RESOLVING ---> CONNECTING ---> TALKING (with a proxy) ---> done
 *                  |      ^            |
 *                  +------+            v
 *               next address        failed: a proxy that answers has only one answer
 */
enum state { RESOLVING, CONNECTING, TALKING };

struct dial {
	struct loop *loop;
	struct dial_config config;
	enum state state;
	char *target; /* "host:port" of the server */
	char *first;  /* of what we connect to: the server or the proxy */
	struct resolve_query query;
	struct address *addresses;
	int n, at;
	struct source src;
	struct timer deadline, address_timer;
	struct later start, end;
	struct proxy_talk talk;
	struct err why; /* of the address tried last */
};

static void next_address(struct dial *d);

static void close_socket(struct dial *d)
{
	loop_del(d->loop, &d->src);
	if (d->src.fd >= 0)
		close(steal_fd(&d->src.fd));
}

static void release(struct later *l)
{
	struct dial *d = container_of(l, struct dial, end);

	proxy_talk_fini(&d->talk);
	free(d->addresses);
	free(d->target);
	free(d->first);
	free(d);
}

void dial_cancel(struct dial *d)
{
	if (d == NULL)
		return;
	resolve_cancel(&d->query);
	timer_stop(d->loop, &d->deadline);
	timer_stop(d->loop, &d->address_timer);
	loop_later_cancel(&d->start);
	close_socket(d);
	loop_later(d->loop, &d->end);
}

static void finish(struct dial *d, int fd, const struct err *why)
{
	void (*done)(void *, int, const struct err *) = d->config.done;
	void *owner = d->config.owner;
	struct err copy;

	if (why != NULL) /* it may be d's own */
		copy = *why;
	dial_cancel(d);
	done(owner, fd, why ? &copy : NULL);
}

static void succeed(struct dial *d)
{
	loop_del(d->loop, &d->src);
	finish(d, steal_fd(&d->src.fd), NULL);
}

static const char *role(const struct dial *d)
{
	return d->config.proxy ? "proxy " : "";
}

/* ---- the proxy ---- */

static void talk_failed(struct dial *d)
{
	err_wrap(&d->why, "connect to %s: proxy %s", d->target, d->first);
	finish(d, -1, &d->why);
}

/* Sends what is to be sent. False when that failed. */
static bool talk_send(struct dial *d)
{
	while (d->talk.out.n > 0) {
		struct str out = buf_view(&d->talk.out);
		ssize_t put = send(d->src.fd, out.p, out.n, MSG_NOSIGNAL);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno != EAGAIN) {
			err_sys(&d->why, "write");
			talk_failed(d);
			return false;
		}
		if (put < 0)
			break;
		buf_consume(&d->talk.out, (size_t)put);
	}
	loop_set(d->loop, &d->src, EPOLLIN | (d->talk.out.n ? EPOLLOUT : 0));
	return true;
}

static void talk(struct dial *d)
{
	char bytes[2048];
	enum proxy_result r = PROXY_MORE;

	while (r == PROXY_MORE) {
		ssize_t got = recv(d->src.fd, bytes, sizeof bytes, MSG_PEEK);
		if (got > 0) {
			size_t own = proxy_own(&d->talk, str_sub(bytes, (size_t)got));
			got = recv(d->src.fd, bytes, own, 0);
		}
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			break;
		if (got <= 0) {
			if (got < 0)
				err_sys(&d->why, "read");
			else
				err_set(&d->why, ECONNRESET, "it closed the connection");
			talk_failed(d);
			return;
		}
		r = proxy_feed(&d->talk, str_sub(bytes, (size_t)got), &d->why);
	}
	if (r == PROXY_FAILED)
		talk_failed(d);
	else if (r == PROXY_OK)
		succeed(d);
	else
		talk_send(d);
}

/* ---- the socket ---- */

static void connected(struct dial *d)
{
	timer_stop(d->loop, &d->address_timer);
	if (d->config.proxy == NULL) {
		succeed(d);
		return;
	}
	d->state = TALKING;
	if (proxy_talk_init(&d->talk, d->config.proxy, d->config.host, d->config.port, &d->why) < 0)
		talk_failed(d);
	else
		talk_send(d);
}

static void address_failed(struct dial *d, int error)
{
	char text[ADDRESS_TEXT_MAX];

	address_text(&d->addresses[d->at], text);
	errno = error;
	if (streq(text, d->first))
		err_sys(&d->why, "connect to %s%s", role(d), d->first);
	else
		err_sys(&d->why, "connect to %s%s (%s)", role(d), d->first, text);
	close_socket(d);
	d->at++;
	next_address(d);
}

static void ready(struct source *s, uint32_t events UNUSED)
{
	struct dial *d = container_of(s, struct dial, src);
	int error = 0;
	socklen_t n = sizeof error;

	if (d->state == TALKING) {
		talk(d);
		return;
	}
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error != 0)
		address_failed(d, error);
	else
		connected(d);
}

static void address_timed_out(struct timer *t)
{
	address_failed(container_of(t, struct dial, address_timer), ETIMEDOUT);
}

static void try_address(struct dial *d)
{
	const struct address *a = &d->addresses[d->at];
	const int one = 1;

	d->src = (struct source){.ready = ready, .name = d->first};
	d->src.fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->src.fd < 0) {
		address_failed(d, errno);
		return;
	}
	setsockopt(d->src.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(d->src.fd, (const void *)&a->sa, a->n) < 0 && errno != EINPROGRESS) {
		address_failed(d, errno);
		return;
	}
	if (loop_add(d->loop, &d->src, EPOLLOUT, &d->why) < 0) {
		finish(d, -1, &d->why);
		return;
	}
	if (d->at + 1 < d->n)
		timer_set(d->loop, &d->address_timer, ADDRESS_MS);
}

static void next_address(struct dial *d)
{
	timer_stop(d->loop, &d->address_timer);
	d->state = CONNECTING;
	if (d->at < d->n)
		try_address(d);
	else
		finish(d, -1, &d->why);
}

/* ---- the name ---- */

static void take_addresses(struct dial *d, const struct address *a, int n)
{
	d->addresses = xcalloc((size_t)n, sizeof *a);
	memcpy(d->addresses, a, (size_t)n * sizeof *a);
	d->n = n;
}

static void resolved(struct resolve_query *q, const struct address *a, int n, const struct err *why)
{
	struct dial *d = container_of(q, struct dial, query);

	if (n == 0) {
		finish(d, -1, why);
		return;
	}
	take_addresses(d, a, n);
	next_address(d);
}

/* From the loop, so that nothing is called back from inside dial_start. */
static void start(struct later *l)
{
	struct dial *d = container_of(l, struct dial, start);

	if (d->n > 0)
		next_address(d);
	else
		finish(d, -1, &d->why);
}

static void timed_out(struct timer *t)
{
	struct dial *d = container_of(t, struct dial, deadline);
	static const char *const doing[] = {"looking the name up", "connecting",
					    "waiting for the proxy"};
	struct err e;

	err_set(&e, ETIMEDOUT, "connect to %s%s: timed out after %lld ms (%s)", role(d), d->first,
		(long long)d->config.timeout_ms, doing[d->state]);
	finish(d, -1, &e);
}

struct dial *dial_start(struct loop *l, struct resolver *r, const struct dial_config *config)
{
	struct dial *d = xcalloc(1, sizeof *d);
	const char *host = config->proxy ? config->proxy->host : config->host;
	uint16_t port = config->proxy ? config->proxy->port : config->port;
	struct address literal;

	must(config->proxy == NULL || config->addresses_n == 0);
	d->loop = l;
	d->config = *config;
	d->target = url_authority(config->host, config->port);
	d->first = url_authority(host, port);
	d->src.fd = -1;
	d->query.done = resolved;
	d->deadline.fire = timed_out;
	d->address_timer.fire = address_timed_out;
	d->start.run = start;
	d->end.run = release;
	timer_set(l, &d->deadline, config->timeout_ms);
	if (config->addresses_n > 0)
		take_addresses(d, config->addresses, config->addresses_n);
	else if (resolve_literal(host, port, &literal))
		take_addresses(d, &literal, 1);
	if (d->n > 0 || resolve_start(r, &d->query, host, port, &d->why) < 0)
		loop_later(l, &d->start);
	return d;
}
