/*
 * A policy: the bytes as a whole text, YAML or JSON. What was accepted is complete, its patterns have
 * their programs, and it answers; and from what it is for a gateway the same policy comes again. What was not
 * accepted says why, in UTF-8.
 */
#include <string.h>

#include "base/util.h"
#include "policy/decide.h"
#include "sandbox.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void look_at(const struct policy_endpoint *ep)
{
	must(ep->host.text != NULL && ep->path.text != NULL && ep->ports_n > 0);
	must(ep->host.text[0] != '\0' || ep->allowed_ips.n > 0);
	must((strchr(ep->host.text, '*') != NULL) == (ep->host.glob != NULL));
	for (size_t i = 0; i < ep->allow.n; i++) {
		const struct policy_rule *r = &ep->allow.v[i];
		must(r->method.text != NULL && r->path.text != NULL && r->command != NULL);
		for (size_t j = 0; j < r->query.n; j++)
			must(r->query.v[j].any.n > 0 && r->query.v[j].any.v[0].glob != NULL);
	}
}

/* A request to each endpoint, by the first program of its policy. */
static void ask(const struct policy *p, const struct policy_network *n,
		const struct policy_endpoint *ep)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	const char *const parents[] = {"/bin/sh", "/b"};
	const struct policy_param params[] = {{STR("page"), STR("1")}, {STR("name"), STR("a.b")}};
	const struct str fields[] = {STR("f"), STR("g")};
	const struct policy_graphql_operation ops[] = {
		{STR("query"), STR("N"), fields, 2, false, STR_NONE, STR_NONE},
		{STR_NONE, STR_NONE, NULL, 0, true, STR("abc"), STR_NONE},
	};
	const struct policy_graphql g = {STR_NONE, ops, 2};
	const struct policy_jsonrpc j = {STR_NONE, STR("tools/call"), false, false, params, 2};
	struct policy_request r = {STR("POST"), STR("/repos/a/b"), params, 2, STR("select"), &g,
				   &j};
	struct policy_target t = {str_of(ep->host.text), ep->ports[0]};
	struct policy_caller c = {.exe = n->binaries_n ? n->binaries[0].path.text : "/x",
				  .ancestors = parents,
				  .ancestors_n = 2};
	struct policy_request_verdict v;

	policy_decide_request(p, &t, &c, &r, &a, &v);
	must(v.allowed == (v.reason == NULL));
	must(!v.allowed || v.policy != NULL);
	r.graphql = NULL;
	r.jsonrpc = NULL;
	policy_decide_request(p, &t, &c, &r, &a, &v);
	must(v.allowed == (v.reason == NULL));
}

static void return_trip(const struct policy *p)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct err e;
	struct Openshell__Sandbox__V1__SandboxPolicy *m = policy_to_message(p, &a, &e);

	if (m == NULL)
		return;
	struct policy *again = policy_of_message(m, "fuzz", NULL, NULL, &e);
	must(again != NULL && again->networks_n == p->networks_n);
	struct Openshell__Sandbox__V1__SandboxPolicy *twice = policy_to_message(again, &a, &e);
	must(twice != NULL);
	size_t size = protobuf_c_message_get_packed_size((void *)m);
	must(size == protobuf_c_message_get_packed_size((void *)twice));
	uint8_t *once = arena_zalloc(&a, size), *then = arena_zalloc(&a, size);
	protobuf_c_message_pack((void *)m, once);
	protobuf_c_message_pack((void *)twice, then);
	must(memcmp(once, then, size) == 0);
	policy_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct err e = {0};
	struct policy *policy = policy_parse(str_sub(p, n), "fuzz", NULL, NULL, &e);

	if (policy == NULL) {
		must(e.code != 0 && e.text[0] != '\0' && str_is_utf8(str_of(e.text)));
		return 0;
	}
	for (size_t i = 0; i < policy->networks_n; i++) {
		for (size_t j = 0; j < policy->networks[i].endpoints_n; j++)
			look_at(&policy->networks[i].endpoints[j]);
		if (policy->networks[i].endpoints_n > 0)
			ask(policy, &policy->networks[i], &policy->networks[i].endpoints[0]);
	}
	return_trip(policy);
	policy_unref(policy);
	return 0;
}
