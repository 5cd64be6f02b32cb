#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "proxy/tunnel.h"

/* ---- pipes ---- */

static void close_pipe(int pipe[2])
{
	close(steal_fd(&pipe[0]));
	close(steal_fd(&pipe[1]));
}

void pipes_fini(struct pipes *p)
{
	while (p->n > 0)
		close_pipe(p->kept[--p->n]);
}

static bool take_pipe(struct pipes *p, int pipe[2])
{
	if (p->no_splice)
		return false;
	if (p->n > 0) {
		memcpy(pipe, p->kept[--p->n], sizeof p->kept[0]);
		return true;
	}
	if (pipe2(pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	(void)fcntl(pipe[1], F_SETPIPE_SZ, TUNNEL_PIPE); /* else it holds what it holds */
	return true;
}

/* Only an empty one may serve another tunnel. */
static void give_pipe(struct pipes *p, struct way *w)
{
	if (w->pipe[0] < 0)
		return;
	if (w->in_pipe > 0 || p->n == PIPES_KEPT_MAX) {
		close_pipe(w->pipe);
		w->in_pipe = 0;
		return;
	}
	p->kept[p->n][0] = steal_fd(&w->pipe[0]);
	p->kept[p->n++][1] = steal_fd(&w->pipe[1]);
}

/* ---- one way ---- */

static size_t held(const struct way *w)
{
	return w->copy_n + w->in_pipe;
}

static void drop_copy(struct way *w)
{
	free(steal(&w->copy));
	w->copy_at = w->copy_n = 0;
}

static void way_over(struct tunnel *t, struct way *w)
{
	drop_copy(w);
	give_pipe(t->pipes, w);
	w->state = WAY_OVER;
}

/* Takes what has come. Bytes, 0 for the end, -1 with errno. */
static ssize_t fill(struct tunnel *t, struct way *w, int from)
{
	ssize_t n;

	if (w->pipe[0] >= 0 || take_pipe(t->pipes, w->pipe)) {
		n = splice(from, NULL, w->pipe[1], NULL, TUNNEL_PIPE,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n >= 0)
			w->in_pipe = (size_t)n;
		if (n >= 0 || (errno != EINVAL && errno != ENOSYS && errno != EPERM))
			return n;
		t->pipes->no_splice = true;
		give_pipe(t->pipes, w);
	}
	if (w->copy == NULL)
		w->copy = xmalloc(TUNNEL_COPY);
	n = recv(from, w->copy, TUNNEL_COPY, 0);
	w->copy_at = 0;
	w->copy_n = n > 0 ? (size_t)n : 0;
	return n;
}

/* Passes on what is held. Bytes, or -1 with errno. */
static ssize_t drain(struct way *w, int to)
{
	ssize_t n;

	if (w->copy_n > 0) {
		n = send(to, w->copy + w->copy_at, w->copy_n, MSG_NOSIGNAL);
		if (n > 0) {
			w->copy_at += (size_t)n;
			w->copy_n -= (size_t)n;
		}
		return n;
	}
	n = splice(w->pipe[0], NULL, to, NULL, w->in_pipe, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0)
		w->in_pipe -= (size_t)n;
	return n;
}

static bool for_later(int error)
{
	return error == EAGAIN || error == EINTR;
}

/* The receiver is told once everything is out. */
static void end_way(struct tunnel *t, struct way *w, int to)
{
	if (held(w) > 0) {
		w->state = WAY_ENDING;
		return;
	}
	shutdown(to, SHUT_WR);
	way_over(t, w);
}

/* Moves what can be moved, as much as one turn allows. -1: the sender's connection is broken. A receiver
 * that takes no more (EPIPE, ECONNRESET) only ends this way: it may have sent its last words before. */
static int move(struct tunnel *t, int i, struct err *e)
{
	struct way *w = &t->ways[i];
	int from = t->ends[i].src.fd, to = t->ends[!i].src.fd;
	ssize_t n;

	for (size_t moved = 0; moved < TUNNEL_TURN && w->state != WAY_OVER; moved += (size_t)n) {
		if (held(w) == 0 && w->state == WAY_FLOWING) {
			n = fill(t, w, from);
			if (n < 0 && for_later(errno))
				break;
			if (n < 0)
				return err_sys(e, "read from the %s", i ? "server" : "client");
			if (n == 0)
				w->state = WAY_ENDING;
		}
		if (w->state == WAY_ENDING && held(w) == 0) {
			end_way(t, w, to);
			break;
		}
		n = drain(w, to);
		if (n < 0 && for_later(errno))
			break;
		if (n < 0) {
			way_over(t, w);
			break;
		}
		t->moved[i] += (uint64_t)n;
		t->moved_at = mono_ms();
	}
	if (held(w) == 0 && w->state == WAY_FLOWING) {
		give_pipe(t->pipes, w);
		drop_copy(w);
	}
	return 0;
}

/* ---- both ---- */

static void finish(struct tunnel *t, const struct err *why)
{
	loop_del(t->loop, &t->ends[0].src);
	loop_del(t->loop, &t->ends[1].src);
	timer_stop(t->loop, &t->idle);
	t->ended(t, why);
}

static void watch(struct tunnel *t)
{
	for (int i = 0; i < 2; i++) {
		const struct way *out = &t->ways[i], *in = &t->ways[!i];
		bool read = out->state == WAY_FLOWING && held(out) == 0;
		/* of a sender that has hung up the loop tells nothing: its last bytes are fetched
		 * whenever the receiver can take some */
		bool write = in->state != WAY_OVER && (held(in) > 0 || t->ends[!i].hung_up);
		if (!t->ends[i].hung_up)
			loop_set(t->loop, &t->ends[i].src,
				 (read ? EPOLLIN : 0) | (write ? EPOLLOUT : 0));
	}
}

/* Nobody reads at this end any more. It is told again and again, so we do not listen to it. */
static void hang_up(struct tunnel *t, int i)
{
	t->ends[i].hung_up = true;
	loop_del(t->loop, &t->ends[i].src);
	way_over(t, &t->ways[!i]);
}

static bool is_over(const struct tunnel *t)
{
	return (t->ways[0].state == WAY_OVER && t->ways[1].state == WAY_OVER) ||
	       (t->ends[0].hung_up && t->ends[1].hung_up);
}

static void ready(struct source *s, uint32_t events)
{
	struct tunnel_end *end = container_of(s, struct tunnel_end, src);
	struct tunnel *t = end->tunnel;
	int from = end == &t->ends[0] ? 0 : 1;
	bool gone = events & (EPOLLHUP | EPOLLERR);
	struct err e;

	if (t->may_move != NULL && !t->may_move(t))
		return;
	if (gone)
		hang_up(t, from);
	if (((gone || (events & EPOLLIN)) && move(t, from, &e) < 0) ||
	    ((events & EPOLLOUT) && move(t, !from, &e) < 0)) {
		finish(t, &e);
		return;
	}
	if (is_over(t))
		finish(t, NULL);
	else
		watch(t);
}

static void idle(struct timer *timer)
{
	struct tunnel *t = container_of(timer, struct tunnel, idle);
	bool half = t->ways[0].state == WAY_OVER || t->ways[1].state == WAY_OVER;
	int64_t limit = half ? t->half_closed_ms : t->idle_ms;
	int64_t left = t->moved_at + limit - mono_ms();
	struct err e;

	if (left > 0) {
		timer_set(t->loop, timer, MIN(left, t->half_closed_ms));
		return;
	}
	err_set(&e, ETIMEDOUT, "no byte for %lld s", (long long)limit / 1000);
	finish(t, &e);
}

static void preload(struct way *w, struct str bytes)
{
	*w = (struct way){.pipe = {-1, -1}};
	if (bytes.n == 0)
		return;
	w->copy = xmalloc(MAX(bytes.n, (size_t)TUNNEL_COPY));
	memcpy(w->copy, bytes.p, bytes.n);
	w->copy_n = bytes.n;
}

int tunnel_start(struct tunnel *t, int client, int server, struct str from_client,
		 struct str from_server, struct err *e)
{
	const int fds[2] = {client, server};

	preload(&t->ways[0], from_client);
	preload(&t->ways[1], from_server);
	for (int i = 0; i < 2; i++) {
		t->ends[i] = (struct tunnel_end){
			.src = {.fd = fds[i], .ready = ready, .name = i ? "server" : "client"},
			.tunnel = t,
		};
	}
	t->idle.fire = idle;
	t->moved_at = mono_ms();
	if (loop_add(t->loop, &t->ends[0].src, 0, e) < 0 ||
	    loop_add(t->loop, &t->ends[1].src, 0, e) < 0) {
		tunnel_stop(t);
		return -1;
	}
	timer_set(t->loop, &t->idle, MIN(t->idle_ms, t->half_closed_ms));
	watch(t);
	return 0;
}

static void close_end(struct tunnel *t, int i)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	struct source *s = &t->ends[i].src;
	const struct way *to = &t->ways[!i];

	loop_del(t->loop, s);
	if (to->state != WAY_OVER)
		setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(s->fd);
}

void tunnel_stop(struct tunnel *t)
{
	if (t->ends[0].tunnel == NULL)
		return;
	timer_stop(t->loop, &t->idle);
	close_end(t, 0);
	close_end(t, 1);
	way_over(t, &t->ways[0]);
	way_over(t, &t->ways[1]);
	t->ends[0].tunnel = NULL;
}
