/*
 * One operation: what it waits for, how long it may take, and how it ends. It knows nothing of
 * sandboxes; the files of the RPCs embed a struct op and say what comes next.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "driver/kubernetes/kubernetes_impl.h"

const struct kube_resource resource_pods = {"", "v1", "pods"};
const struct kube_resource resource_events = {"", "v1", "events"};
const struct kube_resource resource_namespaces = {"", "v1", "namespaces"};
const struct kube_resource resource_nodes = {"", "v1", "nodes"};
const struct kube_resource resource_secrets = {"", "v1", "secrets"};
const struct kube_resource resource_service_accounts = {"", "v1", "serviceaccounts"};
const struct kube_resource resource_network_policies = {"networking.k8s.io", "v1",
							"networkpolicies"};

static void slept(struct timer *t)
{
	struct op *op = container_of(t, struct op, timer);

	op->resume(op);
}

static void version_told(struct version_wait *w, const struct kube_error *error)
{
	struct op *op = container_of(w, struct op, wait);

	if (!error)
		op->resume(op);
	else if (op->kind->failed)
		op->kind->failed(op, error);
	else if (kube_error_is_transient(error)) /* it was not this operation that took too long */
		op_fail(op, GRPC_UNAVAILABLE, "%s", error->message);
	else
		op_fail_kube(op, error);
}

/* Somebody who asked a question has gone: nobody is left to be answered. */
static void caller_left(struct grpc_call *call)
{
	op_fail(grpc_user(call), GRPC_CANCELLED, "nobody waits for the answer");
}

void *op_new(struct kubernetes *k, struct grpc_call *call, const struct op_kind *kind, size_t size)
{
	static const struct grpc_call_ops reading = {.cancelled = caller_left};
	struct op *op = xcalloc(1, size);

	must(size >= sizeof(*op));
	op->k = k;
	op->kind = kind;
	op->call = call;
	op->deadline = mono_ms() + kind->timeout_ms;
	op->timer.fire = slept;
	op->wait.done = version_told;
	list_init(&op->wait.link);
	list_init(&op->link);
	list_add(&k->ops, &op->link);
	op->writing = kind->writes;
	k->writing += op->writing;
	if (call && !kind->writes)
		grpc_set_ops(call, &reading, op);
	return op;
}

void op_may_be_cut_off(struct op *op)
{
	op->k->writing -= op->writing;
	op->writing = false;
}

void op_end(struct op *op)
{
	kube_cancel(op->request);
	timer_stop(op->k->loop, &op->timer);
	version_wait_cancel(&op->wait);
	list_del(&op->link);
	op_may_be_cut_off(op);
	if (op->kind->release)
		op->kind->release(op);
	free(op);
}

void op_reply(struct op *op, const void *message)
{
	if (op->call)
		grpc_reply(op->call, message);
	op_end(op);
}

void op_detach_fail(struct op *op, enum grpc_status code, const char *text)
{
	if (op->call)
		grpc_fail(op->call, code, "%s", text);
	else
		log_warn("an operation failed", "operation=%s code=%s error=%s", op->kind->name,
			 grpc_status_name(code), text);
	op->call = NULL;
}

void op_fail(struct op *op, enum grpc_status code, const char *fmt, ...)
{
	struct err e;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e.text, sizeof(e.text), fmt, ap);
	va_end(ap);
	op_detach_fail(op, code, e.text);
	op_end(op);
}

void op_fail_err(struct op *op, const struct err *e)
{
	op_detach_fail(op, (enum grpc_status)e->code, e->text);
	op_end(op);
}

void op_fail_kube(struct op *op, const struct kube_error *error)
{
	op_detach_fail(op, kube_grpc_status(error), error->message);
	op_end(op);
}

enum grpc_status kube_grpc_status(const struct kube_error *error)
{
	switch (error->fault) {
	case KUBE_NONE:
	case KUBE_BAD_ANSWER:
	case KUBE_BAD_REQUEST:
	case KUBE_UNAUTHORIZED:
	case KUBE_SERVER:
		return GRPC_INTERNAL;
	case KUBE_TRANSPORT:
	case KUBE_BUSY:
	case KUBE_EXPIRED:
		return GRPC_UNAVAILABLE;
	case KUBE_TIMEOUT:
		return GRPC_DEADLINE_EXCEEDED;
	case KUBE_FORBIDDEN:
	case KUBE_NOT_FOUND: /* what an operation needs, not what it is about: that is its own to see */
	case KUBE_NO_RESOURCE:
		return GRPC_FAILED_PRECONDITION;
	case KUBE_QUOTA:
		return GRPC_RESOURCE_EXHAUSTED;
	case KUBE_ALREADY_EXISTS:
		return GRPC_ALREADY_EXISTS;
	case KUBE_CONFLICT:
		return GRPC_ABORTED;
	case KUBE_INVALID:
		return GRPC_INVALID_ARGUMENT;
	}
	return GRPC_INTERNAL;
}

int64_t op_left(const struct op *op)
{
	int64_t left = op->deadline - mono_ms();

	return MAX(left, 0);
}

static void answered(void *owner, struct kube_answer *a)
{
	struct op *op = owner;

	op->request = NULL;
	if (a->error && a->error->fault == KUBE_SERVER)
		version_suspect(op->k->version);
	op->answer(op, a);
}

void op_call(struct op *op, enum kube_method method, enum kube_body type, char *path, cJSON *body,
	     op_answer_fn *fn)
{
	int64_t left = op_left(op);

	must(!op->request);
	op->answer = fn;
	/* a deadline that has passed is the client's to say: it calls back with KUBE_TIMEOUT */
	op->request =
		kube_call(op->k->client,
			  &(struct kube_call){.method = method,
					      .type = type,
					      .path = path,
					      .body = body,
					      .timeout_ms = MIN(MAX(left, 1), KUBE_CALL_TIMEOUT_MS),
					      .done = answered,
					      .owner = op});
	free(path);
	cJSON_Delete(body);
}

void op_sleep(struct op *op, int64_t ms, op_fn *fn)
{
	int64_t left = op_left(op);

	op->resume = fn;
	timer_set(op->k->loop, &op->timer, MIN(ms, left));
}

void op_with_api(struct op *op, op_fn *fn)
{
	enum sandbox_api api;

	if (version_known(op->k->version, &api)) {
		fn(op);
		return;
	}
	op->resume = fn;
	version_wait(op->k->version, &op->wait);
}

bool op_api_gone(struct op *op, const struct kube_error *error, op_fn *again)
{
	if (!error || error->fault != KUBE_NO_RESOURCE || op->reprobed)
		return false;
	op->reprobed = true;
	version_doubt(op->k->version);
	op_with_api(op, again);
	return true;
}

enum sandbox_api chosen_api(const struct kubernetes *k)
{
	enum sandbox_api api = SANDBOX_V1BETA1;

	version_known(k->version, &api);
	return api;
}

char *sandbox_path(const struct kubernetes *k, const char *ns, const char *name)
{
	struct kube_resource r = {SANDBOX_GROUP, sandbox_api_version(chosen_api(k)),
				  SANDBOX_PLURAL};

	return kube_path(&r, ns, name, NULL);
}

const char *watched_namespace(const struct kubernetes *k)
{
	return k->options->workspace_mode == WORKSPACE_SHARED ? k->options->namespace : NULL;
}
