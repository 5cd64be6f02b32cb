#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arguments.h"
#include "base/fds.h"
#include "base/str.h"
#include "base/util.h"
#include "isolate/keeper_impl.h"
#include "isolate/landlock.h"
#include "isolate/pid_space.h"
#include "net/fdpass.h"

enum {
	STEP_MS = 5000,   /* for what takes less than one */
	STACK = 64 << 10, /* bytes of init's */
	FD_PROC = 0,      /* what comes with init's first word */
	FD_NAMESPACE,
	FD_COUNT,
};

/* What init says: the first word, and the last. */
struct made {
	struct err failed; /* code 0: the descriptors are there */
};

struct confined {
	int failed; /* whether result says which step did */
	struct confine_result result;
};

/* ---- init ---- */

struct beginning {
	const struct confine *confine;
	int channel;
};

/* The keeper is going to call setns, when it is too late to do without: where a seccomp profile refuses that call
 * it is known by this, which changes nothing. */
static int make_proc(int out[FD_COUNT], struct err *e)
{
	_cleanup_close_ int proc = own_proc_mount(e);
	if (proc < 0)
		return -1;
	_cleanup_close_ int ns = openat(proc, "self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return err_sys(e, "open the new /proc/self/ns/pid");
	if (setns(ns, CLONE_NEWPID) < 0)
		return err_sys(e, "setns(NEWPID)");
	out[FD_PROC] = steal_fd(&proc);
	out[FD_NAMESPACE] = steal_fd(&ns);
	return 0;
}

/* The default actions, which for init are none at all; and orphans, which need nobody to wait for them. */
static void take_signals(void)
{
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		signal(s, s == SIGCHLD ? SIG_IGN : SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void confine(const struct beginning *b)
{
	const int kept[] = {b->channel, b->confine->landlock_fd};
	struct confined word = {0};

	fds_close_all_but(kept, ARRAY_LEN(kept));
	setsid();
	word.failed = confine_self(b->confine, &word.result) < 0;
	fds_close_all_but(kept, 1);
	/* after confine_self, which clears it; and the keeper may have died before */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (fdpass_is_closed(b->channel) ||
	    fdpass_send(b->channel, &word, sizeof word, NULL, 0) < 0 || word.failed)
		_exit(1);
}

static int be_init(void *arg)
{
	const struct beginning *b = arg;
	int fds[FD_COUNT];
	struct made word = {{0}};
	char byte;

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_NAME, "init", 0, 0, 0);
	arguments_replace("init");
	take_signals();
	size_t n = make_proc(fds, &word.failed) == 0 ? FD_COUNT : 0;
	if (fdpass_send(b->channel, &word, sizeof word, fds, n) < 0 || n == 0)
		return 1;
	confine(b);
	/* nothing ever comes, but for the end: with the keeper, or when it wants none */
	while (read(b->channel, &byte, 1) < 0 && errno == EINTR)
		;
	return 0;
}

/* ---- the keeper's side ---- */

/* A stack of its own, since musl's fork takes no flags. */
static int make_init(struct pid_space *s, const struct confine *c, struct err *e)
{
	static _Alignas(16) char stack[STACK];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "socketpair");
	_cleanup_close_ int ours = pair[0], theirs = pair[1];
	struct beginning b = {c, theirs};
	/* one root for both, since the keeper is going to change it (view.h) */
	pid_t pid = clone(be_init, stack + sizeof stack, CLONE_NEWPID | CLONE_FS | SIGCHLD, &b);
	if (pid < 0)
		return err_sys(e, "clone(NEWPID)");
	*s = (struct pid_space){pid, steal_fd(&ours)};
	return 0;
}

static int hear_of_proc(const struct pid_space *s, struct own_proc *own, int *ns, struct err *e)
{
	struct made word;
	_cleanup_fdpass_ struct fdpass fds = {.n = 0};
	ssize_t n = fdpass_receive_within(s->channel, &word, sizeof word, &fds, STEP_MS);

	if (n < 0)
		return err_sys(e, "hear of the sandbox's init");
	if (n != sizeof word)
		return err_set(e, ECONNRESET, "the sandbox's init is gone");
	if (word.failed.code != 0) {
		*e = word.failed;
		return -1;
	}
	if (fds.n != FD_COUNT)
		return err_set(e, EMFILE, "no room for the descriptors of init");
	own->mount = fdpass_take(&fds, FD_PROC);
	*ns = fdpass_take(&fds, FD_NAMESPACE);
	return 0;
}

/* Landlock goes by files and not by names: what the policy gives of /proc is given of this one. What only the old
 * one has is nothing to give. */
static int give(const struct own_proc *own, int ruleset, const struct view *v, struct err *e)
{
	for (size_t i = 0; v && ruleset >= 0 && i < v->n; i++) {
		const struct view_path *p = &v->paths[i];
		struct str below = str_of(p->path);

		if (!str_skip(&below, "/proc") || (below.n > 0 && below.p[0] != '/'))
			continue;
		while (str_skip(&below, "/"))
			;
		int link = p->write ? O_NOFOLLOW : 0;
		_cleanup_close_ int fd =
			below.n == 0 ? fcntl(own->mount, F_DUPFD_CLOEXEC, 0)
				     : openat(own->mount, below.p, O_PATH | O_CLOEXEC | link);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || landlock_give(ruleset, fd, p->write) < 0)
			return err_sys(e, "Landlock path %s", p->path);
	}
	return 0;
}

