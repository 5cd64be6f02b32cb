/*
 * The RPCs that change nothing: GetSandbox and ListSandboxes read live (the service asks only when
 * the registry cannot tell), ValidateSandboxCreate, ResolveSandboxEndpoint. A list that failed
 * half-way is an error, never a shorter list.
 */
#include <stdlib.h>

#include "base/json.h"
#include "driver/answer.h"
#include "driver/kubernetes/kubernetes_impl.h"
#include "driver/kubernetes/validate.h"
#include "kube/list.h"

enum {
	READ_MS = 30 * 1000,
	AGENT_PORT = 2222, /* where agents listened until v0.0.34 (driver contract 2.3, rule 3) */
};

/* The sandbox of an object, in the call's memory. */
static Openshell__Compute__V1__DriverSandbox *sandbox_of(const struct op *op, const cJSON *object,
							 enum pod_presence presence)
{
	const struct box *b =
		box_find(op->k, k8s_object_namespace(object), k8s_object_name(object));
	struct k8s_view view = {
		.object = object,
		.presence = presence,
		.trouble = b ? b->trouble : NULL,
		.end = b ? b->end : NULL,
		.now_ms = wall_ms(),
	};

	return k8s_sandbox_of(op->k->options, &view, grpc_arena(op->call));
}

/* ---- get ---- */

static const struct op_kind get_kind = {
	.name = "get sandbox",
	.timeout_ms = READ_MS,
	.release = target_release,
};

static void reply_get(struct target *t, enum pod_presence presence)
{
	Openshell__Compute__V1__GetSandboxResponse response =
		OPENSHELL__COMPUTE__V1__GET_SANDBOX_RESPONSE__INIT;

	response.sandbox = sandbox_of(&t->op, t->json, presence);
	op_reply(&t->op, &response);
}

static void got_pod(struct op *op, struct kube_answer *a)
{
	enum pod_presence presence = POD_UNKNOWN;

	if (!a->error)
		presence = POD_PRESENT;
	else if (a->error->fault == KUBE_NOT_FOUND)
		presence = POD_ABSENT;
	reply_get((struct target *)op, presence);
}

/* Whether a sandbox that is to stop has stopped is known by its pod. */
static void got(struct op *op)
{
	struct target *t = (struct target *)op;

	if (k8s_wants_run(t->json))
		reply_get(t, POD_UNKNOWN);
	else
		op_get(op, kube_path(&resource_pods, t->ns, k8s_pod_name(t->json), NULL), got_pod);
}

void get_sandbox(struct backend *b, struct grpc_call *call,
		 const Openshell__Compute__V1__GetSandboxRequest *r)
{
	struct kubernetes *k = container_of(b, struct kubernetes, backend);
	struct target *t = op_new(k, call, &get_kind, sizeof(*t));

	target_init(t, r->sandbox_id, r->sandbox_name);
	target_find_live(t, got, NULL);
}

/* ---- list ---- */

struct listing {
	struct op op;
	struct kube_list *list;
	struct map uids; /* told already: a list that had to begin anew tells objects again */
	Openshell__Compute__V1__DriverSandbox **v;
	size_t n, cap;
};

static void list_release(struct op *op)
{
	struct listing *l = (struct listing *)op;

	kube_list_cancel(l->list);
	map_fini(&l->uids);
	free(l->v);
}

static const struct op_kind list_kind = {
	.name = "list sandboxes",
	.timeout_ms = READ_MS,
	.release = list_release,
};

static void list_item(void *owner, const cJSON *object)
{
	struct listing *l = owner;

	if (!k8s_is_ours(l->op.k->options, object) || !*k8s_object_id(object) ||
	    map_put(&l->uids, str_of(k8s_object_uid(object)), (void *)""))
		return;
	if (l->n == l->cap) {
		l->cap = MAX(2 * l->cap, (size_t)64);
		l->v = xrealloc(l->v, l->cap * sizeof(l->v[0]));
	}
	l->v[l->n++] = sandbox_of(&l->op, object, POD_UNKNOWN);
}

static void list_begin(struct op *op);

static void list_done(void *owner, const char *resource_version, const struct kube_error *error)
{
	struct listing *l = owner;
	Openshell__Compute__V1__ListSandboxesResponse response =
		OPENSHELL__COMPUTE__V1__LIST_SANDBOXES_RESPONSE__INIT;

	(void)resource_version;
	l->list = NULL;
	if (op_api_gone(&l->op, error, list_begin))
		return;
	if (error) {
		op_fail_kube(&l->op, error);
		return;
	}
	response.sandboxes = l->v;
	response.n_sandboxes = l->n;
	if (l->op.call)
		answer_list(l->op.call, &response);
	op_end(&l->op);
}

static void list_begin(struct op *op)
{
	struct listing *l = (struct listing *)op;
	const struct kubernetes *k = op->k;
	_cleanup_free_ char *selector = k8s_selector_all(k->options);
	_cleanup_free_ char *path = kube_path_query(sandbox_path(k, watched_namespace(k), NULL),
						    "labelSelector", selector);

	map_fini(&l->uids);
	l->uids = MAP_INIT;
	l->n = 0;
	l->list = kube_list(
		k->client, &(struct kube_list_config){
				   .path = path, .item = list_item, .done = list_done, .owner = l});
}

void list_sandboxes(struct backend *b, struct grpc_call *call,
		    const Openshell__Compute__V1__ListSandboxesRequest *r)
{
	struct kubernetes *k = container_of(b, struct kubernetes, backend);
	struct listing *l = op_new(k, call, &list_kind, sizeof(*l));

	(void)r;
	op_with_api(&l->op, list_begin);
}

