/* What goes through a session's channels. Nothing is read for a client that takes nothing, nor taken from one for a
 * process that does not read: what is held in between is bounded by SESSION_PIECE, SESSION_INPUT and SSH's windows. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/util.h"
#include "ssh/session_impl.h"

/* ---- input ---- */

static bool is_running(const struct channel *c)
{
	return c->state == CHANNEL_RUNNING;
}

/* Nobody reads it: it is taken, so that the client goes on, and dropped. */
static bool drops_input(const struct channel *c)
{
	return c->closed || c->state == CHANNEL_ENDING || (is_running(c) && c->in < 0);
}

static void take_typed(struct channel *c, const char *p, size_t n)
{
	size_t kept;
	char *to = buf_room(&c->input, n + 1);

	must(to != NULL);
	bool detach = session_keys_feed(&c->keys, p, n, to, &kept);
	if (!c->read_only)
		buf_added(&c->input, kept);
	if (detach)
		channel_detach(c);
}

static void take(struct channel *c, const char *p, size_t n)
{
	if (drops_input(c))
		return;
	if (c->kind == CHANNEL_MAIN)
		take_typed(c, p, n);
	else
		must(buf_add(&c->input, p, n));
}

/* All input is fetched here, and none in libssh's callback, which may come while this fetches. */
static bool can_fetch(const struct channel *c)
{
	return c->more && (c->state == CHANNEL_RUNNING || c->state == CHANNEL_ENDING) &&
	       (c->input.n < SESSION_INPUT || drops_input(c));
}

static void fetch(struct channel *c)
{
	char piece[16 << 10];

	while (can_fetch(c)) {
		size_t room = SESSION_INPUT - MIN(c->input.n, (size_t)SESSION_INPUT);
		size_t ask = drops_input(c) ? sizeof piece : MIN(room, sizeof piece);
		int n = ssh_channel_read_nonblocking(c->ssh, piece, (uint32_t)ask, 0);

		if (n <= 0)
			c->more = false;
		else
			take(c, piece, (size_t)n);
	}
}

static ssize_t pass_on(struct channel *c, struct str s)
{
	if (c->kind != CHANNEL_MAIN)
		return write(c->in, s.p, s.n);
	char type = ATTACHMENT_INPUT;
	size_t n = MIN(s.n, (size_t)ATTACHMENT_BYTES);
	const struct iovec io[] = {{&type, 1}, {(void *)s.p, n}};
	return writev(c->in, io, ARRAY_LEN(io)) < 0 ? -1 : (ssize_t)n;
}

/* A terminal and a socket are open for output still. */
static void close_input(struct channel *c)
{
	if (c->in >= 0 && c->in != c->out)
		close(c->in);
	c->in = -1;
	buf_clear(&c->input);
}

/* False: no more of it now. */
static bool write_input(struct channel *c)
{
	if (c->in < 0 || c->input.n == 0)
		return false;
	ssize_t n = pass_on(c, buf_view(&c->input));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0)
		close_input(c);
	else
		buf_consume(&c->input, (size_t)n);
	return true;
}

static bool can_pass_eof(const struct channel *c)
{
	return is_running(c) && c->client_eof && !c->eof_passed && !c->more && c->input.n == 0;
}

/* The main process's input stays open for whoever comes next, and a terminal has no end of input. */
static void pass_eof(struct channel *c)
{
	if (!can_pass_eof(c))
		return;
	c->eof_passed = true;
	if (c->kind == CHANNEL_STREAM && c->in >= 0)
		shutdown(c->in, SHUT_WR);
	else if (c->kind == CHANNEL_PROCESS && !c->terminal)
		close_input(c);
}

/* ---- output ---- */

static bool can_send(const struct channel *c)
{
	return c->held.n > 0 && !c->closed && !session_is_blocked(c->session) &&
	       ssh_channel_window_size(c->ssh) > 0;
}

static int send_packet(struct channel *c)
{
	struct channel_held *h = &c->held;
	uint32_t len = (uint32_t)MIN(h->n, (size_t)SESSION_PACKET);
	int n = h->errors ? ssh_channel_write_stderr(c->ssh, h->bytes + h->at, len)
			  : ssh_channel_write(c->ssh, h->bytes + h->at, len);

	if (n > 0) {
		h->at += (size_t)n;
		h->n -= (size_t)n;
	}
	return n;
}

/* All of it at once, as far as the client's window goes: the connection takes it when it can. */
static void send_held(struct channel *c)
{
	int n = SESSION_PACKET;

	if (!can_send(c))
		return;
	while (c->held.n > 0 && n == SESSION_PACKET && !c->closed)
		n = send_packet(c);
	if (n < 0)
		c->closed = true;
	else if (!c->held.late)
		c->quiet_since = mono_ms();
}

