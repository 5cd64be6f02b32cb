/*
 * What the tests of policies share: texts that become policies, or do not.
 */
#ifndef OPENSHELL_TEST_POLICY_H
#define OPENSHELL_TEST_POLICY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "test.h"

static inline struct policy *parse(const char *text)
{
	struct err e = {0};
	struct policy *p = policy_parse(str_of(text), "p", NULL, NULL, &e);

	if (p == NULL)
		FAIL("%s", e.text);
	return p;
}

/* An endpoint in which the words stand from line 4 column 36. */
#define ENDPOINT(words)                                                                            \
	"version: 1\nnetwork_policies:\n  net:\n    endpoints: [{host: h, port: 1, " words         \
	"}]\n    binaries: [{path: /b}]\n"
#define REST(words) ENDPOINT("protocol: rest, " words)
#define NET(words) "version: 1\nnetwork_policies: {net: " words "}\n"

#endif
