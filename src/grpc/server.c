#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "grpc/server_impl.h"

enum {
	ACCEPTS_A_TURN = 16,
	ACCEPT_AGAIN_MS = 500, /* after the process or the machine ran out of descriptors */
	IDLE_DRAIN_MS = 5000,
	ARENA_TIMES = 16,
};

/* ---- methods ---- */

void grpc_server_add(struct grpc_server *srv, const struct grpc_method *table, size_t n,
		     void *service)
{
	srv->entries = xrealloc(srv->entries, (srv->n_entries + n) * sizeof *srv->entries);
	for (size_t i = 0; i < n; i++) {
		struct grpc_entry *en = xcalloc(1, sizeof *en);
		en->method = &table[i];
		en->service = service;
		srv->entries[srv->n_entries++] = en;
		must(map_put(&srv->by_path, str_of(table[i].path), en) == NULL);
	}
}

static struct str service_name(const struct grpc_entry *en)
{
	struct str path = str_of(en->method->path);

	must(str_skip(&path, "/"));
	return str_cut(&path, '/');
}

bool grpc_server_services(const struct grpc_server *srv, size_t *at, struct str *name)
{
	while (*at < srv->n_entries) {
		size_t i = (*at)++;
		bool again = false;
		*name = service_name(srv->entries[i]);
		for (size_t j = 0; j < i && !again; j++)
			again = str_eq(service_name(srv->entries[j]), *name);
		if (!again)
			return true;
	}
	return false;
}

/* ---- connections ---- */

static void check_drained(struct grpc_server *srv)
{
	if (srv->draining && srv->n_conns == 0)
		loop_later(srv->loop, &srv->drain_done);
}

void grpc_conn_unref(struct grpc_conn *conn)
{
	if (conn->gone && conn->n_calls == 0)
		free(conn);
}

static void conn_gone(struct grpc_conn *conn)
{
	list_del(&conn->link);
	conn->server->n_conns--;
	conn->server->full = false;
	h2_conn_free(conn->h2);
	check_drained(conn->server);
	conn->gone = true;
	grpc_conn_unref(conn);
}

static void on_request(void *owner, struct h2_stream *st)
{
	grpc_call_start(owner, st);
}

static void on_ended(void *owner, const struct err *why)
{
	/* clients come and go, probes all day long; what they did wrong is worth a line */
	if (why->code == ECONNRESET || why->code == EPIPE)
		log_debug("a gRPC client's connection ended", "reason=%s", why->text);
	else if (why->code != 0)
		log_info("a gRPC client's connection ended", "reason=%s", why->text);
	conn_gone(owner);
}

static const struct h2_conn_ops conn_ops = {
	.request = on_request,
	.ended = on_ended,
};

void grpc_server_serve(struct grpc_server *srv, struct conn *c)
{
	const struct grpc_config *cfg = &srv->cfg;
	struct h2_conn_config h2 = {
		.h2 = H2_CONFIG_DEFAULT,
		.open_ms = cfg->open_ms,
		.unused_ms = cfg->unused_ms,
		.idle_ms = cfg->idle_ms,
		.ping_ms = cfg->ping_ms,
		.pong_ms = cfg->pong_ms,
		.stall_ms = cfg->stall_ms,
		.drain_ms = IDLE_DRAIN_MS,
	};

	if (srv->draining) {
		conn_free(c);
		return;
	}
	if (srv->n_conns >= cfg->max_connections) {
		if (!srv->full)
			log_warn("no more gRPC connections are taken", "max=%zu",
				 cfg->max_connections);
		srv->full = true;
		conn_free(c);
		return;
	}
	h2.h2.max_streams = cfg->max_streams;
	h2.h2.header_list_max = cfg->header_list_max;
	h2.h2.stream_queue_max = cfg->stream_queue_max;
	h2.h2.conn_queue_max = cfg->conn_queue_max;
	h2.h2.arena_max = ARENA_TIMES * cfg->message_max;
	struct grpc_conn *conn = xcalloc(1, sizeof *conn);
	conn->server = srv;
	list_add(&srv->conns, &conn->link);
	srv->n_conns++;
	conn->h2 = h2_conn_server(c, &h2, &conn_ops, conn);
}

/* ---- listeners ---- */

struct listener {
	struct source source;
	struct list link; /* grpc_server.listeners */
	struct grpc_server *server;
	struct timer again; /* while there is no descriptor for a connection */
	grpc_admit_fn *admit;
	void *admit_arg;
};

static void accept_one(struct listener *l, int fd)
{
	const int one = 1;
	struct conn *c;
	struct err e;

	/* over TCP, small answers must not wait for acknowledgements; a Unix socket refuses it */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (l->admit != NULL && !l->admit(l->admit_arg, fd))
		close(fd);
	else if (conn_of_fd(&c, l->server->loop, fd, "gRPC client", &e) < 0)
		log_error("a gRPC connection was dropped", "error=%s", e.text);
	else
		grpc_server_serve(l->server, c);
}

