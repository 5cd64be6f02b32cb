#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/util.h"
#include "supervisor/supervisor.h"
#include "supervisor/supervisor_impl.h"
#include "supervisor/tell.h"

enum {
	EXIT_TIMEOUT = 124, /* contract 1.2 */
	GRACE_MS = 100,     /* contract 1.10: from SIGTERM to SIGKILL when the time is up */
	KILL_MS = 5000,  /* ours: from SIGKILL until we go without waiting for the end any longer */
	DRAIN_MS = 2000, /* contract 1.10: for the last output to get through */
};

/* ---- the end ---- */

static void reported(void *owner)
{
	struct supervisor *s = owner;

	loop_stop(s->loop, s->status);
}

static void stop(struct supervisor *s)
{
	timer_stop(s->loop, &s->limit);
	if (s->uplink.session == NULL) /* none was opened */
		loop_stop(s->loop, s->status);
	else if (!s->uplink.reporting)
		uplink_report(&s->uplink, s->status, reported, s);
}

/* … then the clients that are owed the end of what they started, or are attached to. */
static void drained(void *owner)
{
	struct supervisor *s = owner;

	if (s->ssh != NULL)
		ssh_broker_drain(s->ssh);
	else
		stop(s);
}

void supervisor_drained(struct supervisor *s)
{
	stop(s);
}

/* All inside goes first: then nobody is left who could write. */
static void run_end(struct later *l)
{
	struct supervisor *s = container_of(l, struct supervisor, end);

	relays_keeper_goes(s->uplink.relays);
	if (s->ssh != NULL)
		ssh_broker_keeper_ends(s->ssh);
	keeper_free(s->wall.keeper);
	s->wall.keeper = NULL;
	tell_config(s->events, "cleaned_up", OCSF_INFORMATIONAL,
		    "Sandbox ended and its processes are gone [rung:%s]", rung_name(s->wall.rung));
	timer_set(s->loop, &s->limit, DRAIN_MS);
	main_process_drain(&s->main, s->status);
}

void supervisor_end(struct supervisor *s, int status)
{
	if (s->state == ENDING)
		return;
	s->state = ENDING;
	s->status = status;
	timer_stop(s->loop, &s->limit);
	loop_later(s->loop, &s->end);
}

/* Sends the signal, and is back after ms; where that cannot be, it ends without. */
static void signal_and_wait(struct supervisor *s, int signo, enum state next, int64_t ms)
{
	struct err e;

	if (s->state == STARTING || keeper_signal(s->wall.keeper, s->pid, signo, &e) < 0) {
		supervisor_end(s, EXIT_TIMEOUT);
		return;
	}
	s->state = next;
	timer_set(s->loop, &s->limit, ms);
}

static void time_is_up(struct timer *t)
{
	struct supervisor *s = container_of(t, struct supervisor, limit);

	switch (s->state) {
	case STARTING:
	case RUNNING:
		tell_terminate(s->events, s->spec.argv[0], s->pid, EXIT_TIMEOUT,
			       "Process timed out, killing", OCSF_CRITICAL);
		signal_and_wait(s, SIGTERM, TERMINATING, GRACE_MS);
		break;
	case TERMINATING:
		signal_and_wait(s, SIGKILL, KILLING, KILL_MS);
		break;
	case KILLING: /* what cannot be killed ends with the keeper, or never */
		supervisor_end(s, EXIT_TIMEOUT);
		break;
	case ENDING:
		stop(s);
		break;
	}
}

/* ---- what the keeper tells ---- */

static void exited(void *owner, pid_t pid, int status)
{
	struct supervisor *s = owner;
	int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);

	if (s->ssh != NULL)
		ssh_broker_exited(s->ssh, pid, status);
	if (pid != s->pid || s->state == STARTING || s->state == ENDING)
		return;
	if (s->state != RUNNING)
		code = EXIT_TIMEOUT;
	tell_terminate(s->events, s->spec.argv[0], pid, code, "", OCSF_INFORMATIONAL);
	supervisor_end(s, code);
}

static void bypass(void *owner, const struct bypass *b)
{
	struct supervisor *s = owner;

	bypasses_add(&s->bypasses, b);
}

static void bypasses_were_lost(void *owner, uint64_t n)
{
	struct supervisor *s = owner;

	bypasses_lost(&s->bypasses, n);
}

static void gone(void *owner, const struct err *why)
{
	struct supervisor *s = owner;

	tell_config(s->events, "failed", OCSF_CRITICAL,
		    "Sandbox lost its keeper, and was ended [reason:%s]", why->text);
	log_error("the sandbox's keeper is gone; everything inside was ended", "reason=%s",
		  why->text);
	supervisor_end(s, EXIT_FAILURE);
}

