/*
 * The reflector against a client that is a puppet: the test plays the API server by calling what
 * the reflector gave to kube_list and kube_stream, which are defined here instead of in the library.
 */
#include <stdarg.h>

#include "../../src/kube/reflector.c"
#include "base/buf.h"
#include "test.h"

struct kube_list {
	struct kube_list *older; /* kept until the end, as the test looks at them */
	struct kube_list_config c;
	char *path;
	bool cancelled, over;
};

struct kube_request {
	struct kube_request *older;
	struct kube_stream s;
	char *path;
	bool cancelled, over;
};

static struct loop *loop;
static struct kube_list *list_now; /* the newest of each */
static struct kube_request *watch_now;
static int lists, watches;
static char log_text[8192]; /* what the owner was told */
static struct kube_reflector *r;
static bool tail;
static void (*on_upsert)(void), (*on_failed)(void), (*on_gone)(void);

struct loop *kube_client_loop(const struct kube_client *c UNUSED)
{
	return loop;
}

struct kube_list *kube_list(struct kube_client *c UNUSED, const struct kube_list_config *config)
{
	struct kube_list *l = xcalloc(1, sizeof *l);

	*l = (struct kube_list){.older = list_now, .c = *config, .path = xstrdup(config->path)};
	list_now = l;
	lists++;
	return list_now;
}

void kube_list_cancel(struct kube_list *l)
{
	if (l != NULL) {
		OK(!l->over);
		l->cancelled = true;
	}
}

struct kube_request *kube_stream(struct kube_client *c UNUSED, const struct kube_stream *s)
{
	struct kube_request *w = xcalloc(1, sizeof *w);

	*w = (struct kube_request){.older = watch_now, .s = *s, .path = xstrdup(s->path)};
	watch_now = w;
	watches++;
	return watch_now;
}

void kube_cancel(struct kube_request *w)
{
	if (w != NULL) {
		OK(!w->over);
		w->cancelled = true;
	}
}

