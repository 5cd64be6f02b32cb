#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/util.h"
#include "kube/channel_impl.h"
#include "net/proxy.h"

/*
 * Connecting, one at a time:
 *
 *   QUIET --something waits--> PAUSE --> DIALLING --> a link; QUIET
 *     ^                                     |
 *     +---- all that waited is told --------+   failed: the next PAUSE is longer
 */
enum connecting { QUIET, PAUSE, DIALLING };

struct channel {
	struct loop *loop;
	const struct kube_config *config;
	struct kube_auth *auth;
	struct resolver *resolver;
	struct url server, proxy; /* proxy.host is NULL: none */
	bool tls;
	char *authority; /* of the server, as in Host */

	struct tls_client *identity; /* as it was made last */
	enum connecting connecting;
	struct timer pause;
	struct conn_dial *dial;
	unsigned failures; /* in a row; rules PAUSE */
	int64_t failed_at; /* the last of them, mono_ms */
	struct err trouble;

	struct list links, waiting;
	struct later pump;
};

struct loop *channel_loop(const struct channel *ch)
{
	return ch->loop;
}

const char *channel_authority(const struct channel *ch)
{
	return ch->authority;
}

const char *channel_prefix(const struct channel *ch)
{
	return ch->server.path;
}

const char *channel_scheme(const struct channel *ch)
{
	return ch->server.scheme;
}

unsigned channel_auth_generation(const struct channel *ch)
{
	return kube_auth_generation(ch->auth);
}

const char *channel_authorization(const struct channel *ch)
{
	return kube_auth_header(ch->auth);
}

const char *channel_trouble(const struct channel *ch)
{
	return ch->trouble.text;
}

/* ---- exchanges ---- */

void exchange_end(struct exchange *x, enum exchange_end how, const struct err *why)
{
	struct h2_stream *stream = steal(&x->stream);

	x->channel = NULL;
	x->link = NULL;
	x->ops->ended(x, how, why);
	h2_release(stream);
}

void exchange_submit(struct channel *ch, struct exchange *x)
{
	must(x->channel == NULL);
	x->channel = ch;
	x->link = NULL;
	x->stream = NULL;
	list_init(&x->place);
	list_add(&ch->waiting, &x->place);
	channel_pump(ch);
}

void exchange_withdraw(struct exchange *x)
{
	if (x->channel == NULL)
		return;
	if (x->link != NULL)
		link_withdraw(x->link, x);
	else
		list_del(&x->place);
	x->channel = NULL;
	x->link = NULL;
}

bool exchange_is_sent(const struct exchange *x)
{
	return x->channel != NULL && x->link != NULL;
}

struct str exchange_header(const struct exchange *x, const char *name)
{
	if (x->stream != NULL)
		return h2_header(x->stream, name);
	return http1_client_header(x->link->h1, name);
}

/* ---- who we are ---- */

/* PEM as text or read from its file now; the caller's. */
static int read_pem(const char *text, const char *file, char **out, struct err *e)
{
	if (text == NULL && file != NULL)
		return file_read(file, KUBE_CONFIG_MAX, out, NULL, e);
	*out = text ? xstrdup(text) : NULL;
	return 0;
}

static int make_identity(struct channel *ch, struct tls_client **out, struct err *e)
{
	static const char *alpn[] = {"h2", "http/1.1", NULL};
	const struct kube_config *c = ch->config;
	const char *given_cert = kube_auth_cert_pem(ch->auth);
	_cleanup_free_ char *ca = NULL, *cert = NULL;
	_cleanup_secret_ char *key = NULL;

	if (read_pem(c->ca_pem, c->ca_file, &ca, e) < 0 ||
	    read_pem(given_cert ? given_cert : c->cert_pem, c->cert_file, &cert, e) < 0 ||
	    read_pem(given_cert ? kube_auth_key_pem(ch->auth) : c->key_pem, c->key_file, &key, e) <
		    0)
		return -1;
	struct tls_client_config tc = {
		.ca_pem = ca,
		.cert_pem = cert,
		.key_pem = key,
		.insecure = c->insecure,
		.alpn = alpn,
		.ca_name = c->ca_file ? c->ca_file : "certificate-authority-data",
		.cert_name = given_cert     ? "the plugin's client certificate"
			     : c->cert_file ? c->cert_file
					    : "client-certificate-data",
		.key_name = given_cert    ? "the plugin's client key"
			    : c->key_file ? c->key_file
					  : "client-key-data",
	};
	return tls_client_new(out, &tc, e);
}