static void end_and_reap(struct pid_space *s, const struct confine *c)
{
	pid_t init = s->init;

	pid_space_end(s, c->identity ? c->identity->uid : (uid_t)KEEPER_NOBODY);
	if (init > 0)
		waitpid(init, NULL, 0);
}

/* The masks are cloned before anything is put over them. */
static int make(struct pid_space *s, const struct confine *c, const struct view *v,
		struct own_proc *own, int *ns, struct err *e)
{
	if (own_proc_clone_masks(own, e) < 0 || make_init(s, c, e) < 0 ||
	    hear_of_proc(s, own, ns, e) < 0)
		return -1;
	return give(own, c->landlock_fd, v, e);
}

int pid_space_enter(struct pid_space *s, const struct confine *c, const struct view *v,
		    struct err *why, struct err *shown, struct err *e)
{
	struct own_proc own = OWN_PROC_NONE;
	_cleanup_close_ int ns = -1;
	int result = 0;

	*s = PID_SPACE_NONE;
	why->code = shown->code = 0;
	if (view_leave(why) < 0) {
		*shown = *why;
		return 0;
	}
	if (make(s, c, v, &own, &ns, why) < 0 || view_enter(v, &own, shown, why) < 0) {
		end_and_reap(s, c);
		result = view_enter(v, NULL, shown, e);
	} else if (setns(ns, CLONE_NEWPID) < 0) {
		result = err_sys(e, "setns(NEWPID)");
	}
	own_proc_fini(&own);
	return result;
}

int pid_space_settle(struct pid_space *s, struct err *e)
{
	struct confined word;
	struct fdpass fds;

	if (s->init == 0)
		return 0;
	ssize_t n = fdpass_receive_within(s->channel, &word, sizeof word, &fds, STEP_MS);
	fdpass_close(&fds);
	if (n < 0)
		return err_sys(e, "hear of the sandbox's init");
	if (n != sizeof word)
		return err_set(e, ECONNRESET, "the sandbox's init is gone");
	errno = word.result.error;
	return word.failed ? err_sys(e, "%s", confine_step_name(word.result.failed)) : 0;
}

bool pid_space_is_over(const struct pid_space *s)
{
	return s->init != 0 && fdpass_is_closed(s->channel);
}

void pid_space_end(struct pid_space *s, uid_t as)
{
	if (s->init == 0)
		return;
	keeper_kill(as, s->init, SIGKILL);
	close(s->channel);
	*s = PID_SPACE_NONE;
}
