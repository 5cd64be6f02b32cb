/*
 * GraphQL operations (supervisor contract 5.5). An operation that names a persisted query only is
 * judged as the one that the endpoint has registered under that name.
 */
#include <string.h>

#include "policy/decide_impl.h"

/* What a rule is compared with. */
struct operation {
	struct str type, name;
	const struct str *fields;
	const char *const *registered; /* those of a registered one, else NULL */
	size_t fields_n;
};

static struct str field(const struct operation *op, size_t i)
{
	return op->registered ? str_of(op->registered[i]) : op->fields[i];
}

bool graphql_has_operations(const struct policy_request *r)
{
	return r->graphql != NULL && r->graphql->operations_n > 0;
}

bool graphql_has_error(const struct policy_request *r)
{
	return r->graphql != NULL && r->graphql->error.n > 0;
}

/* ---- persisted queries ---- */

static bool needs_registry(const struct policy_graphql_operation *op)
{
	return op->persisted && op->operation_type.n == 0;
}

static const struct policy_operation *registered(const struct policy_graphql_operation *op,
						 const struct policy_endpoint *ep)
{
	struct str key = op->persisted_hash.n > 0 ? op->persisted_hash : op->persisted_id;

	if (key.n == 0 || !streq(ep->persisted_queries, "allow_registered"))
		return NULL;
	for (size_t i = 0; i < ep->operations_n; i++) {
		if (str_is(key, ep->operations[i].key))
			return &ep->operations[i];
	}
	return NULL;
}

bool graphql_unregistered(const struct policy_request *r, const struct policy_endpoint *ep)
{
	for (size_t i = 0; r->graphql != NULL && i < r->graphql->operations_n; i++) {
		const struct policy_graphql_operation *op = &r->graphql->operations[i];
		if (needs_registry(op) && registered(op, ep) == NULL)
			return true;
	}
	return false;
}

/* False for a persisted query that is not registered. */
static bool effective(const struct policy_graphql_operation *op, const struct policy_endpoint *ep,
		      struct operation *out)
{
	if (!needs_registry(op)) {
		*out = (struct operation){op->operation_type, op->operation_name, op->fields, NULL,
					  op->fields_n};
		return true;
	}
	const struct policy_operation *known = registered(op, ep);
	if (known == NULL)
		return false;
	*out = (struct operation){str_of(known->operation_type), str_of(known->operation_name),
				  NULL, known->fields.v, known->fields.n};
	return true;
}

/* ---- rules ---- */

static bool type_and_name_match(const struct policy_rule *rule, const struct operation *op)
{
	if (str_empty(rule->operation_type))
		return false;
	if (!streq(rule->operation_type, "*") && !str_ieq(str_of(rule->operation_type), op->type))
		return false;
	return rule->operation_name.glob == NULL || glob_match(rule->operation_name.glob, op->name);
}

static size_t matching_fields(const struct policy_rule *rule, const struct operation *op)
{
	size_t n = 0;

	for (size_t i = 0; i < op->fields_n; i++)
		n += decide_any_matches(&rule->fields, field(op, i));
	return n;
}

/* Every field that is selected must be one of the rule's: a harmless one beside it excuses nothing. */
static bool rule_allows(const struct policy_rule *rule, const struct operation *op)
{
	if (!type_and_name_match(rule, op))
		return false;
	return rule->fields.n == 0 ||
	       (op->fields_n > 0 && matching_fields(rule, op) == op->fields_n);
}

static bool rule_denies(const struct policy_rule *rule, const struct operation *op)
{
	if (!type_and_name_match(rule, op))
		return false;
	return rule->fields.n == 0 || matching_fields(rule, op) > 0;
}

static bool operation_allowed(const struct policy_graphql_operation *op,
			      const struct policy_endpoint *ep)
{
	struct operation e;

	if (!effective(op, ep, &e))
		return false;
	for (size_t i = 0; i < ep->allow.n; i++) {
		if (rule_allows(&ep->allow.v[i], &e))
			return true;
	}
	return false;
}

static bool operation_denied(const struct policy_graphql_operation *op,
			     const struct policy_endpoint *ep)
{
	struct operation e;

	if (!effective(op, ep, &e))
		return false;
	for (size_t i = 0; i < ep->deny.n; i++) {
		if (rule_denies(&ep->deny.v[i], &e))
			return true;
	}
	return false;
}

/* ---- the request ---- */

bool graphql_allowed(const struct policy_request *r, const struct policy_endpoint *ep)
{
	if (!graphql_has_operations(r) || graphql_has_error(r))
		return false;
	for (size_t i = 0; i < r->graphql->operations_n; i++) {
		if (!operation_allowed(&r->graphql->operations[i], ep))
			return false;
	}
	return true;
}

bool graphql_denied(const struct policy_request *r, const struct policy_endpoint *ep)
{
	if (r->graphql == NULL)
		return false;
	for (size_t i = 0; i < r->graphql->operations_n; i++) {
		if (operation_denied(&r->graphql->operations[i], ep))
			return true;
	}
	/* the last word, see decide.h */
	return (ep->protocol == POLICY_GRAPHQL || ep->protocol == POLICY_WEBSOCKET) &&
	       !graphql_allowed(r, ep);
}