/* Files may have been replaced since, and a plugin's certificate renewed. While that cannot be read
 * the old identity is used. */
static int refresh_identity(struct channel *ch, struct err *e)
{
	const struct kube_config *c = ch->config;
	struct tls_client *fresh = NULL;
	bool may_change = c->ca_file != NULL || c->cert_file != NULL || c->key_file != NULL ||
			  kube_auth_cert_pem(ch->auth) != NULL;

	if (ch->identity != NULL && !may_change)
		return 0;
	if (make_identity(ch, &fresh, e) < 0)
		return ch->identity != NULL ? 0 : -1;
	tls_client_unref(ch->identity);
	ch->identity = fresh;
	return 0;
}

/* ---- connecting ---- */

static void note_failure(struct channel *ch, const struct err *why)
{
	ch->failures++;
	ch->failed_at = mono_ms();
	ch->trouble = *why;
}

static void connect_failed(struct channel *ch, const struct err *why)
{
	struct list told;
	struct exchange *x;

	ch->connecting = QUIET;
	note_failure(ch, why);
	/* those that submit themselves again from `ended` wait for the next try */
	list_init(&told);
	while ((x = list_first(&ch->waiting, struct exchange, place)) != NULL) {
		list_del(&x->place);
		list_add(&told, &x->place);
	}
	while ((x = list_first(&told, struct exchange, place)) != NULL) {
		list_del(&x->place);
		exchange_end(x, EXCHANGE_UNSENT, why);
	}
	channel_pump(ch);
}

static void dialled(void *owner, struct conn *c, const struct err *why)
{
	struct channel *ch = owner;

	ch->dial = NULL;
	if (c == NULL) {
		connect_failed(ch, why);
		return;
	}
	ch->connecting = QUIET;
	struct link *l = link_new(ch, c, ch->tls && streq(tls_alpn(c), "h2"));
	list_add(&ch->links, &l->place);
	channel_pump(ch);
}

static void dial(struct timer *t)
{
	struct channel *ch = container_of(t, struct channel, pause);
	struct err e;

	if (ch->tls && refresh_identity(ch, &e) < 0) {
		connect_failed(ch, &e);
		return;
	}
	ch->connecting = DIALLING;
	const struct conn_dial_config c = {
		.host = ch->server.host,
		.port = ch->server.port,
		.proxy = ch->proxy.host ? &ch->proxy : NULL,
		.tls = ch->tls ? ch->identity : NULL,
		.certificate_name = ch->config->tls_server_name,
		.timeout_ms = CHANNEL_CONNECT_MS,
		.done = dialled,
		.owner = ch,
	};
	ch->dial = conn_dial_start(ch->loop, ch->resolver, &c);
}

static void connect_soon(struct channel *ch)
{
	if (ch->connecting != QUIET)
		return;
	int64_t ms = backoff_ms(ch->failures, CHANNEL_BACKOFF_FIRST_MS, CHANNEL_BACKOFF_MAX_MS);
	ch->connecting = PAUSE; /* what it has been quiet since counts */
	timer_set(ch->loop, &ch->pause, ch->failed_at + ms - mono_ms());
}

/* ---- links ---- */

void channel_answered(struct channel *ch)
{
	ch->failures = 0;
	ch->trouble.text[0] = '\0';
}

