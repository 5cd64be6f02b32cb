#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "driver/registry.h"
#include "grpc/server.h"
#include "test.h"

#define NS "openshell"
#define PB(name) Openshell__Compute__V1__##name

static int woken;

static void wake(void *owner)
{
	++*(int *)owner;
}

static enum registry_put put_at(struct registry *r, const char *id, const char *state,
				const char *object, uint64_t version)
{
	Openshell__Compute__V1__DriverSandbox s = OPENSHELL__COMPUTE__V1__DRIVER_SANDBOX__INIT;
	Openshell__Compute__V1__DriverSandboxSpec spec =
		OPENSHELL__COMPUTE__V1__DRIVER_SANDBOX_SPEC__INIT;
	Openshell__Compute__V1__DriverSandboxStatus status =
		OPENSHELL__COMPUTE__V1__DRIVER_SANDBOX_STATUS__INIT;
	char name[64];

	snprintf(name, sizeof name, "name-%s", id);
	spec.log_level = "debug";
	status.instance_id = (char *)state;
	s.id = (char *)id;
	s.name = name;
	s.namespace_ = NS;
	s.workspace = "w";
	s.spec = &spec;
	s.status = &status;
	return registry_put(r, &s, object, version);
}

/* The object is called as the id, and the state is the instance. */
static enum registry_put put(struct registry *r, const char *id, const char *state)
{
	return put_at(r, id, state, id, 0);
}

static void event(struct registry *r, const char *id, const char *reason)
{
	Openshell__Compute__V1__DriverPlatformEvent ev =
		OPENSHELL__COMPUTE__V1__DRIVER_PLATFORM_EVENT__INIT;
	ev.reason = (char *)reason;
	registry_event(r, id, &ev);
}

/* "+a:state " for a sandbox, "-a " for a deletion, "!a:reason " for an event. */
static void describe(struct buf *out, const struct h2_chunk *c)
{
	Openshell__Compute__V1__WatchSandboxesEvent *ev =
		openshell__compute__v1__watch_sandboxes_event__unpack(NULL, c->n - 5, c->bytes + 5);
	OK(ev != NULL);
	if (ev->payload_case == OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD_SANDBOX) {
		OK(ev->sandbox->sandbox->spec == NULL);
		buf_printf(out, "+%s:%s ", ev->sandbox->sandbox->id,
			   ev->sandbox->sandbox->status->instance_id);
	} else if (ev->payload_case ==
		   OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD_DELETED) {
		buf_printf(out, "-%s ", ev->deleted->sandbox_id);
	} else {
		buf_printf(out, "!%s:%s ", ev->platform_event->sandbox_id,
			   ev->platform_event->event->reason);
	}
	openshell__compute__v1__watch_sandboxes_event__free_unpacked(ev, NULL);
}

/* At most n messages of the stream in words; static. "LOST" at the end of a stream that is lost. */
static const char *take(struct registry_watch *w, int n)
{
	static struct buf out = BUF_INIT(1 << 20);
	struct h2_chunk *c;
	enum registry_step step = REGISTRY_MESSAGE;

	buf_clear(&out);
	while (n-- > 0 && (step = registry_watch_next(w, &c)) == REGISTRY_MESSAGE)
		describe(&out, c);
	if (step == REGISTRY_LOST)
		buf_cstr(&out, "LOST");
	buf_char(&out, '\0');
	return out.p;
}

static const char *all(struct registry_watch *w)
{
	return take(w, 1 << 30);
}

