/*
 * EnsureWorkspace and DeleteWorkspace (driver contract 3.13). Only managed mode has something to do:
 * in shared mode there is nothing, in operator mode others do it.
 */
#include <stdlib.h>

#include "base/json.h"
#include "driver/kubernetes/kubernetes_impl.h"
#include "driver/kubernetes/validate.h"

enum {
	WORKSPACE_MS = 30 * 1000,
	TRIES_MAX = 5,
	RETRY_MS = 200, /* doubling */
};

/* ---- ensure ---- */

struct ensure {
	struct op op;
	struct place_wait place;
};

static void ensure_release(struct op *op)
{
	place_wait_cancel(&((struct ensure *)op)->place);
}

static const struct op_kind ensure_kind = {
	.name = "ensure workspace",
	.writes = true,
	.timeout_ms = WORKSPACE_MS,
	.release = ensure_release,
};

static const Openshell__Compute__V1__EnsureWorkspaceResponse ensured =
	OPENSHELL__COMPUTE__V1__ENSURE_WORKSPACE_RESPONSE__INIT;

static void place_told(struct place_wait *w, const struct place *place, const struct err *e)
{
	struct ensure *s = container_of(w, struct ensure, place);

	(void)place;
	/* what is the user's to mend when he creates is here the gateway's own call (3.5) */
	if (e && e->code == GRPC_FAILED_PRECONDITION)
		op_fail(&s->op, GRPC_INTERNAL, "%s", e->text);
	else if (e)
		op_fail_err(&s->op, e);
	else
		op_reply(&s->op, &ensured);
}

void ensure_workspace(struct backend *b, struct grpc_call *call,
		      const Openshell__Compute__V1__EnsureWorkspaceRequest *r)
{
	struct kubernetes *k = container_of(b, struct kubernetes, backend);
	char ns[K8S_LABEL_MAX + 1];
	struct ensure *s;
	struct err e;

	if (k->options->workspace_mode == WORKSPACE_SHARED) {
		grpc_reply(call, &ensured);
		return;
	}
	if (k8s_namespace_of(k->options, r->workspace, ns, &e) < 0 ||
	    (k->allowlist && !allowlist_has(k->allowlist, ns) &&
	     k8s_refuse_workspace(r->workspace, GRPC_PERMISSION_DENIED, &e) < 0)) {
		grpc_fail(call, (enum grpc_status)e.code, "%s", e.text);
		return;
	}
	if (k->options->workspace_mode == WORKSPACE_OPERATOR) {
		grpc_reply(call, &ensured);
		return;
	}
	s = op_new(k, call, &ensure_kind, sizeof(*s));
	s->place.done = place_told;
	list_init(&s->place.link);
	place_doubt(k, ns); /* asked for by name: look, whatever was found lately */
	place_wait(k, ns, r->workspace, &s->place);
}

/* ---- delete ---- */

struct removal {
	struct op op;
	char ns[K8S_LABEL_MAX + 1];
	unsigned tries;
};

static const struct op_kind delete_kind = {
	.name = "delete workspace",
	.writes = true,
	.timeout_ms = WORKSPACE_MS,
};

static const Openshell__Compute__V1__DeleteWorkspaceResponse removed =
	OPENSHELL__COMPUTE__V1__DELETE_WORKSPACE_RESPONSE__INIT;

static void read_namespace(struct op *op);

static void deleted(struct op *op, struct kube_answer *a)
{
	struct removal *m = (struct removal *)op;

	place_doubt(op->k, m->ns);
	if (!a->error || a->error->fault == KUBE_NOT_FOUND) {
		op_reply(op, &removed);
	} else if ((a->error->fault == KUBE_CONFLICT || kube_error_is_transient(a->error)) &&
		   m->tries < TRIES_MAX && op_left(op) > 0) {
		op_sleep(op, with_jitter(RETRY_MS << m->tries), read_namespace);
		m->tries++;
	} else {
		op_fail_kube(op, a->error);
	}
}

static void namespace_read(struct op *op, struct kube_answer *a)
{
	struct removal *m = (struct removal *)op;
	const char *uid = k8s_object_uid(a->body);

	if (a->error && a->error->fault != KUBE_NOT_FOUND) {
		op_fail_kube(op, a->error);
	} else if (a->error || !k8s_namespace_is_ours(op->k->options, a->body) ||
		   json_at(a->body, "metadata", "deletionTimestamp", NULL)) {
		op_reply(op, &removed);
	} else if (!*uid) {
		op_fail(op, GRPC_INTERNAL, "namespace %s has no UID; refusing an unguarded delete",
			m->ns);
	} else {
		op_call(op, KUBE_DELETE, KUBE_JSON,
			kube_path(&resource_namespaces, NULL, m->ns, NULL), k8s_delete_options(uid),
			deleted);
	}
}

static void read_namespace(struct op *op)
{
	struct removal *m = (struct removal *)op;

	op_get(op, kube_path(&resource_namespaces, NULL, m->ns, NULL), namespace_read);
}

void delete_workspace(struct backend *b, struct grpc_call *call,
		      const Openshell__Compute__V1__DeleteWorkspaceRequest *r)
{
	struct kubernetes *k = container_of(b, struct kubernetes, backend);
	struct removal *m;
	struct err e;
	char ns[K8S_LABEL_MAX + 1];

	if (k->options->workspace_mode != WORKSPACE_MANAGED) {
		grpc_reply(call, &removed);
		return;
	}
	if (k8s_namespace_of(k->options, r->workspace, ns, &e) < 0) {
		grpc_fail(call, (enum grpc_status)e.code, "%s", e.text);
		return;
	}
	m = op_new(k, call, &delete_kind, sizeof(*m));
	snprintf(m->ns, sizeof(m->ns), "%s", ns);
	read_namespace(&m->op);
}
