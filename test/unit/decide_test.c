/*
 * Destinations, as a table (supervisor contract 5.5, L4, and the peer's tests in its section 9).
 */
#include "decide.h"

static const char policies[] =
	"version: 1\n"
	"network_policies:\n"
	"  claude_code:\n"
	"    endpoints:\n"
	"      - {host: api.anthropic.com, port: 443}\n"
	"      - {host: statsig.anthropic.com, ports: [443, 8443]}\n"
	"    binaries: [{path: /usr/local/bin/claude}, {path: /usr/bin/node}]\n"
	"  github:\n"
	"    name: GitHub\n"
	"    endpoints:\n"
	"      - {host: github.com, port: 443}\n"
	"      - {host: '*.github.com', port: 443}\n"
	"    binaries: [{path: /usr/bin/git}, {path: '/usr/lib/git-core/*'}]\n"
	"  deep:\n"
	"    endpoints: [{host: '**.deep.example.com', port: 443}]\n"
	"    binaries: [{path: '/opt/**'}]\n"
	"  middle:\n"
	"    endpoints: [{host: 'a.*.example.org', port: 80}, {host: 'ci-*.example.org', port: "
	"80}]\n"
	"    binaries: [{path: '/opt/tools/*/bin/run'}]\n"
	"  inner:\n"
	"    endpoints: [{port: 5432, allowed_ips: [10.0.5.0/24]}]\n"
	"    binaries: [{path: /usr/bin/psql}]\n"
	"  shared_b:\n"
	"    endpoints: [{host: shared.example.net, port: 443}]\n"
	"    binaries: [{path: /usr/bin/curl}, {path: /usr/bin/wget}]\n"
	"  shared_a:\n"
	"    name: zzz\n"
	"    endpoints: [{host: shared.example.net, port: 443}]\n"
	"    binaries: [{path: /usr/bin/curl}]\n"
	"  nobody:\n"
	"    endpoints: [{host: nobody.example.net, port: 443}]\n"
	"  literal:\n"
	"    endpoints: [{host: 192.0.2.7, port: 8080}, {host: '[odd.example.net', port: 1}]\n"
	"    binaries: [{path: '/bin/[ab]'}]\n";

struct row {
	const char *target, *exe, *ancestors, *wanted;
};

