#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "net/conn.h"

static void source_ready(struct source *s, uint32_t events)
{
	struct conn *c = container_of(s, struct conn, src);
	bool broken = events & (EPOLLHUP | EPOLLERR);
	bool readable = (events & EPOLLIN) || broken;
	bool writable = events & EPOLLOUT;

	/* a transport that waits for the other direction (TLS) is told of both */
	if (c->ops->wants != NULL)
		readable = writable = true;
	c->ready(c, readable, writable);
}

int conn_init(struct conn *c, struct loop *l, int fd, const struct conn_ops *ops, const char *name,
	      struct err *e)
{
	c->loop = l;
	c->ops = ops;
	c->src = (struct source){.fd = fd, .ready = source_ready, .name = name};
	return loop_add(l, &c->src, 0, e);
}

void conn_set_owner(struct conn *c, void (*ready)(struct conn *, bool, bool), void *owner)
{
	c->ready = ready;
	c->owner = owner;
}

void conn_want(struct conn *c, bool read, bool write)
{
	c->want_read = read;
	c->want_write = write;
	uint32_t events = (read ? EPOLLIN : 0) | (write ? EPOLLOUT : 0);
	if (c->ops->wants != NULL)
		events = c->ops->wants(c, read, write);
	loop_set(c->loop, &c->src, events);
}

ssize_t conn_read(struct conn *c, void *p, size_t n)
{
	return c->ops->read(c, p, n);
}

ssize_t conn_write(struct conn *c, const void *p, size_t n)
{
	return c->ops->write(c, p, n);
}

bool conn_pending(struct conn *c)
{
	return c->ops->pending != NULL && c->ops->pending(c);
}

void conn_end(struct conn *c)
{
	c->ops->end(c);
}

const char *conn_error(const struct conn *c)
{
	return c->err.text;
}

void conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	loop_del(c->loop, &c->src);
	c->ops->free(c);
}

/* ---- plain sockets ---- */

struct plain_conn {
	struct conn c;
	char *name; /* as c.src.name, and the owner of it */
};

static ssize_t plain_read(struct conn *c, void *p, size_t n)
{
	for (;;) {
		ssize_t got = recv(c->src.fd, p, n, 0);
		if (got > 0)
			return got;
		if (got == 0)
			return CONN_EOF;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN)
			return CONN_AGAIN;
		err_sys(&c->err, "read from %s", c->src.name);
		return CONN_ERROR;
	}
}

static ssize_t plain_write(struct conn *c, const void *p, size_t n)
{
	for (;;) {
		ssize_t put = send(c->src.fd, p, n, MSG_NOSIGNAL);
		if (put >= 0)
			return put;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN)
			return CONN_AGAIN;
		err_sys(&c->err, "write to %s", c->src.name);
		return CONN_ERROR;
	}
}

static void plain_end(struct conn *c)
{
	shutdown(c->src.fd, SHUT_WR);
}

static void plain_free(struct conn *c)
{
	struct plain_conn *plain = container_of(c, struct plain_conn, c);

	close(c->src.fd);
	free(plain->name);
	free(plain);
}

static const struct conn_ops plain_ops = {
	.read = plain_read,
	.write = plain_write,
	.end = plain_end,
	.free = plain_free,
};

int conn_of_fd(struct conn **out, struct loop *l, int fd, const char *name, struct err *e)
{
	struct plain_conn *plain = xcalloc(1, sizeof *plain);

	plain->name = xstrdup(name);
	if (conn_init(&plain->c, l, fd, &plain_ops, plain->name, e) < 0) {
		plain_free(&plain->c);
		return -1;
	}
	*out = &plain->c;
	return 0;
}
