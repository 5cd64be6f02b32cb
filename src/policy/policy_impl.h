/*
 * The steps in which a policy is made, for the files of src/policy only:
 *
 *	read.c, read_endpoint.c   the text's tree becomes the model, nothing more
 *	message.c                 or a gateway's message does; to_message.c is the way back
 *	check.c, check_l7.c       everything of contract 5.3 that concerns one endpoint
 *	compile.c                 presets become rules, patterns become programs
 *	ambiguity.c               endpoints that contradict each other
 */
#ifndef OPENSHELL_POLICY_POLICY_IMPL_H
#define OPENSHELL_POLICY_POLICY_IMPL_H

#include "base/yaml.h"
#include "policy/policy.h"

/* A policy under construction, and whom to tell what is wrong with it. */
struct policy_build {
	struct policy *p;
	const char *what;
	const struct yaml_marks *marks; /* NULL when it comes from no text */
	struct err *e;
	size_t endpoints; /* read so far */
};

/* An empty policy with one reference. */
struct policy *policy_new(void);

/* Fills e with "WHAT: line L column C: " and the formatted text; without a mark there is no line.
 * Returns -1. */
int policy_bad(const struct policy_build *b, struct policy_mark at, const char *fmt, ...)
	PRINTF(3, 4);
/* Adds a sentence to the policy's warnings, with the line where there is one. */
void policy_warn(const struct policy_build *b, struct policy_mark at, const char *fmt, ...)
	PRINTF(3, 4);

int policy_read(struct policy_build *b, const cJSON *tree);
/* All that follows the reading: the steps below, in their order. */
int policy_finish(struct policy_build *b, policy_resolve_fn *resolve, void *arg);
int policy_check(struct policy_build *b);
int policy_check_l7(struct policy_build *b, const struct policy_network *n,
		    struct policy_endpoint *ep);
/* Whether a websocket endpoint judges GraphQL operations. */
bool policy_websocket_graphql(const struct policy_endpoint *ep);
int policy_compile(struct policy_build *b, policy_resolve_fn *resolve, void *arg);
int policy_check_ambiguity(struct policy_build *b);

/* The text as an address or a network; false when it is none. net.c. */
bool policy_net_parse(const char *text, struct policy_net *out);
/* Whether some address is in both. */
bool policy_net_overlap(const struct policy_net *a, const struct policy_net *b);
/* The network among those that are never allowed (contract 6.5: loopback, link-local, unspecified)
 * that this one overlaps, as text; NULL when there is none. */
const char *policy_net_blocked(const struct policy_net *net);

#endif
