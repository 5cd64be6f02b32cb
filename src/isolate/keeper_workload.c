#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "isolate/keeper_workload.h"

enum { REAP_MAX = 64 }; /* before another look at all else */

int workloads_init(struct workloads *w, const struct keeper_config *c, uid_t as, int channel,
		   struct confine_result *out, struct err *e)
{
	w->config = c;
	w->as = as;
	w->channel = channel;
	if (nursery_make(&w->nursery, c, e) < 0)
		return -1;
	return nursery_hello(&w->nursery, out, WORKLOAD_ASKED_MS, e);
}

/* ---- the table ---- */

static void move(struct workloads *w, struct workload *one, enum workload_state to)
{
	w->asked += (to == WORKLOAD_ASKED) - (one->state == WORKLOAD_ASKED);
	w->starting += (to == WORKLOAD_STARTING) - (one->state == WORKLOAD_STARTING);
	one->state = to;
	if (to != WORKLOAD_ASKED)
		fdpass_close(&one->order);
	if (to != WORKLOAD_ASKED && to != WORKLOAD_STARTING && one->report >= 0) {
		close(one->report);
		one->report = -1;
	}
}

static struct workload *find_free(struct workloads *w)
{
	for (size_t i = 0; i < KEEPER_WORKLOADS_MAX; i++)
		if (w->all[i].state == WORKLOAD_FREE)
			return &w->all[i];
	return NULL;
}

static struct workload *find_pid(struct workloads *w, pid_t pid)
{
	for (size_t i = 0; i < KEEPER_WORKLOADS_MAX; i++)
		if (w->all[i].state > WORKLOAD_ASKED && w->all[i].pid == pid)
			return &w->all[i];
	return NULL;
}

static bool has_report(const struct workload *one)
{
	return one->state == WORKLOAD_ASKED || one->state == WORKLOAD_STARTING;
}

/* ---- starting one ---- */

/* A nursery that has gone is only missed here. */
static int give_order(struct workloads *w, const struct workload *one, int report, struct err *e)
{
	for (int attempt = 0;; attempt++) {
		if (w->nursery.pid == 0 && nursery_make(&w->nursery, w->config, e) < 0)
			return err_wrap(e, "make the nursery");
		if (nursery_order(&w->nursery, &one->kind, one->order.fd, report, e) == 0)
			return 0;
		/* the latter when it left something unread */
		if (attempt > 0 || (e->code != EPIPE && e->code != ECONNRESET))
			return -1;
		nursery_end(&w->nursery, w->as);
	}
}

static int order(struct workloads *w, struct workload *one, struct err *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "socketpair");
	_cleanup_close_ int ours = pair[0], theirs = pair[1];
	fcntl(ours, F_SETFL, O_NONBLOCK);
	if (fdpass_ask_sender(ours) < 0)
		return err_sys(e, "SO_PASSCRED");
	if (give_order(w, one, theirs, e) < 0)
		return -1;
	one->attempts++;
	one->deadline = mono_ms() + WORKLOAD_ASKED_MS;
	if (one->report >= 0)
		close(one->report);
	one->report = steal_fd(&ours);
	return 0;
}

static int start(struct workloads *w, const struct keeper_packet *p, struct fdpass *fds,
		 struct err *e)
{
	struct workload *one = find_free(w);

	if (fds->lost)
		return err_set(e, EMFILE, "the keeper has no room for descriptors");
	if (!one)
		return err_set(e, EAGAIN, "%d workloads are running", KEEPER_WORKLOADS_MAX);
	if (w->asked + w->starting >= KEEPER_CALLS_MAX)
		return err_set(e, EAGAIN, "%d workloads are starting", KEEPER_CALLS_MAX);
	*one = (struct workload){.id = p->id, .report = -1, .order = *fds, .kind = p->kind};
	fds->n = 0;
	move(w, one, WORKLOAD_ASKED);
	if (order(w, one, e) == 0)
		return 0;
	move(w, one, WORKLOAD_FREE);
	return -1;
}

