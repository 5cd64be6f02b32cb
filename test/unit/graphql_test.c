/*
 * GraphQL requests (proxy/graphql.h, graphql_document.h), as tables: which operation is executed and what its
 * root selects, and what is refused since somebody could take it for another.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "proxy/graphql.h"
#include "proxy/graphql_document.h"
#include "test.h"

/* "type Name: field field", or "-" and words of the refusal. */
static const struct {
	const char *document, *name, *told;
} documents[] = {
	{"{a}", "", "query : a"},
	{" { a , b\n\tc\r\n}", "", "query : a b c"},
	{"\xef\xbb\xbf{a}", "", "query : a"},
	{"query{a}", "", "query : a"},
	{"query Q{a}", "", "query Q: a"},
	{"query Q{a}", "Q", "query Q: a"},
	{"mutation M{a}", "", "mutation M: a"},
	{"subscription{a}", "", "subscription : a"},
	{"query Q($a:Int=1,$b:[T!]!={x:[1,\"}\"]})@d(a:$a)@e{a}", "", "query Q: a"},
	{"query($a:Int){a}", "", "query : a"},
	{"query @d{a}", "", "query : a"},
	{"{alias:a b}", "", "query : a b"},
	{"{a:b c:d}", "", "query : b d"},
	{"{a(x:1,y:-1.5e+3,z:\"}{\",w:$v,l:[E,true,null],o:{k:\"\"\"}\"\"\"}) b}", "",
	 "query : a b"},
	{"{a{b c{d}}e}", "", "query : a e"},
	{"{a@include(if:$x){b}c@skip(if:false)}", "", "query : a c"},
	{"{...{a}}", "", "query : a"},
	{"{...on T{a}b}", "", "query : a b"},
	{"{...on T@d{a}...@d{b}}", "", "query : a b"},
	{"{...F b}fragment F on T{a}", "", "query : a b"},
	{"{...F@d}fragment F on T@d{a ...G}fragment G on T{b}", "", "query : a b"},
	{"{...F ...F}fragment F on T{a ...F}", "", "query : a"},
	{"{a{...F}}fragment F on T{x}", "", "query : a"},
	{"{...on T{...F}}fragment F on T{a}", "", "query : a"},
	{"fragment F on T{a}{...F}", "", "query : a"},
	{"query A{a}mutation B{b}", "A", "query A: a"},
	{"query A{a}mutation B{b}", "B", "mutation B: b"},
	{"{query mutation fragment on type}", "", "query : query mutation fragment on type"},
	{"{a #}\n b}", "", "query : a b"},
	{"{a #}\r b}", "", "query : a b"},
	{"{a(s:\"#\") b}", "", "query : a b"},
	{"{a(s:\"\\\"}\") b}", "", "query : a b"},
	{"{a(s:\"\"\"\\\"\"\"}\"\"\") b}", "", "query : a b"},
	{"{a(s:\"\") b}", "", "query : a b"},
	{"{__typename __schema{x}}", "", "query : __typename __schema"},

	{"", "", "-no operation"},
	{"# {a}", "", "-no operation"},
	{"fragment F on T{a}", "", "-no operation"},
	{"{}", "", "-syntax"},
	{"{a", "", "-syntax"},
	{"{a}}", "", "-syntax"},
	{"{a{}}", "", "-syntax"},
	{"{a(}", "", "-syntax"},
	{"{a(x:[)])}", "", "-syntax"},
	{"{a(x:\"}", "", "-string has no end"},
	{"{a(x:\"\n\")}", "", "-string has no end"},
	{"{a(x:\"\\\n\")}", "", "-string has no end"},
	{"{a(x:\"\"\"\"\")}", "", "-string has no end"},
	{"{1}", "", "-syntax"},
	{"{\"a\"}", "", "-syntax"},
	{"{a:}", "", "-syntax"},
	{"{a:b:c}", "", "-syntax"},
	{"{...}", "", "-syntax"},
	{"{...on{a}}", "", "-syntax"},
	{"query Q", "", "-syntax"},
	{"Query{a}", "", "-more than operations"},
	{"type T{a:Int}", "", "-more than operations"},
	{"{a}extend type T{a:Int}", "", "-more than operations"},
	{"fragment on on T{a}{b}", "", "-syntax"},
	{"fragment F T{a}{b}", "", "-syntax"},
	{"{a};", "", "-character"},
	{"{a\x0b}", "", "-character"},
	{"{a\xc2\xa0}", "", "-character"},
	{"{a\xc3\xbc}", "", "-character"},
	{"{a.b}", "", "-character"},
	{"{a #\xe2\x80\xa8 b\n}", "", "-line separator"},
	{"{...F}", "", "-fragment"},
	{"{...F}fragment F on T{a}fragment F on T{b}", "", "-fragment"},
	{"{a}{b}", "", "-without a name"},
	{"{a}query Q{b}", "Q", "-without a name"},
	{"query A{a}query B{b}", "", "-none is named"},
	{"query A{a}query A{b}", "A", "-not there, or twice"},
	{"query A{a}", "B", "-not there, or twice"},
	{"{a}", "A", "-not there, or twice"},
	{"query A{a}", "a", "-not there, or twice"},
};

