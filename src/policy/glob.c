#include <stdlib.h>
#include <string.h>

#include "policy/glob_impl.h"

_Static_assert(GLOB_PATTERN_MAX == 1024, "said in glob_compile");

/* Where in the program a text may have got to: a list without doubles. */
struct states {
	uint16_t n;
	uint16_t v[GLOB_PROGRAM_MAX];
	uint64_t in[GLOB_PROGRAM_MAX / 64 + 1];
};

static void states_clear(struct states *s, const struct glob *g)
{
	s->n = 0;
	memset(s->in, 0, (g->n / 64U + 1) * sizeof s->in[0]);
}

static void states_add(struct states *s, uint16_t at)
{
	uint64_t bit = UINT64_C(1) << (at % 64);

	if (s->in[at / 64] & bit)
		return;
	s->in[at / 64] |= bit;
	s->v[s->n++] = at;
}

static bool set_has(const struct glob_set *s, uint8_t c)
{
	return s->bits[c / 64] >> (c % 64) & 1;
}

/* Takes byte c in all states. Forks and jumps add to the list that is being walked. */
static void step(const struct glob *g, struct states *now, struct states *next, uint8_t c)
{
	states_clear(next, g);
	for (uint16_t i = 0; i < now->n; i++) {
		uint16_t at = now->v[i];
		const struct glob_insn *p = &g->program[at];
		switch ((enum glob_op)p->op) {
		case GLOB_BYTE:
			if (p->byte == c)
				states_add(next, at + 1);
			break;
		case GLOB_SET:
			if (set_has(&g->sets[p->arg], c))
				states_add(next, at + 1);
			break;
		case GLOB_FORK:
			states_add(now, at + 1);
			states_add(now, p->arg);
			break;
		case GLOB_JUMP:
			states_add(now, p->arg);
			break;
		case GLOB_END:
			break;
		}
	}
}

struct matcher {
	const struct glob *g;
	struct states a, b;
	struct states *now, *next;
};

static void feed(struct matcher *m, uint8_t c)
{
	struct states *next = m->next;

	step(m->g, m->now, next, c);
	m->next = m->now;
	m->now = next;
}

/* A byte of the text, written as the source of the pattern was. */
static void feed_delimited(struct matcher *m, uint8_t c)
{
	if (m->g->kind == GLOB_HOST && c >= 'A' && c <= 'Z')
		c = (uint8_t)(c - 'A' + 'a');
	if (c == '.') {
		feed(m, '/');
		feed(m, '.');
		feed(m, '/');
	} else {
		feed(m, c == '/' ? '\0' : c);
	}
}

static bool may_end(struct matcher *m)
{
	step(m->g, m->now, m->next, 0); /* for the forks and jumps in m->now */
	for (uint16_t i = 0; i < m->now->n; i++) {
		if (m->g->program[m->now->v[i]].op == GLOB_END)
			return true;
	}
	return false;
}

bool glob_match(const struct glob *g, struct str text)
{
	struct matcher m;

	m.g = g;
	m.now = &m.a;
	m.next = &m.b;
	states_clear(m.now, g);
	states_add(m.now, 0);
	for (size_t i = 0; i < text.n && m.now->n > 0; i++) {
		uint8_t c = (uint8_t)text.p[i];
		if (c == '\0')
			return false;
		if (g->kind == GLOB_PATH)
			feed(&m, c);
		else
			feed_delimited(&m, c);
	}
	return may_end(&m);
}

/* ---- two globs at once ---- */

enum { PAIRS_MAX = 1 << 20 }; /* of states that are tried */

struct pairs {
	const struct glob *a, *b;
	uint32_t *v; /* those that were reached: at in a times b's length, plus at in b */
	size_t n;
	uint64_t *in;
};

static void pairs_add(struct pairs *p, uint32_t in_a, uint32_t in_b)
{
	uint32_t pair = in_a * p->b->n + in_b;
	uint64_t bit = UINT64_C(1) << (pair % 64);

	if (p->in[pair / 64] & bit)
		return;
	p->in[pair / 64] |= bit;
	p->v[p->n++] = pair;
}

/* Goes on without a byte where the instruction is a fork or a jump; false where it is none. */
static bool pairs_fork(struct pairs *p, uint32_t in_a, uint32_t in_b)
{
	const struct glob_insn *x = &p->a->program[in_a], *y = &p->b->program[in_b];

	if (x->op == GLOB_JUMP || x->op == GLOB_FORK)
		pairs_add(p, x->arg, in_b);
	if (x->op == GLOB_FORK)
		pairs_add(p, in_a + 1, in_b);
	if (x->op == GLOB_JUMP || x->op == GLOB_FORK)
		return true;
	if (y->op == GLOB_JUMP || y->op == GLOB_FORK)
		pairs_add(p, in_a, y->arg);
	if (y->op == GLOB_FORK)
		pairs_add(p, in_a, in_b + 1);
	return y->op == GLOB_JUMP || y->op == GLOB_FORK;
}

static struct glob_set bytes_of(const struct glob *g, const struct glob_insn *i)
{
	struct glob_set s = {{0}};

	if (i->op == GLOB_SET)
		return g->sets[i->arg];
	s.bits[i->byte / 64] = UINT64_C(1) << (i->byte % 64);
	return s;
}

static bool common_byte(const struct pairs *p, const struct glob_insn *x, const struct glob_insn *y)
{
	struct glob_set s = bytes_of(p->a, x), t = bytes_of(p->b, y);

	for (size_t i = 0; i < 4; i++) {
		if (s.bits[i] & t.bits[i])
			return true;
	}
	return false;
}

static bool pairs_meet(struct pairs *p)
{
	pairs_add(p, 0, 0);
	for (size_t i = 0; i < p->n; i++) {
		uint32_t in_a = p->v[i] / p->b->n, in_b = p->v[i] % p->b->n;
		const struct glob_insn *x = &p->a->program[in_a], *y = &p->b->program[in_b];
		if (pairs_fork(p, in_a, in_b))
			continue;
		if (x->op == GLOB_END && y->op == GLOB_END)
			return true;
		if (x->op != GLOB_END && y->op != GLOB_END && common_byte(p, x, y))
			pairs_add(p, in_a + 1, in_b + 1);
	}
	return false;
}

bool glob_overlap(const struct glob *a, const struct glob *b)
{
	size_t all = (size_t)a->n * b->n;

	must(a->kind == b->kind);
	if (all > PAIRS_MAX)
		return true;
	_cleanup_free_ uint32_t *v = xcalloc(all, sizeof *v);
	_cleanup_free_ uint64_t *in = xcalloc(all / 64 + 1, sizeof *in);
	struct pairs p = {a, b, v, 0, in};
	return pairs_meet(&p);
}
