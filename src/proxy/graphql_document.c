#include <ctype.h>
#include <string.h>

#include "base/util.h"
#include "proxy/graphql_document.h"

/* ---- tokens ---- */

enum token { TOKEN_END, TOKEN_NAME, TOKEN_VALUE, TOKEN_SPREAD, TOKEN_PUNCTUATOR };

struct reader {
	struct str rest;
	enum token token; /* the one at hand */
	struct str text;  /* of it; one character for TOKEN_PUNCTUATOR */
	size_t tokens;
	const char *why; /* the first thing that is wrong; NULL: nothing */
	/* what is found */
	struct definition *definitions;
	size_t definitions_n;
	struct item *items;
	size_t items_n;
};

/* In the root of a definition: a field, or a fragment that is spread there. */
struct item {
	bool spread;
	struct str name;
};

struct definition {
	struct str type; /* empty for a fragment */
	struct str name;
	size_t first, n; /* items */
	bool visited;
};

static void fail(struct reader *r, const char *why)
{
	if (r->why == NULL)
		r->why = why;
	r->token = TOKEN_END;
	r->rest.n = 0;
}

static bool is_name(unsigned char c)
{
	return isalnum(c) || c == '_';
}

/* To the end of the line, which some take U+2028 and U+2029 for. */
static void skip_comment(struct reader *r)
{
	while (r->rest.n > 0 && r->rest.p[0] != '\n' && r->rest.p[0] != '\r') {
		if (str_starts(r->rest, "\xe2\x80\xa8") || str_starts(r->rest, "\xe2\x80\xa9"))
			fail(r, "a comment has an odd line separator");
		if (r->rest.n > 0)
			r->rest = str_sub(r->rest.p + 1, r->rest.n - 1);
	}
}

static void skip_ignored(struct reader *r)
{
	while (r->rest.n > 0) {
		char c = r->rest.p[0];
		if (c == '#')
			skip_comment(r);
		else if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',')
			r->rest = str_sub(r->rest.p + 1, r->rest.n - 1);
		else if (!str_skip(&r->rest, "\xef\xbb\xbf"))
			return;
	}
}

static void take(struct reader *r, enum token token, size_t n)
{
	r->token = token;
	r->text = str_sub(r->rest.p, n);
	r->rest = str_sub(r->rest.p + n, r->rest.n - n);
}

/* The length of the string at the beginning of s, its quotes included; 0: it has no end. */
static size_t string_length(struct str s)
{
	if (str_starts(s, "\"\"\"")) {
		for (size_t i = 3; i + 3 <= s.n; i++) {
			if (str_starts(str_sub(s.p + i, s.n - i), "\\\"\"\""))
				i += 3;
			else if (str_starts(str_sub(s.p + i, s.n - i), "\"\"\""))
				return i + 3;
		}
		return 0;
	}
	for (size_t i = 1; i < s.n && s.p[i] != '\n' && s.p[i] != '\r'; i++) {
		if (s.p[i] == '"')
			return i + 1;
		if (s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] != '\n' && s.p[i + 1] != '\r')
			i++;
	}
	return 0;
}

static void next(struct reader *r)
{
	size_t n = 1;

	skip_ignored(r);
	r->token = TOKEN_END;
	if (r->rest.n == 0)
		return;
	if (++r->tokens > GRAPHQL_TOKENS_MAX) {
		fail(r, "it has too many tokens");
		return;
	}
	char c = r->rest.p[0];
	if (c == '"') {
		n = string_length(r->rest);
		if (n == 0)
			fail(r, "a string has no end");
		else
			take(r, TOKEN_VALUE, n);
	} else if (c == '-' || isdigit((unsigned char)c)) {
		while (n < r->rest.n && (is_name((unsigned char)r->rest.p[n]) ||
					 memchr(".+-", r->rest.p[n], 3) != NULL))
			n++;
		take(r, TOKEN_VALUE, n);
	} else if (is_name((unsigned char)c)) {
		while (n < r->rest.n && is_name((unsigned char)r->rest.p[n]))
			n++;
		take(r, TOKEN_NAME, n);
	} else if (str_starts(r->rest, "...")) {
		take(r, TOKEN_SPREAD, 3);
	} else if (memchr("!$&():=@[]{|}", c, 13) != NULL) {
		take(r, TOKEN_PUNCTUATOR, 1);
	} else {
		fail(r, "it has a character that is none of GraphQL's");
	}
}

