/*
 * What a policy must hold (supervisor contract 5.3), but for the rules of requests (check_l7.c) and
 * for endpoints that contradict each other (ambiguity.c). The first fault is told.
 */
#include <arpa/inet.h>
#include <string.h>

#include "base/json.h"
#include "policy/policy_impl.h"
#include "policy/read_impl.h"

enum {
	ID_MIN = 1, /* of a user or a group; 0 is root (contract 4.9) */
	SHOWN_MAX = 80,
	NET_WARN_PREFIX = 16, /* an IPv4 network larger than that is likely not meant (6.5) */
};
#define ID_MAX UINT64_C(4294967294)

/* ---- files ---- */

static const struct policy_mark nowhere = {0, 0};

/* Where the text has a field of a section, or (item >= 0) one of the field's list; nowhere for a policy that comes
 * from no text. */
static struct policy_mark where(const struct policy_build *b, const char *section,
				const char *field, int item)
{
	const cJSON *node = b->marks ? json_get(json_get(b->p->tree, section), field) : NULL;

	if (item >= 0)
		node = cJSON_GetArrayItem(node, item);
	return node ? read_mark(b, node) : nowhere;
}

/* A path of any length, for an error. */
static const char *shown(const struct policy_build *b, const char *path)
{
	struct str s = str_of(path);

	if (s.n <= SHOWN_MAX)
		return path;
	struct str head = str_utf8_prefix(s, SHOWN_MAX - 3);
	return arena_printf(&b->p->arena, "%.*s...", STR_FMT(head));
}

static bool climbs(const char *path)
{
	struct str rest = str_of(path);

	while (rest.p != NULL) {
		if (str_is(str_cut(&rest, '/'), ".."))
			return true;
	}
	return false;
}

static int check_path(const struct policy_build *b, const char *path, struct policy_mark at)
{
	if (strlen(path) > POLICY_PATH_LENGTH_MAX)
		return policy_bad(b, at, "path exceeds maximum length (%zu > %d): %s", strlen(path),
				  POLICY_PATH_LENGTH_MAX, shown(b, path));
	if (path[0] != '/')
		return policy_bad(b, at, "path must be absolute (start with '/'): %s",
				  shown(b, path));
	if (climbs(path))
		return policy_bad(b, at, "path contains '..' traversal component: %s",
				  shown(b, path));
	return 0;
}

static int check_paths(const struct policy_build *b, const char *field,
		       const struct policy_texts *paths)
{
	for (size_t i = 0; i < paths->n; i++) {
		if (check_path(b, paths->v[i], where(b, "filesystem_policy", field, (int)i)) < 0)
			return -1;
	}
	return 0;
}

static int check_filesystem(const struct policy_build *b)
{
	const struct policy_texts *ro = &b->p->read_only, *rw = &b->p->read_write;

	if (ro->n + rw->n > POLICY_PATHS_MAX)
		return policy_bad(b,
				  where(b, "filesystem_policy",
					ro->n > rw->n ? "read_only" : "read_write", -1),
				  "too many filesystem paths (%zu > %d)", ro->n + rw->n,
				  POLICY_PATHS_MAX);
	if (check_paths(b, "read_only", ro) < 0 || check_paths(b, "read_write", rw) < 0)
		return -1;
	for (size_t i = 0; i < rw->n; i++) {
		if (rw->v[i][strspn(rw->v[i], "/")] == '\0')
			return policy_bad(b, where(b, "filesystem_policy", "read_write", (int)i),
					  "read-write path is overly broad: %s",
					  shown(b, rw->v[i]));
	}
	return 0;
}

/* ---- process ---- */

static int check_identity(const struct policy_build *b, const char *field, const char *value)
{
	uint64_t id;

	if (str_empty(value) || streq(value, "sandbox"))
		return 0;
	if (str_u64(str_of(value), &id) && id >= ID_MIN && id <= ID_MAX)
		return 0;
	return policy_bad(b, where(b, "process", field, -1),
			  "%s must be 'sandbox' or a numeric UID/GID in range [%d, %llu], got '%s'",
			  field, ID_MIN, (unsigned long long)ID_MAX, shown(b, value));
}

static int check_landlock(const struct policy_build *b)
{
	const char *text = b->p->landlock_compatibility;

	b->p->landlock_required = streq(text, "hard_requirement");
	if (b->p->landlock_required || str_empty(text) || streq(text, "best_effort"))
		return 0;
	return policy_bad(b, where(b, "landlock", "compatibility", -1),
			  "landlock compatibility must be best_effort or hard_requirement, "
			  "got '%s'",
			  shown(b, text));
}