static const struct row rows[] = {
	/* host and port */
	{"api.anthropic.com:443", "/usr/bin/node", "", "+claude_code"},
	{"API.Anthropic.COM:443", "/usr/bin/node", "", "+claude_code"},
	{"statsig.anthropic.com:443", "/usr/bin/node", "", "+claude_code"},
	{"statsig.anthropic.com:8443", "/usr/bin/node", "", "+claude_code"},
	{"api.anthropic.com:80", "/usr/bin/node", "",
	 "-=endpoint api.anthropic.com:80 is not allowed by any policy"},
	{"api.anthropic.com:8443", "/usr/bin/node", "", "-is not allowed by any policy"},
	{"statsig.anthropic.com:444", "/usr/bin/node", "", "-is not allowed by any policy"},
	{"evil.example.com:443", "/usr/bin/node", "",
	 "-=endpoint evil.example.com:443 is not allowed by any policy"},
	{"anthropic.com:443", "/usr/bin/node", "", "-is not allowed by any policy"},
	{"xapi.anthropic.com:443", "/usr/bin/node", "", "-is not allowed by any policy"},
	{"api.anthropic.com.evil.net:443", "/usr/bin/node", "", "-is not allowed by any policy"},
	{"api.anthropic.com.:443", "/usr/bin/node", "", "-is not allowed by any policy"},
	{":443", "/usr/bin/node", "", "-is not allowed by any policy"},
	{"*:443", "/usr/bin/node", "", "-is not allowed by any policy"},
	/* wildcards of hosts */
	{"github.com:443", "/usr/bin/git", "", "+github"},
	{"api.github.com:443", "/usr/bin/git", "", "+github"},
	{"API.GITHUB.com:443", "/usr/bin/git", "", "+github"},
	{"a.b.github.com:443", "/usr/bin/git", "", "-is not allowed by any policy"},
	{"xgithub.com:443", "/usr/bin/git", "", "-is not allowed by any policy"},
	{"api.github.com.evil.net:443", "/usr/bin/git", "", "-is not allowed by any policy"},
	{"*.github.com:443", "/usr/bin/git", "", "+github"},
	{"a.deep.example.com:443", "/opt/x", "", "+deep"},
	{"a.b.c.deep.example.com:443", "/opt/x", "", "+deep"},
	{"deep.example.com:443", "/opt/x", "", "-is not allowed by any policy"},
	{"xdeep.example.com:443", "/opt/x", "", "-is not allowed by any policy"},
	{"a.x.example.org:80", "/opt/tools/a/bin/run", "", "+middle"},
	{"a.x.y.example.org:80", "/opt/tools/a/bin/run", "", "-is not allowed by any policy"},
	{"b.x.example.org:80", "/opt/tools/a/bin/run", "", "-is not allowed by any policy"},
	{"a.example.org:80", "/opt/tools/a/bin/run", "", "-is not allowed by any policy"},
	{"ci-7.example.org:80", "/opt/tools/a/bin/run", "", "+middle"},
	{"ci-.example.org:80", "/opt/tools/a/bin/run", "", "+middle"},
	{"ci-7.x.example.org:80", "/opt/tools/a/bin/run", "", "-is not allowed by any policy"},
	{"ci-7.example.org:443", "/opt/tools/a/bin/run", "", "-is not allowed by any policy"},
	/* no host: any, by the port */
	{"db.corp:5432", "/usr/bin/psql", "", "+inner"},
	{"10.0.5.7:5432", "/usr/bin/psql", "", "+inner"},
	{"db.corp:5433", "/usr/bin/psql", "", "-is not allowed by any policy"},
	{"db.corp:5432", "/usr/bin/curl", "",
	 "-binary '/usr/bin/curl' not allowed in policy 'inner'"},
	/* addresses are hosts like others; without a star no pattern */
	{"192.0.2.7:8080", "/bin/[ab]", "", "+literal"},
	{"192.0.2.8:8080", "/bin/[ab]", "", "-is not allowed by any policy"},
	{"192.0.2.7:8080", "/bin/a", "", "-binary '/bin/a' not allowed in policy 'literal'"},
	{"[odd.example.net:1", "/bin/[ab]", "", "+literal"},
	/* programs */
	{"api.anthropic.com:443", "/usr/local/bin/claude", "", "+claude_code"},
	{"api.anthropic.com:443", "/usr/bin/python3", "",
	 "-binary '/usr/bin/python3' not allowed in policy 'claude_code' (ancestors: [], cmdline: "
	 "[]). "
	 "SYMLINK HINT: the binary path is the kernel-resolved target from /proc/<pid>/exe"},
	{"api.anthropic.com:443", "/tmp/node", "", "-binary '/tmp/node' not allowed"},
	{"api.anthropic.com:443", "/usr/bin/node2", "", "-not allowed in policy 'claude_code'"},
	{"api.anthropic.com:443", "/usr/bin/Node", "", "-not allowed in policy 'claude_code'"},
	{"api.anthropic.com:443", "/usr/bin/nod", "", "-not allowed in policy 'claude_code'"},
	{"api.anthropic.com:443", "/usr/bin/git", "", "-not allowed in policy 'claude_code'"},
	{"github.com:443", "/usr/lib/git-core/git-remote-http", "", "+github"},
	{"github.com:443", "/usr/lib/git-core/sub/git", "", "-not allowed in policy 'github'"},
	{"github.com:443", "/usr/lib/git-core", "", "-not allowed in policy 'github'"},
	{"github.com:443", "/usr/lib/git-core/", "", "+github"},
	{"a.deep.example.com:443", "/opt/a/b/c", "", "+deep"},
	{"a.deep.example.com:443", "/opt", "", "-not allowed in policy 'deep'"},
	{"a.deep.example.com:443", "/optional/x", "", "-not allowed in policy 'deep'"},
	{"a.x.example.org:80", "/opt/tools/bin/run", "", "-not allowed in policy 'middle'"},
	{"a.x.example.org:80", "/opt/tools/a/b/bin/run", "", "-not allowed in policy 'middle'"},
	/* ancestors */
	{"api.anthropic.com:443", "/usr/bin/curl", "/usr/local/bin/claude", "+claude_code"},
	{"api.anthropic.com:443", "/usr/bin/curl", "/bin/sh /usr/local/bin/claude", "+claude_code"},
	{"api.anthropic.com:443", "/usr/bin/curl", "/bin/sh /bin/bash",
	 "-(ancestors: [/bin/sh -> /bin/bash], cmdline: [])"},
	{"github.com:443", "/usr/bin/ssh", "/usr/lib/git-core/git-fetch", "+github"},
	{"github.com:443", "/usr/bin/ssh", "/usr/lib/git-core/a/b",
	 "-not allowed in policy 'github'"},
	{"a.deep.example.com:443", "/bin/sh", "/opt/a/b /sbin/init", "+deep"},
	{"evil.example.com:443", "/usr/bin/curl", "/usr/local/bin/claude", "-by any policy"},
	/* several policies: the smallest key is told, whatever the order or the name */
	{"shared.example.net:443", "/usr/bin/curl", "", "+shared_a"},
	{"shared.example.net:443", "/usr/bin/wget", "", "+shared_b"},
	{"shared.example.net:443", "/bin/x", "",
	 "-binary '/bin/x' not allowed in policy 'shared_a' (ancestors: [], cmdline: []). SYMLINK"},
	{"shared.example.net:443", "/bin/x", "",
	 "-'Cannot access container filesystem'); binary '/bin/x' not allowed in policy "
	 "'shared_b'"},
	/* no programs: nobody */
	{"nobody.example.net:443", "/usr/bin/curl", "", "-not allowed in policy 'nobody'"},
	{"nobody.example.net:443", "", "", "-binary '' not allowed in policy 'nobody'"},
};

