/*
 * CreateSandbox. The gateway forgets a sandbox whose creation failed and sends no Delete (driver
 * contract 1.7), so what we answer must be what is: an attempt that may have reached the server
 * although no answer came is looked into, and what is there behind a failure is removed.
 *
 *   API version --> place --> POST --201--> known, answered
 *                     ^        |  |409 after an unsure attempt, or unsure
 *                     |        |  +--> READ --ours--> known, answered
 *        namespace gone, once  |        |   --absent--> POST again, a few times
 *                              |        v
 *                              +--> failed --unsure--> answered, and CLEANUP behind it
 *
 * The name is the key: a POST that is repeated, by us or by the client below, makes no second
 * object. So one that exists already and has our id is ours, unless it was known before we began.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "driver/kubernetes/kubernetes_impl.h"
#include "driver/kubernetes/validate.h"

enum {
	CREATE_MS = 30 * 1000, /* driver contract 3.2 */
	POSTS_MAX = 4,
	REPEAT_MS = 200, /* doubling */
	CLEANUP_MS = 30 * 60 * 1000,
	CLEANUP_WAIT_MS = 1000, /* doubling to */
	CLEANUP_WAIT_MAX_MS = 30 * 1000,
	LATE_MS = 65 * 1000, /* API servers give up a request after a minute: no POST lands later */
};

struct create {
	struct op op;
	const Openshell__Compute__V1__DriverSandbox *sandbox; /* the request's, until answered */
	struct k8s_names at;
	struct place_wait place;
	unsigned posts;
	bool known;     /* the sandbox was there before we began */
	bool unsure;    /* an attempt may have succeeded */
	struct err why; /* what the last attempt failed with */
	bool place_doubted;
};

static void find_place(struct op *op);
static void post(struct create *c, const struct place *place);

int check_sandbox(const struct kubernetes *k, const Openshell__Compute__V1__DriverSandbox *sandbox,
		  struct k8s_names *at, struct err *e)
{
	const struct kubernetes_options *o = k->options;

	if (k8s_validate(o, sandbox, e) < 0 ||
	    k8s_names_of(o, sandbox->workspace, sandbox->name, at, e) < 0)
		return -1;
	if (k->allowlist && !allowlist_has(k->allowlist, at->ns))
		return k8s_refuse_workspace(sandbox->workspace, GRPC_FAILED_PRECONDITION, e);
	return 0;
}

/* ---- cleaning up ---- */

struct cleanup {
	struct op op;
	struct k8s_names at;
	char *id;
	int64_t posted; /* mono_ms of the last attempt */
	unsigned tries;
};

static void cleanup_look(struct op *op);

static void cleanup_release(struct op *op)
{
	free(((struct cleanup *)op)->id);
}

static void cleanup_again(struct op *op)
{
	struct cleanup *c = (struct cleanup *)op;

	if (op_left(op) == 0) {
		log_error("an object of a failed creation could not be removed",
			  "id=%s namespace=%s object=%s", c->id, c->at.ns, c->at.object);
		op_end(op);
		return;
	}
	op_sleep(op, backoff_ms(++c->tries, CLEANUP_WAIT_MS, CLEANUP_WAIT_MAX_MS), cleanup_look);
}

static void cleanup_failed(struct op *op, const struct kube_error *error)
{
	(void)error;
	cleanup_again(op);
}

static const struct op_kind cleanup_kind = {
	.name = "clean up behind a failed creation",
	.writes = true,
	.timeout_ms = CLEANUP_MS,
	.release = cleanup_release,
	.failed = cleanup_failed,
};

static void cleanup_deleted(struct op *op, struct kube_answer *a)
{
	const struct cleanup *c = (struct cleanup *)op;

	if (a->error && a->error->fault != KUBE_NOT_FOUND) {
		cleanup_again(op); /* also when the object changed hands: then looking tells */
		return;
	}
	log_info("removed what a failed creation left", "id=%s namespace=%s object=%s", c->id,
		 c->at.ns, c->at.object);
	op_end(op);
}

static void cleanup_read(struct op *op, struct kube_answer *a)
{
	const struct cleanup *c = (struct cleanup *)op;

	if (a->error && a->error->fault == KUBE_NOT_FOUND)
		op_may_be_cut_off(op); /* a request that is still on its way is most unlikely */
	if (a->error && (a->error->fault != KUBE_NOT_FOUND || mono_ms() - c->posted < LATE_MS)) {
		cleanup_again(op);
		return;
	}
	if (a->error || !k8s_is_ours(op->k->options, a->body) ||
	    !streq(k8s_object_id(a->body), c->id)) {
		op_end(op);
		return;
	}
	op_call(op, KUBE_DELETE, KUBE_JSON, sandbox_path(op->k, c->at.ns, c->at.object),
		k8s_delete_options(k8s_object_uid(a->body)), cleanup_deleted);
}

static void cleanup_read_now(struct op *op)
{
	const struct cleanup *c = (struct cleanup *)op;

	op_get(op, sandbox_path(op->k, c->at.ns, c->at.object), cleanup_read);
}

static void cleanup_look(struct op *op)
{
	op_with_api(op, cleanup_read_now);
}

static void start_cleanup(const struct create *c)
{
	struct cleanup *u = op_new(c->op.k, NULL, &cleanup_kind, sizeof(*u));

	u->at = c->at;
	u->id = xstrdup(c->sandbox->id);
	u->posted = mono_ms();
	cleanup_look(&u->op);
}

