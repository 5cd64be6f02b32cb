/*
 * What the tests of the Kubernetes backend's pure part share: options from arguments, messages and
 * objects from JSON, and comparison of JSON trees. What a test makes lives until its process ends,
 * reachable from here, so that the leak checker speaks of the code under test alone.
 */
#ifndef OPENSHELL_TEST_K8S_H
#define OPENSHELL_TEST_K8S_H

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "driver/kubernetes/options.h"
#include "driver/kubernetes/render.h"
#include "grpc/status.h"
#include "test.h"
#include "wire/json.h"

#define UUID "0b3e9a22-a861-934f-8000-0123456789ab"

static struct arena test_arena = ARENA_INIT(16 << 20);

static cJSON *kept;

UNUSED static cJSON *keep(cJSON *j)
{
	if (kept == NULL)
		kept = json_array();
	return json_add(kept, j);
}

/* A text that was made for the test, which is released; what it returns is kept. */
UNUSED static const char *keep_text(char *s)
{
	char *copy = arena_dup(&test_arena, str_of(s));

	free(s);
	return copy;
}

UNUSED static cJSON *json_of(const char *text)
{
	struct err e = {0};
	cJSON *j = json_parse(str_of(text), "test data", &e);

	if (j == NULL)
		FAIL("%s: %s", e.text, text);
	return keep(j);
}

#define JSON(...) json_of(#__VA_ARGS__)

/* Options as the program gets them: arguments separated by blanks. -1 with *e as main would. */
UNUSED static int options_parse(struct kubernetes_options *o, const char *arguments, struct err *e)
{
	char *argv[64] = {"driver"};
	int argc = 1, rest = 0;
	struct str s = str_of(arguments);

	*o = (struct kubernetes_options){0};
	while (s.p != NULL && argc < 63) {
		struct str a = str_cut(&s, ' ');
		if (a.n > 0)
			argv[argc++] = arena_dup(&test_arena, a);
	}
	if (opt_parse(kubernetes_option_table, KUBERNETES_OPTIONS, o, argc, argv, &rest, e) < 0)
		return -1;
	EQ(rest, argc);
	return kubernetes_options_check(o, e);
}

UNUSED static struct kubernetes_options *options(const char *arguments)
{
	struct kubernetes_options *o = arena_zalloc(&test_arena, sizeof *o);
	struct err e = {0};

	if (options_parse(o, arguments, &e) < 0)
		FAIL("%s: %s", arguments, e.text);
	return o;
}

UNUSED static Openshell__Compute__V1__DriverSandbox *sandbox(const char *text)
{
	struct err e = {0};
	void *m = wire_from_json(&openshell__compute__v1__driver_sandbox__descriptor, json_of(text),
				 &test_arena, &e);

	if (m == NULL)
		FAIL("%s: %s", e.text, text);
	return m;
}

/* {id, name, workspace, spec} with the given members of spec.template and of spec. */
UNUSED static Openshell__Compute__V1__DriverSandbox *sandbox_with(const char *template,
								  const char *spec)
{
	return sandbox(arena_printf(&test_arena,
				    "{\"id\":\"" UUID "\",\"name\":\"box\",\"workspace\":\"team\","
				    "\"spec\":{\"template\":{\"image\":\"img:1\"%s%s}%s%s}}",
				    *template ? "," : "", template, *spec ? "," : "", spec));
}

UNUSED static const struct k8s_facts *facts(void)
{
	static const struct k8s_facts f = {
		.api = SANDBOX_V1BETA1, .server_minor = 34, .identity = {.uid = 1000, .gid = 1000}};

	return &f;
}

/* What the options make of the sandbox; must succeed. */
UNUSED static cJSON *rendered(const char *arguments, Openshell__Compute__V1__DriverSandbox *s)
{
	struct err e = {0};
	cJSON *object = k8s_render(options(arguments), facts(), s, &e);

	if (object == NULL)
		FAIL("render: %s", e.text);
	return keep(object);
}

UNUSED static const cJSON *pod_of(const cJSON *object)
{
	return json_at(object, "spec", "podTemplate", "spec", NULL);
}

UNUSED static cJSON *named(const cJSON *list, const char *name)
{
	cJSON *j;

	cJSON_ArrayForEach(j, list) {
		if (streq(json_str(j, "name"), name))
			return j;
	}
	return NULL;
}

UNUSED static cJSON *agent_of(const cJSON *object)
{
	return named(json_get(pod_of(object), "containers"), "agent");
}

/* The value of a variable that must be there exactly once, or NULL when it is not there. */
UNUSED static const char *variable(const cJSON *object, const char *name)
{
	const char *value = NULL;
	const cJSON *j;

	cJSON_ArrayForEach(j, json_get(agent_of(object), "env")) {
		if (!streq(json_str(j, "name"), name))
			continue;
		if (value != NULL)
			FAIL("%s is there twice", name);
		value = json_str(j, "value");
	}
	return value;
}

UNUSED static void json_eq(const char *file, int line, const cJSON *got, const char *want)
{
	cJSON *w = json_of(want);

	if (got == NULL || !cJSON_Compare(got, w, true))
		test_fail(file, line, "got  %s\n  want %s", got ? json_text(got) : "nothing",
			  json_text(w));
}

/* Whether the tree is the one written behind it: order of members apart. */
#define JSONEQ(got, ...) json_eq(TEST_HERE, got, #__VA_ARGS__)
#define JSONIS(got, text) json_eq(TEST_HERE, got, text)

#endif