static void try_row(const struct policy *p, const struct row *r)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct words ancestors;
	struct policy_target target = target_of(r->target);
	struct policy_verdict v;

	split(&ancestors, r->ancestors, " ");
	struct policy_caller caller = {
		.exe = r->exe, .ancestors = ancestors.v, .ancestors_n = ancestors.n};
	policy_decide(p, &target, &caller, &a, &v);
	expect(r->target, v.allowed, v.policy, v.reason, r->wanted);
	OK((v.endpoints_n > 0) == v.allowed);
}

TEST(destinations)
{
	struct policy *p = parse(policies);

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		try_row(p, &rows[i]);
	policy_unref(p);
}

static struct policy_verdict decide(const struct policy *p, const char *target, const char *exe,
				    struct arena *a)
{
	struct policy_target t = target_of(target);
	struct policy_caller c = {.exe = exe};
	struct policy_verdict v;

	policy_decide(p, &t, &c, a, &v);
	return v;
}

TEST(a_process_own_words_grant_nothing)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy *p = parse(policies);
	const char *const cmdline[] = {"/usr/local/bin/claude", "/usr/bin/node"};
	struct policy_target t = target_of("api.anthropic.com:443");
	struct policy_caller c = {.exe = "/usr/bin/python3", .cmdline = cmdline, .cmdline_n = 2};
	struct policy_verdict v;

	policy_decide(p, &t, &c, &a, &v);
	expect("cmdline", v.allowed, v.policy, v.reason,
	       "-=binary '/usr/bin/python3' not allowed in policy 'claude_code' (ancestors: [], "
	       "cmdline: [/usr/local/bin/claude, /usr/bin/node]). SYMLINK HINT: the binary path is "
	       "the "
	       "kernel-resolved target from /proc/<pid>/exe, not the symlink. If your policy "
	       "specifies "
	       "a symlink (e.g., /usr/bin/python3) but the actual binary is /usr/bin/python3.11, "
	       "either: (1) use the canonical path in your policy (run 'readlink -f "
	       "/usr/bin/python3' "
	       "inside the sandbox), or (2) ensure symlink resolution is working (check sandbox "
	       "logs "
	       "for 'Cannot access container filesystem')");
	policy_unref(p);
}

TEST(without_identity_every_program_matches)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy *p = parse(policies);
	struct policy_target known = target_of("nobody.example.net:443"),
			     unknown = target_of("evil.example.com:443");
	struct policy_caller c = {.relaxed = true};
	struct policy_verdict v;

	policy_decide(p, &known, &c, &a, &v);
	expect("relaxed", v.allowed, v.policy, v.reason, "+nobody");
	OK(v.exact_host);
	policy_decide(p, &unknown, &c, &a, &v);
	expect("relaxed", v.allowed, v.policy, v.reason, "-is not allowed by any policy");
	policy_unref(p);
}

TEST(questions_that_lack_something)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy *p = parse(policies);
	struct policy_target t = target_of("github.com:443");
	struct policy_caller c = {.exe = NULL};
	struct policy_verdict v;

	policy_decide(p, NULL, &c, &a, &v);
	expect("no target", v.allowed, v.policy, v.reason, "-=missing input.network");
	policy_decide(p, &t, NULL, &a, &v);
	expect("no caller", v.allowed, v.policy, v.reason, "-=missing input.exec");
	policy_decide(p, NULL, NULL, &a, &v);
	expect("neither", v.allowed, v.policy, v.reason, "-=missing input.network");
	policy_decide(p, &t, &c, &a, &v);
	expect("no program", v.allowed, v.policy, v.reason, "-not allowed in policy 'github'");
	policy_unref(p);
}

TEST(without_networks_nothing_is_allowed)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy *p = parse(policies), *quarantine = policy_quarantine(p);
	struct policy *restrictive = policy_restrictive();
	struct policy_verdict v = decide(restrictive, "github.com:443", "/usr/bin/git", &a);

	expect("restrictive", v.allowed, v.policy, v.reason,
	       "-=network connections not allowed by policy");
	v = decide(quarantine, "github.com:443", "/usr/bin/git", &a);
	expect("quarantine", v.allowed, v.policy, v.reason,
	       "-=network connections not allowed by policy");
	EQ(v.endpoints_n, 0);
	policy_unref(restrictive);
	policy_unref(quarantine);
	policy_unref(p);
}

