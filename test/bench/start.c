/*
 * What a walled-in sandbox costs before its command does anything: from the supervisor's exec to the
 * command's first instruction, and the memory of the supervisor and its keeper (with init and the nursery)
 * while it runs.
 *
 *	start BINARY TIMES      start_p50_us, start_p99_us, memory_kb; and to compare with, exec_p50_us: a
 *	                        program started and at its first instruction, without any wall
 *	now                     what is run inside: says when it began, and waits for the end of its input
 */
#include <dirent.h>
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#include "base/str.h"
#include "base/util.h"

int now_main(int argc UNUSED, char **argv UNUSED)
{
	int64_t now = bench_us();
	char byte;

	printf("%lld\n", (long long)now);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}

struct run {
	pid_t pid;
	int in, out;
	int64_t began;
};

static void begin(struct run *r, char *const argv[])
{
	posix_spawn_file_actions_t actions;
	int in[2], out[2];

	if (pipe(in) < 0 || pipe(out) < 0)
		die("pipe: %s", strerror(errno));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&actions, in[1]);
	posix_spawn_file_actions_addclose(&actions, out[0]);
	r->began = bench_us();
	if (posix_spawn(&r->pid, argv[0], &actions, NULL, argv, environ) != 0)
		die("start %s", argv[0]);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	r->in = in[1];
	r->out = out[0];
}

/* Microseconds until what is inside began. */
static int64_t await_now(const struct run *r)
{
	char text[64] = "";

	if (read(r->out, text, sizeof text - 1) <= 0)
		die("the command did not begin");
	return strtoll(text, NULL, 10) - r->began;
}

static void finish(struct run *r)
{
	int status;

	close(r->in);
	close(r->out);
	if (waitpid(r->pid, &status, 0) != r->pid || status != 0)
		die("it ended with status %d", status);
}

static void time_runs(char *const argv[], int times, struct bench_times *out)
{
	for (int i = 0; i < times; i++) {
		struct run r;

		begin(&r, argv);
		bench_add(out, await_now(&r));
		finish(&r);
	}
}

/* ---- memory ---- */

/* The first number behind the word in a file of /proc; -1 when it cannot be read. */
static long number_in(pid_t pid, const char *name, const char *word)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/%s", pid, name);
	_cleanup_file_ FILE *f = fopen(path, "re");
	char line[256];

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, word, strlen(word)) == 0)
			return strtol(line + strlen(word), NULL, 10);
	return -1;
}

/* Whether both run the same program. */
static bool are_alike(pid_t a, pid_t b)
{
	char of_a[4096] = "", of_b[4096] = "";
	_cleanup_free_ char *path_a = xasprintf("/proc/%d/exe", a);
	_cleanup_free_ char *path_b = xasprintf("/proc/%d/exe", b);

	return readlink(path_a, of_a, sizeof of_a - 1) > 0 &&
	       readlink(path_b, of_b, sizeof of_b - 1) > 0 && streq(of_a, of_b);
}

/* The supervisor's own share of memory and that of what runs the same program below it: its keeper, and that one's
 * helpers. They are younger: one pass in order. */
static long memory_kb(pid_t supervisor)
{
	long total = number_in(supervisor, "smaps_rollup", "Pss:");
	pid_t keeper = 0;
	struct dirent *d;
	DIR *proc = opendir("/proc");

	while (proc != NULL && (d = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)atoi(d->d_name);
		long parent = pid > 0 ? number_in(pid, "status", "PPid:") : -1;

		if ((parent != supervisor && (keeper == 0 || parent != keeper)) ||
		    !are_alike(pid, supervisor))
			continue;
		total += number_in(pid, "smaps_rollup", "Pss:");
		if (parent == supervisor)
			keeper = pid;
	}
	if (proc != NULL)
		closedir(proc);
	return total;
}

int start_main(int argc, char **argv)
{
	char self[4096], file[] = "/tmp/bench-start-XXXXXX";
	struct bench_times walled = {0}, plain = {0};
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	int fd = mkstemp(file);

	if (argc != 3)
		die("usage: bench start BINARY TIMES");
	must(n > 0);
	self[n] = '\0';
	/* with what is given to every program, as the policies of sandboxes are */
	_cleanup_free_ char *policy =
		xasprintf("version: 1\nfilesystem_policy: {include_workdir: false, "
			  "read_only: [%s], read_write: [/tmp, /dev/null]}\n"
			  "process: {run_as_user: \"%u\", run_as_group: \"%u\"}\n",
			  self, getuid() ? getuid() : 1000, getuid() ? getgid() : 1000);
	if (fd < 0 || write(fd, policy, strlen(policy)) < 0)
		die("write %s: %s", file, strerror(errno));
	close(fd);
	char *wall[] = {argv[1],    "sandbox",     "--policy-data", file, "--network-mode",
			"isolated", "--log-level", "error",         "--", self,
			"now",      NULL};
	char *direct[] = {self, "now", NULL};

	time_runs(direct, atoi(argv[2]), &plain);
	time_runs(wall, atoi(argv[2]), &walled);
	struct run r;
	begin(&r, wall);
	await_now(&r);
	long memory = memory_kb(r.pid);
	finish(&r);
	unlink(file);
	printf("start_p50_us=%lld start_p99_us=%lld exec_p50_us=%lld memory_kb=%ld\n",
	       (long long)bench_percentile(&walled, 50), (long long)bench_percentile(&walled, 99),
	       (long long)bench_percentile(&plain, 50), memory);
	return 0;
}
