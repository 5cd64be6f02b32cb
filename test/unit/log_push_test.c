/* supervisor/log_push.c, against a gateway that is scripted here: what it takes and how it ends is the test's to
 * say, and so is when a timer fires. A real one is shown by test/hosts. */
#include <stdio.h>
#include <string.h>

#include "../../src/supervisor/log_push.c"
#include "base/log.h"
#include "test.h"

/* ---- in the place of gateway.c and of gRPC's client ---- */

struct gateway_link {
	const struct gateway_link_ops *ops;
	void *owner;
};

struct grpc_rpc {
	const struct grpc_rpc_ops *ops;
	void *user;
};

static struct gateway_link the_link;
static struct grpc_rpc the_call;
static int links, calls; /* that are open */
static bool half_closed;
static int takes = 1 << 20; /* batches, before it does not keep up */

/* What was sent, and may be said to have arrived. A number is a line's, and -n says that n were lost. */
enum { TAKEN_MAX = 1 << 15 };
static long taken[TAKEN_MAX];
static size_t taken_n, arrived_n;
static size_t batches, largest;

struct gateway_link *gateway_link_open(const struct gateway *g UNUSED, struct loop *l UNUSED,
				       struct resolver *r UNUSED,
				       const struct gateway_link_ops *ops, void *owner)
{
	EQ(links++, 0);
	the_link = (struct gateway_link){ops, owner};
	return &the_link;
}

void gateway_link_close(struct gateway_link *k)
{
	links -= k != NULL;
}

struct grpc_rpc *gateway_rpc_start(struct gateway_link *k, const struct grpc_rpc_config *cfg,
				   const struct grpc_rpc_ops *ops, void *user)
{
	OK(k == &the_link && calls++ == 0);
	STREQ(cfg->path, "/openshell.v1.OpenShell/PushSandboxLogs");
	the_call = (struct grpc_rpc){ops, user};
	half_closed = false;
	return &the_call;
}

bool grpc_rpc_send(struct grpc_rpc *r, const void *message)
{
	const Openshell__V1__PushSandboxLogsRequest *m = message;
	static const char lost_word[] = "lines lost here, since the gateway did not take them: ";

	OK(r == &the_call && calls == 1 && !half_closed);
	if (takes == 0)
		return false;
	takes--;
	batches++;
	largest = MAX(largest, m->n_logs);
	STREQ(m->sandbox_id, "sb-1");
	for (size_t i = 0; i < m->n_logs; i++) {
		const Openshell__V1__SandboxLogLine *line = m->logs[i];
		long number;

		OK(taken_n < TAKEN_MAX);
		STREQ(line->source, "sandbox");
		STREQ(line->target, "openshell");
		OK(line->timestamp_ms > 0);
		if (sscanf(line->message, "line %ld", &number) == 1) {
			STREQ(line->level, "INFO");
			taken[taken_n++] = number;
			continue;
		}
		STREQ(line->level, "WARN");
		OK(strncmp(line->message, lost_word, strlen(lost_word)) == 0);
		taken[taken_n++] = -atol(line->message + strlen(lost_word));
	}
	return true;
}

void grpc_rpc_half_close(struct grpc_rpc *r)
{
	OK(r == &the_call && !half_closed);
	half_closed = true;
}

void grpc_rpc_cancel(struct grpc_rpc *r)
{
	OK(r == &the_call && calls == 1);
	calls--;
}

void *grpc_rpc_user(const struct grpc_rpc *r)
{
	return r->user;
}

/* ---- the test's side ---- */

static struct loop *loop;
static struct ocsf *events;
static struct log_push *logs;
static char spoken[4096]; /* what is in the log and is not pushed */
static long told;         /* lines */

/* Between the log and the push. */
static void overhear(void *arg, int64_t time_ms, enum log_level level, const char *word,
		     const char *target, struct str text)
{
	struct log_push *p = arg;
	size_t sent = p->sent;

	if (p->speaking)
		snprintf(spoken + strlen(spoken), sizeof spoken - strlen(spoken), "%s %.*s\n", word,
			 STR_FMT(text));
	hear(p, time_ms, level, word, target, text);
	if (sent > 0 && p->sent == 0) /* room was made: that they were sent is enough */
		arrived_n = taken_n;
	OK(p->n <= LOG_PUSH_QUEUE && p->sent <= p->n);
}

static void tell(long n)
{
	char text[40];

	for (; n > 0; n--) {
		int len = snprintf(text, sizeof text, "line %ld", told++);
		ocsf_log(events, LOG_INFO, "openshell", str_sub(text, (size_t)len));
	}
}

