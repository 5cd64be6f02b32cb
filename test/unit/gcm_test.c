/*
 * AES-GCM against the vectors of its authors, which NIST's validation has too, and against the specification taken by
 * its words: a slow GHASH here, and mbedTLS's AES. All of it with the processor's instructions and without.
 */
#include "../../src/net/gcm.c"

#include <stdio.h>

#include "test.h"

enum { LONGEST = 5000 };

/* ---- the specification ---- */

/* SP 800-38D, algorithm 1: z = x * h */
static void multiply(uint8_t x[16], const uint8_t h[16])
{
	uint8_t z[16] = {0}, v[16];

	memcpy(v, h, 16);
	for (unsigned i = 0; i < 128; i++) {
		bool odd = v[15] & 1;

		for (unsigned k = 0; k < 16 && (x[i / 8] >> (7 - i % 8) & 1); k++)
			z[k] ^= v[k];
		for (unsigned k = 15; k > 0; k--)
			v[k] = (uint8_t)(v[k] >> 1 | v[k - 1] << 7);
		v[0] = (uint8_t)(v[0] >> 1 ^ (odd ? 0xe1 : 0));
	}
	memcpy(x, z, 16);
}

static void hash(uint8_t y[16], const uint8_t h[16], const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		y[i % 16] ^= p[i];
		if (i % 16 == 15 || i + 1 == n)
			multiply(y, h);
	}
}

static void hash_lengths(uint8_t y[16], const uint8_t h[16], uint64_t a, uint64_t b)
{
	uint8_t block[16];

	for (unsigned i = 0; i < 8; i++) {
		block[i] = (uint8_t)(a * 8 >> (56 - 8 * i));
		block[8 + i] = (uint8_t)(b * 8 >> (56 - 8 * i));
	}
	hash(y, h, block, 16);
}

static void next(uint8_t counter[16])
{
	for (unsigned i = 15; i >= 12 && ++counter[i] == 0; i--)
		;
}

struct message {
	unsigned bits;
	uint8_t key[32], iv[64], add[256], plain[LONGEST], sealed[LONGEST], tag[16];
	size_t iv_len, add_len, len;
};

static void seal(struct message *m)
{
	static const uint8_t zero[16];
	uint8_t h[16], first[16] = {0}, counter[16], stream[16];
	mbedtls_aes_context aes;

	mbedtls_aes_init(&aes);
	EQ(mbedtls_aes_setkey_enc(&aes, m->key, m->bits), 0);
	mbedtls_aes_crypt_ecb(&aes, MBEDTLS_AES_ENCRYPT, zero, h);
	if (m->iv_len == 12) {
		memcpy(first, m->iv, 12);
		first[15] = 1;
	} else {
		hash(first, h, m->iv, m->iv_len);
		hash_lengths(first, h, 0, m->iv_len);
	}
	memcpy(counter, first, 16);
	for (size_t i = 0; i < m->len; i++) {
		if (i % 16 == 0) {
			next(counter);
			mbedtls_aes_crypt_ecb(&aes, MBEDTLS_AES_ENCRYPT, counter, stream);
		}
		m->sealed[i] = m->plain[i] ^ stream[i % 16];
	}
	memset(m->tag, 0, 16);
	hash(m->tag, h, m->add, m->add_len);
	hash(m->tag, h, m->sealed, m->len);
	hash_lengths(m->tag, h, m->add_len, m->len);
	mbedtls_aes_crypt_ecb(&aes, MBEDTLS_AES_ENCRYPT, first, stream);
	for (unsigned i = 0; i < 16; i++)
		m->tag[i] ^= stream[i];
	mbedtls_aes_free(&aes);
}

/* ---- ours ---- */

static mbedtls_gcm_context context_of(const uint8_t *key, unsigned bits)
{
	mbedtls_gcm_context c;

	mbedtls_gcm_init(&c);
	EQ(mbedtls_gcm_setkey(&c, MBEDTLS_CIPHER_ID_AES, key, bits), 0);
	return c;
}

