/*
 * Namespaces: making one fit for sandboxes (driver contract 3.13) and reading as whom they run in it
 * (3.9). What was found holds for PLACE_TTL_MS, so that creating sandboxes costs no reads; many who
 * ask at once share one look. A failure is told and not remembered, and never guessed around.
 *
 *                shared, operator: identity by option, nothing to copy: ready without a look
 *
 *   READ --found, ours--> [RANGE] --> ACCOUNT --> POLICY --> SECRETS (each: read, apply) --> ready
 *    ^ ^ \--not found, managed--> MAKE --+
 *    | +---- terminating: wait <--+      |
 *    +-----------------------------------+      ACCOUNT, POLICY: managed mode only
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/kubernetes_impl.h"

enum {
	PLACE_TTL_MS = 30 * 1000,
	PLACE_REFRESH_MS = 10 * 1000, /* when so much is left a look begins that nobody waits for */
	PLACES_MAX = 4096,            /* beyond, those that nobody needs are forgotten */
	JOB_TIMEOUT_MS = 25 * 1000,
	RANGE_WAIT_MS = 15 * 1000, /* for OpenShift to allot a new namespace its UIDs */
	POLL_MS = 500,
};

struct job {
	struct op op;
	struct place *place;
	cJSON *ns; /* the Namespace object, once read */
	int64_t range_until;
	size_t secret; /* index of the next to copy */
};

static void read_namespace(struct op *op);
static void copy_next_secret(struct job *job);

static bool managed(const struct kubernetes *k)
{
	return k->options->workspace_mode == WORKSPACE_MANAGED;
}

/* ---- the end of a job ---- */

static void tell(struct place *p, const struct err *e)
{
	struct list told;

	list_init(&told);
	list_each(w, &p->waiting, struct place_wait, link) {
		list_del(&w->link);
		list_add(&told, &w->link);
	}
	while (!list_empty(&told)) {
		struct place_wait *w = list_first(&told, struct place_wait, link);

		list_del(&w->link);
		w->done(w, p, e);
	}
}

static void job_release(struct op *op)
{
	struct job *job = (struct job *)op;

	cJSON_Delete(job->ns);
	job->place->job = NULL;
}

static void job_failed(struct job *job, const struct err *e)
{
	struct place *p = job->place;

	op_end(&job->op);
	p->good_until = 0;
	tell(p, e);
}

static void job_failed_kube(struct op *op, const struct kube_error *error)
{
	struct err e;

	err_set(&e, (int)kube_grpc_status(error), "%s", error->message);
	job_failed((struct job *)op, &e);
}

static const struct op_kind job_kind = {
	.name = "prepare namespace",
	.writes = true,
	.timeout_ms = JOB_TIMEOUT_MS,
	.release = job_release,
	.failed = job_failed_kube,
};

/* The identity's texts become the place's own. False with *e: an annotation makes no sense. */
static bool take_identity(struct kubernetes *k, struct place *p, const cJSON *ns, struct err *e)
{
	struct k8s_identity id;

	if (k8s_identity(k->options, ns, &id, e) < 0)
		return false;
	free(p->uid_range);
	free(p->groups);
	p->uid_range = id.uid_range ? xstrdup(id.uid_range) : NULL;
	p->groups = id.groups ? xstrdup(id.groups) : NULL;
	id.uid_range = p->uid_range;
	id.groups = p->groups;
	p->identity = id;
	p->good_until = mono_ms() + PLACE_TTL_MS;
	return true;
}

static void job_done(struct job *job)
{
	struct place *p = job->place;
	struct err e;

	if (!take_identity(job->op.k, p, job->ns, &e)) {
		job_failed(job, &e);
		return;
	}
	op_end(&job->op);
	tell(p, NULL);
}

/* ---- secrets ---- */

static const char *nth_pull_secret(const struct kubernetes *k, size_t n)
{
	const struct opt_list *pull = &k->options->sandbox_image_pull_secrets;

	return managed(k) && n < pull->n ? pull->v[n] : NULL;
}

/* The pull secrets in managed mode, then the TLS secret; NULL behind the last. "" is to be skipped. */
static const char *nth_secret(const struct kubernetes *k, size_t n)
{
	size_t pull = managed(k) ? k->options->sandbox_image_pull_secrets.n : 0;

	if (n < pull)
		return nth_pull_secret(k, n);
	return n == pull ? k->options->client_tls_secret_name : NULL;
}

static void secret_applied(struct op *op, struct kube_answer *a)
{
	if (a->error) {
		job_failed_kube(op, a->error);
		return;
	}
	copy_next_secret((struct job *)op);
}