/* ---- the owner ---- */

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...)
{
	size_t n = strlen(log_text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(log_text + n, sizeof log_text - n, fmt, ap);
	va_end(ap);
}

static void upsert(void *owner UNUSED, const struct kube_key *k, const cJSON *object)
{
	note("+%.*s/%.*s:%.*s@%s ", STR_FMT(k->ns), STR_FMT(k->name), STR_FMT(k->uid),
	     json_str_or_empty(json_get(object, "metadata"), "resourceVersion"));
	if (on_upsert != NULL)
		on_upsert();
}

static void gone(void *owner UNUSED, const struct kube_key *k, const cJSON *object)
{
	note("-%.*s/%.*s:%.*s%s ", STR_FMT(k->ns), STR_FMT(k->name), STR_FMT(k->uid),
	     object ? "!" : "");
	if (on_gone != NULL)
		on_gone();
}

static void synced(void *owner UNUSED)
{
	note("synced ");
}

static void failed(void *owner UNUSED, const struct kube_error *e)
{
	note("failed:%s ", kube_fault_name(e->fault));
	if (on_failed != NULL)
		on_failed();
}

static void start(void)
{
	struct err e;
	struct kube_reflector_config c = {
		.path = "/api/v1/pods",
		.label_selector = "a=b",
		.upsert = upsert,
		.gone = gone,
		.synced = synced,
		.failed = failed,
	};

	c.tail = tail;
	loop_new(&loop, &e);
	r = kube_reflector_new(NULL, &c);
	EQ(lists, 1);
}

/* What was told since the last look. */
#define TOLD(text)                                                                                 \
	do {                                                                                       \
		STREQ(log_text, text);                                                             \
		log_text[0] = '\0';                                                                \
	} while (0)

/* ---- the server ---- */

static cJSON *object(const char *name, const char *uid, int version)
{
	cJSON *o = json_object(), *m = json_put_object(o, "metadata");
	char text[16];

	snprintf(text, sizeof text, "%d", version);
	json_put_str(m, "namespace", "n");
	json_put_str(m, "name", name);
	json_put_str(m, "uid", uid);
	json_put_str(m, "resourceVersion", text);
	return o;
}

static void item(const char *name, const char *uid, int version)
{
	_cleanup_json_ cJSON *o = object(name, uid, version);

	if (!list_now->cancelled)
		list_now->c.item(list_now->c.owner, o);
}

static void list_ends(const char *version)
{
	list_now->over = true;
	list_now->c.done(list_now->c.owner, version, NULL);
}

static void list_fails(enum kube_fault fault)
{
	struct kube_error e;

	kube_error_set(&e, fault, "x");
	list_now->over = true;
	list_now->c.done(list_now->c.owner, NULL, &e);
}

static void event(const char *type, const char *name, const char *uid, int version)
{
	cJSON *line = json_object();
	json_put_str(line, "type", type);
	json_put(line, "object", object(name, uid, version));
	_cleanup_free_ char *text = json_text(line);

	cJSON_Delete(line);
	if (!watch_now->cancelled)
		watch_now->s.line(watch_now->s.owner, str_of(text));
}

static void raw(const char *line)
{
	watch_now->s.line(watch_now->s.owner, str_of(line));
}

static void watch_opens(void)
{
	watch_now->s.opened(watch_now->s.owner);
}

static void watch_ends(void)
{
	watch_now->over = true;
	watch_now->s.ended(watch_now->s.owner, NULL);
}

static void watch_fails(enum kube_fault fault)
{
	struct kube_error e;

	kube_error_set(&e, fault, "x");
	e.http = fault == KUBE_EXPIRED ? 410 : 0;
	watch_now->over = true;
	watch_now->s.ended(watch_now->s.owner, &e);
}

/* The timer is armed for about ms from now; lets it fire. */
static void wait_is(int64_t ms)
{
	OK(timer_armed(&r->timer));
	int64_t left = r->timer.at - mono_ms();
	if (left > ms * 6 / 5 + 1 || left < ms * 4 / 5 - 3000)
		FAIL("waits %lld ms, not about %lld", (long long)left, (long long)ms);
	timer_stop(loop, &r->timer);
	r->timer.fire(&r->timer);
}

/* Two objects, listed at 10 and watched. */
static void running(void)
{
	start();
	item("a", "ua", 5);
	item("b", "ub", 6);
	list_ends("10");
	watch_opens();
	TOLD("+n/a:ua@5 +n/b:ub@6 synced ");
}

static void version_is(const char *version)
{
	char part[64];

	snprintf(part, sizeof part, "&resourceVersion=%s&", version);
	HAS(watch_now->path, part);
}

/* ---- tests ---- */

TEST(lists_then_watches_from_there)
{
	start();
	STREQ(list_now->path, "/api/v1/pods?labelSelector=a%3Db");
	OK(!kube_reflector_synced(r));
	item("a", "ua", 5);
	OK(!kube_reflector_synced(r));
	list_ends("10");
	OK(kube_reflector_synced(r));
	OK(!kube_reflector_live(r));
	EQ(watches, 1);
	HAS(watch_now->path, "/api/v1/pods?labelSelector=a%3Db&watch=true&allowWatchBookmarks=true"
			     "&resourceVersion=10&timeoutSeconds=");
	int seconds = atoi(strstr(watch_now->path, "timeoutSeconds=") + 15);
	OK(seconds >= 300 && seconds <= 600);
	watch_opens();
	OK(kube_reflector_live(r));
	EQ(kube_reflector_count(r), 1);
	TOLD("+n/a:ua@5 synced ");
}

TEST(events_become_callbacks)
{
	running();
	event("ADDED", "c", "uc", 11);
	event("MODIFIED", "a", "ua", 12);
	event("DELETED", "b", "ub", 13);
	TOLD("+n/c:uc@11 +n/a:ua@12 -n/b:ub! ");
	EQ(kube_reflector_count(r), 2);
}

TEST(nothing_is_told_twice)
{
	running();
	event("ADDED", "a", "ua", 5);
	event("MODIFIED", "a", "ua", 12);
	event("MODIFIED", "a", "ua", 12);
	event("DELETED", "b", "ub", 13);
	event("DELETED", "b", "ub", 13);
	TOLD("+n/a:ua@12 -n/b:ub! ");
}

TEST(a_watch_that_ends_goes_on_at_the_newest_version)
{
	running();
	event("MODIFIED", "a", "ua", 12);
	watch_ends();
	wait_is(0);
	version_is("12");
	EQ(lists, 1);
	watch_opens();
	raw("{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"77\"}}}");
	watch_ends();
	wait_is(0);
	version_is("77");
	TOLD("+n/a:ua@12 ");
}

TEST(a_watch_that_is_silent_is_quietly_opened_anew)
{
	running();
	r->watch_began -= WATCH_SHORT_MS;
	watch_fails(KUBE_TIMEOUT);
	TOLD("");
	wait_is(0);
	version_is("10");
	watch_fails(KUBE_TIMEOUT); /* but one that does not even open is a failure */
	TOLD("failed:Timeout ");
}

TEST(a_deletion_counts_as_newest_version)
{
	running();
	event("DELETED", "a", "ua", 14);
	watch_ends();
	wait_is(0);
	version_is("14");
}

TEST(a_watch_that_ends_at_once_is_not_asked_for_without_a_pause)
{
	running();
	watch_ends();
	wait_is(0);
	watch_opens();
	watch_ends();
	wait_is(500);
	watch_opens();
	watch_ends();
	wait_is(1000);
	watch_opens();
	event("MODIFIED", "a", "ua", 12);
	watch_ends();
	wait_is(0);
}

TEST(expired_watch_relists_and_tells_the_difference)
{
	running();
	event("ADDED", "c", "uc", 11);
	raw("{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":"
	    "\"Expired\"}}");
	OK(watch_now->cancelled);
	wait_is(0);
	EQ(lists, 2);
	item("a", "ua", 5);  /* as it was */
	item("b", "ub", 20); /* changed */
	item("d", "ud", 21); /* new; c is gone */
	TOLD("+n/c:uc@11 +n/b:ub@20 +n/d:ud@21 ");
	list_ends("30");
	TOLD("-n/c:uc synced ");
	version_is("30");
	EQ(kube_reflector_count(r), 3);
}

TEST(an_expired_watch_relists_at_once_but_not_in_a_circle)
{
	running();
	event("MODIFIED", "a", "ua", 12);
	for (int i = 0; i < 3; i++) {
		watch_fails(KUBE_TRANSPORT);
		wait_is(500 << i);
	}
	watch_fails(KUBE_EXPIRED);
	wait_is(0);
	list_ends("30");
	watch_fails(KUBE_EXPIRED);
	wait_is(500);
	list_ends("31");
	watch_fails(KUBE_EXPIRED);
	wait_is(1000);
}

TEST(a_watch_refused_as_expired_relists)
{
	running();
	watch_ends();
	wait_is(0);
	watch_fails(KUBE_EXPIRED);
	wait_is(500);
	EQ(lists, 2);
	TOLD("");
}

TEST(an_object_made_again_is_gone_and_new)
{
	running();
	event("ADDED", "a", "ua2", 12);
	TOLD("-n/a:ua +n/a:ua2@12 ");
	event("DELETED", "a", "ua", 13); /* the old one: must not take the new one away */
	TOLD("");
	watch_fails(KUBE_EXPIRED);
	wait_is(0);
	item("a", "ua3", 20);
	item("b", "ub", 6);
	list_ends("30");
	TOLD("-n/a:ua2 +n/a:ua3@20 synced ");
}

TEST(a_list_that_fails_half_way_deletes_nothing)
{
	running();
	watch_fails(KUBE_EXPIRED);
	wait_is(0);
	item("a", "ua", 5);
	list_fails(KUBE_SERVER);
	TOLD("failed:ServerError ");
	EQ(kube_reflector_count(r), 2);
	wait_is(1000);
	item("a", "ua", 5);
	list_ends("30");
	TOLD("-n/b:ub synced ");
}

TEST(a_list_that_outlives_its_token_starts_again)
{
	start();
	item("a", "ua", 5);
	list_fails(KUBE_EXPIRED);
	wait_is(500);
	EQ(lists, 2);
	item("a", "ua", 5);
	list_ends("30");
	TOLD("+n/a:ua@5 synced ");
}

TEST(a_server_that_is_away_costs_a_try_each_eight_seconds_and_nothing_is_forgotten)
{
	static const int64_t waits[] = {500, 1000, 2000, 4000, 8000, 8000, 8000, 8000};

	running();
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		watch_fails(KUBE_TRANSPORT);
		TOLD("failed:Transport ");
		OK(!kube_reflector_live(r));
		wait_is(waits[i]);
		version_is("10");
	}
	EQ(lists, 1);
	watch_fails(KUBE_EXPIRED); /* it is back, and an hour older */
	wait_is(2000);
	item("b", "ub", 6);
	list_ends("99");
	TOLD("-n/a:ua synced ");
	watch_opens();
	event("MODIFIED", "b", "ub", 100);
	watch_fails(KUBE_TRANSPORT); /* and the waiting starts anew */
	wait_is(500);
}

