#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/util.h"
#include "openshell.pb-c.h"
#include "supervisor/log_push.h"

#define RPC "/openshell.v1.OpenShell/PushSandboxLogs"

enum {
	LINE_EXTRA = 512,          /* of a line's message: all that is not its text */
	MESSAGE_LIMIT = 1 << 20,   /* contract 0, 5: a gateway takes no more */
	GATEWAYS_BATCH_LIMIT = 100 /* and of a batch no more lines (contract 2.4) */
};
_Static_assert(LOG_PUSH_BATCH *(OCSF_SHORTHAND_MAX + LINE_EXTRA) < MESSAGE_LIMIT, "a batch fits");
_Static_assert((int)LOG_PUSH_BATCH <= (int)GATEWAYS_BATCH_LIMIT, "a batch is taken whole");

struct line {
	int64_t time_ms;
	char *level, *target, *message; /* of one piece of memory, that of level */
	uint64_t stands_for;            /* lines: itself, or those whose loss it tells of */
};

/*
 *   KEEPING --start--> OPENING --> OPEN --finish, all is sent--> CLOSING --> OFF
 *                       ^   |       |                              |
 *                       |   v       v                              |
 *                      PAUSING <----+   lost, refused              |
 *                          \--------\--- finish, and too late -----+
 *   any --the token is refused, again and again--> OFF
 *
 *   A stream has no receipts. So what was sent is kept for as long as a gateway needs to refuse the call, and sent
 *   again when it does: ring[0 … sent) of the lines.
 */
enum state { KEEPING, OPENING, OPEN, CLOSING, PAUSING, OFF };

struct log_push {
	struct ocsf *events;
	enum log_level level;
	struct log_push_config config;
	enum state state;

	struct line ring[LOG_PUSH_QUEUE + 1]; /* one for the last word of losses */
	size_t first, n, sent; /* of n lines that are kept, the first sent ones were sent */
	uint64_t lost;         /* lines, since the last that was kept */
	bool speaking;         /* this is us */

	struct gateway_link *link;
	struct grpc_rpc *rpc;
	bool full;          /* the gateway does not keep up */
	struct timer timer; /* PAUSING: the next try; OPEN: the batch is as old as it may be */
	struct later send, end;
	unsigned failures; /* since lines were taken */
	int refusals;      /* of the token, likewise */

	void (*done)(void *owner); /* of finish */
	void *owner;
	struct timer limit;
	struct later finished;
};

/* ---- what is kept ---- */

static struct line *line_at(struct log_push *p, size_t i)
{
	return &p->ring[(p->first + i) % ARRAY_LEN(p->ring)];
}

static void drop_first(struct log_push *p, size_t n)
{
	for (; n > 0; n--, p->n--) {
		free(steal(&p->ring[p->first].level));
		p->first = (p->first + 1) % ARRAY_LEN(p->ring);
	}
}

static void drop_sent(struct log_push *p)
{
	drop_first(p, p->sent);
	p->sent = 0;
}

static size_t most(const struct log_push *p)
{
	return p->state == OPEN ? LOG_PUSH_QUEUE : LOG_PUSH_AWAY;
}

static struct line *keep(struct log_push *p, int64_t time_ms, const char *level, const char *target,
			 struct str text)
{
	must(p->n < ARRAY_LEN(p->ring));
	struct line *line = line_at(p, p->n++);
	size_t level_n = strlen(level) + 1, target_n = strlen(target) + 1;

	line->time_ms = time_ms;
	line->stands_for = 1;
	line->level = xmalloc(level_n + target_n + text.n + 1);
	line->target = line->level + level_n;
	line->message = line->target + target_n;
	memcpy(line->level, level, level_n);
	memcpy(line->target, target, target_n);
	memcpy(line->message, text.p, text.n);
	line->message[text.n] = '\0';
	return line;
}

static void keep_loss(struct log_push *p, int64_t time_ms)
{
	char text[80];
	int n = snprintf(text, sizeof text,
			 "lines lost here, since the gateway did not take them: %llu",
			 (unsigned long long)p->lost);

	keep(p, time_ms, "WARN", "openshell", str_sub(text, (size_t)n))->stands_for = p->lost;
	p->lost = 0;
}