TEST(a_reason_has_an_end)
{
	static char text[16384];
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	size_t n = (size_t)sprintf(text, "version: 1\nnetwork_policies:\n");

	for (int i = 0; i < 64; i++)
		n += (size_t)sprintf(text + n,
				     "  n%02d: {endpoints: [{host: h, port: 1}], binaries: "
				     "[{path: /x}]}\n",
				     i);
	struct policy *p = parse(text);
	struct policy_verdict v = decide(p, "h:1", "/y", &a);
	OK(strlen(v.reason) <= POLICY_REASON_MAX && strlen(v.reason) > POLICY_REASON_MAX / 2);
	HAS(v.reason, "in policy 'n00'");
	policy_unref(p);
}

/* ---- what else an answer says ---- */

static const char configured[] =
	"version: 1\n"
	"network_policies:\n"
	"  api:\n"
	"    endpoints:\n"
	"      - {host: h, port: 443, protocol: rest, access: full, path: '/v1/**'}\n"
	"      - {host: h, port: 443, protocol: graphql, access: full, path: /v1/graphql}\n"
	"      - {host: h, port: 443, protocol: rest, access: read-only}\n"
	"      - {host: raw, port: 443, tls: skip}\n"
	"      - {host: '*.a.net', port: 443}\n"
	"      - {port: 5432, allowed_ips: [10.0.0.1]}\n"
	"    binaries: [{path: /b}]\n"
	"  plain:\n"
	"    endpoints: [{host: h, port: 443}]\n"
	"    binaries: [{path: /b}, {path: /c}]\n";

TEST(what_an_answer_says_of_the_connection)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy *p = parse(configured);
	struct policy_verdict v = decide(p, "h:443", "/b", &a);

	EQ(v.endpoints_n, 4);
	OK(v.inspected && !v.tls_skip && v.exact_host);
	v = decide(p, "h:443", "/c", &a);
	EQ(v.endpoints_n, 1);
	OK(!v.inspected && v.exact_host);
	v = decide(p, "raw:443", "/b", &a);
	OK(!v.inspected && v.tls_skip && v.exact_host);
	v = decide(p, "x.a.net:443", "/b", &a);
	OK(v.allowed && !v.exact_host);
	v = decide(p, "db:5432", "/b", &a);
	OK(v.allowed && !v.exact_host);
	OK(policy_endpoint_configures(v.endpoints[0]));
	policy_unref(p);
}

TEST(the_narrowest_path_says_how)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy *p = parse(configured);
	struct policy_verdict v = decide(p, "h:443", "/b", &a);

	STREQ(policy_endpoint_for(&v, STR("/v1/graphql"))->path.text, "/v1/graphql");
	STREQ(policy_endpoint_for(&v, STR("/v1/x"))->path.text, "/v1/**");
	STREQ(policy_endpoint_for(&v, STR("/v2"))->path.text, "");
	v = decide(p, "h:443", "/c", &a);
	OK(policy_endpoint_for(&v, STR("/v1/x")) == NULL);
	policy_unref(p);
}

/* What the advisor proposed is no person's word (contract 0.17, 5.5). A gateway sets these marks. */
TEST(an_advisor_does_not_declare_hosts)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy *p =
		parse("version: 1\nnetwork_policies: {n: {endpoints: [{host: h, port: 1}], "
		      "binaries: [{path: /b}]}}\n");

	OK(decide(p, "h:1", "/b", &a).exact_host);
	p->networks[0].endpoints[0].advisor_proposed = true;
	OK(decide(p, "h:1", "/b", &a).allowed && !decide(p, "h:1", "/b", &a).exact_host);
	p->networks[0].endpoints[0].advisor_proposed = false;
	p->networks[0].binaries[0].advisor_proposed = true;
	OK(decide(p, "h:1", "/b", &a).allowed && !decide(p, "h:1", "/b", &a).exact_host);
	policy_unref(p);
}

TEST(an_answer_is_of_a_generation)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);
	struct policy *now = NULL;

	policy_publish(&now, parse(policies));
	struct policy_verdict v = decide(now, "github.com:443", "/usr/bin/git", &a);
	OK(v.allowed && v.generation == 1 && !policy_verdict_stale(&v, now));
	policy_publish(&now, policy_quarantine(now));
	OK(policy_verdict_stale(&v, now));
	OK(!decide(now, "github.com:443", "/usr/bin/git", &a).allowed);
	policy_unref(now);
}
