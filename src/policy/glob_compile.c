/*
 * From a pattern to a program, in three steps: the source, which is the pattern as the peer's engine
 * rewrites it for its delimiter; the tokens, read as globset reads them; the instructions.
 */
#include <string.h>

#include "policy/glob_impl.h"

enum token_kind {
	BYTE,
	SET,
	STAR,   /* bytes of one component */
	PREFIX, /* two stars and a delimiter, in front: nothing, or anything that ends in one */
	MIDDLE, /* two stars between delimiters: one of them, or anything between two */
	SUFFIX, /* a delimiter and two stars, at the end: it, and anything */
	OPEN,   /* of a group */
	NEXT,
	CLOSE,
};

struct token {
	uint8_t kind; /* enum token_kind */
	uint8_t byte;
	uint16_t set;
};

struct compiler {
	char source[GLOB_SOURCE_MAX];
	size_t source_n, at;
	struct token tokens[GLOB_SOURCE_MAX];
	size_t tokens_n;
	size_t branch[GLOB_NESTING_MAX +
		      1]; /* where the tokens of each open group's branch begin */
	size_t groups;    /* that are open */
	struct glob_set sets[GLOB_SETS + GLOB_PATTERN_MAX];
	uint16_t sets_n;
	struct glob_insn program[GLOB_PROGRAM_MAX];
	uint16_t n;
};

/* ---- the source ---- */

static bool write_source(struct compiler *c, struct str pattern, enum glob_kind kind)
{
	for (size_t i = 0; i < pattern.n; i++) {
		char p = pattern.p[i];
		if (p == '\0')
			return false;
		if (kind == GLOB_HOST && p >= 'A' && p <= 'Z')
			p = (char)(p - 'A' + 'a');
		if (kind != GLOB_PATH && p == '.') {
			memcpy(c->source + c->source_n, "/./", 3);
			c->source_n += 3;
		} else {
			c->source[c->source_n++] = kind != GLOB_PATH && p == '/' ? '\0' : p;
		}
	}
	return true;
}

/* ---- the tokens ---- */

static void push(struct compiler *c, enum token_kind kind, uint8_t byte, uint16_t set)
{
	c->tokens[c->tokens_n++] = (struct token){(uint8_t)kind, byte, set};
}

static bool more(const struct compiler *c)
{
	return c->at < c->source_n;
}

static const char *read_escape(struct compiler *c)
{
	if (!more(c))
		return "ends in a backslash";
	push(c, BYTE, (uint8_t)c->source[c->at++], 0);
	return NULL;
}

static void two_stars(struct compiler *c)
{
	push(c, STAR, 0, 0);
	push(c, STAR, 0, 0);
}

/* Whether the two stars that were just read end their branch or are followed by a delimiter, which
 * is then read too. */
static bool ends_component(struct compiler *c, bool *is_last)
{
	char next = more(c) ? c->source[c->at] : '\0';

	*is_last = !more(c) || (c->groups > 0 && (next == ',' || next == '}'));
	if (!*is_last && next == '/')
		c->at++;
	return *is_last || next == '/';
}

static void read_star(struct compiler *c)
{
	char before = c->at > 1 ? c->source[c->at - 2] : '\0';
	bool is_last;

	if (!more(c) || c->source[c->at] != '*') {
		push(c, STAR, 0, 0);
		return;
	}
	c->at++;
	if (c->tokens_n == c->branch[c->groups]) { /* in front */
		if (more(c) && c->source[c->at] != '/') {
			two_stars(c);
			return;
		}
		c->at += more(c);
		push(c, PREFIX, 0, 0);
		return;
	}
	if (before != '/' || !ends_component(c, &is_last)) {
		two_stars(c);
		return;
	}
	/* the delimiter before them is part of the token */
	struct token *top = &c->tokens[c->tokens_n - 1];
	if (top->kind != PREFIX && top->kind != SUFFIX)
		top->kind = is_last ? SUFFIX : MIDDLE;
}

