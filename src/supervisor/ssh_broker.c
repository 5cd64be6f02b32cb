#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "supervisor/ssh_broker_impl.h"
#include "supervisor/ssh_peer.h"
#include "supervisor/tell.h"

/* ---- ends ---- */

static struct loop *loop_of(const struct session *s)
{
	return s->broker->c.loop;
}

static void run_free_channel(struct later *l)
{
	free(container_of(l, struct channel, later));
}

static void run_free_session(struct later *l)
{
	free(container_of(l, struct session, later));
}

static void look_drained(struct ssh_broker *b)
{
	if (b->draining)
		loop_later(b->c.loop, &b->drain_later);
}

void ssh_channel_close_streams(struct channel *ch)
{
	for (int i = 0; i < 3; i++) {
		cleanup_closep(&ch->ours[i]);
		cleanup_closep(&ch->theirs[i]);
		ch->ours[i] = ch->theirs[i] = -1;
	}
}

static void hang_up(const struct channel *ch)
{
	struct keeper *k = broker_of(ch)->c.keeper;
	struct err ignored; /* the keeper does not read: it is about to be ended */

	if (ch->state == CHANNEL_RUNNING && ch->terminal && k != NULL)
		keeper_signal(k, ch->pid, SIGHUP, &ignored);
}

static void end_channel(struct channel *ch)
{
	struct session *s = ch->session;

	hang_up(ch);
	keeper_cancel(&ch->call);
	inside_dial_cancel(&ch->dial);
	ssh_channel_close_streams(ch);
	list_del(&ch->link);
	s->n_channels--;
	loop_later(loop_of(s), &ch->later);
	look_drained(s->broker);
}

static void end_session(struct session *s)
{
	if (!s->source.added)
		return;
	list_each(ch, &s->channels, struct channel, link) {
		end_channel(ch);
	}
	loop_del(loop_of(s), &s->source);
	close(s->source.fd);
	list_del(&s->link);
	s->broker->n_sessions--;
	loop_later(loop_of(s), &s->later);
	look_drained(s->broker);
}

static void fail_session(struct session *s, const char *why)
{
	tell_ssh_failed(s->broker->c.events, why);
	end_session(s);
}

/* ---- answers ---- */

/* One that does not read what it is told, so that there is no room for more, is ended. */
static bool answer(struct session *s, const struct ssh_packet *p, const int *fds, size_t n)
{
	if (fdpass_send(s->source.fd, p, sizeof *p, fds, n) == 0)
		return true;
	fail_session(s, errno == EAGAIN ? "the session does not read what it is told"
					: strerror(errno));
	return false;
}

bool ssh_channel_started(struct channel *ch, const int *fds, size_t n)
{
	const struct ssh_packet p = {.message = SSH_STARTED, .channel = ch->id};

	return answer(ch->session, &p, fds, n);
}

void ssh_channel_refused(struct channel *ch, const struct err *why)
{
	struct ssh_packet p = {
		.message = SSH_REFUSED, .channel = ch->id, .refused = {.code = why->code}};

	snprintf(p.refused.why, sizeof p.refused.why, "%.*s", (int)sizeof p.refused.why - 1,
		 why->text);
	if (answer(ch->session, &p, NULL, 0))
		end_channel(ch);
}

void ssh_channel_over(struct channel *ch, int status)
{
	const struct ssh_packet p = {.message = SSH_EXITED, .channel = ch->id, .status = status};

	ch->state = CHANNEL_OVER;
	answer(ch->session, &p, NULL, 0);
}

/* ---- what they ask ---- */

static struct channel *find(const struct session *s, uint32_t id)
{
	list_each(ch, &s->channels, struct channel, link) {
		if (ch->id == id)
			return ch;
	}
	return NULL;
}

static struct channel *new_channel(struct session *s, uint32_t id)
{
	struct channel *ch = xcalloc(1, sizeof *ch);

	ch->session = s;
	ch->id = id;
	ch->later.run = run_free_channel;
	for (int i = 0; i < 3; i++)
		ch->ours[i] = ch->theirs[i] = -1;
	list_add(&s->channels, &ch->link);
	s->n_channels++;
	return ch;
}

static int ask_program(struct channel *ch, const struct ssh_packet *p, struct fdpass *fds,
		       struct err *e)
{
	return ssh_program_start(ch, p, fds, e);
}

static int ask_connect(struct channel *ch, const struct ssh_packet *p, struct fdpass *fds UNUSED,
		       struct err *e)
{
	int r = ssh_inside_connect(ch, p, e);

	if (r < 0 && e->code == EACCES)
		tell_ssh_refused(broker_of(ch)->c.events, e->text);
	return r;
}

