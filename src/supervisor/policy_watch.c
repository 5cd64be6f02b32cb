#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "openshell.pb-c.h"
#include "supervisor/policy_status.h"
#include "supervisor/policy_use.h"
#include "supervisor/policy_watch.h"
#include "supervisor/tell.h"

typedef Openshell__Sandbox__V1__GetSandboxConfigResponse config_response;

#define SOURCE(name) OPENSHELL__SANDBOX__V1__POLICY_SOURCE__POLICY_SOURCE_##name

struct policy_watch {
	struct policy_watch_config config;
	struct policy *start;   /* a reference: its files, Landlock and identity hold to the end */
	config_response *known; /* what the gateway said last, without the policy */
	struct err refused;     /* why that is not in force; code 0: it is */
	bool settled;           /* the gateway was asked since the boot */
	bool away;              /* it did not answer the last time */
	struct gateway_call call;
	struct timer next;
	struct policy_status *status;
};

/* ---- acknowledgements ---- */

/* A global policy is not the sandbox's to acknowledge, and version 0 is none. */
static bool is_acknowledged(const config_response *c)
{
	return c->policy_source == SOURCE(SANDBOX) && c->version > 0;
}

static void acknowledge(struct policy_watch *w, const config_response *c)
{
	if (!is_acknowledged(c))
		return;
	if (w->refused.code != 0)
		policy_status_failed(w->status, c->version, w->refused.text);
	else
		policy_status_loaded(w->status, c->version);
}

/* The policy of the boot, once. */
static void settle(struct policy_watch *w, const config_response *c)
{
	if (w->config.differs || !is_acknowledged(c))
		return;
	acknowledge(w, c);
	if (w->refused.code == 0)
		tell_config(w->config.events, "loaded", OCSF_INFORMATIONAL,
			    "Acknowledged initial policy [version:%u]", c->version);
}

/* ---- another policy ---- */

static void tell_static_changes(struct policy_watch *w, const struct policy *next)
{
	const char *names[POLICY_STATIC_SECTIONS];
	size_t n = policy_use_static_changes(w->start, next, names);

	for (size_t i = 0; i < n; i++)
		tell_config(w->config.events, "skipped", OCSF_MEDIUM,
			    "Section of the policy holds from the next start on [section:%s]",
			    names[i]);
}

/* Takes it. */
static void put_in_force(struct policy_watch *w, struct policy *next, const config_response *c)
{
	w->refused.code = 0;
	tell_static_changes(w, next);
	policy_publish(w->config.policy, next);
	if (c->policy_source == SOURCE(GLOBAL))
		tell_config(w->config.events, "loaded", OCSF_INFORMATIONAL,
			    "Policy reloaded successfully [policy_hash:%s global_version:%u]",
			    c->policy_hash, c->global_policy_version);
	else
		tell_config(w->config.events, "loaded", OCSF_INFORMATIONAL,
			    "Policy reloaded successfully [policy_hash:%s]", c->policy_hash);
}

/* It makes no sense: w->refused says why. A mode that nobody knows is fail_closed. */
static void reject(struct policy_watch *w, const config_response *c)
{
	const char *why = w->refused.text;

	tell_policy_rejected(w->config.events, c->version, why);
	if (streq(c->policy_validation_failure_mode, "retain_last_valid")) {
		tell_config(w->config.events, "retained_last_valid", OCSF_HIGH,
			    "Policy rejected: what was in force stays [version:%u reason:%s]",
			    c->version, why);
		return;
	}
	policy_publish(w->config.policy, policy_quarantine(w->start));
	tell_config(w->config.events, "fail_closed", OCSF_HIGH,
		    "Policy rejected: nothing is let out until there is a valid one [version:%u "
		    "reason:%s]",
		    c->version, why);
}

static void reload(struct policy_watch *w, const config_response *c)
{
	struct policy *next = NULL;

	if (c->policy == NULL)
		err_set(&w->refused, ENOENT, "the gateway has no policy for this sandbox any more");
	else
		next = policy_of_message(c->policy, "the gateway's policy", policy_use_resolve,
					 NULL, &w->refused);
	if (next == NULL) {
		reject(w, c);
	} else if (policy_use_check(next, w->config.events, &w->refused) < 0) {
		policy_unref(next);
		tell_config(w->config.events, "retained_previous_policy", OCSF_HIGH,
			    "Policy needs what this sandbox was started without: what was in force "
			    "stays [version:%u]",
			    c->version);
	} else {
		put_in_force(w, next, c);
	}
	acknowledge(w, c);
}