static void set_add(struct glob_set *s, unsigned first, unsigned last)
{
	for (unsigned b = first; b <= last; b++)
		s->bits[b / 64] |= UINT64_C(1) << (b % 64);
}

/* A "-" at either end of a class, and a "]" at its start, stand for themselves. */
static const char *read_class(struct compiler *c)
{
	struct glob_set *s = &c->sets[c->sets_n];
	bool negated = more(c) && (c->source[c->at] == '!' || c->source[c->at] == '^');
	bool first = true, in_range = false;
	uint8_t low = 0;

	c->at += negated;
	for (;; first = false) {
		if (!more(c))
			return "holds a class that is not closed";
		uint8_t b = (uint8_t)c->source[c->at++];
		if (b == ']' && !first)
			break;
		if (b == '-' && !first && !in_range) {
			in_range = true;
			continue;
		}
		if (in_range && b < low)
			return "holds a range that ends before it begins";
		set_add(s, in_range ? low : b, b);
		in_range = false;
		low = b;
	}
	if (in_range)
		set_add(s, '-', '-');
	for (size_t i = 0; negated && i < 4; i++)
		s->bits[i] = ~s->bits[i];
	push(c, SET, 0, c->sets_n++);
	return NULL;
}

static const char *open_group(struct compiler *c)
{
	if (c->groups == GLOB_NESTING_MAX)
		return "nests groups too deep";
	push(c, OPEN, 0, 0);
	c->branch[++c->groups] = c->tokens_n;
	return NULL;
}

static void next_branch(struct compiler *c)
{
	if (c->groups == 0) {
		push(c, BYTE, ',', 0);
		return;
	}
	push(c, NEXT, 0, 0);
	c->branch[c->groups] = c->tokens_n;
}

static const char *close_group(struct compiler *c)
{
	if (c->groups == 0)
		return "closes a group that is not open";
	push(c, CLOSE, 0, 0);
	c->groups--;
	return NULL;
}

static const char *read_token(struct compiler *c)
{
	char p = c->source[c->at++];

	switch (p) {
	case '?':
		push(c, SET, 0, GLOB_SET_COMPONENT);
		return NULL;
	case '*':
		read_star(c);
		return NULL;
	case '[':
		return read_class(c);
	case '{':
		return open_group(c);
	case ',':
		next_branch(c);
		return NULL;
	case '}':
		return close_group(c);
	case '\\':
		return read_escape(c);
	default:
		push(c, BYTE, (uint8_t)p, 0);
		return NULL;
	}
}

/* ---- the instructions ---- */

static uint16_t emit(struct compiler *c, enum glob_op op, uint8_t byte, size_t arg)
{
	must(c->n < GLOB_PROGRAM_MAX);
	c->program[c->n] = (struct glob_insn){(uint8_t)op, byte, (uint16_t)arg};
	return c->n++;
}

/* Any number of bytes of a set. */
static void emit_many(struct compiler *c, uint16_t set)
{
	uint16_t fork = emit(c, GLOB_FORK, 0, c->n + 3U);

	emit(c, GLOB_SET, 0, set);
	emit(c, GLOB_JUMP, 0, fork);
}

/* Nothing, or anything that ends in a delimiter. */
static void emit_components(struct compiler *c)
{
	emit(c, GLOB_FORK, 0, c->n + 5U);
	emit_many(c, GLOB_SET_ANY);
	emit(c, GLOB_BYTE, '/', 0);
}

static void emit_range(struct compiler *c, size_t from, size_t to);

/* The end of the branch that begins at from: its NEXT, or its group's CLOSE. */
static size_t branch_end(const struct compiler *c, size_t from)
{
	size_t depth = 0;

	for (size_t i = from;; i++) {
		uint8_t kind = c->tokens[i].kind;
		if (depth == 0 && (kind == NEXT || kind == CLOSE))
			return i;
		depth += kind == OPEN;
		depth -= kind == CLOSE;
	}
}

