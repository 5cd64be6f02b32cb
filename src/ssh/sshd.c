/* The supervisor's side of its sshd: makes the socket, forks D, hears of sessions. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "net/fdpass.h"
#include "net/unix_address.h"
#include "ssh/sshd_impl.h"

enum {
	HELLO_MS = 5000,
	END_MS = 1000,
	BACKLOG = 64,
	TURN_MAX = 16, /* sessions that are heard of in one turn of the loop */
};

struct sshd {
	pid_t pid; /* 0: gone */
	int channel;
	struct unix_path at;
	struct source source;
	struct loop *loop; /* NULL: not attached */
	const struct sshd_events *events;
	void *owner;
};

/* ---- the socket ---- */

/* Where there is no file there is no mode either: whom it serves is decided by the peer (sshd_events). */
static int listen_abstract(const char *name, struct err *e)
{
	struct unix_address at;

	if (unix_address(&at, name, e) < 0)
		return err_wrap(e, "ssh socket");
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&at.sa, at.n) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return err_sys(e, "ssh socket '%s'", name);
	return steal_fd(&fd);
}

static int make_listener(struct sshd *s, const char *socket, struct err *e)
{
	int fd;

	if (socket[0] == '@')
		return listen_abstract(socket, e);
	if (unix_listen(&fd, &s->at, "ssh socket", socket, UNIX_OWNER, e) < 0)
		return -1;
	return fd;
}

/* ---- its start ---- */

static int hear_hello(struct sshd *s, struct err *e)
{
	struct sshd_hello hello;
	_cleanup_fdpass_ struct fdpass fds = {.n = 0};
	ssize_t n = fdpass_receive_within(s->channel, &hello, sizeof hello, &fds, HELLO_MS);

	if (n < 0)
		return err_sys(e, "hear of the sshd");
	if (n != sizeof hello)
		return err_set(e, ECONNRESET, "the sshd ended while it was made");
	if (hello.failed.code == 0)
		return 0;
	*e = hello.failed;
	return err_wrap(e, "sshd");
}

static int start(struct sshd *s, const struct sshd_config *c, struct err *e)
{
	pid_t self = getpid();
	int pair[2];

	_cleanup_close_ int listener = make_listener(s, c->socket, e);
	if (listener < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_sys(e, "socketpair");
	_cleanup_close_ int theirs = pair[1];
	s->channel = pair[0];
	s->pid = fork();
	if (s->pid == 0)
		sshd_live(c, listener, theirs, self);
	if (s->pid < 0) {
		s->pid = 0;
		return err_sys(e, "fork the sshd");
	}
	close(steal_fd(&theirs));
	return hear_hello(s, e);
}

int sshd_start(struct sshd **out, const struct sshd_config *config, struct err *e)
{
	struct sshd *s = xcalloc(1, sizeof *s);

	s->channel = -1;
	if (start(s, config, e) < 0) {
		sshd_free(s);
		return -1;
	}
	*out = s;
	return 0;
}

pid_t sshd_pid(const struct sshd *s)
{
	return s->pid;
}

/* ---- its end ---- */

/* Waits for it, that long. False when it is there still. */
static bool await_end(pid_t pid, int ms)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	int64_t end = mono_ms() + ms;

	for (;;) {
		pid_t r = waitpid(pid, NULL, WNOHANG);

		/* ECHILD: somebody else has reaped it */
		if (r == pid || (r < 0 && errno != EINTR))
			return true;
		if (mono_ms() >= end)
			return false;
		nanosleep(&pause, NULL);
	}
}

/* It ends when its channel does, and its sessions with it. */
static void bury(struct sshd *s)
{
	if (s->channel >= 0)
		close(steal_fd(&s->channel));
	if (s->pid > 0 && !await_end(s->pid, END_MS)) {
		kill(s->pid, SIGKILL);
		await_end(s->pid, END_MS);
	}
	s->pid = 0;
	unix_path_remove(&s->at);
}

void sshd_free(struct sshd *s)
{
	if (!s)
		return;
	if (s->loop)
		loop_del(s->loop, &s->source);
	bury(s);
	free(s);
}

/* ---- its sessions ---- */

static void is_gone(struct sshd *s, const struct err *why)
{
	loop_del(s->loop, &s->source);
	bury(s);
	s->events->gone(s->owner, why);
}

/* In order: with descriptors, unless it has none to have. */
static bool is_session(const struct sshd_session *session, ssize_t n, const struct fdpass *fds)
{
	if (n != sizeof *session)
		return false;
	return fds->lost || (session->full ? fds->n == 0 : fds->n == 1 || fds->n == 2);
}

/* False: nothing more is to be heard now. */
static bool hear(struct sshd *s)
{
	struct sshd_session session;
	_cleanup_fdpass_ struct fdpass fds = {.n = 0};
	ssize_t n = fdpass_receive(s->channel, &session, sizeof session, &fds);
	struct err e;

	if (n < 0 && errno == EAGAIN)
		return false;
	if (!is_session(&session, n, &fds)) {
		if (n > 0)
			err_set(&e, EPROTO, "the sshd sent %zd bytes that are no message", n);
		else
			err_set(&e, ECONNRESET, "the sshd is gone");
		is_gone(s, &e);
		return false;
	}
	/* without room for its descriptors the session finds its pair closed, and ends */
	if (session.full)
		s->events->full(s->owner);
	else if (fds.n > 0)
		s->events->session(s->owner, fdpass_take(&fds, 0), &session.peer,
				   fds.n == 2 ? fds.fd[1] : -1);
	return true;
}

static void ready(struct source *source, uint32_t events UNUSED)
{
	struct sshd *s = container_of(source, struct sshd, source);

	for (int i = 0; i < TURN_MAX && hear(s); i++)
		;
}

int sshd_attach(struct sshd *s, struct loop *l, const struct sshd_events *events, void *owner,
		struct err *e)
{
	s->source = (struct source){.fd = s->channel, .ready = ready, .name = "sshd"};
	if (loop_add(l, &s->source, EPOLLIN, e) < 0)
		return -1;
	s->loop = l;
	s->events = events;
	s->owner = owner;
	return 0;
}
