/* What src/kube makes of bytes: paths, errors, items of a list, lines and events of a watch. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "kube/error.h"
#include "kube/event.h"
#include "kube/items.h"
#include "kube/lines.h"
#include "kube/path.h"
#include "test.h"

static const struct kube_resource sandboxes = {"agents.x-k8s.io", "v1beta1", "sandboxes"};
static const struct kube_resource pods = {"", "v1", "pods"};

/* ---- paths ---- */

TEST(path_of_collections_objects_and_subresources)
{
	_cleanup_free_ char *a = kube_path(&sandboxes, "team-a", "box", NULL);
	_cleanup_free_ char *b = kube_path(&pods, NULL, NULL, NULL);
	_cleanup_free_ char *c = kube_path(&pods, "n", "p", "log");

	STREQ(a, "/apis/agents.x-k8s.io/v1beta1/namespaces/team-a/sandboxes/box");
	STREQ(b, "/api/v1/pods");
	STREQ(c, "/api/v1/namespaces/n/pods/p/log");
}

TEST(path_encodes_what_a_name_cannot_mean)
{
	_cleanup_free_ char *a = kube_path(&pods, "../x", "a/b?c#d%", NULL);
	_cleanup_free_ char *b = kube_path(&pods, "..", ".", NULL);

	STREQ(a, "/api/v1/namespaces/..%2Fx/pods/a%2Fb%3Fc%23d%25");
	STREQ(b, "/api/v1/namespaces/%2E%2E/pods/%2E");
}

TEST(path_query_is_encoded_and_leaves_out_what_is_empty)
{
	char *p = kube_path(&pods, NULL, NULL, NULL);

	p = kube_path_query(p, "labelSelector", "a=b,c in (d, e)");
	p = kube_path_query(p, "continue", NULL);
	p = kube_path_query(p, "fieldSelector", "");
	p = kube_path_query_int(p, "limit", 500);
	STREQ(p, "/api/v1/pods?labelSelector=a%3Db%2Cc%20in%20%28d%2C%20e%29&limit=500");
	free(p);
}

/* ---- errors ---- */

static struct kube_error from(int http, const char *body)
{
	struct err ignored;
	_cleanup_json_ cJSON *j = json_parse(str_of(body), "t", &ignored);
	struct kube_error e;

	kube_error_from_status(&e, http, j, str_of(body));
	return e;
}

TEST(error_tells_the_faults_apart)
{
	EQ(from(401, "{\"reason\":\"Unauthorized\"}").fault, KUBE_UNAUTHORIZED);
	EQ(from(403, "{\"message\":\"pods is forbidden\"}").fault, KUBE_FORBIDDEN);
	EQ(from(403, "{\"message\":\"pods \\\"x\\\" is forbidden: exceeded quota: q, requested: "
		     "pods=1\"}")
		   .fault,
	   KUBE_QUOTA);
	EQ(from(404, "{\"reason\":\"NotFound\",\"details\":{\"name\":\"x\",\"kind\":\"pods\"}}")
		   .fault,
	   KUBE_NOT_FOUND);
	EQ(from(404, "{\"reason\":\"NotFound\",\"details\":{}}").fault, KUBE_NO_RESOURCE);
	EQ(from(404, "{\"reason\":\"NotFound\",\"message\":\"pods \\\"x\\\" not found\"}").fault,
	   KUBE_NOT_FOUND);
	EQ(from(404, "{\"reason\":\"NotFound\",\"details\":{},"
		     "\"message\":\"the server could not find the requested resource\"}")
		   .fault,
	   KUBE_NO_RESOURCE);
	EQ(from(404, "404 page not found\n").fault, KUBE_NO_RESOURCE);
	EQ(from(409, "{\"reason\":\"AlreadyExists\"}").fault, KUBE_ALREADY_EXISTS);
	EQ(from(409, "{\"reason\":\"Conflict\"}").fault, KUBE_CONFLICT);
	EQ(from(410, "{\"reason\":\"Expired\"}").fault, KUBE_EXPIRED);
	EQ(from(422, "{\"reason\":\"Invalid\"}").fault, KUBE_INVALID);
	EQ(from(400, "{\"reason\":\"BadRequest\"}").fault, KUBE_BAD_REQUEST);
	EQ(from(415, "").fault, KUBE_BAD_REQUEST);
	EQ(from(429, "").fault, KUBE_BUSY);
	EQ(from(503, "").fault, KUBE_BUSY);
	EQ(from(504, "{\"reason\":\"Timeout\"}").fault, KUBE_TIMEOUT);
	EQ(from(500, "{\"reason\":\"Timeout\"}").fault, KUBE_TIMEOUT);
	EQ(from(500, "{\"reason\":\"InternalError\"}").fault, KUBE_SERVER);
	EQ(from(302, "").fault, KUBE_BAD_ANSWER);
}

