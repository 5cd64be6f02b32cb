#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "isolate/keeper_own.h"
#include "isolate/nursery.h"

enum { TURN_MAX = 32 }; /* messages in one turn of the loop */

/* ---- calls ---- */

static void forget(struct keeper_call *c)
{
	timer_stop(c->keeper->loop, &c->timer);
	list_del(&c->link);
	c->keeper->n_calls--;
	c->id = 0;
}

static void finish(struct keeper_call *c, int result, const struct err *why)
{
	forget(c);
	c->done(c, result, why);
}

static void send_cancel(struct keeper *k, uint32_t id)
{
	struct keeper_packet p = {.message = KEEPER_CANCEL, .id = id};

	/* when there is no room, its answer will find nobody */
	if (k->pid > 0)
		fdpass_send(k->channel, &p, keeper_size(p.message), NULL, 0);
}

void keeper_cancel(struct keeper_call *c)
{
	if (c->id == 0)
		return;
	send_cancel(c->keeper, c->id);
	forget(c);
}

static void too_late(struct timer *t)
{
	struct keeper_call *c = container_of(t, struct keeper_call, timer);
	struct err e;

	err_set(&e, ETIMEDOUT, "the keeper did not answer within %d s", KEEPER_CALL_MS / 1000);
	send_cancel(c->keeper, c->id);
	finish(c, -1, &e);
}

static struct keeper_call *find(struct keeper *k, uint32_t id)
{
	list_each(c, &k->calls, struct keeper_call, link) {
		if (c->id == id)
			return c;
	}
	return NULL;
}

static int say(struct keeper *k, const struct keeper_packet *p, const int *fds, size_t n,
	       struct err *e)
{
	if (k->pid == 0)
		return err_set(e, ECONNRESET, "the keeper is gone");
	if (fdpass_send(k->channel, p, keeper_size(p->message), fds, n) < 0)
		return err_sys(e, "ask the keeper");
	return 0;
}

static int ask(struct keeper *k, struct keeper_packet *p, const int *fds, size_t n,
	       struct keeper_call *c, struct err *e)
{
	must(k->loop != NULL && c->done != NULL && c->id == 0);
	if (k->n_calls >= KEEPER_CALLS_MAX)
		return err_set(e, EAGAIN, "%d requests of the keeper are under way",
			       KEEPER_CALLS_MAX);
	p->id = k->last_id + 1 ? k->last_id + 1 : 1;
	if (say(k, p, fds, n, e) < 0)
		return -1;
	k->last_id = p->id;
	c->id = p->id;
	c->keeper = k;
	list_add(&k->calls, &c->link);
	k->n_calls++;
	c->timer = (struct timer){.fire = too_late};
	timer_set(k->loop, &c->timer, KEEPER_CALL_MS);
	return 0;
}

int keeper_spawn(struct keeper *k, const struct keeper_spawn *what, struct keeper_call *c,
		 struct err *e)
{
	struct keeper_packet p = {.message = KEEPER_SPAWN, .kind = {what->terminal, what->builtin}};

	_cleanup_close_ int text = nursery_text_write(what, e);
	if (text < 0)
		return -1;
	const int fds[] = {text, what->stdio[0], what->stdio[1], what->stdio[2]};
	return ask(k, &p, fds, ARRAY_LEN(fds), c, e);
}

static int ask_for_socket(struct keeper *k, enum keeper_message m, const struct sockaddr *a,
			  socklen_t n, struct keeper_call *c, struct err *e)
{
	struct keeper_packet p = {.message = m, .address = {.n = n}};

	if (n > sizeof p.address.at)
		return err_set(e, EAFNOSUPPORT, "not an internet address");
	memcpy(&p.address.at, a, n);
	return ask(k, &p, NULL, 0, c, e);
}

int keeper_listen(struct keeper *k, const struct sockaddr *at, socklen_t n, struct keeper_call *c,
		  struct err *e)
{
	return ask_for_socket(k, KEEPER_LISTEN, at, n, c, e);
}

int keeper_connect(struct keeper *k, const struct sockaddr *to, socklen_t n, struct keeper_call *c,
		   struct err *e)
{
	return ask_for_socket(k, KEEPER_CONNECT, to, n, c, e);
}

