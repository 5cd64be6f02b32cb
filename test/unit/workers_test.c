/* loop/workers: work is run beside the loop, told in it, and dropped when nobody is there to be told. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "loop/workers.h"
#include "test.h"

enum { PIECES = 40, THREADS = 4 };

static struct loop *loop;
static struct workers *workers;
static atomic_int run, dropped, at_once, most_at_once;
static int done;
static int gate[2]; /* a pipe: what is gated runs on when it closes */
static bool unwanted;

struct piece {
	struct work work;
	bool gated, frees;
	pthread_t in;
};

static void run_piece(struct work *w)
{
	struct piece *p = container_of(w, struct piece, work);
	int now = ++at_once, most = most_at_once;
	char byte;

	while (now > most && !atomic_compare_exchange_weak(&most_at_once, &most, now))
		;
	if (p->gated)
		OK(read(gate[0], &byte, 1) == 0);
	unwanted = work_is_unwanted(w);
	p->in = pthread_self();
	at_once--;
	run++;
}

static void piece_done(struct work *w)
{
	struct piece *p = container_of(w, struct piece, work);

	OK(!pthread_equal(p->in, pthread_self()));
	if (p->frees)
		workers_free(steal(&workers));
	free(p);
	if (++done == PIECES || workers == NULL)
		loop_stop(loop, 0);
}

static void drop_piece(struct work *w)
{
	free(container_of(w, struct piece, work));
	dropped++;
}

static struct piece *start(bool gated)
{
	struct piece *p = xcalloc(1, sizeof *p);
	struct err e;

	p->work = (struct work){.run = run_piece, .done = piece_done, .drop = drop_piece};
	p->gated = gated;
	OK(workers_start(workers, &p->work, &e) == 0);
	return p;
}

static void begin(void)
{
	struct err e;

	OK(loop_new(&loop, &e) == 0 && workers_new(&workers, loop, THREADS, "test", &e) == 0);
	OK(pipe(gate) == 0);
}

/* What is dropped is so in some thread's own time. */
static void await(const atomic_int *n, int want)
{
	for (int i = 0; i < 1000 && *n != want; i++)
		usleep(10000);
	EQ(*n, want);
}

TEST(all_is_run_and_told_by_no_more_threads_than_may_be)
{
	begin();
	for (int i = 0; i < PIECES; i++)
		start(i < THREADS);
	close(gate[1]);
	loop_run(loop);
	EQ(run, PIECES);
	EQ(done, PIECES);
	EQ(unwanted, false);
	OK(most_at_once <= THREADS);
	workers_free(workers);
	loop_free(loop);
}

TEST(who_waits_holds_up_nobody_while_there_are_threads)
{
	begin();
	start(true);
	done = PIECES - 1; /* the next one ends the loop */
	start(false);
	loop_run(loop);
	EQ(run, 1);
	close(gate[1]);
	workers_free(workers);
	await(&dropped, 1);
	loop_free(loop);
}

TEST(what_is_under_way_when_the_workers_go_is_dropped)
{
	begin();
	for (int i = 0; i < 2 * THREADS; i++)
		start(true);
	while (at_once < THREADS)
		usleep(1000);
	workers_free(workers);
	EQ(dropped, 0);
	close(gate[1]);
	await(&dropped, 2 * THREADS);
	EQ(run, THREADS); /* what nobody had begun is not run any more */
	EQ(unwanted, true);
	EQ(done, 0);
	loop_free(loop);
}

TEST(whoever_is_told_may_free_the_workers)
{
	begin();
	for (int i = 0; i < PIECES / 2; i++)
		start(false);
	start(false)->frees = true;
	for (int i = 0; i < PIECES / 2; i++)
		start(false);
	loop_run(loop);
	EQ(workers == NULL, true);
	await(&dropped, PIECES + 1 - done);
	loop_free(loop);
}