/* ---- validate ---- */

struct validation {
	struct op op;
	struct kube_list *nodes;
	bool has_gpu;
};

static void validate_release(struct op *op)
{
	kube_list_cancel(((struct validation *)op)->nodes);
}

static const struct op_kind validate_kind = {
	.name = "validate sandbox",
	.timeout_ms = READ_MS,
	.release = validate_release,
};

static void valid(struct grpc_call *call)
{
	static const Openshell__Compute__V1__ValidateSandboxCreateResponse response =
		OPENSHELL__COMPUTE__V1__VALIDATE_SANDBOX_CREATE_RESPONSE__INIT;

	grpc_reply(call, &response);
}

static void node(void *owner, const cJSON *object)
{
	struct validation *v = owner;

	v->has_gpu |= k8s_node_has_gpu(object);
}

static void nodes_listed(void *owner, const char *resource_version, const struct kube_error *error)
{
	struct validation *v = owner;
	struct err e;

	(void)resource_version;
	v->nodes = NULL;
	if (!error)
		v->op.k->has_gpu = v->has_gpu;
	if (error) {
		/* driver contract 3.5 */
		op_fail(&v->op, GRPC_INTERNAL, "check GPU node capacity failed: %s",
			error->message);
	} else if (!v->has_gpu) {
		k8s_refuse_gpu(&e);
		op_fail_err(&v->op, &e);
	} else {
		valid(steal(&v->op.call));
		op_end(&v->op);
	}
}

void validate_sandbox(struct backend *b, struct grpc_call *call,
		      const Openshell__Compute__V1__ValidateSandboxCreateRequest *r)
{
	struct kubernetes *k = container_of(b, struct kubernetes, backend);
	_cleanup_free_ char *path = NULL;
	struct k8s_names at;
	struct validation *v;
	struct err e;

	if (check_sandbox(k, r->sandbox, &at, &e) < 0) {
		grpc_fail(call, (enum grpc_status)e.code, "%s", e.text);
		return;
	}
	if (!k8s_wants_gpu(r->sandbox)) {
		valid(call);
		return;
	}
	v = op_new(k, call, &validate_kind, sizeof(*v));
	path = kube_path(&resource_nodes, NULL, NULL, NULL);
	v->nodes = kube_list(k->client,
			     &(struct kube_list_config){
				     .path = path, .item = node, .done = nodes_listed, .owner = v});
}

/* ---- resolve endpoint, for gateways that dial in (until v0.0.34) ---- */

static const struct op_kind resolve_kind = {
	.name = "resolve sandbox endpoint",
	.timeout_ms = READ_MS,
};

static void reply_endpoint(struct op *op, Openshell__Compute__V1__SandboxEndpoint *endpoint)
{
	Openshell__Compute__V1__ResolveSandboxEndpointResponse response =
		OPENSHELL__COMPUTE__V1__RESOLVE_SANDBOX_ENDPOINT_RESPONSE__INIT;

	endpoint->port = AGENT_PORT;
	response.endpoint = endpoint;
	op_reply(op, &response);
}

static void resolved_pod(struct op *op, struct kube_answer *a)
{
	Openshell__Compute__V1__SandboxEndpoint endpoint =
		OPENSHELL__COMPUTE__V1__SANDBOX_ENDPOINT__INIT;
	const char *ip = json_str(json_get(a->body, "status"), "podIP");

	if (a->error && a->error->fault != KUBE_NOT_FOUND) {
		op_fail_kube(op, a->error);
	} else if (a->error || str_empty(ip)) {
		op_fail(op, GRPC_FAILED_PRECONDITION, "sandbox agent pod IP is not available");
	} else {
		endpoint.target_case = OPENSHELL__COMPUTE__V1__SANDBOX_ENDPOINT__TARGET_IP;
		endpoint.ip = (char *)ip;
		reply_endpoint(op, &endpoint);
	}
}

void resolve_endpoint(struct backend *b, struct grpc_call *call,
		      const Openshell__Compute__V1__ResolveSandboxEndpointRequest *r)
{
	struct kubernetes *k = container_of(b, struct kubernetes, backend);
	struct op *op = op_new(k, call, &resolve_kind, sizeof(*op));
	const Openshell__Compute__V1__DriverSandbox *s = r->sandbox;
	Openshell__Compute__V1__SandboxEndpoint endpoint =
		OPENSHELL__COMPUTE__V1__SANDBOX_ENDPOINT__INIT;
	const struct registry_sandbox *known = registry_get(k->registry, s->id);
	const char *object = known ? known->object : s->name;
	const char *ns = known                      ? known->namespace
			 : str_empty(s->namespace_) ? k->options->namespace
						    : s->namespace_;

	if (s->status && !str_empty(s->status->instance_id)) {
		op_get(op, kube_path(&resource_pods, ns, s->status->instance_id, NULL),
		       resolved_pod);
	} else if (str_empty(object)) {
		op_fail(op, GRPC_FAILED_PRECONDITION, "sandbox name is not known");
	} else {
		endpoint.target_case = OPENSHELL__COMPUTE__V1__SANDBOX_ENDPOINT__TARGET_HOST;
		endpoint.host =
			arena_printf(grpc_arena(call), "%s.%s.svc.cluster.local", object, ns);
		reply_endpoint(op, &endpoint);
	}
}
