#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <psa/crypto.h>

#include "base/util.h"
#include "net/tls.h"
#include "net/tls_impl.h"

enum { IN_MAX = 32 << 10 }; /* bytes taken from the socket at once: two records */

struct tls_client {
	unsigned refs;
	bool insecure;
	mbedtls_ssl_config conf;
	mbedtls_x509_crt ca, cert;
	mbedtls_pk_context key;
};

/*
 *   HANDSHAKE --> OPEN --> (freed)
 *       +-----------+----> BROKEN: every call says CONN_ERROR
 */
enum tls_state { TLS_HANDSHAKE, TLS_OPEN, TLS_BROKEN };

struct tls_conn {
	struct conn c;
	struct tls_client *client;
	mbedtls_ssl_context ssl;
	enum tls_state state;
	char *peer, *name;
	uint8_t address[16]; /* name, when it is an address: address_n bytes, else 0 */
	size_t address_n;
	char *verify_words; /* why the certificate is not taken */
	/* Which direction the socket must allow before a call can go on; both are usual only in a
	 * handshake. */
	bool read_needs_out, write_needs_in;
	size_t write_pending; /* bytes that mbedTLS has encrypted and could not send */
	bool eof;
	size_t in_at, in_n; /* bytes from the socket that mbedTLS has not asked for */
	char in[IN_MAX];
};

static struct tls_conn *tls_of(const struct conn *c)
{
	return container_of(c, struct tls_conn, c);
}

static int random_for_tls(void *ctx UNUSED, unsigned char *p, size_t n)
{
	random_bytes(p, n);
	return 0;
}

/* ---- the client's configuration ---- */

/* TLS 1.3 of mbedTLS stands on PSA, which is set up once a process. */
static int init_library(struct err *e)
{
	static bool done;

	if (done)
		return 0;
	psa_status_t r = psa_crypto_init();
	if (r != PSA_SUCCESS)
		return err_set(e, EIO, "the TLS library cannot start: PSA error %d", (int)r);
	done = true;
	return 0;
}

static int load_identity(struct tls_client *t, const struct tls_client_config *c, struct err *e)
{
	if (c->cert_pem == NULL)
		return 0;
	if (tls_read_certs(&t->cert, c->cert_pem,
			   c->cert_name ? c->cert_name : "client certificate", e) < 0 ||
	    tls_read_key(&t->key, c->key_pem, c->key_name ? c->key_name : "client key", e) < 0)
		return -1;
	if (mbedtls_pk_check_pair(&t->cert.pk, &t->key, random_for_tls, NULL) != 0)
		return err_set(e, EINVAL, "%s is not the key of %s",
			       c->key_name ? c->key_name : "client key",
			       c->cert_name ? c->cert_name : "client certificate");
	int r = mbedtls_ssl_conf_own_cert(&t->conf, &t->cert, &t->key);
	if (r != 0)
		return err_set(e, EIO, "client certificate: %s", tls_error_words(r));
	return 0;
}

static int load_trust(struct tls_client *t, const struct tls_client_config *c, struct err *e)
{
	int r = 0;

	t->insecure = c->insecure;
	if (c->insecure) {
		mbedtls_ssl_conf_authmode(&t->conf, MBEDTLS_SSL_VERIFY_NONE);
		return 0;
	}
	if (c->ca_pem != NULL)
		r = tls_read_certs(&t->ca, c->ca_pem, c->ca_name ? c->ca_name : "CA certificate",
				   e);
	else
		r = tls_read_roots(&t->ca, e);
	mbedtls_ssl_conf_authmode(&t->conf, MBEDTLS_SSL_VERIFY_REQUIRED);
	mbedtls_ssl_conf_ca_chain(&t->conf, &t->ca, NULL);
	return r;
}

int tls_client_new(struct tls_client **out, const struct tls_client_config *c, struct err *e)
{
	if (init_library(e) < 0)
		return -1;
	struct tls_client *t = xcalloc(1, sizeof *t);
	t->refs = 1;
	mbedtls_ssl_config_init(&t->conf);
	mbedtls_x509_crt_init(&t->ca);
	mbedtls_x509_crt_init(&t->cert);
	mbedtls_pk_init(&t->key);
	int r = mbedtls_ssl_config_defaults(&t->conf, MBEDTLS_SSL_IS_CLIENT,
					    MBEDTLS_SSL_TRANSPORT_STREAM,
					    MBEDTLS_SSL_PRESET_DEFAULT);
	if (r == 0 && c->alpn != NULL)
		r = mbedtls_ssl_conf_alpn_protocols(&t->conf, c->alpn);
	mbedtls_ssl_conf_rng(&t->conf, random_for_tls, NULL);
	mbedtls_ssl_conf_session_tickets(&t->conf, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
	if (r != 0)
		err_set(e, EIO, "the TLS library refuses its configuration: %s",
			tls_error_words(r));
	if (r != 0 || load_trust(t, c, e) < 0 || load_identity(t, c, e) < 0) {
		tls_client_unref(t);
		return -1;
	}
	*out = t;
	return 0;
}

void tls_client_unref(struct tls_client *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	mbedtls_ssl_config_free(&t->conf);
	mbedtls_x509_crt_free(&t->ca);
	mbedtls_x509_crt_free(&t->cert);
	mbedtls_pk_free(&t->key);
	free(t);
}

/* ---- the socket below ---- */

static int bio_send(void *arg, const unsigned char *p, size_t n)
{
	struct tls_conn *t = arg;

	for (;;) {
		ssize_t put = send(t->c.src.fd, p, n, MSG_NOSIGNAL);
		if (put >= 0)
			return (int)put;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN)
			return MBEDTLS_ERR_SSL_WANT_WRITE;
		err_sys(&t->c.err, "write to %s", t->peer);
		return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
	}
}

