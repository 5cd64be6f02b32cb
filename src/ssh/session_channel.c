/* A session's channels: what the client asks for, what the supervisor makes of it, and how they end. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "base/util.h"
#include "ssh/session_impl.h"

enum { CODE_SIGNALLED = 128, CODE_NOT_FOUND = 127, CODE_NOT_EXECUTABLE = 126, CODE_OTHER = 1 };

/* ---- asking ---- */

static void ask(struct channel *c, struct ssh_packet *p, int fd)
{
	c->number = ++c->session->last_number;
	c->state = CHANNEL_ASKED;
	p->channel = c->number;
	session_ask(c->session, p, fd);
}

/* What shell, exec and the subsystems have in common. */
static int start(struct channel *c, enum ssh_message what, struct str command)
{
	struct ssh_packet p = {.message = what};

	if (c->state != CHANNEL_OPEN)
		return SSH_ERROR;
	p.start.text_n = (uint32_t)command.n;
	p.start.terminal = c->terminal;
	p.start.read_only = c->read_only;
	p.start.rows = c->rows;
	p.start.columns = c->columns;
	memcpy(p.start.term, c->term, sizeof p.start.term);
	_cleanup_close_ int text = -1;
	if (command.n > 0) {
		text = memfd_create("command", MFD_CLOEXEC);
		if (text < 0 || file_write_all(text, command.p, command.n) < 0)
			return SSH_ERROR;
	}
	if (what == SSH_MAIN)
		c->kind = CHANNEL_MAIN;
	ask(c, &p, text);
	return SSH_OK;
}

void channel_connect(struct channel *c, const char *host, uint16_t port)
{
	struct ssh_packet p = {.message = SSH_CONNECT};

	memcpy(p.connect.host, host, strlen(host) + 1);
	p.connect.port = port;
	ask(c, &p, -1);
}

/* ---- requests of the client ---- */

static void set_size(struct channel *c)
{
	const struct winsize size = {.ws_row = c->rows, .ws_col = c->columns};
	const uint16_t message[] = {c->rows, c->columns};

	if (c->state != CHANNEL_RUNNING || !c->terminal || c->rows == 0 || c->columns == 0)
		return;
	if (c->kind == CHANNEL_MAIN)
		channel_attachment_say(c, ATTACHMENT_SIZE, message, sizeof message);
	else if (c->out >= 0)
		ioctl(c->out, TIOCSWINSZ, &size);
}

static void set_term(struct channel *c, const char *term)
{
	if (strlen(term) < sizeof c->term)
		strcpy(c->term, term);
}

static int on_pty(ssh_session ssh UNUSED, ssh_channel channel UNUSED, const char *term, int width,
		  int height, int pxwidth UNUSED, int pxheight UNUSED, void *user)
{
	struct channel *c = user;

	if (c->state != CHANNEL_OPEN)
		return SSH_ERROR;
	c->terminal = true;
	c->columns = (uint16_t)MIN(MAX(width, 0), UINT16_MAX);
	c->rows = (uint16_t)MIN(MAX(height, 0), UINT16_MAX);
	set_term(c, term);
	return SSH_OK;
}

static int on_size(ssh_session ssh UNUSED, ssh_channel channel UNUSED, int width, int height,
		   int pxwidth UNUSED, int pxheight UNUSED, void *user)
{
	struct channel *c = user;

	c->columns = (uint16_t)MIN(MAX(width, 1), UINT16_MAX);
	c->rows = (uint16_t)MIN(MAX(height, 1), UINT16_MAX);
	set_size(c);
	return SSH_OK;
}

static int on_env(ssh_session ssh UNUSED, ssh_channel channel UNUSED, const char *name,
		  const char *value, void *user)
{
	struct channel *c = user;

	if (streq(name, "OPENSHELL_MAIN_READ_ONLY"))
		c->read_only = streq(value, "1");
	else if (streq(name, "TERM"))
		set_term(c, value);
	return SSH_OK;
}

static int on_shell(ssh_session ssh UNUSED, ssh_channel channel UNUSED, void *user)
{
	return start(user, SSH_SHELL, STR_NONE);
}

/* Of a blank command nothing is to be run, and all is well (the peer never answers it: contract 10). */
static int on_exec(ssh_session ssh UNUSED, ssh_channel channel UNUSED, const char *command,
		   void *user)
{
	struct channel *c = user;
	struct str text = str_trim(str_of(command));

	if (text.n > SSH_TEXT_MAX)
		return SSH_ERROR;
	if (text.n > 0)
		return start(c, SSH_EXEC, text);
	if (c->state != CHANNEL_OPEN)
		return SSH_ERROR;
	c->has_status = c->ended = true;
	c->state = CHANNEL_ENDING;
	return SSH_OK;
}

