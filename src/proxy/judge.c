/*
 * May this request be made? What is wrong with it whoever asks, and what the rules of its endpoint say of it
 * (supervisor contract 5.5, 6.7). forward.c has found out who asks and for what.
 */
#include "base/util.h"
#include "proxy/answer.h"
#include "proxy/forward_impl.h"
#include "proxy/graphql.h"
#include "proxy/rpc.h"

/* What is wrong with the request whoever asks for it; in a sentence, with its status and error. */
struct fault {
	unsigned status;
	const char *error, *detail;
};

static struct fault find_fault(struct forward *f, const char *bad_target)
{
	struct head *h = &f->head;
	const char *why;

	f->accept[0] = '\0';
	if (h->expect_other)
		return (struct fault){417, "expectation_failed",
				      "the request expects what is not known"};
	if (head_asks_h2c(h))
		return (struct fault){403, "unsupported_l7_protocol",
				      "HTTP/2 cleartext upgrade is not supported"};
	if (bad_target != NULL)
		return (struct fault){400, "invalid_request_target", bad_target};
	if (head_asks_websocket(h)) {
		why = websocket_request(h, f->accept);
		if (why != NULL)
			return (struct fault){400, "bad_request", why};
	}
	return (struct fault){0};
}

static bool is_rpc(const struct policy_endpoint *ep)
{
	return ep != NULL && (ep->protocol == POLICY_JSON_RPC || ep->protocol == POLICY_MCP);
}

static bool is_judged_by_body(const struct policy_endpoint *ep)
{
	return is_rpc(ep) || (ep != NULL && ep->protocol == POLICY_GRAPHQL);
}

static bool has_graphql_rules(const struct policy_rules *rules)
{
	for (size_t i = 0; i < rules->n; i++)
		if (!str_empty(rules->v[i].operation_type))
			return true;
	return false;
}

/* Why requests to the endpoint cannot be judged by us, though its rules ask for it; or NULL. */
static const char *cannot_judge(const struct forward *f, const struct policy_endpoint *ep)
{
	bool websocket = f->accept[0] != '\0';

	if (is_judged_by_body(ep) && websocket)
		return "messages of a WebSocket cannot be judged by this proxy";
	if (is_judged_by_body(ep) && f->session->proxy->config.observe)
		return "bodies are not judged where nothing is stopped";
	if (websocket && ep->websocket_credential_rewrite)
		return "credentials cannot be put into WebSocket messages by this proxy";
	if (websocket && (has_graphql_rules(&ep->allow) || has_graphql_rules(&ep->deny)))
		return "GraphQL over WebSocket cannot be judged by this proxy";
	return NULL;
}

/* body: what graphql and jsonrpc say; or NULL. */
static void ask_policy(struct forward *f, struct str method, const struct policy_request *body,
		       struct policy_request_verdict *v)
{
	struct egress *x = &f->session->egress;
	const struct policy_target target = {str_of(x->host), x->port};
	const struct policy_request r = {
		.method = method,
		.path = f->target.path,
		.query = f->target.params,
		.query_n = f->target.params_n,
		.graphql = body ? body->graphql : NULL,
		.jsonrpc = body ? body->jsonrpc : NULL,
	};

	policy_decide_request(x->policy, &target, &x->who, &r, &x->arena, v);
}

/* The answer to a WebSocket's opening counts for its messages too: their method and path are always the same
 * (contract 5.4). */
static void ask_about_messages(struct forward *f, struct policy_request_verdict *v)
{
	if (f->accept[0] == '\0' || v->endpoint == NULL ||
	    v->endpoint->protocol != POLICY_WEBSOCKET || !v->allowed)
		return;
	ask_policy(f, STR("WEBSOCKET_TEXT"), NULL, v);
}

/* A GET on which a server's messages come (contract 5.5). */
static bool is_receive_stream(const struct forward *f)
{
	const struct fields *fields = &f->head.fields;
	bool events = false;

	for (size_t i = 0; i < fields->n; i++) {
		if (!str_ieq(fields->v[i].name, STR("accept")))
			continue;
		struct str rest = fields->v[i].value;
		while (rest.p != NULL) {
			struct str type = str_cut(&rest, ',');
			events = events ||
				 str_ieq(str_trim(str_cut(&type, ';')), STR("text/event-stream"));
		}
	}
	return events && str_is(f->head.method, "GET") && f->head.framing != BODY_CHUNKED &&
	       f->head.length == 0;
}

/* Who cannot say what a request means is denied even where rules only tell. */
static void reject(struct forward *f, const char *protocol, const char *why,
		   struct policy_request_verdict *v)
{
	v->allowed = false;
	v->enforced = true;
	v->reason =
		arena_printf(&f->session->egress.arena, "%s request rejected: %s", protocol, why);
}

/* Each message of the body must be allowed. */
static void ask_about_rpc(struct forward *f, const struct policy_endpoint *ep,
			  struct policy_request_verdict *v)
{
	const struct policy_jsonrpc stream = {.receive_stream = true};
	struct rpc rpc;

