/*
 * What the files that answer share: decide.c (destinations), request.c, graphql.c and rpc.c
 * (requests).
 */
#ifndef OPENSHELL_POLICY_DECIDE_IMPL_H
#define OPENSHELL_POLICY_DECIDE_IMPL_H

#include "policy/decide.h"

/* Whether the endpoint is for the destination. */
bool decide_endpoint_matches(const struct policy_endpoint *ep, const struct policy_target *t);
/* Whether its path, if it has one, is the request's. */
bool decide_path_matches(const struct policy_endpoint *ep, struct str path);
/* Whether one of the patterns matches. */
bool decide_any_matches(const struct policy_patterns *p, struct str text);

/* GraphQL: whether the request has operations at all; whether it could not be parsed; whether an
 * operation is known by a name only that the endpoint does not know. */
bool graphql_has_operations(const struct policy_request *r);
bool graphql_has_error(const struct policy_request *r);
bool graphql_unregistered(const struct policy_request *r, const struct policy_endpoint *ep);
/* Whether the endpoint's rules allow, or deny, what the request asks. */
bool graphql_allowed(const struct policy_request *r, const struct policy_endpoint *ep);
bool graphql_denied(const struct policy_request *r, const struct policy_endpoint *ep);

/* JSON-RPC and MCP. */
bool rpc_endpoint(const struct policy_endpoint *ep);
bool rpc_has_response(const struct policy_request *r);
bool rpc_allowed(const struct policy_request *r, const struct policy_endpoint *ep);
bool rpc_denied(const struct policy_request *r, const struct policy_endpoint *ep);

#endif
