#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/str.h"
#include "base/util.h"
#include "net/conn_dial.h"
#include "net/dial.h"

/*
 *   DIALLING ---> [SHAKING: TLS] ---> done(c)
 *       |             |
 *       +-------------+--> failed, or too late: done(NULL)
 *
 * It is DIALLING while dial is set, SHAKING while shaking is.
 */
struct conn_dial {
	struct loop *loop;
	struct conn_dial_config config;
	char *address; /* "host:port" */
	struct dial *dial;
	struct conn *shaking;
	struct timer deadline; /* of SHAKING; dialling has its own */
	int64_t until;
	struct later end;
};

static void release(struct later *l)
{
	struct conn_dial *d = container_of(l, struct conn_dial, end);

	free(d->address);
	free(d);
}

/* Nothing calls back any more; it is gone at the end of the turn. */
static void finish(struct conn_dial *d)
{
	dial_cancel(steal(&d->dial));
	conn_free(steal(&d->shaking));
	timer_stop(d->loop, &d->deadline);
	loop_later(d->loop, &d->end);
}

static void fail(struct conn_dial *d, const struct err *why)
{
	finish(d);
	d->config.done(d->config.owner, NULL, why);
}

static void succeed(struct conn_dial *d, struct conn *c)
{
	finish(d);
	d->config.done(d->config.owner, c, NULL);
}

static void too_late(struct timer *t)
{
	struct conn_dial *d = container_of(t, struct conn_dial, deadline);
	struct err why;

	err_set(&why, ETIMEDOUT, "TLS with %s: no answer within %" PRId64 " ms", d->address,
		d->config.timeout_ms);
	fail(d, &why);
}

static void shake(struct conn *c, bool readable UNUSED, bool writable UNUSED)
{
	struct conn_dial *d = c->owner;
	const char *wanted = d->config.protocol;
	int r = tls_handshake(c);
	struct err why;

	if (r == CONN_AGAIN)
		return;
	if (r == 1 && (wanted == NULL || streq(tls_alpn(c), wanted))) {
		succeed(d, steal(&d->shaking));
		return;
	}
	if (r == 1)
		err_set(&why, EPROTO, "TLS with %s: the server does not offer %s (ALPN)",
			d->address, wanted);
	else
		why = c->err;
	fail(d, &why);
}

static void start_tls(struct conn_dial *d, int fd)
{
	const struct conn_dial_config *config = &d->config;
	const char *name = config->certificate_name ? config->certificate_name : config->host;
	struct err why;

	if (tls_connect(&d->shaking, d->loop, fd, config->tls, name, d->address, &why) < 0) {
		fail(d, &why);
		return;
	}
	timer_set(d->loop, &d->deadline, MAX(d->until - mono_ms(), (int64_t)0));
	conn_set_owner(d->shaking, shake, d);
	shake(d->shaking, true, true);
}

static void dialled(void *owner, int fd, const struct err *why)
{
	struct conn_dial *d = owner;
	struct conn *c;
	struct err e;

	d->dial = NULL;
	if (fd < 0)
		fail(d, why);
	else if (d->config.tls != NULL)
		start_tls(d, fd);
	else if (conn_of_fd(&c, d->loop, fd, d->address, &e) < 0)
		fail(d, &e);
	else
		succeed(d, c);
}

struct conn_dial *conn_dial_start(struct loop *l, struct resolver *r,
				  const struct conn_dial_config *config)
{
	struct conn_dial *d = xcalloc(1, sizeof *d);
	const struct dial_config dial = {
		.host = config->host,
		.port = config->port,
		.proxy = config->proxy,
		.timeout_ms = config->timeout_ms,
		.done = dialled,
		.owner = d,
	};

	d->loop = l;
	d->config = *config;
	d->address = url_authority(config->host, config->port);
	d->deadline.fire = too_late;
	d->end.run = release;
	d->until = mono_ms() + config->timeout_ms;
	d->dial = dial_start(l, r, &dial);
	return d;
}

void conn_dial_cancel(struct conn_dial *d)
{
	if (d != NULL)
		finish(d);
}
