/*
 * AES-GCM (NIST SP 800-38D) for all that uses mbedTLS, which is TLS and libssh: what mbedtls/gcm.h declares, by
 * nettle's GCM and AES (vendor/mbedtls_user.h says why). No cryptography is done here; this file holds what is left
 * of a block when a caller's pieces end inside one, since nettle takes whole blocks but for the last, and
 * chooses nettle's assembler where the processor has instructions for it, else its C.
 *
 * Where the processor has none, both AES and GHASH look up tables at places that depend on keys, as in mbedTLS; SSH
 * offers another cipher first there (src/ssh/sshd_inside.c). The key schedule is mbedTLS's, which makes it by the
 * processor's instructions too, while nettle's always looks up a table. The layout is the same.
 *
 * Errors and limits are those of mbedTLS.
 */
#include <stdlib.h>
#include <string.h>

#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/aes.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/gcm.h>
#include <nettle/aes.h>
#include <nettle/gcm.h>

#include "base/util.h"
#include "net/gcm_cpu.h"

/* A context after its first key. From mbedtls_gcm_starts on: additional data, then data, then the tag. */
struct gcm {
	struct aes256_ctx aes; /* of a shorter key a part is used */
	nettle_cipher_func *encrypt;
	struct gcm_key key;
	struct gcm_ctx message; /* without the rest */
	uint64_t added, done;   /* bytes taken of either kind, with the rest */
	uint8_t rest[GCM_BLOCK_SIZE];
	bool decrypts;
};

/* Bytes of a message, of its additional data and its IV (section 5.2.1.1), of its tag. */
#define DATA_MAX 0xFFFFFFFE0ull
#define ADDED_MAX (1ull << 61)
#define TAG_MIN 4

/* ---- nettle's primitives ---- */

#define GHASH_SET_KEY(name) void name(struct gcm_key *key, const union nettle_block16 *h)
#define GHASH_UPDATE(name)                                                                         \
	const uint8_t *name(const struct gcm_key *key, union nettle_block16 *state, size_t blocks, \
			    const uint8_t *data)

nettle_cipher_func _nettle_aes128_encrypt_c, _nettle_aes192_encrypt_c, _nettle_aes256_encrypt_c;
nettle_cipher_func GCM_AES(128), GCM_AES(192), GCM_AES(256);
GHASH_SET_KEY(_nettle_ghash_set_key_c);
GHASH_SET_KEY(GCM_GHASH(set_key));
GHASH_UPDATE(_nettle_ghash_update_c);
GHASH_UPDATE(GCM_GHASH(update));
/* what nettle's GCM calls */
GHASH_SET_KEY(_nettle_ghash_set_key);
GHASH_UPDATE(_nettle_ghash_update);

static struct {
	bool asked, aes, ghash;
} cpu;

static void ask_cpu(void)
{
	if (cpu.asked)
		return;
	cpu.aes = gcm_cpu_aes();
	cpu.ghash = gcm_cpu_ghash();
	cpu.asked = true;
}

static nettle_cipher_func *aes_of(unsigned bits)
{
	switch (bits) {
	case 128:
		return cpu.aes ? GCM_AES(128) : _nettle_aes128_encrypt_c;
	case 192:
		return cpu.aes ? GCM_AES(192) : _nettle_aes192_encrypt_c;
	case 256:
		return cpu.aes ? GCM_AES(256) : _nettle_aes256_encrypt_c;
	default:
		return NULL;
	}
}

GHASH_SET_KEY(_nettle_ghash_set_key)
{
	(cpu.ghash ? GCM_GHASH(set_key) : _nettle_ghash_set_key_c)(key, h);
}

GHASH_UPDATE(_nettle_ghash_update)
{
	return (cpu.ghash ? GCM_GHASH(update) : _nettle_ghash_update_c)(key, state, blocks, data);
}

/* ---- keys ---- */

void mbedtls_gcm_init(mbedtls_gcm_context *ctx)
{
	ctx->state = NULL;
}