/* A branch that matches only nothing is no branch: "{a,}" is "a". */
static bool is_branch(const struct compiler *c, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		if (c->tokens[i].kind < OPEN)
			return true;
	}
	return false;
}

/* A group's tokens, from the one behind its OPEN. Each branch but the last that counts is a fork to
 * the next and, at its end, a jump behind the group. Returns where the CLOSE is. */
static size_t emit_group(struct compiler *c, size_t from)
{
	uint16_t jumps[GLOB_PATTERN_MAX], fork = 0;
	size_t jumps_n = 0, end, at = from;
	bool begun = false;

	for (;; at = end + 1) {
		end = branch_end(c, at);
		if (is_branch(c, at, end)) {
			if (begun) {
				jumps[jumps_n++] = emit(c, GLOB_JUMP, 0, 0);
				c->program[fork].arg = c->n;
			}
			/* for the last branch a fork that leads nowhere new, see below */
			fork = emit(c, GLOB_FORK, 0, c->n + 1U);
			begun = true;
			emit_range(c, at, end);
		}
		if (c->tokens[end].kind == CLOSE)
			break;
	}
	for (size_t i = 0; i < jumps_n; i++)
		c->program[jumps[i]].arg = c->n;
	return end;
}

static void emit_range(struct compiler *c, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const struct token *t = &c->tokens[i];
		switch ((enum token_kind)t->kind) {
		case BYTE:
			emit(c, GLOB_BYTE, t->byte, 0);
			break;
		case SET:
			emit(c, GLOB_SET, 0, t->set);
			break;
		case STAR:
			emit_many(c, GLOB_SET_COMPONENT);
			break;
		case PREFIX:
			emit_components(c);
			break;
		case MIDDLE:
			emit(c, GLOB_BYTE, '/', 0);
			emit_components(c);
			break;
		case SUFFIX:
			emit(c, GLOB_BYTE, '/', 0);
			emit_many(c, GLOB_SET_ANY);
			break;
		case OPEN:
			i = emit_group(c, i + 1);
			break;
		case NEXT:
		case CLOSE:
			must(false);
		}
	}
}

static void emit_all(struct compiler *c)
{
	/* two stars alone are everything */
	if (c->tokens_n == 1 && c->tokens[0].kind == PREFIX)
		emit_many(c, GLOB_SET_ANY);
	else
		emit_range(c, 0, c->tokens_n);
	emit(c, GLOB_END, 0, 0);
}

/* ---- the glob ---- */

static const struct glob *keep(struct arena *a, const struct compiler *c, enum glob_kind kind)
{
	struct glob *g = arena_zalloc(a, sizeof *g);
	struct glob_insn *program = arena_zalloc(a, c->n * sizeof *program);
	struct glob_set *sets = arena_zalloc(a, c->sets_n * sizeof *sets);

	memcpy(program, c->program, c->n * sizeof *program);
	memcpy(sets, c->sets, c->sets_n * sizeof *sets);
	*g = (struct glob){kind, c->n, program, sets};
	return g;
}

const struct glob *glob_compile(struct arena *a, struct str pattern, enum glob_kind kind,
				const char **why)
{
	if (pattern.n > GLOB_PATTERN_MAX) {
		*why = "is longer than 1024 bytes";
		return NULL;
	}
	_cleanup_free_ struct compiler *c = xcalloc(1, sizeof *c);
	memset(&c->sets[GLOB_SET_ANY], 0xff, sizeof c->sets[0]);
	memset(&c->sets[GLOB_SET_COMPONENT], 0xff, sizeof c->sets[0]);
	c->sets[GLOB_SET_COMPONENT].bits['/' / 64] &= ~(UINT64_C(1) << '/' % 64);
	c->sets_n = GLOB_SETS;
	*why = write_source(c, pattern, kind) ? NULL : "holds a NUL character";
	while (*why == NULL && more(c))
		*why = read_token(c);
	if (*why == NULL && c->groups > 0)
		*why = "holds a group that is not closed";
	if (*why != NULL)
		return NULL;
	emit_all(c);
	return keep(a, c, kind);
}
