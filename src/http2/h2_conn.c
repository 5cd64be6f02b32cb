#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "http2/h2_conn.h"

enum {
	READ_AT_ONCE = 64 * 1024, /* bytes */
	READS_A_TURN = 4,         /* then the other connections have their turn */
	WRITE_AT_ONCE = 64 * 1024,
};

/*
 * OPEN --(session over, error, deadline, end of file)--> ENDED --h2_conn_free--> gone
 *   '-------------------------h2_conn_free---------------------------------------^
 */
struct h2_conn {
	struct conn *conn;
	struct loop *loop;
	struct h2_session *session;
	const struct h2_conn_ops *ops;
	void *owner;
	struct h2_conn_config cfg;
	struct buf out; /* what the connection did not take */
	struct later flush;
	struct later free_later;
	struct timer reread; /* bytes wait in the transport, but other connections come first */
	struct timer timer; /* at the earliest of the points below; each 0 when it does not count */
	int64_t open_by, unused_since, idle_since, heard, pinged, stalled, drained;
	unsigned busy; /* we are below a callback, so that nothing may be released */
	bool opened;   /* the peer's SETTINGS are there */
	bool used;     /* there has been a request */
	bool broken;   /* h2_feed failed: only what is left to say is written */
	bool ended, freed;
};

/* ---- the end ---- */

static void release(struct h2_conn *hc)
{
	loop_later_cancel(&hc->flush);
	loop_later_cancel(&hc->free_later);
	timer_stop(hc->loop, &hc->timer);
	timer_stop(hc->loop, &hc->reread);
	h2_session_free(hc->session);
	conn_free(hc->conn);
	buf_fini(&hc->out);
	free(hc);
}

static void run_free(struct later *l)
{
	release(container_of(l, struct h2_conn, free_later));
}

void h2_conn_free(struct h2_conn *hc)
{
	if (hc == NULL || hc->freed)
		return;
	hc->freed = true;
	hc->busy++;
	h2_session_end(hc->session);
	hc->busy--;
	if (hc->busy == 0) {
		release(hc);
		return;
	}
	if (hc->conn != NULL)
		conn_want(hc->conn, false, false);
	loop_later(hc->loop, &hc->free_later);
}

/* Over: tells every stream, then the owner. Nobody may touch hc afterwards. */
static void end(struct h2_conn *hc, const struct err *why)
{
	struct err e = *why;

	hc->ended = true;
	hc->busy++;
	loop_later_cancel(&hc->flush);
	timer_stop(hc->loop, &hc->timer);
	timer_stop(hc->loop, &hc->reread);
	h2_session_end(hc->session);
	if (!hc->freed) {
		conn_free(hc->conn);
		hc->conn = NULL;
		hc->ops->ended(hc->owner, &e);
	}
	hc->busy--;
	if (hc->freed) {
		loop_later_cancel(&hc->free_later);
		release(hc);
	}
}

/* Over because the session says so. */
static void end_session(struct h2_conn *hc)
{
	struct err why = *h2_error(hc->session);

	conn_end(hc->conn);
	end(hc, &why);
}

/* ---- deadlines ---- */

static void earliest(int64_t *at, int64_t since, int64_t after)
{
	if (since != 0 && after != 0)
		*at = MIN(*at, since + after);
}

static void arm(struct h2_conn *hc)
{
	int64_t at = INT64_MAX;

	earliest(&at, hc->open_by, 1);
	if (h2_streams(hc->session) == 0)
		earliest(&at, hc->drained, hc->cfg.drain_ms);
	earliest(&at, hc->unused_since, hc->cfg.unused_ms);
	earliest(&at, hc->idle_since, hc->cfg.idle_ms);
	earliest(&at, hc->stalled, hc->cfg.stall_ms);
	if (hc->pinged != 0)
		earliest(&at, hc->pinged, hc->cfg.pong_ms);
	else
		earliest(&at, hc->heard, hc->cfg.ping_ms);
	if (at == INT64_MAX || (timer_armed(&hc->timer) && hc->timer.at <= at))
		return;
	timer_set(hc->loop, &hc->timer, at - mono_ms());
}

static bool passed(int64_t now, int64_t since, int64_t after)
{
	return since != 0 && after != 0 && now >= since + after;
}

/* Whether a deadline ended the connection; fills why. */
static bool expired(struct h2_conn *hc, int64_t now, struct err *why)
{
	const struct h2_conn_config *c = &hc->cfg;

	if (passed(now, hc->open_by, 1))
		err_set(why, ETIMEDOUT, "no HTTP/2 preface within %lld ms", (long long)c->open_ms);
	else if (h2_streams(hc->session) == 0 && passed(now, hc->drained, c->drain_ms))
		err_set(why, ETIMEDOUT, "not let go within %lld ms", (long long)c->drain_ms);
	else if (passed(now, hc->stalled, c->stall_ms))
		err_set(why, ETIMEDOUT, "the peer read nothing for %lld ms",
			(long long)c->stall_ms);
	else if (passed(now, hc->pinged, c->pong_ms))
		err_set(why, ETIMEDOUT, "no answer to a PING within %lld ms",
			(long long)c->pong_ms);
	else
		return false;
	return true;
}

