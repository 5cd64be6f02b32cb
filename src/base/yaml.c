#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/json.h"
#include "base/map.h"
#include "base/yaml.h"

/* A collection that is being filled. */
struct level {
	cJSON *node;
	char *key; /* of the value that comes next; NULL: a key comes next */
	yaml_mark_t key_at;
	struct map keys; /* those of a mapping so far */
	yaml_mark_t start;
};

struct anchor {
	char *name;
	const cJSON *node; /* within the tree, whole once its level is closed */
	size_t nodes;      /* how many it is made of */
};

struct place {
	const cJSON *node;
	struct yaml_mark at;
};

/* In the order of parsing first, then by the addresses of the nodes. */
struct yaml_marks {
	struct place *v;
	size_t n, cap;
};

struct reader {
	yaml_parser_t parser;
	const char *what;
	struct err *e;
	cJSON *root;
	struct yaml_marks *marks; /* NULL when nobody asks for them */
	struct level levels[YAML_DEPTH_MAX];
	size_t depth;
	struct anchor anchors[YAML_ANCHORS_MAX];
	size_t anchors_n;
	size_t nodes;
};

__attribute__((format(printf, 3, 4))) static int refuse(struct reader *r, yaml_mark_t at,
							const char *fmt, ...)
{
	char words[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	return err_set(r->e, EINVAL, "%s: line %zu column %zu: %s", r->what, at.line + 1,
		       at.column + 1, words);
}

/* ---- scalars: the core schema of YAML 1.2, section 10.3 ---- */

static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (streq(s, *words))
			return true;
	}
	return false;
}

