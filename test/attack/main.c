/*
 * attack list              the attempts as the table of docs/security.md
 * attack names             one a line, with where it works, whether there is a control, whether it is slow, which parts
 *                          of the wall alone are against it, whether it asks the proxy, and whether it is made
 *                          in a sandbox with an sshd "too", or "only" there
 * attack run [NAME...]     makes the attempts, each in a process of its own; one a line: name, result, words
 * attack control [NAME...] the same without a wall, among stand-ins for the supervisor's processes
 * attack without landlock|nf_tables|mounts|pivot_root COMMAND...
 *                          runs it where the kernel says that it has none, or allows none
 * attack victim            the process outside that must not be touched
 *
 * and what binaries.c says of copies.
 */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

enum {
	LIMIT_MS = 8000, /* of one attempt; they take milliseconds */
	SLOW_LIMIT_MS = 30000,
	AT_ONCE = 32, /* of those that mostly wait */
};

static const struct {
	const struct attempts *list;
	bool side_by_side; /* they mostly wait, and do not disturb each other */
	bool proxy;        /* they ask it */
	/* what a sandbox with a gateway and an sshd adds to: "only" is of no use without */
	const char *session;
} groups[] = {
	{&group_direct, false, false, "-"},   {&group_datagrams, false, false, "-"},
	{&group_sockets, false, false, "-"},  {&group_processes, false, false, "too"},
	{&group_kernel, false, false, "too"}, {&group_files, false, false, "-"},
	{&group_hidden, false, false, "-"},   {&group_rights, false, false, "-"},
	{&group_signals, true, false, "too"}, {&group_session, false, false, "only"},
	{&group_binaries, true, true, "-"},   {&group_names, true, true, "-"},
	{&group_requests, true, true, "-"},   {&group_smuggling, true, true, "-"},
};

static const char *const result_names[] = {"refused", "got", "sent", "absent", "broken"};

static const char *const works_names[] = {
	[NOWHERE] = "nowhere",
	[ON_HOST] = "host",
	[EVERYWHERE] = "everywhere",
	[WITH_LANDLOCK] = "with-landlock",
};

static const char *const part_names[PARTS] = {"landlock", "landlock-9", "view", "pids"};

/* For the table: on rungs 1 and 2, where all is there, and on rung 4, without the view and the PID namespace. */
static const char *const works_words[][2] = {
	[NOWHERE] = {"fails", "fails"},
	[ON_HOST] = {"fails", "**succeeds**"},
	[EVERYWHERE] = {"**succeeds**", "**succeeds**"},
	[WITH_LANDLOCK] = {"**succeeds**", "**succeeds**"},
};

struct outcome {
	enum result result;
	char words[200];
};

/* An attempt under way. */
struct running {
	const struct attempt *attempt;
	pid_t pid;
	int pipe;
	int64_t began;
};

static char **only; /* names, or NULL: all */
static bool without_wall;

static bool wanted(const struct attempt *a)
{
	for (char **name = only; name && *name; name++)
		if (strcmp(*name, a->name) == 0)
			return true;
	return !only || !*only;
}

/* ---- one attempt ---- */

static _Noreturn void be_attempt(const struct attempt *a, int out)
{
	struct outcome o = {.result = BROKEN};

	setpgid(0, 0);
	/* what it mounts is its own */
	if (without_wall && unshare(CLONE_NEWNS) < 0)
		_exit(1);
	o.result = a->try(a);
	snprintf(o.words, sizeof o.words, "%s", noted());
	_exit(write(out, &o, sizeof o) == sizeof o ? 0 : 1);
}

static struct running start(const struct attempt *a)
{
	struct running r = {.attempt = a, .began = mono_ms()};
	int fds[2];

	must(pipe2(fds, 0) == 0);
	fflush(stdout);
	r.pid = fork();
	must(r.pid >= 0);
	if (r.pid == 0) {
		/* far away from the numbers that attempts look at */
		int out = dup2(fds[1], 200);

		close(fds[0]);
		close(fds[1]);
		be_attempt(a, out);
	}
	close(fds[1]);
	r.pipe = fds[0];
	return r;
}