static void timer_fired(struct timer *t)
{
	struct h2_conn *hc = container_of(t, struct h2_conn, timer);
	int64_t now = mono_ms();
	struct err why;

	if (hc->freed)
		return;
	if (expired(hc, now, &why)) {
		end(hc, &why);
		return;
	}
	if (passed(now, hc->idle_since, hc->cfg.idle_ms) ||
	    passed(now, hc->unused_since, hc->cfg.unused_ms)) {
		hc->idle_since = hc->unused_since = 0;
		h2_conn_drain(hc);
	}
	if (hc->pinged == 0 && passed(now, hc->heard, hc->cfg.ping_ms)) {
		hc->pinged = now;
		h2_ping(hc->session);
	}
	arm(hc);
}

/* ---- the pump ---- */

/* Writes what is in b. False when the connection broke. */
static bool write_from(struct h2_conn *hc, struct buf *b)
{
	while (b->n > 0) {
		struct str v = buf_view(b);
		ssize_t n = conn_write(hc->conn, v.p, v.n);
		if (n == CONN_ERROR || n == CONN_EOF)
			return false;
		if (n == CONN_AGAIN) {
			if (hc->stalled == 0)
				hc->stalled = mono_ms();
			return true;
		}
		hc->stalled = 0;
		buf_consume(b, (size_t)n);
	}
	return true;
}

/* Takes what there is and writes it, by way of a buffer that all connections share: only what one does not take is
 * kept for it. False when the connection broke. */
static bool take_and_write(struct h2_conn *hc)
{
	static struct buf shared =
		BUF_INIT(SIZE_MAX / 2); /* one thread: it is empty between two calls */
	bool sound = true;

	do {
		h2_take(hc->session, &shared, WRITE_AT_ONCE);
		sound = hc->freed || write_from(hc, &shared);
	} while (sound && shared.n == 0 && h2_has_output(hc->session));
	if (sound && !hc->freed && shared.n > 0)
		must(buf_str(&hc->out, buf_view(&shared)));
	buf_clear(&shared);
	return sound;
}

static void note_idle(struct h2_conn *hc)
{
	if (h2_streams(hc->session) > 0)
		hc->idle_since = 0;
	else if (hc->idle_since == 0 && hc->cfg.idle_ms != 0 && hc->drained == 0)
		hc->idle_since = mono_ms();
}

static void peer_gone(struct h2_conn *hc, ssize_t how)
{
	struct err why = *h2_error(hc->session);
	bool idle = h2_is_open(hc->session) && h2_streams(hc->session) == 0;

	/* a peer that leaves while nothing is open may do so in any way: a Unix socket is reset when
	 * its peer has not read all */
	if (why.code == 0 && !idle) {
		if (how == CONN_ERROR)
			err_set(&why, EPIPE, "%s", conn_error(hc->conn));
		else
			err_set(&why, ECONNRESET, "the peer closed the connection");
	}
	end(hc, &why);
}

/* Reads and feeds; returns what the last read said. */
static ssize_t read_in(struct h2_conn *hc)
{
	static uint8_t input[READ_AT_ONCE]; /* one thread: it is empty between two calls */
	struct err e;
	ssize_t n = CONN_AGAIN;

	for (int i = 0; i < READS_A_TURN; i++) {
		n = conn_read(hc->conn, input, sizeof input);
		if (n <= 0)
			return n;
		hc->heard = hc->cfg.ping_ms != 0 ? mono_ms() : 0;
		hc->pinged = 0;
		hc->broken = h2_feed(hc->session, input, (size_t)n, &e) < 0;
		if (hc->broken || hc->freed)
			return n;
		if ((size_t)n < sizeof input && !conn_pending(hc->conn))
			return n;
	}
	if (conn_pending(hc->conn))
		timer_set(hc->loop, &hc->reread, 0);
	return n;
}

/* The peer takes no more; what it said before that still counts. */
static void write_failed(struct h2_conn *hc)
{
	struct err why;

	err_set(&why, EPIPE, "%s", conn_error(hc->conn));
	hc->busy++;
	while (!hc->broken && !hc->freed && read_in(hc) > 0)
		;
	hc->busy--;
	if (!hc->freed)
		end(hc, &why);
}