static void tell(const struct policy_graphql_operation *op, struct buf *out)
{
	if (op->operation_type.n > 0)
		buf_printf(out, "%.*s %.*s:", STR_FMT(op->operation_type),
			   STR_FMT(op->operation_name));
	for (size_t i = 0; i < op->fields_n; i++)
		buf_printf(out, " %.*s", STR_FMT(op->fields[i]));
	if (op->persisted)
		buf_printf(out, "[%.*s %.*s]", STR_FMT(op->persisted_hash),
			   STR_FMT(op->persisted_id));
}

static void compare(const char *row, const char *why, const struct buf *told, const char *wanted)
{
	if (wanted[0] == '-' ? why == NULL || strstr(why, wanted + 1) == NULL
			     : why != NULL || !str_is(buf_view(told), wanted))
		FAIL("%s: %s, %.*s, not %s", row, why, STR_FMT(buf_view(told)), wanted);
}

TEST(documents_have_an_operation)
{
	for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
		_cleanup_arena_ struct arena a = ARENA_INIT(0);
		_cleanup_buf_ struct buf told = BUF_INIT(4096);
		struct policy_graphql_operation op;
		const char *why = graphql_document(&op, str_of(documents[i].document),
						   str_of(documents[i].name), &a);
		if (why == NULL)
			tell(&op, &told);
		compare(documents[i].document, why, &told, documents[i].told);
	}
}

static const char *document_of(const char *before, const char *each, int n, const char *behind)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy_graphql_operation op;

	buf_cstr(&b, before);
	for (int i = 0; i < n; i++)
		OK(buf_printf(&b, "%s%d", each, i));
	buf_cstr(&b, behind);
	return graphql_document(&op, buf_view(&b), STR(""), &a);
}

TEST(documents_have_limits)
{
	OK(document_of("{", " a", GRAPHQL_FIELDS_MAX, "}") == NULL);
	HAS(document_of("{", " a", GRAPHQL_FIELDS_MAX + 1, "}"), "too many fields");
	OK(document_of("{a{", " a", GRAPHQL_TOKENS_MAX - 5, "}}") == NULL);
	HAS(document_of("{a{", " a", GRAPHQL_TOKENS_MAX - 4, "}}"), "too many tokens");
	HAS(document_of("{", "a{b", GRAPHQL_DEPTH_MAX, ""), "nested too deeply");
	HAS(document_of("{a(x:", "[", GRAPHQL_DEPTH_MAX, ""), "nested too deeply");
	OK(document_of("{a}fragment F", " on T{a}fragment F", GRAPHQL_DEFINITIONS_MAX - 2,
		       " on T{a}") == NULL);
	HAS(document_of("{a}fragment F", " on T{a}fragment F", GRAPHQL_DEFINITIONS_MAX - 1,
			" on T{a}"),
	    "too many definitions");
}

#define DOC "\"query\":\"{a}\""

