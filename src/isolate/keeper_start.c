/* The supervisor's side of the keeper's start and end. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "isolate/keeper_own.h"
#include "isolate/ladder_impl.h"

enum {
	HELLO_MS = 10000, /* for the nursery's confinement, which takes less than one */
	END_MS = 1000,    /* for the keeper to have killed all */
};

/* The climb, then the hello. */
static int follow_start(struct keeper *k, const struct keeper_config *c, struct keeper_started *out,
			struct err *e)
{
	const struct rung_climber climber = {c->rung, c->port, c->confine.identity};
	struct rung_listening listening = {0};
	struct keeper_hello hello;
	_cleanup_fdpass_ struct fdpass fds = {.n = 0};

	rung_watch(&climber, k->pid, k->channel, &out->rung, &listening, &out->listener);
	if (!out->rung.works) {
		*e = out->rung.why;
		return err_wrap(e, "network mode %s", rung_name(c->rung));
	}
	out->proxy = listening.at;
	ssize_t n = fdpass_receive_within(k->channel, &hello, sizeof hello, &fds, HELLO_MS);
	if (n < 0)
		return err_sys(e, "hear of the keeper");
	if (n != sizeof hello)
		return err_set(e, ECONNRESET, "the keeper ended while it was made");
	out->confined = hello.confined;
	out->init = hello.init;
	out->mounts = hello.mounts;
	out->not_logged = hello.not_logged;
	out->not_held = hello.not_held;
	out->sock_diag = fds.n > 0 ? fdpass_take(&fds, 0) : -1;
	if (hello.failed.code == 0)
		return 0;
	*e = hello.failed;
	return err_wrap(e, "confine workloads");
}

static void forget_sockets(struct keeper_started *out)
{
	if (out->listener >= 0)
		close(out->listener);
	if (out->sock_diag >= 0)
		close(out->sock_diag);
	out->listener = out->sock_diag = -1;
}

int keeper_start(struct keeper **out, const struct keeper_config *config,
		 struct keeper_started *started, struct err *e)
{
	int pair[2];

	*started = (struct keeper_started){.listener = -1, .sock_diag = -1};
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return err_sys(e, "become a subreaper");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_sys(e, "socketpair");
	_cleanup_close_ int theirs = pair[1];
	struct keeper *k = xcalloc(1, sizeof *k);
	k->channel = pair[0];
	k->as = config->confine.identity ? config->confine.identity->uid : (uid_t)KEEPER_NOBODY;
	list_init(&k->calls);
	k->pid = fork();
	if (k->pid == 0) {
		close(k->channel);
		keeper_live(config, theirs);
	}
	if (k->pid < 0) {
		err_sys(e, "fork the keeper");
		close(k->channel);
		free(k);
		return -1;
	}
	close(steal_fd(&theirs));
	if (follow_start(k, config, started, e) < 0) {
		forget_sockets(started);
		keeper_free(k);
		return -1;
	}
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	*out = k;
	return 0;
}

pid_t keeper_pid(const struct keeper *k)
{
	return k->pid;
}

void keeper_spare(struct keeper *k, pid_t pid)
{
	k->spared = pid;
}

/* Waits for it, that long. False when it is there still. */
static bool await_end(pid_t pid, int *status, int ms)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	int64_t end = mono_ms() + ms;

	for (;;) {
		int now;
		pid_t r = waitpid(pid, &now, WNOHANG);

		if (r == pid)
			*status = now;
		/* ECHILD: somebody else has reaped it */
		if (r == pid || (r < 0 && errno != EINTR))
			return true;
		if (mono_ms() >= end)
			return false;
		nanosleep(&pause, NULL);
	}
}

int keeper_bury(struct keeper *k)
{
	int status = KEEPER_STATUS_UNKNOWN;

	if (k->pid <= 0)
		return status;
	close(steal_fd(&k->channel));
	if (!await_end(k->pid, &status, END_MS)) {
		kill(k->pid, SIGKILL);
		await_end(k->pid, &status, END_MS);
	}
	k->pid = 0;
	/* what it could not end any more is ours now */
	if (status != 0) {
		_cleanup_close_ int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
		keeper_kill_all(proc, k->as, k->spared, END_MS);
	}
	return status;
}
