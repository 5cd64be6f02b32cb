/*
 * Calls of all kinds at random: answered late, cancelled, paused, out of time, and cut off with
 * their connections, on both sides. Nothing is asserted of a single call but that both sides are
 * told its end exactly once; what must not happen is a crash, a leak or a broken invariant.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "google/protobuf/wrappers.pb-c.h"
#include "grpc/client.h"
#include "grpc/server.h"
#include "test.h"

enum {
	CHANNELS = 4,
	CALLERS = 48,
	SECONDS = 2,
	SIZE_MAX_OF_A_MESSAGE = 100 * 1000,
};

static struct loop *loop;
static struct grpc_server *server;
static long handled, answered, started, ended, cancelled;
static uint8_t block[SIZE_MAX_OF_A_MESSAGE];

/* One in n. */
static bool chance(int n)
{
	return random() % n == 0;
}

static int upto(int n)
{
	return (int)(random() % (n + 1));
}

static Google__Protobuf__BytesValue message(void)
{
	Google__Protobuf__BytesValue b = GOOGLE__PROTOBUF__BYTES_VALUE__INIT;

	b.value.data = block;
	b.value.len = (size_t)upto(chance(2) ? SIZE_MAX_OF_A_MESSAGE : 100);
	return b;
}

/* ---- the server's side: a job for every call ---- */

struct job {
	struct grpc_call *call;
	struct timer next;
	int left; /* messages to be sent */
};

static bool to_client(const struct job *j)
{
	enum grpc_kind kind = grpc_call_method(j->call)->kind;

	return kind == GRPC_SERVER_STREAM || kind == GRPC_BIDI;
}

static void finish(struct job *j)
{
	Google__Protobuf__BytesValue b = message();
	struct grpc_call *call = j->call;

	answered++;
	timer_stop(loop, &j->next);
	if (chance(4))
		grpc_fail(call, GRPC_ABORTED, "by chance");
	else if (to_client(j))
		grpc_finish(call);
	else
		grpc_reply(call, &b);
	free(j);
}

static void job_step(struct timer *t)
{
	struct job *j = container_of(t, struct job, next);

	while (to_client(j) && j->left > 0 && !grpc_cancelled(j->call)) {
		Google__Protobuf__BytesValue b = message();
		if (!grpc_send(j->call, &b))
			return;
		j->left--;
		if (chance(3)) {
			timer_set(loop, &j->next, upto(5));
			return;
		}
	}
	if (chance(3)) {
		timer_set(loop, &j->next, upto(10));
		grpc_resume(j->call);
	} else {
		finish(j);
	}
}

static void job_message(struct grpc_call *call, void *request UNUSED)
{
	struct job *j = grpc_user(call);

	if (chance(20)) {
		finish(j);
	} else if (chance(3)) {
		grpc_pause(call);
		timer_set(loop, &j->next, upto(5));
	}
}

static void job_half_close(struct grpc_call *call)
{
	struct job *j = grpc_user(call);

	timer_set(loop, &j->next, upto(5));
}

static void job_cancelled(struct grpc_call *call)
{
	struct job *j = grpc_user(call);

	if (chance(2))
		finish(j);
	else
		timer_set(loop, &j->next, upto(20));
}

static const struct grpc_call_ops job_ops = {
	.message = job_message,
	.half_close = job_half_close,
	.writable = job_half_close,
	.cancelled = job_cancelled,
};

static void handle(struct grpc_call *call, void *request UNUSED)
{
	struct job *j = xcalloc(1, sizeof *j);

	handled++;
	j->call = call;
	j->next.fire = job_step;
	j->left = upto(10);
	grpc_set_ops(call, &job_ops, j);
	if (grpc_call_method(call)->kind == GRPC_CLIENT_STREAM)
		return;
	if (chance(3))
		job_step(&j->next);
	else
		timer_set(loop, &j->next, upto(15));
}

#define BYTES &google__protobuf__bytes_value__descriptor

static const struct grpc_method methods[] = {
	{"/r/Unary", GRPC_UNARY, BYTES, BYTES, handle},
	{"/r/Out", GRPC_SERVER_STREAM, BYTES, BYTES, handle},
	{"/r/In", GRPC_CLIENT_STREAM, BYTES, BYTES, handle},
	{"/r/Both", GRPC_BIDI, BYTES, BYTES, handle},
};

/* ---- the client's side: callers that make one call after the other ---- */

struct link {
	struct grpc_channel *channel;
	int fd;
};

struct caller {
	struct grpc_rpc *rpc;
	struct link *link;
	struct timer next;
	int left; /* messages to be sent */
};

static struct link links[CHANNELS];
static struct caller callers[CALLERS];

static void forget(struct caller *c)
{
	cancelled++;
	c->rpc = NULL;
	timer_set(loop, &c->next, upto(5));
}

static void rpc_message(struct grpc_rpc *r, void *m UNUSED)
{
	if (chance(4))
		grpc_rpc_pause(r);
	if (chance(40)) {
		forget(grpc_rpc_user(r));
		grpc_rpc_cancel(r);
	}
}

static void rpc_writable(struct grpc_rpc *r)
{
	struct caller *c = grpc_rpc_user(r);

	timer_set(loop, &c->next, 0);
}