int keeper_signal(struct keeper *k, pid_t pid, int signo, struct err *e)
{
	struct keeper_packet p = {.message = KEEPER_SIGNAL, .signal = {pid, signo}};

	return say(k, &p, NULL, 0, e);
}

/* When it does not hear this, it lets the packet go by itself. */
void keeper_release(struct keeper *k, uint32_t held)
{
	struct keeper_packet p = {.message = KEEPER_RELEASE, .id = held};
	struct err none;

	(void)say(k, &p, NULL, 0, &none);
}

/* ---- what it tells ---- */

/* A request that nobody waits for any more was cancelled: the keeper kills a workload by itself, and a
 * descriptor is closed by whoever calls this. */
static void told_done(void *self, const struct keeper_packet *p, struct fdpass *fds)
{
	struct keeper_call *c = find(self, p->id);
	struct err e;

	if (!c)
		return;
	if (fds->lost) {
		err_set(&e, EMFILE, "no room for a descriptor of the keeper's");
		finish(c, -1, &e);
	} else if (fds->n > 0) {
		finish(c, fdpass_take(fds, 0), NULL);
	} else {
		finish(c, p->pid, NULL);
	}
}

static void told_failed(void *self, const struct keeper_packet *p, struct fdpass *fds UNUSED)
{
	struct keeper_call *c = find(self, p->id);

	if (c)
		finish(c, -1, &p->why);
}

static void told_exited(void *self, const struct keeper_packet *p, struct fdpass *fds UNUSED)
{
	struct keeper *k = self;

	k->events->exited(k->owner, p->exited.pid, p->exited.status);
}

static void told_bypass(void *self, const struct keeper_packet *p, struct fdpass *fds UNUSED)
{
	struct keeper *k = self;

	k->events->bypass(k->owner, &p->bypass);
}

static void told_lost(void *self, const struct keeper_packet *p, struct fdpass *fds UNUSED)
{
	struct keeper *k = self;

	k->events->bypasses_lost(k->owner, p->lost);
}

static keeper_handler *const handlers[KEEPER_MESSAGE_COUNT] = {
	[KEEPER_DONE] = told_done,          [KEEPER_FAILED] = told_failed,
	[KEEPER_EXITED] = told_exited,      [KEEPER_BYPASS] = told_bypass,
	[KEEPER_BYPASSES_LOST] = told_lost,
};

/* What there is to say about its end beyond what was read. */
static void explain(int status, struct err *e)
{
	if (status != KEEPER_STATUS_UNKNOWN && WIFSIGNALED(status))
		err_set(e, ECONNRESET, "the keeper was killed by signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	if (status != KEEPER_STATUS_UNKNOWN && WIFEXITED(status) &&
	    WEXITSTATUS(status) == KEEPER_INIT_ENDED)
		err_set(e, ECONNRESET,
			"the first process of its PID namespace has ended, and all others with it");
}

static void is_gone(struct keeper *k, struct err *why)
{
	struct keeper_call *c;

	loop_del(k->loop, &k->source);
	explain(keeper_bury(k), why);
	while ((c = list_first(&k->calls, struct keeper_call, link)) != NULL)
		finish(c, -1, why);
	k->events->gone(k->owner, why);
}

static void ready(struct source *s, uint32_t events UNUSED)
{
	struct keeper *k = container_of(s, struct keeper, source);
	struct keeper_packet p;
	struct err e;

	for (int i = 0; i < TURN_MAX; i++) {
		_cleanup_fdpass_ struct fdpass fds;
		int r = keeper_receive(k->channel, KEEPER_TELLS, &p, &fds, &e);

		if (r < 0)
			is_gone(k, &e);
		if (r <= 0)
			return;
		handlers[p.message](k, &p, &fds);
	}
}

int keeper_attach(struct keeper *k, struct loop *l, const struct keeper_events *events, void *owner,
		  struct err *e)
{
	k->source = (struct source){.fd = k->channel, .ready = ready, .name = "keeper"};
	if (loop_add(l, &k->source, EPOLLIN, e) < 0)
		return -1;
	k->loop = l;
	k->events = events;
	k->owner = owner;
	return 0;
}

void keeper_free(struct keeper *k)
{
	if (!k)
		return;
	list_each(c, &k->calls, struct keeper_call, link) {
		forget(c);
	}
	if (k->loop)
		loop_del(k->loop, &k->source);
	keeper_bury(k);
	free(k);
}
