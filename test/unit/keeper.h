/*
 * What the tests of the keeper have in common: a keeper on a loop, and all that it tells. Included by
 * test/unit/keeper*_test.c only.
 */
#ifndef OPENSHELL_TEST_KEEPER_H
#define OPENSHELL_TEST_KEEPER_H

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "forbid.h"
#include "isolate/keeper.h"
#include "test.h"

enum { EXITS_MAX = 2048, BYPASSES_MAX = 256 };

static struct rig {
	struct loop *loop;
	struct keeper *keeper;
	struct keeper_started started;
	struct {
		pid_t pid;
		int status;
		unsigned bypasses; /* told before */
	} exits[EXITS_MAX];
	unsigned n_exits;
	struct bypass bypasses[BYPASSES_MAX];
	unsigned n_bypasses;
	bool keeps_held; /* nobody says that they may go */
	uint64_t lost;
	bool gone;
	struct err why_gone;
} rig;

/* A call, and how it ended. */
struct
try {
	struct keeper_call call;
	bool done;
	int result;
	struct err why;
};

/* Who else is told of ends. */
static void (*also_exited)(pid_t pid, int status);

static void on_exited(void *owner UNUSED, pid_t pid, int status)
{
	if (also_exited)
		also_exited(pid, status);
	OK(rig.n_exits < EXITS_MAX);
	rig.exits[rig.n_exits].pid = pid;
	rig.exits[rig.n_exits].bypasses = rig.n_bypasses;
	rig.exits[rig.n_exits++].status = status;
	loop_stop(rig.loop, 0);
}

static void on_bypass(void *owner UNUSED, const struct bypass *b)
{
	if (rig.n_bypasses < BYPASSES_MAX)
		rig.bypasses[rig.n_bypasses++] = *b;
	if (b->held != 0 && !rig.keeps_held)
		keeper_release(rig.keeper, b->held);
	loop_stop(rig.loop, 0);
}

static void on_lost(void *owner UNUSED, uint64_t n)
{
	rig.lost += n;
	loop_stop(rig.loop, 0);
}

static void on_gone(void *owner UNUSED, const struct err *why)
{
	OK(!rig.gone);
	rig.gone = true;
	rig.why_gone = *why;
	loop_stop(rig.loop, 0);
}

static const struct keeper_events events = {on_exited, on_bypass, on_lost, on_gone};

static void on_time(struct timer *t UNUSED)
{
	FAIL("nothing happened for too long");
}

/* Runs the loop until something was told, which must not take long. */
static UNUSED void turn(void)
{
	struct timer limit = {.fire = on_time};

	timer_set(rig.loop, &limit, test_ms(10000));
	loop_run(rig.loop);
	timer_stop(rig.loop, &limit);
}

#define AWAIT(cond)                                                                                \
	do {                                                                                       \
		while (!(cond))                                                                    \
			turn();                                                                    \
	} while (0)

static void on_done(struct keeper_call *c, int result, const struct err *why)
{
	struct try *t = container_of(c, struct try, call);

	OK(!t->done);
	t->done = true;
	t->result = result;
	if (why)
		t->why = *why;
	loop_stop(rig.loop, 0);
}

#define TRY ((struct try){.call.done = on_done})

static struct keeper_config plain(enum rung r)
{
	return (struct keeper_config){.rung = r, .confine.landlock_fd = -1};
}

static void start_with(const struct keeper_config *c)
{
	struct err e;

	NOT_EMULATED("clone with CLONE_PARENT");
	OK(loop_new(&rig.loop, &e) == 0);
	if (keeper_start(&rig.keeper, c, &rig.started, &e) < 0) {
		if (!rig.started.rung.works)
			SKIP("%s", e.text);
		FAIL("%s", e.text);
	}
	if (keeper_attach(rig.keeper, rig.loop, &events, NULL, &e) < 0)
		FAIL("%s", e.text);
}

static UNUSED void start(enum rung r)
{
	struct keeper_config c = plain(r);

	start_with(&c);
}

static UNUSED void stop(void)
{
	keeper_free(rig.keeper);
	if (rig.started.listener >= 0)
		close(rig.started.listener);
	if (rig.started.sock_diag >= 0)
		close(rig.started.sock_diag);
	loop_free(rig.loop);
}

/* As where a seccomp profile lets nobody mount. */
static UNUSED void without_own_pids(void)
{
	forbid(SYS_fsopen, -1, 0, EPERM);
}

static UNUSED void become_nobody(void)
{
	if (getuid() == 0)
		OK(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
}

static char *const plain_env[] = {"PATH=/usr/bin:/bin", "HOME=/nowhere", NULL};

/* Asks for a shell that runs the command, with that standard output; not yet answered. */
static void ask_shell(struct try *t, const char *command, int out)
{
	char *argv[] = {"sh", "-c", (char *)command, NULL};
	struct keeper_spawn what = {
		.argv = argv, .env = plain_env, .cwd = "/", .stdio = {out, out, STDERR_FILENO}};
	struct err e;

	*t = TRY;
	if (keeper_spawn(rig.keeper, &what, &t->call, &e) < 0)
		FAIL("%s", e.text);
}

/* Starts it: its pid. */
static UNUSED pid_t shell(const char *command, int out)
{
	struct try t;

	ask_shell(&t, command, out);
	AWAIT(t.done);
	if (t.result < 0)
		FAIL("%s", t.why.text);
	return t.result;
}

/* Waits for its end: its status. */
static UNUSED int end_of(pid_t pid)
{
	for (unsigned i = 0;; i++) {
		AWAIT(i < rig.n_exits);
		if (rig.exits[i].pid == pid) {
			int status = rig.exits[i].status;
			rig.exits[i].pid = 0;
			return status;
		}
	}
}

/* All that is left to read, at most 4 KiB. */
static UNUSED const char *all_of(int fd)
{
	static char text[4096];
	size_t n = 0;
	ssize_t r;

	while ((r = read(fd, text + n, sizeof text - 1 - n)) > 0)
		n += (size_t)r;
	text[n] = '\0';
	return text;
}

/* What a shell in there prints, and how it ends. */
static UNUSED const char *said(const char *command, int *status)
{
	int fds[2];

	OK(pipe2(fds, O_CLOEXEC) == 0);
	pid_t pid = shell(command, fds[1]);
	close(fds[1]);
	*status = end_of(pid);
	const char *text = all_of(fds[0]);
	close(fds[0]);
	return text;
}

#endif