TEST(a_new_stream_is_told_what_is_there_then_what_changes)
{
	struct registry *r = registry_new();
	EQ(put(r, "a", "1"), REGISTRY_ADDED);
	EQ(put(r, "b", "1"), REGISTRY_ADDED);
	struct registry_watch *w = registry_watch_open(r, wake, &woken);
	STREQ(all(w), "+a:1 +b:1 ");
	EQ(woken, 0);
	EQ(put(r, "a", "2"), REGISTRY_CHANGED);
	EQ(put(r, "b", "2"), REGISTRY_CHANGED);
	EQ(woken, 1); /* once, until it was asked again */
	STREQ(all(w), "+a:2 +b:2 ");
	STREQ(all(w), "");
	put(r, "c", "1");
	EQ(woken, 2);
	STREQ(all(w), "+c:1 ");
	registry_watch_close(w);
	registry_free(r);
}

TEST(the_same_bytes_are_no_event)
{
	struct registry *r = registry_new();
	put(r, "a", "1");
	struct registry_watch *w = registry_watch_open(r, wake, &woken);
	all(w);
	EQ(put(r, "a", "1"), REGISTRY_SAME);
	EQ(woken, 0);
	STREQ(all(w), "");
	registry_watch_close(w);
	registry_free(r);
}

TEST(a_slow_reader_gets_only_the_newest_state_and_every_deletion)
{
	struct registry *r = registry_new();
	struct registry_watch *w = registry_watch_open(r, wake, &woken);
	char state[16];
	put(r, "a", "0");
	put(r, "b", "0");
	put(r, "c", "0");
	for (int i = 1; i <= 1000; i++) {
		snprintf(state, sizeof state, "%d", i);
		put(r, "a", state);
	}
	OK(registry_remove(r, NS, "b", 0));
	STREQ(all(w), "+c:0 +a:1000 -b ");
	registry_watch_close(w);
	registry_free(r);
}

TEST(a_sandbox_that_changes_under_the_cursor_is_told_once_and_last)
{
	struct registry *r = registry_new();
	put(r, "a", "1");
	put(r, "b", "1");
	put(r, "c", "1");
	struct registry_watch *w = registry_watch_open(r, wake, &woken);
	STREQ(take(w, 1), "+a:1 ");
	put(r, "b", "2"); /* b is what would come next */
	put(r, "a", "2"); /* a was told already */
	STREQ(all(w), "+c:1 +b:2 +a:2 ");
	/* the cursor at the very end, and its last record moves */
	put(r, "a", "3");
	STREQ(all(w), "+a:3 ");
	registry_watch_close(w);
	registry_free(r);
}

TEST(the_next_record_may_vanish)
{
	struct registry *r = registry_new();
	put(r, "a", "1");
	put(r, "b", "1");
	struct registry_watch *w = registry_watch_open(r, wake, &woken);
	STREQ(take(w, 1), "+a:1 ");
	OK(registry_remove(r, NS, "b", 0));
	STREQ(all(w), "-b ");
	registry_watch_close(w);
	registry_free(r);
}

TEST(a_deletion_is_told_to_streams_that_open_later_but_an_event_is_not)
{
	struct registry *r = registry_new();
	struct registry_watch *w = registry_watch_open(r, wake, &woken);
	put(r, "a", "1");
	put(r, "b", "1");
	event(r, "a", "Pulling");
	OK(registry_remove(r, NS, "a", 0));
	struct registry_watch *later = registry_watch_open(r, wake, &woken);
	STREQ(all(later), "+b:1 -a ");
	event(r, "b", "Pulled");
	STREQ(all(w), "+b:1 !a:Pulling -a !b:Pulled ");
	STREQ(all(later), "!b:Pulled ");
	registry_watch_close(w);
	registry_watch_close(later);
	registry_free(r);
}

TEST(a_sandbox_that_comes_back_replaces_its_deletion)
{
	struct registry *r = registry_new();
	struct registry_watch *fast = registry_watch_open(r, wake, &woken);
	struct registry_watch *slow = registry_watch_open(r, wake, &woken);
	put(r, "a", "1");
	registry_remove(r, NS, "a", 0);
	STREQ(all(fast), "-a ");
	EQ(put(r, "a", "2"), REGISTRY_ADDED);
	STREQ(all(fast), "+a:2 ");
	STREQ(all(slow), "+a:2 ");
	struct registry_watch *later = registry_watch_open(r, wake, &woken);
	STREQ(all(later), "+a:2 ");
	registry_watch_close(fast);
	registry_watch_close(slow);
	registry_watch_close(later);
	registry_free(r);
}