/* It is refused in any case: what the supervisor answers finds nobody. */
static void tell_of_subsystem(struct session *s, const char *name)
{
	struct ssh_packet p = {.message = SSH_SUBSYSTEM, .channel = ++s->last_number};

	snprintf(p.subsystem, sizeof p.subsystem, "%s", name);
	session_ask(s, &p, -1);
	p.message = SSH_CLOSE;
	session_ask(s, &p, -1);
}

static int on_subsystem(ssh_session ssh UNUSED, ssh_channel channel UNUSED, const char *name,
			void *user)
{
	struct channel *c = user;

	if (streq(name, "openshell-main"))
		return start(c, SSH_MAIN, STR_NONE);
	if (!streq(name, "sftp")) {
		tell_of_subsystem(c->session, name);
		return SSH_ERROR;
	}
	c->terminal = false;
	return start(c, SSH_SFTP, STR_NONE);
}

static void on_signal(ssh_session ssh UNUSED, ssh_channel channel UNUSED, const char *name,
		      void *user)
{
	struct channel *c = user;
	struct ssh_packet p = {.message = SSH_SIGNAL, .channel = c->number};

	p.signo = session_signal_number(name);
	if (p.signo == 0 || c->state != CHANNEL_RUNNING)
		return;
	if (c->kind == CHANNEL_MAIN && !c->read_only)
		channel_attachment_say(c, ATTACHMENT_SIGNAL, &p.signo, sizeof p.signo);
	else if (c->kind == CHANNEL_PROCESS)
		session_ask(c->session, &p, -1);
}

/* It stays where it is until it is fetched (session_data.c). A client has no stderr to send. */
static int on_data(ssh_session ssh UNUSED, ssh_channel channel UNUSED, void *data UNUSED,
		   uint32_t n, int is_stderr, void *user)
{
	struct channel *c = user;

	c->more = c->more || !is_stderr;
	return is_stderr ? (int)n : 0;
}

static void on_eof(ssh_session ssh UNUSED, ssh_channel channel UNUSED, void *user)
{
	struct channel *c = user;

	c->client_eof = true;
}

static void on_close(ssh_session ssh UNUSED, ssh_channel channel UNUSED, void *user)
{
	struct channel *c = user;

	c->closed = true;
}

struct channel *channel_open(struct session *s, enum channel_kind kind)
{
	size_t i = 0;

	while (i < SSH_CHANNELS_MAX && s->channels[i].state != CHANNEL_FREE)
		i++;
	ssh_channel ssh = i < SSH_CHANNELS_MAX ? ssh_channel_new(s->ssh) : NULL;
	if (!ssh)
		return NULL;
	struct channel *c = &s->channels[i];
	/* held.bytes keeps what it has: nobody sees it, and clearing it is work */
	memset(c, 0, offsetof(struct channel, held));
	memset(&c->held.at, 0, sizeof *c - offsetof(struct channel, held.at));
	c->state = CHANNEL_OPEN;
	c->kind = kind;
	c->session = s;
	c->ssh = ssh;
	c->in = c->out = c->errors = -1;
	c->input = BUF_INIT(SESSION_INPUT + 1);
	c->callbacks = (struct ssh_channel_callbacks_struct){
		.userdata = c,
		.channel_data_function = on_data,
		.channel_eof_function = on_eof,
		.channel_close_function = on_close,
		.channel_signal_function = on_signal,
		.channel_pty_request_function = on_pty,
		.channel_shell_request_function = on_shell,
		.channel_pty_window_change_function = on_size,
		.channel_exec_request_function = on_exec,
		.channel_env_request_function = on_env,
		.channel_subsystem_request_function = on_subsystem,
	};
	ssh_callbacks_init(&c->callbacks);
	ssh_set_channel_callbacks(ssh, &c->callbacks);
	return c;
}

/* ---- what the supervisor says ---- */

static void own(int fd, int *to)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	*to = fd;
}

void channel_started(struct channel *c, struct fdpass *fds)
{
	bool pipes = c->kind == CHANNEL_PROCESS && !c->terminal;

	if (c->state != CHANNEL_ASKED)
		return;
	if (fds->lost || fds->n != (pipes ? 3u : 1u)) {
		channel_refused(c, EMFILE, "no room for descriptors");
		return;
	}
	own(fdpass_take(fds, 0), &c->in);
	c->out = c->in;
	if (pipes) {
		own(fdpass_take(fds, 1), &c->out);
		own(fdpass_take(fds, 2), &c->errors);
	}
	c->state = CHANNEL_RUNNING;
	set_size(c);
}