TEST(a_watch_cut_in_the_middle_of_an_event_loses_nothing)
{
	running();
	event("MODIFIED", "a", "ua", 12);
	watch_fails(KUBE_TRANSPORT); /* what client.c says of half a line */
	wait_is(500);
	version_is("12");
	event("MODIFIED", "b", "ub", 13);
	TOLD("+n/a:ua@12 failed:Transport +n/b:ub@13 ");
}

TEST(an_event_that_cannot_be_read_relists)
{
	running();
	raw("{\"type\":\"MODIFIED\",\"object\":");
	OK(watch_now->cancelled);
	wait_is(500);
	EQ(lists, 2);
	item("a", "ua", 12);
	item("b", "ub", 6);
	list_ends("30");
	TOLD("failed:BadAnswer +n/a:ua@12 synced ");
}

TEST(an_error_event_of_the_server_is_reported_and_watched_again)
{
	running();
	raw("{\"type\":\"ERROR\",\"object\":{\"code\":500,\"reason\":\"InternalError\"}}");
	TOLD("failed:ServerError ");
	wait_is(500);
	EQ(lists, 1);
	version_is("10");
}

TEST(a_refused_watch_lists_again)
{
	running();
	watch_ends();
	wait_is(0);
	watch_fails(KUBE_FORBIDDEN);
	TOLD("failed:Forbidden ");
	wait_is(500);
	EQ(lists, 2);
	list_fails(KUBE_FORBIDDEN);
	TOLD("failed:Forbidden ");
	wait_is(1000);
	EQ(lists, 3);
}