static void secret_read(struct op *op, struct kube_answer *a)
{
	struct job *job = (struct job *)op;
	const char *name = nth_secret(op->k, job->secret);
	char *path;
	struct err e;

	if (a->error && a->error->fault == KUBE_NOT_FOUND) {
		err_set(&e, GRPC_FAILED_PRECONDITION,
			"configured %s Secret %s does not exist in source namespace %s",
			nth_pull_secret(op->k, job->secret) ? "image-pull" : "client TLS", name,
			op->k->options->namespace);
		job_failed(job, &e);
		return;
	}
	if (a->error) {
		job_failed_kube(op, a->error);
		return;
	}
	path = kube_path(&resource_secrets, job->place->ns, name, NULL);
	path = kube_path_query(path, "fieldManager", "openshell");
	path = kube_path_query(path, "force", "true");
	job->secret++;
	op_call(op, KUBE_PATCH, KUBE_APPLY, path, k8s_render_secret_copy(a->body, job->place->ns),
		secret_applied);
}

static void copy_next_secret(struct job *job)
{
	const struct kubernetes *k = job->op.k;
	const char *name = nth_secret(k, job->secret);

	if (streq(job->place->ns, k->options->namespace))
		name = NULL;
	while (name && !*name)
		name = nth_secret(k, ++job->secret);
	if (!name) {
		job_done(job);
		return;
	}
	op_get(&job->op, kube_path(&resource_secrets, k->options->namespace, name, NULL),
	       secret_read);
}

/* ---- service account and network policy ---- */

static void policy_applied(struct op *op, struct kube_answer *a)
{
	if (a->error)
		job_failed_kube(op, a->error);
	else
		copy_next_secret((struct job *)op);
}

static void apply_policy(struct job *job)
{
	cJSON *policy = k8s_render_ssh_policy(job->op.k->options, job->place->ns);
	char *path;

	if (!policy) {
		copy_next_secret(job);
		return;
	}
	path = kube_path(&resource_network_policies, job->place->ns,
			 json_str_or_empty(json_get(policy, "metadata"), "name"), NULL);
	path = kube_path_query(path, "fieldManager", "openshell");
	op_call(&job->op, KUBE_PATCH, KUBE_APPLY, path, policy, policy_applied);
}

static void account_made(struct op *op, struct kube_answer *a)
{
	if (a->error && a->error->fault != KUBE_ALREADY_EXISTS)
		job_failed_kube(op, a->error);
	else
		apply_policy((struct job *)op);
}

/* Every namespace gets an account `default` by itself. */
static void make_account(struct job *job)
{
	const struct kubernetes_options *o = job->op.k->options;

	if (str_empty(o->service_account) || streq(o->service_account, "default")) {
		apply_policy(job);
		return;
	}
	op_call(&job->op, KUBE_POST, KUBE_JSON,
		kube_path(&resource_service_accounts, job->place->ns, NULL, NULL),
		k8s_render_service_account(o, job->place->ns), account_made);
}

/* ---- the namespace ---- */

/* OpenShift allots each namespace its UIDs, a moment after it was made (driver contract 7.3, item
 * 3). Whoever reads too early would run as 1000. */
static void openshift_told(struct op *op, struct kube_answer *a)
{
	struct job *job = (struct job *)op;
	struct err e;

	if (a->error &&
	    (a->error->fault == KUBE_NO_RESOURCE || a->error->fault == KUBE_NOT_FOUND)) {
		make_account(job);
	} else if (a->error) {
		job_failed_kube(op, a->error);
	} else if (mono_ms() < job->range_until) {
		op_sleep(op, POLL_MS, read_namespace);
	} else {
		err_set(&e, GRPC_UNAVAILABLE,
			"OpenShift has not allotted namespace %s a range of UIDs yet",
			job->place->ns);
		job_failed(job, &e);
	}
}

static void namespace_is_there(struct job *job)
{
	const struct kubernetes_options *o = job->op.k->options;
	const cJSON *annotations = json_at(job->ns, "metadata", "annotations", NULL);

	if (!managed(job->op.k))
		copy_next_secret(job);
	else if (k8s_identity_needs_namespace(o) && !json_str(annotations, ANNOTATION_UID_RANGE))
		op_get(&job->op, xstrdup("/apis/security.openshift.io/v1"), openshift_told);
	else
		make_account(job);
}

static void namespace_made(struct op *op, struct kube_answer *a)
{
	/* made by another at the same time, or made although the answer was lost: reading tells */
	if (a->error && a->error->fault != KUBE_ALREADY_EXISTS && !a->error->unsure)
		job_failed_kube(op, a->error);
	else
		read_namespace(op);
}

static bool is_terminating(const cJSON *ns)
{
	return json_at(ns, "metadata", "deletionTimestamp", NULL) ||
	       streq(json_str(json_get(ns, "status"), "phase"), "Terminating");
}

