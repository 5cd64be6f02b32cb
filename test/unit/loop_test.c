/* loop/: sources, timers, work for later, signals, children. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "loop/child.h"
#include "loop/loop.h"
#include "test.h"

static struct loop *new_loop(void)
{
	struct loop *l = NULL;
	struct err e;

	OK(loop_new(&l, &e) == 0);
	return l;
}

struct fixture {
	struct loop *l;
	struct source a, b;
	struct timer timers[100];
	struct later later;
	int count, order[100], runs;
};

static struct fixture fx;

static void take_other(struct source *s, uint32_t events UNUSED)
{
	/* both are ready: whichever comes first removes the other, which must then not be called */
	fx.count++;
	loop_del(fx.l, s == &fx.a ? &fx.b : &fx.a);
	loop_del(fx.l, s);
	loop_stop(fx.l, 5);
}

TEST(loop_a_removed_source_gets_no_event_of_this_turn)
{
	int p[2], q[2];
	struct err e;

	fx.l = new_loop();
	OK(pipe2(p, O_NONBLOCK) == 0 && pipe2(q, O_NONBLOCK) == 0);
	EQ(write(p[1], "x", 1), 1);
	EQ(write(q[1], "x", 1), 1);
	fx.a = (struct source){.fd = p[0], .ready = take_other, .name = "a"};
	fx.b = (struct source){.fd = q[0], .ready = take_other, .name = "b"};
	EQ(loop_add(fx.l, &fx.a, EPOLLIN, &e), 0);
	EQ(loop_add(fx.l, &fx.b, EPOLLIN, &e), 0);
	EQ(loop_run(fx.l), 5);
	EQ(fx.count, 1);
	loop_free(fx.l);
}

static void fired(struct timer *t)
{
	fx.order[fx.count++] = (int)(t - fx.timers);
}

static void last(struct timer *t)
{
	fired(t);
	loop_stop(fx.l, 0);
}

TEST(timers_fire_in_order_and_once)
{
	fx.l = new_loop();
	for (int i = 0; i < 40; i++) {
		fx.timers[i].fire = fired;
		timer_set(fx.l, &fx.timers[i], (i * 7) % 40);
	}
	for (int i = 0; i < 40; i += 2)
		timer_stop(fx.l, &fx.timers[i]);
	timer_stop(fx.l, &fx.timers[0]);    /* stopped already: harmless */
	timer_set(fx.l, &fx.timers[1], 45); /* moved */
	fx.timers[50].fire = last;
	timer_set(fx.l, &fx.timers[50], 60);
	EQ(loop_run(fx.l), 0);
	EQ(fx.count, 21);
	EQ(fx.order[19], 1);
	EQ(fx.order[20], 50);
	for (int i = 0; i < 18; i++)
		OK((fx.order[i] * 7) % 40 <= (fx.order[i + 1] * 7) % 40);
	OK(!timer_armed(&fx.timers[1]));
	loop_free(fx.l);
}

static void again(struct timer *t)
{
	fx.runs++;
	timer_set(fx.l, t, 0);
}

static void stop_loop(struct source *s UNUSED, uint32_t events UNUSED)
{
	loop_stop(fx.l, 0);
}

TEST(timer_that_arms_itself_does_not_starve_sockets)
{
	int p[2];
	struct err e;

	fx.l = new_loop();
	OK(pipe2(p, O_NONBLOCK) == 0);
	EQ(write(p[1], "x", 1), 1);
	fx.timers[0].fire = again;
	timer_set(fx.l, &fx.timers[0], 0);
	fx.a = (struct source){.fd = p[0], .ready = stop_loop, .name = "a"};
	EQ(loop_add(fx.l, &fx.a, EPOLLIN, &e), 0);
	EQ(loop_run(fx.l), 0);
	OK(fx.runs <= 128);
	timer_stop(fx.l, &fx.timers[0]);
	loop_free(fx.l);
}

static void put_off(struct later *l)
{
	if (++fx.runs < 3)
		loop_later(fx.l, l);
	else
		loop_stop(fx.l, 0);
}

