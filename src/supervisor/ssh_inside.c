#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "supervisor/ssh_broker_impl.h"

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static void has_socket(struct keeper_call *call, int result, const struct err *why);

static int ask_keeper(struct channel *ch, const union address *at, socklen_t n, struct err *e)
{
	ch->state = CHANNEL_CONNECTING;
	ch->call.done = has_socket;
	return keeper_connect(broker_of(ch)->c.keeper, &at->any, n, &ch->call, e);
}

/* Where nobody listens on 127.0.0.1, "localhost" may mean ::1. */
static void failed(struct channel *ch, const struct err *why)
{
	const union address six = {.in6 = {.sin6_family = AF_INET6,
					   .sin6_port = htons(ch->other_port),
					   .sin6_addr = IN6ADDR_LOOPBACK_INIT}};
	struct err e;

	if (ch->other_port == 0 || broker_of(ch)->c.keeper == NULL) {
		ssh_channel_refused(ch, why);
		return;
	}
	ch->other_port = 0;
	if (ask_keeper(ch, &six, sizeof six.in6, &e) < 0)
		ssh_channel_refused(ch, &e);
}

static void not_connected(struct channel *ch, int error)
{
	struct loop *l = broker_of(ch)->c.loop;
	struct err e;

	timer_stop(l, &ch->timer);
	loop_del(l, &ch->source);
	close(ch->source.fd);
	ch->state = CHANNEL_CONNECTING;
	err_set(&e, error, "connect: %s", strerror(error));
	failed(ch, &e);
}

static void connected(struct source *source, uint32_t events UNUSED)
{
	struct channel *ch = container_of(source, struct channel, source);
	int error = 0;
	socklen_t n = sizeof error;

	if (getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error != 0) {
		not_connected(ch, error);
		return;
	}
	timer_stop(broker_of(ch)->c.loop, &ch->timer);
	loop_del(broker_of(ch)->c.loop, source);
	_cleanup_close_ int fd = source->fd;
	ch->state = CHANNEL_OPEN;
	ssh_channel_started(ch, &fd, 1);
}

static void too_late(struct timer *t)
{
	not_connected(container_of(t, struct channel, timer), ETIMEDOUT);
}

static void has_socket(struct keeper_call *call, int result, const struct err *why)
{
	struct channel *ch = container_of(call, struct channel, call);
	struct loop *l = broker_of(ch)->c.loop;
	struct err e;

	if (result < 0) {
		failed(ch, why);
		return;
	}
	ch->source = (struct source){.fd = result, .ready = connected, .name = "ssh, inside"};
	ch->state = CHANNEL_AWAITING;
	ch->timer.fire = too_late;
	timer_set(l, &ch->timer, SSH_CONNECT_MS);
	if (loop_add(l, &ch->source, EPOLLOUT, &e) < 0)
		ssh_channel_refused(ch, &e);
}

static bool is_localhost(const char *host)
{
	return str_ieq(str_of(host), STR("localhost"));
}

/* Supervisor contract 3.8: names and addresses that are loopback; "localhost" is that of IPv4. */
static socklen_t parse(const char *host, uint16_t port, union address *out)
{
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET6, host, &six) == 1) {
		*out = (union address){.in6 = {.sin6_family = AF_INET6,
					       .sin6_port = htons(port),
					       .sin6_addr = six}};
		if (!IN6_IS_ADDR_V4MAPPED(&six))
			return IN6_IS_ADDR_LOOPBACK(&six) ? sizeof out->in6 : 0;
		memcpy(&four, &six.s6_addr[12], sizeof four);
	} else if (is_localhost(host)) {
		four.s_addr = htonl(INADDR_LOOPBACK);
	} else if (inet_pton(AF_INET, host, &four) != 1) {
		return 0;
	}
	*out = (union address){
		.in = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = four}};
	return ntohl(four.s_addr) >> 24 == IN_LOOPBACKNET ? sizeof out->in : 0;
}

int ssh_inside_connect(struct channel *ch, const struct ssh_packet *p, struct err *e)
{
	union address at;
	socklen_t n = parse(p->connect.host, p->connect.port, &at);

	if (n == 0)
		return err_set(e, EACCES, "'%s' is not loopback", p->connect.host);
	if (p->connect.port == 0)
		return err_set(e, EINVAL, "port 0");
	ch->other_port = is_localhost(p->connect.host) ? p->connect.port : 0;
	return ask_keeper(ch, &at, n, e);
}