/* Operations as above, joined by "; ". */
static const struct {
	const char *method, *params, *body, *told;
} requests[] = {
	{"POST", "", "{" DOC "}", "query : a"},
	{"POST", "x=y", "{" DOC ",\"variables\":{\"query\":1},\"other\":1}", "query : a"},
	{"POST", "", "{\"query\":\"query A{a} mutation B{b}\",\"operationName\":\"B\"}",
	 "mutation B: b"},
	{"POST", "", "{" DOC ",\"operationName\":null,\"extensions\":null,\"id\":null}",
	 "query : a"},
	{"POST", "", "[{" DOC "},{\"query\":\"mutation{b}\"}]", "query : a; mutation : b"},
	{"POST", "", "{\"extensions\":{\"persistedQuery\":{\"version\":1,\"sha256Hash\":\"abc\"}}}",
	 "[abc ]"},
	{"POST", "", "{" DOC ",\"extensions\":{\"persistedQuery\":{\"sha256Hash\":\"abc\"}}}",
	 "query : a[abc ]"},
	{"POST", "", "{\"query\":null,\"id\":\"x\"}", "[ x]"},
	{"POST", "", "{\"query\":\" \",\"documentId\":\"x\"}", "[ x]"},
	{"POST", "", "{\"queryId\":\"x\"}", "[ x]"},
	{"GET", "query={a}", "", "query : a"},
	{"GET", "query=mutation A{a} query B{b}&operationName=A", "", "mutation A: a"},
	{"GET", "extensions={\"persistedQuery\":{\"sha256Hash\":\"abc\"}}", "", "[abc ]"},
	{"GET", "id=x&other=y&other=z", "", "[ x]"},

	{"POST", "", "", "-JSON"},
	{"POST", "", "{a}", "-JSON"},
	{"POST", "", "{\"query\":\"{a}\\u0000\"}", "-JSON"},
	{"POST", "", "\"{a}\"", "-no object"},
	{"POST", "", "[]", "-empty"},
	{"POST", "", "[[{" DOC "}]]", "-no object"},
	{"POST", "", "{}", "-neither"},
	{"POST", "", "{\"query\":\"\"}", "-neither"},
	{"POST", "", "{\"query\":1}", "-no text"},
	{"POST", "", "{" DOC ",\"operationName\":1}", "-no text"},
	{"POST", "", "{\"id\":1}", "-no text"},
	{"POST", "", "{" DOC "," DOC "}", "-ambiguous"},
	{"POST", "", "{" DOC ",\"Query\":\"mutation{b}\"}", "-ambiguous"},
	{"POST", "", "{" DOC ",\"OperationName\":\"A\"}", "-ambiguous"},
	{"POST", "", "{" DOC ",\"id\":\"x\"}", "-document and the id"},
	{"POST", "", "{\"id\":\"x\",\"queryId\":\"y\"}", "-more than one id"},
	{"POST", "", "{" DOC ",\"extensions\":[]}", "-extensions are no object"},
	{"POST", "", "{" DOC ",\"extensions\":{\"persistedQuery\":1}}",
	 "-persisted query is no object"},
	{"POST", "", "{" DOC ",\"extensions\":{\"persistedQuery\":{\"sha256Hash\":1}}}",
	 "-no text"},
	{"POST", "", "{" DOC ",\"extensions\":{\"persistedQuery\":{},\"persistedQuery\":{}}}",
	 "-ambiguous"},
	{"POST", "", "[{" DOC "},{\"query\":\"{\"}]", "-syntax"},
	{"POST", "query=mutation{b}", "{" DOC "}", "-beside its body"},
	{"POST", "id=x", "{" DOC "}", "-beside its body"},
	{"POST", "Query=x", "{" DOC "}", "-beside its body"},
	{"GET", "", "", "-neither"},
	{"GET", "query={a}&query=mutation{b}", "", "-ambiguous"},
	{"GET", "query={a}&Query=mutation{b}", "", "-ambiguous"},
	{"GET", "query={a}&extensions={", "", "-extensions are not valid JSON"},
	{"GET", "id=x&documentId=y", "", "-more than one id"},
	{"GET", "query={a}", "{" DOC "}", "-has a body"},
	{"PUT", "", "{" DOC "}", "-neither GET nor POST"},
	{"DELETE", "", "", "-neither GET nor POST"},
};

TEST(requests_have_operations)
{
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		_cleanup_buf_ struct buf told = BUF_INIT(4096);
		struct policy_param params[8];
		struct graphql g;
		size_t n = 0;

		struct str rest = str_of(requests[i].params);
		while (rest.n > 0) {
			struct str value = str_cut(&rest, '&'), key = str_cut(&value, '=');
			params[n++] = (struct policy_param){key, value};
		}
		const char *why = graphql_read(&g, str_of(requests[i].method), params, n,
					       str_of(requests[i].body));
		for (size_t j = 0; why == NULL && j < g.request.operations_n; j++) {
			buf_cstr(&told, j ? "; " : "");
			tell(&g.request.operations[j], &told);
		}
		compare(requests[i].body[0] ? requests[i].body : requests[i].params, why, &told,
			requests[i].told);
		graphql_fini(&g);
	}
}
