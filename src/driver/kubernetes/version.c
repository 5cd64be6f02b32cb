#include "driver/kubernetes/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "base/util.h"

enum {
	PROBE_TIMEOUT_MS = 5000, /* for one question */
	RETRY_MIN_MS = 500,      /* after a round without a result, doubling */
	RETRY_MAX_MS = 30000,
	BETTER_MS = 5 * 60 * 1000, /* between looks for a newer version than the one in use */
};

/*
 *   ASKING --200--> KNOWN --doubt--> ASKING
 *     |  ^            |
 *     |  |            +--version is not the newest: suspect, BETTER_MS--> BETTER --> KNOWN
 *     |  +--retry--- FAILED (its error is told to who asks)
 *     +--no result-----^
 */
enum state { ASKING, FAILED, KNOWN, BETTER };

struct version {
	struct kube_client *client;
	const struct kubernetes_options *options;
	void (*changed)(void *owner, enum sandbox_api api);
	void *owner;

	enum state state;
	enum sandbox_api api;    /* chosen; in KNOWN and BETTER */
	int told;                /* what changed was last called with; -1: never */
	enum sandbox_api asking; /* under way; in ASKING and BETTER */
	int minor;
	struct kube_request *request;
	struct timer timer;      /* the next round */
	unsigned failures;       /* in a row */
	struct kube_error error; /* why the last round had no result */
	char refused[256];       /* versions that answered 403, in words */
	bool forbidden;          /* some version of this round answered 403 */
	struct list waiting;
};

static void ask(struct version *v);

bool version_known(const struct version *v, enum sandbox_api *out)
{
	if (v->state != KNOWN && v->state != BETTER)
		return false;
	*out = v->api;
	return true;
}

int version_server_minor(const struct version *v)
{
	return v->minor;
}

static void tell(struct version *v, const struct kube_error *error)
{
	struct list told;

	/* done may wait again: only who waits now is told */
	list_init(&told);
	list_each(w, &v->waiting, struct version_wait, link) {
		list_del(&w->link);
		list_add(&told, &w->link);
	}
	while (!list_empty(&told)) {
		struct version_wait *w = list_first(&told, struct version_wait, link);

		list_del(&w->link);
		w->done(w, error);
	}
}

static void plan_better(struct version *v)
{
	if (v->api != SANDBOX_V1BETA1)
		timer_set(kube_client_loop(v->client), &v->timer, with_jitter(BETTER_MS));
}

static void settled(struct version *v)
{
	v->state = KNOWN;
	v->failures = 0;
	plan_better(v);
	if (v->told != (int)v->api) {
		v->told = (int)v->api;
		log_info("sandbox API chosen", "version=%s kubernetes_minor=%d",
			 sandbox_api_version(v->api), v->minor);
		v->changed(v->owner, v->api);
	}
	tell(v, NULL);
}

/* Kubernetes says "34", or "34+" where a vendor changed it. */
static void server_answered(void *owner, struct kube_answer *a)
{
	struct version *v = owner;

	v->request = NULL;
	if (!a->error && a->body)
		v->minor = atoi(json_str_or_empty(a->body, "minor"));
	settled(v);
}

/* Asked again each time, since an upgrade of the API server looks to us like a lost connection. A
 * server that does not say is taken as it is. */
static void ask_server(struct version *v)
{
	v->request = kube_call(v->client, &(struct kube_call){.method = KUBE_GET,
							      .path = "/version",
							      .timeout_ms = PROBE_TIMEOUT_MS,
							      .done = server_answered,
							      .owner = v});
}

static void no_result(struct version *v, const struct kube_error *error)
{
	bool first = v->state == ASKING && v->error.fault == KUBE_NONE;

	if (v->state == BETTER) {
		v->state = KNOWN;
		plan_better(v);
		return;
	}
	if (first || v->error.fault != error->fault)
		log_warn("the sandbox API is not available; trying again", "fault=%s error=%s",
			 kube_fault_name(error->fault), error->message);
	v->error = *error;
	v->state = FAILED;
	timer_set(kube_client_loop(v->client), &v->timer,
		  backoff_ms(++v->failures, RETRY_MIN_MS, RETRY_MAX_MS));
	tell(v, &v->error);
}

