/*
 * What the tests of the proxy share: a network namespace with addresses that no rule forbids, names that
 * mean something, programs that ask (callers.h, of the test's own), and the proxy in a loop in a thread,
 * so that a test plays clients and servers with blocking sockets. To be included by one .c file.
 */
#ifndef OPENSHELL_TEST_PROXY_H
#define OPENSHELL_TEST_PROXY_H

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static int fake_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
			    struct addrinfo **out);
#define getaddrinfo fake_getaddrinfo
#include "../../src/net/resolver.c"
#undef getaddrinfo

#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <netinet/tcp.h>

#include "net/netlink.h"
#include "ocsf/ocsf.h"
#include "policy.h"
#include "proxy/proxy_impl.h"
#include "test.h"

/* Private addresses, which may be reached where a policy names them. */
#define SERVER "10.9.8.7"
#define NOBODY "10.9.8.9" /* nobody listens there, ever */

/* ---- names ---- */

static int slow_names[2]; /* a pipe: slow.test is answered when it closes */
static int rebound;       /* how often rebind.test was asked for: the first answer is a good one */

/* *.test as in this table; the second address may be NULL. */
static const struct {
	const char *host, *addresses[2];
} names[] = {
	{"server.test", {SERVER, NULL}},       {"two.test", {NOBODY, SERVER}},
	{"evil.test", {"127.0.0.1", NULL}},    {"half-evil.test", {SERVER, "169.254.169.254"}},
	{"slow.test", {SERVER, NULL}},         {"nobody.test", {NOBODY, NULL}},
	{"any.wild.test", {SERVER, NULL}},     {"rebind.test", {SERVER, NULL}},
	{"public.test", {"198.18.0.1", NULL}},
};

static int fake_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
			    struct addrinfo **out)
{
	struct addrinfo **tail = out;
	char byte;

	if (hints->ai_flags & AI_NUMERICHOST)
		return getaddrinfo(host, service, hints, out);
	if (streq(host, "slow.test"))
		OK(read(slow_names[0], &byte, 1) == 0);
	if (streq(host, "rebind.test") && rebound++ > 0)
		return getaddrinfo("127.0.0.1", service, hints, out);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!streq(host, names[i].host))
			continue;
		for (int j = 0; j < 2 && names[i].addresses[j] != NULL; j++) {
			int r = getaddrinfo(names[i].addresses[j], service, hints, tail);
			if (r != 0)
				return r;
			tail = &(*tail)->ai_next;
		}
		return 0;
	}
	return EAI_NONAME;
}

/* ---- who asks ---- */

static char asking_exe[32] = "/bin/tool";
static bool nobody_asks;      /* nobody can tell who does */
static bool answers_withheld; /* the question stays open */

struct caller_ask {
	struct caller_query *q;
	struct later later;
};

static struct loop *proxy_loop;
static int questions_open;

struct caller *caller_ref(struct caller *c)
{
	c->refs++;
	return c;
}

void caller_unref(struct caller *c)
{
	if (c != NULL && --c->refs == 0)
		free(c);
}

void caller_for_policy(const struct caller *c, struct policy_caller *out)
{
	*out = (struct policy_caller){.exe = c->exe};
}

static void tell_who(struct later *l)
{
	struct caller_ask *ask = container_of(l, struct caller_ask, later);
	struct caller_query *q = ask->q;
	struct caller *c = xcalloc(1, sizeof *c);
	struct err e;

	err_set(&e, ESRCH, "failed to resolve peer binary: it is gone");
	free(ask);
	questions_open--;
	*c = (struct caller){.pid = 42, .exe = asking_exe, .refs = 1};
	q->ask = NULL;
	q->done(q, nobody_asks ? NULL : c, nobody_asks ? &e : NULL);
	caller_unref(c);
}

void callers_ask(struct callers *cs UNUSED, struct caller_query *q, int fd)
{
	OK(fd >= 0 && q->ask == NULL);
	q->ask = xcalloc(1, sizeof *q->ask);
	*q->ask = (struct caller_ask){.q = q, .later.run = tell_who};
	questions_open++;
	if (!answers_withheld)
		loop_later(proxy_loop, &q->ask->later);
}