/* Both ways with and without the instructions, where the processor has any. */
static void each_way(void (*check)(void))
{
	ask_cpu();
	if (!cpu.aes || !cpu.ghash)
		puts("this processor has no instructions for AES-GCM: C alone is tried");
	check();
	cpu.aes = false;
	check();
	cpu.ghash = false;
	check();
	cpu.asked = false;
}

static size_t unhex(uint8_t *out, const char *text)
{
	size_t n = strlen(text) / 2;

	for (size_t i = 0; i < n; i++)
		sscanf(text + 2 * i, "%2hhx", &out[i]);
	return n;
}

#define KEY "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define IV "cafebabefacedbaddecaf888"
#define IV_8 "cafebabefacedbad"
#define IV_60                                                                                      \
	"9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728c3c0c95156809539fcf0e242" \
	"9a6b525"                                                                                  \
	"416aedbf5a0de6a57a637b39b"
#define PLAIN                                                                                      \
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e24" \
	"49a6b525"                                                                                 \
	"b16aedf5aa0de657ba637b39"
#define ADD "feedfacedeadbeeffeedfacedeadbeefabaddad2"
#define NONE "00000000000000000000000000000000"

static void check_vectors(void)
{
	/* McGrew and Viega, The Galois/Counter Mode of Operation, appendix B: cases 1, 2, 4 to 6, and of longer keys */
	static const struct {
		unsigned bits;
		const char *key, *iv, *add, *plain, *tag;
	} t[] = {
		{128, NONE, "000000000000000000000000", "", "", "58e2fccefa7e3061367f1d57a4e7455a"},
		{128, NONE, "000000000000000000000000", "", NONE,
		 "ab6e47d42cec13bdf53a67b21257bddf"},
		{128, KEY, IV, ADD, PLAIN, "5bc94fbc3221a5db94fae95ae7121a47"},
		{128, KEY, IV_8, ADD, PLAIN, "3612d2e79e3b0785561be14aaca2fccb"},
		{128, KEY, IV_60, ADD, PLAIN, "619cc5aefffe0bfa462af43c1699d050"},
		{192, KEY, IV, ADD, PLAIN, "2519498e80f1478f37ba55bd6d27618c"},
		{192, KEY, IV_8, ADD, PLAIN, "65dcc57fcf623a24094fcca40d3533f8"},
		{192, KEY, IV_60, ADD, PLAIN, "dcf566ff291c25bbb8568fc3d376a6d9"},
		{256, KEY, IV, ADD, PLAIN, "76fc6ece0f4e1768cddf8853bb2d551b"},
		{256, KEY, IV_8, ADD, PLAIN, "3a337dbf46a792c45e454913fe2ea8f2"},
		{256, KEY, IV_60, ADD, PLAIN, "a44a8266ee1c8eb0c8b5d4cf5ae9f19a"},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		uint8_t key[32], iv[64], add[64], plain[64], sealed[64], opened[64], right[16],
			tag[16];
		size_t iv_len = unhex(iv, t[i].iv), add_len = unhex(add, t[i].add);
		size_t n = unhex(plain, t[i].plain);
		mbedtls_gcm_context c;

		unhex(key, t[i].key);
		unhex(right, t[i].tag);
		c = context_of(key, t[i].bits);
		EQ(mbedtls_gcm_crypt_and_tag(&c, MBEDTLS_GCM_ENCRYPT, n, iv, iv_len, add, add_len,
					     plain, sealed, 16, tag),
		   0);
		MEMEQ(tag, right, 16);
		EQ(mbedtls_gcm_auth_decrypt(&c, n, iv, iv_len, add, add_len, right, 16, sealed,
					    opened),
		   0);
		MEMEQ(opened, plain, n);
		mbedtls_gcm_free(&c);
	}
}

TEST(the_authors_vectors)
{
	each_way(check_vectors);
}

static size_t below(size_t n)
{
	return (size_t)random() % n;
}

static size_t piece(size_t longest, size_t left)
{
	size_t n = below(longest + 1);

	return MIN(n, left);
}

/* Mostly short, often around blocks, and now and then longer than nettle takes at once. */
static size_t some_length(size_t max)
{
	size_t n = below(4) ? below(70) : below(max + 1);

	return MIN(n, max);
}

