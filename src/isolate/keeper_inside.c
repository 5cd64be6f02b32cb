/*
 * The keeper's own process: a poll loop over its supervisor, what its workloads do, and the kernel's log of
 * what was refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "isolate/capabilities.h"
#include "isolate/detours.h"
#include "base/fds.h"
#include "isolate/keeper_workload.h"
#include "isolate/ladder_impl.h"
#include "isolate/pid_space.h"
#include "net/netlink.h"

enum {
	TURN_MAX = 32,  /* requests between two looks at all else */
	END_MS = 10000, /* for all below to be gone */
};

struct inside {
	const struct keeper_config *config;
	int channel;
	int signals; /* SIGCHLD */
	int proc;    /* as it is outside; -1: there is none */
	struct pid_space space;
	struct detours detours;
	struct workloads workloads;
};

/* ---- telling ---- */

void keeper_tell(int channel, const struct keeper_packet *p, int fd)
{
	struct pollfd poller = {.fd = channel, .events = POLLOUT};

	while (fdpass_send(channel, p, keeper_size(p->message), &fd, fd >= 0) < 0 &&
	       errno == EAGAIN)
		poll(&poller, 1, -1);
}

void keeper_tell_failure(int channel, uint32_t id, const struct err *why)
{
	struct keeper_packet p = {.message = KEEPER_FAILED, .id = id, .why = *why};

	keeper_tell(channel, &p, -1);
}

/* ---- requests ---- */

static void asked_spawn(void *self, const struct keeper_packet *p, struct fdpass *fds)
{
	struct inside *k = self;

	workload_spawn(&k->workloads, p, fds);
}

static void asked_cancel(void *self, const struct keeper_packet *p, struct fdpass *fds UNUSED)
{
	struct inside *k = self;

	workload_cancel(&k->workloads, p->id);
}

static void asked_signal(void *self, const struct keeper_packet *p, struct fdpass *fds UNUSED)
{
	struct inside *k = self;

	workload_signal(&k->workloads, p->signal.pid, p->signal.signo);
}

static void asked_release(void *self, const struct keeper_packet *p, struct fdpass *fds UNUSED)
{
	struct inside *k = self;

	detours_release(&k->detours, p->id);
}

static int listen_at(const struct keeper_address *a, struct err *e)
{
	int on = 1;

	_cleanup_close_ int fd =
		socket(a->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    bind(fd, &a->at.any, a->n) < 0 || listen(fd, SOMAXCONN) < 0)
		return err_sys(e, "listen inside");
	return steal_fd(&fd);
}

static int connect_to(const struct keeper_address *a, struct err *e)
{
	_cleanup_close_ int fd =
		socket(a->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || (connect(fd, &a->at.any, a->n) < 0 && errno != EINPROGRESS))
		return err_sys(e, "connect inside");
	return steal_fd(&fd);
}

static void answer_with_socket(struct inside *k, const struct keeper_packet *p,
			       int (*make)(const struct keeper_address *a, struct err *e))
{
	struct keeper_packet done = {.message = KEEPER_DONE, .id = p->id};
	struct err e;
	bool inside = keeper_address_is_inside(&p->address, k->config->rung);

	_cleanup_close_ int fd =
		inside ? make(&p->address, &e)
		       : err_set(&e, EACCES, "not an address of the sandbox's own");
	if (fd >= 0)
		keeper_tell(k->channel, &done, fd);
	else
		keeper_tell_failure(k->channel, p->id, &e);
}

static void asked_listen(void *self, const struct keeper_packet *p, struct fdpass *fds UNUSED)
{
	answer_with_socket(self, p, listen_at);
}

static void asked_connect(void *self, const struct keeper_packet *p, struct fdpass *fds UNUSED)
{
	answer_with_socket(self, p, connect_to);
}

static keeper_handler *const handlers[KEEPER_MESSAGE_COUNT] = {
	[KEEPER_SPAWN] = asked_spawn,     [KEEPER_LISTEN] = asked_listen,
	[KEEPER_CONNECT] = asked_connect, [KEEPER_CANCEL] = asked_cancel,
	[KEEPER_SIGNAL] = asked_signal,   [KEEPER_RELEASE] = asked_release,
};

/* -1 when the supervisor is gone, or not to be understood. */
static int hear_supervisor(struct inside *k)
{
	struct keeper_packet p;
	struct err e;

	for (int i = 0; i < TURN_MAX; i++) {
		_cleanup_fdpass_ struct fdpass fds;
		int r = keeper_receive(k->channel, KEEPER_ASKS, &p, &fds, &e);

		if (r <= 0)
			return r;
		handlers[p.message](k, &p, &fds);
	}
	return 0;
}

/* ---- the loop ---- */

static void look_at_signals(const struct inside *k)
{
	struct signalfd_siginfo s;

	while (read(k->signals, &s, sizeof s) == sizeof s)
		;
}

static void wait_for_more(const struct inside *k, bool hurry)
{
	enum { OWN = 3, OTHERS = OWN + DETOURS_POLL };
	struct pollfd p[OTHERS + WORKLOADS_POLL_MAX] = {
		{.fd = k->channel, .events = POLLIN},
		{.fd = k->signals, .events = POLLIN},
		{.fd = k->space.channel},
	};
	int ms = -1;

	detours_poll(&k->detours, p + OWN, &ms);
	size_t n = OTHERS + workloads_poll(&k->workloads, p + OTHERS, &ms);
	poll(p, n, hurry ? 0 : ms);
	look_at_signals(k);
}

static void run(struct inside *k)
{
	while (!pid_space_is_over(&k->space) && hear_supervisor(k) == 0) {
		bool more = workloads_look(&k->workloads);

		detours_look(&k->detours);
		wait_for_more(k, more);
	}
}