void workload_spawn(struct workloads *w, const struct keeper_packet *p, struct fdpass *fds)
{
	struct err e;

	if (start(w, p, fds, &e) < 0)
		keeper_tell_failure(w->channel, p->id, &e);
}

static void fail(struct workloads *w, const struct workload *one, const struct err *why)
{
	if (!one->cancelled)
		keeper_tell_failure(w->channel, one->id, why);
}

static void kill_one(struct workloads *w, const struct workload *one)
{
	/* the group, when it has made its session already */
	keeper_kill(w->as, -one->pid, SIGKILL);
	keeper_kill(w->as, one->pid, SIGKILL);
}

/* False when there is nothing more to read now. */
static bool read_pid(struct workloads *w, struct workload *one)
{
	enum nursery_word word;
	struct fdpass from;
	struct err e;
	ssize_t n = fdpass_receive(one->report, &word, sizeof word, &from);

	if (n < 0 && errno == EAGAIN)
		return false;
	fdpass_close(&from);
	if (n != sizeof word || (word == NURSERY_CLONED && from.sender <= 0)) {
		err_set(&e, ECHILD, "the nursery ended, or had no room for descriptors");
		if (one->cancelled || one->attempts >= WORKLOAD_ATTEMPTS || order(w, one, &e) < 0) {
			fail(w, one, &e);
			move(w, one, WORKLOAD_FREE);
		}
		return false;
	}
	one->pid = word == NURSERY_CLONED ? from.sender : 0;
	move(w, one, WORKLOAD_STARTING);
	if (one->cancelled && one->pid > 0)
		kill_one(w, one);
	return true;
}

/* What it wrote before it ended, or the nothing that means the program. The nursery may still be closing
 * its end of the channel when the workload itself is over already: then there is no end of file yet. */
static void read_outcome(struct workloads *w, struct workload *one, bool is_over)
{
	struct keeper_packet done = {.message = KEEPER_DONE, .id = one->id, .pid = one->pid};
	struct err why;
	ssize_t n = read(one->report, &why, sizeof why);

	if (n < 0 && !is_over)
		return;
	if (n <= 0 && one->pid > 0) {
		if (!one->cancelled)
			keeper_tell(w->channel, &done, -1);
		move(w, one, WORKLOAD_RUNNING);
		return;
	}
	/* it comes from a process that is the workload's but for the program */
	if (n != sizeof why || why.code == 0)
		err_set(&why, EPROTO, "the workload's start failed without a reason");
	why.text[sizeof why.text - 1] = '\0';
	fail(w, one, &why);
	/* pid 0: it was never cloned */
	move(w, one, one->pid > 0 ? WORKLOAD_FAILED : WORKLOAD_FREE);
}

static void read_report(struct workloads *w, struct workload *one)
{
	if (one->state == WORKLOAD_ASKED && !read_pid(w, one))
		return;
	if (one->state == WORKLOAD_STARTING)
		read_outcome(w, one, false);
}

static void read_reports(struct workloads *w)
{
	for (size_t i = 0; i < KEEPER_WORKLOADS_MAX && w->asked + w->starting > 0; i++)
		if (has_report(&w->all[i]))
			read_report(w, &w->all[i]);
}

/* A nursery that has orders and does not carry them out is stopped, or worse. */
static void look_at_deadlines(struct workloads *w)
{
	int64_t now = mono_ms();
	struct err e;

	for (size_t i = 0; i < KEEPER_WORKLOADS_MAX && w->asked > 0; i++) {
		struct workload *one = &w->all[i];
		if (one->state != WORKLOAD_ASKED || one->deadline > now)
			continue;
		nursery_end(&w->nursery, w->as);
		err_set(&e, ETIMEDOUT, "the nursery did not start the workload");
		fail(w, one, &e);
		move(w, one, WORKLOAD_FREE);
	}
}