static void random_message(struct message *m)
{
	for (uint8_t *p = (uint8_t *)m; p < (uint8_t *)(m + 1); p++)
		*p = (uint8_t)random();
	m->bits = 128 + 64 * (unsigned)below(3);
	m->iv_len = below(2) ? 12 : 1 + below(sizeof(m->iv));
	m->add_len = some_length(sizeof(m->add));
	m->len = some_length(sizeof(m->plain));
	seal(m);
}

/* In pieces of any length, 0 too, onto the same bytes or others. */
static void in_pieces(mbedtls_gcm_context *c, int mode, const struct message *m, uint8_t *tag,
		      const uint8_t *in, uint8_t *out)
{
	size_t longest = 1 + below(300), n;

	EQ(mbedtls_gcm_starts(c, mode, m->iv, m->iv_len), 0);
	for (size_t at = 0; at < m->add_len; at += n) {
		n = piece(longest, m->add_len - at);
		EQ(mbedtls_gcm_update_ad(c, m->add + at, n), 0);
	}
	for (size_t at = 0, done; at < m->len; at += n) {
		n = piece(longest, m->len - at);
		EQ(mbedtls_gcm_update(c, in + at, n, out + at, n, &done), 0);
		EQ(done, n);
	}
	EQ(mbedtls_gcm_finish(c, NULL, 0, &n, tag, 16), 0);
	EQ(n, 0);
}

static void check_random(void)
{
	static struct message m;
	static uint8_t out[LONGEST + 64];
	uint8_t tag[16];

	for (unsigned i = 0; i < 300; i++) {
		size_t shift = below(64);
		mbedtls_gcm_context c;

		random_message(&m);
		c = context_of(m.key, m.bits);
		in_pieces(&c, MBEDTLS_GCM_ENCRYPT, &m, tag, m.plain, out);
		MEMEQ(out, m.sealed, m.len);
		MEMEQ(tag, m.tag, 16);
		in_pieces(&c, MBEDTLS_GCM_DECRYPT, &m, tag, out, out);
		MEMEQ(out, m.plain, m.len);
		MEMEQ(tag, m.tag, 16);
		/* at once, and overlapping either way */
		memcpy(out + shift, m.plain, m.len);
		EQ(mbedtls_gcm_crypt_and_tag(&c, MBEDTLS_GCM_ENCRYPT, m.len, m.iv, m.iv_len, m.add,
					     m.add_len, out + shift, out, 16, tag),
		   0);
		MEMEQ(out, m.sealed, m.len);
		MEMEQ(tag, m.tag, 16);
		EQ(mbedtls_gcm_auth_decrypt(&c, m.len, m.iv, m.iv_len, m.add, m.add_len, m.tag, 16,
					    out, out + shift),
		   0);
		MEMEQ(out + shift, m.plain, m.len);
		mbedtls_gcm_free(&c);
	}
}

TEST(random_messages_in_random_pieces)
{
	each_way(check_random);
}

/* The counter of a block is 32 bits wide, and what carries out of it is lost. */
static void check_counter(void)
{
	static struct message m;
	static uint8_t out[LONGEST];
	uint8_t tag[16];
	mbedtls_gcm_context c;

	/* the first counter is a hash of such an IV: this one's, found by search, wraps within 256 blocks */
	memset(&m, 0, sizeof(m));
	m.bits = 256;
	m.len = LONGEST;
	m.iv_len = 16;
	memcpy(m.iv, (const uint32_t[]){7761662}, 4);
	c = context_of(m.key, m.bits);
	EQ(mbedtls_gcm_starts(&c, MBEDTLS_GCM_ENCRYPT, m.iv, m.iv_len), 0);
	MEMEQ(c.state->message.iv.b + 12, "\xff\xff\xff", 3);
	seal(&m);
	EQ(mbedtls_gcm_crypt_and_tag(&c, MBEDTLS_GCM_ENCRYPT, m.len, m.iv, m.iv_len, m.add, 0,
				     m.plain, out, 16, tag),
	   0);
	MEMEQ(out, m.sealed, m.len);
	MEMEQ(tag, m.tag, 16);
	mbedtls_gcm_free(&c);
}

TEST(a_counter_that_wraps)
{
	each_way(check_counter);
}