static int ask_main(struct channel *ch, const struct ssh_packet *p, struct fdpass *fds UNUSED,
		    struct err *e)
{
	const struct main_attach how = {.read_only = p->start.read_only != 0,
					.rows = p->start.rows,
					.columns = p->start.columns};
	_cleanup_close_ int fd = -1;

	if (broker_of(ch)->c.main == NULL)
		return err_set(e, ENOTSUP, "the main process is on the supervisor's own terminal");
	if (main_session_attach(broker_of(ch)->c.main, &how, &fd, e) < 0)
		return -1;
	ch->state = CHANNEL_ATTACHED;
	ssh_channel_started(ch, &fd, 1);
	return 0;
}

static int ask_subsystem(struct channel *ch, const struct ssh_packet *p, struct fdpass *fds UNUSED,
			 struct err *e)
{
	err_set(e, ENOENT, "there is no subsystem '%s'", p->subsystem);
	tell_ssh_refused(broker_of(ch)->c.events, e->text);
	return -1;
}

static void ask_signal(struct session *s, const struct ssh_packet *p)
{
	const struct channel *ch = find(s, p->channel);
	struct err e;

	if (ch != NULL && ch->state == CHANNEL_RUNNING && s->broker->c.keeper != NULL &&
	    keeper_signal(s->broker->c.keeper, ch->pid, p->signo, &e) < 0)
		log_warn("a signal of an SSH client was not sent", "signal=%d reason=%s", p->signo,
			 e.text);
}

static void ask_close(struct session *s, const struct ssh_packet *p)
{
	struct channel *ch = find(s, p->channel);

	if (ch != NULL)
		end_channel(ch);
}

/* A text of a packet that ends within it. */
#define ENDS(member) (memchr((member), 0, sizeof(member)) != NULL)

static bool is_start(const struct ssh_packet *p)
{
	return ENDS(p->start.term) && p->start.text_n == 0;
}

static bool is_exec(const struct ssh_packet *p)
{
	return ENDS(p->start.term) && p->start.text_n <= SSH_TEXT_MAX;
}

static bool is_connect(const struct ssh_packet *p)
{
	return ENDS(p->connect.host);
}

static bool is_subsystem(const struct ssh_packet *p)
{
	return ENDS(p->subsystem);
}

static bool is_signal(const struct ssh_packet *p)
{
	return p->signo > 0 && p->signo < NSIG;
}

static bool is_close(const struct ssh_packet *p UNUSED)
{
	return true;
}

/* All that a session may send. One of `start` and `act`: what begins a channel, and what is about one. */
static const struct row {
	const char *name;
	size_t fds;
	bool (*in_order)(const struct ssh_packet *p);
	int (*start)(struct channel *ch, const struct ssh_packet *p, struct fdpass *fds,
		     struct err *e);
	void (*act)(struct session *s, const struct ssh_packet *p);
} rows[] = {
	[SSH_SHELL] = {"shell", 0, is_start, .start = ask_program},
	[SSH_EXEC] = {"exec", 1, is_exec, .start = ask_program},
	[SSH_SFTP] = {"sftp", 0, is_start, .start = ask_program},
	[SSH_MAIN] = {"main", 0, is_start, .start = ask_main},
	[SSH_CONNECT] = {"connect", 0, is_connect, .start = ask_connect},
	[SSH_SUBSYSTEM] = {"subsystem", 0, is_subsystem, .start = ask_subsystem},
	[SSH_SIGNAL] = {"signal", 0, is_signal, .act = ask_signal},
	[SSH_CLOSE] = {"close", 0, is_close, .act = ask_close},
};

static int check(const struct session *s, const struct ssh_packet *p, size_t n,
		 const struct fdpass *fds, struct err *e)
{
	if (n != sizeof *p)
		return err_set(e, EPROTO, "the session sent a message of %zu bytes", n);
	if (p->message >= ARRAY_LEN(rows) || rows[p->message].in_order == NULL)
		return err_set(e, EPROTO, "the session sent message %u, which is not its to send",
			       p->message);
	const struct row *r = &rows[p->message];
	if (!fds->lost && fds->n != r->fds)
		return err_set(e, EPROTO, "the session sent message %s with %zu descriptors",
			       r->name, fds->n);
	if (!r->in_order(p))
		return err_set(e, EPROTO, "the session sent a message %s that is not in order",
			       r->name);
	if (r->start != NULL && find(s, p->channel) != NULL)
		return err_set(e, EPROTO, "the session opened channel %u twice", p->channel);
	return 0;
}

static void begin(struct session *s, const struct ssh_packet *p, struct fdpass *fds)
{
	bool full = s->n_channels >= SSH_CHANNELS_MAX;
	struct channel *ch = new_channel(s, p->channel);
	struct err e;
	int r;

	if (full)
		r = err_set(&e, EAGAIN, "%d channels are open", SSH_CHANNELS_MAX);
	else if (fds->lost)
		r = err_set(&e, EMFILE, "the supervisor has no room for descriptors");
	else if (s->broker->c.keeper == NULL && p->message != SSH_MAIN)
		r = err_set(&e, ESHUTDOWN, "the sandbox has ended");
	else
		r = rows[p->message].start(ch, p, fds, &e);
	if (r < 0)
		ssh_channel_refused(ch, &e);
}

