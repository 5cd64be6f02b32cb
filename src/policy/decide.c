#include <string.h>

#include "base/buf.h"
#include "policy/decide_impl.h"

/* ---- matching ---- */

bool decide_endpoint_matches(const struct policy_endpoint *ep, const struct policy_target *t)
{
	bool port = false;

	for (size_t i = 0; i < ep->ports_n && !port; i++)
		port = ep->ports[i] == t->port;
	if (!port)
		return false;
	if (ep->host.glob != NULL)
		return glob_match(ep->host.glob, t->host);
	if (str_empty(ep->host.text))
		return ep->allowed_ips.n > 0;
	return str_ieq(str_of(ep->host.text), t->host);
}

bool decide_path_matches(const struct policy_endpoint *ep, struct str path)
{
	return ep->path.glob == NULL || glob_match(ep->path.glob, path);
}

bool decide_any_matches(const struct policy_patterns *p, struct str text)
{
	for (size_t i = 0; i < p->n; i++) {
		if (glob_match(p->v[i].glob, text))
			return true;
	}
	return false;
}

static bool has_endpoint(const struct policy_network *n, const struct policy_target *t)
{
	for (size_t i = 0; i < n->endpoints_n; i++) {
		if (decide_endpoint_matches(&n->endpoints[i], t))
			return true;
	}
	return false;
}

static bool is_program(const struct policy_binary *b, const char *path)
{
	if (path == NULL)
		return false;
	if (b->path.glob != NULL)
		return glob_match(b->path.glob, str_of(path));
	return streq(b->path.text, path);
}

static bool is_caller(const struct policy_binary *b, const struct policy_caller *c)
{
	if (is_program(b, c->exe))
		return true;
	for (size_t i = 0; i < c->ancestors_n; i++) {
		if (is_program(b, c->ancestors[i]))
			return true;
	}
	return false;
}

/* Whether a program of the policy asks; one that a person named, if that is asked for. */
static bool has_caller(const struct policy_network *n, const struct policy_caller *c,
		       bool by_a_person)
{
	if (c->relaxed)
		return true;
	for (size_t i = 0; i < n->binaries_n; i++) {
		const struct policy_binary *b = &n->binaries[i];
		if (!(by_a_person && b->advisor_proposed) && is_caller(b, c))
			return true;
	}
	return false;
}

static bool has_exact_host(const struct policy_network *n, const struct policy_target *t)
{
	for (size_t i = 0; i < n->endpoints_n; i++) {
		const struct policy_endpoint *ep = &n->endpoints[i];
		if (!ep->advisor_proposed && ep->host.glob == NULL && !str_empty(ep->host.text) &&
		    decide_endpoint_matches(ep, t))
			return true;
	}
	return false;
}

const struct policy_middleware *policy_middleware_for(const struct policy *p, struct str host,
						      bool fail_closed)
{
	for (size_t i = 0; i < p->middlewares_n; i++) {
		const struct policy_middleware *m = &p->middlewares[i];
		if (!(fail_closed && m->fail_open) && decide_any_matches(&m->include, host) &&
		    !decide_any_matches(&m->exclude, host))
			return m;
	}
	return NULL;
}

/* ---- reasons ---- */

static void add_list(struct buf *b, const char *const *v, size_t n, const char *between)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "%s%s", i ? between : "", v[i]);
}

/* Contract 5.5; the words are the peer's, whom tools and people know. */
static void add_miss(struct buf *b, const struct policy_network *n, const struct policy_caller *c)
{
	buf_printf(b, "%sbinary '%s' not allowed in policy '%s' (ancestors: [", b->n ? "; " : "",
		   c->exe ? c->exe : "", n->key);
	add_list(b, c->ancestors, c->ancestors_n, " -> ");
	buf_cstr(b, "], cmdline: [");
	add_list(b, c->cmdline, c->cmdline_n, ", ");
	buf_cstr(b,
		 "]). SYMLINK HINT: the binary path is the kernel-resolved target from "
		 "/proc/<pid>/exe, not the symlink. If your policy specifies a symlink (e.g., "
		 "/usr/bin/python3) but the actual binary is /usr/bin/python3.11, either: (1) use "
		 "the canonical path in your policy (run 'readlink -f /usr/bin/python3' inside "
		 "the sandbox), or (2) ensure symlink resolution is working (check sandbox logs "
		 "for 'Cannot access container filesystem')");
}

static const char *why_not(const struct policy *p, const struct policy_target *t,
			   const struct policy_caller *c, struct arena *a)
{
	_cleanup_buf_ struct buf b = BUF_INIT(POLICY_REASON_MAX);

	if (p->networks_n == 0)
		return "network connections not allowed by policy";
	for (size_t i = 0; i < p->networks_n; i++) {
		if (has_endpoint(&p->networks[i], t))
			add_miss(&b, &p->networks[i], c);
	}
	if (b.n == 0)
		return arena_printf(a, "endpoint %.*s:%u is not allowed by any policy",
				    STR_FMT(t->host), (unsigned)t->port);
	return arena_dup(a, buf_view(&b));
}

/* ---- the answer ---- */

static void add_network(const struct policy_network *n, const struct policy_target *t,
			const struct policy_caller *c, struct policy_verdict *out)
{
	if (out->policy == NULL) /* they are sorted */
		out->policy = n->key;
	out->exact_host = out->exact_host || (has_caller(n, c, true) && has_exact_host(n, t));
	for (size_t i = 0; i < n->endpoints_n; i++) {
		const struct policy_endpoint *ep = &n->endpoints[i];
		if (!decide_endpoint_matches(ep, t))
			continue;
		out->endpoints[out->endpoints_n++] = ep;
		out->tls_skip = out->tls_skip || ep->tls_skip;
		out->inspected = out->inspected || policy_protocol_inspected(ep->protocol);
	}
}

static size_t count_endpoints(const struct policy *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->networks_n; i++)
		n += p->networks[i].endpoints_n;
	return n;
}

void policy_decide(const struct policy *p, const struct policy_target *target,
		   const struct policy_caller *caller, struct arena *a, struct policy_verdict *out)
{
	*out = (struct policy_verdict){.generation = p->generation};
	if (target == NULL || caller == NULL) {
		out->reason = target ? "missing input.exec" : "missing input.network";
		return;
	}
	out->endpoints = arena_zalloc(a, count_endpoints(p) * sizeof(struct policy_endpoint *));
	for (size_t i = 0; i < p->networks_n; i++) {
		const struct policy_network *n = &p->networks[i];
		if (has_endpoint(n, target) && has_caller(n, caller, false))
			add_network(n, target, caller, out);
	}
	out->allowed = out->policy != NULL;
	if (!out->allowed)
		out->reason = why_not(p, target, caller, a);
}

bool policy_verdict_stale(const struct policy_verdict *v, const struct policy *now)
{
	return v->generation != now->generation;
}

const struct policy_endpoint *policy_endpoint_for(const struct policy_verdict *v, struct str path)
{
	const struct policy_endpoint *best = NULL;
	size_t most = 0;

	for (size_t i = 0; i < v->endpoints_n; i++) {
		const struct policy_endpoint *ep = v->endpoints[i];
		size_t n = policy_endpoint_specificity(ep);
		if (!policy_protocol_inspected(ep->protocol) || !decide_path_matches(ep, path))
			continue;
		if (best == NULL || n > most) {
			best = ep;
			most = n;
		}
	}
	return best;
}
