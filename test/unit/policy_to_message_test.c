/*
 * What a policy in YAML becomes for a gateway: a message with what is written, and from which the same policy
 * comes again.
 */
#include <errno.h>

#include "../../src/policy/message.c"
#include "base/buf.h"
#include "pack.h"
#include "policy.h"
#include "sandbox.pb-c.h"
#include "wire/json.h"
#include "wire/wire.h"

#define M(name) Openshell__Sandbox__V1__##name

static struct arena a = ARENA_INIT(1 << 20);

static M(SandboxPolicy) * message(const struct policy *p)
{
	struct err e = {0};
	M(SandboxPolicy) *m = policy_to_message(p, &a, &e);

	if (m == NULL)
		FAIL("%s", e.text);
	return m;
}

/* The message of a text, of which a policy can be made whose message is the same, byte by byte. */
static M(SandboxPolicy) * of(const char *text)
{
	struct buf once = BUF_INIT(1 << 20), twice = BUF_INIT(1 << 20);
	struct policy *p = parse(text);
	M(SandboxPolicy) *m = message(p);
	struct err e = {0};

	pack(m, &once);
	struct policy *again = policy_of_message(m, "m", NULL, NULL, &e);
	if (again == NULL)
		FAIL("%s", e.text);
	pack(message(again), &twice);
	OK(str_eq(buf_view(&once), buf_view(&twice)));
	policy_unref(p); /* nothing of the message is its */
	policy_unref(again);
	buf_fini(&once);
	buf_fini(&twice);
	return m;
}

TEST(what_is_not_said_is_not_there)
{
	M(SandboxPolicy) *m = of("version: 1\n");

	EQ(m->version, 1);
	OK(m->filesystem == NULL && m->landlock == NULL && m->process == NULL);
	EQ(m->n_network_policies + m->n_network_middlewares, 0);
	arena_fini(&a);
}

TEST(files_and_who)
{
	M(SandboxPolicy) *m =
		of("version: 1\n"
		   "filesystem_policy: {include_workdir: true, read_only: [/usr, /etc], "
		   "read_write: [/tmp]}\n"
		   "landlock: {compatibility: hard_requirement}\n"
		   "process: {run_as_user: sandbox, run_as_group: '1000'}\n");

	EQ(m->filesystem->include_workdir, true);
	EQ(m->filesystem->n_read_only, 2);
	STREQ(m->filesystem->read_only[1], "/etc");
	STREQ(m->filesystem->read_write[0], "/tmp");
	STREQ(m->landlock->compatibility, "hard_requirement");
	STREQ(m->process->run_as_user, "sandbox");
	STREQ(m->process->run_as_group, "1000");
	arena_fini(&a);
}

TEST(a_preset_stays_one)
{
	M(NetworkEndpoint) *ep = of(REST("access: read-write, enforcement: enforce"))
					 ->network_policies[0]
					 ->value->endpoints[0];

	STREQ(ep->access, "read-write");
	STREQ(ep->enforcement, "enforce");
	EQ(ep->n_rules, 0);
	arena_fini(&a);
}

static const char rest[] =
	"version: 1\n"
	"network_policies:\n"
	"  zeta:\n"
	"    endpoints: [{host: z.example.com, ports: [443, 80, 443], tls: skip}]\n"
	"    binaries: [{path: /usr/bin/z}]\n"
	"  alpha:\n"
	"    name: First\n"
	"    endpoints:\n"
	"      - host: '*.example.org'\n"
	"        port: 443\n"
	"        path: /v1/**\n"
	"        protocol: REST\n"
	"        allow_encoded_slash: true\n"
	"        websocket_credential_rewrite: true\n"
	"        request_body_credential_rewrite: true\n"
	"        allow_uninspected_credentials: true\n"
	"        credential_binding: {provider: github}\n"
	"        allowed_ips: [10.1.0.0/16, 'fd00::/8']\n"
	"        rules:\n"
	"          - allow: {method: GET, path: /v1/*, query: {page: '*', sort: {any: [up, "
	"down]}}}\n"
	"        deny_rules: [{method: '*', path: '/v1/admin/**'}]\n"
	"      - {host: s.example.net, port: 443, protocol: rest, access: full,\n"
	"         credential_signing: sigv4, signing_service: s3, signing_region: eu}\n"
	"    binaries: [{path: /usr/bin/*}, {path: /usr/bin/curl}]\n";