static void rpc_ended(struct grpc_rpc *r, enum grpc_status s UNUSED, struct str text UNUSED)
{
	struct caller *c = grpc_rpc_user(r);

	OK(c->rpc == r);
	ended++;
	c->rpc = NULL;
	timer_set(loop, &c->next, upto(5));
}

static const struct grpc_rpc_ops rpc_ops = {
	.message = rpc_message,
	.writable = rpc_writable,
	.ended = rpc_ended,
};

/* Frees the channel, and with it what it still has: calls, or only those that are paused. */
static void hang_up(struct link *l)
{
	for (int i = 0; i < CALLERS; i++) {
		if (callers[i].link == l && callers[i].rpc != NULL)
			forget(&callers[i]);
	}
	grpc_channel_free(l->channel);
	l->channel = NULL;
}

static void on_lost(void *arg, const struct err *why UNUSED)
{
	hang_up(arg);
}

static void dial(struct link *l)
{
	struct grpc_channel_config cfg = GRPC_CHANNEL_CONFIG_DEFAULT;
	struct conn *a, *b;
	struct err e;
	int fd[2];

	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	OK(conn_of_fd(&a, loop, fd[0], "client", &e) == 0);
	OK(conn_of_fd(&b, loop, fd[1], "server", &e) == 0);
	grpc_server_serve(server, b);
	cfg.ping_ms = 20;
	cfg.pong_ms = 10 * 1000;
	l->fd = fd[0];
	l->channel = grpc_channel_new(a, &cfg, on_lost, l);
}

static void start(struct caller *c)
{
	const struct grpc_method *m = &methods[upto(3)];
	Google__Protobuf__BytesValue b = message();
	const struct grpc_rpc_config cfg = {
		.path = m->path,
		.out = BYTES,
		.streams = m->kind == GRPC_SERVER_STREAM || m->kind == GRPC_BIDI,
		.timeout_ms = chance(3) ? 1 + upto(40) : 0,
	};

	c->link = &links[upto(CHANNELS - 1)];
	if (chance(300) && c->link->channel != NULL)
		hang_up(c->link);
	if (c->link->channel == NULL)
		dial(c->link);
	if (chance(300))
		shutdown(c->link->fd, SHUT_RDWR);
	started++;
	c->left = 0;
	timer_set(loop, &c->next, upto(5));
	if (m->kind == GRPC_UNARY || m->kind == GRPC_SERVER_STREAM) {
		c->rpc = grpc_rpc_call(c->link->channel, &cfg, &b, &rpc_ops, c);
	} else {
		c->left = 1 + upto(8);
		c->rpc = grpc_rpc_start(c->link->channel, &cfg, &rpc_ops, c);
	}
}

static void caller_step(struct timer *t)
{
	struct caller *c = container_of(t, struct caller, next);

	if (c->rpc == NULL) {
		start(c);
		return;
	}
	if (chance(100)) {
		grpc_rpc_cancel(c->rpc);
		forget(c);
		return;
	}
	timer_set(loop, &c->next, upto(10));
	while (c->left > 0) {
		Google__Protobuf__BytesValue b = message();
		if (!grpc_rpc_send(c->rpc, &b))
			break;
		if (--c->left == 0)
			grpc_rpc_half_close(c->rpc);
		if (chance(2))
			break;
	}
	grpc_rpc_resume(c->rpc); /* may be its end */
}

/* ---- */

static void stop_now(struct timer *t UNUSED)
{
	loop_stop(loop, 0);
}

static void run_for(int64_t ms)
{
	struct timer t = {.fire = stop_now};

	timer_set(loop, &t, ms);
	loop_run(loop);
	timer_stop(loop, &t);
}

static void at_random(unsigned seed)
{
	struct grpc_config cfg = GRPC_CONFIG_DEFAULT;
	struct err e;

	srandom(seed);
	cfg.max_streams = 12;
	cfg.stream_queue_max = 150 * 1000;
	cfg.conn_queue_max = 600 * 1000;
	cfg.receive_max = 3000 * 1000;
	OK(loop_new(&loop, &e) == 0);
	server = grpc_server_new(loop, &cfg);
	grpc_server_add(server, methods, ARRAY_LEN(methods), NULL);
	for (int i = 0; i < CALLERS; i++) {
		callers[i].next.fire = caller_step;
		timer_set(loop, &callers[i].next, upto(10));
	}
	run_for(SECONDS * 1000);
	OK(started > CALLERS && ended > 0 && cancelled > 0);
	for (int i = 0; i < CALLERS; i++)
		timer_stop(loop, &callers[i].next);
	long open = 0;
	for (int i = 0; i < CALLERS; i++)
		open += callers[i].rpc != NULL;
	EQ(ended + cancelled + open, started);
	for (int i = 0; i < CHANNELS; i++)
		hang_up(&links[i]);
	for (int i = 0; i < CALLERS; i++)
		timer_stop(loop, &callers[i].next);
	while (grpc_server_calls(server) > 0)
		run_for(20);
	EQ(answered, handled);
	while (grpc_server_connections(server) > 0)
		run_for(5);
	grpc_server_free(server);
	loop_free(loop);
}

TEST_WITHIN(calls_at_random_one, 60)
{
	at_random(1);
}

TEST_WITHIN(calls_at_random_two, 60)
{
	at_random(2);
}