static const char *const null_words[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const true_words[] = {"true", "True", "TRUE", NULL};
static const char *const false_words[] = {"false", "False", "FALSE", NULL};
static const char *const infinite_words[] = {".inf", ".Inf", ".INF", NULL};
static const char *const nan_words[] = {".nan", ".NaN", ".NAN", NULL};

static bool only(const char *s, const char *set)
{
	return *s != '\0' && s[strspn(s, set)] == '\0';
}

static bool is_decimal(const char *s)
{
	s += *s == '-' || *s == '+';
	size_t whole = strspn(s, "0123456789");
	s += whole;
	size_t fraction = 0;
	if (*s == '.') {
		fraction = strspn(s + 1, "0123456789");
		s += 1 + fraction;
	}
	if (whole + fraction == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		return only(s, "0123456789");
	}
	return *s == '\0';
}

static bool to_number(const char *s, double *out)
{
	if (s[0] == '0' && s[1] == 'o' && only(s + 2, "01234567")) {
		*out = (double)strtoull(s + 2, NULL, 8);
	} else if (s[0] == '0' && s[1] == 'x' && only(s + 2, "0123456789abcdefABCDEF")) {
		*out = (double)strtoull(s + 2, NULL, 16);
	} else if (is_decimal(s)) {
		*out = strtod(s, NULL);
	} else {
		return false;
	}
	return true;
}

/* A plain number or truth value keeps how it was written, see yaml_text. */
static cJSON *plain(const char *s)
{
	cJSON *j;
	double number;

	if (is_one_of(s, null_words))
		return cJSON_CreateNull();
	if (is_one_of(s, true_words))
		j = cJSON_CreateTrue();
	else if (is_one_of(s, false_words))
		j = cJSON_CreateFalse();
	else if (to_number(s, &number))
		j = cJSON_CreateNumber(number);
	else
		return json_new_str(s);
	if (j != NULL)
		j->valuestring = xstrdup(s);
	return j;
}

static cJSON *scalar(struct reader *r, const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value;
	const char *tag = (const char *)ev->data.scalar.tag;

	if (strlen(s) != ev->data.scalar.length) {
		refuse(r, ev->start_mark, "a NUL character in a value");
		return NULL;
	}
	if (tag != NULL && !streq(tag, YAML_STR_TAG) && !streq(tag, "!")) {
		refuse(r, ev->start_mark, "tag %.64s is not supported", tag);
		return NULL;
	}
	if (tag != NULL || ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return json_new_str(s);
	if (is_one_of(s[0] == '-' || s[0] == '+' ? s + 1 : s, infinite_words) ||
	    is_one_of(s, nan_words)) {
		refuse(r, ev->start_mark, "%s is no number of JSON", s);
		return NULL;
	}
	return plain(s);
}

/* ---- the tree ---- */

static int count(struct reader *r, yaml_mark_t at, size_t n)
{
	r->nodes += n;
	if (r->nodes > YAML_NODES_MAX)
		return refuse(r, at, "more than %d values", YAML_NODES_MAX);
	return 0;
}

static int take_key(struct reader *r, struct level *top, const yaml_event_t *ev)
{
	const char *key = (const char *)ev->data.scalar.value;

	if (ev->type != YAML_SCALAR_EVENT)
		return refuse(r, ev->start_mark, "a key must be a plain value");
	if (strlen(key) != ev->data.scalar.length)
		return refuse(r, ev->start_mark, "a NUL character in a key");
	if (streq(key, "<<") && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return refuse(r, ev->start_mark, "merge keys (<<) are not supported");
	if (map_put(&top->keys, str_of(key), top) != NULL)
		return refuse(r, ev->start_mark, "key \"%.128s\" is given twice", key);
	top->key = xstrdup(key);
	top->key_at = ev->start_mark;
	return 0;
}

static void note(struct reader *r, const cJSON *node, yaml_mark_t at)
{
	struct yaml_marks *m = r->marks;

	if (m == NULL)
		return;
	if (m->n == m->cap) {
		m->cap = MAX((size_t)64, 2 * m->cap);
		m->v = xrealloc(m->v, m->cap * sizeof *m->v);
	}
	m->v[m->n++] = (struct place){node, {(unsigned)at.line + 1, (unsigned)at.column + 1}};
}

static void note_within(struct reader *r, const cJSON *node, yaml_mark_t at)
{
	for (const cJSON *c = node->child; c != NULL; c = c->next) {
		note(r, c, at);
		note_within(r, c, at);
	}
}

/* Puts a finished or just opened node where it belongs; takes it. */
static void place(struct reader *r, cJSON *node, yaml_mark_t at)
{
	struct level *top = r->depth ? &r->levels[r->depth - 1] : NULL;

	note(r, node, top != NULL && top->key != NULL ? top->key_at : at);
	if (top == NULL) {
		r->root = node;
		return;
	}
	if (top->key == NULL) {
		json_add(top->node, node);
		return;
	}
	/* appended without a search: the keys are known to differ */
	must(cJSON_AddItemToObject(top->node, top->key, node));
	free(steal(&top->key));
}

static int remember(struct reader *r, const yaml_char_t *name, const cJSON *node, yaml_mark_t at)
{
	if (name == NULL)
		return 0;
	if (r->anchors_n == YAML_ANCHORS_MAX)
		return refuse(r, at, "more than %d anchors", YAML_ANCHORS_MAX);
	r->anchors[r->anchors_n++] = (struct anchor){xstrdup((const char *)name), node, 1};
	return 0;
}

static int open_level(struct reader *r, const yaml_event_t *ev, cJSON *node, const yaml_char_t *tag,
		      const yaml_char_t *anchor)
{
	place(r, node, ev->start_mark);
	if (tag != NULL && !streq((const char *)tag, YAML_MAP_TAG) &&
	    !streq((const char *)tag, YAML_SEQ_TAG))
		return refuse(r, ev->start_mark, "tag %.64s is not supported", (const char *)tag);
	if (r->depth == YAML_DEPTH_MAX)
		return refuse(r, ev->start_mark, "nested deeper than %d", YAML_DEPTH_MAX);
	r->levels[r->depth++] = (struct level){.node = node, .start = ev->start_mark};
	if (remember(r, anchor, node, ev->start_mark) < 0)
		return -1;
	if (anchor != NULL) /* made whole by close_level */
		r->anchors[r->anchors_n - 1].nodes = 0;
	return 0;
}

static size_t nodes_of(const cJSON *j)
{
	size_t n = 1;

	for (const cJSON *c = j->child; c != NULL; c = c->next)
		n += nodes_of(c);
	return n;
}

static void close_level(struct reader *r)
{
	struct level *top = &r->levels[--r->depth];

	map_fini(&top->keys);
	for (size_t i = 0; i < r->anchors_n; i++) {
		if (r->anchors[i].node == top->node)
			r->anchors[i].nodes = nodes_of(top->node);
	}
}

static int depth_of(const cJSON *j)
{
	int deepest = 0;

	for (const cJSON *c = j->child; c != NULL; c = c->next) {
		int depth = depth_of(c); /* once: MAX evaluates its arguments twice */
		deepest = MAX(deepest, depth);
	}
	return deepest + 1;
}

static int copy_alias(struct reader *r, const yaml_event_t *ev)
{
	const char *name = (const char *)ev->data.alias.anchor;
	const struct anchor *a = NULL;

	for (size_t i = r->anchors_n; i > 0 && a == NULL; i--) { /* the newest of a name counts */
		if (streq(r->anchors[i - 1].name, name))
			a = &r->anchors[i - 1];
	}
	if (a == NULL)
		return refuse(r, ev->start_mark, "alias *%.64s has no anchor", name);
	if (a->nodes == 0)
		return refuse(r, ev->start_mark, "alias *%.64s is inside its own anchor", name);
	if (count(r, ev->start_mark, a->nodes) < 0)
		return -1;
	if ((int)r->depth + depth_of(a->node) > YAML_DEPTH_MAX + 1)
		return refuse(r, ev->start_mark, "nested deeper than %d", YAML_DEPTH_MAX);
	cJSON *copy = json_copy(a->node);
	place(r, copy, ev->start_mark);
	note_within(r, copy, ev->start_mark);
	return 0;
}

static int handle(struct reader *r, const yaml_event_t *ev)
{
	struct level *top = r->depth ? &r->levels[r->depth - 1] : NULL;
	bool wants_key = top != NULL && cJSON_IsObject(top->node) && top->key == NULL;

	if (ev->type == YAML_MAPPING_END_EVENT || ev->type == YAML_SEQUENCE_END_EVENT) {
		close_level(r);
		return 0;
	}
	if (wants_key)
		return take_key(r, top, ev);
	if (ev->type == YAML_ALIAS_EVENT)
		return copy_alias(r, ev);
	if (count(r, ev->start_mark, 1) < 0)
		return -1;
	if (ev->type == YAML_MAPPING_START_EVENT)
		return open_level(r, ev, json_object(), ev->data.mapping_start.tag,
				  ev->data.mapping_start.anchor);
	if (ev->type == YAML_SEQUENCE_START_EVENT)
		return open_level(r, ev, json_array(), ev->data.sequence_start.tag,
				  ev->data.sequence_start.anchor);
	must(ev->type == YAML_SCALAR_EVENT);
	cJSON *node = scalar(r, ev);
	if (node == NULL)
		return -1;
	place(r, node, ev->start_mark);
	return remember(r, ev->data.scalar.anchor, node, ev->start_mark);
}

static int syntax_error(struct reader *r)
{
	yaml_mark_t at = r->parser.problem_mark;

	/* the reader of characters knows an offset only */
	if (r->parser.error == YAML_READER_ERROR)
		return err_set(r->e, EINVAL, "%s: byte %zu: %s", r->what, r->parser.problem_offset,
			       r->parser.problem);
	return refuse(r, at, "%s", r->parser.problem ? r->parser.problem : "not YAML");
}

static int read_events(struct reader *r)
{
	int documents = 0;

	for (;;) {
		yaml_event_t ev;
		int bad = 0;

		if (!yaml_parser_parse(&r->parser, &ev))
			return syntax_error(r);
		yaml_event_type_t type = ev.type;
		if (type == YAML_DOCUMENT_START_EVENT && ++documents > 1)
			bad = refuse(r, ev.start_mark, "a second document");
		else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
			 type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT)
			bad = handle(r, &ev);
		yaml_event_delete(&ev);
		if (bad < 0)
			return -1;
		if (type == YAML_STREAM_END_EVENT)
			return 0;
	}
}

static void reader_fini(struct reader *r)
{
	while (r->depth > 0) {
		struct level *top = &r->levels[--r->depth];
		map_fini(&top->keys);
		free(top->key);
	}
	for (size_t i = 0; i < r->anchors_n; i++)
		free(r->anchors[i].name);
	yaml_parser_delete(&r->parser);
}

static bool looks_like_json(struct str text)
{
	struct str s = str_trim(text);

	return s.n > 0 && s.p[0] == '{';
}

static cJSON *parse(struct str text, const char *what, struct yaml_marks *marks, struct err *e)
{
	struct reader *r = xcalloc(1, sizeof *r);

	r->what = what;
	r->e = e;
	r->marks = marks;
	must(yaml_parser_initialize(&r->parser));
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)text.p, text.n);
	int bad = read_events(r);
	reader_fini(r);
	cJSON *root = r->root;
	free(r);
	if (bad < 0) {
		cJSON_Delete(root);
		return NULL;
	}
	return root ? root : cJSON_CreateNull();
}

