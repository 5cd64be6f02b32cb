#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mbedtls/pem.h>
#include <mbedtls/x509.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/util.h"
#include "net/tls_impl.h"

enum { BUNDLE_MAX = 4 << 20 }; /* bytes of a file of root certificates; Debian's has 220 KB */

/* Whether a PEM block holds Ed25519's object identifier 1.3.101.112 (RFC 8410) or Ed448's. */
static bool names_eddsa(const char *pem)
{
	static const uint8_t ed25519[] = {6, 3, 0x2b, 0x65, 0x70},
			     ed448[] = {6, 3, 0x2b, 0x65, 0x71};
	const char *at = pem;
	bool found = false;

	while (!found && (at = strstr(at, "-----BEGIN ")) != NULL) {
		const char *body = strchr(at, '\n'), *end = body ? strstr(body, "-----END") : NULL;
		if (end == NULL)
			break;
		size_t n = 0, plain_n = 0;
		_cleanup_secret_ char *packed = xcalloc(1, (size_t)(end - body) + 1);
		for (const char *p = body; p < end; p++) {
			if (strchr(" \t\r\n", *p) == NULL)
				packed[n++] = *p;
		}
		uint8_t *plain = xcalloc(1, base64_decoded_max(n) + 1);
		if (base64_decode(str_sub(packed, n), plain, &plain_n))
			found = memmem(plain, plain_n, ed25519, sizeof ed25519) != NULL ||
				memmem(plain, plain_n, ed448, sizeof ed448) != NULL;
		explicit_bzero(plain, plain_n);
		free(plain);
		at = end;
	}
	return found;
}

static int refuse(const char *pem, const char *name, int r, struct err *e)
{
	if (strstr(pem, "-----BEGIN ") == NULL)
		return err_set(e, EINVAL, "%s is not PEM text", name);
	if (names_eddsa(pem))
		return err_set(e, ENOTSUP,
			       "%s: Ed25519 keys are not supported by this program's TLS library "
			       "(RSA and the NIST curves are)",
			       name);
	if (r == MBEDTLS_ERR_PK_PASSWORD_REQUIRED || r == MBEDTLS_ERR_PK_PASSWORD_MISMATCH)
		return err_set(e, ENOTSUP, "%s is encrypted by a password, which is not supported",
			       name);
	return err_set(e, EINVAL, "%s: %s", name, tls_error_words(r));
}

int tls_read_certs(mbedtls_x509_crt *out, const char *pem, const char *name, struct err *e)
{
	/* > 0: so many of them could not be read; what is asked for by name must be whole */
	int r = mbedtls_x509_crt_parse(out, (const unsigned char *)pem, strlen(pem) + 1);

	if (r == 0)
		return 0;
	return refuse(pem, name, r > 0 ? MBEDTLS_ERR_X509_INVALID_FORMAT : r, e);
}

static int random_for_key(void *ctx UNUSED, unsigned char *p, size_t n)
{
	random_bytes(p, n);
	return 0;
}

int tls_read_key(mbedtls_pk_context *out, const char *pem, const char *name, struct err *e)
{
	int r = mbedtls_pk_parse_key(out, (const unsigned char *)pem, strlen(pem) + 1, NULL, 0,
				     random_for_key, NULL);

	return r == 0 ? 0 : refuse(pem, name, r, e);
}

/* Where distributions keep them; the first that is there counts. SSL_CERT_FILE goes first, as it
 * does for OpenSSL and Go. */
static const char *const root_files[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/pki/tls/cacert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

int tls_read_roots(mbedtls_x509_crt *out, struct err *e)
{
	const char *path = getenv("SSL_CERT_FILE");
	_cleanup_free_ char *pem = NULL;

	for (size_t i = 0; (path == NULL || path[0] == '\0') && i < ARRAY_LEN(root_files); i++)
		path = access(root_files[i], R_OK) == 0 ? root_files[i] : NULL;
	if (path == NULL || path[0] == '\0')
		return err_set(e, ENOENT,
			       "no certificate authority is given, and this machine has no "
			       "file of trusted ones (SSL_CERT_FILE may name one)");
	if (file_read(path, BUNDLE_MAX, &pem, NULL, e) < 0)
		return -1;
	/* of a whole bundle a few may be of a kind that the library does not know */
	int r = mbedtls_x509_crt_parse(out, (const unsigned char *)pem, strlen(pem) + 1);
	return r < 0 ? refuse(pem, path, r, e) : 0;
}

bool tls_cert_has_address(const mbedtls_x509_crt *cert, const uint8_t *address, size_t n)
{
	for (const mbedtls_x509_sequence *s = &cert->subject_alt_names; s != NULL; s = s->next) {
		if ((s->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == MBEDTLS_X509_SAN_IP_ADDRESS &&
		    s->buf.len == n && memcmp(s->buf.p, address, n) == 0)
			return true;
	}
	return false;
}