TEST(what_is_old_is_refused)
{
	struct registry *r = registry_new();
	EQ(put_at(r, "a", "10", "a", 10), REGISTRY_ADDED);
	EQ(put_at(r, "a", "9", "a", 9), REGISTRY_OLD);
	EQ(put_at(r, "a", "10b", "a", 10), REGISTRY_CHANGED);
	EQ(put_at(r, "a", "unknown", "a", 0), REGISTRY_CHANGED);
	OK(!registry_remove(r, NS, "a", 9));
	OK(registry_remove(r, NS, "a", 12));
	EQ(put_at(r, "a", "11", "a", 11), REGISTRY_OLD); /* a slow read does not resurrect it */
	OK(registry_get(r, "a") == NULL);
	EQ(put_at(r, "a", "13", "a", 13), REGISTRY_ADDED);
	EQ(registry_get(r, "a")->version, 13);
	registry_free(r);
}

TEST(a_removal_of_unknown_version_refuses_what_was_known_before)
{
	struct registry *r = registry_new();
	put_at(r, "a", "10", "a", 10);
	OK(registry_remove(r, NS, "a", 0));
	EQ(put_at(r, "a", "10", "a", 10), REGISTRY_OLD);
	EQ(put_at(r, "a", "11", "a", 11), REGISTRY_ADDED);
	registry_free(r);
}

TEST(an_id_belongs_to_one_object)
{
	struct registry *r = registry_new();
	put_at(r, "a", "1", "first", 0);
	EQ(put_at(r, "a", "2", "copy", 0), REGISTRY_FOREIGN);
	OK(!registry_remove(r, NS, "copy", 0));
	STREQ(registry_get(r, "a")->instance, "1");
	OK(registry_remove(r, NS, "first", 0));
	EQ(put_at(r, "a", "2", "copy", 0), REGISTRY_ADDED);
	registry_free(r);
}

TEST(an_object_that_is_given_another_id_is_another_sandbox)
{
	struct registry *r = registry_new();
	struct registry_watch *w = registry_watch_open(r, wake, &woken);
	put_at(r, "a", "1", "object", 1);
	STREQ(all(w), "+a:1 ");
	EQ(put_at(r, "b", "1", "object", 2), REGISTRY_ADDED);
	STREQ(all(w), "-a +b:1 ");
	OK(registry_remove(r, NS, "object", 3));
	EQ(registry_count(r), 0);
	registry_watch_close(w);
	registry_free(r);
}

TEST(objects_and_instances_are_found)
{
	struct registry *r = registry_new();
	put_at(r, "a", "pod-1", "object", 0);
	STREQ(registry_of_object(r, NS, "object")->id, "a");
	STREQ(registry_of_object(r, NS, "pod-1")->id, "a");
	OK(registry_of_object(r, "other", "object") == NULL);
	put_at(r, "a", "pod-2", "object", 0);
	OK(registry_of_object(r, NS, "pod-1") == NULL);
	STREQ(registry_of_object(r, NS, "pod-2")->id, "a");
	/* another's pod of the name that was ours */
	put_at(r, "b", "pod-1", "object-b", 0);
	put_at(r, "a", "pod-3", "object", 0);
	STREQ(registry_of_object(r, NS, "pod-1")->id, "b");
	registry_remove(r, NS, "object", 0);
	OK(registry_of_object(r, NS, "object") == NULL);
	OK(registry_of_object(r, NS, "pod-3") == NULL);
	registry_free(r);
}