/* ---- hosts ---- */

static size_t labels_of(const char *host)
{
	size_t n = 1;

	for (; *host != '\0'; host++)
		n += *host == '.';
	return n;
}

/* A label has a "*" within at the front of the name only, "**" is the whole first label. */
static bool wildcard_is_misshapen(const char *host)
{
	struct str rest = str_of(host), label = str_cut(&rest, '.');

	if (streq(host, "*") || streq(host, "**"))
		return true;
	if (memmem(label.p, label.n, "**", 2) != NULL && !str_is(label, "**"))
		return true;
	while (rest.p != NULL) {
		label = str_cut(&rest, '.');
		if (memchr(label.p, '*', label.n) != NULL && !str_is(label, "*"))
			return true;
	}
	return false;
}

static int check_wildcard(const struct policy_build *b, const struct policy_network *n,
			  const struct policy_endpoint *ep)
{
	struct str host = str_of(ep->host.text);

	if ((str_starts(host, "*.") || str_starts(host, "**.")) && labels_of(host.p) <= 2)
		return policy_bad(b, ep->at,
				  "network policy '%s': TLD wildcard '%s' is not allowed; use "
				  "subdomain wildcards like '*.example.com' instead",
				  n->name, shown(b, host.p));
	if (wildcard_is_misshapen(host.p))
		return policy_bad(b, ep->at,
				  "network policy '%s': invalid host wildcard '%s'; middle DNS "
				  "label wildcards must be the entire label '*' and recursive '**' "
				  "is only allowed as the entire first label",
				  n->name, shown(b, host.p));
	return 0;
}

static bool is_address(const char *host)
{
	uint8_t addr[16];

	return inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1;
}

static int check_tcp_host(const struct policy_build *b, const struct policy_network *n,
			  const struct policy_endpoint *ep)
{
	struct str host = str_of(ep->host.text);

	if (str_trim(host).n == 0)
		return policy_bad(
			b, ep->at,
			"network policy '%s': protocol tcp requires a DNS hostname; "
			"hostless allowed_ips endpoints are supported only by the forward "
			"proxy",
			n->name);
	if (is_address(host.p))
		return policy_bad(
			b, ep->at,
			"network policy '%s': protocol tcp endpoint '%s' must use a DNS "
			"hostname, not an IP literal; direct IP connections bypass policy "
			"DNS and are blocked",
			n->name, host.p);
	return 0;
}

static int check_host(const struct policy_build *b, const struct policy_network *n,
		      const struct policy_endpoint *ep)
{
	if (ep->protocol == POLICY_TCP && check_tcp_host(b, n, ep) < 0)
		return -1;
	if (str_trim(str_of(ep->host.text)).n == 0 && ep->allowed_ips.n == 0)
		return policy_bad(b, ep->at,
				  "network policy '%s': endpoint host must not be empty unless "
				  "allowed_ips constrains a non-TCP proxy endpoint",
				  n->name);
	if (ep->ports_n == 0)
		return policy_bad(b, ep->at,
				  "network policy '%s': endpoint '%s' must declare at least one "
				  "port",
				  n->name, shown(b, ep->host.text));
	return check_wildcard(b, n, ep);
}

/* ---- allowed_ips, contract 6.5 ---- */

static int check_nets(const struct policy_build *b, const struct policy_network *n,
		      struct policy_endpoint *ep)
{
	ep->nets = arena_zalloc(&b->p->arena, ep->allowed_ips.n * sizeof *ep->nets);
	for (size_t i = 0; i < ep->allowed_ips.n; i++) {
		const char *text = ep->allowed_ips.v[i];
		struct policy_net *net = &ep->nets[i];
		if (!policy_net_parse(text, net))
			return policy_bad(b, ep->at,
					  "network policy '%s': invalid allowed_ips entry '%s'",
					  n->name, shown(b, text));
		const char *blocked = policy_net_blocked(net);
		if (blocked != NULL)
			return policy_bad(
				b, ep->at,
				"network policy '%s': allowed_ips entry '%s' overlaps %s, "
				"which is never allowed",
				n->name, text, blocked);
		unsigned prefix = strchr(text, ':') ? net->prefix : net->prefix - 96;
		if (prefix < NET_WARN_PREFIX)
			policy_warn(b, ep->at,
				    "network policy '%s': allowed_ips entry '%s' is a very large "
				    "network",
				    n->name, text);
	}
	return 0;
}

/* ---- credentials ---- */