void callers_cancel(struct caller_query *q)
{
	if (q->ask == NULL)
		return;
	loop_later_cancel(&q->ask->later);
	free(steal(&q->ask));
	questions_open--;
}

/* ---- events ---- */

enum { EVENTS_MAX = 256, EVENT_SIZE = 1024 };

static pthread_mutex_t events_lock = PTHREAD_MUTEX_INITIALIZER;
static char events[EVENTS_MAX][EVENT_SIZE];
static int events_n;
static char denials[EVENTS_MAX][EVENT_SIZE];
static int denials_n;

void ocsf_emit(struct ocsf *o UNUSED, const struct ocsf_event *ev)
{
	char line[OCSF_SHORTHAND_MAX];

	ocsf_shorthand(ev, line);
	pthread_mutex_lock(&events_lock);
	snprintf(events[events_n++ % EVENTS_MAX], EVENT_SIZE, "%.*s", EVENT_SIZE - 1, line);
	pthread_mutex_unlock(&events_lock);
}

void ocsf_set_proxy(struct ocsf *o UNUSED, struct ocsf_endpoint proxy UNUSED)
{
}

static void on_denied(void *owner UNUSED, const char *host, uint16_t port, const char *binary,
		      const char *group)
{
	snprintf(denials[denials_n++ % EVENTS_MAX], EVENT_SIZE, "%s:%u %s %s", host, port, binary,
		 group);
}

/* Waits until there is an event that has these words. */
static const char *event(const char *part)
{
	for (int i = 0; i < 5000; i++) {
		pthread_mutex_lock(&events_lock);
		for (int j = 0; j < MIN(events_n, (int)EVENTS_MAX); j++) {
			if (strstr(events[j], part) != NULL) {
				pthread_mutex_unlock(&events_lock);
				return events[j];
			}
		}
		pthread_mutex_unlock(&events_lock);
		usleep(1000);
	}
	for (int j = 0; j < MIN(events_n, (int)EVENTS_MAX); j++)
		fprintf(stderr, "event: %s\n", events[j]);
	FAIL("no event has \"%s\"", part);
}

/* ---- the proxy ---- */

static struct proxy *proxy;
static struct proxy_config config;
static struct policy *policy_now;
static struct sockaddr_in proxy_at;
static pthread_t proxy_thread;

/* A thing to be done in the proxy's thread. */
static struct source order;
static void (*ordered)(void);
static int order_pipe[2], done_pipe[2];

static void on_order(struct source *s, uint32_t e UNUSED)
{
	char byte;

	OK(read(s->fd, &byte, 1) == 1);
	ordered();
	OK(write(done_pipe[1], "x", 1) == 1);
}

static void in_loop(void (*fn)(void))
{
	char byte;

	ordered = fn;
	OK(write(order_pipe[1], "x", 1) == 1);
	OK(read(done_pipe[0], &byte, 1) == 1);
}

static void *run_proxy(void *arg)
{
	loop_run(proxy_loop);
	return arg;
}

static void add_address(struct nl_batch *b, const char *address)
{
	struct ifaddrmsg fixed = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 1};
	struct in_addr in;

	OK(inet_pton(AF_INET, address, &in) == 1);
	nl_message(b, "add an address to lo", RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &fixed,
		   sizeof fixed);
	nl_attr(b, IFA_LOCAL, &in, sizeof in);
	nl_attr(b, IFA_ADDRESS, &in, sizeof in);
}