static int too_large(const char *what, struct err *e)
{
	return err_set(e, EFBIG, "%s is larger than %d bytes", what, YAML_SIZE_MAX);
}

cJSON *yaml_parse(struct str text, const char *what, struct err *e)
{
	if (text.n > YAML_SIZE_MAX) {
		too_large(what, e);
		return NULL;
	}
	if (looks_like_json(text)) {
		struct err ignored; /* it may still be YAML's flow style */
		cJSON *j = json_parse(text, what, &ignored);
		if (j != NULL)
			return j;
	}
	return parse(text, what, NULL, e);
}

/* ---- marks ---- */

static int by_address(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const struct place *)a)->node;
	uintptr_t y = (uintptr_t)((const struct place *)b)->node;

	return (x > y) - (x < y);
}

cJSON *yaml_parse_marked(struct str text, const char *what, struct yaml_marks **marks,
			 struct err *e)
{
	*marks = NULL;
	if (text.n > YAML_SIZE_MAX) {
		too_large(what, e);
		return NULL;
	}
	struct yaml_marks *m = xcalloc(1, sizeof *m);
	cJSON *root = parse(text, what, m, e);
	if (root == NULL) {
		yaml_marks_free(m);
		return NULL;
	}
	if (m->n > 0)
		qsort(m->v, m->n, sizeof *m->v, by_address);
	*marks = m;
	return root;
}

struct yaml_mark yaml_mark_of(const struct yaml_marks *m, const cJSON *node)
{
	struct place wanted = {node, {0, 0}};
	const struct place *p =
		m->n ? bsearch(&wanted, m->v, m->n, sizeof *m->v, by_address) : NULL;

	return p ? p->at : wanted.at;
}

void yaml_marks_free(struct yaml_marks *m)
{
	if (m == NULL)
		return;
	free(m->v);
	free(m);
}

const char *yaml_text(const cJSON *scalar)
{
	if (cJSON_IsString(scalar) || cJSON_IsNumber(scalar) || cJSON_IsBool(scalar))
		return scalar->valuestring;
	return NULL;
}
