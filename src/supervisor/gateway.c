#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "supervisor/gateway.h"

enum { PEM_MAX = 1 << 20 };

/*
 *   OPENING (the token, files, the connection) --> OPEN --> OVER
 *      +--------------------------------------------------->+
 */
struct gateway_link {
	const struct gateway *gateway;
	struct loop *loop;
	struct resolver *resolver;
	const struct gateway_link_ops *ops;
	void *owner;
	struct later start, end;
	struct tls_client *tls;
	struct conn_dial *dial;
	struct grpc_channel *channel;
};

/* ---- what the environment says ---- */

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL ? value : "";
}

static int check_tls(const struct gateway *g, struct err *e)
{
	const struct {
		const char *name, *value;
	} files[] = {
		{"OPENSHELL_TLS_CA", g->ca},
		{"OPENSHELL_TLS_CERT", g->cert},
		{"OPENSHELL_TLS_KEY", g->key},
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (str_empty(files[i].value))
			return err_set(e, EINVAL, "%s is not set, which gateway https://%s needs",
				       files[i].name, g->address);
	return 0;
}

int gateway_init(struct gateway *out, const char *endpoint, struct err *e)
{
	*out = (struct gateway){
		.token = {.fd = -1},
		.ca = variable("OPENSHELL_TLS_CA"),
		.cert = variable("OPENSHELL_TLS_CERT"),
		.key = variable("OPENSHELL_TLS_KEY"),
		.certificate_name = variable("OPENSHELL_GATEWAY_TLS_SERVER_NAME"),
	};
	if (url_parse(&out->url, endpoint, "--openshell-endpoint", e) < 0)
		return -1;
	bool tls = streq(out->url.scheme, "https");
	if (!tls && !streq(out->url.scheme, "http"))
		return err_set(e, EINVAL, "--openshell-endpoint: %s is neither http nor https",
			       out->url.scheme);
	if (!str_empty(out->url.path) || out->url.user != NULL)
		return err_set(e, EINVAL, "--openshell-endpoint: not only a scheme, host and port");
	out->address = url_authority(out->url.host, out->url.port);
	if (gateway_token_init(&out->token, out->address, e) < 0)
		return -1;
	return tls ? check_tls(out, e) : 0;
}

void gateway_fini(struct gateway *g)
{
	url_fini(&g->url);
	free(steal(&g->address));
	gateway_token_fini(&g->token);
}

bool gateway_may_pass(enum grpc_status s)
{
	return s == GRPC_UNAVAILABLE || s == GRPC_DEADLINE_EXCEEDED ||
	       s == GRPC_RESOURCE_EXHAUSTED || s == GRPC_ABORTED || s == GRPC_INTERNAL ||
	       s == GRPC_UNKNOWN;
}

void *gateway_message_copy(const void *message)
{
	const ProtobufCMessage *m = message;
	size_t n = protobuf_c_message_get_packed_size(m);
	_cleanup_free_ uint8_t *bytes = xmalloc(n);

	protobuf_c_message_pack(m, bytes);
	void *made = protobuf_c_message_unpack(m->descriptor, NULL, n, bytes);
	explicit_bzero(bytes, n);
	must(made != NULL);
	return made;
}

/* ---- a link's means ---- */

static int read_identity(const struct gateway *g, struct tls_client **out, struct err *e)
{
	static const char *alpn[] = {"h2", NULL};
	_cleanup_free_ char *ca = NULL, *cert = NULL;
	_cleanup_secret_ char *key = NULL;

	if (!streq(g->url.scheme, "https"))
		return 0;
	if (file_read(g->ca, PEM_MAX, &ca, NULL, e) < 0 ||
	    file_read(g->cert, PEM_MAX, &cert, NULL, e) < 0 ||
	    file_read(g->key, PEM_MAX, &key, NULL, e) < 0)
		return -1;
	const struct tls_client_config config = {
		.ca_pem = ca,
		.cert_pem = cert,
		.key_pem = key,
		.alpn = alpn,
		.ca_name = g->ca,
		.cert_name = g->cert,
		.key_name = g->key,
	};
	return tls_client_new(out, &config, e);
}

/* ---- a link ---- */

static void release(struct later *later)
{
	free(container_of(later, struct gateway_link, end));
}

static void lost(void *owner, const struct err *why)
{
	struct gateway_link *k = owner;
	struct err e;

	err_set(&e, why->code, "gateway %s: %s", k->gateway->address,
		why->code != 0 ? why->text : "it ended the connection");
	k->ops->lost(k->owner, &e);
}

static void connected(void *owner, struct conn *c, const struct err *why)
{
	struct gateway_link *k = owner;
	struct grpc_channel_config config = GRPC_CHANNEL_CONFIG_DEFAULT;

	k->dial = NULL;
	if (c == NULL) {
		k->ops->lost(k->owner, why);
		return;
	}
	config.authority = k->gateway->address;
	config.scheme = k->gateway->url.scheme;
	config.window = GATEWAY_WINDOW;
	config.queue_max = GATEWAY_QUEUE;
	config.queues_max = GATEWAY_QUEUES;
	config.message_max = GATEWAY_MESSAGE_MAX;
	config.ping_ms = GATEWAY_PING_MS;
	config.pong_ms = GATEWAY_PONG_MS;
	k->channel = grpc_channel_new(c, &config, lost, k);
	k->ops->open(k->owner);
}

/* Without one there is no use in a connection, but to ask for it. */
static int check_token(const struct gateway_token *t, struct err *e)
{
	_cleanup_secret_ char *bearer = NULL;

	return gateway_token_is_wanted(t) ? 0 : gateway_token_bearer(t, &bearer, e);
}

static void run_start(struct later *later)
{
	struct gateway_link *k = container_of(later, struct gateway_link, start);
	const struct gateway *g = k->gateway;
	struct err e;

	if (check_token(&g->token, &e) < 0 || read_identity(g, &k->tls, &e) < 0) {
		k->ops->lost(k->owner, &e);
		return;
	}
	const struct conn_dial_config config = {
		.host = g->url.host,
		.port = g->url.port,
		.tls = k->tls,
		.certificate_name = str_empty(g->certificate_name) ? NULL : g->certificate_name,
		.protocol = "h2",
		.timeout_ms = GATEWAY_CONNECT_MS,
		.done = connected,
		.owner = k,
	};
	k->dial = conn_dial_start(k->loop, k->resolver, &config);
}

struct gateway_link *gateway_link_open(const struct gateway *g, struct loop *l, struct resolver *r,
				       const struct gateway_link_ops *ops, void *owner)
{
	struct gateway_link *k = xcalloc(1, sizeof *k);

	k->gateway = g;
	k->loop = l;
	k->resolver = r;
	k->ops = ops;
	k->owner = owner;
	k->start.run = run_start;
	k->end.run = release;
	loop_later(l, &k->start);
	return k;
}

void gateway_link_close(struct gateway_link *k)
{
	if (k == NULL)
		return;
	loop_later_cancel(&k->start);
	conn_dial_cancel(steal(&k->dial));
	grpc_channel_free(steal(&k->channel));
	tls_client_unref(steal(&k->tls));
	loop_later(k->loop, &k->end);
}

/* ---- calls ---- */

typedef int bearer_fn(const struct gateway_token *t, char **out, struct err *e);

/* A call without a token is refused by the gateway; why it has none is ours to say. request: of a call with one
 * and nothing to follow; or NULL. */
static struct grpc_rpc *start(struct gateway_link *k, bearer_fn *bearer_of,
			      const struct grpc_rpc_config *cfg, const void *request,
			      const struct grpc_rpc_ops *ops, void *user)
{
	struct grpc_rpc_config with = *cfg;
	_cleanup_secret_ char *bearer = NULL;
	struct h2_field field;
	struct err why;

	must(cfg->n == 0);
	if (bearer_of(&k->gateway->token, &bearer, &why) == 0) {
		field = (struct h2_field){STR("authorization"), str_of(bearer)};
		with.metadata = &field;
		with.n = 1;
	} else {
		log_warn("a call to the gateway has no token", "call=%s reason=%s", cfg->path,
			 why.text);
	}
	return request != NULL ? grpc_rpc_call(k->channel, &with, request, ops, user)
			       : grpc_rpc_start(k->channel, &with, ops, user);
}

struct grpc_rpc *gateway_rpc_start(struct gateway_link *k, const struct grpc_rpc_config *cfg,
				   const struct grpc_rpc_ops *ops, void *user)
{
	return start(k, gateway_token_bearer, cfg, NULL, ops, user);
}

struct grpc_rpc *gateway_rpc_call(struct gateway_link *k, const struct grpc_rpc_config *cfg,
				  const void *request, const struct grpc_rpc_ops *ops, void *user)
{
	return start(k, gateway_token_bearer, cfg, request, ops, user);
}

struct grpc_rpc *gateway_rpc_call_as_account(struct gateway_link *k,
					     const struct grpc_rpc_config *cfg, const void *request,
					     const struct grpc_rpc_ops *ops, void *user)
{
	return start(k, gateway_token_account_bearer, cfg, request, ops, user);
}