static void hold(struct channel *c, size_t n, bool errors)
{
	c->held.at = 0;
	c->held.n = n;
	c->held.errors = errors;
	/* what something that was left behind goes on to write keeps nobody waiting */
	c->held.late = c->ended && c->owed == 0;
	c->owed -= MIN(c->owed, n);
	if (!c->held.late)
		c->quiet_since = mono_ms();
}

void channel_say(struct channel *c, const char *text)
{
	int n = snprintf(c->held.bytes, sizeof c->held.bytes, "openshell: %s%s", text,
			 c->terminal ? "\r\n" : "\n");

	hold(c, (size_t)MIN(n, (int)sizeof c->held.bytes - 1), true);
}

static void close_output(struct channel *c, int *fd)
{
	int other = fd == &c->out ? c->in : -1;

	if (*fd == other && c->kind != CHANNEL_STREAM) {
		c->in = -1; /* of a terminal or an attachment both are over at once */
		buf_clear(&c->input);
		other = -1;
	}
	if (*fd != other)
		close(*fd);
	*fd = -1;
}

/* One message of the attachment. */
static void read_attachment(struct channel *c)
{
	char type;
	struct channel_held *h = &c->held;
	const struct iovec io[] = {{&type, 1}, {h->bytes, ATTACHMENT_BYTES}};
	ssize_t n = readv(c->out, io, ARRAY_LEN(io));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		c->ended = true;
		close_output(c, &c->out);
		return;
	}
	n--;
	switch (type) {
	case ATTACHMENT_OUTPUT:
	case ATTACHMENT_ERRORS:
		hold(c, (size_t)n, type == ATTACHMENT_ERRORS);
		break;
	case ATTACHMENT_NOTICE:
		memcpy(h->bytes + n, c->terminal ? "\r\n" : "\n", 2);
		hold(c, (size_t)n + (c->terminal ? 2 : 1), true);
		break;
	case ATTACHMENT_EXIT:
		if (n == sizeof c->status)
			memcpy(&c->status, h->bytes, sizeof c->status);
		c->ended = c->has_status = n == sizeof c->status;
		close_output(c, &c->out);
		break;
	default:
		break;
	}
}

static void read_output(struct channel *c, int *fd)
{
	ssize_t n = read(*fd, c->held.bytes, sizeof c->held.bytes);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		hold(c, (size_t)n, fd == &c->errors);
	else
		close_output(c, fd); /* EIO: nobody has the terminal open any more */
}

static void move_output(struct channel *c, int *fd)
{
	if (c->held.n > 0 || *fd < 0)
		return;
	if (c->kind == CHANNEL_MAIN)
		read_attachment(c);
	else
		read_output(c, fd);
	send_held(c);
}

/* ---- both ---- */

void channel_move(struct channel *c)
{
	if (c->state == CHANNEL_FREE || c->state == CHANNEL_CLOSED)
		return;
	send_held(c);
	fetch(c);
	if (!is_running(c))
		return;
	while (write_input(c))
		fetch(c);
	pass_eof(c);
	move_output(c, &c->errors);
	move_output(c, &c->out);
}

bool channel_is_restless(const struct channel *c)
{
	if (c->state == CHANNEL_FREE || c->state == CHANNEL_CLOSED)
		return false;
	return c->closed || can_send(c) || can_fetch(c) || can_pass_eof(c);
}

size_t channel_wait_for(const struct channel *c, struct pollfd *p)
{
	size_t n = 0;

	if (!is_running(c) || c->closed)
		return 0;
	if (c->in >= 0 && c->input.n > 0)
		p[n++] = (struct pollfd){.fd = c->in, .events = POLLOUT};
	if (c->out >= 0 && c->held.n == 0)
		p[n++] = (struct pollfd){.fd = c->out, .events = POLLIN};
	if (c->errors >= 0 && c->held.n == 0)
		p[n++] = (struct pollfd){.fd = c->errors, .events = POLLIN};
	return n;
}

void channel_attachment_say(struct channel *c, enum attachment_message m, const void *p, size_t n)
{
	char type = (char)m;
	const struct iovec io[] = {{&type, 1}, {(void *)p, n}};

	/* one that does not listen misses a signal, or a size */
	if (c->in >= 0 && writev(c->in, io, ARRAY_LEN(io)) < 0 && errno != EAGAIN)
		close_input(c);
}

bool channel_is_drained(const struct channel *c)
{
	return c->out < 0 && c->errors < 0 && c->held.n == 0;
}

void channel_close_files(struct channel *c)
{
	if (c->errors >= 0)
		close(steal_fd(&c->errors));
	if (c->in >= 0 && c->in != c->out)
		close(c->in);
	c->in = -1;
	if (c->out >= 0)
		close(steal_fd(&c->out));
	buf_clear(&c->input);
}
