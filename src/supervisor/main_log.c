#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "supervisor/main_session_impl.h"
#include "supervisor/pump.h"

/* What a pipe that is ready for writing takes at once for sure (PIPE_BUF). */
enum { WRITE_AT_ONCE = 4096 };

/* The next bytes of its stream. False when there are none. */
static bool fill(struct main_log *g)
{
	const struct output_ring *r = &g->session->ring;
	uint64_t missed = output_ring_missed(r, &g->at);
	char stream = 0;

	if (missed > 0) {
		g->at = output_ring_oldest(r);
		g->lost += missed;
	}
	g->done = 0;
	do {
		g->n = output_ring_read(r, &g->at, &stream, g->bytes);
	} while (g->n > 0 && stream != g->stream);
	return g->n > 0;
}

/* Only now, when somebody reads again: stderr may be the very same pipe. */
static void say_lost(struct main_log *g)
{
	if (g->lost > 0)
		log_warn("output of the main process was lost to the container's log, which was "
			 "not read in time",
			 "records=%llu", (unsigned long long)g->lost);
	g->lost = 0;
}

static bool is_empty(const struct main_log *g)
{
	return g->done == g->n;
}

/* False when there is no room now, or never. */
static bool write_once(struct main_log *g)
{
	size_t left = g->n - g->done;
	ssize_t n;

	do {
		n = write(g->source.fd, g->bytes + g->done,
			  g->eager ? left : MIN(left, (size_t)WRITE_AT_ONCE));
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		g->dead = errno != EAGAIN; /* nobody is there, or the disk is full */
		return false;
	}
	g->done += (size_t)n;
	if (timer_armed(&g->timer))
		timer_set(g->session->c.loop, &g->timer, MAIN_STALL_MS);
	say_lost(g);
	return true;
}

static void write_all(struct main_log *g)
{
	while (!g->dead && (!is_empty(g) || fill(g)) && write_once(g))
		;
}

static bool is_behind(const struct main_log *g)
{
	return !g->dead && output_ring_left(&g->session->ring, &g->at) > OUTPUT_RING_BYTES / 2;
}

bool main_log_holds_up(const struct main_log *g)
{
	return is_behind(g) && !g->given_up;
}

static void too_late(struct timer *t)
{
	struct main_log *g = container_of(t, struct main_log, timer);

	g->given_up = true;
	main_session_look(g->session);
}

/* Waits for room while there is something to write. */
static void turn(struct main_log *g)
{
	struct loop *l = g->session->c.loop;

	if (g->dead)
		loop_del(l, &g->source);
	else if (g->source.added)
		loop_set(l, &g->source, !is_empty(g) || fill(g) ? EPOLLOUT : 0);
	if (!is_behind(g)) {
		g->given_up = false;
		timer_stop(l, &g->timer);
	} else if (!g->given_up && !timer_armed(&g->timer)) {
		timer_set(l, &g->timer, MAIN_STALL_MS);
	}
	main_session_look(g->session);
}

static void ready(struct source *source, uint32_t events)
{
	struct main_log *g = container_of(source, struct main_log, source);

	if (is_empty(g) && (events & (EPOLLHUP | EPOLLERR)))
		g->dead = true;
	else if (g->eager)
		write_all(g);
	else if (!is_empty(g) || fill(g))
		write_once(g);
	turn(g);
}

void main_log_flush(struct main_log *g)
{
	if (g->eager && is_empty(g))
		write_all(g);
	turn(g);
}

bool main_log_is_through(const struct main_log *g)
{
	return g->dead || (is_empty(g) && output_ring_left(&g->session->ring, &g->at) == 0);
}

int main_log_open(struct main_log *g, struct main_session *s, int fd, char stream, struct err *e)
{
	struct stat st;
	int own = pump_reopen(fd);

	g->session = s;
	g->stream = stream;
	g->timer.fire = too_late;
	g->source = (struct source){.fd = own, .ready = ready, .name = "container log"};
	g->dead = own < 0;
	if (g->dead) /* it was closed before we began */
		return 0;
	int flags = fcntl(own, F_GETFL);
	g->eager = (flags >= 0 && flags & O_NONBLOCK) ||
		   (fstat(own, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)));
	if (loop_add(s->c.loop, &g->source, 0, e) == 0)
		return 0;
	/* a file, /dev/null and its like cannot be waited for, and need not be */
	g->eager = true;
	return e->code == EPERM ? 0 : -1;
}

void main_log_close(struct main_log *g)
{
	if (g->session == NULL)
		return;
	loop_del(g->session->c.loop, &g->source);
	timer_stop(g->session->c.loop, &g->timer);
	if (g->source.fd >= 0)
		close(g->source.fd);
	g->source.fd = -1;
}