TEST(sandboxes_are_found_by_id_first_and_then_by_name)
{
	const struct registry_sandbox *s;
	struct registry *r = registry_new();
	put(r, "a", "1");
	put(r, "b", "1");
	EQ(registry_find(r, "a", "name-b", &s), LOOKUP_ID);
	STREQ(s->id, "a");
	EQ(registry_find(r, "", "name-b", &s), LOOKUP_NAME);
	STREQ(s->id, "b");
	EQ(registry_find(r, "x", "name-b", &s), LOOKUP_NONE);
	EQ(registry_find(r, "x", "", &s), LOOKUP_NONE);
	registry_remove(r, NS, "a", 0);
	EQ(registry_find(r, "a", "name-a", &s), LOOKUP_NONE);
	registry_free(r);
}

TEST(the_encoded_form_is_a_get_response_and_its_length_is_counted)
{
	struct registry *r = registry_new();
	char state[300];
	memset(state, 'x', sizeof state - 1); /* lengths of two bytes */
	state[sizeof state - 1] = '\0';
	put(r, "a", "1");
	put(r, "b", state);
	struct str a = registry_encoded(registry_get(r, "a"));
	struct str b = registry_encoded(registry_get(r, "b"));
	EQ(registry_encoded_total(r), a.n + b.n);
	Openshell__Compute__V1__GetSandboxResponse *out =
		openshell__compute__v1__get_sandbox_response__unpack(NULL, b.n,
								     (const uint8_t *)b.p);
	OK(out != NULL && out->base.n_unknown_fields == 0);
	STREQ(out->sandbox->id, "b");
	STREQ(out->sandbox->status->instance_id, state);
	openshell__compute__v1__get_sandbox_response__free_unpacked(out, NULL);
	put(r, "b", "2");
	registry_remove(r, NS, "a", 0);
	EQ(registry_encoded_total(r), registry_encoded(registry_get(r, "b")).n);
	EQ(registry_count(r), 1);
	registry_remove(r, NS, "b", 0);
	EQ(registry_encoded_total(r), 0);
	OK(registry_next(r, NULL) == NULL);
	registry_free(r);
}

TEST(events_for_a_slow_stream_are_bounded_and_the_newest_are_kept)
{
	struct registry *r = registry_new();
	struct registry_watch *w = registry_watch_open(r, wake, &woken);
	struct h2_chunk *c;
	char reason[16];
	int n = 0;
	for (int i = 0; i < REGISTRY_EVENTS_MAX + 10; i++) {
		snprintf(reason, sizeof reason, "%d", i);
		event(r, "a", reason);
	}
	STREQ(take(w, 1), "!a:10 ");
	while (registry_watch_next(w, &c) == REGISTRY_MESSAGE)
		n++;
	EQ(n, REGISTRY_EVENTS_MAX - 1);
	registry_watch_close(w);
	registry_free(r);
}

static void remove_many(struct registry *r, int from, int to)
{
	char id[16];
	for (int i = from; i < to; i++) {
		snprintf(id, sizeof id, "s%d", i);
		put(r, id, "1");
		OK(registry_remove(r, NS, id, 0));
	}
}

TEST(a_stream_that_falls_behind_the_deletions_ends)
{
	struct registry *r = registry_new();
	struct registry_watch *slow = registry_watch_open(r, wake, &woken);
	struct registry_watch *fast = registry_watch_open(r, wake, &woken);
	struct h2_chunk *c;
	int told = 0;
	for (int i = 0; i <= REGISTRY_DELETIONS_MAX; i++) {
		remove_many(r, i, i + 1);
		while (registry_watch_next(fast, &c) == REGISTRY_MESSAGE)
			told++;
	}
	EQ(told, REGISTRY_DELETIONS_MAX + 1);
	STREQ(take(slow, 1), "LOST");
	STREQ(all(fast), "");
	registry_watch_close(slow);
	registry_watch_close(fast);
	registry_free(r);
}

