#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/util.h"

struct map_slot {
	char *key; /* NULL: never used, or (tombstone) used once */
	size_t n;
	uint64_t hash;
	void *value;
	bool tombstone;
};

static uint64_t rotl(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* SipHash with one compression and three finalization rounds (Aumasson and Bernstein, 2012). */
uint64_t hash_bytes(const void *p, size_t n)
{
	static uint64_t k[2];
	static bool keyed;
	const unsigned char *at = p;
	uint64_t word;

	if (!keyed) {
		random_bytes(k, sizeof k);
		keyed = true;
	}
	uint64_t v[4] = {k[0] ^ 0x736f6d6570736575, k[1] ^ 0x646f72616e646f6d,
			 k[0] ^ 0x6c7967656e657261, k[1] ^ 0x7465646279746573};
	for (size_t left = n; left >= 8; left -= 8, at += 8) {
		memcpy(&word, at, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = (uint64_t)n << 56;
	for (size_t i = 0; i < n % 8; i++)
		word |= (uint64_t)at[i] << (8 * i);
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_fini(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		free(m->slots[i].key);
	free(m->slots);
	*m = MAP_INIT;
}

/* The slot that holds the key, or NULL. */
static struct map_slot *find(const struct map *m, struct str key, uint64_t hash)
{
	if (m->n == 0)
		return NULL;
	for (size_t i = hash;; i++) {
		struct map_slot *s = &m->slots[i & (m->cap - 1)];
		if (s->key == NULL && !s->tombstone)
			return NULL;
		if (s->key != NULL && s->hash == hash && s->n == key.n &&
		    memcmp(s->key, key.p, key.n) == 0)
			return s;
	}
}

static struct map_slot *free_slot(struct map *m, uint64_t hash)
{
	for (size_t i = hash;; i++) {
		struct map_slot *s = &m->slots[i & (m->cap - 1)];
		if (s->key == NULL)
			return s;
	}
}

static void resize(struct map *m)
{
	struct map old = *m;

	m->cap = 16;
	while (m->cap < old.n * 4)
		m->cap *= 2;
	m->slots = xcalloc(m->cap, sizeof *m->slots);
	m->used = m->n;
	for (size_t i = 0; i < old.cap; i++) {
		if (old.slots[i].key != NULL)
			*free_slot(m, old.slots[i].hash) = old.slots[i];
	}
	free(old.slots);
}

void *map_get(const struct map *m, struct str key)
{
	struct map_slot *s = find(m, key, hash_bytes(key.p, key.n));

	return s ? s->value : NULL;
}

void *map_put(struct map *m, struct str key, void *value)
{
	uint64_t hash = hash_bytes(key.p, key.n);
	struct map_slot *s = find(m, key, hash);

	must(value != NULL);
	if (s != NULL) {
		void *old = s->value;
		s->value = value;
		return old;
	}
	if ((m->used + 1) * 4 > m->cap * 3)
		resize(m);
	s = free_slot(m, hash);
	if (!s->tombstone)
		m->used++;
	*s = (struct map_slot){.key = str_dup(key), .n = key.n, .hash = hash, .value = value};
	m->n++;
	return NULL;
}

void *map_del(struct map *m, struct str key)
{
	struct map_slot *s = find(m, key, hash_bytes(key.p, key.n));

	if (s == NULL)
		return NULL;
	void *value = s->value;
	free(s->key);
	*s = (struct map_slot){.tombstone = true};
	m->n--;
	return value;
}

bool map_next(const struct map *m, size_t *at, struct str *key, void **value)
{
	while (*at < m->cap) {
		struct map_slot *s = &m->slots[(*at)++];
		if (s->key == NULL)
			continue;
		if (key != NULL)
			*key = (struct str){s->key, s->n};
		*value = s->value;
		return true;
	}
	return false;
}