static bool at(const struct reader *r, char c)
{
	return r->token == TOKEN_PUNCTUATOR && r->text.p[0] == c;
}

static void expect(struct reader *r, char c)
{
	if (!at(r, c))
		fail(r, "its syntax is wrong");
	else
		next(r);
}

static struct str take_name(struct reader *r)
{
	struct str name = r->text;

	if (r->token != TOKEN_NAME) {
		fail(r, "its syntax is wrong");
		return STR("");
	}
	next(r);
	return name;
}

/* ---- what is passed over ---- */

/* From an opening parenthesis to the one that closes it; what is between does not matter, as long as each of
 * its brackets is closed by its own kind. */
static void skip_parentheses(struct reader *r)
{
	char open[GRAPHQL_DEPTH_MAX];
	size_t depth = 0;

	do {
		char c = r->token == TOKEN_PUNCTUATOR ? r->text.p[0] : ' ';
		if (c == '(' || c == '[' || c == '{') {
			if (depth == sizeof open) {
				fail(r, "it is nested too deeply");
				return;
			}
			open[depth++] = c == '(' ? ')' : c == '[' ? ']' : '}';
		} else if (c == ')' || c == ']' || c == '}') {
			if (open[--depth] != c)
				fail(r, "its syntax is wrong");
		}
		if (r->token == TOKEN_END)
			fail(r, "its syntax is wrong");
		if (r->why != NULL)
			return;
		next(r);
	} while (depth > 0);
}

static void skip_directives(struct reader *r)
{
	while (at(r, '@')) {
		next(r);
		take_name(r);
		if (at(r, '('))
			skip_parentheses(r);
	}
}

/* ---- selections ---- */

static void add_item(struct reader *r, bool spread, struct str name)
{
	if (r->items_n == GRAPHQL_FIELDS_MAX)
		fail(r, "it has too many fields");
	else
		r->items[r->items_n++] = (struct item){spread, name};
}

static void read_selections(struct reader *r, bool root, int depth);

/* [alias:] name [(arguments)] [@directives] [{…}] */
static void read_field(struct reader *r, bool root, int depth)
{
	struct str name = take_name(r);

	if (at(r, ':')) {
		next(r);
		name = take_name(r);
	}
	if (root)
		add_item(r, false, name);
	if (at(r, '('))
		skip_parentheses(r);
	skip_directives(r);
	if (at(r, '{'))
		read_selections(r, false, depth + 1);
}

/* ...Name, or ... [on Type] [@directives] {…}, whose fields are those of where it stands. */
static void read_fragment(struct reader *r, bool root, int depth)
{
	next(r);
	if (r->token == TOKEN_NAME && !str_is(r->text, "on")) {
		struct str name = take_name(r);
		if (root)
			add_item(r, true, name);
		skip_directives(r);
		return;
	}
	if (r->token == TOKEN_NAME) {
		next(r);
		take_name(r);
	}
	skip_directives(r);
	read_selections(r, root, depth + 1);
}

static void read_selections(struct reader *r, bool root, int depth)
{
	if (depth > GRAPHQL_DEPTH_MAX)
		fail(r, "it is nested too deeply");
	expect(r, '{');
	do {
		if (r->token == TOKEN_SPREAD)
			read_fragment(r, root, depth);
		else
			read_field(r, root, depth);
	} while (r->why == NULL && !at(r, '}'));
	expect(r, '}');
}

