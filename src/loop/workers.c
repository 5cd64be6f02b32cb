#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/util.h"
#include "loop/workers.h"

/* What all threads use, under the lock. It is released by the last of them. */
struct workers_shared {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct list waiting, finished;
	int event; /* eventfd: something is finished */
	int users;
	int idle; /* threads that wait for work */
	bool stop;
};

struct workers {
	struct loop *loop;
	struct workers_shared *shared;
	struct source event;
	unsigned threads, max;
};

static void drop_all(struct list *works)
{
	list_each(w, works, struct work, link) {
		list_del(&w->link);
		w->drop(w);
	}
}

/* Gives up one of the uses; called under the lock, which it releases. */
static void unref(struct workers_shared *s)
{
	bool last = --s->users == 0;

	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	drop_all(&s->waiting);
	drop_all(&s->finished);
	close(s->event);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->work);
	free(s);
}

/* ---- the threads ---- */

static void *thread(void *arg)
{
	struct workers_shared *s = arg;
	const uint64_t one = 1;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		struct work *w = list_first(&s->waiting, struct work, link);
		if (w == NULL) {
			s->idle++;
			pthread_cond_wait(&s->work, &s->lock);
			s->idle--;
			continue;
		}
		list_del(&w->link);
		pthread_mutex_unlock(&s->lock);
		w->run(w);
		pthread_mutex_lock(&s->lock);
		list_add(&s->finished, &w->link);
		if (write(s->event, &one, sizeof one) != sizeof one)
			must(errno == EAGAIN); /* it counts enough already */
	}
	unref(s);
	return NULL;
}

bool work_is_unwanted(const struct work *work)
{
	struct workers_shared *s = work->shared;

	pthread_mutex_lock(&s->lock);
	bool stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return stop;
}

/* Signals are the loop's: the threads get none. Called under the lock. */
static int start_thread(struct workers *w, struct err *e)
{
	sigset_t all, before;
	pthread_t t;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	errno = pthread_create(&t, NULL, thread, w->shared);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (errno != 0)
		return err_sys(e, "start a thread for %s", w->event.name);
	pthread_detach(t);
	w->threads++;
	w->shared->users++;
	return 0;
}

/* ---- the loop's side ---- */

/* One more thread is started when none has time for it. */
int workers_start(struct workers *w, struct work *work, struct err *e)
{
	struct workers_shared *s = w->shared;
	bool can = true;

	pthread_mutex_lock(&s->lock);
	if ((s->idle == 0 || !list_empty(&s->waiting)) && w->threads < w->max)
		can = start_thread(w, e) == 0 || w->threads > 0;
	if (can) {
		work->shared = s;
		list_add(&s->waiting, &work->link);
		pthread_cond_signal(&s->work);
	}
	pthread_mutex_unlock(&s->lock);
	return can ? 0 : -1;
}

/* Whoever is told may free the workers; the last use of what they share is then ours. */
static void finished(struct source *src, uint32_t events UNUSED)
{
	struct workers_shared *s = container_of(src, struct workers, event)->shared;
	uint64_t ignored;

	if (read(src->fd, &ignored, sizeof ignored) < 0)
		return;
	pthread_mutex_lock(&s->lock);
	s->users++;
	while (!s->stop && !list_empty(&s->finished)) {
		struct work *work = list_first(&s->finished, struct work, link);
		list_del(&work->link);
		pthread_mutex_unlock(&s->lock);
		work->done(work);
		pthread_mutex_lock(&s->lock);
	}
	unref(s);
}

int workers_new(struct workers **out, struct loop *l, unsigned max, const char *name, struct err *e)
{
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (event < 0)
		return err_sys(e, "eventfd");
	struct workers *w = xcalloc(1, sizeof *w);
	w->loop = l;
	w->max = max;
	w->shared = xcalloc(1, sizeof *w->shared);
	w->shared->users = 1;
	w->shared->event = event;
	pthread_mutex_init(&w->shared->lock, NULL);
	pthread_cond_init(&w->shared->work, NULL);
	list_init(&w->shared->waiting);
	list_init(&w->shared->finished);
	w->event = (struct source){.fd = event, .ready = finished, .name = name};
	if (loop_add(l, &w->event, EPOLLIN, e) < 0) {
		workers_free(w);
		return -1;
	}
	*out = w;
	return 0;
}

void workers_free(struct workers *w)
{
	if (w == NULL)
		return;
	loop_del(w->loop, &w->event);
	pthread_mutex_lock(&w->shared->lock);
	w->shared->stop = true;
	pthread_cond_broadcast(&w->shared->work);
	unref(w->shared);
	free(w);
}