static int check_signing(const struct policy_build *b, const struct policy_network *n,
			 const struct policy_endpoint *ep)
{
	const char *s = ep->credential_signing, *host = shown(b, ep->host.text);

	if (str_empty(s))
		return 0;
	if (!streq(s, "sigv4") && !streq(s, "sigv4:body") && !streq(s, "sigv4:no_body"))
		return policy_bad(b, ep->at,
				  "network policy '%s': endpoint '%s' has unrecognized "
				  "credential_signing value '%s' (expected sigv4, sigv4:body, or "
				  "sigv4:no_body)",
				  n->name, host, shown(b, s));
	if (str_empty(ep->signing_service))
		return policy_bad(b, ep->at,
				  "network policy '%s': endpoint '%s' has credential_signing set "
				  "but signing_service is empty",
				  n->name, host);
	if (ep->request_body_credential_rewrite)
		return policy_bad(b, ep->at,
				  "network policy '%s': endpoint '%s' has both credential_signing "
				  "and request_body_credential_rewrite set; these options are "
				  "mutually exclusive",
				  n->name, host);
	return 0;
}

/* ---- middlewares ---- */

static int check_middleware(const struct policy_build *b, struct policy_middleware *m)
{
	size_t patterns = m->include.n + m->exclude.n;

	if (str_empty(m->key))
		return policy_bad(b, m->at,
				  "middleware config '' is invalid: name must not be "
				  "empty");
	if (str_empty(m->middleware))
		return policy_bad(b, m->at,
				  "middleware config '%s' is invalid: middleware must not be empty",
				  m->key);
	m->fail_open = streq(m->on_error, "fail_open");
	if (!m->fail_open && !str_empty(m->on_error) && !streq(m->on_error, "fail_closed"))
		return policy_bad(b, m->at,
				  "middleware config '%s' is invalid: invalid on_error '%s'",
				  m->key, shown(b, m->on_error));
	if (!m->selector_given)
		return policy_bad(
			b, m->at,
			"middleware config '%s' is invalid: endpoint selector is required", m->key);
	if (m->include.n == 0)
		return policy_bad(b, m->at,
				  "middleware config '%s' is invalid: endpoint selector must "
				  "include at least one host pattern",
				  m->key);
	if (patterns > POLICY_SELECTORS_MAX)
		return policy_bad(b, m->at,
				  "middleware config '%s' has too many selector patterns (%zu > "
				  "%d)",
				  m->key, patterns, POLICY_SELECTORS_MAX);
	return 0;
}

static int check_middlewares(const struct policy_build *b)
{
	const struct policy *p = b->p;

	if (p->middlewares_n > POLICY_MIDDLEWARES_MAX)
		return policy_bad(b, nowhere, "too many middleware configs (%zu > %d)",
				  p->middlewares_n, POLICY_MIDDLEWARES_MAX);
	for (size_t i = 0; i < p->middlewares_n; i++) {
		struct policy_middleware *m = &p->middlewares[i];
		if (check_middleware(b, m) < 0)
			return -1;
		for (size_t j = 0; j < i; j++) {
			const struct policy_middleware *other = &p->middlewares[j];
			if (other->order == m->order)
				return policy_bad(b, m->at,
						  "middleware configs '%s' and '%s' use duplicate "
						  "order %d",
						  other->key, m->key, (int)m->order);
		}
	}
	return 0;
}

/* ---- the whole ---- */

static int check_network(struct policy_build *b, const struct policy_network *n)
{
	for (size_t i = 0; i < n->endpoints_n; i++) {
		struct policy_endpoint *ep = &n->endpoints[i];
		if (policy_check_l7(b, n, ep) < 0 || check_host(b, n, ep) < 0 ||
		    check_nets(b, n, ep) < 0 || check_signing(b, n, ep) < 0)
			return -1;
	}
	if (n->binaries_n == 0)
		policy_warn(b, n->at, "network policy '%s' has no binaries and matches nothing",
			    n->name);
	return 0;
}

int policy_check(struct policy_build *b)
{
	const struct policy *p = b->p;

	if (check_identity(b, "run_as_user", p->run_as_user) < 0 ||
	    check_identity(b, "run_as_group", p->run_as_group) < 0 || check_landlock(b) < 0 ||
	    check_filesystem(b) < 0 || check_middlewares(b) < 0)
		return -1;
	for (size_t i = 0; i < p->networks_n; i++) {
		if (check_network(b, &p->networks[i]) < 0)
			return -1;
	}
	return 0;
}