TEST(what_was_changed_is_not_opened)
{
	static struct message m;
	uint8_t out[100], none[100] = {0};
	mbedtls_gcm_context c;

	random_message(&m);
	m.len = 100;
	m.add_len = 20;
	seal(&m);
	c = context_of(m.key, m.bits);
#define OPENED(tag_len)                                                                            \
	mbedtls_gcm_auth_decrypt(&c, m.len, m.iv, m.iv_len, m.add, m.add_len, m.tag, tag_len,      \
				 m.sealed, out)
	EQ(OPENED(16), 0);
	EQ(OPENED(4), 0);
	uint8_t *const bytes[] = {m.iv,          m.add, m.add + 19, m.sealed,
				  m.sealed + 99, m.tag, m.tag + 15};
	for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
		*bytes[i] ^= 1;
		EQ(OPENED(16), MBEDTLS_ERR_GCM_AUTH_FAILED);
		MEMEQ(out, none, 100);
		*bytes[i] ^= 1;
	}
	EQ(OPENED(16), 0);
	mbedtls_gcm_free(&c);
}

TEST(wrong_arguments_are_refused)
{
	uint8_t key[32] = {1}, iv[12] = {2}, data[32] = {3}, tag[16];
	mbedtls_gcm_context c, unused;
	size_t n;

	mbedtls_gcm_init(&unused);
	EQ(mbedtls_gcm_starts(&unused, MBEDTLS_GCM_ENCRYPT, iv, 12), MBEDTLS_ERR_GCM_BAD_INPUT);
	EQ(mbedtls_gcm_setkey(&unused, MBEDTLS_CIPHER_ID_AES, key, 512), MBEDTLS_ERR_GCM_BAD_INPUT);
	EQ(mbedtls_gcm_setkey(&unused, MBEDTLS_CIPHER_ID_CAMELLIA, key, 128),
	   MBEDTLS_ERR_GCM_BAD_INPUT);
	mbedtls_gcm_free(&unused);
	mbedtls_gcm_free(NULL);

	c = context_of(key, 256);
	EQ(mbedtls_gcm_starts(&c, MBEDTLS_GCM_ENCRYPT, iv, 0), MBEDTLS_ERR_GCM_BAD_INPUT);
	EQ(mbedtls_gcm_starts(&c, MBEDTLS_GCM_ENCRYPT, iv, 12), 0);
	EQ(mbedtls_gcm_update(&c, data, 32, data, 31, &n), MBEDTLS_ERR_GCM_BUFFER_TOO_SMALL);
	EQ(mbedtls_gcm_update(&c, data, DATA_MAX + 1, data, DATA_MAX + 1, &n),
	   MBEDTLS_ERR_GCM_BAD_INPUT);
	EQ(mbedtls_gcm_update_ad(&c, data, ADDED_MAX), MBEDTLS_ERR_GCM_BAD_INPUT);
	EQ(mbedtls_gcm_update(&c, data, 32, data, 32, &n), 0);
	EQ(mbedtls_gcm_update_ad(&c, data, 1), MBEDTLS_ERR_GCM_BAD_INPUT);
	EQ(mbedtls_gcm_finish(&c, NULL, 0, &n, tag, 3), MBEDTLS_ERR_GCM_BAD_INPUT);
	EQ(mbedtls_gcm_finish(&c, NULL, 0, &n, tag, 17), MBEDTLS_ERR_GCM_BAD_INPUT);
	mbedtls_gcm_free(&c);
}

/* libssh keys a context again at each exchange. */
TEST(a_second_key_takes_the_place_of_the_first)
{
	static struct message m;
	uint8_t out[LONGEST], tag[16];
	mbedtls_gcm_context c;

	random_message(&m);
	c = context_of((const uint8_t[32]){9}, 256);
	EQ(mbedtls_gcm_setkey(&c, MBEDTLS_CIPHER_ID_AES, m.key, m.bits), 0);
	in_pieces(&c, MBEDTLS_GCM_ENCRYPT, &m, tag, m.plain, out);
	MEMEQ(out, m.sealed, m.len);
	MEMEQ(tag, m.tag, 16);
	mbedtls_gcm_free(&c);
}