static void set_up(void)
{
	struct err e;

	OK(loop_new(&loop, &e) == 0);
	events = ocsf_new(&(struct ocsf_options){.stderr_level = LOG_ERROR});
	logs = log_push_new(events, LOG_INFO);
	ocsf_set_sink(events, overhear, logs);
}

static void start(void)
{
	log_push_start(logs, &(struct log_push_config){.loop = loop, .sandbox_id = "sb-1"});
	EQ(links, 1);
}

static void link_opens(void)
{
	the_link.ops->open(the_link.owner);
}

static void set_up_open(void)
{
	set_up();
	start();
	link_opens();
	EQ(calls, 1);
}

/* What is to be done later is done now. */
static void run_later(struct later *l)
{
	if (!l->queued)
		return;
	loop_later_cancel(l);
	l->run(l);
}

/* Time passes, until the timer fires. A batch's time after they were sent, lines have arrived. */
static void fire(struct timer *t)
{
	OK(timer_armed(t));
	timer_stop(loop, t);
	if (t == &logs->timer && logs->state == OPEN)
		arrived_n = taken_n;
	t->fire(t);
}

static void tick(void)
{
	fire(&logs->timer);
}

static void gateway_reads(int n)
{
	takes = n;
	the_call.ops->writable(&the_call);
}

/* The call ends, and what had not arrived has not. */
static void call_ends(enum grpc_status status)
{
	calls--;
	taken_n = arrived_n;
	the_call.ops->ended(&the_call, status, STR("no"));
	EQ(calls, 0);
}

/* As gRPC's channel does it: the call ends first. */
static void link_is_lost(void)
{
	struct err why;

	if (calls > 0) {
		call_ends(GRPC_UNAVAILABLE);
		return; /* the link was closed by that */
	}
	err_set(&why, ECONNREFUSED, "gateway g: refused");
	the_link.ops->lost(the_link.owner, &why);
}

/* What the gateway has is every line, in order, and where some are not it says how many. */
static void has_all_but_what_it_knows_of(void)
{
	long next = 0;

	for (size_t i = 0; i < taken_n; i++) {
		if (taken[i] >= 0)
			EQ(taken[i], next);
		next += taken[i] >= 0 ? 1 : -taken[i];
	}
	EQ(next, told);
}

static int finishes;

static void on_finished(void *owner)
{
	EQ(owner == &finishes, 1);
	finishes++;
}

static void finish(void)
{
	log_push_finish(logs, on_finished, &finishes);
	run_later(&logs->send);
}

static void tear_down(void)
{
	log_push_free(logs);
	EQ(links, 0);
	EQ(calls, 0);
	loop_free(loop);
	ocsf_free(events);
}

/* ---- what is kept ---- */

TEST(what_is_told_before_the_start_goes_first)
{
	set_up();
	tell(3);
	start();
	tell(2);
	EQ(taken_n, 0);
	link_opens();
	EQ(taken_n, 5);
	tell(1);
	tick();
	has_all_but_what_it_knows_of();
	tear_down();
}

TEST(of_too_much_before_the_start_the_newest_go_and_are_counted)
{
	set_up();
	tell(LOG_PUSH_AWAY + 7);
	EQ(logs->n, LOG_PUSH_AWAY);
	start();
	link_opens();
	EQ(taken_n, LOG_PUSH_AWAY);
	tell(1);
	tick();
	EQ(taken[LOG_PUSH_AWAY], -7);
	has_all_but_what_it_knows_of();
	tear_down();
}

TEST(only_what_is_important_enough_and_not_of_ourselves)
{
	set_up_open();
	ocsf_log(events, LOG_DEBUG, "openshell", STR("line 9"));
	speak(logs, LOG_WARN, "line 9", "no");
	EQ(logs->n, 0);
	HAS(spoken, "WARN line 9 reason=\"no\"");
	tear_down();
}

TEST(an_event_has_its_own_names)
{
	set_up_open();
	ocsf_emit(events, &(struct ocsf_event){.class = OCSF_NET, .dst = {.host = STR("h")}});
	EQ(logs->n, 1);
	STREQ(logs->ring[0].level, "OCSF");
	STREQ(logs->ring[0].target, "ocsf");
	OK(strncmp(logs->ring[0].message, "NET:OTHER [INFO]", 16) == 0);
	drop_first(logs, 1);
	tear_down();
}

/* ---- a stream ---- */

TEST(lines_go_in_batches_that_wait_half_a_second_or_are_full)
{
	set_up_open();
	tell(LOG_PUSH_BATCH - 1);
	run_later(&logs->send);
	EQ(batches, 0);
	tell(1);
	run_later(&logs->send);
	EQ(batches, 1);
	tell(1);
	tick();
	EQ(batches, 2);
	tell(2 * LOG_PUSH_BATCH + 1);
	run_later(&logs->send);
	EQ(batches, 5);
	EQ(largest, LOG_PUSH_BATCH);
	has_all_but_what_it_knows_of();
	tear_down();
}

