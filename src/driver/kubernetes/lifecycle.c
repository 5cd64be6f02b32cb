/*
 * StopSandbox, StartSandbox, DeleteSandbox. Each is a wish written into the object, which may be
 * repeated; a 409 means that the object changed since we read it, so it is read again and the wish
 * written again (driver contract 3.16, defects 1 and 2), never that something exists already.
 *
 *   find --> PATCH --ok--> start: answered
 *    ^        |              stop: POLL: [pod] --> [object] --stopped--> answered
 *    |        |409, lost             ^                |
 *    +--------+ a few times          +---- wait ------+   until the pod's grace period and 30 s
 *
 * A Stop that is cut off by our end goes on in the cluster; the gateway asks again.
 */
#include <stdlib.h>

#include "base/json.h"
#include "driver/kubernetes/kubernetes_impl.h"

enum {
	WRITE_MS = 30 * 1000, /* to find and to write */
	TRIES_MAX = 8,
	RETRY_MS = 100, /* doubling */
};

struct lifecycle {
	struct target t;
	unsigned tries; /* of writing */
	int64_t began;
	int64_t timeout; /* of a stop, ms */
	unsigned polls;
	enum pod_presence presence;
};

static void write_wish(struct op *op);
static void poll_stop(struct op *op);

static const struct op_kind stop_kind = {
	.name = "stop sandbox",
	.writes = true,
	.timeout_ms = WRITE_MS,
	.release = target_release,
};

static const struct op_kind start_kind = {
	.name = "start sandbox",
	.writes = true,
	.timeout_ms = WRITE_MS,
	.release = target_release,
};

static const struct op_kind delete_kind = {
	.name = "delete sandbox",
	.writes = true,
	.timeout_ms = WRITE_MS,
	.release = target_release,
};

/* ---- trying again ---- */

static void find_again(struct op *op)
{
	struct target *t = (struct target *)op;

	target_find_live(t, t->then, t->none);
}

/* Finds the sandbox anew and writes once more. False: enough. */
static bool try_again(struct lifecycle *l)
{
	struct op *op = &l->t.op;
	int64_t wait = with_jitter(RETRY_MS << l->tries);

	if (l->tries >= TRIES_MAX || op_left(op) <= wait)
		return false;
	op_sleep(op, wait, find_again);
	l->tries++;
	return true;
}

static bool may_help_to_try_again(const struct kube_error *e)
{
	return e->fault == KUBE_CONFLICT || kube_error_is_transient(e);
}

/* What the registry knew may be an object that is gone: then look live, once. */
static bool look_live(struct lifecycle *l, const struct kube_error *e)
{
	if (e->fault != KUBE_NOT_FOUND || l->t.live)
		return false;
	find_again(&l->t.op);
	return true;
}

/* ---- stop ---- */

static void stopped(struct lifecycle *l)
{
	static const Openshell__Compute__V1__StopSandboxResponse response =
		OPENSHELL__COMPUTE__V1__STOP_SANDBOX_RESPONSE__INIT;

	op_reply(&l->t.op, &response);
}

static void check_stop(struct lifecycle *l, const cJSON *object)
{
	struct op *op = &l->t.op;
	const char *message = NULL;

	if (k8s_wants_run(object)) {
		op_fail(op, GRPC_ABORTED, "the sandbox was started again while it was stopping");
		return;
	}
	switch (k8s_stop_state(object, l->presence, &message)) {
	case STOP_DONE:
		stopped(l);
		return;
	case STOP_REJECTED:
		op_fail(op, GRPC_INTERNAL, "Kubernetes sandbox stop rejected: %s",
			message ? message : "");
		return;
	case STOP_PENDING:
		break;
	}
	if (op_left(op) == 0)
		op_fail(op, GRPC_DEADLINE_EXCEEDED,
			"timed out after %llds waiting for Kubernetes sandbox to stop",
			(long long)(l->timeout / 1000));
	else
		op_sleep(op, k8s_stop_poll_ms(l->polls++), poll_stop);
}

/* A poll that fails says nothing about the sandbox; the deadline ends it. */
static void poll_failed(struct lifecycle *l, const struct kube_error *error)
{
	struct op *op = &l->t.op;

	if (op_left(op) == 0 || !kube_error_is_transient(error))
		op_fail_kube(op, error);
	else
		op_sleep(op, k8s_stop_poll_ms(l->polls++), poll_stop);
}

static void polled_object(struct op *op, struct kube_answer *a)
{
	struct lifecycle *l = (struct lifecycle *)op;

	if (op_api_gone(op, a->error, poll_stop))
		return;
	if (a->error && a->error->fault == KUBE_NOT_FOUND) {
		l->t.found = LOOKUP_NONE;
		target_missing(op);
	} else if (a->error) {
		poll_failed(l, a->error);
	} else {
		box_update(op->k, a->body, NULL, l->presence);
		check_stop(l, a->body);
	}
}

static void polled_pod(struct op *op, struct kube_answer *a)
{
	struct lifecycle *l = (struct lifecycle *)op;

	if (a->error && a->error->fault != KUBE_NOT_FOUND && kube_error_is_transient(a->error)) {
		poll_failed(l, a->error);
		return;
	}
	/* without the right to read pods the object's conditions must do */
	l->presence = !a->error                           ? POD_PRESENT
		      : a->error->fault == KUBE_NOT_FOUND ? POD_ABSENT
							  : POD_UNKNOWN;
	op_get(op, sandbox_path(op->k, l->t.ns, l->t.object), polled_object);
}