TEST(endpoints_and_rules)
{
	M(SandboxPolicy) *m = of(rest);
	M(NetworkEndpoint) *ep = m->network_policies[0]->value->endpoints[0];

	STREQ(m->network_policies[0]->key, "alpha");
	STREQ(m->network_policies[0]->value->name, "First");
	STREQ(ep->host, "*.example.org");
	STREQ(ep->path, "/v1/**");
	STREQ(ep->protocol, "REST");
	OK(ep->allow_encoded_slash && ep->websocket_credential_rewrite &&
	   ep->request_body_credential_rewrite && ep->allow_uninspected_credentials);
	STREQ(ep->credential_binding->provider, "github");
	STREQ(ep->allowed_ips[1], "fd00::/8");
	M(L7Allow) *allow = ep->rules[0]->allow;
	STREQ(allow->method, "GET");
	STREQ(allow->path, "/v1/*");
	STREQ(allow->query[0]->value->glob, "*");
	EQ(allow->query[1]->value->n_any, 2);
	STREQ(allow->query[1]->value->any[1], "down");
	STREQ(ep->deny_rules[0]->path, "/v1/admin/**");
	STREQ(m->network_policies[0]->value->endpoints[1]->signing_region, "eu");
	STREQ(m->network_policies[0]->value->binaries[1]->path, "/usr/bin/curl");
	ep = m->network_policies[1]->value->endpoints[0];
	EQ(ep->n_ports, 2);
	EQ(ep->ports[1], 443);
	EQ(ep->port, 80);
	STREQ(ep->tls, "skip");
	arena_fini(&a);
}

TEST(graphql_and_mcp)
{
	M(NetworkEndpoint) *ep =
		of(ENDPOINT("protocol: graphql, rules: [{allow: {operation_type: query, "
			    "operation_name: 'get*', fields: [a, b]}}], "
			    "persisted_queries: allow_registered, graphql_max_body_bytes: 5, "
			    "graphql_persisted_queries: {abc: {operation_type: query, fields: "
			    "[f]}}"))
			->network_policies[0]
			->value->endpoints[0];

	STREQ(ep->rules[0]->allow->operation_name, "get*");
	EQ(ep->rules[0]->allow->n_fields, 2);
	EQ(ep->graphql_max_body_bytes, 5);
	STREQ(ep->persisted_queries, "allow_registered");
	STREQ(ep->graphql_persisted_queries[0]->key, "abc");
	STREQ(ep->graphql_persisted_queries[0]->value->fields[0], "f");
	ep = of(ENDPOINT(
			"protocol: mcp, mcp: {max_body_bytes: 9, strict_tool_names: false}, rules: "
			"[{allow: {method: tools/call, params: {name: 'a*', x: {y: z}}}}], "
			"deny_rules: [{tool: b}]"))
		     ->network_policies[0]
		     ->value->endpoints[0];
	EQ(ep->json_rpc_max_body_bytes, 9);
	OK(ep->mcp != NULL && !ep->mcp->strict_tool_names);
	STREQ(ep->rules[0]->allow->params[1]->key, "x.y");
	STREQ(ep->deny_rules[0]->params[0]->value->glob, "b");
	arena_fini(&a);
}

TEST(middlewares)
{
	M(SandboxPolicy) *m =
		of("version: 1\n"
		   "network_middlewares:\n"
		   "  early:\n"
		   "    middleware: openshell/regex\n"
		   "    on_error: fail_open\n"
		   "    order: -1\n"
		   "    config: {mode: redact, deep: {list: [1, true, null]}}\n"
		   "    endpoints: {include: [a.example.org], exclude: ['*.b.org']}\n");
	M(NetworkMiddlewareConfig) *c = m->network_middlewares[0]->value;

	STREQ(c->middleware, "openshell/regex");
	STREQ(c->on_error, "fail_open");
	EQ(c->order, -1);
	STREQ(c->endpoints->exclude[0], "*.b.org");
	STREQ(c->config->fields[0]->value->string_value, "redact");
	arena_fini(&a);
}

