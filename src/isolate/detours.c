#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "isolate/detours.h"
#include "isolate/keeper_impl.h"
#include "isolate/nflog.h"
#include "isolate/nfqueue.h"
#include "isolate/pocket.h"

enum {
	READS_MAX = 32, /* between two looks at all else */
	TOLD_MAX = 100, /* that are told at once … */
	TOLD_MS = 50,   /* … and one more after each so many ms */
	LOST_MS = 1000, /* how often those are told that were not */
};

/* ---- telling ---- */

static void lose(struct detours *d, uint64_t n)
{
	d->lost += n;
	if (d->lost_due == 0)
		d->lost_due = mono_ms() + LOST_MS;
}

static void earn(struct detours *d)
{
	int64_t now = mono_ms();
	int64_t more = (now - d->earned) / TOLD_MS;

	d->earned += more * TOLD_MS;
	d->credit = (unsigned)MIN((int64_t)TOLD_MAX, d->credit + more);
}

/* False when it is not told, but counted. */
static bool tell(struct detours *d, const struct bypass *b)
{
	const struct keeper_packet p = {.message = KEEPER_BYPASS, .bypass = *b};

	earn(d);
	if (d->credit > 0 && fdpass_send(d->channel, &p, keeper_size(p.message), NULL, 0) == 0) {
		d->credit--;
		return true;
	}
	lose(d, 1);
	return false;
}

static void tell_lost(struct detours *d)
{
	const struct keeper_packet p = {.message = KEEPER_BYPASSES_LOST, .lost = d->lost};
	int64_t now = mono_ms();

	if (d->lost_due == 0 || d->lost_due > now)
		return;
	d->lost_due = now + LOST_MS;
	if (fdpass_send(d->channel, &p, keeper_size(p.message), NULL, 0) < 0)
		return;
	d->lost = 0;
	d->lost_due = 0;
}

/* ---- what waits ---- */

static void let_go(struct detours *d, size_t i)
{
	nfqueue_refuse(d->queue, d->held[i].id);
	d->held_n--;
	for (; i < d->held_n; i++)
		d->held[i] = d->held[i + 1];
}

void detours_release(struct detours *d, uint32_t id)
{
	for (size_t i = 0; i < d->held_n; i++) {
		if (d->held[i].id != id)
			continue;
		let_go(d, i);
		return;
	}
}

static void let_go_overdue(struct detours *d)
{
	int64_t now = mono_ms();

	while (d->held_n > 0 && d->held[0].due <= now)
		let_go(d, 0);
}

/* ---- hearing ---- */

static void logged(const struct bypass *b, void *arg)
{
	tell(arg, b);
}

static void queued(const struct bypass *b, void *arg)
{
	struct detours *d = arg;
	struct bypass what = *b;

	if (d->held_n == DETOUR_HELD_MAX)
		what.held = 0;
	if (!tell(d, &what) || what.held == 0) {
		nfqueue_refuse(d->queue, b->held);
		return;
	}
	d->held[d->held_n].id = b->held;
	d->held[d->held_n++].due = mono_ms() + DETOUR_HELD_MS;
}

static void hear(struct detours *d, int fd, void (*each)(const struct bypass *b, void *arg))
{
	_Alignas(8) char bytes[NFLOG_READ_MAX];

	for (int i = 0; fd >= 0 && i < READS_MAX; i++) {
		ssize_t n = recv(fd, bytes, sizeof bytes, 0);
		if (n < 0 && errno == ENOBUFS)
			lose(d, 1); /* or more: nobody counted */
		else if (n < 0)
			return;
		else
			nflog_parse(bytes, (size_t)n, each, d);
	}
}

void detours_look(struct detours *d)
{
	hear(d, d->log, logged);
	hear(d, d->queue, queued);
	let_go_overdue(d);
	tell_lost(d);
}

/* ---- waiting ---- */

static void lower(int *ms, int64_t due)
{
	int left = (int)MAX(due - mono_ms(), (int64_t)0);

	if (*ms < 0 || left < *ms)
		*ms = left;
}

void detours_poll(const struct detours *d, struct pollfd p[DETOURS_POLL], int *ms)
{
	p[0] = (struct pollfd){.fd = d->log, .events = POLLIN};
	p[1] = (struct pollfd){.fd = d->queue, .events = POLLIN};
	if (d->lost_due != 0)
		lower(ms, d->lost_due);
	if (d->held_n > 0)
		lower(ms, d->held[0].due);
}

/* ---- the start ---- */

void detours_init(struct detours *d, int channel)
{
	*d = (struct detours){.log = -1, .queue = -1, .channel = channel};
	d->credit = TOLD_MAX;
	d->earned = mono_ms();
}

void detours_open(struct detours *d, struct err *why)
{
	if (nflog_open(POCKET_LOG_GROUP, &d->log, why) < 0)
		return;
	/* the queue is there before anything goes into it: without a reader that would be dropped */
	if (nfqueue_open(DETOUR_QUEUE_MAX, &d->queue, why) < 0)
		return;
	if (pocket_hold_connections(d->queue, why) < 0)
		close(steal_fd(&d->queue));
}
