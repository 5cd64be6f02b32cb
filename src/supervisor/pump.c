#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "supervisor/pump.h"

/* What a pipe that is ready for writing takes at once for sure (PIPE_BUF). */
enum { WRITE_AT_ONCE = 4096 };

static void run_ended(struct later *l)
{
	struct pump *p = container_of(l, struct pump, later);

	p->ended(p);
}

static void end(struct pump *p)
{
	pump_stop(p);
	loop_later(p->loop, &p->later);
}

/* Waits for what is next: room to write what there is, else something to read. */
static void turn(struct pump *p)
{
	if (p->eof && p->at == p->n) {
		end(p);
		return;
	}
	if (!p->direct)
		loop_set(p->loop, &p->to, p->at < p->n ? EPOLLOUT : 0);
	if (p->from.added)
		loop_set(p->loop, &p->from, p->at < p->n ? 0 : EPOLLIN);
}

static void write_some(struct pump *p)
{
	while (p->at < p->n) {
		ssize_t n =
			write(p->to.fd, p->bytes + p->at, MIN(p->n - p->at, (size_t)WRITE_AT_ONCE));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) { /* nobody is there, or the disk is full: the rest goes nowhere */
			end(p);
			return;
		}
		p->at += (size_t)n;
		if (!p->direct)
			break;
	}
	turn(p);
}

static void source_ended(struct pump *p)
{
	p->eof = true;
	loop_del(p->loop, &p->from);
	turn(p);
}

static void from_ready(struct source *s, uint32_t events)
{
	struct pump *p = container_of(s, struct pump, from);

	if (p->at <
	    p->n) { /* a hang-up, told although it was not asked for: read when there is room */
		if (events & (EPOLLHUP | EPOLLERR))
			loop_del(p->loop, s);
		return;
	}
	ssize_t n = read(s->fd, p->bytes, sizeof p->bytes);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* a terminal without programs reads EIO */
		source_ended(p);
		return;
	}
	p->at = 0;
	p->n = (size_t)n;
	write_some(p);
}

static void to_ready(struct source *s, uint32_t events)
{
	struct pump *p = container_of(s, struct pump, to);
	struct err ignored;

	if (p->at == p->n && (events & (EPOLLHUP | EPOLLERR))) {
		end(p);
		return;
	}
	write_some(p);
	/* a source that hung up while there was no room has bytes left, perhaps */
	if (p->to.added && p->at == p->n && !p->eof && !p->from.added &&
	    loop_add(p->loop, &p->from, EPOLLIN, &ignored) < 0)
		source_ended(p);
}

int pump_start(struct pump *p, struct loop *l, int from, int to, struct err *e)
{
	struct stat st;

	p->loop = l;
	p->later.run = run_ended;
	p->from = (struct source){.fd = from, .ready = from_ready, .name = "pump, from"};
	p->to = (struct source){.fd = to, .ready = to_ready, .name = "pump, to"};
	p->at = p->n = 0;
	p->eof = false;
	p->direct = fstat(to, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
	if (loop_add(l, &p->from, EPOLLIN, e) < 0)
		return -1;
	if (p->direct)
		return 0;
	/* /dev/null and its like cannot be waited for, and need not be */
	if (loop_add(l, &p->to, 0, e) < 0) {
		if (e->code != EPERM) {
			loop_del(l, &p->from);
			return -1;
		}
		p->direct = true;
	}
	return 0;
}

void pump_stop(struct pump *p)
{
	if (p->loop == NULL)
		return;
	loop_del(p->loop, &p->from);
	loop_del(p->loop, &p->to);
	loop_later_cancel(&p->later);
}

int pump_reopen(int fd)
{
	char path[40];
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (flags >= 0 && fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))) {
		int fresh = open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fresh >= 0)
			return fresh;
	}
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}