TEST(error_keeps_the_servers_words)
{
	struct kube_error e =
		from(404, "{\"kind\":\"Status\",\"message\":\"pods \\\"x\\\" not found\","
			  "\"reason\":\"NotFound\",\"code\":404,"
			  "\"details\":{\"name\":\"x\",\"kind\":\"pods\"}}");

	STREQ(e.message, "pods \"x\" not found");
	STREQ(e.reason, "NotFound");
	STREQ(e.name, "x");
	STREQ(e.kind, "pods");
	EQ(e.http, 404);
	OK(!kube_error_is_transient(&e));
	e = from(502, "\n  Bad Gateway \nmore\n");
	STREQ(e.message, "Bad Gateway");
	OK(kube_error_is_transient(&e));
	e = from(500, "");
	STREQ(e.message, "the server answered with status 500");
	STREQ(kube_fault_name(e.fault), "ServerError");
}

TEST(error_of_an_event_takes_its_code_from_the_status)
{
	struct kube_error e =
		from(0, "{\"code\":410,\"reason\":\"Expired\",\"message\":\"too old\","
			"\"details\":{\"retryAfterSeconds\":3}}");

	EQ(e.fault, KUBE_EXPIRED);
	EQ(e.http, 410);
	EQ(e.retry_after_ms, 3000);
	e = from(0, "{}");
	EQ(e.fault, KUBE_BAD_ANSWER);
}

TEST(error_cuts_what_does_not_fit)
{
	char text[4000];

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	struct kube_error e = from(500, text);
	EQ(strlen(e.message), sizeof e.message - 1);
}

/* ---- items of a list ---- */

struct seen {
	char text[4096];
	int n, stop_after;
};

static bool take(void *owner, struct str text)
{
	struct seen *s = owner;

	snprintf(s->text + strlen(s->text), sizeof s->text - strlen(s->text), "%.*s|",
		 STR_FMT(text));
	return ++s->n != s->stop_after;
}

/* The items, then what stood around them; fed in pieces of step bytes. */
static void split(const char *text, size_t step, const char *items, const char *around)
{
	struct seen seen = {0};
	struct kube_items s;
	struct err e = {0};

	kube_items_init(&s, take, &seen);
	for (size_t at = 0; at < strlen(text); at += step)
		EQ(kube_items_feed(&s, str_sub(text + at, MIN(step, strlen(text) - at))), ITEMS_OK);
	STREQ(seen.text, items);
	_cleanup_json_ cJSON *j = kube_items_end(&s, &e);
	STREQ(e.text, "");
	_cleanup_free_ char *rest = json_text(j);
	STREQ(rest, around);
	kube_items_fini(&s);
}

TEST(items_are_split_however_they_arrive)
{
	static const char list[] = "{\"kind\":\"items\",\"apiVersion\":\"v1\", \"items\" : [ "
				   "{\"a\":[{}],\"s\":\"}]\\\"{\"} ,\n"
				   "{\"items\":[{\"b\":1}]}, {} "
				   "],\"metadata\":{\"items\":[1,{}],\"resourceVersion\":\"7\"}}\n";

	for (size_t step = 1; step < sizeof list + 1; step++)
		split(list, step, "{\"a\":[{}],\"s\":\"}]\\\"{\"}|{\"items\":[{\"b\":1}]}|{}|",
		      "{\"kind\":\"items\",\"apiVersion\":\"v1\",\"items\":[],"
		      "\"metadata\":{\"items\":[1,{}],\"resourceVersion\":\"7\"}}");
}

TEST(items_may_be_none_or_null)
{
	split("{\"items\":[]}", 3, "", "{\"items\":[]}");
	split("{\"items\":null,\"metadata\":{}}", 3, "", "{\"items\":null,\"metadata\":{}}");
	split("{\"metadata\":{}}", 3, "", "{\"metadata\":{}}");
}

static void no_list(const char *text)
{
	struct seen seen = {0};
	struct kube_items s;
	struct err e = {0};

	kube_items_init(&s, take, &seen);
	EQ(kube_items_feed(&s, str_of(text)), ITEMS_OK);
	OK(kube_items_end(&s, &e) == NULL);
	OK(e.text[0] != '\0');
	kube_items_fini(&s);
}

TEST(items_that_end_early_are_no_list)
{
	no_list("");
	no_list("{\"items\":[{\"a\":1}");
	no_list("{\"items\":[{\"a\":");
	no_list("{\"items\":[{}],\"metadata\":{");
	no_list("{\"items\":[5]}");
	no_list("{\"items\":[{},[{}]]}");
	no_list("{\"items\":{}}");
	no_list("[{\"items\":[]}]");
	no_list("]]]]");
}

