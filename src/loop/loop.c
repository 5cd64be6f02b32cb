#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/util.h"
#include "loop/loop.h"

enum {
	BATCH = 64,           /* events taken from the kernel at once */
	TIMERS_PER_TURN = 64, /* a timer that arms itself again cannot starve the sockets */
	SIGNALS_MAX = 65,
};

struct loop {
	int epfd;
	struct epoll_event batch[BATCH];
	int batch_n, batch_at;
	struct timer **heap; /* smallest `at` first */
	size_t timers, heap_cap;
	struct list later;
	struct source signals;
	sigset_t signal_set;
	struct {
		void (*fn)(int signo, void *arg);
		void *arg;
	} handlers[SIGNALS_MAX];
	bool stopping;
	int status;
};

int loop_new(struct loop **out, struct err *e)
{
	struct loop *l = xcalloc(1, sizeof *l);

	l->signals.fd = -1;
	sigemptyset(&l->signal_set);
	list_init(&l->later);
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0) {
		free(l);
		return err_sys(e, "epoll_create1");
	}
	*out = l;
	return 0;
}

static void run_later(struct loop *l)
{
	struct later *what;

	while ((what = list_first(&l->later, struct later, link)) != NULL) {
		loop_later_cancel(what);
		what->run(what);
	}
}

void loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	run_later(l);
	if (l->signals.fd >= 0)
		close(l->signals.fd);
	close(l->epfd);
	free(l->heap);
	free(l);
}

int loop_add(struct loop *l, struct source *s, uint32_t events, struct err *e)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};

	must(!s->added);
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, s->fd, &ev) < 0)
		return err_sys(e, "epoll_ctl(ADD, %s)", s->name);
	s->events = events;
	s->added = true;
	return 0;
}

void loop_set(struct loop *l, struct source *s, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};

	must(s->added);
	if (s->events == events)
		return;
	must(epoll_ctl(l->epfd, EPOLL_CTL_MOD, s->fd, &ev) == 0);
	s->events = events;
}

void loop_del(struct loop *l, struct source *s)
{
	if (!s->added)
		return;
	epoll_ctl(l->epfd, EPOLL_CTL_DEL, s->fd, NULL);
	s->added = false;
	for (int i = l->batch_at; i < l->batch_n; i++) {
		if (l->batch[i].data.ptr == s)
			l->batch[i].data.ptr = NULL;
	}
}

/* ---- timers: a binary heap of pointers, each of which knows its place ---- */

static void heap_put(struct loop *l, size_t i, struct timer *t)
{
	l->heap[i] = t;
	t->place = i + 1;
}

static void sift_up(struct loop *l, size_t i, struct timer *t)
{
	for (; i > 0 && l->heap[(i - 1) / 2]->at > t->at; i = (i - 1) / 2)
		heap_put(l, i, l->heap[(i - 1) / 2]);
	heap_put(l, i, t);
}

static void sift_down(struct loop *l, size_t i, struct timer *t)
{
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= l->timers)
			break;
		if (child + 1 < l->timers && l->heap[child + 1]->at < l->heap[child]->at)
			child++;
		if (l->heap[child]->at >= t->at)
			break;
		heap_put(l, i, l->heap[child]);
		i = child;
	}
	heap_put(l, i, t);
}

void timer_stop(struct loop *l, struct timer *t)
{
	if (t->place == 0)
		return;
	size_t i = t->place - 1;
	t->place = 0;
	struct timer *last = l->heap[--l->timers];
	if (last == t)
		return;
	if (i > 0 && l->heap[(i - 1) / 2]->at > last->at)
		sift_up(l, i, last);
	else
		sift_down(l, i, last);
}

void timer_set(struct loop *l, struct timer *t, int64_t ms)
{
	timer_stop(l, t);
	if (l->timers == l->heap_cap) {
		l->heap_cap = MAX(l->heap_cap * 2, (size_t)64);
		l->heap = xrealloc(l->heap, l->heap_cap * sizeof *l->heap);
	}
	t->at = mono_ms() + MAX(ms, (int64_t)0);
	sift_up(l, l->timers++, t);
}

static void run_timers(struct loop *l)
{
	int64_t now = mono_ms();

	for (int i = 0; i < TIMERS_PER_TURN && l->timers > 0 && l->heap[0]->at <= now; i++) {
		struct timer *t = l->heap[0];
		timer_stop(l, t);
		t->fire(t);
	}
}

static int wait_ms(const struct loop *l)
{
	if (!list_empty(&l->later)) /* put off before the loop ran */
		return 0;
	if (l->timers == 0)
		return -1;
	int64_t ms = l->heap[0]->at - mono_ms();
	return (int)MIN(MAX(ms, (int64_t)0), (int64_t)3600 * 1000);
}

/* ---- later ---- */

void loop_later(struct loop *l, struct later *what)
{
	if (what->queued)
		return;
	what->queued = true;
	list_add(&l->later, &what->link);
}

void loop_later_cancel(struct later *what)
{
	if (!what->queued)
		return;
	what->queued = false;
	list_del(&what->link);
}

/* ---- signals ---- */

static void signals_ready(struct source *s, uint32_t events UNUSED)
{
	struct loop *l = container_of(s, struct loop, signals);
	struct signalfd_siginfo si;

	while (read(s->fd, &si, sizeof si) == (ssize_t)sizeof si) {
		int signo = (int)si.ssi_signo;
		if (signo < SIGNALS_MAX && l->handlers[signo].fn != NULL)
			l->handlers[signo].fn(signo, l->handlers[signo].arg);
	}
}

int loop_signal(struct loop *l, int signo, void (*fn)(int signo, void *arg), void *arg,
		struct err *e)
{
	must(signo > 0 && signo < SIGNALS_MAX);
	l->handlers[signo].fn = fn;
	l->handlers[signo].arg = arg;
	sigaddset(&l->signal_set, signo);
	if (sigprocmask(SIG_BLOCK, &l->signal_set, NULL) < 0)
		return err_sys(e, "sigprocmask");
	int fd = signalfd(l->signals.fd, &l->signal_set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "signalfd");
	if (l->signals.added)
		return 0;
	l->signals = (struct source){.fd = fd, .ready = signals_ready, .name = "signals"};
	return loop_add(l, &l->signals, EPOLLIN, e);
}

/* ---- the turn ---- */

int loop_run(struct loop *l)
{
	l->stopping = false;
	while (!l->stopping) {
		l->batch_n = epoll_wait(l->epfd, l->batch, BATCH, wait_ms(l));
		if (l->batch_n < 0) {
			must(errno == EINTR);
			continue;
		}
		for (l->batch_at = 0; l->batch_at < l->batch_n;) {
			struct epoll_event ev = l->batch[l->batch_at++];
			struct source *s = ev.data.ptr;
			if (s != NULL)
				s->ready(s, ev.events);
		}
		l->batch_n = l->batch_at = 0;
		run_timers(l);
		run_later(l);
	}
	return l->status;
}

void loop_stop(struct loop *l, int status)
{
	l->stopping = true;
	l->status = status;
}
