#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "base/util.h"
#include "supervisor/gateway.h"

#define TOKEN "OPENSHELL_SANDBOX_TOKEN"
#define TOKEN_FILE "OPENSHELL_SANDBOX_TOKEN_FILE"
#define SA_TOKEN_FILE "OPENSHELL_K8S_SA_TOKEN_FILE"

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
	struct grpc_connect *connect;
	struct grpc_channel *channel;
	char *bearer;
};

/* ---- what the environment says ---- */

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL ? value : "";
}

/* The name stays, for those who ask whether it is there; its text is no more. */
static int take_token(struct gateway *g, struct err *e)
{
	char *token = getenv(TOKEN);
	size_t n;

	if (str_empty(token))
		return 0;
	n = strlen(token);
	g->token_fd = memfd_create("token", MFD_CLOEXEC);
	if (g->token_fd < 0 || write(g->token_fd, token, n) != (ssize_t)n)
		return err_sys(e, "keep " TOKEN);
	explicit_bzero(token, n);
	unsetenv(TOKEN);
	return 0;
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
		.token_fd = -1,
		.token_file = variable(TOKEN_FILE),
		.ca = variable("OPENSHELL_TLS_CA"),
		.cert = variable("OPENSHELL_TLS_CERT"),
		.key = variable("OPENSHELL_TLS_KEY"),
		.certificate_name = variable("OPENSHELL_GATEWAY_TLS_SERVER_NAME"),
	};
	if (take_token(out, e) < 0 || url_parse(&out->url, endpoint, "--openshell-endpoint", e) < 0)
		return -1;
	bool tls = streq(out->url.scheme, "https");
	if (!tls && !streq(out->url.scheme, "http"))
		return err_set(e, EINVAL, "--openshell-endpoint: %s is neither http nor https",
			       out->url.scheme);
	if (!str_empty(out->url.path) || out->url.user != NULL)
		return err_set(e, EINVAL, "--openshell-endpoint: not only a scheme, host and port");
	out->address = url_authority(out->url.host, out->url.port);
	if (out->token_fd < 0 && str_empty(out->token_file))
		return err_set(e, EINVAL,
			       "no token for gateway %s: neither " TOKEN " nor " TOKEN_FILE
			       " is set%s",
			       out->address,
			       getenv(SA_TOKEN_FILE) != NULL ? ", and " SA_TOKEN_FILE
							       " is not exchanged by this version"
							     : "");
	return tls ? check_tls(out, e) : 0;
}

void gateway_fini(struct gateway *g)
{
	url_fini(&g->url);
	free(steal(&g->address));
	if (g->token_fd >= 0)
		close(steal_fd(&g->token_fd));
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

static int read_kept(int fd, char **out, struct err *e)
{
	_cleanup_secret_ char *text = xcalloc(1, GATEWAY_TOKEN_MAX + 1);
	ssize_t n = pread(fd, text, GATEWAY_TOKEN_MAX + 1, 0);

	if (n < 0)
		return err_sys(e, "read " TOKEN);
	if (n > GATEWAY_TOKEN_MAX)
		return err_set(e, E2BIG, TOKEN " is larger than %d bytes", GATEWAY_TOKEN_MAX);
	*out = steal(&text);
	return 0;
}

/* What goes into a header must be one word of visible characters. */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
			return false;
	return s.n > 0;
}

static int read_bearer(const struct gateway *g, char **out, struct err *e)
{
	_cleanup_secret_ char *text = NULL;
	const char *where = g->token_fd >= 0 ? TOKEN : g->token_file;

	if (g->token_fd >= 0 ? read_kept(g->token_fd, &text, e) < 0
			     : file_read(g->token_file, GATEWAY_TOKEN_MAX, &text, NULL, e) < 0)
		return -1;
	struct str token = str_trim(str_of(text));
	if (!is_token(token))
		return err_set(e, EINVAL, "the token in %s is empty, or no token", where);
	*out = xasprintf("Bearer %.*s", STR_FMT(token));
	return 0;
}

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

	k->connect = NULL;
	if (c == NULL) {
		k->ops->lost(k->owner, why);
		return;
	}
	config.authority = k->gateway->address;
	config.scheme = k->gateway->url.scheme;
	config.message_max = GATEWAY_MESSAGE_MAX;
	config.ping_ms = GATEWAY_PING_MS;
	config.pong_ms = GATEWAY_PONG_MS;
	k->channel = grpc_channel_new(c, &config, lost, k);
	k->ops->open(k->owner);
}

static void run_start(struct later *later)
{
	struct gateway_link *k = container_of(later, struct gateway_link, start);
	const struct gateway *g = k->gateway;
	struct err e;

	if (read_bearer(g, &k->bearer, &e) < 0 || read_identity(g, &k->tls, &e) < 0) {
		k->ops->lost(k->owner, &e);
		return;
	}
	const struct grpc_connect_config config = {
		.host = g->url.host,
		.port = g->url.port,
		.tls = k->tls,
		.certificate_name = str_empty(g->certificate_name) ? NULL : g->certificate_name,
		.timeout_ms = GATEWAY_CONNECT_MS,
		.done = connected,
		.owner = k,
	};
	k->connect = grpc_connect_start(k->loop, k->resolver, &config);
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
	grpc_connect_cancel(steal(&k->connect));
	grpc_channel_free(steal(&k->channel));
	tls_client_unref(steal(&k->tls));
	free_secret(steal(&k->bearer));
	loop_later(k->loop, &k->end);
}

static struct grpc_rpc_config with_token(const struct gateway_link *k,
					 const struct grpc_rpc_config *cfg, struct h2_field *field)
{
	struct grpc_rpc_config with = *cfg;

	must(cfg->n == 0);
	*field = (struct h2_field){STR("authorization"), str_of(k->bearer)};
	with.metadata = field;
	with.n = 1;
	return with;
}

struct grpc_rpc *gateway_rpc_start(struct gateway_link *k, const struct grpc_rpc_config *cfg,
				   const struct grpc_rpc_ops *ops, void *user)
{
	struct h2_field field;
	const struct grpc_rpc_config with = with_token(k, cfg, &field);

	return grpc_rpc_start(k->channel, &with, ops, user);
}

struct grpc_rpc *gateway_rpc_call(struct gateway_link *k, const struct grpc_rpc_config *cfg,
				  const void *request, const struct grpc_rpc_ops *ops, void *user)
{
	struct h2_field field;
	const struct grpc_rpc_config with = with_token(k, cfg, &field);

	return grpc_rpc_call(k->channel, &with, request, ops, user);
}
