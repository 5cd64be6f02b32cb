/*
 * Finding the sandbox that a request means: in the registry, which knows all while it is synced, or
 * live, by the label with its id and then by its name (driver contract 2.3, rule 4; the rule itself
 * is driver/lookup.h's).
 */
#include <stdlib.h>

#include "base/json.h"
#include "driver/kubernetes/kubernetes_impl.h"
#include "kube/list.h"

enum {
	LOST_MAX = 6,
	RETRY_MS = 100, /* doubling */
};

static void ask_by_label(struct op *op);
static void ask_by_object_name(struct target *t);

void target_init(struct target *t, const char *id, const char *name)
{
	t->id = xstrdup(id ? id : "");
	t->name = xstrdup(name ? name : "");
}

static void forget_found(struct target *t)
{
	free(t->ns);
	free(t->object);
	free(t->uid);
	free(t->version);
	cJSON_Delete(t->json);
	t->ns = t->object = t->uid = t->version = NULL;
	t->json = NULL;
	t->found = LOOKUP_NONE;
}

void target_release(struct op *op)
{
	struct target *t = (struct target *)op;

	kube_list_cancel(t->list);
	forget_found(t);
	free(t->id);
	free(t->name);
}

void target_missing(struct op *op)
{
	const struct target *t = (struct target *)op;

	if (op->call)
		lookup_fail(op->call, t->found);
	op->call = NULL;
	op_end(op);
}

static void decide(struct target *t)
{
	if (t->found == LOOKUP_ID || t->found == LOOKUP_NAME)
		t->then(&t->op);
	else if (t->none && t->found == LOOKUP_NONE)
		t->none(&t->op);
	else
		target_missing(&t->op);
}

/* ---- live ---- */

static void consider(struct target *t, const cJSON *object)
{
	struct lookup_key key = {t->id, t->name};
	struct lookup_sandbox s = {k8s_object_id(object), k8s_object_sandbox(object),
				   k8s_object_workspace(object)};
	enum lookup found = t->found;

	if (!k8s_is_ours(t->op.k->options, object) ||
	    !lookup_better(&found, lookup_match(&key, &s))) {
		t->found = found;
		return;
	}
	forget_found(t);
	t->found = found;
	t->ns = xstrdup(k8s_object_namespace(object));
	t->object = xstrdup(k8s_object_name(object));
	t->uid = xstrdup(k8s_object_uid(object));
	t->version = xstrdup(k8s_object_version(object));
	t->json = json_copy(object);
}

static void candidate(void *owner, const cJSON *object)
{
	consider(owner, object);
}

/* The client repeats a read by itself, but not one whose answer broke off half-way. */
static void look_failed(struct target *t, const struct kube_error *error)
{
	struct op *op = &t->op;
	int64_t wait = with_jitter(RETRY_MS << t->lost);

	if (op_api_gone(op, error, ask_by_label))
		return;
	if (!kube_error_is_transient(error) || t->lost++ == LOST_MAX || op_left(op) <= wait)
		op_fail_kube(op, error);
	else
		op_sleep(op, wait, ask_by_label);
}

static void listed(void *owner, const char *resource_version, const struct kube_error *error)
{
	struct target *t = owner;

	(void)resource_version;
	t->list = NULL;
	if (error)
		look_failed(t, error);
	else if (t->found == LOOKUP_ID)
		decide(t);
	else
		ask_by_object_name(t);
}

static void read_by_name(struct op *op, struct kube_answer *a)
{
	struct target *t = (struct target *)op;

	if (a->error && a->error->fault != KUBE_NOT_FOUND) {
		look_failed(t, a->error);
		return;
	}
	if (!a->error)
		consider(t, a->body);
	decide(t);
}

/* Objects of drivers before v0.0.88 are called like their sandbox, and have no label with its name.
 * Those drivers knew shared mode only. */
static void ask_by_object_name(struct target *t)
{
	const struct kubernetes *k = t->op.k;

	if (k->options->workspace_mode != WORKSPACE_SHARED ||
	    !str_is_dns_subdomain(str_of(t->name))) {
		decide(t);
		return;
	}
	op_get(&t->op, sandbox_path(k, k->options->namespace, t->name), read_by_name);
}

/* Whether the server would take this as the value of a label; no sandbox can have another. */
static bool is_label_value(const char *s)
{
	size_t n = 0;

	for (; s[n]; n++) {
		bool alnum = (s[n] >= 'a' && s[n] <= 'z') || (s[n] >= 'A' && s[n] <= 'Z') ||
			     (s[n] >= '0' && s[n] <= '9');
		bool inner = n > 0 && s[n + 1] && (s[n] == '-' || s[n] == '_' || s[n] == '.');

		if (!alnum && !inner)
			return false;
	}
	return n > 0 && n <= K8S_LABEL_MAX;
}

static void ask_by_label(struct op *op)
{
	struct target *t = (struct target *)op;
	const struct kubernetes *k = op->k;
	_cleanup_free_ char *selector = NULL;
	_cleanup_free_ char *path = NULL;

	forget_found(t);
	if (is_label_value(t->id)) {
		selector = k8s_selector_id(k->options, t->id);
	} else if (!*t->id && is_label_value(t->name)) {
		_cleanup_free_ char *all = k8s_selector_all(k->options);

		selector = xasprintf("%s," LABEL_NAME "=%s", all, t->name);
	} else {
		ask_by_object_name(t);
		return;
	}
	path = kube_path_query(sandbox_path(k, watched_namespace(k), NULL), "labelSelector",
			       selector);
	t->list = kube_list(k->client,
			    &(struct kube_list_config){
				    .path = path, .item = candidate, .done = listed, .owner = t});
}

void target_find_live(struct target *t, op_fn *then, op_fn *none)
{
	t->live = true;
	t->then = then;
	t->none = none;
	op_with_api(&t->op, ask_by_label);
}

/* ---- by the registry ---- */

void target_find(struct target *t, op_fn *then, op_fn *none)
{
	const struct kubernetes *k = t->op.k;
	const struct registry_sandbox *s;
	const struct box *b;
	enum lookup found = registry_find(k->registry, t->id, t->name, &s);

	if (found != LOOKUP_ID && found != LOOKUP_NAME) {
		target_find_live(t, then, none);
		return;
	}
	b = box_find(k, s->namespace, s->object);
	must(b); /* box.c puts and removes both together */
	forget_found(t);
	t->found = found;
	t->ns = xstrdup(s->namespace);
	t->object = xstrdup(s->object);
	t->uid = xstrdup(b->uid);
	t->version = s->version ? xasprintf("%llu", (unsigned long long)s->version) : NULL;
	t->then = then;
	t->none = none;
	op_with_api(&t->op, then);
}