/* The newest go: what was told first, of the wall, is what everything after it depends on. */
static void hear(void *arg, int64_t time_ms, enum log_level level, const char *word,
		 const char *target, struct str text)
{
	struct log_push *p = arg;
	size_t wanted = p->lost > 0 ? 2 : 1;

	if (level > p->level || p->speaking || p->state == CLOSING || p->state == OFF)
		return;
	if (p->n + wanted > most(p))
		drop_sent(p);
	if (p->n + wanted > most(p)) {
		p->lost++;
		return;
	}
	if (p->lost > 0)
		keep_loss(p, time_ms);
	keep(p, time_ms, word, target, text);
	if (p->state != OPEN)
		return;
	if (p->n - p->sent >= LOG_PUSH_BATCH)
		loop_later(p->config.loop, &p->send);
	else if (!timer_armed(&p->timer))
		timer_set(p->config.loop, &p->timer, LOG_PUSH_BATCH_MS);
}

/* In the log that we push: but these lines are not. */
static void speak(struct log_push *p, enum log_level level, const char *message, const char *why)
{
	char text[ERR_TEXT_MAX + 128];
	int n = snprintf(text, sizeof text, "%s reason=\"%s\"", message, why);

	p->speaking = true;
	ocsf_log(p->events, level, "openshell", str_sub(text, MIN((size_t)n, sizeof text - 1)));
	p->speaking = false;
}

/* ---- the end ---- */

static void disconnect(struct log_push *p)
{
	struct grpc_rpc *rpc = steal(&p->rpc);

	if (rpc != NULL)
		grpc_rpc_cancel(rpc);
	gateway_link_close(steal(&p->link));
	timer_stop(p->config.loop, &p->timer);
	loop_later_cancel(&p->send);
}

static void turn_off(struct log_push *p)
{
	disconnect(p);
	p->state = OFF;
	drop_first(p, p->n);
	p->sent = 0;
	if (p->done != NULL)
		loop_later(p->config.loop, &p->finished);
}

static void run_finished(struct later *l)
{
	struct log_push *p = container_of(l, struct log_push, finished);

	timer_stop(p->config.loop, &p->limit);
	p->done(p->owner);
}

static void too_late(struct timer *t)
{
	struct log_push *p = container_of(t, struct log_push, limit);

	if (p->n > p->sent)
		speak(p, LOG_WARN, "the gateway did not take the last lines", "no time is left");
	turn_off(p);
}

/* ---- a call ---- */

/* What there is beyond the lines that are kept while nobody takes them is lost. */
static void retry(struct log_push *p, const char *why)
{
	if (p->state != OPENING && p->state != OPEN && p->state != CLOSING)
		return;
	disconnect(p);
	p->state = PAUSING;
	p->sent = 0;
	while (p->n > LOG_PUSH_AWAY) {
		struct line *last = line_at(p, --p->n);

		free(steal(&last->level));
		p->lost += last->stands_for;
	}
	if (p->failures++ == 0)
		speak(p, LOG_WARN, "the log is not pushed to the gateway; it is tried again", why);
	timer_set(p->config.loop, &p->timer,
		  backoff_ms(p->failures, LOG_PUSH_PAUSE_MIN_MS, LOG_PUSH_PAUSE_MAX_MS));
}

static void lost(void *owner, const struct err *why)
{
	retry(owner, why->text);
}

static void ended(struct grpc_rpc *r, enum grpc_status status, struct str text)
{
	struct log_push *p = grpc_rpc_user(r);
	struct err why;

	p->rpc = NULL; /* it is gone when we return */
	if (status == GRPC_OK && p->state == CLOSING) {
		turn_off(p);
		return;
	}
	err_set(&why, EIO, "PushSandboxLogs: %s: %.*s", grpc_status_name(status), STR_FMT(text));
	if (status == GRPC_UNAUTHENTICATED && ++p->refusals == LOG_PUSH_REFUSALS) {
		speak(p, LOG_WARN, "log push disabled after authentication failure", why.text);
		turn_off(p);
		return;
	}
	retry(p, why.text);
}

/* The next lines that were not sent; false when the gateway does not keep up. */
static bool send_batch(struct log_push *p)
{
	Openshell__V1__PushSandboxLogsRequest request =
		OPENSHELL__V1__PUSH_SANDBOX_LOGS_REQUEST__INIT;
	Openshell__V1__SandboxLogLine lines[LOG_PUSH_BATCH], *logs[LOG_PUSH_BATCH];
	size_t n = MIN(p->n - p->sent, (size_t)LOG_PUSH_BATCH);

	for (size_t i = 0; i < n; i++) {
		const struct line *line = line_at(p, p->sent + i);

		openshell__v1__sandbox_log_line__init(&lines[i]);
		lines[i].timestamp_ms = line->time_ms;
		lines[i].level = line->level;
		lines[i].target = line->target;
		lines[i].message = line->message;
		lines[i].source = (char *)"sandbox";
		logs[i] = &lines[i];
	}
	request.sandbox_id = (char *)p->config.sandbox_id;
	request.n_logs = n;
	request.logs = logs;
	if (!grpc_rpc_send(p->rpc, &request))
		return false;
	p->sent += n;
	return true;
}