	if (is_receive_stream(f)) {
		ask_policy(f, f->head.method, &(struct policy_request){.jsonrpc = &stream}, v);
		return;
	}
	const char *why = rpc_read(&rpc, buf_view(&f->body), ep->protocol == POLICY_MCP,
				   ep->mcp_strict_tool_names);
	v->allowed = true;
	for (size_t i = 0; why == NULL && i < rpc.n && v->allowed; i++)
		ask_policy(f, f->head.method, &(struct policy_request){.jsonrpc = &rpc.messages[i]},
			   v);
	if (why != NULL)
		reject(f, "JSON-RPC", why, v);
	rpc_fini(&rpc);
}

static void ask_about_graphql(struct forward *f, struct policy_request_verdict *v)
{
	struct graphql g;
	const char *why = graphql_read(&g, f->head.method, f->target.params, f->target.params_n,
				       buf_view(&f->body));

	if (why != NULL)
		reject(f, "GraphQL", why, v);
	else
		ask_policy(f, f->head.method, &(struct policy_request){.graphql = &g.request}, v);
	graphql_fini(&g);
}

/* Contract 7.5. */
static const char *engine_of(const struct policy_endpoint *ep)
{
	if (ep == NULL || ep->protocol == POLICY_WEBSOCKET)
		return "l7";
	if (ep->protocol == POLICY_GRAPHQL)
		return "l7-graphql";
	if (ep->protocol == POLICY_JSON_RPC)
		return "l7-jsonrpc";
	return ep->protocol == POLICY_MCP ? "l7-mcp" : "l7";
}

static void deny(struct forward *f, const struct policy_request_verdict *v)
{
	struct egress *x = &f->session->egress;

	answer_denied(&f->session->out, &(struct answer_denial){
						.policy = v->policy,
						.method = f->head.method,
						.path = f->target.path,
						.reason = v->reason,
						.host = x->host,
						.port = x->port,
						.binary = x->caller ? x->caller->exe : NULL,
					});
	forward_answer(f);
}

/* An endpoint's rules: audit tells, enforce stops. */
static void judge(struct forward *f)
{
	struct session *s = f->session;
	struct policy_request_verdict v;
	struct request_report r;

	ask_policy(f, f->head.method, NULL, &v);
	const char *unknown = v.endpoint ? cannot_judge(f, v.endpoint) : NULL;
	if (unknown == NULL && is_rpc(v.endpoint))
		ask_about_rpc(f, v.endpoint, &v);
	else if (unknown == NULL && is_judged_by_body(v.endpoint))
		ask_about_graphql(f, &v);
	else
		ask_about_messages(f, &v);
	r = forward_report_of(f, engine_of(v.endpoint));
	if (unknown != NULL) {
		v.allowed = false;
		v.reason = unknown;
	}
	r.allowed = v.allowed;
	r.audited = !v.allowed && !v.enforced;
	r.policy = v.policy;
	r.reason = v.reason;
	r.group = v.allowed ? NULL : "l7_policy";
	report_request(&s->egress, &r);
	if (s->proxy->config.observe)
		forward_go_as_written(f);
	else if (v.allowed || r.audited)
		forward_go(f, f->target.text);
	else if (unknown != NULL)
		forward_refuse(f, 403, "unsupported_l7_protocol", unknown);
	else
		deny(f, &v);
}

static bool may_have_encoded_slash(const struct forward *f)
{
	const struct policy_verdict *v = &f->session->egress.verdict;
	const struct policy_endpoint *ep = policy_endpoint_for(v, f->target.path);

	return !v->inspected || (ep != NULL && ep->allow_encoded_slash);
}

/* Where the body is to be judged it comes first. */
static void begin_to_judge(struct forward *f)
{
	const struct policy_endpoint *ep =
		policy_endpoint_for(&f->session->egress.verdict, f->target.path);

	uint32_t max;

	if (f->collected || !is_judged_by_body(ep) || cannot_judge(f, ep) != NULL ||
	    (is_rpc(ep) && is_receive_stream(f))) {
		judge(f);
		return;
	}
	max = is_rpc(ep) ? ep->json_rpc_max_body_bytes : ep->graphql_max_body_bytes;
	collect_start(f, max ? max : POLICY_BODY_DEFAULT);
}

void judge_body(struct forward *f)
{
	/* there may be another policy by now */
	if (egress_stale(&f->session->egress))
		forward_ask(f, f->tunnelled ? f->host : f->head.host,
			    f->tunnelled ? f->port : f->head.port);
	else
		judge(f);
}

void judge_request(struct egress *x, const struct refusal *why)
{
	struct session *s = container_of(x, struct session, egress);
	struct forward *f = s->forward;

	if (why != NULL) {
		forward_refuse_by(f, why);
		return;
	}
	const char *bad_target = target_read(&f->target, f->head.path, &f->arena);
	if (bad_target == NULL && f->target.encoded_slash && !may_have_encoded_slash(f))
		bad_target = "its path has an encoded slash";
	if (bad_target != NULL)
		f->target = (struct target){0};
	struct fault fault = find_fault(f, bad_target);
	if (fault.status != 0) {
		if (!forward_let_pass(f, "l7", "l7_parse_rejection", fault.detail))
			forward_refuse(f, fault.status, fault.error, fault.detail);
		else
			forward_go_as_written(f);
	} else if (x->is_observed) {
		forward_tell_refusal(f, &x->observed);
		forward_go_as_written(f);
	} else if (x->verdict.inspected) {
		begin_to_judge(f);
	} else {
		struct request_report r = forward_report_of(f, "opa");
		r.allowed = true;
		report_request(x, &r);
		forward_go_as_written(f);
	}
}