static void queue_twice(struct timer *t UNUSED)
{
	loop_later(fx.l, &fx.later);
	loop_later(fx.l, &fx.later);
	EQ(fx.runs, 0);
}

TEST(later_runs_once_a_call_and_may_put_off_again)
{
	fx.l = new_loop();
	fx.later.run = put_off;
	fx.timers[0].fire = queue_twice;
	timer_set(fx.l, &fx.timers[0], 0);
	EQ(loop_run(fx.l), 0);
	EQ(fx.runs, 3);
	loop_free(fx.l);
}

static void on_signal(int signo, void *arg)
{
	EQ(arg, &fx);
	fx.count = signo;
	loop_stop(fx.l, 0);
}

static void raise_it(struct timer *t UNUSED)
{
	kill(getpid(), SIGUSR1);
}

TEST(later_of_after_the_loop_ran_is_done_by_its_end)
{
	fx.l = new_loop();
	fx.later.run = put_off;
	fx.runs = 0;
	loop_later(fx.l, &fx.later);
	loop_free(fx.l);
	OK(fx.runs > 0);
}

static void stop_now(struct later *l UNUSED)
{
	loop_stop(fx.l, 7);
}

TEST(later_of_before_the_loop_ran_needs_no_event)
{
	fx.l = new_loop();
	fx.later.run = stop_now;
	loop_later(fx.l, &fx.later);
	EQ(loop_run(fx.l), 7);
	loop_free(fx.l);
}

TEST(signals_arrive_in_the_loop)
{
	struct err e;

	fx.l = new_loop();
	EQ(loop_signal(fx.l, SIGTERM, on_signal, &fx, &e), 0);
	EQ(loop_signal(fx.l, SIGUSR1, on_signal, &fx, &e), 0);
	fx.timers[0].fire = raise_it;
	timer_set(fx.l, &fx.timers[0], 0);
	EQ(loop_run(fx.l), 0);
	EQ(fx.count, SIGUSR1);
	loop_free(fx.l);
}

static void child_gone(struct child *c, int status)
{
	EQ(c->pid, 0);
	fx.count = status;
	loop_stop(fx.l, 0);
}

TEST(child_reads_writes_and_exits)
{
	struct child c = {.exited = child_gone};
	struct err e;
	char text[16] = "";

	fx.l = new_loop();
	OK(loop_signal(fx.l, SIGTERM, on_signal, &fx, &e) == 0);
	/* the signal that is blocked here must reach the child */
	char *argv[] = {"sh", "-c", "read x; echo got-$x; kill -TERM $$; exit 3", NULL};
	EQ(child_start(&c, fx.l, argv, NULL, CHILD_PIPE_IN | CHILD_PIPE_OUT, &e), 0);
	EQ(write(c.in, "hi\n", 3), 3);
	EQ(loop_run(fx.l), 0);
	OK(WIFSIGNALED(fx.count) && WTERMSIG(fx.count) == SIGTERM);
	EQ(read(c.out, text, sizeof text), 7);
	STREQ(text, "got-hi\n");
	close(c.in);
	close(c.out);
	loop_free(fx.l);
}

TEST(child_that_cannot_start_says_why)
{
	struct child c = {.exited = child_gone};
	struct err e;

	fx.l = new_loop();
	char *argv[] = {"/nowhere/program", NULL};
	EQ(child_start(&c, fx.l, argv, NULL, 0, &e), -1);
	STREQ(e.text, "run /nowhere/program (exec): No such file or directory");
	EQ(e.code, ENOENT);
	EQ(c.pid, 0);
	loop_free(fx.l);
}

TEST(child_forgotten_is_killed)
{
	struct child c = {.exited = child_gone};
	struct err e;

	fx.l = new_loop();
	char *argv[] = {"sleep", "1000", NULL};
	EQ(child_start(&c, fx.l, argv, NULL, 0, &e), 0);
	pid_t pid = c.pid;
	child_forget(&c);
	EQ(kill(pid, 0), -1);
	EQ(errno, ESRCH);
	child_forget(&c);
	loop_free(fx.l);
}
