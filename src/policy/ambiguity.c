/*
 * Endpoints that contradict each other (supervisor contract 5.3). Rules may come from several
 * endpoints of one destination and add up. What decides how a connection is made, or how a request
 * is taken apart, cannot: where two endpoints can be meant by one connection or one request, they
 * must agree on it, else the order of the text would decide.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "policy/policy_impl.h"

struct side {
	const struct policy_network *n;
	const struct policy_endpoint *ep;
	size_t specificity;
};

/* ---- whether two can be meant at once ---- */

/* The ports that both have, as text; "" for none. */
static void common_ports(const struct policy_endpoint *a, const struct policy_endpoint *b,
			 struct buf *out)
{
	for (size_t i = 0, j = 0; i < a->ports_n && j < b->ports_n;) {
		uint16_t x = a->ports[i], y = b->ports[j];
		if (x == y)
			buf_printf(out, "%s%u", out->n ? "," : "", (unsigned)x);
		i += x <= y;
		j += y <= x;
	}
}

static bool patterns_meet(const struct policy_pattern *a, const struct policy_pattern *b)
{
	if (a->glob != NULL && b->glob != NULL)
		return glob_overlap(a->glob, b->glob);
	if (a->glob != NULL)
		return glob_match(a->glob, str_of(b->text));
	if (b->glob != NULL)
		return glob_match(b->glob, str_of(a->text));
	return str_ieq(str_of(a->text), str_of(b->text));
}

static bool hosts_meet(const struct policy_pattern *a, const struct policy_pattern *b)
{
	return str_empty(a->text) || str_empty(b->text) || patterns_meet(a, b);
}

/* A path without a program is any path. */
static bool paths_meet(const struct policy_pattern *a, const struct policy_pattern *b)
{
	return a->glob == NULL || b->glob == NULL || glob_overlap(a->glob, b->glob);
}

/* ---- on what they must agree ---- */

static void differ(struct buf *out, const char *field, const char *a, const char *b)
{
	if (!streq(a, b))
		buf_printf(out, "%s%s=\"%.40s\" vs \"%.40s\"", out->n ? "; " : "", field, a, b);
}

static void differ_flag(struct buf *out, const char *field, bool a, bool b)
{
	differ(out, field, a ? "true" : "false", b ? "true" : "false");
}

static void differ_number(struct buf *out, const char *field, uint32_t a, uint32_t b)
{
	char x[16], y[16];

	snprintf(x, sizeof x, "%u", (unsigned)a);
	snprintf(y, sizeof y, "%u", (unsigned)b);
	differ(out, field, x, y);
}

static uint32_t limit(uint32_t bytes)
{
	return bytes ? bytes : POLICY_BODY_DEFAULT;
}

static bool has_net(const struct policy_endpoint *ep, const struct policy_net *net)
{
	for (size_t i = 0; i < ep->allowed_ips.n; i++) {
		const struct policy_net *mine = &ep->nets[i];
		if (mine->prefix == net->prefix && policy_net_has(mine, net->addr))
			return true;
	}
	return false;
}

static bool nets_within(const struct policy_endpoint *a, const struct policy_endpoint *b)
{
	for (size_t i = 0; i < a->allowed_ips.n; i++) {
		if (!has_net(b, &a->nets[i]))
			return false;
	}
	return true;
}

static void connection_conflicts(const struct policy_endpoint *a, const struct policy_endpoint *b,
				 struct buf *out)
{
	differ_flag(out, "transparent_tcp_eligible", a->protocol == POLICY_TCP,
		    b->protocol == POLICY_TCP);
	differ(out, "tls", a->tls_skip ? "skip" : "", b->tls_skip ? "skip" : "");
	differ_flag(out, "advisor_proposed", a->advisor_proposed, b->advisor_proposed);
	if (!nets_within(a, b) || !nets_within(b, a))
		buf_printf(out, "%sallowed_ips", out->n ? "; " : "");
}

static void request_conflicts(const struct policy_endpoint *a, const struct policy_endpoint *b,
			      struct buf *out)
{
	enum policy_protocol p = a->protocol == b->protocol ? a->protocol : POLICY_L4;