void mbedtls_gcm_free(mbedtls_gcm_context *ctx)
{
	if (!ctx || !ctx->state)
		return;
	explicit_bzero(ctx->state, sizeof(*ctx->state));
	free(ctx->state);
	ctx->state = NULL;
}

static int set_aes(struct aes256_ctx *to, const unsigned char *key, unsigned bits)
{
	mbedtls_aes_context schedule;
	int status;

	mbedtls_aes_init(&schedule);
	status = mbedtls_aes_setkey_enc(&schedule, key, bits);
	if (!status)
		memcpy(to->keys, schedule.buf + schedule.rk_offset,
		       (size_t)(schedule.nr + 1) * AES_BLOCK_SIZE);
	mbedtls_aes_free(&schedule);
	return status;
}

int mbedtls_gcm_setkey(mbedtls_gcm_context *ctx, mbedtls_cipher_id_t cipher,
		       const unsigned char *key, unsigned bits)
{
	struct gcm *g;

	ask_cpu();
	if (cipher != MBEDTLS_CIPHER_ID_AES || !aes_of(bits))
		return MBEDTLS_ERR_GCM_BAD_INPUT;
	if (!ctx->state)
		ctx->state = xcalloc(1, sizeof(*ctx->state));
	g = ctx->state;
	g->encrypt = aes_of(bits);
	if (set_aes(&g->aes, key, bits))
		return MBEDTLS_ERR_GCM_BAD_INPUT;
	gcm_set_key(&g->key, &g->aes, g->encrypt);
	return 0;
}

/* ---- a message in pieces ---- */

int mbedtls_gcm_starts(mbedtls_gcm_context *ctx, int mode, const unsigned char *iv, size_t iv_len)
{
	struct gcm *g = ctx->state;

	if (!g || iv_len == 0 || iv_len >= ADDED_MAX)
		return MBEDTLS_ERR_GCM_BAD_INPUT;
	gcm_set_iv(&g->message, &g->key, iv_len, iv);
	g->added = g->done = 0;
	g->decrypts = mode == MBEDTLS_GCM_DECRYPT;
	return 0;
}

/* How many of these bytes go into a block that is begun. */
static size_t first_of(uint64_t done, size_t len)
{
	return MIN(-done % GCM_BLOCK_SIZE, len);
}

static size_t whole_of(size_t len)
{
	return len - len % GCM_BLOCK_SIZE;
}

static void add_part(struct gcm *g, const uint8_t *add, size_t len)
{
	memcpy(g->rest + g->added % GCM_BLOCK_SIZE, add, len);
	g->added += len;
}

int mbedtls_gcm_update_ad(mbedtls_gcm_context *ctx, const unsigned char *add, size_t len)
{
	struct gcm *g = ctx->state;
	size_t first, whole;

	if (!g || g->done || len >= ADDED_MAX - g->added)
		return MBEDTLS_ERR_GCM_BAD_INPUT;
	if (len == 0)
		return 0;
	first = first_of(g->added, len);
	whole = whole_of(len - first);
	add_part(g, add, first);
	if (first && g->added % GCM_BLOCK_SIZE == 0)
		gcm_update(&g->message, &g->key, GCM_BLOCK_SIZE, g->rest);
	gcm_update(&g->message, &g->key, whole, add + first);
	g->added += whole;
	add_part(g, add + first + whole, len - first - whole);
	return 0;
}

/* Additional data that ends inside a block, once no more can come. */
static void end_added(struct gcm *g)
{
	if (!g->done)
		gcm_update(&g->message, &g->key, g->added % GCM_BLOCK_SIZE, g->rest);
}

static void crypt(const struct gcm *g, struct gcm_ctx *message, size_t len, uint8_t *out,
		  const uint8_t *in)
{
	(g->decrypts ? gcm_decrypt : gcm_encrypt)(message, &g->key, &g->aes, g->encrypt, len, out,
						  in);
}