/* ---- what the gateway says ---- */

static void keep(struct policy_watch *w, config_response *c)
{
	openshell__sandbox__v1__sandbox_policy__free_unpacked(steal(&c->policy), NULL);
	openshell__sandbox__v1__get_sandbox_config_response__free_unpacked(w->known, NULL);
	w->known = c;
}

static void follow(struct policy_watch *w, const config_response *c, bool other, bool newer)
{
	if (other)
		reload(w, c);
	else if (!w->settled)
		settle(w, c);
	else if (newer)
		acknowledge(w, c);
}

static void hear(struct policy_watch *w, const config_response *c)
{
	const config_response *known = w->known;
	bool other = !streq(c->policy_hash, known->policy_hash);
	bool environment = c->provider_env_revision != known->provider_env_revision;
	bool changed = other || environment || c->config_revision != known->config_revision;
	bool newer = c->version > known->version || c->policy_source != known->policy_source;

	if (changed) {
		tell_config(w->config.events, "detected", OCSF_INFORMATIONAL,
			    "Settings poll: config change detected [old_revision:%llu "
			    "new_revision:%llu policy_changed:%s provider_env_changed:%s]",
			    (unsigned long long)known->config_revision,
			    (unsigned long long)c->config_revision, other ? "true" : "false",
			    environment ? "true" : "false");
		settings_change(&w->config.settings, known, c);
	}
	if (environment)
		w->config.environment_changed(w->config.owner);
	if (!w->config.by_file)
		follow(w, c, other, newer);
	w->settled = true;
	if (changed || newer)
		keep(w, gateway_message_copy(c));
}

static void asked(struct gateway_call *call, enum grpc_status status, const void *message,
		  struct str text)
{
	struct policy_watch *w = container_of(call, struct policy_watch, call);

	if (status == GRPC_OK) {
		if (w->away)
			log_info("the gateway says again what the sandbox's policy is");
		w->away = false;
		hear(w, message);
		return;
	}
	if (!w->away)
		log_warn("the gateway does not say what the sandbox's policy is; what is known "
			 "stays in force",
			 "reason=%.*s", STR_FMT(text));
	w->away = true;
	if (status == GRPC_UNAUTHENTICATED)
		w->config.token_refused(w->config.owner);
}

static void ask(struct policy_watch *w)
{
	Openshell__Sandbox__V1__GetSandboxConfigRequest request =
		OPENSHELL__SANDBOX__V1__GET_SANDBOX_CONFIG_REQUEST__INIT;

	timer_set(w->config.loop, &w->next, w->config.interval_ms);
	if (w->call.calls != NULL) /* it still is */
		return;
	request.sandbox_id = (char *)w->config.sandbox_id;
	gateway_call_start(w->config.calls, &w->call, "GetSandboxConfig", &request,
			   &openshell__sandbox__v1__get_sandbox_config_response__descriptor);
}

static void again(struct timer *t)
{
	ask(container_of(t, struct policy_watch, next));
}

/* ---- life ---- */

struct policy_watch *policy_watch_start(const struct policy_watch_config *config,
					config_response *first)
{
	struct policy_watch *w = xcalloc(1, sizeof *w);

	w->config = *config;
	w->start = policy_ref(*config->policy);
	w->refused = config->refused;
	w->call.done = asked;
	w->next.fire = again;
	w->status = policy_status_new(config->loop, config->calls, config->sandbox_id);
	keep(w, first);
	settings_begin(&w->config.settings, first);
	ask(w);
	return w;
}

void policy_watch_free(struct policy_watch *w)
{
	if (w == NULL)
		return;
	gateway_call_cancel(&w->call);
	timer_stop(w->config.loop, &w->next);
	policy_status_free(w->status);
	openshell__sandbox__v1__get_sandbox_config_response__free_unpacked(w->known, NULL);
	policy_unref(w->start);
	free(w);
}