static void accept_ready(struct source *s, uint32_t events UNUSED)
{
	struct listener *l = container_of(s, struct listener, source);

	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			accept_one(l, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* the connection stays in the backlog, so the socket stays readable */
			log_warn("accepting gRPC connections pauses", "error=%s", strerror(errno));
			loop_set(l->server->loop, s, 0);
			timer_set(l->server->loop, &l->again, ACCEPT_AGAIN_MS);
			return;
		}
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

static void accept_again(struct timer *t)
{
	struct listener *l = container_of(t, struct listener, again);

	loop_set(l->server->loop, &l->source, EPOLLIN);
}

int grpc_server_listen(struct grpc_server *srv, int fd, grpc_admit_fn *admit, void *arg,
		       struct err *e)
{
	struct listener *l = xcalloc(1, sizeof *l);

	l->source = (struct source){.fd = fd, .ready = accept_ready, .name = "gRPC listener"};
	l->server = srv;
	l->again.fire = accept_again;
	l->admit = admit;
	l->admit_arg = arg;
	if (loop_add(srv->loop, &l->source, EPOLLIN, e) < 0) {
		close(fd);
		free(l);
		return -1;
	}
	list_add(&srv->listeners, &l->link);
	return 0;
}

/* Never from inside accept_ready. */
static void stop_listening(struct grpc_server *srv)
{
	struct listener *l;

	while ((l = list_first(&srv->listeners, struct listener, link)) != NULL) {
		timer_stop(srv->loop, &l->again);
		loop_del(srv->loop, &l->source);
		close(l->source.fd);
		list_del(&l->link);
		free(l);
	}
}

/* ---- the end ---- */

static void end_connections(struct grpc_server *srv)
{
	struct grpc_conn *conn;

	while ((conn = list_first(&srv->conns, struct grpc_conn, link)) != NULL)
		conn_gone(conn);
}

static void drain_limit(struct timer *t)
{
	struct grpc_server *srv = container_of(t, struct grpc_server, drain_limit);

	log_warn("gRPC calls are cut off", "calls=%zu connections=%zu", srv->n_calls, srv->n_conns);
	end_connections(srv);
}

static void drain_done(struct later *l)
{
	struct grpc_server *srv = container_of(l, struct grpc_server, drain_done);

	timer_stop(srv->loop, &srv->drain_limit);
	srv->done(srv->done_arg);
}

/* A call that would never end by itself; callbacks may change the list. */
static struct grpc_call *open_stream(struct grpc_server *srv)
{
	list_each(call, &srv->calls, struct grpc_call, link) {
		if (!call->gone && grpc_call_is_stream(call))
			return call;
	}
	return NULL;
}

void grpc_server_drain(struct grpc_server *srv, int64_t ms, void (*done)(void *arg), void *arg)
{
	if (srv->draining)
		return;
	srv->draining = true;
	srv->done = done;
	srv->done_arg = arg;
	stop_listening(srv);
	struct grpc_call *call;
	while ((call = open_stream(srv)) != NULL)
		grpc_call_end(call, GRPC_UNAVAILABLE, "the server is shutting down");
	list_each(conn, &srv->conns, struct grpc_conn, link)
		h2_conn_drain(conn->h2);
	timer_set(srv->loop, &srv->drain_limit, ms);
	check_drained(srv);
}

struct grpc_server *grpc_server_new(struct loop *l, const struct grpc_config *c)
{
	struct grpc_server *srv = xcalloc(1, sizeof *srv);

	srv->loop = l;
	srv->cfg = *c;
	srv->by_path = MAP_INIT;
	srv->drain_limit.fire = drain_limit;
	srv->drain_done.run = drain_done;
	list_init(&srv->listeners);
	list_init(&srv->conns);
	list_init(&srv->calls);
	return srv;
}

void grpc_server_free(struct grpc_server *srv)
{
	if (srv == NULL)
		return;
	stop_listening(srv);
	end_connections(srv);
	/* calls that their handlers have still to answer */
	list_each(call, &srv->calls, struct grpc_call, link) {
		list_del(&call->link);
		call->server = NULL;
	}
	timer_stop(srv->loop, &srv->drain_limit);
	loop_later_cancel(&srv->drain_done);
	map_fini(&srv->by_path);
	for (size_t i = 0; i < srv->n_entries; i++)
		free(srv->entries[i]);
	free(srv->entries);
	free(srv);
}

size_t grpc_server_connections(const struct grpc_server *srv)
{
	return srv->n_conns;
}

size_t grpc_server_calls(const struct grpc_server *srv)
{
	return srv->n_calls;
}