void channel_link_ended(struct channel *ch, struct link *l, const struct err *why)
{
	if (!l->answered)
		note_failure(ch, why);
	link_free(l);
	channel_pump(ch);
}

/* A connection made with a certificate that was renewed since says who we were. */
static bool is_outdated(const struct channel *ch, const struct link *l)
{
	return ch->tls && kube_auth_cert_pem(ch->auth) != NULL &&
	       l->auth_generation != kube_auth_generation(ch->auth);
}

static struct link *find_link(struct channel *ch, size_t *http1_links)
{
	*http1_links = 0;
	list_each(l, &ch->links, struct link, place) {
		if (!l->closing && is_outdated(ch, l))
			link_drain(l);
		if (link_has_room(l))
			return l;
		*http1_links += l->h1 != NULL;
	}
	return NULL;
}

static void run_pump(struct later *later)
{
	struct channel *ch = container_of(later, struct channel, pump);
	struct exchange *x;
	size_t http1_links;

	while ((x = list_first(&ch->waiting, struct exchange, place)) != NULL) {
		struct link *l = find_link(ch, &http1_links);
		if (l == NULL) {
			if (http1_links < CHANNEL_HTTP1_MAX)
				connect_soon(ch);
			return;
		}
		list_del(&x->place);
		link_send(l, x);
	}
}

void channel_pump(struct channel *ch)
{
	loop_later(ch->loop, &ch->pump);
}

/* ---- life ---- */

static int read_server(struct channel *ch, struct err *e)
{
	if (url_parse(&ch->server, ch->config->server, "the API server", e) < 0)
		return -1;
	ch->tls = streq(ch->server.scheme, "https");
	if (!ch->tls && !streq(ch->server.scheme, "http"))
		return err_set(e, EINVAL, "the API server's URL %s is neither https nor http",
			       ch->config->server);
	bool usual = ch->server.port == (ch->tls ? 443 : 80);
	ch->authority = url_authority(ch->server.host, ch->server.port);
	if (usual) /* as browsers and client-go write it */
		*strrchr(ch->authority, ':') = '\0';
	return 0;
}

static int read_proxy(struct channel *ch, struct err *e)
{
	const char *given = ch->config->proxy_url;
	_cleanup_secret_ char *found =
		given ? NULL : proxy_from_environment(ch->tls, ch->server.host, ch->server.port);
	const char *what = given ? "proxy-url" : "the environment's proxy";

	if (given == NULL && found == NULL)
		return 0;
	if (url_parse(&ch->proxy, given ? given : found, what, e) < 0)
		return -1;
	return proxy_check(&ch->proxy, what, e);
}

int channel_new(struct channel **out, struct loop *l, const struct kube_config *config,
		struct kube_auth *auth, struct err *e)
{
	struct channel *ch = xcalloc(1, sizeof *ch);

	ch->loop = l;
	ch->config = config;
	ch->auth = auth;
	ch->pause.fire = dial;
	ch->pump.run = run_pump;
	list_init(&ch->links);
	list_init(&ch->waiting);
	if (read_server(ch, e) < 0 || read_proxy(ch, e) < 0 ||
	    (ch->tls && refresh_identity(ch, e) < 0) || resolver_new(&ch->resolver, l, e) < 0) {
		channel_free(ch);
		return -1;
	}
	*out = ch;
	return 0;
}

void channel_free(struct channel *ch)
{
	if (ch == NULL)
		return;
	conn_dial_cancel(ch->dial);
	timer_stop(ch->loop, &ch->pause);
	loop_later_cancel(&ch->pump);
	list_each(l, &ch->links, struct link, place)
		link_free_now(l);
	resolver_free(ch->resolver);
	tls_client_unref(ch->identity);
	url_fini(&ch->server);
	url_fini(&ch->proxy);
	free(ch->authority);
	free(ch);
}