TEST(a_gateway_that_does_not_keep_up_loses_the_newest)
{
	set_up_open();
	takes = 1;
	tell(LOG_PUSH_QUEUE);
	run_later(&logs->send);
	EQ(batches, 1);
	tell(LOG_PUSH_BATCH); /* in the place of those that were sent */
	EQ(logs->n, LOG_PUSH_QUEUE);
	EQ(logs->lost, 0);
	tell(30);
	EQ(logs->n, LOG_PUSH_QUEUE);
	EQ(logs->lost, 30);
	tick();
	EQ(batches, 1); /* it has not said that it can take more */
	gateway_reads(3);
	EQ(batches, 4);
	gateway_reads(1 << 20);
	tell(1);
	tick();
	tick();
	has_all_but_what_it_knows_of();
	EQ(taken[taken_n - 2], -30);
	tear_down();
}

TEST(losses_are_told_when_nothing_follows_them)
{
	set_up_open();
	takes = 0;
	tell(LOG_PUSH_QUEUE + 5);
	run_later(&logs->send);
	gateway_reads(1 << 20);
	tick();
	has_all_but_what_it_knows_of();
	tear_down();
}

/* ---- again ---- */

TEST(what_was_sent_and_is_refused_is_sent_again)
{
	set_up_open();
	tell(3);
	tick();
	EQ(taken_n, 3);
	call_ends(GRPC_UNAVAILABLE);
	EQ(links, 0);
	tell(2);
	tick();
	link_opens();
	EQ(taken_n, 5);
	has_all_but_what_it_knows_of();
	tick();
	EQ(logs->n, 0);
	tear_down();
}

TEST(what_is_beyond_the_few_that_are_kept_is_lost_and_counted)
{
	set_up_open();
	takes = 0;
	tell(LOG_PUSH_QUEUE + 11);
	run_later(&logs->send);
	link_is_lost();
	EQ(logs->n, LOG_PUSH_AWAY);
	EQ(logs->lost, LOG_PUSH_QUEUE + 11 - LOG_PUSH_AWAY);
	tell(4);
	takes = 1 << 20;
	tick();
	link_opens();
	tick();
	has_all_but_what_it_knows_of();
	tear_down();
}

/* A word of losses that is lost itself takes its count along. */
TEST(losses_are_not_forgotten_when_their_word_is_lost)
{
	set_up_open();
	takes = 0;
	tell(LOG_PUSH_QUEUE + 5);
	run_later(&logs->send);
	gateway_reads(1);
	tell(LOG_PUSH_BATCH);
	run_later(&logs->send);
	link_is_lost();
	takes = 1 << 20;
	tick();
	link_opens();
	tick();
	tick();
	has_all_but_what_it_knows_of();
	tear_down();
}

/* The pause that a timer was set for, without its jitter of a fifth. */
static void expect_pause(int64_t ms)
{
	int64_t left = logs->timer.at - mono_ms();

	EQ(logs->state, PAUSING);
	OK(left <= ms * 6 / 5);
	OK(left >= ms * 4 / 5 - test_ms(200));
}

TEST(pauses_double_up_to_a_limit_and_begin_anew)
{
	int64_t ms = LOG_PUSH_PAUSE_MIN_MS;

	set_up();
	start();
	for (int i = 0; i < 8; i++) {
		link_is_lost();
		expect_pause(ms);
		ms = MIN(2 * ms, LOG_PUSH_PAUSE_MAX_MS);
		tick();
	}
	EQ(ms, LOG_PUSH_PAUSE_MAX_MS);
	STREQ(spoken, "WARN the log is not pushed to the gateway; it is tried again "
		      "reason=\"gateway g: refused\"\n");
	link_opens();
	tell(1);
	tick();
	tick(); /* it has arrived */
	HAS(spoken, "INFO the log is pushed to the gateway again");
	call_ends(GRPC_OK); /* a gateway that ends it has not asked for less */
	expect_pause(LOG_PUSH_PAUSE_MIN_MS);
	tear_down();
}

TEST(a_link_that_opens_and_takes_nothing_has_not_worked)
{
	set_up();
	tell(1);
	start();
	for (int i = 0; i < 4; i++) {
		link_opens();
		call_ends(GRPC_UNIMPLEMENTED);
		expect_pause((int64_t)LOG_PUSH_PAUSE_MIN_MS << i);
		tick();
	}
	tear_down();
}

/* ---- a token that is refused ---- */

static void refuse(int times)
{
	for (int i = 0; i < times; i++) {
		link_opens();
		call_ends(GRPC_UNAUTHENTICATED);
		if (logs->state == PAUSING)
			tick();
	}
}