static void send_all(struct log_push *p)
{
	while (p->sent < p->n && !p->full)
		p->full = !send_batch(p);
}

static void push(struct log_push *p)
{
	if (p->state != OPEN || p->full)
		return;
	send_all(p);
	if (p->done != NULL && p->sent == p->n && p->lost > 0) {
		keep_loss(p, wall_ms());
		send_all(p);
	}
	timer_set(p->config.loop, &p->timer, LOG_PUSH_BATCH_MS);
	if (p->done == NULL || p->sent < p->n)
		return;
	p->state = CLOSING;
	grpc_rpc_half_close(p->rpc);
}

static void run_send(struct later *l)
{
	push(container_of(l, struct log_push, send));
}

static void writable(struct grpc_rpc *r)
{
	struct log_push *p = grpc_rpc_user(r);

	p->full = false;
	push(p);
}

static void opened(void *owner)
{
	static const struct grpc_rpc_ops ops = {.writable = writable, .ended = ended};
	struct log_push *p = owner;
	const struct grpc_rpc_config rpc = {
		.path = RPC,
		.out = &openshell__v1__push_sandbox_logs_response__descriptor,
	};

	p->state = OPEN;
	p->full = false;
	p->rpc = gateway_rpc_start(p->link, &rpc, &ops, p);
	push(p);
}

static void open_link(struct log_push *p)
{
	static const struct gateway_link_ops ops = {.open = opened, .lost = lost};

	timer_stop(p->config.loop, &p->timer);
	p->state = OPENING;
	p->link = gateway_link_open(p->config.gateway, p->config.loop, p->config.resolver, &ops, p);
}

/* What was sent a batch's time ago, and was not refused, has arrived. */
static void arrived(struct log_push *p)
{
	if (p->sent == 0)
		return;
	drop_sent(p);
	if (p->lost > 0)
		keep_loss(p, wall_ms());
	p->refusals = 0;
	if (p->failures > 0)
		speak(p, LOG_INFO, "the log is pushed to the gateway again", "it takes it");
	p->failures = 0;
}

static void on_timer(struct timer *t)
{
	struct log_push *p = container_of(t, struct log_push, timer);

	if (p->state == PAUSING) {
		open_link(p);
		return;
	}
	arrived(p);
	if (p->n > 0)
		push(p);
}

/* ---- its life ---- */

static void release(struct later *l)
{
	free(container_of(l, struct log_push, end));
}

struct log_push *log_push_new(struct ocsf *events, enum log_level level)
{
	struct log_push *p = xcalloc(1, sizeof *p);

	p->events = events;
	p->level = level;
	p->timer.fire = on_timer;
	p->limit.fire = too_late;
	p->send.run = run_send;
	p->end.run = release;
	p->finished.run = run_finished;
	ocsf_set_sink(events, hear, p);
	return p;
}

void log_push_start(struct log_push *p, const struct log_push_config *config)
{
	must(p->state == KEEPING);
	p->config = *config;
	open_link(p);
}

void log_push_finish(struct log_push *p, void (*done)(void *owner), void *owner)
{
	must(p->state != KEEPING && p->done == NULL);
	p->done = done;
	p->owner = owner;
	if (p->state == OFF) {
		loop_later(p->config.loop, &p->finished);
		return;
	}
	timer_set(p->config.loop, &p->limit, LOG_PUSH_FINISH_MS);
	if (p->state == PAUSING)
		open_link(p);
	else
		loop_later(p->config.loop, &p->send);
}

void log_push_free(struct log_push *p)
{
	if (p == NULL)
		return;
	ocsf_set_sink(p->events, NULL, NULL);
	drop_first(p, p->n);
	if (p->state == KEEPING) { /* it has no loop */
		free(p);
		return;
	}
	disconnect(p);
	timer_stop(p->config.loop, &p->limit);
	loop_later_cancel(&p->finished);
	loop_later(p->config.loop, &p->end);
}
