/*
 * A policy: the bytes as a whole text, YAML or JSON. What was accepted is complete, and its patterns
 * have their programs; what was not says why, in UTF-8.
 */
#include <string.h>

#include "base/util.h"
#include "policy/policy.h"

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
	}
	policy_unref(policy);
	return 0;
}