static const struct keeper_events keeper_events = {
	.exited = exited,
	.bypass = bypass,
	.bypasses_lost = bypasses_were_lost,
	.gone = gone,
};

/* ---- signals ---- */

static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

/* What is sent to us is meant for it (contract 1.10); it may take its time, as its runtime allows. While it
 * is being started the signal waits for it: it may run already, and we have not heard. */
static void forward(int signo, void *arg)
{
	struct supervisor *s = arg;
	struct err e;

	if (s->state == STARTING)
		sigaddset(&s->waiting, signo);
	else if (s->uplink.reporting)
		reported(s);
	else if (s->state != ENDING && keeper_signal(s->wall.keeper, s->pid, signo, &e) < 0)
		log_warn("a signal was not forwarded", "signal=%d reason=%s", signo, e.text);
}

void supervisor_forward_waiting(struct supervisor *s)
{
	for (size_t i = 0; i < ARRAY_LEN(forwarded); i++)
		if (sigismember(&s->waiting, forwarded[i]) == 1)
			forward(forwarded[i], s);
}

/* Orphans fall to a container's first process. The keeper and the sshd are left to those who wait for them. */
static void reap(int signo UNUSED, void *arg)
{
	struct supervisor *s = arg;

	for (;;) {
		siginfo_t info = {0};

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return;
		if (s->wall.keeper != NULL && info.si_pid == keeper_pid(s->wall.keeper))
			return;
		if (s->sshd != NULL && info.si_pid == sshd_pid(s->sshd))
			return;
		waitpid(info.si_pid, NULL, WNOHANG);
	}
}

/* From here on they wait until the loop hears them: the first process of a container, to which the kernel
 * does not deliver what has no handler, would never know that it is to end. */
static void hold_signals(void)
{
	sigset_t held;

	sigemptyset(&held);
	for (size_t i = 0; i < ARRAY_LEN(forwarded); i++)
		sigaddset(&held, forwarded[i]);
	sigprocmask(SIG_BLOCK, &held, NULL);
}

static int take_signals(struct supervisor *s, struct err *e)
{
	sigemptyset(&s->waiting);
	for (size_t i = 0; i < ARRAY_LEN(forwarded); i++)
		if (loop_signal(s->loop, forwarded[i], forward, s, e) < 0)
			return -1;
	return loop_signal(s->loop, SIGCHLD, reap, s, e);
}

static int start(struct supervisor *s, struct err *e)
{
	if (supervisor_harden(e) < 0)
		return -1;
	supervisor_open_events(s);
	if (main_spec_resolve(&s->spec, s->o->command, getenv("OPENSHELL_MAIN_PROCESS_SPEC"), e) <
		    0 ||
	    prepare_workspace(s->events, e) < 0 || supervisor_configure(s, e) < 0)
		return -1;
	hold_signals();
	if (supervisor_raise_wall(s, e) < 0 || loop_new(&s->loop, e) < 0 ||
	    take_signals(s, e) < 0 ||
	    keeper_attach(s->wall.keeper, s->loop, &keeper_events, s, e) < 0)
		return -1;
	if (supervisor_start_proxy(s, e) < 0)
		return -1;
	return supervisor_start_main(s, e);
}

static void release(struct supervisor *s)
{
	supervisor_free_ssh(s);
	keeper_free(s->wall.keeper);
	main_process_fini(&s->main);
	environment_fini(&s->environment);
	bypasses_fini(&s->bypasses);
	proxy_free(s->proxy);
	callers_free(s->callers);
	resolver_free(s->resolver);
	uplink_fini(&s->uplink);
	if (s->loop != NULL)
		loop_later_cancel(&s->end);
	loop_free(s->loop);
	prepared_fini(&s->prepared);
	upstream_fini(&s->upstream);
	main_spec_fini(&s->spec);
	ocsf_free(s->events);
}

int supervisor_run(const struct sandbox_options *o)
{
	struct supervisor s = {.o = o,
			       .status = EXIT_FAILURE,
			       .limit = {.fire = time_is_up},
			       .end = {.run = run_end},
			       .main = {.drained = drained, .owner = &s},
			       .prepared = {.landlock = LANDLOCK_NONE},
			       .wall = {.started = {.listener = -1, .sock_diag = -1}}};
	struct err e;

	if (start(&s, &e) < 0) {
		log_error("the sandbox cannot start", "error=%s", e.text);
	} else {
		s.status = loop_run(s.loop);
	}
	uplink_last_words(&s.uplink);
	release(&s);
	return s.status;
}
