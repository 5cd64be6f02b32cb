#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/str.h"
#include "base/util.h"
#include "grpc/connect.h"
#include "net/dial.h"
#include "net/url.h"

/*
 *   DIALLING --> [SHAKING: TLS] --> done(c)
 *       |            |
 *       +------------+--> done(NULL)
 */
struct grpc_connect {
	struct loop *loop;
	struct grpc_connect_config config;
	char *address; /* "host:port" */
	struct dial *dial;
	struct conn *shaking;
	struct timer deadline; /* of SHAKING; dialling has its own */
	int64_t until;
	struct later end;
};

static void release(struct later *l)
{
	struct grpc_connect *g = container_of(l, struct grpc_connect, end);

	free(g->address);
	free(g);
}

/* Nothing calls back any more; it is gone at the end of the turn. */
static void finish(struct grpc_connect *g)
{
	dial_cancel(steal(&g->dial));
	conn_free(steal(&g->shaking));
	timer_stop(g->loop, &g->deadline);
	loop_later(g->loop, &g->end);
}

static void fail(struct grpc_connect *g, const struct err *why)
{
	finish(g);
	g->config.done(g->config.owner, NULL, why);
}

static void succeed(struct grpc_connect *g, struct conn *c)
{
	const struct err none = {0};

	finish(g);
	g->config.done(g->config.owner, c, &none);
}

static void too_late(struct timer *t)
{
	struct grpc_connect *g = container_of(t, struct grpc_connect, deadline);
	struct err why;

	err_set(&why, ETIMEDOUT, "TLS with %s: no answer within %" PRId64 " ms", g->address,
		g->config.timeout_ms);
	fail(g, &why);
}

static void shake(struct conn *c, bool readable UNUSED, bool writable UNUSED)
{
	struct grpc_connect *g = c->owner;
	int r = tls_handshake(c);
	struct err why;

	if (r == CONN_AGAIN)
		return;
	if (r == 1 && streq(tls_alpn(c), "h2")) {
		succeed(g, steal(&g->shaking));
		return;
	}
	if (r == 1)
		err_set(&why, EPROTO, "TLS with %s: the server does not offer HTTP/2 (ALPN h2)",
			g->address);
	else
		err_set(&why, c->err.code, "%s", conn_error(c));
	fail(g, &why);
}

static void dialled(void *owner, int fd, const struct err *why)
{
	struct grpc_connect *g = owner;
	const char *name = g->config.certificate_name;
	struct conn *c;
	struct err e;

	g->dial = NULL;
	if (fd < 0) {
		fail(g, why);
		return;
	}
	if (g->config.tls == NULL) {
		if (conn_of_fd(&c, g->loop, fd, g->address, &e) < 0)
			fail(g, &e);
		else
			succeed(g, c);
		return;
	}
	if (tls_connect(&c, g->loop, fd, g->config.tls, name != NULL ? name : g->config.host,
			g->address, &e) < 0) {
		fail(g, &e);
		return;
	}
	g->shaking = c;
	timer_set(g->loop, &g->deadline, MAX(g->until - mono_ms(), (int64_t)0));
	conn_set_owner(c, shake, g);
	shake(c, true, true);
}

struct grpc_connect *grpc_connect_start(struct loop *l, struct resolver *r,
					const struct grpc_connect_config *config)
{
	struct grpc_connect *g = xcalloc(1, sizeof *g);
	const struct dial_config dial = {
		.host = config->host,
		.port = config->port,
		.timeout_ms = config->timeout_ms,
		.done = dialled,
		.owner = g,
	};

	g->loop = l;
	g->config = *config;
	g->address = url_authority(config->host, config->port);
	g->deadline.fire = too_late;
	g->end.run = release;
	g->until = mono_ms() + config->timeout_ms;
	g->dial = dial_start(l, r, &dial);
	return g;
}

void grpc_connect_cancel(struct grpc_connect *g)
{
	if (g != NULL)
		finish(g);
}