/* Fills t->in. 1, or what bio_recv is to return. */
static int fill(struct tls_conn *t)
{
	for (;;) {
		ssize_t got = recv(t->c.src.fd, t->in, sizeof t->in, 0);
		if (got > 0) {
			t->in_at = 0;
			t->in_n = (size_t)got;
			return 1;
		}
		if (got == 0) {
			t->eof = true;
			return 0;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN)
			return MBEDTLS_ERR_SSL_WANT_READ;
		err_sys(&t->c.err, "read from %s", t->peer);
		return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
	}
}

/* mbedTLS asks for the five bytes of a record's head and then for the rest: both come out of one
 * read of the socket. */
static int bio_recv(void *arg, unsigned char *p, size_t n)
{
	struct tls_conn *t = arg;

	if (t->in_n == 0) {
		int r = fill(t);
		if (r != 1)
			return r;
	}
	n = MIN(n, t->in_n);
	memcpy(p, t->in + t->in_at, n);
	t->in_at += n;
	t->in_n -= n;
	return (int)n;
}

/* ---- reading and writing ---- */

/* Says what broke, unless the socket said it already. */
static int broken(struct tls_conn *t, int r)
{
	t->state = TLS_BROKEN;
	bool alert = r == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE;
	if (t->c.err.code == 0)
		err_set(&t->c.err, EPROTO, "TLS with %s: %s%s", t->peer,
			alert ? "it ends the connection: " : "",
			alert ? tls_alert_words(&t->ssl) : tls_error_words(r));
	return CONN_ERROR;
}

/* Whether r only means that there is more to do. */
static bool is_nothing(int r)
{
	return r == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET ||
	       r == MBEDTLS_ERR_SSL_CRYPTO_IN_PROGRESS || r == MBEDTLS_ERR_SSL_ASYNC_IN_PROGRESS;
}

static ssize_t tls_read(struct conn *c, void *p, size_t n)
{
	struct tls_conn *t = tls_of(c);
	int r;

	if (t->state != TLS_OPEN)
		return CONN_ERROR;
	do {
		r = mbedtls_ssl_read(&t->ssl, p, n);
	} while (is_nothing(r));
	t->read_needs_out = r == MBEDTLS_ERR_SSL_WANT_WRITE;
	if (r > 0)
		return r;
	if (r == MBEDTLS_ERR_SSL_WANT_READ || r == MBEDTLS_ERR_SSL_WANT_WRITE)
		return CONN_AGAIN;
	/* many servers just close: what is missing, the protocol above sees by its own framing */
	if (r == 0 || r == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || t->eof)
		return CONN_EOF;
	return broken(t, r);
}

static ssize_t tls_write(struct conn *c, const void *p, size_t n)
{
	struct tls_conn *t = tls_of(c);

	if (t->state != TLS_OPEN)
		return CONN_ERROR;
	if (t->write_pending > 0) { /* these bytes lie encrypted in mbedTLS already */
		must(n >= t->write_pending);
		n = t->write_pending;
	}
	n = MIN(n, (size_t)MBEDTLS_SSL_OUT_CONTENT_LEN);
	int r = mbedtls_ssl_write(&t->ssl, p, n);
	bool again = r == MBEDTLS_ERR_SSL_WANT_READ || r == MBEDTLS_ERR_SSL_WANT_WRITE;
	t->write_needs_in = r == MBEDTLS_ERR_SSL_WANT_READ;
	t->write_pending = again ? n : 0;
	if (again)
		return CONN_AGAIN;
	return r >= 0 ? r : broken(t, r);
}

static uint32_t tls_wants(struct conn *c, bool read, bool write)
{
	const struct tls_conn *t = tls_of(c);
	uint32_t events = 0;

	if (read)
		events |= t->read_needs_out ? EPOLLOUT : EPOLLIN;
	if (write)
		events |= t->write_needs_in ? EPOLLIN : EPOLLOUT;
	return events;
}

static bool tls_pending(struct conn *c)
{
	const struct tls_conn *t = tls_of(c);

	return t->in_n > 0 || mbedtls_ssl_check_pending(&t->ssl) != 0;
}

