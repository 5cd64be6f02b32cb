#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "supervisor/inside.h"

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* 0: it is no address, or not loopback. An IPv4 address in IPv6's clothes is what it is. */
static socklen_t parse(const char *host, uint16_t port, union address *out)
{
	struct in6_addr six;
	struct in_addr four;

	*out = (union address){0};
	if (inet_pton(AF_INET6, host, &six) == 1) {
		out->in6 = (struct sockaddr_in6){
			.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = six};
		if (!IN6_IS_ADDR_V4MAPPED(&six))
			return IN6_IS_ADDR_LOOPBACK(&six) ? sizeof out->in6 : 0;
		memcpy(&four, &six.s6_addr[12], sizeof four);
	} else if (inet_pton(AF_INET, host, &four) != 1) {
		return 0;
	}
	out->in = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = four};
	return ntohl(four.s_addr) >> 24 == IN_LOOPBACKNET ? sizeof out->in : 0;
}

void inside_dial_cancel(struct inside_dial *d)
{
	if (d->loop == NULL)
		return;
	keeper_cancel(&d->call);
	timer_stop(d->loop, &d->late);
	loop_del(d->loop, &d->source);
	if (d->source.fd >= 0)
		close(d->source.fd);
	d->source.fd = -1;
	d->loop = NULL;
}

static int ask(struct inside_dial *d, const char *host, struct err *e)
{
	union address at;
	socklen_t n = parse(host, d->port, &at);

	if (n == 0)
		return err_set(e, EACCES, "tcp target host must be loopback");
	return keeper_connect(d->keeper, &at.any, n, &d->call, e);
}

static void failed(struct inside_dial *d, const struct err *why)
{
	const char *host = steal(&d->others);
	struct err e;

	if (d->source.fd >= 0) {
		loop_del(d->loop, &d->source);
		close(steal_fd(&d->source.fd));
	}
	if (host != NULL && ask(d, host, &e) == 0)
		return;
	inside_dial_cancel(d);
	d->done(d, -1, why);
}

static void is_late(struct timer *t)
{
	struct inside_dial *d = container_of(t, struct inside_dial, late);
	struct err e;

	err_set(&e, ETIMEDOUT, "port %u inside did not take the connection in time", d->port);
	inside_dial_cancel(d);
	d->done(d, -1, &e);
}

static void connected(struct source *s, uint32_t events UNUSED)
{
	struct inside_dial *d = container_of(s, struct inside_dial, source);
	socklen_t n = sizeof(int);
	int error = 0;
	struct err e;

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error != 0) {
		err_set(&e, error, "connect to port %u inside: %s", d->port, strerror(error));
		failed(d, &e);
		return;
	}
	loop_del(d->loop, s);
	int fd = steal_fd(&s->fd);
	inside_dial_cancel(d);
	d->done(d, fd, NULL);
}

static void made(struct keeper_call *c, int result, const struct err *why)
{
	struct inside_dial *d = container_of(c, struct inside_dial, call);
	struct err e;

	if (result < 0) {
		failed(d, why);
		return;
	}
	d->source = (struct source){.fd = result, .ready = connected, .name = "inside"};
	if (loop_add(d->loop, &d->source, EPOLLOUT, &e) < 0)
		failed(d, &e);
}

int inside_dial(struct inside_dial *d, struct loop *l, struct keeper *k, const char *host,
		unsigned port, struct err *e)
{
	bool by_name = str_ieq(str_of(host), STR("localhost"));

	if (str_empty(host))
		return err_set(e, EACCES, "tcp target host is required");
	d->port = (uint16_t)port;
	d->keeper = k;
	d->others = by_name ? "::1" : NULL;
	d->call.done = made;
	d->late.fire = is_late;
	d->source.fd = -1;
	if (port == 0 || port > UINT16_MAX)
		return err_set(e, EINVAL, "tcp target port must be between 1 and 65535");
	if (ask(d, by_name ? "127.0.0.1" : host, e) < 0)
		return -1;
	d->loop = l;
	timer_set(l, &d->late, INSIDE_CONNECT_MS);
	return 0;
}