static void poll_stop(struct op *op)
{
	struct lifecycle *l = (struct lifecycle *)op;
	const char *pod = l->t.json ? k8s_pod_name(l->t.json) : l->t.object;

	op_get(op, kube_path(&resource_pods, l->t.ns, pod, NULL), polled_pod);
}

static void begin_stop(struct lifecycle *l, cJSON *object)
{
	struct op *op = &l->t.op;

	cJSON_Delete(l->t.json);
	l->t.json = object;
	l->timeout = k8s_stop_timeout_ms(object);
	op->deadline = mono_ms() + l->timeout;
	op->reprobed = false;
	op_sleep(op, k8s_stop_poll_ms(l->polls++), poll_stop);
}

void stops_wake(struct kubernetes *k, const struct box *b)
{
	list_each(op, &k->ops, struct op, link) {
		const struct target *t = (const struct target *)op;

		if (op->kind == &stop_kind && op->resume == poll_stop && t->object &&
		    timer_armed(&op->timer) && streq(t->object, b->object) && streq(t->ns, b->ns))
			timer_set(k->loop, &op->timer, 0);
	}
}

/* ---- start ---- */

static void started(struct lifecycle *l)
{
	static const Openshell__Compute__V1__StartSandboxResponse response =
		OPENSHELL__COMPUTE__V1__START_SANDBOX_RESPONSE__INIT;

	op_reply(&l->t.op, &response);
}

/* ---- both ---- */

static void written(struct op *op, struct kube_answer *a)
{
	struct lifecycle *l = (struct lifecycle *)op;

	if (op_api_gone(op, a->error, write_wish))
		return;
	if (a->error) {
		if (a->error->fault == KUBE_NOT_FOUND && l->t.live) {
			l->t.found = LOOKUP_NONE;
			target_missing(op);
		} else if (!look_live(l, a->error) &&
			   !(may_help_to_try_again(a->error) && try_again(l))) {
			op_fail_kube(op, a->error);
		}
		return;
	}
	box_update(op->k, a->body, NULL, POD_UNKNOWN);
	if (op->kind == &stop_kind)
		begin_stop(l, steal(&a->body));
	else
		started(l);
}

static void write_wish(struct op *op)
{
	struct target *t = (struct target *)op;
	cJSON *patch = op->kind == &stop_kind ? k8s_patch_stop(chosen_api(op->k), t->version)
					      : k8s_patch_start(chosen_api(op->k), t->version);

	op_call(op, KUBE_PATCH, KUBE_MERGE_PATCH, sandbox_path(op->k, t->ns, t->object), patch,
		written);
}

static void lifecycle_begin(struct backend *b, struct grpc_call *call, const struct op_kind *kind,
			    const char *id, const char *name, op_fn *then, op_fn *none)
{
	struct kubernetes *k = container_of(b, struct kubernetes, backend);
	struct lifecycle *l = op_new(k, call, kind, sizeof(*l));

	target_init(&l->t, id, name);
	target_find(&l->t, then, none);
}

void stop_sandbox(struct backend *b, struct grpc_call *call,
		  const Openshell__Compute__V1__StopSandboxRequest *r)
{
	lifecycle_begin(b, call, &stop_kind, r->sandbox_id, r->sandbox_name, write_wish, NULL);
}

void start_sandbox(struct backend *b, struct grpc_call *call,
		   const Openshell__Compute__V1__StartSandboxRequest *r)
{
	lifecycle_begin(b, call, &start_kind, r->sandbox_id, r->sandbox_name, write_wish, NULL);
}

/* ---- delete ---- */

static void answer_delete(struct op *op, bool was_there)
{
	Openshell__Compute__V1__DeleteSandboxResponse response =
		OPENSHELL__COMPUTE__V1__DELETE_SANDBOX_RESPONSE__INIT;

	response.deleted = was_there;
	op_reply(op, &response);
}

/* There is none: the gateway is to forget it at once (driver contract 1.7). */
static void nothing_to_delete(struct op *op)
{
	answer_delete(op, false);
}

static void delete_found(struct op *op);

static void deleted(struct op *op, struct kube_answer *a)
{
	struct lifecycle *l = (struct lifecycle *)op;

	if (op_api_gone(op, a->error, delete_found))
		return;
	if (!a->error) {
		/* the deleted event is the watch's to send, once the object is really gone */
		answer_delete(op, true);
	} else if (a->error->fault == KUBE_NOT_FOUND && l->t.live) {
		answer_delete(op, false);
	} else if (!look_live(l, a->error) && !(may_help_to_try_again(a->error) && try_again(l))) {
		op_fail_kube(op, a->error);
	}
}

static void delete_found(struct op *op)
{
	struct target *t = (struct target *)op;

	op_call(op, KUBE_DELETE, KUBE_JSON, sandbox_path(op->k, t->ns, t->object),
		k8s_delete_options(t->uid), deleted);
}

void delete_sandbox(struct backend *b, struct grpc_call *call,
		    const Openshell__Compute__V1__DeleteSandboxRequest *r)
{
	lifecycle_begin(b, call, &delete_kind, r->sandbox_id, r->sandbox_name, delete_found,
			nothing_to_delete);
}