/* ---- creating ---- */

static void create_release(struct op *op)
{
	place_wait_cancel(&((struct create *)op)->place);
}

static const struct op_kind create_kind = {
	.name = "create sandbox",
	.writes = true,
	.timeout_ms = CREATE_MS,
	.release = create_release,
};

static void created(struct create *c, const cJSON *object)
{
	static const Openshell__Compute__V1__CreateSandboxResponse response =
		OPENSHELL__COMPUTE__V1__CREATE_SANDBOX_RESPONSE__INIT;

	box_update(c->op.k, object, NULL, POD_UNKNOWN);
	op_reply(&c->op, &response);
}

static void fail(struct create *c, enum grpc_status code, const char *text)
{
	if (c->unsure)
		start_cleanup(c);
	op_fail(&c->op, code, "%s", text);
}

static void read_back(struct op *op, struct kube_answer *a)
{
	struct create *c = (struct create *)op;

	if (!a->error && k8s_is_ours(op->k->options, a->body) &&
	    streq(k8s_object_id(a->body), c->sandbox->id)) {
		created(c, a->body);
	} else if (!a->error) {
		op_fail(op, GRPC_ALREADY_EXISTS, "sandbox already exists");
	} else if (a->error->fault == KUBE_NOT_FOUND && c->posts < POSTS_MAX) {
		op_sleep(op, with_jitter(REPEAT_MS << c->posts), find_place);
	} else if (a->error->fault == KUBE_NOT_FOUND) {
		fail(c, (enum grpc_status)c->why.code, c->why.text);
	} else {
		fail(c, kube_grpc_status(a->error), a->error->message);
	}
}

/* A managed workspace may have been deleted since we looked; its namespace says so in two ways. */
static bool namespace_is_gone(const struct kube_error *error)
{
	return (error->fault == KUBE_NOT_FOUND && streq(error->kind, "namespaces")) ||
	       (error->fault == KUBE_FORBIDDEN && strstr(error->message, "being terminated"));
}

static void post_failed(struct create *c, const struct kube_error *error)
{
	struct op *op = &c->op;

	c->unsure |= error->unsure;
	err_set(&c->why, (int)kube_grpc_status(error), "%s", error->message);
	if (error->fault == KUBE_ALREADY_EXISTS && c->known) {
		op_fail(op, GRPC_ALREADY_EXISTS, "sandbox already exists");
		return;
	}
	/* An answer that says no for a reason of its own would be the same the next time; one that
	 * was lost would not. */
	if (error->fault == KUBE_ALREADY_EXISTS || (error->unsure && op_left(op) > 0)) {
		if (error->fault == KUBE_SERVER)
			c->posts = POSTS_MAX;
		op_get(op, sandbox_path(op->k, c->at.ns, c->at.object), read_back);
		return;
	}
	if (namespace_is_gone(error) && !c->place_doubted) {
		c->place_doubted = true;
		place_doubt(op->k, c->at.ns);
		if (op->k->options->workspace_mode == WORKSPACE_MANAGED) {
			find_place(op);
			return;
		}
	}
	fail(c, kube_grpc_status(error), error->message);
}

static void posted(struct op *op, struct kube_answer *a)
{
	struct create *c = (struct create *)op;

	if (op_api_gone(op, a->error, find_place))
		return;
	if (a->error)
		post_failed(c, a->error);
	else
		created(c, a->body);
}

static void post(struct create *c, const struct place *place)
{
	struct op *op = &c->op;
	struct k8s_facts facts = {
		.api = chosen_api(op->k),
		.server_minor = version_server_minor(op->k->version),
		.identity = place->identity,
	};
	struct err e;
	cJSON *object = k8s_render(op->k->options, &facts, c->sandbox, &e);

	if (!object) {
		fail(c, (enum grpc_status)e.code, e.text);
		return;
	}
	c->posts++;
	op_call(op, KUBE_POST, KUBE_JSON, sandbox_path(op->k, c->at.ns, NULL), object, posted);
}

static void place_told(struct place_wait *w, const struct place *place, const struct err *e)
{
	struct create *c = container_of(w, struct create, place);

	if (e)
		fail(c, (enum grpc_status)e->code, e->text);
	else if (op_left(&c->op) == 0)
		fail(c, GRPC_DEADLINE_EXCEEDED, "timed out waiting for the namespace");
	else
		post(c, place);
}

/* The version may have been doubted while the place was made ready; what is chosen counts. */
static void find_place(struct op *op)
{
	struct create *c = (struct create *)op;
	const struct place *place = place_ready(op->k, c->at.ns);

	if (place)
		post(c, place);
	else
		place_wait(op->k, c->at.ns, c->sandbox->workspace, &c->place);
}

void create_sandbox(struct backend *b, struct grpc_call *call,
		    const Openshell__Compute__V1__CreateSandboxRequest *r)
{
	struct kubernetes *k = container_of(b, struct kubernetes, backend);
	struct k8s_names at;
	struct create *c;
	struct err e;

	if (check_sandbox(k, r->sandbox, &at, &e) < 0) {
		grpc_fail(call, (enum grpc_status)e.code, "%s", e.text);
		return;
	}
	c = op_new(k, call, &create_kind, sizeof(*c));
	c->sandbox = r->sandbox;
	c->at = at;
	c->known = registry_get(k->registry, r->sandbox->id) != NULL;
	c->place.done = place_told;
	list_init(&c->place.link);
	op_with_api(&c->op, find_place);
}