TEST(a_stream_at_the_bound_of_deletions_gets_all)
{
	struct registry *r = registry_new();
	struct registry_watch *slow = registry_watch_open(r, wake, &woken);
	struct h2_chunk *c;
	int told = 0;
	remove_many(r, 0, REGISTRY_DELETIONS_MAX);
	while (registry_watch_next(slow, &c) == REGISTRY_MESSAGE)
		told++;
	EQ(told, REGISTRY_DELETIONS_MAX);
	registry_watch_close(slow);
	registry_free(r);
}

TEST(deletions_that_nobody_waits_for_are_forgotten)
{
	struct registry *r = registry_new();
	struct h2_chunk *c;
	int told = 0;
	remove_many(r, 0, REGISTRY_DELETIONS_KEPT + 100);
	struct registry_watch *w = registry_watch_open(r, wake, &woken);
	while (registry_watch_next(w, &c) == REGISTRY_MESSAGE)
		told++;
	EQ(told, REGISTRY_DELETIONS_KEPT);
	/* a stream that opens and never reads owes nothing to what was before it */
	struct registry_watch *idle = registry_watch_open(r, wake, &woken);
	remove_many(r, 2000, 2000 + REGISTRY_DELETIONS_MAX - 1);
	STREQ(take(idle, 0), "");
	EQ(registry_watch_next(idle, &c), REGISTRY_MESSAGE);
	registry_watch_close(idle);
	registry_watch_close(w);
	registry_free(r);
}

TEST(a_deletion_that_is_about_to_be_forgotten_comes_back)
{
	struct registry *r = registry_new();
	struct registry_watch *w = registry_watch_open(r, wake, &woken);
	remove_many(r, 0, REGISTRY_DELETIONS_KEPT + 1);
	STREQ(take(w, 1), "-s0 "); /* now nobody is owed it any more */
	EQ(put(r, "s0", "2"), REGISTRY_ADDED);
	STREQ(take(w, 1), "-s1 ");
	STREQ(registry_get(r, "s0")->instance, "2");
	registry_watch_close(w);
	registry_free(r);
}

TEST(closing_a_stream_lets_go_of_what_it_was_owed)
{
	struct registry *r = registry_new();
	struct registry_watch *a = registry_watch_open(r, wake, &woken);
	struct registry_watch *b = registry_watch_open(r, wake, &woken);
	event(r, "x", "1");
	event(r, "x", "2");
	STREQ(take(a, 1), "!x:1 ");
	registry_watch_close(a);
	STREQ(all(b), "!x:1 !x:2 ");
	event(r, "x", "3");
	registry_watch_close(b);
	event(r, "x", "4"); /* nobody is there */
	struct registry_watch *c = registry_watch_open(r, wake, &woken);
	STREQ(all(c), "");
	registry_watch_close(c);
	registry_free(r);
}

/* What a reader believes after what it was told: the state of each sandbox, 0 for none. */
enum { IDS = 50, READERS = 5 };
struct reader {
	struct registry_watch *w;
	int state[IDS];
};

static void believe(struct reader *reader, const struct h2_chunk *c)
{
	PB(WatchSandboxesEvent) *ev =
		openshell__compute__v1__watch_sandboxes_event__unpack(NULL, c->n - 5, c->bytes + 5);

	if (ev->payload_case == OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD_SANDBOX)
		reader->state[atoi(ev->sandbox->sandbox->id)] =
			atoi(ev->sandbox->sandbox->status->instance_id);
	if (ev->payload_case == OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD_DELETED)
		reader->state[atoi(ev->deleted->sandbox_id)] = 0;
	openshell__compute__v1__watch_sandboxes_event__free_unpacked(ev, NULL);
}

static void read_some(struct reader *reader, int n)
{
	struct h2_chunk *c;

	while (n-- > 0 && registry_watch_next(reader->w, &c) == REGISTRY_MESSAGE)
		believe(reader, c);
}

