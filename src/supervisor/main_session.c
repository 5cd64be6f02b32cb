#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/util.h"
#include "supervisor/main_session_impl.h"

static void close_source(struct main_session *s, struct source *source)
{
	if (source->fd < 0)
		return;
	loop_del(s->c.loop, source);
	close(source->fd);
	source->fd = -1;
}

/* ---- what it writes ---- */

static void flush_all(struct main_session *s)
{
	for (size_t i = 0; i < ARRAY_LEN(s->log); i++)
		main_log_flush(&s->log[i]);
	list_each(a, &s->attachments, struct attachment, link) {
		attachment_flush(a);
	}
	main_session_look(s);
}

static void read_some(struct main_session *s, struct source *source, char stream)
{
	char bytes[OUTPUT_RECORD_MAX];
	ssize_t n = read(source->fd, bytes, sizeof bytes);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) /* a terminal without programs reads EIO */
		close_source(s, source);
	else
		output_ring_add(&s->ring, stream, bytes, (size_t)n);
	flush_all(s);
}

static void output_ready(struct source *source, uint32_t events UNUSED)
{
	read_some(container_of(source, struct main_session, output), source, ATTACHMENT_OUTPUT);
}

static void errors_ready(struct source *source, uint32_t events UNUSED)
{
	read_some(container_of(source, struct main_session, errors), source, ATTACHMENT_ERRORS);
}

/* A source is taken off and not only told nothing, since a hang-up is told to each. */
static void set_reading(struct main_session *s, struct source *source, bool on)
{
	struct err ignored;

	if (source->fd < 0 || source->added == on)
		return;
	if (!on)
		loop_del(s->c.loop, source);
	else if (loop_add(s->c.loop, source, EPOLLIN, &ignored) < 0)
		close_source(s, source);
}

static bool is_through(const struct main_session *s)
{
	if (!main_session_is_over(s) || !main_log_is_through(&s->log[0]) ||
	    !main_log_is_through(&s->log[1]))
		return false;
	list_each(a, &s->attachments, struct attachment, link) {
		if (a->state != ATTACHMENT_TOLD)
			return false;
	}
	return true;
}

static void look(struct later *l)
{
	struct main_session *s = container_of(l, struct main_session, look_later);
	bool hold = main_log_holds_up(&s->log[0]) || main_log_holds_up(&s->log[1]);

	list_each(a, &s->attachments, struct attachment, link) {
		hold = hold || attachment_holds_up(a);
	}
	s->paused = hold;
	set_reading(s, &s->output, !hold);
	set_reading(s, &s->errors, !hold);
	if (!s->drained && is_through(s)) {
		s->drained = true;
		s->c.drained(s->c.owner);
	}
}

void main_session_look(struct main_session *s)
{
	loop_later(s->c.loop, &s->look_later);
}

/* ---- what is typed for it ---- */

bool main_session_takes_input(const struct main_session *s)
{
	return s->typed_done == s->typed_n;
}

static void write_typed(struct main_session *s)
{
	while (s->typed_done < s->typed_n) {
		ssize_t n = s->input.fd < 0 ? (errno = EPIPE, -1)
					    : write(s->input.fd, s->typed + s->typed_done,
						    s->typed_n - s->typed_done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) { /* it has closed its stdin: nobody will read this */
			close_source(s, &s->input);
			s->typed_done = s->typed_n;
			break;
		}
		s->typed_done += (size_t)n;
	}
	if (s->input.fd >= 0)
		loop_set(s->c.loop, &s->input, s->typed_done < s->typed_n ? EPOLLOUT : 0);
}

void main_session_input(struct main_session *s, const char *p, size_t n)
{
	must(main_session_takes_input(s) && n <= sizeof s->typed);
	for (size_t i = 0; i < n; i++)
		s->typed[i] = p[i];
	s->typed_done = 0;
	s->typed_n = n;
	write_typed(s);
}

static void input_ready(struct source *source, uint32_t events)
{
	struct main_session *s = container_of(source, struct main_session, input);

	if (s->typed_done == s->typed_n && (events & (EPOLLHUP | EPOLLERR)))
		close_source(s, source);
	else
		write_typed(s);
	if (main_session_takes_input(s) && s->writer != NULL)
		attachment_take(s->writer);
}

/* ---- its life ---- */

void main_session_finish(struct main_session *s, int exit_code)
{
	s->finished = true;
	s->exit_code = exit_code;
	flush_all(s);
}

static int open_all(struct main_session *s, struct err *e)
{
	if (output_ring_init(&s->ring, e) < 0 ||
	    main_log_open(&s->log[0], s, STDOUT_FILENO, ATTACHMENT_OUTPUT, e) < 0 ||
	    main_log_open(&s->log[1], s, STDERR_FILENO, ATTACHMENT_ERRORS, e) < 0 ||
	    loop_add(s->c.loop, &s->output, EPOLLIN, e) < 0 ||
	    loop_add(s->c.loop, &s->input, 0, e) < 0)
		return -1;
	return s->errors.fd < 0 ? 0 : loop_add(s->c.loop, &s->errors, EPOLLIN, e);
}

int main_session_new(struct main_session **out, const struct main_session_config *c, struct err *e)
{
	struct main_session *s = xcalloc(1, sizeof *s);

	s->c = *c;
	s->look_later.run = look;
	list_init(&s->attachments);
	s->output = (struct source){
		.fd = c->output, .ready = output_ready, .name = "main process, output"};
	s->errors = (struct source){
		.fd = c->errors, .ready = errors_ready, .name = "main process, errors"};
	s->input = (struct source){
		.fd = c->input, .ready = input_ready, .name = "main process, input"};
	if (open_all(s, e) < 0) {
		main_session_free(s);
		return -1;
	}
	*out = s;
	return 0;
}

void main_session_free(struct main_session *s)
{
	if (s == NULL)
		return;
	list_each(a, &s->attachments, struct attachment, link) {
		attachment_end(a);
	}
	close_source(s, &s->output);
	close_source(s, &s->errors);
	close_source(s, &s->input);
	for (size_t i = 0; i < ARRAY_LEN(s->log); i++)
		main_log_close(&s->log[i]);
	loop_later_cancel(&s->look_later);
	output_ring_fini(&s->ring);
	free(s);
}
