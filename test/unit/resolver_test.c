/* src/net/resolver.c over a getaddrinfo of the test's own: who waits for whom, and what is remembered. */
#include <netdb.h>
#include <pthread.h>
#include <unistd.h>

static int fake(const char *host, const char *service, const struct addrinfo *hints,
		struct addrinfo **out);
#define getaddrinfo fake
#include "../../src/net/resolver.c"
#undef getaddrinfo

#include "test.h"

static pthread_mutex_t asked_lock = PTHREAD_MUTEX_INITIALIZER;
static int asked;          /* how often the system was */
static int stuck_until[2]; /* a pipe: names that begin with "slow" are answered when it closes */

static int fake(const char *host, const char *service, const struct addrinfo *hints,
		struct addrinfo **out)
{
	char byte;

	pthread_mutex_lock(&asked_lock);
	asked++;
	pthread_mutex_unlock(&asked_lock);
	if (strncmp(host, "slow", 4) == 0)
		OK(read(stuck_until[0], &byte, 1) == 0);
	if (streq(host, "nobody"))
		return EAI_NONAME;
	return getaddrinfo("192.0.2.7", service, hints, out);
}

static struct loop *loop;
static struct resolver *resolver;

struct asker {
	struct resolve_query q;
	char first[ADDRESS_TEXT_MAX];
	struct err why;
	bool answered;
	bool again; /* asks once more when it is answered */
};

static int missing; /* answers until the loop stops */

static void ask_for(struct asker *a, const char *host, uint16_t port);

static void on_answer(struct resolve_query *q, const struct address *addresses, int n,
		      const struct err *why)
{
	struct asker *a = container_of(q, struct asker, q);

	OK(!a->answered);
	a->answered = true;
	if (n > 0)
		address_text(addresses, a->first);
	else
		a->why = *why;
	if (a->again) {
		a->again = a->answered = false;
		ask_for(a, "again", 9);
		missing++;
	}
	if (--missing == 0)
		loop_stop(loop, 0);
}

static void ask_for(struct asker *a, const char *host, uint16_t port)
{
	struct err e = {0};

	a->q.done = on_answer;
	a->answered = false;
	resolve_start(resolver, &a->q, host, port, &e);
	STREQ(e.text, "");
}

static void wait_for(int answers)
{
	missing = answers;
	loop_run(loop);
}

static void setup(void)
{
	struct err e;

	OK(pipe(stuck_until) == 0);
	OK(loop_new(&loop, &e) == 0);
	OK(resolver_new(&resolver, loop, &e) == 0);
}

static void finish(void)
{
	resolver_free(resolver);
	loop_free(loop);
	close(stuck_until[1]);
}

TEST(a_slow_name_holds_nobody_else_up)
{
	struct asker slow[3] = {0}, quick[3] = {0};

	setup();
	ask_for(&slow[0], "slow-1", 1);
	ask_for(&slow[1], "slow-2", 1);
	ask_for(&slow[2], "slow-3", 1);
	for (int i = 0; i < 3; i++) {
		ask_for(&quick[i], "quick", 80);
		wait_for(1);
		STREQ(quick[i].first, "192.0.2.7:80");
	}
	OK(!slow[0].answered && !slow[1].answered && !slow[2].answered);
	close(steal_fd(&stuck_until[1]));
	wait_for(3);
	STREQ(slow[2].first, "192.0.2.7:1");
	finish();
}

TEST(who_asks_for_the_same_name_shares_its_answer)
{
	struct asker a[20] = {0}, gone = {0};

	setup();
	ask_for(&gone, "slow", 1);
	for (uint16_t i = 0; i < ARRAY_LEN(a); i++)
		ask_for(&a[i], "slow", i);
	resolve_cancel(&gone.q);
	close(steal_fd(&stuck_until[1]));
	wait_for(ARRAY_LEN(a));
	EQ(asked, 1);
	STREQ(a[0].first, "192.0.2.7:0");
	STREQ(a[19].first, "192.0.2.7:19");
	OK(!gone.answered);
	finish();
}

TEST(an_answer_is_remembered_for_as_long_as_is_said)
{
	struct asker a = {0}, b = {0};

	setup();
	ask_for(&a, "name", 1);
	wait_for(1);
	ask_for(&a, "name", 1);
	wait_for(1);
	EQ(asked, 2); /* nothing is, until it is said */
	resolver_remember(resolver, 60000);
	ask_for(&a, "name", 1);
	wait_for(1);
	EQ(asked, 3);
	ask_for(&a, "name", 2);
	ask_for(&b, "name", 3);
	OK(!a.answered); /* never from inside resolve_start */
	wait_for(2);
	STREQ(a.first, "192.0.2.7:2");
	STREQ(b.first, "192.0.2.7:3");
	EQ(asked, 3);
	resolver_remember(resolver, 0);
	ask_for(&a, "other", 1);
	wait_for(1);
	ask_for(&a, "other", 1);
	wait_for(1);
	EQ(asked, 5);
	finish();
}

TEST(a_failure_is_not_remembered)
{
	struct asker a = {0};

	setup();
	resolver_remember(resolver, 60000);
	for (int i = 1; i <= 2; i++) {
		ask_for(&a, "nobody", 1);
		wait_for(1);
		HAS(a.why.text, "look up nobody: ");
		EQ(asked, i);
	}
	finish();
}

TEST(who_is_told_may_ask_again)
{
	struct asker a[2] = {{.again = true}, {.again = true}};

	setup();
	resolver_remember(resolver, 60000);
	ask_for(&a[0], "again", 1);
	ask_for(&a[1], "again", 1);
	wait_for(2);
	STREQ(a[0].first, "192.0.2.7:9");
	STREQ(a[1].first, "192.0.2.7:9");
	EQ(asked, 1);
	finish();
}

TEST(so_many_names_are_remembered_and_no_more)
{
	struct asker a = {0};
	char host[32];

	setup();
	resolver_remember(resolver, 60000);
	for (int i = 0; i < 2 * RESOLVE_NAMES_MAX; i++) {
		snprintf(host, sizeof host, "n%d", i);
		ask_for(&a, host, 1);
		wait_for(1);
		OK(resolver->names.n <= RESOLVE_NAMES_MAX);
	}
	finish();
}

TEST(a_resolver_ends_while_names_are_being_looked_up)
{
	struct asker a = {0}, b = {0};

	setup();
	ask_for(&a, "slow", 1);
	ask_for(&b, "quick", 1);
	wait_for(1);
	resolve_cancel(&a.q);
	finish();
}
