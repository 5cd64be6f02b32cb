/* The harness behind test.h: main() of every unit test program. */

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

/* What a test's child exits with; anything else is a failure too. */
enum { PASSED = 0, FAILED = 99, SKIPPED = 98 };

static struct test *first, **last = &first;
static const char *running = "";

void test_add(struct test *t)
{
	*last = t;
	last = &t->next;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	printf("FAIL %s: %s:%d: ", running, file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	_exit(FAILED);
}

void test_skip(const char *fmt, ...)
{
	const char *all = getenv("REQUIRE_ALL");
	bool required = all && !strcmp(all, "1");
	va_list ap;

	printf("%s %s: skipped: ", required ? "FAIL" : "SKIP", running);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	puts(required ? " (REQUIRE_ALL=1)" : "");
	fflush(stdout);
	_exit(required ? FAILED : SKIPPED);
}

void test_not_emulated(const char *syscall)
{
	if (!getenv("TEST_EMULATOR"))
		return;
	printf("SKIP %s: the emulator has no %s\n", running, syscall);
	fflush(stdout);
	_exit(SKIPPED);
}

void test_eq(const char *file, int line, const char *a, const char *b, long long va, long long vb)
{
	if (va != vb)
		test_fail(file, line, "%s is %lld (%#llx), not %s = %lld (%#llx)", a, va,
			  (unsigned long long)va, b, vb, (unsigned long long)vb);
}

void test_streq(const char *file, int line, const char *a, const char *b, const char *va,
		const char *vb)
{
	if (va == vb)
		return;
	if (!va || !vb || strcmp(va, vb) != 0)
		test_fail(file, line, "%s is\n\t\"%s\", not %s =\n\t\"%s\"", a, va ? va : "(null)",
			  b, vb ? vb : "(null)");
}

void test_has(const char *file, int line, const char *a, const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		test_fail(file, line, "%s is\n\t\"%s\", which has no \"%s\"", a,
			  text ? text : "(null)", part);
}

void test_memeq(const char *file, int line, const char *a, const char *b, const void *va,
		const void *vb, size_t n)
{
	const unsigned char *pa = va, *pb = vb;

	for (size_t i = 0; i < n; i++)
		if (pa[i] != pb[i])
			test_fail(file, line, "%s and %s differ at byte %zu of %zu: %#x and %#x", a,
				  b, i, n, pa[i], pb[i]);
}

/* The limits are for this machine when idle; emulators and sanitizers stretch them. */
static unsigned scale(void)
{
	const char *s = getenv("TEST_TIME_SCALE");
	int n = s ? atoi(s) : 1;

	return n > 0 ? (unsigned)n : 1;
}

int64_t test_ms(int64_t ms)
{
	return ms * scale();
}

/* SIGCHLD is blocked in this process, so that it can be awaited with a time limit. */
static void block_sigchld(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(how, &set, NULL);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Whether the child ended in time, with its status. */
static bool ends_within(pid_t pid, unsigned seconds, int *status)
{
	double deadline = now() + seconds;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (;;) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		double left = deadline - now();
		if (left <= 0)
			return false;
		struct timespec t = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
		sigtimedwait(&set, NULL, &t);
	}
}

static int judge(const struct test *t, int status)
{
	int code = WEXITSTATUS(status);

	if (WIFSIGNALED(status)) {
		printf("FAIL %s: killed by signal %d (%s)\n", t->name, WTERMSIG(status),
		       strsignal(WTERMSIG(status)));
		return FAILED;
	}
	if (code != PASSED && code != FAILED && code != SKIPPED) {
		printf("FAIL %s: exited with %d\n", t->name, code);
		return FAILED;
	}
	return code;
}

static int run_child(const struct test *t)
{
	unsigned seconds = t->seconds * scale();
	int status;

	fflush(stdout);
	pid_t pid = fork();
	if (pid < 0) {
		perror("fork");
		exit(FAILED);
	}
	if (pid == 0) {
		block_sigchld(SIG_UNBLOCK);
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		t->run();
		fflush(stdout);
		/* The sanitizers look for leaks at exit(), by way of /proc and ptrace, which a test may
		 * have shut itself off from: by another root, by Landlock, by seccomp. */
		if (open("/proc/self/task", O_RDONLY | O_DIRECTORY) < 0 ||
		    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
			_exit(PASSED);
		exit(PASSED);
	}
	setpgid(pid, pid);
	bool in_time = ends_within(pid, seconds, &status);
	kill(-pid, SIGKILL); /* it, or what it left running */
	if (in_time)
		return judge(t, status);
	waitpid(pid, &status, 0);
	printf("FAIL %s: not done after %u s\n", t->name, seconds);
	return FAILED;
}

static bool chosen(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	int passed = 0, failed = 0, skipped = 0;
	const char *slash = strrchr(argv[0], '/');

	block_sigchld(SIG_BLOCK);
	for (struct test *t = first; t; t = t->next) {
		if (!chosen(t->name, argc, argv))
			continue;
		running = t->name;
		if (getenv("TEST_NOFORK")) {
			t->run();
			passed++;
			continue;
		}
		switch (run_child(t)) {
		case PASSED:
			passed++;
			break;
		case SKIPPED:
			skipped++;
			break;
		default:
			failed++;
		}
	}
	printf("%s: %d passed, %d failed", slash ? slash + 1 : argv[0], passed, failed);
	if (skipped)
		printf(", %d skipped", skipped);
	putchar('\n');
	return failed > 0;
}