/* ---- the start ---- */

/* What is left is for making a nursery again, for signals, and for verdicts where something waits for one. */
static int drop_capabilities(const struct inside *k, struct err *e)
{
	uint64_t verdicts = k->detours.queue >= 0 ? CAPABILITY(CAP_NET_ADMIN) : 0;

	return capabilities_keep(CAPABILITY(CAP_SETUID) | CAPABILITY(CAP_SETGID) |
					 CAPABILITY(CAP_SETPCAP) | CAPABILITY(CAP_KILL) | verdicts,
				 e);
}

/* Ours are SIGCHLD, which is read, and SIGKILL: the others are the supervisor's, and workloads take the
 * defaults back. */
static int take_signals(struct inside *k, struct err *e)
{
	static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2};
	sigset_t child;

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_SETMASK, &child, NULL);
	k->signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	return k->signals < 0 ? err_sys(e, "signalfd") : 0;
}

static int put_on_filter(struct err *e)
{
	struct seccomp_filter filter;

	seccomp_make(SECCOMP_PRELUDE, &filter);
	return seccomp_install(&filter) < 0 ? err_sys(e, "install the keeper's seccomp filter") : 0;
}

/* Whether the workloads are who we are already; then there is nobody else to be. */
static bool is_ours(const struct identity *id)
{
	return id && geteuid() == id->uid && getegid() == id->gid;
}

/* The kernel logs, and holds, within the call that it refuses: all that a workload tried is there once it has
 * ended. When init ends, that is the end of all of them, and is told as such. */
static bool before_end(void *inside)
{
	struct inside *k = inside;

	detours_look(&k->detours);
	return !pid_space_is_over(&k->space);
}

static void hear_of_detours(struct inside *k, const struct rung_report *report,
			    struct keeper_hello *hello)
{
	struct err why = {0};

	detours_init(&k->detours, k->channel);
	hello->not_logged = report->lost;
	if (!report->refuses)
		return;
	detours_open(&k->detours, &why);
	if (k->detours.log < 0)
		hello->not_logged = why;
	else if (k->detours.queue < 0)
		hello->not_held = why;
}

static uid_t workloads_uid(const struct keeper_config *c)
{
	return c->confine.identity ? c->confine.identity->uid : (uid_t)KEEPER_NOBODY;
}

static uint64_t number_of_mounts(int proc)
{
	struct stat st;

	return fstatat(proc, "self/ns/mnt", &st, 0) == 0 ? st.st_ino : 0;
}

/* Sets up all that comes after the rung, and says how that went. */
static int settle(struct inside *k, const struct keeper_config *c, const struct rung_report *report)
{
	struct keeper_hello hello = {.init = k->space.init, .mounts = number_of_mounts(k->proc)};
	struct err none;

	_cleanup_close_ int diag = nl_open(NETLINK_SOCK_DIAG, &none);
	hear_of_detours(k, report, &hello);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (take_signals(k, &hello.failed) < 0 || put_on_filter(&hello.failed) < 0 ||
	    drop_capabilities(k, &hello.failed) < 0 ||
	    pid_space_settle(&k->space, &hello.failed) < 0 ||
	    workloads_init(&k->workloads, c, workloads_uid(c), k->channel, &hello.confined,
			   &hello.failed) < 0)
		fdpass_send(k->channel, &hello, sizeof hello, NULL, 0);
	else if (fdpass_send(k->channel, &hello, sizeof hello, &diag, diag >= 0) == 0)
		return 0;
	return -1;
}

/* The rung, and what hides those outside; says how it went. */
static int climb(struct inside *k, const struct keeper_config *c, struct rung_report *report)
{
	const struct rung_climber climber = {c->rung, c->port, c->confine.identity};

	rung_climb(&climber, k->channel, report);
	if (report->works && pid_space_enter(&k->space, &c->confine, c->view, &report->no_own_pids,
					     &report->shown, &report->why) < 0)
		report->works = false;
	if (fdpass_send(k->channel, report, sizeof *report, NULL, 0) < 0)
		return -1;
	return report->works ? 0 : -1;
}

/* The first of them kills the others in the same moment, where there is a PID namespace. */
_Noreturn static void kill_all(struct inside *k, const struct keeper_config *c)
{
	bool over = pid_space_is_over(&k->space);

	pid_space_end(&k->space, workloads_uid(c));
	/* also where no /proc tells who there is */
	workloads_kill(&k->workloads);
	if (!keeper_kill_all(k->proc, workloads_uid(c), 0, END_MS))
		_exit(1);
	_exit(over ? KEEPER_INIT_ENDED : 0);
}

void keeper_live(const struct keeper_config *config, int channel)
{
	static struct inside k;
	struct keeper_config c = *config;
	struct rung_report report;

	channel = fds_above_stdio(channel);
	c.confine.landlock_fd = fds_above_stdio(c.confine.landlock_fd);
	fds_set_stdio_aside();
	fds_close_all_but((int[]){channel, c.confine.landlock_fd}, 2);
	setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (c.rung == RUNG_USERNS && is_ours(c.confine.identity))
		c.confine.identity = NULL;
	/* those of the container's first process; in a new user namespace it is too late */
	syscall(SYS_setgroups, 0, NULL);

	k.config = &c;
	k.channel = channel;
	k.proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (climb(&k, &c, &report) < 0)
		_exit(1);
	if (settle(&k, &c, &report) == 0) {
		k.workloads.before_end = before_end;
		k.workloads.owner = &k;
		run(&k);
	}
	kill_all(&k, &c);
}
