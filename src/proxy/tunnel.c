#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "proxy/tunnel.h"

/* ---- where bytes are kept ---- */

static void close_pipe(int pipe[2])
{
	close(steal_fd(&pipe[0]));
	close(steal_fd(&pipe[1]));
}

void tunnel_pool_fini(struct tunnel_pool *p)
{
	while (p->buffers_n > 0)
		free(p->buffers[--p->buffers_n]);
	while (p->pipes_n > 0)
		close_pipe(p->pipes[--p->pipes_n]);
}

/* The one that was used last is still in the processor's cache. */
static bool take_buffer(struct tunnel_pool *p, struct way *w)
{
	if (p->buffers_used == TUNNEL_BUFFERS_MAX)
		return false;
	p->buffers_used++;
	w->buffer = p->buffers_n > 0 ? p->buffers[--p->buffers_n] : xmalloc(TUNNEL_BUFFER);
	w->shared = true;
	return true;
}

static bool make_pipe(struct way *w)
{
	if (pipe2(w->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	w->whole = fcntl(w->pipe[1], F_SETPIPE_SZ, TUNNEL_PIPE) >= TUNNEL_PIPE;
	return true;
}

static bool take_whole_pipe(struct tunnel_pool *p, struct way *w)
{
	if (p->no_splice || p->no_whole_pipe || p->pipes_used == TUNNEL_PIPES_MAX)
		return false;
	if (p->pipes_n > 0) {
		memcpy(w->pipe, p->pipes[--p->pipes_n], sizeof w->pipe);
		w->whole = true;
	} else if (!make_pipe(w)) {
		return false;
	} else if (!w->whole) {
		p->no_whole_pipe = true;
		close_pipe(w->pipe);
		return false;
	}
	p->pipes_used++;
	return true;
}

/* When there is nothing better. */
static bool take_pipe(struct tunnel_pool *p, struct way *w)
{
	if (p->no_splice)
		return false;
	if (take_whole_pipe(p, w))
		return true;
	if (!make_pipe(w))
		return false;
	if (w->whole)
		p->pipes_used++;
	return true;
}

static void give_buffer(struct tunnel_pool *p, struct way *w)
{
	char *buffer = steal(&w->buffer);
	bool keep = w->shared && p->buffers_n < TUNNEL_BUFFERS_KEPT;

	if (w->shared)
		p->buffers_used--;
	if (keep)
		p->buffers[p->buffers_n++] = buffer;
	else
		free(buffer);
	w->shared = false;
	w->at = w->n = 0;
}

/* Only an empty one may serve another tunnel. */
static void give_pipe(struct tunnel_pool *p, struct way *w)
{
	bool keep = w->whole && w->in_pipe == 0 && p->pipes_n < TUNNEL_PIPES_KEPT;

	p->pipes_used -= w->whole;
	w->whole = false;
	if (!keep) {
		close_pipe(w->pipe);
		w->in_pipe = 0;
		return;
	}
	p->pipes[p->pipes_n][0] = steal_fd(&w->pipe[0]);
	p->pipes[p->pipes_n++][1] = steal_fd(&w->pipe[1]);
}

static void give_back(struct tunnel_pool *p, struct way *w)
{
	if (w->buffer != NULL)
		give_buffer(p, w);
	if (w->pipe[0] >= 0)
		give_pipe(p, w);
}

/* ---- one way ---- */

static size_t held(const struct way *w)
{
	return w->n + w->in_pipe;
}

static void way_over(struct tunnel *t, struct way *w)
{
	give_back(t->pool, w);
	w->state = WAY_OVER;
}

/* Takes what has come, by a pipe. Bytes, 0 for the end, -1 with errno. */
static ssize_t fill_pipe(struct way *w, int from)
{
	ssize_t n = splice(from, NULL, w->pipe[1], NULL, TUNNEL_PIPE,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n > 0)
		w->in_pipe = (size_t)n;
	return n;
}

static ssize_t fill_buffer(struct way *w, int from)
{
	ssize_t n = recv(from, w->buffer, w->shared ? TUNNEL_BUFFER : TUNNEL_SMALL, 0);

	w->at = 0;
	w->n = n > 0 ? (size_t)n : 0;
	return n;
}

/* The same, by what there is. The way holds nothing. */
static ssize_t fill(struct tunnel *t, struct way *w, int from)
{
	bool has = w->buffer != NULL || w->pipe[0] >= 0;

	if (!has && t->far)
		has = take_whole_pipe(t->pool, w);
	if (!has)
		has = take_buffer(t->pool, w);
	if (w->buffer != NULL)
		return fill_buffer(w, from);
	if (has || take_pipe(t->pool, w)) {
		ssize_t n = fill_pipe(w, from);
		if (n >= 0 || (errno != EINVAL && errno != ENOSYS && errno != EPERM))
			return n;
		t->pool->no_splice = true;
		give_pipe(t->pool, w);
	}
	w->buffer = xmalloc(TUNNEL_SMALL);
	return fill_buffer(w, from);
}

/* Passes on what is held. Bytes, or -1 with errno. */
static ssize_t drain(struct way *w, int to)
{
	ssize_t n;

	if (w->n > 0) {
		n = send(to, w->buffer + w->at, w->n, MSG_NOSIGNAL);
		if (n > 0) {
			w->at += (size_t)n;
			w->n -= (size_t)n;
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

	for (size_t moved = 0; moved < TUNNEL_BUFFER && w->state != WAY_OVER; moved += (size_t)n) {
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
		t->moved_at = mono_ms();
	}
	if (held(w) == 0)
		give_back(t->pool, w);
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

/* What the loop is to tell of an end. */
static uint32_t wanted(const struct tunnel *t, int i)
{
	const struct way *out = &t->ways[i], *in = &t->ways[!i];
	bool read = out->state == WAY_FLOWING && held(out) == 0;
	/* of a sender that has hung up the loop tells nothing: its last bytes are fetched whenever the
	 * receiver can take some */
	bool write = in->state != WAY_OVER && (held(in) > 0 || t->ends[!i].hung_up);

	return (read ? EPOLLIN : 0) | (write ? EPOLLOUT : 0);
}

static void watch(struct tunnel *t)
{
	for (int i = 0; i < 2; i++) {
		if (!t->ends[i].hung_up)
			loop_set(t->loop, &t->ends[i].src, wanted(t, i));
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
	w->buffer = xmalloc(MAX(bytes.n, (size_t)TUNNEL_SMALL));
	memcpy(w->buffer, bytes.p, bytes.n);
	w->n = bytes.n;
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
	if (loop_add(t->loop, &t->ends[0].src, wanted(t, 0), e) < 0 ||
	    loop_add(t->loop, &t->ends[1].src, wanted(t, 1), e) < 0) {
		tunnel_stop(t);
		return -1;
	}
	timer_set(t->loop, &t->idle, MIN(t->idle_ms, t->half_closed_ms));
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