/* It only ever says one thing, at its start; when that is a failure, its orders fail as it ends. */
static void look_at_nursery(struct workloads *w)
{
	struct confine_result result;
	struct err e;

	if (w->nursery.pid != 0 && nursery_hello(&w->nursery, &result, 0, &e) < 0 &&
	    e.code != ETIMEDOUT)
		nursery_end(&w->nursery, w->as);
}

/* ---- the end of one ---- */

static void ended(struct workloads *w, pid_t pid, int status)
{
	struct workload *one = find_pid(w, pid);
	struct keeper_packet p = {.message = KEEPER_EXITED,
				  .exited = {.pid = pid, .status = status}};

	if (pid == w->nursery.pid)
		nursery_forget(&w->nursery);
	if (!one)
		return;
	if (one->state == WORKLOAD_STARTING)
		read_outcome(w, one, true);
	if (one->state == WORKLOAD_RUNNING && !one->cancelled && w->before_end(w->owner))
		keeper_tell(w->channel, &p, -1);
	move(w, one, WORKLOAD_FREE);
}

/* A stranger is not reaped while a pid is yet to be told, since it could be that one. That is over in a
 * moment, or at the deadline. */
static bool may_reap(struct workloads *w, pid_t pid)
{
	return w->asked == 0 || pid == w->nursery.pid || find_pid(w, pid);
}

/* Not all at once: somebody may fork faster than this. Whether there may be more. */
static bool reap(struct workloads *w)
{
	for (int i = 0; i < REAP_MAX; i++) {
		siginfo_t next = {.si_pid = 0};
		int status;

		if (waitid(P_ALL, 0, &next, WEXITED | WNOHANG | WNOWAIT) < 0 || next.si_pid == 0 ||
		    !may_reap(w, next.si_pid) || waitpid(next.si_pid, &status, WNOHANG) <= 0)
			return false;
		ended(w, next.si_pid, status);
	}
	return true;
}

void workload_cancel(struct workloads *w, uint32_t id)
{
	for (size_t i = 0; i < KEEPER_WORKLOADS_MAX; i++) {
		struct workload *one = &w->all[i];
		if (one->state == WORKLOAD_FREE || one->id != id)
			continue;
		one->cancelled = true;
		if (one->state > WORKLOAD_ASKED)
			kill_one(w, one);
	}
}

void workload_signal(struct workloads *w, pid_t pid, int signo)
{
	if (pid > 0 && find_pid(w, pid))
		keeper_kill(w->as, -pid, signo);
}

/* ---- the loop's view ---- */

size_t workloads_poll(const struct workloads *w, struct pollfd *p, int *ms)
{
	int64_t now = mono_ms();
	size_t n = 0;

	if (w->nursery.pid != 0)
		p[n++] = (struct pollfd){.fd = w->nursery.channel, .events = POLLIN};
	for (size_t i = 0; i < KEEPER_WORKLOADS_MAX && n < WORKLOADS_POLL_MAX; i++) {
		const struct workload *one = &w->all[i];
		if (w->asked + w->starting == 0)
			break;
		if (has_report(one))
			p[n++] = (struct pollfd){.fd = one->report, .events = POLLIN};
		if (one->state == WORKLOAD_ASKED && (*ms < 0 || one->deadline - now < *ms))
			*ms = (int)MAX(one->deadline - now, 0);
	}
	return n;
}

bool workloads_look(struct workloads *w)
{
	read_reports(w);
	look_at_deadlines(w);
	look_at_nursery(w);
	return reap(w);
}

void workloads_kill(struct workloads *w)
{
	for (size_t i = 0; i < KEEPER_WORKLOADS_MAX; i++)
		if (w->all[i].state > WORKLOAD_ASKED && w->all[i].pid > 0)
			kill_one(w, &w->all[i]);
	nursery_end(&w->nursery, w->as);
}