/* One change at random, made in truth as well. */
static void change_something(struct registry *r, int truth[IDS], int step)
{
	char id[16], state[16];
	int i = rand() % IDS;

	snprintf(id, sizeof id, "%d", i);
	snprintf(state, sizeof state, "%d", step);
	switch (rand() % 4) {
	case 0:
		EQ(registry_remove(r, NS, id, 0), truth[i] != 0);
		truth[i] = 0;
		break;
	case 1:
		event(r, id, state);
		break;
	default:
		EQ(put(r, id, state), truth[i] ? REGISTRY_CHANGED : REGISTRY_ADDED);
		truth[i] = step;
	}
}

TEST(every_reader_comes_to_believe_what_is_true)
{
	struct registry *r = registry_new();
	static struct reader readers[READERS];
	int truth[IDS] = {0};

	srand(1);
	for (int i = 0; i < READERS; i++)
		readers[i].w = registry_watch_open(r, wake, &woken);
	for (int step = 1; step < 50000; step++) {
		struct reader *reader = &readers[rand() % READERS];
		change_something(r, truth, step);
		read_some(reader, rand() % 8);
		if (rand() % 500 != 0)
			continue;
		/* it leaves and comes again, and believes what it did */
		registry_watch_close(reader->w);
		reader->w = registry_watch_open(r, wake, &woken);
	}
	for (int i = 0; i < READERS; i++) {
		read_some(&readers[i], 1 << 30);
		MEMEQ(readers[i].state, truth, sizeof truth);
		registry_watch_close(readers[i].w);
	}
	registry_free(r);
}

/* Only there in a sanitizer's build, whose memory says nothing. */
extern void __asan_init(void) __attribute__((weak));

static size_t resident(void)
{
	size_t size = 0, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	OK(f != NULL && fscanf(f, "%zu %zu", &size, &pages) == 2);
	fclose(f);
	return pages * 4096;
}

/* A sandbox as agent-sandbox 0.5.6 describes it: four conditions. */
static void put_realistic(struct registry *r, int i)
{
	static const char *const types[] = {"Ready", "Suspended", "Finished", "PodScheduled"};
	PB(DriverCondition) conditions[ARRAY_LEN(types)], *list[ARRAY_LEN(types)];
	PB(DriverSandboxStatus) status = OPENSHELL__COMPUTE__V1__DRIVER_SANDBOX_STATUS__INIT;
	PB(DriverSandbox) s = OPENSHELL__COMPUTE__V1__DRIVER_SANDBOX__INIT;
	char id[40], name[32], object[64];

	snprintf(id, sizeof id, "01234567-89ab-cdef-0123-%012d", i);
	snprintf(name, sizeof name, "sandbox-%d", i);
	snprintf(object, sizeof object, "workspace--%s", name);
	for (size_t c = 0; c < ARRAY_LEN(types); c++) {
		openshell__compute__v1__driver_condition__init(&conditions[c]);
		conditions[c].type = (char *)types[c];
		conditions[c].status = (char *)"True";
		conditions[c].reason = (char *)"DependenciesReady";
		conditions[c].message = (char *)"Pod is Ready; Service is not requested";
		conditions[c].last_transition_time = (char *)"2026-11-25T08:00:00Z";
		list[c] = &conditions[c];
	}
	status.sandbox_name = status.instance_id = object;
	status.conditions = list;
	status.n_conditions = ARRAY_LEN(list);
	s.id = id;
	s.name = name;
	s.namespace_ = (char *)"openshell-sandboxes";
	s.workspace = (char *)"workspace";
	s.status = &status;
	registry_put(r, &s, object, (uint64_t)i + 1);
}

TEST(ten_thousand_sandboxes_are_small)
{
	struct registry *r = registry_new();
	size_t before = resident();

	for (int i = 0; i < 10000; i++)
		put_realistic(r, i);
	EQ(registry_count(r), 10000);
	size_t used = resident() - before;
	if (__asan_init == NULL && used > 12u << 20)
		FAIL("%zu bytes", used);
	registry_free(r);
}
