#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/util.h"
#include "net/resolver.h"

struct resolve_job {
	struct list link;
	char *host;
	char port[8];
	struct resolve_query *query; /* the loop's thread only; NULL when cancelled */
	struct address addresses[RESOLVE_ADDRESSES_MAX];
	int n;
	struct err why;
};

/* What both threads use, under the lock. It is released by the last of the two. */
struct shared {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct list asked, answered;
	int waiting;
	int event; /* eventfd: something is answered */
	int users;
	bool stop;
};

struct resolver {
	struct loop *loop;
	struct shared *shared;
	struct source event;
	bool running;
};

/* ---- addresses ---- */

void address_text(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN] = "?";
	const struct sockaddr_in *v4 = (const void *)&a->sa;
	const struct sockaddr_in6 *v6 = (const void *)&a->sa;

	if (a->sa.ss_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
		snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(v4->sin_port));
	} else {
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
		snprintf(out, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(v6->sin6_port));
	}
}

static int lookup(const char *host, const char *port, int flags, struct address *out, int max,
		  int *n)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = flags | AI_NUMERICSERV,
	};
	struct addrinfo *list = NULL;
	int r = getaddrinfo(host, port, &hints, &list);

	*n = 0;
	if (r != 0)
		return r;
	for (const struct addrinfo *a = list; a != NULL && *n < max; a = a->ai_next) {
		if (a->ai_addrlen > sizeof out->sa)
			continue;
		memcpy(&out[*n].sa, a->ai_addr, a->ai_addrlen);
		out[(*n)++].n = a->ai_addrlen;
	}
	freeaddrinfo(list);
	return *n ? 0 : EAI_NONAME;
}

bool resolve_literal(const char *host, uint16_t port, struct address *a)
{
	char text[8];
	int n;

	snprintf(text, sizeof text, "%u", port);
	return lookup(host, text, AI_NUMERICHOST, a, 1, &n) == 0;
}

/* ---- the thread ---- */

static void job_free(struct resolve_job *j)
{
	free(j->host);
	free(j);
}

static void free_all(struct list *jobs)
{
	list_each(j, jobs, struct resolve_job, link) {
		list_del(&j->link);
		job_free(j);
	}
}

/* Gives up one of the two uses; called under the lock, which it releases. */
static void shared_unref(struct shared *s)
{
	bool last = --s->users == 0;

	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	free_all(&s->asked);
	free_all(&s->answered);
	close(s->event);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->work);
	free(s);
}

static void answer(struct resolve_job *j)
{
	int r = lookup(j->host, j->port, 0, j->addresses, RESOLVE_ADDRESSES_MAX, &j->n);

	if (r == EAI_SYSTEM)
		err_sys(&j->why, "look up %s", j->host);
	else if (r != 0)
		err_set(&j->why, EHOSTUNREACH, "look up %s: %s", j->host, gai_strerror(r));
}

static void *thread(void *arg)
{
	struct shared *s = arg;
	const uint64_t one = 1;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		struct resolve_job *j = list_first(&s->asked, struct resolve_job, link);
		if (j == NULL) {
			pthread_cond_wait(&s->work, &s->lock);
			continue;
		}
		list_del(&j->link);
		pthread_mutex_unlock(&s->lock);
		answer(j);
		pthread_mutex_lock(&s->lock);
		list_add(&s->answered, &j->link);
		if (write(s->event, &one, sizeof one) != sizeof one)
			must(errno == EAGAIN); /* it counts enough already */
	}
	shared_unref(s);
	return NULL;
}

/* Signals are the loop's: the thread gets none. */
static int start_thread(struct resolver *r, struct err *e)
{
	sigset_t all, before;
	pthread_t t;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	errno = pthread_create(&t, NULL, thread, r->shared);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (errno != 0)
		return err_sys(e, "start the resolver's thread");
	pthread_detach(t);
	r->running = true;
	r->shared->users++;
	return 0;
}

/* ---- the loop's side ---- */

static void answered(struct source *src, uint32_t events UNUSED)
{
	struct resolver *r = container_of(src, struct resolver, event);
	struct shared *s = r->shared;
	uint64_t ignored;
	struct list done;

	if (read(src->fd, &ignored, sizeof ignored) < 0)
		return;
	/* `done` may free the resolver: nothing of it is touched behind the last call but what is
	 * taken off here */
	list_init(&done);
	pthread_mutex_lock(&s->lock);
	list_each(j, &s->answered, struct resolve_job, link) {
		list_del(&j->link);
		list_add(&done, &j->link);
		s->waiting--;
	}
	pthread_mutex_unlock(&s->lock);
	struct resolve_job *j;
	while ((j = list_first(&done, struct resolve_job, link)) != NULL) {
		list_del(&j->link);
		struct resolve_query *q = j->query;
		if (q != NULL) {
			q->job = NULL;
			q->done(q, j->addresses, j->n, j->n ? NULL : &j->why);
		}
		job_free(j);
	}
}

int resolver_new(struct resolver **out, struct loop *l, struct err *e)
{
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (event < 0)
		return err_sys(e, "eventfd");
	struct resolver *r = xcalloc(1, sizeof *r);
	r->loop = l;
	r->shared = xcalloc(1, sizeof *r->shared);
	r->shared->users = 1;
	r->shared->event = event;
	pthread_mutex_init(&r->shared->lock, NULL);
	pthread_cond_init(&r->shared->work, NULL);
	list_init(&r->shared->asked);
	list_init(&r->shared->answered);
	r->event = (struct source){.fd = event, .ready = answered, .name = "resolver"};
	if (loop_add(l, &r->event, EPOLLIN, e) < 0) {
		resolver_free(r);
		return -1;
	}
	*out = r;
	return 0;
}

void resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	loop_del(r->loop, &r->event);
	pthread_mutex_lock(&r->shared->lock);
	r->shared->stop = true;
	pthread_cond_signal(&r->shared->work);
	shared_unref(r->shared);
	free(r);
}

int resolve_start(struct resolver *r, struct resolve_query *q, const char *host, uint16_t port,
		  struct err *e)
{
	struct shared *s = r->shared;

	must(q->job == NULL);
	if (!r->running && start_thread(r, e) < 0)
		return -1;
	struct resolve_job *j = xcalloc(1, sizeof *j);
	j->host = xstrdup(host);
	j->query = q;
	snprintf(j->port, sizeof j->port, "%u", port);
	pthread_mutex_lock(&s->lock);
	bool room = s->waiting < RESOLVE_WAITING_MAX;
	if (room) {
		s->waiting++;
		list_add(&s->asked, &j->link);
		pthread_cond_signal(&s->work);
	}
	pthread_mutex_unlock(&s->lock);
	if (!room) {
		job_free(j);
		return err_set(e, EAGAIN, "look up %s: too many names are being looked up", host);
	}
	q->job = j;
	return 0;
}

void resolve_cancel(struct resolve_query *q)
{
	if (q->job == NULL)
		return;
	q->job->query = NULL;
	q->job = NULL;
}
