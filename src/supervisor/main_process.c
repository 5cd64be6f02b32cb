#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/util.h"
#include "supervisor/main_process.h"
#include "supervisor/terminal.h"

struct stream_plan main_process_plan(const struct main_spec *spec, enum operator by,
				     const bool terminal[3])
{
	bool interactive = by == OPERATOR_TYPES;
	bool attended = interactive && terminal[0] && terminal[1];
	struct stream_plan plan = {.typed = interactive && terminal[0]};

	if (attended || spec->tty)
		return (struct stream_plan){{STREAM_TTY, STREAM_TTY, STREAM_TTY}, interactive};
	if (by == OPERATOR_ATTACHES)
		return (struct stream_plan){{STREAM_PIPE, STREAM_PIPE, STREAM_PIPE}, false};
	if (plan.typed || (spec->from != MAIN_FROM_ARGV && !interactive))
		plan.stream[0] = STREAM_PIPE;
	else
		plan.stream[0] = terminal[0] ? STREAM_NULL : STREAM_OURS;
	for (int i = 1; i < 3; i++)
		plan.stream[i] = terminal[i] ? STREAM_PIPE : STREAM_OURS;
	return plan;
}

bool main_process_has_terminal(const struct main_process *m)
{
	return m->plan.stream[0] == STREAM_TTY;
}

/* ---- making them ---- */

static int open_terminal(struct main_process *m, uid_t uid, struct err *e)
{
	int like = m->plan.typed && isatty(STDIN_FILENO) ? STDIN_FILENO : -1;

	if (terminal_new(like, &m->ours[1], &m->theirs[0], e) < 0)
		return -1;
	/* as login does; without the right to it, the process can use it all the same */
	if (uid != (uid_t)-1 && fchown(m->theirs[0], uid, (gid_t)-1) < 0 && errno != EPERM)
		return err_sys(e, "give the terminal to %u", uid);
	m->ours[0] = fcntl(m->ours[1], F_DUPFD_CLOEXEC, 3);
	for (int i = 1; i < 3; i++)
		m->theirs[i] = fcntl(m->theirs[0], F_DUPFD_CLOEXEC, 3);
	if (m->ours[0] < 0 || m->theirs[1] < 0 || m->theirs[2] < 0)
		return err_sys(e, "duplicate a descriptor");
	return 0;
}

static int open_pipe(struct main_process *m, int i, struct err *e)
{
	int end[2];
	int ours = i == 0 ? 1 : 0;

	if (pipe2(end, O_CLOEXEC) < 0)
		return err_sys(e, "pipe2");
	m->ours[i] = end[ours];
	m->theirs[i] = end[!ours];
	if (fcntl(m->ours[i], F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, "fcntl");
	return 0;
}

static int open_stream(struct main_process *m, int i, struct err *e)
{
	switch (m->plan.stream[i]) {
	case STREAM_PIPE:
		return open_pipe(m, i, e);
	case STREAM_OURS:
		m->theirs[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
		return m->theirs[i] < 0 ? err_sys(e, "duplicate descriptor %d", i) : 0;
	case STREAM_NULL:
		m->theirs[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		return m->theirs[i] < 0 ? err_sys(e, "open /dev/null") : 0;
	case STREAM_TTY:
		break;
	}
	must(!"all three streams are of the terminal");
	return -1;
}

/* ---- moving bytes ---- */

static void close_at(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void in_ended(struct pump *p)
{
	struct main_process *m = container_of(p, struct main_process, in);

	close_at(&m->ours[0]);
}

static void look_drained(struct main_process *m)
{
	if (m->draining && m->pumping == 0) {
		m->draining = false;
		m->drained(m->owner);
	}
}

static void out_ended(struct main_process *m, int i)
{
	close_at(&m->ours[i + 1]);
	m->pumping--;
	look_drained(m);
}

static void stdout_ended(struct pump *p)
{
	out_ended(container_of(p, struct main_process, out[0]), 0);
}

static void stderr_ended(struct pump *p)
{
	out_ended(container_of(p, struct main_process, out[1]), 1);
}

static int pump_output(struct main_process *m, int i, struct err *e)
{
	m->to[i] = pump_reopen(i + 1);
	if (m->to[i] < 0)
		return err_sys(e, "duplicate descriptor %d", i + 1);
	m->out[i].ended = i == 0 ? stdout_ended : stderr_ended;
	if (pump_start(&m->out[i], m->loop, m->ours[i + 1], m->to[i], e) < 0)
		return -1;
	m->pumping++;
	return 0;
}

static void window_changed(int signo UNUSED, void *arg)
{
	struct main_process *m = arg;

	if (m->ours[1] >= 0)
		terminal_resize(m->ours[1], STDIN_FILENO);
}

static int pump_input(struct main_process *m, struct err *e)
{
	bool terminal = isatty(STDIN_FILENO);

	m->in.ended = in_ended;
	if (pump_start(&m->in, m->loop, STDIN_FILENO, m->ours[0], e) < 0)
		/* a file, or /dev/null, on which nobody types */
		return e->code == EPERM ? 0 : err_wrap(e, "standard input");
	if (!terminal || !main_process_has_terminal(m))
		return 0;
	if (loop_signal(m->loop, SIGWINCH, window_changed, m, e) < 0)
		return -1;
	return terminal_raw(STDIN_FILENO, e);
}

static int open_session(struct main_process *m, struct err *e)
{
	const struct main_session_config config = {
		.loop = m->loop,
		.input = steal_fd(&m->ours[0]),
		.output = steal_fd(&m->ours[1]),
		.errors = steal_fd(&m->ours[2]),
		.terminal = main_process_has_terminal(m),
		.signal = m->signal,
		.drained = m->drained,
		.owner = m->owner,
	};

	return main_session_new(&m->session, &config, e);
}

int main_process_open(struct main_process *m, struct loop *l, const struct main_spec *spec,
		      enum operator by, uid_t uid, struct err *e)
{
	const bool terminal[3] = {isatty(0), isatty(1), isatty(2)};

	m->loop = l;
	m->plan = main_process_plan(spec, by, terminal);
	m->to[0] = m->to[1] = -1;
	for (int i = 0; i < 3; i++)
		m->theirs[i] = m->ours[i] = -1;
	if (main_process_has_terminal(m)) {
		if (open_terminal(m, uid, e) < 0)
			return -1;
	} else {
		for (int i = 0; i < 3; i++)
			if (open_stream(m, i, e) < 0)
				return -1;
	}
	if (by == OPERATOR_ATTACHES)
		return open_session(m, e);
	for (int i = 0; i < 2; i++)
		if (m->ours[i + 1] >= 0 && pump_output(m, i, e) < 0)
			return -1;
	return m->plan.typed ? pump_input(m, e) : 0;
}

void main_process_started(struct main_process *m)
{
	for (int i = 0; i < 3; i++)
		close_at(&m->theirs[i]);
}

void main_process_drain(struct main_process *m, int exit_code)
{
	if (m->session != NULL) {
		main_session_finish(m->session, exit_code);
		return;
	}
	m->draining = true;
	look_drained(m);
}

void main_process_fini(struct main_process *m)
{
	if (m->loop == NULL)
		return;
	main_session_free(m->session);
	m->session = NULL;
	terminal_restore();
	pump_stop(&m->in);
	for (int i = 0; i < 2; i++) {
		pump_stop(&m->out[i]);
		close_at(&m->to[i]);
	}
	for (int i = 0; i < 3; i++) {
		close_at(&m->ours[i]);
		close_at(&m->theirs[i]);
	}
	m->loop = NULL;
}