TEST(items_stop_when_nobody_wants_more)
{
	struct seen seen = {.stop_after = 2};
	struct kube_items s;

	kube_items_init(&s, take, &seen);
	EQ(kube_items_feed(&s, STR("{\"items\":[{},{},{},{}]}")), ITEMS_STOPPED);
	EQ(seen.n, 2);
	kube_items_fini(&s);
}

TEST(items_beyond_the_limit_are_refused)
{
	static char piece[1 << 16];
	struct seen seen = {0};
	struct kube_items s;
	enum kube_items_result r = ITEMS_OK;

	memset(piece, 'x', sizeof piece);
	kube_items_init(&s, take, &seen);
	kube_items_feed(&s, STR("{\"items\":[{\"a\":\""));
	for (size_t n = 0; n <= KUBE_ITEM_MAX && r == ITEMS_OK; n += sizeof piece)
		r = kube_items_feed(&s, str_sub(piece, sizeof piece));
	EQ(r, ITEMS_TOO_LONG);
	kube_items_fini(&s);

	kube_items_init(&s, take, &seen);
	r = kube_items_feed(&s, STR("{\"a\":\""));
	for (size_t n = 0; n <= KUBE_AROUND_MAX && r == ITEMS_OK; n += sizeof piece)
		r = kube_items_feed(&s, str_sub(piece, sizeof piece));
	EQ(r, ITEMS_TOO_LONG);
	kube_items_fini(&s);
}

/* ---- lines and events of a watch ---- */

TEST(lines_are_split_however_they_arrive)
{
	static const char text[] = "one\n\ntwo\r\nthree four\n\r\nrest";

	for (size_t step = 1; step < sizeof text; step++) {
		struct seen seen = {0};
		struct kube_lines s;

		kube_lines_init(&s, 100, take, &seen);
		for (size_t at = 0; at < sizeof text - 1; at += step)
			EQ(kube_lines_feed(&s, str_sub(text + at, MIN(step, sizeof text - 1 - at))),
			   LINES_OK);
		STREQ(seen.text, "one|two|three four|");
		OK(kube_lines_partial(&s));
		kube_lines_fini(&s);
	}
}

TEST(lines_beyond_the_limit_are_refused)
{
	struct seen seen = {0};
	struct kube_lines s;

	kube_lines_init(&s, 8, take, &seen);
	EQ(kube_lines_feed(&s, STR("12345678\n")), LINES_OK);
	OK(!kube_lines_partial(&s));
	EQ(kube_lines_feed(&s, STR("123456789\n")), LINES_TOO_LONG);
	kube_lines_fini(&s);
	kube_lines_init(&s, 8, take, &seen);
	EQ(kube_lines_feed(&s, STR("1234")), LINES_OK);
	EQ(kube_lines_feed(&s, STR("56789")), LINES_TOO_LONG);
	kube_lines_fini(&s);
}

TEST(lines_stop_when_nobody_wants_more)
{
	struct seen seen = {.stop_after = 1};
	struct kube_lines s;

	kube_lines_init(&s, 100, take, &seen);
	EQ(kube_lines_feed(&s, STR("a\nb\nc\n")), LINES_STOPPED);
	EQ(seen.n, 1);
	kube_lines_fini(&s);
}

TEST(event_types_are_known)
{
	static const char *const names[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char line[100];
		enum kube_event_type type;
		const cJSON *object;
		struct json_pool pool = {0};
		struct err e = {0};

		snprintf(line, sizeof line, "{\"type\":\"%s\",\"object\":{\"a\":1}}", names[i]);
		EQ(kube_event_parse(&pool, str_of(line), &type, &object, &e), 0);
		EQ(type, i);
		EQ(json_int(object, "a", 0), 1);
		json_pool_fini(&pool);
	}
}

TEST(event_that_is_none_is_refused)
{
	static const char *const lines[] = {
		"",
		"{",
		"null",
		"{\"type\":\"ADDED\"}",
		"{\"type\":\"ADDED\",\"object\":[]}",
		"{\"type\":\"GROWN\",\"object\":{}}",
		"{\"object\":{}}",
		"{\"type\":1,\"object\":{}}",
		"{\"type\":\"ADDED\",\"object\":{}} x",
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		enum kube_event_type type;
		const cJSON *object;
		struct json_pool pool = {0};
		struct err e = {0};

		EQ(kube_event_parse(&pool, str_of(lines[i]), &type, &object, &e), -1);
		OK(e.text[0] != '\0');
		json_pool_fini(&pool);
	}
}
