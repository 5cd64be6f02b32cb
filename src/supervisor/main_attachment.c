#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "supervisor/main_session_impl.h"
#include "supervisor/terminal.h"

enum {
	MESSAGES_AT_ONCE = 64, /* to one attachment, before others have their turn */
	NOTICE_MAX = 160,
};

static struct loop *loop_of(const struct attachment *a)
{
	return a->session->c.loop;
}

static void run_free(struct later *l)
{
	free(container_of(l, struct attachment, later));
}

void attachment_end(struct attachment *a)
{
	struct main_session *s = a->session;

	if (s->writer == a)
		s->writer = NULL;
	timer_stop(loop_of(a), &a->timer);
	loop_del(loop_of(a), &a->source);
	close(a->source.fd);
	list_del(&a->link);
	s->n_attachments--;
	main_session_look(s);
	loop_later(loop_of(a), &a->later);
}

/* 1: sent, 0: there is no room, -1: nobody is there any more. */
static int send_message(const struct attachment *a, char kind, const void *p, size_t n)
{
	char message[1 + ATTACHMENT_BYTES];
	ssize_t r;

	must(n <= ATTACHMENT_BYTES);
	message[0] = kind;
	memcpy(message + 1, p, n);
	do {
		r = send(a->source.fd, message, n + 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (r < 0 && errno == EINTR);
	if (r >= 0)
		return 1;
	return errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
}

/* ---- what was written ---- */

bool attachment_holds_up(const struct attachment *a)
{
	return a->state == ATTACHMENT_LIVE &&
	       output_ring_left(&a->session->ring, &a->at) > OUTPUT_RING_BYTES / 2;
}

/* What it waits for. */
static void turn(struct attachment *a)
{
	struct main_session *s = a->session;
	bool reads = s->writer != a || main_session_takes_input(s);
	bool left = a->state == ATTACHMENT_FALLEN ||
		    (a->state == ATTACHMENT_LIVE &&
		     (output_ring_left(&s->ring, &a->at) > 0 || main_session_is_over(s)));

	loop_set(loop_of(a), &a->source, (reads ? EPOLLIN : 0u) | (left ? EPOLLOUT : 0u));
	if (a->state == ATTACHMENT_LIVE && !attachment_holds_up(a))
		timer_stop(loop_of(a), &a->timer);
	else if (a->state == ATTACHMENT_LIVE && !timer_armed(&a->timer))
		timer_set(loop_of(a), &a->timer, MAIN_STALL_MS);
}

static void say_fallen(struct attachment *a)
{
	char text[NOTICE_MAX];
	int n = snprintf(text, sizeof text,
			 "openshell: attachment fell behind by %llu output chunks; reconnect for "
			 "buffered output",
			 (unsigned long long)a->missed);

	if (send_message(a, ATTACHMENT_NOTICE, text, (size_t)n) != 0)
		attachment_end(a);
	else
		turn(a);
}

static void fall(struct attachment *a)
{
	struct main_session *s = a->session;

	a->missed = output_ring_records_left(&s->ring, &a->at);
	a->state = ATTACHMENT_FALLEN;
	if (s->writer == a)
		s->writer = NULL;
	timer_set(loop_of(a), &a->timer, MAIN_NOTICE_MS);
	main_session_look(s);
	say_fallen(a);
}

static void too_late(struct timer *t)
{
	struct attachment *a = container_of(t, struct attachment, timer);

	if (a->state == ATTACHMENT_LIVE)
		fall(a);
	else
		attachment_end(a);
}

/* The next message of what was written. As send_message; also 0 when there is nothing more. */
static int send_output(struct attachment *a)
{
	struct output_cursor next = a->at;
	char bytes[OUTPUT_RECORD_MAX], stream = 0;
	size_t n = output_ring_read(&a->session->ring, &next, &stream, bytes);
	int r = n > 0 ? send_message(a, stream, bytes, n) : 0;

	if (r > 0) {
		a->at = next;
		if (timer_armed(&a->timer))
			timer_set(loop_of(a), &a->timer, MAIN_STALL_MS);
	}
	return r;
}

static int send_exit(struct attachment *a)
{
	int32_t code = a->session->exit_code;
	int r = send_message(a, ATTACHMENT_EXIT, &code, sizeof code);

	if (r > 0)
		a->state = ATTACHMENT_TOLD;
	return r;
}

void attachment_flush(struct attachment *a)
{
	struct main_session *s = a->session;
	int r = 1;

	if (a->state == ATTACHMENT_FALLEN) {
		say_fallen(a);
		return;
	}
	if (a->state == ATTACHMENT_LIVE && output_ring_missed(&s->ring, &a->at) > 0) {
		fall(a);
		return;
	}
	for (int i = 0; i < MESSAGES_AT_ONCE && a->state == ATTACHMENT_LIVE && r > 0; i++)
		r = send_output(a);
	if (r == 0 && main_session_is_over(s) && output_ring_left(&s->ring, &a->at) == 0)
		r = send_exit(a);
	if (r < 0)
		attachment_end(a);
	else
		turn(a);
	main_session_look(s);
}

/* ---- what the client wants ---- */

static bool may_signal(int signo)
{
	/* contract 3.8 */
	return signo == SIGHUP || signo == SIGINT || signo == SIGKILL || signo == SIGQUIT ||
	       signo == SIGTERM;
}

static void resize(const struct main_session *s, uint16_t rows, uint16_t columns)
{
	if (s->c.terminal && s->output.fd >= 0 && (rows != 0 || columns != 0))
		terminal_set_size(s->output.fd, MAX(rows, (uint16_t)1), MAX(columns, (uint16_t)1));
}

/* A message of the client's, which is in order or not. Only who has the input says something that counts. */
static bool handle(struct attachment *a, const char *p, size_t n)
{
	struct main_session *s = a->session;
	bool writes = s->writer == a;
	uint16_t size[2];
	int32_t signo;

	switch (p[0]) {
	case ATTACHMENT_INPUT:
		if (writes && n > 1)
			main_session_input(s, p + 1, n - 1);
		return true;
	case ATTACHMENT_SIZE:
		if (n != 1 + sizeof size)
			return false;
		memcpy(size, p + 1, sizeof size);
		if (writes)
			resize(s, size[0], size[1]);
		return true;
	case ATTACHMENT_SIGNAL:
		if (n != 1 + sizeof signo)
			return false;
		memcpy(&signo, p + 1, sizeof signo);
		if (writes && may_signal(signo))
			s->c.signal(s->c.owner, signo);
		return true;
	default:
		return false;
	}
}

void attachment_take(struct attachment *a)
{
	char message[1 + ATTACHMENT_BYTES];
	/* MSG_TRUNC: how long it really is */
	ssize_t n = recv(a->source.fd, message, sizeof message, MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		turn(a);
		return;
	}
	if (n <= 0 || (size_t)n > sizeof message || !handle(a, message, (size_t)n))
		attachment_end(a);
	else
		turn(a);
}

static void ready(struct source *source, uint32_t events)
{
	struct attachment *a = container_of(source, struct attachment, source);
	bool takes = a->session->writer != a || main_session_takes_input(a->session);

	if (events & EPOLLOUT)
		attachment_flush(a);
	if (!a->source.added)
		return;
	if (events & EPOLLIN && takes)
		attachment_take(a);
	else if (events & (EPOLLHUP | EPOLLERR))
		attachment_end(a);
}

/* ---- a new one ---- */

/* Who reads only is told why, unless that is what was asked for. */
static void lease(struct attachment *a, const struct main_attach *how)
{
	/* "already has an input owner" is looked for by the peers' tests */
	static const char taken[] =
		"openshell: the main process already has an input owner; attached read-only";
	struct main_session *s = a->session;

	if (how->read_only || s->finished)
		return;
	if (s->writer != NULL) {
		send_message(a, ATTACHMENT_NOTICE, taken, sizeof taken - 1);
		return;
	}
	s->writer = a;
	resize(s, how->rows, how->columns);
}

int main_session_attach(struct main_session *s, const struct main_attach *how, int *out,
			struct err *e)
{
	int pair[2];

	if (s->n_attachments >= MAIN_ATTACHMENTS_MAX)
		return err_set(e, EAGAIN, "%d clients are attached to the main process",
			       MAIN_ATTACHMENTS_MAX);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_sys(e, "socketpair");
	struct attachment *a = xcalloc(1, sizeof *a);
	a->session = s;
	a->source = (struct source){.fd = pair[0], .ready = ready, .name = "attachment"};
	a->at = output_ring_oldest(&s->ring);
	a->timer.fire = too_late;
	a->later.run = run_free;
	if (loop_add(s->c.loop, &a->source, EPOLLIN, e) < 0) {
		close(pair[0]);
		close(pair[1]);
		free(a);
		return -1;
	}
	list_add(&s->attachments, &a->link);
	s->n_attachments++;
	*out = pair[1];
	lease(a, how);
	attachment_flush(a);
	return 0;
}