/* Less than a block, in one: with the bytes of it that came before, as if the message ended here, and is
 * forgotten again if it might not. */
static void crypt_part(struct gcm *g, size_t len, uint8_t *out, const uint8_t *in)
{
	struct gcm_ctx message = g->message;
	size_t at = g->done % GCM_BLOCK_SIZE;
	uint8_t block[GCM_BLOCK_SIZE];

	if (len == 0)
		return;
	memcpy(g->rest + at, in, len);
	crypt(g, &message, at + len, block, g->rest);
	memcpy(out, block + at, len);
	g->done += len;
	if (g->done % GCM_BLOCK_SIZE == 0)
		g->message = message;
}

int mbedtls_gcm_update(mbedtls_gcm_context *ctx, const unsigned char *in, size_t len,
		       unsigned char *out, size_t size, size_t *out_len)
{
	struct gcm *g = ctx->state;
	size_t first, whole;

	if (size < len)
		return MBEDTLS_ERR_GCM_BUFFER_TOO_SMALL;
	if (!g || len > DATA_MAX - g->done)
		return MBEDTLS_ERR_GCM_BAD_INPUT;
	*out_len = len;
	if (len == 0)
		return 0;
	if (in != out && in < out + len && out < in + len)
		in = memmove(out, in, len); /* nettle knows in place, and apart */
	end_added(g);
	first = first_of(g->done, len);
	whole = whole_of(len - first);
	crypt_part(g, first, out, in);
	crypt(g, &g->message, whole, out + first, in + first);
	g->done += whole;
	crypt_part(g, len - first - whole, out + first + whole, in + first + whole);
	return 0;
}

int mbedtls_gcm_finish(mbedtls_gcm_context *ctx, unsigned char *out UNUSED, size_t size UNUSED,
		       size_t *out_len, unsigned char *tag, size_t tag_len)
{
	struct gcm *g = ctx->state;
	uint8_t block[GCM_BLOCK_SIZE];

	*out_len = 0;
	if (!g || tag_len < TAG_MIN || tag_len > GCM_DIGEST_SIZE)
		return MBEDTLS_ERR_GCM_BAD_INPUT;
	end_added(g);
	crypt(g, &g->message, g->done % GCM_BLOCK_SIZE, block, g->rest);
	gcm_digest(&g->message, &g->key, &g->aes, g->encrypt, tag_len, tag);
	return 0;
}

/* ---- a message at once ---- */

int mbedtls_gcm_crypt_and_tag(mbedtls_gcm_context *ctx, int mode, size_t len,
			      const unsigned char *iv, size_t iv_len, const unsigned char *add,
			      size_t add_len, const unsigned char *in, unsigned char *out,
			      size_t tag_len, unsigned char *tag)
{
	size_t n;
	int status = mbedtls_gcm_starts(ctx, mode, iv, iv_len);

	if (!status)
		status = mbedtls_gcm_update_ad(ctx, add, add_len);
	if (!status)
		status = mbedtls_gcm_update(ctx, in, len, out, len, &n);
	if (!status)
		status = mbedtls_gcm_finish(ctx, NULL, 0, &n, tag, tag_len);
	return status;
}

int mbedtls_gcm_auth_decrypt(mbedtls_gcm_context *ctx, size_t len, const unsigned char *iv,
			     size_t iv_len, const unsigned char *add, size_t add_len,
			     const unsigned char *tag, size_t tag_len, const unsigned char *in,
			     unsigned char *out)
{
	uint8_t right[GCM_DIGEST_SIZE];
	int status = mbedtls_gcm_crypt_and_tag(ctx, MBEDTLS_GCM_DECRYPT, len, iv, iv_len, add,
					       add_len, in, out, tag_len, right);

	if (!status && mbedtls_ct_memcmp(tag, right, tag_len) != 0) {
		explicit_bzero(out, len);
		status = MBEDTLS_ERR_GCM_AUTH_FAILED;
	}
	return status;
}