/* ---- definitions ---- */

static void read_definition(struct reader *r)
{
	if (r->definitions_n == GRAPHQL_DEFINITIONS_MAX) {
		fail(r, "it has too many definitions");
		return;
	}
	struct definition *d = &r->definitions[r->definitions_n++];
	*d = (struct definition){.type = STR("query"), .name = STR(""), .first = r->items_n};
	if (!at(r, '{')) {
		d->type = take_name(r);
		bool fragment = str_is(d->type, "fragment");
		if (!fragment && !str_is(d->type, "query") && !str_is(d->type, "mutation") &&
		    !str_is(d->type, "subscription"))
			fail(r, "it has more than operations and fragments");
		if (fragment || r->token == TOKEN_NAME)
			d->name = take_name(r);
		if (fragment) {
			d->type = STR("");
			if (str_is(d->name, "on") || !str_is(take_name(r), "on"))
				fail(r, "its syntax is wrong");
			take_name(r);
		} else if (at(r, '(')) {
			skip_parentheses(r);
		}
		skip_directives(r);
	}
	read_selections(r, true, 1);
	d->n = r->items_n - d->first;
}

/* The one of that name among operations or fragments; NULL, also when there are two. */
static struct definition *find(struct reader *r, bool fragment, struct str name)
{
	struct definition *found = NULL;

	for (size_t i = 0; i < r->definitions_n; i++) {
		struct definition *d = &r->definitions[i];
		if ((d->type.n == 0) != fragment || !str_eq(d->name, name))
			continue;
		if (found != NULL)
			return NULL;
		found = d;
	}
	return found;
}

static void collect(struct reader *r, struct definition *d, struct str *fields, size_t *n)
{
	d->visited = true;
	for (size_t i = d->first; i < d->first + d->n; i++) {
		if (!r->items[i].spread) {
			fields[(*n)++] = r->items[i].name;
			continue;
		}
		struct definition *fragment = find(r, true, r->items[i].name);
		if (fragment == NULL)
			fail(r, "a fragment is not there, or twice");
		else if (!fragment->visited)
			collect(r, fragment, fields, n);
	}
}

/* The specification lets an operation without a name stand alone only. */
static struct definition *select_operation(struct reader *r, struct str name)
{
	size_t operations = 0, unnamed = 0;
	struct definition *only = NULL;

	for (size_t i = 0; i < r->definitions_n; i++) {
		if (r->definitions[i].type.n == 0)
			continue;
		only = &r->definitions[i];
		operations++;
		unnamed += only->name.n == 0;
	}
	if (operations == 0)
		r->why = "it has no operation";
	else if (unnamed > 0 && operations > 1)
		r->why = "an operation without a name is not alone";
	else if (name.n == 0 && operations > 1)
		r->why = "it has several operations, and none is named to be executed";
	else if (name.n > 0 && find(r, false, name) == NULL)
		r->why = "the operation that is named is not there, or twice";
	return name.n > 0 ? find(r, false, name) : only;
}

const char *graphql_document(struct policy_graphql_operation *out, struct str text, struct str name,
			     struct arena *a)
{
	struct reader r = {.rest = text};

	r.definitions = arena_zalloc(a, GRAPHQL_DEFINITIONS_MAX * sizeof *r.definitions);
	r.items = arena_zalloc(a, GRAPHQL_FIELDS_MAX * sizeof *r.items);
	next(&r);
	while (r.why == NULL && r.token != TOKEN_END)
		read_definition(&r);
	if (r.why != NULL)
		return r.why;
	struct definition *d = select_operation(&r, name);
	if (r.why != NULL)
		return r.why;
	struct str *fields = arena_zalloc(a, r.items_n * sizeof *fields);
	*out = (struct policy_graphql_operation){
		.operation_type = d->type,
		.operation_name = d->name,
		.fields = fields,
	};
	collect(&r, d, fields, &out->fields_n);
	return r.why;
}