static void none_served(struct version *v)
{
	struct kube_error e;

	if (v->forbidden)
		kube_error_set(&e, KUBE_FORBIDDEN, "no Agent Sandbox API version may be used: %s",
			       v->refused);
	else
		kube_error_set(&e, KUBE_NO_RESOURCE,
			       "no supported Agent Sandbox API version is available; tried "
			       "v1beta1, v1alpha1");
	no_result(v, &e);
}

/* A version that we may not list is as good as none, but it is named when nothing else is there:
 * the operator has a role to mend, not a CRD to install (driver contract 3.3, caveat c). */
static void note_refused(struct version *v, const struct kube_error *error)
{
	size_t n = strlen(v->refused);

	v->forbidden = true;
	snprintf(v->refused + n, sizeof(v->refused) - n, "%s%s: %s", n ? "; " : "",
		 sandbox_api_version(v->asking), error->message);
}

static void answered(void *owner, struct kube_answer *a)
{
	struct version *v = owner;

	v->request = NULL;
	if (!a->error) {
		v->api = v->asking;
		v->error.fault = KUBE_NONE;
		ask_server(v);
		return;
	}
	if (a->error->fault == KUBE_FORBIDDEN)
		note_refused(v, a->error);
	else if (a->error->fault != KUBE_NO_RESOURCE && a->error->fault != KUBE_NOT_FOUND) {
		no_result(v, a->error);
		return;
	}
	v->asking++;
	if (v->asking == SANDBOX_API_COUNT || (v->state == BETTER && v->asking >= v->api))
		none_served(v);
	else
		ask(v);
}

static void ask(struct version *v)
{
	struct kube_resource r = {SANDBOX_GROUP, sandbox_api_version(v->asking), SANDBOX_PLURAL};
	const char *ns =
		v->options->workspace_mode == WORKSPACE_SHARED ? v->options->namespace : NULL;
	_cleanup_free_ char *path = kube_path_query_int(kube_path(&r, ns, NULL, NULL), "limit", 1);

	v->request = kube_call(v->client, &(struct kube_call){.method = KUBE_GET,
							      .path = path,
							      .timeout_ms = PROBE_TIMEOUT_MS,
							      .done = answered,
							      .owner = v});
}

static void start_round(struct version *v, enum state state)
{
	must(!v->request);
	v->state = state;
	v->asking = SANDBOX_V1BETA1;
	v->refused[0] = '\0';
	v->forbidden = false;
	ask(v);
}

static void round_due(struct timer *t)
{
	struct version *v = container_of(t, struct version, timer);

	start_round(v, v->state == KNOWN ? BETTER : ASKING);
}

void version_doubt(struct version *v)
{
	if (v->state != KNOWN && v->state != BETTER)
		return;
	kube_cancel(v->request);
	v->request = NULL;
	timer_stop(kube_client_loop(v->client), &v->timer);
	log_info("the sandbox API version is not served any more; asking again", "version=%s",
		 sandbox_api_version(v->api));
	start_round(v, ASKING);
}

void version_suspect(struct version *v)
{
	if (v->state != KNOWN || v->api == SANDBOX_V1BETA1)
		return;
	timer_stop(kube_client_loop(v->client), &v->timer);
	start_round(v, BETTER);
}

void version_wait(struct version *v, struct version_wait *w)
{
	enum sandbox_api api;

	must(!version_known(v, &api));
	if (v->error.fault == KUBE_NONE)
		list_add(&v->waiting, &w->link);
	else
		w->done(w, &v->error);
}

void version_wait_cancel(struct version_wait *w)
{
	list_del(&w->link);
}

struct version *version_new(struct kube_client *client, const struct kubernetes_options *options,
			    void (*changed)(void *owner, enum sandbox_api api), void *owner)
{
	struct version *v = xcalloc(1, sizeof(*v));

	v->client = client;
	v->options = options;
	v->changed = changed;
	v->owner = owner;
	v->told = -1;
	v->timer.fire = round_due;
	list_init(&v->waiting);
	start_round(v, ASKING);
	return v;
}

void version_free(struct version *v)
{
	if (!v)
		return;
	must(list_empty(&v->waiting));
	kube_cancel(v->request);
	timer_stop(kube_client_loop(v->client), &v->timer);
	free(v);
}