static void finish(struct running *r, int limit_ms)
{
	struct pollfd p = {.fd = r->pipe, .events = POLLIN};
	struct outcome o = {.result = BROKEN};
	int status = 0;
	bool done = poll(&p, 1, limit_ms) == 1;
	bool whole = done && read(r->pipe, &o, sizeof o) == sizeof o;

	kill(r->pid, SIGKILL);
	kill(-r->pid, SIGKILL);
	waitpid(r->pid, &status, 0);
	close(r->pipe);
	if (!done)
		snprintf(o.words, sizeof o.words, "not done after %d ms", limit_ms);
	else if (!whole && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		o = (struct outcome){REFUSED, "killed by the filter of calls"};
	else if (!whole)
		snprintf(o.words, sizeof o.words, "died with status 0x%x", status);
	for (char *c = o.words; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
	printf("%s\t%s\t%s (%d ms)\n", r->attempt->name, result_names[o.result], o.words,
	       (int)(mono_ms() - r->began));
}

/* ---- all of them ---- */

/* A window of attempts under way, the oldest first. */
struct window {
	struct running running[AT_ONCE];
	size_t n;
	int limit_ms;
};

static void finish_oldest(struct window *w)
{
	finish(&w->running[0], w->limit_ms);
	w->n--;
	memmove(&w->running[0], &w->running[1], w->n * sizeof w->running[0]);
}

static void start_in(struct window *w, const struct attempt *a)
{
	if (w->n == AT_ONCE)
		finish_oldest(w);
	w->running[w->n++] = start(a);
}

static void finish_all(struct window *w)
{
	while (w->n > 0)
		finish_oldest(w);
}

/* Those of one kind, in their order. */
static void run_each(bool slow, bool side_by_side, struct window *w)
{
	for (size_t g = 0; g < ARRAY_LEN(groups); g++)
		for (size_t i = 0; i < groups[g].list->n; i++) {
			const struct attempt *a = &groups[g].list->attempts[i];

			if (!wanted(a) || a->slow != slow)
				continue;
			if (slow || groups[g].side_by_side == side_by_side)
				start_in(w, a);
			if (!slow && !side_by_side)
				finish_all(w);
		}
}

static int run(void)
{
	struct window slow = {.limit_ms = SLOW_LIMIT_MS}, others = {.limit_ms = LIMIT_MS};

	/* some of them, when they succeed, end every process there is */
	if (!getenv("ATTACK_UNSHARED")) {
		fprintf(stderr, "attack: only in a world made by test/attack/run\n");
		return 2;
	}
	if (!cast_find()) {
		fprintf(stderr, "attack: %s\n", noted());
		return 1;
	}
	/* what kill(-1) sends; this process has to tell the tale */
	for (int s = SIGRTMIN; s <= SIGRTMAX; s++)
		signal(s, SIG_IGN);
	run_each(true, false, &slow);
	run_each(false, false, &others);
	run_each(false, true, &others);
	finish_all(&others);
	finish_all(&slow);
	puts("end\t\t");
	return 0;
}

/* What is said of it in a column of the table, where these parts are there. */
static const char *words_of(const struct attempt *a, unsigned there, int column)
{
	unsigned left = a->against & there;

	if (!a->against)
		return works_words[a->works][column];
	if (left == LANDLOCK)
		return "fails (L)";
	if (left == LANDLOCK_9)
		return "**succeeds** below Landlock ABI 9";
	return left ? "fails" : "**succeeds**";
}

static int list(void)
{
	for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
		printf("%s### %s\n\n| name | tries to | rungs 1, 2 | rung 4 | control |\n"
		       "|---|---|---|---|---|\n",
		       g ? "\n" : "", groups[g].list->title);
		for (size_t i = 0; i < groups[g].list->n; i++) {
			const struct attempt *a = &groups[g].list->attempts[i];

			printf("| `%s` | %s | %s | %s | %s |\n", a->name, a->what,
			       words_of(a, ~0u, 0), words_of(a, LANDLOCK | LANDLOCK_9, 1),
			       a->uncontrolled ? a->uncontrolled : "yes");
		}
	}
	return 0;
}

/* "landlock,view", or "-". */
static const char *names_of_parts(unsigned against)
{
	static char text[64];
	size_t n = 0;

	snprintf(text, sizeof text, "-");
	for (unsigned i = 0; i < PARTS; i++)
		if (against & (1u << i))
			n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? "," : "",
					      part_names[i]);
	return text;
}

static int names(void)
{
	for (size_t g = 0; g < ARRAY_LEN(groups); g++)
		for (size_t i = 0; i < groups[g].list->n; i++) {
			const struct attempt *a = &groups[g].list->attempts[i];

			printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a->name, works_names[a->works],
			       a->uncontrolled ? "uncontrolled" : "controlled",
			       a->slow ? "slow" : "quick", names_of_parts(a->against),
			       groups[g].proxy ? "proxy" : "-", groups[g].session);
		}
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (strcmp(mode, "list") == 0)
		return list();
	if (strcmp(mode, "names") == 0)
		return names();
	if (strcmp(mode, "without") == 0 && argc > 3)
		return run_without(argv[2], argv + 3);
	if (strcmp(mode, "victim") == 0)
		return victim_main();
	only = argv + MIN(argc, 2);
	if (strcmp(mode, "run") == 0)
		return run();
	without_wall = strcmp(mode, "control") == 0;
	if (without_wall)
		return stand_in(run);
	int status = helper_main(argv + MIN(argc, 1));
	if (status >= 0)
		return status;
	fprintf(stderr,
		"usage: attack list | names | run [NAME...] | control [NAME...] | victim\n");
	return 2;
}