/* ---- every field ---- */

static void fill(ProtobufCMessage *m);

/* What fits where `f` points, and is there only once. */
static void fill_one(const ProtobufCFieldDescriptor *f, void *at)
{
	static unsigned n;

	n++;
	if (f->type == PROTOBUF_C_TYPE_STRING) {
		*(char **)at = arena_printf(&a, "%s %u", f->name, n);
	} else if (f->type == PROTOBUF_C_TYPE_BOOL) {
		*(protobuf_c_boolean *)at = true;
	} else if (f->type == PROTOBUF_C_TYPE_UINT32 || f->type == PROTOBUF_C_TYPE_INT32) {
		*(uint32_t *)at = n;
	} else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
		*(void **)at = wire_new(f->descriptor, &a);
		fill(*(void **)at);
	} else {
		FAIL("%s: no field of a policy has had that type", f->name);
	}
}

/* One of each thing that may come again and again. */
static void fill(ProtobufCMessage *m)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		void *at = (char *)m + f->offset, *how_many = (char *)m + f->quantifier_offset;

		if (streq(f->name, "config")) /* a Struct, whose members never end */
			continue;
		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			*(size_t *)how_many = 1;
			*(void **)at = arena_zalloc(&a, sizeof(void *));
			fill_one(f, *(void **)at);
			continue;
		}
		if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
			*(uint32_t *)how_many = f->id;
		fill_one(f, at);
	}
}

static void only_glob(M(L7Allow) * rule)
{
	rule->query[0]->value->n_any = rule->params[0]->value->n_any = 0;
}

static char *as_json(const void *message)
{
	struct err e;
	cJSON *json = wire_to_json(message, &e);
	char *text = cJSON_Print(json);

	cJSON_Delete(json);
	return text;
}

/* There and back, without what a policy is checked for. */
static void comes_back(const M(SandboxPolicy) * m)
{
	struct policy *p = policy_new();
	struct err e = {0};
	struct policy_build b = {p, "m", NULL, &e, 0};
	_cleanup_free_ char *before = as_json(m);

	EQ(read_message(&b, m), 0);
	_cleanup_free_ char *after = as_json(message(p));
	STREQ(after, before);
	policy_unref(p);
}

/* Two files name every field. Whoever adds one to a message, or to one of the files alone, hears of it here. */
TEST(no_field_is_forgotten)
{
	M(SandboxPolicy) *m = wire_new(&openshell__sandbox__v1__sandbox_policy__descriptor, &a);

	fill(&m->base);
	M(NetworkEndpoint) *ep = m->network_policies[0]->value->endpoints[0];
	ep->port = ep->ports[0];        /* the same, for older readers */
	only_glob(ep->rules[0]->allow); /* or any, see endpoints_and_rules */
	only_glob(ep->deny_rules[0]);
	char *access = ep->access;
	ep->access = (char *)"";
	comes_back(m);
	ep->access = access; /* stands for rules, which are then not written */
	ep->n_rules = 0;
	comes_back(m);
	arena_fini(&a);
}

TEST(the_restrictive_default)
{
	struct policy *p = policy_restrictive();
	M(SandboxPolicy) *m = message(p);

	EQ(m->filesystem->n_read_only, 7);
	EQ(m->filesystem->include_workdir, true);
	STREQ(m->landlock->compatibility, "best_effort");
	OK(m->process == NULL && m->n_network_policies == 0);
	policy_unref(p);
	arena_fini(&a);
}

TEST(what_is_no_policy_differs_from_one_that_may_not_hold)
{
	struct err e = {0};

	EQ(policy_parse(STR("version: 1\nfiles: 1\n"), "p", NULL, NULL, &e) == NULL, true);
	EQ(e.code, EINVAL);
	EQ(policy_parse(STR("version: 1\nprocess: {run_as_user: '0'}\n"), "p", NULL, NULL, &e) ==
		   NULL,
	   true);
	EQ(e.code, EPERM);
}