void channel_refused(struct channel *c, int code, const char *why)
{
	if (c->state != CHANNEL_ASKED)
		return;
	c->state = CHANNEL_ENDING;
	c->ended = true;
	if (c->kind == CHANNEL_STREAM)
		return;
	channel_say(c, why);
	c->has_status = true;
	c->status = code == ENOENT   ? CODE_NOT_FOUND
		    : code == EACCES ? CODE_NOT_EXECUTABLE
				     : CODE_OTHER;
}

/* A terminal does not say what is on its way: as much as it can hold. */
static size_t unread(const struct channel *c, int fd)
{
	int n = 0;

	if (fd < 0)
		return 0;
	if (c->terminal)
		return SESSION_PIECE;
	return ioctl(fd, FIONREAD, &n) < 0 || n < 0 ? 0 : (size_t)n;
}

void channel_exited(struct channel *c, int status)
{
	if (c->state != CHANNEL_RUNNING || c->kind != CHANNEL_PROCESS)
		return;
	c->ended = c->has_status = c->by_wait = true;
	c->status = status;
	c->owed = unread(c, c->out) + unread(c, c->errors);
	c->quiet_since = mono_ms();
}

void channel_detach(struct channel *c)
{
	c->ended = c->has_status = true;
	c->status = 0;
	if (c->state != CHANNEL_RUNNING)
		return;
	c->state = CHANNEL_ENDING;
	channel_close_files(c);
}

/* ---- the end ---- */

static void tell_end(struct channel *c)
{
	int code = c->status;

	ssh_channel_send_eof(c->ssh);
	if (!c->has_status)
		return;
	if (c->by_wait && WIFSIGNALED(c->status)) {
		const char *name = session_signal_name(WTERMSIG(c->status));

		if (name)
			ssh_channel_request_send_exit_signal(c->ssh, name, WCOREDUMP(c->status), "",
							     "");
		/* after it, since there are clients that do not know of signals */
		code = CODE_SIGNALLED + WTERMSIG(c->status);
	} else if (c->by_wait) {
		code = WEXITSTATUS(c->status);
	}
	ssh_channel_request_send_exit_status(c->ssh, code);
}

static void finish(struct channel *c)
{
	channel_close_files(c);
	buf_fini(&c->input);
	ssh_remove_channel_callbacks(c->ssh, &c->callbacks);
	ssh_channel_close(c->ssh);
	ssh_channel_free(c->ssh);
	c->state = CHANNEL_CLOSED;
}

/* At the sandbox's end the supervisor waits for this, so that the client knows how it was. */
static void tell_closed(struct channel *c)
{
	struct ssh_packet p = {.message = SSH_CLOSE, .channel = c->number};

	if (c->number != 0)
		session_ask(c->session, &p, -1);
	c->state = CHANNEL_FREE;
}

/* Each direction of a stream ends by itself. */
static void settle_stream(struct channel *c)
{
	if (c->out >= 0 || c->held.n > 0)
		return;
	if (c->eof_passed || c->in < 0)
		c->state = CHANNEL_ENDING;
	else if (!c->ended)
		ssh_channel_send_eof(c->ssh);
	c->ended = true;
}

static void settle_running(struct channel *c)
{
	if (c->kind == CHANNEL_STREAM)
		settle_stream(c);
	else if (c->ended && (channel_is_drained(c) || channel_patience(c) == 0))
		c->state = CHANNEL_ENDING;
}

void channel_settle(struct channel *c)
{
	if (c->state == CHANNEL_FREE)
		return;
	if (c->state == CHANNEL_RUNNING && !c->closed)
		settle_running(c);
	if (c->state == CHANNEL_ENDING && !c->closed && c->held.n == 0)
		tell_end(c);
	if (c->state != CHANNEL_CLOSED &&
	    (c->closed || (c->state == CHANNEL_ENDING && c->held.n == 0)))
		finish(c);
	if (c->state == CHANNEL_CLOSED && !session_is_blocked(c->session))
		tell_closed(c);
}

int channel_patience(const struct channel *c)
{
	/* while the client takes nothing, nobody can know whether there is more */
	if (c->state != CHANNEL_RUNNING || !c->ended || c->kind == CHANNEL_STREAM || c->held.n > 0)
		return -1;
	return (int)MAX(c->quiet_since + SESSION_DRAIN_MS - mono_ms(), 0);
}