TEST(a_token_that_is_refused_again_and_again_ends_it)
{
	set_up();
	tell(2);
	start();
	refuse(LOG_PUSH_REFUSALS - 1);
	EQ(logs->state, OPENING);
	refuse(1);
	EQ(logs->state, OFF);
	HAS(spoken, "WARN log push disabled after authentication failure "
		    "reason=\"PushSandboxLogs: UNAUTHENTICATED: no\"");
	EQ(links, 0);
	EQ(logs->n, 0);
	tell(5);
	EQ(logs->n, 0); /* nothing is kept for nobody */
	finish();
	run_later(&logs->finished);
	EQ(finishes, 1);
	tear_down();
}

TEST(a_token_that_is_taken_in_between_is_no_such_token)
{
	set_up();
	start();
	for (int i = 0; i < 3; i++) {
		tell(1);
		refuse(LOG_PUSH_REFUSALS - 1);
		link_opens();
		tick();
		link_is_lost();
		tick();
	}
	EQ(logs->state, OPENING);
	tear_down();
}

/* ---- the end ---- */

TEST(the_last_lines_are_sent_and_answered)
{
	set_up_open();
	tell(3);
	finish();
	OK(half_closed);
	tell(1); /* too late to be kept */
	EQ(taken_n, 3);
	EQ(finishes, 0);
	arrived_n = taken_n;
	call_ends(GRPC_OK);
	run_later(&logs->finished);
	EQ(finishes, 1);
	OK(!timer_armed(&logs->limit));
	tear_down();
}

TEST(what_was_lost_last_is_told_at_the_end)
{
	set_up_open();
	takes = 0;
	tell(LOG_PUSH_QUEUE + 5);
	run_later(&logs->send);
	finish();
	OK(!half_closed);
	gateway_reads(1 << 20);
	OK(half_closed);
	has_all_but_what_it_knows_of();
	tear_down();
}

TEST(a_pause_ends_with_the_end)
{
	set_up();
	tell(3);
	start();
	link_is_lost();
	finish();
	link_opens();
	OK(half_closed);
	link_is_lost(); /* and what may not have arrived is sent again */
	tick();
	link_opens();
	EQ(taken_n, 3);
	OK(half_closed);
	tear_down();
}

TEST(the_end_does_not_wait_for_long)
{
	set_up_open();
	takes = 0;
	tell(3);
	finish();
	EQ(finishes, 0);
	fire(&logs->limit);
	HAS(spoken, "WARN the gateway did not take the last lines");
	EQ(links, 0);
	run_later(&logs->finished);
	EQ(finishes, 1);
	tear_down();
}

TEST(it_can_be_released_at_any_time)
{
	set_up();
	tell(3);
	log_push_free(logs); /* it has no loop */
	tell(1);
	logs = log_push_new(events, LOG_INFO);
	tell(1);
	start();
	tear_down();
	set_up_open();
	tell(1);
	tear_down();
	set_up_open();
	link_is_lost();
	tear_down();
	log_push_free(NULL);
}

/* ---- whatever may happen ---- */

static unsigned random_below(unsigned n)
{
	unsigned r;

	random_bytes(&r, sizeof r);
	return r % n;
}

static void something_happens(void)
{
	static const enum grpc_status ends[] = {GRPC_OK, GRPC_UNAVAILABLE, GRPC_UNAUTHENTICATED};
	struct log_push *p = logs;

	run_later(&p->send);
	switch (random_below(9)) {
	case 0:
		tell(random_below(2 * LOG_PUSH_QUEUE));
		break;
	case 1:
	case 2:
		tell(random_below(2 * LOG_PUSH_BATCH));
		break;
	case 3:
		takes = (int)random_below(5);
		break;
	case 4:
		if (p->state == OPEN && p->full)
			gateway_reads((int)random_below(20));
		break;
	case 5:
		if (p->state == OPENING)
			link_opens();
		break;
	case 6:
		if (p->state == OPEN && random_below(4) == 0)
			call_ends(ends[random_below(ARRAY_LEN(ends))]);
		else if (p->state == OPENING && random_below(4) == 0)
			link_is_lost();
		break;
	default:
		if (timer_armed(&p->timer))
			tick();
	}
	p->refusals = 0;
}

TEST(nothing_is_lost_that_is_not_counted)
{
	for (int round = 0; round < 20; round++) {
		told = 0;
		taken_n = arrived_n = 0;
		set_up();
		start();
		while (told < TAKEN_MAX / 4)
			something_happens();
		while (logs->state != OPEN) {
			if (logs->state == PAUSING)
				tick();
			else
				link_opens();
		}
		finish();
		gateway_reads(1 << 20);
		has_all_but_what_it_knows_of();
		tear_down();
	}
}