static void run_flush(struct later *l)
{
	struct h2_conn *hc = container_of(l, struct h2_conn, flush);
	bool sound = true;

	if (hc->freed)
		return;
	hc->busy++;
	if (hc->out.n > 0)
		sound = write_from(hc, &hc->out);
	if (sound && hc->out.n == 0)
		sound = take_and_write(hc);
	hc->busy--;
	if (hc->freed)
		return;
	if (!sound) {
		write_failed(hc);
		return;
	}
	if (hc->broken || (hc->out.n == 0 && h2_is_over(hc->session))) {
		end_session(hc);
		return;
	}
	if (hc->out.n == 0)
		buf_fini(&hc->out);
	note_idle(hc);
	conn_want(hc->conn, true, hc->out.n > 0);
	arm(hc);
}

/* The peer's preface, and its first request, each have a deadline. */
static void note_open(struct h2_conn *hc)
{
	if (hc->used)
		hc->unused_since = 0;
	if (hc->opened || !h2_is_open(hc->session))
		return;
	hc->opened = true;
	hc->open_by = 0;
	if (!hc->used && hc->cfg.unused_ms != 0)
		hc->unused_since = mono_ms();
}

static void conn_ready(struct conn *c, bool readable, bool writable)
{
	struct h2_conn *hc = c->owner;
	ssize_t n = CONN_AGAIN;

	if (hc->freed)
		return;
	hc->busy++;
	if (readable && !hc->broken)
		n = read_in(hc);
	hc->busy--;
	if (hc->freed)
		return;
	if (n == CONN_EOF || n == CONN_ERROR) {
		peer_gone(hc, n);
		return;
	}
	note_open(hc);
	if (n > 0 || writable)
		loop_later(hc->loop, &hc->flush);
}

static void reread(struct timer *t)
{
	struct h2_conn *hc = container_of(t, struct h2_conn, reread);

	if (!hc->freed)
		conn_ready(hc->conn, true, false);
}

static void on_request(void *owner, struct h2_stream *st)
{
	struct h2_conn *hc = owner;

	hc->used = true;
	hc->ops->request(hc->owner, st);
}

static void on_goaway(void *owner, uint32_t code)
{
	struct h2_conn *hc = owner;

	if (hc->ops->goaway != NULL)
		hc->ops->goaway(hc->owner, code);
}

static void on_wake(void *owner)
{
	struct h2_conn *hc = owner;

	if (!hc->freed && !hc->ended)
		loop_later(hc->loop, &hc->flush);
}

static const struct h2_session_ops session_ops = {
	.request = on_request,
	.wake = on_wake,
	.goaway = on_goaway,
};

/* ---- life ---- */

typedef struct h2_session *session_new_fn(const struct h2_config *c,
					  const struct h2_session_ops *ops, void *owner);

static struct h2_conn *conn_new(struct conn *c, const struct h2_conn_config *cfg,
				const struct h2_conn_ops *ops, void *owner,
				session_new_fn *session_new)
{
	struct h2_conn *hc = xcalloc(1, sizeof *hc);

	hc->conn = c;
	hc->loop = c->loop;
	hc->ops = ops;
	hc->owner = owner;
	hc->cfg = *cfg;
	hc->session = session_new(&cfg->h2, &session_ops, hc);
	hc->out = BUF_INIT(SIZE_MAX / 2);
	hc->flush.run = run_flush;
	hc->free_later.run = run_free;
	hc->timer.fire = timer_fired;
	hc->reread.fire = reread;
	int64_t now = mono_ms();
	hc->open_by = cfg->open_ms != 0 ? now + cfg->open_ms : 0;
	hc->heard = cfg->ping_ms != 0 ? now : 0;
	conn_set_owner(c, conn_ready, hc);
	conn_want(c, true, false);
	if (conn_pending(c)) /* what came with the end of a TLS handshake */
		timer_set(hc->loop, &hc->reread, 0);
	arm(hc);
	loop_later(hc->loop, &hc->flush);
	return hc;
}

struct h2_conn *h2_conn_server(struct conn *c, const struct h2_conn_config *cfg,
			       const struct h2_conn_ops *ops, void *owner)
{
	return conn_new(c, cfg, ops, owner, h2_server_new);
}

struct h2_conn *h2_conn_client(struct conn *c, const struct h2_conn_config *cfg,
			       const struct h2_conn_ops *ops, void *owner)
{
	return conn_new(c, cfg, ops, owner, h2_client_new);
}

struct h2_session *h2_conn_session(struct h2_conn *hc)
{
	return hc->ended || hc->freed ? NULL : hc->session;
}

void h2_conn_drain(struct h2_conn *hc)
{
	if (hc->ended || hc->freed)
		return;
	h2_drain(hc->session);
	if (hc->drained == 0)
		hc->drained = mono_ms();
	arm(hc);
}