static void enter_network(void)
{
	struct ifinfomsg up = {.ifi_index = 1, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct nl_batch b;
	struct err e;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		SKIP("no network namespace to be had: %s", strerror(errno));
	_cleanup_close_ int fd = nl_open(NETLINK_ROUTE, &e);
	if (fd < 0)
		FAIL("%s", e.text);
	nl_begin(&b);
	nl_message(&b, "set lo up", RTM_NEWLINK, NLM_F_ACK, &up, sizeof up);
	add_address(&b, SERVER);
	add_address(&b, NOBODY);
	if (nl_exchange(fd, &b, &e) < 0)
		FAIL("%s", e.text);
}

static int listen_on(const char *address, int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	const int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	OK(inet_pton(AF_INET, address, &at.sin_addr) == 1);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	OK(bind(fd, (void *)&at, sizeof at) == 0 && listen(fd, 1024) == 0);
	return fd;
}

/* What a test may change of config before it starts the proxy. */
static void prepare(const char *policy)
{
	struct err e;

	signal(SIGPIPE, SIG_IGN);
	NOT_EMULATED("netlink");
	enter_network();
	OK(pipe(slow_names) == 0 && pipe(order_pipe) == 0 && pipe(done_pipe) == 0);
	OK(loop_new(&proxy_loop, &e) == 0);
	OK(resolver_new(&config.resolver, proxy_loop, &e) == 0);
	policy_publish(&policy_now, parse(policy));
	config.loop = proxy_loop;
	config.policy = &policy_now;
	config.denied = on_denied;
	order = (struct source){.fd = order_pipe[0], .ready = on_order, .name = "test"};
	OK(loop_add(proxy_loop, &order, EPOLLIN, &e) == 0);
}

static void start_proxy(void)
{
	socklen_t n = sizeof proxy_at;
	int fd = listen_on("127.0.0.1", 0);
	struct err e;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	OK(getsockname(fd, (void *)&proxy_at, &n) == 0);
	if (proxy_start(&proxy, &config, fd, &e) < 0)
		FAIL("%s", e.text);
	pthread_create(&proxy_thread, NULL, run_proxy, NULL);
}

static void begin(const char *policy)
{
	prepare(policy);
	start_proxy();
}

static void stop(void)
{
	loop_stop(proxy_loop, 0);
}

/* Everything the proxy had is released. */
static void finish(void)
{
	in_loop(stop);
	pthread_join(proxy_thread, NULL);
	proxy_free(proxy);
	loop_del(proxy_loop, &order);
	resolver_free(config.resolver);
	loop_free(proxy_loop);
	policy_unref(policy_now);
	EQ(questions_open, 0);
}

/* ---- clients and servers ---- */

static void patiently(int fd)
{
	const struct timeval t = {.tv_sec = 10};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

/* A client's connection to the proxy, on which text has been sent. */
static int say(const char *text)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	patiently(fd);
	OK(connect(fd, (void *)&proxy_at, sizeof proxy_at) == 0);
	OK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
	return fd;
}

/* The next n bytes are these. */
static UNUSED void hear(int fd, const char *text)
{
	char bytes[4096];
	size_t n = strlen(text), at = 0;

	while (at < n) {
		ssize_t got = recv(fd, bytes + at, n - at, 0);
		if (got <= 0)
			FAIL("only \"%.*s\" of \"%s\": %s", (int)at, bytes, text,
			     got ? strerror(errno) : "end");
		at += (size_t)got;
	}
	bytes[n] = '\0';
	STREQ(bytes, text);
}

/* Everything until the end, which must come in order; closes it. */
static UNUSED const char *hear_all(int fd)
{
	static char bytes[65536];
	size_t at = 0;
	ssize_t got;

	while ((got = recv(fd, bytes + at, sizeof bytes - 1 - at, 0)) > 0)
		at += (size_t)got;
	bytes[at] = '\0';
	if (got < 0)
		FAIL("behind \"%s\": %s", bytes, strerror(errno));
	close(fd);
	return bytes;
}

/* The answer to a request, to its end. */
static UNUSED const char *answer_to(const char *text)
{
	return hear_all(say(text));
}

static UNUSED int accept_from(int listener)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};

	OK(poll(&p, 1, 10000) == 1);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	OK(fd >= 0);
	patiently(fd);
	return fd;
}

/* Whether nobody has come, nor will. */
static UNUSED void nobody_came(int listener)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};

	EQ(poll(&p, 1, 0), 0);
}

#define CONNECT(host_port) "CONNECT " host_port " HTTP/1.1\r\nHost: " host_port "\r\n\r\n"
#define ESTABLISHED "HTTP/1.1 200 Connection Established\r\n\r\n"

#endif