	differ(out, "protocol", policy_protocol_name(a->protocol),
	       policy_protocol_name(b->protocol));
	differ(out, "enforcement", a->enforcement == POLICY_ENFORCE ? "enforce" : "audit",
	       b->enforcement == POLICY_ENFORCE ? "enforce" : "audit");
	differ_flag(out, "allow_encoded_slash", a->allow_encoded_slash, b->allow_encoded_slash);
	differ_flag(out, "websocket_credential_rewrite", a->websocket_credential_rewrite,
		    b->websocket_credential_rewrite);
	differ_flag(out, "request_body_credential_rewrite", a->request_body_credential_rewrite,
		    b->request_body_credential_rewrite);
	differ(out, "credential_signing", a->credential_signing, b->credential_signing);
	differ(out, "signing_service", a->signing_service, b->signing_service);
	differ(out, "signing_region", a->signing_region, b->signing_region);
	differ(out, "credential_binding.provider", a->credential_provider, b->credential_provider);
	if (p == POLICY_WEBSOCKET)
		differ_flag(out, "websocket_graphql_policy", policy_websocket_graphql(a),
			    policy_websocket_graphql(b));
	if (p == POLICY_GRAPHQL)
		differ_number(out, "graphql_max_body_bytes", limit(a->graphql_max_body_bytes),
			      limit(b->graphql_max_body_bytes));
	if (p == POLICY_JSON_RPC || p == POLICY_MCP)
		differ_number(out, "json_rpc_max_body_bytes", limit(a->json_rpc_max_body_bytes),
			      limit(b->json_rpc_max_body_bytes));
	if (p == POLICY_MCP)
		differ_flag(out, "mcp.strict_tool_names", a->mcp_strict_tool_names,
			    b->mcp_strict_tool_names);
}

/* ---- the comparison ---- */

static const char *selector(const struct policy_build *b, const struct policy_endpoint *ep)
{
	_cleanup_buf_ struct buf s = BUF_INIT(128); /* what does not fit is left out */

	buf_printf(&s, "%.64s:", str_empty(ep->host.text) ? "<any-host>" : ep->host.text);
	for (size_t i = 0; i < ep->ports_n; i++)
		buf_printf(&s, "%s%u", i ? "," : "", (unsigned)ep->ports[i]);
	buf_printf(&s, "%.40s", ep->path.text);
	return arena_dup(&b->p->arena, buf_view(&s));
}

static int compare(const struct policy_build *b, const struct side *x, const struct side *y)
{
	_cleanup_buf_ struct buf ports = BUF_INIT(64), conflicts = BUF_INIT(200);

	common_ports(x->ep, y->ep, &ports);
	if (ports.n == 0 || !hosts_meet(&x->ep->host, &y->ep->host))
		return 0;
	connection_conflicts(x->ep, y->ep, &conflicts);
	if (policy_endpoint_configures(x->ep) && policy_endpoint_configures(y->ep) &&
	    x->specificity == y->specificity && paths_meet(&x->ep->path, &y->ep->path))
		request_conflicts(x->ep, y->ep, &conflicts);
	if (conflicts.n == 0)
		return 0;
	return policy_bad(b, y->ep->at,
			  "network policies '%.40s' endpoint[%zu] (%s) and '%.40s' endpoint[%zu] "
			  "(%s) overlap on port(s) %.*s with conflicting metadata: %.*s",
			  x->n->name, (size_t)(x->ep - x->n->endpoints), selector(b, x->ep),
			  y->n->name, (size_t)(y->ep - y->n->endpoints), selector(b, y->ep),
			  STR_FMT(buf_view(&ports)), STR_FMT(buf_view(&conflicts)));
}

/* ---- middlewares cannot look into tunnels ---- */

static bool selects(const struct policy_middleware *m, const struct policy_pattern *host)
{
	for (size_t i = 0; i < m->exclude.n; i++) {
		if (host->glob == NULL ? glob_match(m->exclude.v[i].glob, str_of(host->text))
				       : str_ieq(str_of(m->exclude.v[i].text), str_of(host->text)))
			return false;
	}
	for (size_t i = 0; i < m->include.n; i++) {
		if (hosts_meet(&m->include.v[i], host))
			return true;
	}
	return false;
}

static int check_tunnel(const struct policy_build *b, const struct side *s)
{
	for (size_t i = 0; i < b->p->middlewares_n && s->ep->tls_skip; i++) {
		const struct policy_middleware *m = &b->p->middlewares[i];
		if (!m->fail_open && selects(m, &s->ep->host))
			return policy_bad(b, s->ep->at,
					  "middleware config '%s' selects network policy '%s' tls: "
					  "skip endpoint '%.64s'",
					  m->key, s->n->name, s->ep->host.text);
	}
	return 0;
}

static int check_sides(const struct policy_build *b, const struct side *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (check_tunnel(b, &v[i]) < 0)
			return -1;
		for (size_t j = i + 1; j < n; j++) {
			if (compare(b, &v[i], &v[j]) < 0)
				return -1;
		}
	}
	return 0;
}

int policy_check_ambiguity(struct policy_build *b)
{
	_cleanup_free_ struct side *v = xcalloc(b->endpoints + 1, sizeof *v);
	size_t n = 0;

	for (size_t i = 0; i < b->p->networks_n; i++) {
		const struct policy_network *net = &b->p->networks[i];
		for (size_t j = 0; j < net->endpoints_n; j++) {
			const struct policy_endpoint *ep = &net->endpoints[j];
			v[n++] = (struct side){net, ep, policy_endpoint_specificity(ep)};
		}
	}
	return check_sides(b, v, n);
}