TEST(the_servers_wish_to_wait_is_heard)
{
	struct kube_error e;

	start();
	kube_error_set(&e, KUBE_BUSY, "x");
	e.retry_after_ms = 7000;
	list_now->over = true;
	list_now->c.done(list_now->c.owner, NULL, &e);
	wait_is(7000);
	e.retry_after_ms = 3600 * 1000;
	list_now->over = true;
	list_now->c.done(list_now->c.owner, NULL, &e);
	wait_is(30000); /* but not for an hour */
}

TEST(a_server_that_answers_that_it_is_busy_is_soon_asked_again)
{
	static const int64_t waits[] = {500, 1000, 2000, 2000, 2000};
	struct kube_error e;

	running();
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		kube_error_set(&e, KUBE_BUSY, "x");
		e.http = 503;
		watch_now->over = true;
		watch_now->s.ended(watch_now->s.owner, &e);
		wait_is(waits[i]);
	}
}

TEST(another_path_tells_everything_again_and_what_is_missing)
{
	running();
	kube_reflector_set_path(r, "/apis/g/v2/pods");
	OK(watch_now->cancelled);
	STREQ(list_now->path, "/apis/g/v2/pods?labelSelector=a%3Db");
	item("a", "ua", 5);
	TOLD("+n/a:ua@5 ");
	list_ends("40");
	TOLD("-n/b:ub synced ");
	EQ(kube_reflector_count(r), 1);
}