static void tls_end(struct conn *c)
{
	struct tls_conn *t = tls_of(c);

	if (t->state == TLS_OPEN)
		mbedtls_ssl_close_notify(&t->ssl); /* if it does not fit, the FIN must do */
	shutdown(c->src.fd, SHUT_WR);
}

static void tls_free(struct conn *c)
{
	struct tls_conn *t = tls_of(c);

	mbedtls_ssl_free(&t->ssl);
	tls_client_unref(t->client);
	close(t->c.src.fd);
	free(t->peer);
	free(t->name);
	free(t->verify_words);
	free(t);
}

static const struct conn_ops tls_ops = {
	.read = tls_read,
	.write = tls_write,
	.wants = tls_wants,
	.pending = tls_pending,
	.end = tls_end,
	.free = tls_free,
};

/* ---- the handshake ---- */

/* Called by mbedTLS for each certificate of the chain, the server's own last. */
static int verify(void *arg, mbedtls_x509_crt *cert, int depth, uint32_t *flags)
{
	struct tls_conn *t = arg;

	if (depth == 0 && t->address_n > 0 && !tls_cert_has_address(cert, t->address, t->address_n))
		*flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
	if (*flags != 0 && (depth == 0 || t->verify_words == NULL)) {
		free(t->verify_words);
		t->verify_words = tls_verify_words(cert, depth, *flags, t->name);
	}
	return 0;
}

static int handshake_failed(struct tls_conn *t, int r)
{
	t->state = TLS_BROKEN;
	if (t->c.err.code != 0)
		return CONN_ERROR;
	if (t->eof)
		err_set(&t->c.err, ECONNRESET,
			"TLS with %s: it closed the connection during the "
			"handshake (does it speak TLS?)",
			t->peer);
	else if (r == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED && t->verify_words != NULL)
		err_set(&t->c.err, EACCES, "TLS with %s: %s", t->peer, t->verify_words);
	else if (r == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
		err_set(&t->c.err, EPROTO, "TLS with %s: it refuses us: %s", t->peer,
			tls_alert_words(&t->ssl));
	else
		err_set(&t->c.err, EPROTO, "TLS with %s: %s", t->peer, tls_error_words(r));
	return CONN_ERROR;
}

int tls_handshake(struct conn *c)
{
	struct tls_conn *t = tls_of(c);
	int r;

	if (t->state != TLS_HANDSHAKE)
		return t->state == TLS_OPEN ? 1 : CONN_ERROR;
	do {
		r = mbedtls_ssl_handshake(&t->ssl);
	} while (is_nothing(r));
	if (r == 0) {
		t->state = TLS_OPEN;
		return 1;
	}
	if (r != MBEDTLS_ERR_SSL_WANT_READ && r != MBEDTLS_ERR_SSL_WANT_WRITE)
		return handshake_failed(t, r);
	conn_want(c, r == MBEDTLS_ERR_SSL_WANT_READ, r == MBEDTLS_ERR_SSL_WANT_WRITE);
	return CONN_AGAIN;
}

/* What the certificate must be for. A name is checked by mbedTLS, which sends it as SNI as well; an
 * address must not be sent there (RFC 6066 section 3), and is checked by us. */
static int set_name(struct tls_conn *t)
{
	if (inet_pton(AF_INET, t->name, t->address) == 1)
		t->address_n = 4;
	else if (inet_pton(AF_INET6, t->name, t->address) == 1)
		t->address_n = 16;
	return mbedtls_ssl_set_hostname(&t->ssl, t->address_n ? NULL : t->name);
}

int tls_connect(struct conn **out, struct loop *l, int fd, struct tls_client *client,
		const char *name, const char *peer, struct err *e)
{
	struct tls_conn *t = xcalloc(1, sizeof *t);

	t->peer = xstrdup(peer);
	t->name = xstrdup(name);
	t->client = client;
	client->refs++;
	mbedtls_ssl_init(&t->ssl);
	if (conn_init(&t->c, l, fd, &tls_ops, t->peer, e) < 0) {
		tls_free(&t->c);
		return -1;
	}
	int r = mbedtls_ssl_setup(&t->ssl, &client->conf);
	if (r == 0)
		r = set_name(t);
	if (r != 0) {
		err_set(e, EIO, "TLS with %s: %s", peer, tls_error_words(r));
		conn_free(&t->c);
		return -1;
	}
	mbedtls_ssl_set_verify(&t->ssl, verify, t);
	mbedtls_ssl_set_bio(&t->ssl, t, bio_send, bio_recv, NULL);
	*out = &t->c;
	return 0;
}

const char *tls_alpn(const struct conn *c)
{
	const char *s = mbedtls_ssl_get_alpn_protocol(&tls_of(c)->ssl);

	return s ? s : "";
}

const char *tls_version(const struct conn *c)
{
	return mbedtls_ssl_get_version(&tls_of(c)->ssl);
}