static void namespace_absent(struct job *job)
{
	struct kubernetes *k = job->op.k;
	struct err e;

	if (managed(k)) {
		op_call(&job->op, KUBE_POST, KUBE_JSON,
			kube_path(&resource_namespaces, NULL, NULL, NULL),
			k8s_render_namespace(k->options, job->place->workspace, job->place->ns),
			namespace_made);
		return;
	}
	err_set(&e, GRPC_FAILED_PRECONDITION, "namespace %s does not exist", job->place->ns);
	job_failed(job, &e);
}

static void namespace_read(struct op *op, struct kube_answer *a)
{
	struct job *job = (struct job *)op;
	struct err e;

	cJSON_Delete(job->ns);
	job->ns = NULL;
	if (a->error && a->error->fault == KUBE_NOT_FOUND) {
		namespace_absent(job);
		return;
	}
	if (a->error) {
		job_failed_kube(op, a->error);
		return;
	}
	job->ns = steal(&a->body);
	if (managed(op->k) && !k8s_namespace_is_ours(op->k->options, job->ns)) {
		err_set(&e, GRPC_FAILED_PRECONDITION,
			"namespace %s exists but is not owned by this gateway", job->place->ns);
		job_failed(job, &e);
	} else if (!is_terminating(job->ns)) {
		namespace_is_there(job);
	} else if (managed(op->k) && op_left(op) > JOB_TIMEOUT_MS / 3) {
		op_sleep(op, with_jitter(POLL_MS), read_namespace);
	} else {
		err_set(&e, GRPC_UNAVAILABLE, "namespace %s is being deleted", job->place->ns);
		job_failed(job, &e);
	}
}

static void read_namespace(struct op *op)
{
	struct job *job = (struct job *)op;

	op_get(op, kube_path(&resource_namespaces, NULL, job->place->ns, NULL), namespace_read);
}

/* ---- places ---- */

static void place_free(struct place *p)
{
	must(!p->job && list_empty(&p->waiting));
	free(p->uid_range);
	free(p->groups);
	free(p);
}

static void forget_unused(struct kubernetes *k)
{
	size_t at = 0;
	struct str key;
	void *value;

	while (map_next(&k->places, &at, &key, &value)) {
		struct place *p = value;

		if (p->job || !list_empty(&p->waiting) || p->good_until > mono_ms())
			continue;
		map_del(&k->places, str_of(p->ns));
		place_free(p);
	}
}

static struct place *place_of(struct kubernetes *k, const char *ns, const char *workspace)
{
	struct place *p = map_get(&k->places, str_of(ns));

	if (p)
		return p;
	if (k->places.n >= PLACES_MAX)
		forget_unused(k);
	p = xcalloc(1, sizeof(*p));
	snprintf(p->ns, sizeof(p->ns), "%s", ns);
	snprintf(p->workspace, sizeof(p->workspace), "%s", workspace);
	list_init(&p->waiting);
	map_put(&k->places, str_of(ns), p);
	return p;
}

/* Whether nothing has to be asked at all. */
static bool needs_no_look(const struct kubernetes *k, const char *ns)
{
	return !managed(k) && !k8s_identity_needs_namespace(k->options) &&
	       (k->options->workspace_mode == WORKSPACE_SHARED ||
		str_empty(k->options->client_tls_secret_name) || streq(ns, k->options->namespace));
}

static void start_job(struct kubernetes *k, struct place *p)
{
	struct job *job = op_new(k, NULL, &job_kind, sizeof(*job));

	job->place = p;
	job->range_until = mono_ms() + RANGE_WAIT_MS;
	p->job = &job->op;
	if (managed(k) || k8s_identity_needs_namespace(k->options))
		read_namespace(&job->op);
	else
		copy_next_secret(job);
}

const struct place *place_ready(struct kubernetes *k, const char *ns)
{
	struct place *p = map_get(&k->places, str_of(ns));
	struct err e;

	if (p && p->good_until > mono_ms()) {
		if (!p->job && p->good_until < mono_ms() + PLACE_REFRESH_MS &&
		    !needs_no_look(k, ns))
			start_job(k, p);
		return p;
	}
	if (!needs_no_look(k, ns))
		return NULL;
	p = place_of(k, ns, "");
	return take_identity(k, p, NULL, &e) ? p : NULL;
}

void place_wait(struct kubernetes *k, const char *ns, const char *workspace, struct place_wait *w)
{
	struct place *p = place_of(k, ns, workspace);

	list_add(&p->waiting, &w->link);
	if (!p->job)
		start_job(k, p);
}

void place_wait_cancel(struct place_wait *w)
{
	list_del(&w->link);
}

void place_doubt(struct kubernetes *k, const char *ns)
{
	struct place *p = map_get(&k->places, str_of(ns));

	if (p)
		p->good_until = 0;
}

void places_free(struct kubernetes *k)
{
	size_t at = 0;
	void *value;

	while (map_next(&k->places, &at, NULL, &value))
		place_free(value);
	map_fini(&k->places);
}