static void ready(struct source *source, uint32_t events UNUSED)
{
	struct session *s = container_of(source, struct session, source);
	_cleanup_fdpass_ struct fdpass fds = {.n = 0};
	struct ssh_packet p;
	struct err e;

	ssize_t n = fdpass_receive(source->fd, &p, sizeof p, &fds);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n == 0 || (n < 0 && errno == ECONNRESET)) {
		end_session(s);
		return;
	}
	if (n < 0)
		err_sys(&e, "read from the session");
	if (n < 0 || check(s, &p, (size_t)n, &fds, &e) < 0) {
		fail_session(s, e.text);
		return;
	}
	if (rows[p.message].act != NULL)
		rows[p.message].act(s, &p);
	else
		begin(s, &p, &fds);
}

/* ---- sessions ---- */

static int add(struct ssh_broker *b, int fd, const struct unix_peer *peer, int pidfd, struct err *e)
{
	const struct ssh_packet p = {.message = SSH_BEGIN};

	if (b->n_sessions >= SSHD_SESSIONS_MAX)
		return err_set(e, EAGAIN, "%d clients are connected", SSHD_SESSIONS_MAX);
	if (b->c.keeper != NULL &&
	    ssh_peer_check(peer, pidfd, keeper_pid(b->c.keeper), b->c.sshd, e) < 0)
		return -1;
	struct session *s = xcalloc(1, sizeof *s);
	s->broker = b;
	s->source = (struct source){.fd = fd, .ready = ready, .name = "ssh session"};
	s->later.run = run_free_session;
	list_init(&s->channels);
	if (loop_add(b->c.loop, &s->source, EPOLLIN, e) < 0) {
		free(s);
		return -1;
	}
	list_add(&b->sessions, &s->link);
	b->n_sessions++;
	tell_ssh_open(b->c.events, peer->pid);
	answer(s, &p, NULL, 0);
	return 0;
}

void ssh_broker_add(struct ssh_broker *b, int fd, const struct unix_peer *peer, int pidfd)
{
	struct err e;

	if (add(b, fd, peer, pidfd, &e) == 0)
		return;
	tell_ssh_refused(b->c.events, e.text);
	close(fd);
}

void ssh_broker_exited(struct ssh_broker *b, pid_t pid, int status)
{
	list_each(s, &b->sessions, struct session, link) {
		list_each(ch, &s->channels, struct channel, link) {
			if (ch->state == CHANNEL_RUNNING && ch->pid == pid) {
				ssh_channel_over(ch, status);
				return;
			}
		}
	}
}

static void end_program(struct channel *ch)
{
	struct err e;

	if (ch->state == CHANNEL_RUNNING) {
		ssh_channel_over(ch, SIGKILL); /* as waitpid says it */
	} else if (ch->state == CHANNEL_STARTING || ch->state == CHANNEL_CONNECTING) {
		err_set(&e, ESHUTDOWN, "the sandbox has ended");
		keeper_cancel(&ch->call);
		inside_dial_cancel(&ch->dial);
		ssh_channel_refused(ch, &e);
	}
}

void ssh_broker_keeper_ends(struct ssh_broker *b)
{
	b->c.keeper = NULL;
	list_each(s, &b->sessions, struct session, link) {
		list_each(ch, &s->channels, struct channel, link) {
			if (!s->source.added) /* it has ended meanwhile, and has no channels */
				break;
			end_program(ch);
		}
	}
}

static void run_drained(struct later *l)
{
	struct ssh_broker *b = container_of(l, struct ssh_broker, drain_later);

	list_each(s, &b->sessions, struct session, link) {
		list_each(ch, &s->channels, struct channel, link) {
			if (ch->state == CHANNEL_OVER || ch->state == CHANNEL_ATTACHED)
				return;
		}
	}
	b->draining = false;
	b->c.drained(b->c.owner);
}

void ssh_broker_drain(struct ssh_broker *b)
{
	b->draining = true;
	look_drained(b);
}

struct ssh_broker *ssh_broker_new(const struct ssh_broker_config *c)
{
	struct ssh_broker *b = xcalloc(1, sizeof *b);

	b->c = *c;
	b->drain_later.run = run_drained;
	list_init(&b->sessions);
	return b;
}

void ssh_broker_free(struct ssh_broker *b)
{
	if (b == NULL)
		return;
	b->draining = false;
	list_each(s, &b->sessions, struct session, link) {
		end_session(s);
	}
	loop_later_cancel(&b->drain_later);
	free(b);
}
