#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include "base/buf.h"
#include "base/util.h"
#include "net/tls_impl.h"

static const struct {
	int error;
	const char *words;
} error_words[] = {
	{MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE, "we have no cipher or protocol version in common"},
	{MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION, "it speaks neither TLS 1.2 nor 1.3"},
	{MBEDTLS_ERR_SSL_INVALID_RECORD, "what it sends is not TLS"},
	{MBEDTLS_ERR_SSL_INVALID_MAC, "what it sends was changed on its way"},
	{MBEDTLS_ERR_SSL_CONN_EOF, "it closed the connection"},
	{MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL, "we have no application protocol in common"},
	{MBEDTLS_ERR_SSL_BAD_CERTIFICATE, "its certificate is of a kind that is not supported"},
	{MBEDTLS_ERR_X509_UNKNOWN_SIG_ALG, "a certificate is signed by an unsupported algorithm "
					   "(Ed25519 keys are not supported by this program's TLS "
					   "library)"},
	{MBEDTLS_ERR_X509_UNKNOWN_OID, "a certificate is of an unsupported algorithm"},
	{MBEDTLS_ERR_X509_INVALID_FORMAT, "a certificate cannot be read"},
	{MBEDTLS_ERR_PK_UNKNOWN_PK_ALG,
	 "a key is of an unsupported algorithm (Ed25519 keys are not "
	 "supported by this program's TLS library)"},
	{MBEDTLS_ERR_PK_KEY_INVALID_FORMAT, "the key cannot be read"},
};

const char *tls_error_words(int error)
{
	static char words[160];

	for (size_t i = 0; i < ARRAY_LEN(error_words); i++) {
		/* an error is the sum of a high part, which says what, and a low one */
		if ((-error & 0xff80) == -error_words[i].error)
			return error_words[i].words;
	}
	mbedtls_strerror(error, words, sizeof words);
	return words;
}

/* RFC 8446 section 6. */
static const struct {
	unsigned char alert;
	const char *words;
} alert_words[] = {
	{40,
	 "handshake failure: no cipher, curve or signature in common (a server whose only key is "
	 "Ed25519 cannot be reached)"},
	{42, "bad certificate"},
	{43, "unsupported certificate"},
	{44, "our certificate is revoked"},
	{45, "our certificate has expired"},
	{46, "our certificate is not accepted"},
	{47, "illegal parameter"},
	{48, "it does not know the authority that signed our certificate"},
	{49, "access denied"},
	{50, "decode error"},
	{51, "decrypt error"},
	{70, "protocol version: it speaks neither TLS 1.2 nor 1.3"},
	{71, "insufficient security"},
	{80, "internal error"},
	{112, "it does not know the name we asked for"},
	{116, "it wants a client certificate"},
	{120, "no application protocol in common"},
};

const char *tls_alert_words(const mbedtls_ssl_context *ssl)
{
	static char words[32];
	/* the alert lies where the last record was read to: level, then description */
	unsigned char alert = ssl->MBEDTLS_PRIVATE(in_msg)[1];

	for (size_t i = 0; i < ARRAY_LEN(alert_words); i++) {
		if (alert_words[i].alert == alert)
			return alert_words[i].words;
	}
	snprintf(words, sizeof words, "alert %u", alert);
	return words;
}

/* ---- certificates ---- */

static void add_date(struct buf *b, const mbedtls_x509_time *t)
{
	buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02dZ", t->year, t->mon, t->day, t->hour, t->min,
		   t->sec);
}

static void add_name(struct buf *b, const mbedtls_x509_name *name)
{
	char text[256];

	if (mbedtls_x509_dn_gets(text, sizeof text, name) > 0)
		buf_printf(b, "\"%s\"", text);
	else
		buf_cstr(b, "a name that cannot be shown");
}

/* One alternative name: DNS names and addresses; others cannot match a host. */
static void add_alternative(struct buf *b, const mbedtls_x509_buf *san, const char **sep)
{
	char address[INET6_ADDRSTRLEN];
	int type = san->tag & MBEDTLS_ASN1_TAG_VALUE_MASK;

	if (type == MBEDTLS_X509_SAN_DNS_NAME) {
		buf_printf(b, "%s%.*s", *sep, (int)san->len, (const char *)san->p);
	} else if (type == MBEDTLS_X509_SAN_IP_ADDRESS && (san->len == 4 || san->len == 16)) {
		inet_ntop(san->len == 4 ? AF_INET : AF_INET6, san->p, address, sizeof address);
		buf_printf(b, "%s%s", *sep, address);
	} else {
		return;
	}
	*sep = ", ";
}

static void add_names(struct buf *b, const mbedtls_x509_crt *cert)
{
	const char *sep = "";

	for (const mbedtls_x509_sequence *s = &cert->subject_alt_names; s != NULL; s = s->next) {
		if (s->buf.p != NULL)
			add_alternative(b, &s->buf, &sep);
	}
	if (*sep == '\0')
		add_name(b, &cert->subject);
}

/* What is the matter, the most telling first. */
static void add_reason(struct buf *b, const mbedtls_x509_crt *cert, uint32_t flags,
		       const char *name)
{
	if (flags & MBEDTLS_X509_BADCERT_EXPIRED) {
		buf_cstr(b, " expired on ");
		add_date(b, &cert->valid_to);
	} else if (flags & MBEDTLS_X509_BADCERT_FUTURE) {
		buf_cstr(b, " is not valid before ");
		add_date(b, &cert->valid_from);
	} else if (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) {
		buf_printf(b, " is not for \"%s\", but for ", name);
		add_names(b, cert);
	} else if (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) {
		buf_cstr(b, " is signed by an authority that is not trusted: ");
		add_name(b, &cert->issuer);
	} else if (flags & (MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK |
			    MBEDTLS_X509_BADCERT_BAD_KEY)) {
		buf_cstr(b, " uses a key or a hash that is too weak, or not supported");
	} else {
		buf_printf(b, " is not valid for a server (0x%x)", flags);
	}
}

char *tls_verify_words(const mbedtls_x509_crt *cert, int depth, uint32_t flags, const char *name)
{
	struct buf b = BUF_INIT(ERR_TEXT_MAX / 2);

	if (depth == 0) {
		buf_cstr(&b, "its certificate");
	} else {
		buf_cstr(&b, "the authority ");
		add_name(&b, &cert->subject);
	}
	add_reason(&b, cert, flags, name);
	return buf_take(&b);
}
