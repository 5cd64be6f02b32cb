/*
 * What finding out who holds a connection costs: `bench callers PROCESSES DESCRIPTORS IN_FLIGHT`. This
 * process is the keeper of so many others, each with so many descriptors, and of one more that has so many
 * connections besides, which are all asked about in one turn of the loop, again and again. The image is hashed
 * before. Prints microseconds for a turn and for each question of it.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#include "base/util.h"
#include "net/sock_diag.h"
#include "proxy/callers.h"

enum { TURNS = 2000, IN_FLIGHT_MAX = 256 };

struct turns {
	struct loop *loop;
	size_t open;
};

struct question {
	struct caller_query q;
	struct turns *turns;
};

static void answered(struct caller_query *q, struct caller *c UNUSED, const struct err *why)
{
	struct turns *t = container_of(q, struct question, q)->turns;

	if (why != NULL)
		die("%s", why->text);
	if (--t->open == 0)
		loop_stop(t->loop, 0);
}

_Noreturn static void rest(void)
{
	for (;;)
		pause();
}

static void open_more(int descriptors)
{
	for (int i = 0; i < descriptors; i++)
		if (dup(STDERR_FILENO) < 0)
			_exit(1);
}

static void start_process(int descriptors)
{
	pid_t pid = fork();

	if (pid < 0)
		die("cannot fork");
	if (pid > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	open_more(descriptors);
	rest();
}

/* A process with as many descriptors that connects so often; what is accepted of it. */
static void start_client(size_t n, int descriptors, int *accepted)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof sa;

	if (bind(server, (struct sockaddr *)&sa, sizeof sa) < 0 ||
	    listen(server, IN_FLIGHT_MAX) < 0 ||
	    getsockname(server, (struct sockaddr *)&sa, &length) < 0)
		die("cannot listen");
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		open_more(descriptors);
		for (size_t i = 0; i < n; i++)
			if (connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&sa,
				    sizeof sa) < 0)
				_exit(1);
		rest();
	}
	for (size_t i = 0; i < n; i++)
		if ((accepted[i] = accept4(server, NULL, NULL, SOCK_CLOEXEC)) < 0)
			die("cannot accept");
	close(server);
}

static void take_turn(struct callers *cs, struct turns *t, struct question *x, const int *fds,
		      size_t n)
{
	t->open = n;
	for (size_t i = 0; i < n; i++) {
		x[i] = (struct question){.q.done = answered, .turns = t};
		callers_ask(cs, &x[i].q, fds[i]);
	}
	loop_run(t->loop);
}

int callers_main(int argc, char **argv)
{
	static struct question questions[IN_FLIGHT_MAX];
	int fds[IN_FLIGHT_MAX];
	struct bench_times times = {0};
	struct turns t = {0};
	struct callers *cs;
	struct err e;

	size_t n = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	if (n < 1 || n > IN_FLIGHT_MAX)
		die("usage: bench callers PROCESSES DESCRIPTORS IN_FLIGHT");
	for (int i = atoi(argv[1]); i > 0; i--)
		start_process(atoi(argv[2]));
	start_client(n, atoi(argv[2]), fds);
	if (loop_new(&t.loop, &e) < 0)
		die("%s", e.text);
	struct callers_config config = {.loop = t.loop, .root = getpid()};
	config.diag_fd = sock_diag_open(&e);
	if (config.diag_fd < 0 || callers_new(&cs, &config, &e) < 0)
		die("%s", e.text);
	take_turn(cs, &t, questions, fds, n);
	for (int i = 0; i < TURNS; i++) {
		int64_t began = bench_us();
		take_turn(cs, &t, questions, fds, n);
		bench_add(&times, bench_us() - began);
	}
	int64_t median = bench_percentile(&times, 50);
	printf("turn_us=%lld turn_p99_us=%lld each_us=%.1f\n", (long long)median,
	       (long long)bench_percentile(&times, 99), (double)median / (double)n);
	callers_free(cs);
	loop_free(t.loop);
	free(times.us);
	return 0;
}