static void change_path(void)
{
	on_failed = on_upsert = on_gone = NULL;
	kube_reflector_set_path(r, "/apis/g/v2/pods");
}

TEST(the_path_may_be_changed_from_failed)
{
	running();
	on_failed = change_path;
	watch_fails(KUBE_NO_RESOURCE);
	TOLD("failed:NoResource ");
	OK(!timer_armed(&r->timer));
	EQ(lists, 2);
	HAS(list_now->path, "/apis/g/v2/pods");
	list_ends("50");
	HAS(log_text, "-n/a:ua "); /* in either order */
	HAS(log_text, "-n/b:ub ");
	HAS(log_text, "synced ");
}

TEST(the_path_may_be_changed_while_deletions_are_told)
{
	running();
	watch_fails(KUBE_EXPIRED);
	wait_is(0);
	on_gone = change_path;
	list_ends("50");
	EQ(lists, 3);
	EQ(watches, 1); /* the old round neither said synced nor watched */
	EQ(kube_reflector_count(r), 1);
	OK(strstr(log_text, "synced") == NULL);
	list_ends("60");
	EQ(kube_reflector_count(r), 0);
	EQ(watches, 2);
}

static void free_it(void)
{
	on_failed = on_upsert = on_gone = NULL;
	kube_reflector_free(r);
}

static void stop_loop(struct timer *t UNUSED)
{
	loop_stop(loop, 0);
}

/* Lets the loop do what was put off: the release. */
static void finish(void)
{
	static struct timer end = {.fire = stop_loop};

	timer_set(loop, &end, 0);
	loop_run(loop);
	loop_free(loop);
}

TEST(it_may_be_freed_from_upsert_in_a_list)
{
	start();
	on_upsert = free_it;
	item("a", "ua", 5);
	OK(list_now->cancelled);
	finish();
}

TEST(it_may_be_freed_from_upsert_in_a_watch)
{
	running();
	on_upsert = free_it;
	event("MODIFIED", "a", "ua", 12);
	OK(watch_now->cancelled);
	finish();
}

TEST(it_may_be_freed_from_gone)
{
	running();
	watch_fails(KUBE_EXPIRED);
	wait_is(0);
	on_gone = free_it;
	list_ends("50");
	OK(strstr(log_text, "synced") == NULL);
	finish();
}

TEST(it_may_be_freed_from_failed)
{
	start();
	on_failed = free_it;
	list_fails(KUBE_TRANSPORT);
	EQ(lists, 1);
	finish();
}

TEST(it_may_be_freed_when_an_old_object_is_gone)
{
	running();
	on_gone = free_it;
	event("ADDED", "a", "ua2", 12);
	TOLD("-n/a:ua ");
	finish();
}

TEST(relist_asks_at_once)
{
	running();
	watch_fails(KUBE_TRANSPORT);
	OK(timer_armed(&r->timer));
	kube_reflector_relist(r);
	OK(!timer_armed(&r->timer));
	EQ(lists, 2);
	item("a", "ua", 5);
	item("b", "ub", 6);
	list_ends("50");
	TOLD("failed:Transport synced ");
}

TEST(a_tail_tells_only_what_happens_from_now_on)
{
	tail = true;
	start();
	EQ(list_now->c.first, 1);
	item("a", "ua", 5);
	list_ends("10");
	TOLD("synced ");
	version_is("10");
	watch_opens();
	event("ADDED", "b", "ub", 11);
	event("MODIFIED", "b", "ub", 12);
	event("DELETED", "b", "ub", 13);
	TOLD("+n/b:ub@11 +n/b:ub@12 ");
	EQ(kube_reflector_count(r), 0);
	raw("{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":"
	    "\"Expired\"}}");
	wait_is(0);
	EQ(list_now->c.first, 0);
	item("a", "ua", 5);
	item("c", "uc", 14); /* happened in the gap */
	list_ends("20");
	TOLD("+n/a:ua@5 +n/c:uc@14 synced ");
	version_is("20");
}
